//! RoiAlign of channel blocks: means of bilinear samples in each cell of a grid laid over a region.
//!
//! A worker takes a region at a time. Where its samples lie along rows and columns is computed as vectors and kept in scratch
//! memory; then every cell is a sum of whole vectors of channels. He et al., "Mask R-CNN" (2017); the rules at the borders are
//! ONNX's, as the library has them.

use super::gather::INDEX_OUT_OF_RANGE;
use super::halo::zero_halo;
use super::operand::{expect_offsets, place, plain};
use super::{KernelCall, LowerContext, Lowered, NoKernel, Operand, View};
use crate::ir::{Graph, Node, Op, ValueId};
use crate::tile::{
    self, Access, Builder, Cmp, FloatUn, Index, IntBin, Kernel, Lane, MaskOp, Mem, PointerRef, RegId, ScalarId,
    ScalarOp, Target, VectorOp,
};
use brolga_runtime::DType;
use brolga_runtime::library::Function;

/// Samples along one side of a region at most: the code that lays them out is as long.
const MOST_SAMPLES: usize = 256;
/// The offset of a neighbour that is not there.
const OUTSIDE: i32 = -1;

/// One side of the grid: rows or columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Side {
    /// Cells.
    pub cells: usize,
    /// Pixels of the image, and bytes from one to the next.
    pub image: (usize, i64),
    /// Bytes from one cell of the result to the next.
    pub stride: i64,
}

/// An alignment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Regions, and bytes from one to the next in the result and in the list of corners.
    pub regions: (usize, i64, i64),
    /// Images and their stride.
    pub images: (usize, i64),
    /// Channel blocks with the strides of result and image.
    pub blocks: (usize, [i64; 2]),
    /// Rows and columns.
    pub sides: [Side; 2],
    /// Samples of a cell along each side.
    pub samples: usize,
    /// Bits of the factor from coordinates to pixels.
    pub scale: u32,
    /// Whether coordinates count from the edges of pixels; else from their centres, and no region is smaller than a pixel.
    pub half_pixel: bool,
}

/// The fields of a table of samples, each an array with an element a sample.
#[derive(Clone, Copy)]
enum Field {
    /// Offset of the neighbour before and after it.
    Offset(usize),
    /// Their weights.
    Weight(usize),
}

/// Pointers of one region.
struct Region {
    y: PointerRef,
    x: PointerRef,
    /// Tables of rows and columns.
    tables: [PointerRef; 2],
}

impl Spec {
    fn padded(&self, side: usize, lanes: u32) -> i64 {
        (self.sides[side].cells * self.samples).next_multiple_of(lanes as usize) as i64
    }

    /// Bytes of a worker's tables.
    pub fn scratch(&self, lanes: u32) -> usize {
        (0..2).map(|side| 16 * self.padded(side, lanes) as usize).sum()
    }

    /// The program and its number of items. Its bases are the result, the images, the regions' corners, the regions' images and
    /// scratch memory.
    pub fn build(&self, target: Target) -> (Kernel, u64) {
        let [rows, columns] = self.sides;
        let name = format!("roi-align-{}x{}-{}x{}", rows.cells, columns.cells, rows.image.0, columns.image.0);
        let mut k = Builder::new(name, target);
        let (y, x) = (k.base("y", Access::Write), k.base("x", Access::Read));
        let (corners, images) = (k.base("corners", Access::Read), k.base("images", Access::Read));
        let table = k.base("samples", Access::Write);
        let (begin, end) = (k.begin(), k.end());
        k.for_(begin, end, 1, |k, region| {
            let offset = k.mul_const(region, 8);
            let mem = Mem { pointer: k.pointer(images, offset), disp: Index::Const(0) };
            let image = k.scalar(ScalarOp::LoadI64(mem));
            let (zero, count) = (k.num(0), k.num(self.images.0 as i64));
            k.check(Cmp::Ge, image, zero, INDEX_OUT_OF_RANGE);
            k.check(Cmp::Lt, image, count, INDEX_OUT_OF_RANGE);
            let offset = k.mul_const(region, self.regions.2);
            let corners = k.pointer(corners, offset);
            let first = k.num(16 * self.padded(0, target.lanes));
            let tables = [table, k.pointer(table, first)];
            for (side, table) in tables.into_iter().enumerate() {
                self.lay(k, corners, table, side);
            }
            let (to, from) = (k.mul_const(region, self.regions.1), k.mul_const(image, self.images.1));
            let region = Region { y: k.pointer(y, to), x: k.pointer(x, from), tables };
            self.cells(k, &region);
        });
        (k.finish(), self.regions.0 as u64)
    }

