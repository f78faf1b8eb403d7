//! Integer convolutions and matrix products with what follows them, and arithmetic on quantised operands.

use super::{EvalError, dense};
use crate::ir::infer::conv_pads;
use crate::ir::{Expression, Window};
use brolga_runtime::library::{self, Call, IntegerWindow};
use brolga_runtime::{DType, Tensor};

/// The geometry that the library takes.
pub(super) fn geometry(window: &Window, group: usize, input: &[usize]) -> Option<IntegerWindow> {
    let begin = conv_pads(window, input.get(2..)?).0;
    Some(IntegerWindow { stride: window.stride.clone(), dilation: window.dilation.clone(), begin, group })
}

pub(super) fn conv(
    x: &[&Tensor],
    window: &Window,
    group: usize,
    rest: (bool, &Expression),
    out: &mut Tensor,
) -> Result<(), EvalError> {
    let window = geometry(window, group, x[0].shape()).ok_or_else(|| EvalError::Op("an operand of rank 0".into()))?;
    finish(&Call::ConvInteger(window), &[x[0], x[1], x[2], x[3]], x, 1, rest, out)
}

pub(super) fn matmul(
    x: &[&Tensor],
    trans_b: bool,
    rest: (bool, &Expression),
    out: &mut Tensor,
) -> Result<(), EvalError> {
    let axis = out.shape().len().saturating_sub(1);
    if !trans_b {
        return finish(&Call::MatMulInteger, &[x[0], x[1], x[2], x[3]], x, axis, rest, out);
    }
    let rank = x[1].shape().len();
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 1, rank - 2);
    let shape: Vec<usize> = perm.iter().map(|d| x[1].shape()[*d]).collect();
    let mut turned = Tensor::zeros(x[1].dtype(), &shape)?;
    library::transpose(&perm, &x[1].view(), &mut turned.view_mut())?;
    finish(&Call::MatMulInteger, &[x[0], &turned, x[2], x[3]], x, axis, rest, out)
}

/// The sums, the bias, the expression, the conversion.
fn finish(
    call: &Call,
    operands: &[&Tensor],
    x: &[&Tensor],
    axis: usize,
    (bias, fused): (bool, &Expression),
    out: &mut Tensor,
) -> Result<(), EvalError> {
    let mut sums = Tensor::zeros(DType::I32, out.shape())?;
    let views: Vec<_> = operands.iter().map(|t| t.view()).collect();
    call.run(&views, &mut [sums.view_mut()])?;
    if bias {
        library::add_channels(&mut sums, x[4].as_slice::<i32>()?, axis)?;
    }
    if out.dtype() == DType::I32 {
        *out = sums;
        return Ok(());
    }
    let inputs: Vec<&Tensor> = std::iter::once(&sums).chain(x[4 + usize::from(bias)..].iter().copied()).collect();
    requantize(fused, &inputs, out)
}

/// The expression on operands read as f32, its result rounded and saturated to the type of `out`.
pub(super) fn requantize(fused: &Expression, inputs: &[&Tensor], out: &mut Tensor) -> Result<(), EvalError> {
    let float = |t: &&Tensor| -> Result<Tensor, EvalError> {
        let mut wide = Tensor::zeros(DType::F32, t.shape())?;
        library::cast(&t.view(), &mut wide.view_mut())?;
        Ok(wide)
    };
    let inputs: Vec<Tensor> = inputs.iter().map(float).collect::<Result<_, _>>()?;
    let mut result = dense::elementwise(fused, &inputs, out.shape())?;
    if out.dtype() != DType::F32 {
        result.as_mut_slice::<f32>()?.iter_mut().for_each(|x| *x = x.round_ties_even());
    }
    Ok(library::cast(&result.view(), &mut out.view_mut())?)
}
