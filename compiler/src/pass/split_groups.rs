//! split-groups: a transposed convolution in groups becomes one of each group, whose results are put together.
//!
//! Kernels take transposed convolutions of one group. Needs: no epilogues yet. Blocked beyond 64 groups.

use super::rewrite::{Miss, Rule, require};
use crate::ir::{Dim, Graph, Ints, Node, Op, Patch, ValueId};
use brolga_runtime::DType;

/// The pass.
pub struct SplitGroups;

/// Groups beyond which one call of the library costs less than so many kernels.
const MOST: usize = 64;

impl Rule for SplitGroups {
    fn name(&self) -> &'static str {
        "split-groups"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let Op::ConvTranspose { window, output_pad, group, bias, epilogue } = &node.op else {
            return Err(Miss::Elsewhere);
        };
        let (x, weight) = (graph.ty(node.inputs[0]), graph.ty(node.inputs[1]));
        require(*group > 1 && epilogue.steps.is_empty() && x.dtype == DType::F32 && x.rank() <= 4)?;
        if *group > MOST {
            return Err(Miss::blocked(format!("it has {group} groups")));
        }
        let extent = |dim: &Dim| dim.known().ok_or_else(|| Miss::blocked("its channels are not known"));
        let (inputs, outputs) = (extent(&weight.shape[0])? / *group as i64, extent(&weight.shape[1])?);
        let mut patch = Patch::new(graph, "one transposed convolution per group");
        let mut parts = Vec::new();
        for g in 0..*group as i64 {
            let mut cut = |value: ValueId, axis: usize, size: i64| {
                let (starts, ends) = (vec![Dim::Const(g * size)], vec![Dim::Const((g + 1) * size)]);
                let (starts, ends) = (Ints::Known(starts), Ints::Known(ends));
                let slice = Op::Slice { axes: vec![axis], starts, ends, steps: vec![1] };
                patch.node(slice, &[value], node.name.clone())
            };
            let mut operands = vec![cut(node.inputs[0], 1, inputs), cut(node.inputs[1], 0, inputs)];
            if *bias {
                operands.push(cut(node.inputs[2], 0, outputs));
            }
            let op = Op::ConvTranspose {
                window: window.clone(),
                output_pad: output_pad.clone(),
                group: 1,
                bias: *bias,
                epilogue: Default::default(),
            };
            parts.push(patch.node(op, &operands, node.name.clone()));
        }
        let whole = patch.node(Op::Concat { axis: 1 }, &parts, node.name.clone());
        patch.replace(node.outputs[0], whole);
        Ok(patch)
    }
}
