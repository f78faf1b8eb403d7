//! Quantisation, integer convolutions and matrix products.

use super::dims::{agree, broadcast, check_axis, check_broadcast_to};
use super::elementwise::check_expression;
use super::{Operands, Rule, one, window};
use crate::ir::{Dim, Expression, Type, Window};
use brolga_runtime::DType;
use brolga_runtime::library::{integer_range, is_quantized};

/// Checks that scales fit `x`: one, one per index of the axis, or one per block of it.
fn check_scales(x: &Operands, axis: usize, block: usize) -> Result<(), String> {
    let (ty, scale) = (x.ty(0), x.ty(1));
    let wrong = || Err(format!("scale {scale} for {ty} along axis {axis} in blocks of {block}"));
    if !scale.dtype.is_float() && scale.dtype != DType::F8E8M0 {
        return Err(format!("scale {scale}; accepted are floats"));
    }
    let one = |ty: &Type| ty.shape.iter().all(|d| *d == Dim::Const(1));
    let alike = |a: &Type, b: &Type| a.rank() == b.rank() && check_broadcast_to(&a.shape, &b.shape).is_ok();
    if x.len() > 2 && !alike(x.ty(2), scale) && !(one(x.ty(2)) && one(scale)) {
        return Err(format!("zero point {} for scale {scale}; accepted is the scale's shape", x.ty(2)));
    }
    if block == 0 && (scale.rank() == 0 || scale.shape[..] == [Dim::Const(1)]) {
        return Ok(());
    }
    check_axis(axis, ty.rank())?;
    if block == 0 {
        return if scale.rank() == 1 && agree(&scale.shape[0], &ty.shape[axis]).is_some() { Ok(()) } else { wrong() };
    }
    let blocks = |n: &Dim| n.known().map(|n| Dim::Const((n + block as i64 - 1) / block as i64));
    let fits = |(i, (s, n)): (usize, (&Dim, &Dim))| match i == axis {
        true => blocks(n).is_none_or(|n| agree(s, &n).is_some()),
        false => agree(s, n).is_some(),
    };
    let pairs = scale.shape.iter().zip(&ty.shape);
    if scale.rank() == ty.rank() && pairs.enumerate().all(fits) { Ok(()) } else { wrong() }
}

pub(super) fn quantize(x: &Operands, to: DType, axis: usize, block: usize, precision: DType) -> Rule {
    let ty = x.ty(0);
    if !(ty.dtype.is_float() || ty.dtype == DType::I32) || !precision.is_float() {
        return Err(format!("quantisation of {ty} in {precision}; accepted are floats and i32, in a float type"));
    }
    if !is_quantized(to) || to == DType::I32 || x.len() > 2 && x.dtype(2) != to {
        return Err(format!("quantisation to {to}; accepted are integers up to 16 bits and floats up to 8"));
    }
    check_scales(x, axis, block)?;
    one(to, ty.shape.clone())
}

pub(super) fn dequantize(x: &Operands, to: DType, axis: usize, block: usize) -> Rule {
    let ty = x.ty(0);
    if !is_quantized(ty.dtype) || x.len() > 2 && x.dtype(2) != ty.dtype {
        return Err(format!("dequantisation of {ty}; accepted are integers up to 32 bits and floats up to 8"));
    }
    if !to.is_float() {
        return Err(format!("dequantisation to {to}; accepted are floats"));
    }
    check_scales(x, axis, block)?;
    one(to, ty.shape.clone())
}

/// Checks the operands from the zero points on; `axis` of the result counts channels.
fn check_rest(x: &Operands, bias: bool, to: DType, fused: &Expression, shape: &[Dim], axis: usize) -> Rule {
    let eight = |t: DType| matches!(t, DType::U8 | DType::I8);
    if !eight(x.dtype(0)) || !eight(x.dtype(1)) || x.dtype(2) != x.dtype(0) || x.dtype(3) != x.dtype(1) {
        let types: Vec<String> = (0..4).map(|i| x.ty(i).to_string()).collect();
        return Err(format!("operands {}; accepted are 8-bit integers and their zero points", types.join(", ")));
    }
    if bias && (x.dtype(4) != DType::I32 || x.shape(4).len() != 1 || agree(&x.shape(4)[0], &shape[axis]).is_none()) {
        return Err(format!("bias {}; accepted is i32[{}]", x.ty(4), shape[axis]));
    }
    let raw = to == DType::I32 && fused.steps.is_empty();
    if !(raw || to == DType::F32 || eight(to)) {
        return Err(format!("a result of {to}; accepted are i32 without an expression, f32, u8 and i8"));
    }
    check_expression(fused)?;
    for i in 4 + usize::from(bias)..x.len() {
        if !matches!(x.dtype(i), DType::F32 | DType::U8 | DType::I8) {
            return Err(format!("operand {i} of the fused expression is {}; accepted are f32, u8 and i8", x.ty(i)));
        }
        check_broadcast_to(x.shape(i), shape)?;
    }
    one(to, shape.to_vec())
}

/// Refuses a zero point that is neither one number nor fits otherwise.
fn check_point(x: &Operands, i: usize, fits: bool) -> Result<(), String> {
    if fits || x.shape(i).iter().all(|d| d.known().is_none_or(|n| n == 1)) {
        return Ok(());
    }
    Err(format!("zero point {} of {}", x.ty(i), x.ty(i - 2)))
}

pub(super) fn conv(x: &Operands, window: &Window, group: usize, bias: bool, to: DType, fused: &Expression) -> Rule {
    let shape = window::conv_shape(x, window, group, true)?;
    check_point(x, 2, false)?;
    check_point(x, 3, x.shape(3).len() == 1 && agree(&x.shape(3)[0], &x.shape(1)[0]).is_some())?;
    check_rest(x, bias, to, fused, &shape, 1)
}

pub(super) fn matmul(x: &Operands, trans_b: bool, bias: bool, to: DType, fused: &Expression) -> Rule {
    let shape = super::dense::product_shape(x, [false, trans_b])?;
    for (i, across) in [(0, 1), (1, if trans_b { 1 } else { 2 })] {
        // One per row of the left operand or column of the right one, as a vector or with the other extent 1.
        let (of, point) = (x.shape(i), x.shape(i + 2));
        let along = of.len().checked_sub(3 - across).map(|d| &of[d]);
        let vector = point.len() == 1 && along.is_some_and(|n| agree(n, &point[0]).is_some());
        let spread = point.len() == of.len() && of.len() >= across && point[of.len() - across] == Dim::Const(1);
        check_point(x, i + 2, vector || spread)?;
    }
    let axis = shape.len().checked_sub(1).filter(|_| x.shape(1).len() > 1);
    match axis {
        Some(axis) => check_rest(x, bias, to, fused, &shape, axis),
        None if !bias => check_rest(x, false, to, fused, &shape, 0),
        None => Err("a bias on a product without columns".into()),
    }
}

pub(super) fn requantize(x: &Operands, to: DType, expression: &Expression) -> Rule {
    check_expression(expression)?;
    let mut shape = vec![];
    for i in 0..x.len() {
        if !matches!(x.dtype(i), DType::F32 | DType::U8 | DType::I8 | DType::I32) {
            return Err(format!("operand {i} is {}; accepted are f32, i32, u8 and i8", x.ty(i)));
        }
        shape = broadcast(&shape, x.shape(i))?;
    }
    if to != DType::F32 && (integer_range(to).is_none() || to.bytes() != 1 || to.is_narrow()) {
        return Err(format!("a result of {to}; accepted are f32, u8 and i8"));
    }
    one(to, shape)
}
