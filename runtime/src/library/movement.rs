//! Operations that only move elements, on every element type, and those that make tensors from numbers.

use super::scalar::{Number, with_type};
use super::walk::{around, broadcast_strides, rows, strides};
use super::{LibraryError, PadMode, elements, elements_mut, expect};
use crate::{TensorView, TensorViewMut};

/// Copies `out.shape` elements from `x`, walking it from `begin` with these strides (in elements).
/// The caller has checked that every offset is inside.
fn strided(x: &TensorView, begin: isize, from: &[isize], out: &mut TensorViewMut) -> Result<(), LibraryError> {
    let width = x.dtype.bytes();
    expect(x.dtype == out.dtype && width > 0, "operand and result of one type, numbers or bool")?;
    let step = from.last().copied().unwrap_or(0);
    let shape = out.shape;
    let mut done = 0;
    rows(shape, [from], [begin], |[mut at], length| {
        let to = &mut out.bytes[done * width..][..length * width];
        done += length;
        if step == 1 {
            to.copy_from_slice(&x.bytes[at as usize * width..][..length * width]);
            return Ok(());
        }
        for to in to.chunks_exact_mut(width) {
            to.copy_from_slice(&x.bytes[at as usize * width..][..width]);
            at += step;
        }
        Ok(())
    })
}

/// The same elements under another shape.
pub fn copy(x: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    expect(x.dtype == out.dtype && x.bytes.len() == out.bytes.len(), "a result of as many elements")?;
    out.bytes.copy_from_slice(x.bytes);
    Ok(())
}

/// Result dimension i is operand dimension `perm[i]`.
pub fn transpose(perm: &[usize], x: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    let fits =
        sorted.iter().copied().eq(0..x.shape.len()) && perm.iter().map(|p| x.shape[*p]).eq(out.shape.iter().copied());
    expect(fits, "a permutation of the operand's dimensions")?;
    let all = strides(x.shape);
    let from: Vec<isize> = perm.iter().map(|p| all[*p] as isize).collect();
    strided(x, 0, &from, out)
}

/// Elements `start`, `start + step`, ... of each listed axis, as many as the result's extents say; starts count from 0.
pub fn slice(
    axes: &[usize],
    starts: &[i64],
    steps: &[i64],
    x: &TensorView,
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    expect(starts.len() == axes.len() && steps.len() == axes.len(), "a start and a step per axis")?;
    expect(x.shape.len() == out.shape.len(), "a result of the operand's rank")?;
    if out.is_empty() {
        return Ok(());
    }
    let mut from: Vec<isize> = strides(x.shape).into_iter().map(|s| s as isize).collect();
    let mut begin = 0;
    for (d, stride) in from.iter_mut().enumerate() {
        let (start, step) = axes.iter().position(|a| *a == d).map_or((0, 1), |i| (starts[i], steps[i]));
        let last = step.checked_mul(out.shape[d] as i64 - 1).and_then(|n| n.checked_add(start));
        let extent = x.shape[d] as i64;
        let inside = (0..extent).contains(&start) && last.is_some_and(|l| (0..extent).contains(&l));
        expect(inside, "a slice inside the operand")?;
        begin += start as isize * *stride;
        *stride = stride.saturating_mul(step as isize);
    }
    strided(x, begin, &from, out)
}

/// The operands one after the other along an axis.
pub fn concat(axis: usize, inputs: &[TensorView], out: &mut TensorViewMut) -> Result<(), LibraryError> {
    let wrong = LibraryError::Operands { accepted: "operands of one type and shape but for the axis" };
    let (outer, _, inner) = around(out.shape, axis).ok_or_else(|| wrong.clone())?;
    let width = out.dtype.bytes();
    let mut rows = Vec::with_capacity(inputs.len());
    for x in inputs {
        let (before, extent, after) = around(x.shape, axis).ok_or_else(|| wrong.clone())?;
        expect(x.dtype == out.dtype && before == outer && after == inner, "operands of one type and shape")?;
        rows.push(extent * inner * width);
    }
    let whole: usize = rows.iter().sum();
    expect(whole.checked_mul(outer) == Some(out.bytes.len()), "a result as long as the operands together")?;
    let mut at = 0;
    for i in 0..outer {
        for (x, row) in inputs.iter().zip(&rows) {
            out.bytes[at..at + row].copy_from_slice(&x.bytes[i * row..][..*row]);
            at += row;
        }
    }
    Ok(())
}

