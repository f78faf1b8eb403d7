//! lower-quantisation: quantisation and dequantisation that no integer operation took, with one scale for all elements,
//! become element-wise arithmetic; dequantised constants become constants; numbers that are quantised to 16 bits and back are rounded
//! as floats; the largest of bytes are found among floats, which kernels are made for.

use super::quantisation::{per_tensor, single};
use super::rewrite::{Miss, Rule, require};
use super::{facts, join_names};
use crate::ir::eval::eval_op;
use crate::ir::{Arg, BinaryOp, Expression, Graph, Node, Op, Patch, PoolKind, Step, UnaryOp, ValueId, Weight};
use brolga_runtime::DType;

/// Elements of the largest constant that is dequantised here.
const MAX_ELEMENTS: usize = 1 << 28;

/// The pass.
pub struct LowerQuantisation;

impl Rule for LowerQuantisation {
    fn name(&self) -> &'static str {
        "lower-quantisation"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let byte = |t: DType| matches!(t, DType::U8 | DType::I8);
        let from = graph.ty(*node.inputs.first().ok_or(Miss::Elsewhere)?).dtype;
        match node.op {
            Op::Quantize { to, block: 0, precision: DType::F32, .. } if byte(to) && from == DType::F32 => {
                let mut arithmetic = Arithmetic::new(graph, node)?;
                let scale = arithmetic.argument(graph, node, 1);
                let zero = arithmetic.argument(graph, node, 2);
                arithmetic.push(|x| Step::Binary(BinaryOp::Div, x, scale));
                arithmetic.push(|x| Step::Unary(UnaryOp::Round, x));
                arithmetic.add(BinaryOp::Add, zero);
                Ok(arithmetic.patch(graph, node, to))
            }
            Op::Dequantize { to: DType::F32, .. } if graph.weight(node.inputs[0]).is_some() => constant(graph, node),
            Op::Dequantize { to: DType::F32, block: 0, .. } if matches!(from, DType::U16 | DType::I16) => {
                rounded(graph, node, from)
            }
            Op::Dequantize { to: DType::F32, block: 0, .. } if byte(from) || from == DType::I32 => {
                let mut arithmetic = Arithmetic::new(graph, node)?;
                let scale = arithmetic.argument(graph, node, 1);
                let zero = arithmetic.argument(graph, node, 2);
                arithmetic.add(BinaryOp::Sub, zero);
                if scale != Arg::Const(1.0) || arithmetic.steps.is_empty() {
                    arithmetic.push(|x| Step::Binary(BinaryOp::Mul, x, scale));
                }
                Ok(arithmetic.patch(graph, node, DType::F32))
            }
            Op::Pool { kind: PoolKind::Max, .. } if byte(from) => {
                require(node.outputs.len() == 1)?;
                Ok(among_floats(graph, node, from))
            }
            _ => Err(Miss::Elsewhere),
        }
    }
}

/// Quantised to 16 bits and back by numbers, where no integer need exist: f32 holds all of them.
fn rounded(graph: &Graph, node: &Node, between: DType) -> Result<Patch, Miss> {
    let whole = |op: &Op| matches!(op, Op::Quantize { block: 0, precision: DType::F32, saturate: true, .. });
    let quantize = facts::made_by(graph, node.inputs[0], whole).ok_or(Miss::Elsewhere)?;
    require(graph.ty(quantize.inputs[0]).dtype == DType::F32)?;
    let (of_a, of_b) = per_tensor(graph, quantize).zip(per_tensor(graph, node)).ok_or(Miss::Elsewhere)?;
    let (lo, hi) = if between == DType::U16 { (0.0, 65535.0) } else { (-32768.0, 32767.0) };
    let x = |step: u32| Arg::Step(step);
    let steps = vec![
        Step::Binary(BinaryOp::Div, Arg::Input(0), Arg::Const(of_a.0)),
        Step::Unary(UnaryOp::Round, x(0)),
        Step::Binary(BinaryOp::Add, x(1), Arg::Const(of_a.1)),
        Step::Unary(UnaryOp::Clip { lo, hi }, x(2)),
        Step::Binary(BinaryOp::Sub, x(3), Arg::Const(of_b.1)),
        Step::Binary(BinaryOp::Mul, x(4), Arg::Const(of_b.0)),
    ];
    let mut patch = Patch::new(graph, "rounded as floats");
    let name = join_names(&quantize.name, &node.name);
    let new = patch.node(Op::Elementwise(Expression { steps }), &[quantize.inputs[0]], name);
    patch.replace(node.outputs[0], new);
    Ok(patch)
}

