//! Attention, FlexAttention, RotaryEmbedding: composed of matrix products, softmax and element-wise operations.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__Attention.html>. Opset 24 adds `nonpad_kv_seqlen` and masks that are shorter than
//! the keys. Query heads that share a key head are rows of one product, so that no key is copied. Half precision is computed
//! in f32 and rounded at the results.

use super::control::{body, captured};
use crate::context::{Context, Results};
use crate::error::{NodeError, invalid};
use crate::import::import_body;
use crate::types::dtype;
use brolga_compiler::ir::{BinaryOp, Dim, Expression, Ints, Op, PadMode, UnaryOp, ValueId};
use brolga_runtime::DType;

/// Query, key and value as `[batch, heads, sequence, head]`.
struct Heads {
    query: ValueId,
    key: ValueId,
    value: ValueId,
}

/// The type that is computed in: f32 for halves.
pub(super) fn wide(dtype: DType) -> DType {
    if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype }
}

pub(super) fn transpose(cx: &mut Context<'_, '_>, x: ValueId, perm: &[usize]) -> Result<ValueId, NodeError> {
    cx.emit(Op::Transpose { perm: perm.to_vec() }, &[x])
}

pub(super) fn product(cx: &mut Context<'_, '_>, a: ValueId, b: ValueId, trans_b: bool) -> Result<ValueId, NodeError> {
    let op = Op::MatMul { trans_a: false, trans_b, bias: false, epilogue: Expression::default() };
    cx.emit(op, &[a, b])
}

/// `[batch, sequence, heads * head]` as `[batch, heads, sequence, head]`.
pub(super) fn split_heads(cx: &mut Context<'_, '_>, x: ValueId, heads: i64) -> Result<ValueId, NodeError> {
    let shape = cx.shape(x);
    let [batch, sequence, hidden] = &shape[..] else {
        return invalid(format!("an operand has rank {}; 3 is expected, as the query has", shape.len()));
    };
    if heads < 1 || hidden.known().is_some_and(|n| n % heads != 0) {
        return invalid(format!("{heads} heads do not divide {hidden} elements"));
    }
    let heads = Dim::Const(heads);
    let shape = vec![batch.clone(), sequence.clone(), heads.clone(), hidden.div(&heads)];
    let apart = cx.reshape(x, shape)?;
    transpose(cx, apart, &[0, 2, 1, 3])
}

fn heads_of(cx: &mut Context<'_, '_>) -> Result<Heads, NodeError> {
    let (query, key, value) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    match cx.rank(query) {
        4 => Ok(Heads { query, key, value }),
        3 => {
            let attributes = &cx.node.attributes;
            let many = attributes.required("q_num_heads", attributes.int("q_num_heads")?)?;
            let few = attributes.required("kv_num_heads", attributes.int("kv_num_heads")?)?;
            Ok(Heads {
                query: split_heads(cx, query, many)?,
                key: split_heads(cx, key, few)?,
                value: split_heads(cx, value, few)?,
            })
        }
        rank => invalid(format!("the query has rank {rank}; 3 or 4 is expected")),
    }
}

/// Shape of rank 4.
pub(super) fn four(cx: &Context<'_, '_>, id: ValueId, what: &str) -> Result<[Dim; 4], NodeError> {
    let shape = cx.shape(id);
    let rank = shape.len();
    <[Dim; 4]>::try_from(shape).or_else(|_| invalid(format!("the {what} has rank {rank}; 4 is expected")))
}

/// `past` and what is new, one after the other.
fn with_past(cx: &mut Context<'_, '_>, past: Option<ValueId>, new: ValueId) -> Result<ValueId, NodeError> {
    match past {
        Some(past) => cx.emit(Op::Concat { axis: 2 }, &[past, new]),
        None => Ok(new),
    }
}

