//! Slice whose axes only a run can tell: how many there are, or which.

use super::super::elements::axis_of;
use super::super::function::{Function, Operands, Results};
use super::super::{expect, movement};
use crate::{Tensor, Value};

/// Operands `[x, starts, ends, axes, steps]`, the last two optional, as ONNX has them.
pub(super) fn slice(_: &Function, operands: &Operands) -> Results {
    let x = operands.tensor(0)?;
    let (starts, ends) = (operands.integers(1)?, operands.integers(2)?);
    let given = |i: usize| operands.get(i).is_some().then(|| operands.integers(i)).transpose();
    let axes = given(3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = given(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    let fits = [ends.len(), axes.len(), steps.len()].iter().all(|n| *n == starts.len());
    expect(fits && !steps.contains(&0), "as many starts, ends, axes and steps, no step of 0")?;
    let mut shape = x.shape.to_vec();
    let (mut found, mut begins) = (Vec::new(), Vec::new());
    for (i, axis) in axes.iter().enumerate() {
        let axis = axis_of(*axis, shape.len())?;
        expect(!found.contains(&axis), "axes that differ from each other")?;
        let (begin, count) = range(x.shape[axis] as i64, starts[i], ends[i], steps[i]);
        shape[axis] = count;
        found.push(axis);
        begins.push(begin);
    }
    let mut made = Tensor::zeros(x.dtype, &shape)?;
    movement::slice(&found, &begins, &steps, &x, &mut made.view_mut())?;
    Ok(vec![Value::Tensor(made)])
}

/// The first index and the number of indices of a slice of an extent.
fn range(extent: i64, start: i64, end: i64, step: i64) -> (i64, usize) {
    let from_start = |at: i64| if at < 0 { at.saturating_add(extent) } else { at };
    let (low, high) = if step > 0 { (0, extent) } else { (-1, extent - 1) };
    let (start, end) = (from_start(start).clamp(low.max(0).min(high), high), from_start(end).clamp(low, high));
    let (span, step_size) = if step > 0 { (end - start, step) } else { (start - end, step.saturating_neg()) };
    // Of an extent of 0 there is nothing, whatever the bounds.
    let count = if extent == 0 || span <= 0 { 0 } else { (span - 1) / step_size + 1 };
    (start, usize::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_those_of_numpy() {
        for (extent, start, end, step, want) in [
            (5, 1, 3, 1, (1, 2)),
            (5, -2, i64::MAX, 1, (3, 2)),
            (5, 0, -1, 2, (0, 2)),
            (5, i64::MIN, 2, 1, (0, 2)),
            (5, -1, i64::MIN, -1, (4, 5)),
            (5, 9, 1, -2, (4, 2)),
            (5, 3, 3, 1, (3, 0)),
            (5, 4, 1, 1, (4, 0)),
            (5, 7, 9, 1, (5, 0)),
            (5, 0, 5, i64::MAX, (0, 1)),
            (5, 4, -6, i64::MIN, (4, 1)),
        ] {
            assert_eq!(range(extent, start, end, step), want, "{start}:{end}:{step} of {extent}");
        }
        assert_eq!(range(0, 0, 1, 1).1, 0);
        assert_eq!(range(0, -1, i64::MIN, -1).1, 0);
    }
}
