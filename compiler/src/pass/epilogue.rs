//! Composing expressions, and moving one into the contraction that makes its input. Shared by the fusing passes.

use super::contraction::Contraction;
use super::facts;
use super::rewrite::Miss;
use super::{join_names, other_reader};
use crate::ir::{Arg, BinaryOp, Expression, Graph, Node, NodeId, Op, Patch, Step, UnaryOp, ValueId};
use brolga_runtime::DType;

/// Most steps and inputs of a fused expression: beyond these a kernel runs out of registers and of cheap addresses.
pub(crate) const MAX_STEPS: usize = 24;
/// See [`MAX_STEPS`].
pub(crate) const MAX_INPUTS: usize = 6;

/// Stands for the sum itself among the inputs of an epilogue.
const SUM: ValueId = ValueId(u32::MAX);

/// An expression and the values that it reads.
pub(crate) struct Fused {
    pub(crate) expression: Expression,
    pub(crate) inputs: Vec<ValueId>,
}

/// Whether a kernel has a vector form of the function.
fn has_vector_unary(op: UnaryOp) -> bool {
    use UnaryOp::*;
    !matches!(op, Sin | Cos | Tan | Asin | Acos | Atan | Sinh | Cosh | Asinh | Acosh | Atanh | Not | IsNaN)
}

fn has_vector_binary(op: BinaryOp) -> bool {
    use BinaryOp::*;
    matches!(op, Add | Sub | Mul | Div | Min | Max | PRelu)
}

impl Fused {
    /// An element-wise f32 node as an expression, constants that are one number written into it.
    pub(crate) fn of(graph: &Graph, node: &Node) -> Option<Fused> {
        if graph.ty(*node.outputs.first()?).dtype != DType::F32 {
            return None;
        }
        let steps = match &node.op {
            Op::Unary(op) if has_vector_unary(*op) => vec![Step::Unary(*op, Arg::Input(0))],
            Op::Binary(op) if has_vector_binary(*op) => vec![Step::Binary(*op, Arg::Input(0), Arg::Input(1))],
            Op::Elementwise(expression) => expression.steps.clone(),
            _ => return None,
        };
        let fused = Fused { expression: Expression { steps }, inputs: node.inputs.clone() };
        Some(fused.with_numbers(graph, node.outputs[0]))
    }

    /// Writes constant numbers into the steps. An operand that gives the result its shape stays.
    fn with_numbers(self, graph: &Graph, result: ValueId) -> Fused {
        let shape = &graph.ty(result).shape;
        let numbers: Vec<Option<f32>> = self.inputs.iter().map(|v| facts::f32_number(graph, *v)).collect();
        let shaped =
            self.inputs.iter().zip(&numbers).any(|(v, number)| number.is_none() && graph.ty(*v).shape == *shape);
        if !shaped {
            return self;
        }
        let mut inputs = Vec::new();
        let mut steps = Vec::new();
        for step in &self.expression.steps {
            steps.push(map_args(step, |arg| match arg {
                Arg::Input(k) => match numbers[k as usize] {
                    Some(number) => Arg::Const(number),
                    None => Arg::Input(position(&mut inputs, self.inputs[k as usize])),
                },
                other => other,
            }));
        }
        Fused { expression: Expression { steps }, inputs }
    }

    /// `self` with the input `value` computed by `inner` in place.
    pub(crate) fn with_inner(&self, value: ValueId, inner: &Fused) -> Fused {
        let mut inputs = inner.inputs.clone();
        let mut steps = inner.expression.steps.clone();
        let offset = steps.len() as u32;
        let result = if offset == 0 { Arg::Input(0) } else { Arg::Step(offset - 1) };
        for step in &self.expression.steps {
            steps.push(map_args(step, |arg| match arg {
                Arg::Input(k) if self.inputs[k as usize] == value => result,
                Arg::Input(k) => Arg::Input(position(&mut inputs, self.inputs[k as usize])),
                Arg::Step(s) => Arg::Step(s + offset),
                Arg::Const(c) => Arg::Const(c),
            }));
        }
        Fused { expression: Expression { steps }, inputs }
    }

    pub(crate) fn fits(&self) -> bool {
        self.expression.steps.len() <= MAX_STEPS && self.inputs.len() <= MAX_INPUTS
    }
}

