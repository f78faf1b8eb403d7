//! Quantisation: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, QLinearConv, QLinearMatMul, ConvInteger,
//! MatMulInteger.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html> and its neighbours. Scales per axis come with
//! opset 13, floats of 8 bits with 19, blocks, 4 and 16 bits with 21, `precision` with 23, 2 bits with 25. The QLinear
//! operators are imported as what they stand for: operands dequantised, the operation, its result quantised.

use super::conv::group;
use super::window::{kernel, spatial, window};
use crate::context::{Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use crate::types::dtype;
use brolga_compiler::ir::{BinaryOp, Dim, Expression, Op, ReduceKind, UnaryOp, ValueId, Window};
use brolga_runtime::DType;

/// Axis and block size for a scale of operand 0.
fn granularity(cx: &Context<'_, '_>, x: ValueId, scale: ValueId) -> Result<(usize, usize), NodeError> {
    let shape = &cx.ty(scale).shape;
    let block = cx.node.attributes.int_or("block_size", 0)?;
    let Ok(block) = usize::try_from(block) else { return invalid(format!("block_size is {block}")) };
    if block == 0 && (shape.is_empty() || shape[..] == [Dim::Const(1)]) {
        return Ok((0, 0));
    }
    let rank = cx.rank(x);
    if rank == 1 && cx.node.attributes.int("axis")?.is_none() {
        return Ok((0, block));
    }
    Ok((cx.axis_attribute(1, rank)?, block))
}

/// An element type that an attribute names; 0 and absence mean none.
fn named(cx: &Context<'_, '_>, name: &str) -> Result<Option<DType>, NodeError> {
    match cx.node.attributes.int_or(name, 0)? {
        0 => Ok(None),
        number => Ok(Some(dtype(number)?)),
    }
}

pub(crate) fn quantize(cx: &mut Context<'_, '_>) -> Results {
    let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.optional(2));
    let named_type = named(cx, "output_dtype")?;
    let to = match (zero.map(|z| cx.dtype(z)), named_type) {
        (Some(a), Some(b)) if a != b => return invalid(format!("output_dtype is {b} where the zero point is {a}")),
        (a, b) => a.or(b).unwrap_or(DType::U8),
    };
    let (axis, block) = granularity(cx, x, scale)?;
    let of_scale = if cx.dtype(scale).is_float() { cx.dtype(scale) } else { DType::F32 };
    let precision = named(cx, "precision")?.unwrap_or(of_scale);
    let saturate = cx.node.attributes.int_or("saturate", 1)? != 0;
    let operands: Vec<ValueId> = [x, scale].into_iter().chain(zero).collect();
    Ok(vec![cx.emit(Op::Quantize { to, axis, block, precision, saturate }, &operands)?])
}

pub(crate) fn dequantize(cx: &mut Context<'_, '_>) -> Results {
    let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.optional(2));
    let of_scale = if cx.dtype(scale).is_float() { cx.dtype(scale) } else { DType::F32 };
    let to = named(cx, "output_dtype")?.unwrap_or(of_scale);
    let (axis, block) = granularity(cx, x, scale)?;
    let operands: Vec<ValueId> = [x, scale].into_iter().chain(zero).collect();
    Ok(vec![cx.emit(Op::Dequantize { to, axis, block }, &operands)?])
}

/// Scale and zero point from the least and largest element, then quantisation to u8.
pub(crate) fn dynamic(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let axes: Vec<usize> = (0..cx.rank(x)).collect();
    let (zero, one, steps) = (cx.scalar(DType::F32, 0.0)?, cx.scalar(DType::F32, 1.0)?, cx.scalar(DType::F32, 255.0)?);
    let mut extreme = |kind| {
        // Of images plane by plane first, which is done in whatever layout they are in.
        let planes = match axes.len() {
            4 => cx.emit(Op::Reduce { kind, axes: vec![2, 3], keep: true }, &[x])?,
            _ => x,
        };
        cx.emit(Op::Reduce { kind, axes: axes.clone(), keep: false }, &[planes])
    };
    let (largest, least) = (extreme(ReduceKind::Max)?, extreme(ReduceKind::Min)?);
    let (largest, least) = (cx.binary(BinaryOp::Max, largest, zero)?, cx.binary(BinaryOp::Min, least, zero)?);
    let range = cx.binary(BinaryOp::Sub, largest, least)?;
    let scale = cx.binary(BinaryOp::Div, range, steps)?;
    let flat = cx.binary(BinaryOp::Equal, range, zero)?;
    let scale = cx.emit(Op::Where, &[flat, one, scale])?;
    let point = cx.binary(BinaryOp::Div, least, scale)?;
    let point = cx.binary(BinaryOp::Sub, zero, point)?;
    let point = cx.unary(UnaryOp::Clip { lo: 0.0, hi: 255.0 }, point)?;
    let point = cx.unary(UnaryOp::Round, point)?;
    let point = cx.cast(point, DType::U8)?;
    let op = Op::Quantize { to: DType::U8, axis: 0, block: 0, precision: DType::F32, saturate: true };
    Ok(vec![cx.emit(op, &[x, scale, point])?, scale, point])
}

