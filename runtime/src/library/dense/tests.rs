//! Products and expressions as the library computes them, against what they mean.

use super::extents;
use crate::library::{Attribute, Function};
use crate::{DType, Operand, Tensor, Value};

fn run(function: &Function, operands: &[&Tensor]) -> Vec<f32> {
    let given: Vec<Operand> = operands.iter().map(|t| Operand::Tensor(t.view())).collect();
    let made = function.run(&given).unwrap().into_iter().next().and_then(Value::into_tensor).unwrap();
    assert_eq!(made.dtype(), DType::F32);
    made.as_slice::<f32>().unwrap().to_vec()
}

/// A matrix and its transpose, of numbers whose products are exact.
fn pair(rows: usize, columns: usize) -> (Tensor, Tensor) {
    let at = |r: usize, c: usize| ((r * 7 + c * 3) % 11) as f32 - 5.0;
    let plain: Vec<f32> = (0..rows * columns).map(|i| at(i / columns, i % columns)).collect();
    let turned: Vec<f32> = (0..rows * columns).map(|i| at(i % rows, i / rows)).collect();
    (Tensor::from_slice(&[rows, columns], &plain).unwrap(), Tensor::from_slice(&[columns, rows], &turned).unwrap())
}

#[test]
fn products_of_transposed_matrices() {
    let mut ran = 0;
    for (m, k, n) in [(3, 5, 7), (1, 1, 4), (2, 9, 1), (4, 6, 8)] {
        let ((a, a_turned), (b, b_turned)) = (pair(m, k), pair(k, n));
        let want = run(&Function::new("matmul", 2), &[&a, &b]);
        let (x, y) = (a.as_slice::<f32>().unwrap(), b.as_slice::<f32>().unwrap());
        let sum = |i: usize| (0..k).map(|l| x[i / n * k + l] * y[l * n + i % n]).sum::<f32>();
        assert_eq!(want, (0..m * n).map(sum).collect::<Vec<_>>());
        for (trans_a, trans_b) in [(0, 1), (1, 0), (1, 1)] {
            let function = Function::new("matmul", 2)
                .with("trans_a", Attribute::Int(trans_a))
                .with("trans_b", Attribute::Int(trans_b));
            let operands = [[&a, &a_turned][trans_a as usize], [&b, &b_turned][trans_b as usize]];
            assert_eq!(run(&function, &operands), want, "{m}x{k}x{n}, transposed {trans_a} {trans_b}");
            ran += 1;
        }
    }
    assert_eq!(ran, 12);
}

/// More elements than are computed at once, an operand that is broadcast, and steps that read earlier ones.
#[test]
fn expressions_longer_than_a_block() {
    let x: Vec<f32> = (0..3 * 301).map(|i| i as f32 - 400.0).collect();
    let (x, y) =
        (Tensor::from_slice(&[3, 301], &x).unwrap(), Tensor::from_slice(&[3, 1], &[1.0f32, -2.0, 0.5]).unwrap());
    let texts = ["mul i0 i1", "relu s0", "sub s1 s0", "add s2 c3f800000"].map(String::from).to_vec();
    let function =
        Function::new("elementwise", 2).with("output", extents(&[3, 301])).with("epilogue", Attribute::Texts(texts));
    let want = x.as_slice::<f32>().unwrap().iter().enumerate().map(|(i, x)| {
        let product = x * [1.0, -2.0, 0.5][i / 301];
        product.max(0.0) - product + 1.0
    });
    assert_eq!(run(&function, &[&x, &y]), want.collect::<Vec<_>>());
}
