//! Convolution: Conv, ConvTranspose.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__Conv.html>, <https://onnx.ai/onnx/operators/onnx__ConvTranspose.html>.
//! Opsets 11 and 22 change defaults to what exporters wrote anyway and add types; the meaning is one.

use super::window::{Auto, auto_pad, kernel, spatial, window};
use crate::context::{Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use brolga_compiler::ir::{AutoPad, Dim, Expression, Op, ValueId, Window};

pub(super) fn group(cx: &Context<'_, '_>) -> Result<usize, NodeError> {
    let group = cx.node.attributes.int_or("group", 1)?;
    match usize::try_from(group) {
        Ok(n) if (1..1 << 31).contains(&n) => Ok(n),
        _ => invalid(format!("group is {group}; a positive number is expected")),
    }
}

fn operands(cx: &Context<'_, '_>) -> Result<(Vec<ValueId>, bool), NodeError> {
    let mut operands = vec![cx.input(0)?, cx.input(1)?];
    operands.extend(cx.optional(2));
    let bias = operands.len() == 3;
    Ok((operands, bias))
}

pub(crate) fn conv(cx: &mut Context<'_, '_>) -> Results {
    let (operands, bias) = operands(cx)?;
    let n = spatial(cx, cx.input(0)?)?;
    let window = window(cx, cx.input(0)?, kernel(cx, Some(cx.input(1)?), n)?)?;
    let op = Op::Conv { window, group: group(cx)?, bias, epilogue: Expression::default() };
    Ok(vec![cx.emit(op, &operands)?])
}

pub(crate) fn transpose(cx: &mut Context<'_, '_>) -> Results {
    let (operands, bias) = operands(cx)?;
    let x = cx.input(0)?;
    let n = spatial(cx, x)?;
    let mut window = window(cx, x, kernel(cx, Some(cx.input(1)?), n)?)?;
    window.auto_pad = AutoPad::Explicit;
    let mut output_pad = match cx.node.attributes.ints("output_padding")? {
        None => vec![0; n],
        Some(pads) if pads.len() == n && pads.iter().all(|p| (0..1 << 31).contains(p)) => pads.to_vec(),
        Some(pads) => return invalid(format!("output_padding is {pads:?}; {n} numbers from 0 are expected")),
    };
    if let Some(totals) = totals(cx, x, &window, &output_pad)? {
        // The odd one goes to the end only where SAME_UPPER says so.
        let upper = auto_pad(cx)? == Auto::SameUpper;
        for (axis, total) in totals.into_iter().enumerate() {
            // Less than no padding is more output.
            output_pad[axis] -= total.min(0);
            let total = total.max(0);
            let (small, large) = (total / 2, total - total / 2);
            window.pad_begin[axis] = if upper { small } else { large };
            window.pad_end[axis] = if upper { large } else { small };
        }
    }
    let op = Op::ConvTranspose { window, output_pad, group: group(cx)?, bias, epilogue: Expression::default() };
    Ok(vec![cx.emit(op, &operands)?])
}

/// Padding in all per dimension, where it follows from `output_shape` or from an `auto_pad` of SAME.
fn totals(
    cx: &Context<'_, '_>,
    x: ValueId,
    window: &Window,
    output_pad: &[i64],
) -> Result<Option<Vec<i64>>, NodeError> {
    let n = window.kernel.len();
    let same = matches!(auto_pad(cx)?, Auto::SameUpper | Auto::SameLower);
    let wanted = cx.node.attributes.ints("output_shape")?.filter(|s| !s.is_empty());
    if wanted.is_none() && !same {
        return Ok(None);
    }
    // Some exporters list batch and channels as well.
    let wanted = wanted.map(|s| if s.len() == n + 2 { s.iter().skip(2).copied().collect() } else { s.to_vec() });
    let mut totals = Vec::with_capacity(n);
    for axis in 0..n {
        let number = |list: &[usize]| list.get(axis).and_then(|v| i64::try_from(*v).ok()).unwrap_or(1);
        let (stride, reach) = (
            number(&window.stride),
            (number(&window.kernel) - 1).saturating_mul(number(&window.dilation)).saturating_add(1),
        );
        let added = output_pad.get(axis).copied().unwrap_or(0).saturating_add(reach);
        totals.push(match &wanted {
            // Output extent is input times stride, whatever the input.
            None => added - stride,
            Some(wanted) => match (wanted.get(axis), cx.ty(x).shape.get(axis + 2).and_then(Dim::known)) {
                (Some(out), Some(extent)) if (0..1 << 40).contains(out) && wanted.len() == n => {
                    stride.saturating_mul(extent - 1).saturating_add(added).saturating_sub(*out)
                }
                (_, None) => return unsupported("output_shape over a symbolic dimension; pads are accepted"),
                _ => return invalid(format!("output_shape is {wanted:?}; {n} extents are expected")),
            },
        });
    }
    Ok(Some(totals))
}
