//! The evaluator against values worked out by hand.

use crate::tile::*;

const TARGET: Target = Target { lanes: 4, registers: 16, fma: true, dot: false };

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// `y[i] = 2 x[i]` over the share, in vectors, with a tail.
fn double() -> Kernel {
    let mut k = Builder::new("double-f32", TARGET);
    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
    let (begin, end) = (k.begin(), k.end());
    k.for_(begin, end, 4, |k, i| {
        let (offset, left) = (k.mul_const(i, 4), k.ssub(end, i));
        let (from, to) = (k.pointer(x, offset), k.pointer(y, offset));
        let v = k.load_first(from, 0, left);
        let twice = k.add(v.clone(), v);
        k.store_first(to, 0, twice, left);
    });
    k.finish()
}

#[test]
fn doubles_with_a_tail() {
    let x: Vec<f32> = (0..7).map(|i| i as f32).collect();
    let mut y = vec![0u8; 28];
    let kernel = double();
    let mut bases = [Buffer::Read(bytemuck::cast_slice(&x)), Buffer::Write(&mut y)];
    assert_eq!(evaluate(&kernel, &mut bases, &[], 1, 6), Ok(0));
    assert_eq!(floats(&y), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 0.0]);
}

#[test]
fn reports_the_statement_that_leaves_its_buffer() {
    let (x, mut y) = ([0u8; 24], vec![0u8; 28]);
    let kernel = double();
    let mut bases = [Buffer::Read(&x), Buffer::Write(&mut y)];
    let error = evaluate(&kernel, &mut bases, &[], 0, 7).unwrap_err();
    let text = error.to_string();
    assert_eq!(text, "`v0 = load first s4 of [p0]` reaches bytes 16..28 of `x`, which has 24");
    let mut bases = [Buffer::Read(&[0; 28]), Buffer::Read(&[0; 28])];
    assert!(matches!(evaluate(&kernel, &mut bases, &[], 0, 7), Err(EvalError::ReadOnly { .. })));
}

#[test]
fn unset_registers_are_errors() {
    let mut k = Builder::new("unset", TARGET);
    let y = k.base("y", Access::Write);
    let acc = k.reg(Lane::F32, &[2]);
    let one = k.float(1.0);
    k.set(acc, &[0.into()], VectorOp::Copy(one));
    k.unroll(2, |k, u| {
        let value = k.get(acc, &[u.into()]);
        k.store(y, u * 16, value);
    });
    let kernel = k.finish();
    let error = evaluate(&kernel, &mut [Buffer::Write(&mut [0; 32])], &[], 0, 0).unwrap_err();
    assert_eq!(error.to_string(), "`store [y + 16*u0], acc0[u0] (u0 = 1)` reads a register that was never set");
}

#[test]
fn checks_return_their_code() {
    let mut k = Builder::new("check", TARGET);
    let n = k.arg("n");
    let ten = k.num(10);
    k.check(Cmp::Lt, n, ten, 7);
    let kernel = k.finish();
    assert_eq!(evaluate(&kernel, &mut [], &[9], 0, 0), Ok(0));
    assert_eq!(evaluate(&kernel, &mut [], &[10], 0, 0), Ok(7));
    assert!(matches!(evaluate(&kernel, &mut [], &[], 0, 0), Err(EvalError::Count { .. })));
}

#[test]
fn half_precision_round_trips_and_rounds() {
    for bits in 0..=0xffffu32 {
        let wide = lanes::widen(Storage::F16, bits);
        let quiet = if bits & 0x7fff > 0x7c00 { bits | 0x200 } else { bits };
        assert_eq!(lanes::narrow(Storage::F16, wide), quiet, "{bits:#x}");
    }
    let cases = [(65519.0, 0x7bff), (65520.0, 0x7c00), (1e30, 0x7c00), (-1e-8, 0x8000), (2f32.powi(-25), 0), (3e-8, 1)];
    for (value, bits) in cases {
        assert_eq!(lanes::narrow(Storage::F16, f32::to_bits(value)), bits, "{value}");
    }
    assert_eq!(lanes::narrow(Storage::Bf16, 0x3f80_8000), 0x3f80);
    assert_eq!(lanes::narrow(Storage::Bf16, 0x3f81_8000), 0x3f82);
    assert_eq!(lanes::narrow(Storage::Bf16, 0x7f7f_ffff), 0x7f80);
}

#[test]
fn conversions_saturate_and_scale_rounds_twice() {
    assert_eq!(lanes::to_int(2.5), 2);
    assert_eq!(lanes::to_int(f32::NAN), i32::MIN);
    assert_eq!(lanes::to_int(3e9), i32::MIN);
    assert_eq!(lanes::to_int(2_147_483_520.0), 2_147_483_520);
    assert_eq!(lanes::scale(1.0, -149), f32::from_bits(1));
    assert_eq!(lanes::scale(1.0, 254), f32::INFINITY);
    assert_eq!(lanes::scale(f32::from_bits(1), 252), 2f32.powi(103));
    assert_eq!(lanes::narrow(Storage::U8, -3i32 as u32), 0);
    assert_eq!(lanes::narrow(Storage::I16, 40000), 32767);
}
