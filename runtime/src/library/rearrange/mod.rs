//! Functions that put elements elsewhere: ReverseSequence, CenterCropPad, TensorScatter, EyeLike, BitCast, Col2Im, MaxUnpool,
//! Slice along axes that are data.

mod fold;
mod slice;

use super::elements::{Elements, axis_of, extents, index_of, named_type, product};
use super::function::{Entry, Function, Operands, Results, pure};
use super::scalar::{Number, with_type};
use super::walk::strides;
use super::{LibraryError, expect};
use crate::{Tensor, Value};

pub(super) const TABLE: &[Entry] = &[
    pure("reverse_sequence", reverse_sequence),
    pure("center_crop_pad", center_crop_pad),
    pure("tensor_scatter", tensor_scatter),
    pure("eye_like", eye_like),
    pure("bit_cast", bit_cast),
    pure("col2_im", fold::col2_im),
    pure("max_unpool", fold::max_unpool),
    pure("slice", slice::slice),
];

fn reverse_sequence(function: &Function, operands: &Operands) -> Results {
    let x = Elements::of(operands, 0)?;
    let lengths = operands.integers(1)?;
    let (time, batch) = (function.int("time_axis", 0), function.int("batch_axis", 1));
    expect((time, batch) == (0, 1) || (time, batch) == (1, 0), "the axes 0 and 1 as time and batch")?;
    expect(x.shape.len() >= 2, "a tensor of rank 2 and more")?;
    let [outer, inner] = [x.shape[0], x.shape[1]];
    let (steps, sequences) = if time == 0 { (outer, inner) } else { (inner, outer) };
    expect(lengths.len() == sequences, "one length for each sequence")?;
    let lengths = extents(&lengths)?;
    expect(lengths.iter().all(|n| *n <= steps), "lengths within the time axis")?;
    let source = |step: usize, sequence: usize| {
        let length = lengths[sequence];
        if step < length { length - 1 - step } else { step }
    };
    let picks = (0..outer).flat_map(|i| {
        (0..inner).map(move |j| Some(if time == 0 { source(i, j) * inner + j } else { i * inner + source(j, i) }))
    });
    Ok(vec![x.take(x.shape, product(&x.shape[2..])?, picks)?])
}

fn center_crop_pad(function: &Function, operands: &Operands) -> Results {
    let x = Elements::of(operands, 0)?;
    let wanted = extents(&operands.integers(1)?)?;
    let rank = x.shape.len();
    let axes: Vec<usize> = match function.ints("axes") {
        [] if !function.has("axes") => (0..rank).collect(),
        axes => axes.iter().map(|a| axis_of(*a, rank)).collect::<Result<_, _>>()?,
    };
    expect(axes.len() == wanted.len(), "one extent for each axis")?;
    let mut shape = x.shape.to_vec();
    axes.iter().zip(&wanted).for_each(|(axis, extent)| shape[*axis] = *extent);
    // A pixel that is over is cropped or added on the right.
    let shift: Vec<isize> = x
        .shape
        .iter()
        .zip(&shape)
        .map(|(from, to)| if from > to { ((from - to) / 2) as isize } else { -(((to - from) / 2) as isize) })
        .collect();
    let count = product(&shape)?;
    let run = if rank > 0 && shape[rank - 1] == x.shape[rank - 1] { shape[rank - 1].max(1) } else { 1 };
    let (steps, from) = (strides(&shape), strides(x.shape));
    let picks = (0..count / run).map(|i| {
        let mut place = 0;
        for d in 0..rank {
            let at = i * run / steps[d] % shape[d];
            let at = at.checked_add_signed(shift[d]).filter(|at| *at < x.shape[d])?;
            place += at * from[d];
        }
        Some(place / run)
    });
    Ok(vec![x.take(&shape, run, picks)?])
}

