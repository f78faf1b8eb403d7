//! Derivatives of operations: what comes to an operand of what came to the result.

use super::gradient::filled;
use crate::context::{Context, product};
use crate::error::NodeError;
use brolga_compiler::ir::{BinaryOp, Dim, Expression, Op, ReduceKind, UnaryOp, ValueId};

/// A node to derive: its operation, operands, result, and the derivative of the end with respect to the result.
pub(super) struct Rule<'r> {
    pub(super) op: &'r Op,
    pub(super) x: &'r [ValueId],
    pub(super) y: ValueId,
    pub(super) g: ValueId,
}

type Made = Result<Option<ValueId>, NodeError>;

/// The derivative with respect to operand `i`, of a shape that broadcasting may have stretched; `None` when there is no rule.
pub(super) fn rule(cx: &mut Context<'_, '_>, r: &Rule<'_>, i: usize) -> Made {
    match r.op {
        Op::Unary(op) => unary(cx, *op, r),
        Op::Binary(op) => binary(cx, *op, r, i),
        Op::Cast(_) => cast(cx, r),
        Op::Where => chosen(cx, r, i),
        Op::MatMul { trans_a, trans_b, bias: _, epilogue } if epilogue.steps.is_empty() => {
            matmul(cx, r, [*trans_a, *trans_b], i)
        }
        Op::Reduce { kind, axes, keep } => reduce(cx, *kind, axes, *keep, r),
        Op::Reshape { .. } if i == 0 => {
            let own = operand(r, 0).map(|x| cx.shape(x));
            own.map(|own| cx.reshape(r.g, own)).transpose()
        }
        Op::Transpose { perm } => {
            let mut back = vec![0; perm.len()];
            for (to, from) in perm.iter().enumerate() {
                if let Some(place) = back.get_mut(*from) {
                    *place = to;
                }
            }
            cx.emit(Op::Transpose { perm: back }, &[r.g]).map(Some)
        }
        Op::Softmax { axis, log } => softmax(cx, r, *axis, *log),
        _ => Ok(None),
    }
}

fn operand(r: &Rule<'_>, i: usize) -> Option<ValueId> {
    r.x.get(i).copied()
}

fn mul(cx: &mut Context<'_, '_>, a: ValueId, b: ValueId) -> Result<ValueId, NodeError> {
    cx.binary(BinaryOp::Mul, a, b)
}

fn cast(cx: &mut Context<'_, '_>, r: &Rule<'_>) -> Made {
    let Some(dtype) = operand(r, 0).map(|x| cx.dtype(x)) else { return Ok(None) };
    cx.cast(r.g, dtype).map(Some)
}

/// What came to the result, where `x` is positive; zero elsewhere.
fn where_positive(cx: &mut Context<'_, '_>, r: &Rule<'_>, x: ValueId) -> Result<ValueId, NodeError> {
    let zero = cx.scalar(cx.dtype(x), 0.0)?;
    let positive = cx.binary(BinaryOp::Greater, x, zero)?;
    cx.emit(Op::Where, &[positive, r.g, zero])
}

fn unary(cx: &mut Context<'_, '_>, op: UnaryOp, r: &Rule<'_>) -> Made {
    let (Some(x), y, g) = (operand(r, 0), r.y, r.g) else { return Ok(None) };
    let one = cx.scalar(cx.dtype(x), 1.0)?;
    Ok(Some(match op {
        UnaryOp::Neg => cx.unary(UnaryOp::Neg, g)?,
        UnaryOp::Exp => mul(cx, g, y)?,
        UnaryOp::Log => cx.binary(BinaryOp::Div, g, x)?,
        UnaryOp::Relu => where_positive(cx, r, x)?,
        UnaryOp::Abs => {
            let sign = cx.unary(UnaryOp::Sign, x)?;
            mul(cx, g, sign)?
        }
        UnaryOp::Sqrt => {
            let twice = cx.binary(BinaryOp::Add, y, y)?;
            cx.binary(BinaryOp::Div, g, twice)?
        }
        UnaryOp::Reciprocal => {
            let (squared, down) = (mul(cx, y, y)?, cx.unary(UnaryOp::Neg, g)?);
            mul(cx, down, squared)?
        }
        UnaryOp::Sin => {
            let cos = cx.unary(UnaryOp::Cos, x)?;
            mul(cx, g, cos)?
        }
        UnaryOp::Cos => {
            let (sin, down) = (cx.unary(UnaryOp::Sin, x)?, cx.unary(UnaryOp::Neg, g)?);
            mul(cx, down, sin)?
        }
        UnaryOp::Tanh => {
            let squared = mul(cx, y, y)?;
            let rest = cx.binary(BinaryOp::Sub, one, squared)?;
            mul(cx, g, rest)?
        }
        UnaryOp::Sigmoid => {
            let rest = cx.binary(BinaryOp::Sub, one, y)?;
            let slope = mul(cx, y, rest)?;
            mul(cx, g, slope)?
        }
        _ => return Ok(None),
    }))
}

