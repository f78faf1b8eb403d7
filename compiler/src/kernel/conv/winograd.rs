//! Convolutions of 3x3 taps with 16 products for every 2x2 results, where the definition has 36: minimal filtering F(2x2, 3x3)
//! (Winograd; Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015).
//!
//! A tile of 2x2 results is read from 4x4 pixels `d`. With filters `U = G g G^T`, made when weights are packed,
//!
//! ```text
//! y = A^T (U * (B^T d B)) A     B^T = 1  0 -1  0     A^T = 1  1  1  0
//!                                     0  1  1  0           0  1 -1 -1
//!                                     0 -1  1  0
//!                                     0  1  0 -1
//! ```
//!
//! where `*` is a sum over channels at each of the 16 points: matrix products, by the tile kernel. One kernel does it all, block
//! of tiles by block of tiles, so that what lies between the three parts stays in the second-level cache of the worker:
//!
//! ```text
//! for block of tiles
//!   V[point][tile][channel] = B^T d B
//!   for part of the output channels
//!     M[point][tile][output] = V[point] * U[point]
//!     y = expression(A^T M A + bias, extras)
//! ```
//!
//! Where the result has an odd number of rows or columns, the last tiles overlap their neighbours and store half of what they have.

use super::build::Bases;
use super::choose::{self, Problem, fitting_pixels};
use super::lower::{Image, extras};
use super::spec::{ExtraKind, Numbers, Stream, TileSpec, WeightLayout, step_word};
use crate::ir::{Expression, Node, Op, Window};
use crate::kernel::expression::expression;
use crate::kernel::{Elements, KernelCall, LowerContext, NoKernel, Operand, PackLoop, PackPiece, PackSpec};
use crate::tile::{
    Access, Builder, Cmp, Cond, Kernel, Operand as Vector, PointerRef, ScalarId, ScalarOp, Target, pressure,
};
use brolga_runtime::DType;

/// Points of a tile: the products that stand for its 36.
const POINTS: usize = 16;
/// Tiles below which the definition is kept: filters take 16 numbers for 9, and small planes have the most of them, so that the model
/// would grow most where the least is saved.
const FEWEST_TILES: usize = 400;
/// Bytes of the transformed input of a block, and of the sums of a part of the output channels: with the filters of a point they
/// stay in the second-level cache.
const BLOCK: usize = 512 << 10;
const SUMS: usize = 256 << 10;
/// Cycles to transform a vector of channels of a tile, there and back.
const TRANSFORM: f64 = 50.0;

/// A convolution by minimal filtering.
#[derive(Clone, Debug)]
struct Spec {
    /// Rows and columns of tiles of an image, and of its result.
    tiles: [usize; 2],
    result: [usize; 2],
    /// All tiles, and those of a block.
    total: usize,
    block: usize,
    /// Output channels of a part, and parts.
    part: usize,
    parts: usize,
    /// Bytes from one image, channel block, row and pixel to the next.
    x: [i64; 4],
    y: [i64; 4],
    /// The products of one block and part.
    products: TileSpec,
    bias: bool,
    epilogue: Expression,
    extras: Vec<(ExtraKind, Stream)>,
}

