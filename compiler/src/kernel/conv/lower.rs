//! Lowers Conv to tile kernels: geometry from the views, weights packed for the chosen tile.

use super::choose::{self, Problem, blocking, choose, choose_depthwise};
use super::sparse::{self, Meeting};
use super::spec::{ExtraKind, Numbers, Stream, TileSpec, WeightLayout};
use super::weights::ConvPack;
use super::winograd;
use crate::ir::infer::explicit;
use crate::ir::{Expression, Node, Op, ValueId, Window};
use crate::kernel::{
    KernelCall, LowerContext, Lowered, NoKernel, Operand, PackLoop, PackPiece, PackSpec, View, zero_halo,
};
use std::ops::Range;

/// A blocked view taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Image {
    pub dims: [usize; 4],
    pub lanes: usize,
    pub strides: [i64; 4],
    pub halo: crate::ir::Halo,
}

pub(super) fn image(view: &View) -> Result<Image, NoKernel> {
    match view {
        View::Blocked { dims, lanes, strides, halo } => {
            Ok(Image { dims: *dims, lanes: *lanes, strides: *strides, halo: *halo })
        }
        View::Plain { .. } => Err(NoKernel("a convolution kernel reads and writes channel blocks".into())),
    }
}

/// The operand of a fused expression as a base and a stream.
pub(super) struct Extra {
    pub kind: ExtraKind,
    pub operand: Operand,
    pub stream: Stream,
}

/// Operands of the epilogue from position `from` on. `y` is the result's image.
pub(super) fn extras(
    cx: &LowerContext,
    node: &Node,
    from: usize,
    y: &Image,
    vectors: usize,
    first_vector: usize,
) -> Result<Vec<Extra>, NoKernel> {
    let mut found = Vec::new();
    for value in node.inputs.iter().skip(from) {
        found.push(extra(cx, *value, y, vectors, first_vector)?);
    }
    Ok(found)
}

fn extra(cx: &LowerContext, value: ValueId, y: &Image, vectors: usize, first_vector: usize) -> Result<Extra, NoKernel> {
    let dims = cx.dims(value)?;
    let channels = y.dims[1];
    let width = (y.lanes * 4) as i64;
    let elements: usize = dims.iter().product();
    if elements == 1 {
        let operand = match cx.graph.weight(value) {
            Some(_) => Operand::Packed(value, PackSpec::plain(&dims)),
            None => Operand::Value(value, 0),
        };
        return Ok(Extra {
            kind: ExtraKind::Scalar,
            operand,
            stream: Stream { outer: vec![0, 0], ..Stream::default() },
        });
    }
    if cx.graph.weight(value).is_some() && elements == channels && dims.len() >= 3 && dims[dims.len() - 3] == channels {
        let dim = dims.len() - 3;
        let loops = vec![PackLoop { count: channels.next_multiple_of(y.lanes), dim, step: 1 }];
        let piece = PackPiece { start: vec![0; dims.len()], end: dims.clone(), loops };
        // Channels start at the part's first vector; the operand's bytes begin there by the piece's start.
        let mut piece = piece;
        piece.start[dim] = first_vector * y.lanes;
        let operand = Operand::Packed(value, PackSpec::new(dims, vec![piece]));
        let stream = Stream { outer: vec![0, 0], panel: vectors as i64 * width, vector: width, row: 0, col: 0 };
        return Ok(Extra { kind: ExtraKind::Channel, operand, stream });
    }
    let e = image(cx.view(value)?)?;
    if e.dims != y.dims || e.lanes != y.lanes {
        return Err(NoKernel(format!("a fused operand of shape {:?} beside a result of shape {:?}", e.dims, y.dims)));
    }
    let [image_stride, block, row, col] = e.strides;
    let stream = Stream { outer: vec![image_stride, 0], panel: block * vectors as i64, vector: block, row, col };
    Ok(Extra { kind: ExtraKind::Element, operand: Operand::Value(value, block * first_vector as i64), stream })
}