/// Query heads that share a key head as rows of one matrix.
fn grouped(cx: &mut Context<'_, '_>, x: ValueId, heads: &Dim) -> Result<ValueId, NodeError> {
    let [batch, own, rows, columns] = four(cx, x, "query")?;
    if own == *heads {
        return Ok(x);
    }
    if let (Some(own), Some(heads)) = (own.known(), heads.known())
        && (heads == 0 || own % heads != 0)
    {
        return invalid(format!("{own} query heads do not share {heads} key heads evenly"));
    }
    cx.reshape(x, vec![batch, heads.clone(), own.div(heads).mul(&rows), columns])
}

/// 0, 1, .. along the dimension `axis` of `like`, as a column or as a row.
pub(super) fn counting(
    cx: &mut Context<'_, '_>,
    like: ValueId,
    axis: usize,
    column: bool,
) -> Result<ValueId, NodeError> {
    let extent = cx.shape(like).into_iter().nth(axis).unwrap_or(Dim::Const(0));
    let end = cx.emit(Op::Shape { begin: axis, end: axis + 1 }, &[like])?;
    let (begin, step) = (cx.weight_ints(vec![], &[0]), cx.weight_ints(vec![], &[1]));
    let range = cx.emit(Op::Range, &[begin, end, step])?;
    let shape = if column { vec![extent, Dim::Const(1)] } else { vec![Dim::Const(1), extent] };
    cx.reshape(range, shape)
}

/// The scores where `keep` holds, minus infinity elsewhere.
pub(super) fn masked(cx: &mut Context<'_, '_>, keep: ValueId, scores: ValueId) -> Result<ValueId, NodeError> {
    let never = cx.scalar(cx.dtype(scores), f64::NEG_INFINITY)?;
    cx.emit(Op::Where, &[keep, scores, never])
}

/// The scores of keys that are no later than the query, whose first stands after `before` others.
pub(super) fn causal(
    cx: &mut Context<'_, '_>,
    scores: ValueId,
    key: ValueId,
    before: Option<ValueId>,
) -> Result<ValueId, NodeError> {
    let (columns, mut rows) = (counting(cx, key, 2, false)?, counting(cx, scores, 2, true)?);
    if let Some(before) = before {
        rows = cx.binary(BinaryOp::Add, rows, before)?;
    }
    let keep = cx.binary(BinaryOp::LessOrEqual, columns, rows)?;
    masked(cx, keep, scores)
}

/// A mask that is shorter than the keys leaves out those after its end.
fn lengthened(cx: &mut Context<'_, '_>, mask: ValueId, total: &Dim) -> Result<ValueId, NodeError> {
    let shape = cx.shape(mask);
    let Some(last) = shape.last().filter(|last| *last != total) else { return Ok(mask) };
    let fill = if cx.dtype(mask) == DType::Bool { 0.0 } else { f64::NEG_INFINITY };
    let mut pads = vec![Dim::Const(0); 2 * shape.len()];
    if let Some(end) = pads.last_mut() {
        *end = total.sub(last);
    }
    cx.emit(Op::Pad { mode: PadMode::Constant(fill), pads: Ints::Known(pads) }, &[mask])
}

/// Applies the mask operand, causality and the lengths of the samples.
fn biased(
    cx: &mut Context<'_, '_>,
    mut scores: ValueId,
    key: ValueId,
    past: Option<ValueId>,
) -> Result<ValueId, NodeError> {
    let [_, _, _, total] = four(cx, scores, "score")?;
    if let Some(mask) = cx.optional(3) {
        let mask = lengthened(cx, mask, &total)?;
        scores = if cx.dtype(mask) == DType::Bool {
            masked(cx, mask, scores)?
        } else {
            let mask = cx.cast(mask, cx.dtype(scores))?;
            cx.binary(BinaryOp::Add, scores, mask)?
        };
    }
    if cx.node.attributes.flag("is_causal")? {
        let before = past.map(|past| cx.emit(Op::Shape { begin: 2, end: 3 }, &[past])).transpose()?;
        scores = causal(cx, scores, key, before)?;
    }
    if let Some(lengths) = cx.optional(6) {
        let columns = counting(cx, key, 2, false)?;
        let batch = cx.shape(lengths).into_iter().next().unwrap_or(Dim::Const(1));
        let one = Dim::Const(1);
        let lengths = cx.reshape(lengths, vec![batch, one.clone(), one.clone(), one])?;
        let keep = cx.binary(BinaryOp::Less, columns, lengths)?;
        scores = masked(cx, keep, scores)?;
    }
    Ok(scores)
}

