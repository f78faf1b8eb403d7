//! Vector arithmetic: one instruction per operation wherever there is one, in place where the result is an operand.

use iced_x86::{Code, Instruction, Register};

use super::asm::{Rm, pool_operand};
use super::emit::Emitter;
use super::flat::*;
use super::{Fail, Isa};
use crate::tile::{FloatBin, FloatUn, IntBin};

/// The instruction on AVX2 and on AVX-512.
type Codes = (Code, Code);

fn float_codes(op: FloatBin) -> Codes {
    match op {
        FloatBin::Add => (Code::VEX_Vaddps_ymm_ymm_ymmm256, Code::EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er),
        FloatBin::Sub => (Code::VEX_Vsubps_ymm_ymm_ymmm256, Code::EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er),
        FloatBin::Mul => (Code::VEX_Vmulps_ymm_ymm_ymmm256, Code::EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er),
        FloatBin::Div => (Code::VEX_Vdivps_ymm_ymm_ymmm256, Code::EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er),
        FloatBin::Min => (Code::VEX_Vminps_ymm_ymm_ymmm256, Code::EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae),
        FloatBin::Max => (Code::VEX_Vmaxps_ymm_ymm_ymmm256, Code::EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae),
    }
}

fn int_codes(op: IntBin) -> Codes {
    match op {
        IntBin::Add => (Code::VEX_Vpaddd_ymm_ymm_ymmm256, Code::EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32),
        IntBin::Sub => (Code::VEX_Vpsubd_ymm_ymm_ymmm256, Code::EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32),
        IntBin::Mul => (Code::VEX_Vpmulld_ymm_ymm_ymmm256, Code::EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32),
        IntBin::And => (Code::VEX_Vpand_ymm_ymm_ymmm256, Code::EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32),
        IntBin::Or => (Code::VEX_Vpor_ymm_ymm_ymmm256, Code::EVEX_Vpord_zmm_k1z_zmm_zmmm512b32),
        IntBin::Xor => (Code::VEX_Vpxor_ymm_ymm_ymmm256, Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32),
        IntBin::Shl => (Code::VEX_Vpsllvd_ymm_ymm_ymmm256, Code::EVEX_Vpsllvd_zmm_k1z_zmm_zmmm512b32),
        IntBin::Shr => (Code::VEX_Vpsrlvd_ymm_ymm_ymmm256, Code::EVEX_Vpsrlvd_zmm_k1z_zmm_zmmm512b32),
        IntBin::Sar => (Code::VEX_Vpsravd_ymm_ymm_ymmm256, Code::EVEX_Vpsravd_zmm_k1z_zmm_zmmm512b32),
        IntBin::Min => (Code::VEX_Vpminsd_ymm_ymm_ymmm256, Code::EVEX_Vpminsd_zmm_k1z_zmm_zmmm512b32),
        IntBin::Max => (Code::VEX_Vpmaxsd_ymm_ymm_ymmm256, Code::EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32),
    }
}

fn shift_codes(op: IntBin) -> Codes {
    match op {
        IntBin::Shl => (Code::VEX_Vpslld_ymm_ymm_imm8, Code::EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8),
        IntBin::Shr => (Code::VEX_Vpsrld_ymm_ymm_imm8, Code::EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8),
        _ => (Code::VEX_Vpsrad_ymm_ymm_imm8, Code::EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8),
    }
}

const DOT: Codes = (Code::VEX_Vpdpbusd_ymm_ymm_ymmm256, Code::EVEX_Vpdpbusd_zmm_k1z_zmm_zmmm512b32);
const FMA132: Codes = (Code::VEX_Vfmadd132ps_ymm_ymm_ymmm256, Code::EVEX_Vfmadd132ps_zmm_k1z_zmm_zmmm512b32_er);
const FMA213: Codes = (Code::VEX_Vfmadd213ps_ymm_ymm_ymmm256, Code::EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er);
const FMA231: Codes = (Code::VEX_Vfmadd231ps_ymm_ymm_ymmm256, Code::EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er);

/// Bits of 1.0f32: what an exponent starts from.
const ONE: u32 = 0x3f80_0000;

