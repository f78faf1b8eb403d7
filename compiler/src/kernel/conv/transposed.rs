//! Lowers ConvTranspose: one ordinary convolution per phase of the output.
//!
//! Output row `y` receives input row `i` through tap `t` where `y = i * stride - pad + t * dilation`. For the rows with
//! `y mod stride = phase` the taps are those with `(phase + pad - t * dilation) mod stride = 0`, and the input row falls by a
//! constant from each such tap to the next: a convolution with its own taps that writes every `stride`-th row.

use super::choose::Part;
use super::lower::{Plan, image, single};
use super::spec::Stream;
use crate::ir::{Node, Op, Window};
use crate::kernel::{LowerContext, Lowered, NoKernel, Operand, PackLoop, PackPiece, PackSpec, zero_halo};
use std::ops::Range;

/// The taps of one phase along one dimension.
#[derive(Clone, Copy, Debug)]
struct Phase {
    /// First output index and number of output indices.
    first: usize,
    count: usize,
    /// First tap, taps from one to the next, number of taps.
    tap: usize,
    tap_step: usize,
    taps: usize,
    /// Input index of the first tap at the first output index, and its change per tap (not positive).
    input: i64,
    input_step: i64,
}

fn phases(window: &Window, kernel: usize, output: usize, d: usize) -> Vec<Phase> {
    let (stride, dilation, pad) = (window.stride[d] as i64, window.dilation[d] as i64, window.pad_begin[d]);
    (0..stride.min(output as i64))
        .map(|phase| {
            let hits: Vec<i64> =
                (0..kernel as i64).filter(|t| (phase + pad - t * dilation).rem_euclid(stride) == 0).collect();
            let tap_step = hits.get(1).map_or(1, |t| t - hits[0]);
            let tap = hits.first().copied().unwrap_or(0);
            Phase {
                first: phase as usize,
                count: (output - phase as usize).div_ceil(stride as usize),
                tap: tap as usize,
                tap_step: tap_step as usize,
                taps: hits.len(),
                input: (phase + pad - tap * dilation).div_euclid(stride),
                input_step: -(tap_step * dilation) / stride,
            }
        })
        .collect()
}

/// Rows (or columns) that a transposed convolution reads before and after its input.
pub fn transposed_reach(input: usize, output: usize, kernel: usize, window: &Window, d: usize) -> (i64, i64) {
    let (mut before, mut after) = (0, 0);
    for p in phases(window, kernel, output, d).iter().filter(|p| p.taps > 0) {
        let lowest = p.input + (p.taps as i64 - 1) * p.input_step;
        let highest = p.input + p.count as i64 - 1;
        before = before.max(-lowest);
        after = after.max(highest - (input as i64 - 1));
    }
    (before.max(0), after.max(0))
}

/// Lowers an [`Op::ConvTranspose`] whose operands are blocked.
pub fn lower(cx: &LowerContext, node: &Node) -> Result<Lowered, NoKernel> {
    let Op::ConvTranspose { window, group, bias, epilogue, .. } = &node.op else {
        return Err(NoKernel("not a transposed convolution".into()));
    };
    if *group != 1 {
        return Err(NoKernel("a transposed convolution with groups".into()));
    }
    let x = image(cx.input(node, 0)?)?;
    let y = image(cx.view(node.outputs[0])?)?;
    let weight = node.inputs[1];
    let dims = cx.dims(weight)?;
    let [_, _, ky, kx] = dims[..] else { return Err(NoKernel("the weight has rank 4".into())) };
    for (d, (kernel, halo)) in
        [(ky, (x.halo.top, x.halo.bottom)), (kx, (x.halo.left, x.halo.right))].into_iter().enumerate()
    {
        let (before, after) = transposed_reach(x.dims[2 + d], y.dims[2 + d], kernel, window, d);
        if before > i64::from(halo.0) || after > i64::from(halo.1) {
            return Err(NoKernel("the operand's halo is smaller than the window's reach".into()));
        }
    }
    let [image_x, block_x, row_x, col_x] = x.strides;
    let [_, _, row_y, col_y] = y.strides;
    let mut lowered = Lowered::default();
    for py in phases(window, ky, y.dims[2], 0) {
        for px in phases(window, kx, y.dims[3], 1) {
            let (chunk, chunk_stride, channel_stride) =
                if x.lanes > 1 { (x.lanes, block_x, 4) } else { (x.dims[1], 0, block_x) };
            let plan = Plan {
                cx,
                node,
                x_start: if py.taps * px.taps > 0 { py.input * row_x + px.input * col_x } else { 0 },
                x_stream: Stream { outer: vec![image_x, 0], panel: 0, vector: 0, row: row_x, col: col_x },
                taps: [(py.taps, py.input_step * row_x), (px.taps, px.input_step * col_x)],
                chunk,
                chunk_stride,
                channel_stride,
                bias: if *bias { Some(node.inputs[2]) } else { None },
                epilogue,
                extras_from: if *bias { 3 } else { 2 },
                rows: py.count,
                cols: px.count,
                y_scale: [window.stride[0] as i64, window.stride[1] as i64],
                y_start: py.first as i64 * row_y + px.first as i64 * col_y,
                g: single(x, y),
                depthwise: false,
                resumes: false,
                finishes: true,
            };
            let phase = [&py, &px];
            plan.calls(&mut lowered, |part, channels| {
                Operand::Packed(weight, pack(&dims, phase, chunk, channels, part, y.lanes))
            })?;
        }
    }
    lowered.calls.extend(zero_halo(cx.target, node.outputs[0], cx.view(node.outputs[0])?));
    Ok(lowered)
}

/// Weight `[ic, oc, ky, kx]`: the taps of one phase, chunk by chunk.
fn pack(
    dims: &[usize],
    [py, px]: [&Phase; 2],
    chunk: usize,
    channels: &Range<usize>,
    part: &Part,
    lanes: usize,
) -> PackSpec {
    let panel = part.vectors * lanes;
    let l = |count, dim, step| PackLoop { count, dim, step };
    let mut pieces = Vec::new();
    for p in 0..part.panels {
        for (start, (wide, count)) in super::weights::chunks(channels.len(), chunk) {
            let loops = vec![
                l(count, 0, chunk),
                l(py.taps, 2, py.tap_step),
                l(px.taps, 3, px.tap_step),
                l(wide, 0, 1),
                l(panel, 1, 1),
            ];
            let start = vec![channels.start + start, part.first * lanes + p * panel, py.tap, px.tap];
            pieces.push(PackPiece { start, end: dims.to_vec(), loops });
        }
    }
    PackSpec::new(dims.to_vec(), pieces)
}