/// `scale * query * key^T`, `[batch, query heads, query sequence, total sequence]`.
pub(super) fn scores_of(cx: &mut Context<'_, '_>, query: ValueId, key: ValueId) -> Result<ValueId, NodeError> {
    let ([batch, heads, rows, size], [_, groups, total, _]) = (four(cx, query, "query")?, four(cx, key, "key")?);
    let scale = match (cx.node.attributes.float("scale")?, size.known()) {
        (Some(scale), _) => cx.scalar(cx.dtype(query), f64::from(scale))?,
        (None, Some(size)) => cx.scalar(cx.dtype(query), 1.0 / (size as f64).sqrt())?,
        (None, None) => {
            let size = cx.emit(Op::Shape { begin: 3, end: 4 }, &[query])?;
            let size = cx.cast(size, cx.dtype(query))?;
            let root = cx.unary(UnaryOp::Sqrt, size)?;
            cx.unary(UnaryOp::Reciprocal, root)?
        }
    };
    let query = cx.binary(BinaryOp::Mul, query, scale)?;
    let query = grouped(cx, query, &groups)?;
    let scores = product(cx, query, key, true)?;
    if heads == groups { Ok(scores) } else { cx.reshape(scores, vec![batch, heads, rows, total]) }
}

/// `probabilities * value`, `[batch, query heads, query sequence, value head]`.
fn mixed(cx: &mut Context<'_, '_>, chances: ValueId, value: ValueId) -> Result<ValueId, NodeError> {
    let ([batch, heads, rows, _], [_, groups, _, size]) = (four(cx, chances, "score")?, four(cx, value, "value")?);
    let chances = grouped(cx, chances, &groups)?;
    let y = product(cx, chances, value, false)?;
    if heads == groups { Ok(y) } else { cx.reshape(y, vec![batch, heads, rows, size]) }
}

/// Softmax along the last dimension, in the precision the node asks for.
fn softmax(cx: &mut Context<'_, '_>, scores: ValueId) -> Result<ValueId, NodeError> {
    let own = cx.dtype(scores);
    let asked = match cx.node.attributes.int("softmax_precision")? {
        Some(number) => dtype(number)?,
        None => own,
    };
    // Less than what is computed in would only lose digits.
    let scores = if asked == DType::F64 { cx.cast(scores, asked)? } else { scores };
    let chances = cx.emit(Op::Softmax { axis: 3, log: false }, &[scores])?;
    cx.cast(chances, own)
}

