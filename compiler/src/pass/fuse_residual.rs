//! fuse-residual: move a sum, product or other two-operand function into the epilogue of the contraction that makes one
//! operand; the other operand becomes an input of the contraction.
//!
//! The other operand has the result's shape (a shortcut) or is constant per channel. It cannot depend on the contraction,
//! whose result has no other reader. When both operands are contractions the later one takes the node.

use super::epilogue::fuse_into_contraction;
use super::rewrite::{Miss, Rule, require};
use crate::ir::{Graph, Node, Op, Patch};

/// The pass.
pub struct FuseResidual;

impl Rule for FuseResidual {
    fn name(&self) -> &'static str {
        "fuse-residual"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        require(matches!(node.op, Op::Binary(_)))?;
        fuse_into_contraction(graph, node, "operand into epilogue")
    }
}
