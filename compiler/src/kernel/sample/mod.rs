//! Samples between the elements of an image: GridSample, and the columns of a deformed convolution.
//!
//! For a run of places the taps (offsets and weights) are computed as vectors and kept in scratch memory (`taps`); all
//! channels are then read by them (`read`). Where the image lies in channel blocks, a tap of a place is a load of as many
//! channels as a vector has lanes; where it lies in planes, a gather of as many places.

mod read;
mod taps;

pub use read::{Blocks, Channels};
pub use taps::Plane;

use super::halo::zero_halo;
use super::nest::{Nest, Run};
use super::operand::{expect_offsets, place, plain};
use super::{KernelCall, LowerContext, Lowered, NoKernel, Operand, View};
use crate::ir::{Graph, Node, Op, ValueId};
use crate::tile::{self, Access, Builder, Index, IntBin, Kernel, Mem, PointerRef, ScalarId, Target, VectorOp};
use brolga_runtime::DType;
use brolga_runtime::library::{DeformWindow, Function, SampleMode, SamplePadding, sampling};
use read::Places;

/// Places whose taps are made at once; up to twice as many where a row has them.
const RUN: usize = 64;
/// Taps of one sample at most.
const MOST_TAPS: usize = 16;
/// Offset groups whose channels may lie in one block.
const MOST_TABLES: usize = 4;

/// Where samples are taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// At the coordinates of a grid.
    Grid,
    /// At the taps of a window, moved by offsets.
    Window {
        /// Taps along rows and columns.
        kernel: [usize; 2],
        /// Elements from one tap to the next.
        dilations: [usize; 2],
        /// Elements of padding above and on the left.
        pads: [usize; 2],
        /// Bytes from one channel of the offsets to the next, and from one of the mask, where there is one.
        strides: (i64, Option<i64>),
        /// Tables of taps: offset groups.
        groups: usize,
    },
}

/// A sampling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Images and places. Strides of the result, of the image, of what says where, of a mask; then in elements of the image, of the
    /// window's place along rows and columns.
    pub nest: Nest,
    /// What is sampled.
    pub plane: Plane,
    /// Where.
    pub source: Source,
    /// Channels of one table of taps (or of as many as one block takes).
    pub channels: Channels,
}

/// The bases of a kernel.
struct Bases {
    y: PointerRef,
    x: PointerRef,
    places: PointerRef,
    mask: Option<PointerRef>,
    /// Neighbours of a vector, then tables.
    near: PointerRef,
    table: PointerRef,
}

impl Spec {
    /// The program, its number of items, and the bytes of its scratch memory. Its bases are the result, the image, the grid or the
    /// offsets, the mask if there is one, and the scratch memory.
    pub fn build(&self, target: Target) -> (Kernel, u64, usize) {
        let mut nest = self.nest.collapse(1);
        let share = nest.share(RUN, 0);
        let vectors = nest.run().min(if share.chunk.is_some() { RUN } else { 2 * RUN }).div_ceil(target.lanes as usize);
        let near = self.plane.near_bytes(target.lanes);
        let table = self.plane.table_bytes(target.lanes);
        let tables = self.channels.blocks.as_ref().map_or(1, |b| b.tables);
        let scratch = near + vectors * table * tables;
        let mut k = Builder::new(self.name(), target);
        let (y, x) = (k.base("y", Access::Write), k.base("x", Access::Read));
        let places = k.base(if self.source == Source::Grid { "grid" } else { "offsets" }, Access::Read);
        let masked = matches!(self.source, Source::Window { strides: (_, Some(_)), .. });
        let mask = masked.then(|| k.base("mask", Access::Read));
        let near_base = k.base("taps", Access::Write);
        nest.walk(&mut k, share, 1, &mut |k, offsets, run| {
            let count = match run {
                Run::Known(n) => k.num(n as i64),
                Run::Scalar(n) => n,
            };
            let after = k.num(near as i64);
            let bases = Bases {
                y: k.pointer(y, offsets[0]),
                x: k.pointer(x, offsets[1]),
                places: k.pointer(places, offsets[2]),
                mask: mask.map(|mask| k.pointer(mask, offsets[3])),
                near: near_base,
                table: k.pointer(near_base, after),
            };
            let bytes = [table as i64, (vectors * table) as i64];
            self.item(k, &bases, count, bytes, [offsets[4], offsets[5]]);
        });
        (k.finish(), share.extent, scratch)
    }

