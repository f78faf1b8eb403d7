//! fold-shapes: integers that types already tell become attributes and constants.
//!
//! An operand that is a list of integers (the target of a reshape, the bounds of a slice) becomes part of the operation as
//! soon as its content is known, symbols included; a node whose content is all numbers becomes a constant. What computed them
//! dies with its last reader. Automatic padding becomes numbers.

use super::rewrite::{Miss, Rule, require};
use crate::ir::infer::explicit;
use crate::ir::{AutoPad, Dim, Graph, Ints, Node, Op, Patch, ValueId, Weight};

/// The pass.
pub struct FoldShapes;

impl Rule for FoldShapes {
    fn name(&self) -> &'static str {
        "fold-shapes"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        match constant(graph, node) {
            Some(patch) => Ok(patch),
            None => known_padding(graph, node).map_or_else(|| known_attributes(graph, node), Ok),
        }
    }
}

/// Automatic padding made explicit, once the extents are known.
fn known_padding(graph: &Graph, node: &Node) -> Option<Patch> {
    let mut op = node.op.clone();
    let (Op::Conv { window, .. } | Op::ConvInteger { window, .. } | Op::Pool { window, .. }) = &mut op else {
        return None;
    };
    if window.auto_pad == AutoPad::Explicit {
        return None;
    }
    *window = explicit(window, graph.ty(node.inputs[0]).dims()?.get(2..)?);
    let mut patch = Patch::new(graph, "known padding");
    let new = patch.node_with(op, &node.inputs, node.outputs.len(), node.name.clone());
    node.outputs.iter().zip(new).for_each(|(old, new)| patch.replace(*old, new));
    Some(patch)
}

/// The node as a constant, when its only result is numbers.
fn constant(graph: &Graph, node: &Node) -> Option<Patch> {
    let [result] = node.outputs[..] else { return None };
    let value = graph.value(result);
    let numbers: Vec<i64> = value.content.as_ref()?.iter().map(Dim::known).collect::<Option<_>>()?;
    let shape = value.ty.dims()?;
    let width = value.ty.dtype.bytes();
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes().into_iter().take(width)).collect();
    if !(value.ty.dtype.is_integer() || value.ty.dtype == brolga_runtime::DType::Bool) {
        return None;
    }
    let mut patch = Patch::new(graph, "known integers");
    let new = patch.weight(value.name.clone(), Weight::from_bytes(value.ty.dtype, shape, bytes.into()));
    patch.replace(result, new);
    Some(patch)
}

/// The lists of integers of an operation.
fn lists(op: &mut Op) -> Vec<&mut Ints> {
    match op {
        Op::Slice { starts, ends, .. } => vec![starts, ends],
        Op::Pad { pads: list, .. }
        | Op::Reshape { shape: list, .. }
        | Op::Expand { shape: list }
        | Op::Tile { repeats: list }
        | Op::ConstantOfShape { shape: list, .. }
        | Op::TopK { k: list, .. } => vec![list],
        Op::Resize(attrs) => vec![&mut attrs.sizes],
        _ => vec![],
    }
}

fn known_attributes(graph: &Graph, node: &Node) -> Result<Patch, Miss> {
    let mut op = node.op.clone();
    let mut folded = Vec::new();
    for list in lists(&mut op) {
        let Ints::Input(at) = *list else { continue };
        let Some(content) = node.inputs.get(at).and_then(|v| graph.value(*v).content.clone()) else { continue };
        *list = Ints::Known(content);
        folded.push(at);
    }
    require(!folded.is_empty())?;
    // The operands that remain move up.
    for list in lists(&mut op) {
        if let Ints::Input(at) = list {
            *at -= folded.iter().filter(|f| **f < *at).count();
        }
    }
    let kept = node.inputs.iter().enumerate().filter(|(i, _)| !folded.contains(i));
    let inputs: Vec<ValueId> = kept.map(|(_, v)| *v).collect();
    let mut patch = Patch::new(graph, "known attribute");
    let new = patch.node_with(op, &inputs, node.outputs.len(), node.name.clone());
    node.outputs.iter().zip(new).for_each(|(old, new)| patch.replace(*old, new));
    Ok(patch)
}