/// The call, where the algorithm fits the node and saves time by the cost model. `x` and `y` are its input and result.
pub(super) fn lower(
    cx: &LowerContext,
    node: &Node,
    window: &Window,
    (x, y): (&Image, &Image),
) -> Result<Option<KernelCall>, NoKernel> {
    let Op::Conv { group: 1, bias, epilogue, .. } = &node.op else { return Ok(None) };
    let (Some(&weight), lanes) = (node.inputs.get(1), cx.target.lanes as usize) else { return Ok(None) };
    let constant = cx
        .graph
        .weight(weight)
        .is_some_and(|w| w.dtype == DType::F32 && PackSpec::accepts(w) && w.scales.iter().all(|scale| scale.axis < 2));
    let three = window.kernel == [3, 3] && window.stride == [1, 1] && window.dilation == [1, 1];
    if cx.exact || !constant || !three || x.lanes != lanes || y.lanes != lanes {
        return Ok(None);
    }
    let Some(mut spec) = Spec::of(cx.target, x, y) else { return Ok(None) };
    spec.bias = *bias;
    spec.epilogue = epilogue.clone();
    let from = if *bias { 3 } else { 2 };
    let fused = extras(cx, node, from, y, spec.part / lanes, 0)?;
    spec.extras = fused.iter().map(|e| (e.kind, e.stream.clone())).collect();
    let Some(kernel) = spec.fitted(cx.target)? else { return Ok(None) };
    let corner = -window.pad_begin[0] * x.strides[2] - window.pad_begin[1] * x.strides[3];
    let mut operands = vec![Operand::Value(node.inputs[0], corner)];
    operands.push(Operand::Packed(weight, spec.filters(y.dims[1], x.dims[1], lanes)));
    if *bias {
        operands.push(Operand::Packed(node.inputs[2], PackSpec::padded(y.dims[1], lanes)));
    }
    operands.extend(fused.into_iter().map(|e| e.operand));
    let [v, m] = [&spec.products.x, &spec.products.y].map(|stream| stream.outer[0] as usize * POINTS);
    operands.extend([Operand::Scratch(v), Operand::Scratch(m), Operand::Value(node.outputs[0], 0)]);
    let extent = spec.total.div_ceil(spec.block) as u64;
    Ok(Some(KernelCall { kernel, operands, args: vec![], extent, barrier_before: false }))
}

/// Bytes of a point in a buffer: an odd number of lines, so that the points of a tile do not all fall into one set of the cache.
fn point_bytes(tiles: usize, channels: usize) -> i64 {
    let lines = (tiles * channels * 4).div_ceil(64);
    (lines | 1) as i64 * 64
}

impl Spec {
    /// Without epilogue; `None` where there are too few tiles or channels do not fill whole panels, or the definition is faster.
    fn of(target: Target, x: &Image, y: &Image) -> Option<Spec> {
        let [n, outputs, h, w] = y.dims;
        let (channels, lanes) = (x.dims[1], target.lanes as usize);
        let panel = 2 * lanes;
        let tiles = [h.div_ceil(2), w.div_ceil(2)];
        let total = n * tiles[0] * tiles[1];
        if h.min(w) < 4 || total < FEWEST_TILES || channels % lanes != 0 || outputs % panel != 0 {
            return None;
        }
        let pixels = fitting_pixels(target, 2);
        let most = (BLOCK / (channels * 4 * POINTS)).min(total / choose::ITEMS);
        let most = (most / pixels).max(1) * pixels;
        let block = total.div_ceil(total.div_ceil(most));
        let fits = |part: &usize| outputs % (part * panel) == 0 && block * part * panel * 4 * POINTS <= SUMS;
        let part = (1..=outputs / panel).rev().find(fits).unwrap_or(1) * panel;
        let spec = Spec {
            tiles,
            result: [h, w],
            total,
            block,
            part,
            parts: outputs / part,
            x: x.strides,
            y: y.strides,
            products: products(target, block, channels, part),
            bias: false,
            epilogue: Expression::default(),
            extras: Vec::new(),
        };
        let vectors = outputs / lanes;
        let direct = Problem { rows: h, cols: w, vectors, steps: 9 * channels, pixels_limit: 28 };
        let direct = choose::choose(target, direct).0 * n as f64;
        let saved = spec.cycles(target, channels) < 0.9 * direct;
        saved.then_some(spec)
    }

    /// What the cost model expects.
    fn cycles(&self, target: Target, channels: usize) -> f64 {
        let lanes = target.lanes as usize;
        let outputs = self.part * self.parts;
        let point = Problem { rows: 1, cols: self.block, vectors: 2, steps: channels, pixels_limit: 28 };
        let blocks = self.total.div_ceil(self.block) * POINTS * outputs / (2 * lanes);
        let moved = (self.total * (channels + outputs) / (2 * lanes)) as f64;
        blocks as f64 * choose::choose_panels(target, point, 2) + moved * TRANSFORM
    }

    /// The program, with narrower tiles where it needs more registers than there are; `None` where that does not help.
    fn fitted(&mut self, target: Target) -> Result<Option<Kernel>, NoKernel> {
        let spare = super::temporaries(&self.epilogue);
        loop {
            let kernel = self.build(target)?;
            if pressure(&kernel) + spare <= target.registers {
                return Ok(Some(kernel));
            }
            if self.products.max_pixels == 1 {
                return Ok(None);
            }
            self.products.max_pixels -= 1;
        }
    }