    fn name(&self) -> String {
        let mode = format!("{:?}-{:?}", self.plane.mode, self.plane.padding).to_lowercase();
        let layout = if self.channels.blocks.is_some() { "blocked" } else { "plain" };
        let extents: Vec<String> = self.plane.extents.iter().map(usize::to_string).collect();
        let kind = if self.source == Source::Grid { "sample" } else { "deform" };
        format!("{kind}-{mode}-{layout}-{}", extents.join("x"))
    }

    fn item(&self, k: &mut Builder, bases: &Bases, count: ScalarId, table_bytes: [i64; 2], origin: [ScalarId; 2]) {
        let read = |k: &mut Builder, from: (ScalarId, ScalarId)| {
            let taps = self.plane.taps();
            let run = Places { bases: [bases.y, bases.x], table: bases.table, table_bytes, count, taps, from };
            self.channels.read(k, &run);
        };
        let Source::Window { kernel, groups, .. } = &self.source else {
            self.fill(k, bases, count, (bases.table, table_bytes[0]), &mut |k, first, left| {
                (self.coordinates(k, bases.places, first, left), None)
            });
            let zero = k.num(0);
            return read(k, (zero, zero));
        };
        let tables = self.channels.blocks.as_ref().map_or(1, |b| b.tables);
        k.for_count((groups / tables) as i64, |k, part| {
            k.for_count((kernel[0] * kernel[1]) as i64, |k, tap| {
                k.for_count(tables as i64, |k, table| {
                    let group = k.mul_const(part, tables as i64);
                    let group = k.sadd(group, table);
                    let offset = k.mul_const(table, table_bytes[1]);
                    let table = k.pointer(bases.table, offset);
                    self.fill(k, bases, count, (table, table_bytes[0]), &mut |k, first, left| {
                        self.moved(k, bases, (group, tap), (first, left), origin)
                    });
                });
                let first = k.mul_const(part, self.channels.count as i64);
                read(k, (first, tap));
            });
        });
    }

    /// Writes the tables of a run; `at` gives the coordinates of a vector of places, and what scales its weights, from the first
    /// place of the vector and the number of places from there on.
    fn fill(
        &self,
        k: &mut Builder,
        bases: &Bases,
        count: ScalarId,
        (table, bytes): (PointerRef, i64),
        at: &mut dyn FnMut(&mut Builder, ScalarId, ScalarId) -> (Vec<tile::Operand>, Option<tile::Operand>),
    ) {
        let (begin, lanes) = (k.num(0), i64::from(k.lanes()));
        k.for_(begin, count, lanes, |k, first| {
            let vector = k.div_const(first, lanes);
            let offset = k.mul_const(vector, bytes);
            let to = k.pointer(table, offset);
            let left = k.ssub(count, first);
            let (coordinates, scale) = at(k, first, left);
            self.plane.write(k, &coordinates, scale.as_ref(), [bases.near, to]);
        });
    }

    /// Coordinates that a grid names, from the last dimension to the first: from the range -1 to 1 to elements.
    fn coordinates(&self, k: &mut Builder, grid: PointerRef, first: ScalarId, left: ScalarId) -> Vec<tile::Operand> {
        let rank = self.plane.extents.len() as i64;
        let offset = k.mul_const(first, 4 * rank);
        let grid = k.pointer(grid, offset);
        let index: Vec<i32> = (0..k.lanes() as i32).map(|lane| lane * rank as i32).collect();
        let coordinate = |k: &mut Builder, (d, extent): (usize, &usize)| {
            let index = k.ints(&index);
            let index = k.vector(VectorOp::Copy(index));
            let mem = Mem { pointer: grid, disp: Index::Const(4 * (rank - 1 - d as i64)) };
            let at = k.vector(VectorOp::Gather { mem, index, first: Some(left) });
            let (one, half, extent) = (k.float(1.0), k.float(0.5), k.float(*extent as f32));
            let from_edge = k.add(at, one.clone());
            if self.plane.corners {
                let share = k.mul(from_edge, half);
                let steps = k.float(self.plane.extents[d] as f32 - 1.0);
                return k.mul(share, steps);
            }
            let elements = k.mul(from_edge, extent);
            let doubled = k.sub(elements, one);
            k.mul(doubled, half)
        };
        self.plane.extents.iter().enumerate().map(|x| coordinate(k, x)).collect()
    }

