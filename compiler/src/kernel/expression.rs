//! The Graph IR's element-wise functions over tile operations; also the epilogue of every kernel that takes one.

use super::{NoKernel, inverse, math, remainder};
use crate::ir::{Arg, BinaryOp, Expression, Step, UnaryOp};
use crate::tile::{Builder, Cmp, FloatUn, MaskId, MaskOp, Operand};

/// A function of one vector of floats.
pub fn unary(k: &mut Builder, op: UnaryOp, x: Operand) -> Result<Operand, NoKernel> {
    let y = match op {
        UnaryOp::Abs => k.unary(FloatUn::Abs, x),
        UnaryOp::Neg => k.unary(FloatUn::Neg, x),
        UnaryOp::Floor => k.unary(FloatUn::Floor, x),
        UnaryOp::Ceil => k.unary(FloatUn::Ceil, x),
        UnaryOp::Round => k.unary(FloatUn::Nearest, x),
        UnaryOp::Sqrt => k.unary(FloatUn::Sqrt, x),
        UnaryOp::Sign => sign(k, x),
        UnaryOp::Reciprocal => {
            let one = k.float(1.0);
            k.div(one, x)
        }
        UnaryOp::Exp => math::exp(k, x),
        UnaryOp::Log => math::log(k, x),
        UnaryOp::Erf => math::erf(k, x),
        UnaryOp::Sin => math::sine(k, x, 0),
        UnaryOp::Cos => math::sine(k, x, 1),
        UnaryOp::Tanh => math::tanh(k, x),
        UnaryOp::Sigmoid => math::sigmoid(k, x),
        UnaryOp::Softplus => math::softplus(k, x),
        UnaryOp::Mish => math::mish(k, x),
        UnaryOp::Relu => {
            let zero = k.float(0.0);
            k.max(zero, x)
        }
        UnaryOp::Clip { lo, hi } => clip(k, x, lo, hi),
        _ => return activation(k, op, x),
    };
    Ok(y)
}

/// The activations that are built on others.
fn activation(k: &mut Builder, op: UnaryOp, x: Operand) -> Result<Operand, NoKernel> {
    let y = match op {
        UnaryOp::Softsign => {
            let one = k.float(1.0);
            let below = k.unary(FloatUn::Abs, x.clone());
            let below = k.add(below, one);
            k.div(x, below)
        }
        UnaryOp::HardSigmoid { alpha, beta } => hard_sigmoid(k, x, alpha, beta),
        UnaryOp::HardSwish => {
            let gate = hard_sigmoid(k, x.clone(), 1.0 / 6.0, 0.5);
            k.mul(gate, x)
        }
        UnaryOp::Silu { alpha } => {
            let scaled = scaled(k, x.clone(), alpha);
            let gate = math::sigmoid(k, scaled);
            k.mul(gate, x)
        }
        UnaryOp::Gelu => {
            let inside = scaled(k, x.clone(), std::f32::consts::FRAC_1_SQRT_2);
            let gate = math::erf(k, inside);
            gelu(k, gate, x)
        }
        UnaryOp::GeluTanh => {
            let (cubic, one) = (k.float(0.044_715), k.float(1.0));
            let inside = k.mul(x.clone(), x.clone());
            let inside = k.mul_add(inside, cubic, one);
            let inside = k.mul(inside, x.clone());
            let inside = scaled(k, inside, 0.797_884_6);
            let gate = math::tanh(k, inside);
            gelu(k, gate, x)
        }
        UnaryOp::LeakyRelu { alpha } => {
            let low = scaled(k, x.clone(), alpha);
            choose(k, Cmp::Lt, &x, 0.0, low, x.clone())
        }
        UnaryOp::ThresholdedRelu { alpha } => {
            let zero = k.float(0.0);
            choose(k, Cmp::Gt, &x, alpha, x.clone(), zero)
        }
        UnaryOp::Elu { alpha } => exponential_below(k, x, alpha, 1.0, 1.0),
        UnaryOp::Celu { alpha } => exponential_below(k, x, alpha, 1.0 / alpha, 1.0),
        UnaryOp::Selu { alpha, gamma } => exponential_below(k, x, alpha, 1.0, gamma),
        UnaryOp::Tan => inverse::tan(k, x),
        UnaryOp::Asin => inverse::asin(k, x),
        UnaryOp::Acos => inverse::acos(k, x),
        UnaryOp::Atan => inverse::atan(k, x),
        UnaryOp::Sinh => inverse::sinh(k, x),
        UnaryOp::Cosh => inverse::cosh(k, x),
        UnaryOp::Asinh => inverse::asinh(k, x),
        UnaryOp::Acosh => inverse::acosh(k, x),
        UnaryOp::Atanh => inverse::atanh(k, x),
        UnaryOp::IsNaN | UnaryOp::Not => return Err(NoKernel(format!("{op:?} gives booleans, not floats"))),
        _ => return Err(NoKernel(format!("{op:?} is not built from tile operations"))),
    };
    Ok(y)
}