/// An operand of a QLinear operator with its scale and zero point.
struct Quantized {
    value: ValueId,
    scale: ValueId,
    zero: ValueId,
}

fn quantized(cx: &mut Context<'_, '_>, at: usize, scale_at: usize) -> Result<Quantized, NodeError> {
    let scale = cx.input(scale_at)?;
    let scale = cx.cast(scale, DType::F32)?;
    Ok(Quantized { value: cx.input(at)?, scale, zero: cx.input(scale_at + 1)? })
}

fn dequantized(cx: &mut Context<'_, '_>, q: &Quantized, axis: usize) -> Result<ValueId, NodeError> {
    cx.emit(Op::Dequantize { to: DType::F32, axis, block: 0 }, &[q.value, q.scale, q.zero])
}

/// The last step: operands 6 and 7 are the result's scale and zero point.
fn requantized(cx: &mut Context<'_, '_>, y: ValueId) -> Results {
    let (scale, zero) = (cx.input(6)?, cx.input(7)?);
    let (scale, to) = (cx.cast(scale, DType::F32)?, cx.dtype(zero));
    let op = Op::Quantize { to, axis: 0, block: 0, precision: DType::F32, saturate: true };
    Ok(vec![cx.emit(op, &[y, scale, zero])?])
}

fn geometry(cx: &Context<'_, '_>, weight: usize) -> Result<Window, NodeError> {
    let n = spatial(cx, cx.input(0)?)?;
    window(cx, cx.input(0)?, kernel(cx, Some(cx.input(weight)?), n)?)
}

pub(crate) fn conv(cx: &mut Context<'_, '_>) -> Results {
    let (x, w) = (quantized(cx, 0, 1)?, quantized(cx, 3, 4)?);
    let window = geometry(cx, 3)?;
    let mut operands = vec![dequantized(cx, &x, 0)?, dequantized(cx, &w, 0)?];
    if let Some(bias) = cx.optional(8) {
        let scale = cx.binary(BinaryOp::Mul, w.scale, x.scale)?;
        operands.push(cx.emit(Op::Dequantize { to: DType::F32, axis: 0, block: 0 }, &[bias, scale])?);
    }
    let op = Op::Conv { window, group: group(cx)?, bias: operands.len() == 3, epilogue: Expression::default() };
    let y = cx.emit(op, &operands)?;
    requantized(cx, y)
}

pub(crate) fn matmul(cx: &mut Context<'_, '_>) -> Results {
    let (a, b) = (quantized(cx, 0, 1)?, quantized(cx, 3, 4)?);
    for q in [&a, &b] {
        if cx.rank(q.scale) > 1 {
            return unsupported("scales of more than one dimension; one number, or one per row or column, is accepted");
        }
    }
    let axes = (cx.rank(a.value).saturating_sub(2), cx.rank(b.value).saturating_sub(1));
    let operands = [dequantized(cx, &a, axes.0)?, dequantized(cx, &b, axes.1)?];
    let op = Op::MatMul { trans_a: false, trans_b: false, bias: false, epilogue: Expression::default() };
    let y = cx.emit(op, &operands)?;
    requantized(cx, y)
}

/// Operands 0 and 1 and their zero points, which are 0 where they are left out.
fn with_zero_points(cx: &mut Context<'_, '_>) -> Result<Vec<ValueId>, NodeError> {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let mut zero = |at: usize, of: ValueId| match cx.optional(at) {
        Some(zero) => Ok(zero),
        None => cx.scalar(cx.dtype(of), 0.0),
    };
    Ok(vec![x, w, zero(2, x)?, zero(3, w)?])
}

pub(crate) fn conv_integer(cx: &mut Context<'_, '_>) -> Results {
    let operands = with_zero_points(cx)?;
    let (window, group) = (geometry(cx, 1)?, group(cx)?);
    let op = Op::ConvInteger { window, group, bias: false, to: DType::I32, epilogue: Expression::default() };
    Ok(vec![cx.emit(op, &operands)?])
}

pub(crate) fn matmul_integer(cx: &mut Context<'_, '_>) -> Results {
    let operands = with_zero_points(cx)?;
    let op = Op::MatMulInteger { trans_b: false, bias: false, to: DType::I32, epilogue: Expression::default() };
    Ok(vec![cx.emit(op, &operands)?])
}
