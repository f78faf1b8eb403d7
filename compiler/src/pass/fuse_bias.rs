//! fuse-bias: a constant per channel added to (or subtracted from) a convolution or matrix product becomes its bias.
//!
//! A constant bias that is there already takes the sum. Blocked when the product has another reader, an epilogue, or a bias
//! computed at run time.

use super::contraction::{Affine, Contraction, scale_outputs};
use super::facts;
use super::rewrite::{Miss, Rule};
use super::{join_names, other_reader};
use crate::ir::{BinaryOp, Graph, Node, Op, Patch};

/// The pass.
pub struct FuseBias;

impl Rule for FuseBias {
    fn name(&self) -> &'static str {
        "fuse-bias"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let (sign, orders): (f64, &[[usize; 2]]) = match node.op {
            Op::Binary(BinaryOp::Add) => (1.0, &[[0, 1], [1, 0]]),
            Op::Binary(BinaryOp::Sub) => (-1.0, &[[0, 1]]),
            _ => return Err(Miss::Elsewhere),
        };
        let mut miss = Miss::Elsewhere;
        for [x, c] in orders {
            match with_bias(graph, node, *x, *c, sign) {
                Err(Miss::Elsewhere) => {}
                Err(other) => miss = other,
                done => return done,
            }
        }
        Err(miss)
    }
}

fn with_bias(graph: &Graph, node: &Node, x: usize, c: usize, sign: f64) -> Result<Patch, Miss> {
    let (x, c) = (node.inputs[x], node.inputs[c]);
    let into = Contraction::making(graph, x).ok_or(Miss::Elsewhere)?;
    let ty = graph.ty(x);
    if ty != graph.ty(node.outputs[0]) {
        return Err(Miss::Elsewhere);
    }
    let (axis, channels) = into
        .channel_axis(graph)
        .zip(into.channels(graph))
        .ok_or_else(|| Miss::blocked("its channels are not known"))?;
    let mut shift = facts::along_axis(graph, c, ty.rank(), axis, channels).ok_or(Miss::Elsewhere)?;
    if let Some(why) = other_reader(graph, x, node.id) {
        return Err(Miss::blocked(why));
    }
    shift.iter_mut().for_each(|s| *s *= sign);
    let mut patch = Patch::new(graph, "addend into bias");
    let name = join_names(&into.node.name, &node.name);
    let new = scale_outputs(graph, &mut patch, &into, &Affine::shift(shift), &name)?;
    patch.replace(node.outputs[0], new);
    Ok(patch)
}
