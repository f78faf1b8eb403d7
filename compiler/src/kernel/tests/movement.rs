//! Copies, transposes, padding, reorders.

use super::super::harness::{Case, Place, floats};
use super::check_all;
use crate::ir::{Dim, Halo, Ints, Op, PadMode};
use Place::{Blocked, Gap, Plain};

fn ints(values: &[i64]) -> Ints {
    Ints::Known(values.iter().map(|v| Dim::from(*v)).collect())
}

#[test]
fn transposes() {
    let cases: [(&[usize], &[usize]); 9] = [
        (&[5, 7], &[1, 0]),
        (&[33, 20], &[1, 0]),
        (&[2, 17, 19], &[0, 2, 1]),
        (&[2, 3, 4, 5], &[0, 2, 3, 1]),
        (&[2, 3, 4, 5], &[3, 2, 1, 0]),
        (&[1, 4, 4, 2, 2, 8], &[0, 1, 3, 2, 4, 5]),
        (&[3, 1, 70], &[2, 1, 0]),
        (&[0, 4], &[1, 0]),
        (&[2, 40, 3], &[1, 2, 0]),
    ];
    let mut all = Vec::new();
    for (shape, perm) in cases {
        let op = Op::Transpose { perm: perm.to_vec() };
        all.push(Case::new(op.clone(), vec![(floats(shape, 1), Plain)], Plain));
        all.push(Case::new(op, vec![(floats(shape, 1), Gap)], Gap));
    }
    check_all(all, 18);
}

#[test]
fn reorders() {
    let mut all = Vec::new();
    for c in [1, 3, 4, 16, 17, 33] {
        for (h, w) in [(1, 1), (7, 7), (4, 16), (3, 35)] {
            let x = floats(&[2, c, h, w], 1);
            for halo in [[0; 4], [1, 2, 0, 1]] {
                let [top, left, bottom, right] = halo;
                let halo = Halo { top, left, bottom, right };
                // The lanes of the attribute are the layout pass's affair; views decide.
                let to = Op::Reorder { lanes: 0, halo };
                let blocked = Blocked([top, left, bottom, right]);
                all.push(Case::new(to.clone(), vec![(x.clone(), Plain)], blocked));
                all.push(Case::new(to.clone(), vec![(x.clone(), blocked)], Plain));
                all.push(Case::new(to.clone(), vec![(x.clone(), blocked)], Gap));
                all.push(Case::new(to, vec![(x.clone(), Blocked([1; 4]))], blocked));
            }
        }
    }
    check_all(all, 192);
}

#[test]
fn slices_concats_expands() {
    let x = floats(&[2, 8, 9, 6], 1);
    let mut all = Vec::new();
    let slice = |axes: &[usize], s: &[i64], e: &[i64], steps: &[i64]| Op::Slice {
        axes: axes.to_vec(),
        starts: ints(s),
        ends: ints(e),
        steps: steps.to_vec(),
    };
    all.push(Case::new(slice(&[1, 3], &[2, 0], &[7, 5], &[1, 2]), vec![(x.clone(), Plain)], Plain));
    all.push(Case::new(slice(&[2], &[-1], &[-100], &[-2]), vec![(x.clone(), Plain)], Plain));
    all.push(Case::new(slice(&[3], &[5], &[-100], &[-1]), vec![(x.clone(), Gap)], Plain));
    all.push(Case::new(slice(&[2], &[3], &[100], &[1]), vec![(x.clone(), Blocked([1; 4]))], Blocked([1; 4])));
    for places in [[Plain, Gap, Plain], [Blocked([0; 4]), Blocked([1; 4]), Blocked([1; 4])]] {
        for axis in [0, 2, 3] {
            let inputs = vec![(x.clone(), places[0]), (floats(&[2, 8, 9, 6], 2), places[1])];
            all.push(Case::new(Op::Concat { axis }, inputs, places[2]));
        }
        let inputs = vec![(floats(&[1, 16, 3, 3], 3), places[0]), (floats(&[1, 5, 3, 3], 2), places[1])];
        all.push(Case::new(Op::Concat { axis: 1 }, inputs, places[2]));
    }
    let narrow = floats(&[3, 1, 5], 3);
    all.push(Case::new(Op::Expand { shape: ints(&[2, 3, 4, 5]) }, vec![(narrow.clone(), Plain)], Plain));
    all.push(Case::new(Op::Tile { repeats: ints(&[1, 3, 2]) }, vec![(narrow, Plain)], Gap));
    let deep = floats(&[2, 12, 5, 6], 4);
    for crd in [false, true] {
        all.push(Case::new(Op::DepthToSpace { block: 2, crd }, vec![(deep.clone(), Plain)], Plain));
    }
    all.push(Case::new(Op::SpaceToDepth { block: 2 }, vec![(floats(&[2, 3, 4, 38], 5), Plain)], Plain));
    all.push(Case::new(Op::Reshape { shape: ints(&[4, -1]), allow_zero: false }, vec![(x, Plain)], Plain));
    check_all(all, 18);
}

#[test]
fn pads() {
    let mut all = Vec::new();
    for c in [3, 16] {
        let x = floats(&[1, c, 5, 6], 1);
        for mode in [PadMode::Constant(0.0), PadMode::Edge, PadMode::Reflect, PadMode::Wrap] {
            let op = Op::Pad { mode, pads: ints(&[0, 0, 2, 1, 0, 0, 0, 3]) };
            all.push(Case::new(op.clone(), vec![(x.clone(), Plain)], Plain));
            all.push(Case::new(op, vec![(x.clone(), Blocked([0, 1, 0, 0]))], Blocked([1, 0, 0, 2])));
        }
        let crop = Op::Pad { mode: PadMode::Constant(1.5), pads: ints(&[1, 2, -1, 0, 0, 0, -2, 3]) };
        all.push(Case::new(crop, vec![(x.clone(), Plain)], Gap));
    }
    check_all(all, 18);
}
