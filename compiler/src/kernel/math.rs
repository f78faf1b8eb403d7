//! Elementary functions as sequences of tile operations: exp, log, tanh, sigmoid, erf, sin, cos and what is built on them.
//!
//! Constants are pool operands and polynomials run by Horner's rule, so a function holds three or four vectors at a time and
//! fits beside the accumulators of a convolution. Coefficients are minimax fits in 40-digit arithmetic (Remez exchange,
//! weighted for relative error of the function), rounded to f32 at the end:
//!
//! - exp: `r = x - n ln 2` in two parts, then `1 + r + r^2 q(r)` times `2^n`;
//! - log: `m 2^e` with m in [sqrt 1/2, sqrt 2], then `f - f^2 / 2 + f^3 q(f) + e ln 2`;
//! - tanh: `u / (u + 2)` with `u = exp(2x) - 1` computed without cancellation;
//! - erf: an odd polynomial up to 1, `1 - exp(-g(x))` above;
//! - sin, cos: reduction by pi / 2 in three parts, good to |x| of about 10^4.

use crate::tile::{Builder, Cmp, FloatUn, IntBin, Lane, MaskOp, Operand, VectorOp};

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// The upper 15 bits of ln 2: times an exponent it is exact.
const LN2_HIGH: f32 = 0.693_145_75;
const LN2_LOW: f32 = 1.428_606_8e-6;
/// `(e^r - 1 - r) / r^2` on [-ln 2 / 2, ln 2 / 2].
const EXP: [f32; 5] = [0.499_999_94, 0.166_665_21, 0.041_668_39, 0.008_368_745, 0.001_381_454_4];
/// `(log(1 + f) - f + f^2 / 2) / f^3` on [sqrt 1/2 - 1, sqrt 2 - 1].
const LOG: [f32; 9] = [
    0.333_333_1,
    -0.249_999_87,
    0.200_022_27,
    -0.166_692_53,
    0.142_186_66,
    -0.123_843_37,
    0.118_729_17,
    -0.117_898_48,
    0.069_155_395,
];
/// `erf(x) / x` as a polynomial of `x^2` on [0, 1].
const ERF_SMALL: [f32; 7] = [
    std::f32::consts::FRAC_2_SQRT_PI,
    -0.376_126_26,
    0.112_835_854,
    -0.026_853_813,
    0.005_188_327_7,
    -0.000_801_019_37,
    7.853_861e-5,
];
/// `-log(1 - erf(x))` on [1, 4].
const ERF_LARGE: [f32; 7] =
    [0.000_332_696_2, 1.127_122_5, 0.638_093_6, 0.103_147_92, -0.021_856_286, 0.002_951_869_7, -0.000_186_776_22];
/// `(sin x / x - 1) / x^2` as a polynomial of `x^2` on [0, pi^2 / 16].
const SIN: [f32; 4] = [-0.166_666_67, 0.008_333_329, -0.000_198_393_27, 2.718_237_3e-6];
/// `(cos x - 1 + x^2 / 2) / x^4` as a polynomial of `x^2` on the same.
const COS: [f32; 3] = [0.041_666_646, -0.001_388_736_2, 2.443_773_2e-5];
/// pi / 2 in parts of 11 bits, the last in full.
const HALF_PI: [f32; 3] = [1.570_312_5, 0.000_483_751_3, 7.549_79e-8];

/// `c[0] + c[1] x + c[2] x^2 + ...` by Horner's rule.
pub fn polynomial(k: &mut Builder, x: &Operand, coefficients: &[f32]) -> Operand {
    let Some((last, rest)) = coefficients.split_last() else { return k.float(0.0) };
    let mut sum = k.float(*last);
    for c in rest.iter().rev() {
        let c = k.float(*c);
        sum = k.mul_add(sum, x.clone(), c);
    }
    sum
}

