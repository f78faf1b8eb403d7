//! Convolution and transposed convolution in any number of dimensions.
//!
//! Both add, tap by tap, rows of one plane to rows of another, one of them read or written with the stride. The rows and
//! their ranges are the same for every channel and are worked out once.

use super::{EvalError, in_parallel};
use crate::ir::Window;
use crate::ir::infer::{conv_pads, conv_transpose_pads};
use brolga_runtime::{DType, Tensor};

/// One tap: which rows of the dense plane meet which rows of the strided plane, and along a row, which dense elements
/// (`from..to`) meet strided element `dense * stride + shift`.
struct Tap {
    /// Offsets of the first elements of a dense and of a strided row.
    rows: Vec<(usize, usize)>,
    from: usize,
    to: usize,
    shift: i64,
}

/// Dense elements `from..to` for which `dense * stride + shift` is inside `0..extent`.
fn range(dense: usize, extent: usize, stride: usize, shift: i64) -> (usize, usize) {
    let (stride, extent) = (stride as i64, extent as i64);
    let from = (-shift).div_euclid(stride) + i64::from((-shift).rem_euclid(stride) != 0);
    let to = (extent - shift).div_euclid(stride) + i64::from((extent - shift).rem_euclid(stride) != 0);
    let from = from.clamp(0, dense as i64);
    (from as usize, to.clamp(from, dense as i64) as usize)
}

/// The taps of a window between a dense and a strided plane.
fn taps(window: &Window, dense: &[usize], strided: &[usize], pad: &[i64]) -> Vec<Tap> {
    let n = window.kernel.len();
    let count: usize = window.kernel.iter().product();
    let mut found = Vec::with_capacity(count);
    for t in 0..count {
        let mut rest = t;
        let mut shift = vec![0i64; n];
        for d in (0..n).rev() {
            shift[d] = (rest % window.kernel[d] * window.dilation[d]) as i64 - pad[d];
            rest /= window.kernel[d];
        }
        // Rows: every combination of the dimensions before the last.
        let mut rows = vec![(0usize, 0usize)];
        for d in 0..n - 1 {
            let (from, to) = range(dense[d], strided[d], window.stride[d], shift[d]);
            let mut next = Vec::with_capacity(rows.len() * (to - from));
            for (a, b) in &rows {
                for at in from..to {
                    let other = (at * window.stride[d]) as i64 + shift[d];
                    next.push((a * dense[d] + at, b * strided[d] + other as usize));
                }
            }
            rows = next;
        }
        let (last_dense, last_strided) = (dense[n - 1], strided[n - 1]);
        rows.iter_mut().for_each(|(a, b)| (*a, *b) = (*a * last_dense, *b * last_strided));
        let (from, to) = range(last_dense, last_strided, window.stride[n - 1], shift[n - 1]);
        found.push(Tap { rows, from, to, shift: shift[n - 1] });
    }
    found
}

/// Elements as f64, without a copy of the whole tensor.
trait Real: bytemuck::Pod + Send + Sync {
    fn wide(self) -> f64;
    fn narrow(x: f64) -> Self;
}
impl Real for f32 {
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn narrow(x: f64) -> f32 {
        x as f32
    }
}
impl Real for f64 {
    fn wide(self) -> f64 {
        self
    }
    fn narrow(x: f64) -> f64 {
        x
    }
}

/// Extents and steps of one convolution, of either direction.
struct Shape {
    taps: Vec<Tap>,
    /// Stride of the last dimension.
    stride: usize,
    /// Input and output channels of one group.
    inputs: usize,
    outputs: usize,
    /// Input channels in all.
    channels: usize,
    /// Elements of an input and an output plane.
    plane: usize,
    out_plane: usize,
    transposed: bool,
}

