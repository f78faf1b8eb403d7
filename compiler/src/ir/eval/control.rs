//! If, Loop and Scan: which body runs, how often, and what goes from one iteration to the next. How a body runs is the
//! caller's: the evaluator walks it, the executor has it compiled.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__Loop.html>, onnx__If, onnx__Scan.

use super::values::{RunBody, Shared};
use super::{EvalError, call};
use crate::ir::{Bindings, Body, Op, ScanAxis, Type};
use brolga_runtime::library;
use brolga_runtime::{DType, Tensor, Value};
use std::sync::Arc;

type Results = Result<Vec<Shared>, EvalError>;

fn fault<T>(what: &str) -> Result<T, EvalError> {
    Err(EvalError::Op(what.to_owned()))
}

fn truth(value: &Value) -> Result<bool, EvalError> {
    match value.as_tensor() {
        Some(tensor) if tensor.dtype() == DType::Bool && tensor.len() == 1 => Ok(tensor.bytes() != [0]),
        _ => fault("a condition is one bool"),
    }
}

fn tensor(value: &Value) -> Result<&Tensor, EvalError> {
    value.as_tensor().ok_or_else(|| EvalError::Op("a tensor of numbers is accepted here".into()))
}

/// ONNX If.
pub(super) fn branch(then: &Body, otherwise: &Body, operands: &[Shared], symbols: &Bindings, run: &RunBody) -> Results {
    let [condition, captured @ ..] = operands else { return fault("it has no condition") };
    run(if truth(condition)? { then } else { otherwise }, captured, symbols)
}

/// ONNX Loop.
pub(super) fn repeat(op: &Op, operands: &[Shared], symbols: &Bindings, run: &RunBody) -> Results {
    let Op::Loop { body, trip, condition, carried, results } = op else { return fault("it is no loop") };
    let mut rest = operands.iter();
    let mut next = || rest.next().ok_or_else(|| EvalError::Op("it has too few operands".into()));
    let limit = match *trip {
        true => call::integers(tensor(next()?)?).and_then(|n| n.first().copied()),
        false => None,
    };
    let mut holds = if *condition { truth(next()?)? } else { true };
    let mut state: Vec<Shared> = (0..*carried).map(|_| next().cloned()).collect::<Result<_, _>>()?;
    let captured: Vec<Shared> = rest.cloned().collect();
    let mut stacked: Vec<Vec<Shared>> = vec![Vec::new(); results.len().saturating_sub(*carried)];
    let mut number = 0i64;
    while holds && limit.is_none_or(|limit| number < limit) {
        let now = [Tensor::scalar(number), Tensor::from_bools(&[], &[holds])?].map(|t| Arc::new(Value::Tensor(t)));
        let inputs: Vec<Shared> = now.into_iter().chain(state).chain(captured.iter().cloned()).collect();
        let mut made = run(body, &inputs, symbols)?.into_iter();
        let go_on = made.next().ok_or_else(|| EvalError::Op("its body has no condition".into()))?;
        if *condition || limit.is_none() {
            holds = truth(&go_on)?;
        }
        state = made.by_ref().take(*carried).collect();
        stacked.iter_mut().zip(made).for_each(|(list, value)| list.push(value));
        number = number.saturating_add(1);
    }
    let stacks = stacked.iter().zip(results.iter().skip(*carried));
    let stacks = stacks.map(|(list, ty)| stack(list, ScanAxis { axis: 0, reverse: false }, &ty.bind(symbols)));
    state.into_iter().map(Ok).chain(stacks).collect()
}

/// ONNX Scan.
pub(super) fn scan(op: &Op, operands: &[Shared], symbols: &Bindings, run: &RunBody) -> Results {
    let Op::Scan { body, inputs, outputs, results } = op else { return fault("it is no scan") };
    let states = results.len().saturating_sub(outputs.len());
    if operands.len() < states + inputs.len() || inputs.is_empty() {
        return fault("it has too few operands");
    }
    let (state, rest) = operands.split_at(states);
    let (scanned, captured) = rest.split_at(inputs.len());
    let extent = |(value, walk): (&Shared, &ScanAxis)| Ok(tensor(value)?.shape().get(walk.axis).copied());
    let lengths: Vec<Option<usize>> = scanned.iter().zip(inputs).map(extent).collect::<Result<_, EvalError>>()?;
    let Some(length) = lengths[0].filter(|n| lengths.iter().all(|m| *m == Some(*n))) else {
        return fault("its scanned operands have as many items");
    };
    let mut state = state.to_vec();
    let mut stacked: Vec<Vec<Shared>> = vec![Vec::new(); outputs.len()];
    for number in 0..length {
        let item = |(value, walk): (&Shared, &ScanAxis)| {
            let at = if walk.reverse { length - 1 - number } else { number };
            take(tensor(value)?, walk.axis, at).map(|t| Arc::new(Value::Tensor(t)))
        };
        let items: Vec<Shared> = scanned.iter().zip(inputs).map(item).collect::<Result<_, EvalError>>()?;
        let all: Vec<Shared> = state.into_iter().chain(items).chain(captured.iter().cloned()).collect();
        let mut made = run(body, &all, symbols)?.into_iter();
        state = made.by_ref().take(states).collect();
        stacked.iter_mut().zip(made).for_each(|(list, value)| list.push(value));
    }
    let stacks = stacked.iter().zip(outputs).zip(results.iter().skip(states));
    let stacks = stacks.map(|((list, walk), ty)| stack(list, *walk, &ty.bind(symbols)));
    state.into_iter().map(Ok).chain(stacks).collect()
}

/// Item `at` of a dimension, which goes away.
fn take(x: &Tensor, axis: usize, at: usize) -> Result<Tensor, EvalError> {
    let mut shape = x.shape().to_vec();
    shape.remove(axis);
    let mut out = Tensor::zeros(x.dtype(), &shape)?;
    let index = Tensor::scalar(at as i64);
    library::gather(axis, &x.view(), &index.view(), &mut out.view_mut())?;
    Ok(out)
}

/// Tensors of one shape along a new dimension. Of none, the type says what there would be.
fn stack(items: &[Shared], walk: ScanAxis, ty: &Type) -> Result<Shared, EvalError> {
    let Some(first) = items.first() else {
        let extent = |d: &crate::ir::Dim| d.known().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let mut shape: Vec<usize> = ty.shape.iter().map(extent).collect();
        if let Some(count) = shape.get_mut(walk.axis) {
            *count = 0;
        }
        return Ok(Arc::new(Value::Tensor(Tensor::zeros(ty.dtype, &shape)?)));
    };
    let shape = tensor(first)?.shape();
    if walk.axis > shape.len() {
        return fault("the axis of a scan's result is within its rank");
    }
    let insert = |n: usize| [&shape[..walk.axis], &[n], &shape[walk.axis..]].concat();
    let one = insert(1);
    let mut views = Vec::with_capacity(items.len());
    for item in items {
        let item = tensor(item)?;
        if item.shape() != shape {
            return fault("every iteration gives a result of one shape");
        }
        views.push(brolga_runtime::TensorView::new(item.dtype(), &one, item.bytes())?);
    }
    if walk.reverse {
        views.reverse();
    }
    let mut out = Tensor::zeros(tensor(first)?.dtype(), &insert(items.len()))?;
    library::concat(walk.axis, &views, &mut out.view_mut())?;
    Ok(Arc::new(Value::Tensor(out)))
}
