//! Reductions.

use super::super::harness::{Case, Place, floats};
use super::check_all;
use crate::ir::{Op, ReduceKind};
use Place::{Blocked, Gap, Plain};
use ReduceKind::{L1, L2, LogSum, LogSumExp, Max, Mean, Min, Prod, Sum, SumSquare};
use brolga_runtime::Tensor;

#[test]
fn plain() {
    let mut all = Vec::new();
    for kind in [Sum, Mean, Max, Min, Prod, L1, L2, SumSquare, LogSum, LogSumExp] {
        for axes in [vec![0], vec![1], vec![2], vec![0, 2], vec![1, 2], vec![0, 1, 2]] {
            let op = Op::Reduce { kind, axes, keep: true };
            all.push(Case::new(op.clone(), vec![(floats(&[3, 5, 21], 1), Plain)], Plain).within(1e-4, 1e-4));
            all.push(Case::new(op, vec![(floats(&[3, 2, 1], 1), Gap)], Plain).within(1e-4, 1e-4));
        }
        let op = Op::Reduce { kind, axes: vec![1], keep: false };
        all.push(Case::new(op, vec![(floats(&[2, 40, 33], 1), Gap)], Gap).within(1e-4, 1e-3));
    }
    check_all(all, 130);
}

#[test]
fn of_nothing() {
    let mut all = Vec::new();
    for kind in [Sum, Mean, Max, Min, Prod, L1, L2, SumSquare, LogSum, LogSumExp] {
        for (shape, axes) in
            [(&[2, 0, 19][..], vec![1]), (&[0], vec![0]), (&[3, 0, 2, 0], vec![1, 3]), (&[0, 4], vec![1])]
        {
            for keep in [true, false] {
                let op = Op::Reduce { kind, axes: axes.clone(), keep };
                all.push(Case::new(op, vec![(floats(shape, 1), Plain)], Plain));
            }
        }
    }
    check_all(all, 80);
}

/// Operands of few different elements, so that positions of equal ones matter.
#[test]
fn positions_of_extremes() {
    let shapes: [(&[usize], usize); 9] = [
        (&[5], 0),
        (&[1, 1], 1),
        (&[3, 5, 21], 0),
        (&[3, 5, 21], 1),
        (&[3, 5, 21], 2),
        (&[2, 40, 1, 33], 1),
        (&[70, 7], 1),
        (&[0, 3], 1),
        (&[2, 9000], 0),
    ];
    let mut all = Vec::new();
    for (shape, axis) in shapes {
        let x = floats(shape, 7);
        let coarse: Vec<f32> = x.as_slice::<f32>().unwrap().iter().map(|x| (x * 1.5).round()).collect();
        let x = Tensor::from_slice(shape, &coarse).unwrap();
        for (min, last, keep) in [(false, false, true), (false, true, false), (true, false, false), (true, true, true)]
        {
            let place = if shape.len() > 2 { Gap } else { Plain };
            all.push(Case::new(Op::ArgReduce { min, axis, keep, last }, vec![(x.clone(), place)], Plain));
        }
    }
    check_all(all, 36);
}

#[test]
fn global_pooling_of_blocks() {
    let mut all = Vec::new();
    for c in [1, 3, 16, 17, 33] {
        for kind in [Mean, Max, Sum] {
            let x = (floats(&[2, c, 7, 7], 1), Blocked([1; 4]));
            for (keep, to) in [(true, Blocked([0; 4])), (true, Plain), (false, Plain)] {
                let op = Op::Reduce { kind, axes: vec![2, 3], keep };
                all.push(Case::new(op, vec![x.clone()], to).within(1e-4, 1e-5));
            }
        }
    }
    check_all(all, 45);
}
