//! Pooling in any number of dimensions.

use super::Window;
use crate::Tensor;
use crate::library::LibraryError;
use crate::library::function::{Function, Operands, Results, from_reals};

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

/// The elements of one window along one dimension: input positions inside, and how many positions count when padding does.
struct Line {
    inside: Vec<usize>,
    padded: usize,
}

fn lines(window: &Window, d: usize, input: usize, output: usize, pad: (i64, i64)) -> Vec<Line> {
    let (stride, dilation) = (window.stride[d] as i64, window.dilation[d] as i64);
    let line = |o: usize| {
        let begin = o as i64 * stride - pad.0;
        let first = if begin < 0 { (-begin + dilation - 1) / dilation } else { 0 };
        let last = (input as i64 - begin + dilation - 1).div_euclid(dilation).min(window.kernel[d] as i64);
        let inside = (first..last).map(|k| (begin + k * dilation) as usize).collect();
        // Positions past the padding, where rounding up put a window, never count.
        let reach = input as i64 + pad.1 - begin;
        let padded = (reach + dilation - 1).div_euclid(dilation).clamp(0, window.kernel[d] as i64) as usize;
        Line { inside, padded }
    };
    (0..output).map(line).collect()
}

/// Calls `f` with the offset of every combination of positions in row-major order.
fn each(lines: &[&Line], extents: &[usize], offset: usize, f: &mut dyn FnMut(usize)) {
    match (lines, extents) {
        ([line, lines @ ..], [extent, extents @ ..]) => {
            for at in &line.inside {
                each(lines, extents, offset * extent + at, f);
            }
        }
        _ => f(offset),
    }
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
    let x = operands.tensor(0)?;
    let window = Window::of(function, x.shape.len())?;
    let column = function.int("column_major", 0) != 0;
    let kind = match function.text("kind", "") {
        "max" => PoolKind::Max,
        "average" => PoolKind::Average { count_pad: function.int("count_pad", 0) != 0 },
        "lp" => PoolKind::Lp { p: i32::try_from(function.int("p", 2)).unwrap_or(2) },
        _ => return Err(LibraryError::Operands { accepted: "pooling by max, average or lp" }),
    };
    let (extents, spatial) = (x.shape[2..].to_vec(), &window.output);
    let (before, after) = (&window.before, &window.after);
    let all: Vec<Vec<Line>> =
        (0..extents.len()).map(|d| lines(&window, d, extents[d], spatial[d], (before[d], after[d]))).collect();
    let plane: usize = extents.iter().product();
    let out_plane: usize = spatial.iter().product();
    let data = operands.reals(0)?;
    let planes = x.shape[0] * x.shape[1];
    let mut values = Vec::with_capacity(planes * out_plane);
    let mut positions = Vec::with_capacity(planes * out_plane);
    for p in 0..planes {
        for o in 0..out_plane {
            let mut rest = o;
            let mut here: Vec<&Line> = Vec::with_capacity(extents.len());
            for d in (0..extents.len()).rev() {
                here.insert(0, &all[d][rest % spatial[d]]);
                rest /= spatial[d];
            }
            let (value, at) = one(&data[p * plane..][..plane], &extents, &here, kind);
            values.push(value);
            let at = if column { column_major(at, &extents) } else { at };
            positions.push((p * plane + at) as i64);
        }
    }
    let shape = [&x.shape[..2], &spatial[..]].concat();
    Ok(vec![from_reals(x.dtype, &shape, &values)?.into(), Tensor::from_slice(&shape, &positions)?.into()])
}

/// The pooled value of a window and, for the maximum, where it is.
fn one(x: &[f64], extents: &[usize], lines: &[&Line], kind: PoolKind) -> (f64, usize) {
    let (mut sum, mut count, mut best, mut at) = (0f64, 0usize, f64::NEG_INFINITY, None);
    each(lines, extents, 0, &mut |offset| {
        let value = x[offset];
        count += 1;
        match kind {
            PoolKind::Max if value > best || at.is_none() => (best, at) = (value, Some(offset)),
            PoolKind::Max if value.is_nan() => best = value,
            PoolKind::Max => {}
            PoolKind::Average { .. } => sum += value,
            PoolKind::Lp { p } => sum += value.abs().powi(p),
        }
    });
    let value = match kind {
        PoolKind::Max => best,
        PoolKind::Average { count_pad: true } => sum / lines.iter().map(|l| l.padded).product::<usize>() as f64,
        PoolKind::Average { count_pad: false } => sum / count as f64,
        PoolKind::Lp { p } => sum.powf(1.0 / f64::from(p)),
    };
    (value, at.unwrap_or(0))
}