/// Groups are merged until the channels of a merged group fill whole vectors; the weights of a merged group are block-diagonal.
fn merged_groups(group: usize, input: usize, output: usize, lanes_in: usize, lanes_out: usize) -> usize {
    let fits = |g: &usize| (g * input).is_multiple_of(lanes_in) && (g * output).is_multiple_of(lanes_out);
    (1..=group).find(fits).unwrap_or(group)
}

/// Everything about a convolution, or about some of its groups, that both the plain and the transposed form need.
#[derive(Clone)]
pub(super) struct Geometry {
    pub x: Image,
    pub y: Image,
    /// Vectors of output channels before these groups.
    pub first: usize,
    /// Groups after merging, and how many original groups each holds.
    pub groups: usize,
    pub merged: usize,
    /// Channels per merged group.
    pub input: usize,
    pub output: usize,
}

/// The convolution as one group.
pub(super) fn single(x: Image, y: Image) -> Geometry {
    Geometry { x, y, first: 0, groups: 1, merged: 1, input: x.dims[1], output: y.dims[1] }
}

/// Merged groups that fill whole vectors, and the groups that are left over.
fn geometries(x: Image, y: Image, group: usize) -> Vec<Geometry> {
    if group == 1 {
        return vec![single(x, y)];
    }
    let (ic, oc) = (x.dims[1] / group, y.dims[1] / group);
    let merged = merged_groups(group, ic, oc, x.lanes, y.lanes);
    let (groups, rest) = (group / merged, group % merged);
    let part = |before: usize, groups: usize, merged: usize| Geometry {
        x,
        y,
        first: before * oc / y.lanes,
        groups,
        merged,
        input: ic * merged,
        output: oc * merged,
    };
    let mut parts = vec![part(0, groups, merged)];
    if rest > 0 {
        parts.push(part(groups * merged, 1, rest));
    }
    parts
}

/// Lowers an [`Op::Conv`] whose operands are blocked.
pub fn lower(cx: &LowerContext, node: &Node) -> Result<Lowered, NoKernel> {
    let Op::Conv { window, group, bias, epilogue } = &node.op else {
        return Err(NoKernel("not a convolution".into()));
    };
    let x = image(cx.input(node, 0)?)?;
    let y = image(cx.view(node.outputs[0])?)?;
    let window = &explicit(window, &x.dims[2..]);
    let depthwise = *group == x.dims[1] && x.dims[1] == y.dims[1] && *group > 1 && x.lanes == y.lanes;
    let weight = *node.inputs.get(1).ok_or_else(|| NoKernel("the weight is missing".into()))?;
    let weight_dims = cx.dims(weight)?;
    let [_, per_group, ky, kx] = weight_dims[..] else {
        return Err(NoKernel("the weight of a convolution has rank 4".into()));
    };
    let apart = separate_taps(node, [&x.dims, &weight_dims, &y.dims]);
    let mut lowered = Lowered::default();
    if apart.is_none() {
        check_halo(&x, &y, window, [ky, kx])?;
        if let Some(call) = winograd::lower(cx, node, window, (&x, &y))? {
            lowered.calls.push(call);
            lowered.calls.extend(zero_halo(cx.target, node.outputs[0], cx.view(node.outputs[0])?));
            return Ok(lowered);
        }
    }
    let parts = if depthwise { vec![Geometry { input: 1, ..single(x, y) }] } else { geometries(x, y, *group) };
    for g in parts {
        let skipped = g.first * y.lanes * per_group * *group / y.dims[1];
        let plan = plan(cx, node, (window, [ky, kx]), (g, skipped), depthwise, (*bias, epilogue));
        let runs = match &apart {
            Some(taps) => tap_by_tap(&plan, taps),
            None => vec![(plan, [0..ky, 0..kx])],
        };
        for (plan, taps) in runs {
            let pack = ConvPack {
                weight_dims: weight_dims.clone(),
                per_group,
                merged: plan.g.merged,
                taps,
                chunk: plan.chunk,
                lanes: y.lanes,
                depthwise,
            };
            plan.calls(&mut lowered, |part, channels| Operand::Packed(weight, pack.spec(&plan.g, part, channels)))?;
        }
    }
    lowered.calls.extend(zero_halo(cx.target, node.outputs[0], cx.view(node.outputs[0])?));
    Ok(lowered)
}

