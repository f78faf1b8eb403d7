//! Resize of the two spatial dimensions: positions and weights are tables, so every mode is the same kernel.

use super::halo::zero_halo;
use super::operand::{expect_type, place, plain};
use super::{KernelCall, LowerContext, Lowered, NoKernel, Operand, View};
use crate::ir::eval::{ResizeTap, resize_taps};
use crate::ir::{Node, Op};
use crate::tile::{self, Access, Builder, Index, Kernel, Lane, Mem, PointerRef, ScalarId, ScalarOp, Target, VectorOp};
use brolga_runtime::DType;

/// A resize: `taps` rows and columns of the source make one element of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Images, then channels or blocks, with the strides of result and source.
    pub planes: [(usize, i64, i64); 2],
    /// Rows and columns of the result.
    pub extents: [usize; 2],
    /// Strides of the result along rows and columns.
    pub to: [i64; 2],
    /// Taps along rows and columns.
    pub taps: [usize; 2],
    /// Whether a pixel is a vector of channels.
    pub blocked: bool,
}

impl Spec {
    fn weighted(&self) -> bool {
        self.taps != [1, 1]
    }

    /// The program and its number of items. Its bases are the result, the source, row offsets (i64, bytes), column offsets
    /// (i64, bytes; plain: i32, elements, tap by tap), row weights and column weights (plain: tap by tap).
    pub fn build(&self, target: Target) -> (Kernel, u64) {
        let [h, w] = self.extents;
        let layout = if self.blocked { "blocked" } else { "plain" };
        let name = format!("resize-{layout}-{}x{}-{h}x{w}", self.taps[0], self.taps[1]);
        let mut k = Builder::new(name, target);
        let (y, x) = (k.base("y", Access::Write), k.base("x", Access::Read));
        let (rows, columns) = (k.base("rows", Access::Read), k.base("columns", Access::Read));
        let (row_weights, column_weights) =
            (k.base("row_weights", Access::Read), k.base("column_weights", Access::Read));
        let (begin, end) = (k.begin(), k.end());
        k.for_(begin, end, 1, |k, item| {
            let row = k.rem_const(item, h as i64);
            let plane = k.div_const(item, h as i64);
            let [(_, yn, xn), (blocks, yb, xb)] = self.planes;
            let block = k.rem_const(plane, blocks as i64);
            let image = k.div_const(plane, blocks as i64);
            let at = |k: &mut Builder, a: i64, b: i64| {
                let (a, b) = (k.mul_const(image, a), k.mul_const(block, b));
                k.sadd(a, b)
            };
            let (to, from) = (at(k, yn, yb), at(k, xn, xb));
            let down = k.mul_const(row, self.to[0]);
            let to = k.sadd(to, down);
            let (y, x) = (k.pointer(y, to), k.pointer(x, from));
            let entry = k.mul_const(row, 8 * self.taps[0] as i64);
            let rows = k.pointer(rows, entry);
            let entry = k.mul_const(row, 4 * self.taps[0] as i64);
            let row_weights = k.pointer(row_weights, entry);
            let sources: Vec<PointerRef> = (0..self.taps[0] as i64)
                .map(|t| {
                    let offset = offset(k, rows, 8 * t);
                    k.pointer(x, offset)
                })
                .collect();
            let tables = [columns, row_weights, column_weights];
            if self.blocked { self.pixels(k, y, &sources, tables) } else { self.row(k, y, &sources, tables) }
        });
        let planes = self.planes[0].0 * self.planes[1].0;
        (k.finish(), (planes * h) as u64 * u64::from(w > 0))
    }

    /// A row of pixels of vectors.
    fn pixels(&self, k: &mut Builder, y: PointerRef, sources: &[PointerRef], [columns, rw, cw]: [PointerRef; 3]) {
        let taps = self.taps[1] as i64;
        k.for_count(self.extents[1] as i64, |k, at| {
            let entry = k.mul_const(at, 8 * taps);
            let columns = k.pointer(columns, entry);
            let entry = k.mul_const(at, 4 * taps);
            let cw = k.pointer(cw, entry);
            let offsets: Vec<ScalarId> = (0..taps).map(|t| offset(k, columns, 8 * t)).collect();
            let mut load = |k: &mut Builder, source: PointerRef, t: usize| {
                let from = k.pointer(source, offsets[t]);
                k.load(from, 0)
            };
            let mut weight = |k: &mut Builder, t: usize| k.splat_load(cw, 4 * t as i64);
            let v = self.sum(k, sources, rw, &mut load, &mut weight);
            let to = k.mul_const(at, self.to[1]);
            let y = k.pointer(y, to);
            k.store(y, 0, v);
        });
    }