fn scaled(k: &mut Builder, x: Operand, factor: f32) -> Operand {
    if factor == 1.0 {
        return x;
    }
    let factor = k.float(factor);
    k.mul(x, factor)
}

/// x cmp bound ? a : b
fn choose(k: &mut Builder, cmp: Cmp, x: &Operand, bound: f32, a: Operand, b: Operand) -> Operand {
    let bound = k.float(bound);
    let mask = k.cmp(cmp, x.clone(), bound);
    k.select(mask, a, b)
}

fn sign(k: &mut Builder, x: Operand) -> Operand {
    let (one, minus) = (k.float(1.0), k.float(-1.0));
    let y = choose(k, Cmp::Gt, &x, 0.0, one, x.clone());
    choose(k, Cmp::Lt, &x, 0.0, minus, y)
}

/// min(hi, max(lo, x)); a NaN of x passes.
fn clip(k: &mut Builder, x: Operand, lo: f32, hi: f32) -> Operand {
    let mut y = x;
    if lo > f32::NEG_INFINITY {
        let lo = k.float(lo);
        y = k.max(lo, y);
    }
    if hi < f32::INFINITY {
        let hi = k.float(hi);
        y = k.min(hi, y);
    }
    y
}

fn hard_sigmoid(k: &mut Builder, x: Operand, alpha: f32, beta: f32) -> Operand {
    let (alpha, beta) = (k.float(alpha), k.float(beta));
    let y = k.mul_add(x, alpha, beta);
    clip(k, y, 0.0, 1.0)
}

/// 0.5 x (1 + gate)
fn gelu(k: &mut Builder, gate: Operand, x: Operand) -> Operand {
    let half = scaled(k, x, 0.5);
    k.mul_add(half.clone(), gate, half)
}

/// gamma (x > 0 ? x : alpha (e^(inner x) - 1))
fn exponential_below(k: &mut Builder, x: Operand, alpha: f32, inner: f32, gamma: f32) -> Operand {
    let below = scaled(k, x.clone(), inner);
    let below = math::exp(k, below);
    let minus = k.float(-1.0);
    let below = k.add(below, minus);
    let below = scaled(k, below, alpha);
    let y = choose(k, Cmp::Gt, &x, 0.0, x.clone(), below);
    scaled(k, y, gamma)
}

/// A function of two vectors of floats.
pub fn binary(k: &mut Builder, op: BinaryOp, a: Operand, b: Operand) -> Result<Operand, NoKernel> {
    Ok(match op {
        BinaryOp::Add => k.add(a, b),
        BinaryOp::Sub => k.sub(a, b),
        BinaryOp::Mul => k.mul(a, b),
        BinaryOp::Div => k.div(a, b),
        BinaryOp::Min => k.min(a, b),
        BinaryOp::Max => k.max(a, b),
        BinaryOp::Pow => math::pow(k, a, b),
        BinaryOp::Fmod => remainder::fmod(k, a, b),
        BinaryOp::PRelu => {
            let low = k.mul(a.clone(), b);
            choose(k, Cmp::Lt, &a, 0.0, low, a.clone())
        }
        _ => return Err(NoKernel(format!("{op:?} is not arithmetic on floats"))),
    })
}

/// `a^b` for the powers that need no logarithm.
fn constant_power(k: &mut Builder, a: Operand, b: f32) -> Option<Operand> {
    if b == 0.5 {
        return Some(k.unary(FloatUn::Sqrt, a));
    }
    let power = b.abs() as u32;
    if !(1..=8).contains(&power) || f64::from(b.abs()) != f64::from(power) {
        return None;
    }
    let mut y = a.clone();
    for _ in 1..power {
        y = k.mul(y, a.clone());
    }
    if b < 0.0 {
        let one = k.float(1.0);
        y = k.div(one, y);
    }
    Some(y)
}

/// The mask of a comparison of two vectors of floats.
pub fn comparison(k: &mut Builder, op: BinaryOp, a: Operand, b: Operand) -> Result<MaskId, NoKernel> {
    let cmp = relation(op).ok_or_else(|| NoKernel(format!("{op:?} is not a comparison")))?;
    Ok(k.mask(MaskOp::CmpFloat(cmp, a, b)))
}

