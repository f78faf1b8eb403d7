//! Tangents, inverse circular and hyperbolic functions as sequences of tile operations, over those of [`math`](super::math).
//!
//! Polynomials are weighted least-squares fits of the relative error, rounded to f32:
//!
//! - atan: `1 / x` above one and `(x - 1) / (x + 1)` above tan pi / 8, then `x + x^3 q(x^2)`;
//! - asin: `x + x^3 q(x^2)` up to one half, `pi / 2 - 2 asin sqrt((1 - x) / 2)` above; acos from the same parts;
//! - asinh, acosh, atanh: log(1 + y) with the rounding of the sum put back in; the logarithm of 2 x for large x;
//! - sinh, cosh: from `e^x - 1` without cancellation; `e^(x - ln 2)` for large x.

use super::math::{copy_sign, exp, expm1, log, polynomial, sine};
use crate::tile::{Builder, Cmp, FloatUn, Operand};
use std::f32::consts::{FRAC_PI_2, FRAC_PI_4, LN_2, PI};

/// `(atan x / x - 1) / x^2` as a polynomial of `x^2` on [0, tan^2 pi / 8].
const ATAN: [f32; 5] = [-0.333_333_16, 0.199_984_9, -0.142_438_49, 0.105_959_97, -0.060_834_44];
/// `(asin x / x - 1) / x^2` as a polynomial of `x^2` on [0, 1/4].
const ASIN: [f32; 6] = [0.166_666_6, 0.075_005_11, 0.044_515_72, 0.031_817_61, 0.014_402_62, 0.037_565_18];
const TAN_PI_8: f32 = 0.414_213_57;
/// Above it, `sqrt(x^2 + 1)` is x.
const LARGE: f32 = 1e10;

/// tan x.
pub fn tan(k: &mut Builder, x: Operand) -> Operand {
    let s = sine(k, x.clone(), 0);
    let c = sine(k, x, 1);
    k.div(s, c)
}

/// `x + x^3 q(x^2)`
fn odd(k: &mut Builder, x: Operand, q: &[f32]) -> Operand {
    let square = k.mul(x.clone(), x.clone());
    let p = polynomial(k, &square, q);
    let p = k.mul(p, square);
    k.mul_add(p, x.clone(), x)
}

/// atan x.
pub fn atan(k: &mut Builder, x: Operand) -> Operand {
    let (one, minus) = (k.float(1.0), k.float(-1.0));
    let a = k.unary(FloatUn::Abs, x.clone());
    let inverse = k.div(one.clone(), a.clone());
    let beyond = k.cmp(Cmp::Gt, a.clone(), one.clone());
    let t = k.select(beyond, inverse, a);
    let (above, below) = (k.add(t.clone(), minus), k.add(t.clone(), one.clone()));
    let turned = k.div(above, below);
    let bound = k.float(TAN_PI_8);
    let upper = k.cmp(Cmp::Gt, t.clone(), bound.clone());
    let r = k.select(upper, turned, t.clone());
    let y = odd(k, r, &ATAN);
    let (quarter, none, half) = (k.float(FRAC_PI_4), k.float(0.0), k.float(FRAC_PI_2));
    let upper = k.cmp(Cmp::Gt, t, bound);
    let base = k.select(upper, quarter, none);
    let y = k.add(y, base);
    let rest = k.sub(half, y.clone());
    let a = k.unary(FloatUn::Abs, x.clone());
    let beyond = k.cmp(Cmp::Gt, a, one);
    let y = k.select(beyond, rest, y);
    copy_sign(k, y, x)
}

/// asin of |x| up to one half, or of `sqrt((1 - |x|) / 2)` above; NaN beyond one.
fn arc(k: &mut Builder, x: Operand) -> Operand {
    let (half, minus) = (k.float(0.5), k.float(-0.5));
    let a = k.unary(FloatUn::Abs, x);
    let left = k.mul_add(a.clone(), minus, half.clone());
    let left = k.unary(FloatUn::Sqrt, left);
    let beyond = k.cmp(Cmp::Gt, a.clone(), half);
    let r = k.select(beyond, left, a);
    odd(k, r, &ASIN)
}

/// asin x.
pub fn asin(k: &mut Builder, x: Operand) -> Operand {
    let y = arc(k, x.clone());
    let (minus, right, half) = (k.float(-2.0), k.float(FRAC_PI_2), k.float(0.5));
    let turned = k.mul_add(y.clone(), minus, right);
    let a = k.unary(FloatUn::Abs, x.clone());
    let beyond = k.cmp(Cmp::Gt, a, half);
    let y = k.select(beyond, turned, y);
    copy_sign(k, y, x)
}

