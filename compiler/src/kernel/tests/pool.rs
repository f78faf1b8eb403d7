//! Pooling.

use super::super::harness::{Case, Place, floats};
use super::check_all;
use crate::ir::{AutoPad, Op, PoolKind, Window};
use Place::Blocked;

fn window(kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2], pads: [i64; 4]) -> Window {
    Window {
        kernel: kernel.to_vec(),
        stride: stride.to_vec(),
        dilation: dilation.to_vec(),
        pad_begin: pads[..2].to_vec(),
        pad_end: pads[2..].to_vec(),
        auto_pad: AutoPad::Explicit,
    }
}

#[test]
fn blocked_windows() {
    let windows = [
        window([2, 2], [2, 2], [1, 1], [0; 4]),
        window([3, 3], [2, 2], [1, 1], [1; 4]),
        window([3, 3], [1, 1], [1, 1], [1; 4]),
        window([3, 2], [3, 1], [2, 1], [2, 0, 1, 1]),
        window([7, 7], [1, 1], [1, 1], [0; 4]),
        window([5, 1], [1, 3], [1, 1], [0, 0, 4, 0]),
    ];
    let mut all = Vec::new();
    for (i, w) in windows.iter().enumerate() {
        for kind in [PoolKind::Max, PoolKind::Average { count_pad: false }, PoolKind::Average { count_pad: true }] {
            for ceil in [false, true] {
                let c = [3, 16, 17, 33, 1, 4][i];
                let op = Op::Pool { kind, window: w.clone(), ceil, column_major: false };
                let x = (floats(&[2, c, 9, 13], 1), Blocked([0, 1, 0, 0]));
                all.push(Case::new(op, vec![x], Blocked([1, 0, 0, 1])));
            }
        }
    }
    let mut same = window([3, 3], [2, 2], [1, 1], [0; 4]);
    same.auto_pad = AutoPad::SameUpper;
    let op = Op::Pool { kind: PoolKind::Max, window: same, ceil: false, column_major: false };
    all.push(Case::new(op, vec![(floats(&[1, 5, 8, 8], 1), Blocked([0; 4]))], Blocked([0; 4])));
    // A window that reaches past everything.
    for kind in [PoolKind::Max, PoolKind::Average { count_pad: false }, PoolKind::Average { count_pad: true }] {
        let window = window([20, 14], [20, 14], [1, 1], [0, 1, 0, 0]);
        let op = Op::Pool { kind, window, ceil: true, column_major: false };
        all.push(Case::new(op, vec![(floats(&[1, 5, 9, 13], 1), Blocked([0; 4]))], Blocked([0; 4])));
    }
    check_all(all, 40);
}