/// Index of `value` in `list`, appended when it is not there.
fn position(list: &mut Vec<ValueId>, value: ValueId) -> u32 {
    let at = list.iter().position(|v| *v == value).unwrap_or_else(|| {
        list.push(value);
        list.len() - 1
    });
    at as u32
}

fn map_args(step: &Step, mut map: impl FnMut(Arg) -> Arg) -> Step {
    match step {
        Step::Unary(op, a) => Step::Unary(*op, map(*a)),
        Step::Binary(op, a, b) => {
            let a = map(*a);
            Step::Binary(*op, a, map(*b))
        }
    }
}

/// Moves an element-wise node into the epilogue of a contraction that makes one of its operands.
pub(crate) fn fuse_into_contraction(graph: &Graph, node: &Node, why: &str) -> Result<Patch, Miss> {
    let outer = Fused::of(graph, node).ok_or(Miss::Elsewhere)?;
    let value = choose_operand(graph, node, &outer)?;
    let into = Contraction::making(graph, value).ok_or(Miss::Elsewhere)?;
    let mut patch = Patch::new(graph, why);
    let mut extras = vec![SUM];
    extras.extend(into.extras());
    let inner = Fused { expression: into.epilogue.clone(), inputs: extras };
    let mut fused = outer.with_inner(value, &inner);
    if !fused.fits() {
        return Err(Miss::blocked(format!("the epilogue of {} would be too long", into.node.id)));
    }
    for input in fused.inputs.iter_mut().filter(|v| **v != SUM && !into.extras().contains(v)) {
        *input = epilogue_operand(graph, &mut patch, &into, *input)?;
    }
    let mut inputs = into.node.inputs[..2 + usize::from(into.bias)].to_vec();
    inputs.extend(&fused.inputs[1..]);
    let op = into.op_with(into.bias, fused.expression);
    let new = patch.node(op, &inputs, join_names(&into.node.name, &node.name));
    patch.replace(node.outputs[0], new);
    Ok(patch)
}

/// The operand whose contraction shall take the node: one of the node's full shape that nobody else reads; of two the one
/// computed later, because the other one is there by then.
fn choose_operand(graph: &Graph, node: &Node, outer: &Fused) -> Result<ValueId, Miss> {
    let mut refused = Miss::Elsewhere;
    let mut found: Vec<(ValueId, NodeId)> = Vec::new();
    for value in &outer.inputs {
        let Some(into) = Contraction::making(graph, *value) else { continue };
        if graph.ty(*value).shape != graph.ty(node.outputs[0]).shape {
            refused = Miss::blocked(format!("{value} of {} is broadcast", into.node.id));
        } else if let Some(why) = other_reader(graph, *value, node.id) {
            refused = Miss::blocked(why);
        } else {
            found.push((*value, into.node.id));
        }
    }
    if let [(value, _)] = found[..] {
        return Ok(value);
    }
    let order = if found.is_empty() { vec![] } else { graph.topological() };
    let place = |id: NodeId| order.iter().position(|n| *n == id);
    found.into_iter().max_by_key(|(_, id)| place(*id)).map(|(value, _)| value).ok_or(refused)
}

/// An operand as an epilogue may read it: of the result's shape, or one constant per channel (`[1, c, 1, ..]`, `[n]` for a
/// matrix product).
fn epilogue_operand(graph: &Graph, patch: &mut Patch, into: &Contraction<'_>, value: ValueId) -> Result<ValueId, Miss> {
    let result = graph.ty(into.result());
    if graph.ty(value).shape == result.shape {
        return Ok(value);
    }
    let rank = result.rank();
    let per_channel = into.channel_axis(graph).zip(into.channels(graph)).and_then(|(axis, channels)| {
        facts::along_axis(graph, value, rank, axis, channels).map(|elements| (axis, elements))
    });
    let Some((axis, elements)) = per_channel else {
        return Err(Miss::blocked(format!(
            "operand {value} is neither of the result's shape nor constant per channel"
        )));
    };
    let mut shape = vec![1; rank];
    shape[axis] = elements.len();
    if matches!(into.node.op, Op::MatMul { .. }) {
        shape = vec![elements.len()];
    }
    if graph.ty(value).dims() == Some(shape.clone()) {
        return Ok(value);
    }
    Ok(patch.weight(graph.value(value).name.clone(), facts::f32_weight(&shape, &elements)))
}
