//! Losses: NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__NegativeLogLikelihoodLoss.html>. Opsets add types. A label that is `ignore_index`
//! counts nothing and may be no class at all.

use super::attention::wide;
use crate::context::{Context, Results};
use crate::error::{NodeError, invalid};
use brolga_compiler::ir::{BinaryOp, Dim, Op, ReduceKind, UnaryOp, ValueId};

pub(crate) fn likelihood(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let own = cx.dtype(x);
    let x = cx.cast(x, wide(own))?;
    let loss = loss(cx, x)?;
    Ok(vec![cx.cast(loss, own)?])
}

pub(crate) fn cross_entropy(cx: &mut Context<'_, '_>) -> Results {
    let scores = cx.input(0)?;
    if cx.rank(scores) < 2 {
        return invalid(format!("scores have rank {}; at least 2 is expected", cx.rank(scores)));
    }
    let own = cx.dtype(scores);
    let scores = cx.cast(scores, wide(own))?;
    let chances = cx.emit(Op::Softmax { axis: 1, log: true }, &[scores])?;
    let loss = loss(cx, chances)?;
    let mut results = vec![cx.cast(loss, own)?];
    if cx.wants(1) {
        results.push(cx.cast(chances, own)?);
    }
    Ok(results)
}

/// The loss from log-probabilities `[n, classes, ..]` and the operands 1 (labels `[n, ..]`) and 2 (weights of the classes).
fn loss(cx: &mut Context<'_, '_>, x: ValueId) -> Result<ValueId, NodeError> {
    let labels = cx.input(1)?;
    let shape = cx.shape(labels);
    if cx.rank(x) != shape.len() + 1 {
        return invalid(format!("labels have rank {} where the scores have {}", shape.len(), cx.rank(x)));
    }
    let ignored = cx.node.attributes.int("ignore_index")?;
    let dtype = cx.dtype(x);
    let zero = cx.scalar(dtype, 0.0)?;
    let (mut classes, mut counted) = (labels, None);
    if let Some(ignored) = ignored {
        let ignored = cx.scalar(cx.dtype(labels), ignored as f64)?;
        let skip = cx.binary(BinaryOp::Equal, labels, ignored)?;
        let any = cx.scalar(cx.dtype(labels), 0.0)?;
        classes = cx.emit(Op::Where, &[skip, any, labels])?;
        counted = Some(skip);
    }
    let mut column = shape.clone();
    column.insert(1, Dim::Const(1));
    let index = cx.reshape(classes, column)?;
    let chosen = cx.emit(Op::GatherElements { axis: 1 }, &[x, index])?;
    let chosen = cx.reshape(chosen, shape)?;
    let mut losses = cx.unary(UnaryOp::Neg, chosen)?;
    let mut weights = match cx.optional(2) {
        Some(weights) => {
            let weights = cx.cast(weights, dtype)?;
            Some(cx.emit(Op::Gather { axis: 0 }, &[weights, classes])?)
        }
        None => None,
    };
    if let Some(skip) = counted {
        let all = match weights {
            Some(weights) => weights,
            None => cx.scalar(dtype, 1.0)?,
        };
        weights = Some(cx.emit(Op::Where, &[skip, zero, all])?);
    }
    if let Some(weights) = weights {
        losses = cx.binary(BinaryOp::Mul, losses, weights)?;
    }
    if let Some(skip) = counted {
        // Nothing is counted even where the score is infinite.
        losses = cx.emit(Op::Where, &[skip, zero, losses])?;
    }
    reduced(cx, losses, weights)
}

fn total(cx: &mut Context<'_, '_>, kind: ReduceKind, x: ValueId) -> Result<ValueId, NodeError> {
    let axes = (0..cx.rank(x)).collect();
    cx.emit(Op::Reduce { kind, axes, keep: false }, &[x])
}

fn reduced(cx: &mut Context<'_, '_>, losses: ValueId, weights: Option<ValueId>) -> Result<ValueId, NodeError> {
    match (cx.node.attributes.text_or("reduction", "mean")?, weights) {
        ("none", _) => Ok(losses),
        ("sum", _) => total(cx, ReduceKind::Sum, losses),
        ("mean", None) => total(cx, ReduceKind::Mean, losses),
        ("mean", Some(weights)) => {
            let (sum, count) = (total(cx, ReduceKind::Sum, losses)?, total(cx, ReduceKind::Sum, weights)?);
            cx.binary(BinaryOp::Div, sum, count)
        }
        (other, _) => invalid(format!("reduction {other:?}; none, sum or mean is expected")),
    }
}
