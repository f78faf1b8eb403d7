//! The verifier: everything that every graph holds to, checked anew.
//!
//! All faults are collected; their display is the graph with each complaint under the guilty line.

use super::infer::{arity, infer};
use super::{Dim, Graph, Layout, Node, Op, Origin, Phase, Type, ValueId};
use std::collections::BTreeSet;
use std::fmt;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The value at which it shows; none for faults of the graph as a whole.
    pub value: Option<ValueId>,
    /// What is wrong.
    pub what: String,
}

/// Every fault of a graph. A graph that has any is our bug, unless it was parsed from a text.
#[derive(Debug, thiserror::Error)]
pub struct VerifyErrors {
    /// The faults.
    pub faults: Vec<Fault>,
    text: String,
}

impl fmt::Display for VerifyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} faults in the graph", self.faults.len())?;
        for fault in self.faults.iter().filter(|f| f.value.is_none()) {
            writeln!(f, "; {}", fault.what)?;
        }
        f.write_str(&self.text)
    }
}

/// Checks a graph.
pub fn verify(graph: &Graph) -> Result<(), VerifyErrors> {
    let mut faults = Vec::new();
    check_values(graph, &mut faults);
    let sorted: BTreeSet<_> = graph.topological().into_iter().collect();
    for node in graph.nodes() {
        let fault = |what: String| Fault { value: node.outputs.first().copied(), what };
        if !sorted.contains(&node.id) {
            faults.push(fault("the node depends on its own result".into()));
        }
        let missing = node.inputs.iter().chain(&node.outputs).find(|id| graph.try_value(**id).is_none());
        match missing {
            Some(id) => faults.push(fault(format!("there is no value {id}"))),
            None => check_node(graph, node, &mut faults),
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let complaint =
        |id: ValueId| faults.iter().filter(|f| f.value == Some(id)).map(|f| f.what.clone()).collect::<Vec<_>>();
    let text = graph.annotated(&complaint).unwrap_or_default();
    Err(VerifyErrors { faults, text })
}

fn check_values(graph: &Graph, faults: &mut Vec<Fault>) {
    for (name, id) in graph.outputs() {
        match graph.try_value(*id) {
            None => faults.push(Fault { value: None, what: format!("output {name:?} is {id}, which does not exist") }),
            Some(value) if value.ty.layout != Layout::Plain => {
                faults.push(Fault { value: Some(*id), what: format!("output {name:?} is not plain") });
            }
            Some(_) => {}
        }
    }
    for (id, value) in graph.values() {
        let mut fault = |what: String| faults.push(Fault { value: Some(id), what });
        match &value.origin {
            Origin::Input => {
                if !graph.inputs().contains(&id) {
                    fault(format!("{id} is an input that the graph does not list"));
                }
                if value.ty.layout != Layout::Plain {
                    fault(format!("input {id} is not plain"));
                }
            }
            Origin::Weight(weight) => {
                if value.ty.dtype != weight.dtype || value.ty.dims() != Some(weight.shape()) {
                    fault(format!("{id} is {}, its weight {}{:?}", value.ty, weight.dtype, weight.shape()));
                }
            }
            Origin::Node(node, position) => {
                let listed = graph.try_node(*node).and_then(|n| n.outputs.get(*position));
                if listed != Some(&id) {
                    fault(format!("{id} is no result of {node}"));
                }
            }
        }
        if let Layout::Blocked { lanes, .. } = value.ty.layout {
            if graph.phase != Phase::LaidOut {
                fault(format!("{id} is blocked before layouts are chosen"));
            }
            if value.ty.rank() != 4 || !value.ty.may_be_blocked() || lanes == 0 {
                fault(format!("{id} is {}; blocked are f32 and u8 of rank 4", value.ty));
            }
        }
    }
}

fn check_node(graph: &Graph, node: &Node, faults: &mut Vec<Fault>) {
    let at = |i: usize| node.outputs.get(i).or(node.outputs.first()).copied();
    let mut fault = |i: usize, what: String| faults.push(Fault { value: at(i), what });
    if let Op::Reorder { .. } = node.op
        && graph.phase != Phase::LaidOut
    {
        fault(0, "a reorder before layouts are chosen".into());
    }
    for (i, output) in node.outputs.iter().enumerate() {
        let here = matches!(&graph.value(*output).origin, Origin::Node(id, at) if *id == node.id && *at == i);
        if !here {
            fault(i, format!("{output} does not come from this node"));
        }
    }
    let found = match infer(graph, &node.op, &node.inputs, node.outputs.len(), &node.name) {
        Ok(found) => found,
        Err(error) => {
            let (least, _, _) = arity(&node.op);
            let few = if node.inputs.len() < least { " (too few operands)" } else { "" };
            return fault(0, format!("{error}{few}"));
        }
    };
    for (i, (output, (wanted, _))) in node.outputs.iter().zip(found).enumerate() {
        let ty = graph.ty(*output);
        if !same(ty, &wanted) || (matches!(node.op, Op::Reorder { .. }) && ty.layout != wanted.layout) {
            fault(i, format!("{output} is {ty}, its operation gives {wanted}"));
        }
    }
}

/// Whether two types are the same but for the layout. Two extents of which one is an expression may be equal.
fn same(a: &Type, b: &Type) -> bool {
    let may_equal = |(a, b): (&Dim, &Dim)| match (a, b) {
        (Dim::Const(a), Dim::Const(b)) => a == b,
        _ => true,
    };
    a.dtype == b.dtype && a.rank() == b.rank() && a.shape.iter().zip(&b.shape).all(may_equal)
}

#[cfg(test)]
mod tests;
