//! Pooling in any number of dimensions.

use super::Window;
use crate::library::LibraryError;
use crate::library::elements::product;
use crate::library::function::{Function, Operands, Results};
use crate::library::real::{Real, in_real, zeros};
use crate::{DType, Tensor};

/// What becomes of the elements of a window.
#[derive(Clone, Copy)]
enum PoolKind {
    Max,
    /// `count_pad`: padding counts as elements.
    Average {
        count_pad: bool,
    },
    /// p-norm.
    Lp {
        p: i32,
    },
}

/// The elements of one window along one dimension: positions inside the input, and how many positions count when padding does.
#[derive(Clone, Copy)]
struct Line {
    first: usize,
    count: usize,
    dilation: usize,
    padded: usize,
}

impl Line {
    fn positions(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |k| self.first + k * self.dilation)
    }
}

fn lines(window: &Window, d: usize, input: usize, output: usize, pad: (i64, i64)) -> Vec<Line> {
    let (stride, dilation) = (window.stride[d] as i64, window.dilation[d] as i64);
    let line = |o: usize| {
        let begin = o as i64 * stride - pad.0;
        let first = if begin < 0 { (-begin + dilation - 1) / dilation } else { 0 };
        let last = (input as i64 - begin + dilation - 1).div_euclid(dilation).min(window.kernel[d] as i64);
        // Positions past the padding, where rounding up put a window, never count.
        let reach = input as i64 + pad.1 - begin;
        let padded = (reach + dilation - 1).div_euclid(dilation).clamp(0, window.kernel[d] as i64) as usize;
        let count = (last - first).max(0) as usize;
        let first = if count > 0 { (begin + first * dilation) as usize } else { 0 };
        Line { first, count, dilation: window.dilation[d], padded }
    };
    (0..output).map(line).collect()
}

/// Offsets in a plane of where the innermost lines of a window begin, in order, for a window with these lines in the
/// dimensions before the last one.
fn line_offsets(outer: &[Line], extents: &[usize], offsets: &mut Vec<usize>) {
    offsets.clear();
    offsets.push(0);
    for (line, extent) in outer.iter().zip(extents) {
        *offsets = offsets.iter().flat_map(|at| line.positions().map(move |p| at * extent + p)).collect();
    }
    let last = extents.last().copied().unwrap_or(1);
    offsets.iter_mut().for_each(|at| *at *= last);
}

/// Offset in a plane whose first spatial dimension varies fastest.
fn column_major(offset: usize, extents: &[usize]) -> usize {
    let (mut rest, mut at) = (offset, vec![0; extents.len()]);
    for d in (0..extents.len()).rev() {
        at[d] = rest % extents[d];
        rest /= extents[d];
    }
    at.iter().zip(extents).rev().fold(0, |n, (at, extent)| n * extent + at)
}

/// `[x]`: the values, and with `kind` max the indices of the maxima in x taken flat.
pub(super) fn pool(function: &Function, operands: &Operands) -> Results {
    in_real!(operands.tensor(0)?.dtype, pool_in(function, operands))
}

fn pool_in<R: Real>(function: &Function, operands: &Operands) -> Results {
    let x = operands.tensor(0)?;
    let window = Window::of(function, x.shape.len())?;
    let column = function.int("column_major", 0) != 0;
    let kind = match function.text("kind", "") {
        "max" => PoolKind::Max,
        "average" => PoolKind::Average { count_pad: function.int("count_pad", 0) != 0 },
        "lp" => PoolKind::Lp { p: i32::try_from(function.int("p", 2)).unwrap_or(2) },
        _ => return Err(LibraryError::Operands { accepted: "pooling by max, average or lp" }),
    };
    let (extents, spatial) = (&x.shape[2..], &window.output);
    let (before, after) = (&window.before, &window.after);
    let mut all: Vec<Vec<Line>> =
        (0..extents.len()).map(|d| lines(&window, d, extents[d], spatial[d], (before[d], after[d]))).collect();
    let inner = all.pop().unwrap_or_default();
    let shape = [&x.shape[..2], &spatial[..]].concat();
    let plane = product(extents)?;
    let planes = product(&x.shape[..2])?;
    let data = R::elements(&x)?;
    let (mut values, mut indices) = (zeros::<R>(&shape)?, Tensor::zeros(DType::I64, &shape)?);
    if values.is_empty() {
        return Ok(vec![R::tensor(x.dtype, &shape, &values)?.into(), indices.into()]);
    }
    let windows = product(&spatial[..spatial.len() - 1])?;
    let mut to = values.chunks_exact_mut(inner.len()).zip(indices.as_mut_slice::<i64>()?.chunks_exact_mut(inner.len()));
    let (mut outer, mut offsets) = (vec![], vec![]);
    for p in 0..planes {
        let x = &data[p * plane..][..plane];
        for (window, (values, indices)) in (0..windows).zip(&mut to) {
            outer.clear();
            let mut rest = window;
            for lines in all.iter().rev() {
                outer.push(lines[rest % lines.len()]);
                rest /= lines.len();
            }
            outer.reverse();
            line_offsets(&outer, extents, &mut offsets);
            let padded: usize = outer.iter().map(|l| l.padded).product();
            for ((value, index), line) in values.iter_mut().zip(indices).zip(&inner) {
                let (found, at) = match kind {
                    PoolKind::Max => maximum(x, &offsets, *line),
                    _ => (R::of(mean(x, &offsets, *line, kind, padded * line.padded)), 0),
                };
                *value = found;
                let at = if column { column_major(at, extents) } else { at };
                *index = (p * plane + at) as i64;
            }
        }
    }
    Ok(vec![R::tensor(x.dtype, &shape, &values)?.into(), indices.into()])
}

/// The offsets of a window's elements, in order.
fn window<'a>(offsets: &'a [usize], line: Line) -> impl Iterator<Item = usize> + 'a {
    offsets.iter().flat_map(move |from| line.positions().map(move |at| from + at))
}

/// The largest element of a window, and where it is: the first of equals. NaN is the result wherever there is one, but no place.
fn maximum<R: Real>(x: &[R], offsets: &[usize], line: Line) -> (R, usize) {
    let mut all = window(offsets, line);
    let Some(mut at) = all.next() else { return (R::of(f64::NEG_INFINITY), 0) };
    let mut best = x[at];
    for offset in all {
        let value = x[offset];
        let larger = value > best;
        at = if larger { offset } else { at };
        best = if larger | value.wide().is_nan() { value } else { best };
    }
    (best, at)
}

/// What other poolings make of a window; with its padding it has `padded` elements.
fn mean<R: Real>(x: &[R], offsets: &[usize], line: Line, kind: PoolKind, padded: usize) -> f64 {
    let sum = |of: &dyn Fn(f64) -> f64| window(offsets, line).fold(0.0, |sum, at| sum + of(x[at].wide()));
    match kind {
        PoolKind::Max => f64::NEG_INFINITY,
        PoolKind::Average { count_pad: true } => sum(&|x| x) / padded as f64,
        PoolKind::Average { count_pad: false } => sum(&|x| x) / (offsets.len() * line.count) as f64,
        PoolKind::Lp { p } => sum(&|x| x.abs().powi(p)).powf(1.0 / f64::from(p)),
    }
}

#[cfg(test)]
mod tests;
