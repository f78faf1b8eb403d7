//! CumProd and Det.

use super::elements::{axis_of, one_integer, product};
use super::function::{Entry, Function, Operands, Results, from_reals, pure};
use super::scalar::{Number, with_type};
use super::{LibraryError, expect};
use crate::{Tensor, Value};

pub(super) const TABLE: &[Entry] = &[pure("cum_prod", cum_prod), pure("det", det)];

fn cum_prod(function: &Function, operands: &Operands) -> Results {
    let x = operands.tensor(0)?;
    let axis = axis_of(one_integer(operands, 1, 0)?, x.shape.len())?;
    let (exclusive, reverse) = (function.int("exclusive", 0) != 0, function.int("reverse", 0) != 0);
    let (extent, run) = (x.shape[axis], product(&x.shape[axis + 1..])?);
    let mut made = Tensor::zeros(x.dtype, x.shape)?;
    if made.is_empty() {
        return Ok(vec![Value::Tensor(made)]);
    }
    with_type!(x.dtype, T => {
        let from = super::elements::<T>(&x)?;
        let mut view = made.view_mut();
        let to = super::elements_mut::<T>(&mut view)?;
        for (from, to) in from.chunks_exact(extent * run).zip(to.chunks_exact_mut(extent * run)) {
            for lane in 0..run {
                products(from, to, exclusive, (0..extent).map(|i| lane + run * if reverse { extent - 1 - i } else { i }));
            }
        }
        Ok(())
    })?;
    Ok(vec![Value::Tensor(made)])
}

fn products<T: Number>(from: &[T], to: &mut [T], exclusive: bool, places: impl Iterator<Item = usize>) {
    let mut product = T::of_int(1);
    for place in places {
        let x = from[place];
        // Every product is rounded or wrapped to the type, as a loop over stored elements would do.
        let next = if T::FLOAT {
            T::of_float(product.float() * x.float())
        } else {
            T::of_int(product.int().wrapping_mul(x.int()))
        };
        to[place] = if exclusive { product } else { next };
        product = next;
    }
}

fn det(_: &Function, operands: &Operands) -> Results {
    let x = operands.tensor(0)?;
    let [batch @ .., n, n_too] = x.shape else { return Err(LibraryError::Operands { accepted: "square matrices" }) };
    expect(n == n_too && x.dtype.is_float(), "square matrices of floats")?;
    let mut matrices = operands.reals(0)?;
    let mut found = super::real::zeros::<f64>(batch)?;
    if matrices.is_empty() {
        // The empty product, for matrices without rows.
        found.fill(1.0);
    } else {
        let matrices = matrices.chunks_exact_mut(n * n);
        found.iter_mut().zip(matrices).for_each(|(to, matrix)| *to = determinant(matrix, *n));
    }
    Ok(vec![Value::Tensor(from_reals(x.dtype, batch, &found)?)])
}

/// By elimination with partial pivoting, in place.
fn determinant(matrix: &mut [f64], n: usize) -> f64 {
    let mut found = 1.0;
    for column in 0..n {
        let size = |row: &usize| matrix[row * n + column].abs();
        let pivot = (column..n).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(column);
        if pivot != column {
            (0..n).for_each(|j| matrix.swap(pivot * n + j, column * n + j));
            found = -found;
        }
        let diagonal = matrix[column * n + column];
        found *= diagonal;
        if diagonal == 0.0 {
            return 0.0;
        }
        for row in column + 1..n {
            let factor = matrix[row * n + column] / diagonal;
            for j in column..n {
                matrix[row * n + j] -= factor * matrix[column * n + j];
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
