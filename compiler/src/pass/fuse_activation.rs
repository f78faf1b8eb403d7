//! fuse-activation: move an activation into the convolution or matrix product that makes its input.
//!
//! Needs: activations written as several nodes recognised, batch norms folded and biases fused, since an epilogue closes
//! both of these doors. Blocked when the input has another reader or is a graph output.

use super::epilogue::fuse_into_contraction;
use super::rewrite::{Miss, Rule, require};
use crate::ir::{Graph, Node, Op, Patch};

/// The pass.
pub struct FuseActivation;

impl Rule for FuseActivation {
    fn name(&self) -> &'static str {
        "fuse-activation"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        require(matches!(node.op, Op::Unary(_)))?;
        fuse_into_contraction(graph, node, "activation into epilogue")
    }
}
