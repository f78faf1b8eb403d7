//! Reductions, running sums, the largest k.

use super::content;
use super::dims::check_axis;
use super::{Operands, Rule, one};
use crate::ir::{Dim, Ints, ReduceKind, Type};
use brolga_runtime::DType;

fn reduced(shape: &[Dim], axes: &[usize], keep: bool) -> Vec<Dim> {
    let mut out = Vec::with_capacity(shape.len());
    for (i, dim) in shape.iter().enumerate() {
        if !axes.contains(&i) {
            out.push(dim.clone());
        } else if keep {
            out.push(Dim::Const(1));
        }
    }
    out
}

pub(super) fn reduce(x: &Operands, kind: ReduceKind, axes: &[usize], keep: bool) -> Rule {
    let ty = x.ty(0);
    let whole = matches!(kind, ReduceKind::Max | ReduceKind::Min) && ty.dtype == DType::Bool;
    if !(ty.dtype.is_float() || ty.dtype.is_integer() || whole) {
        return Err(format!("{kind:?} of {ty}; accepted are numbers"));
    }
    if !axes.iter().all(|a| *a < ty.rank()) || !axes.windows(2).all(|w| w[0] < w[1]) {
        return Err(format!("axes {axes:?} of {ty}; accepted are dimensions in rising order"));
    }
    let content = if axes.is_empty() { None } else { content::reduce(x.content(0), kind) };
    Ok(vec![(Type::new(ty.dtype, reduced(&ty.shape, axes, keep)), content)])
}

pub(super) fn arg_reduce(x: &Operands, axis: usize, keep: bool) -> Rule {
    let ty = x.ty(0);
    check_axis(axis, ty.rank())?;
    if !(ty.dtype.is_float() || ty.dtype.is_integer()) {
        return Err(format!("input {ty}; accepted are numbers"));
    }
    if ty.shape[axis] == Dim::Const(0) {
        return Err(format!("input {ty} is empty along axis {axis}"));
    }
    one(DType::I64, reduced(&ty.shape, &[axis], keep))
}

pub(super) fn cum_sum(x: &Operands, axis: usize) -> Rule {
    let ty = x.ty(0);
    check_axis(axis, ty.rank())?;
    if !(ty.dtype.is_float() || ty.dtype.is_integer()) {
        return Err(format!("input {ty}; accepted are numbers"));
    }
    one(ty.dtype, ty.shape.clone())
}

pub(super) fn top_k(x: &Operands, axis: usize, k: &Ints) -> Rule {
    let ty = x.ty(0);
    check_axis(axis, ty.rank())?;
    if !(ty.dtype.is_float() || ty.dtype.is_integer()) {
        return Err(format!("input {ty}; accepted are numbers"));
    }
    let list = x.ints(k, "k")?;
    let [k] = &list[..] else { return Err(format!("{} numbers as k; accepted is 1", list.len())) };
    if let (Some(k), Some(n)) = (k.known(), ty.shape[axis].known())
        && (k < 0 || k > n)
    {
        return Err(format!("k {k} of {n} elements; accepted are 0 to {n}"));
    }
    let mut shape = ty.shape.clone();
    shape[axis] = k.clone();
    Ok(vec![(Type::new(ty.dtype, shape.clone()), None), (Type::new(DType::I64, shape), None)])
}