pub(crate) fn attention(cx: &mut Context<'_, '_>) -> Results {
    let (past_key, past_value) = (cx.optional(4), cx.optional(5));
    if past_key.is_some() != past_value.is_some() {
        return invalid("past_key and past_value go together");
    }
    let flat = cx.rank(cx.input(0)?) == 3;
    let heads = heads_of(cx)?;
    let (query_type, narrow) = (cx.dtype(heads.query), cx.dtype(heads.value));
    let present_key = with_past(cx, past_key, heads.key)?;
    let present_value = with_past(cx, past_value, heads.value)?;
    let query = cx.cast(heads.query, wide(query_type))?;
    let key = cx.cast(present_key, wide(query_type))?;
    let value = cx.cast(present_value, wide(narrow))?;

    let raw = scores_of(cx, query, key)?;
    let softcap = f64::from(cx.node.attributes.float_or("softcap", 0.0)?);
    let capped = if softcap > 0.0 {
        let cap = cx.scalar(cx.dtype(raw), softcap)?;
        let small = cx.binary(BinaryOp::Div, raw, cap)?;
        let bent = cx.unary(UnaryOp::Tanh, small)?;
        cx.binary(BinaryOp::Mul, bent, cap)?
    } else {
        raw
    };
    let scores = biased(cx, capped, key, past_key)?;
    let chances = softmax(cx, scores)?;
    let weights = cx.cast(chances, cx.dtype(value))?;
    let mut y = mixed(cx, weights, value)?;
    if flat {
        let [batch, heads, rows, size] = four(cx, y, "result")?;
        y = transpose(cx, y, &[0, 2, 1, 3])?;
        y = cx.reshape(y, vec![batch, rows, heads.mul(&size)])?;
    }
    let mut results = vec![cx.cast(y, query_type)?, present_key, present_value];
    if cx.wants(3) {
        let shown = match cx.node.attributes.int_or("qk_matmul_output_mode", 0)? {
            0 => raw,
            1 => capped,
            2 => scores,
            3 => chances,
            other => return invalid(format!("qk_matmul_output_mode is {other}; 0 to 3 is expected")),
        };
        results.push(cx.cast(shown, query_type)?);
    }
    Ok(results)
}

/// The result of the body that attribute `name` holds, applied to `x`; `x` itself when there is none.
fn modified(cx: &mut Context<'_, '_>, name: &str, x: ValueId) -> Result<ValueId, NodeError> {
    if cx.node.attributes.get(name).is_none() {
        return Ok(x);
    }
    let ty = cx.ty(x).clone();
    let graph = import_body(cx, body(cx, name)?, std::slice::from_ref(&ty))?;
    let operands: Vec<ValueId> = std::iter::once(x).chain(captured(cx)).collect();
    if graph.inputs().len() != operands.len() {
        return invalid(format!("{name} takes another number of values than 1"));
    }
    match cx.graph.splice(&graph, &operands)[..] {
        [y] if cx.dtype(y) == ty.dtype && cx.rank(y) == ty.rank() => Ok(y),
        [y] => invalid(format!("{name} makes {} of {ty}; the same type is expected", cx.ty(y))),
        _ => invalid(format!("{name} has another number of results than 1")),
    }
}

pub(crate) fn flex(cx: &mut Context<'_, '_>) -> Results {
    let (query, key, value) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let (own, narrow) = (cx.dtype(query), cx.dtype(value));
    let precision = match cx.node.attributes.int("softmax_precision")? {
        Some(number) => dtype(number)?,
        None => wide(own),
    };
    let (query, key) = (cx.cast(query, wide(own))?, cx.cast(key, wide(own))?);
    let value = cx.cast(value, wide(narrow))?;
    let scores = scores_of(cx, query, key)?;
    let scores = cx.cast(scores, precision)?;
    let scores = modified(cx, "score_mod", scores)?;
    let chances = cx.emit(Op::Softmax { axis: 3, log: false }, &[scores])?;
    let chances = modified(cx, "prob_mod", chances)?;
    let chances = cx.cast(chances, wide(narrow))?;
    let y = mixed(cx, chances, value)?;
    Ok(vec![cx.cast(y, own)?])
}

/// Elements `begin..end` of a dimension, every `step`-th.
pub(super) fn part(
    cx: &mut Context<'_, '_>,
    x: ValueId,
    axis: usize,
    (begin, end, step): (Dim, Dim, i64),
) -> Result<ValueId, NodeError> {
    let (starts, ends) = (Ints::Known(vec![begin]), Ints::Known(vec![end]));
    cx.emit(Op::Slice { axes: vec![axis], starts, ends, steps: vec![step] }, &[x])
}

/// A table of cosines or sines with one row per position, `[batch, sequence, half]`, with the dimension of the heads.
fn angles(cx: &mut Context<'_, '_>, i: usize, axis: usize, to: DType) -> Result<ValueId, NodeError> {
    let mut table = cx.input(i)?;
    if let Some(positions) = cx.optional(3) {
        table = cx.emit(Op::Gather { axis: 0 }, &[table, positions])?;
    }
    let mut shape = cx.shape(table);
    if shape.len() != 3 {
        return invalid(format!("operand {i} has rank {} per position; 3 is expected", shape.len()));
    }
    shape.insert(axis, Dim::Const(1));
    let table = cx.reshape(table, shape)?;
    cx.cast(table, to)
}

