//! recognise-activations: activations that an exporter wrote as several nodes become one.
//!
//! Products are flattened first, so the order in which factors and constants were multiplied does not matter:
//! `x * sigmoid(a x)`, `x * tanh(softplus(x))`, `x * clip(x + 3, 0, 6) / 6`, `0.5 x (1 + erf(x / sqrt 2))` and its form with
//! tanh; also `clip(x + b, 0, h) / h`, `1 / (1 + exp(-x))`, `log(1 + exp(x))` and `max(x, a x)`.
//! Blocked when the inner function has another reader. Needs: constants folded, clips recognised.

use super::facts::{f32_number, made_by};
use super::other_reader;
use super::rewrite::{Miss, Rule, require};
use crate::ir::{BinaryOp, Graph, Node, NodeId, Op, Patch, UnaryOp, ValueId};
use brolga_runtime::DType;

/// The pass.
pub struct RecogniseActivations;

impl Rule for RecogniseActivations {
    fn name(&self) -> &'static str {
        "recognise-activations"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        require(node.outputs.len() == 1 && graph.ty(node.outputs[0]).dtype == DType::F32)?;
        let (op, x) = match node.op {
            Op::Binary(BinaryOp::Mul) => of_product(graph, node)?,
            Op::Binary(BinaryOp::Div) => sigmoid(graph, node).map_or_else(|| of_product(graph, node), Ok)?,
            Op::Binary(BinaryOp::Max) => leaky(graph, node).ok_or(Miss::Elsewhere)?,
            Op::Unary(UnaryOp::Reciprocal) => logistic(graph, node.inputs[0]).ok_or(Miss::Elsewhere)?,
            Op::Unary(UnaryOp::Log) => softplus(graph, node.inputs[0]).ok_or(Miss::Elsewhere)?,
            _ => return Err(Miss::Elsewhere),
        };
        require(graph.ty(x) == graph.ty(node.outputs[0]))?;
        let mut patch = Patch::new(graph, format!("{op:?}"));
        let new = patch.node(Op::Unary(op), &[x], node.name.clone());
        patch.replace(node.outputs[0], new);
        Ok(patch)
    }
}

/// Equal but for the exporter's rounding.
fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * b.abs()
}

/// A flattened product.
struct Product {
    coefficient: f64,
    factors: Vec<(ValueId, NodeId)>,
}

/// Multiplies out products and quotients by numbers; an inner one only when nobody else reads it.
fn product(graph: &Graph, node: &Node) -> Product {
    let mut found = Product { coefficient: 1.0, factors: vec![] };
    let mut work = vec![node];
    while let Some(node) = work.pop() {
        let divides = node.op == Op::Binary(BinaryOp::Div);
        for (i, input) in node.inputs.iter().enumerate() {
            if let Some(number) = f32_number(graph, *input) {
                let number = f64::from(number);
                found.coefficient *= if divides && i == 1 { 1.0 / number } else { number };
                continue;
            }
            let inner = made_by(graph, *input, |op| matches!(op, Op::Binary(BinaryOp::Mul | BinaryOp::Div)));
            match inner {
                Some(inner) if is_product(graph, inner) && graph.only_reader(*input).is_some() => work.push(inner),
                _ => found.factors.push((*input, node.id)),
            }
        }
    }
    found
}

/// Whether a node multiplies, or divides by a number.
fn is_product(graph: &Graph, node: &Node) -> bool {
    match node.op {
        Op::Binary(BinaryOp::Mul) => true,
        Op::Binary(BinaryOp::Div) => f32_number(graph, node.inputs[1]).is_some(),
        _ => false,
    }
}

fn of_product(graph: &Graph, node: &Node) -> Result<(UnaryOp, ValueId), Miss> {
    require(is_product(graph, node))?;
    let Product { coefficient, factors } = product(graph, node);
    if let [(only, _)] = factors[..] {
        let (x, shift, height) = shifted_clip(graph, only).ok_or(Miss::Elsewhere)?;
        require(near(coefficient * height, 1.0))?;
        let op = UnaryOp::HardSigmoid { alpha: (1.0 / height) as f32, beta: (shift / height) as f32 };
        return Ok((op, x));
    }
    let [a, b] = factors[..] else { return Err(Miss::Elsewhere) };
    for ((x, _), (gate, reader)) in [(a, b), (b, a)] {
        let Some(op) = gated(graph, x, gate, coefficient) else { continue };
        if let Some(why) = other_reader(graph, gate, reader) {
            return Err(Miss::blocked(why));
        }
        return Ok((op, x));
    }
    Err(Miss::Elsewhere)
}

