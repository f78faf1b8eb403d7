//! Functions of one operand, with and without parameters; Clip, Shrink, IsInf.
//!
//! Specification: <https://onnx.ai/onnx/operators/>. Opsets add types, not meanings, except: Clip's bounds are attributes before
//! 11; defaults of Selu have fewer digits before 6; HardSigmoid, Elu and others only gain in-place hints at 6.

use crate::context::{Context, Results};
use crate::error::{invalid, unsupported};
use brolga_compiler::ir::{BinaryOp, Op, UnaryOp};

pub(crate) fn plain(cx: &mut Context<'_, '_>) -> Results {
    let op = match cx.node.op {
        "Abs" => UnaryOp::Abs,
        "Neg" => UnaryOp::Neg,
        "Floor" => UnaryOp::Floor,
        "Ceil" => UnaryOp::Ceil,
        "Round" => UnaryOp::Round,
        "Sign" => UnaryOp::Sign,
        "Sqrt" => UnaryOp::Sqrt,
        "Reciprocal" => UnaryOp::Reciprocal,
        "Exp" => UnaryOp::Exp,
        "Log" => UnaryOp::Log,
        "Erf" => UnaryOp::Erf,
        "Sin" => UnaryOp::Sin,
        "Cos" => UnaryOp::Cos,
        "Tan" => UnaryOp::Tan,
        "Asin" => UnaryOp::Asin,
        "Acos" => UnaryOp::Acos,
        "Atan" => UnaryOp::Atan,
        "Sinh" => UnaryOp::Sinh,
        "Cosh" => UnaryOp::Cosh,
        "Tanh" => UnaryOp::Tanh,
        "Asinh" => UnaryOp::Asinh,
        "Acosh" => UnaryOp::Acosh,
        "Atanh" => UnaryOp::Atanh,
        "Sigmoid" => UnaryOp::Sigmoid,
        "Softplus" => UnaryOp::Softplus,
        "Softsign" => UnaryOp::Softsign,
        "Relu" => UnaryOp::Relu,
        "HardSwish" => UnaryOp::HardSwish,
        "Mish" => UnaryOp::Mish,
        "Not" => UnaryOp::Not,
        "IsNaN" => UnaryOp::IsNaN,
        other => return unsupported(format!("{other} is not a function of one operand")),
    };
    let x = cx.input(0)?;
    Ok(vec![cx.unary(op, x)?])
}

pub(crate) fn with_parameters(cx: &mut Context<'_, '_>) -> Results {
    let attributes = &cx.node.attributes;
    let alpha = |default| attributes.float_or("alpha", default);
    let op = match cx.node.op {
        "LeakyRelu" => UnaryOp::LeakyRelu { alpha: alpha(0.01)? },
        "Elu" => UnaryOp::Elu { alpha: alpha(1.0)? },
        "Celu" => UnaryOp::Celu { alpha: alpha(1.0)? },
        "ThresholdedRelu" => UnaryOp::ThresholdedRelu { alpha: alpha(1.0)? },
        "Swish" => UnaryOp::Silu { alpha: alpha(1.0)? },
        "HardSigmoid" => UnaryOp::HardSigmoid { alpha: alpha(0.2)?, beta: attributes.float_or("beta", 0.5)? },
        "Selu" => {
            let (a, g) = if cx.opset < 6 { (1.6732, 1.0507) } else { (1.673_263_2, 1.050_701) };
            UnaryOp::Selu { alpha: alpha(a)?, gamma: attributes.float_or("gamma", g)? }
        }
        other => return unsupported(format!("{other} is not a function with parameters")),
    };
    let x = cx.input(0)?;
    Ok(vec![cx.unary(op, x)?])
}

pub(crate) fn gelu(cx: &mut Context<'_, '_>) -> Results {
    let op = match cx.node.attributes.text_or("approximate", "none")? {
        "none" => UnaryOp::Gelu,
        "tanh" => UnaryOp::GeluTanh,
        other => return invalid(format!("approximate {other:?}; none or tanh is expected")),
    };
    let x = cx.input(0)?;
    Ok(vec![cx.unary(op, x)?])
}

pub(crate) fn clip(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    if cx.opset < 11 {
        let lo = cx.node.attributes.float_or("min", f32::MIN)?;
        let hi = cx.node.attributes.float_or("max", f32::MAX)?;
        return Ok(vec![cx.unary(UnaryOp::Clip { lo, hi }, x)?]);
    }
    let (min, max) = (cx.optional(1), cx.optional(2));
    let mut bounds = [f32::NEG_INFINITY, f32::INFINITY];
    let mut known = cx.dtype(x).is_float();
    for (bound, id) in bounds.iter_mut().zip([min, max]) {
        let Some(id) = id else { continue };
        match cx.known_floats(id).as_deref() {
            Some([value]) => *bound = *value as f32,
            _ => known = false,
        }
    }
    if known {
        let [lo, hi] = bounds;
        return Ok(vec![cx.unary(UnaryOp::Clip { lo, hi }, x)?]);
    }
    let mut y = x;
    if let Some(min) = min {
        y = cx.binary(BinaryOp::Max, y, min)?;
    }
    if let Some(max) = max {
        y = cx.binary(BinaryOp::Min, y, max)?;
    }
    Ok(vec![y])
}

/// x < -lambd ? x + bias : x > lambd ? x - bias : 0
pub(crate) fn shrink(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    let lambd = f64::from(cx.node.attributes.float_or("lambd", 0.5)?);
    let bias = f64::from(cx.node.attributes.float_or("bias", 0.0)?);
    let (low, high) = (cx.scalar(dtype, -lambd)?, cx.scalar(dtype, lambd)?);
    let (bias, zero) = (cx.scalar(dtype, bias)?, cx.scalar(dtype, 0.0)?);
    let (below, above) = (cx.binary(BinaryOp::Less, x, low)?, cx.binary(BinaryOp::Greater, x, high)?);
    let (up, down) = (cx.binary(BinaryOp::Add, x, bias)?, cx.binary(BinaryOp::Sub, x, bias)?);
    let inner = cx.emit(Op::Where, &[above, down, zero])?;
    Ok(vec![cx.emit(Op::Where, &[below, up, inner])?])
}

pub(crate) fn is_inf(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    let positive = cx.node.attributes.int_or("detect_positive", 1)? != 0;
    let negative = cx.node.attributes.int_or("detect_negative", 1)? != 0;
    let (value, of) = match (positive, negative) {
        (true, true) => (f64::INFINITY, cx.unary(UnaryOp::Abs, x)?),
        (true, false) => (f64::INFINITY, x),
        (false, true) => (f64::NEG_INFINITY, x),
        // Nothing counts: a comparison that no number passes.
        (false, false) => (f64::NAN, x),
    };
    let bound = cx.scalar(dtype, value)?;
    Ok(vec![cx.binary(BinaryOp::Equal, of, bound)?])
}
