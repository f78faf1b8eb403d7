//! Masks: mask registers on AVX-512, vectors of all-ones or zero lanes on AVX2.

use iced_x86::{Code, Instruction, Register};

use super::asm::{Rm, pool_operand};
use super::emit::Emitter;
use super::flat::*;
use super::{Fail, Isa};
use crate::tile::Cmp;

/// Predicates of float comparisons: ordered and quiet, but not-equal holds for NaN.
fn float_predicate(cmp: Cmp) -> u32 {
    match cmp {
        Cmp::Eq => 0x00,
        Cmp::Ne => 0x04,
        Cmp::Lt => 0x11,
        Cmp::Le => 0x12,
        Cmp::Gt => 0x1e,
        Cmp::Ge => 0x1d,
    }
}

fn int_predicate(cmp: Cmp) -> u32 {
    match cmp {
        Cmp::Eq => 0,
        Cmp::Lt => 1,
        Cmp::Le => 2,
        Cmp::Ne => 4,
        Cmp::Ge => 5,
        Cmp::Gt => 6,
    }
}

impl Emitter<'_> {
    /// Computes a mask.
    pub(super) fn mask(&mut self, k: K, op: MaskInst) -> Result<(), Fail> {
        match op {
            MaskInst::Float(cmp, a, b) => {
                let (a, b) = (self.in_register(a)?, self.operand(b)?);
                let codes = (Code::VEX_Vcmpps_ymm_ymm_ymmm256_imm8, Code::EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae);
                let (code, dst) = (self.pick(codes), self.def_mask(k)?);
                self.asm.rrmi(code, dst, self.reg(a), b, float_predicate(cmp));
            }
            MaskInst::Int(cmp, a, b) => self.compare_ints(k, cmp, a, b)?,
            MaskInst::And(a, b) => {
                self.combine_masks(k, (Code::VEX_Vpand_ymm_ymm_ymmm256, Code::VEX_Kandw_kr_kr_kr), a, b)?
            }
            MaskInst::Or(a, b) => {
                self.combine_masks(k, (Code::VEX_Vpor_ymm_ymm_ymmm256, Code::VEX_Korw_kr_kr_kr), a, b)?
            }
            MaskInst::Not(a) => {
                let a = self.held_mask(a)?;
                let dst = self.def_mask(k)?;
                match self.isa {
                    Isa::Avx512 => self.asm.emit(Instruction::with2(Code::VEX_Knotw_kr_kr, dst, a)),
                    Isa::Avx2 => self.invert(dst, a),
                }
            }
            MaskInst::First(n) => {
                self.clamp(n);
                let dst = self.def_mask(k)?;
                self.move_src(Register::RDX, Src::Const(0xffff));
                let (eax, edx) = (Register::EAX, Register::EDX);
                self.asm.emit(Instruction::with3(Code::VEX_Bzhi_r32_rm32_r32, eax, edx, eax));
                self.asm.emit(Instruction::with2(Code::VEX_Kmovw_kr_r32, dst, eax));
            }
        }
        Ok(())
    }

    fn combine_masks(&mut self, k: K, codes: (Code, Code), a: K, b: K) -> Result<(), Fail> {
        let (a, b) = (self.held_mask(a)?, self.held_mask(b)?);
        let (code, dst) = (self.pick(codes), self.def_mask(k)?);
        self.asm.emit(Instruction::with3(code, dst, a, b));
        Ok(())
    }

    fn invert(&mut self, dst: Register, a: Register) {
        let ones = self.pool.splat(u32::MAX);
        self.asm.rrm(Code::VEX_Vpxor_ymm_ymm_ymmm256, dst, a, Rm::Mem(pool_operand(ones, false)));
    }

    /// AVX2 has only equal and greater: the others swap the operands or invert the answer.
    fn compare_ints(&mut self, k: K, cmp: Cmp, a: Arg, b: Arg) -> Result<(), Fail> {
        if self.isa == Isa::Avx512 {
            let (a, b) = (self.in_register(a)?, self.operand(b)?);
            let dst = self.def_mask(k)?;
            self.asm.rrmi(Code::EVEX_Vpcmpd_kr_k1_zmm_zmmm512b32_imm8, dst, self.reg(a), b, int_predicate(cmp));
            return Ok(());
        }
        let swap = matches!(cmp, Cmp::Lt | Cmp::Ge);
        let (a, b) = if swap { (b, a) } else { (a, b) };
        let (a, b) = (self.in_register(a)?, self.operand(b)?);
        let code = match cmp {
            Cmp::Eq | Cmp::Ne => Code::VEX_Vpcmpeqd_ymm_ymm_ymmm256,
            _ => Code::VEX_Vpcmpgtd_ymm_ymm_ymmm256,
        };
        let dst = self.def_mask(k)?;
        self.asm.rrm(code, dst, self.reg(a), b);
        if matches!(cmp, Cmp::Ne | Cmp::Le | Cmp::Ge) {
            self.invert(dst, dst);
        }
        Ok(())
    }

    /// mask ? a : b
    pub(super) fn select(&mut self, v: V, mask: K, a: Arg, b: Arg) -> Result<(), Fail> {
        let (b, a) = (self.in_register(b)?, self.operand(a)?);
        let mask = self.held_mask(mask)?;
        let dst = self.def(v)?;
        let (to, b) = (self.reg(dst), self.reg(b));
        match self.isa {
            Isa::Avx512 => {
                let code = Code::EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32;
                let instruction = match a {
                    Rm::Reg(a) => Instruction::with3(code, to, b, a),
                    Rm::Mem(a) => Instruction::with3(code, to, b, a),
                };
                self.asm.emit_masked(instruction, mask, false);
            }
            Isa::Avx2 => {
                let code = Code::VEX_Vblendvps_ymm_ymm_ymmm256_ymm;
                self.asm.emit(match a {
                    Rm::Reg(a) => Instruction::with4(code, to, b, a, mask),
                    Rm::Mem(a) => Instruction::with4(code, to, b, a, mask),
                });
            }
        }
        Ok(())
    }
}
