//! Nodes that no kernel takes, as library calls and functions over plain, dense operands.

use crate::ir::{Graph, Node, Op, ValueId, eval};
use brolga_runtime::library::Routine;

/// What of the library computes a node, and the values it reads.
pub(super) fn call(graph: &Graph, node: &Node) -> Option<(Routine, Vec<ValueId>)> {
    if let Op::Function { function, .. } = &node.op {
        return Some((Routine::Function(function.clone()), node.inputs.clone()));
    }
    eval::node_library_call(graph, node.id).map(|(call, operands)| (Routine::Call(call), operands))
}
