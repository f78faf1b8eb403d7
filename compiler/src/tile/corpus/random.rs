//! Random straight-line programs within the target's registers.

use super::values::{self, Rng};
use super::{CMPS, Case, FLOAT_BINS, FLOAT_UNS, INT_BINS, Target, map};
use crate::tile::*;

/// A program of about sixty operations over two inputs; float values meet integer operations only through conversions, so
/// that no bit of a NaN shows.
pub fn case(target: Target, seed: u64) -> Case {
    let mut rng = Rng::new(1000 + seed);
    let inputs = vec![values::floats(&mut rng, 160), values::ints(&mut rng, 160)];
    map(target, &format!("random-{seed}"), inputs, true, |k, x| {
        let acc = k.reg(Lane::F32, &[1]);
        k.set(acc, &[0.into()], VectorOp::Copy(x[0].clone()));
        let (mut floats, mut ints) = (vec![x[0].clone()], vec![x[1].clone()]);
        for _ in 0..60 {
            step(k, &mut rng, acc, &mut floats, &mut ints);
            // Old values die, so that few registers are live.
            if floats.len() > 3 {
                floats.remove(rng.below(3) as usize);
            }
            if ints.len() > 2 {
                ints.remove(rng.below(2) as usize);
            }
        }
        let sum = k.get(acc, &[0.into()]);
        let last = floats.pop().unwrap_or(sum.clone());
        let int = ints.pop().map(|a| k.vector(VectorOp::ToFloat(a))).unwrap_or(sum.clone());
        let sum = k.min(sum, last);
        k.max(sum, int)
    })
}

fn step(k: &mut Builder, rng: &mut Rng, acc: RegId, floats: &mut Vec<Operand>, ints: &mut Vec<Operand>) {
    let lanes = k.lanes();
    let pick = |rng: &mut Rng, from: &[Operand]| from[rng.below(from.len() as u64) as usize].clone();
    let (a, b) = (pick(rng, floats), if rng.below(4) == 0 { k.float(rng.float()) } else { pick(rng, floats) });
    let (m, n) = (pick(rng, ints), if rng.below(4) == 0 { k.int(rng.next() as i32) } else { pick(rng, ints) });
    match rng.below(12) {
        0..3 => floats.push(k.vector(VectorOp::Float(FLOAT_BINS[rng.below(6) as usize], a, b))),
        3 => floats.push(k.unary(FLOAT_UNS[rng.below(7) as usize], a)),
        4 => floats.push(k.mul_add(a.clone(), b, a)),
        5..7 => ints.push(k.vector(VectorOp::Int(INT_BINS[rng.below(11) as usize], m, n))),
        7 => ints.push(k.vector(VectorOp::ToInt(a))),
        8 => floats.push(k.vector(VectorOp::ToFloat(m))),
        9 => {
            let mask = k.cmp(CMPS[rng.below(6) as usize], a.clone(), b.clone());
            let other = k.mask(MaskOp::CmpInt(CMPS[rng.below(6) as usize], m, n));
            let mask = k.mask(if rng.below(2) == 0 { MaskOp::And(mask, other) } else { MaskOp::Or(mask, other) });
            floats.push(k.select(mask, a, b));
        }
        10 => {
            let pattern = (0..lanes).map(|_| rng.below(lanes.into()) as u8).collect();
            floats.push(k.vector(VectorOp::Permute(a, pattern)));
            ints.push(k.vector(VectorOp::Slide(m, n, rng.below(u64::from(lanes) + 1) as u32)));
        }
        _ => k.accumulate(acc, &[0.into()], a, b),
    }
}
