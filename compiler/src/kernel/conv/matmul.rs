//! Lowers MatMul to tile kernels: the rows of the left operand are the pixels, the columns of the right one the channels.

use super::choose::{Part, Problem, blocking, choose, rows_near};
use super::spec::{ExtraKind, Numbers, Stream, TileSpec, WeightLayout};
use crate::ir::{Expression, Node, Op, ValueId};
use crate::kernel::pack_kernel::pack_calls;
use crate::kernel::{KernelCall, LowerContext, Lowered, NoKernel, Operand, PackLoop, PackPiece, PackSpec, View};

/// Channels that are unrolled together.
const CHUNK: usize = 32;
/// Rows that are multiples of so many bytes share few sets of the nearest cache.
const ALIASED: usize = 1 << 10;

/// A plain operand taken apart: batch dimensions, then rows and columns.
struct Matrix {
    batch: Vec<(usize, i64)>,
    rows: usize,
    cols: usize,
    row: i64,
}

/// The last two dimensions as a matrix with contiguous columns; `vector_as_row` says what a rank 1 operand is.
fn matrix(view: &View, vector_as_row: bool) -> Result<Matrix, NoKernel> {
    let View::Plain { dims, strides } = view else {
        return Err(NoKernel("a matrix product reads and writes plain tensors".into()));
    };
    let all: Vec<(usize, i64)> = dims.iter().copied().zip(strides.iter().copied()).collect();
    let (batch, rows, cols) = match all[..] {
        [v] if vector_as_row => (vec![], (1, 0), v),
        [v] => (vec![], v, (1, 4)),
        [ref batch @ .., r, c] => (batch.to_vec(), r, c),
        [] => return Err(NoKernel("a matrix product of a scalar".into())),
    };
    if cols.1 != 4 && cols.0 > 1 {
        return Err(NoKernel("the rows of a matrix must be contiguous".into()));
    }
    Ok(Matrix { batch, rows: rows.0, cols: cols.0, row: rows.1 })
}

/// Strides of an operand over the result's batch dimensions; 0 where it is broadcast.
fn batch_strides(result: &[(usize, i64)], operand: &[(usize, i64)]) -> Vec<i64> {
    let missing = result.len().saturating_sub(operand.len());
    (0..result.len())
        .map(|i| match i.checked_sub(missing).map(|i| operand[i]) {
            Some((count, stride)) if count > 1 => stride,
            _ => 0,
        })
        .collect()
}

/// A product whose pieces are known.
struct Product<'a> {
    cx: &'a LowerContext<'a>,
    node: &'a Node,
    left: Operand,
    outer: Vec<usize>,
    a_outer: Vec<i64>,
    b_outer: Vec<i64>,
    y_outer: Vec<i64>,
    m: usize,
    k: usize,
    n: usize,
    a_row: i64,
    y_row: i64,
    right: Right,
    bias: Option<ValueId>,
    epilogue: &'a Expression,
    extras_from: usize,
}

/// Where the right operand comes from.
enum Right {
    /// A constant `[k, n]` or, transposed, `[n, k]`.
    Constant { value: ValueId, dims: Vec<usize>, transposed: bool },
    /// Run-time rows: bytes from one to the next.
    Rows(ValueId, i64),
    /// Packed at run time into a temporary, one matrix after another.
    Temporary { number: usize, matrix_bytes: i64 },
}

