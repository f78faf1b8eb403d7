//! widen-halves: arithmetic on f16 and bf16 is done in f32, which kernels are made for.
//!
//! Every operand is widened and every result narrowed again; a result that is widened by its next reader is taken as it is,
//! so that a chain rounds where it leaves the chain, as other engines have it. Comparisons, extremes' positions and explicit
//! casts keep what they read.

use super::{Pass, PassContext, PassError};
use crate::ir::{Graph, Node, Op, Patch, ValueId};
use brolga_runtime::DType;
use std::collections::HashMap;

/// The pass.
pub struct WidenHalves;

impl Pass for WidenHalves {
    fn name(&self) -> &'static str {
        "widen-halves"
    }
    fn run(&self, graph: &mut Graph, cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let mut wide = HashMap::new();
        for id in graph.topological() {
            let Some(patch) = graph.try_node(id).and_then(|node| widened(graph, node, &mut wide)) else { continue };
            if !cx.apply(graph, patch)? {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn is_half(graph: &Graph, value: ValueId) -> bool {
    matches!(graph.ty(value).dtype, DType::F16 | DType::BF16)
}

/// Computes with its operands.
fn computes(op: &Op) -> bool {
    match op {
        Op::Binary(op) => !op.is_comparison(),
        Op::Conv { .. } | Op::ConvTranspose { .. } | Op::MatMul { .. } | Op::Pool { .. } | Op::Resize(_) => true,
        Op::BatchNorm { .. } | Op::InstanceNorm { .. } | Op::LayerNorm { .. } | Op::GroupNorm { .. } => true,
        Op::Function { function, .. } => matches!(function.name.as_str(), "grid_sample" | "deform_columns"),
        Op::Lrn { .. } | Op::LpNorm { .. } | Op::Softmax { .. } | Op::Reduce { .. } | Op::Unary(_) | Op::Where => true,
        _ => false,
    }
}

/// Moves its first operand, or all.
fn moves(op: &Op) -> bool {
    let shapes = matches!(op, Op::Reshape { .. } | Op::Transpose { .. } | Op::Expand { .. } | Op::Tile { .. });
    let pieces = matches!(op, Op::Concat { .. } | Op::Slice { .. } | Op::Pad { .. } | Op::Gather { .. });
    shapes || pieces || matches!(op, Op::DepthToSpace { .. } | Op::SpaceToDepth { .. })
}

/// The node in f32. `wide` holds the f32 form of narrow values, and gets that of the results.
fn widened(graph: &Graph, node: &Node, wide: &mut HashMap<ValueId, ValueId>) -> Option<Patch> {
    let halves: Vec<ValueId> = node.inputs.iter().copied().filter(|v| is_half(graph, *v)).collect();
    // Data that nothing computed is as well moved as it is.
    let known = |v: &ValueId| {
        let from = wide.get(v);
        graph.producer(*v).is_some_and(|n| matches!(n.op, Op::Cast(_)) && n.inputs.first() == from)
    };
    let all_known = halves.iter().all(|v| known(v) || graph.weight(*v).is_some()) && halves.iter().any(known);
    if halves.is_empty() || !(computes(&node.op) || moves(&node.op) && all_known) {
        return None;
    }
    let mut patch = Patch::new(graph, "computed in f32");
    let mut inputs = node.inputs.clone();
    for input in inputs.iter_mut().filter(|v| is_half(graph, **v)) {
        let make = || patch.node(Op::Cast(DType::F32), &[*input], node.name.clone());
        let new = *wide.entry(*input).or_insert_with(make);
        *input = new;
    }
    let mut op = node.op.clone();
    if let Op::Function { results, .. } = &mut op {
        let halves = results.iter_mut().filter(|ty| matches!(ty.dtype, DType::F16 | DType::BF16));
        halves.for_each(|ty| ty.dtype = DType::F32);
    }
    let results = patch.node_with(op, &inputs, node.outputs.len(), node.name.clone());
    for (old, new) in node.outputs.iter().zip(results) {
        if is_half(graph, *old) {
            let narrow = patch.node(Op::Cast(graph.ty(*old).dtype), &[new], node.name.clone());
            wide.insert(narrow, new);
            patch.replace(*old, narrow);
        } else {
            patch.replace(*old, new);
        }
    }
    Some(patch)
}
