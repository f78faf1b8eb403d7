//! fold-constants: nodes whose operands are all constant become constants.
//!
//! A transpose or reshape of a weight becomes part of the weight's expression, a product with one number per index of a
//! dimension its scale, arithmetic on splats a splat: none of these reads an element or costs budget. All else goes through
//! the evaluator, within [`super::Limits`]: what is over the budget stays and is computed at run time, and a constant beyond
//! the hard limit is an error of the model. What is refused because it is much larger than its operands is still evaluated, and let
//! go again, for a node whose result is not.

use super::weights::{reshaped, splat_with_shape, transposed};
use super::{Pass, PassContext, PassError, contraction, facts};
use crate::ir::eval::eval_op;
use crate::ir::{BinaryOp, Graph, Node, NodeId, Op, Patch, Source, Type, ValueId, Weight};
use brolga_runtime::{DType, Tensor};
use indexmap::IndexMap;
use std::collections::{BTreeSet, HashMap, HashSet};

/// A folded tensor may always have this many bytes, whatever its operands.
const SMALL: usize = 64 << 10;
/// Operands that nothing reads any more may have this many bytes before they are let go.
const HELD: usize = 16 << 20;
/// Products that the evaluator may compute for one node.
const MAX_PRODUCTS: usize = 1 << 24;

/// The pass.
pub struct FoldConstants;

impl Pass for FoldConstants {
    fn name(&self) -> &'static str {
        "fold-constants"
    }
    fn run(&self, graph: &mut Graph, cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let mut left = Left::default();
        // Bytes of operands that are still held though nothing reads them any more.
        let mut dead = 0;
        for id in graph.topological() {
            let Some(node) = graph.try_node(id) else { continue };
            if !node.inputs.iter().all(|v| graph.weight(*v).is_some() || left.values.contains(v)) {
                continue;
            }
            check_size(graph, node, cx)?;
            let (outputs, freed) = (node.outputs.clone(), freed_bytes(graph, node));
            match fold(graph, id, &mut left, cx) {
                Some(patch) => {
                    if !cx.apply(graph, patch)? {
                        return Ok(());
                    }
                    dead += freed;
                    if dead > HELD {
                        graph.drop_unread_weights();
                        dead = 0;
                    }
                }
                None => left.values.extend(outputs),
            }
        }
        Ok(())
    }
}

const OVER_BUDGET: &str = "over the folding budget: computed at run time";
const REFUSED: &str = "an operand cannot be evaluated: computed at run time";

/// Bytes of a list of values.
fn bytes_of(graph: &Graph, values: &[ValueId]) -> usize {
    values.iter().fold(0, |sum, v| sum.saturating_add(graph.ty(*v).stored_bytes().unwrap_or(usize::MAX)))
}

/// Bytes of operands that go when the node goes.
fn freed_bytes(graph: &Graph, node: &Node) -> usize {
    let mut freed: HashMap<ValueId, usize> = HashMap::new();
    for id in &node.inputs {
        let unread = !graph.is_output(*id) && graph.other_reader(*id, node.id).is_none();
        if let (true, Some(weight)) = (unread, graph.weight(*id)) {
            freed.insert(*id, weight.held_bytes());
        }
    }
    freed.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
}

/// Refuses a constant, folded or not, that is large and much larger than what it is made of.
fn check_size(graph: &Graph, node: &Node, cx: &PassContext<'_>) -> Result<(), PassError> {
    let limit = cx.options.limits.constant_bytes;
    let bytes = bytes_of(graph, &node.outputs);
    let known = node.outputs.iter().all(|v| graph.ty(*v).dims().is_some());
    if !known || bytes <= limit || bytes / 2 <= bytes_of(graph, &node.inputs) && bytes <= limit.saturating_mul(4) {
        return Ok(());
    }
    let op = format!("{:?}", node.op).chars().take_while(|c| c.is_alphanumeric()).collect();
    Err(PassError::Budget { node: node.name.clone(), op, bytes, limit })
}

/// Results that depend on constants only but stay to be computed at run time.
#[derive(Default)]
struct Left {
    values: HashSet<ValueId>,
    /// Those that are much larger than what they are made of, by when they were met, with the bytes of the constants they come from.
    grown: IndexMap<ValueId, usize>,
    /// Those of them that were needed.
    held: HashMap<ValueId, Tensor>,
    /// Bytes of these.
    bytes: usize,
}

impl Left {
    /// Bytes of the constants that the operands of a node come from; `None` where they cannot be evaluated.
    fn roots(&self, graph: &Graph, node: &Node) -> Option<usize> {
        let bytes = |v: &ValueId| match graph.weight(*v) {
            Some(_) => Some(bytes_of(graph, &[*v])),
            None => self.grown.get(v).copied(),
        };
        node.inputs.iter().try_fold(0, |sum: usize, v| Some(sum.saturating_add(bytes(v)?)))
    }

