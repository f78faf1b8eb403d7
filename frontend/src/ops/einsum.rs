//! Einsum: contracted pair by pair, each pair by one matrix product, or by a multiplication where nothing is summed.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__Einsum.html>. Labels are letters; an ellipsis stands for the same dimensions in
//! every operand, aligned at the end, and broadcasts.

use crate::context::{Context, Results, product};
use crate::error::{NodeError, invalid};
use brolga_compiler::ir::{BinaryOp, Dim, Expression, Ints, Op, PadMode, ReduceKind, ValueId};

/// A dimension's name: a letter, or a place in the ellipsis counted from its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Label {
    Hidden(std::cmp::Reverse<usize>),
    Letter(char),
}

/// A tensor with one label per dimension.
#[derive(Clone)]
struct Term {
    value: ValueId,
    labels: Vec<Label>,
}

/// One side of a comma: letters before and after the ellipsis.
struct Pattern {
    before: Vec<char>,
    ellipsis: bool,
    after: Vec<char>,
}

fn pattern(text: &str) -> Result<Pattern, NodeError> {
    let letters = |part: &str| -> Result<Vec<char>, NodeError> {
        let letters: Vec<char> = part.chars().filter(|c| *c != ' ').collect();
        match letters.iter().find(|c| !c.is_ascii_alphabetic()) {
            Some(other) => {
                invalid(format!("the equation has {other:?} in {text:?}; letters and one ellipsis are expected"))
            }
            None => Ok(letters),
        }
    };
    Ok(match text.split_once("...") {
        None => Pattern { before: letters(text)?, ellipsis: false, after: vec![] },
        Some((before, after)) => Pattern { before: letters(before)?, ellipsis: true, after: letters(after)? },
    })
}

impl Pattern {
    fn labels(&self, hidden: usize) -> Vec<Label> {
        let middle = (0..hidden).rev().map(|i| Label::Hidden(std::cmp::Reverse(i)));
        let letters = |list: &[char]| list.iter().map(|c| Label::Letter(*c)).collect::<Vec<_>>();
        letters(&self.before).into_iter().chain(middle).chain(letters(&self.after)).collect()
    }
    fn letters(&self) -> usize {
        self.before.len() + self.after.len()
    }
}

pub(crate) fn einsum(cx: &mut Context<'_, '_>) -> Results {
    let operands = cx.all_inputs()?;
    let attributes = &cx.node.attributes;
    let equation = attributes.required("equation", attributes.text("equation")?)?;
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation, None),
    };
    let patterns = left.split(',').map(pattern).collect::<Result<Vec<_>, _>>()?;
    if patterns.len() != operands.len() {
        return invalid(format!(
            "the equation {equation:?} has {} terms for {} operands",
            patterns.len(),
            operands.len()
        ));
    }
    let mut terms = Vec::with_capacity(operands.len());
    for (pattern, value) in patterns.iter().zip(&operands) {
        let rank = cx.rank(*value);
        let hidden = match rank.checked_sub(pattern.letters()) {
            Some(hidden) if pattern.ellipsis || hidden == 0 => hidden,
            _ => return invalid(format!("{} letters of {equation:?} name {rank} dimensions", pattern.letters())),
        };
        terms.push(Term { value: *value, labels: pattern.labels(hidden) });
    }
    let result = result_labels(equation, right, &terms)?;
    let mut terms = terms.into_iter().map(|t| diagonal(cx, t)).collect::<Result<Vec<_>, _>>()?.into_iter();
    let Some(mut whole) = terms.next() else { return invalid("it has no operands") };
    while let Some(next) = terms.next() {
        let rest: Vec<Label> = terms.clone().flat_map(|t| t.labels).chain(result.iter().copied()).collect();
        whole = pair(cx, whole, next, &rest)?;
    }
    let whole = summed(cx, whole, |l| result.contains(&l))?;
    Ok(vec![arranged(cx, whole, &result)?])
}