    /// A row of elements, in vectors.
    fn row(&self, k: &mut Builder, y: PointerRef, sources: &[PointerRef], [columns, rw, cw]: [PointerRef; 3]) {
        let (width, lanes) = (self.extents[1] as i64, i64::from(k.lanes()));
        let total = k.num(width);
        k.for_count((width + lanes - 1) / lanes, |k, i| {
            let at = k.mul_const(i, lanes);
            let first = (width % lanes != 0).then(|| k.ssub(total, at));
            let bytes = k.mul_const(at, 4);
            let (y, columns, cw) = (k.pointer(y, bytes), k.pointer(columns, bytes), k.pointer(cw, bytes));
            let load_first = |k: &mut Builder, p: PointerRef, t: usize| match first {
                Some(n) => k.load_first(p, 4 * width * t as i64, n),
                None => k.load(p, 4 * width * t as i64),
            };
            let mut load = |k: &mut Builder, source: PointerRef, t: usize| {
                let index = load_first(k, columns, t);
                let index = k.vector(VectorOp::Bitcast(Lane::I32, index));
                k.vector(VectorOp::Gather { mem: Mem { pointer: source, disp: Index::Const(0) }, index, first })
            };
            let mut weight = |k: &mut Builder, t: usize| load_first(k, cw, t);
            let v = self.sum(k, sources, rw, &mut load, &mut weight);
            match first {
                Some(n) => k.store_first(y, 0, v, n),
                None => k.store(y, 0, v),
            }
        });
    }

    fn sum(
        &self,
        k: &mut Builder,
        sources: &[PointerRef],
        row_weights: PointerRef,
        load: &mut dyn FnMut(&mut Builder, PointerRef, usize) -> tile::Operand,
        weight: &mut dyn FnMut(&mut Builder, usize) -> tile::Operand,
    ) -> tile::Operand {
        let mut all: Option<tile::Operand> = None;
        for (r, source) in sources.iter().enumerate() {
            let mut row: Option<tile::Operand> = None;
            for c in 0..self.taps[1] {
                let v = load(k, *source, c);
                if !self.weighted() {
                    return v;
                }
                let w = weight(k, c);
                row = Some(match row {
                    Some(sum) => k.mul_add(v, w, sum),
                    None => k.mul(v, w),
                });
            }
            let Some(row) = row else { continue };
            let w = k.splat_load(row_weights, 4 * r as i64);
            all = Some(match all {
                Some(sum) => k.mul_add(row, w, sum),
                None => k.mul(row, w),
            });
        }
        all.unwrap_or_else(|| k.float(0.0))
    }
}

fn offset(k: &mut Builder, table: PointerRef, at: i64) -> ScalarId {
    k.scalar(ScalarOp::LoadI64(Mem { pointer: table, disp: Index::Const(at) }))
}

/// Taps of rows times taps of columns that one element is made of at most.
const MOST_TAPS: usize = 16;

fn count(taps: &[ResizeTap]) -> usize {
    taps.iter().map(|t| t.sources.len()).max().unwrap_or(1).max(1)
}

/// Positions and weights of one dimension, filled up to the same number of taps.
fn table(taps: &[ResizeTap]) -> (usize, Vec<(usize, f32)>) {
    let count = count(taps);
    let entry = |t: &ResizeTap, i: usize| t.sources.get(i).map_or((0, 0.0), |(at, w)| (*at, *w as f32));
    (count, taps.iter().flat_map(|t| (0..count).map(move |i| entry(t, i))).collect())
}

