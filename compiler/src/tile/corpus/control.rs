//! Scalars, loops, branches, checks, register arrays.

use super::values::{self, Rng};
use super::{CMPS, Case, Target};
use crate::tile::*;

/// Cases for a target.
pub fn cases(target: Target) -> Vec<Case> {
    let mut cases = vec![matmul(target, 3), matmul(target, 0), transpose(target), tables(target), nested(target)];
    for (x, y) in [(7, 3), (0, 5), (1 << 40, 9), (123_456_789, 123_456_789)] {
        cases.push(scalars(target, x, y));
    }
    for cmp in CMPS {
        for (a, b) in [(1, 2), (2, 1), (3, 3), (-1, 1)] {
            cases.push(branch(target, cmp, a, b));
        }
    }
    cases
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Stores a scalar's low and high words, each in every lane, as vectors `at` and `at + 1`.
fn store_scalar(k: &mut Builder, y: PointerRef, at: i64, value: ScalarId) {
    let bytes = i64::from(k.lanes()) * 4;
    let low = k.vector(VectorOp::SplatScalar(value));
    k.store(y, 2 * at * bytes, low);
    let high = k.div_const(value, 1 << 32);
    let high = k.vector(VectorOp::SplatScalar(high));
    k.store(y, (2 * at + 1) * bytes, high);
}

/// Every scalar operation on two arguments that are not negative.
fn scalars(target: Target, a: i64, b: i64) -> Case {
    let mut k = Builder::new("scalars", target);
    let y = k.base("y", Access::Write);
    let (x, z) = (k.arg("x"), k.arg("z"));
    let (begin, end) = (k.begin(), k.end());
    let table = k.table(vec![5, 17]);
    let mut results = vec![k.sadd(x, z), k.smin(x, z), k.smax(x, z), k.smul(x, z)];
    let (difference, limit) = (k.ssub(x, z), k.num(1 << 41));
    results.push(k.sadd(difference, limit));
    results.push(k.add_const(x, 99));
    results.push(k.mul_const(z, 12));
    for divisor in [1, 2, 3, 7, 16, 1000] {
        results.push(k.div_const(x, divisor));
        results.push(k.rem_const(x, divisor));
    }
    results.push(k.index(Index::Table(table, Box::new(Index::Const(1)))));
    results.push(k.ssub(end, begin));
    for cmp in CMPS {
        results.push(k.scalar(ScalarOp::Select(Cond { cmp, a: x, b: z }, begin, end)));
    }
    let count = results.len();
    for (at, value) in results.into_iter().enumerate() {
        store_scalar(&mut k, y, at as i64, value);
    }
    let output = vec![0xa5; count * 2 * target.lanes as usize * 4];
    Case { kernel: k.finish(), buffers: vec![output], args: vec![a, b], share: (4, 11), floats: false }
}

/// A branch that sets a register and a variable on both sides, then a check.
fn branch(target: Target, cmp: Cmp, a: i64, b: i64) -> Case {
    let mut k = Builder::new(format!("branch-{cmp:?}"), target);
    let y = k.base("y", Access::Write);
    let (left, right) = (k.arg("left"), k.arg("right"));
    let acc = k.reg(Lane::I32, &[]);
    let zero = k.num(0);
    let variable = k.variable(zero);
    let (one, two, three) = (k.int(1), k.int(2), k.int(3));
    k.set(acc, &[], VectorOp::Copy(one.clone()));
    k.if_(
        cmp,
        left,
        right,
        |k| {
            let old = k.get(acc, &[]);
            k.set(acc, &[], VectorOp::Int(IntBin::Add, old, two));
            k.assign(variable, left);
        },
        |k| {
            k.if_(Cmp::Eq, left, right, |k| k.set(acc, &[], VectorOp::Copy(three)), |_| {});
            let more = k.add_const(variable, 40);
            k.assign(variable, more);
        },
    );
    let value = k.get(acc, &[]);
    k.store(y, 0, value);
    let bytes = i64::from(target.lanes) * 4;
    let value = k.vector(VectorOp::SplatScalar(variable));
    k.store(y, bytes, value);
    k.check(cmp, left, right, 77);
    k.store(y, bytes * 2, one);
    let buffers = vec![vec![0xa5; bytes as usize * 3]];
    Case { kernel: k.finish(), buffers, args: vec![a, b], share: (0, 0), floats: false }
}

/// A 3 x 2 tile of accumulators over a run-time reduction, with prefetch; a folded load and a folded broadcast per product.
fn matmul(target: Target, depth: i64) -> Case {
    let (lanes, rows) = (i64::from(target.lanes), 3);
    let mut k = Builder::new("matmul-f32-3x2", target);
    let (a, b, y) = (k.base("a", Access::Read), k.base("b", Access::Read), k.base("y", Access::Write));
    let (depth_arg, zero, none) = (k.arg("depth"), k.float(0.0), k.num(0));
    let acc = k.reg(Lane::F32, &[rows as u32, 2]);
    k.unroll(rows as u32, |k, r| {
        k.unroll(2, |k, c| k.set(acc, &[r.into(), c.into()], VectorOp::Copy(zero.clone())));
    });
    k.for_(none, depth_arg, 1, |k, d| {
        let (from_a, from_b) = (k.mul_const(d, 4), k.mul_const(d, lanes * 8));
        let (from_a, from_b) = (k.pointer(a, from_a), k.pointer(b, from_b));
        k.prefetch(from_b, lanes * 8, 1);
        let weights = [k.load(from_b, 0), k.load(from_b, lanes * 4)];
        k.unroll(rows as u32, |k, r| {
            let x = k.splat_load(from_a, r * 64);
            for (c, w) in weights.iter().enumerate() {
                k.accumulate(acc, &[r.into(), (c as i64).into()], x.clone(), w.clone());
            }
        });
    });
    k.unroll(rows as u32, |k, r| {
        k.unroll(2, |k, c| {
            let value = k.get(acc, &[r.into(), c.into()]);
            let value = k.max(value, zero.clone());
            k.store(y, r * (lanes * 8) + c * (lanes * 4), value);
        });
    });
    let mut rng = Rng::new(8);
    let mut floats = |count| words(&(0..count).map(|_| rng.float().to_bits()).collect::<Vec<_>>());
    let buffers = vec![floats(16 * rows), floats(lanes * 2 * depth), vec![0xa5; (lanes * 8 * rows) as usize]];
    Case { kernel: k.finish(), buffers, args: vec![depth], share: (0, 1), floats: true }
}

fn transpose(target: Target) -> Case {
    let (lanes, bytes) = (target.lanes, i64::from(target.lanes) * 4);
    let mut k = Builder::new("transpose", target);
    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
    let rows = k.reg(Lane::F32, &[lanes + 1]);
    k.unroll(lanes + 1, |k, r| {
        let mem = Mem { pointer: x, disp: r * bytes };
        k.set(rows, &[r.into()], VectorOp::Load { mem, first: None, storage: Storage::B32 });
    });
    k.transpose(rows, 1);
    k.unroll(lanes + 1, |k, r| {
        let value = k.get(rows, &[r.into()]);
        k.store(y, r * bytes, value);
    });
    let count = (lanes * (lanes + 1)) as usize;
    let input = words(&values::ints(&mut Rng::new(9), count)[..count]);
    let buffers = vec![input, vec![0xa5; count * 4]];
    Case { kernel: k.finish(), buffers, args: vec![], share: (0, 0), floats: false }
}

/// Displacements and register positions from tables and products of unroll variables.
fn tables(target: Target) -> Case {
    let bytes = i64::from(target.lanes) * 4;
    let mut k = Builder::new("tables", target);
    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
    let taps = k.table(vec![0, 4, 36, 40]);
    let order = k.table(vec![3, 0, 2, 1]);
    let acc = k.reg(Lane::I32, &[2, 2]);
    k.unroll(2, |k, i| {
        k.unroll(2, |k, j| {
            let at = i * 2 + j.into();
            let place = Index::Table(order, Box::new(at.clone()));
            let mem = Mem { pointer: x, disp: Index::Table(taps, Box::new(at)) };
            k.set(acc, &[i.into(), j.into()], VectorOp::Load { mem, first: None, storage: Storage::B32 });
            let value = k.get(acc, &[i.into(), j.into()]);
            let number = k.index(place.clone() + Index::Const(100));
            let number = k.vector(VectorOp::SplatScalar(number));
            let sum = k.vector(VectorOp::Int(IntBin::Add, value, number));
            k.store(y, place * bytes, sum);
        });
    });
    let input = words(&values::ints(&mut Rng::new(10), 32)[..32]);
    let buffers = vec![input, vec![0xa5; bytes as usize * 4]];
    Case { kernel: k.finish(), buffers, args: vec![], share: (0, 0), floats: false }
}

/// Loops in loops, one never entered, a bound that the body changes after it was read, a register that lives across turns.
fn nested(target: Target) -> Case {
    let bytes = i64::from(target.lanes) * 4;
    let mut k = Builder::new("nested", target);
    let y = k.base("y", Access::Write);
    let (begin, end, zero) = (k.begin(), k.end(), k.num(0));
    let sum = k.variable(zero);
    let bound = k.variable(end);
    let acc = k.reg(Lane::I32, &[1]);
    k.set(acc, &[0.into()], VectorOp::Iota);
    k.for_(begin, bound, 2, |k, i| {
        k.for_(zero, i, 3, |k, j| {
            let product = k.smul(i, j);
            let next = k.sadd(sum, product);
            k.assign(sum, next);
            let (old, number) = (k.get(acc, &[0.into()]), k.vector(VectorOp::SplatScalar(product)));
            k.set(acc, &[0.into()], VectorOp::Int(IntBin::Add, old, number));
        });
        k.for_(i, zero, 1, |k, _| k.assign(sum, zero));
        k.assign(bound, zero);
        let (to, value) = (k.mul_const(i, bytes), k.get(acc, &[0.into()]));
        let to = k.pointer(y, to);
        k.store(to, 0, value);
    });
    let last = k.vector(VectorOp::SplatScalar(sum));
    k.store(y, 0, last);
    k.for_count(2, |k, _| k.prefetch(y, 0, 2));
    let buffers = vec![vec![0xa5; bytes as usize * 12]];
    Case { kernel: k.finish(), buffers, args: vec![], share: (1, 11), floats: false }
}
