//! widen-integers: an integer convolution or matrix product that no kernel of bytes takes becomes one of f32, which holds every
//! sum: all that the weights of an output add up to, times the largest byte, is below 2^24.
//!
//! Needs: known extents, a constant weight and zero point. Blocked where sums may be larger.

use super::rewrite::{Miss, Rule, require};
use super::{facts, join_names};
use crate::ir::{Expression, Graph, Node, Op, Patch, UnaryOp, ValueId};
use brolga_runtime::{DType, library};

/// Integers up to this one are numbers of f32, and so are their sums in any order.
const EXACT: f64 = (1 << 24) as f64;
/// The largest distance of a byte from its zero point.
const FARTHEST: f64 = 255.0;

/// The pass.
pub struct WidenIntegers;

impl Rule for WidenIntegers {
    fn name(&self) -> &'static str {
        "widen-integers"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let epilogue = Expression::default();
        let (op, axis) = match &node.op {
            Op::ConvInteger { window, group, bias: false, to: DType::I32, .. } => {
                (Op::Conv { window: window.clone(), group: *group, bias: false, epilogue }, 0)
            }
            Op::MatMulInteger { trans_b: false, bias: false, to: DType::I32, .. } => {
                let rank = graph.ty(node.inputs[1]).rank();
                (Op::MatMul { trans_a: false, trans_b: false, bias: false, epilogue }, rank.saturating_sub(1))
            }
            _ => return Err(Miss::Elsewhere),
        };
        let &[x, w, x_zero, w_zero] = &node.inputs[..] else { return Err(Miss::Elsewhere) };
        let known = graph.ty(node.outputs[0]).dims().is_some();
        require(known && graph.ty(x).rank() >= 2 && graph.ty(w).rank() >= 2)?;
        if graph.ty(x_zero).elements() != Some(1) {
            return Err(Miss::blocked("several zero points"));
        }
        let sums = magnitudes(graph, node, axis)?;
        if sums.into_iter().fold(0.0, f64::max) * FARTHEST >= EXACT {
            return Err(Miss::blocked("sums may be larger than f32 holds"));
        }
        let mut patch = Patch::new(graph, "sums that f32 holds");
        let mut less_zero = |value: ValueId, zero: ValueId, axis: usize| {
            let dims = graph.ty(zero).dims().unwrap_or_default();
            let scale = patch.weight("", facts::f32_weight(&dims, &vec![1.0; dims.iter().product()]));
            patch.node(Op::Dequantize { to: DType::F32, axis, block: 0 }, &[value, scale, zero], node.name.clone())
        };
        let operands = [less_zero(x, x_zero, 0), less_zero(w, w_zero, axis)];
        let reader = graph.only_reader(node.outputs[0]).filter(|r| matches!(r.op, Op::Cast(DType::F32)));
        match reader.filter(|_| !graph.is_output(node.outputs[0])) {
            Some(cast) => {
                let sums = patch.node(op, &operands, join_names(&node.name, &cast.name));
                patch.replace(cast.outputs[0], sums);
            }
            None => {
                let sums = patch.node(op, &operands, node.name.clone());
                // Kernels may take other products than the definition names, and round on the way.
                let whole = patch.node(Op::Unary(UnaryOp::Round), &[sums], node.name.clone());
                let sums = patch.node(Op::Cast(DType::I32), &[whole], node.name.clone());
                patch.replace(node.outputs[0], sums);
            }
        }
        Ok(patch)
    }
}

/// For each output of a constant weight, the sum of its elements' distances from their zero point.
fn magnitudes(graph: &Graph, node: &Node, axis: usize) -> Result<Vec<f64>, Miss> {
    let (w, zero) = (graph.weight(node.inputs[1]), graph.weight(node.inputs[3]));
    let (w, zero) = w.zip(zero).ok_or_else(|| Miss::blocked("the weight or its zero point is no constant"))?;
    let numbers = |w: &crate::ir::Weight| {
        let tensor = w.evaluate().map_err(|e| Miss::blocked(e.to_string()))?;
        library::function::reals(&tensor.view()).map_err(|e| Miss::blocked(e.to_string()))
    };
    let shape = graph.ty(node.inputs[1]).dims().ok_or(Miss::Elsewhere)?;
    let (elements, zeros) = (numbers(w)?, numbers(zero)?);
    let outputs = shape[axis];
    if zeros.len() != 1 && (zeros.len() != outputs || graph.ty(node.inputs[3]).rank() != 1) {
        return Err(Miss::blocked("zero points that are not one per output"));
    }
    let inner: usize = shape[axis + 1..].iter().product();
    // The batches of a matrix are outputs of their own.
    let rows = if axis == 0 { 1 } else { shape[axis - 1] };
    let mut sums = vec![0.0; (elements.len() / (inner * rows).max(1)).max(1)];
    for (i, element) in elements.iter().enumerate() {
        let output = i / inner % outputs.max(1);
        let zero = zeros.get(output).or(zeros.first()).copied().unwrap_or(0.0);
        let batch = i / (inner * outputs * rows);
        if let Some(sum) = sums.get_mut(batch * outputs + output) {
            *sum += (element - zero).abs();
        }
    }
    Ok(sums)
}
