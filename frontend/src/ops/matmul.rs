//! Matrix products: MatMul, Gemm.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__Gemm.html>, <https://onnx.ai/onnx/operators/onnx__MatMul.html>. Gemm's C
//! broadcasts to the product (before opset 7 if `broadcast` says so) and is optional from opset 11.

use crate::context::{Context, Results};
use crate::error::invalid;
use brolga_compiler::ir::{BinaryOp, Dim, Expression, Op};

pub(crate) fn matmul(cx: &mut Context<'_, '_>) -> Results {
    let operands = [cx.input(0)?, cx.input(1)?];
    let op = Op::MatMul { trans_a: false, trans_b: false, bias: false, epilogue: Expression::default() };
    Ok(vec![cx.emit(op, &operands)?])
}

pub(crate) fn gemm(cx: &mut Context<'_, '_>) -> Results {
    let (a, b, c) = (cx.input(0)?, cx.input(1)?, cx.optional(2));
    if cx.rank(a) != 2 || cx.rank(b) != 2 {
        return invalid(format!("its operands have ranks {} and {}; 2 and 2 are expected", cx.rank(a), cx.rank(b)));
    }
    let attributes = &cx.node.attributes;
    let (alpha, beta) = (attributes.float_or("alpha", 1.0)?, attributes.float_or("beta", 1.0)?);
    let (trans_a, trans_b) = (attributes.flag("transA")?, attributes.flag("transB")?);
    let columns = cx.shape(b).get(usize::from(!trans_b)).cloned().unwrap_or(Dim::Const(0));
    let c = c.filter(|_| beta != 0.0);
    // A row of C is added while the product is stored; a product of one column would take any row for a scalar.
    let row = c.filter(|c| {
        let shape = &cx.ty(*c).shape;
        let leading = shape.len().saturating_sub(1);
        // One that is computed is added by itself.
        cx.tensor(*c).is_some()
            && shape.last() == Some(&columns)
            && shape.iter().take(leading).all(|d| *d == Dim::Const(1))
            && shape.len() <= 2
    });
    let epilogue = Expression::default();
    if let (Some(row), true, true) = (row, alpha == 1.0, beta == 1.0) {
        let row = if cx.rank(row) == 1 { row } else { cx.reshape(row, vec![columns])? };
        return Ok(vec![cx.emit(Op::MatMul { trans_a, trans_b, bias: true, epilogue }, &[a, b, row])?]);
    }
    let mut y = cx.emit(Op::MatMul { trans_a, trans_b, bias: false, epilogue }, &[a, b])?;
    let dtype = cx.dtype(y);
    if alpha != 1.0 {
        let alpha = cx.scalar(dtype, f64::from(alpha))?;
        y = cx.binary(BinaryOp::Mul, y, alpha)?;
    }
    if let Some(mut c) = c {
        if beta != 1.0 {
            let beta = cx.scalar(dtype, f64::from(beta))?;
            c = cx.binary(BinaryOp::Mul, c, beta)?;
        }
        let shape = cx.shape(y);
        y = cx.binary(BinaryOp::Add, y, c)?;
        if cx.shape(y).len() != shape.len() {
            return invalid("C does not broadcast to the product");
        }
    }
    Ok(vec![y])
}