/// The activation `coefficient * x * gate`, when it is one.
fn gated(graph: &Graph, x: ValueId, gate: ValueId, coefficient: f64) -> Option<UnaryOp> {
    let node = graph.producer(gate)?;
    let of_x = |wanted: ValueId| wanted == x;
    match node.op {
        Op::Unary(UnaryOp::Sigmoid) if near(coefficient, 1.0) => {
            let (alpha, inner) = scaled(graph, node.inputs[0], x);
            of_x(inner).then_some(UnaryOp::Silu { alpha: alpha as f32 })
        }
        Op::Unary(UnaryOp::Tanh) if near(coefficient, 1.0) => {
            let inner = made_by(graph, node.inputs[0], |op| *op == Op::Unary(UnaryOp::Softplus))?;
            of_x(inner.inputs[0]).then_some(UnaryOp::Mish)
        }
        Op::Unary(UnaryOp::HardSigmoid { alpha, beta }) if near(coefficient, 1.0) => {
            let usual = near(f64::from(alpha), 1.0 / 6.0) && near(f64::from(beta), 0.5);
            (usual && of_x(node.inputs[0])).then_some(UnaryOp::HardSwish)
        }
        Op::Unary(UnaryOp::Clip { .. }) => {
            let (inner, shift, height) = shifted_clip(graph, gate)?;
            let usual = near(shift, 3.0) && near(height, 6.0) && near(coefficient, 1.0 / 6.0);
            (usual && of_x(inner)).then_some(UnaryOp::HardSwish)
        }
        Op::Binary(BinaryOp::Add) if near(coefficient, 0.5) => {
            let (inner, one) = plus_number(graph, node)?;
            if !near(one, 1.0) {
                return None;
            }
            gelu(graph, x, graph.producer(inner)?)
        }
        _ => None,
    }
}

/// Gelu, from the function inside `1 + ..`.
fn gelu(graph: &Graph, x: ValueId, inner: &Node) -> Option<UnaryOp> {
    let argument = *inner.inputs.first()?;
    match inner.op {
        Op::Unary(UnaryOp::Erf) => {
            let (factor, of) = scaled(graph, argument, x);
            (of == x && near(factor, std::f64::consts::FRAC_1_SQRT_2)).then_some(UnaryOp::Gelu)
        }
        Op::Unary(UnaryOp::Tanh) => {
            let (outer, sum) = scaled(graph, argument, x);
            let sum = made_by(graph, sum, |op| *op == Op::Binary(BinaryOp::Add))?;
            let [a, b] = sum.inputs[..] else { return None };
            let root = (2.0 / std::f64::consts::PI).sqrt();
            let matches = |linear: ValueId, cubic: ValueId| {
                let (c1, of) = scaled(graph, linear, x);
                let c3 = cube(graph, cubic, x);
                of == x && near(outer * c1, root) && c3.is_some_and(|c3| near(outer * c3, root * 0.044715))
            };
            (matches(a, b) || matches(b, a)).then_some(UnaryOp::GeluTanh)
        }
        _ => None,
    }
}

/// `(a, y)` such that the value is `a * y`; stops at `x`.
fn scaled(graph: &Graph, mut value: ValueId, x: ValueId) -> (f64, ValueId) {
    let mut factor = 1.0;
    while value != x {
        let Some(node) = graph.producer(value) else { break };
        let (a, b) = match (&node.op, &node.inputs[..]) {
            (Op::Binary(BinaryOp::Mul | BinaryOp::Div), [a, b]) => (*a, *b),
            _ => break,
        };
        let divides = node.op == Op::Binary(BinaryOp::Div);
        match (f32_number(graph, a), f32_number(graph, b)) {
            (_, Some(c)) if divides => factor /= f64::from(c),
            (_, Some(c)) => factor *= f64::from(c),
            (Some(c), _) if !divides => {
                factor *= f64::from(c);
                value = b;
                continue;
            }
            _ => break,
        }
        value = a;
    }
    (factor, value)
}

