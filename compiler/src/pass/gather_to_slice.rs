//! gather-to-slice: rows at constant, consecutive indices are a slice, which later passes can read in place.

use super::rewrite::{Miss, Rule, require};
use crate::ir::{Dim, Graph, Ints, Node, Op, Patch};

/// The pass.
pub struct GatherToSlice;

impl Rule for GatherToSlice {
    fn name(&self) -> &'static str {
        "gather-to-slice"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let Op::Gather { axis } = node.op else { return Err(Miss::Elsewhere) };
        let [x, index] = node.inputs[..] else { return Err(Miss::Elsewhere) };
        require(graph.weight(index).is_some() && graph.ty(index).rank() <= 1)?;
        let content = graph.value(index).content.as_ref().ok_or(Miss::Elsewhere)?;
        let known: Vec<i64> = content.iter().map(Dim::known).collect::<Option<_>>().ok_or(Miss::Elsewhere)?;
        let first = *known.first().ok_or(Miss::Elsewhere)?;
        let last = *known.last().ok_or(Miss::Elsewhere)?;
        if !known.iter().enumerate().all(|(i, n)| first.checked_add(i as i64) == Some(*n)) || first < 0 && last >= 0 {
            return Err(Miss::blocked("the indices are not consecutive"));
        }
        // An index outside is an error of the gather, where a slice would clamp.
        let extent = graph.ty(x).shape.get(axis).and_then(Dim::known).ok_or(Miss::Elsewhere)?;
        require(last < extent && first >= -extent)?;
        let end = if last == -1 { i64::MAX } else { last + 1 };
        let slice = Op::Slice {
            axes: vec![axis],
            starts: Ints::Known(vec![Dim::Const(first)]),
            ends: Ints::Known(vec![Dim::Const(end)]),
            steps: vec![1],
        };
        let mut patch = Patch::new(graph, "rows as slice");
        let mut new = patch.node(slice, &[x], node.name.clone());
        if graph.ty(index).rank() == 0 {
            let shape = Ints::Known(graph.ty(node.outputs[0]).shape.clone());
            new = patch.node(Op::Reshape { shape, allow_zero: true }, &[new], node.name.clone());
        }
        patch.replace(node.outputs[0], new);
        Ok(patch)
    }
}