/// Whether the kernel takes a resize of f32 of these extents, whose dimensions read these elements: of the last two of four.
pub fn takes(extents: &[usize], taps: &[Vec<ResizeTap>]) -> Result<(), NoKernel> {
    let ([n, c, _, _], [images, channels, rows, columns]) = (extents, taps) else {
        return Err(NoKernel("a resize of another rank than 4".into()));
    };
    if !still(*n, images) || !still(*c, channels) {
        return Err(NoKernel("coordinates that mix images or channels".into()));
    }
    if rows.iter().chain(columns).any(|t| t.outside) {
        return Err(NoKernel("elements outside of the region".into()));
    }
    match count(rows) * count(columns) {
        0..=MOST_TAPS => Ok(()),
        many => Err(NoKernel(format!("{many} taps"))),
    }
}

/// Whether every position of a dimension of this extent reads itself.
pub fn still(extent: usize, taps: &[ResizeTap]) -> bool {
    taps.len() == extent
        && taps.iter().enumerate().all(|(i, t)| !t.outside && t.sources.iter().all(|(at, w)| *at == i || *w == 0.0))
}

/// Lowers Resize.
pub fn lower(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    let (Op::Resize(attrs), Some(input), [result]) = (&node.op, node.inputs.first(), &node.outputs[..]) else {
        return Err(NoKernel("not a resize".into()));
    };
    expect_type(cx, *input, DType::F32)?;
    if cx.dims(*result)?.contains(&0) {
        return Ok(Lowered::default());
    }
    let ((operand, from), to) = (place(cx, *input)?, cx.view(*result)?);
    let (&[n, c, h, w], &[on, oc, oh, ow]) = (&cx.dims(*input)?[..], &cx.dims(*result)?[..]) else {
        return Err(NoKernel("a resize of another rank than 4".into()));
    };
    if n * c * h * w * on * oc * oh * ow == 0 {
        return Ok(Lowered::default());
    }
    let extents = [(n, on), (c, oc), (h, oh), (w, ow)];
    let taps: Vec<_> = extents.iter().enumerate().map(|(d, (from, to))| resize_taps(attrs, d, *from, *to)).collect();
    takes(&[n, c, h, w], &taps)?;
    let ((row_taps, rows), (column_taps, columns)) = (table(&taps[2]), table(&taps[3]));
    let (blocks, x, y, blocked) = match (&from, to) {
        (View::Blocked { strides: x, lanes, .. }, View::Blocked { strides: y, lanes: of, .. })
            if lanes == of && *lanes == cx.target.lanes as usize =>
        {
            (c.div_ceil(*lanes), *x, *y, true)
        }
        (View::Plain { .. }, View::Plain { .. }) => {
            let (&[a, b, r, 4], &[d, e, s, 4]) = (plain(&from)?.1, plain(to)?.1) else {
                return Err(NoKernel("rows that are not contiguous".into()));
            };
            (c, [a, b, r, 4], [d, e, s, 4], false)
        }
        _ => return Err(NoKernel("operands in different layouts".into())),
    };
    let words = |all: &[(usize, f32)], stride: i64| {
        all.iter().flat_map(|(at, _)| (*at as i64 * stride).to_le_bytes()).collect::<Vec<u8>>()
    };
    let floats = |all: &[(usize, f32)]| all.iter().flat_map(|(_, w)| w.to_le_bytes()).collect::<Vec<u8>>();
    // Tap by tap for vectors of neighbours.
    let across: Vec<(usize, f32)> =
        (0..column_taps).flat_map(|t| columns.iter().skip(t).step_by(column_taps)).copied().collect();
    let (offsets, weights) = if blocked {
        (words(&columns, x[3]), floats(&columns))
    } else {
        (across.iter().flat_map(|(at, _)| (*at as i32).to_le_bytes()).collect(), floats(&across))
    };
    let planes = [(n, y[0], x[0]), (blocks, y[1], x[1])];
    let spec = Spec { planes, extents: [oh, ow], to: [y[2], y[3]], taps: [row_taps, column_taps], blocked };
    let (kernel, extent) = spec.build(cx.target);
    let tables = [words(&rows, x[2]), offsets, floats(&rows), weights];
    let operands = [Operand::Value(*result, 0), operand].into_iter().chain(tables.map(Operand::Table)).collect();
    let mut calls = vec![KernelCall { kernel, operands, args: vec![], extent, barrier_before: false }];
    calls.extend(zero_halo(cx.target, *result, to));
    Ok(Lowered { calls, temporaries: vec![] })
}