/// Broadcast to the result's shape.
pub fn expand(x: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    let from = broadcast_strides(x.shape, out.shape)
        .ok_or(LibraryError::Operands { accepted: "an operand that broadcasts to the result" })?;
    strided(x, 0, &from, out)
}

/// Source offsets of a result whose dimension d reads index `map[d][i]` of the operand (`None`: nothing there).
fn mapped(
    x: &TensorView,
    map: &[Vec<Option<usize>>],
    fill: &[u8],
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    let width = x.dtype.bytes();
    expect(x.dtype == out.dtype && width > 0, "operand and result of one type, numbers or bool")?;
    let from = strides(x.shape);
    let to_strides = strides(out.shape);
    let Some((last, outer)) = map.split_last() else { return copy(x, out) };
    let row = last.len();
    if row == 0 {
        return Ok(());
    }
    for (r, to) in out.bytes.chunks_exact_mut(row * width).enumerate() {
        let mut offset = Some(0);
        for (d, line) in outer.iter().enumerate() {
            let at = line[r * row / to_strides[d] % line.len()];
            offset = offset.zip(at).map(|(o, at)| o + at * from[d]);
        }
        for (to, at) in to.chunks_exact_mut(width).zip(last) {
            match offset.zip(*at) {
                Some((o, at)) => to.copy_from_slice(&x.bytes[(o + at) * width..][..width]),
                None => to.copy_from_slice(&fill[..width]),
            }
        }
    }
    Ok(())
}

/// The operand repeated until the result is full.
pub fn tile(x: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    let fits = x.shape.len() == out.shape.len()
        && x.shape.iter().zip(out.shape).all(|(n, m)| if *n == 0 { *m == 0 } else { m % n == 0 });
    expect(fits, "a result of multiples of the operand's extents")?;
    let map: Vec<Vec<_>> =
        x.shape.iter().zip(out.shape).map(|(n, m)| (0..*m).map(|i| i.checked_rem(*n)).collect()).collect();
    mapped(x, &map, &[0; 8], out)
}

/// Padding before (and implicitly after) each dimension; negative crops.
pub fn pad(mode: PadMode, before: &[i64], x: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    expect(x.shape.len() == out.shape.len() && before.len() == x.shape.len(), "padding for each dimension")?;
    let mut map = Vec::with_capacity(before.len());
    for ((n, m), begin) in x.shape.iter().zip(out.shape).zip(before) {
        let n = *n as i64;
        // What is left of the dimension when negative padding has cropped it is what repeats.
        let end = (*m as i64).saturating_sub(n).saturating_sub(*begin);
        let (low, rest) = (begin.min(&0).saturating_neg(), n.saturating_add(*begin.min(&0)).saturating_add(end.min(0)));
        let line: Vec<Option<usize>> = (0..*m as i64)
            .map(|i| {
                let at = i.checked_sub(*begin)?;
                let at = match mode {
                    PadMode::Constant(_) => at,
                    PadMode::Edge => at.clamp(0, (n - 1).max(0)),
                    PadMode::Wrap => at.checked_sub(low)?.checked_rem_euclid(rest.max(0))?.checked_add(low)?,
                    PadMode::Reflect if n == 1 => 0,
                    PadMode::Reflect => {
                        let period = 2 * (n - 1);
                        let at = at.checked_rem_euclid(period)?;
                        if at < n { at } else { period - at }
                    }
                };
                usize::try_from(at).ok().filter(|at| (*at as i64) < n)
            })
            .collect();
        map.push(line);
    }
    let fill = if let PadMode::Constant(value) = mode { number(out.dtype, value)? } else { [0; 8] };
    mapped(x, &map, &fill, out)
}

/// The bytes of a number as this element type.
fn number(dtype: crate::DType, value: f64) -> Result<[u8; 8], LibraryError> {
    let mut bytes = [0; 8];
    if dtype.is_narrow() {
        bytes[0] = super::encode(dtype, value, true, super::PowerRounding::Up);
        return Ok(bytes);
    }
    with_type!(dtype, T => {
        let x = T::of_float(value);
        bytes[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&x));
        Ok(())
    })?;
    if dtype == crate::DType::Bool {
        bytes[0] = u8::from(value != 0.0);
    }
    Ok(bytes)
}