/// Lowers an [`Op::MatMul`].
pub fn lower(cx: &LowerContext, node: &Node) -> Result<Lowered, NoKernel> {
    let Op::MatMul { trans_a, trans_b, bias, epilogue } = &node.op else {
        return Err(NoKernel("not a matrix product".into()));
    };
    let mut lowered = Lowered::default();
    let (left, a) = left(cx, node, *trans_a, &mut lowered)?;
    let (b_value, b_view) = (node.inputs[1], cx.input(node, 1)?);
    let b = matrix(b_view, false)?;
    let y_view = cx.view(node.outputs[0])?;
    let rank1 = (cx.dims(node.inputs[0])?.len() == 1, cx.dims(b_value)?.len() == 1);
    let (m, k) = (a.rows, a.cols);
    let n = if *trans_b { b.rows } else { b.cols };
    let y = result_matrix(y_view, rank1, m, n)?;
    let mut outer: Vec<usize> = y.batch.iter().map(|b| b.0).collect();
    let (mut a_outer, mut b_outer) = (batch_strides(&y.batch, &a.batch), batch_strides(&y.batch, &b.batch));
    let mut y_outer: Vec<i64> = y.batch.iter().map(|b| b.1).collect();
    let mut m = m;
    // Batches of one right operand are just more rows when they follow one another.
    while let Some(last) = outer.len().checked_sub(1) {
        let joined = b_outer[last] == 0 && a_outer[last] == a.row * m as i64 && y_outer[last] == y.row * m as i64;
        if !joined && outer[last] != 1 {
            break;
        }
        m *= outer[last];
        outer.pop();
        a_outer.pop();
        b_outer.pop();
        y_outer.pop();
    }
    let constant = cx.graph.weight(b_value).is_some() && b_outer.iter().all(|s| *s == 0);
    let right = match (constant, trans_b) {
        (true, _) => Right::Constant { value: b_value, dims: cx.dims(b_value)?, transposed: *trans_b },
        (false, false) => Right::Rows(b_value, b.row),
        (false, true) => {
            let matrices = run_time_pack(cx, b_value, &mut lowered, (k, n))?;
            b_outer = repack_strides(&outer, &b_outer, matrices);
            Right::Temporary { number: lowered.temporaries.len() - 1, matrix_bytes: matrices }
        }
    };
    let bias_value = if *bias { Some(node.inputs[2]) } else { None };
    let product = Product {
        cx,
        node,
        left,
        outer,
        a_outer,
        b_outer,
        y_outer,
        m,
        k,
        n,
        a_row: a.row,
        y_row: y.row,
        right,
        bias: bias_value,
        epilogue,
        extras_from: if *bias { 3 } else { 2 },
    };
    product.calls(&mut lowered)?;
    Ok(lowered)
}

/// The result as a matrix, dimensions that numpy drops put back.
fn result_matrix(view: &View, rank1: (bool, bool), m: usize, n: usize) -> Result<Matrix, NoKernel> {
    match (view, rank1) {
        (_, (false, false)) => matrix(view, true),
        (View::Plain { dims, strides }, (true, false)) => {
            let all: Vec<_> = dims.iter().copied().zip(strides.iter().copied()).collect();
            let batch = all[..all.len().saturating_sub(1)].to_vec();
            Ok(Matrix { batch, rows: m, cols: n, row: 0 })
        }
        (View::Plain { dims, strides }, (_, true)) => {
            let all: Vec<_> = dims.iter().copied().zip(strides.iter().copied()).collect();
            let (batch, row) = match all.split_last() {
                Some((last, batch)) if !rank1.0 => (batch.to_vec(), last.1),
                _ => (vec![], 4),
            };
            Ok(Matrix { batch, rows: m, cols: n, row })
        }
        _ => Err(NoKernel("a matrix product reads and writes plain tensors".into())),
    }
}

/// The left operand as a matrix of contiguous rows; one that comes transposed is turned first.
fn left(
    cx: &LowerContext,
    node: &Node,
    transposed: bool,
    lowered: &mut Lowered,
) -> Result<(Operand, Matrix), NoKernel> {
    let value = node.inputs[0];
    let from = Operand::Value(value, 0);
    if !transposed {
        return Ok((from, matrix(cx.view(value)?, true)?));
    }
    let mut dims = cx.dims(value)?;
    let rank = dims.len();
    if rank < 2 {
        return Err(NoKernel("a vector cannot be transposed".into()));
    }
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(rank - 1, rank - 2);
    let loops = order.iter().map(|dim| PackLoop { count: dims[*dim], dim: *dim, step: 1 }).collect();
    let piece = PackPiece { start: vec![0; rank], end: dims.clone(), loops };
    let spec = PackSpec::new(dims.clone(), vec![piece]);
    let temporary = Operand::Temporary(lowered.temporaries.len(), 0);
    lowered.calls.extend(pack_calls(cx.target, &spec, (&from, cx.view(value)?), &temporary)?);
    lowered.temporaries.push(spec.len() * 4);
    dims.swap(rank - 1, rank - 2);
    Ok((temporary, matrix(&View::dense(&dims, crate::ir::Layout::Plain, 4).0, true)?))
}

/// Packs a run-time `[.., n, k]` operand as `[.., k, n]` with `n` filled up to whole vectors, or one more; returns the bytes of a matrix.
fn run_time_pack(
    cx: &LowerContext,
    value: ValueId,
    lowered: &mut Lowered,
    (k, n): (usize, usize),
) -> Result<i64, NoKernel> {
    let dims = cx.dims(value)?;
    let rank = dims.len();
    let lanes = cx.target.lanes as usize;
    let mut padded = n.next_multiple_of(lanes);
    // So that a panel's rows lie in different sets of the cache.
    if padded * 4 % ALIASED == 0 {
        padded += lanes;
    }
    let mut loops: Vec<PackLoop> =
        dims[..rank - 2].iter().enumerate().map(|(dim, count)| PackLoop { count: *count, dim, step: 1 }).collect();
    loops.push(PackLoop { count: k, dim: rank - 1, step: 1 });
    loops.push(PackLoop { count: padded, dim: rank - 2, step: 1 });
    let piece = PackPiece { start: vec![0; rank], end: dims.clone(), loops };
    let spec = PackSpec::new(dims, vec![piece]);
    let temporary = Operand::Temporary(lowered.temporaries.len(), 0);
    let from = Operand::Value(value, 0);
    lowered.calls.extend(pack_calls(cx.target, &spec, (&from, cx.view(value)?), &temporary)?);
    lowered.temporaries.push(spec.len() * 4);
    Ok((padded * k * 4) as i64)
}

