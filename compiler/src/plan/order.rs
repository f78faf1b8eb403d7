//! The order of execution: a few topological orders, the one with the smallest sum of live values kept.
//!
//! A branch that begins early and is needed late (the shortcut of a residual block) keeps its result alive for nothing; taking
//! such nodes as late as possible often costs less. Which is better depends on the sizes, so both are measured.

use crate::ir::{Graph, NodeId, Origin, ValueId};
use std::collections::{BTreeSet, HashMap};

/// The best of the orders tried; the graph's own topological order where they tie.
pub fn order(graph: &Graph) -> Vec<NodeId> {
    let early = graph.topological();
    let late = late(graph, early.len());
    if late.len() == early.len() && peak(graph, &late) < peak(graph, &early) { late } else { early }
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

/// Largest sum of the bytes of computed values that are alive at one step.
fn peak(graph: &Graph, order: &[NodeId]) -> usize {
    let mut last: HashMap<ValueId, usize> = HashMap::new();
    for (step, id) in order.iter().enumerate() {
        for v in graph.node(*id).inputs.iter().chain(&graph.node(*id).outputs) {
            last.insert(*v, step);
        }
    }
    let mut ending: HashMap<usize, Vec<ValueId>> = HashMap::new();
    for (value, step) in &last {
        ending.entry(*step).or_default().push(*value);
    }
    let bytes = |v: &ValueId| match graph.value(*v).origin {
        Origin::Node(..) => graph.ty(*v).stored_bytes().unwrap_or(0),
        _ => 0,
    };
    let (mut live, mut most) = (0usize, 0usize);
    for (step, id) in order.iter().enumerate() {
        live += graph.node(*id).outputs.iter().map(bytes).sum::<usize>();
        most = most.max(live);
        live -= ending.get(&step).into_iter().flatten().map(bytes).sum::<usize>();
    }
    most
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
        g.add_output("y", y);
        let order = order(&g);
        let at = |v| order.iter().position(|id| g.node(*id).outputs[0] == v);
        assert_eq!(order.len(), 5);
        assert!(at(shortcut) > at(wide), "{order:?}");
    }
}
