//! Pooling: MaxPool, AveragePool, LpPool and the global ones, which are reductions over all spatial dimensions.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__MaxPool.html> and its neighbours. MaxPool gains indices and
//! `storage_order` in 8, `ceil_mode` and dilations in 10; AveragePool `count_include_pad` in 7, `ceil_mode` in 10, dilations in
//! 19; LpPool has a float `p` in 1. The attributes simply do not occur before.

use super::window::{Auto, auto_pad, kernel, spatial, window};
use crate::context::{Context, Results};
use crate::error::{NodeError, invalid};
use brolga_compiler::ir::{BinaryOp, Dim, Op, PoolKind, ReduceKind, UnaryOp, ValueId, Window};

fn pool(cx: &mut Context<'_, '_>, kind: PoolKind) -> Results {
    let x = cx.input(0)?;
    let n = spatial(cx, x)?;
    let mut window = window(cx, x, kernel(cx, None, n)?)?;
    // Automatic padding settles the output extent.
    let mut ceil =
        cx.node.attributes.flag("ceil_mode")? && auto_pad(cx)? != Auto::SameUpper && auto_pad(cx)? != Auto::SameLower;
    let column_major = cx.node.attributes.flag("storage_order")?;
    if let PoolKind::Lp { p } = kind {
        ceil = ceil && !pad_whole(cx, x, &mut window);
        if !ceil {
            return lp_by_average(cx, x, p, window);
        }
    }
    let op = Op::Pool { kind, window, ceil, column_major };
    if kind != PoolKind::Max || !cx.wants(1) {
        return cx.emit_many(op, &[x], 1);
    }
    let with_indices = cx.emit_many(op.clone(), &[x], 2)?;
    // The values alone are what kernels compute.
    let values = cx.emit(op, &[x])?;
    Ok(std::iter::once(values).chain(with_indices.into_iter().skip(1)).collect())
}

/// Pads the ends so that rounding down gives what rounding up did; whether the extents are known.
fn pad_whole(cx: &Context<'_, '_>, x: ValueId, window: &mut Window) -> bool {
    let extents: Option<Vec<i64>> = cx.ty(x).shape.iter().skip(2).map(Dim::known).collect();
    let Some(extents) = extents else { return false };
    for (i, extent) in extents.into_iter().enumerate() {
        let stride = window.stride[i] as i64;
        let reach = (window.kernel[i] as i64 - 1).saturating_mul(window.dilation[i] as i64).saturating_add(1);
        let padded = extent.saturating_add(window.pad_begin[i]);
        let room = padded.saturating_add(window.pad_end[i]).saturating_sub(reach);
        if room >= 0 {
            // A window that would begin in the padding after the data is left out.
            let last = ((room + stride - 1) / stride).min((padded - 1) / stride);
            window.pad_end[i] = last * stride + reach - padded;
        }
    }
    true
}

/// The p-norm of each window as a root of the mean of powers times their number, padding counted.
fn lp_by_average(cx: &mut Context<'_, '_>, x: ValueId, p: u32, window: Window) -> Results {
    let count: usize = window.kernel.iter().product();
    let dtype = cx.dtype(x);
    let powers = power(cx, x, p)?;
    let average = Op::Pool { kind: PoolKind::Average { count_pad: true }, window, ceil: false, column_major: false };
    let mean = cx.emit(average, &[powers])?;
    let count = cx.scalar(dtype, count as f64)?;
    let sum = cx.binary(BinaryOp::Mul, mean, count)?;
    Ok(vec![root(cx, sum, p)?])
}

/// |x| to the power of p.
fn power(cx: &mut Context<'_, '_>, x: ValueId, p: u32) -> Result<ValueId, NodeError> {
    if p == 2 {
        return cx.binary(BinaryOp::Mul, x, x);
    }
    let magnitude = cx.unary(UnaryOp::Abs, x)?;
    if p == 1 {
        return Ok(magnitude);
    }
    let exponent = cx.scalar(cx.dtype(x), f64::from(p))?;
    cx.binary(BinaryOp::Pow, magnitude, exponent)
}

/// The p-th root.
fn root(cx: &mut Context<'_, '_>, x: ValueId, p: u32) -> Result<ValueId, NodeError> {
    match p {
        1 => Ok(x),
        2 => cx.unary(UnaryOp::Sqrt, x),
        _ => {
            let exponent = cx.scalar(cx.dtype(x), 1.0 / f64::from(p))?;
            cx.binary(BinaryOp::Pow, x, exponent)
        }
    }
}

pub(crate) fn max(cx: &mut Context<'_, '_>) -> Results {
    pool(cx, PoolKind::Max)
}

pub(crate) fn average(cx: &mut Context<'_, '_>) -> Results {
    let count_pad = cx.node.attributes.flag("count_include_pad")?;
    pool(cx, PoolKind::Average { count_pad })
}

fn norm(cx: &Context<'_, '_>) -> Result<u32, NodeError> {
    let p = if cx.opset < 2 {
        f64::from(cx.node.attributes.float_or("p", 2.0)?)
    } else {
        cx.node.attributes.int_or("p", 2)? as f64
    };
    if p.fract() == 0.0 && (1.0..1e6).contains(&p) {
        Ok(p as u32)
    } else {
        invalid(format!("p is {p}; a positive whole number is expected"))
    }
}

pub(crate) fn lp(cx: &mut Context<'_, '_>) -> Results {
    let p = norm(cx)?;
    pool(cx, PoolKind::Lp { p })
}

pub(crate) fn global(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    spatial(cx, x)?;
    let kind = match cx.node.op {
        "GlobalAveragePool" => ReduceKind::Mean,
        "GlobalMaxPool" => ReduceKind::Max,
        _ => match norm(cx)? {
            1 => ReduceKind::L1,
            2 => ReduceKind::L2,
            p => {
                let powers = power(cx, x, p)?;
                let axes = (2..cx.rank(x)).collect();
                let sum = cx.emit(Op::Reduce { kind: ReduceKind::Sum, axes, keep: true }, &[powers])?;
                return Ok(vec![root(cx, sum, p)?]);
            }
        },
    };
    let axes = (2..cx.rank(x)).collect();
    Ok(vec![cx.emit(Op::Reduce { kind, axes, keep: true }, &[x])?])
}