/// Labels of the result: as given, or the ellipsis and then the letters that appear once, in order.
fn result_labels(equation: &str, right: Option<&str>, terms: &[Term]) -> Result<Vec<Label>, NodeError> {
    let all: Vec<Label> = terms.iter().flat_map(|t| t.labels.iter().copied()).collect();
    let hidden =
        all.iter().filter_map(|l| if let Label::Hidden(i) = l { Some(i.0 + 1) } else { None }).max().unwrap_or(0);
    let Some(right) = right else {
        let once = |l: &Label| matches!(l, Label::Hidden(_)) || all.iter().filter(|m| *m == l).count() == 1;
        let mut labels: Vec<Label> = all.iter().copied().filter(once).collect();
        labels.sort_unstable();
        labels.dedup();
        return Ok(labels);
    };
    let pattern = pattern(right)?;
    let labels = pattern.labels(if pattern.ellipsis { hidden } else { 0 });
    for (i, label) in labels.iter().enumerate() {
        if labels.iter().take(i).any(|l| l == label) || !all.contains(label) {
            return invalid(format!("the result of {equation:?} names a dimension twice, or one that no operand has"));
        }
    }
    Ok(labels)
}

/// The term with each label once: of a repeated one, the diagonal, which becomes the last dimension.
fn diagonal(cx: &mut Context<'_, '_>, mut term: Term) -> Result<Term, NodeError> {
    while let Some((i, j)) = repeated(&term.labels) {
        let label = term.labels[i];
        let mut order: Vec<usize> = (0..term.labels.len()).filter(|d| *d != i && *d != j).collect();
        let kept: Vec<Label> = order.iter().map(|d| term.labels[*d]).collect();
        order.extend([i, j]);
        let square = cx.emit(Op::Transpose { perm: order }, &[term.value])?;
        let mut shape = cx.shape(square);
        let (Some(n), Some(m)) = (shape.pop(), shape.pop()) else { return invalid("a diagonal needs two dimensions") };
        if let (Some(n), Some(m)) = (n.known(), m.known())
            && n != m
        {
            return invalid(format!("a repeated label names extents {m} and {n}"));
        }
        // Rows one longer put the diagonal into the first column.
        let axis = shape.len();
        let with = |last: &[Dim]| shape.iter().chain(last).cloned().collect::<Vec<Dim>>();
        let line = cx.reshape(square, with(&[n.mul(&n)]))?;
        let mut pads = vec![Dim::Const(0); 2 * (axis + 1)];
        pads[2 * axis + 1] = n.clone();
        let longer = cx.emit(Op::Pad { mode: PadMode::Constant(0.0), pads: Ints::Known(pads) }, &[line])?;
        let rows = cx.reshape(longer, with(&[n.clone(), n.add(&Dim::Const(1))]))?;
        let first = super::attention::part(cx, rows, axis + 1, (Dim::Const(0), Dim::Const(1), 1))?;
        term.value = cx.reshape(first, with(&[n]))?;
        term.labels = kept;
        term.labels.push(label);
    }
    Ok(term)
}

fn repeated(labels: &[Label]) -> Option<(usize, usize)> {
    (0..labels.len()).find_map(|j| labels.iter().take(j).position(|l| *l == labels[j]).map(|i| (i, j)))
}

/// The sum over the labels that are not kept.
fn summed(cx: &mut Context<'_, '_>, term: Term, keep: impl Fn(Label) -> bool) -> Result<Term, NodeError> {
    let (kept, gone): (Vec<usize>, Vec<usize>) = (0..term.labels.len()).partition(|d| keep(term.labels[*d]));
    if gone.is_empty() {
        return Ok(term);
    }
    let value = cx.emit(Op::Reduce { kind: ReduceKind::Sum, axes: gone, keep: false }, &[term.value])?;
    Ok(Term { value, labels: kept.into_iter().map(|d| term.labels[d]).collect() })
}

/// The term's dimensions in this order; it has the same labels.
fn arranged(cx: &mut Context<'_, '_>, term: Term, order: &[Label]) -> Result<ValueId, NodeError> {
    let perm = order.iter().map(|l| term.labels.iter().position(|m| m == l)).collect::<Option<Vec<usize>>>();
    match perm {
        Some(perm) if perm.len() == term.labels.len() => {
            if perm.iter().enumerate().all(|(i, p)| i == *p) {
                return Ok(term.value);
            }
            cx.emit(Op::Transpose { perm }, &[term.value])
        }
        _ => invalid("the result names a dimension that no operand has"),
    }
}

