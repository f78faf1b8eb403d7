//! Operations that move data across lanes.

use super::*;
use crate::tile::*;

/// A kernel that loads two vectors, applies `op` and stores the result as let or as the pinned register of an operand.
fn two(target: Target, home: u32, op: impl FnOnce(&mut Builder, Operand, Operand) -> VectorOp) -> Kernel {
    let mut k = Builder::new("lanes", target);
    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
    let pins = k.reg(Lane::F32, &[2]);
    let bytes = i64::from(target.lanes) * 4;
    for at in 0..2 {
        let mem = Mem { pointer: x, disp: Index::Const(at * bytes) };
        k.set(pins, &[at.into()], VectorOp::Load { mem, first: None, storage: Storage::B32 });
    }
    let (a, b) = (k.get(pins, &[0.into()]), k.get(pins, &[1.into()]));
    let op = op(&mut k, a, b);
    let result = match home {
        0 => k.vector(op),
        home => {
            k.set(pins, &[i64::from(home - 1).into()], op);
            k.get(pins, &[i64::from(home - 1).into()])
        }
    };
    k.store(y, 0, result);
    for at in (0..2i64).filter(|at| home as i64 != at + 1) {
        let kept = k.get(pins, &[at.into()]);
        k.store(y, bytes * (at + 1), kept);
    }
    k.finish()
}

fn run(level: Level, target: Target, seed: u64, op: impl Fn(&mut Builder, Operand, Operand) -> VectorOp) -> usize {
    let lanes = target.lanes as usize;
    for home in 0..3 {
        let kernel = two(target, home, &op);
        agree(&kernel, level, &[&words(seed, 2 * lanes)], 3 * lanes * 4, &[], 1, Compare::Floats);
    }
    3
}

#[test]
fn slides_agree() {
    let (mut cases, mut expected) = (0, 0);
    for (level, target) in levels() {
        for n in 0..=target.lanes {
            cases += run(level, target, n.into(), |_, a, b| VectorOp::Slide(a, b, n));
        }
        expected += 3 * (target.lanes as usize + 1);
    }
    assert_eq!(cases, expected);
}

#[test]
fn permutations_agree() {
    let (mut cases, mut expected) = (0, 0);
    for (level, target) in levels() {
        for lane in 0..target.lanes {
            cases += run(level, target, lane.into(), |_, a, _| VectorOp::SplatLane(a, lane));
        }
        let mut numbers = Numbers(9);
        for seed in 0..8 {
            let pattern: Vec<u8> = (0..target.lanes).map(|_| numbers.below(target.lanes) as u8).collect();
            cases += run(level, target, seed, |_, a, _| VectorOp::Permute(a, pattern.clone()));
        }
        expected += 3 * (target.lanes as usize + 8);
    }
    assert_eq!(cases, expected);
}

#[test]
fn reductions_agree() {
    let mut cases = 0;
    for (level, target) in levels() {
        for seed in 0..20 {
            for kind in [ReduceKind::Add, ReduceKind::Max, ReduceKind::Min] {
                cases += run(level, target, seed, |_, a, _| VectorOp::Reduce(kind, a));
            }
        }
    }
    assert_eq!(cases, 180 * levels().len());
}

#[test]
fn splats_and_iota_agree() {
    let mut cases = 0;
    for (level, target) in levels() {
        cases += run(level, target, 1, |_, _, _| VectorOp::Iota);
        cases += run(level, target, 2, |k, _, _| VectorOp::SplatScalar(k.num(-77)));
        cases += run(level, target, 3, |k, _, _| {
            let end = k.end();
            VectorOp::SplatScalar(k.add_const(end, 1 << 40 | 12345))
        });
    }
    assert_eq!(cases, 9 * levels().len());
}

#[test]
fn transposes_agree() {
    let mut cases = 0;
    for (level, target) in levels() {
        let lanes = i64::from(target.lanes);
        // An array larger than the matrix, so that its first register is not the array's.
        for at in 0..3i64 {
            let mut k = Builder::new("transpose", target);
            let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
            let count = target.lanes + 3;
            let rows = k.reg(Lane::F32, &[count]);
            k.unroll(count, |k, i| {
                let mem = Mem { pointer: x, disp: i * (lanes * 4) };
                k.set(rows, &[i.into()], VectorOp::Load { mem, first: None, storage: Storage::B32 });
            });
            k.transpose(rows, at as u32);
            k.unroll(count, |k, i| {
                let row = k.get(rows, &[i.into()]);
                k.store(y, i * (lanes * 4), row);
            });
            let size = (target.lanes * count) as usize;
            agree(&k.finish(), level, &[&words(3, size)], size * 4, &[], 1, Compare::Bits);
            cases += 1;
        }
    }
    assert_eq!(cases, 3 * levels().len());
}

#[test]
fn running_out_of_registers_is_refused() {
    for (level, target) in levels() {
        let mut k = Builder::new("crowded", target);
        let acc = k.reg(Lane::F32, &[target.registers + 1]);
        let y = k.base("y", Access::Write);
        let value = k.get(acc, &[0.into()]);
        k.store(y, 0, value);
        let refused = lower(&k.finish(), level);
        assert!(matches!(refused, Err(crate::codegen::CodegenError::Registers { .. })), "{refused:?}");
    }
    let narrow = Builder::new("narrow", Target { lanes: 4, registers: 16, fma: false, dot: false }).finish();
    assert!(matches!(lower(&narrow, Level::X86_64V3), Err(crate::codegen::CodegenError::Lanes { .. })));
}
