//! The one pass that encodes: vector and mask registers, prologue and epilogue, dispatch.

use iced_x86::{Code, Instruction, Register};

use super::asm::{Asm, Label, Rm, memory, pool_operand};
use super::flat::*;
use super::gpr::Gprs;
use super::live::Live;
use super::pool::{Pool, PoolId};
use super::{Fail, Isa};

/// No register.
const NONE: u8 = u8::MAX;

/// An open bracket of the flat form.
pub(super) enum Open {
    Loop { head: Label, exit: Option<Label> },
    If { otherwise: Label, end: Option<Label> },
}

/// The state of the pass.
pub(super) struct Emitter<'a> {
    pub isa: Isa,
    pub asm: Asm,
    pub pool: Pool,
    pub gprs: Gprs,
    live: &'a Live,
    /// The current instruction.
    pub at: u32,
    /// Values by the position after which they are no longer needed.
    expiry: Vec<(u32, Value)>,
    expired: usize,
    vectors: Vec<u8>,
    masks: Vec<u8>,
    free: u32,
    free_k: u8,
    /// Registers that the current instruction holds besides its operands.
    temps: Vec<u8>,
    pub open: Vec<Open>,
    /// Failing checks: where they jump and the code they return.
    pub failures: Vec<(Label, i32)>,
    pub exit: Label,
}

/// Encodes the flat form.
pub(super) fn emit(flat: &Flat, live: &Live, gprs: Gprs, pool: Pool, isa: Isa) -> Result<Vec<u8>, Fail> {
    let mut asm = Asm::new(flat.insts.len()).map_err(|error| Fail::Encode(error.to_string()))?;
    let exit = asm.label();
    let mut expiry: Vec<(u32, Value)> = Vec::new();
    expiry.extend(live.vectors.iter().enumerate().map(|(at, r)| (r.end, Value::Vector(V(at as u32)))));
    expiry.extend(live.masks.iter().enumerate().map(|(at, r)| (r.end, Value::Mask(K(at as u32)))));
    expiry.sort_by_key(|(end, _)| *end);
    let mut emitter = Emitter {
        isa,
        asm,
        pool,
        gprs,
        live,
        at: 0,
        expiry,
        expired: 0,
        vectors: vec![NONE; flat.vectors as usize],
        masks: vec![NONE; flat.masks as usize],
        free: if isa == Isa::Avx512 { u32::MAX } else { 0xffff },
        // k0 means "no mask"; k7 is for each instruction's own use.
        free_k: 0b0111_1110,
        temps: Vec::new(),
        open: Vec::new(),
        failures: Vec::new(),
        exit,
    };
    for (at, inst) in flat.insts.iter().enumerate() {
        emitter.at = at as u32;
        let innermost = matches!(inst, Inst::Loop { .. }) && is_innermost(flat.insts.get(at + 1..).unwrap_or(&[]));
        emitter.inst(inst, innermost)?;
        emitter.release_temps();
        emitter.release(2 * emitter.at + 1);
    }
    emitter.leave();
    emitter.asm.finish(&emitter.pool).map_err(Fail::Encode)
}

fn is_innermost(rest: &[Inst]) -> bool {
    let next = rest.iter().find(|inst| matches!(inst, Inst::Loop { .. } | Inst::EndLoop { .. }));
    matches!(next, Some(Inst::EndLoop { .. }))
}