/// The relation that an operation compares by.
pub fn relation(op: BinaryOp) -> Option<Cmp> {
    Some(match op {
        BinaryOp::Equal => Cmp::Eq,
        BinaryOp::Less => Cmp::Lt,
        BinaryOp::LessOrEqual => Cmp::Le,
        BinaryOp::Greater => Cmp::Gt,
        BinaryOp::GreaterOrEqual => Cmp::Ge,
        _ => return None,
    })
}

/// The value of an expression whose inputs are vectors.
pub fn expression(k: &mut Builder, e: &Expression, inputs: &[Operand]) -> Result<Operand, NoKernel> {
    expression_with(k, e, &mut |_, i| {
        inputs.get(i as usize).cloned().ok_or_else(|| NoKernel(format!("the expression has no input {i}")))
    })
}

/// The value of an expression that asks for an input wherever it reads one, so that it can be loaded again instead of held.
pub fn expression_with(
    k: &mut Builder,
    e: &Expression,
    input: &mut dyn FnMut(&mut Builder, u32) -> Result<Operand, NoKernel>,
) -> Result<Operand, NoKernel> {
    let mut done: Vec<Operand> = Vec::with_capacity(e.steps.len());
    for step in &e.steps {
        let mut get = |k: &mut Builder, arg: Arg| match arg {
            Arg::Input(i) => input(k, i),
            Arg::Step(i) => {
                done.get(i as usize).cloned().ok_or_else(|| NoKernel(format!("step {i} of the expression comes later")))
            }
            Arg::Const(value) => Ok(k.float(value)),
        };
        let y = match *step {
            Step::Unary(op, a) => {
                let a = get(k, a)?;
                unary(k, op, a)?
            }
            Step::Binary(op, a, b) => {
                let a = get(k, a)?;
                let easy = match (op, b) {
                    (BinaryOp::Pow, Arg::Const(b)) => constant_power(k, a.clone(), b),
                    _ => None,
                };
                match easy {
                    Some(y) => y,
                    None => {
                        let b = get(k, b)?;
                        binary(k, op, a, b)?
                    }
                }
            }
        };
        done.push(y);
    }
    match done.pop() {
        Some(y) => Ok(y),
        None => input(k, 0),
    }
}

/// Whether the expression is zero where all its inputs are, as far as its operations tell.
pub fn keeps_zero(e: &Expression) -> bool {
    let mut zero: Vec<bool> = Vec::with_capacity(e.steps.len());
    for step in &e.steps {
        let is_zero = |arg: &Arg| match arg {
            Arg::Input(_) => true,
            Arg::Step(i) => zero.get(*i as usize).copied().unwrap_or(false),
            Arg::Const(c) => *c == 0.0,
        };
        let next = match step {
            Step::Unary(op, a) => is_zero(a) && unary_keeps_zero(*op),
            Step::Binary(op, a, b) => match op {
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Min | BinaryOp::Max => is_zero(a) && is_zero(b),
                BinaryOp::Mul => (is_zero(a) && finite(b)) || (is_zero(b) && finite(a)),
                BinaryOp::PRelu => is_zero(a),
                BinaryOp::Div => is_zero(a) && matches!(b, Arg::Const(c) if *c != 0.0),
                _ => false,
            },
        };
        zero.push(next);
    }
    zero.last().copied().unwrap_or(true)
}

/// Whether an argument is surely finite where all inputs are zero.
fn finite(arg: &Arg) -> bool {
    match arg {
        Arg::Input(_) => true,
        Arg::Const(c) => c.is_finite(),
        Arg::Step(_) => false,
    }
}

fn unary_keeps_zero(op: UnaryOp) -> bool {
    match op {
        UnaryOp::Clip { lo, hi } => lo <= 0.0 && hi >= 0.0,
        UnaryOp::ThresholdedRelu { alpha } => alpha >= 0.0,
        UnaryOp::Abs
        | UnaryOp::Neg
        | UnaryOp::Floor
        | UnaryOp::Ceil
        | UnaryOp::Round
        | UnaryOp::Sign
        | UnaryOp::Sqrt
        | UnaryOp::Erf
        | UnaryOp::Sin
        | UnaryOp::Tanh
        | UnaryOp::Softsign
        | UnaryOp::Relu
        | UnaryOp::HardSwish
        | UnaryOp::Silu { .. }
        | UnaryOp::Gelu
        | UnaryOp::GeluTanh
        | UnaryOp::Mish
        | UnaryOp::LeakyRelu { .. }
        | UnaryOp::Elu { .. }
        | UnaryOp::Selu { .. } => true,
        UnaryOp::Celu { alpha } => alpha != 0.0,
        _ => false,
    }
}
