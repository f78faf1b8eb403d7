//! Softmax and normalisations.

use super::super::harness::{Case, Place, floats};
use super::check_all;
use crate::ir::Op;
use Place::{Blocked, Gap, Plain, Weight};

#[test]
fn softmax() {
    let mut all = Vec::new();
    for log in [false, true] {
        for (shape, axis) in [
            (&[3usize, 1000][..], 1),
            (&[2, 5, 33], 1),
            (&[2, 5, 33], 2),
            (&[7, 3], 0),
            (&[1, 1], 1),
            (&[2, 21, 3, 5], 1),
            (&[0, 4], 1),
        ] {
            for place in [Plain, Gap] {
                let x = vec![(floats(shape, 1), place)];
                all.push(Case::new(Op::Softmax { axis, log }, x, Plain).within(1e-6, 1e-5));
            }
        }
    }
    check_all(all, 28);
}

#[test]
fn moments_and_norms() {
    let mut all = Vec::new();
    let epsilon = 1e-5;
    for (shape, axis) in [(&[2usize, 7, 96][..], 2), (&[3, 5, 4], 1), (&[2, 1, 17], 2)] {
        let of = &shape[axis..];
        for place in [Plain, Weight] {
            let x = vec![(floats(shape, 1), Plain), (floats(of, 2), place), (floats(of, 3), place)];
            all.push(Case::new(Op::LayerNorm { axis, epsilon, bias: true }, x.clone(), Plain).within(1e-5, 1e-4));
            let op = Op::LayerNorm { axis, epsilon, bias: false };
            all.push(Case::new(op, x[..2].to_vec(), Gap).within(1e-5, 1e-4));
        }
    }
    for c in [1, 6, 17] {
        let parameters = |place| [(floats(&[c], 2), place), (floats(&[c], 3), place)];
        for (place, parameter) in [(Plain, Plain), (Gap, Weight), (Blocked([1; 4]), Weight)] {
            let x = [(floats(&[2, c, 5, 7], 1), place)];
            let inputs = x.into_iter().chain(parameters(parameter)).collect();
            all.push(Case::new(Op::InstanceNorm { epsilon }, inputs, place).within(1e-5, 1e-4));
        }
    }
    for groups in [1, 2, 6] {
        let inputs = vec![(floats(&[2, 6, 5, 7], 1), Plain), (floats(&[6], 2), Weight), (floats(&[6], 3), Plain)];
        all.push(Case::new(Op::GroupNorm { groups, epsilon }, inputs, Plain).within(1e-5, 1e-4));
    }
    for p in [1, 2] {
        for axis in [1, 3] {
            let x = vec![(floats(&[2, 6, 5, 7], 1), Plain)];
            all.push(Case::new(Op::LpNorm { axis, p }, x, Plain).within(1e-6, 1e-5));
        }
    }
    check_all(all, 28);
}

#[test]
fn local_response() {
    let mut all = Vec::new();
    for c in [1, 3, 17, 33] {
        for (size, beta) in [(5, 0.75), (3, 0.5), (4, 1.0)] {
            let op = Op::Lrn { size, alpha: 0.1, beta, bias: 1.5 };
            let x = floats(&[2, c, 3, 7], 1);
            all.push(Case::new(op.clone(), vec![(x.clone(), Plain)], Plain).within(1e-6, 1e-5));
            // A block has to hold half of the window.
            if size / 2 < 4 {
                let halo = Blocked([1, 0, 0, 2]);
                all.push(Case::new(op, vec![(x, Blocked([0, 1, 1, 0]))], halo).within(1e-6, 1e-5));
            }
        }
    }
    check_all(all, 24);
}
