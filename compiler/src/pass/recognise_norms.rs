//! recognise-norms: layer and instance normalisation that an exporter wrote as means, differences and roots become one node.
//!
//! First the core, `(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon)`, with a scale of ones; then a product with, and a
//! sum of, something of the normalised shape become its scale and bias. Over all spatial dimensions of an image it is an
//! instance normalisation. Blocked when the dimensions are not the last ones.

use super::facts::{extent, f32_number, f32_splat, made_by, number};
use super::rewrite::{Miss, Rule, require};
use super::weights::reshaped;
use super::{join_names, other_reader};
use crate::ir::{BinaryOp, Graph, Node, Op, Patch, ReduceKind, UnaryOp, ValueId};
use brolga_runtime::DType;

/// The pass.
pub struct RecogniseNorms;

impl Rule for RecogniseNorms {
    fn name(&self) -> &'static str {
        "recognise-norms"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        require(node.outputs.len() == 1 && graph.ty(node.outputs[0]).dtype == DType::F32)?;
        match node.op {
            Op::Binary(BinaryOp::Div) => core(graph, node, node.inputs[0], node.inputs[1]),
            Op::Binary(BinaryOp::Mul) => match reciprocal_form(graph, node) {
                Some((centred, root)) => core(graph, node, centred, root),
                None => affine(graph, node, true),
            },
            Op::Binary(BinaryOp::Add) => affine(graph, node, false),
            _ => Err(Miss::Elsewhere),
        }
    }
}

/// `d * (1 / root)` as `d` and `root`.
fn reciprocal_form(graph: &Graph, node: &Node) -> Option<(ValueId, ValueId)> {
    let [a, b] = node.inputs[..] else { return None };
    [(a, b), (b, a)].into_iter().find_map(|(centred, inverse)| {
        let inverse = made_by(graph, inverse, |op| *op == Op::Unary(UnaryOp::Reciprocal))?;
        Some((centred, inverse.inputs[0]))
    })
}

/// The argument and dimensions of a mean that keeps its dimensions.
fn mean(graph: &Graph, value: ValueId) -> Option<(ValueId, &[usize])> {
    let node = graph.producer(value)?;
    match &node.op {
        Op::Reduce { kind: ReduceKind::Mean, axes, keep: true } => Some((node.inputs[0], axes)),
        _ => None,
    }
}

/// `x` and the dimensions of `x - mean(x)`.
fn centred_on_mean(graph: &Graph, value: ValueId) -> Option<(ValueId, &[usize])> {
    let node = made_by(graph, value, |op| *op == Op::Binary(BinaryOp::Sub))?;
    let (x, axes) = mean(graph, node.inputs[1])?;
    (x == node.inputs[0]).then_some((x, axes))
}

/// The value that is squared.
fn squared(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let node = graph.producer(value)?;
    match (&node.op, &node.inputs[..]) {
        (Op::Binary(BinaryOp::Mul), [a, b]) if a == b => Some(*a),
        (Op::Binary(BinaryOp::Pow), [a, b]) if number(graph, *b) == Some(2.0) => Some(*a),
        _ => None,
    }
}