/// The term without the dimensions of extent 1 that are longer in `other`: broadcasting.
fn without_ones(cx: &mut Context<'_, '_>, term: Term, other: &Term) -> Result<Term, NodeError> {
    let (shape, theirs) = (cx.shape(term.value), cx.shape(other.value));
    let longer = |d: &usize| {
        let at = other.labels.iter().position(|l| *l == term.labels[*d]);
        shape[*d] == Dim::Const(1) && at.is_some_and(|at| theirs[at] != Dim::Const(1))
    };
    let kept: Vec<usize> = (0..term.labels.len()).filter(|d| !longer(d)).collect();
    if kept.len() == term.labels.len() {
        return Ok(term);
    }
    let value = cx.reshape(term.value, kept.iter().map(|d| shape[*d].clone()).collect())?;
    Ok(Term { value, labels: kept.into_iter().map(|d| term.labels[d]).collect() })
}

/// The product of two terms, summed over what they share and nothing later (`rest`) needs.
fn pair(cx: &mut Context<'_, '_>, a: Term, b: Term, rest: &[Label]) -> Result<Term, NodeError> {
    let a = without_ones(cx, a, &b)?;
    let b = without_ones(cx, b, &a)?;
    let (a_labels, b_labels) = (a.labels.clone(), b.labels.clone());
    let a = summed(cx, a, |l| rest.contains(&l) || b_labels.contains(&l))?;
    let b = summed(cx, b, |l| rest.contains(&l) || a_labels.contains(&l))?;
    let (shared, rows): (Vec<Label>, Vec<Label>) = a.labels.iter().partition(|l| b.labels.contains(l));
    let columns: Vec<Label> = b.labels.iter().copied().filter(|l| !shared.contains(l)).collect();
    let (batch, inner): (Vec<Label>, Vec<Label>) = shared.into_iter().partition(|l| rest.contains(l));
    let labels: Vec<Label> = batch.iter().chain(&rows).chain(&columns).copied().collect();
    let extents = |cx: &Context<'_, '_>, term: &Term, list: &[Label]| -> Vec<Dim> {
        let shape = cx.shape(term.value);
        list.iter().filter_map(|l| term.labels.iter().position(|m| m == l).map(|at| shape[at].clone())).collect()
    };
    for label in batch.iter().chain(&inner) {
        let (x, y) = (extents(cx, &a, &[*label]), extents(cx, &b, &[*label]));
        if x.iter().chain(&y).all(|d| d.known().is_some()) && x != y {
            return invalid(format!("a label names extents {} and {}", x[0], y[0]));
        }
    }
    let [batches, m, k, n] =
        [extents(cx, &a, &batch), extents(cx, &a, &rows), extents(cx, &a, &inner), extents(cx, &b, &columns)];
    let order = |parts: [&[Label]; 3]| parts.concat();
    let left = arranged(cx, a, &order([&batch, &rows, &inner]))?;
    let right = arranged(cx, b, &order([&batch, &inner, &columns]))?;
    let whole: Vec<Dim> = [&batches[..], &m, &n].concat();
    let value = if inner.is_empty() {
        let ones = vec![Dim::Const(1); n.len()];
        let left = cx.reshape(left, [&batches[..], &m, &ones].concat())?;
        let right = cx.reshape(right, [&batches[..], &vec![Dim::Const(1); m.len()], &n].concat())?;
        cx.binary(BinaryOp::Mul, left, right)?
    } else {
        let (count, m, k, n) = (product(&batches), product(&m), product(&k), product(&n));
        let left = cx.reshape(left, vec![count.clone(), m, k.clone()])?;
        let right = cx.reshape(right, vec![count, k, n])?;
        let op = Op::MatMul { trans_a: false, trans_b: false, bias: false, epilogue: Expression::default() };
        let y = cx.emit(op, &[left, right])?;
        cx.reshape(y, whole)?
    };
    Ok(Term { value, labels })
}
