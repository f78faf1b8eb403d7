//! Functions on the bits of integers: BitwiseAnd, BitwiseOr, BitwiseXor, BitwiseNot, BitShift.
//!
//! Specification: <https://onnx.ai/onnx/operators/>.

use crate::context::{Context, Results};
use crate::error::{NodeError, invalid};
use brolga_compiler::ir::{BinaryOp, UnaryOp, ValueId};

fn integers(cx: &Context<'_, '_>, i: usize) -> Result<ValueId, NodeError> {
    let id = cx.input(i)?;
    if cx.dtype(id).is_integer() {
        Ok(id)
    } else {
        invalid(format!("operand {i} is {}; integers are expected", cx.ty(id)))
    }
}

pub(crate) fn binary(cx: &mut Context<'_, '_>) -> Results {
    let op = match cx.node.op {
        "BitwiseAnd" => BinaryOp::And,
        "BitwiseOr" => BinaryOp::Or,
        "BitwiseXor" => BinaryOp::Xor,
        _ => match cx.node.attributes.text("direction")? {
            Some("LEFT") => BinaryOp::ShiftLeft,
            Some("RIGHT") => BinaryOp::ShiftRight,
            _ => return invalid("direction is neither LEFT nor RIGHT"),
        },
    };
    let (a, b) = (integers(cx, 0)?, integers(cx, 1)?);
    Ok(vec![cx.binary(op, a, b)?])
}

pub(crate) fn not(cx: &mut Context<'_, '_>) -> Results {
    let x = integers(cx, 0)?;
    Ok(vec![cx.unary(UnaryOp::Not, x)?])
}
