//! Normalisations and softmax.

use crate::library::function::{Function, Operands, Results, from_reals, reals};
use crate::library::{LibraryError, expand, expect};
use crate::{Tensor, TensorView};

/// Operand 0 of rank 2 or more.
fn image<'a>(operands: &Operands<'a>) -> Result<TensorView<'a>, LibraryError> {
    let x = operands.tensor(0)?;
    expect(x.shape.len() >= 2, "an operand with channels")?;
    Ok(x)
}

fn one(x: &TensorView, data: &[f64]) -> Results {
    Ok(vec![from_reals(x.dtype, x.shape, data)?.into()])
}

fn epsilon(function: &Function) -> f64 {
    f64::from(function.float("epsilon", 1e-5))
}

/// The `axis` attribute, inside the shape.
fn axis(function: &Function, x: &TensorView) -> Result<usize, LibraryError> {
    let axis = usize::try_from(function.int("axis", 0)).unwrap_or(usize::MAX);
    expect(axis < x.shape.len().max(1), "an axis of the operand")?;
    Ok(axis)
}

/// Extents before an axis, of it and after it, multiplied together.
fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

/// `[x, scale, bias, mean, variance]`.
pub(super) fn batch_norm(function: &Function, operands: &Operands) -> Results {
    let (x, epsilon) = (image(operands)?, epsilon(function));
    let (_, channels, inner) = around(x.shape, 1);
    let parameter = |i: usize| -> Result<Vec<f64>, LibraryError> {
        let list = operands.reals(i)?;
        expect(list.len() == channels, "a parameter per channel")?;
        Ok(list)
    };
    let [scale, bias, mean, variance] = [parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?];
    let mut data = operands.reals(0)?;
    for (i, plane) in data.chunks_exact_mut(inner.max(1)).enumerate() {
        let c = i % channels;
        let deviation = (variance[c] + epsilon).sqrt();
        plane.iter_mut().for_each(|x| *x = (*x - mean[c]) / deviation * scale[c] + bias[c]);
    }
    one(&x, &data)
}

/// Makes each run of `length` elements have mean 0 and variance 1.
fn standardise(data: &mut [f64], length: usize, epsilon: f64) {
    for run in data.chunks_exact_mut(length.max(1)) {
        let mean = run.iter().sum::<f64>() / length as f64;
        let variance = run.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / length as f64;
        let factor = 1.0 / (variance + epsilon).sqrt();
        run.iter_mut().for_each(|x| *x = (*x - mean) * factor);
    }
}

/// `[x, scale, bias]`, over groups of channels; without a number of `groups` each channel is one.
pub(super) fn group_norm(function: &Function, operands: &Operands) -> Results {
    let (x, epsilon) = (image(operands)?, epsilon(function));
    let (_, channels, inner) = around(x.shape, 1);
    let groups = usize::try_from(function.int("groups", 0)).ok().filter(|n| *n > 0);
    let [scale, bias] = [operands.reals(1)?, operands.reals(2)?];
    expect(scale.len() == channels && bias.len() == channels, "a scale and bias per channel")?;
    let mut data = operands.reals(0)?;
    standardise(&mut data, channels / groups.unwrap_or(channels).max(1) * inner, epsilon);
    for (i, value) in data.iter_mut().enumerate() {
        let c = i / inner % channels;
        *value = *value * scale[c] + bias[c];
    }
    one(&x, &data)
}

/// `[x, scale, bias?]`, over the dimensions from `axis` on.
pub(super) fn layer_norm(function: &Function, operands: &Operands) -> Results {
    let (x, epsilon) = (operands.tensor(0)?, epsilon(function));
    let (shape, axis) = (x.shape, axis(function, &x)?);
    let mut data = operands.reals(0)?;
    standardise(&mut data, shape[axis..].iter().product(), epsilon);
    let wide = |t: &TensorView| -> Result<Vec<f64>, LibraryError> {
        let mut full = Tensor::zeros(t.dtype, shape)?;
        expand(t, &mut full.view_mut())?;
        reals(&full.view())
    };
    let scale = wide(&operands.tensor(1)?)?;
    data.iter_mut().zip(scale).for_each(|(x, s)| *x *= s);
    if let Some(bias) = operands.optional(2)? {
        data.iter_mut().zip(wide(&bias)?).for_each(|(x, b)| *x += b);
    }
    one(&x, &data)
}

/// `[x]`: local response normalisation over `size` channels.
pub(super) fn lrn(function: &Function, operands: &Operands) -> Results {
    let x = image(operands)?;
    let size = usize::try_from(function.int("size", 1)).unwrap_or(1).max(1);
    let [alpha, beta, bias] = [("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)];
    let [alpha, beta, bias] = [alpha, beta, bias].map(|(name, default)| f64::from(function.float(name, default)));
    let (_, channels, inner) = around(x.shape, 1);
    let data = operands.reals(0)?;
    let (below, above) = ((size - 1) / 2, size / 2);
    let value = |i: usize| {
        let c = i / inner % channels;
        let neighbours = c.saturating_sub(below)..=c.saturating_add(above).min(channels - 1);
        let sum: f64 = neighbours.map(|n| data[i - c * inner + n * inner].powi(2)).sum();
        data[i] / (bias + alpha / size as f64 * sum).powf(beta)
    };
    one(&x, &(0..data.len()).map(value).collect::<Vec<_>>())
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

/// `[x]`: each line along `axis` over its p-norm.
pub(super) fn lp_norm(function: &Function, operands: &Operands) -> Results {
    let (x, p) = (operands.tensor(0)?, function.int("p", 2));
    let mut data = operands.reals(0)?;
    along(&mut data, x.shape, axis(function, &x)?, |line| {
        let norm = match p {
            1 => line.iter().map(|x| x.abs()).sum::<f64>(),
            _ => line.iter().map(|x| x * x).sum::<f64>().sqrt(),
        };
        // A line of zeros stays one.
        let norm = if norm == 0.0 { 1.0 } else { norm };
        line.iter_mut().for_each(|x| *x /= norm);
    });
    one(&x, &data)
}

/// `[x]`: along `axis`, its logarithm with `log`.
pub(super) fn softmax(function: &Function, operands: &Operands) -> Results {
    let (x, log) = (operands.tensor(0)?, function.int("log", 0) != 0);
    let mut data = operands.reals(0)?;
    along(&mut data, x.shape, axis(function, &x)?, |line| {
        let high = line.iter().fold(f64::NEG_INFINITY, |high, x| high.max(*x));
        let sum: f64 = line.iter().map(|x| (x - high).exp()).sum();
        let shift = sum.ln();
        line.iter_mut().for_each(|x| *x = if log { *x - high - shift } else { (*x - high).exp() / sum });
    });
    one(&x, &data)
}