    fn field(&self, side: usize, lanes: u32, field: Field) -> i64 {
        let at = match field {
            Field::Offset(which) => which,
            Field::Weight(which) => 2 + which,
        };
        4 * at as i64 * self.padded(side, lanes)
    }

    /// Writes the table of one side: for each sample two neighbours with offsets and weights.
    fn lay(&self, k: &mut Builder, corners: PointerRef, table: PointerRef, side: usize) {
        let lanes = k.lanes();
        let cells = k.float(self.sides[side].cells as f32);
        let scale = k.float(f32::from_bits(self.scale));
        let shift = k.float(if self.half_pixel { 0.5 } else { 0.0 });
        // Corners are x1, y1, x2, y2.
        let [start, end] = [0, 8].map(|which| {
            let at = k.splat_load(corners, which + 4 * (1 - side as i64));
            let at = k.mul(at, scale.clone());
            k.sub(at, shift.clone())
        });
        let mut length = k.sub(end, start.clone());
        if !self.half_pixel {
            let one = k.float(1.0);
            length = k.max(length, one);
        }
        let size = k.div(length, cells);
        for first in (0..self.padded(side, lanes)).step_by(lanes as usize) {
            let sample = |i: i64| (first + i) as usize;
            let ints = |of: &dyn Fn(usize) -> usize| -> Vec<i32> {
                (0..i64::from(lanes)).map(|i| of(sample(i)) as i32).collect()
            };
            let (cell, part) = (ints(&|i| i / self.samples), ints(&|i| 2 * (i % self.samples) + 1));
            let [cell, part] = [cell, part].map(|list| {
                let list = k.ints(&list);
                k.vector(VectorOp::ToFloat(list))
            });
            let (half, count) = (k.float(0.5), k.float(self.samples as f32));
            let part = k.mul(part, half);
            let part = k.mul(part, size.clone());
            let part = k.div(part, count);
            let cell = k.mul(cell, size.clone());
            let cell = k.add(start.clone(), cell);
            let at = k.add(cell, part);
            self.neighbours(k, at, table, (side, first));
        }
    }

    /// Stores the neighbours of a vector of samples. A sample more than a pixel outside has none, one on the last pixel only that.
    fn neighbours(&self, k: &mut Builder, at: tile::Operand, table: PointerRef, (side, first): (usize, i64)) {
        let lanes = k.lanes();
        let (extent, stride) = self.sides[side].image;
        let (below, above) = (k.float(-1.0), k.float(extent as f32));
        let (a, b) = (k.cmp(Cmp::Lt, at.clone(), below), k.cmp(Cmp::Gt, at.clone(), above));
        let outside = k.mask(MaskOp::Or(a, b));
        let (zero, last, one) = (k.float(0.0), k.float(extent as f32 - 1.0), k.float(1.0));
        let at = k.max(at, zero.clone());
        let low = k.unary(FloatUn::Floor, at.clone());
        let at_end = k.cmp(Cmp::Ge, low.clone(), last.clone());
        let far = k.sub(at, low.clone());
        let far = k.select(at_end, zero, far);
        let low = k.min(low, last);
        let index = k.vector(VectorOp::ToInt(low));
        let (step, none) = (k.int(stride as i32), k.int(OUTSIDE));
        let before = k.vector(VectorOp::Int(IntBin::Mul, index, step.clone()));
        let after = k.vector(VectorOp::Int(IntBin::Add, before.clone(), step));
        let before = k.select(outside, none.clone(), before);
        let nothing = k.mask(MaskOp::Or(outside, at_end));
        let after = k.select(nothing, none, after);
        let near = k.sub(one, far.clone());
        let fields = [Field::Offset(0), Field::Offset(1), Field::Weight(0), Field::Weight(1)];
        for (field, value) in fields.into_iter().zip([before, after, near, far]) {
            k.store(table, self.field(side, lanes, field) + 4 * first, value);
        }
    }

