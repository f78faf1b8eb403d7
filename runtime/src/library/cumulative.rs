//! Running sums along an axis that is an operand.

use super::LibraryError;
use super::function::{Entry, Function, Operands, Results, pure};
use crate::Tensor;

pub(super) const TABLE: &[Entry] = &[pure("cum_sum", cum_sum)];

fn cum_sum(function: &Function, operands: &Operands) -> Results {
    let x = operands.tensor(0)?;
    let wrong = || LibraryError::Operands { accepted: "an axis of the operand" };
    let [given] = operands.integers(1)?[..] else { return Err(wrong()) };
    let from_start = if given < 0 { given.saturating_add(x.shape.len() as i64) } else { given };
    let axis = usize::try_from(from_start).map_err(|_| wrong())?;
    let (exclusive, reverse) = (function.int("exclusive", 0) != 0, function.int("reverse", 0) != 0);
    let mut out = Tensor::zeros(x.dtype, x.shape)?;
    super::cum_sum(axis, exclusive, reverse, &x, &mut out.view_mut())?;
    Ok(vec![out.into()])
}

#[cfg(test)]
mod tests;
