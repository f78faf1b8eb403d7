//! Reductions, running sums, positions of extremes.

use super::scalar::{Number, with_type};
use super::walk::{around, last, merged, rows, strides};
use super::{LibraryError, ReduceKind, elements, elements_mut, expect};
use crate::{DType, TensorView, TensorViewMut};
use std::cmp::Ordering;
use std::convert::Infallible;

/// Reduces the listed dimensions. `out` holds one element per index of the others, in order; whether reduced dimensions stay
/// in its shape as 1 does not matter.
pub fn reduce(kind: ReduceKind, axes: &[usize], x: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    let rank = x.shape.len();
    expect(axes.iter().all(|a| *a < rank), "axes of the operand")?;
    expect(x.dtype == out.dtype, "operand and result of one type")?;
    let (kept, gone): (Vec<usize>, Vec<usize>) = (0..rank).partition(|i| !axes.contains(i));
    let extent = |dims: &[usize]| dims.iter().map(|i| x.shape[*i]).collect::<Vec<_>>();
    let all = strides(x.shape);
    let stride = |dims: &[usize]| dims.iter().map(|i| all[*i] as isize).collect::<Vec<_>>();
    let (outer, inner) = (extent(&kept), extent(&gone));
    expect(outer.iter().product::<usize>() == out.len(), "a result of the kept extents")?;
    let (outer, [outer_stride]) = merged(&outer, [&stride(&kept)]);
    let (inner, [inner_stride]) = merged(&inner, [&stride(&gone)]);
    with_type!(x.dtype, T => {
        let x = elements::<T>(x)?;
        let mut to = elements_mut::<T>(out)?.iter_mut();
        let step = outer_stride.last().copied().unwrap_or(0);
        rows(&outer, [&outer_stride], [0], |[mut at], length| {
            for to in to.by_ref().take(length) {
                *to = one::<T>(kind, x, &inner, &inner_stride, at)?;
                at += step;
            }
            Ok(())
        })
    })
}

fn one<T: Number>(
    kind: ReduceKind,
    x: &[T],
    extent: &[usize],
    strides: &[isize],
    begin: isize,
) -> Result<T, LibraryError> {
    let walk = Walk { x, extent, strides, begin };
    if T::FLOAT { Ok(T::of_float(one_float(kind, &walk))) } else { one_int(kind, &walk).map(T::of_int) }
}

/// The elements that make one result.
struct Walk<'a, T> {
    x: &'a [T],
    extent: &'a [usize],
    strides: &'a [isize],
    begin: isize,
}

impl<T: Number> Walk<'_, T> {
    fn each(&self, mut f: impl FnMut(T)) {
        let step = last(self.strides);
        let all = rows::<1, Infallible>(self.extent, [self.strides], [self.begin], |[mut at], length| {
            if step == 1 {
                self.x[at as usize..][..length].iter().for_each(|x| f(*x));
                return Ok(());
            }
            for _ in 0..length {
                f(self.x[at as usize]);
                at += step;
            }
            Ok(())
        });
        let Ok(()) = all;
    }
    fn sum(&self, of: impl Fn(f64) -> f64) -> f64 {
        let mut sum = 0f64;
        self.each(|x| sum += of(x.float()));
        sum
    }
    /// What is left of all by choosing of two; NaN when one is.
    fn best(&self, start: f64, of: impl Fn(f64, f64) -> f64) -> f64 {
        let mut best = (start, false);
        self.each(|x| best = (of(best.0, x.float()), best.1 | x.float().is_nan()));
        if best.1 { f64::NAN } else { best.0 }
    }
}

fn one_float<T: Number>(kind: ReduceKind, walk: &Walk<T>) -> f64 {
    match kind {
        ReduceKind::Sum => walk.sum(|x| x),
        ReduceKind::Mean => walk.sum(|x| x) / walk.extent.iter().product::<usize>() as f64,
        ReduceKind::L1 => walk.sum(f64::abs),
        ReduceKind::L2 => walk.sum(|x| x * x).sqrt(),
        ReduceKind::SumSquare => walk.sum(|x| x * x),
        ReduceKind::LogSum => walk.sum(|x| x).ln(),
        ReduceKind::Max => walk.best(f64::NEG_INFINITY, f64::max),
        ReduceKind::Min => walk.best(f64::INFINITY, f64::min),
        ReduceKind::Prod => {
            let mut product = 1f64;
            walk.each(|x| product *= x.float());
            product
        }
        ReduceKind::LogSumExp => {
            let mut high = f64::NEG_INFINITY;
            walk.each(|x| high = high.max(x.float()));
            if high.is_finite() { high + walk.sum(|x| (x - high).exp()).ln() } else { high }
        }
    }
}

