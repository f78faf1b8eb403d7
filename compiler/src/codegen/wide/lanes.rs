//! Movement across lanes: slides, permutations, reductions, transposes.

use iced_x86::{Code, Instruction, Register};

use super::asm::Rm;
use super::emit::Emitter;
use super::flat::*;
use super::pool::PoolId;
use super::{Fail, Isa};
use crate::tile::ReduceKind;

/// One halving of a reduction: the instruction at 256 and at 128 bits.
fn reduce_codes(kind: ReduceKind, isa: Isa) -> (Code, Code) {
    match (kind, isa) {
        (ReduceKind::Add, Isa::Avx2) => (Code::VEX_Vaddps_ymm_ymm_ymmm256, Code::VEX_Vaddps_xmm_xmm_xmmm128),
        (ReduceKind::Max, Isa::Avx2) => (Code::VEX_Vmaxps_ymm_ymm_ymmm256, Code::VEX_Vmaxps_xmm_xmm_xmmm128),
        (ReduceKind::Min, Isa::Avx2) => (Code::VEX_Vminps_ymm_ymm_ymmm256, Code::VEX_Vminps_xmm_xmm_xmmm128),
        (ReduceKind::Add, Isa::Avx512) => {
            (Code::EVEX_Vaddps_ymm_k1z_ymm_ymmm256b32, Code::EVEX_Vaddps_xmm_k1z_xmm_xmmm128b32)
        }
        (ReduceKind::Max, Isa::Avx512) => {
            (Code::EVEX_Vmaxps_ymm_k1z_ymm_ymmm256b32, Code::EVEX_Vmaxps_xmm_k1z_xmm_xmmm128b32)
        }
        (ReduceKind::Min, Isa::Avx512) => {
            (Code::EVEX_Vminps_ymm_k1z_ymm_ymmm256b32, Code::EVEX_Vminps_xmm_k1z_xmm_xmmm128b32)
        }
    }
}

