//! simplify-arithmetic: two-operand functions with a constant number become cheaper ones of one operand.
//!
//! `max(x, 0)` is Relu, `min(max(x, a), b)` Clip, `x^2` a product, `x / c` a product with `1 / c` where that is a number (of others
//! the product would be rounded otherwise: `floor(41 * (1 / 41))` is 0), PRelu with one slope LeakyRelu, a choice with a constant
//! condition its operand.

use super::facts::{f32_number, f32_splat, made_by, number};
use super::join_names;
use super::rewrite::{Miss, Rule, require};
use crate::ir::{BinaryOp, Graph, Node, Op, Patch, UnaryOp, ValueId};
use brolga_runtime::DType;

/// The pass.
pub struct SimplifyArithmetic;

impl Rule for SimplifyArithmetic {
    fn name(&self) -> &'static str {
        "simplify-arithmetic"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        require(node.outputs.len() == 1)?;
        match node.op {
            Op::Where => constant_choice(graph, node),
            _ if graph.ty(node.outputs[0]).dtype != DType::F32 => Err(Miss::Elsewhere),
            Op::Unary(op) => merge_clips(graph, node, op),
            Op::Binary(op) => with_number(graph, node, op),
            _ => Err(Miss::Elsewhere),
        }
    }
}

fn constant_choice(graph: &Graph, node: &Node) -> Result<Patch, Miss> {
    let [condition, a, b] = node.inputs[..] else { return Err(Miss::Elsewhere) };
    let known = graph.value(condition).content.as_ref().and_then(|c| c.first()?.known().filter(|_| c.len() == 1));
    let chosen = if known.ok_or(Miss::Elsewhere)? != 0 { a } else { b };
    require(graph.ty(chosen) == graph.ty(node.outputs[0]))?;
    let mut patch = Patch::new(graph, "constant choice");
    patch.replace(node.outputs[0], chosen);
    Ok(patch)
}

/// Bounds of a function that is a clip.
fn bounds(op: UnaryOp) -> Option<(f32, f32)> {
    match op {
        UnaryOp::Relu => Some((0.0, f32::INFINITY)),
        UnaryOp::Clip { lo, hi } if lo <= hi => Some((lo, hi)),
        _ => None,
    }
}

fn clip(lo: f32, hi: f32) -> UnaryOp {
    if lo == 0.0 && hi == f32::INFINITY { UnaryOp::Relu } else { UnaryOp::Clip { lo, hi } }
}

fn merge_clips(graph: &Graph, node: &Node, op: UnaryOp) -> Result<Patch, Miss> {
    let (lo, hi) = bounds(op).ok_or(Miss::Elsewhere)?;
    let inner = made_by(graph, node.inputs[0], |op| matches!(op, Op::Unary(u) if bounds(*u).is_some()));
    if let Some(inner) = inner
        && let Op::Unary(first) = inner.op
        && let Some((a, b)) = bounds(first)
    {
        let name = join_names(&inner.name, &node.name);
        let both = clip(a.clamp(lo, hi), b.clamp(lo, hi));
        return Ok(replaced(graph, node, "two clips into one", both, inner.inputs[0], name));
    }
    require(op != clip(lo, hi))?;
    Ok(replaced(graph, node, "clip as relu", clip(lo, hi), node.inputs[0], node.name.clone()))
}

fn replaced(graph: &Graph, node: &Node, why: &str, op: UnaryOp, x: ValueId, name: String) -> Patch {
    let mut patch = Patch::new(graph, why);
    let new = patch.node(Op::Unary(op), &[x], name);
    patch.replace(node.outputs[0], new);
    patch
}

fn with_number(graph: &Graph, node: &Node, op: BinaryOp) -> Result<Patch, Miss> {
    let [a, b] = node.inputs[..] else { return Err(Miss::Elsewhere) };
    let commutes = matches!(op, BinaryOp::Max | BinaryOp::Min);
    let (x, c) = match (f32_number(graph, b), f32_number(graph, a)) {
        (Some(c), _) => (a, c),
        // Pow may have an exponent of another type.
        _ if op == BinaryOp::Pow => (a, number(graph, b).ok_or(Miss::Elsewhere)? as f32),
        (None, Some(c)) if commutes => (b, c),
        _ => return Err(Miss::Elsewhere),
    };
    require(graph.ty(x) == graph.ty(node.outputs[0]) && !c.is_nan())?;
    let unary = |why: &str, op: UnaryOp| Ok(replaced(graph, node, why, op, x, node.name.clone()));
    match op {
        BinaryOp::Max => unary("maximum as clip", clip(c, f32::INFINITY)),
        BinaryOp::Min => unary("minimum as clip", clip(f32::NEG_INFINITY, c)),
        BinaryOp::PRelu => unary("one slope", UnaryOp::LeakyRelu { alpha: c }),
        BinaryOp::Pow if c == 0.5 => unary("power as root", UnaryOp::Sqrt),
        BinaryOp::Pow if c == -1.0 => unary("power as reciprocal", UnaryOp::Reciprocal),
        BinaryOp::Pow => power(graph, node, x, c),
        BinaryOp::Div if power_of_two(c) && (1.0 / c).is_normal() => {
            let mut patch = Patch::new(graph, "quotient as product");
            let factor = patch.weight(format!("{}.factor", node.name), f32_splat(&[], 1.0 / c));
            let new = patch.node(Op::Binary(BinaryOp::Mul), &[x, factor], node.name.clone());
            patch.replace(node.outputs[0], new);
            Ok(patch)
        }
        _ => Err(Miss::Elsewhere),
    }
}

fn power_of_two(c: f32) -> bool {
    const FRACTION: u32 = (1 << (f32::MANTISSA_DIGITS - 1)) - 1;
    c.is_normal() && c.to_bits() & FRACTION == 0
}

/// Small whole powers as products.
fn power(graph: &Graph, node: &Node, x: ValueId, c: f32) -> Result<Patch, Miss> {
    let mut patch = Patch::new(graph, "power as product");
    let mul = Op::Binary(BinaryOp::Mul);
    let new = if c == 2.0 {
        patch.node(mul, &[x, x], node.name.clone())
    } else if c == 3.0 {
        let square = patch.node(mul.clone(), &[x, x], node.name.clone());
        patch.node(mul, &[square, x], node.name.clone())
    } else if c == -0.5 {
        let root = patch.node(Op::Unary(UnaryOp::Sqrt), &[x], node.name.clone());
        patch.node(Op::Unary(UnaryOp::Reciprocal), &[root], node.name.clone())
    } else {
        return Err(Miss::Elsewhere);
    };
    patch.replace(node.outputs[0], new);
    Ok(patch)
}
