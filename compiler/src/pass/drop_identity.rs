//! drop-identity: nodes that hand their input on unchanged go; pairs that undo each other become one or none.
//!
//! Covers data movement that moves nothing (reshape, transpose, cast, slice, pad, expand, tile, resize, concatenation of one,
//! 1x1 pooling, reduction over nothing), arithmetic with neutral elements, transposes and reshapes in a row, and transposes
//! that only move dimensions of one element, which are reshapes.

use super::facts;
use super::join_names;
use super::rewrite::{Miss, Rule, require};
use crate::ir::{
    AutoPad, BinaryOp, Coordinates, Dim, Graph, Ints, Node, Op, Patch, PoolKind, ReduceKind, ResizeAttrs, ValueId,
};

/// The pass.
pub struct DropIdentity;

impl Rule for DropIdentity {
    fn name(&self) -> &'static str {
        "drop-identity"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        require(!node.outputs.is_empty() && !node.inputs.is_empty())?;
        if let Some(same) = identity(graph, node) {
            let mut patch = Patch::new(graph, "no effect");
            patch.replace(node.outputs[0], same);
            return Ok(patch);
        }
        match &node.op {
            Op::Transpose { perm } => merge_transposes(graph, node, perm),
            Op::Reshape { .. } => merge_reshapes(graph, node),
            _ => Err(Miss::Elsewhere),
        }
    }
}

/// The operand that the node's only result is equal to.
fn identity(graph: &Graph, node: &Node) -> Option<ValueId> {
    if node.outputs.len() != 1 {
        return None;
    }
    if let Op::Binary(op) = node.op {
        return neutral(graph, node, op);
    }
    let x = node.inputs[0];
    let unchanged = graph.ty(x) == graph.ty(node.outputs[0]);
    (unchanged && keeps_elements(&node.op, node.inputs.len())).then_some(x)
}

/// Whether an operation whose result has its input's type is the identity.
fn keeps_elements(op: &Op, inputs: usize) -> bool {
    match op {
        Op::Reshape { .. } | Op::Expand { .. } | Op::Cast(_) => true,
        Op::Concat { .. } => inputs == 1,
        Op::Transpose { perm } => perm.iter().enumerate().all(|(i, p)| i == *p),
        // The extent is the same, so a step of 1 takes every element in order.
        Op::Slice { steps, .. } => steps.iter().all(|s| *s == 1),
        Op::Pad { pads: Ints::Known(pads), .. } => pads.iter().all(|p| *p == Dim::Const(0)),
        Op::Tile { repeats: Ints::Known(repeats) } => repeats.iter().all(|r| *r == Dim::Const(1)),
        Op::Resize(attrs) => resize_keeps(attrs),
        Op::Reduce { kind, axes, .. } => {
            use ReduceKind::{Max, Mean, Min, Prod, Sum};
            axes.is_empty() && matches!(kind, Sum | Mean | Max | Min | Prod)
        }
        Op::Pool { kind, window, .. } => {
            let one = |list: &[usize]| list.iter().all(|k| *k == 1);
            let unpadded = window.pad_begin.iter().chain(&window.pad_end).all(|p| *p == 0);
            one(&window.kernel)
                && one(&window.stride)
                && unpadded
                && window.auto_pad == AutoPad::Explicit
                && !matches!(kind, PoolKind::Lp { .. })
        }
        Op::DepthToSpace { block, .. } | Op::SpaceToDepth { block } => *block == 1,
        _ => false,
    }
}

fn resize_keeps(attrs: &ResizeAttrs) -> bool {
    let unscaled = attrs.scales.as_ref().is_none_or(|s| s.iter().all(|x| *x == 1.0));
    unscaled && !matches!(attrs.coordinates, Coordinates::TfCropAndResize { .. })
}

/// The other operand when one is neutral.
fn neutral(graph: &Graph, node: &Node, op: BinaryOp) -> Option<ValueId> {
    let [a, b] = node.inputs[..] else { return None };
    let keeps = |x: ValueId, c: ValueId, unit: f64| {
        (graph.ty(x) == graph.ty(node.outputs[0]) && facts::number(graph, c) == Some(unit)).then_some(x)
    };
    match op {
        BinaryOp::Add => keeps(a, b, 0.0).or_else(|| keeps(b, a, 0.0)),
        BinaryOp::Mul => keeps(a, b, 1.0).or_else(|| keeps(b, a, 1.0)),
        BinaryOp::Sub => keeps(a, b, 0.0),
        BinaryOp::Div | BinaryOp::Pow => keeps(a, b, 1.0),
        _ => None,
    }
}

fn merge_transposes(graph: &Graph, node: &Node, perm: &[usize]) -> Result<Patch, Miss> {
    let x = node.inputs[0];
    if let Some(first) = facts::made_by(graph, x, |op| matches!(op, Op::Transpose { .. })) {
        let Op::Transpose { perm: inner } = &first.op else { return Err(Miss::Elsewhere) };
        let both: Vec<usize> = perm.iter().map(|p| inner[*p]).collect();
        let mut patch = Patch::new(graph, "two transposes into one");
        let name = join_names(&first.name, &node.name);
        let new = if both.iter().enumerate().all(|(i, p)| i == *p) {
            first.inputs[0]
        } else {
            patch.node(Op::Transpose { perm: both }, &[first.inputs[0]], name)
        };
        patch.replace(node.outputs[0], new);
        return Ok(patch);
    }
    // Dimensions of more than one element keep their order: the elements stay where they are.
    let shape = &graph.ty(x).shape;
    let moved: Vec<usize> = perm.iter().copied().filter(|p| shape[*p] != Dim::Const(1)).collect();
    require(moved.is_sorted())?;
    let mut patch = Patch::new(graph, "transpose of unit dimensions into reshape");
    let target = Ints::Known(graph.ty(node.outputs[0]).shape.clone());
    let new = patch.node(Op::Reshape { shape: target, allow_zero: true }, &[x], node.name.clone());
    patch.replace(node.outputs[0], new);
    Ok(patch)
}

fn merge_reshapes(graph: &Graph, node: &Node) -> Result<Patch, Miss> {
    let first = facts::made_by(graph, node.inputs[0], |op| matches!(op, Op::Reshape { .. })).ok_or(Miss::Elsewhere)?;
    let x = first.inputs[0];
    let mut patch = Patch::new(graph, "two reshapes into one");
    let target = graph.ty(node.outputs[0]);
    let new = if target == graph.ty(x) {
        x
    } else {
        let shape = Ints::Known(target.shape.clone());
        patch.node(Op::Reshape { shape, allow_zero: true }, &[x], join_names(&first.name, &node.name))
    };
    patch.replace(node.outputs[0], new);
    Ok(patch)
}
