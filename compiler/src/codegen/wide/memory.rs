//! Loads, stores and gathers; no byte beyond the first n lanes is touched.

use iced_x86::{Code, Instruction, MemoryOperand, Register};

use super::asm::{Rm, pool_operand};
use super::emit::Emitter;
use super::flat::*;
use super::{Fail, Isa};
use crate::tile::{IntBin, Storage};

const K7: Register = Register::K7;

fn xmm(register: u8) -> Register {
    Register::XMM0 + u32::from(register)
}

/// Loads that widen to a vector, on AVX2 and on AVX-512.
fn load_codes(storage: Storage) -> (Code, Code) {
    match storage {
        Storage::B32 => (Code::VEX_Vmovups_ymm_ymmm256, Code::EVEX_Vmovups_zmm_k1z_zmmm512),
        Storage::F16 => (Code::VEX_Vcvtph2ps_ymm_xmmm128, Code::EVEX_Vcvtph2ps_zmm_k1z_ymmm256_sae),
        Storage::Bf16 | Storage::U16 => (Code::VEX_Vpmovzxwd_ymm_xmmm128, Code::EVEX_Vpmovzxwd_zmm_k1z_ymmm256),
        Storage::I16 => (Code::VEX_Vpmovsxwd_ymm_xmmm128, Code::EVEX_Vpmovsxwd_zmm_k1z_ymmm256),
        Storage::U8 => (Code::VEX_Vpmovzxbd_ymm_xmmm64, Code::EVEX_Vpmovzxbd_zmm_k1z_xmmm128),
        Storage::I8 => (Code::VEX_Vpmovsxbd_ymm_xmmm64, Code::EVEX_Vpmovsxbd_zmm_k1z_xmmm128),
    }
}