    /// `[part][point][panel][channel][output of the panel]`.
    fn filters(&self, outputs: usize, channels: usize, lanes: usize) -> PackSpec {
        let l = |count, dim, step| PackLoop { count, dim, step };
        let panel = 2 * lanes;
        let loops = vec![
            l(self.parts, 0, self.part),
            l(4, 2, 1),
            l(4, 3, 1),
            l(self.part / panel, 0, panel),
            l(channels, 1, 1),
            l(panel, 0, 1),
        ];
        let piece = PackPiece { start: vec![0; 4], end: vec![outputs, channels, 4, 4], loops };
        PackSpec { source: vec![outputs, channels, 3, 3], elements: Elements::Winograd, pieces: vec![piece] }
    }

    fn name(&self) -> String {
        let [h, w] = self.result;
        let mut name = format!("winograd-f32-2x2-c{}-{h}x{w}", self.products.channels);
        for step in &self.epilogue.steps {
            name.push('-');
            name.push_str(&step_word(step));
        }
        name
    }

    /// The program. Bases: x, filters, (bias), extras in order, transformed input, sums, y. An item is a block of tiles.
    fn build(&self, target: Target) -> Result<Kernel, NoKernel> {
        let mut k = Builder::new(self.name(), target);
        let (x, u) = (k.base("x", Access::Read), k.base("u", Access::Read));
        let bias = self.bias.then(|| k.base("bias", Access::Read));
        let extras: Vec<PointerRef> = (0..self.extras.len()).map(|i| k.base(&format!("e{i}"), Access::Read)).collect();
        let (v, m) = (k.base("v", Access::Write), k.base("m", Access::Write));
        let y = k.base("y", Access::Write);
        let (begin, end) = (k.begin(), k.end());
        let mut result = Ok(());
        k.for_(begin, end, 1, |k, item| {
            let first = k.mul_const(item, self.block as i64);
            let (all, block) = (k.num(self.total as i64), k.num(self.block as i64));
            let left = k.ssub(all, first);
            let count = k.smin(left, block);
            self.transform_input(k, x, v, (first, count));
            k.for_count(self.parts as i64, |k, part| {
                let skip = k.mul_const(part, self.products.w_outer[0] * POINTS as i64);
                let w = k.pointer(u, skip);
                let (zero, items) = (k.num(0), k.num(self.products.extent() as i64));
                let bases = Bases { x: v, w, bias: None, zero: None, pixel_sums: None, extras: vec![], y: m };
                let done = self.products.write(k, bases, (zero, items));
                let vector = k.mul_const(part, (self.part / k.lanes() as usize) as i64);
                let ends = Ends { m, bias, extras: &extras, y, vector };
                let stored = self.transform_sums(k, &ends, (first, count));
                if let Err(e) = done.and(stored) {
                    result = Err(e);
                }
            });
        });
        result.map(|()| k.finish())
    }

    /// Image, and first row and column of the result, of a tile.
    fn place(&self, k: &mut Builder, tile: ScalarId) -> Place {
        let [rows, columns] = self.tiles.map(|n| n as i64);
        let column = k.rem_const(tile, columns);
        let rest = k.div_const(tile, columns);
        let (row, image) = (k.rem_const(rest, rows), k.div_const(rest, rows));
        let mut pixel = |tile: ScalarId, extent: usize| {
            let own = k.mul_const(tile, 2);
            if extent.is_multiple_of(2) {
                return (own, None);
            }
            let last = k.num(extent as i64 - 2);
            let at = k.smin(own, last);
            let (none, all) = (k.num(0), k.num(i64::from(k.lanes())));
            let lanes = k.scalar(ScalarOp::Select(Cond { cmp: Cmp::Eq, a: at, b: own }, all, none));
            (at, Some(lanes))
        };
        let (row, first_row) = pixel(row, self.result[0]);
        let (column, first_column) = pixel(column, self.result[1]);
        Place { image, row, column, first: [first_row, first_column] }
    }

