//! Functions of two or more operands with broadcasting: arithmetic, comparison, logic, Where, PRelu, Sum and its kin.
//!
//! Specification: <https://onnx.ai/onnx/repo-docs/Broadcasting.html>. Before opset 7 there is broadcasting only where `broadcast` is
//! set, of the second operand to the first, aligned at `axis` (default: at the end). Pow's exponent has its own type from 12.
//! Sum, Mean, Min and Max broadcast from 8.

use crate::context::{Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use brolga_compiler::ir::{BinaryOp, Dim, Op, ValueId};
use brolga_runtime::DType;

/// The second operand, shaped so that it broadcasts to the first by the rules of opset 7.
fn aligned(cx: &mut Context<'_, '_>, a: ValueId, b: ValueId) -> Result<ValueId, NodeError> {
    if cx.opset >= 7 || !cx.node.attributes.flag("broadcast")? {
        return Ok(b);
    }
    let (rank, own) = (cx.rank(a), cx.rank(b));
    let Some(axis) = cx.node.attributes.int("axis")? else { return Ok(b) };
    let axis = if own == 0 { rank } else { cx.axis(axis, rank)? };
    match rank.checked_sub(axis + own) {
        None => invalid(format!("an operand of rank {own} at axis {axis} does not fit rank {rank}")),
        Some(0) => Ok(b),
        Some(after) => {
            let mut shape = cx.shape(b);
            shape.extend(vec![Dim::Const(1); after]);
            cx.reshape(b, shape)
        }
    }
}

pub(crate) fn binary(cx: &mut Context<'_, '_>) -> Results {
    let op = match cx.node.op {
        "Add" => BinaryOp::Add,
        "Sub" => BinaryOp::Sub,
        "Mul" => BinaryOp::Mul,
        "Div" => BinaryOp::Div,
        "And" => BinaryOp::And,
        "Or" => BinaryOp::Or,
        "Xor" => BinaryOp::Xor,
        "Equal" => BinaryOp::Equal,
        "Less" => BinaryOp::Less,
        "LessOrEqual" => BinaryOp::LessOrEqual,
        "Greater" => BinaryOp::Greater,
        "GreaterOrEqual" => BinaryOp::GreaterOrEqual,
        other => return unsupported(format!("{other} is not a function of two operands")),
    };
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let b = aligned(cx, a, b)?;
    Ok(vec![cx.binary(op, a, b)?])
}

pub(crate) fn modulo(cx: &mut Context<'_, '_>) -> Results {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let fmod = cx.node.attributes.flag("fmod")?;
    if cx.dtype(a).is_float() && !fmod {
        return invalid("fmod is 0, which is for integers");
    }
    Ok(vec![cx.binary(if fmod { BinaryOp::Fmod } else { BinaryOp::Mod }, a, b)?])
}

pub(crate) fn pow(cx: &mut Context<'_, '_>) -> Results {
    let (base, exponent) = (cx.input(0)?, cx.input(1)?);
    let exponent = aligned(cx, base, exponent)?;
    let to = cx.dtype(base);
    if to == cx.dtype(exponent) {
        return Ok(vec![cx.binary(BinaryOp::Pow, base, exponent)?]);
    }
    // The result has the base's type; a whole base with a broken exponent is computed as floats.
    let common = if to.is_float() { to } else { DType::F32 };
    let (a, b) = (cx.cast(base, common)?, cx.cast(exponent, common)?);
    let y = cx.binary(BinaryOp::Pow, a, b)?;
    Ok(vec![cx.cast(y, to)?])
}

pub(crate) fn prelu(cx: &mut Context<'_, '_>) -> Results {
    let (x, mut slope) = (cx.input(0)?, cx.input(1)?);
    // One slope per channel, before broadcasting came.
    let per_channel = cx.opset < 7 && cx.rank(slope) == 1 && cx.rank(x) > 2 && cx.shape(slope) != [Dim::Const(1)];
    if per_channel {
        let mut shape = cx.shape(slope);
        shape.extend(vec![Dim::Const(1); cx.rank(x) - 2]);
        slope = cx.reshape(slope, shape)?;
    }
    Ok(vec![cx.binary(BinaryOp::PRelu, x, slope)?])
}

pub(crate) fn variadic(cx: &mut Context<'_, '_>) -> Results {
    let op = match cx.node.op {
        "Min" => BinaryOp::Min,
        "Max" => BinaryOp::Max,
        _ => BinaryOp::Add,
    };
    let operands = cx.all_inputs()?;
    let count = operands.len();
    let mut rest = operands.into_iter();
    let Some(mut y) = rest.next() else { return invalid("it has no operands") };
    for x in rest {
        y = cx.binary(op, y, x)?;
    }
    if cx.node.op == "Mean" && count > 1 {
        let count = cx.scalar(cx.dtype(y), count as f64)?;
        y = cx.binary(BinaryOp::Div, y, count)?;
    }
    Ok(vec![y])
}

pub(crate) fn where_(cx: &mut Context<'_, '_>) -> Results {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    Ok(vec![cx.emit(Op::Where, &operands)?])
}
