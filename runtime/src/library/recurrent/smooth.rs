//! Sigmoid and hyperbolic tangent of many f32: without branches and calls, so that they become vector instructions.

use crate::wide::{Loop, wide};

/// Adding it to a number below 2^22 rounds that to an integer, which the low bits then hold.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; products of the first with integers of up to 8 bits are exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2, highest power first.
const EXP: [f32; 6] = [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
/// (tanh(x) - x) / x^3 over x^2 for |x| < 0.625, highest power first.
const TANH: [f32; 5] = [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1];

#[inline(always)]
fn polynomial(x: f32, coefficients: &[f32]) -> f32 {
    coefficients.iter().fold(0.0, |sum, c| sum * x + c)
}

/// e^x; the same as at -87 and 88 beyond them.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let power = rounded - ROUND;
    let r = x - power * LN_2[0] - power * LN_2[1];
    let near = polynomial(r, &EXP) * r * r + r + 1.0;
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    near * f32::from_bits(exponent << 23)
}

struct Sigmoid<'a>(&'a mut [f32]);

impl Loop for Sigmoid<'_> {
    #[inline(always)]
    fn run(self) {
        for x in self.0 {
            let y = 1.0 / (1.0 + exp(-*x));
            *x = if *x < -88.0 { 0.0 } else { y };
        }
    }
}

struct Tanh<'a>(&'a mut [f32]);

impl Loop for Tanh<'_> {
    #[inline(always)]
    fn run(self) {
        for x in self.0 {
            let square = *x * *x;
            let small = *x + *x * square * polynomial(square, &TANH);
            let large = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
            *x = if x.abs() < 0.625 { small } else { large }.copysign(*x);
        }
    }
}

/// 1 / (1 + e^-x) of every element.
pub(super) fn sigmoid(elements: &mut [f32]) {
    wide(Sigmoid(elements));
}

/// tanh of every element.
pub(super) fn tanh(elements: &mut [f32]) {
    wide(Tanh(elements));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_a_few_steps_of_the_exact_functions() {
        // Every 997th of all finite numbers, which meets every exponent.
        let numbers: Vec<f32> =
            (0..u32::MAX / 997).map(|i| f32::from_bits(i * 997)).filter(|x| x.is_finite()).collect();
        let (mut s, mut t) = (numbers.clone(), numbers.clone());
        sigmoid(&mut s);
        tanh(&mut t);
        let (mut of_sigmoid, mut of_tanh) = (0f64, 0f64);
        for ((x, s), t) in numbers.iter().map(|x| f64::from(*x)).zip(&s).zip(&t) {
            let wanted = 1.0 / (1.0 + (-x).exp());
            of_sigmoid = of_sigmoid.max((f64::from(*s) - wanted).abs() / wanted.max(1e-30));
            of_tanh = of_tanh.max((f64::from(*t) - x.tanh()).abs() / x.tanh().abs().max(1e-37));
        }
        assert!(of_sigmoid < 4e-7 && of_tanh < 4e-7, "{of_sigmoid:e} {of_tanh:e}");
        assert!(numbers.len() > 4_000_000, "{}", numbers.len());
    }

    #[test]
    fn limits() {
        let mut x = [f32::NEG_INFINITY, f32::INFINITY, f32::NAN, 0.0, -0.0];
        sigmoid(&mut x);
        assert_eq!(x[..2], [0.0, 1.0]);
        assert!(x[2].is_nan() && x[3..] == [0.5, 0.5]);
        let mut x = [f32::NEG_INFINITY, f32::INFINITY, f32::NAN, 0.0, -0.0];
        tanh(&mut x);
        assert_eq!(x[..2], [-1.0, 1.0]);
        assert!(x[2].is_nan() && x[3].to_bits() == 0 && x[4].to_bits() == 1 << 31);
    }
}
