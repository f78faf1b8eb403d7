//! Unary, Binary, Elementwise, Where, Cast.

use super::super::harness::{Case, Place, floats};
use super::check_all;
use crate::ir::{Arg, BinaryOp, Expression, Op, Step, UnaryOp};
use Place::{Blocked, Gap, Plain};
use brolga_runtime::{DType, Tensor};

#[test]
fn unary_functions() {
    use UnaryOp::*;
    let ops = [
        Abs,
        Neg,
        Floor,
        Ceil,
        Round,
        Sign,
        Sqrt,
        Reciprocal,
        Exp,
        Log,
        Erf,
        Sin,
        Cos,
        Tanh,
        Sigmoid,
        Softplus,
        Softsign,
        Relu,
        HardSigmoid { alpha: 0.2, beta: 0.5 },
        HardSwish,
        Silu { alpha: 1.0 },
        Gelu,
        GeluTanh,
        Mish,
        LeakyRelu { alpha: 0.1 },
        Elu { alpha: 1.0 },
        Celu { alpha: 1.5 },
        Selu { alpha: 1.67, gamma: 1.05 },
        ThresholdedRelu { alpha: 0.5 },
        Clip { lo: -1.0, hi: 1.0 },
        IsNaN,
    ];
    let mut cases = Vec::new();
    for op in ops {
        cases.push(Case::new(Op::Unary(op), vec![(floats(&[3, 37], 1), Plain)], Plain));
        if op != IsNaN {
            let x = (floats(&[1, 5, 3, 4], 2), Blocked([0; 4]));
            cases.push(Case::new(Op::Unary(op), vec![x], Blocked([1, 1, 1, 1])));
        }
    }
    check_all(cases, 61);
}

#[test]
fn broadcasting() {
    let shapes: [[&[usize]; 2]; 9] = [
        [&[2, 3, 5], &[2, 3, 5]],
        [&[2, 3, 5], &[5]],
        [&[2, 3, 5], &[3, 1]],
        [&[2, 1, 5], &[1, 3, 1]],
        [&[1], &[4, 33]],
        [&[], &[3]],
        [&[0, 3], &[1, 3]],
        [&[3, 9000], &[3, 1]],
        [&[2, 3, 4, 5], &[1, 3, 1, 1]],
    ];
    let mut cases = Vec::new();
    for (i, op) in
        [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::PRelu, BinaryOp::Less].into_iter().enumerate()
    {
        for [a, b] in shapes {
            let (a, b) = ((floats(a, 3 + i as u32), Gap), floats(b, 9));
            // The slope broadcasts to the operand, not the other way.
            if op == BinaryOp::PRelu && (a.0.len() <= b.len() && a.0.shape() != b.shape() || a.0.shape()[1..] == [1, 5])
            {
                continue;
            }
            cases.push(Case::new(Op::Binary(op), vec![a.clone(), (b.clone(), Place::Weight)], Plain));
            cases.push(Case::new(Op::Binary(op), vec![a, (b, Plain)], Gap));
        }
    }
    check_all(cases, 60);
}

#[test]
fn blocked_broadcasting() {
    let mut cases = Vec::new();
    for c in [1, 3, 16, 17, 33] {
        let x = (floats(&[2, c, 3, 5], 4), Blocked([1, 0, 2, 1]));
        let halo = Blocked([0, 1, 1, 2]);
        let add = |b| Case::new(Op::Binary(BinaryOp::Add), vec![x.clone(), b], halo);
        cases.push(add((floats(&[2, c, 3, 5], 5), Blocked([0; 4]))));
        cases.push(add((floats(&[1, c, 1, 1], 6), Place::Weight)));
        cases.push(add((floats(&[c, 1, 1], 6), Place::Weight)));
        cases.push(add((floats(&[2, c, 1, 1], 7), Blocked([0; 4]))));
        cases.push(add((floats(&[2, 1, 3, 5], 8), Plain)));
        cases.push(add((floats(&[2, 1, 3, 5], 8), Blocked([0; 4]))));
        cases.push(add((floats(&[], 8), Place::Weight)));
        cases.push(Case::new(Op::Binary(BinaryOp::Div), vec![x.clone(), (floats(&[2, c, 3, 5], 5), halo)], halo));
    }
    check_all(cases, 40);
}

