//! fold-batchnorm: a batch normalisation with constant statistics goes into the convolution, transposed convolution or
//! matrix product before it, else into the one after it.
//!
//! Before: `scale * (w x + b) + shift` scales output channels of the weight and changes the bias. After: `w (scale * x +
//! shift)` scales input channels and adds the sum of `w * shift` to the bias, which is wrong where the padding is zero, so
//! there must be no padding or no shift. All in f64; the weight is only an expression until it is packed.
//! What cannot be folded is left to expand-batchnorm.

use super::contraction::{Affine, Contraction, constant_weight, scale_outputs, scaled};
use super::facts;
use super::rewrite::{Miss, Rule};
use super::{join_names, other_reader};
use crate::ir::{Expression, Graph, Node, Op, Patch, ValueId, Weight};

/// Weights above this many elements are not summed for a shift before the convolution.
const MAX_SUMMED: usize = 1 << 25;

/// The pass.
pub struct FoldBatchnorm;

impl Rule for FoldBatchnorm {
    fn name(&self) -> &'static str {
        "fold-batchnorm"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let Op::BatchNorm { epsilon } = node.op else { return Err(Miss::Elsewhere) };
        let affine = statistics(graph, node, epsilon)?;
        match into_producer(graph, node, &affine) {
            Err(before) => into_reader(graph, node, &affine).map_err(|after| match (&before, after) {
                (Miss::Elsewhere, after) => after,
                _ => before,
            }),
            done => done,
        }
    }
}

/// The normalisation as one factor and one addend per channel.
pub(crate) fn statistics(graph: &Graph, node: &Node, epsilon: f32) -> Result<Affine, Miss> {
    let x = graph.ty(node.inputs[0]);
    let channels = facts::extent(x, 1).ok_or_else(|| Miss::blocked("its channels are not known"))?;
    let read = |i: usize| {
        facts::f32_vector(graph, node.inputs[i], channels)
            .ok_or_else(|| Miss::blocked(format!("{} is computed at run time", node.inputs[i])))
    };
    let (gamma, beta, mean, variance) = (read(1)?, read(2)?, read(3)?, read(4)?);
    let scale: Vec<f64> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + f64::from(epsilon)).sqrt()).collect();
    let shift = beta.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    let affine = Affine { scale, shift };
    // Zero or negative variance: leave the arithmetic as the model has it.
    if affine.is_finite() { Ok(affine) } else { Err(Miss::blocked("its scale or shift is not finite")) }
}

fn into_producer(graph: &Graph, node: &Node, affine: &Affine) -> Result<Patch, Miss> {
    let x = node.inputs[0];
    let into = Contraction::making(graph, x).ok_or(Miss::Elsewhere)?;
    if into.channel_axis(graph) != Some(1) {
        return Err(Miss::Elsewhere);
    }
    if let Some(why) = other_reader(graph, x, node.id) {
        return Err(Miss::blocked(why));
    }
    let mut patch = Patch::new(graph, "batch norm into the weight before it");
    let name = join_names(&into.node.name, &node.name);
    let new = scale_outputs(graph, &mut patch, &into, affine, &name)?;
    patch.replace(node.outputs[0], new);
    Ok(patch)
}

fn into_reader(graph: &Graph, node: &Node, affine: &Affine) -> Result<Patch, Miss> {
    let y = node.outputs[0];
    let reader = graph.only_reader(y).ok_or(Miss::Elsewhere)?;
    let into = Contraction::of(reader).ok_or(Miss::Elsewhere)?;
    if reader.inputs[0] != y || (matches!(reader.op, Op::MatMul { .. }) && graph.ty(y).rank() != 2) {
        return Err(Miss::Elsewhere);
    }
    let shifted = affine.shift.iter().any(|s| *s != 0.0);
    if shifted && pads(&reader.op) {
        return Err(Miss::blocked(format!("{} pads with zeros, which the shift does not reach", reader.id)));
    }
    if shifted && matches!(reader.op, Op::ConvTranspose { .. }) {
        return Err(Miss::blocked(format!("{} spreads the shift unevenly", reader.id)));
    }
    let axis = into.weight_input_axis(graph)?;
    let weight = constant_weight(graph, reader)?;
    let mut patch = Patch::new(graph, "batch norm into the weight after it");
    let name = join_names(&node.name, &reader.name);
    let mut inputs = reader.inputs.clone();
    inputs[0] = node.inputs[0];
    inputs[1] = patch.weight(graph.value(reader.inputs[1]).name.clone(), scaled(weight, axis, affine.scale.clone()));
    if shifted {
        let bias = shifted_bias(graph, &into, weight, &affine.shift)?;
        let bias = patch.weight(format!("{name}.bias"), facts::f32_weight(&[bias.len()], &bias));
        if into.bias { inputs[2] = bias } else { inputs.insert(2, bias) }
    }
    let epilogue: Expression = into.epilogue.clone();
    let new: ValueId = patch.node(into.op_with(into.bias || shifted, epilogue), &inputs, name);
    patch.replace(reader.outputs[0], new);
    Ok(patch)
}

fn pads(op: &Op) -> bool {
    match op {
        Op::Conv { window, .. } | Op::ConvTranspose { window, .. } => {
            window.auto_pad != crate::ir::AutoPad::Explicit
                || window.pad_begin.iter().chain(&window.pad_end).any(|p| *p > 0)
        }
        _ => false,
    }
}

/// Old bias plus the sum of `w * shift` over everything that meets one output channel.
fn shifted_bias(graph: &Graph, into: &Contraction<'_>, weight: &Weight, shift: &[f64]) -> Result<Vec<f64>, Miss> {
    if weight.len() > MAX_SUMMED {
        return Err(Miss::blocked("its weight is too large to be summed"));
    }
    let tensor = weight.evaluate().map_err(|e| Miss::blocked(e.to_string()))?;
    let w = tensor.as_slice::<f32>().map_err(|e| Miss::blocked(e.to_string()))?;
    let channels = into.channels(graph).ok_or_else(|| Miss::blocked("its channels are not known"))?;
    let mut bias = match into.bias {
        true => facts::f32_vector(graph, into.node.inputs[2], channels)
            .ok_or_else(|| Miss::blocked("its bias is computed at run time"))?,
        false => vec![0.0; channels],
    };
    let shape = weight.shape();
    let taps = shape.iter().skip(2).product::<usize>().max(1);
    let columns = shape[1];
    for (i, x) in w.iter().enumerate() {
        let (row, column) = (i / taps / columns, i / taps % columns);
        let (output, input) = match into.node.op {
            Op::MatMul { trans_b: false, .. } => (column, row),
            // Depthwise: the only input channel of a filter is the filter's own.
            Op::Conv { group, .. } if group > 1 => (row, row),
            _ => (row, column),
        };
        bias[output] += f64::from(*x) * shift[input];
    }
    Ok(bias)
}