impl Emitter<'_> {
    /// Computes a vector.
    pub(super) fn vector(&mut self, v: V, op: VectorInst) -> Result<(), Fail> {
        match op {
            VectorInst::Copy(a) => self.copy_arg(v, a),
            VectorInst::Load(addr, first, storage) => self.load(v, addr, first, storage),
            VectorInst::Splat(addr, storage) => self.splat(v, addr, storage),
            VectorInst::Gather(addr, index, first) => self.gather(v, addr, index, first),
            VectorInst::FromScalar(src) => self.splat_scalar(v, src),
            VectorInst::Float(op @ (FloatBin::Add | FloatBin::Mul), a, b) => {
                self.binary(v, float_codes(op), a, b, true)
            }
            VectorInst::Float(op, a, b) => self.binary(v, float_codes(op), a, b, false),
            VectorInst::Int(op, a, b) => {
                let fixed = matches!(op, IntBin::Sub | IntBin::Shl | IntBin::Shr | IntBin::Sar);
                self.binary(v, int_codes(op), a, b, !fixed)
            }
            VectorInst::Shift(op, a, count) => {
                let a = self.in_register(a)?;
                let dst = self.def(v)?;
                self.shift(op, dst, a, count);
                Ok(())
            }
            VectorInst::Fma(a, b, c) => self.fma(v, a, b, c),
            VectorInst::Dot(a, b, c) => self.dot(v, a, b, c),
            VectorInst::Unary(op, a) => self.unary(v, op, a),
            VectorInst::Scale(a, n) => self.scale(v, a, n),
            VectorInst::ToInt(a) => {
                self.convert(v, (Code::VEX_Vcvtps2dq_ymm_ymmm256, Code::EVEX_Vcvtps2dq_zmm_k1z_zmmm512b32_er), a)
            }
            VectorInst::ToFloat(a) => {
                self.convert(v, (Code::VEX_Vcvtdq2ps_ymm_ymmm256, Code::EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er), a)
            }
            VectorInst::Select(mask, a, b) => self.select(v, mask, a, b),
            VectorInst::Slide(a, b, n) => self.slide(v, a, b, n),
            VectorInst::Permute(a, pattern) => self.permute(v, a, pattern),
            VectorInst::Broadcast(a) => self.broadcast(v, a),
            VectorInst::Reduce(kind, a) => self.reduce(v, kind, a),
        }
    }

    fn copy_arg(&mut self, v: V, a: Arg) -> Result<(), Fail> {
        match a {
            Arg::Vector(from) if self.dies(from) && self.held(v).is_err() => self.inherit(v, from).map(|_| ()),
            a => {
                let dst = self.def_distinct(v)?;
                self.fill(dst, a)
            }
        }
    }

    /// `dst = a op b` in full registers.
    pub(super) fn op3(&mut self, codes: Codes, dst: u8, a: u8, b: Rm) {
        let code = self.pick(codes);
        self.asm.rrm(code, self.reg(dst), self.reg(a), b);
    }

    /// `dst = a shifted by count`
    pub(super) fn shift(&mut self, op: IntBin, dst: u8, a: u8, count: u8) {
        let code = self.pick(shift_codes(op));
        self.asm.rmi(code, self.reg(dst), Rm::Reg(self.reg(a)), count.into());
    }

    /// `dst = a op b` on integers in full registers.
    pub(super) fn int3(&mut self, op: IntBin, dst: u8, a: u8, b: Rm) {
        self.op3(int_codes(op), dst, a, b);
    }

    fn binary(&mut self, v: V, codes: Codes, a: Arg, b: Arg, commutes: bool) -> Result<(), Fail> {
        let swap = commutes && !matches!(a, Arg::Vector(_)) && matches!(b, Arg::Vector(_));
        let (a, b) = if swap { (b, a) } else { (a, b) };
        let a = self.in_register(a)?;
        let b = self.operand(b)?;
        let dst = self.def(v)?;
        self.op3(codes, dst, a, b);
        Ok(())
    }

    fn convert(&mut self, v: V, codes: Codes, a: Arg) -> Result<(), Fail> {
        let a = self.operand(a)?;
        let dst = self.def(v)?;
        let code = self.pick(codes);
        self.asm.rm(code, self.reg(dst), a);
        Ok(())
    }

    /// The operand of a multiply-add whose register the result takes: the accumulator before the factors.
    fn fma_home(&self, v: V, [a, b, c]: [Arg; 3]) -> Option<usize> {
        let order = [(2, c), (0, a), (1, b)];
        let same = order.iter().find(|(_, arg)| *arg == Arg::Vector(v));
        let dying = || order.iter().find(|(_, arg)| matches!(arg, Arg::Vector(x) if self.dies(*x)));
        let own = self.held(v).is_ok();
        same.or_else(|| if own { None } else { dying() }).map(|(at, _)| *at)
    }

    /// a * b + c in the form that needs no move: the result replaces c (231), or a factor (213, 132).
    fn fma(&mut self, v: V, a: Arg, b: Arg, c: Arg) -> Result<(), Fail> {
        let (mut args, home) = ([a, b, c], self.fma_home(v, [a, b, c]));
        if home == Some(1) {
            args.swap(0, 1);
        }
        let [a, b, c] = args;
        let memory = |arg: &Arg| !matches!(arg, Arg::Vector(_));
        let (replaced, others, codes) = match home {
            Some(2) => (c, if memory(&a) { [b, a] } else { [a, b] }, FMA231),
            Some(_) if memory(&b) && !memory(&c) => (a, [c, b], FMA132),
            Some(_) => (a, [b, c], FMA213),
            // Nothing to replace: the result starts as an operand that is in memory, or as a copy of c.
            None if memory(&a) => {
                (a, if memory(&b) { [c, b] } else { [b, c] }, if memory(&b) { FMA132 } else { FMA213 })
            }
            None if memory(&b) => (b, [a, c], FMA213),
            None => (c, [a, b], FMA231),
        };
        let first = self.in_register(others[0])?;
        let second = self.operand(others[1])?;
        let dst = match (home, replaced) {
            (Some(_), Arg::Vector(from)) if from != v => self.inherit(v, from)?,
            _ => self.def_distinct(v)?,
        };
        if home.is_none() {
            self.fill(dst, replaced)?;
        }
        self.op3(codes, dst, first, second);
        Ok(())
    }

    /// `a` plus the dot products of the bytes of `b` and `c`; the result replaces `a`.
    fn dot(&mut self, v: V, a: Arg, b: Arg, c: Arg) -> Result<(), Fail> {
        let own = self.held(v).is_ok();
        let inherited = match a {
            Arg::Vector(from) if from != v && !own && self.dies(from) => Some(from),
            _ => None,
        };
        let first = self.in_register(b)?;
        let (mut second, mut factors) = (self.operand(c)?, vec![first]);
        if matches!(c, Arg::Vector(_)) {
            let register = self.in_register(c)?;
            (second, factors) = (Rm::Reg(self.reg(register)), vec![first, register]);
        }
        let dst = match inherited {
            Some(from) => self.inherit(v, from)?,
            None if a == Arg::Vector(v) => self.def_distinct(v)?,
            None => self.work(v, &factors)?,
        };
        if inherited.is_none() && a != Arg::Vector(v) {
            self.fill(dst, a)?;
        }
        self.op3(DOT, dst, first, second);
        self.finish(v, dst)
    }

    fn unary(&mut self, v: V, op: FloatUn, a: Arg) -> Result<(), Fail> {
        let rounding = match op {
            FloatUn::Neg | FloatUn::Abs => {
                let (bits, op) =
                    if op == FloatUn::Neg { (1 << 31, IntBin::Xor) } else { (i32::MAX as u32, IntBin::And) };
                let bits = Arg::Pool(self.pool.splat(bits));
                return self.binary(v, int_codes(op), a, bits, true);
            }
            FloatUn::Sqrt => {
                return self.convert(v, (Code::VEX_Vsqrtps_ymm_ymmm256, Code::EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er), a);
            }
            FloatUn::Nearest => 0x8,
            FloatUn::Floor => 0x9,
            FloatUn::Ceil => 0xa,
            FloatUn::Trunc => 0xb,
        };
        let a = self.operand(a)?;
        let dst = self.def(v)?;
        let codes = (Code::VEX_Vroundps_ymm_ymmm256_imm8, Code::EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae);
        let code = self.pick(codes);
        self.asm.rmi(code, self.reg(dst), a, rounding);
        Ok(())
    }

    /// a * 2^(n >> 1) * 2^(n - (n >> 1)): both factors are normal numbers built from their exponents.
    fn scale(&mut self, v: V, a: Arg, n: Arg) -> Result<(), Fail> {
        let (a, n) = (self.in_register(a)?, self.in_register(n)?);
        let half = self.temp()?;
        let rest = self.work(v, &[a, n])?;
        let one = self.pool.splat(ONE);
        let broadcast = self.pool.is_word(one);
        self.shift(IntBin::Sar, half, n, 1);
        self.int3(IntBin::Sub, rest, n, Rm::Reg(self.reg(half)));
        for exponent in [half, rest] {
            self.shift(IntBin::Shl, exponent, exponent, 23);
            self.int3(IntBin::Add, exponent, exponent, Rm::Mem(pool_operand(one, broadcast)));
        }
        let times = float_codes(FloatBin::Mul);
        self.op3(times, half, a, Rm::Reg(self.reg(half)));
        self.op3(times, rest, half, Rm::Reg(self.reg(rest)));
        self.finish(v, rest)
    }

    fn splat_scalar(&mut self, v: V, src: Src) -> Result<(), Fail> {
        let dst = self.def(v)?;
        let from = self.load_src(src, Register::RAX).full_register32();
        self.splat_register(dst, from);
        Ok(())
    }

    /// The low 32 bits of a general register in every lane.
    pub(super) fn splat_register(&mut self, dst: u8, from: Register) {
        let to = self.reg(dst);
        match self.isa {
            Isa::Avx512 => self.asm.emit(Instruction::with2(Code::EVEX_Vpbroadcastd_zmm_k1z_r32, to, from)),
            Isa::Avx2 => {
                let low = Register::XMM0 + u32::from(dst);
                self.asm.emit(Instruction::with2(Code::VEX_Vmovd_xmm_rm32, low, from));
                self.asm.emit(Instruction::with2(Code::VEX_Vpbroadcastd_ymm_xmmm32, to, low));
            }
        }
    }
}
