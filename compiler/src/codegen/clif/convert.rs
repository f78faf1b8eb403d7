//! Conversions and roundings that Cranelift does not do the way the Tile IR means them, or not without a library call.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32X4, I32X4};
use cranelift_codegen::ir::{InstBuilder, Value};

use super::Lower;
use crate::tile::{FloatUn, IntBin, Storage};

impl Lower<'_, '_> {
    /// To the nearest integer; NaN and out of range give `i32::MIN`.
    pub(super) fn nearest_int(&mut self, a: Value) -> Value {
        let rounded = if self.sse2 { self.nearest_sse2(a) } else { self.b.ins().nearest(a) };
        if self.x86 {
            return self.b.ins().x86_cvtt2dq(I32X4, rounded);
        }
        let converted = self.b.ins().fcvt_to_sint_sat(I32X4, rounded);
        let limit = self.float_const(2_147_483_648.0);
        let inside = self.b.ins().fcmp(FloatCC::LessThan, a, limit);
        let outside = self.int_const(i32::MIN as u32);
        self.choose_int(inside, converted, outside)
    }

    /// a * 2^(n >> 1) * 2^(n - (n >> 1))
    pub(super) fn scale(&mut self, a: Value, n: Value) -> Value {
        let half = self.shift_by(IntBin::Sar, n, 1);
        let rest = self.b.ins().isub(n, half);
        [half, rest].into_iter().fold(a, |a, exponent| {
            let bias = self.int_const(127);
            let biased = self.b.ins().iadd(exponent, bias);
            let bits = self.shift_by(IntBin::Shl, biased, 23);
            let power = self.cast(bits, F32X4);
            self.b.ins().fmul(a, power)
        })
    }

    /// Below 2^23 adding and subtracting 2^23 rounds to nearest even; from there on every float is whole.
    fn nearest_sse2(&mut self, a: Value) -> Value {
        let (magnitude, limit) = (self.b.ins().fabs(a), self.float_const(8_388_608.0));
        let sum = self.b.ins().fadd(magnitude, limit);
        let rounded = self.b.ins().fsub(sum, limit);
        let small = self.b.ins().fcmp(FloatCC::LessThan, magnitude, limit);
        let signed = self.with_sign_of(rounded, a);
        self.choose(small, signed, a)
    }

    /// The magnitude of a value that is not negative, or zero of either sign, with the sign of another.
    fn with_sign_of(&mut self, a: Value, sign: Value) -> Value {
        let (a, sign) = (self.cast(a, I32X4), self.cast(sign, I32X4));
        let bit = self.int_const(0x8000_0000);
        let sign = self.b.ins().band(sign, bit);
        let out = self.b.ins().bor(a, sign);
        self.cast(out, F32X4)
    }

    /// Directed roundings from the nearest one, corrected by one where it went the wrong way.
    pub(super) fn round_sse2(&mut self, op: FloatUn, a: Value) -> Value {
        let from = if op == FloatUn::Trunc { self.b.ins().fabs(a) } else { a };
        let nearest = self.nearest_sse2(from);
        if op == FloatUn::Nearest {
            return nearest;
        }
        let (wrong, step) = if op == FloatUn::Ceil {
            (self.b.ins().fcmp(FloatCC::LessThan, nearest, from), -1.0)
        } else {
            (self.b.ins().fcmp(FloatCC::LessThan, from, nearest), 1.0)
        };
        let one = self.float_const(step);
        let one = self.cast(one, I32X4);
        let step = self.b.ins().band(wrong, one);
        let step = self.cast(step, F32X4);
        let moved = self.b.ins().fsub(nearest, step);
        self.with_sign_of(moved, a)
    }

    /// Lanes from the elements of a storage format, one in the low bits of each lane.
    pub(super) fn widen(&mut self, storage: Storage, bits: Value) -> Value {
        match storage {
            Storage::F16 => self.widen_f16(bits),
            Storage::Bf16 => self.shift_by(IntBin::Shl, bits, 16),
            _ => bits,
        }
    }

