//! Convolution and transposed convolution in any number of dimensions.
//!
//! Both add, tap by tap, rows of one plane to rows of another, one of them read or written with the stride. The rows and
//! their ranges are the same for every channel and are worked out once.

use super::{WINDOW, Window, bias, finish, in_parallel};
use crate::library::function::{Function, Operands, Results};
use crate::library::{LibraryError, expect};
use crate::{DType, Element, Tensor, TensorView};
use half::{bf16, f16};

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
fn taps(window: &Window, dense: &[usize], strided: &[usize]) -> Vec<Tap> {
    let n = window.kernel.len();
    let count: usize = window.kernel.iter().product();
    let mut found = Vec::with_capacity(count);
    for t in 0..count {
        let mut rest = t;
        let mut shift = vec![0i64; n];
        for d in (0..n).rev() {
            shift[d] = (rest % window.kernel[d] * window.dilation[d]) as i64 - window.before[d];
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
trait Real: Element + Send + Sync {
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

impl Real for f16 {
    fn wide(self) -> f64 {
        self.to_f64()
    }
    fn narrow(x: f64) -> f16 {
        f16::from_f64(x)
    }
}
impl Real for bf16 {
    fn wide(self) -> f64 {
        self.to_f64()
    }
    fn narrow(x: f64) -> bf16 {
        bf16::from_f64(x)
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
    /// Output and input channels in all.
    all: usize,
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
        let all_outputs = self.all;
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

    fn typed<T: Real>(
        &self,
        x: &TensorView,
        w: &TensorView,
        bias: Option<TensorView>,
        out: &mut Tensor,
    ) -> Result<(), LibraryError> {
        let bias = bias.as_ref().map(|b| b.as_slice::<T>()).transpose()?;
        self.run::<T>(x.as_slice()?, w.as_slice()?, bias, out.as_mut_slice()?);
        Ok(())
    }
}

/// `[x, w, bias?, ..]`: x in groups of channels, w `[outputs, inputs of a group, window..]`.
pub(super) fn conv(function: &Function, operands: &Operands) -> Results {
    either(function, operands, false)
}

/// `[x, w, bias?, ..]`: w `[inputs, outputs of a group, window..]`.
pub(super) fn conv_transpose(function: &Function, operands: &Operands) -> Results {
    either(function, operands, true)
}

fn either(function: &Function, operands: &Operands, transposed: bool) -> Results {
    let (x, w, bias) = (operands.tensor(0)?, operands.tensor(1)?, bias(function, operands)?);
    let window = Window::of(function, x.shape.len())?;
    let group = usize::try_from(function.int("group", 1)).unwrap_or(0).max(1);
    let (channels, plane) = (x.shape[1], x.shape[2..].iter().product());
    expect(w.shape.len() == x.shape.len() && w.shape[2..] == window.kernel, "a weight of the window's extents")?;
    let (outputs, all) = match transposed {
        true => (w.shape[1], w.shape[1] * group),
        false => (w.shape[0] / group, w.shape[0]),
    };
    let inputs = channels / group;
    let fits = if transposed { w.shape[0] == channels } else { w.shape[1] == inputs };
    expect(fits && inputs * group == channels && outputs * group == all, "channels in whole groups")?;
    expect(bias.as_ref().is_none_or(|b| b.shape == [all]), "a bias per output channel")?;
    let (dense, strided) = match transposed {
        true => (&x.shape[2..], &window.output[..]),
        false => (&window.output[..], &x.shape[2..]),
    };
    let shape = Shape {
        taps: taps(&window, dense, strided),
        stride: *window.stride.last().ok_or(WINDOW)?,
        inputs,
        outputs,
        all,
        channels,
        plane,
        out_plane: window.output.iter().product(),
        transposed,
    };
    let mut out = Tensor::zeros(x.dtype, &[&[x.shape[0], all], &window.output[..]].concat())?;
    match x.dtype {
        DType::F64 => shape.typed::<f64>(&x, &w, bias, &mut out)?,
        DType::F16 => shape.typed::<f16>(&x, &w, bias, &mut out)?,
        DType::BF16 => shape.typed::<bf16>(&x, &w, bias, &mut out)?,
        _ => shape.typed::<f32>(&x, &w, bias, &mut out)?,
    }
    finish(function, operands, out)
}
