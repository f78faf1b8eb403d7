//! fold-scale: a product (or quotient) of a convolution or matrix product and a constant per channel goes into the weight.
//!
//! Costs nothing at run time, where an epilogue would. Blocked when the product has another reader, an epilogue, or weights
//! computed at run time; fuse-residual then takes the node.

use super::contraction::{Affine, Contraction, scale_outputs};
use super::facts;
use super::rewrite::{Miss, Rule};
use super::{join_names, other_reader};
use crate::ir::{BinaryOp, Graph, Node, Op, Patch};

/// The pass.
pub struct FoldScale;

impl Rule for FoldScale {
    fn name(&self) -> &'static str {
        "fold-scale"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let (divide, orders): (bool, &[[usize; 2]]) = match node.op {
            Op::Binary(BinaryOp::Mul) => (false, &[[0, 1], [1, 0]]),
            Op::Binary(BinaryOp::Div) => (true, &[[0, 1]]),
            _ => return Err(Miss::Elsewhere),
        };
        for [x, c] in orders {
            let (x, c) = (node.inputs[*x], node.inputs[*c]);
            let Some(into) = Contraction::making(graph, x) else { continue };
            let ty = graph.ty(x);
            let (Some(axis), Some(channels)) = (into.channel_axis(graph), into.channels(graph)) else { continue };
            let Some(mut scale) = facts::along_axis(graph, c, ty.rank(), axis, channels) else { continue };
            if ty != graph.ty(node.outputs[0]) {
                continue;
            }
            if let Some(why) = other_reader(graph, x, node.id) {
                return Err(Miss::blocked(why));
            }
            if divide {
                scale.iter_mut().for_each(|s| *s = 1.0 / *s);
            }
            let mut patch = Patch::new(graph, "factor into weight");
            let name = join_names(&into.node.name, &node.name);
            let new = scale_outputs(graph, &mut patch, &into, &Affine::scale(scale), &name)?;
            patch.replace(node.outputs[0], new);
            return Ok(patch);
        }
        Err(Miss::Elsewhere)
    }
}
