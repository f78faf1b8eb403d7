//! whole-rows: elements gathered or scattered by an index that is the same for all elements of a row are rows gathered or
//! scattered, with one index each.
//!
//! Exporters write an indexing of rows so: the index, one a row, is expanded to the rows' extents, eight bytes for every
//! element that is moved. Needs: indices that are an Expand or a Tile of what has one element a row.

use super::rewrite::{Miss, Rule, require};
use crate::ir::{Dim, Graph, Ints, Node, Op, Patch, ValueId};

/// The pass.
pub struct WholeRows;

impl Rule for WholeRows {
    fn name(&self) -> &'static str {
        "whole-rows"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        match node.op {
            Op::GatherElements { axis } => gather(graph, node, axis),
            Op::ScatterElements { axis, .. } => scatter(graph, node, axis),
            _ => Err(Miss::Elsewhere),
        }
    }
}

/// What an index was expanded from, and that one's extents in the rank of the result.
fn expanded(graph: &Graph, index: ValueId) -> Option<(ValueId, Vec<Dim>)> {
    let producer = graph.producer(index)?;
    let from = *producer.inputs.first()?;
    let (own, all) = (&graph.ty(from).shape, &graph.ty(index).shape);
    let repeated = matches!(producer.op, Op::Expand { .. } | Op::Tile { .. }) && own.len() <= all.len();
    let missing = std::iter::repeat_n(Dim::Const(1), all.len().saturating_sub(own.len()));
    repeated.then(|| (from, missing.chain(own.iter().cloned()).collect()))
}

/// The index of rows along `axis`, with its extents, where all rows are as long as those of `x`.
fn rows(graph: &Graph, [x, index]: [ValueId; 2], axis: usize) -> Result<(ValueId, Vec<Dim>), Miss> {
    let (from, own) = expanded(graph, index).ok_or(Miss::Elsewhere)?;
    let (data, all) = (&graph.ty(x).shape, &graph.ty(index).shape);
    require(data.len() == all.len() && axis < all.len() && own[axis] == all[axis])?;
    require(own[axis + 1..].iter().all(|d| *d == Dim::Const(1)))?;
    if (0..all.len()).any(|d| d != axis && data[d] != all[d]) {
        return Err(Miss::blocked("the rows are not as long as the operand's"));
    }
    Ok((from, own))
}

fn gather(graph: &Graph, node: &Node, axis: usize) -> Result<Patch, Miss> {
    let [x, index] = node.inputs[..] else { return Err(Miss::Elsewhere) };
    let (from, own) = rows(graph, [x, index], axis)?;
    let alike = own[..axis].iter().all(|d| *d == Dim::Const(1));
    // Every leading index has rows of its own.
    let apart = own[..axis] == graph.ty(x).shape[..axis];
    if !alike && !apart {
        return Err(Miss::blocked("the index is neither one for all nor one for each of the leading dimensions"));
    }
    let mut patch = Patch::new(graph, "rows gathered whole");
    let (op, shape) = if alike {
        (Op::Gather { axis }, vec![own[axis].clone()])
    } else {
        (Op::GatherNd { batch: axis }, [&own[..=axis], &[Dim::Const(1)]].concat())
    };
    let index = reshaped(&mut patch, node, from, shape);
    let new = patch.node(op, &[x, index], node.name.clone());
    patch.replace(node.outputs[0], new);
    Ok(patch)
}

fn scatter(graph: &Graph, node: &Node, axis: usize) -> Result<Patch, Miss> {
    let (&[x, index, updates], &Op::ScatterElements { reduction, .. }) = (&node.inputs[..], &node.op) else {
        return Err(Miss::Elsewhere);
    };
    let (from, own) = rows(graph, [x, index], axis)?;
    require(graph.ty(updates).shape == graph.ty(index).shape)?;
    if axis > 0 {
        return Err(Miss::blocked(format!("rows along dimension {axis}; along the first they are slices")));
    }
    let mut patch = Patch::new(graph, "rows scattered whole");
    let index = reshaped(&mut patch, node, from, vec![own[0].clone(), Dim::Const(1)]);
    let new = patch.node(Op::ScatterNd { reduction }, &[x, index, updates], node.name.clone());
    patch.replace(node.outputs[0], new);
    Ok(patch)
}

fn reshaped(patch: &mut Patch, node: &Node, index: ValueId, shape: Vec<Dim>) -> ValueId {
    let op = Op::Reshape { shape: Ints::Known(shape), allow_zero: true };
    patch.node(op, &[index], node.name.clone())
}
