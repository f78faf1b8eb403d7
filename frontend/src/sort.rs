//! Order of the nodes: operands before their readers, else as in the model.

use crate::error::ImportError;
use crate::flatten::{Flat, Name};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Indices of the nodes in an order in which each value is made before it is read. `given` tells which names are graph
/// inputs or initializers.
pub(crate) fn sorted(flat: &Flat<'_>, given: &[bool]) -> Result<Vec<usize>, ImportError> {
    let maker = makers(flat, given)?;
    let mut waiting = vec![0usize; flat.nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); flat.nodes.len()];
    for (at, node) in flat.nodes.iter().enumerate() {
        for name in node.inputs.iter().flatten() {
            match maker.get(*name).copied().flatten() {
                Some(from) => {
                    waiting[at] += 1;
                    readers[from].push(at);
                }
                None if given.get(*name) == Some(&true) => {}
                None => {
                    let what = format!("node {:?} reads {:?}, which nothing defines", node.name, flat.names[*name]);
                    return Err(ImportError::Invalid(what));
                }
            }
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        waiting.iter().enumerate().filter(|(_, n)| **n == 0).map(|(at, _)| Reverse(at)).collect();
    let mut order = Vec::with_capacity(flat.nodes.len());
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
            let name = &flat.nodes[at].name;
            Err(ImportError::Invalid(format!(
                "nodes depend on each other in a cycle; node {name:?} is part of it or reads it"
            )))
        }
    }
}

/// For each name the node that makes it.
fn makers(flat: &Flat<'_>, given: &[bool]) -> Result<Vec<Option<usize>>, ImportError> {
    let mut maker: Vec<Option<usize>> = vec![None; flat.names.len()];
    for (at, node) in flat.nodes.iter().enumerate() {
        for name in node.outputs.iter().flatten() {
            let twice = |by: &str| {
                let (node, value) = (&node.name, &flat.names[*name]);
                ImportError::Invalid(format!("node {node:?} makes {value:?}, which is already {by}"))
            };
            if given.get(*name) == Some(&true) {
                return Err(twice("an input or initializer of the graph"));
            }
            if let Some(other) = maker[*name].replace(at) {
                return Err(twice(&format!("made by node {:?}", flat.nodes[other].name)));
            }
        }
    }
    Ok(maker)
}

/// Names that are graph inputs or initializers, by number.
pub(crate) fn given(flat: &Flat<'_>, names: impl Iterator<Item = Name>) -> Vec<bool> {
    let mut given = vec![false; flat.names.len()];
    for name in names {
        given[name] = true;
    }
    given
}
