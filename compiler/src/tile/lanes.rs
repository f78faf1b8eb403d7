//! What each operation means on one lane: the bit-exact definitions that the evaluator uses and the lowerings are tested against.

use super::ir::{Cmp, FloatBin, FloatUn, IntBin, Storage};

/// Whether the relation holds (`Ne` is true on NaN, the others false).
pub fn compare<T: PartialOrd>(cmp: Cmp, a: T, b: T) -> bool {
    match cmp {
        Cmp::Eq => a == b,
        Cmp::Ne => a != b,
        Cmp::Lt => a < b,
        Cmp::Le => a <= b,
        Cmp::Gt => a > b,
        Cmp::Ge => a >= b,
    }
}

/// Two-operand float arithmetic.
#[inline(always)]
pub fn float(op: FloatBin, a: f32, b: f32) -> f32 {
    match op {
        FloatBin::Add => a + b,
        FloatBin::Sub => a - b,
        FloatBin::Mul => a * b,
        FloatBin::Div => a / b,
        FloatBin::Min if a < b => a,
        FloatBin::Max if a > b => a,
        FloatBin::Min | FloatBin::Max => b,
    }
}

/// One-operand float arithmetic.
#[inline(always)]
pub fn unary(op: FloatUn, a: f32) -> f32 {
    match op {
        FloatUn::Neg => f32::from_bits(a.to_bits() ^ 0x8000_0000),
        FloatUn::Abs => f32::from_bits(a.to_bits() & 0x7fff_ffff),
        FloatUn::Sqrt => a.sqrt(),
        FloatUn::Floor => a.floor(),
        FloatUn::Ceil => a.ceil(),
        FloatUn::Trunc => a.trunc(),
        FloatUn::Nearest => a.round_ties_even(),
    }
}

/// Integer arithmetic on 32 bits.
#[inline(always)]
pub fn int(op: IntBin, a: i32, b: i32) -> i32 {
    match op {
        IntBin::Add => a.wrapping_add(b),
        IntBin::Sub => a.wrapping_sub(b),
        IntBin::Mul => a.wrapping_mul(b),
        IntBin::And => a & b,
        IntBin::Or => a | b,
        IntBin::Xor => a ^ b,
        IntBin::Shl => a.wrapping_shl(b as u32),
        IntBin::Shr => (a as u32).wrapping_shr(b as u32) as i32,
        IntBin::Sar => a.wrapping_shr(b as u32),
        IntBin::Min => a.min(b),
        IntBin::Max => a.max(b),
    }
}

/// a * 2^(n >> 1) * 2^(n - (n >> 1)), two roundings.
pub fn scale(a: f32, n: i32) -> f32 {
    let power = |exponent: i32| f32::from_bits((exponent.wrapping_add(127) as u32) << 23);
    let half = n >> 1;
    a * power(half) * power(n.wrapping_sub(half))
}

/// To the nearest integer, ties to even; NaN and everything out of range give `i32::MIN`.
pub fn to_int(a: f32) -> i32 {
    let rounded = a.round_ties_even();
    if (-2_147_483_648.0..2_147_483_648.0).contains(&rounded) { rounded as i32 } else { i32::MIN }
}

/// The lane of an element read from memory; `bits` holds its bytes, zero above.
#[inline(always)]
pub fn widen(storage: Storage, bits: u32) -> u32 {
    match storage {
        Storage::B32 | Storage::U8 | Storage::U16 => bits,
        Storage::I8 => bits as i8 as i32 as u32,
        Storage::I16 => bits as i16 as i32 as u32,
        Storage::Bf16 => bits << 16,
        Storage::F16 => widen_f16(bits),
    }
}

/// The bytes of an element for memory, in the low bits.
#[inline(always)]
pub fn narrow(storage: Storage, lane: u32) -> u32 {
    let signed = lane as i32;
    match storage {
        Storage::B32 => lane,
        Storage::U8 => signed.clamp(0, 255) as u32,
        Storage::I8 => signed.clamp(-128, 127) as u32 & 0xff,
        Storage::U16 => signed.clamp(0, 65535) as u32,
        Storage::I16 => signed.clamp(-32768, 32767) as u32 & 0xffff,
        Storage::Bf16 => narrow_bf16(lane),
        Storage::F16 => narrow_f16(lane),
    }
}

fn widen_f16(bits: u32) -> u32 {
    let (sign, magnitude) = ((bits & 0x8000) << 16, bits & 0x7fff);
    let value = match magnitude {
        0..0x400 => (magnitude as f32 * 2f32.powi(-24)).to_bits(),
        0x400..0x7c00 => (magnitude << 13) + (112 << 23),
        0x7c00 => 0x7f80_0000,
        _ => 0x7fc0_0000 | magnitude << 13,
    };
    sign | value
}

fn narrow_f16(lane: u32) -> u32 {
    let (sign, magnitude) = (lane >> 16 & 0x8000, lane & 0x7fff_ffff);
    let value = match magnitude {
        // Below the smallest normal: adding 0.5 rounds at the last place of a half-precision subnormal.
        0..0x3880_0000 => (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits(),
        0x3880_0000..=0x7f80_0000 => {
            let odd = magnitude >> 13 & 1;
            (((magnitude - (112 << 23)) + 0xfff + odd) >> 13).min(0x7c00)
        }
        _ => 0x7e00 | magnitude >> 13 & 0x3ff,
    };
    sign | value
}

fn narrow_bf16(lane: u32) -> u32 {
    if lane & 0x7fff_ffff > 0x7f80_0000 {
        return lane >> 16 | 0x40;
    }
    (lane + 0x7fff + (lane >> 16 & 1)) >> 16
}

/// `a` plus the products of the unsigned bytes of `b` and the signed bytes of `c`, wrapping.
pub fn dot(a: u32, b: u32, c: u32) -> u32 {
    let products = b.to_le_bytes().into_iter().zip(c.to_le_bytes());
    products.fold(a, |sum, (x, y)| sum.wrapping_add_signed(i32::from(x) * i32::from(y as i8)))
}