    /// Coordinates of a tap of the window at a vector of places, moved by the offsets of a group, and the mask.
    fn moved(
        &self,
        k: &mut Builder,
        bases: &Bases,
        (group, tap): (ScalarId, ScalarId),
        (first, left): (ScalarId, ScalarId),
        origin: [ScalarId; 2],
    ) -> (Vec<tile::Operand>, Option<tile::Operand>) {
        let Source::Window { kernel, dilations, pads, strides, .. } = &self.source else { return (vec![], None) };
        let taps = (kernel[0] * kernel[1]) as i64;
        let channel = k.mul_const(group, taps);
        let channel = k.sadd(channel, tap);
        let bytes = k.mul_const(first, 4);
        let across = self.nest.strides[5].last().copied().unwrap_or(1);
        let along = [k.div_const(tap, kernel[1] as i64), k.rem_const(tap, kernel[1] as i64)];
        let coordinates = (0..2).map(|d| {
            let reach = k.mul_const(along[d], dilations[d] as i64);
            let mut begin = k.sadd(origin[d], reach);
            begin = k.add_const(begin, -(pads[d] as i64));
            let mut at = k.vector(VectorOp::SplatScalar(begin));
            if d == 1 {
                let moved = k.mul_const(first, across);
                let begin = k.sadd(begin, moved);
                let (lane, step) = (k.vector(VectorOp::Iota), k.int(across as i32));
                let lane = k.vector(VectorOp::Int(IntBin::Mul, lane, step));
                at = k.vector(VectorOp::SplatScalar(begin));
                at = k.vector(VectorOp::Int(IntBin::Add, at, lane));
            }
            let at = k.vector(VectorOp::ToFloat(at));
            let plane = k.mul_const(channel, 2 * strides.0);
            let offset = k.sadd(plane, bytes);
            let offsets = k.pointer(bases.places, offset);
            let moved = k.load_first(offsets, d as i64 * strides.0, left);
            k.add(at, moved)
        });
        let coordinates = coordinates.collect();
        let scale = strides.1.zip(bases.mask).map(|(stride, mask)| {
            let plane = k.mul_const(channel, stride);
            let offset = k.sadd(plane, bytes);
            let mask = k.pointer(mask, offset);
            k.load_first(mask, 0, left)
        });
        (coordinates, scale)
    }
}

/// A sampling function as a kernel sees it.
struct Sampling {
    window: Option<DeformWindow>,
    plane: (SampleMode, SamplePadding, bool),
}

impl Sampling {
    fn of(function: &Function) -> Option<Sampling> {
        match function.name.as_str() {
            "grid_sample" => Some(Sampling { window: None, plane: sampling(function).ok()? }),
            "deform_columns" => {
                let window = DeformWindow::of(function).ok().filter(|w| w.kernel.len() == 2)?;
                // Places are counted with 32 bits.
                let numbers = [&window.kernel, &window.strides, &window.dilations, &window.pads];
                if numbers.into_iter().flatten().any(|n| *n >= 1 << 24) {
                    return None;
                }
                Some(Sampling { window: Some(window), plane: (SampleMode::Linear, SamplePadding::Zeros, true) })
            }
            _ => None,
        }
    }
    /// Groups of the result, groups of offsets, and taps of the window.
    fn groups(&self) -> [usize; 3] {
        self.window.as_ref().map_or([1; 3], |w| [w.groups, w.offset_groups, w.kernel.iter().product()])
    }
    /// Tables that a block of `lanes` channels of an image of `channels` takes; `None` where samples of blocks are not made.
    fn tables(&self, channels: usize, lanes: usize) -> Option<usize> {
        let [groups, offset_groups, taps] = self.groups();
        let (per_group, per_offset) = (channels / groups, channels / offset_groups);
        let whole = |n: usize| n.is_multiple_of(lanes);
        if (taps > 1 || groups > 1) && !whole(per_group) {
            return None;
        }
        if offset_groups == 1 || whole(per_offset) {
            return Some(1);
        }
        let shared = lanes.is_multiple_of(per_offset) && whole(channels) && lanes / per_offset <= MOST_TABLES;
        shared.then(|| lanes / per_offset)
    }
}

