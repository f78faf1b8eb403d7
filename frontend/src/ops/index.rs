//! Elements by index: Gather*, Scatter*, OneHot, TopK, Trilu.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__ScatterND.html> and its neighbours. Negative indices come with opset 11, which
//! changes nothing for models that have none; `reduction` with 16. TopK's k is an attribute before 10; order and direction come
//! with 11. Scatter is ScatterElements' older name.

use crate::context::{Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use brolga_compiler::ir::{Dim, Ints, Op, ScatterKind, ValueId};

pub(crate) fn gather(cx: &mut Context<'_, '_>) -> Results {
    let (x, index) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.axis_attribute(0, cx.rank(x))?;
    Ok(vec![cx.emit(Op::Gather { axis }, &[x, index])?])
}

pub(crate) fn gather_elements(cx: &mut Context<'_, '_>) -> Results {
    let (x, index) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.axis_attribute(0, cx.rank(x))?;
    Ok(vec![cx.emit(Op::GatherElements { axis }, &[x, index])?])
}

pub(crate) fn gather_nd(cx: &mut Context<'_, '_>) -> Results {
    let (x, index) = (cx.input(0)?, cx.input(1)?);
    known_tuples(cx, index)?;
    let given = cx.node.attributes.int_or("batch_dims", 0)?;
    let most = cx.rank(x).min(cx.rank(index));
    match usize::try_from(given) {
        Ok(batch) if batch < most => Ok(vec![cx.emit(Op::GatherNd { batch }, &[x, index])?]),
        _ => invalid(format!("batch_dims is {given}; a number below {most} is expected")),
    }
}

/// Refuses an index whose last extent, the length of its tuples, is not known: it decides the rank of the result.
fn known_tuples(cx: &Context<'_, '_>, index: ValueId) -> Result<(), NodeError> {
    match cx.shape(index).last() {
        Some(last) if last.known().is_none() => {
            unsupported(format!("its index is {}; one whose last extent is known is accepted", cx.ty(index)))
        }
        _ => Ok(()),
    }
}

fn reduction(cx: &Context<'_, '_>) -> Result<ScatterKind, NodeError> {
    Ok(match cx.node.attributes.text_or("reduction", "none")? {
        "none" => ScatterKind::Replace,
        "add" => ScatterKind::Add,
        "mul" => ScatterKind::Mul,
        "max" => ScatterKind::Max,
        "min" => ScatterKind::Min,
        other => return invalid(format!("reduction {other:?}; none, add, mul, max or min is expected")),
    })
}

pub(crate) fn scatter_nd(cx: &mut Context<'_, '_>) -> Results {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    known_tuples(cx, operands[1])?;
    Ok(vec![cx.emit(Op::ScatterNd { reduction: reduction(cx)? }, &operands)?])
}

pub(crate) fn scatter_elements(cx: &mut Context<'_, '_>) -> Results {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let axis = cx.axis_attribute(0, cx.rank(operands[0]))?;
    Ok(vec![cx.emit(Op::ScatterElements { axis, reduction: reduction(cx)? }, &operands)?])
}

pub(crate) fn one_hot(cx: &mut Context<'_, '_>) -> Results {
    let (index, depth, values) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let axis = cx.axis_attribute(-1, cx.rank(index) + 1)?;
    Ok(vec![cx.emit(Op::OneHot { axis }, &[index, depth, values])?])
}

pub(crate) fn top_k(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let attributes = &cx.node.attributes;
    let axis = cx.axis_attribute(-1, cx.rank(x))?;
    let largest = attributes.int_or("largest", 1)? != 0;
    let sorted = attributes.int_or("sorted", 1)? != 0;
    let mut operands = vec![x];
    let k = if cx.opset < 10 {
        Ints::Known(vec![Dim::Const(attributes.required("k", attributes.int("k")?)?)])
    } else {
        let k = cx.input(1)?;
        let ints = cx.ints(k, 1);
        if matches!(ints, Ints::Input(_)) {
            operands.push(k);
        }
        ints
    };
    if let Ints::Known(k) = &k {
        let [k] = &k[..] else { return invalid(format!("k has {} elements; one is expected", k.len())) };
        let extent = cx.shape(x).get(axis).and_then(Dim::known);
        if k.known().is_some_and(|k| k < 0 || extent.is_some_and(|n| k > n)) {
            return invalid(format!("k is {k} of {} elements", cx.shape(x)[axis]));
        }
    }
    cx.emit_many(Op::TopK { axis, k, largest, sorted }, &operands, 2)
}

pub(crate) fn trilu(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let k = cx.const_int(1, "k")?.unwrap_or(0);
    let upper = cx.node.attributes.int_or("upper", 1)? != 0;
    Ok(vec![cx.emit(Op::Trilu { upper, k }, &[x])?])
}
