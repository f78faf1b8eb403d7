//! Nodes that no kernel takes, as library calls and functions over plain, dense operands.

use crate::ir::{Graph, Node, Op, ValueId, eval};
use brolga_runtime::library::Routine;

/// What of the library computes a node, and the values it reads.
pub(super) fn call(graph: &Graph, node: &Node) -> Option<(Routine, Vec<ValueId>)> {
    if let Op::Function { function, .. } = &node.op {
        return Some((Routine::Function(function.clone()), node.inputs.clone()));
    }
    if let Some((call, operands)) = eval::node_library_call(graph, node.id) {
        return Some((Routine::Call(call), operands));
    }
    let dims = |ids: &[ValueId]| ids.iter().map(|id| graph.ty(*id).dims()).collect::<Option<Vec<_>>>();
    let (shapes, results) = (dims(&node.inputs)?, dims(&node.outputs)?);
    let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
    let results: Vec<&[usize]> = results.iter().map(Vec::as_slice).collect();
    let function = eval::dense_function(&node.op, &shapes, &results)?;
    Some((Routine::Function(function), node.inputs.clone()))
}
