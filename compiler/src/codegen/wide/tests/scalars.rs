//! Scalars, variables, branches, loops and checks: programs made at random, with more live values than registers.

use super::*;
use crate::tile::*;

const ARGS: [i64; 4] = [7, -3, 1 << 33 | 5, 123_456_789];
const DIVISORS: [i64; 8] = [1, 2, 3, 7, 64, 1000, 6_700_417, (1 << 40) + 1];

struct Program {
    numbers: Numbers,
    sum: ScalarId,
    memory: PointerRef,
}

impl Program {
    fn pick(&mut self, seen: &[ScalarId]) -> ScalarId {
        seen[self.numbers.below(seen.len() as u32) as usize]
    }
    fn cmp(&mut self) -> Cmp {
        [Cmp::Eq, Cmp::Ne, Cmp::Lt, Cmp::Le, Cmp::Gt, Cmp::Ge][self.numbers.below(6) as usize]
    }

    fn operation(&mut self, k: &mut Builder, seen: &[ScalarId]) -> ScalarId {
        let (a, b, c) = (self.pick(seen), self.pick(seen), self.pick(seen));
        let constant = match self.numbers.below(4) {
            0 => i64::from(self.numbers.below(10)),
            1 => 1 << self.numbers.below(40),
            2 => -i64::from(self.numbers.below(1 << 20)),
            _ => i64::from(self.numbers.next()) << self.numbers.below(20),
        };
        let divisor = DIVISORS[self.numbers.below(8) as usize];
        let cond = Cond { cmp: self.cmp(), a, b };
        let positive = |k: &mut Builder| {
            let zero = k.num(0);
            k.smax(a, zero)
        };
        match self.numbers.below(13) {
            0 => k.num(constant),
            1 => k.sadd(a, b),
            2 => k.ssub(a, b),
            3 => k.smul(a, b),
            4 => k.smin(a, b),
            5 => k.smax(a, b),
            6 => k.add_const(a, constant),
            7 => k.mul_const(a, constant),
            8 => {
                let a = positive(k);
                k.div_const(a, divisor)
            }
            9 => {
                let a = positive(k);
                k.rem_const(a, divisor)
            }
            10 => k.scalar(ScalarOp::Select(cond, b, c)),
            11 => k.scalar(ScalarOp::LoadI32(Mem { pointer: self.memory, disp: 12.into() })),
            _ => {
                let a = positive(k);
                let index = k.rem_const(a, 4);
                let offset = k.mul_const(index, 8);
                let pointer = k.pointer(self.memory, offset);
                k.scalar(ScalarOp::LoadI64(Mem { pointer, disp: 8.into() }))
            }
        }
    }

    fn add(&mut self, k: &mut Builder, value: ScalarId) {
        let (sum, product) = (self.sum, k.mul_const(self.sum, 31));
        let next = k.sadd(product, value);
        k.assign(sum, next);
    }

    fn block(&mut self, k: &mut Builder, mut seen: Vec<ScalarId>, depth: u32) {
        let outside = seen.len();
        for _ in 0..4 + self.numbers.below(8) {
            match self.numbers.below(if depth < 3 { 10 } else { 6 }) {
                0..6 => {
                    let made = self.operation(k, &seen);
                    seen.push(made);
                }
                6 => {
                    let count = self.numbers.below(3);
                    k.unroll(1 + count, |k, u| {
                        let index = k.index(u * 5);
                        let inside = [seen.clone(), vec![index]].concat();
                        self.block(k, inside, depth + 1);
                    });
                }
                7 => {
                    let (a, b, cmp) = (self.pick(&seen), self.pick(&seen), self.cmp());
                    let (first, second) = (self.numbers.next(), self.numbers.next());
                    let sum = self.sum;
                    let memory = self.memory;
                    let side = |k: &mut Builder, seed: u32, seen: Vec<ScalarId>| {
                        Program { numbers: Numbers(seed.into()), sum, memory }.block(k, seen, depth + 1);
                    };
                    k.if_(
                        cmp,
                        a,
                        b,
                        |k| side(k, first, seen.clone()),
                        |k| {
                            if second % 3 > 0 {
                                side(k, second, seen.clone());
                            }
                        },
                    );
                }
                8 => {
                    let (from, span) = (self.pick(&seen), i64::from(self.numbers.below(9)));
                    let to = k.add_const(from, span);
                    let step = 1 + i64::from(self.numbers.below(3));
                    k.for_(from, to, step, |k, i| self.block(k, [seen.clone(), vec![i]].concat(), depth + 1));
                }
                _ => {
                    let first = self.pick(&seen);
                    let variable = k.variable(first);
                    k.for_count(3, |k, i| {
                        let both = k.sadd(variable, i);
                        let offset = k.add_const(variable, 9);
                        k.assign(variable, both);
                        self.add(k, offset);
                    });
                    seen.push(variable);
                }
            }
        }
        // Values of this block stay needed to its end.
        for value in seen.split_off(outside) {
            self.add(k, value);
        }
    }
}

fn program(target: Target, seed: u64) -> Kernel {
    let mut k = Builder::new("scalars", target);
    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
    let mut seen: Vec<ScalarId> = ["a", "b", "c", "d"].iter().map(|name| k.arg(name)).collect();
    seen.extend([k.begin(), k.end()]);
    let zero = k.num(0);
    let mut p = Program { numbers: Numbers(seed), sum: k.variable(zero), memory: x };
    p.block(&mut k, seen, 0);
    let low = k.vector(VectorOp::SplatScalar(p.sum));
    k.store(y, 0, low);
    let positive = k.smax(p.sum, zero);
    let high = k.div_const(positive, 1 << 32);
    let high = k.vector(VectorOp::SplatScalar(high));
    k.store(y, 64, high);
    k.finish()
}

#[test]
fn random_programs_agree() {
    let mut cases = 0;
    let memory = words(4, 16);
    for (level, target) in levels() {
        for seed in 0..150 {
            agree(&program(target, seed), level, &[&memory], 128, &ARGS, 5, Compare::Bits);
            cases += 1;
        }
    }
    assert_eq!(cases, 150 * levels().len());
}

#[test]
fn checks_return_their_code() {
    let mut cases = 0;
    for (level, target) in levels() {
        for (value, items) in [(0, 1), (5, 1), (9, 3), (5, 0)] {
            let mut k = Builder::new("check", target);
            let (a, five, begin, end) = (k.arg("a"), k.num(5), k.begin(), k.end());
            let y = k.base("y", Access::Write);
            k.for_(begin, end, 1, |k, _| {
                k.check(Cmp::Ne, a, five, 17);
                k.check(Cmp::Lt, a, five, -4);
                let one = k.float(1.0);
                k.store(y, 0, one);
            });
            agree(&k.finish(), level, &[], 64, &[value], items, Compare::Bits);
            cases += 1;
        }
    }
    assert_eq!(cases, 4 * levels().len());
}

#[test]
fn malformed_kernels_are_refused() {
    for (level, target) in levels() {
        let stray = Operand::Let(LetId(3));
        let mut k = Builder::new("stray", target);
        let y = k.base("y", Access::Write);
        k.store(y, 0, stray);
        let refused = lower(&k.finish(), level);
        assert!(matches!(refused, Err(crate::codegen::CodegenError::Malformed { .. })), "{refused:?}");
    }
}
