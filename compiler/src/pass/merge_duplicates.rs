//! merge-duplicates: of nodes with the same operation and operands (and of equal small constants) only the first stays.

use super::{Pass, PassContext, PassError};
use crate::ir::{Graph, NodeId, Origin, Patch, Source, ValueId, Weight};
use brolga_runtime::DType;
use std::collections::HashMap;

/// Constants above this many bytes are compared by place in the file only.
const SMALL: usize = 256;

/// The pass.
pub struct MergeDuplicates;

impl Pass for MergeDuplicates {
    fn name(&self) -> &'static str {
        "merge-duplicates"
    }
    fn run(&self, graph: &mut Graph, cx: &mut PassContext<'_>) -> Result<(), PassError> {
        merge_constants(graph, cx)?;
        let mut seen: HashMap<Vec<ValueId>, Vec<NodeId>> = HashMap::new();
        for id in graph.topological() {
            let Some(node) = graph.try_node(id) else { continue };
            let alike = seen.entry(node.inputs.clone()).or_default();
            let first = alike.iter().find(|other| {
                let other = graph.node(**other);
                other.op == node.op && other.outputs.len() == node.outputs.len()
            });
            let Some(first) = first else {
                alike.push(id);
                continue;
            };
            let mut patch = Patch::new(graph, "duplicate");
            for (old, new) in node.outputs.iter().zip(&graph.node(*first).outputs) {
                patch.replace(*old, *new);
            }
            if !cx.apply(graph, patch)? {
                break;
            }
        }
        Ok(())
    }
}

/// What makes two constants equal: type, shape, and the bytes or where they are.
#[derive(PartialEq, Eq, Hash)]
enum Content {
    Small(Vec<u8>),
    Splat([u8; 8]),
    Place(usize, usize),
}

fn key(weight: &Weight) -> Option<(DType, Vec<usize>, Content)> {
    if !weight.perm.is_empty() || !weight.scales.is_empty() {
        return None;
    }
    let content = match &weight.source {
        Source::Splat(element) => Content::Splat(*element),
        Source::Bytes(bytes) if bytes.len() <= SMALL => Content::Small(bytes.to_vec()),
        Source::Bytes(bytes) => Content::Place(bytes.as_ptr() as usize, bytes.len()),
    };
    Some((weight.dtype, weight.shape(), content))
}

fn merge_constants(graph: &mut Graph, cx: &mut PassContext<'_>) -> Result<(), PassError> {
    let mut seen = HashMap::new();
    let mut merged: Vec<(ValueId, ValueId)> = Vec::new();
    for (id, value) in graph.values() {
        let Origin::Weight(weight) = &value.origin else { continue };
        let Some(key) = key(weight) else { continue };
        match seen.get(&key) {
            Some(first) => merged.push((id, *first)),
            None => {
                seen.insert(key, id);
            }
        }
    }
    if merged.is_empty() {
        return Ok(());
    }
    let mut patch = Patch::new(graph, "equal constants");
    merged.iter().for_each(|(old, new)| patch.replace(*old, *new));
    cx.apply(graph, patch).map(|_| ())
}