    fn widen_f16(&mut self, bits: Value) -> Value {
        let [sign_bit, low_bits, bias, tiny, infinity, full, quiet] =
            [0x8000, 0x7fff, 112 << 23, 0x400, 0x7c00, 0x7f80_0000, 0x0040_0000].map(|c| self.int_const(c));
        let sign = self.b.ins().band(bits, sign_bit);
        let sign = self.shift_by(IntBin::Shl, sign, 16);
        let magnitude = self.b.ins().band(bits, low_bits);
        let shifted = self.shift_by(IntBin::Shl, magnitude, 13);
        let normal = self.b.ins().iadd(shifted, bias);
        let count = self.b.ins().fcvt_from_sint(F32X4, magnitude);
        let unit = self.float_const(f32::from_bits((127 - 24) << 23));
        let subnormal = self.b.ins().fmul(count, unit);
        let subnormal = self.cast(subnormal, I32X4);
        let special = self.b.ins().bor(shifted, full);
        let quieted = self.b.ins().bor(special, quiet);
        let is_nan = self.b.ins().icmp(IntCC::SignedGreaterThan, magnitude, infinity);
        let is_infinite = self.b.ins().icmp(IntCC::Equal, magnitude, infinity);
        let is_tiny = self.b.ins().icmp(IntCC::SignedLessThan, magnitude, tiny);
        let value = self.choose_int(is_tiny, subnormal, normal);
        let value = self.choose_int(is_infinite, special, value);
        let value = self.choose_int(is_nan, quieted, value);
        self.b.ins().bor(value, sign)
    }

    /// The elements of a storage format, saturated or rounded, in the low bits of each lane.
    pub(super) fn narrow(&mut self, storage: Storage, value: Value) -> Value {
        let (low, high) = match storage {
            Storage::B32 => return value,
            Storage::F16 => return self.narrow_f16(value),
            Storage::Bf16 => return self.narrow_bf16(value),
            Storage::U8 => (0, 255),
            Storage::I8 => (-128, 127),
            Storage::U16 => (0, 65535),
            Storage::I16 => (-32768i32, 32767i32),
        };
        let (low, high) = (self.int_const(low as u32), self.int_const(high as u32));
        let value = self.b.ins().smax(value, low);
        self.b.ins().smin(value, high)
    }

    fn narrow_f16(&mut self, value: Value) -> Value {
        let [sign_bit, low_bits, bias, tiny, infinity, full, payload, quiet, round, one] =
            [0x8000, 0x7fff_ffff, 112 << 23, 0x3880_0000, 0x7c00, 0x7f80_0000, 0x3ff, 0x7e00, 0xfff, 1]
                .map(|c| self.int_const(c));
        let sign = self.shift_by(IntBin::Shr, value, 16);
        let sign = self.b.ins().band(sign, sign_bit);
        let magnitude = self.b.ins().band(value, low_bits);
        let upper = self.shift_by(IntBin::Shr, magnitude, 13);
        let odd = self.b.ins().band(upper, one);
        let normal = self.b.ins().isub(magnitude, bias);
        let normal = self.b.ins().iadd(normal, round);
        let normal = self.b.ins().iadd(normal, odd);
        let normal = self.shift_by(IntBin::Shr, normal, 13);
        let normal = self.b.ins().smin(normal, infinity);
        // Adding 0.5 rounds at the last place of a half-precision subnormal.
        let half = self.float_const(0.5);
        let as_float = self.cast(magnitude, F32X4);
        let sum = self.b.ins().fadd(as_float, half);
        let (sum, half) = (self.cast(sum, I32X4), self.cast(half, I32X4));
        let subnormal = self.b.ins().isub(sum, half);
        let kept = self.b.ins().band(upper, payload);
        let nan = self.b.ins().bor(kept, quiet);
        let is_tiny = self.b.ins().icmp(IntCC::SignedLessThan, magnitude, tiny);
        let is_nan = self.b.ins().icmp(IntCC::SignedGreaterThan, magnitude, full);
        let out = self.choose_int(is_tiny, subnormal, normal);
        let out = self.choose_int(is_nan, nan, out);
        self.b.ins().bor(out, sign)
    }

    fn narrow_bf16(&mut self, value: Value) -> Value {
        let [low_bits, full, quiet, round, one] =
            [0x7fff_ffff, 0x7f80_0000, 0x40, 0x7fff, 1].map(|c| self.int_const(c));
        let upper = self.shift_by(IntBin::Shr, value, 16);
        let odd = self.b.ins().band(upper, one);
        let sum = self.b.ins().iadd(value, round);
        let sum = self.b.ins().iadd(sum, odd);
        let rounded = self.shift_by(IntBin::Shr, sum, 16);
        let nan = self.b.ins().bor(upper, quiet);
        let magnitude = self.b.ins().band(value, low_bits);
        let is_nan = self.b.ins().icmp(IntCC::SignedGreaterThan, magnitude, full);
        self.choose_int(is_nan, nan, rounded)
    }
}