    /// Whether a node has operands that are not constants yet.
    fn has_grown(&self, graph: &Graph, node: &Node) -> bool {
        node.inputs.iter().any(|v| graph.weight(*v).is_none())
    }

    /// Evaluates what a node needs, or says why not.
    fn hold(&mut self, graph: &Graph, node: &Node, cx: &mut PassContext<'_>) -> Result<(), &'static str> {
        let limit = cx.options.limits.folded_bytes;
        if self.bytes > limit {
            return Err(OVER_BUDGET);
        }
        let mut waiting = node.inputs.clone();
        let mut needed = BTreeSet::new();
        while let Some(value) = waiting.pop() {
            let met = self.grown.get_index_of(&value).filter(|_| !self.held.contains_key(&value));
            if met.is_some_and(|met| needed.insert(met)) {
                waiting.extend(graph.producer(value).into_iter().flat_map(|n| &n.inputs));
            }
        }
        for met in needed {
            let producer = self.grown.get_index(met).and_then(|(value, _)| graph.producer(*value));
            let Some(node) = producer.filter(|n| !n.outputs.iter().all(|v| self.held.contains_key(v))) else {
                continue;
            };
            let (bytes, operands) = (bytes_of(graph, &node.outputs), bytes_of(graph, &node.inputs));
            self.bytes = self.bytes.saturating_add(bytes);
            // Nothing stays of it but the work.
            if self.bytes > limit || !cx.spend(bytes, operands, bytes) {
                self.bytes = usize::MAX;
                return Err(OVER_BUDGET);
            }
            let results = self.evaluate(graph, node).ok_or(REFUSED)?;
            self.held.extend(node.outputs.iter().copied().zip(results));
        }
        Ok(())
    }

    /// The results of a node whose operands are constants or held.
    fn evaluate(&self, graph: &Graph, node: &Node) -> Option<Vec<Tensor>> {
        let mut constants = HashMap::new();
        for input in &node.inputs {
            if let Some(weight) = graph.weight(*input) {
                constants.insert(*input, weight.evaluate().ok()?);
            }
        }
        let operand = |v: &ValueId| constants.get(v).or_else(|| self.held.get(v));
        let operands: Vec<&Tensor> = node.inputs.iter().map(operand).collect::<Option<_>>()?;
        let types: Vec<Type> = node.outputs.iter().map(|v| graph.ty(*v).clone()).collect();
        // What the evaluator refuses (a division by zero, an index outside) is refused at run time, when it is reached.
        eval_op(&node.op, &operands, &types).ok()
    }
}

fn fold(graph: &Graph, id: NodeId, left: &mut Left, cx: &mut PassContext<'_>) -> Option<Patch> {
    let node = graph.node(id);
    let known = node.outputs.iter().all(|v| graph.ty(*v).dims().is_some());
    if !known || matches!(node.op, Op::Reorder { .. }) {
        return None;
    }
    let roots = left.roots(graph, node)?;
    if let [output] = node.outputs[..]
        && let Some(weight) = as_expression(graph, node)
    {
        let mut patch = Patch::new(graph, "constant expression");
        let new = patch.weight(graph.value(output).name.clone(), weight);
        patch.replace(output, new);
        return Some(patch);
    }
    let (bytes, operands) = (bytes_of(graph, &node.outputs), bytes_of(graph, &node.inputs));
    if bytes > SMALL.max(roots.saturating_mul(cx.options.limits.folded_growth)) {
        cx.remark(node, format!("{bytes} bytes from {roots}: computed at run time"));
        if products(graph, node) <= MAX_PRODUCTS {
            left.grown.extend(node.outputs.iter().map(|v| (*v, roots)));
        }
        return None;
    }
    // Halves become what kernels read, however much that is.
    let halves = matches!(node.op, Op::Cast(DType::F32)) && bytes == operands.saturating_mul(2);
    let freed = if halves { bytes } else { freed_bytes(graph, node) };
    let held = if left.has_grown(graph, node) { left.hold(graph, node, cx) } else { Ok(()) };
    let spent = held.and_then(|()| match products(graph, node) <= MAX_PRODUCTS && cx.spend(bytes, operands, freed) {
        true => Ok(()),
        false => Err(OVER_BUDGET),
    });
    if let Err(why) = spent {
        cx.remark(node, why);
        return None;
    }
    let results = left.evaluate(graph, node)?;
    let mut patch = Patch::new(graph, "constant");
    for (old, tensor) in node.outputs.iter().zip(results) {
        let new = patch.weight(graph.value(*old).name.clone(), Weight::from_tensor(&tensor));
        patch.replace(*old, new);
    }
    Some(patch)
}

/// The result as an expression over an operand, without evaluating it.
fn as_expression(graph: &Graph, node: &Node) -> Option<Weight> {
    let shape = graph.ty(node.outputs[0]).dims()?;
    let dtype = graph.ty(node.outputs[0]).dtype;
    if let Op::ConstantOfShape { value, .. } = node.op {
        return Some(Weight::splat(dtype, shape, number_bytes(dtype, value)?));
    }
    let first = graph.weight(*node.inputs.first()?)?;
    match &node.op {
        Op::Transpose { perm } => transposed(first, perm),
        Op::Reshape { .. } => reshaped(first, &shape),
        Op::Expand { .. } | Op::Tile { .. } | Op::Slice { .. } => splat_with_shape(first, &shape),
        Op::Gather { .. } if graph.weight(node.inputs[1])?.len() < facts::MAX_ELEMENTS => {
            splat_with_shape(first, &shape)
        }
        Op::Binary(op @ (BinaryOp::Mul | BinaryOp::Div)) => scaled(graph, node, *op, &shape),
        Op::Unary(_) | Op::Binary(_) | Op::Cast(_) | Op::Where => None,
        _ => None,
    }
    .or_else(|| splat_arithmetic(graph, node, &shape))
}

/// A large weight times (or divided by) one number per index of one dimension.
fn scaled(graph: &Graph, node: &Node, op: BinaryOp, shape: &[usize]) -> Option<Weight> {
    let orders: &[[usize; 2]] = if op == BinaryOp::Mul { &[[0, 1], [1, 0]] } else { &[[0, 1]] };
    for [w, c] in orders {
        let weight = graph.weight(node.inputs[*w])?;
        if weight.dtype != DType::F32 || weight.shape() != shape || weight.len() * 4 <= SMALL {
            continue;
        }
        for (axis, extent) in shape.iter().enumerate() {
            let Some(mut scale) = facts::along_axis(graph, node.inputs[*c], shape.len(), axis, *extent) else {
                continue;
            };
            if op == BinaryOp::Div {
                scale.iter_mut().for_each(|s| *s = 1.0 / *s);
            }
            if scale.iter().all(|s| s.is_finite()) {
                return Some(contraction::scaled(weight, axis, scale));
            }
        }
    }
    None
}

/// An element-wise operation on splats: evaluated on one element.
fn splat_arithmetic(graph: &Graph, node: &Node, shape: &[usize]) -> Option<Weight> {
    if !matches!(node.op, Op::Unary(_) | Op::Binary(_) | Op::Cast(_) | Op::Where | Op::Elementwise(_)) {
        return None;
    }
    // Two operands of one element each are no splat unless the result is large.
    if shape.iter().product::<usize>() <= 1 {
        return None;
    }
    let mut operands = Vec::new();
    for input in &node.inputs {
        let weight = graph.weight(*input)?;
        let single = matches!(weight.source, Source::Splat(_)).then(|| splat_with_shape(weight, &[1])).flatten();
        // One element by itself is as good as a splat.
        let single = single.or_else(|| (weight.len() == 1).then(|| reshaped(weight, &[1])).flatten())?;
        operands.push(single.evaluate().ok()?);
    }
    let ty = Type::known(graph.ty(node.outputs[0]).dtype, &[1]);
    let tensor = eval_op(&node.op, &operands.iter().collect::<Vec<_>>(), &[ty]).ok()?.pop()?;
    let mut element = [0; 8];
    let bytes = tensor.bytes();
    element.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(Weight::splat(tensor.dtype(), shape.to_vec(), element))
}

fn number_bytes(dtype: DType, value: f64) -> Option<[u8; 8]> {
    let mut element = [0; 8];
    let mut put = |bytes: &[u8]| element[..bytes.len()].copy_from_slice(bytes);
    match dtype {
        DType::F32 => put(&(value as f32).to_le_bytes()),
        DType::F64 => put(&value.to_le_bytes()),
        DType::I64 => put(&(value as i64).to_le_bytes()),
        DType::I32 => put(&(value as i32).to_le_bytes()),
        DType::U8 => put(&(value as u8).to_le_bytes()),
        DType::I8 => put(&(value as i8).to_le_bytes()),
        DType::Bool => put(&[u8::from(value != 0.0)]),
        _ => return None,
    }
    Some(element)
}

/// Multiplications that a contraction takes; 0 for the rest.
fn products(graph: &Graph, node: &Node) -> usize {
    let Some(of) = contraction::Contraction::of(node) else { return 0 };
    let weight = graph.ty(node.inputs[1]).elements().unwrap_or(usize::MAX);
    let channels = of.channels(graph).unwrap_or(1).max(1);
    graph.ty(of.result()).elements().unwrap_or(usize::MAX).saturating_mul(weight / channels)
}
