//! Fused element-wise expressions over f32, every step rounded. A step is a text: the function's name, its parameters, and
//! what it reads: `i0` an input, `s1` an earlier step, `c3f800000` the bits of a number.

use crate::library::function::{Function, Operands, Results};
use crate::library::{BinaryOp, LibraryError, UnaryOp, expand};
use crate::{DType, Tensor, TensorView, element_count};

enum Arg {
    Input(usize),
    Step(usize),
    Const(f32),
}

enum Step {
    Unary(UnaryOp, Arg),
    Binary(BinaryOp, Arg, Arg),
}

fn arg(word: &str) -> Option<Arg> {
    let (kind, rest) = word.split_at_checked(1)?;
    Some(match kind {
        "i" => Arg::Input(rest.parse().ok()?),
        "s" => Arg::Step(rest.parse().ok()?),
        "c" => Arg::Const(f32::from_bits(u32::from_str_radix(rest, 16).ok()?)),
        _ => return None,
    })
}

fn step(text: &str) -> Option<Step> {
    let words: Vec<&str> = text.split(' ').collect();
    let (name, rest) = words.split_first()?;
    let (parameters, args): (Vec<&str>, Vec<&str>) = rest.iter().partition(|w| w.contains('='));
    let parameter = |wanted: &str| {
        let found = parameters.iter().find_map(|p| p.split_once('=').filter(|(name, _)| *name == wanted));
        found.and_then(|(_, value)| value.parse().ok())
    };
    match args[..] {
        [a] => Some(Step::Unary(UnaryOp::from_parts(name, parameter)?, arg(a)?)),
        [a, b] => Some(Step::Binary(BinaryOp::from_name(name)?, arg(a)?, arg(b)?)),
        _ => None,
    }
}

/// `expression(inputs...)`, all broadcast to `shape`.
pub(super) fn apply(texts: &[String], inputs: &[TensorView], shape: &[usize]) -> Result<Tensor, LibraryError> {
    let malformed = LibraryError::Operands { accepted: "expressions over their inputs and earlier steps" };
    let steps: Vec<Step> = texts.iter().map(|t| step(t)).collect::<Option<_>>().ok_or(malformed.clone())?;
    let mut wide = Vec::with_capacity(inputs.len());
    for x in inputs {
        let mut full = Tensor::zeros(DType::F32, shape)?;
        expand(x, &mut full.view_mut())?;
        wide.push(full);
    }
    let wide: Vec<&[f32]> = wide.iter().map(Tensor::as_slice).collect::<Result<_, _>>()?;
    let mut out = Tensor::zeros(DType::F32, shape)?;
    let mut made: Vec<f32> = Vec::with_capacity(steps.len());
    for (i, to) in out.as_mut_slice::<f32>()?.iter_mut().enumerate() {
        made.clear();
        for step in &steps {
            let read = |arg: &Arg| {
                let found = match arg {
                    Arg::Input(k) => wide.get(*k).and_then(|x| x.get(i)).copied(),
                    Arg::Step(k) => made.get(*k).copied(),
                    Arg::Const(x) => Some(*x),
                };
                found.map(f64::from).ok_or(malformed.clone())
            };
            let result = match step {
                Step::Unary(op, a) => op.float(read(a)?),
                Step::Binary(op, a, b) => op.float(read(a)?, read(b)?),
            };
            made.push(result as f32);
        }
        let input = || wide.first().and_then(|x| x.get(i));
        *to = *made.last().or_else(input).ok_or(malformed.clone())?;
    }
    Ok(out)
}

/// The expression in `epilogue` over all operands.
pub(super) fn elementwise(function: &Function, operands: &Operands) -> Results {
    let inputs = (0..operands.len()).map(|i| operands.tensor(i)).collect::<Result<Vec<_>, _>>()?;
    let shape: Option<Vec<usize>> = function.ints("output").iter().map(|n| usize::try_from(*n).ok()).collect();
    let shape = shape.filter(|shape| element_count(shape).is_some());
    let shape = shape.ok_or(LibraryError::Operands { accepted: "a shape that can be counted" })?;
    Ok(vec![apply(function.texts("epilogue"), &inputs, &shape)?.into()])
}