/// acos x.
pub fn acos(k: &mut Builder, x: Operand) -> Operand {
    let y = arc(k, x.clone());
    let (right, whole, none, half) = (k.float(FRAC_PI_2), k.float(PI), k.float(0.0), k.float(0.5));
    let twice = k.add(y.clone(), y.clone());
    let turned = k.sub(whole, twice.clone());
    let negative = k.cmp(Cmp::Lt, x.clone(), none);
    let far = k.select(negative, turned, twice);
    let y = copy_sign(k, y, x.clone());
    let near = k.sub(right, y);
    let a = k.unary(FloatUn::Abs, x);
    let beyond = k.cmp(Cmp::Gt, a, half);
    k.select(beyond, far, near)
}

/// log(1 + y).
fn log1p(k: &mut Builder, y: Operand) -> Operand {
    let (one, minus, infinity) = (k.float(1.0), k.float(-1.0), k.float(f32::INFINITY));
    let sum = k.add(y.clone(), one);
    let lost = k.add(sum.clone(), minus);
    let lost = k.sub(y.clone(), lost);
    let lost = k.div(lost, sum.clone());
    let logarithm = log(k, sum);
    let logarithm = k.add(logarithm, lost);
    let infinite = k.cmp(Cmp::Eq, y.clone(), infinity);
    k.select(infinite, y, logarithm)
}

/// `large` where `x` is, the logarithm of 2 x.
fn or_large(k: &mut Builder, x: Operand, small: Operand) -> Operand {
    let (bound, two) = (k.float(LARGE), k.float(LN_2));
    let large = log(k, x.clone());
    let large = k.add(large, two);
    let is_large = k.cmp(Cmp::Gt, x, bound);
    k.select(is_large, large, small)
}

/// asinh x.
pub fn asinh(k: &mut Builder, x: Operand) -> Operand {
    let one = k.float(1.0);
    let a = k.unary(FloatUn::Abs, x.clone());
    let square = k.mul(a.clone(), a.clone());
    let root = k.add(square.clone(), one.clone());
    let root = k.unary(FloatUn::Sqrt, root);
    let below = k.add(root, one);
    let more = k.div(square, below);
    let y = k.add(a.clone(), more);
    let y = log1p(k, y);
    let y = or_large(k, a, y);
    copy_sign(k, y, x)
}

/// acosh x: NaN below one.
pub fn acosh(k: &mut Builder, x: Operand) -> Operand {
    let (minus, two) = (k.float(-1.0), k.float(2.0));
    let t = k.add(x.clone(), minus);
    let above = k.add(t.clone(), two);
    // A root each, so that below one the first is a NaN.
    let (above, root) = (k.unary(FloatUn::Sqrt, above), k.unary(FloatUn::Sqrt, t.clone()));
    let root = k.mul(above, root);
    let y = k.add(t, root);
    let y = log1p(k, y);
    or_large(k, x, y)
}

/// atanh x: infinite at one, NaN beyond.
pub fn atanh(k: &mut Builder, x: Operand) -> Operand {
    let (one, half) = (k.float(1.0), k.float(0.5));
    let a = k.unary(FloatUn::Abs, x.clone());
    let below = k.sub(one, a.clone());
    let twice = k.add(a.clone(), a);
    let y = k.div(twice, below);
    let y = log1p(k, y);
    let y = k.mul(y, half);
    copy_sign(k, y, x)
}

/// `e^(a - ln 2)` above 19, where the other half of a hyperbolic function does not count.
fn or_half_power(k: &mut Builder, a: Operand, small: Operand) -> Operand {
    let (bound, two) = (k.float(19.0), k.float(-LN_2));
    let large = k.add(a.clone(), two);
    let large = exp(k, large);
    let is_large = k.cmp(Cmp::Gt, a, bound);
    k.select(is_large, large, small)
}

/// sinh x.
pub fn sinh(k: &mut Builder, x: Operand) -> Operand {
    let (high, one, half) = (k.float(20.0), k.float(1.0), k.float(0.5));
    let a = k.unary(FloatUn::Abs, x.clone());
    let near = k.min(high, a.clone());
    let t = expm1(k, near);
    let below = k.add(t.clone(), one);
    let other = k.div(t.clone(), below);
    let y = k.add(t, other);
    let y = k.mul(y, half);
    let y = or_half_power(k, a, y);
    copy_sign(k, y, x)
}

/// cosh x.
pub fn cosh(k: &mut Builder, x: Operand) -> Operand {
    let (high, one, half) = (k.float(20.0), k.float(1.0), k.float(0.5));
    let a = k.unary(FloatUn::Abs, x);
    let near = k.min(high, a.clone());
    let e = exp(k, near);
    let other = k.div(one, e.clone());
    let y = k.add(e, other);
    let y = k.mul(y, half);
    or_half_power(k, a, y)
}