impl Emitter<'_> {
    fn inst(&mut self, inst: &Inst, innermost: bool) -> Result<(), Fail> {
        match *inst {
            Inst::Nop => {}
            Inst::Entry => self.enter(),
            Inst::Scalar(s, op) => self.scalar(s, op),
            Inst::Vector(v, op) => self.vector(v, op)?,
            Inst::Mask(k, op) => self.mask(k, op)?,
            Inst::Pin(first, count) => {
                for v in first.0..first.0 + count {
                    let register = self.take()?;
                    self.place(V(v), register);
                }
            }
            Inst::Unpin(..) => {}
            Inst::Store(addr, value, first, storage) => self.store(addr, value, first, storage)?,
            Inst::Transpose(first, _) => self.transpose(first)?,
            Inst::Prefetch(addr, level) => self.prefetch(addr, level),
            Inst::Check(test, code) => self.check(test, code),
            Inst::Loop { var, begin, end } => self.begin_loop(var, begin, end, innermost),
            Inst::EndLoop { var, end, step } => self.end_loop(var, end, step)?,
            Inst::If(test) => self.begin_if(test),
            Inst::Else => self.otherwise()?,
            Inst::EndIf => self.end_if()?,
        }
        Ok(())
    }

    fn enter(&mut self) {
        for register in self.gprs.saved.clone() {
            self.asm.emit(Instruction::with1(Code::Push_r64, register));
        }
        let frame = self.gprs.slots * 8;
        if frame > 0 {
            self.asm.emit(Instruction::with2(Code::Sub_rm64_imm32, Register::RSP, frame as i32));
        }
        let arrivals = [(BASES, Register::RDI), (ARGS, Register::RSI), (BEGIN, Register::RDX), (END, Register::RCX)];
        for (s, register) in arrivals {
            self.finish_def(s, register);
        }
    }

    fn leave(&mut self) {
        self.asm.emit(Instruction::with2(Code::Xor_r32_rm32, Register::EAX, Register::EAX));
        let exit = self.exit;
        self.asm.bind(exit);
        self.asm.emit(Ok(Instruction::with(Code::VEX_Vzeroupper)));
        let frame = self.gprs.slots * 8;
        if frame > 0 {
            self.asm.emit(Instruction::with2(Code::Add_rm64_imm32, Register::RSP, frame as i32));
        }
        for register in self.gprs.saved.clone().into_iter().rev() {
            self.asm.emit(Instruction::with1(Code::Pop_r64, register));
        }
        self.asm.emit(Ok(Instruction::with(Code::Retnq)));
        for (label, code) in std::mem::take(&mut self.failures) {
            self.asm.bind(label);
            self.asm.emit(Instruction::with2(Code::Mov_r32_imm32, Register::EAX, code));
            self.asm.jump((Code::Jmp_rel32_64, Code::Jmp_rel8_64), exit);
        }
    }

    // Registers.

    fn take(&mut self) -> Result<u8, Fail> {
        if self.free == 0 {
            return Err(Fail::Registers { needed: self.isa.registers() + 1 });
        }
        let register = self.free.trailing_zeros() as u8;
        self.free &= self.free - 1;
        Ok(register)
    }

    fn give(&mut self, register: u8) {
        self.free |= 1 << register;
    }

    fn place(&mut self, v: V, register: u8) {
        if let Some(slot) = self.vectors.get_mut(v.0 as usize) {
            *slot = register;
        }
    }

    /// A register for the duration of the instruction.
    pub(super) fn temp(&mut self) -> Result<u8, Fail> {
        let register = self.take()?;
        self.temps.push(register);
        Ok(register)
    }

    fn release_temps(&mut self) {
        while let Some(register) = self.temps.pop() {
            self.give(register);
        }
    }

    /// Takes back the registers of values whose last position is not after `position`.
    fn release(&mut self, position: u32) {
        while let Some((end, value)) = self.expiry.get(self.expired).copied() {
            if end > position {
                return;
            }
            self.expired += 1;
            match value {
                Value::Vector(V(at)) => {
                    let held = self.vectors.get_mut(at as usize).map(|slot| std::mem::replace(slot, NONE));
                    if let Some(register) = held.filter(|r| *r != NONE) {
                        self.give(register);
                    }
                }
                Value::Mask(K(at)) => {
                    let held = self.masks.get_mut(at as usize).map(|slot| std::mem::replace(slot, NONE));
                    match held.filter(|r| *r != NONE) {
                        Some(register) if self.isa == Isa::Avx512 => self.free_k |= 1 << register,
                        Some(register) => self.give(register),
                        None => {}
                    }
                }
                Value::Scalar(_) => {}
            }
        }
    }

    /// The register of a vector that has one.
    pub(super) fn held(&self, v: V) -> Result<u8, Fail> {
        match self.vectors.get(v.0 as usize) {
            Some(register) if *register != NONE => Ok(*register),
            _ => Err(Fail::malformed("a vector is read before it is written".into())),
        }
    }

    /// The register of a mask: a mask register on AVX-512, a vector register on AVX2.
    pub(super) fn held_mask(&self, k: K) -> Result<Register, Fail> {
        match self.masks.get(k.0 as usize) {
            Some(register) if *register != NONE => Ok(match self.isa {
                Isa::Avx512 => Register::K0 + u32::from(*register),
                Isa::Avx2 => self.reg(*register),
            }),
            _ => Err(Fail::malformed("a mask is read before it is written".into())),
        }
    }

    /// Whether the current instruction is the last that reads `v`.
    pub(super) fn dies(&self, v: V) -> bool {
        self.live.vectors.get(v.0 as usize).is_some_and(|range| range.end == 2 * self.at)
    }

    /// The register of the result, which may be that of an operand that dies here; for instructions that read all their
    /// operands before they write.
    pub(super) fn def(&mut self, v: V) -> Result<u8, Fail> {
        self.release_temps();
        self.def_beside_temps(v)
    }

    /// As [`Emitter::def`], while the temporaries stay in use.
    pub(super) fn def_beside_temps(&mut self, v: V) -> Result<u8, Fail> {
        self.release(2 * self.at);
        self.def_distinct(v)
    }

    /// The register of the result, apart from those of all operands unless `v` is one of them.
    pub(super) fn def_distinct(&mut self, v: V) -> Result<u8, Fail> {
        if let Ok(register) = self.held(v) {
            return Ok(register);
        }
        let register = self.take()?;
        self.place(v, register);
        Ok(register)
    }

    /// A register to build the result in while `operands` are still needed; [`Emitter::finish`] moves it when it is another.
    pub(super) fn work(&mut self, v: V, operands: &[u8]) -> Result<u8, Fail> {
        let dst = self.def_distinct(v)?;
        if operands.contains(&dst) { self.temp() } else { Ok(dst) }
    }

    /// Moves the result where it belongs.
    pub(super) fn finish(&mut self, v: V, work: u8) -> Result<(), Fail> {
        let dst = self.held(v)?;
        self.copy(dst, work);
        Ok(())
    }

    /// Gives `v` the register of `from`, which dies here.
    pub(super) fn inherit(&mut self, v: V, from: V) -> Result<u8, Fail> {
        let register = self.held(from)?;
        self.place(from, NONE);
        self.place(v, register);
        Ok(register)
    }

    /// The register of a mask being defined; `operands` are still needed.
    pub(super) fn def_mask(&mut self, k: K) -> Result<Register, Fail> {
        let register = match self.isa {
            Isa::Avx2 => self.take()?,
            Isa::Avx512 if self.free_k == 0 => {
                return Err(Fail::malformed("more than six masks are live at once".into()));
            }
            Isa::Avx512 => {
                let register = self.free_k.trailing_zeros() as u8;
                self.free_k &= self.free_k - 1;
                register
            }
        };
        if let Some(slot) = self.masks.get_mut(k.0 as usize) {
            *slot = register;
        }
        self.held_mask(k)
    }

    // Operands.

    /// The full-width register of this number.
    pub(super) fn reg(&self, register: u8) -> Register {
        match self.isa {
            Isa::Avx2 => Register::YMM0 + u32::from(register),
            Isa::Avx512 => Register::ZMM0 + u32::from(register),
        }
    }

    /// The code for this vector extension.
    pub(super) fn pick(&self, (avx2, avx512): (Code, Code)) -> Code {
        if self.isa == Isa::Avx512 { avx512 } else { avx2 }
    }

    /// Copies a register unless it is the same.
    pub(super) fn copy(&mut self, dst: u8, src: u8) {
        if dst != src {
            let code = self.pick((Code::VEX_Vmovaps_ymm_ymmm256, Code::EVEX_Vmovaps_zmm_k1z_zmmm512));
            self.asm.rm(code, self.reg(dst), Rm::Reg(self.reg(src)));
        }
    }

    /// Puts an operand that is not in a register into one.
    pub(super) fn fill(&mut self, dst: u8, arg: Arg) -> Result<(), Fail> {
        let load = self.pick((Code::VEX_Vmovups_ymm_ymmm256, Code::EVEX_Vmovups_zmm_k1z_zmmm512));
        let splat = self.pick((Code::VEX_Vbroadcastss_ymm_m32, Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32));
        let to = self.reg(dst);
        match arg {
            Arg::Vector(v) => {
                let src = self.held(v)?;
                self.copy(dst, src);
            }
            Arg::Pool(id) => self.constant(dst, id),
            Arg::Load(addr) => {
                let src = self.mem(addr);
                self.asm.rm(load, to, Rm::Mem(src));
            }
            Arg::Splat(addr) => {
                let src = self.mem(addr);
                self.asm.rm(splat, to, Rm::Mem(src));
            }
        }
        Ok(())
    }

    fn constant(&mut self, dst: u8, id: PoolId) {
        let to = self.reg(dst);
        match self.pool.as_splat(id) {
            Some(0) => {
                let code = self.pick((Code::VEX_Vpxor_ymm_ymm_ymmm256, Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32));
                self.asm.rrm(code, to, to, Rm::Reg(to));
            }
            Some(_) if self.isa == Isa::Avx512 => {
                self.asm.rm(Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32, to, Rm::Mem(pool_operand(id, false)));
            }
            _ => {
                let code = self.pick((Code::VEX_Vmovups_ymm_ymmm256, Code::EVEX_Vmovups_zmm_k1z_zmmm512));
                self.asm.rm(code, to, Rm::Mem(pool_operand(id, false)));
            }
        }
    }

    /// The operand in a register: its own, or a temporary.
    pub(super) fn in_register(&mut self, arg: Arg) -> Result<u8, Fail> {
        if let Arg::Vector(v) = arg {
            return self.held(v);
        }
        let temp = self.temp()?;
        self.fill(temp, arg)?;
        Ok(temp)
    }

    /// The operand as register or memory, for instructions that take a full vector or, on AVX-512, a broadcast word.
    pub(super) fn operand(&mut self, arg: Arg) -> Result<Rm, Fail> {
        Ok(match arg {
            Arg::Vector(v) => Rm::Reg(self.reg(self.held(v)?)),
            Arg::Pool(id) => Rm::Mem(pool_operand(id, self.pool.is_word(id))),
            Arg::Load(addr) => Rm::Mem(self.mem(addr)),
            Arg::Splat(addr) if self.isa == Isa::Avx512 => {
                let mut mem = self.mem(addr);
                mem.is_broadcast = true;
                Rm::Mem(mem)
            }
            Arg::Splat(_) => Rm::Reg({
                let register = self.in_register(arg)?;
                self.reg(register)
            }),
        })
    }

    /// `[base + disp]` of an address; may use RAX.
    pub(super) fn mem(&mut self, addr: Addr) -> iced_x86::MemoryOperand {
        self.mem_by(addr, Register::RAX)
    }

    /// `[base + disp]` of an address; may use `scratch`.
    pub(super) fn mem_by(&mut self, addr: Addr, scratch: Register) -> iced_x86::MemoryOperand {
        if i32::try_from(addr.disp).is_err() {
            let base = self.src_rm(addr.base);
            self.asm.emit(Instruction::with2(Code::Mov_r64_imm64, scratch, addr.disp));
            self.asm.rm(Code::Add_r64_rm64, scratch, base);
            return memory(scratch, 0);
        }
        memory(self.load_src(Src::Value(addr.base), scratch), addr.disp)
    }
}

impl Isa {
    /// Vector registers.
    pub(super) fn registers(self) -> u32 {
        match self {
            Isa::Avx2 => 16,
            Isa::Avx512 => 32,
        }
    }
}