    /// `V = B^T d B`.
    fn transform_input(&self, k: &mut Builder, x: PointerRef, v: PointerRef, (first, count): (ScalarId, ScalarId)) {
        let [_, block, row, column] = self.x;
        let width = i64::from(k.lanes()) * 4;
        let (channels, point) = (self.products.channels as i64, self.products.x.outer[0]);
        let zero = k.num(0);
        k.for_(zero, count, 1, |k, tile| {
            let number = k.sadd(first, tile);
            let place = self.place(k, number);
            let from = place.offset(k, self.x);
            let x = k.pointer(x, from);
            let to = k.mul_const(tile, self.products.x.col);
            let v = k.pointer(v, to);
            k.for_count(channels * 4 / width, |k, vector| {
                let (from, to) = (k.mul_const(vector, block), k.mul_const(vector, width));
                let (x, v) = (k.pointer(x, from), k.pointer(v, to));
                for (q, (a, b, minus)) in B.into_iter().enumerate() {
                    let rows: Vec<Vector> = (0..4)
                        .map(|i| {
                            let a = k.load(x, i * row + a * column);
                            let b = k.load(x, i * row + b * column);
                            combine(k, &a, &b, minus)
                        })
                        .collect();
                    for (p, (a, b, minus)) in B.into_iter().enumerate() {
                        let value = combine(k, &rows[a as usize], &rows[b as usize], minus);
                        k.store(v, (p * 4 + q) as i64 * point, value);
                    }
                }
            });
        });
    }

    /// `y = expression(A^T M A + bias, extras)`.
    fn transform_sums(
        &self,
        k: &mut Builder,
        ends: &Ends,
        (first, count): (ScalarId, ScalarId),
    ) -> Result<(), NoKernel> {
        let width = i64::from(k.lanes()) * 4;
        let zero = k.num(0);
        let mut result = Ok(());
        k.for_(zero, count, 1, |k, tile| {
            let number = k.sadd(first, tile);
            let place = self.place(k, number);
            let to = place.offset(k, self.y);
            let y = k.pointer(ends.y, to);
            let from = k.mul_const(tile, self.products.y.col);
            let m = k.pointer(ends.m, from);
            let of_tile: Vec<PointerRef> = ends
                .extras
                .iter()
                .zip(&self.extras)
                .map(|(pointer, (kind, s))| match kind {
                    ExtraKind::Element => {
                        let at = place.offset(k, [s.outer[0], s.vector, s.row, s.col]);
                        k.pointer(*pointer, at)
                    }
                    ExtraKind::Channel | ExtraKind::Scalar => *pointer,
                })
                .collect();
            k.for_count((self.part * 4) as i64 / width, |k, n| {
                let from = k.mul_const(n, width);
                let m = k.pointer(m, from);
                let vector = k.sadd(ends.vector, n);
                let to = k.mul_const(vector, self.y[1]);
                let of_vector = Ends { m, y: k.pointer(y, to), extras: &of_tile, bias: ends.bias, vector };
                if let Err(e) = self.results(k, &of_vector, &place) {
                    result = Err(e);
                }
            });
        });
        result
    }

    /// The 2x2 results of a vector of channels.
    fn results(&self, k: &mut Builder, ends: &Ends, place: &Place) -> Result<(), NoKernel> {
        let width = i64::from(k.lanes()) * 4;
        let point = self.products.y.outer[0];
        let along = k.mul_const(ends.vector, width);
        let bias = ends.bias.map(|p| k.pointer(p, along));
        let mut extras = Vec::with_capacity(self.extras.len());
        for (pointer, (kind, s)) in ends.extras.iter().zip(&self.extras) {
            let by = if *kind == ExtraKind::Scalar { 0 } else { s.vector };
            let at = k.mul_const(ends.vector, by);
            extras.push(k.pointer(*pointer, at));
        }
        for (q, column) in A.into_iter().enumerate() {
            let rows: Vec<Vector> = (0..4i64)
                .map(|i| {
                    let [a, b, c] = column.map(|(j, _)| k.load(ends.m, (i * 4 + j) * point));
                    let two = combine(k, &a, &b, column[1].1);
                    combine(k, &two, &c, column[2].1)
                })
                .collect();
            for (p, row) in A.into_iter().enumerate() {
                let [a, b, c] = row.map(|(i, _)| &rows[i as usize]);
                let two = combine(k, a, b, row[1].1);
                let mut sum = combine(k, &two, c, row[2].1);
                if let Some(bias) = bias {
                    let bias = k.load(bias, 0);
                    sum = k.add(sum, bias);
                }
                let mut inputs = vec![sum];
                for (pointer, (kind, s)) in extras.iter().zip(&self.extras) {
                    inputs.push(match kind {
                        ExtraKind::Element => k.load(*pointer, p as i64 * s.row + q as i64 * s.col),
                        ExtraKind::Channel => k.load(*pointer, 0),
                        ExtraKind::Scalar => k.splat_load(*pointer, 0),
                    });
                }
                let value = expression(k, &self.epilogue, &inputs)?;
                let at = p as i64 * self.y[2] + q as i64 * self.y[3];
                match place.lanes(k, [p, q]) {
                    Some(lanes) => k.store_first(ends.y, at, value, lanes),
                    None => k.store(ends.y, at, value),
                }
            }
        }
        Ok(())
    }
}

