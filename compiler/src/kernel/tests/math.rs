//! Error of the elementary functions, in units in the last place of the result.

use super::super::{inverse, math};
use crate::tile::{Access, Buffer, Builder, Cmp, Evaluator, Kernel, Operand, Target};

type Function = fn(&mut Builder, Operand) -> Operand;

fn kernel(name: &str, function: Function) -> Kernel {
    let mut k = Builder::new(name, Target { lanes: 16, registers: 32, fma: true, dot: false });
    let (y, x) = (k.base("y", Access::Write), k.base("x", Access::Read));
    let (begin, end) = (k.begin(), k.end());
    k.for_(begin, end, 1, |k, i| {
        let at = k.mul_const(i, 64);
        let (x, y) = (k.pointer(x, at), k.pointer(y, at));
        let v = k.load(x, 0);
        let v = function(k, v);
        k.store(y, 0, v);
    });
    k.finish()
}

/// The largest error over bit patterns `0, step, 2 step, ...`; infinities and NaNs have to agree.
fn worst(name: &str, function: Function, exact: fn(f64) -> f64, step: usize) -> (f64, f32, usize) {
    let kernel = kernel(name, function);
    let evaluator = Evaluator::new(&kernel).unwrap();
    let (mut error, mut place, mut count) = (0.0f64, 0.0, 0);
    let patterns: Vec<u32> = (0..1u64 << 32).step_by(step).map(|b| b as u32).collect();
    for chunk in patterns.chunks(1 << 16) {
        let mut x: Vec<f32> = chunk.iter().map(|b| f32::from_bits(*b)).collect();
        x.resize(chunk.len().next_multiple_of(16), 0.0);
        let mut y = vec![0f32; x.len()];
        let mut bases = [Buffer::Write(bytemuck::cast_slice_mut(&mut y)), Buffer::Read(bytemuck::cast_slice(&x))];
        assert_eq!(evaluator.run(&mut bases, &[], 0, x.len() as i64 / 16).unwrap(), 0);
        for (x, y) in x.iter().zip(&y) {
            let wanted = exact(f64::from(*x));
            let off = ulps(f64::from(*y), wanted);
            if off > error || off.is_nan() {
                (error, place) = (if off.is_nan() { f64::INFINITY } else { off }, *x);
            }
            count += 1;
        }
    }
    (error, place, count)
}

fn ulps(got: f64, wanted: f64) -> f64 {
    let rounded = wanted as f32;
    if wanted.is_nan() || got.is_nan() {
        return if wanted.is_nan() == got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got.is_infinite() || rounded.is_infinite() {
        return if got == f64::from(rounded) { 0.0 } else { f64::INFINITY };
    }
    let exponent = (rounded.abs().to_bits() >> 23).max(1) as i32 - 127;
    (got - wanted).abs() / 2f64.powi(exponent - 23)
}

/// erf to double precision: the series below 3, the continued fraction above.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if x.is_nan() || a > 6.0 {
        return if x.is_nan() { x } else { x.signum() };
    }
    let scale = 2.0 / std::f64::consts::PI.sqrt();
    if a < 3.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..100 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return scale * sum;
    }
    let tail = (1..60).rev().fold(0.0, |below, n| f64::from(n) / 2.0 / (a + below));
    x.signum() * (1.0 - (-a * a).exp() / (a + tail) / std::f64::consts::PI.sqrt())
}

fn functions() -> [(&'static str, Function, fn(f64) -> f64); 5] {
    [
        ("exp", math::exp, f64::exp),
        ("log", math::log, f64::ln),
        ("tanh", math::tanh, f64::tanh),
        ("sigmoid", math::sigmoid, |x| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }),
        ("erf", math::erf, erf),
    ]
}

#[test]
fn elementary_functions_are_within_four_places() {
    for (name, function, exact) in functions() {
        let (error, at, count) = worst(name, function, exact, 4099);
        assert!(count > 1_000_000);
        assert!(error <= 4.0, "{name} is off by {error} places at {at:e}");
    }
}

#[test]
fn a_share_of_a_sum_is_never_subnormal() {
    let share = |x: f64| match x {
        x if x.exp() < f64::from(f32::MIN_POSITIVE) => 0.0,
        x if x > 0.0 => f64::NAN,
        x => x.exp(),
    };
    let below = |k: &mut Builder, x: Operand| {
        let (zero, nan) = (k.float(0.0), k.float(f32::NAN));
        let above = k.cmp(Cmp::Lt, zero, x.clone());
        let e = math::exp_share(k, x);
        k.select(above, nan, e)
    };
    let (error, at, count) = worst("share", below, share, 4099);
    assert!(count > 1_000_000);
    assert!(error <= 4.0, "off by {error} places at {at:e}");
}

/// Functions, what they mean, and the largest error in places over a sample of all floats.
fn inverse_functions() -> [(&'static str, Function, fn(f64) -> f64, f64); 8] {
    [
        ("asin", inverse::asin, f64::asin, 4.0),
        ("acos", inverse::acos, f64::acos, 4.0),
        ("atan", inverse::atan, f64::atan, 4.0),
        ("asinh", inverse::asinh, f64::asinh, 8.0),
        ("acosh", inverse::acosh, f64::acosh, 8.0),
        ("atanh", inverse::atanh, f64::atanh, 8.0),
        // The argument less ln 2 is rounded to 2^-18 near the largest.
        ("sinh", inverse::sinh, f64::sinh, 64.0),
        ("cosh", inverse::cosh, f64::cosh, 64.0),
    ]
}

#[test]
fn inverse_and_hyperbolic_functions_stay_within_their_bounds() {
    for (name, function, exact, bound) in inverse_functions() {
        let (error, at, count) = worst(name, function, exact, 4099);
        assert!(count > 1_000_000);
        assert!(error <= bound, "{name} is off by {error} places at {at:e}");
    }
}

#[test]
#[ignore = "tries every float: minutes"]
fn elementary_functions_are_within_four_places_everywhere() {
    for (name, function, exact) in functions() {
        let (error, at, _) = worst(name, function, exact, 1);
        println!("{name}: {error:.3} places at {at:e}");
        assert!(error <= 4.0, "{name} is off by {error} places at {at:e}");
    }
}
