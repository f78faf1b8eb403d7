//! Attention and EmbedLayerNormalization of `com.microsoft`, as onnxruntime's optimizer for transformers writes them.
//!
//! Specification: <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md>. They are composed of matrix products,
//! softmax, gathers and a normalisation, as the models were before.

use super::attention::{causal, counting, four, part, product, scores_of, split_heads, transpose};
use super::contrib::normalized;
use crate::context::{Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use brolga_compiler::ir::{BinaryOp, Dim, Op, ReduceKind, ValueId};
use brolga_runtime::DType;

/// What is added to scores that a mask leaves out, where the node does not say.
const MASKED: f32 = -10000.0;

/// Columns of the product with the weight that are query, key and value, split into heads.
fn projections(cx: &mut Context<'_, '_>, heads: i64) -> Result<[ValueId; 3], NodeError> {
    let (x, weight) = (cx.input(0)?, cx.input(1)?);
    let mut all = product(cx, x, weight, false)?;
    if let Some(bias) = cx.optional(2) {
        all = cx.binary(BinaryOp::Add, all, bias)?;
    }
    let Some(columns) = cx.shape(weight).get(1).and_then(Dim::known) else {
        return unsupported("a weight whose extents are not known");
    };
    let sizes = match cx.node.attributes.ints("qkv_hidden_sizes")? {
        None | Some([]) => [columns / 3; 3],
        Some(&[q, k, v]) => [q, k, v],
        Some(other) => return invalid(format!("qkv_hidden_sizes has {} numbers; 3 are expected", other.len())),
    };
    let whole = sizes.iter().try_fold(0i64, |sum, n| sum.checked_add(*n).filter(|_| *n > 0));
    if whole != Some(columns) {
        return invalid(format!("query, key and value have {sizes:?} columns of {columns}"));
    }
    let mut begin = 0;
    let mut found = [all; 3];
    for (to, size) in found.iter_mut().zip(sizes) {
        let columns = part(cx, all, 2, (begin.into(), (begin + size).into(), 1))?;
        *to = split_heads(cx, columns, heads)?;
        begin += size;
    }
    Ok(found)
}

/// Key or value of the past, `[2, batch, heads, sequence, head]`, before what is new.
fn continued(cx: &mut Context<'_, '_>, which: i64, new: ValueId) -> Result<ValueId, NodeError> {
    let Some(past) = cx.optional(4) else { return Ok(new) };
    let one = part(cx, past, 0, (which.into(), (which + 1).into(), 1))?;
    let Some(shape) = cx.shape(one).get(1..5).map(<[Dim]>::to_vec) else {
        return invalid("the past has another rank than 5");
    };
    let one = cx.reshape(one, shape)?;
    cx.emit(Op::Concat { axis: 2 }, &[one, new])
}

/// The mask operand as what is added to the scores.
fn added(cx: &mut Context<'_, '_>, mask: ValueId, key: ValueId, to: DType) -> Result<ValueId, NodeError> {
    let (shape, one) = (cx.shape(mask), Dim::Const(1));
    let [batch, _, total, _] = four(cx, key, "key")?;
    let left_out = match &shape[..] {
        // Lengths of the samples.
        [samples] if *samples == batch => {
            let columns = counting(cx, key, 2, false)?;
            let lengths = cx.reshape(mask, vec![batch, one.clone(), one.clone(), one])?;
            let lengths = cx.cast(lengths, DType::I64)?;
            cx.binary(BinaryOp::GreaterOrEqual, columns, lengths)?
        }
        [samples, columns] => {
            let mask = cx.reshape(mask, vec![samples.clone(), one.clone(), one, columns.clone()])?;
            zeros(cx, mask)?
        }
        [samples, rows, columns] => {
            let mask = cx.reshape(mask, vec![samples.clone(), one, rows.clone(), columns.clone()])?;
            zeros(cx, mask)?
        }
        _ => {
            let given: Vec<String> = shape.iter().map(Dim::to_string).collect();
            let given = given.join(", ");
            return unsupported(format!(
                "a mask of shape [{given}]; [{batch}], [{batch}, {total}] and [{batch}, sequence, {total}] are accepted"
            ));
        }
    };
    let left_out = cx.cast(left_out, to)?;
    let amount = cx.scalar(to, f64::from(cx.node.attributes.float_or("mask_filter_value", MASKED)?))?;
    cx.binary(BinaryOp::Mul, left_out, amount)
}

fn zeros(cx: &mut Context<'_, '_>, x: ValueId) -> Result<ValueId, NodeError> {
    let zero = cx.scalar(cx.dtype(x), 0.0)?;
    cx.binary(BinaryOp::Equal, x, zero)
}

/// Attention.
pub(crate) fn attention(cx: &mut Context<'_, '_>) -> Results {
    let attributes = &cx.node.attributes;
    if attributes.flag("do_rotary")? || attributes.flag("past_present_share_buffer")? || cx.optional(6).is_some() {
        return unsupported(
            "do_rotary and past_present_share_buffer; positions in the input and a past of its own are accepted",
        );
    }
    let heads = attributes.required("num_heads", attributes.int("num_heads")?)?;
    let one_way = attributes.flag("unidirectional")?;
    let [query, key, value] = projections(cx, heads)?;
    let (key, value) = (continued(cx, 0, key)?, continued(cx, 1, value)?);
    let mut scores = scores_of(cx, query, key)?;
    let to = cx.dtype(scores);
    if let Some(bias) = cx.optional(5) {
        scores = cx.binary(BinaryOp::Add, scores, bias)?;
    }
    if let Some(mask) = cx.optional(3) {
        let mask = added(cx, mask, key, to)?;
        scores = cx.binary(BinaryOp::Add, scores, mask)?;
    }
    if one_way {
        let before = cx.optional(4).map(|past| cx.emit(Op::Shape { begin: 3, end: 4 }, &[past])).transpose()?;
        scores = causal(cx, scores, key, before)?;
    }
    let chances = cx.emit(Op::Softmax { axis: 3, log: false }, &[scores])?;
    let y = product(cx, chances, value, false)?;
    let [batch, heads, rows, size] = four(cx, y, "result")?;
    let y = transpose(cx, y, &[0, 2, 1, 3])?;
    let mut results = vec![cx.reshape(y, vec![batch, rows, heads.mul(&size)])?];
    if cx.wants(1) {
        let mut both = [key, value];
        for one in &mut both {
            let shape = std::iter::once(Dim::Const(1)).chain(cx.shape(*one)).collect();
            *one = cx.reshape(*one, shape)?;
        }
        results.push(cx.emit(Op::Concat { axis: 0 }, &both)?);
    }
    Ok(results)
}

/// EmbedLayerNormalization: rows of the tables of words, positions and segments, their sum, normalised.
pub(crate) fn embed_norm(cx: &mut Context<'_, '_>) -> Results {
    let (words, table) = (cx.input(0)?, cx.input(2)?);
    let mut sum = cx.emit(Op::Gather { axis: 0 }, &[table, words])?;
    let table = cx.input(3)?;
    let positions = match cx.optional(8) {
        Some(positions) => cx.emit(Op::Gather { axis: 0 }, &[table, positions])?,
        None => {
            let Some(length) = cx.shape(words).get(1).cloned() else {
                return invalid("input_ids has another rank than 2");
            };
            part(cx, table, 0, (Dim::Const(0), length, 1))?
        }
    };
    sum = cx.binary(BinaryOp::Add, sum, positions)?;
    if let (Some(segments), Some(table)) = (cx.optional(1), cx.optional(4)) {
        let segments = cx.emit(Op::Gather { axis: 0 }, &[table, segments])?;
        sum = cx.binary(BinaryOp::Add, sum, segments)?;
    }
    let (gamma, beta) = (cx.input(5)?, cx.optional(6));
    let y = normalized(cx, "LayerNormalization", sum, gamma, beta)?;
    // The number of words of each sample that the mask keeps; none where there is no mask.
    let kept = match cx.optional(7) {
        Some(mask) => mask,
        None => cx.binary(BinaryOp::Sub, words, words)?,
    };
    let counts = cx.emit(Op::Reduce { kind: ReduceKind::Sum, axes: vec![1], keep: false }, &[kept])?;
    Ok(vec![y, cx.cast(counts, DType::I32)?, sum])
}
