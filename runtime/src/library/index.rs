//! Operations driven by index tensors. Negative indices count from the end; one out of range is an error.

use super::scalar::{Number, with_type};
use super::walk::{around, strides};
use super::{BinaryOp, LibraryError, ScatterKind, elements, elements_mut, expect};
use crate::{DType, TensorView, TensorViewMut};

/// The elements of an index tensor.
pub(super) fn indices(index: &TensorView) -> Result<Vec<i64>, LibraryError> {
    match index.dtype {
        DType::I64 => Ok(elements::<i64>(index)?.to_vec()),
        DType::I32 => Ok(elements::<i32>(index)?.iter().map(|i| i64::from(*i)).collect()),
        dtype => Err(LibraryError::Type { what: "an index", dtype }),
    }
}

/// An index as an offset into an extent.
fn resolve(index: i64, extent: usize) -> Result<usize, LibraryError> {
    let at = if index < 0 { index.checked_add(extent as i64) } else { Some(index) };
    let at = at.and_then(|i| usize::try_from(i).ok()).filter(|i| *i < extent);
    at.ok_or(LibraryError::Index { index, extent })
}

/// numpy `take` along an axis.
pub fn gather(axis: usize, x: &TensorView, index: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    let (outer, extent, inner) =
        around(x.shape, axis).ok_or(LibraryError::Operands { accepted: "an axis of the operand" })?;
    let row = inner * x.dtype.bytes();
    let index = indices(index)?;
    expect(x.dtype == out.dtype && out.bytes.len() == outer * index.len() * row, "a result of as many rows")?;
    if row == 0 {
        return Ok(());
    }
    for (i, to) in out.bytes.chunks_exact_mut(row).enumerate() {
        let at = i / index.len() * extent + resolve(index[i % index.len()], extent)?;
        to.copy_from_slice(&x.bytes[at * row..][..row]);
    }
    Ok(())
}

/// For each element of an index tensor, its offset in a tensor of `shape` where the coordinate on `axis` is the index.
fn element_offsets(axis: usize, shape: &[usize], index: &TensorView) -> Result<Vec<usize>, LibraryError> {
    let inside = |(d, (i, n)): (usize, (&usize, &usize))| d == axis || i <= n;
    let fits = index.shape.len() == shape.len() && index.shape.iter().zip(shape).enumerate().all(inside);
    expect(fits && axis < shape.len(), "an index of equal rank and no larger extents")?;
    let (to, [outer @ .., row]) = (strides(shape), index.shape) else { return Ok(vec![]) };
    let indices = indices(index)?;
    let mut offsets = Vec::with_capacity(indices.len());
    let steps = strides(outer);
    // A row at a time: the other coordinates are the same along it.
    for (i, elements) in indices.chunks(*row.max(&1)).enumerate() {
        let others = (0..outer.len()).filter(|d| *d != axis).map(|d| i / steps[d] % outer[d] * to[d]);
        let (base, step) = (others.sum::<usize>(), usize::from(axis != outer.len()));
        for (j, at) in elements.iter().enumerate() {
            offsets.push(base + j * step + resolve(*at, shape[axis])? * to[axis]);
        }
    }
    Ok(offsets)
}

/// `out[i][j] = x[index[i][j]][j]` and its like.
pub fn gather_elements(
    axis: usize,
    x: &TensorView,
    index: &TensorView,
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    expect(x.dtype == out.dtype && out.shape == index.shape, "a result of the index's shape")?;
    let width = x.dtype.bytes();
    expect(width > 0, "numbers and bool")?;
    let offsets = element_offsets(axis, x.shape, index)?;
    match width {
        1 => pick::<1>(x.bytes, &offsets, out.bytes),
        2 => pick::<2>(x.bytes, &offsets, out.bytes),
        4 => pick::<4>(x.bytes, &offsets, out.bytes),
        8 => pick::<8>(x.bytes, &offsets, out.bytes),
        _ => {
            for (to, at) in out.bytes.chunks_exact_mut(width).zip(offsets) {
                to.copy_from_slice(&x.bytes[at * width..][..width]);
            }
        }
    }
    Ok(())
}

/// Elements of `N` bytes at offsets.
fn pick<const N: usize>(from: &[u8], offsets: &[usize], to: &mut [u8]) {
    let from = from.as_chunks::<N>().0;
    to.as_chunks_mut::<N>().0.iter_mut().zip(offsets).for_each(|(to, at)| *to = from[*at]);
}

/// For each index tuple the offset of the slice it names, and the elements of a slice.
fn tuple_offsets(batch: usize, shape: &[usize], index: &TensorView) -> Result<(Vec<usize>, usize), LibraryError> {
    let length = index.shape.last().copied().unwrap_or(0);
    let fits = batch < index.shape.len() && batch + length <= shape.len() && shape[..batch] == index.shape[..batch];
    expect(fits, "index tuples no longer than the operand's rank")?;
    let all = strides(shape);
    let slice: usize = shape[batch + length..].iter().product();
    let tuples: usize = index.shape[..index.shape.len() - 1].iter().product();
    let per_batch: usize = index.shape[batch..index.shape.len() - 1].iter().product();
    let whole: usize = shape[batch..].iter().product();
    let index = indices(index)?;
    let offset = |t: usize| {
        let mut offset = if batch == 0 { 0 } else { t / per_batch * whole };
        for d in 0..length {
            offset += resolve(index[t * length + d], shape[batch + d])? * all[batch + d];
        }
        Ok(offset)
    };
    Ok(((0..tuples).map(offset).collect::<Result<_, LibraryError>>()?, slice))
}