/// Strides over densely packed matrices, in the order of the outer loops that are not broadcast.
fn repack_strides(outer: &[usize], old: &[i64], matrix: i64) -> Vec<i64> {
    let mut next = matrix;
    let mut strides = vec![0; outer.len()];
    for i in (0..outer.len()).rev() {
        if old[i] != 0 {
            strides[i] = next;
            next *= outer[i] as i64;
        }
    }
    strides
}

/// Cuts `m` rows into equal groups of a convenient width.
pub(super) fn split_rows(m: usize) -> (usize, usize) {
    if m <= 256 {
        return (1, m);
    }
    let waste = |c: usize| c.div_ceil(14) * 14 - c;
    let best = (42..=256).filter(|c| m.is_multiple_of(*c)).min_by_key(|c| (waste(*c) * 100 / c, *c));
    best.map_or((1, m), |c| (m / c, c))
}

impl Product<'_> {
    fn calls(&self, lowered: &mut Lowered) -> Result<(), NoKernel> {
        if self.m * self.n * self.outer.iter().product::<usize>() == 0 {
            return Ok(());
        }
        let (rows, cols) = split_rows(self.m);
        let lanes = self.cx.target.lanes as usize;
        let pixels_limit = rows_near(self.a_row).min(28);
        let problem = Problem { rows, cols, vectors: self.n.div_ceil(lanes), steps: self.k, pixels_limit };
        let parts = choose(self.cx.target, problem).1;
        for (i, part) in parts.iter().enumerate() {
            let mut part = *part;
            part.rows_per_tile = 1;
            let mut call = self.call(part, rows, cols, i + 1 == parts.len())?;
            call.barrier_before = i == 0 && !lowered.calls.is_empty();
            lowered.calls.push(call);
        }
        Ok(())
    }

    /// Right operand, its stride per panel, and its layout.
    fn right(&self, part: Part) -> (Operand, i64, WeightLayout) {
        let lanes = self.cx.target.lanes as usize;
        let (panel, first) = (part.vectors * lanes, part.first * lanes);
        match &self.right {
            Right::Constant { value, dims, transposed } => {
                let rank = dims.len();
                let (kd, nd) = if rank == 1 {
                    (0, 0)
                } else if *transposed {
                    (rank - 1, rank - 2)
                } else {
                    (rank - 2, rank - 1)
                };
                let mut start = vec![0; rank];
                let l = |count, dim, step| PackLoop { count, dim, step };
                let loops = if rank == 1 {
                    vec![l(self.k, 0, 1), l(panel, 0, self.k)]
                } else {
                    start[nd] = first;
                    vec![l(part.panels, nd, panel), l(self.k, kd, 1), l(panel, nd, 1)]
                };
                let spec = PackSpec::new(dims.clone(), vec![PackPiece { start, end: dims.clone(), loops }]);
                (Operand::Packed(*value, spec), (panel * self.k * 4) as i64, WeightLayout::Packed)
            }
            Right::Rows(value, stride) => {
                (Operand::Value(*value, first as i64 * 4), panel as i64 * 4, WeightLayout::Rows(*stride))
            }
            Right::Temporary { number, matrix_bytes } => {
                let row = matrix_bytes / self.k.max(1) as i64;
                (Operand::Temporary(*number, first * 4), panel as i64 * 4, WeightLayout::Rows(row))
            }
        }
    }

    fn call(&self, part: Part, rows: usize, cols: usize, last: bool) -> Result<KernelCall, NoKernel> {
        let target = self.cx.target;
        let lanes = target.lanes as usize;
        let width = lanes as i64 * 4;
        let panel = part.vectors as i64 * width;
        let stream = |outer: &[i64], row: i64, panel: i64| Stream {
            outer: outer.to_vec(),
            panel,
            vector: if panel == 0 { 0 } else { width },
            row: row * cols as i64,
            col: row,
        };
        let (right, w_panel, w_layout) = self.right(part);
        let mut operands = vec![self.left.clone(), right];
        if let Some(bias) = self.bias {
            operands.push(self.bias_operand(bias, part)?);
        }
        let mut extras = Vec::new();
        for value in self.node.inputs.iter().skip(self.extras_from) {
            let (kind, operand, s) = self.extra(*value, part, rows, cols)?;
            operands.push(operand);
            extras.push((kind, s));
        }
        let y_at = part.first as i64 * width;
        operands.push(Operand::Value(self.node.outputs[0], y_at));
        let input_row = cols * self.k * 4;
        let weights = part.panels * panel as usize * self.k;
        let others = self.outer.iter().product::<usize>();
        let order = blocking(rows, input_row, weights, part.panels, others);
        let spec = TileSpec {
            family: "matmul",
            outer: self.outer.clone(),
            rows,
            cols,
            rows_per_tile: 1,
            panels: part.panels,
            vectors: part.vectors,
            tail_lanes: Some(self.n % lanes).filter(|t| *t != 0 && last),
            taps: [(1, 0), (1, 0)],
            channels: self.k,
            chunk: CHUNK.min(self.k.max(1)),
            chunk_stride: CHUNK as i64 * 4,
            channel_stride: 4,
            x: stream(&self.a_outer, self.a_row, 0),
            y: stream(&self.y_outer, self.y_row, panel),
            w_outer: self.b_outer.clone(),
            w_panel,
            w_layout,
            bias: self.bias.map(|_| vec![0; self.outer.len()]),
            resumes: false,
            depthwise: false,
            numbers: Numbers::Floats,
            epilogue: self.epilogue.clone(),
            extras,
            max_pixels: part.pixels,
            row_block: order.row_block,
            panels_inner: order.panels_inner,
        };
        super::fitted(spec, target, operands)
    }

    fn bias_operand(&self, bias: ValueId, part: Part) -> Result<Operand, NoKernel> {
        let lanes = self.cx.target.lanes as usize;
        let dims = self.cx.dims(bias)?;
        // One that does not fill its vectors is filled up, by a call before the product where it is computed.
        if self.cx.graph.weight(bias).is_none() && self.n.is_multiple_of(lanes) {
            return Ok(Operand::Value(bias, (part.first * lanes * 4) as i64));
        }
        let piece = PackPiece {
            start: vec![part.first * lanes],
            end: dims.clone(),
            loops: vec![PackLoop { count: part.panels * part.vectors * lanes, dim: 0, step: 1 }],
        };
        Ok(Operand::Packed(bias, PackSpec::new(dims, vec![piece])))
    }

    /// An operand of the epilogue: one number, one row of the result's width, or a tensor of the result's shape.
    fn extra(
        &self,
        value: ValueId,
        part: Part,
        rows: usize,
        cols: usize,
    ) -> Result<(ExtraKind, Operand, Stream), NoKernel> {
        let _ = rows;
        let dims = self.cx.dims(value)?;
        let lanes = self.cx.target.lanes as usize;
        let width = lanes as i64 * 4;
        let zero = vec![0; self.outer.len()];
        let constant = self.cx.graph.weight(value).is_some();
        let elements: usize = dims.iter().product();
        if elements == 1 {
            let operand =
                if constant { Operand::Packed(value, PackSpec::plain(&dims)) } else { Operand::Value(value, 0) };
            return Ok((ExtraKind::Scalar, operand, Stream { outer: zero, ..Stream::default() }));
        }
        let panel = part.vectors as i64 * width;
        if constant && elements == self.n && dims.last() == Some(&self.n) {
            let dim = dims.len() - 1;
            let mut start = vec![0; dims.len()];
            start[dim] = part.first * lanes;
            let loops = vec![PackLoop { count: part.panels * part.vectors * lanes, dim, step: 1 }];
            let spec = PackSpec::new(dims.clone(), vec![PackPiece { start, end: dims, loops }]);
            let stream = Stream { outer: zero, panel, vector: width, row: 0, col: 0 };
            return Ok((ExtraKind::Channel, Operand::Packed(value, spec), stream));
        }
        if dims != self.cx.dims(self.node.outputs[0])? {
            return Err(NoKernel(format!(
                "a fused operand of shape {dims:?} is neither a row nor of the result's shape"
            )));
        }
        let e = matrix(self.cx.view(value)?, true)?;
        let dense = View::dense(&dims, crate::ir::Layout::Plain, 4).0;
        if *self.cx.view(value)? != dense || *self.cx.view(self.node.outputs[0])? != dense {
            return Err(NoKernel("a fused operand with gaps".into()));
        }
        let stream = Stream { outer: self.y_outer.clone(), panel, vector: width, row: e.row * cols as i64, col: e.row };
        Ok((ExtraKind::Element, Operand::Value(value, part.first as i64 * width), stream))
    }
}
