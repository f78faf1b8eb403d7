//! expand-batchnorm: a batch normalisation that no weight could take becomes element-wise arithmetic, which later passes
//! fuse with its neighbours.
//!
//! Constant statistics: `x * scale + shift`, one number per channel, computed in f64. Statistics computed at run time, or
//! with a variance that makes the scale infinite: the definition, step by step.
//! Needs: fold-batchnorm run before.

use super::facts;
use super::fold_batchnorm::statistics;
use super::rewrite::{Miss, Rule, require};
use crate::ir::{Arg, BinaryOp, Expression, Graph, Ints, Node, Op, Patch, Step, UnaryOp, ValueId};
use brolga_runtime::DType;

/// The pass.
pub struct ExpandBatchnorm;

impl Rule for ExpandBatchnorm {
    fn name(&self) -> &'static str {
        "expand-batchnorm"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let Op::BatchNorm { epsilon } = node.op else { return Err(Miss::Elsewhere) };
        require(node.inputs.iter().all(|v| graph.ty(*v).dtype == DType::F32))?;
        let x = node.inputs[0];
        let rank = graph.ty(x).rank();
        let mut shape = vec![1; rank];
        let mut patch = Patch::new(graph, "batch norm into arithmetic");
        let operands = match statistics(graph, node, epsilon) {
            Ok(affine) => {
                shape[1] = affine.scale.len();
                let scale = patch.weight(format!("{}.scale", node.name), facts::f32_weight(&shape, &affine.scale));
                let shift = patch.weight(format!("{}.shift", node.name), facts::f32_weight(&shape, &affine.shift));
                [x, scale, shift]
            }
            Err(_) => run_time(graph, &mut patch, node, epsilon, rank),
        };
        let steps = vec![
            Step::Binary(BinaryOp::Mul, Arg::Input(0), Arg::Input(1)),
            Step::Binary(BinaryOp::Add, Arg::Step(0), Arg::Input(2)),
        ];
        let new = patch.node(Op::Elementwise(Expression { steps }), &operands, node.name.clone());
        patch.replace(node.outputs[0], new);
        Ok(patch)
    }
}

/// `x`, `gamma / sqrt(variance + epsilon)` and `beta - mean * scale`, the last two per channel, in f32 as at run time.
fn run_time(graph: &Graph, patch: &mut Patch, node: &Node, epsilon: f32, rank: usize) -> [ValueId; 3] {
    let [x, gamma, beta, mean, variance] = node.inputs[..] else { return [node.inputs[0]; 3] };
    let scale = Expression {
        steps: vec![
            Step::Binary(BinaryOp::Add, Arg::Input(1), Arg::Const(epsilon)),
            Step::Unary(UnaryOp::Sqrt, Arg::Step(0)),
            Step::Binary(BinaryOp::Div, Arg::Input(0), Arg::Step(1)),
        ],
    };
    let scale = patch.node(Op::Elementwise(scale), &[gamma, variance], node.name.clone());
    let shift = Expression {
        steps: vec![
            Step::Binary(BinaryOp::Mul, Arg::Input(1), Arg::Input(2)),
            Step::Binary(BinaryOp::Sub, Arg::Input(0), Arg::Step(0)),
        ],
    };
    let shift = patch.node(Op::Elementwise(shift), &[beta, mean, scale], node.name.clone());
    let mut shape = vec![crate::ir::Dim::Const(1); rank];
    shape[1] = graph.ty(x).shape[1].clone();
    let reshape = Op::Reshape { shape: Ints::Known(shape), allow_zero: true };
    let scale = patch.node(reshape.clone(), &[scale], node.name.clone());
    let shift = patch.node(reshape, &[shift], node.name.clone());
    [x, scale, shift]
}
