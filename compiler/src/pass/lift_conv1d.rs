//! lift-conv1d: convolutions and poolings over one dimension become two-dimensional ones over a single row, so that the same
//! kernels serve them.
//!
//! The reshapes around them move nothing. After fusing, so that epilogues come along: operands of an epilogue get the row too.

use super::rewrite::{Miss, Rule, require};
use super::weights::reshaped;
use crate::ir::{Dim, Graph, Ints, Node, Op, Patch, ValueId, Window};

/// The pass.
pub struct LiftConv1d;

impl Rule for LiftConv1d {
    fn name(&self) -> &'static str {
        "lift-conv1d"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let mut op = node.op.clone();
        let plain = match &mut op {
            Op::Conv { window, bias, .. } => {
                lift(window)?;
                2 + usize::from(*bias)
            }
            Op::ConvTranspose { window, output_pad, bias, .. } => {
                lift(window)?;
                output_pad.insert(0, 0);
                2 + usize::from(*bias)
            }
            Op::Pool { window, .. } => {
                // Indices into the flattened input stay the same: a single row adds nothing to them.
                lift(window)?;
                1
            }
            _ => return Err(Miss::Elsewhere),
        };
        let mut patch = Patch::new(graph, "one dimension as a row of two");
        let mut inputs = Vec::new();
        for (i, value) in node.inputs.iter().enumerate() {
            // Data, weight and epilogue operands get the row, the bias does not.
            let lifted = i < 2 || i >= plain;
            inputs.push(if lifted { with_row(graph, &mut patch, *value, &node.name)? } else { *value });
        }
        let rows = patch.node_with(op, &inputs, node.outputs.len(), node.name.clone());
        for (old, new) in node.outputs.iter().zip(rows) {
            let shape = Ints::Known(graph.ty(*old).shape.clone());
            let flat = patch.node(Op::Reshape { shape, allow_zero: true }, &[new], node.name.clone());
            patch.replace(*old, flat);
        }
        Ok(patch)
    }
}

fn lift(window: &mut Window) -> Result<(), Miss> {
    require(window.kernel.len() == 1)?;
    window.kernel.insert(0, 1);
    window.stride.insert(0, 1);
    window.dilation.insert(0, 1);
    window.pad_begin.insert(0, 0);
    window.pad_end.insert(0, 0);
    Ok(())
}

/// `[a, b, l]` as `[a, b, 1, l]`.
fn with_row(graph: &Graph, patch: &mut Patch, value: ValueId, name: &str) -> Result<ValueId, Miss> {
    let ty = graph.ty(value);
    require(ty.rank() == 3)?;
    if let Some(weight) = graph.weight(value) {
        let mut shape = weight.shape();
        shape.insert(2, 1);
        if let Some(lifted) = reshaped(weight, &shape) {
            return Ok(patch.weight(graph.value(value).name.clone(), lifted));
        }
    }
    let mut shape = ty.shape.clone();
    shape.insert(2, Dim::Const(1));
    Ok(patch.node(Op::Reshape { shape: Ints::Known(shape), allow_zero: true }, &[value], name))
}