    /// Writes all cells of a region.
    fn cells(&self, k: &mut Builder, region: &Region) {
        let [rows, columns] = self.sides;
        let (blocks, [y_block, x_block]) = self.blocks;
        let most = if k.target().registers > 16 { 8 } else { 4 };
        let step = |k: &mut Builder, cell: ScalarId| k.mul_const(cell, 4 * self.samples as i64);
        k.for_count(rows.cells as i64, |k, row| {
            let offset = step(k, row);
            let down = k.pointer(region.tables[0], offset);
            let to = k.mul_const(row, rows.stride);
            let y = k.pointer(region.y, to);
            k.for_count(columns.cells as i64, |k, column| {
                let offset = step(k, column);
                let across = k.pointer(region.tables[1], offset);
                let to = k.mul_const(column, columns.stride);
                let y = k.pointer(y, to);
                let whole = blocks / most * most;
                let group = |k: &mut Builder, first: ScalarId, count: usize| {
                    let (to, from) = (k.mul_const(first, y_block), k.mul_const(first, x_block));
                    let cell = Region { y: k.pointer(y, to), x: k.pointer(region.x, from), tables: [down, across] };
                    self.mean(k, &cell, count);
                };
                if whole > 0 {
                    let (begin, end) = (k.num(0), k.num(whole as i64));
                    k.for_(begin, end, most as i64, |k, first| group(k, first, most));
                }
                if blocks > whole {
                    let first = k.num(whole as i64);
                    group(k, first, blocks - whole);
                }
            });
        });
    }

    /// The mean of a cell's samples in some blocks.
    fn mean(&self, k: &mut Builder, cell: &Region, blocks: usize) {
        let sums = k.reg(Lane::F32, &[blocks as u32]);
        let zero = k.float(0.0);
        (0..blocks).for_each(|b| k.set(sums, &[Index::Const(b as i64)], VectorOp::Copy(zero.clone())));
        k.for_count(self.samples as i64, |k, i| {
            let offset = k.mul_const(i, 4);
            let down = k.pointer(cell.tables[0], offset);
            k.for_count(self.samples as i64, |k, j| {
                let offset = k.mul_const(j, 4);
                let across = k.pointer(cell.tables[1], offset);
                for corner in 0..4 {
                    self.corner(k, cell.x, [down, across], corner, (sums, blocks));
                }
            });
        });
        let share = k.float(1.0 / (self.samples * self.samples) as f32);
        for b in 0..blocks {
            let sum = k.get(sums, &[Index::Const(b as i64)]);
            let mean = k.mul(sum, share.clone());
            k.store(cell.y, b as i64 * self.blocks.1[0], mean);
        }
    }

    /// Adds one of a sample's four neighbours, unless it is not there.
    fn corner(
        &self,
        k: &mut Builder,
        x: PointerRef,
        tables: [PointerRef; 2],
        corner: usize,
        (sums, blocks): (RegId, usize),
    ) {
        let (lanes, which) = (k.lanes(), [corner / 2, corner % 2]);
        let offset = |k: &mut Builder, side: usize| {
            let disp = Index::Const(self.field(side, lanes, Field::Offset(which[side])));
            k.scalar(ScalarOp::LoadI32(Mem { pointer: tables[side], disp }))
        };
        let (down, across) = (offset(k, 0), offset(k, 1));
        let (least, zero) = (k.smin(down, across), k.num(0));
        k.if_(
            Cmp::Ge,
            least,
            zero,
            |k| {
                let [wy, wx] = [0, 1].map(|side| {
                    let field = Field::Weight(which[side]);
                    k.splat_load(tables[side], self.field(side, lanes, field))
                });
                let weight = k.mul(wy, wx);
                let from = k.sadd(down, across);
                let x = k.pointer(x, from);
                for b in 0..blocks {
                    let v = k.load(x, b as i64 * self.blocks.1[1]);
                    k.accumulate(sums, &[Index::Const(b as i64)], v, weight.clone());
                }
            },
            |_| {},
        );
    }
}