impl Emitter<'_> {
    /// Lanes n.. of a, then those of b; 0 < n < L.
    pub(super) fn slide(&mut self, v: V, a: Arg, b: Arg, n: u32) -> Result<(), Fail> {
        if self.isa == Isa::Avx512 {
            let (b, a) = (self.in_register(b)?, self.operand(a)?);
            let dst = self.def(v)?;
            self.asm.rrmi(Code::EVEX_Valignd_zmm_k1z_zmm_zmmm512b32_imm8, self.reg(dst), self.reg(b), a, n);
            return Ok(());
        }
        let (a, b) = (self.in_register(a)?, self.in_register(b)?);
        let middle = self.temp()?;
        let (first, second, across) = (self.reg(a), self.reg(b), self.reg(middle));
        // The upper half of a, then the lower half of b.
        self.asm.rrmi(Code::VEX_Vperm2f128_ymm_ymm_ymmm256_imm8, across, first, Rm::Reg(second), 0x21);
        let dst = self.def(v)?;
        let align = Code::VEX_Vpalignr_ymm_ymm_ymmm256_imm8;
        let to = self.reg(dst);
        match n {
            0..4 => self.asm.rrmi(align, to, across, Rm::Reg(first), 4 * n),
            4 => self.copy(dst, middle),
            _ => self.asm.rrmi(align, to, second, Rm::Reg(across), 4 * (n - 4)),
        }
        Ok(())
    }

    /// Lane i of the result is lane `pattern[i]` of a.
    pub(super) fn permute(&mut self, v: V, a: Arg, pattern: PoolId) -> Result<(), Fail> {
        let a = self.in_register(a)?;
        let index = self.in_register(Arg::Pool(pattern))?;
        let dst = self.def(v)?;
        let code = self.pick((Code::VEX_Vpermps_ymm_ymm_ymmm256, Code::EVEX_Vpermps_zmm_k1z_zmm_zmmm512b32));
        self.asm.rrm(code, self.reg(dst), self.reg(index), Rm::Reg(self.reg(a)));
        Ok(())
    }

    fn splat_low(&mut self, dst: u8, a: u8) {
        let code = self.pick((Code::VEX_Vbroadcastss_ymm_xmm, Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32));
        self.asm.rm(code, self.reg(dst), Rm::Reg(Register::XMM0 + u32::from(a)));
    }

    /// Lane 0 in every lane.
    pub(super) fn broadcast(&mut self, v: V, a: Arg) -> Result<(), Fail> {
        let a = self.in_register(a)?;
        let dst = self.def(v)?;
        self.splat_low(dst, a);
        Ok(())
    }

    /// Folds the upper half onto the lower until one lane is left, then splats it.
    pub(super) fn reduce(&mut self, v: V, kind: ReduceKind, a: Arg) -> Result<(), Fail> {
        let a = self.in_register(a)?;
        let upper = self.temp()?;
        let dst = self.def_beside_temps(v)?;
        let (at256, at128) = reduce_codes(kind, self.isa);
        let ymm = |r: u8| Register::YMM0 + u32::from(r);
        let xmm = |r: u8| Register::XMM0 + u32::from(r);
        let mut from = a;
        if self.isa == Isa::Avx512 {
            let code = Code::EVEX_Vextractf64x4_ymmm256_k1z_zmm_imm8;
            self.asm.emit(Instruction::with3(code, ymm(upper), self.reg(a), 1u32));
            self.asm.rrm(at256, ymm(dst), ymm(a), Rm::Reg(ymm(upper)));
            from = dst;
        }
        let extract =
            self.pick((Code::VEX_Vextractf128_xmmm128_ymm_imm8, Code::EVEX_Vextractf32x4_xmmm128_k1z_ymm_imm8));
        self.asm.emit(Instruction::with3(extract, xmm(upper), ymm(from), 1u32));
        self.asm.rrm(at128, xmm(dst), xmm(from), Rm::Reg(xmm(upper)));
        let shuffle = self.pick((Code::VEX_Vpermilps_xmm_xmmm128_imm8, Code::EVEX_Vpermilps_xmm_k1z_xmmm128b32_imm8));
        // Lanes 2 and 3 onto 0 and 1, then lane 1 onto 0.
        for lanes in [0b1110, 0b01] {
            self.asm.rmi(shuffle, xmm(upper), Rm::Reg(xmm(dst)), lanes);
            self.asm.rrm(at128, xmm(dst), xmm(dst), Rm::Reg(xmm(upper)));
        }
        self.splat_low(dst, dst);
        Ok(())
    }

    /// Transposes L registers in place: interleaves words, then pairs, then quarters, with one temporary.
    pub(super) fn transpose(&mut self, first: V) -> Result<(), Fail> {
        let lanes = self.isa.lanes();
        let homes = (0..lanes as u32).map(|i| self.held(V(first.0 + i))).collect::<Result<Vec<u8>, Fail>>()?;
        let mut matrix = Matrix { rows: homes.clone(), spare: self.temp()? };
        let words = (
            (Code::VEX_Vunpcklps_ymm_ymm_ymmm256, Code::EVEX_Vunpcklps_zmm_k1z_zmm_zmmm512b32),
            (Code::VEX_Vunpckhps_ymm_ymm_ymmm256, Code::EVEX_Vunpckhps_zmm_k1z_zmm_zmmm512b32),
        );
        let pairs = (
            (Code::VEX_Vunpcklpd_ymm_ymm_ymmm256, Code::EVEX_Vunpcklpd_zmm_k1z_zmm_zmmm512b64),
            (Code::VEX_Vunpckhpd_ymm_ymm_ymmm256, Code::EVEX_Vunpckhpd_zmm_k1z_zmm_zmmm512b64),
        );
        for (distance, (low, high)) in [(1, words), (2, pairs)] {
            let (low, high) = (self.pick(low), self.pick(high));
            for row in (0..lanes).filter(|row| row & distance == 0) {
                self.exchange(&mut matrix, row, row + distance, (low, None), (high, None));
            }
        }
        let quarters =
            self.pick((Code::VEX_Vperm2f128_ymm_ymm_ymmm256_imm8, Code::EVEX_Vshuff32x4_zmm_k1z_zmm_zmmm512b32_imm8));
        let (low, high) = if self.isa == Isa::Avx2 { (0x20, 0x31) } else { (0x88, 0xdd) };
        for distance in [4, 8].into_iter().filter(|distance| *distance < lanes) {
            for row in (0..lanes).filter(|row| row & distance == 0) {
                self.exchange(&mut matrix, row, row + distance, (quarters, Some(low)), (quarters, Some(high)));
            }
        }
        // Interleaving leaves column 4q + 2b + a of quarter q in row 4q + 2a + b.
        let columns: Vec<u8> = (0..lanes)
            .map(|column| (column & !3) | ((column & 1) << 1) | ((column >> 1) & 1))
            .filter_map(|row| matrix.rows.get(row).copied())
            .collect();
        self.settle(&homes, columns, matrix.spare);
        Ok(())
    }

    /// Replaces two rows by their low and their high interleaving.
    fn exchange(&mut self, m: &mut Matrix, x: usize, y: usize, low: (Code, Option<u32>), high: (Code, Option<u32>)) {
        let (Some(a), Some(b)) = (m.rows.get(x).copied(), m.rows.get(y).copied()) else { return };
        for (dst, (code, imm)) in [(m.spare, low), (b, high)] {
            let (to, first, second) = (self.reg(dst), self.reg(a), Rm::Reg(self.reg(b)));
            match imm {
                Some(imm) => self.asm.rrmi(code, to, first, second, imm),
                None => self.asm.rrm(code, to, first, second),
            }
        }
        if let Some(row) = m.rows.get_mut(x) {
            *row = std::mem::replace(&mut m.spare, a);
        }
    }

    /// Moves `from[i]` to `homes[i]` for all i at once; `spare` is the one register that is in neither or only in `homes`.
    fn settle(&mut self, homes: &[u8], mut from: Vec<u8>, mut spare: u8) {
        loop {
            // Fill the register that nobody reads, which frees another.
            while let Some(at) = homes.iter().position(|home| *home == spare) {
                let Some(source) = from.get_mut(at) else { return };
                let freed = std::mem::replace(source, spare);
                self.copy(spare, freed);
                spare = freed;
            }
            // What is left are cycles: open one by moving a row to the spare register.
            let Some(at) = homes.iter().zip(&from).position(|(home, source)| home != source) else { return };
            let Some(source) = from.get_mut(at) else { return };
            let freed = std::mem::replace(source, spare);
            self.copy(spare, freed);
            spare = freed;
        }
    }
}

/// The registers of the rows of a matrix being transposed, and one that is free.
struct Matrix {
    rows: Vec<u8>,
    spare: u8,
}
