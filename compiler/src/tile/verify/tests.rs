//! Kernels that break one rule each, and the corpus, which breaks none.

use crate::tile::*;

const TARGET: Target = Target { lanes: 4, registers: 16, fma: false, dot: false };

/// The details of the faults of a kernel.
fn faults(build: impl FnOnce(&mut Builder)) -> Vec<String> {
    let mut k = Builder::new("faulty", TARGET);
    build(&mut k);
    verify(&k.finish()).into_iter().map(|fault| fault.detail).collect()
}

#[test]
fn corpus_verifies() {
    let mut verified = 0;
    for (lanes, registers) in [(4, 16), (8, 16), (16, 32)] {
        for case in corpus::corpus(Target { lanes, registers, fma: true, dot: false }) {
            let faults = verify(&case.kernel);
            assert!(faults.is_empty(), "{}: {faults:#?}\n{}", case.kernel.name, case.kernel);
            verified += 1;
        }
    }
    assert!(verified > 3 * 280);
}

#[test]
fn names_have_scopes() {
    let out_of_scope = faults(|k| {
        let y = k.base("y", Access::Write);
        let (zero, mut inner) = (k.num(0), None);
        k.for_(zero, zero, 1, |k, _| inner = Some(k.load(y, 0)));
        k.store(y, 0, inner.unwrap());
    });
    assert_eq!(out_of_scope, ["v0 is not in scope"]);
    let assigned = faults(|k| {
        let zero = k.num(0);
        k.assign(zero, zero);
    });
    assert_eq!(assigned, ["s0 is not a variable"]);
}

#[test]
fn indices_stay_inside_under_unrolling() {
    let past_the_end = faults(|k| {
        let (zero, acc) = (k.float(0.0), k.reg(Lane::F32, &[3]));
        k.unroll(2, |k, u| k.set(acc, &[u * 2 + 1.into()], VectorOp::Copy(zero)));
    });
    assert_eq!(past_the_end, ["an index of acc0 is out of range (u0 = 1)"]);
    let table = faults(|k| {
        let (x, taps) = (k.base("x", Access::Read), k.table(vec![0, 4]));
        k.unroll(3, |k, u| {
            k.load(x, Index::Table(taps, Box::new(u.into())));
        });
    });
    assert_eq!(table, ["an index has no value here"]);
}

#[test]
fn lane_types_fit() {
    let mixed = faults(|k| {
        let (a, b) = (k.float(1.0), k.int(1));
        k.add(a, b);
    });
    assert_eq!(mixed, ["an operand has I32 lanes where F32 is wanted"]);
    let register = faults(|k| {
        let (acc, one) = (k.reg(Lane::F32, &[]), k.int(1));
        k.set(acc, &[], VectorOp::Copy(one));
    });
    assert_eq!(register, ["acc0 has F32 lanes"]);
}

#[test]
fn operations_fit_the_target() {
    let all = faults(|k| {
        let x = k.base("x", Access::Read);
        let one = k.float(1.0);
        k.vector(VectorOp::Fma(one.clone(), one.clone(), one.clone()));
        k.vector(VectorOp::Permute(one.clone(), vec![0, 1, 2]));
        k.vector(VectorOp::Slide(one.clone(), one.clone(), 5));
        k.store(x, 0, one);
        let zero = k.num(0);
        k.div_const(zero, 0);
        k.check(Cmp::Eq, zero, zero, 0);
    });
    assert_eq!(all.len(), 6, "{all:?}");
}

#[test]
fn registers_and_expansion_are_bounded() {
    let held = faults(|k| {
        k.reg(Lane::F32, &[4, 4]);
        let x = k.base("x", Access::Read);
        let v = k.load(x, 0);
        k.add(v.clone(), v);
    });
    assert_eq!(held, ["17 vector registers held at once, the target has 16"]);
    let unrolled = faults(|k| {
        let one = k.float(1.0);
        k.unroll(200, |k, _| k.unroll(200, |k, _| drop(k.unary(FloatUn::Abs, one))));
    });
    assert_eq!(unrolled, [format!("more than {EXPANSION_LIMIT} statements when unrolled")]);
}

#[test]
fn pressure_counts_live_values() {
    let mut k = Builder::new("pressure", TARGET);
    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
    let (a, b) = (k.load(x, 0), k.load(x, 16));
    let n = k.num(4);
    let zero = k.num(0);
    k.for_(zero, n, 1, |k, _| {
        let c = k.add(a.clone(), b.clone());
        let d = k.mul(c.clone(), c);
        k.store(y, 0, d);
    });
    assert_eq!(pressure(&k.finish()), 3);
}
