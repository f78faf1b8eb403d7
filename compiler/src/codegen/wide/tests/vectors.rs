//! Vectors, masks and pinned registers over loops, branches and copies: programs made at random.

use super::*;
use crate::codegen::CodegenError;
use crate::tile::*;

struct Program {
    numbers: Numbers,
    input: PointerRef,
    output: PointerRef,
    pins: RegId,
    stored: i64,
}

/// Vectors that a program may store.
const STORES: i64 = 40;
const PINS: u32 = 3;

impl Program {
    fn operand(&mut self, k: &mut Builder, seen: &[Operand]) -> Operand {
        match self.numbers.below(10) {
            0 => k.float(0.75),
            1 => {
                let lanes: Vec<i32> = (0..k.lanes() as i32).map(|i| 0x3f80_0000 + (i << 19)).collect();
                k.ints(&lanes)
            }
            2..4 => k.get(self.pins, &[i64::from(self.numbers.below(PINS)).into()]),
            4 => k.splat_load(self.input, i64::from(self.numbers.below(16)) * 4),
            5 => k.load(self.input, i64::from(self.numbers.below(16)) * 4),
            _ => seen[self.numbers.below(seen.len() as u32) as usize].clone(),
        }
    }

    fn operation(&mut self, k: &mut Builder, seen: &[Operand]) -> VectorOp {
        let (a, b, c) = (self.operand(k, seen), self.operand(k, seen), self.operand(k, seen));
        let n = self.numbers.below(k.lanes());
        match self.numbers.below(12) {
            0 => VectorOp::Float(FloatBin::Add, a, b),
            1 => VectorOp::Float(FloatBin::Sub, a, b),
            2 => VectorOp::Float(FloatBin::Max, a, b),
            3..6 => VectorOp::Fma(a, b, c),
            6 => VectorOp::Copy(a),
            7 => VectorOp::Slide(a, b, n),
            8 => VectorOp::SplatLane(a, n),
            9 => VectorOp::Reduce(ReduceKind::Min, a),
            _ => {
                let mask = k.cmp(Cmp::Lt, a.clone(), b);
                VectorOp::Select(mask, c, a)
            }
        }
    }

    fn block(&mut self, k: &mut Builder, mut seen: Vec<Operand>, depth: u32) {
        for _ in 0..3 + self.numbers.below(5) {
            let choice = self.numbers.below(if depth < 3 { 12 } else { 8 });
            match choice {
                0..4 => {
                    let op = self.operation(k, &seen);
                    seen.push(k.vector(op));
                }
                4..7 => {
                    let op = self.operation(k, &seen);
                    k.set(self.pins, &[i64::from(self.numbers.below(PINS)).into()], op);
                }
                7 if self.stored < STORES => {
                    let value = self.operand(k, &seen);
                    k.store(self.output, self.stored * 64, value);
                    self.stored += 1;
                }
                7 => {}
                8 => k.unroll(2, |k, _| self.block(k, seen.clone(), depth + 1)),
                9 => {
                    let (begin, end, odd) = (k.begin(), k.end(), self.numbers.below(2));
                    let cmp = if odd == 1 { Cmp::Lt } else { Cmp::Gt };
                    let this = std::cell::RefCell::new(&mut *self);
                    k.if_(
                        cmp,
                        begin,
                        end,
                        |k| this.borrow_mut().block(k, seen.clone(), depth + 1),
                        |k| this.borrow_mut().block(k, seen.clone(), depth + 1),
                    );
                }
                _ => {
                    let (begin, end) = (k.begin(), k.end());
                    k.for_(begin, end, 1, |k, _| self.block(k, seen.clone(), depth + 1));
                }
            }
        }
        // The newest and the oldest value stay needed to the end.
        for value in [seen.first(), seen.last()].into_iter().flatten() {
            let old = k.get(self.pins, &[0.into()]);
            k.set(self.pins, &[0.into()], VectorOp::Float(FloatBin::Min, old, value.clone()));
        }
    }
}

fn program(target: Target, seed: u64) -> Kernel {
    let mut k = Builder::new("vectors", target);
    let (input, output) = (k.base("x", Access::Read), k.base("y", Access::Write));
    let pins = k.reg(Lane::F32, &[PINS]);
    let first = k.load(input, 0);
    k.unroll(PINS, |k, i| {
        let mem = Mem { pointer: input, disp: i * 12 };
        k.set(pins, &[i.into()], VectorOp::Load { mem, first: None, storage: Storage::B32 });
    });
    let mut p = Program { numbers: Numbers(seed), input, output, pins, stored: 0 };
    p.block(&mut k, vec![first], 0);
    k.unroll(PINS, |k, i| {
        let value = k.get(pins, &[i.into()]);
        k.store(output, i * 64 + Index::from(STORES * 64), value);
    });
    k.finish()
}

#[test]
fn random_programs_agree() {
    let (mut cases, mut refused) = (0, 0);
    for (level, target) in levels() {
        for seed in 0..300 {
            let kernel = program(target, seed);
            if matches!(lower(&kernel, level), Err(CodegenError::Registers { .. })) {
                refused += 1;
                continue;
            }
            let output = (STORES + i64::from(PINS)) as usize * 64;
            agree(&kernel, level, &[&words(seed, 64)], output, &[], 2, Compare::Floats);
            cases += 1;
        }
    }
    assert_eq!(cases + refused, 300 * levels().len());
    assert!(refused * 4 < cases, "{refused} of {} programs need too many registers", cases + refused);
}