impl Shape {
    /// Adds one input plane to the accumulator of one output channel.
    fn add<T: Real>(&self, x: &[T], weights: impl Fn(usize) -> T, acc: &mut [f64]) {
        for (t, tap) in self.taps.iter().enumerate() {
            let w = weights(t).wide();
            let count = tap.to - tap.from;
            let first = (tap.from * self.stride) as i64 + tap.shift;
            if count == 0 {
                continue;
            }
            for (dense, strided) in &tap.rows {
                let strided = (*strided as i64 + first) as usize;
                if self.transposed {
                    let from = &x[dense + tap.from..][..count];
                    let to = acc[strided..].iter_mut().step_by(self.stride);
                    to.zip(from).for_each(|(to, x)| *to += w * x.wide());
                } else {
                    let to = &mut acc[dense + tap.from..][..count];
                    let from = x[strided..].iter().step_by(self.stride);
                    to.iter_mut().zip(from).for_each(|(to, x)| *to += w * x.wide());
                }
            }
        }
    }

    fn run<T: Real>(&self, x: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T]) {
        if self.out_plane == 0 {
            return;
        }
        let count = self.taps.len();
        let all_outputs = self.outputs * (self.channels / self.inputs.max(1)).max(1);
        in_parallel(out, self.out_plane, |first, part| {
            let mut acc = vec![0f64; self.out_plane];
            for (i, to) in part.chunks_exact_mut(self.out_plane).enumerate() {
                let (sample, oc) = ((first + i) / all_outputs, (first + i) % all_outputs);
                let (group, within) = (oc / self.outputs, oc % self.outputs);
                acc.fill(bias.map_or(0.0, |b| b[oc].wide()));
                for ic in 0..self.inputs {
                    let channel = group * self.inputs + ic;
                    let plane = &x[(sample * self.channels + channel) * self.plane..][..self.plane];
                    let at = if self.transposed {
                        (channel * self.outputs + within) * count
                    } else {
                        (oc * self.inputs + ic) * count
                    };
                    self.add(plane, |t| w[at + t], &mut acc);
                }
                to.iter_mut().zip(&acc).for_each(|(to, x)| *to = T::narrow(*x));
            }
        });
    }

    fn dispatch(&self, x: &[&Tensor], bias: bool, out: &mut Tensor) -> Result<(), EvalError> {
        if x[0].dtype() == DType::F64 {
            let bias = if bias { Some(x[2].as_slice::<f64>()?) } else { None };
            self.run(x[0].as_slice::<f64>()?, x[1].as_slice::<f64>()?, bias, out.as_mut_slice::<f64>()?);
        } else {
            let bias = if bias { Some(x[2].as_slice::<f32>()?) } else { None };
            self.run(x[0].as_slice::<f32>()?, x[1].as_slice::<f32>()?, bias, out.as_mut_slice::<f32>()?);
        }
        Ok(())
    }
}

pub(super) fn conv(
    x: &[&Tensor],
    window: &Window,
    group: usize,
    bias: bool,
    out: &mut Tensor,
) -> Result<(), EvalError> {
    let (input, weight) = (x[0].shape(), x[1].shape());
    let (pad, _) = conv_pads(window, &input[2..]);
    let spatial = out.shape()[2..].to_vec();
    let shape = Shape {
        taps: taps(window, &spatial, &input[2..], &pad),
        stride: window.stride[window.stride.len() - 1],
        inputs: input[1] / group,
        outputs: weight[0] / group,
        channels: input[1],
        plane: input[2..].iter().product(),
        out_plane: spatial.iter().product(),
        transposed: false,
    };
    shape.dispatch(x, bias, out)
}

pub(super) fn conv_transpose(
    x: &[&Tensor],
    window: &Window,
    output_pad: &[i64],
    group: usize,
    bias: bool,
    out: &mut Tensor,
) -> Result<(), EvalError> {
    let (input, weight) = (x[0].shape(), x[1].shape());
    let (pad, _) = conv_transpose_pads(window, output_pad, &input[2..]);
    let spatial = out.shape()[2..].to_vec();
    let shape = Shape {
        taps: taps(window, &input[2..], &spatial, &pad),
        stride: window.stride[window.stride.len() - 1],
        inputs: input[1] / group,
        outputs: weight[1],
        channels: input[1],
        plane: input[2..].iter().product(),
        out_plane: spatial.iter().product(),
        transposed: true,
    };
    shape.dispatch(x, bias, out)
}
