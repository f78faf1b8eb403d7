//! Orders of execution to choose from; the placement with the smallest sum of live buffers wins.
//!
//! A branch that begins early and is needed late (the shortcut of a residual block) keeps its result alive for nothing; taking
//! such nodes as late as possible often costs less. Which is better depends on the sizes, so both are measured.

use crate::ir::{Graph, NodeId};
use std::collections::{BTreeSet, HashMap};

/// The graph's own topological order, and the one that takes every node late, where they differ.
pub fn candidates(graph: &Graph) -> Vec<Vec<NodeId>> {
    let early = graph.topological();
    let late = late(graph, early.len());
    if late.len() == early.len() && late != early { vec![early, late] } else { vec![early] }
}

/// Every node as late as its readers allow; of two that could come last, the one with the larger number does.
fn late(graph: &Graph, count: usize) -> Vec<NodeId> {
    let producers = |id: NodeId| -> BTreeSet<NodeId> {
        graph.node(id).inputs.iter().filter_map(|v| graph.producer(*v).map(|n| n.id)).collect()
    };
    let mut waiting: HashMap<NodeId, usize> = HashMap::new();
    for node in graph.nodes() {
        for producer in producers(node.id) {
            *waiting.entry(producer).or_default() += 1;
        }
    }
    let mut ready: BTreeSet<NodeId> = graph.nodes().map(|n| n.id).filter(|id| !waiting.contains_key(id)).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(id) = ready.pop_first() {
        order.push(id);
        for producer in producers(id) {
            if let Some(readers) = waiting.get_mut(&producer) {
                *readers -= 1;
                if *readers == 0 {
                    ready.insert(producer);
                }
            }
        }
    }
    order.reverse();
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Op, Type, UnaryOp};
    use brolga_runtime::DType;

    /// A shortcut that is made first and read last: late, it is not alive beside the wide middle.
    #[test]
    fn shortcuts_are_taken_late() {
        let mut g = Graph::new("block");
        let x = g.add_input("x", Type::known(DType::F32, &[1, 100]));
        let mut unary = |v| g.add_node(Op::Unary(UnaryOp::Relu), &[v], 1, "n").expect("typed")[0];
        let shortcut = unary(x);
        let narrow = unary(x);
        let mut joined = vec![narrow; 9];
        let wide = g.add_node(Op::Concat { axis: 1 }, &joined, 1, "wide").expect("typed")[0];
        let all =
            g.add_node(Op::Reduce { kind: crate::ir::ReduceKind::Sum, axes: vec![1], keep: true }, &[wide], 1, "sum");
        joined = vec![shortcut, all.expect("typed")[0]];
        let y = g.add_node(Op::Concat { axis: 1 }, &joined, 1, "join").expect("typed")[0];
        let y = g.add_node(Op::Unary(UnaryOp::Relu), &[y], 1, "last").expect("typed")[0];
        g.add_output("y", y);
        let order = crate::plan::place(&g).expect("placed").order;
        let at = |v| order.iter().position(|id| g.node(*id).outputs[0] == v);
        assert_eq!(order.len(), 6);
        assert!(at(shortcut) > at(wide), "{order:?}");
    }
}