/// One number everywhere.
pub fn fill(value: f64, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    let element = number(out.dtype, value)?;
    let width = out.dtype.bytes().max(1);
    for to in out.bytes.chunks_exact_mut(width) {
        to.copy_from_slice(&element[..width]);
    }
    Ok(())
}

/// These integers, converted to the result's type.
pub fn integers(values: &[i64], out: &mut TensorViewMut) -> Result<(), LibraryError> {
    expect(values.len() == out.len(), "as many elements as there are integers")?;
    with_type!(out.dtype, T => {
        for (to, x) in elements_mut::<T>(out)?.iter_mut().zip(values) {
            *to = T::of_int(i128::from(*x));
        }
        Ok(())
    })
}

/// `start`, `start + delta`, ... as many as the result has elements.
pub fn range(start: &TensorView, delta: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    expect(start.len() == 1 && delta.len() == 1, "scalars")?;
    expect(start.dtype == out.dtype && delta.dtype == out.dtype, "operands of the result's type")?;
    with_type!(out.dtype, T => {
        let (start, delta) = (elements::<T>(start)?[0], elements::<T>(delta)?[0]);
        for (i, to) in elements_mut::<T>(out)?.iter_mut().enumerate() {
            *to = if T::FLOAT {
                T::of_float(start.float() + i as f64 * delta.float())
            } else {
                T::of_int(start.int() + i as i128 * delta.int())
            };
        }
        Ok(())
    })
}

/// Upper or lower triangle of the last two dimensions, zero elsewhere; `k` moves the diagonal to the right.
pub fn trilu(upper: bool, k: i64, x: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    let [.., rows, columns] = *x.shape else {
        return Err(LibraryError::Operands { accepted: "rank 2 and more" });
    };
    expect(x.dtype == out.dtype && x.shape == out.shape, "a result of the operand's type")?;
    out.bytes.copy_from_slice(x.bytes);
    let width = x.dtype.bytes().max(1);
    if columns == 0 {
        return Ok(());
    }
    for (r, row) in out.bytes.chunks_exact_mut(columns * width).enumerate() {
        let diagonal = (r % rows.max(1)) as i128 + i128::from(k);
        let before = |column: i128| usize::try_from(column).unwrap_or(0).min(columns) * width;
        if upper {
            row[..before(diagonal)].fill(0);
        } else {
            row[before(diagonal + 1)..].fill(0);
        }
    }
    Ok(())
}

/// `[n, c, h, w]` to `[n, c / b^2, h * b, w * b]`.
pub fn depth_to_space(block: usize, crd: bool, x: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    let [n, c, h, w] = *x.shape else { return Err(LibraryError::Operands { accepted: "rank 4" }) };
    let area = block.checked_mul(block).filter(|a| *a > 0 && c % a == 0);
    let area = area.ok_or(LibraryError::Operands { accepted: "channels that are a multiple of the block" })?;
    let depth = c / area;
    expect(out.shape == [n, depth, h * block, w * block], "a result of the block's extents")?;
    let split = if crd { [n, depth, block, block, h, w] } else { [n, block, block, depth, h, w] };
    let perm = if crd { [0, 1, 4, 2, 5, 3] } else { [0, 3, 4, 1, 5, 2] };
    permuted(&split, &perm, x, out)
}

/// The inverse of [`depth_to_space`] (DCR).
pub fn space_to_depth(block: usize, x: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    let [n, c, h, w] = *x.shape else { return Err(LibraryError::Operands { accepted: "rank 4" }) };
    expect(block > 0 && h % block == 0 && w % block == 0, "planes that are multiples of the block")?;
    expect(out.len() == x.len() && out.shape.len() == 4, "a result of the block's extents")?;
    permuted(&[n, c, h / block, block, w / block, block], &[0, 3, 5, 1, 2, 4], x, out)
}

/// A transposition of the operand read under another shape, written under the result's.
fn permuted(split: &[usize], perm: &[usize], x: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    let shape: Vec<usize> = perm.iter().map(|p| split[*p]).collect();
    let view = TensorView { dtype: x.dtype, shape: split, bytes: x.bytes };
    let mut to = TensorViewMut { dtype: out.dtype, shape: &shape, bytes: out.bytes };
    transpose(perm, &view, &mut to)
}