fn tensor_scatter(function: &Function, operands: &Operands) -> Results {
    let (past, update) = (operands.tensor(0)?, operands.tensor(1)?);
    expect(past.dtype == update.dtype, "a cache and an update of one type")?;
    let rank = past.shape.len();
    let axis = axis_of(function.int("axis", -2), rank)?;
    let circular = match function.text("mode", "linear") {
        "linear" => false,
        "circular" => true,
        _ => return Err(LibraryError::Operands { accepted: "the modes linear and circular" }),
    };
    let mut shape = update.shape.to_vec();
    expect(axis > 0 && shape.len() == rank && shape[axis] <= past.shape[axis], "an update no longer than the cache")?;
    let (long, short) = (past.shape[axis], shape[axis]);
    shape[axis] = long;
    expect(shape == past.shape, "an update that differs from the cache along its axis only")?;
    let begins = if operands.get(2).is_some() { operands.integers(2)? } else { vec![0; shape[0]] };
    expect(begins.len() == shape[0], "one write index for each sample")?;
    let mut made = Tensor::from_bytes(past.dtype, past.shape, past.bytes)?;
    if made.is_empty() || short == 0 {
        return Ok(vec![Value::Tensor(made)]);
    }
    let run = product(&shape[axis + 1..])?.saturating_mul(past.dtype.bytes());
    let rows = product(&shape[1..axis])?;
    let caches = made.bytes_mut().chunks_exact_mut(long * run).zip(update.bytes.chunks_exact(short * run));
    for (i, (cache, update)) in caches.enumerate() {
        let begin = begins[i / rows];
        let bad = || LibraryError::Index { index: begin, extent: long };
        let begin = usize::try_from(if circular { begin.rem_euclid(long as i64) } else { begin }).map_err(|_| bad())?;
        if begin > long || (!circular && begin + short > long) {
            return Err(bad());
        }
        let before_end = short.min(long - begin);
        let (first, rest) = update.split_at(before_end * run);
        cache[begin * run..][..first.len()].copy_from_slice(first);
        cache[..rest.len()].copy_from_slice(rest);
    }
    Ok(vec![Value::Tensor(made)])
}

fn eye_like(function: &Function, operands: &Operands) -> Results {
    let x = Elements::of(operands, 0)?;
    let [rows, columns] = x.shape else { return Err(LibraryError::Operands { accepted: "a tensor of rank 2" }) };
    let dtype = match function.text("dtype", "") {
        "" => operands.tensor(0)?.dtype,
        name => named_type(name)?,
    };
    let k = function.int("k", 0);
    let mut made = Tensor::zeros(dtype, x.shape)?;
    let rows = if *columns == 0 { 0 } else { *rows };
    with_type!(dtype, T => {
        let mut view = made.view_mut();
        let elements = super::elements_mut::<T>(&mut view)?;
        for row in 0..rows {
            let column = (row as i64).checked_add(k).and_then(|c| usize::try_from(c).ok());
            if let Some(column) = column.filter(|c| c < columns) {
                elements[row * columns + column] = T::of_int(1);
            }
        }
        Ok(())
    })?;
    Ok(vec![Value::Tensor(made)])
}

fn bit_cast(function: &Function, operands: &Operands) -> Results {
    let x = operands.tensor(0)?;
    let to = named_type(function.text("to", ""))?;
    expect(to.bytes() == x.dtype.bytes() && to.bytes() > 0, "types of one width")?;
    let mut made = Tensor::from_bytes(to, x.shape, x.bytes)?;
    if to == crate::DType::Bool {
        made.bytes_mut().iter_mut().for_each(|b| *b = u8::from(*b != 0));
    }
    Ok(vec![Value::Tensor(made)])
}

/// An index into a flattened tensor that is given as data.
fn flat(index: i64, count: usize) -> Result<usize, LibraryError> {
    if index < 0 { Err(LibraryError::Index { index, extent: count }) } else { index_of(index, count) }
}

#[cfg(test)]
mod tests;