/// The nearest integer to `x log2 e` and the rest `x - n ln 2`.
fn reduce_exp(k: &mut Builder, x: Operand) -> (Operand, Operand) {
    let (scale, high, low) = (k.float(LOG2_E), k.float(-LN2_HIGH), k.float(-LN2_LOW));
    let n = k.mul(x.clone(), scale);
    let n = k.unary(FloatUn::Nearest, n);
    let r = k.mul_add(n.clone(), high, x);
    let r = k.mul_add(n.clone(), low, r);
    (n, r)
}

/// `e^r - 1` of a reduced argument.
fn reduced_expm1(k: &mut Builder, r: &Operand) -> Operand {
    let q = polynomial(k, r, &EXP);
    let q = k.mul(q, r.clone());
    k.mul_add(q, r.clone(), r.clone())
}

fn scale(k: &mut Builder, x: Operand, n: Operand) -> Operand {
    let n = k.vector(VectorOp::ToInt(n));
    k.vector(VectorOp::Scale(x, n))
}

/// e^x: infinity above, gradually zero below, NaN of NaN.
pub fn exp(k: &mut Builder, x: Operand) -> Operand {
    // The constant comes first so that a NaN passes through both.
    let (low, high) = (k.float(-105.0), k.float(90.0));
    let x = k.max(low, x);
    let x = k.min(high, x);
    let (n, r) = reduce_exp(k, x);
    let p = reduced_expm1(k, &r);
    let one = k.float(1.0);
    let p = k.add(p, one);
    scale(k, p, n)
}

/// e^x for x up to 0, and zero where that is less than the smallest normal number: a share of a sum that is at least one would
/// not be seen, but what multiplies with a subnormal number takes a hundred times as long.
pub fn exp_share(k: &mut Builder, x: Operand) -> Operand {
    let low = k.float(-87.336_54);
    let tiny = k.cmp(Cmp::Lt, x.clone(), low.clone());
    let x = k.max(low, x);
    let (n, r) = reduce_exp(k, x);
    let p = reduced_expm1(k, &r);
    let one = k.float(1.0);
    let p = k.add(p, one);
    let (e, zero) = (scale(k, p, n), k.float(0.0));
    k.select(tiny, zero, e)
}

/// e^x - 1 for x up to 88.
pub fn expm1(k: &mut Builder, x: Operand) -> Operand {
    let (n, r) = reduce_exp(k, x);
    let p = reduced_expm1(k, &r);
    let (one, minus) = (k.float(1.0), k.float(-1.0));
    let power = scale(k, one, n);
    let less = k.add(power.clone(), minus);
    k.mul_add(power, p, less)
}

/// tanh x.
pub fn tanh(k: &mut Builder, x: Operand) -> Operand {
    let (low, high) = (k.float(-20.0), k.float(20.0));
    let x = k.add(x.clone(), x);
    let x = k.max(low, x);
    let x = k.min(high, x);
    let u = expm1(k, x);
    let two = k.float(2.0);
    let below = k.add(u.clone(), two);
    k.div(u, below)
}

/// 1 / (1 + e^-x), as `e^x / (1 + e^x)`: the form that underflows gradually.
pub fn sigmoid(k: &mut Builder, x: Operand) -> Operand {
    let high = k.float(30.0);
    let x = k.min(high, x);
    let e = exp(k, x);
    let one = k.float(1.0);
    let below = k.add(e.clone(), one);
    k.div(e, below)
}

