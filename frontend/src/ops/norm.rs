//! Normalisation: Batch-, Instance-, Layer-, Group-, RMS- and MeanVarianceNormalization, LRN, LpNormalization.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__BatchNormalization.html> and its neighbours. Batch
//! normalisation is in its inference form before opset 14 (`is_test` said so; absent means that the exporter forgot), from 14 on
//! `training_mode` tells; `spatial = 0` (before 9) is not supported. GroupNormalization has scales per group in 18, per channel from 21.

use crate::context::{Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use brolga_compiler::ir::{BinaryOp, Dim, Ints, Op, ReduceKind, UnaryOp, ValueId};
use brolga_runtime::DType;

fn epsilon(cx: &Context<'_, '_>) -> Result<f32, NodeError> {
    let epsilon = cx.node.attributes.float_or("epsilon", 1e-5)?;
    if epsilon.is_finite() && epsilon >= 0.0 {
        Ok(epsilon)
    } else {
        invalid(format!("epsilon is {epsilon}; a number from 0 is expected"))
    }
}

pub(crate) fn batch(cx: &mut Context<'_, '_>) -> Results {
    let attributes = &cx.node.attributes;
    if cx.opset >= 14 && attributes.flag("training_mode")? {
        return training(cx);
    }
    if cx.opset < 9 && attributes.int_or("spatial", 1)? != 1 {
        return unsupported("spatial = 0; statistics per channel are accepted");
    }
    if (1..5).any(|i| cx.wants(i)) {
        return unsupported("results beyond the first, which are for training");
    }
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?, cx.input(3)?, cx.input(4)?];
    Ok(vec![cx.emit(Op::BatchNorm { epsilon: epsilon(cx)? }, &operands)?])
}

/// Batch normalisation by the batch's own statistics; the running ones move towards them.
fn training(cx: &mut Context<'_, '_>) -> Results {
    let (x, scale, bias) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let axes: Vec<usize> = (0..cx.rank(x)).filter(|axis| *axis != 1).collect();
    let mean = mean_of(cx, x, &axes)?;
    let centred = cx.binary(BinaryOp::Sub, x, mean)?;
    let square = cx.binary(BinaryOp::Mul, centred, centred)?;
    let variance = mean_of(cx, square, &axes)?;
    let channels: Vec<Dim> = cx.shape(x).into_iter().skip(1).take(1).collect();
    let (mean, variance) = (cx.reshape(mean, channels.clone())?, cx.reshape(variance, channels)?);
    let statistics = [(cx.input(3)?, mean), (cx.input(4)?, variance)];
    let parameter = |cx: &mut Context<'_, '_>, id: ValueId| {
        let like = cx.dtype(x);
        cx.cast(id, like)
    };
    let operands = [x, parameter(cx, scale)?, parameter(cx, bias)?, mean, variance];
    let mut results = vec![cx.emit(Op::BatchNorm { epsilon: epsilon(cx)? }, &operands)?];
    let momentum = f64::from(cx.node.attributes.float_or("momentum", 0.9)?);
    for (running, batch) in statistics {
        let running_type = cx.dtype(running);
        let batch = cx.cast(batch, running_type)?;
        let (old, new) = (cx.scalar(running_type, momentum)?, cx.scalar(running_type, 1.0 - momentum)?);
        let (old, new) = (cx.binary(BinaryOp::Mul, running, old)?, cx.binary(BinaryOp::Mul, batch, new)?);
        results.push(cx.binary(BinaryOp::Add, old, new)?);
    }
    Ok(results)
}

pub(crate) fn instance(cx: &mut Context<'_, '_>) -> Results {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    Ok(vec![cx.emit(Op::InstanceNorm { epsilon: epsilon(cx)? }, &operands)?])
}

fn mean_of(cx: &mut Context<'_, '_>, x: ValueId, axes: &[usize]) -> Result<ValueId, NodeError> {
    cx.emit(Op::Reduce { kind: ReduceKind::Mean, axes: axes.to_vec(), keep: true }, &[x])
}

/// 1 / sqrt(mean of squares + epsilon)
fn inverse_deviation(cx: &mut Context<'_, '_>, x: ValueId, axes: &[usize], epsilon: f32) -> Result<ValueId, NodeError> {
    let square = cx.binary(BinaryOp::Mul, x, x)?;
    let mean = mean_of(cx, square, axes)?;
    let epsilon = cx.scalar(cx.dtype(x), f64::from(epsilon))?;
    let sum = cx.binary(BinaryOp::Add, mean, epsilon)?;
    let root = cx.unary(UnaryOp::Sqrt, sum)?;
    cx.unary(UnaryOp::Reciprocal, root)
}