/// Rows of `B^T`: the two elements, and whether the second is subtracted.
const B: [(i64, i64, bool); 4] = [(0, 2, true), (1, 2, false), (2, 1, true), (1, 3, true)];
/// Rows of `A^T`: its three elements, and whether they are subtracted.
const A: [[(i64, bool); 3]; 2] = [[(0, false), (1, false), (2, false)], [(1, false), (2, true), (3, true)]];

fn combine(k: &mut Builder, a: &Vector, b: &Vector, minus: bool) -> Vector {
    if minus { k.sub(a.clone(), b.clone()) } else { k.add(a.clone(), b.clone()) }
}

/// Where the sums of a part end up.
struct Ends<'a> {
    m: PointerRef,
    bias: Option<PointerRef>,
    extras: &'a [PointerRef],
    y: PointerRef,
    /// First vector of output channels.
    vector: ScalarId,
}

/// Where a tile is.
struct Place {
    image: ScalarId,
    row: ScalarId,
    column: ScalarId,
    /// Lanes to store of the first row and of the first column, where a neighbour may own them.
    first: [Option<ScalarId>; 2],
}

impl Place {
    /// Bytes to the first pixel, in a value of these strides of images, blocks, rows and pixels.
    fn offset(&self, k: &mut Builder, [image, _, row, column]: [i64; 4]) -> ScalarId {
        let (image, row) = (k.mul_const(self.image, image), k.mul_const(self.row, row));
        let column = k.mul_const(self.column, column);
        let sum = k.sadd(image, row);
        k.sadd(sum, column)
    }

    /// Lanes to store of a result, where not always all.
    fn lanes(&self, k: &mut Builder, at: [usize; 2]) -> Option<ScalarId> {
        let masks: Vec<ScalarId> = (0..2).filter(|d| at[*d] == 0).filter_map(|d| self.first[d]).collect();
        match masks[..] {
            [] => None,
            [one] => Some(one),
            [a, b, ..] => Some(k.smin(a, b)),
        }
    }
}

/// The products of a block: for every point, `[tile][channel]` by `[channel][output]`.
fn products(target: Target, block: usize, channels: usize, part: usize) -> TileSpec {
    let width = i64::from(target.lanes) * 4;
    let panel = 2 * target.lanes as usize;
    let stream =
        |point: i64, panel: i64, vector: i64, col: i64| Stream { outer: vec![point], panel, vector, row: 0, col };
    let (input, output) = (channels as i64 * 4, part as i64 * 4);
    TileSpec {
        family: "winograd",
        outer: vec![POINTS],
        rows: 1,
        cols: block,
        rows_per_tile: 1,
        panels: part / panel,
        vectors: 2,
        tail_lanes: None,
        taps: [(1, 0); 2],
        channels,
        chunk: channels,
        chunk_stride: 0,
        channel_stride: 4,
        x: stream(point_bytes(block, channels), 0, 0, input),
        y: stream(point_bytes(block, part), 2 * width, width, output),
        w_outer: vec![(channels * part * 4) as i64],
        w_panel: channels as i64 * 2 * width,
        w_layout: WeightLayout::Packed,
        bias: None,
        resumes: false,
        depthwise: false,
        numbers: Numbers::Floats,
        epilogue: Expression::default(),
        extras: Vec::new(),
        max_pixels: fitting_pixels(target, 2),
        row_block: 1,
        panels_inner: false,
    }
}
