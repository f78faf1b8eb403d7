//! Gradient: reverse-mode derivative of a value of the graph with respect to others.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx_aionnxpreviewtraining_Gradient.html>. The operands take the places of the tensors
//! that `xs` and `zs` name; `y` is computed anew from them where they differ, and derived with respect to `xs`.

use super::derivative::{Rule, rule};
use crate::context::{Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use brolga_compiler::ir::{BinaryOp, Dim, Ints, Node, Op, ValueId};
use brolga_runtime::library::Attribute;
use std::collections::{HashMap, HashSet};

/// The values that a list of names stands for.
fn named(cx: &Context<'_, '_>, name: &str) -> Result<Vec<ValueId>, NodeError> {
    let list = match cx.node.attributes.value(name)? {
        None => return Ok(vec![]),
        Some(Attribute::Texts(list)) => list,
        Some(Attribute::Text(one)) => vec![one],
        Some(_) => return invalid(format!("attribute {name:?} is no name")),
    };
    list.iter().map(|text| find(cx, text)).collect()
}

fn find(cx: &Context<'_, '_>, text: &str) -> Result<ValueId, NodeError> {
    match cx.graph.values().find(|(_, value)| value.name == text) {
        Some((id, _)) => Ok(id),
        None => {
            unsupported(format!("{text:?}, which no node before this one makes; values made before it are accepted"))
        }
    }
}

/// A tensor of one number, of the type of `x`.
pub(super) fn filled(cx: &mut Context<'_, '_>, x: ValueId, value: f64) -> Result<ValueId, NodeError> {
    let dtype = cx.dtype(x);
    match cx.ty(x).dims() {
        Some(dims) => cx.splat(dtype, dims, value),
        None => cx.emit(Op::ConstantOfShape { shape: Ints::Known(cx.shape(x)), dtype, value }, &[]),
    }
}

/// The nodes between `from` and `y`, operands first.
fn between(cx: &Context<'_, '_>, from: &HashSet<ValueId>, y: ValueId) -> Vec<Node> {
    let mut needed = HashSet::from([y]);
    let mut active = from.clone();
    let order = cx.graph.topological();
    for id in order.iter().rev() {
        let node = cx.graph.node(*id);
        if node.outputs.iter().any(|v| needed.contains(v) && !from.contains(v)) {
            needed.extend(&node.inputs);
        }
    }
    let mut found = Vec::new();
    for id in order {
        let node = cx.graph.node(id);
        let wanted = node.outputs.iter().any(|v| needed.contains(v) && !from.contains(v));
        if wanted && node.inputs.iter().any(|v| active.contains(v)) {
            active.extend(&node.outputs);
            found.push(node.clone());
        }
    }
    found
}

/// The nodes computed anew where an operand has taken another's place; `places` maps old values to new ones.
fn replayed(
    cx: &mut Context<'_, '_>,
    nodes: Vec<Node>,
    places: &mut HashMap<ValueId, ValueId>,
) -> Result<Vec<Node>, NodeError> {
    let mut made = Vec::with_capacity(nodes.len());
    for mut node in nodes {
        if node.inputs.iter().any(|v| places.get(v).is_some_and(|new| new != v)) {
            node.inputs.iter_mut().for_each(|v| *v = places.get(v).copied().unwrap_or(*v));
            let outputs = cx.emit_many(node.op.clone(), &node.inputs, node.outputs.len())?;
            places.extend(node.outputs.iter().copied().zip(outputs.iter().copied()));
            node.outputs = outputs;
        }
        made.push(node);
    }
    Ok(made)
}

pub(crate) fn gradient(cx: &mut Context<'_, '_>) -> Results {
    let (xs, zs, ys) = (named(cx, "xs")?, named(cx, "zs")?, named(cx, "y")?);
    let [y] = ys[..] else { return invalid("attribute \"y\" is missing") };
    let given = cx.all_inputs()?;
    if given.len() != xs.len() + zs.len() {
        return invalid(format!("{} operands; {} are expected", given.len(), xs.len() + zs.len()));
    }
    let mut places: HashMap<ValueId, ValueId> = xs.iter().chain(&zs).copied().zip(given.iter().copied()).collect();
    let from: HashSet<ValueId> = places.keys().copied().collect();
    let nodes = between(cx, &from, y);
    let nodes = replayed(cx, nodes, &mut places)?;
    let y = places.get(&y).copied().unwrap_or(y);
    if !cx.dtype(y).is_float() {
        return invalid(format!("{:?} is {}; floats can be derived", "y", cx.ty(y)));
    }
    let targets: Vec<ValueId> = xs.iter().map(|x| places.get(x).copied().unwrap_or(*x)).collect();
    let mut active: HashSet<ValueId> = targets.iter().copied().collect();
    for node in &nodes {
        if node.inputs.iter().any(|v| active.contains(v)) {
            active.extend(&node.outputs);
        }
    }
    let mut sums = HashMap::from([(y, filled(cx, y, 1.0)?)]);
    for node in nodes.iter().rev() {
        backward(cx, node, &active, &mut sums)?;
    }
    targets.iter().map(|x| sums.get(x).map_or_else(|| filled(cx, *x, 0.0), |sum| Ok(*sum))).collect()
}

/// Adds to the derivatives of a node's operands what comes through its result.
fn backward(
    cx: &mut Context<'_, '_>,
    node: &Node,
    active: &HashSet<ValueId>,
    sums: &mut HashMap<ValueId, ValueId>,
) -> Result<(), NodeError> {
    let [y] = node.outputs[..] else {
        return match node.outputs.iter().any(|v| sums.contains_key(v)) {
            true => unsupported(format!("the derivative of node {:?}, which has several results", node.name)),
            false => Ok(()),
        };
    };
    let Some(g) = sums.get(&y).copied() else { return Ok(()) };
    for (i, x) in node.inputs.iter().enumerate() {
        if !active.contains(x) || !cx.dtype(*x).is_float() {
            continue;
        }
        let part = match rule(cx, &Rule { op: &node.op, x: &node.inputs, y, g }, i)? {
            Some(part) => summed_to(cx, part, *x)?,
            None => return unsupported(format!("the derivative of node {:?} with respect to operand {i}", node.name)),
        };
        let sum = match sums.get(x) {
            None => part,
            Some(sum) => cx.binary(BinaryOp::Add, *sum, part)?,
        };
        sums.insert(*x, sum);
    }
    Ok(())
}

/// Sums over the dimensions that broadcasting has added or stretched.
fn summed_to(cx: &mut Context<'_, '_>, g: ValueId, x: ValueId) -> Result<ValueId, NodeError> {
    let (wide, own) = (cx.shape(g), cx.shape(x));
    if wide == own {
        return Ok(g);
    }
    let Some(added) = wide.len().checked_sub(own.len()) else { return filled_like(cx, g, x) };
    let stretched = |axis: usize| {
        axis < added || (own.get(axis - added) == Some(&Dim::Const(1)) && wide.get(axis) != Some(&Dim::Const(1)))
    };
    let axes: Vec<usize> = (0..wide.len()).filter(|axis| stretched(*axis)).collect();
    let sum = if axes.is_empty() {
        g
    } else {
        cx.emit(Op::Reduce { kind: brolga_compiler::ir::ReduceKind::Sum, axes, keep: true }, &[g])?
    };
    if cx.shape(sum) == own { Ok(sum) } else { cx.reshape(sum, own) }
}

/// A derivative that has fewer dimensions than its operand: the same number everywhere.
fn filled_like(cx: &mut Context<'_, '_>, g: ValueId, x: ValueId) -> Result<ValueId, NodeError> {
    let ones = filled(cx, x, 1.0)?;
    cx.binary(BinaryOp::Mul, ones, g)
}