/// The sampling that a node is, where a kernel takes its operands as they are typed; what does not fit is refused by the library,
/// in words.
fn fitting(graph: &Graph, node: &Node) -> Result<Sampling, NoKernel> {
    let no = |why: &str| Err(NoKernel(why.into()));
    let (Op::Function { function, .. }, [x, places, mask @ ..], [result]) =
        (&node.op, &node.inputs[..], &node.outputs[..])
    else {
        return no("no sampling");
    };
    let Some(sampling) = Sampling::of(function) else {
        return no("a window of another rank than 2, or one of millions of elements");
    };
    if node.inputs.iter().any(|input| graph.ty(*input).dtype != DType::F32) {
        return no("operands that are not all f32");
    }
    let dims = |value: &ValueId| graph.ty(*value).dims().unwrap_or_default();
    let (image, shape) = (dims(x), dims(result));
    let masks = |mask: &ValueId| {
        let [_, groups, taps] = sampling.groups();
        sampling.window.is_some() && dims(mask) == [&image[..1], &[groups * taps], &shape[2..]].concat()
    };
    if !fits(&sampling, &image, &shape, &dims(places)) || mask.len() > 1 || !mask.iter().all(masks) {
        return no("operands that do not fit together, or an image without elements");
    }
    match sampling.plane.0.reach().pow(image.len() as u32 - 2) {
        0..=MOST_TAPS => Ok(sampling),
        many => Err(NoKernel(format!("{many} taps"))),
    }
}

fn fits(sampling: &Sampling, image: &[usize], shape: &[usize], places: &[usize]) -> bool {
    let ([n, c, dims @ ..], [batch, columns, results @ ..]) = (image, shape) else { return false };
    let [groups, offset_groups, taps] = sampling.groups();
    let fits = match (&sampling.window, places) {
        (None, [of, grid @ .., rank]) => of == n && grid == results && *rank == dims.len(),
        (Some(window), [of, offsets, at @ ..]) => {
            let own = window.places(dims);
            of == n && at == results && own.as_deref() == Some(results) && *offsets == 2 * taps * offset_groups
        }
        _ => false,
    };
    let whole = c.is_multiple_of(groups) && c.is_multiple_of(offset_groups) && *columns == c * taps;
    let filled = dims.len() == results.len() && !dims.is_empty() && !image.contains(&0);
    // Offsets in a plane are counted with 32 bits.
    let countable = dims.iter().product::<usize>() < 1 << 24;
    fits && whole && filled && batch == n && countable
}

/// Whether a node's samples are best made of channel blocks: it is a function of this family, and at least half of
/// the lanes hold channels.
pub fn prefers_blocks(graph: &Graph, node: &Node, lanes: usize) -> bool {
    let Ok(sampling) = fitting(graph, node) else { return false };
    let image = graph.ty(node.inputs[0]).dims();
    // Constants keep their layout.
    graph.weight(node.inputs[0]).is_none()
        && image.is_some_and(|image| 2 * image[1] >= lanes && sampling.tables(image[1], lanes).is_some())
}

/// Lowers the functions `grid_sample` and `deform_columns`.
pub fn lower(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    let sampling = fitting(cx.graph, node)?;
    let (x, places, result) = (node.inputs[0], node.inputs[1], node.outputs[0]);
    let (image, shape) = (cx.dims(x)?, cx.dims(result)?);
    if shape.contains(&0) {
        return Ok(Lowered::default());
    }
    let ((x, from), (places, at)) = (place(cx, x)?, place(cx, places)?);
    let mask = node.inputs.get(2).map(|mask| place(cx, *mask)).transpose()?;
    let to = cx.view(result)?;
    let (mut channels, [y_strides, x_strides]) = channels(cx.target, &sampling, &image, [to, &from])?;
    let (mode, padding, corners) = sampling.plane;
    let strides: Vec<i64> = x_strides[2..].iter().map(|s| s / if channels.blocks.is_some() { 1 } else { 4 }).collect();
    expect_offsets(&image[2..], &strides)?;
    let plane = Plane { mode, padding, corners, extents: image[2..].to_vec(), strides };
    let (nest, source) = match &sampling.window {
        None => (grid_nest(&shape, &y_strides, x_strides[0], &at)?, Source::Grid),
        Some(window) => {
            window_nest(window, &shape, [&y_strides, &x_strides], [Some(&at), mask.as_ref().map(|m| &m.1)])?
        }
    };
    match &mut channels.blocks {
        // A run may be a column of places.
        Some(blocks) => blocks.pixel = nest.inner(0),
        None if nest.run() > 1 && nest.inner(0) != 4 => return Err(NoKernel("rows that are not contiguous".into())),
        None => {}
    }
    let (kernel, extent, scratch) = Spec { nest, plane, source, channels }.build(cx.target);
    let mut operands = vec![Operand::Value(result, 0), x, places];
    operands.extend(mask.map(|m| m.0));
    operands.push(Operand::Scratch(scratch));
    let mut calls = vec![KernelCall { kernel, operands, args: vec![], extent, barrier_before: false }];
    calls.extend(zero_halo(cx.target, result, to));
    Ok(Lowered { calls, temporaries: vec![] })
}

