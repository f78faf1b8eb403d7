//! Normalisations and softmax.

use super::{EvalError, reals, store};
use brolga_runtime::{Tensor, library};

/// Extents before an axis, of it and after it, multiplied together.
fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

pub(super) fn batch_norm(x: &[&Tensor], epsilon: f32, out: &mut Tensor) -> Result<(), EvalError> {
    let (_, channels, inner) = around(x[0].shape(), 1);
    let [scale, bias, mean, variance] = [reals(x[1])?, reals(x[2])?, reals(x[3])?, reals(x[4])?];
    let mut data = reals(x[0])?;
    for (i, value) in data.iter_mut().enumerate() {
        let c = i / inner % channels;
        *value = (*value - mean[c]) / (variance[c] + f64::from(epsilon)).sqrt() * scale[c] + bias[c];
    }
    store(&data, out)
}

/// Makes each run of `length` elements have mean 0 and variance 1.
fn standardise(data: &mut [f64], length: usize, epsilon: f32) {
    for run in data.chunks_exact_mut(length.max(1)) {
        let mean = run.iter().sum::<f64>() / length as f64;
        let variance = run.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / length as f64;
        let factor = 1.0 / (variance + f64::from(epsilon)).sqrt();
        run.iter_mut().for_each(|x| *x = (*x - mean) * factor);
    }
}

/// Over groups of channels; without a number of groups each channel is one.
pub(super) fn group_norm(
    x: &[&Tensor],
    groups: Option<usize>,
    epsilon: f32,
    out: &mut Tensor,
) -> Result<(), EvalError> {
    let (_, channels, inner) = around(x[0].shape(), 1);
    let [scale, bias] = [reals(x[1])?, reals(x[2])?];
    let mut data = reals(x[0])?;
    standardise(&mut data, channels / groups.unwrap_or(channels).max(1) * inner, epsilon);
    for (i, value) in data.iter_mut().enumerate() {
        let c = i / inner % channels;
        *value = *value * scale[c] + bias[c];
    }
    store(&data, out)
}

pub(super) fn layer_norm(x: &[&Tensor], axis: usize, epsilon: f32, out: &mut Tensor) -> Result<(), EvalError> {
    let shape = x[0].shape();
    let mut data = reals(x[0])?;
    standardise(&mut data, shape[axis..].iter().product(), epsilon);
    let wide = |t: &Tensor| -> Result<Vec<f64>, EvalError> {
        let mut full = Tensor::zeros(t.dtype(), shape)?;
        library::expand(&t.view(), &mut full.view_mut())?;
        reals(&full)
    };
    let scale = wide(x[1])?;
    data.iter_mut().zip(scale).for_each(|(x, s)| *x *= s);
    if let Some(bias) = x.get(2) {
        data.iter_mut().zip(wide(bias)?).for_each(|(x, b)| *x += b);
    }
    store(&data, out)
}

pub(super) fn lrn(x: &Tensor, size: usize, [alpha, beta, bias]: [f64; 3], out: &mut Tensor) -> Result<(), EvalError> {
    let (_, channels, inner) = around(x.shape(), 1);
    let data = reals(x)?;
    let (below, above) = ((size - 1) / 2, size / 2);
    let value = |i: usize| {
        let c = i / inner % channels;
        let neighbours = c.saturating_sub(below)..=c.saturating_add(above).min(channels - 1);
        let sum: f64 = neighbours.map(|n| data[i - c * inner + n * inner].powi(2)).sum();
        data[i] / (bias + alpha / size as f64 * sum).powf(beta)
    };
    store(&(0..data.len()).map(value).collect::<Vec<_>>(), out)
}

/// Calls `f` with each line of elements along an axis.
fn along(data: &mut [f64], shape: &[usize], axis: usize, mut f: impl FnMut(&mut [f64])) {
    let (outer, extent, inner) = if shape.is_empty() { (1, 1, 1) } else { around(shape, axis) };
    let mut line = vec![0.0; extent];
    for i in 0..outer * inner {
        let at = |k: usize| (i / inner * extent + k) * inner + i % inner;
        line.iter_mut().enumerate().for_each(|(k, x)| *x = data[at(k)]);
        f(&mut line);
        line.iter().enumerate().for_each(|(k, x)| data[at(k)] = *x);
    }
}

pub(super) fn lp_norm(x: &Tensor, axis: usize, p: u32, out: &mut Tensor) -> Result<(), EvalError> {
    let mut data = reals(x)?;
    along(&mut data, x.shape(), axis, |line| {
        let norm = match p {
            1 => line.iter().map(|x| x.abs()).sum::<f64>(),
            _ => line.iter().map(|x| x * x).sum::<f64>().sqrt(),
        };
        // A line of zeros stays one.
        let norm = if norm == 0.0 { 1.0 } else { norm };
        line.iter_mut().for_each(|x| *x /= norm);
    });
    store(&data, out)
}

pub(super) fn softmax(x: &Tensor, axis: usize, log: bool, out: &mut Tensor) -> Result<(), EvalError> {
    let mut data = reals(x)?;
    along(&mut data, x.shape(), axis, |line| {
        let high = line.iter().fold(f64::NEG_INFINITY, |high, x| high.max(*x));
        let sum: f64 = line.iter().map(|x| (x - high).exp()).sum();
        let shift = sum.ln();
        line.iter_mut().for_each(|x| *x = if log { *x - high - shift } else { (*x - high).exp() / sum });
    });
    store(&data, out)
}
