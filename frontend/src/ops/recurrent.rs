//! Recurrent cells: RNN, GRU, LSTM. The input's share of the gates is one matrix product over all steps and both directions; the
//! recurrence is a function of its own.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__LSTM.html> and its neighbours. Opset 14 adds `layout`; the first versions say in
//! `output_sequence` whether all steps are wanted, which the node's results say too.

use super::attention::{part, wide};
use crate::context::{Context, Results, product};
use crate::error::{NodeError, invalid};
use brolga_compiler::ir::{Dim, Expression, Op, Type, ValueId};
use brolga_runtime::library::Function;

/// Attributes that the library function reads.
const ATTRIBUTES: &[&str] =
    &["activations", "activation_alpha", "activation_beta", "clip", "direction", "linear_before_reset", "input_forget"];

/// Extents of a node.
struct Extents {
    steps: Dim,
    batch: Dim,
    input: Dim,
    directions: Dim,
    /// Gates of one direction.
    gates: Dim,
    hidden: Dim,
}

fn extents(cx: &Context<'_, '_>, x: ValueId, gates: i64) -> Result<Extents, NodeError> {
    let (shape, weights, recurrent) = (cx.shape(x), cx.shape(cx.input(1)?), cx.shape(cx.input(2)?));
    let ([steps, batch, input], [directions, own, _], [_, _, hidden]) = (&shape[..], &weights[..], &recurrent[..])
    else {
        return invalid("its operand and weights have other ranks than 3");
    };
    let asked = cx.node.attributes.int("hidden_size")?;
    let differs = |n: &i64| asked.is_some_and(|asked| asked != *n);
    if let Some(hidden) = hidden.known().filter(differs) {
        return invalid(format!("hidden_size is {} where the weights have {hidden}", asked.unwrap_or_default()));
    }
    let expected = hidden.mul(&Dim::Const(gates));
    if own.known().is_some_and(|own| expected.known().is_some_and(|n| n != own)) {
        return invalid(format!("the weights have {own} rows of gates; {expected} are expected"));
    }
    let direction = cx.node.attributes.text_or("direction", "forward")?;
    let count = match direction {
        "forward" | "reverse" => 1,
        "bidirectional" => 2,
        other => return invalid(format!("direction {other:?}; forward, reverse or bidirectional is expected")),
    };
    if directions.known().is_some_and(|n| n != count) {
        return invalid(format!("direction {direction:?} with weights of {directions} directions"));
    }
    Ok(Extents {
        steps: steps.clone(),
        batch: batch.clone(),
        input: input.clone(),
        directions: Dim::Const(count),
        gates: expected,
        hidden: hidden.clone(),
    })
}

/// Input biases `from = 0` or biases of the recurrence `from = 1`, `[directions, gates]`.
fn biases(cx: &mut Context<'_, '_>, extents: &Extents, second: bool) -> Result<Option<ValueId>, NodeError> {
    let Some(all) = cx.optional(3) else { return Ok(None) };
    let all = cx.cast(all, wide(cx.dtype(all)))?;
    let end = extents.gates.mul(&Dim::Const(2));
    let range = if second { (extents.gates.clone(), end, 1) } else { (Dim::Const(0), extents.gates.clone(), 1) };
    part(cx, all, 1, range).map(Some)
}

/// `[steps, batch, directions * gates]`: the input times its weights, plus the input biases.
fn projected(cx: &mut Context<'_, '_>, x: ValueId, extents: &Extents) -> Result<ValueId, NodeError> {
    let weights = cx.input(1)?;
    let weights = cx.cast(weights, cx.dtype(x))?;
    let columns = extents.directions.mul(&extents.gates);
    let weights = cx.reshape(weights, vec![columns.clone(), extents.input.clone()])?;
    let rows = product(&[extents.steps.clone(), extents.batch.clone()]);
    let mut operands = vec![cx.reshape(x, vec![rows, extents.input.clone()])?, weights];
    if let Some(bias) = biases(cx, extents, false)? {
        operands.push(cx.reshape(bias, vec![columns.clone()])?);
    }
    let bias = operands.len() == 3;
    let op = Op::MatMul { trans_a: false, trans_b: true, bias, epilogue: Expression::default() };
    let y = cx.emit(op, &operands)?;
    cx.reshape(y, vec![extents.steps.clone(), extents.batch.clone(), columns])
}

pub(crate) fn cell(cx: &mut Context<'_, '_>) -> Results {
    let (name, gates) = match cx.node.op {
        "LSTM" => ("lstm", 4),
        "GRU" => ("gru", 3),
        _ => ("rnn", 1),
    };
    let by_batch = match cx.node.attributes.int_or("layout", 0)? {
        0 => false,
        1 => true,
        other => return invalid(format!("layout is {other}; 0 or 1 is expected")),
    };
    let swapped = |cx: &mut Context<'_, '_>, x: ValueId| match by_batch {
        true => cx.emit(Op::Transpose { perm: vec![1, 0, 2] }, &[x]),
        false => Ok(x),
    };
    let x = cx.input(0)?;
    if cx.rank(x) != 3 {
        return invalid(format!("its operand has rank {}; 3 is expected", cx.rank(x)));
    }
    let own = cx.dtype(x);
    let x = cx.cast(x, wide(own))?;
    let x = swapped(cx, x)?;
    let extents = extents(cx, x, gates)?;
    let projected = projected(cx, x, &extents)?;
    let recurrent = cx.input(2)?;
    let recurrent = cx.cast(recurrent, wide(own))?;
    let recurrent = cx.emit(Op::Transpose { perm: vec![0, 2, 1] }, &[recurrent])?;
    let mut operands = vec![Some(projected), Some(recurrent), biases(cx, &extents, true)?, cx.optional(4)];
    // The hidden state and, of LSTM, the cell state.
    let states = if gates == 4 { 2 } else { 1 };
    for i in 5..5 + states {
        operands.push(match cx.optional(i) {
            Some(state) => {
                let state = cx.cast(state, wide(own))?;
                Some(swapped(cx, state)?)
            }
            None => None,
        });
    }
    if gates == 4 {
        operands.push(match cx.optional(7) {
            Some(peepholes) => Some(cx.cast(peepholes, wide(own))?),
            None => None,
        });
    }
    let Extents { steps, batch, directions, hidden, .. } = extents;
    let state = Type::new(wide(own), vec![directions.clone(), batch.clone(), hidden.clone()]);
    let mut types = vec![Type::new(wide(own), vec![steps, directions, batch, hidden])];
    types.extend(vec![state; states]);
    let function = cx.copy_attributes(Function::new(name, operands.len()), ATTRIBUTES)?;
    let mut results = cx.function(function, &operands, types)?;
    for (i, result) in results.iter_mut().enumerate() {
        *result = cx.cast(*result, own)?;
        *result = match (i, by_batch) {
            (0, true) => cx.emit(Op::Transpose { perm: vec![2, 0, 1, 3] }, &[*result])?,
            _ => swapped(cx, *result)?,
        };
    }
    Ok(results)
}
