//! Fused element-wise expressions: every step is rounded to f32.

use super::EvalError;
use crate::ir::{Arg, Expression, Step};
use brolga_runtime::{Tensor, library};

/// The value of an expression on one element of each input.
pub fn value(expression: &Expression, inputs: &[f32], steps: &mut Vec<f32>) -> Result<f32, EvalError> {
    steps.clear();
    let missing = || EvalError::Op("an expression reads what is not there".into());
    for step in &expression.steps {
        let read = |arg: &Arg| {
            let found = match arg {
                Arg::Input(i) => inputs.get(*i as usize).copied(),
                Arg::Step(i) => steps.get(*i as usize).copied(),
                Arg::Const(x) => Some(*x),
            };
            found.map(f64::from).ok_or_else(missing)
        };
        let result = match step {
            Step::Unary(op, a) => op.float(read(a)?),
            Step::Binary(op, a, b) => op.float(read(a)?, read(b)?),
        };
        steps.push(result as f32);
    }
    steps.last().or(inputs.first()).copied().ok_or_else(missing)
}

/// `out = expression(inputs...)`, all broadcast to the shape of `out`.
pub(super) fn elementwise(expression: &Expression, inputs: &[&Tensor], out: &mut Tensor) -> Result<(), EvalError> {
    let mut wide = Vec::with_capacity(inputs.len());
    for x in inputs {
        let mut full = Tensor::zeros(x.dtype(), out.shape())?;
        library::expand(&x.view(), &mut full.view_mut())?;
        wide.push(full);
    }
    let wide: Vec<&[f32]> = wide.iter().map(Tensor::as_slice).collect::<Result<_, _>>()?;
    let (mut operands, mut steps) = (vec![0f32; wide.len()], Vec::new());
    for (i, to) in out.as_mut_slice::<f32>()?.iter_mut().enumerate() {
        for (operand, x) in operands.iter_mut().zip(&wide) {
            *operand = x[i];
        }
        *to = value(expression, &operands, &mut steps)?;
    }
    Ok(())
}

/// Applies an expression to a result in place; its input 0 is the result, the others are `extra`.
pub(super) fn epilogue(expression: &Expression, extra: &[&Tensor], out: &mut Tensor) -> Result<(), EvalError> {
    if expression.steps.is_empty() {
        return Ok(());
    }
    let result = out.clone();
    let inputs: Vec<&Tensor> = std::iter::once(&result).chain(extra.iter().copied()).collect();
    elementwise(expression, &inputs, out)
}
