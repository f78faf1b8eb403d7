//! Matrix products, normalisations, softmax.

use super::dims::{agree, broadcast, check_axis, check_broadcast_to, show};
use super::elementwise::epilogue;
use super::{Operands, Rule, one};
use crate::ir::{Dim, Expression, Type};

/// `[.., rows, columns]` of a matrix operand as batch, rows, columns.
fn matrix(shape: &[Dim], transposed: bool) -> (&[Dim], &Dim, &Dim) {
    let (batch, last) = shape.split_at(shape.len() - 2);
    if transposed { (batch, &last[1], &last[0]) } else { (batch, &last[0], &last[1]) }
}

/// The shape of numpy's `matmul`, either operand transposed first.
pub(super) fn product_shape(x: &Operands, trans: [bool; 2]) -> Result<Vec<Dim>, String> {
    let (a, b) = (x.ty(0), x.ty(1));
    if a.rank() == 0 || b.rank() == 0 {
        return Err(format!("operands {a} and {b}; accepted are ranks of at least 1"));
    }
    if (trans[0] && a.rank() < 2) || (trans[1] && b.rank() < 2) {
        return Err(format!("operands {a} and {b}; only matrices are transposed"));
    }
    let one = Dim::Const(1);
    // A vector is a row on the left and a column on the right.
    let left = if a.rank() == 1 { vec![one.clone(), a.shape[0].clone()] } else { a.shape.clone() };
    let right = if b.rank() == 1 { vec![b.shape[0].clone(), one] } else { b.shape.clone() };
    let (batch_a, m, k) = matrix(&left, trans[0]);
    let (batch_b, l, n) = matrix(&right, trans[1]);
    if agree(k, l).is_none() {
        return Err(format!("{} times {}: inner extents {k} and {l} differ", show(&a.shape), show(&b.shape)));
    }
    let mut shape = broadcast(batch_a, batch_b)?;
    if a.rank() > 1 {
        shape.push(m.clone());
    }
    if b.rank() > 1 {
        shape.push(n.clone());
    }
    Ok(shape)
}

pub(super) fn matmul(x: &Operands, trans: [bool; 2], bias: bool, fused: &Expression) -> Rule {
    let (a, b) = (x.ty(0), x.ty(1));
    if a.dtype != b.dtype || !(a.dtype.is_float() || a.dtype.is_integer()) {
        return Err(format!("operands {a} and {b}; accepted are numbers of one type and ranks of at least 1"));
    }
    let ty = Type::new(a.dtype, product_shape(x, trans)?);
    if bias {
        let bias = x.ty(2);
        // The columns of a vector on the right are one.
        let column = Dim::Const(1);
        let n = if b.rank() == 1 { &column } else { &b.shape[b.rank() - 1 - usize::from(trans[1])] };
        if bias.dtype != a.dtype || bias.rank() != 1 || agree(&bias.shape[0], n).is_none() {
            return Err(format!("bias {bias}; accepted is {}[{n}]", a.dtype));
        }
    }
    epilogue(x, 2 + usize::from(bias), fused, &ty)?;
    Ok(vec![(ty, None)])
}

/// The input's own type, after checking that it is a float of at least this rank.
fn same(x: &Operands, least: usize) -> Rule {
    let ty = x.ty(0);
    if !ty.dtype.is_float() || ty.rank() < least {
        return Err(format!("input {ty}; accepted are floats of rank {least} and more"));
    }
    one(ty.dtype, ty.shape.clone())
}

/// Checks that operands `from..` are vectors with one entry per channel.
fn check_channels(x: &Operands, from: usize) -> Result<(), String> {
    let channels = &x.shape(0)[1];
    for i in from..x.len() {
        let ty = x.ty(i);
        if !ty.dtype.is_float() || ty.rank() != 1 || agree(&ty.shape[0], channels).is_none() {
            return Err(format!("input {i} is {ty}; accepted is {}[{channels}]", x.dtype(0)));
        }
    }
    Ok(())
}

pub(super) fn batch_norm(x: &Operands) -> Rule {
    let found = same(x, 2)?;
    check_channels(x, 1)?;
    Ok(found)
}

pub(super) fn instance_norm(x: &Operands) -> Rule {
    let found = same(x, 3)?;
    check_channels(x, 1)?;
    Ok(found)
}

pub(super) fn layer_norm(x: &Operands, axis: usize) -> Rule {
    let found = same(x, 1)?;
    let shape = x.shape(0);
    check_axis(axis, shape.len())?;
    for i in 1..x.len() {
        if !x.dtype(i).is_float() {
            return Err(format!("input {i} is {}; accepted are floats", x.ty(i)));
        }
        check_broadcast_to(x.shape(i), shape)?;
    }
    Ok(found)
}

pub(super) fn group_norm(x: &Operands, groups: usize) -> Rule {
    let found = same(x, 2)?;
    check_channels(x, 1)?;
    let channels = &x.shape(0)[1];
    if groups == 0 || channels.known().is_some_and(|c| !(c as u64).is_multiple_of(groups as u64)) {
        return Err(format!("{channels} channels cannot be shared out over {groups} groups"));
    }
    Ok(found)
}

pub(super) fn lrn(x: &Operands, size: usize) -> Rule {
    if size == 0 {
        return Err("size 0; accepted are 1 and more".into());
    }
    same(x, 2)
}

pub(super) fn lp_norm(x: &Operands, axis: usize, p: u32) -> Rule {
    check_axis(axis, x.ty(0).rank())?;
    if !matches!(p, 1 | 2) {
        return Err(format!("p {p}; accepted are 1 and 2"));
    }
    same(x, 1)
}

pub(super) fn softmax(x: &Operands, axis: usize) -> Rule {
    // A scalar is a tensor of one element along the only axis there could be.
    if x.ty(0).rank() > 0 {
        check_axis(axis, x.ty(0).rank())?;
    }
    same(x, 0)
}
