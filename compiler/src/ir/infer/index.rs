//! Operations driven by index tensors.

use super::content;
use super::dims::{agree, check_axis, show};
use super::{Operands, Rule, one};
use crate::ir::{Dim, Type};
use brolga_runtime::DType;

fn check_index(x: &Operands, at: usize) -> Result<(), String> {
    match x.dtype(at) {
        DType::I64 | DType::I32 => Ok(()),
        _ => Err(format!("index {}; accepted are i64 and i32", x.ty(at))),
    }
}

pub(super) fn gather(x: &Operands, axis: usize) -> Rule {
    let ty = x.ty(0);
    check_index(x, 1)?;
    check_axis(axis, ty.rank())?;
    let shape = [&ty.shape[..axis], x.shape(1), &ty.shape[axis + 1..]].concat();
    let content = if ty.rank() == 1 { content::gather(x.content(0), x.content(1)) } else { None };
    Ok(vec![(Type::new(ty.dtype, shape), content)])
}

pub(super) fn gather_elements(x: &Operands, axis: usize) -> Rule {
    let ty = x.ty(0);
    check_index(x, 1)?;
    check_axis(axis, ty.rank())?;
    check_inside(ty, x.shape(1), axis)?;
    one(ty.dtype, x.shape(1).to_vec())
}

/// Checks that an index tensor is no larger than the data in every dimension but `axis`.
fn check_inside(ty: &Type, index: &[Dim], axis: usize) -> Result<(), String> {
    let larger =
        |(d, (i, n)): (usize, (&Dim, &Dim))| d != axis && matches!((i.known(), n.known()), (Some(i), Some(n)) if i > n);
    if index.len() != ty.rank() || index.iter().zip(&ty.shape).enumerate().any(larger) {
        return Err(format!("index of shape {} for {ty}; accepted are equal ranks and no larger extents", show(index)));
    }
    Ok(())
}

/// Length of the index tuples, and how many dimensions of `x` they leave over.
fn tuple_length(x: &Operands, batch: usize) -> Result<usize, String> {
    check_index(x, 1)?;
    let (ty, index) = (x.ty(0), x.shape(1));
    let length = index.last().and_then(Dim::known).and_then(|n| usize::try_from(n).ok());
    match length {
        Some(n) if batch < index.len() && n.checked_add(batch).is_some_and(|n| n <= ty.rank()) => Ok(n),
        _ => {
            Err(format!("index {} for {ty}; the last extent may be up to {}", x.ty(1), ty.rank().saturating_sub(batch)))
        }
    }
}

pub(super) fn gather_nd(x: &Operands, batch: usize) -> Rule {
    let length = tuple_length(x, batch)?;
    let (ty, index) = (x.ty(0), x.shape(1));
    if ty.shape.iter().zip(index).take(batch).any(|(a, b)| agree(a, b).is_none()) {
        return Err(format!("index {} for {ty}: the first {batch} dimensions differ", x.ty(1)));
    }
    one(ty.dtype, [&index[..index.len() - 1], &ty.shape[batch + length..]].concat())
}

pub(super) fn scatter_nd(x: &Operands) -> Rule {
    let length = tuple_length(x, 0)?;
    let (ty, index, updates) = (x.ty(0), x.shape(1), x.ty(2));
    let wanted = [&index[..index.len() - 1], &ty.shape[length..]].concat();
    let fits = updates.rank() == wanted.len() && updates.shape.iter().zip(&wanted).all(|(a, b)| agree(a, b).is_some());
    if updates.dtype != ty.dtype || !fits {
        return Err(format!("updates {updates}; accepted is {}{}", ty.dtype, show(&wanted)));
    }
    one(ty.dtype, ty.shape.clone())
}

pub(super) fn scatter_elements(x: &Operands, axis: usize) -> Rule {
    let (ty, updates) = (x.ty(0), x.ty(2));
    check_index(x, 1)?;
    check_axis(axis, ty.rank())?;
    check_inside(ty, x.shape(1), axis)?;
    let index = x.shape(1);
    let fits = updates.rank() == index.len() && updates.shape.iter().zip(index).all(|(a, b)| agree(a, b).is_some());
    if updates.dtype != ty.dtype || !fits {
        return Err(format!("updates {updates}; accepted is {}{}", ty.dtype, show(index)));
    }
    one(ty.dtype, ty.shape.clone())
}

pub(super) fn one_hot(x: &Operands, axis: usize) -> Rule {
    let (index, depth, values) = (x.ty(0), x.ty(1), x.ty(2));
    let number = |t: DType| t.is_float() || t.is_integer();
    if axis > index.rank() || !number(index.dtype) || !number(depth.dtype) || values.shape != [Dim::Const(2)] {
        return Err(format!(
            "index {index}, depth {depth}, values {values} on axis {axis}; accepted are numbers, a number, two values"
        ));
    }
    let known = match x.content(1) {
        Some([depth]) => Some(depth.clone()),
        _ => x.weight(1).and_then(content::weight_scalar).map(|d| Dim::Const(d as i64)),
    };
    let depth = known.ok_or("depth depends on data; accepted are constants and arithmetic over shapes")?;
    let mut shape = index.shape.clone();
    shape.insert(axis, depth);
    one(values.dtype, shape)
}

pub(super) fn trilu(x: &Operands) -> Rule {
    let ty = x.ty(0);
    if ty.rank() < 2 || ty.dtype == DType::String {
        return Err(format!("input {ty}; accepted are ranks of at least 2"));
    }
    one(ty.dtype, ty.shape.clone())
}
