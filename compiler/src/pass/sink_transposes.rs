//! sink-transposes: a transpose moves behind the element-wise nodes, reductions, softmaxes and concatenations that read it, until
//! it meets one that undoes it, or a matrix product that takes it as a flag.
//!
//! Models from channels-last frameworks put a transpose before and after each convolution; sinking the one behind makes the
//! pair adjacent, and drop-identity removes it. Constant operands are transposed as expressions. Blocked when the transpose
//! has another reader (it would be done twice) or another operand is not transposed the same way.

use super::facts::{made_by, read_only_by};
use super::rewrite::{Miss, Rule, require};
use super::weights::{reshaped, transposed};
use super::{join_names, other_reader};
use crate::ir::{Dim, Graph, Ints, Node, Op, Patch, ValueId};

/// The pass.
pub struct SinkTransposes;

impl Rule for SinkTransposes {
    fn name(&self) -> &'static str {
        "sink-transposes"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        require(node.outputs.len() == 1)?;
        match &node.op {
            Op::MatMul { trans_a, trans_b, .. } => into_product(graph, node, [*trans_a, *trans_b]),
            Op::Unary(_) | Op::Cast(_) | Op::Binary(_) | Op::Elementwise(_) | Op::Where => {
                let perm = perm_of_any(graph, node)?;
                behind(graph, node, &perm, node.op.clone(), perm.clone())
            }
            Op::Concat { axis } => {
                let perm = perm_of_any(graph, node)?;
                behind(graph, node, &perm, Op::Concat { axis: perm[*axis] }, perm.clone())
            }
            Op::Softmax { axis, log } => {
                let perm = perm_of_any(graph, node)?;
                behind(graph, node, &perm, Op::Softmax { axis: perm[*axis], log: *log }, perm.clone())
            }
            Op::Slice { axes, starts, ends, steps } => {
                let perm = perm_of_any(graph, node)?;
                let (starts, ends, steps) = (starts.clone(), ends.clone(), steps.clone());
                require(matches!((&starts, &ends), (Ints::Known(_), Ints::Known(_))))?;
                let axes = axes.iter().map(|a| perm[*a]).collect();
                behind(graph, node, &perm, Op::Slice { axes, starts, ends, steps }, perm.clone())
            }
            Op::Pad { mode, pads: Ints::Known(pads) } => {
                let perm = perm_of_any(graph, node)?;
                let mut moved = vec![Dim::Const(0); pads.len()];
                for (i, p) in perm.iter().enumerate() {
                    moved[*p] = pads[i].clone();
                    moved[perm.len() + p] = pads[perm.len() + i].clone();
                }
                behind(graph, node, &perm, Op::Pad { mode: *mode, pads: Ints::Known(moved) }, perm.clone())
            }
            Op::Reduce { kind, axes, keep } => {
                let perm = perm_of_any(graph, node)?;
                let mut inner: Vec<usize> = axes.iter().map(|a| perm[*a]).collect();
                inner.sort_unstable();
                let outer = if *keep { perm.clone() } else { without(&perm, &inner) };
                behind(graph, node, &perm, Op::Reduce { kind: *kind, axes: inner, keep: *keep }, outer)
            }
            _ => Err(Miss::Elsewhere),
        }
    }
}

/// The permutation of the first operand that is a transpose of the result's rank.
fn perm_of_any(graph: &Graph, node: &Node) -> Result<Vec<usize>, Miss> {
    let rank = match node.op {
        Op::Reduce { .. } => graph.ty(node.inputs[0]).rank(),
        _ => graph.ty(node.outputs[0]).rank(),
    };
    let of = |v: &ValueId| match &graph.producer(*v)?.op {
        Op::Transpose { perm } if perm.len() == rank => Some(perm.clone()),
        _ => None,
    };
    node.inputs.iter().find_map(of).ok_or(Miss::Elsewhere)
}

/// A permutation with the given source dimensions removed.
fn without(perm: &[usize], removed: &[usize]) -> Vec<usize> {
    let left = perm.iter().filter(|p| !removed.contains(p));
    left.map(|p| p - removed.iter().filter(|r| *r < p).count()).collect()
}

/// Puts `op` on the operands before their transposes, and one transpose behind it.
fn behind(graph: &Graph, node: &Node, perm: &[usize], op: Op, outer: Vec<usize>) -> Result<Patch, Miss> {
    let mut patch = Patch::new(graph, "transpose behind");
    let mut inputs = Vec::new();
    for value in &node.inputs {
        inputs.push(untransposed(graph, &mut patch, node, *value, perm)?);
    }
    let inner = patch.node(op, &inputs, node.name.clone());
    let identity = outer.iter().enumerate().all(|(i, p)| i == *p);
    let new = if identity { inner } else { patch.node(Op::Transpose { perm: outer }, &[inner], node.name.clone()) };
    patch.replace(node.outputs[0], new);
    Ok(patch)
}

/// The value whose transpose by `perm` is the operand.
fn untransposed(
    graph: &Graph,
    patch: &mut Patch,
    node: &Node,
    value: ValueId,
    perm: &[usize],
) -> Result<ValueId, Miss> {
    if let Some(producer) = made_by(graph, value, |op| matches!(op, Op::Transpose { perm: p } if p == perm)) {
        if !read_only_by(graph, value, node.id) {
            return Err(other_reader(graph, value, node.id).map_or(Miss::Elsewhere, Miss::Blocked));
        }
        return Ok(producer.inputs[0]);
    }
    let Some(weight) = graph.weight(value) else {
        return Err(Miss::blocked(format!("{value} is not transposed")));
    };
    if weight.len() == 1 && !matches!(node.op, Op::Concat { .. }) {
        return Ok(value);
    }
    let mut shape = vec![1; perm.len().saturating_sub(weight.shape().len())];
    shape.extend(weight.shape());
    let mut inverse = vec![0; perm.len()];
    perm.iter().enumerate().for_each(|(i, p)| inverse[*p] = i);
    let weight = reshaped(weight, &shape)
        .and_then(|w| transposed(&w, &inverse))
        .ok_or_else(|| Miss::blocked(format!("{value} cannot be transposed as an expression")))?;
    Ok(patch.weight(graph.value(value).name.clone(), weight))
}

/// A transpose of the last two dimensions becomes a flag of the matrix product.
fn into_product(graph: &Graph, node: &Node, flags: [bool; 2]) -> Result<Patch, Miss> {
    let mut op = node.op.clone();
    let mut inputs = node.inputs.clone();
    let mut name = node.name.clone();
    let mut changed = false;
    for (i, flag) in flags.into_iter().enumerate() {
        let Some(producer) = made_by(graph, inputs[i], |op| matches!(op, Op::Transpose { .. })) else { continue };
        let Op::Transpose { perm } = &producer.op else { continue };
        let rank = perm.len();
        let swaps = rank >= 2
            && perm[rank - 1] == rank - 2
            && perm[rank - 2] == rank - 1
            && perm[..rank - 2].iter().enumerate().all(|(i, p)| i == *p);
        if !swaps {
            continue;
        }
        inputs[i] = producer.inputs[0];
        name = join_names(&producer.name, &name);
        changed = true;
        if let Op::MatMul { trans_a, trans_b, .. } = &mut op {
            *(if i == 0 { trans_a } else { trans_b }) = !flag;
        }
    }
    require(changed)?;
    let mut patch = Patch::new(graph, "transpose into matrix product");
    let new = patch.node(op, &inputs, name);
    patch.replace(node.outputs[0], new);
    Ok(patch)
}