#[test]
fn expressions() {
    let steps = vec![
        Step::Binary(BinaryOp::Mul, Arg::Input(0), Arg::Input(1)),
        Step::Unary(UnaryOp::Sigmoid, Arg::Step(0)),
        Step::Binary(BinaryOp::Add, Arg::Step(1), Arg::Const(0.25)),
        Step::Binary(BinaryOp::Mul, Arg::Step(2), Arg::Input(2)),
    ];
    let op = Op::Elementwise(Expression { steps });
    let mut cases = Vec::new();
    for c in [3, 32] {
        let x = floats(&[1, c, 7, 7], 1);
        let w = (floats(&[1, c, 1, 1], 2), Place::Weight);
        let scalar = (floats(&[1], 3), Place::Weight);
        let inputs = |p| vec![(x.clone(), p), w.clone(), scalar.clone()];
        cases.push(Case::new(op.clone(), inputs(Plain), Plain));
        cases.push(Case::new(op.clone(), inputs(Blocked([0; 4])), Blocked([1; 4])));
    }
    for power in [2.0f32, 0.5, 3.0, -1.0, 1.7] {
        let x = Tensor::from_slice(&[19], &(0..19).map(|i| i as f32 * 0.3 + 0.1).collect::<Vec<_>>()).unwrap();
        let inputs = vec![(x, Plain), (Tensor::from_slice(&[1], &[power]).unwrap(), Place::Weight)];
        cases.push(Case::new(Op::Binary(BinaryOp::Pow), inputs, Plain));
    }
    check_all(cases, 9);
}

/// Every pair of numbers near the powers of two of the whole range, subnormals, infinities and NaN, to the bit.
#[test]
fn remainders_of_any_quotient() {
    let mut numbers = vec![0.0, 1e-45, 3e-42, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY, f32::NAN, 0.1, 3.0, 7.5];
    numbers.extend((-15..=14).map(|e| (1.0 + (e as f32 * 0.37).fract().abs()) * 2f32.powi(e * 9)));
    numbers.extend(floats(&[30], 5).as_slice::<f32>().unwrap());
    let (n, signed): (usize, Vec<f32>) = (numbers.len(), numbers.iter().map(|x| -x).collect());
    let mut cases = Vec::new();
    for left in [&numbers, &signed] {
        let a = Tensor::from_slice(&[n, 1], left).unwrap();
        let b = Tensor::from_slice(&[n], &numbers).unwrap();
        cases.push(Case::new(Op::Binary(BinaryOp::Fmod), vec![(a, Plain), (b, Plain)], Plain).within(0.0, 0.0));
    }
    check_all(cases, 2);
}

#[test]
fn selection_booleans_and_conversion() {
    let bools = |n: usize| Tensor::from_bools(&[n], &(0..n).map(|i| i % 3 == 0).collect::<Vec<_>>()).unwrap();
    let mut cases = Vec::new();
    for n in [1, 5, 35] {
        let (a, b) = ((floats(&[n], 1), Plain), (floats(&[n], 2), Plain));
        cases.push(Case::new(Op::Where, vec![(bools(n), Plain), a.clone(), b], Plain));
        cases.push(Case::new(Op::Unary(UnaryOp::Not), vec![(bools(n), Plain)], Plain));
        for op in [BinaryOp::And, BinaryOp::Or, BinaryOp::Xor] {
            cases.push(Case::new(Op::Binary(op), vec![(bools(n), Plain), (bools(n), Plain)], Plain));
        }
        let small = Tensor::from_slice(&[n], &(0..n as i32).map(|i| i - 3).collect::<Vec<_>>()).unwrap();
        for to in [DType::I32, DType::Bool] {
            cases.push(Case::new(Op::Cast(to), vec![a.clone()], Plain));
        }
        cases.push(Case::new(Op::Cast(DType::F32), vec![(small.clone(), Plain)], Plain));
        cases.push(Case::new(Op::Cast(DType::F32), vec![(bools(n), Plain)], Plain));
        cases.push(Case::new(Op::Binary(BinaryOp::Mul), vec![(small.clone(), Plain), (small, Plain)], Plain));
    }
    check_all(cases, 30);
}
