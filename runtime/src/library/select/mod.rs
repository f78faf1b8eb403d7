//! Functions whose results are as large as their data says: NonZero, Compress, Unique.

use super::elements::{Elements, axis_of, product};
use super::function::{Entry, Function, Operands, Results, pure};
use super::scalar::{Number, with_type};
use super::{LibraryError, expect};
use crate::{Operand, Tensor, TensorView, Value};
use std::cmp::Ordering;

pub(super) const TABLE: &[Entry] = &[pure("non_zero", non_zero), pure("compress", compress), pure("unique", unique)];

fn integers(shape: &[usize], values: &[i64]) -> Result<Value, LibraryError> {
    Ok(Value::Tensor(Tensor::from_slice(shape, values)?))
}

/// Places of the elements that are not zero (texts: not empty), counted in the flattened tensor.
fn places(operands: &Operands) -> Result<Vec<usize>, LibraryError> {
    let mut found = vec![];
    if let Some(Operand::Value(Value::Strings(texts))) = operands.get(0) {
        found.extend(texts.elements().iter().enumerate().filter(|(_, t)| !t.is_empty()).map(|(i, _)| i));
        return Ok(found);
    }
    let x = operands.tensor(0)?;
    with_type!(x.dtype, T => {
        let zero = T::of_int(0);
        let elements = super::elements::<T>(&x)?;
        found.extend(elements.iter().enumerate().filter(|(_, x)| **x != zero).map(|(i, _)| i));
        Ok(())
    })?;
    Ok(found)
}

fn non_zero(_: &Function, operands: &Operands) -> Results {
    let shape = Elements::of(operands, 0)?.shape;
    let found = places(operands)?;
    let mut made = vec![0; shape.len() * found.len()];
    let mut stride = 1;
    // Row by row from the last dimension: the coordinate is what the faster dimensions leave.
    for (row, extent) in made.chunks_exact_mut(found.len().max(1)).rev().zip(shape.iter().rev()) {
        for (to, place) in row.iter_mut().zip(&found) {
            *to = (place / stride % extent) as i64;
        }
        stride *= extent.max(&1);
    }
    Ok(vec![integers(&[shape.len(), found.len()], &made)?])
}

/// Rows, extent and run of a tensor around an axis; without one it is flattened.
fn around(shape: &[usize], axis: Option<usize>) -> Result<(usize, usize, usize), LibraryError> {
    Ok(match axis {
        Some(axis) => (product(&shape[..axis])?, shape[axis], product(&shape[axis + 1..])?),
        None => (1, product(shape)?, 1),
    })
}

fn axis(function: &Function, rank: usize) -> Result<Option<usize>, LibraryError> {
    if function.has("axis") { Ok(Some(axis_of(function.int("axis", 0), rank)?)) } else { Ok(None) }
}

fn compress(function: &Function, operands: &Operands) -> Results {
    let x = Elements::of(operands, 0)?;
    let condition = operands.tensor(1)?;
    expect(condition.dtype == crate::DType::Bool && condition.shape.len() == 1, "a list of booleans as condition")?;
    let axis = axis(function, x.shape.len())?;
    let (rows, extent, run) = around(x.shape, axis)?;
    expect(condition.bytes.len() <= extent, "a condition no longer than the dimension")?;
    let chosen: Vec<usize> = condition.bytes.iter().enumerate().filter(|(_, c)| **c != 0).map(|(i, _)| i).collect();
    let mut shape = if axis.is_some() { x.shape.to_vec() } else { vec![0] };
    shape[axis.unwrap_or(0)] = chosen.len();
    let picks = (0..rows).flat_map(|row| chosen.iter().map(move |i| Some(row * extent + i)));
    Ok(vec![x.take(&shape, run, picks)?])
}

/// Order of two elements; NaN is above all and equal to itself.
fn order<T: Number>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.float().is_nan().cmp(&b.float().is_nan()))
}

/// Positions sorted by what is there, equal ones together in the order they come; where each group of equals begins. One sort
/// for all types: every executable carries it.
fn groups(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> (Vec<usize>, Vec<usize>) {
    let mut sorted: Vec<usize> = (0..count).collect();
    sorted.sort_by(|a, b| compare(*a, *b));
    let begins = (0..count).filter(|i| *i == 0 || compare(sorted[i - 1], sorted[*i]) != Ordering::Equal).collect();
    (sorted, begins)
}

/// [`groups`] of the subtensors along the middle of `[rows, extent, run]`.
fn sort_numbers(
    x: &TensorView,
    rows: usize,
    extent: usize,
    run: usize,
) -> Result<(Vec<usize>, Vec<usize>), LibraryError> {
    with_type!(x.dtype, T => {
        let all = super::elements::<T>(x)?;
        if rows == 1 && run == 1 {
            return Ok(groups(extent, &|a, b| order(all[a], all[b])));
        }
        Ok(groups(extent, &|a, b| {
            let part = |i: usize| (0..rows).flat_map(move |row| &all[(row * extent + i) * run..][..run]);
            let mut orders = part(a).zip(part(b)).map(|(a, b)| order(*a, *b));
            orders.find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        }))
    })
}

fn unique(function: &Function, operands: &Operands) -> Results {
    let x = Elements::of(operands, 0)?;
    let axis = axis(function, x.shape.len())?;
    let (rows, extent, run) = around(x.shape, axis)?;
    expect(extent == 0 || (rows > 0 && run > 0), "subtensors with elements")?;
    let (sorted, begins) = match x.texts() {
        None => sort_numbers(&operands.tensor(0)?, rows, extent, run)?,
        Some(all) => groups(extent, &|a, b| {
            let part = |i: usize| (0..rows).flat_map(move |row| &all[(row * extent + i) * run..][..run]);
            part(a).cmp(part(b))
        }),
    };
    let ends = begins.iter().skip(1).copied().chain([extent]);
    let mut found: Vec<&[usize]> = begins.iter().zip(ends).map(|(begin, end)| &sorted[*begin..end]).collect();
    if function.int("sorted", 1) == 0 {
        found.sort_by_key(|group| group[0]);
    }
    let mut inverse = vec![0; extent];
    for (i, group) in found.iter().enumerate() {
        group.iter().for_each(|at| inverse[*at] = i as i64);
    }
    let first: Vec<i64> = found.iter().map(|group| group[0] as i64).collect();
    let counts: Vec<i64> = found.iter().map(|group| group.len() as i64).collect();
    let mut shape = if axis.is_some() { x.shape.to_vec() } else { vec![0] };
    shape[axis.unwrap_or(0)] = found.len();
    let picks = (0..rows).flat_map(|row| found.iter().map(move |group| Some(row * extent + group[0])));
    Ok(vec![
        x.take(&shape, run, picks)?,
        integers(&[found.len()], &first)?,
        integers(&[extent], &inverse)?,
        integers(&[found.len()], &counts)?,
    ])
}

#[cfg(test)]
mod tests;
