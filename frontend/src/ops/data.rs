//! Moving and converting elements: Identity, Dropout, Cast, CastLike, Pad, DepthToSpace, SpaceToDepth.
//!
//! Specification: <https://onnx.ai/onnx/operators/>. Cast names its type as text before opset 6. Pad has its amounts in an
//! attribute (`paddings` in 1, `pads` in 2), as operands from 11, with axes from 18. DepthToSpace has its mode from 11.
//! Dropout passes its operand through, its mask all true, unless `training_mode` (from 12) holds.

use crate::context::{Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use crate::types::{dtype, dtype_by_name};
use brolga_compiler::ir::{BinaryOp, Dim, Ints, Op, PadMode, PowerRounding, Type, ValueId};
use brolga_runtime::DType;
use brolga_runtime::library::{Attribute, Function};

pub(crate) fn identity(cx: &mut Context<'_, '_>) -> Results {
    Ok(vec![cx.input(0)?])
}

pub(crate) fn dropout(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    if cx.opset >= 12 && cx.const_number(2, "training_mode")?.unwrap_or(0.0) != 0.0 {
        return training_dropout(cx, x);
    }
    let mut results = vec![x];
    if cx.wants(1) {
        // A mask has the operand's type before opset 10.
        let dtype = if cx.opset >= 10 { DType::Bool } else { cx.dtype(x) };
        let shape = Ints::Known(cx.shape(x));
        results.push(match cx.ty(x).dims() {
            Some(dims) => cx.splat(dtype, dims, 1.0)?,
            None => cx.emit(Op::ConstantOfShape { shape, dtype, value: 1.0 }, &[])?,
        });
    }
    Ok(results)
}

/// Keeps elements with a probability of 1 - ratio, and makes up for those that go.
fn training_dropout(cx: &mut Context<'_, '_>, x: ValueId) -> Results {
    let ratio = cx.const_number(1, "ratio")?.unwrap_or(0.5);
    if !(0.0..1.0).contains(&ratio) {
        return invalid(format!("the ratio is {ratio}; a number from 0 and below 1 is expected"));
    }
    let mut function = Function::new("random_uniform", 1).with("dtype", Attribute::Text(DType::F32.name().into()));
    if let Some(seed) = cx.node.attributes.int("seed")? {
        function = function.with("seed", Attribute::Float(seed as f32));
    }
    let drawn = Type { dtype: DType::F32, ..cx.ty(x).clone() };
    let drawn = cx.function(function, &[Some(x)], vec![drawn])?;
    let Some(drawn) = drawn.first().copied() else { return invalid("it has no result") };
    let threshold = cx.scalar(DType::F32, ratio)?;
    let mask = cx.binary(BinaryOp::GreaterOrEqual, drawn, threshold)?;
    let dtype = cx.dtype(x);
    let (factor, zero) = (cx.scalar(dtype, 1.0 / (1.0 - ratio))?, cx.scalar(dtype, 0.0)?);
    let scaled = if ratio == 0.0 { x } else { cx.binary(BinaryOp::Mul, x, factor)? };
    Ok(vec![cx.emit(Op::Where, &[mask, scaled, zero])?, mask])
}

pub(crate) fn cast(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let attributes = &cx.node.attributes;
    let to = if cx.opset < 6 {
        dtype_by_name(attributes.required("to", attributes.text("to")?)?)?
    } else {
        dtype(attributes.required("to", attributes.int("to")?)?)?
    };
    convert(cx, x, to)
}

pub(crate) fn cast_like(cx: &mut Context<'_, '_>) -> Results {
    let (x, like) = (cx.input(0)?, cx.input(1)?);
    let to = cx.dtype(like);
    convert(cx, x, to)
}

/// Conversion with what the attributes say about floats of 8 bits.
fn convert(cx: &mut Context<'_, '_>, x: ValueId, to: DType) -> Results {
    if cx.dtype(x) == DType::String || to == DType::String {
        return super::strings::cast(cx, x, to);
    }
    let attributes = &cx.node.attributes;
    let saturate = attributes.int_or("saturate", 1)? != 0;
    let name = attributes.text_or("round_mode", PowerRounding::Up.name())?;
    let Some(rounding) = PowerRounding::from_name(name) else {
        return invalid(format!("round_mode {name:?}; up, down and nearest are accepted"));
    };
    if to.is_narrow_float() && cx.dtype(x) != to && !(saturate && rounding == PowerRounding::Up) {
        return Ok(vec![cx.emit(Op::CastNarrow { to, saturate, rounding }, &[x])?]);
    }
    Ok(vec![cx.cast(x, to)?])
}

pub(crate) fn pad(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let attributes = &cx.node.attributes;
    let from_operands = cx.opset >= 11;
    let value = if from_operands {
        cx.const_number(2, "constant_value")?.unwrap_or(0.0)
    } else {
        f64::from(attributes.float_or("value", 0.0)?)
    };
    let mode = match attributes.text_or("mode", "constant")? {
        "constant" => PadMode::Constant(value),
        "edge" => PadMode::Edge,
        "reflect" => PadMode::Reflect,
        "wrap" => PadMode::Wrap,
        other => return invalid(format!("mode {other:?}; constant, edge, reflect or wrap is expected")),
    };
    if !from_operands {
        let name = if cx.opset < 2 { "paddings" } else { "pads" };
        let pads = attributes.required(name, attributes.ints(name)?)?;
        let pads = Ints::Known(pads.iter().map(|p| Dim::Const(*p)).collect());
        check_count(&pads, rank)?;
        return Ok(vec![cx.emit(Op::Pad { mode, pads }, &[x])?]);
    }
    let amounts = cx.input(1)?;
    let mut pads = cx.ints(amounts, 1);
    if let Some(axes) = cx.const_ints(3, "axes")? {
        let axes = cx.axes(&axes, rank)?;
        pads = on_axes(pads, &axes, rank)?;
    }
    check_count(&pads, rank)?;
    let operands = if matches!(pads, Ints::Known(_)) { vec![x] } else { vec![x, amounts] };
    Ok(vec![cx.emit(Op::Pad { mode, pads }, &operands)?])
}

fn check_count(pads: &Ints, rank: usize) -> Result<(), NodeError> {
    match pads {
        Ints::Known(pads) if pads.len() != 2 * rank => {
            invalid(format!("pads has {} numbers; {} are expected", pads.len(), 2 * rank))
        }
        _ => Ok(()),
    }
}

/// Amounts for all dimensions from those for some.
fn on_axes(pads: Ints, axes: &[usize], rank: usize) -> Result<Ints, NodeError> {
    let all_in_order = axes.len() == rank && axes.iter().enumerate().all(|(i, a)| i == *a);
    let Ints::Known(some) = pads else {
        return if all_in_order {
            Ok(pads)
        } else {
            unsupported("pads computed at run time for some axes; for all is accepted")
        };
    };
    if some.len() != 2 * axes.len() {
        return invalid(format!("pads has {} numbers; {} are expected", some.len(), 2 * axes.len()));
    }
    let mut all = vec![Dim::Const(0); 2 * rank];
    let (begins, ends) = some.split_at(axes.len());
    for ((axis, begin), end) in axes.iter().zip(begins).zip(ends) {
        all[*axis] = begin.clone();
        all[rank + axis] = end.clone();
    }
    Ok(Ints::Known(all))
}

fn block(cx: &Context<'_, '_>) -> Result<usize, NodeError> {
    let size = cx.node.attributes.required("blocksize", cx.node.attributes.int("blocksize")?)?;
    let x = cx.input(0)?;
    if cx.rank(x) != 4 {
        return invalid(format!("its operand has rank {}; 4 is expected", cx.rank(x)));
    }
    match usize::try_from(size) {
        Ok(block) if (1..1 << 15).contains(&block) => Ok(block),
        _ => invalid(format!("blocksize is {size}; a number from 1 to 32767 is expected")),
    }
}

pub(crate) fn depth_to_space(cx: &mut Context<'_, '_>) -> Results {
    let crd = match cx.node.attributes.text_or("mode", "DCR")? {
        "DCR" => false,
        "CRD" => true,
        other => return invalid(format!("mode {other:?}; DCR or CRD is expected")),
    };
    let block = block(cx)?;
    Ok(vec![cx.emit(Op::DepthToSpace { block, crd }, &[cx.input(0)?])?])
}

pub(crate) fn space_to_depth(cx: &mut Context<'_, '_>) -> Results {
    let block = block(cx)?;
    Ok(vec![cx.emit(Op::SpaceToDepth { block }, &[cx.input(0)?])?])
}
