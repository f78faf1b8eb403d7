//! Softmax, LogSoftmax, Hardmax.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__Softmax.html>. Before opset 13 the operand is flattened to two dimensions
//! at `axis` (default 1) and the function is taken over all of the second; from 13 it is along one dimension (default -1).

use crate::context::{Context, Results, product};
use crate::error::NodeError;
use brolga_compiler::ir::{Dim, Op, ValueId};

/// Applies `along(x, axis)` with the meaning of the opset.
fn coerced(
    cx: &mut Context<'_, '_>,
    along: impl Fn(&mut Context<'_, '_>, ValueId, usize) -> Result<ValueId, NodeError>,
) -> Results {
    let x = cx.input(0)?;
    let shape = cx.shape(x);
    if cx.opset >= 13 {
        let axis = cx.axis_attribute(-1, shape.len())?;
        return Ok(vec![along(cx, x, axis)?]);
    }
    // An axis at the end flattens nothing into the second dimension.
    let axis = match cx.node.attributes.int_or("axis", 1)? {
        a if usize::try_from(a) == Ok(shape.len()) => shape.len(),
        a => cx.axis(a, shape.len())?,
    };
    let (outer, inner) = shape.split_at(axis);
    if inner.iter().filter(|d| **d != Dim::Const(1)).count() <= 1 && !inner.is_empty() {
        let wide = inner.iter().position(|d| *d != Dim::Const(1)).unwrap_or(0);
        return Ok(vec![along(cx, x, axis + wide)?]);
    }
    let flat = vec![product(outer), product(inner)];
    let flat = cx.reshape(x, flat)?;
    let y = along(cx, flat, 1)?;
    Ok(vec![cx.reshape(y, shape)?])
}

pub(crate) fn softmax(cx: &mut Context<'_, '_>) -> Results {
    let log = cx.node.op == "LogSoftmax";
    coerced(cx, |cx, x, axis| cx.emit(Op::Softmax { axis, log }, &[x]))
}

pub(crate) fn hardmax(cx: &mut Context<'_, '_>) -> Results {
    coerced(cx, |cx, x, axis| {
        let (dtype, extent) = (cx.dtype(x), cx.shape(x).into_iter().nth(axis).unwrap_or(Dim::Const(1)));
        let index = cx.emit(Op::ArgReduce { min: false, axis, keep: false, last: false }, &[x])?;
        let depth = match extent.known() {
            Some(n) => cx.weight_ints(vec![], &[n]),
            None => {
                let shape = cx.emit(Op::Shape { begin: axis, end: axis + 1 }, &[x])?;
                cx.reshape(shape, vec![])?
            }
        };
        let (zero, one) = (cx.splat(dtype, vec![1], 0.0)?, cx.splat(dtype, vec![1], 1.0)?);
        let values = cx.emit(Op::Concat { axis: 0 }, &[zero, one])?;
        cx.emit(Op::OneHot { axis }, &[index, depth, values])
    })
}
