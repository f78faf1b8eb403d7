//! Element-wise operations, fused expressions, selection and conversion.

use super::content;
use super::dims::{broadcast, check_broadcast_to};
use super::{Operands, Rule, one};
use crate::ir::{Arg, BinaryOp, Expression, Step, Type, UnaryOp};
use brolga_runtime::DType;

pub(super) fn unary(x: &Operands, op: UnaryOp) -> Rule {
    let ty = x.ty(0);
    let number = ty.dtype.is_float() || ty.dtype.is_integer();
    let (accepted, words, result) = match op {
        UnaryOp::Not => (ty.dtype == DType::Bool || ty.dtype.is_integer(), "bool and integers", ty.dtype),
        UnaryOp::IsNaN => (ty.dtype.is_float(), "floats", DType::Bool),
        UnaryOp::Abs | UnaryOp::Neg | UnaryOp::Sign | UnaryOp::Relu | UnaryOp::Clip { .. } => {
            (number, "numbers", ty.dtype)
        }
        _ => (ty.dtype.is_float(), "floats", ty.dtype),
    };
    if !accepted {
        return Err(format!("{op:?} of {ty}; accepted are {words}"));
    }
    Ok(vec![(Type::new(result, ty.shape.clone()), content::unary(x.content(0), op))])
}

pub(super) fn binary(x: &Operands, op: BinaryOp) -> Rule {
    let (a, b) = (x.dtype(0), x.dtype(1));
    let number = |t: DType| t.is_float() || t.is_integer();
    let (accepted, words, result) = match op {
        BinaryOp::Pow => (number(a) && number(b), "numbers", a),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => {
            (a == b && (a == DType::Bool || a.is_integer()), "bool or integers of one type", a)
        }
        BinaryOp::ShiftLeft | BinaryOp::ShiftRight => (a == b && a.is_integer(), "integers of one type", a),
        BinaryOp::Equal => (a == b && a != DType::String, "operands of one type", DType::Bool),
        BinaryOp::Less | BinaryOp::LessOrEqual | BinaryOp::Greater | BinaryOp::GreaterOrEqual => {
            (a == b && number(a), "numbers of one type", DType::Bool)
        }
        _ => (a == b && number(a), "numbers of one type", a),
    };
    if !accepted {
        return Err(format!("{op:?} of {} and {}; accepted are {words}", x.ty(0), x.ty(1)));
    }
    let shape = broadcast(x.shape(0), x.shape(1))?;
    if op == BinaryOp::PRelu {
        check_broadcast_to(x.shape(1), x.shape(0))?;
    }
    Ok(vec![(Type::new(result, shape), content::binary(x.content(0), x.content(1), op))])
}

/// Refuses an expression that reads what is not there yet, or computes what is no f32 function.
pub(super) fn check_expression(expression: &Expression) -> Result<(), String> {
    for (i, step) in expression.steps.iter().enumerate() {
        let args = match step {
            Step::Unary(UnaryOp::Not | UnaryOp::IsNaN, _) => return Err(format!("step {i} is no f32 function")),
            Step::Unary(_, a) => vec![a],
            Step::Binary(op, a, b) => {
                use BinaryOp::*;
                if !matches!(op, Add | Sub | Mul | Div | Mod | Fmod | Pow | Min | Max | PRelu) {
                    return Err(format!("step {i} is no f32 function"));
                }
                vec![a, b]
            }
        };
        if args.iter().any(|a| matches!(a, Arg::Step(s) if *s as usize >= i)) {
            return Err(format!("step {i} of the expression reads a step that is not before it"));
        }
    }
    Ok(())
}

/// Checks an epilogue whose extra operands begin at `from` and whose input 0 is the result itself.
pub(super) fn epilogue(x: &Operands, from: usize, expression: &Expression, result: &Type) -> Result<(), String> {
    check_expression(expression)?;
    if !expression.steps.is_empty() && result.dtype != DType::F32 {
        return Err(format!("a fused expression on {result}; accepted is f32"));
    }
    for i in from..x.len() {
        if x.dtype(i) != DType::F32 {
            return Err(format!("operand {i} of the fused expression is {}; accepted is f32", x.ty(i)));
        }
        check_broadcast_to(x.shape(i), &result.shape)?;
    }
    Ok(())
}

pub(super) fn expression(x: &Operands, expression: &Expression) -> Rule {
    check_expression(expression)?;
    let mut shape = vec![];
    for i in 0..x.len() {
        if x.dtype(i) != DType::F32 {
            return Err(format!("operand {i} is {}; accepted is f32", x.ty(i)));
        }
        shape = broadcast(&shape, x.shape(i))?;
    }
    one(DType::F32, shape)
}

pub(super) fn select(x: &Operands) -> Rule {
    if x.dtype(0) != DType::Bool || x.dtype(1) != x.dtype(2) {
        return Err(format!(
            "operands {}, {} and {}; accepted are bool and two of one type",
            x.ty(0),
            x.ty(1),
            x.ty(2)
        ));
    }
    let shape = broadcast(&broadcast(x.shape(0), x.shape(1))?, x.shape(2))?;
    let content = content::select(x.content(0), x.content(1), x.content(2));
    Ok(vec![(Type::new(x.dtype(1), shape), content)])
}

pub(super) fn cast_narrow(x: &Operands, to: DType) -> Rule {
    if !to.is_narrow_float() {
        return Err(format!("conversion to {to}; accepted are floats of 8 and 4 bits"));
    }
    cast(x, to)
}

pub(super) fn cast(x: &Operands, to: DType) -> Rule {
    let ty = x.ty(0);
    if to == DType::String || ty.dtype == DType::String {
        return Err(format!("conversion of {ty} to {to}; accepted are numbers and bool"));
    }
    Ok(vec![(Type::new(to, ty.shape.clone()), content::cast(x.content(0), to))])
}
