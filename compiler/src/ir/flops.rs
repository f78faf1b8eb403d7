//! Arithmetic of a node, for reports: multiplications and additions counted separately.

use super::{Graph, Node, Op};

/// Arithmetic operations of one node, on floats or integers; 0 when a shape is not known.
pub fn flops(graph: &Graph, node: &Node) -> u64 {
    let elements = |v: &super::ValueId| graph.ty(*v).elements().unwrap_or(0) as u64;
    let out: u64 = node.outputs.first().map_or(0, elements);
    let dims = |at: usize| node.inputs.get(at).and_then(|v| graph.ty(*v).dims()).unwrap_or_default();
    match &node.op {
        Op::Conv { .. } | Op::ConvInteger { .. } => 2 * out * dims(1).iter().skip(1).product::<usize>() as u64,
        Op::ConvTranspose { .. } => {
            let per_input = dims(1).iter().skip(1).product::<usize>() as u64;
            2 * node.inputs.first().map_or(0, elements) * per_input
        }
        Op::MatMul { trans_a, .. } => {
            let a = dims(0);
            let k = if *trans_a && a.len() > 1 { a[a.len() - 2] } else { a.last().copied().unwrap_or(0) };
            2 * out * k as u64
        }
        Op::MatMulInteger { .. } => 2 * out * dims(0).last().copied().unwrap_or(0) as u64,
        Op::Pool { window, .. } => out * window.kernel.iter().product::<usize>() as u64,
        Op::Elementwise(expression) | Op::Requantize { expression, .. } => out * expression.steps.len() as u64,
        Op::Reduce { .. } | Op::Softmax { .. } => node.inputs.first().map_or(0, elements),
        Op::Unary(_) | Op::Binary(_) => out,
        _ => 0,
    }
}