fn binary(cx: &mut Context<'_, '_>, op: BinaryOp, r: &Rule<'_>, i: usize) -> Made {
    let (Some(a), Some(b), g) = (operand(r, 0), operand(r, 1), r.g) else { return Ok(None) };
    Ok(Some(match (op, i) {
        (BinaryOp::Add, _) | (BinaryOp::Sub, 0) => g,
        (BinaryOp::Sub, _) => cx.unary(UnaryOp::Neg, g)?,
        (BinaryOp::Mul, 0) => mul(cx, g, b)?,
        (BinaryOp::Mul, _) => mul(cx, g, a)?,
        (BinaryOp::Div, 0) => cx.binary(BinaryOp::Div, g, b)?,
        (BinaryOp::Div, _) => {
            let share = cx.binary(BinaryOp::Div, r.y, b)?;
            let down = cx.unary(UnaryOp::Neg, g)?;
            mul(cx, down, share)?
        }
        (BinaryOp::Pow, 0) => {
            let one = cx.scalar(cx.dtype(b), 1.0)?;
            let less = cx.binary(BinaryOp::Sub, b, one)?;
            let power = cx.binary(BinaryOp::Pow, a, less)?;
            let slope = mul(cx, b, power)?;
            mul(cx, g, slope)?
        }
        (BinaryOp::Pow, _) => {
            let log = cx.unary(UnaryOp::Log, a)?;
            let slope = mul(cx, r.y, log)?;
            mul(cx, g, slope)?
        }
        // Of equal operands the first one is taken.
        (BinaryOp::Max | BinaryOp::Min, _) => {
            let (first, other) = if op == BinaryOp::Max { (a, b) } else { (b, a) };
            let holds = cx.binary(BinaryOp::GreaterOrEqual, first, other)?;
            let zero = cx.scalar(cx.dtype(g), 0.0)?;
            let operands = if i == 0 { [holds, g, zero] } else { [holds, zero, g] };
            cx.emit(Op::Where, &operands)?
        }
        _ => return Ok(None),
    }))
}

fn chosen(cx: &mut Context<'_, '_>, r: &Rule<'_>, i: usize) -> Made {
    let Some(condition) = operand(r, 0) else { return Ok(None) };
    let zero = cx.scalar(cx.dtype(r.g), 0.0)?;
    match i {
        1 => cx.emit(Op::Where, &[condition, r.g, zero]).map(Some),
        2 => cx.emit(Op::Where, &[condition, zero, r.g]).map(Some),
        _ => Ok(None),
    }
}

/// Products of matrices and stacks of them; a vector has no rule.
fn matmul(cx: &mut Context<'_, '_>, r: &Rule<'_>, [ta, tb]: [bool; 2], i: usize) -> Made {
    let (Some(a), Some(b), g) = (operand(r, 0), operand(r, 1), r.g) else { return Ok(None) };
    if i == 2 {
        return Ok(Some(g));
    }
    if cx.rank(a) < 2 || cx.rank(b) < 2 {
        return Ok(None);
    }
    let mut times = |x, y, trans_a, trans_b| {
        let op = Op::MatMul { trans_a, trans_b, bias: false, epilogue: Expression::default() };
        cx.emit(op, &[x, y]).map(Some)
    };
    match (i, ta, tb) {
        (0, false, _) => times(g, b, false, !tb),
        (0, true, _) => times(b, g, tb, true),
        (_, _, false) => times(a, g, !ta, false),
        (_, _, true) => times(g, a, true, ta),
    }
}

fn reduce(cx: &mut Context<'_, '_>, kind: ReduceKind, axes: &[usize], keep: bool, r: &Rule<'_>) -> Made {
    let Some(x) = operand(r, 0) else { return Ok(None) };
    let shape = cx.shape(x);
    let kept = shape.iter().enumerate().map(|(i, d)| if axes.contains(&i) { Dim::Const(1) } else { d.clone() });
    let g = if keep { r.g } else { cx.reshape(r.g, kept.collect())? };
    let weight = match kind {
        ReduceKind::Sum => filled(cx, x, 1.0)?,
        ReduceKind::Mean => {
            let counted: Vec<Dim> = axes.iter().filter_map(|axis| shape.get(*axis).cloned()).collect();
            match product(&counted).known() {
                Some(count) if count > 0 => filled(cx, x, 1.0 / count as f64)?,
                _ => return Ok(None),
            }
        }
        ReduceKind::SumSquare => cx.binary(BinaryOp::Add, x, x)?,
        _ => return Ok(None),
    };
    mul(cx, g, weight).map(Some)
}

fn softmax(cx: &mut Context<'_, '_>, r: &Rule<'_>, axis: usize, log: bool) -> Made {
    let sum =
        |cx: &mut Context<'_, '_>, x| cx.emit(Op::Reduce { kind: ReduceKind::Sum, axes: vec![axis], keep: true }, &[x]);
    if log {
        let (share, total) = (cx.unary(UnaryOp::Exp, r.y)?, sum(cx, r.g)?);
        let taken = mul(cx, share, total)?;
        return cx.binary(BinaryOp::Sub, r.g, taken).map(Some);
    }
    let weighted = mul(cx, r.g, r.y)?;
    let total = sum(cx, weighted)?;
    let centred = cx.binary(BinaryOp::Sub, r.g, total)?;
    mul(cx, centred, r.y).map(Some)
}
