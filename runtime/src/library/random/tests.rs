//! Moments, ranges and seeds of random tensors.

use super::super::function::Attribute;
use super::*;
use crate::Tensor;

const COUNT: usize = 20_000;

fn drawn(function: Function, operands: &[Value]) -> Vec<f64> {
    let operands: Vec<crate::Operand> = operands.iter().map(Value::operand).collect();
    let made = function.run(&operands).unwrap();
    super::super::function::reals(&made[0].as_tensor().unwrap().view()).unwrap()
}

fn shaped(name: &str, seed: Option<f32>) -> Function {
    let function = Function::new(name, 0).with("shape", Attribute::Ints(vec![COUNT as i64]));
    match seed {
        Some(seed) => function.with("seed", Attribute::Float(seed)),
        None => function,
    }
}

fn moments(x: &[f64]) -> (f64, f64) {
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    (mean, x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64)
}

#[test]
fn a_seed_makes_it_the_same_again() {
    for name in ["random_normal", "random_uniform"] {
        assert_eq!(drawn(shaped(name, Some(7.0)), &[]), drawn(shaped(name, Some(7.0)), &[]));
        assert_ne!(drawn(shaped(name, Some(7.0)), &[]), drawn(shaped(name, Some(8.0)), &[]));
        assert_ne!(drawn(shaped(name, None), &[]), drawn(shaped(name, None), &[]));
    }
}

#[test]
fn distributions() {
    let (mean, variance) = moments(&drawn(shaped("random_uniform", Some(1.0)), &[]));
    assert!((mean - 0.5).abs() < 0.01 && (variance - 1.0 / 12.0).abs() < 0.002, "{mean} {variance}");
    let normal =
        shaped("random_normal", Some(2.0)).with("mean", Attribute::Float(3.0)).with("scale", Attribute::Float(2.0));
    let (mean, variance) = moments(&drawn(normal, &[]));
    assert!((mean - 3.0).abs() < 0.06 && (variance - 4.0).abs() < 0.2, "{mean} {variance}");
    for dtype in ["f16", "bf16", "f32", "f64"] {
        let typed = shaped("random_uniform", Some(3.0)).with("dtype", Attribute::Text(dtype.into()));
        assert!(drawn(typed, &[]).iter().all(|x| (0.0..1.0).contains(x)), "{dtype}");
    }
}

#[test]
fn chances_and_classes() {
    let chances = Value::Tensor(Tensor::from_slice(&[COUNT], &vec![0.25f32; COUNT]).unwrap());
    let seeded = |name: &str| Function::new(name, 1).with("seed", Attribute::Float(5.0));
    let (mean, _) = moments(&drawn(seeded("bernoulli"), &[chances]));
    assert!((mean - 0.25).abs() < 0.01, "{mean}");
    let certain = Value::Tensor(Tensor::from_slice(&[2], &[0.0f32, 1.0]).unwrap());
    assert_eq!(drawn(seeded("bernoulli"), &[certain]), [0.0, 1.0]);
    let logarithms = [0.0f32, 3f32.ln(), f32::NEG_INFINITY];
    let logarithms = Value::Tensor(Tensor::from_slice(&[1, 3], &logarithms).unwrap());
    let many = seeded("multinomial").with("sample_size", Attribute::Int(COUNT as i64));
    let classes = drawn(many, &[logarithms]);
    let (mean, _) = moments(&classes);
    assert!((mean - 0.75).abs() < 0.01 && classes.iter().all(|c| *c < 2.0), "{mean}");
}