/// The plan of the groups `g` of a convolution, before which it `skipped` so many input channels.
fn plan<'a>(
    cx: &'a LowerContext<'a>,
    node: &'a Node,
    (window, [ky, kx]): (&Window, [usize; 2]),
    (g, skipped): (Geometry, usize),
    depthwise: bool,
    (bias, epilogue): (bool, &'a Expression),
) -> Plan<'a> {
    let [image_x, block_x, row_x, col_x] = g.x.strides;
    let blocks = |channels: usize| if g.x.lanes > 1 { channels / g.x.lanes } else { channels } as i64 * block_x;
    let (chunk, chunk_stride, channel_stride) = match g.x.lanes {
        _ if depthwise => (1, 0, 4),
        1 => (g.input, 0, block_x),
        lanes => (lanes, block_x, 4),
    };
    Plan {
        cx,
        node,
        x_start: blocks(skipped) - window.pad_begin[0] * row_x - window.pad_begin[1] * col_x,
        x_stream: Stream {
            outer: vec![image_x, blocks(g.input)],
            panel: if depthwise { block_x } else { 0 },
            vector: 0,
            row: window.stride[0] as i64 * row_x,
            col: window.stride[1] as i64 * col_x,
        },
        taps: [(ky, window.dilation[0] as i64 * row_x), (kx, window.dilation[1] as i64 * col_x)],
        chunk,
        chunk_stride,
        channel_stride,
        bias: if bias { Some(node.inputs[2]) } else { None },
        epilogue,
        extras_from: if bias { 3 } else { 2 },
        rows: g.y.dims[2],
        cols: g.y.dims[3],
        y_scale: [1, 1],
        y_start: 0,
        g,
        depthwise,
        resumes: false,
        finishes: true,
    }
}

/// The taps of a convolution that are done one by one. `dims` are those of the input, the weight and the result.
pub fn separate_taps(node: &Node, dims: [&[usize]; 3]) -> Option<Vec<[Meeting; 2]>> {
    let (Op::Conv { window, group: 1, bias, .. }, [input, weight, output]) = (&node.op, dims) else { return None };
    // An operand of the epilogue may lie where the result goes.
    if node.inputs.len() > 2 + usize::from(*bias) {
        return None;
    }
    sparse::taps(&explicit(window, input.get(2..)?), [*weight.get(2)?, *weight.get(3)?], input, output)
}

/// Zeros, then one tap after another, with the taps of the weight that each takes; the last adds the bias.
fn tap_by_tap<'a>(whole: &Plan<'a>, taps: &[[Meeting; 2]]) -> Vec<(Plan<'a>, [Range<usize>; 2])> {
    let [_, _, row_x, col_x] = whole.g.x.strides;
    let [_, _, row_y, col_y] = whole.g.y.strides;
    let zeros = Plan { taps: [(0, 0); 2], bias: None, finishes: false, ..whole.clone() };
    let tap = |(i, [y, x]): (usize, &[Meeting; 2])| {
        let plan = Plan {
            x_start: y.input * row_x + x.input * col_x,
            y_start: y.outputs.start as i64 * row_y + x.outputs.start as i64 * col_y,
            rows: y.outputs.len(),
            cols: x.outputs.len(),
            taps: [(1, 0); 2],
            resumes: true,
            bias: whole.bias.filter(|_| i + 1 == taps.len()),
            finishes: i + 1 == taps.len(),
            ..whole.clone()
        };
        (plan, [y.tap..y.tap + 1, x.tap..x.tap + 1])
    };
    std::iter::once((zeros, [0..0, 0..0])).chain(taps.iter().enumerate().map(tap)).collect()
}

/// Every tap of every output pixel must lie inside the input's plane or its halo.
fn check_halo(x: &Image, y: &Image, window: &Window, taps: [usize; 2]) -> Result<(), NoKernel> {
    let halo = [(x.halo.top, x.halo.bottom), (x.halo.left, x.halo.right)];
    for d in 0..2 {
        let (before, after) = conv_reach(x.dims[2 + d], y.dims[2 + d], taps[d], window, d);
        if before > i64::from(halo[d].0) || after > i64::from(halo[d].1) {
            return Err(NoKernel(format!(
                "the operand's halo {halo:?} is smaller than the window's reach ({before}, {after})"
            )));
        }
    }
    Ok(())
}