/// Natural logarithm: -infinity of zero, NaN below.
pub fn log(k: &mut Builder, x: Operand) -> Operand {
    let (normal, up) = (k.float(f32::MIN_POSITIVE), k.float(8_388_608.0));
    let tiny = k.cmp(Cmp::Lt, x.clone(), normal.clone());
    let lifted = k.mul(x.clone(), up);
    let lifted = k.select(tiny, lifted, x.clone());
    let bits = k.vector(VectorOp::Bitcast(Lane::I32, lifted));
    // The exponent counts from sqrt 1/2, so that the mantissa is around one.
    let base = k.int(0x3f35_04f3);
    let bits = k.vector(VectorOp::Int(IntBin::Sub, bits, base.clone()));
    let (by, fraction) = (k.int(23), k.int(0x007f_ffff));
    let e = k.vector(VectorOp::Int(IntBin::Sar, bits.clone(), by));
    let m = k.vector(VectorOp::Int(IntBin::And, bits, fraction));
    let m = k.vector(VectorOp::Int(IntBin::Add, m, base));
    let m = k.vector(VectorOp::Bitcast(Lane::F32, m));
    let e = k.vector(VectorOp::ToFloat(e));
    let down = k.float(-23.0);
    let lowered = k.add(e.clone(), down);
    let tiny = k.cmp(Cmp::Lt, x.clone(), normal);
    let e = k.select(tiny, lowered, e);
    let minus = k.float(-1.0);
    let f = k.add(m, minus);
    let logarithm = log_of_sum(k, f, e);
    let infinity = k.float(f32::INFINITY);
    let finite = k.cmp(Cmp::Lt, x.clone(), infinity);
    let y = k.select(finite, logarithm, x.clone());
    let zero = k.float(0.0);
    let (nan, minus_infinity) = (k.float(f32::NAN), k.float(f32::NEG_INFINITY));
    let negative = k.cmp(Cmp::Lt, x.clone(), zero.clone());
    let y = k.select(negative, nan, y);
    let is_zero = k.cmp(Cmp::Eq, x, zero);
    k.select(is_zero, minus_infinity, y)
}

/// log(1 + f) + e ln 2 for f in [sqrt 1/2 - 1, sqrt 2 - 1].
fn log_of_sum(k: &mut Builder, f: Operand, e: Operand) -> Operand {
    let q = polynomial(k, &f, &LOG);
    let q = k.mul(q, f.clone());
    let half = k.float(-0.5);
    let q = k.add(q, half);
    let square = k.mul(f.clone(), f.clone());
    let (low, high) = (k.float(LN2_LOW), k.float(LN2_HIGH));
    let small = k.mul(e.clone(), low);
    let y = k.mul_add(q, square, small);
    let y = k.add(y, f);
    k.mul_add(e, high, y)
}

/// The error function.
pub fn erf(k: &mut Builder, x: Operand) -> Operand {
    let (top, minus, one) = (k.float(3.925), k.float(-1.0), k.float(1.0));
    let a = k.unary(FloatUn::Abs, x.clone());
    let a = k.min(top, a);
    let g = polynomial(k, &a, &ERF_LARGE);
    let g = k.mul(g, minus);
    let (n, r) = reduce_exp(k, g);
    let p = reduced_expm1(k, &r);
    let p = k.add(p, one.clone());
    let tail = scale(k, p, n);
    let large = k.sub(one.clone(), tail);
    let large = copy_sign(k, large, x.clone());
    let square = k.mul(x.clone(), x.clone());
    let small = polynomial(k, &square, &ERF_SMALL);
    let small = k.mul(small, x.clone());
    let a = k.unary(FloatUn::Abs, x);
    let beyond = k.cmp(Cmp::Gt, a, one);
    k.select(beyond, large, small)
}

/// The magnitude of a non-negative `a` with the sign of `b`.
pub(super) fn copy_sign(k: &mut Builder, a: Operand, b: Operand) -> Operand {
    let mask = k.int(i32::MIN);
    let b = k.vector(VectorOp::Bitcast(Lane::I32, b));
    let sign = k.vector(VectorOp::Int(IntBin::And, b, mask));
    let a = k.vector(VectorOp::Bitcast(Lane::I32, a));
    let bits = k.vector(VectorOp::Int(IntBin::Or, a, sign));
    k.vector(VectorOp::Bitcast(Lane::F32, bits))
}

