//! Order of the nodes: operands before their readers, else as in the model.

use crate::error::ImportError;
use crate::flatten::{FlatNode, Name};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// Indices of the nodes in an order in which each value is made before it is read. `given` are the names of inputs,
/// initializers and, inside a body, of what it captures.
pub(crate) fn sorted(
    nodes: &[FlatNode<'_>],
    names: &[String],
    given: &HashSet<Name>,
) -> Result<Vec<usize>, ImportError> {
    let maker = makers(nodes, names, given)?;
    let mut waiting = vec![0usize; nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        for name in node.reads() {
            match maker.get(&name).copied() {
                Some(from) => {
                    waiting[at] += 1;
                    readers[from].push(at);
                }
                None if given.contains(&name) => {}
                None => {
                    let what = format!("node {:?} reads {:?}, which nothing defines", node.name, names[name]);
                    return Err(ImportError::Invalid(what));
                }
            }
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        waiting.iter().enumerate().filter(|(_, n)| **n == 0).map(|(at, _)| Reverse(at)).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        for reader in &readers[at] {
            waiting[*reader] -= 1;
            if waiting[*reader] == 0 {
                ready.push(Reverse(*reader));
            }
        }
    }
    match waiting.iter().position(|n| *n > 0) {
        None => Ok(order),
        Some(at) => {
            let name = &nodes[at].name;
            Err(ImportError::Invalid(format!(
                "nodes depend on each other in a cycle; node {name:?} is part of it or reads it"
            )))
        }
    }
}

/// For each name that a node makes, the node.
fn makers(
    nodes: &[FlatNode<'_>],
    names: &[String],
    given: &HashSet<Name>,
) -> Result<HashMap<Name, usize>, ImportError> {
    let mut maker = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        for name in node.outputs.iter().flatten() {
            let twice = |by: &str| {
                let (node, value) = (&node.name, &names[*name]);
                ImportError::Invalid(format!("node {node:?} makes {value:?}, which is already {by}"))
            };
            if given.contains(name) {
                return Err(twice("an input or initializer of the graph"));
            }
            if let Some(other) = maker.insert(*name, at) {
                return Err(twice(&format!("made by node {:?}", nodes[other].name)));
            }
        }
    }
    Ok(maker)
}