/// Rows (or columns) that a convolution reads before and after its input.
pub fn conv_reach(input: usize, output: usize, taps: usize, window: &Window, d: usize) -> (i64, i64) {
    let last = (output as i64 - 1) * window.stride[d] as i64 + (taps as i64 - 1) * window.dilation[d] as i64;
    let before = window.pad_begin[d];
    (before.max(0), (last - before - (input as i64 - 1)).max(0))
}

/// A convolution ready to be cut into parts.
#[derive(Clone)]
pub(super) struct Plan<'a> {
    pub cx: &'a LowerContext<'a>,
    pub node: &'a Node,
    pub x_start: i64,
    pub x_stream: Stream,
    pub taps: [(usize, i64); 2],
    pub chunk: usize,
    pub chunk_stride: i64,
    pub channel_stride: i64,
    pub bias: Option<ValueId>,
    pub epilogue: &'a Expression,
    pub extras_from: usize,
    pub rows: usize,
    pub cols: usize,
    /// Output pixels between two computed ones (transposed convolution).
    pub y_scale: [i64; 2],
    /// Byte offset of the first computed output pixel.
    pub y_start: i64,
    pub g: Geometry,
    /// One input channel per output channel, read as vectors.
    pub depthwise: bool,
    /// Whether the result holds sums to go on from.
    pub resumes: bool,
    /// Whether sums are complete after these calls.
    pub finishes: bool,
}

