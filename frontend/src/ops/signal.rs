//! Signals: DFT, STFT, MelWeightMatrix, HannWindow, HammingWindow, BlackmanWindow: library functions.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__DFT.html> and its neighbours. DFT's axis is an attribute (default 1) before opset
//! 20, then an operand (default -2).

use crate::context::{Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use crate::types::dtype;
use brolga_compiler::ir::{Dim, Ints, Type, ValueId};
use brolga_runtime::DType;
use brolga_runtime::library::{Attribute, Function};

/// The integer that operand `i` is, when it is known; `None` when only a run tells.
fn known(cx: &Context<'_, '_>, id: ValueId) -> Option<Dim> {
    match cx.ints(id, 0) {
        Ints::Known(dims) => <[Dim; 1]>::try_from(dims).ok().map(|[one]| one),
        Ints::Input(_) => None,
    }
}

/// An extent, or a new one when it is not known.
fn or_fresh(cx: &Context<'_, '_>, extent: Option<Dim>) -> Dim {
    extent.unwrap_or_else(|| cx.fresh())
}

fn half(extent: &Dim) -> Dim {
    extent.div(&Dim::Const(2)).add(&Dim::Const(1))
}

fn floats(cx: &Context<'_, '_>, x: ValueId) -> Result<DType, NodeError> {
    match cx.dtype(x) {
        dtype if dtype.is_float() => Ok(dtype),
        dtype => invalid(format!("its operand holds {dtype}; floats are expected")),
    }
}

pub(crate) fn dft(cx: &mut Context<'_, '_>) -> Results {
    let (x, length) = (cx.input(0)?, cx.optional(1));
    let element = floats(cx, x)?;
    let mut shape = cx.shape(x);
    let rank = shape.len();
    let attributes = &cx.node.attributes;
    let (inverse, onesided) = (attributes.flag("inverse")?, attributes.flag("onesided")?);
    let mut function = cx.copy_attributes(Function::new("dft", 3), &["inverse", "onesided"])?;
    let mut operands = vec![Some(x), length, None];
    let axis = if cx.opset < 20 {
        Some(attributes.int_or("axis", 1)?)
    } else {
        match cx.optional(2) {
            None => Some(-2),
            Some(id) => {
                operands[2] = Some(id);
                known(cx, id).and_then(|d| d.known())
            }
        }
    };
    if let Some(axis) = axis {
        let axis = cx.axis(axis, rank)?;
        if axis + 1 == rank {
            return invalid("the transform is along the dimension of real and imaginary parts; another is expected");
        }
        operands[2] = None;
        function = function.with("axis", Attribute::Int(i64::try_from(axis).unwrap_or(0)));
        let own = shape[axis].clone();
        let whole = match length {
            Some(id) => known(cx, id),
            None if inverse && onesided => Some(own.sub(&Dim::Const(1)).mul(&Dim::Const(2))),
            None => Some(own),
        };
        let kept = if onesided && !inverse { whole.map(|n| half(&n)) } else { whole };
        shape[axis] = or_fresh(cx, kept);
    } else if length.is_some() || onesided {
        // Any dimension may be the one that changes.
        shape = (0..rank).map(|_| cx.fresh()).collect();
    }
    let Some(last) = shape.last_mut() else { return invalid("its operand is a scalar") };
    *last = Dim::Const(if inverse && onesided { 1 } else { 2 });
    cx.function(function, &operands, vec![Type::new(element, shape)])
}

pub(crate) fn stft(cx: &mut Context<'_, '_>) -> Results {
    let (x, step, window, length) = (cx.input(0)?, cx.input(1)?, cx.optional(2), cx.optional(3));
    let element = floats(cx, x)?;
    let shape = cx.shape(x);
    let (Some(batch), Some(samples), 2..=3) = (shape.first(), shape.get(1), shape.len()) else {
        return invalid(format!("the signal has rank {}; 3 is expected", shape.len()));
    };
    let onesided = cx.node.attributes.int_or("onesided", 1)? != 0;
    if onesided && shape.get(2) == Some(&Dim::Const(2)) {
        return invalid("onesided of a complex signal; onesided = 0 is expected");
    }
    let frame = match (length, window) {
        (Some(id), _) => known(cx, id),
        (None, Some(window)) => cx.shape(window).into_iter().next(),
        (None, None) => Some(samples.clone()),
    };
    let step_extent = known(cx, step).filter(|d| d.known().is_some_and(|n| n > 0));
    let frames = match (&frame, step_extent) {
        (Some(frame), Some(step)) => Some(samples.sub(frame).div(&step).add(&Dim::Const(1))),
        _ => None,
    };
    let bins = if onesided { frame.as_ref().map(half) } else { frame };
    let (frames, bins) = (or_fresh(cx, frames), or_fresh(cx, bins));
    let ty = Type::new(element, vec![batch.clone(), frames, bins, Dim::Const(2)]);
    let function = cx.copy_attributes(Function::new("stft", 4), &["onesided"])?;
    cx.function(function, &[Some(x), Some(step), window, length], vec![ty])
}

/// The function with the element type that `output_datatype` asks for.
fn typed(cx: &Context<'_, '_>, function: Function) -> Result<(Function, DType), NodeError> {
    let element = dtype(cx.node.attributes.int_or("output_datatype", 1)?)?;
    if element == DType::String || element == DType::Bool {
        return unsupported(format!("output_datatype {element}; numbers are accepted"));
    }
    Ok((function.with("dtype", Attribute::Text(element.name().into())), element))
}

pub(crate) fn mel_weight_matrix(cx: &mut Context<'_, '_>) -> Results {
    let operands = (0..5).map(|i| cx.input(i).map(Some)).collect::<Result<Vec<_>, _>>()?;
    let (function, element) = typed(cx, Function::new("mel_weight_matrix", 5))?;
    let (bands, bins) = (known(cx, cx.input(0)?), known(cx, cx.input(1)?).map(|n| half(&n)));
    let shape = vec![or_fresh(cx, bins), or_fresh(cx, bands)];
    cx.function(function, &operands, vec![Type::new(element, shape)])
}

pub(crate) fn window(cx: &mut Context<'_, '_>) -> Results {
    let name = match cx.node.op {
        "HannWindow" => "hann_window",
        "HammingWindow" => "hamming_window",
        _ => "blackman_window",
    };
    let size = cx.input(0)?;
    let function = cx.copy_attributes(Function::new(name, 1), &["periodic"])?;
    let (function, element) = typed(cx, function)?;
    let shape = vec![or_fresh(cx, known(cx, size))];
    cx.function(function, &[Some(size)], vec![Type::new(element, shape)])
}
