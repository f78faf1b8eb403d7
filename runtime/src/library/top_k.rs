//! The largest or smallest k elements along an axis.
//!
//! One pass keeps the candidates: elements before the k-th best one so far. Whenever they have become twice as many as are
//! wanted, a selection leaves the best k, and the last of them is the new limit; most elements are only compared with it.

use super::scalar::{Number, with_type};
use super::walk::around;
use super::{LibraryError, elements, elements_mut, expect};
use crate::{DType, TensorView, TensorViewMut};

/// Elements that are compared with the limit at once.
const BLOCK: usize = 32;

/// The largest or smallest elements along an axis, in order, and their positions (i64); how many, the results' shape says.
/// Of equal elements the first comes first. NaN counts as larger than every number.
pub fn top_k(
    axis: usize,
    largest: bool,
    x: &TensorView,
    values: &mut TensorViewMut,
    positions: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    let wrong = LibraryError::Operands { accepted: "results of the operand's shape but for the axis" };
    let (outer, extent, inner) = around(x.shape, axis).ok_or_else(|| wrong.clone())?;
    let (same, k, after) = around(values.shape, axis).ok_or_else(|| wrong.clone())?;
    let fits = (same, after) == (outer, inner) && k <= extent && positions.shape == values.shape;
    expect(fits && values.dtype == x.dtype && positions.dtype == DType::I64, "results of the operand's shape and i64")?;
    if values.is_empty() {
        return Ok(());
    }
    with_type!(x.dtype, T => {
        let x = elements::<T>(x)?;
        let (values, positions) = (elements_mut::<T>(values)?, elements_mut::<i64>(positions)?);
        let (mut line, mut best) = (Vec::new(), Best::new(k, extent));
        for (i, slab) in x.chunks_exact(extent * inner).enumerate() {
            for column in 0..inner {
                let line: &[T] = if inner == 1 {
                    slab
                } else {
                    line.clear();
                    line.extend(slab.iter().skip(column).step_by(inner));
                    &line
                };
                let to = (i * k * inner + column..).step_by(inner);
                for ((_, from), to) in best.of(line, largest).iter().zip(to) {
                    values[to] = line[*from];
                    positions[to] = *from as i64;
                }
            }
        }
        Ok(())
    })
}

/// An integer that is the smaller the earlier the element comes. Floats are in total order, but for zeros, which are equal.
fn key<T: Number>(x: T, largest: bool) -> u64 {
    const SIGN: u64 = 1 << 63;
    let ascending = if T::FLOAT {
        let bits = (x.float() + 0.0).to_bits();
        if bits & SIGN == 0 { bits | SIGN } else { !bits }
    } else if T::of_int(-1) < T::of_int(0) {
        x.int() as u64 ^ SIGN
    } else {
        x.int() as u64
    };
    if largest { !ascending } else { ascending }
}

/// The candidates of one line after the other.
struct Best {
    k: usize,
    /// Candidates are thinned out when they are as many.
    full: usize,
    /// Key and position.
    found: Vec<(u64, usize)>,
}

impl Best {
    /// For lines of `extent` elements, of which `k` are wanted: at least one, and no more than there are.
    fn new(k: usize, extent: usize) -> Best {
        let full = k.saturating_mul(2).max(2 * BLOCK).min(extent);
        Best { k, full, found: Vec::with_capacity(full) }
    }

    /// Keys and positions of the best elements of a line, in order.
    fn of<T: Number>(&mut self, line: &[T], largest: bool) -> &[(u64, usize)] {
        self.found.clear();
        let (head, tail) = line.split_at(self.full.min(line.len()));
        self.found.extend(head.iter().enumerate().map(|(at, x)| (key(*x, largest), at)));
        let mut limit = self.thin();
        for (block, part) in tail.chunks(BLOCK).enumerate() {
            let bound = line[self.found[self.k - 1].1];
            // What lies clearly behind the limit is no candidate; equals, zeros of either sign and NaN are looked at.
            let behind = |x: &T| if largest { *x < bound } else { *x > bound };
            if part.iter().fold(true, |all, x| all & behind(x)) {
                continue;
            }
            for (x, at) in part.iter().zip(head.len() + block * BLOCK..) {
                let key = key(*x, largest);
                if key < limit {
                    self.found.push((key, at));
                    if self.found.len() == self.full {
                        limit = self.thin();
                    }
                }
            }
        }
        self.thin();
        self.found.sort_unstable();
        &self.found
    }

    /// Leaves the best `k` candidates. When there were more, the last one of these is in the last place, and its key the limit.
    fn thin(&mut self) -> u64 {
        if self.found.len() > self.k {
            self.found.select_nth_unstable(self.k - 1);
            self.found.truncate(self.k);
        }
        self.found.last().map_or(u64::MAX, |(key, _)| *key)
    }
}

#[cfg(test)]
mod tests;
