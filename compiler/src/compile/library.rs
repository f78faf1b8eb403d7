//! Nodes that no kernel takes, as library calls over plain, dense operands.

use crate::ir::{Graph, Node, ValueId, eval};
use brolga_runtime::library::Call;

/// The library function that computes a node, and the values it reads.
pub(super) fn call(graph: &Graph, node: &Node) -> Option<(Call, Vec<ValueId>)> {
    eval::node_library_call(graph, node.id)
}