pub(crate) fn rotary(cx: &mut Context<'_, '_>) -> Results {
    let given = cx.input(0)?;
    let attributes = &cx.node.attributes;
    let interleaved = attributes.flag("interleaved")?;
    let rotated = attributes.int_or("rotary_embedding_dim", 0)?;
    let (own, shape) = (cx.dtype(given), cx.shape(given));
    let mut x = cx.cast(given, wide(own))?;
    // Heads come before the sequence in rank 4, after it in rank 3.
    let axis = match &shape[..] {
        [_, _, _, _] => 1,
        [batch, sequence, hidden] => {
            let heads = attributes.required("num_heads", attributes.int("num_heads")?)?;
            if heads < 1 || hidden.known().is_some_and(|n| n % heads != 0) {
                return invalid(format!("{heads} heads do not divide {hidden} elements"));
            }
            let heads = Dim::Const(heads);
            x = cx.reshape(x, vec![batch.clone(), sequence.clone(), heads.clone(), hidden.div(&heads)])?;
            2
        }
        _ => return invalid(format!("its operand has rank {}; 3 or 4 is expected", shape.len())),
    };
    let [_, _, _, size] = four(cx, x, "operand")?;
    let span = if rotated == 0 { size.clone() } else { Dim::Const(rotated) };
    if span.known().is_some_and(|n| n < 2 || n % 2 != 0 || size.known().is_some_and(|size| n > size)) {
        return invalid(format!("{span} of {size} elements are rotated; an even number of them is expected"));
    }
    let (cosine, sine) = (angles(cx, 1, axis, wide(own))?, angles(cx, 2, axis, wide(own))?);
    let zero = Dim::Const(0);
    let half = span.div(&Dim::Const(2));
    let (first, second) = if interleaved {
        (part(cx, x, 3, (zero, span.clone(), 2))?, part(cx, x, 3, (Dim::Const(1), span.clone(), 2))?)
    } else {
        (part(cx, x, 3, (zero, half.clone(), 1))?, part(cx, x, 3, (half, span.clone(), 1))?)
    };
    let (a, b) = (cx.binary(BinaryOp::Mul, cosine, first)?, cx.binary(BinaryOp::Mul, sine, second)?);
    let real = cx.binary(BinaryOp::Sub, a, b)?;
    let (a, b) = (cx.binary(BinaryOp::Mul, sine, first)?, cx.binary(BinaryOp::Mul, cosine, second)?);
    let imaginary = cx.binary(BinaryOp::Add, a, b)?;
    let mut y =
        if interleaved { woven(cx, real, imaginary)? } else { cx.emit(Op::Concat { axis: 3 }, &[real, imaginary])? };
    if span != size {
        let rest = part(cx, x, 3, (span, size, 1))?;
        y = cx.emit(Op::Concat { axis: 3 }, &[y, rest])?;
    }
    let y = cx.cast(y, own)?;
    Ok(vec![if axis == 2 { cx.reshape(y, shape)? } else { y }])
}

/// Elements of two tensors in turn, along the last dimension.
fn woven(cx: &mut Context<'_, '_>, a: ValueId, b: ValueId) -> Result<ValueId, NodeError> {
    let shape = cx.shape(a);
    let mut column = shape.clone();
    column.push(Dim::Const(1));
    let (a, b) = (cx.reshape(a, column.clone())?, cx.reshape(b, column)?);
    let pairs = cx.emit(Op::Concat { axis: shape.len() }, &[a, b])?;
    let mut whole = shape;
    if let Some(last) = whole.last_mut() {
        *last = last.mul(&Dim::Const(2));
    }
    cx.reshape(pairs, whole)
}
