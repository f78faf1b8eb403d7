//! The remainder of a division of floats, exact for every quotient.
//!
//! A quotient may have 277 bits, so it is taken off nine bits at a time: `r` is less than `2^9 m` for the multiple
//! `m = b 2^(9 i)`, `i` falling to zero, and loses `m` times the nearest integer to `r / m`. The integer has ten bits at
//! most; `m` is cut into 13 and 11 bits, so both products are exact, and so are the differences, which are whole numbers of
//! units of `m` below 2^24. Multiples that overflow are larger than `r` and are passed over. The largest dividends are
//! halved, since a product near them would overflow, and the remainder of the half is doubled and reduced once more.

use super::math::copy_sign;
use crate::tile::{Builder, Cmp, FloatUn, Index, IntBin, Lane, MaskOp, Operand, VectorOp};

/// Bits of the quotient that one step takes off.
const BITS: i64 = 9;
/// Steps that take off the quotient of the largest by the smallest number.
const STEPS: i64 = 31;
/// 2^127: dividends from here on are halved.
const LARGE: f32 = 1.701_411_8e38;

/// `a - b trunc(a / b)`: the sign of `a`; NaN where `a` is infinite or `b` is zero.
pub fn fmod(k: &mut Builder, a: Operand, b: Operand) -> Operand {
    let at = [Index::Const(0)];
    let (divisor, rest) = (k.unary(FloatUn::Abs, b), k.reg(Lane::F32, &[1]));
    let size = k.unary(FloatUn::Abs, a.clone());
    let (bound, half) = (k.float(LARGE), k.float(0.5));
    let large = k.cmp(Cmp::Ge, size.clone(), bound.clone());
    let halved = k.mul(size.clone(), half);
    k.set(rest, &at, VectorOp::Select(large, halved, size));
    k.for_count(STEPS, |k, step| {
        // 2^(9 i) in three factors, since it is out of range itself.
        let bits = k.mul_const(step, -(BITS / 3) << 23);
        let bits = k.add_const(bits, (127 + BITS / 3 * (STEPS - 1)) << 23);
        let power = k.vector(VectorOp::SplatScalar(bits));
        let power = k.vector(VectorOp::Bitcast(Lane::F32, power));
        let mut multiple = divisor.clone();
        for _ in 0..3 {
            multiple = k.mul(multiple, power.clone());
        }
        let r = k.get(rest, &at);
        let quotient = k.div(r.clone(), multiple.clone());
        let quotient = k.unary(FloatUn::Nearest, quotient);
        let upper = k.int(!0x7ff);
        let high = k.vector(VectorOp::Bitcast(Lane::I32, multiple.clone()));
        let high = k.vector(VectorOp::Int(IntBin::And, high, upper));
        let high = k.vector(VectorOp::Bitcast(Lane::F32, high));
        let low = k.sub(multiple.clone(), high.clone());
        let (high, low) = (k.mul(quotient.clone(), high), k.mul(quotient, low));
        let left = k.sub(r.clone(), high);
        let left = k.sub(left, low);
        let (zero, infinity) = (k.float(0.0), k.float(f32::INFINITY));
        let below = k.cmp(Cmp::Lt, left.clone(), zero);
        let raised = k.add(left.clone(), multiple.clone());
        let left = k.select(below, raised, left);
        let counts = k.mask(MaskOp::CmpFloat(Cmp::Ne, multiple, infinity));
        k.set(rest, &at, VectorOp::Select(counts, left, r));
    });
    let (infinity, nan) = (k.float(f32::INFINITY), k.float(f32::NAN));
    let r = k.get(rest, &at);
    let doubled = k.add(r.clone(), r.clone());
    let reaches = k.cmp(Cmp::Ge, doubled.clone(), divisor.clone());
    let reduced = k.sub(doubled.clone(), divisor);
    let doubled = k.select(reaches, reduced, doubled);
    let size = k.unary(FloatUn::Abs, a.clone());
    let large = k.cmp(Cmp::Ge, size.clone(), bound);
    let r = k.select(large, doubled, r);
    let finite = k.cmp(Cmp::Lt, size, infinity);
    let r = k.select(finite, r, nan);
    copy_sign(k, r, a)
}
