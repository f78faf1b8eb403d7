//! What the passes on quantised models ask: scales and zero points of one number, and small constants not folded yet.

use super::facts;
use crate::ir::eval::eval_op;
use crate::ir::{Graph, Node, Op, ValueId, Weight};
use brolga_runtime::{DType, Tensor, library};

/// The elements of a constant, or of what a node computes from constants alone.
pub(crate) fn tensor(graph: &Graph, value: ValueId) -> Option<Tensor> {
    if graph.ty(value).elements()? > facts::MAX_ELEMENTS {
        return None;
    }
    if let Some(weight) = graph.weight(value) {
        return weight.evaluate().ok();
    }
    let node = graph.producer(value)?;
    let inputs = node.inputs.iter().map(|v| graph.weight(*v)?.evaluate().ok()).collect::<Option<Vec<_>>>()?;
    let types = node.outputs.iter().map(|v| graph.ty(*v).clone()).collect::<Vec<_>>();
    eval_op(&node.op, &inputs.iter().collect::<Vec<_>>(), &types).ok()?.into_iter().next()
}

/// Elements of a small constant of any type as f32.
pub(crate) fn floats(graph: &Graph, value: ValueId) -> Option<Vec<f32>> {
    let all = library::function::reals(&tensor(graph, value)?.view()).ok()?;
    Some(all.into_iter().map(|x| x as f32).collect())
}

/// The one number that a constant is.
pub(crate) fn single(graph: &Graph, value: ValueId) -> Option<f32> {
    match floats(graph, value)?[..] {
        [one] => Some(one),
        _ => None,
    }
}

/// Scale and zero point of a quantisation or dequantisation, where both are constants of one number.
pub(crate) fn per_tensor(graph: &Graph, node: &Node) -> Option<(f32, f32)> {
    let scale = single(graph, *node.inputs.get(1)?)?;
    let zero = node.inputs.get(2).map_or(Some(0.0), |z| single(graph, *z))?;
    (scale.is_finite() && scale > 0.0).then_some((scale, zero))
}

/// The dequantisation to f32 that makes a value.
pub(crate) fn dequantized(graph: &Graph, value: ValueId) -> Option<&Node> {
    facts::made_by(graph, value, |op| matches!(op, Op::Dequantize { to: DType::F32, block: 0, .. }))
}

/// A constant byte.
pub(crate) fn byte(dtype: DType, value: u8) -> Weight {
    Weight::from_bytes(dtype, vec![], vec![value].into())
}
