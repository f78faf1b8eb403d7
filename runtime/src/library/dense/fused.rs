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

/// Elements that one step computes before the next one does.
const BLOCK: usize = 256;

/// What a step reads in a block.
enum Read<'a> {
    Each(&'a [f32]),
    All(f32),
}

impl Read<'_> {
    fn at(&self, i: usize) -> f64 {
        f64::from(match self {
            Read::Each(block) => block[i],
            Read::All(x) => *x,
        })
    }
}

/// `expression(inputs...)`, all broadcast to `shape`.
pub(super) fn apply(texts: &[String], inputs: &[TensorView], shape: &[usize]) -> Result<Tensor, LibraryError> {
    const MALFORMED: LibraryError =
        LibraryError::Operands { accepted: "expressions over their inputs and earlier steps" };
    let steps: Vec<Step> = texts.iter().map(|t| step(t)).collect::<Option<_>>().ok_or(MALFORMED)?;
    let expanded = inputs.iter().map(|x| broadcast(x, shape)).collect::<Result<Vec<_>, _>>()?;
    let mut wide: Vec<&[f32]> = Vec::with_capacity(inputs.len());
    for (x, expanded) in inputs.iter().zip(&expanded) {
        wide.push(match expanded {
            Some(tensor) => tensor.as_slice()?,
            None => x.as_slice()?,
        });
    }
    let mut out = Tensor::zeros(DType::F32, shape)?;
    let mut made = vec![[0.0f32; BLOCK]; steps.len()];
    for (number, to) in out.as_mut_slice::<f32>()?.chunks_mut(BLOCK).enumerate() {
        let range = number * BLOCK..number * BLOCK + to.len();
        for (position, step) in steps.iter().enumerate() {
            let (before, rest) = made.split_at_mut(position);
            let read = |arg: &Arg| match arg {
                Arg::Input(k) => wide.get(*k).and_then(|x| x.get(range.clone())).map(Read::Each),
                Arg::Step(k) => before.get(*k).map(|block| Read::Each(&block[..])),
                Arg::Const(x) => Some(Read::All(*x)),
            };
            let results = rest[0][..to.len()].iter_mut().enumerate();
            match step {
                Step::Unary(op, a) => {
                    let a = read(a).ok_or(MALFORMED)?;
                    results.for_each(|(i, to)| *to = op.float(a.at(i)) as f32);
                }
                Step::Binary(op, a, b) => {
                    let (a, b) = (read(a).ok_or(MALFORMED)?, read(b).ok_or(MALFORMED)?);
                    results.for_each(|(i, to)| *to = op.float(a.at(i), b.at(i)) as f32);
                }
            }
        }
        let input = || wide.first().and_then(|x| x.get(range.clone()));
        let last = made.last().map(|block| &block[..to.len()]);
        to.copy_from_slice(last.or_else(input).ok_or(MALFORMED)?);
    }
    Ok(out)
}

/// A tensor with the elements of `x` for every place of `shape`; `None` when `x` is that already.
fn broadcast(x: &TensorView, shape: &[usize]) -> Result<Option<Tensor>, LibraryError> {
    if x.shape == shape && x.dtype == DType::F32 {
        return Ok(None);
    }
    let mut full = Tensor::zeros(DType::F32, shape)?;
    expand(x, &mut full.view_mut())?;
    Ok(Some(full))
}

/// The expression in `epilogue` over all operands.
pub(super) fn elementwise(function: &Function, operands: &Operands) -> Results {
    let inputs = (0..operands.len()).map(|i| operands.tensor(i)).collect::<Result<Vec<_>, _>>()?;
    let shape: Option<Vec<usize>> = function.ints("output").iter().map(|n| usize::try_from(*n).ok()).collect();
    let shape = shape.filter(|shape| element_count(shape).is_some());
    let shape = shape.ok_or(LibraryError::Operands { accepted: "a shape that can be counted" })?;
    Ok(vec![apply(function.texts("epilogue"), &inputs, &shape)?.into()])
}