/// A node that chooses among bytes, on the floats of the same numbers.
fn among_floats(graph: &Graph, node: &Node, bytes: DType) -> Patch {
    let mut patch = Patch::new(graph, "among floats");
    let step = |to, step| Op::Requantize { to, expression: Expression { steps: vec![step] } };
    let same = Step::Binary(BinaryOp::Mul, Arg::Input(0), Arg::Const(1.0));
    let floats = patch.node(step(DType::F32, same), &[node.inputs[0]], node.name.clone());
    let chosen = patch.node(node.op.clone(), &[floats], node.name.clone());
    let whole = Step::Unary(UnaryOp::Round, Arg::Input(0));
    let result = patch.node(step(bytes, whole), &[chosen], node.name.clone());
    patch.replace(node.outputs[0], result);
    patch
}

/// A constant dequantised, whatever its size: the file holds it already, in a quarter of the bytes.
fn constant(graph: &Graph, node: &Node) -> Result<Patch, Miss> {
    let all: Option<Vec<_>> = node.inputs.iter().map(|v| graph.weight(*v)).collect();
    let all = all.ok_or(Miss::Elsewhere)?;
    require(all.iter().all(|w| w.len() <= MAX_ELEMENTS))?;
    let tensors = all.iter().map(|w| w.evaluate()).collect::<Result<Vec<_>, _>>();
    let tensors = tensors.map_err(|e| Miss::blocked(e.to_string()))?;
    let types = [graph.ty(node.outputs[0]).clone()];
    let results = eval_op(&node.op, &tensors.iter().collect::<Vec<_>>(), &types);
    let results = results.map_err(|e| Miss::blocked(e.to_string()))?;
    let result = results.first().ok_or(Miss::Elsewhere)?;
    let mut patch = Patch::new(graph, "dequantised constant");
    let new = patch.weight(graph.value(node.outputs[0]).name.clone(), Weight::from_tensor(result));
    patch.replace(node.outputs[0], new);
    Ok(patch)
}

/// An expression on operand 0 in the making.
struct Arithmetic {
    inputs: Vec<ValueId>,
    steps: Vec<Step>,
}

impl Arithmetic {
    fn new(graph: &Graph, node: &Node) -> Result<Arithmetic, Miss> {
        let one = |v: &ValueId| graph.ty(*v).elements() == Some(1);
        require(node.inputs.iter().skip(1).all(one))?;
        // A scale of more dimensions would raise the rank.
        let rank = graph.ty(node.inputs[0]).rank();
        require(node.inputs.iter().all(|v| graph.ty(*v).rank() <= rank))?;
        require(graph.ty(node.inputs[1]).dtype == DType::F32)?;
        Ok(Arithmetic { inputs: vec![node.inputs[0]], steps: vec![] })
    }
    /// Operand `i` of the node: a number where it is constant; zero where it is left out.
    fn argument(&mut self, graph: &Graph, node: &Node, i: usize) -> Arg {
        let Some(&value) = node.inputs.get(i) else { return Arg::Const(0.0) };
        match single(graph, value) {
            Some(number) => Arg::Const(number),
            None => {
                self.inputs.push(value);
                Arg::Input(self.inputs.len() as u32 - 1)
            }
        }
    }
    fn push(&mut self, step: impl FnOnce(Arg) -> Step) {
        let x = match self.steps.len() {
            0 => Arg::Input(0),
            n => Arg::Step(n as u32 - 1),
        };
        self.steps.push(step(x));
    }
    /// Adds or subtracts, unless it is zero.
    fn add(&mut self, op: BinaryOp, y: Arg) {
        if y != Arg::Const(0.0) {
            self.push(|x| Step::Binary(op, x, y));
        }
    }
    fn patch(self, graph: &Graph, node: &Node, to: DType) -> Patch {
        let mut patch = Patch::new(graph, "as arithmetic");
        let op = Op::Requantize { to, expression: Expression { steps: self.steps } };
        let new = patch.node(op, &self.inputs, node.name.clone());
        patch.replace(node.outputs[0], new);
        patch
    }
}