fn core(graph: &Graph, node: &Node, centred: ValueId, root: ValueId) -> Result<Patch, Miss> {
    let found = || {
        let (x, axes) = centred_on_mean(graph, centred)?;
        let root = made_by(graph, root, |op| *op == Op::Unary(UnaryOp::Sqrt))?;
        let sum = made_by(graph, root.inputs[0], |op| *op == Op::Binary(BinaryOp::Add))?;
        let [a, b] = sum.inputs[..] else { return None };
        let (variance, epsilon) = match (f32_number(graph, a), f32_number(graph, b)) {
            (_, Some(epsilon)) => (a, epsilon),
            (Some(epsilon), _) => (b, epsilon),
            _ => return None,
        };
        let (square, same_axes) = mean(graph, variance)?;
        let (y, again) = centred_on_mean(graph, squared(graph, square)?)?;
        (x == y && axes == same_axes && axes == again).then_some((x, axes, epsilon))
    };
    let (x, axes, epsilon) = found().ok_or(Miss::Elsewhere)?;
    let ty = graph.ty(x);
    let first = *axes.first().ok_or(Miss::Elsewhere)?;
    if axes.len() != ty.rank() - first {
        return Err(Miss::blocked("the normalised dimensions are not the last ones"));
    }
    let unknown = || Miss::blocked("the normalised extents are not known");
    let mut patch = Patch::new(graph, "arithmetic as normalisation");
    let new = if first == 2 && ty.rank() >= 4 {
        let channels = extent(ty, 1).ok_or_else(unknown)?;
        let scale = patch.weight(format!("{}.scale", node.name), f32_splat(&[channels], 1.0));
        let bias = patch.weight(format!("{}.bias", node.name), f32_splat(&[channels], 0.0));
        patch.node(Op::InstanceNorm { epsilon }, &[x, scale, bias], node.name.clone())
    } else {
        let shape: Vec<usize> = axes.iter().map(|a| extent(ty, *a)).collect::<Option<_>>().ok_or_else(unknown)?;
        let scale = patch.weight(format!("{}.scale", node.name), f32_splat(&shape, 1.0));
        patch.node(Op::LayerNorm { axis: first, epsilon, bias: false }, &[x, scale], node.name.clone())
    };
    patch.replace(node.outputs[0], new);
    Ok(patch)
}

/// A product with, or sum of, something of the normalised shape behind a layer normalisation.
fn affine(graph: &Graph, node: &Node, scale: bool) -> Result<Patch, Miss> {
    let [a, b] = node.inputs[..] else { return Err(Miss::Elsewhere) };
    for (y, operand) in [(a, b), (b, a)] {
        let Some(norm) = made_by(graph, y, |op| matches!(op, Op::LayerNorm { bias: false, .. })) else { continue };
        let Op::LayerNorm { axis, epsilon, .. } = norm.op else { continue };
        if scale && f32_number(graph, norm.inputs[1]) != Some(1.0) {
            continue;
        }
        if graph.ty(y) != graph.ty(node.outputs[0]) {
            continue;
        }
        let mut patch = Patch::new(graph, if scale { "factor into layer norm" } else { "addend into layer norm" });
        let Some(operand) = with_normalised_shape(graph, &mut patch, operand, &graph.ty(y).shape[axis..]) else {
            continue;
        };
        if let Some(why) = other_reader(graph, y, node.id) {
            return Err(Miss::blocked(why));
        }
        let mut inputs = norm.inputs.clone();
        if scale {
            inputs[1] = operand
        } else {
            inputs.push(operand)
        }
        let op = Op::LayerNorm { axis, epsilon, bias: !scale };
        let new = patch.node(op, &inputs, join_names(&norm.name, &node.name));
        patch.replace(node.outputs[0], new);
        return Ok(patch);
    }
    Err(Miss::Elsewhere)
}

/// The operand with exactly this shape: as it is, or a constant without its leading dimensions of one element.
fn with_normalised_shape(
    graph: &Graph,
    patch: &mut Patch,
    operand: ValueId,
    shape: &[crate::ir::Dim],
) -> Option<ValueId> {
    let ty = graph.ty(operand);
    if ty.shape == shape {
        return Some(operand);
    }
    let weight = graph.weight(operand)?;
    let own = weight.shape();
    let lead = own.len().checked_sub(shape.len())?;
    let wanted: Vec<usize> = own[lead..].to_vec();
    let fits = own[..lead].iter().all(|d| *d == 1)
        && wanted.iter().zip(shape).all(|(have, want)| want.known() == i64::try_from(*have).ok());
    let weight = fits.then(|| reshaped(weight, &wanted)).flatten()?;
    Some(patch.weight(graph.value(operand).name.clone(), weight))
}