/// sin x, or cos x when `quarter` is one.
pub fn sine(k: &mut Builder, x: Operand, quarter: i32) -> Operand {
    let per = k.float(std::f32::consts::FRAC_2_PI);
    let n = k.mul(x.clone(), per);
    let n = k.unary(FloatUn::Nearest, n);
    let mut r = x;
    for part in HALF_PI {
        let part = k.float(-part);
        r = k.mul_add(n.clone(), part, r);
    }
    let n = k.vector(VectorOp::ToInt(n));
    let first = k.int(quarter);
    let n = k.vector(VectorOp::Int(IntBin::Add, n, first));
    let square = k.mul(r.clone(), r.clone());
    let s = polynomial(k, &square, &SIN);
    let s = k.mul(s, square.clone());
    let s = k.mul_add(s, r.clone(), r);
    let c = polynomial(k, &square, &COS);
    let half = k.float(-0.5);
    let c = k.mul_add(c, square.clone(), half);
    let one = k.float(1.0);
    let c = k.mul_add(c, square, one);
    let (bit, none, two, up) = (k.int(1), k.int(0), k.int(2), k.int(30));
    let odd = k.vector(VectorOp::Int(IntBin::And, n.clone(), bit));
    let even = k.mask(MaskOp::CmpInt(Cmp::Eq, odd, none));
    let y = k.select(even, s, c);
    let sign = k.vector(VectorOp::Int(IntBin::And, n, two));
    let sign = k.vector(VectorOp::Int(IntBin::Shl, sign, up));
    let y = k.vector(VectorOp::Bitcast(Lane::I32, y));
    let y = k.vector(VectorOp::Int(IntBin::Xor, y, sign));
    k.vector(VectorOp::Bitcast(Lane::F32, y))
}

/// log(1 + e^x), as `max(x, 0) + log(1 + e^-|x|)`; the rounding of the sum is put back in.
pub fn softplus(k: &mut Builder, x: Operand) -> Operand {
    let (minus, one, zero) = (k.float(-1.0), k.float(1.0), k.float(0.0));
    let a = k.unary(FloatUn::Abs, x.clone());
    let a = k.mul(a, minus.clone());
    let e = exp(k, a);
    let u = k.add(e.clone(), one);
    let lost = k.add(u.clone(), minus);
    let lost = k.sub(e, lost);
    let lost = k.div(lost, u.clone());
    let y = log(k, u);
    let y = k.add(y, lost);
    let positive = k.max(zero, x);
    k.add(positive, y)
}

/// x tanh(log(1 + e^x)) without the logarithm: with `u = e^x (e^x + 2)`, `x u / (u + 2)`.
pub fn mish(k: &mut Builder, x: Operand) -> Operand {
    let (high, two) = (k.float(20.0), k.float(2.0));
    let e = k.min(high, x.clone());
    let e = exp(k, e);
    let u = k.add(e.clone(), two.clone());
    let u = k.mul(u, e);
    let below = k.add(u.clone(), two);
    let y = k.div(u, below);
    k.mul(y, x)
}

/// |a|^b with the sign that an integer b gives, NaN for other powers of negative numbers.
pub fn pow(k: &mut Builder, a: Operand, b: Operand) -> Operand {
    let magnitude = k.unary(FloatUn::Abs, a.clone());
    let y = log(k, magnitude);
    let y = k.mul(y, b.clone());
    let y = exp(k, y);
    let (zero, one, half) = (k.float(0.0), k.float(1.0), k.float(0.5));
    let halved = k.mul(b.clone(), half);
    let floor = k.unary(FloatUn::Floor, halved.clone());
    let even = k.cmp(Cmp::Eq, floor, halved);
    let flipped = k.unary(FloatUn::Neg, y.clone());
    let signed = k.select(even, y.clone(), flipped);
    let nan = k.float(f32::NAN);
    let floor = k.unary(FloatUn::Floor, b.clone());
    let whole = k.cmp(Cmp::Eq, floor, b.clone());
    let signed = k.select(whole, signed, nan);
    let negative = k.cmp(Cmp::Lt, a.clone(), zero.clone());
    let y = k.select(negative, signed, y);
    let no_power = k.cmp(Cmp::Eq, b, zero);
    let y = k.select(no_power, one.clone(), y);
    let is_one = k.cmp(Cmp::Eq, a, one.clone());
    k.select(is_one, one, y)
}
