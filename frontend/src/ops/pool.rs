//! Pooling: MaxPool, AveragePool, LpPool and the global ones, which are reductions over all spatial dimensions.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__MaxPool.html> and its neighbours. MaxPool gains indices and
//! `storage_order` in 8, `ceil_mode` and dilations in 10; AveragePool `count_include_pad` in 7, `ceil_mode` in 10, dilations in
//! 19; LpPool has a float `p` in 1. The attributes simply do not occur before.

use super::window::{Auto, auto_pad, kernel, spatial, window};
use crate::context::{Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use brolga_compiler::ir::{Op, PoolKind, ReduceKind};

fn pool(cx: &mut Context<'_, '_>, kind: PoolKind) -> Results {
    let x = cx.input(0)?;
    let n = spatial(cx, x)?;
    let window = window(cx, x, kernel(cx, None, n)?)?;
    // Automatic padding settles the output extent.
    let ceil =
        cx.node.attributes.flag("ceil_mode")? && auto_pad(cx)? != Auto::SameUpper && auto_pad(cx)? != Auto::SameLower;
    let column_major = cx.node.attributes.flag("storage_order")?;
    let results = if kind == PoolKind::Max && cx.wants(1) { 2 } else { 1 };
    cx.emit_many(Op::Pool { kind, window, ceil, column_major }, &[x], results)
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
            p => return unsupported(format!("p of {p}; 1 and 2 are accepted")),
        },
    };
    let axes = (2..cx.rank(x)).collect();
    Ok(vec![cx.emit(Op::Reduce { kind, axes, keep: true }, &[x])?])
}