fn one_int<T: Number>(kind: ReduceKind, walk: &Walk<T>) -> Result<i128, LibraryError> {
    let (mut sum, mut count, mut high, mut low, mut product) = (0i128, 0i128, None::<i128>, None::<i128>, 1i128);
    walk.each(|x| {
        let x = x.int();
        count += 1;
        high = Some(high.map_or(x, |h| h.max(x)));
        low = Some(low.map_or(x, |l| l.min(x)));
        match kind {
            ReduceKind::Prod => product = product.wrapping_mul(x),
            ReduceKind::L1 => sum += x.abs(),
            ReduceKind::L2 | ReduceKind::SumSquare => sum = sum.wrapping_add(x.wrapping_mul(x)),
            _ => sum += x,
        }
    });
    let empty = LibraryError::Operands { accepted: "at least one element" };
    Ok(match kind {
        ReduceKind::Sum | ReduceKind::L1 | ReduceKind::SumSquare => sum,
        ReduceKind::Mean if count == 0 => return Err(empty),
        ReduceKind::Mean => sum / count,
        ReduceKind::Max => high.ok_or(empty)?,
        ReduceKind::Min => low.ok_or(empty)?,
        ReduceKind::Prod => product,
        ReduceKind::L2 => (sum as f64).sqrt() as i128,
        ReduceKind::LogSum => (sum as f64).ln() as i128,
        ReduceKind::LogSumExp => {
            let mut total = 0f64;
            walk.each(|x| total += x.float().exp());
            total.ln() as i128
        }
    })
}

/// Positions (i64) of the largest or smallest elements along an axis; `last` takes the last of equal ones.
pub fn arg_reduce(
    min: bool,
    axis: usize,
    last: bool,
    x: &TensorView,
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    let (outer, extent, inner) =
        around(x.shape, axis).ok_or(LibraryError::Operands { accepted: "an axis of the operand" })?;
    expect(out.dtype == DType::I64 && out.len() == outer * inner && (extent > 0 || out.is_empty()), "an i64 result")?;
    with_type!(x.dtype, T => {
        let x = elements::<T>(x)?;
        for (i, to) in elements_mut::<i64>(out)?.iter_mut().enumerate() {
            let at = |k: usize| x[(i / inner * extent + k) * inner + i % inner];
            let mut best = 0;
            for k in 1..extent {
                let order = at(k).partial_cmp(&at(best));
                let better = if min { Ordering::Less } else { Ordering::Greater };
                if order == Some(better) || (last && order == Some(Ordering::Equal)) {
                    best = k;
                }
            }
            *to = best as i64;
        }
        Ok(())
    })
}

/// Running sums along an axis.
pub fn cum_sum(
    axis: usize,
    exclusive: bool,
    reverse: bool,
    x: &TensorView,
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    let (outer, extent, inner) =
        around(x.shape, axis).ok_or(LibraryError::Operands { accepted: "an axis of the operand" })?;
    expect(x.dtype == out.dtype && x.shape == out.shape, "a result of the operand's type")?;
    with_type!(x.dtype, T => {
        let x = elements::<T>(x)?;
        let to = elements_mut::<T>(out)?;
        let (mut whole, mut float) = (vec![0i128; inner], vec![0f64; inner]);
        for i in 0..outer {
            whole.fill(0);
            float.fill(0.0);
            for step in 0..extent {
                let k = if reverse { extent - 1 - step } else { step };
                let row = (i * extent + k) * inner;
                let sums = whole.iter_mut().zip(&mut float).zip(&x[row..][..inner]).zip(&mut to[row..][..inner]);
                for (((whole, float), x), to) in sums {
                    let before = if T::FLOAT { T::of_float(*float) } else { T::of_int(*whole) };
                    if T::FLOAT { *float += x.float() } else { *whole += x.int() }
                    *to = match (exclusive, T::FLOAT) {
                        (true, _) => before,
                        (false, true) => T::of_float(*float),
                        (false, false) => T::of_int(*whole),
                    };
                }
            }
        }
        Ok(())
    })
}