/// Strides of an image: of images, channels (or blocks) and spatial dimensions.
type Strides = Vec<i64>;

/// The channels of one table, and the strides of result and image.
fn channels(
    target: Target,
    sampling: &Sampling,
    image: &[usize],
    views: [&View; 2],
) -> Result<(Channels, [Strides; 2]), NoKernel> {
    let ([groups, offset_groups, taps], lanes) = (sampling.groups(), target.lanes as usize);
    if let [View::Blocked { strides: y, lanes: a, .. }, View::Blocked { strides: x, lanes: b, .. }] = views {
        let tables = sampling.tables(image[1], lanes).filter(|_| *a == lanes && *b == lanes);
        let tables = tables.ok_or_else(|| NoKernel("channels whose groups are no whole blocks".into()))?;
        let all = image[1].div_ceil(lanes);
        let count = (all * tables / offset_groups).max(1);
        let unroll = count.min(if target.registers > 16 { 8 } else { 4 });
        let blocks = Some(Blocks { pixel: y[3], tables, unroll });
        let channels = Channels { count, strides: [y[1], x[1]], group: ((all / groups).max(1), taps), blocks };
        return Ok((channels, [y.to_vec(), x.to_vec()]));
    }
    let (y, x) = (plain(views[0])?.1, plain(views[1])?.1);
    let (count, group) = (image[1] / offset_groups, (image[1] / groups, taps));
    let channels = Channels { count, strides: [y[1], x[1]], group, blocks: None };
    Ok((channels, [y.to_vec(), x.to_vec()]))
}

/// Places of a grid.
fn grid_nest(shape: &[usize], y: &[i64], image: i64, grid: &View) -> Result<Nest, NoKernel> {
    let (_, strides) = plain(grid)?;
    let rank = shape.len() - 2;
    if strides[rank + 1] != 4 || strides[rank] != 4 * rank as i64 {
        return Err(NoKernel("a grid whose places are not contiguous".into()));
    }
    // A run of the places of one image, as long as may be.
    let zeros = vec![0; rank];
    let spatial = vec![y[2..].to_vec(), zeros.clone(), strides[1..=rank].to_vec(), zeros.clone(), zeros.clone(), zeros];
    let mut nest = Nest::new(&shape[2..], spatial).collapse(0);
    nest.dims.insert(0, shape[0]);
    let images = [y[0], image, strides[0], 0, 0, 0];
    nest.strides.iter_mut().zip(images).for_each(|(of, stride)| of.insert(0, stride));
    Ok(nest)
}

/// Places of a window.
fn window_nest(
    window: &DeformWindow,
    shape: &[usize],
    [y, x]: [&Strides; 2],
    [offsets, mask]: [Option<&View>; 2],
) -> Result<(Nest, Source), NoKernel> {
    let strides = |view: Option<&View>| match view.map(plain).transpose()? {
        None => Ok(None),
        Some((_, &[n, c, row, 4])) => Ok(Some([n, c, row])),
        Some(_) => Err(NoKernel("rows that are not contiguous".into())),
    };
    let (offsets, mask) = (strides(offsets)?.unwrap_or_default(), strides(mask)?);
    let [mask_image, _, mask_row] = mask.unwrap_or_default();
    let steps = [window.strides[0] as i64, window.strides[1] as i64];
    let nest = Nest::new(
        &[shape[0], shape[2], shape[3]],
        vec![
            vec![y[0], y[2], y[3]],
            vec![x[0], 0, 0],
            vec![offsets[0], offsets[2], 4],
            vec![mask_image, mask_row, if mask.is_some() { 4 } else { 0 }],
            vec![0, steps[0], 0],
            vec![0, 0, steps[1]],
        ],
    );
    let pair = |list: &[usize]| [list[0], list[1]];
    let source = Source::Window {
        kernel: pair(&window.kernel),
        dilations: pair(&window.dilations),
        pads: pair(&window.pads),
        strides: (offsets[1], mask.map(|m| m[1])),
        groups: window.offset_groups,
    };
    Ok((nest, source))
}
