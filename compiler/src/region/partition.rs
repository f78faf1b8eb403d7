//! Where a graph is cut: into regions of static nodes, and the dynamic nodes between them.

use crate::ir::{Graph, Node, NodeId, Op, ValueId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Whether all of a graph can be one program once the symbols of its inputs have values.
pub fn is_static(graph: &Graph) -> bool {
    graph.inputs().iter().all(|v| graph.ty(*v).is_plain_tensor()) && graph.nodes().all(|node| !is_dynamic(graph, node))
}

/// Whether a node ends a region: only a run can size its results, or it works on more than tensors.
fn is_dynamic(graph: &Graph, node: &Node) -> bool {
    let plain = |v: &ValueId| graph.ty(*v).is_plain_tensor();
    match &node.op {
        Op::Deferred { .. } | Op::If { .. } | Op::Loop { .. } | Op::Scan { .. } => true,
        Op::Function { results, .. } => {
            let known: BTreeSet<String> = node.inputs.iter().flat_map(|v| graph.ty(*v).symbols()).collect();
            let new = results.iter().flat_map(|ty| ty.symbols()).any(|symbol| !known.contains(&symbol));
            new || !node.inputs.iter().chain(&node.outputs).all(plain)
        }
        _ => !node.inputs.iter().chain(&node.outputs).all(plain),
    }
}

/// One step of the execution.
#[derive(Debug)]
pub(super) enum Stage {
    /// Static nodes: a graph of its own, the values of the whole graph that are its inputs, and those that are its outputs.
    Region { graph: Box<Graph>, inputs: Vec<ValueId>, outputs: Vec<ValueId> },
    /// A dynamic node.
    Node(NodeId),
}

/// The level of each node. A static node runs in the region after the last dynamic node that it needs, be it for a value or for an
/// extent; a dynamic node right after the region that has the last of what it needs.
fn levels(graph: &Graph, order: &[NodeId]) -> HashMap<NodeId, usize> {
    let makers = graph.symbol_makers(order);
    let mut level: HashMap<NodeId, usize> = order.iter().map(|id| (*id, 0)).collect();
    // An extent may come from a node that the order puts later.
    for _ in 0..=order.len() {
        let mut changed = false;
        for id in order {
            let node = graph.node(*id);
            let here = is_dynamic(graph, node);
            let value = |v: &ValueId| {
                let from = graph.producer(*v)?;
                Some(level.get(&from.id)? + usize::from(!here && is_dynamic(graph, from)))
            };
            let extent = |symbol: String| {
                let from = makers.get(&symbol).filter(|from| *from != id)?;
                Some(level.get(from)? + 1)
            };
            let values = node.inputs.iter().filter_map(value).max();
            let extents = graph.node_symbols(node).into_iter().filter_map(extent).max();
            let at = values.max(extents).unwrap_or(0);
            changed |= level.insert(*id, at).is_some_and(|before| before != at);
        }
        if !changed {
            break;
        }
    }
    level
}

/// The stages of a graph, in the order in which they run.
pub(super) fn partition(graph: &Graph) -> Vec<Stage> {
    let order = graph.topological();
    let level = levels(graph, &order);
    let mut regions: BTreeMap<usize, Vec<NodeId>> = BTreeMap::new();
    let mut dynamic: BTreeMap<usize, Vec<NodeId>> = BTreeMap::new();
    for id in order {
        let at = level.get(&id).copied().unwrap_or(0);
        let list = if is_dynamic(graph, graph.node(id)) { &mut dynamic } else { &mut regions };
        list.entry(at).or_default().push(id);
    }
    let levels: BTreeSet<usize> = regions.keys().chain(dynamic.keys()).copied().collect();
    let mut stages = Vec::new();
    for at in levels {
        if let Some(nodes) = regions.get(&at) {
            stages.push(region(graph, nodes));
        }
        stages.extend(dynamic.remove(&at).unwrap_or_default().into_iter().map(Stage::Node));
    }
    stages
}

/// Some nodes of a graph, in an order that runs, as a graph of their own.
fn region(graph: &Graph, nodes: &[NodeId]) -> Stage {
    let inside: BTreeSet<NodeId> = nodes.iter().copied().collect();
    let mut part = Graph::new(&graph.name);
    part.phase = graph.phase;
    let mut here: HashMap<ValueId, ValueId> = HashMap::new();
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for id in nodes {
        let node = graph.node(*id);
        for input in &node.inputs {
            if here.contains_key(input) {
                continue;
            }
            let value = graph.value(*input);
            let inner = match graph.weight(*input) {
                Some(weight) => part.add_weight(value.name.as_str(), (**weight).clone()),
                None => {
                    inputs.push(*input);
                    let inner = part.add_input(value.name.as_str(), value.ty.clone());
                    part.set_content(inner, value.content.clone());
                    inner
                }
            };
            here.insert(*input, inner);
        }
        let operands: Vec<ValueId> = node.inputs.iter().map(|v| here[v]).collect();
        let typed = node.outputs.iter().map(|v| (graph.ty(*v).clone(), graph.value(*v).content.clone())).collect();
        let made = part.add_typed_node(node.op.clone(), &operands, typed, node.name.as_str());
        for (output, inner) in node.outputs.iter().zip(made) {
            part.set_name(inner, graph.value(*output).name.as_str());
            here.insert(*output, inner);
            let read = graph.readers(*output).iter().any(|reader| !inside.contains(reader));
            if read || graph.is_output(*output) {
                part.add_output(output.to_string(), inner);
                outputs.push(*output);
            }
        }
    }
    Stage::Region { graph: Box::new(part), inputs, outputs }
}
