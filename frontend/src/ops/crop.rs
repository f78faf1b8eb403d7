//! Crops whose corners are known at run time only: Resize with a computed region of interest.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__Resize.html>, coordinates of `tf_crop_and_resize`. One dimension after another
//! is gathered at the positions beside each coordinate and weighted; what lies outside takes the extrapolation value.

use crate::context::Context;
use crate::error::{NodeError, unsupported};
use brolga_compiler::ir::{BinaryOp, Ints, Op, Origin, UnaryOp, ValueId, Weight};
use brolga_runtime::DType;

/// A crop of `x`.
pub(super) struct Crop<'c> {
    pub x: ValueId,
    /// Its corners: all begins, then as many ends.
    pub region: ValueId,
    pub corners: usize,
    pub sides: &'c [Side],
    pub extrapolation: f32,
}

/// A dimension that is cropped: position of its corners, axis, extent of the result.
pub(super) struct Side {
    pub corner: usize,
    pub axis: usize,
    pub size: i64,
}

/// The numbers of a list that are known, as far as it is put together from constants.
pub(super) fn known_parts(cx: &Context<'_, '_>, list: ValueId, depth: usize) -> Option<Vec<Option<f64>>> {
    if let Some(known) = cx.known_floats(list) {
        return Some(known.into_iter().map(Some).collect());
    }
    if let Origin::Node(node, _) = &cx.graph.value(list).origin
        && let (Op::Concat { axis: 0 }, Some(depth)) = (&cx.graph.node(*node).op, depth.checked_sub(1))
    {
        let parts = cx.graph.node(*node).inputs.iter().map(|part| known_parts(cx, *part, depth));
        return Some(parts.collect::<Option<Vec<_>>>()?.concat());
    }
    Some(vec![None; cx.ty(list).elements()?])
}

/// What one axis of the result reads: positions below and above, the weight of the one above, whether it is inside.
struct Line {
    below: ValueId,
    above: ValueId,
    weight: ValueId,
    inside: ValueId,
}

/// The crop, linear between elements.
pub(super) fn linear(cx: &mut Context<'_, '_>, crop: &Crop<'_>) -> Result<ValueId, NodeError> {
    if cx.dtype(crop.x) != DType::F32 || cx.dtype(crop.region) != DType::F32 {
        return unsupported("a region of interest computed at run time for other elements than f32; f32 is accepted");
    }
    let (mut y, mut inside, rank) = (crop.x, None, cx.rank(crop.x));
    for side in crop.sides {
        let (line, axis) = (line(cx, crop, side)?, side.axis);
        let mut shape = vec![1; rank - axis];
        shape[0] = side.size;
        let along = |cx: &mut Context<'_, '_>, v| cx.reshape(v, shape.iter().map(|n| (*n).into()).collect());
        let (weight, mask) = (along(cx, line.weight)?, along(cx, line.inside)?);
        let below = cx.emit(Op::Gather { axis }, &[y, line.below])?;
        let above = cx.emit(Op::Gather { axis }, &[y, line.above])?;
        let difference = cx.binary(BinaryOp::Sub, above, below)?;
        let part = cx.binary(BinaryOp::Mul, difference, weight)?;
        y = cx.binary(BinaryOp::Add, below, part)?;
        inside = match inside {
            None => Some(mask),
            Some(other) => Some(cx.binary(BinaryOp::And, other, mask)?),
        };
    }
    let Some(inside) = inside else { return Ok(y) };
    let outside = cx.scalar(DType::F32, f64::from(crop.extrapolation))?;
    cx.emit(Op::Where, &[inside, y, outside])
}

fn line(cx: &mut Context<'_, '_>, crop: &Crop<'_>, side: &Side) -> Result<Line, NodeError> {
    let (axis, size) = (side.axis, side.size);
    let begin = corner(cx, crop.region, side.corner)?;
    let end = corner(cx, crop.region, crop.corners + side.corner)?;
    let extent = cx.emit(Op::Shape { begin: axis, end: axis + 1 }, &[crop.x])?;
    let (extent, one) = (cx.cast(extent, DType::F32)?, cx.scalar(DType::F32, 1.0)?);
    let last = cx.binary(BinaryOp::Sub, extent, one)?;
    // A single result lies in the middle, several between the corners.
    let parts = |at: i64| if size > 1 { at as f64 / (size - 1) as f64 } else { 0.5 };
    let parts: Vec<u8> = (0..size).flat_map(|at| (parts(at) as f32).to_le_bytes()).collect();
    let shape = vec![usize::try_from(size).unwrap_or(0)];
    let parts = cx.weight(Weight::from_bytes(DType::F32, shape, parts.into()));
    let width = cx.binary(BinaryOp::Sub, end, begin)?;
    let step = cx.binary(BinaryOp::Mul, parts, width)?;
    let place = cx.binary(BinaryOp::Add, step, begin)?;
    let place = cx.binary(BinaryOp::Mul, place, last)?;
    let zero = cx.scalar(DType::F32, 0.0)?;
    let from = cx.binary(BinaryOp::GreaterOrEqual, place, zero)?;
    let to = cx.binary(BinaryOp::LessOrEqual, place, last)?;
    let inside = cx.binary(BinaryOp::And, from, to)?;
    let low = cx.binary(BinaryOp::Max, place, zero)?;
    let place = cx.binary(BinaryOp::Min, low, last)?;
    let floor = cx.unary(UnaryOp::Floor, place)?;
    let weight = cx.binary(BinaryOp::Sub, place, floor)?;
    let next = cx.binary(BinaryOp::Add, floor, one)?;
    let next = cx.binary(BinaryOp::Min, next, last)?;
    Ok(Line { below: cx.cast(floor, DType::I64)?, above: cx.cast(next, DType::I64)?, weight, inside })
}

fn corner(cx: &mut Context<'_, '_>, region: ValueId, at: usize) -> Result<ValueId, NodeError> {
    let at = i64::try_from(at).unwrap_or(i64::MAX);
    let (starts, ends) = (Ints::Known(vec![at.into()]), Ints::Known(vec![at.saturating_add(1).into()]));
    cx.emit(Op::Slice { axes: vec![0], starts, ends, steps: vec![1] }, &[region])
}