pub(crate) fn layer(cx: &mut Context<'_, '_>) -> Results {
    let (x, scale, bias) = (cx.input(0)?, cx.input(1)?, cx.optional(2));
    let axis = cx.axis_attribute(-1, cx.rank(x))?;
    let epsilon = epsilon(cx)?;
    let normalised: Vec<Dim> = cx.shape(x).into_iter().skip(axis).collect();
    let whole = |cx: &Context<'_, '_>, id: ValueId| cx.shape(id) == normalised;
    let mut results = Vec::new();
    if whole(cx, scale) && bias.is_none_or(|b| whole(cx, b)) {
        let operands: Vec<ValueId> = [x, scale].into_iter().chain(bias).collect();
        results.push(cx.emit(Op::LayerNorm { axis, epsilon, bias: bias.is_some() }, &operands)?);
    } else {
        // A scale that only broadcasts to the normalised dimensions is applied afterwards.
        let Some(dims) = normalised.iter().map(|d| d.known().and_then(|n| usize::try_from(n).ok())).collect() else {
            return unsupported("a scale that broadcasts over symbolic dimensions; one of their shape is accepted");
        };
        let ones = cx.splat(cx.dtype(x), dims, 1.0)?;
        let y = cx.emit(Op::LayerNorm { axis, epsilon, bias: false }, &[x, ones])?;
        let y = cx.binary(BinaryOp::Mul, y, scale)?;
        results.push(match bias {
            Some(bias) => cx.binary(BinaryOp::Add, y, bias)?,
            None => y,
        });
    }
    if cx.wants(1) || cx.wants(2) {
        let axes: Vec<usize> = (axis..cx.rank(x)).collect();
        let mean = mean_of(cx, x, &axes)?;
        let centred = cx.binary(BinaryOp::Sub, x, mean)?;
        results.push(mean);
        results.push(inverse_deviation(cx, centred, &axes, epsilon)?);
    }
    Ok(results)
}

pub(crate) fn rms(cx: &mut Context<'_, '_>) -> Results {
    let (x, scale) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.axis_attribute(-1, cx.rank(x))?;
    let axes: Vec<usize> = (axis..cx.rank(x)).collect();
    let epsilon = epsilon(cx)?;
    // The first stage may be computed in more digits than the operand has.
    let (own, stash) = (cx.dtype(x), crate::types::dtype(cx.node.attributes.int_or("stash_type", 1)?)?);
    let wide = if own == DType::F64 { own } else { stash };
    let x = cx.cast(x, wide)?;
    let inverse = inverse_deviation(cx, x, &axes, epsilon)?;
    let y = cx.binary(BinaryOp::Mul, x, inverse)?;
    let y = cx.cast(y, cx.dtype(scale))?;
    Ok(vec![cx.binary(BinaryOp::Mul, y, scale)?])
}

pub(crate) fn group(cx: &mut Context<'_, '_>) -> Results {
    let (x, mut scale, mut bias) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let attributes = &cx.node.attributes;
    let given = attributes.required("num_groups", attributes.int("num_groups")?)?;
    let channels = cx.shape(x).get(1).and_then(Dim::known).and_then(|c| usize::try_from(c).ok());
    let Some(channels) = channels else {
        return unsupported("a symbolic number of channels; a known one is accepted");
    };
    let groups = usize::try_from(given).unwrap_or(0);
    if groups == 0 || channels % groups != 0 {
        return invalid(format!("num_groups is {given}, which does not divide {channels} channels"));
    }
    if cx.opset < 21 && groups != channels {
        scale = per_channel(cx, scale, groups, channels)?;
        bias = per_channel(cx, bias, groups, channels)?;
    }
    Ok(vec![cx.emit(Op::GroupNorm { groups, epsilon: epsilon(cx)? }, &[x, scale, bias])?])
}

/// One number per channel from one per group.
fn per_channel(cx: &mut Context<'_, '_>, x: ValueId, groups: usize, channels: usize) -> Result<ValueId, NodeError> {
    let column = cx.reshape(x, vec![groups.into(), Dim::Const(1)])?;
    let shape = Ints::Known(vec![groups.into(), (channels / groups).into()]);
    let wide = cx.emit(Op::Expand { shape }, &[column])?;
    cx.reshape(wide, vec![channels.into()])
}

pub(crate) fn lrn(cx: &mut Context<'_, '_>) -> Results {
    let attributes = &cx.node.attributes;
    let given = attributes.required("size", attributes.int("size")?)?;
    let Some(size) = usize::try_from(given).ok().filter(|s| (1..1 << 31).contains(s)) else {
        return invalid(format!("size is {given}; a positive number is expected"));
    };
    let op = Op::Lrn {
        size,
        alpha: attributes.float_or("alpha", 1e-4)?,
        beta: attributes.float_or("beta", 0.75)?,
        bias: attributes.float_or("bias", 1.0)?,
    };
    Ok(vec![cx.emit(op, &[cx.input(0)?])?])
}

pub(crate) fn lp(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let axis = cx.axis_attribute(-1, cx.rank(x))?;
    let p = match cx.node.attributes.int_or("p", 2)? {
        1 => 1,
        2 => 2,
        p => return invalid(format!("p is {p}; 1 or 2 is expected")),
    };
    Ok(vec![cx.emit(Op::LpNorm { axis, p }, &[x])?])
}

pub(crate) fn mean_variance(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let attributes = &cx.node.attributes;
    // The first version names dimensions by what they are for.
    let default: &[i64] = if cx.opset < 9 && attributes.flag("across_channels")? { &[0, 1, 2, 3] } else { &[0, 2, 3] };
    let mut axes = cx.axes(attributes.ints("axes")?.unwrap_or(default), rank)?;
    axes.sort_unstable();
    let scaled = cx.opset >= 9 || attributes.int_or("normalize_variance", 1)? != 0;
    let mean = mean_of(cx, x, &axes)?;
    let centred = cx.binary(BinaryOp::Sub, x, mean)?;
    if !scaled {
        return Ok(vec![centred]);
    }
    let square = cx.binary(BinaryOp::Mul, centred, centred)?;
    let variance = mean_of(cx, square, &axes)?;
    let deviation = cx.unary(UnaryOp::Sqrt, variance)?;
    let epsilon = cx.scalar(cx.dtype(x), 1e-9)?;
    let divisor = cx.binary(BinaryOp::Add, deviation, epsilon)?;
    Ok(vec![cx.binary(BinaryOp::Div, centred, divisor)?])
}