/// The coefficient of `x^3`, when the value is one.
fn cube(graph: &Graph, value: ValueId, x: ValueId) -> Option<f64> {
    let (factor, value) = scaled(graph, value, x);
    let node = graph.producer(value)?;
    if node.op == Op::Binary(BinaryOp::Pow) {
        return (node.inputs[0] == x && f32_number(graph, node.inputs[1]) == Some(3.0)).then_some(factor);
    }
    let Product { coefficient, factors } = match node.op {
        Op::Binary(BinaryOp::Mul) => product(graph, node),
        _ => return None,
    };
    let mut power = 0;
    for (f, _) in factors {
        let square = graph.producer(f).is_some_and(|n| n.op == Op::Binary(BinaryOp::Mul) && n.inputs == [x, x]);
        power += if f == x {
            1
        } else if square {
            2
        } else {
            return None;
        };
    }
    (power == 3).then_some(factor * coefficient)
}

/// The other operand of an addition of a number, and the number.
fn plus_number(graph: &Graph, node: &Node) -> Option<(ValueId, f64)> {
    let [a, b] = node.inputs[..] else { return None };
    match (f32_number(graph, a), f32_number(graph, b)) {
        (_, Some(c)) => Some((a, f64::from(c))),
        (Some(c), _) => Some((b, f64::from(c))),
        _ => None,
    }
}

/// `(x, b, h)` such that the value is `clip(x + b, 0, h)`.
fn shifted_clip(graph: &Graph, value: ValueId) -> Option<(ValueId, f64, f64)> {
    let node = graph.producer(value)?;
    let Op::Unary(UnaryOp::Clip { lo: 0.0, hi }) = node.op else { return None };
    let sum = made_by(graph, node.inputs[0], |op| *op == Op::Binary(BinaryOp::Add))?;
    let (x, shift) = plus_number(graph, sum)?;
    (hi > 0.0 && hi.is_finite()).then_some((x, shift, f64::from(hi)))
}

/// `1 / (1 + exp(-x))`.
fn sigmoid(graph: &Graph, node: &Node) -> Option<(UnaryOp, ValueId)> {
    (f32_number(graph, node.inputs[0]) == Some(1.0)).then(|| logistic(graph, node.inputs[1])).flatten()
}

/// Sigmoid, from its denominator.
fn logistic(graph: &Graph, denominator: ValueId) -> Option<(UnaryOp, ValueId)> {
    let exp = one_plus_exp(graph, denominator)?;
    let negative = made_by(graph, exp, |op| *op == Op::Unary(UnaryOp::Neg))?;
    Some((UnaryOp::Sigmoid, negative.inputs[0]))
}

fn softplus(graph: &Graph, argument: ValueId) -> Option<(UnaryOp, ValueId)> {
    one_plus_exp(graph, argument).map(|x| (UnaryOp::Softplus, x))
}

/// `x` of `1 + exp(x)`.
fn one_plus_exp(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let sum = made_by(graph, value, |op| *op == Op::Binary(BinaryOp::Add))?;
    let (exp, one) = plus_number(graph, sum)?;
    let exp = made_by(graph, exp, |op| *op == Op::Unary(UnaryOp::Exp))?;
    (one == 1.0).then(|| exp.inputs[0])
}

/// `max(x, a x)` with a between 0 and 1.
fn leaky(graph: &Graph, node: &Node) -> Option<(UnaryOp, ValueId)> {
    let [a, b] = node.inputs[..] else { return None };
    [(a, b), (b, a)].into_iter().find_map(|(x, other)| {
        let (alpha, of) = scaled(graph, other, x);
        (of == x && other != x && alpha > 0.0 && alpha < 1.0).then_some((UnaryOp::LeakyRelu { alpha: alpha as f32 }, x))
    })
}
