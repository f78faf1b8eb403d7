//! fuse-elementwise: chains and diamonds of element-wise f32 nodes become one, then part of an epilogue where they follow a
//! contraction.
//!
//! A producer joins its reader when all its readers are that node, and when it has the result's shape: computing it at a
//! broadcast shape would repeat its work.

use super::epilogue::{Fused, fuse_into_contraction};
use super::facts::read_only_by;
use super::rewrite::{Miss, Rule};
use super::{join_names, other_reader};
use crate::ir::{Graph, Node, Op, Patch};

/// The pass.
pub struct FuseElementwise;

impl Rule for FuseElementwise {
    fn name(&self) -> &'static str {
        "fuse-elementwise"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let outer = Fused::of(graph, node).ok_or(Miss::Elsewhere)?;
        let mut refused = Miss::Elsewhere;
        for value in &outer.inputs {
            let Some(producer) = graph.producer(*value) else { continue };
            let Some(inner) = Fused::of(graph, producer) else { continue };
            if graph.ty(*value) != graph.ty(node.outputs[0]) {
                refused = Miss::blocked(format!("{value} is broadcast"));
                continue;
            }
            if !read_only_by(graph, *value, node.id) {
                refused = other_reader(graph, *value, node.id).map_or(Miss::Elsewhere, Miss::Blocked);
                continue;
            }
            let both = outer.with_inner(*value, &inner);
            if !both.fits() {
                refused = Miss::blocked(format!("with {} it would be too long", producer.id));
                continue;
            }
            let mut patch = Patch::new(graph, "element-wise nodes into one");
            let name = join_names(&producer.name, &node.name);
            let new = patch.node(Op::Elementwise(both.expression), &both.inputs, name);
            patch.replace(node.outputs[0], new);
            return Ok(patch);
        }
        match fuse_into_contraction(graph, node, "expression into epilogue") {
            Err(Miss::Elsewhere) => Err(refused),
            done => done,
        }
    }
}