/// Samples of a cell along each side, where a function asks for means of a number of samples that it names and tables of them
/// are small.
fn samples(function: &Function) -> Option<usize> {
    let means = function.name == "roi_align" && function.text("mode", "avg") == "avg";
    let samples = usize::try_from(function.int("sampling_ratio", 0)).ok().filter(|n| *n > 0 && means)?;
    let cells = ["output_height", "output_width"].map(|name| usize::try_from(function.int(name, 1)).ok());
    let fits =
        |n: &Option<usize>| n.is_some_and(|n| n > 0 && n.checked_mul(samples).is_some_and(|n| n <= MOST_SAMPLES));
    cells.iter().all(fits).then_some(samples)
}

/// The number of samples and the function of a node whose operands, as they are typed, a kernel takes; what does not fit is
/// refused by the library, in words.
fn fitting<'a>(graph: &Graph, node: &'a Node) -> Result<(usize, &'a Function), NoKernel> {
    let no = |why: &str| Err(NoKernel(why.into()));
    let (Op::Function { function, .. }, &[x, corners, images], [result]) =
        (&node.op, &node.inputs[..], &node.outputs[..])
    else {
        return no("no alignment");
    };
    let Some(samples) = samples(function) else {
        return no("maxima, samples counted at run time, or too many of them");
    };
    if [x, corners, images].map(|v| graph.ty(v).dtype) != [DType::F32, DType::F32, DType::I64] {
        return no("operands that are not f32, f32 and i64");
    }
    let dims = |value: ValueId| graph.ty(value).dims().unwrap_or_default();
    let (&[n, c, h, w], &[count, ..]) = (&dims(x)[..], &dims(*result)[..]) else {
        return no("an image of another rank than 4");
    };
    let fits = dims(corners) == [count, 4] && dims(images) == [count] && n * c > 0 && (1..1 << 24).contains(&(h * w));
    if fits { Ok((samples, function)) } else { no("operands that do not fit together, or an image without elements") }
}

/// Whether a node is best made of channel blocks: at least half of the lanes hold channels.
pub fn prefers_blocks(graph: &Graph, node: &Node, lanes: usize) -> bool {
    // Constants keep their layout.
    fitting(graph, node).is_ok_and(|_| graph.weight(node.inputs[0]).is_none())
        && graph.ty(node.inputs[0]).dims().is_some_and(|image| 2 * image[1] >= lanes)
}

/// Lowers the function `roi_align`.
pub fn lower(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    let (samples, function) = fitting(cx.graph, node)?;
    let (&[x, corners, images], result) = (&node.inputs[..], node.outputs[0]) else {
        return Err(NoKernel("no alignment".into()));
    };
    let (&[n, c, h, w], &[count, _, tall, wide]) = (&cx.dims(x)?[..], &cx.dims(result)?[..]) else {
        return Err(NoKernel("an image of another rank than 4".into()));
    };
    let (View::Blocked { strides: from, lanes, .. }, View::Blocked { strides: to, .. }) =
        (cx.view(x)?, cx.view(result)?)
    else {
        return Err(NoKernel("an image that is not in channel blocks".into()));
    };
    expect_offsets(&[h, w], &from[2..])?;
    let ((corners, at), (images, of)) = (place(cx, corners)?, place(cx, images)?);
    let (&[region, 4], &[8]) = (plain(&at)?.1, plain(&of)?.1) else {
        return Err(NoKernel("regions that are not contiguous".into()));
    };
    let side = |cells: usize, extent: usize, d: usize| Side { cells, image: (extent, from[d]), stride: to[d] };
    let spec = Spec {
        regions: (count, to[0], region),
        images: (n, from[0]),
        blocks: (c.div_ceil(*lanes), [to[1], from[1]]),
        sides: [side(tall, h, 2), side(wide, w, 3)],
        samples,
        scale: function.float("spatial_scale", 1.0).to_bits(),
        half_pixel: function.text("coordinate_transformation_mode", "half_pixel") == "half_pixel",
    };
    let (kernel, extent) = spec.build(cx.target);
    let scratch = Operand::Scratch(spec.scratch(cx.target.lanes));
    let operands = vec![Operand::Value(result, 0), Operand::Value(x, 0), corners, images, scratch];
    let mut calls = vec![KernelCall { kernel, operands, args: vec![], extent, barrier_before: false }];
    calls.extend(zero_halo(cx.target, result, cx.view(result)?));
    calls.retain(|call| call.extent > 0);
    Ok(Lowered { calls, temporaries: vec![] })
}