/// Slices named by index tuples, after `batch` leading dimensions in common.
pub fn gather_nd(
    batch: usize,
    x: &TensorView,
    index: &TensorView,
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    let (offsets, slice) = tuple_offsets(batch, x.shape, index)?;
    let (width, bytes) = (x.dtype.bytes(), slice * x.dtype.bytes());
    expect(x.dtype == out.dtype && out.bytes.len() == offsets.len() * bytes, "a result of as many slices")?;
    if bytes == 0 {
        return Ok(());
    }
    for (to, at) in out.bytes.chunks_exact_mut(bytes).zip(offsets) {
        to.copy_from_slice(&x.bytes[at * width..][..bytes]);
    }
    Ok(())
}

fn meet<T: Number>(kind: ScatterKind, old: T, new: T) -> Result<T, LibraryError> {
    let op = match kind {
        ScatterKind::Replace => return Ok(new),
        ScatterKind::Add => BinaryOp::Add,
        ScatterKind::Mul => BinaryOp::Mul,
        ScatterKind::Max => BinaryOp::Max,
        ScatterKind::Min => BinaryOp::Min,
    };
    Ok(if T::FLOAT {
        T::of_float(op.float(old.float(), new.float()))
    } else {
        T::of_int(op.int(old.int(), new.int())?)
    })
}

fn scatter(
    kind: ScatterKind,
    offsets: &[usize],
    slice: usize,
    x: &TensorView,
    updates: &TensorView,
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    expect(x.dtype == out.dtype && x.shape == out.shape && updates.dtype == x.dtype, "operands of one type")?;
    expect(updates.len() == offsets.len() * slice, "as many updates as indices")?;
    out.bytes.copy_from_slice(x.bytes);
    with_type!(x.dtype, T => {
        let updates = elements::<T>(updates)?;
        let out = elements_mut::<T>(out)?;
        match (kind, slice) {
            (_, 0) => {}
            (ScatterKind::Replace, 1) => offsets.iter().zip(updates).for_each(|(at, new)| out[*at] = *new),
            (ScatterKind::Replace, _) => {
                for (at, new) in offsets.iter().zip(updates.chunks_exact(slice)) {
                    out[*at..][..slice].copy_from_slice(new);
                }
            }
            (_, 1) => {
                for (at, new) in offsets.iter().zip(updates) {
                    out[*at] = meet(kind, out[*at], *new)?;
                }
            }
            _ => {
                for (at, new) in offsets.iter().zip(updates.chunks_exact(slice)) {
                    for (old, new) in out[*at..][..slice].iter_mut().zip(new) {
                        *old = meet(kind, *old, *new)?;
                    }
                }
            }
        }
        Ok(())
    })
}

/// A copy of `x` with updates at the slices that index tuples name.
pub fn scatter_nd(
    kind: ScatterKind,
    x: &TensorView,
    index: &TensorView,
    updates: &TensorView,
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    let (offsets, slice) = tuple_offsets(0, x.shape, index)?;
    scatter(kind, &offsets, slice, x, updates, out)
}

/// A copy of `x` with `out[index[i][j]][j] = updates[i][j]` and its like.
pub fn scatter_elements(
    axis: usize,
    kind: ScatterKind,
    x: &TensorView,
    index: &TensorView,
    updates: &TensorView,
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    expect(updates.shape == index.shape, "updates of the index's shape")?;
    let offsets = element_offsets(axis, x.shape, index)?;
    scatter(kind, &offsets, 1, x, updates, out)
}

/// `values[1]` where the index is, `values[0]` elsewhere; the depth is the result's extent on `axis`. An index out of range
/// has no "on" element.
pub fn one_hot(
    axis: usize,
    index: &TensorView,
    values: &TensorView,
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    let (outer, depth, inner) =
        around(out.shape, axis).ok_or(LibraryError::Operands { accepted: "an axis of the result" })?;
    let width = out.dtype.bytes();
    let fits = values.dtype == out.dtype && values.len() == 2 && index.len() == outer * inner && width > 0;
    expect(fits, "two values of the result's type and an index of its other extents")?;
    let (off, on) = values.bytes.split_at(width);
    for to in out.bytes.chunks_exact_mut(width) {
        to.copy_from_slice(off);
    }
    with_type!(index.dtype, T => {
        for (i, at) in elements::<T>(index)?.iter().enumerate() {
            let at = if T::FLOAT { at.float() as i128 } else { at.int() };
            let at = if at < 0 { at + depth as i128 } else { at };
            if (0..depth as i128).contains(&at) {
                let to = (i / inner * depth + at as usize) * inner + i % inner;
                out.bytes[to * width..][..width].copy_from_slice(on);
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;