impl Emitter<'_> {
    /// Consecutive elements, widened.
    pub(super) fn load(&mut self, v: V, addr: Addr, first: First, storage: Storage) -> Result<(), Fail> {
        let code = self.pick(load_codes(storage));
        // The mask may die here, so it is looked up before registers are taken back.
        let mask = if let First::Mask(k) = first { Some(self.held_mask(k)?) } else { None };
        let dst = self.def(v)?;
        let to = self.reg(dst);
        match first {
            First::All => {
                let mem = self.mem(addr);
                self.asm.rm(code, to, Rm::Mem(mem));
            }
            First::Mask(_) => {
                let mem = self.mem(addr);
                self.asm.emit_masked(Instruction::with2(code, to, mem), mask.unwrap_or(Register::None), true);
            }
            First::Words(words) => {
                self.mask_words(dst, words);
                let mem = self.mem(addr);
                self.asm.emit(Instruction::with3(Code::VEX_Vmaskmovps_ymm_ymm_m256, to, to, mem));
            }
            First::Count(n) => {
                self.insert_elements(dst, addr, n, storage);
                self.asm.rm(code, to, Rm::Reg(xmm(dst)));
            }
        }
        if storage == Storage::Bf16 {
            self.shift(IntBin::Shl, dst, dst, 16);
        }
        Ok(())
    }

    /// The lane mask of AVX2 for the first lanes.
    fn mask_words(&mut self, dst: u8, words: S) {
        let mem = self.mem(Addr { base: words, disp: 0 });
        self.asm.rm(Code::VEX_Vmovups_ymm_ymmm256, self.reg(dst), Rm::Mem(mem));
    }

    /// Runs `each` for the lanes below n.
    fn each_lane(&mut self, n: Src, mut each: impl FnMut(&mut Self, i64)) {
        let done = self.asm.label();
        for lane in 0..self.isa.lanes() as i64 {
            match n {
                Src::Const(n) if lane >= n => break,
                Src::Const(_) => {}
                n => self.stop_at(n, lane as i32, done),
            }
            each(self, lane);
        }
        self.asm.bind(done);
    }

    /// The first n narrow elements in the low half, zeros above (AVX2).
    fn insert_elements(&mut self, dst: u8, addr: Addr, n: Src, storage: Storage) {
        let low = xmm(dst);
        let mem = self.mem(addr);
        self.asm.rrm(Code::VEX_Vpxor_xmm_xmm_xmmm128, low, low, Rm::Reg(low));
        let (code, bytes) = match storage.bytes() {
            1 => (Code::VEX_Vpinsrb_xmm_xmm_r32m8_imm8, 1),
            _ => (Code::VEX_Vpinsrw_xmm_xmm_r32m16_imm8, 2),
        };
        self.each_lane(n, |e, lane| {
            e.asm.emit(Instruction::with4(code, low, low, element(mem, lane * bytes), lane as u32));
        });
    }

    /// One element in every lane.
    pub(super) fn splat(&mut self, v: V, addr: Addr, storage: Storage) -> Result<(), Fail> {
        let dst = self.def(v)?;
        let mem = self.mem(addr);
        let (to, eax) = (self.reg(dst), Register::EAX);
        let widen = match storage {
            Storage::B32 => {
                let code = self.pick((Code::VEX_Vbroadcastss_ymm_m32, Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32));
                self.asm.rm(code, to, Rm::Mem(mem));
                return Ok(());
            }
            Storage::F16 => {
                let (half, splat) = match self.isa {
                    Isa::Avx2 => (xmm(dst), Code::VEX_Vpbroadcastw_xmm_xmmm16),
                    Isa::Avx512 => (Register::YMM0 + u32::from(dst), Code::EVEX_Vpbroadcastw_ymm_k1z_xmmm16),
                };
                self.asm.rm(splat, half, Rm::Mem(mem));
                let code = self.pick(load_codes(storage));
                self.asm.rm(code, to, Rm::Reg(half));
                return Ok(());
            }
            Storage::Bf16 | Storage::U16 => Code::Movzx_r32_rm16,
            Storage::I16 => Code::Movsx_r32_rm16,
            Storage::U8 => Code::Movzx_r32_rm8,
            Storage::I8 => Code::Movsx_r32_rm8,
        };
        self.asm.rm(widen, eax, Rm::Mem(mem));
        if storage == Storage::Bf16 {
            self.asm.emit(Instruction::with2(Code::Shl_rm32_imm8, eax, 16));
        }
        self.splat_register(dst, eax);
        Ok(())
    }

    /// `mem[index[i]]`, zero where not selected.
    pub(super) fn gather(&mut self, v: V, addr: Addr, index: Arg, first: First) -> Result<(), Fail> {
        let index = self.in_register(index)?;
        let dst = self.work(v, &[index])?;
        let zero = self.pool.splat(0);
        self.fill(dst, Arg::Pool(zero))?;
        let to = self.reg(dst);
        match self.isa {
            Isa::Avx512 => {
                match first {
                    First::Mask(k) => {
                        let k = self.held_mask(k)?;
                        self.asm.emit(Instruction::with2(Code::VEX_Kmovw_kr_km16, K7, k));
                    }
                    _ => self.asm.emit(Instruction::with3(Code::VEX_Kxnorw_kr_kr_kr, K7, K7, K7)),
                }
                let mem = self.indexed(addr, index);
                self.asm.emit_masked(Instruction::with2(Code::EVEX_Vgatherdps_zmm_k1_vm32z, to, mem), K7, false);
            }
            Isa::Avx2 => {
                let mask = self.temp()?;
                let with = self.reg(mask);
                match first {
                    First::Words(words) => self.mask_words(mask, words),
                    _ => self.asm.rrm(Code::VEX_Vpcmpeqd_ymm_ymm_ymmm256, with, with, Rm::Reg(with)),
                }
                let mem = self.indexed(addr, index);
                self.asm.emit(Instruction::with3(Code::VEX_Vgatherdps_ymm_vm32y_ymm, to, mem, with));
            }
        }
        self.finish(v, dst)
    }

    fn indexed(&mut self, addr: Addr, index: u8) -> MemoryOperand {
        let mut mem = self.mem(addr);
        mem.index = self.reg(index);
        mem.scale = 4;
        mem
    }

    /// Asks for a cache line.
    pub(super) fn prefetch(&mut self, addr: Addr, level: u8) {
        let mem = self.mem(addr);
        let code = if level >= 2 { Code::Prefetcht1_m8 } else { Code::Prefetcht0_m8 };
        self.asm.emit(Instruction::with1(code, mem));
    }

    /// Stores lanes, narrowed.
    pub(super) fn store(&mut self, addr: Addr, value: Arg, first: First, storage: Storage) -> Result<(), Fail> {
        let mut value = self.in_register(value)?;
        if storage == Storage::Bf16 {
            value = self.round_bf16(value)?;
        }
        match self.isa {
            Isa::Avx512 => self.store_512(addr, value, first, storage),
            Isa::Avx2 => self.store_256(addr, value, first, storage),
        }
    }

    fn store_512(&mut self, addr: Addr, mut value: u8, first: First, storage: Storage) -> Result<(), Fail> {
        if matches!(storage, Storage::U8 | Storage::U16) {
            // The unsigned narrowing takes its operand as unsigned.
            let zero = self.pool.splat(0);
            let clamped = self.temp()?;
            self.int3(IntBin::Max, clamped, value, Rm::Mem(pool_operand(zero, true)));
            value = clamped;
        }
        let mem = self.mem(addr);
        let from = self.reg(value);
        let instruction = match storage {
            Storage::B32 => Instruction::with2(Code::EVEX_Vmovups_zmmm512_k1z_zmm, mem, from),
            Storage::F16 => Instruction::with3(Code::EVEX_Vcvtps2ph_ymmm256_k1z_zmm_imm8_sae, mem, from, 0u32),
            Storage::Bf16 => Instruction::with2(Code::EVEX_Vpmovdw_ymmm256_k1z_zmm, mem, from),
            Storage::U8 => Instruction::with2(Code::EVEX_Vpmovusdb_xmmm128_k1z_zmm, mem, from),
            Storage::I8 => Instruction::with2(Code::EVEX_Vpmovsdb_xmmm128_k1z_zmm, mem, from),
            Storage::U16 => Instruction::with2(Code::EVEX_Vpmovusdw_ymmm256_k1z_zmm, mem, from),
            Storage::I16 => Instruction::with2(Code::EVEX_Vpmovsdw_ymmm256_k1z_zmm, mem, from),
        };
        match first {
            First::Mask(k) => {
                let k = self.held_mask(k)?;
                self.asm.emit_masked(instruction, k, false);
            }
            _ => self.asm.emit(instruction),
        }
        Ok(())
    }

    fn store_256(&mut self, addr: Addr, value: u8, first: First, storage: Storage) -> Result<(), Fail> {
        if storage == Storage::B32 {
            let from = self.reg(value);
            let instruction = match first {
                First::Words(words) => {
                    let mask = self.temp()?;
                    self.mask_words(mask, words);
                    let (mem, mask) = (self.mem(addr), self.reg(mask));
                    Instruction::with3(Code::VEX_Vmaskmovps_m256_ymm_ymm, mem, mask, from)
                }
                _ => Instruction::with2(Code::VEX_Vmovups_ymmm256_ymm, self.mem(addr), from),
            };
            self.asm.emit(instruction);
            return Ok(());
        }
        let packed = self.temp()?;
        self.pack(packed, value, storage);
        let (low, mem) = (xmm(packed), self.mem(addr));
        let bytes = i64::from(storage.bytes());
        match first {
            First::Count(n) => self.each_lane(n, |e, lane| {
                let mem = element(mem, lane * bytes);
                let code =
                    if bytes == 1 { Code::VEX_Vpextrb_r32m8_xmm_imm8 } else { Code::VEX_Vpextrw_r32m16_xmm_imm8 };
                e.asm.emit(Instruction::with3(code, mem, low, lane as u32));
            }),
            _ if bytes == 1 => self.asm.emit(Instruction::with2(Code::VEX_Vmovq_xmmm64_xmm, mem, low)),
            _ => self.asm.emit(Instruction::with2(Code::VEX_Vmovups_xmmm128_xmm, mem, low)),
        }
        Ok(())
    }

    /// Narrows eight lanes into the low part of `dst` (AVX2).
    fn pack(&mut self, dst: u8, value: u8, storage: Storage) {
        let (to, from, low) = (self.reg(dst), self.reg(value), xmm(dst));
        if storage == Storage::F16 {
            return self.asm.rmi(Code::VEX_Vcvtps2ph_xmmm128_ymm_imm8, low, Rm::Reg(from), 0);
        }
        let words = match storage {
            Storage::Bf16 | Storage::U16 => Code::VEX_Vpackusdw_ymm_ymm_ymmm256,
            _ => Code::VEX_Vpackssdw_ymm_ymm_ymmm256,
        };
        self.asm.rrm(words, to, from, Rm::Reg(from));
        // Packing works on each half: quarters 0 and 2 hold the lanes.
        self.asm.rmi(Code::VEX_Vpermq_ymm_ymmm256_imm8, to, Rm::Reg(to), 0b1000);
        match storage {
            Storage::U8 => self.asm.rrm(Code::VEX_Vpackuswb_xmm_xmm_xmmm128, low, low, Rm::Reg(low)),
            Storage::I8 => self.asm.rrm(Code::VEX_Vpacksswb_xmm_xmm_xmmm128, low, low, Rm::Reg(low)),
            _ => {}
        }
    }

    /// The upper halves rounded to nearest even, in the low 16 bits of the lanes; NaNs are kept and made quiet.
    fn round_bf16(&mut self, value: u8) -> Result<u8, Fail> {
        let (rounded, upper) = (self.temp()?, self.temp()?);
        let constant = |e: &mut Self, bits: u32| {
            let id = e.pool.splat(bits);
            Rm::Mem(pool_operand(id, e.pool.is_word(id)))
        };
        self.shift(IntBin::Shr, upper, value, 16);
        let (one, below_half, quiet) = (constant(self, 1), constant(self, 0x7fff), constant(self, 0x40));
        self.int3(IntBin::And, rounded, upper, one);
        self.int3(IntBin::Add, rounded, rounded, below_half);
        self.int3(IntBin::Add, rounded, rounded, Rm::Reg(self.reg(value)));
        self.shift(IntBin::Shr, rounded, rounded, 16);
        self.int3(IntBin::Or, upper, upper, quiet);
        let (to, nan, from) = (self.reg(rounded), self.reg(upper), self.reg(value));
        const UNORDERED: u32 = 3;
        match self.isa {
            Isa::Avx512 => {
                let compare = Code::EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae;
                self.asm.rrmi(compare, K7, from, Rm::Reg(from), UNORDERED);
                let blend = Code::EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32;
                self.asm.emit_masked(Instruction::with3(blend, to, to, nan), K7, false);
            }
            Isa::Avx2 => {
                let mask = self.temp()?;
                let mask = self.reg(mask);
                self.asm.rrmi(Code::VEX_Vcmpps_ymm_ymm_ymmm256_imm8, mask, from, Rm::Reg(from), UNORDERED);
                self.asm.emit(Instruction::with4(Code::VEX_Vblendvps_ymm_ymm_ymmm256_ymm, to, to, nan, mask));
            }
        }
        Ok(rounded)
    }
}

/// The operand `bytes` further on.
fn element(mut mem: MemoryOperand, bytes: i64) -> MemoryOperand {
    mem.displacement += bytes;
    mem.displ_size = u32::from(mem.displacement != 0);
    mem
}
