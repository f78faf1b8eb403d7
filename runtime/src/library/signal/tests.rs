//! Transforms against their definition, windows and mel weights against numbers worked out by hand.
#![allow(clippy::unwrap_used)]

use super::fft::{Complex, Plan};
use crate::library::{Attribute, Function, LibraryError};
use crate::{Operand, Tensor};
use std::f64::consts::PI;

fn run(function: Function, operands: &[Option<&Tensor>]) -> Result<Tensor, LibraryError> {
    let function = Function { operands: operands.iter().map(Option::is_some).collect(), ..function };
    let given: Vec<Operand> = operands.iter().flatten().map(|t| Operand::Tensor(t.view())).collect();
    Ok(function.run(&given)?.remove(0).into_tensor().unwrap())
}

fn close(got: &[f64], want: &[f64], within: f64) {
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= within, "{got:?} where {want:?} is expected");
    }
}

fn signal(length: usize) -> Vec<Complex> {
    (0..length).map(|n| [((n * 7 + 3) % 11) as f64 - 5.0, ((n * 5 + 1) % 13) as f64 - 6.0]).collect()
}

fn by_definition(x: &[Complex]) -> Vec<Complex> {
    let n = x.len();
    let term = |k: usize, (i, [re, im]): (usize, &Complex)| {
        let (sin, cos) = (-2.0 * PI * ((k * i) % n) as f64 / n as f64).sin_cos();
        [re * cos - im * sin, re * sin + im * cos]
    };
    let add = |a: Complex, b: Complex| [a[0] + b[0], a[1] + b[1]];
    (0..n).map(|k| x.iter().enumerate().map(|e| term(k, e)).fold([0.0; 2], add)).collect()
}

#[test]
fn transforms_of_every_small_length() {
    for length in (1..=67).chain([97, 128, 210]) {
        let x = signal(length);
        let mut y = x.clone();
        let plan = Plan::new(length);
        plan.forward(&mut y);
        close(y.as_flattened(), by_definition(&x).as_flattened(), 1e-10);
        plan.inverse(&mut y);
        close(y.as_flattened(), x.as_flattened(), 1e-11);
    }
}

#[test]
fn one_sided_and_back() {
    let x = Tensor::from_slice(&[1, 5, 1], &[1.0f64, -2.0, 3.0, 0.5, 4.0]).unwrap();
    let one_sided = || Function::new("dft", 1).with("onesided", Attribute::Int(1));
    let spectrum = run(one_sided(), &[Some(&x)]).unwrap();
    assert_eq!(spectrum.shape(), [1, 3, 2]);
    let whole = run(Function::new("dft", 1), &[Some(&x)]).unwrap();
    close(spectrum.as_slice::<f64>().unwrap(), &whole.as_slice::<f64>().unwrap()[..6], 1e-12);
    let length = Tensor::scalar(5i64);
    let back = run(one_sided().with("inverse", Attribute::Int(1)), &[Some(&spectrum), Some(&length)]).unwrap();
    assert_eq!(back.shape(), [1, 5, 1]);
    close(back.as_slice::<f64>().unwrap(), x.as_slice::<f64>().unwrap(), 1e-12);
}

#[test]
fn an_axis_and_a_length_as_operands() {
    // Along the first axis, two of three rows: sum and difference.
    let x = Tensor::from_slice(&[3, 2, 1], &[1.0f32, 2.0, 10.0, 20.0, 99.0, 99.0]).unwrap();
    let (length, axis) = (Tensor::scalar(2i64), Tensor::scalar(0i64));
    let y = run(Function::new("dft", 3), &[Some(&x), Some(&length), Some(&axis)]).unwrap();
    assert_eq!(y.shape(), [2, 2, 2]);
    assert_eq!(y.as_slice::<f32>().unwrap(), [11.0, 0.0, 22.0, 0.0, -9.0, 0.0, -18.0, 0.0]);
    let axis = Tensor::scalar(2i64);
    assert!(run(Function::new("dft", 3), &[Some(&x), Some(&length), Some(&axis)]).is_err());
}

#[test]
fn frames_of_a_signal() {
    let x = Tensor::from_slice(&[1, 5, 1], &[1.0f32, 2.0, 3.0, 4.0, 5.0]).unwrap();
    let (step, window) = (Tensor::scalar(2i64), Tensor::from_slice(&[2], &[1.0f32, 0.5]).unwrap());
    let y = run(Function::new("stft", 3), &[Some(&x), Some(&step), Some(&window)]).unwrap();
    assert_eq!(y.shape(), [1, 2, 2, 2]);
    assert_eq!(y.as_slice::<f32>().unwrap(), [2.0, 0.0, 0.0, 0.0, 5.0, 0.0, 1.0, 0.0]);
    let none = Tensor::scalar(0i64);
    assert!(run(Function::new("stft", 3), &[Some(&x), Some(&none), Some(&window)]).is_err());
}

#[test]
fn windows() {
    let size = Tensor::scalar(4i32);
    let made = |name: &str, periodic: i64| {
        let function = Function::new(name, 1).with("periodic", Attribute::Int(periodic));
        let window = run(function.with("dtype", Attribute::Text("f64".into())), &[Some(&size)]).unwrap();
        window.as_slice::<f64>().unwrap().to_vec()
    };
    close(&made("hann_window", 1), &[0.0, 0.5, 1.0, 0.5], 1e-15);
    close(&made("hann_window", 0), &[0.0, 0.75, 0.75, 0.0], 1e-15);
    close(&made("hamming_window", 1), &[4.0 / 46.0, 25.0 / 46.0, 1.0, 25.0 / 46.0], 1e-15);
    close(&made("blackman_window", 1), &[0.0, 0.34, 1.0, 0.34], 1e-15);
}

#[test]
fn mel_weights() {
    let ints = |n: i32| Tensor::scalar(n);
    let (bands, length, rate) = (ints(2), ints(16), ints(8000));
    let (low, high) = (Tensor::scalar(0f32), Tensor::scalar(3500f32));
    let weights = |high: &Tensor| {
        let operands = [Some(&bands), Some(&length), Some(&rate), Some(&low), Some(high)];
        run(Function::new("mel_weight_matrix", 5), &operands)
    };
    let y = weights(&high).unwrap();
    assert_eq!(y.shape(), [9, 2]);
    // Edges at the bins 0, 0, 2, 4: a falling side alone, then a whole triangle.
    let want = [1.0, 0.0, 0.5, 0.5, 0.0, 1.0, 0.0, 0.5];
    assert_eq!(y.as_slice::<f32>().unwrap()[..8], want);
    assert!(y.as_slice::<f32>().unwrap()[8..].iter().all(|x| *x == 0.0));
    assert!(weights(&Tensor::scalar(1e9f32)).is_err());
}