impl Plan<'_> {
    /// One call per part and block of the reduction. `weights` are those of a part and a range of input channels.
    pub fn calls(
        &self,
        lowered: &mut Lowered,
        weights: impl Fn(&choose::Part, &Range<usize>) -> Operand,
    ) -> Result<(), NoKernel> {
        let (g, target) = (&self.g, self.cx.target);
        if g.y.lanes != target.lanes as usize {
            return Err(NoKernel(format!("channel blocks of {} where {} are needed", g.y.lanes, target.lanes)));
        }
        let steps = g.input * self.taps[0].0 * self.taps[1].0;
        let vectors = g.output.div_ceil(g.y.lanes);
        if self.rows * self.cols * vectors == 0 || g.y.dims[0] == 0 {
            return Ok(());
        }
        let problem = Problem { rows: self.rows, cols: self.cols, vectors, steps, pixels_limit: 28 };
        let parts = if self.depthwise { vec![choose_depthwise(target, problem)] } else { choose(target, problem).1 };
        for part in parts {
            let block = self.reduction_block(&part)?;
            for start in (0..g.input.max(1)).step_by(block) {
                let channels = start..(start + block).min(g.input);
                let mut call = self.call(&part, &channels, &weights)?;
                call.barrier_before = self.resumes || start > 0;
                lowered.calls.push(call);
            }
        }
        Ok(())
    }

    /// Input channels that a call sums over. Sums of earlier calls wait in the result, so a residual, which may lie in the same
    /// memory, has to be added in the only call.
    fn reduction_block(&self, part: &choose::Part) -> Result<usize, NoKernel> {
        let g = &self.g;
        let extras = extras(self.cx, self.node, self.extras_from, &g.y, part.vectors, part.first + g.first)?;
        if self.depthwise || g.groups * g.merged > 1 || extras.iter().any(|e| e.kind == ExtraKind::Element) {
            return Ok(g.input.max(1));
        }
        let per_channel = self.taps[0].0 * self.taps[1].0 * part.vectors * g.y.lanes * 4;
        let tiles = g.y.dims[0] * self.rows * self.cols / part.pixels.max(1);
        Ok(choose::reduction_block(g.input, self.chunk, per_channel, tiles))
    }

    fn call(
        &self,
        part: &choose::Part,
        channels: &Range<usize>,
        weights: &impl Fn(&choose::Part, &Range<usize>) -> Operand,
    ) -> Result<KernelCall, NoKernel> {
        let (g, target) = (&self.g, self.cx.target);
        let resumes = self.resumes || channels.start > 0;
        let last = self.finishes && channels.end == g.input;
        let width = g.y.lanes as i64 * 4;
        let vectors = g.output.div_ceil(g.y.lanes);
        let [image_y, block, row, col] = g.y.strides;
        let group_block = block * vectors as i64;
        let [sy, sx] = self.y_scale;
        let y = Stream {
            outer: vec![image_y, group_block],
            panel: block * part.vectors as i64,
            vector: block,
            row: row * sy,
            col: col * sx,
        };
        let skip = (channels.start / self.chunk.max(1)) as i64 * self.chunk_stride;
        let mut operands = vec![Operand::Value(self.node.inputs[0], self.x_start + skip), weights(part, channels)];
        let bias = self.bias.filter(|_| channels.start == 0);
        if let Some(bias) = bias {
            operands.push(Operand::Packed(bias, self.bias_spec(bias, part)?));
        }
        let mut extra_streams = Vec::new();
        let fused = extras(self.cx, self.node, self.extras_from, &g.y, part.vectors, part.first + g.first)?;
        for mut e in fused.into_iter().filter(|_| last) {
            match e.kind {
                ExtraKind::Element => {
                    let view = image(self.cx.view(self.node.inputs[self.extras_from + extra_streams.len()])?)?;
                    e.stream.outer[1] = e.stream.vector * vectors as i64;
                    if let Operand::Value(_, at) = &mut e.operand {
                        *at += self.y_start / row.max(1) * view.strides[2]
                            + self.y_start % row.max(1) / col.max(1) * view.strides[3];
                    }
                    e.stream.row *= sy;
                    e.stream.col *= sx;
                }
                ExtraKind::Channel => e.stream.outer[1] = vectors as i64 * width,
                ExtraKind::Scalar => {}
            }
            operands.push(e.operand);
            extra_streams.push((e.kind, e.stream));
        }
        operands.push(Operand::Value(self.node.outputs[0], self.y_start + block * (part.first + g.first) as i64));
        let steps = channels.len() * self.taps[0].0 * self.taps[1].0;
        let w_panel = (steps * part.vectors) as i64 * width;
        let input_row = (self.x_stream.row.unsigned_abs() as usize / 4)
            * channels.len().div_ceil(g.x.lanes.max(1))
            * 4
            * part.rows_per_tile;
        let groups = self.rows / part.rows_per_tile;
        let others = g.y.dims[0] * g.groups;
        let order = blocking(groups, input_row, w_panel as usize * part.panels, part.panels, others);
        let spec = TileSpec {
            family: "conv",
            outer: vec![g.y.dims[0], g.groups],
            rows: self.rows,
            cols: self.cols,
            rows_per_tile: part.rows_per_tile,
            panels: part.panels,
            vectors: part.vectors,
            tail_lanes: None,
            taps: self.taps,
            channels: channels.len(),
            chunk: self.chunk,
            chunk_stride: self.chunk_stride,
            channel_stride: self.channel_stride,
            x: self.x_stream.clone(),
            y,
            w_outer: vec![0, w_panel * part.panels as i64],
            w_panel,
            w_layout: WeightLayout::Packed,
            bias: bias.map(|_| vec![0, (part.panels * part.vectors) as i64 * width]),
            resumes,
            depthwise: self.depthwise,
            numbers: Numbers::Floats,
            epilogue: if last { self.epilogue.clone() } else { Expression::default() },
            extras: extra_streams,
            max_pixels: part.pixels,
            row_block: order.row_block,
            panels_inner: order.panels_inner,
        };
        super::fitted(spec, target, operands)
    }

    /// The bias of a part: per group, the channels of its panels.
    fn bias_spec(&self, bias: ValueId, part: &choose::Part) -> Result<PackSpec, NoKernel> {
        let (g, dims) = (&self.g, self.cx.dims(bias)?);
        let count = part.panels * part.vectors * g.y.lanes;
        let piece = |group: usize| PackPiece {
            start: vec![group * g.output + (part.first + g.first) * g.y.lanes],
            end: vec![(group + 1) * g.output + g.first * g.y.lanes],
            loops: vec![PackLoop { count, dim: 0, step: 1 }],
        };
        Ok(PackSpec::new(dims, (0..g.groups).map(piece).collect()))
    }
}
