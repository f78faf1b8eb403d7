//! Convolution, transposed convolution and matrix product seen as one thing: weights, a channel axis, a bias, an epilogue.

use super::facts;
use super::rewrite::Miss;
use crate::ir::{AxisScale, Expression, Graph, Node, Op, Patch, ValueId, Weight};
use brolga_runtime::DType;
use std::sync::Arc;

/// A node that multiplies and sums, read for the passes that change its weights, bias or epilogue.
pub(crate) struct Contraction<'a> {
    pub(crate) node: &'a Node,
    pub(crate) bias: bool,
    pub(crate) epilogue: &'a Expression,
}

impl<'a> Contraction<'a> {
    /// The node as a contraction, if it is one.
    pub(crate) fn of(node: &'a Node) -> Option<Contraction<'a>> {
        match &node.op {
            Op::Conv { bias, epilogue, .. }
            | Op::ConvTranspose { bias, epilogue, .. }
            | Op::MatMul { bias, epilogue, .. } => Some(Contraction { node, bias: *bias, epilogue }),
            _ => None,
        }
    }
    /// The contraction that makes a value, if one does.
    pub(crate) fn making(graph: &'a Graph, value: ValueId) -> Option<Contraction<'a>> {
        Contraction::of(graph.producer(value)?)
    }
    /// Its result.
    pub(crate) fn result(&self) -> ValueId {
        self.node.outputs[0]
    }
    /// Operands that the epilogue reads after its input 0.
    pub(crate) fn extras(&self) -> &'a [ValueId] {
        &self.node.inputs[2 + usize::from(self.bias)..]
    }
    /// The dimension of the result along which the bias runs.
    pub(crate) fn channel_axis(&self, graph: &Graph) -> Option<usize> {
        match self.node.op {
            Op::MatMul { .. } => {
                // A vector on the right has no channels.
                (graph.ty(self.node.inputs[1]).rank() > 1).then(|| graph.ty(self.result()).rank() - 1)
            }
            _ => Some(1),
        }
    }
    /// Extent of that dimension.
    pub(crate) fn channels(&self, graph: &Graph) -> Option<usize> {
        facts::extent(graph.ty(self.result()), self.channel_axis(graph)?)
    }
    /// The dimension of the weight that the result's channels are, for weights that can be scaled along one dimension.
    fn weight_axis(&self, graph: &Graph) -> Result<usize, Miss> {
        let weight = graph.ty(self.node.inputs[1]);
        match self.node.op {
            Op::Conv { .. } => Ok(0),
            Op::ConvTranspose { group: 1, .. } => Ok(1),
            Op::ConvTranspose { group, .. }
                if facts::extent(weight, 1) == Some(1) && facts::extent(weight, 0) == Some(group) =>
            {
                Ok(0)
            }
            Op::MatMul { trans_b, .. } if weight.rank() >= 2 => Ok(weight.rank() - if trans_b { 2 } else { 1 }),
            _ => Err(Miss::blocked("output channels are no single dimension of its weight")),
        }
    }
    /// The dimension of the weight that the input's channels (dimension 1, or the last one of a matrix product) are.
    pub(crate) fn weight_input_axis(&self, graph: &Graph) -> Result<usize, Miss> {
        let weight = graph.ty(self.node.inputs[1]);
        match self.node.op {
            Op::Conv { group: 1, .. } => Ok(1),
            Op::ConvTranspose { group: 1, .. } => Ok(0),
            Op::Conv { group, .. }
                if facts::extent(weight, 1) == Some(1) && facts::extent(weight, 0) == Some(group) =>
            {
                Ok(0)
            }
            Op::MatMul { trans_a: false, trans_b, .. } if weight.rank() == 2 => Ok(usize::from(trans_b)),
            _ => Err(Miss::blocked("input channels are no single dimension of its weight")),
        }
    }
    /// The operation with another bias flag and epilogue.
    pub(crate) fn op_with(&self, new_bias: bool, new_epilogue: Expression) -> Op {
        let mut op = self.node.op.clone();
        if let Op::Conv { bias, epilogue, .. }
        | Op::ConvTranspose { bias, epilogue, .. }
        | Op::MatMul { bias, epilogue, .. } = &mut op
        {
            *bias = new_bias;
            *epilogue = new_epilogue;
        }
        op
    }
}

/// `x * scale + shift` per channel.
pub(crate) struct Affine {
    pub(crate) scale: Vec<f64>,
    pub(crate) shift: Vec<f64>,
}

impl Affine {
    /// Only a shift.
    pub(crate) fn shift(shift: Vec<f64>) -> Affine {
        Affine { scale: vec![1.0; shift.len()], shift }
    }
    /// Only a scale.
    pub(crate) fn scale(scale: Vec<f64>) -> Affine {
        Affine { shift: vec![0.0; scale.len()], scale }
    }
    pub(crate) fn is_finite(&self) -> bool {
        self.scale.iter().chain(&self.shift).all(|x| x.is_finite())
    }
}

/// A weight scaled along one of its dimensions.
pub(crate) fn scaled(weight: &Weight, axis: usize, scale: Vec<f64>) -> Weight {
    let mut weight = weight.clone();
    weight.scales.push(Arc::new(AxisScale { axis, scale }));
    weight
}

/// The f32 constant that a contraction's weight is.
pub(crate) fn constant_weight<'a>(graph: &'a Graph, node: &Node) -> Result<&'a Weight, Miss> {
    match graph.weight(node.inputs[1]) {
        Some(weight) if weight.dtype == DType::F32 => Ok(weight),
        Some(_) => Err(Miss::blocked("its weight is not f32")),
        None => Err(Miss::blocked("its weight is computed at run time")),
    }
}

/// Puts `affine` behind the sum: scales the weight's output channels and adjusts the bias. The contraction has no epilogue.
/// Adds the new node to `patch` and returns its result.
pub(crate) fn scale_outputs(
    graph: &Graph,
    patch: &mut Patch,
    of: &Contraction<'_>,
    affine: &Affine,
    name: &str,
) -> Result<ValueId, Miss> {
    if !of.epilogue.steps.is_empty() {
        return Err(Miss::blocked("it already has an epilogue"));
    }
    if !affine.is_finite() {
        return Err(Miss::blocked("the scale or shift is not finite"));
    }
    let mut inputs = of.node.inputs.clone();
    let mut bias = affine.shift.clone();
    if of.bias {
        let old = facts::f32_vector(graph, inputs[2], bias.len())
            .ok_or_else(|| Miss::blocked("its bias is computed at run time"))?;
        bias.iter_mut().zip(old).zip(&affine.scale).for_each(|((b, old), scale)| *b += old * scale);
    }
    if affine.scale.iter().any(|s| *s != 1.0) {
        let axis = of.weight_axis(graph)?;
        let weight = scaled(constant_weight(graph, of.node)?, axis, affine.scale.clone());
        inputs[1] = patch.weight(graph.value(inputs[1]).name.clone(), weight);
    }
    inputs.truncate(2);
    let has_bias = of.bias || bias.iter().any(|b| *b != 0.0);
    if has_bias {
        inputs.push(patch.weight(format!("{name}.bias"), facts::f32_weight(&[bias.len()], &bias)));
    }
    Ok(patch.node(of.op_with(has_bias, Expression::default()), &inputs, name))
}
