//! Scalars, branches and loops. RAX and RDX carry operands that live in stack slots.

use iced_x86::{Code, Instruction, MemoryOperand, Register};

use super::Fail;
use super::asm::{Label, Rm, memory, pool_operand};
use super::emit::{Emitter, Open};
use super::flat::*;
use super::gpr::Loc;
use crate::tile::Cmp;

const RAX: Register = Register::RAX;
const RDX: Register = Register::RDX;

/// Near and short form of a jump.
type Jump = (Code, Code);

fn jump_if(cmp: Cmp) -> Jump {
    match cmp {
        Cmp::Eq => (Code::Je_rel32_64, Code::Je_rel8_64),
        Cmp::Ne => (Code::Jne_rel32_64, Code::Jne_rel8_64),
        Cmp::Lt => (Code::Jl_rel32_64, Code::Jl_rel8_64),
        Cmp::Le => (Code::Jle_rel32_64, Code::Jle_rel8_64),
        Cmp::Gt => (Code::Jg_rel32_64, Code::Jg_rel8_64),
        Cmp::Ge => (Code::Jge_rel32_64, Code::Jge_rel8_64),
    }
}
/// Arithmetic with a register or memory, with a long and with a short immediate.
type Arithmetic = (Code, Code, Code);
const CMP: Arithmetic = (Code::Cmp_r64_rm64, Code::Cmp_rm64_imm32, Code::Cmp_rm64_imm8);
const ADD: Arithmetic = (Code::Add_r64_rm64, Code::Add_rm64_imm32, Code::Add_rm64_imm8);
const SUB: Arithmetic = (Code::Sub_r64_rm64, Code::Sub_rm64_imm32, Code::Sub_rm64_imm8);
const JUMP: Jump = (Code::Jmp_rel32_64, Code::Jmp_rel8_64);

fn move_if(cmp: Cmp) -> Code {
    match cmp {
        Cmp::Eq => Code::Cmove_r64_rm64,
        Cmp::Ne => Code::Cmovne_r64_rm64,
        Cmp::Lt => Code::Cmovl_r64_rm64,
        Cmp::Le => Code::Cmovle_r64_rm64,
        Cmp::Gt => Code::Cmovg_r64_rm64,
        Cmp::Ge => Code::Cmovge_r64_rm64,
    }
}

fn negated(cmp: Cmp) -> Cmp {
    match cmp {
        Cmp::Eq => Cmp::Ne,
        Cmp::Ne => Cmp::Eq,
        Cmp::Lt => Cmp::Ge,
        Cmp::Le => Cmp::Gt,
        Cmp::Gt => Cmp::Le,
        Cmp::Ge => Cmp::Lt,
    }
}

fn slot(at: u32) -> MemoryOperand {
    memory(Register::RSP, i64::from(at) * 8)
}

impl Emitter<'_> {
    fn loc(&self, s: S) -> Loc {
        self.gprs.locs.get(s.0 as usize).copied().unwrap_or(Loc::Unused)
    }

    /// A scalar as an instruction's register or memory operand.
    pub(super) fn src_rm(&self, s: S) -> Rm {
        match self.loc(s) {
            Loc::Reg(register) => Rm::Reg(register),
            Loc::Slot(at) => Rm::Mem(slot(at)),
            Loc::Unused => Rm::Reg(RAX),
        }
    }

    /// A scalar in a register: its own, or `scratch`.
    pub(super) fn load_src(&mut self, src: Src, scratch: Register) -> Register {
        if let Src::Value(s) = src
            && let Loc::Reg(register) = self.loc(s)
        {
            return register;
        }
        self.move_src(scratch, src);
        scratch
    }

    /// Moves a scalar into a register; leaves the flags alone.
    pub(super) fn move_src(&mut self, dst: Register, src: Src) {
        match src {
            Src::Value(s) => match self.src_rm(s) {
                Rm::Reg(register) if register == dst => {}
                rm => self.asm.rm(Code::Mov_r64_rm64, dst, rm),
            },
            Src::Const(value) => self.asm.emit(match (u32::try_from(value), i32::try_from(value)) {
                (Ok(value), _) => Instruction::with2(Code::Mov_r32_imm32, dst.full_register32(), value),
                (_, Ok(value)) => Instruction::with2(Code::Mov_rm64_imm32, dst, value),
                _ => Instruction::with2(Code::Mov_r64_imm64, dst, value),
            }),
        }
    }

    /// The register to compute a scalar in: its own, or `scratch`.
    fn target(&self, s: S, scratch: Register) -> Register {
        match self.loc(s) {
            Loc::Reg(register) => register,
            _ => scratch,
        }
    }

    /// Moves a computed scalar where it lives.
    pub(super) fn finish_def(&mut self, s: S, from: Register) {
        match self.loc(s) {
            Loc::Reg(register) if register == from => {}
            Loc::Reg(register) => self.asm.emit(Instruction::with2(Code::Mov_r64_rm64, register, from)),
            Loc::Slot(at) => self.asm.emit(Instruction::with2(Code::Mov_rm64_r64, slot(at), from)),
            Loc::Unused => {}
        }
    }

    /// `dst = dst op src` for an operation that takes immediates.
    fn combine(&mut self, (rm, imm32, imm8): Arithmetic, dst: Register, src: Src) {
        match src {
            Src::Value(s) => {
                let src = self.src_rm(s);
                self.asm.rm(rm, dst, src);
            }
            Src::Const(value) => match i32::try_from(value) {
                Ok(value) => {
                    let code = if i8::try_from(value).is_ok() { imm8 } else { imm32 };
                    self.asm.emit(Instruction::with2(code, dst, value));
                }
                Err(_) => {
                    let other = if dst == RAX { RDX } else { RAX };
                    self.move_src(other, src);
                    self.asm.emit(Instruction::with2(rm, dst, other));
                }
            },
        }
    }

    /// Compares; gives the relation that the flags then answer. Uses RDX, and RAX for a constant beyond 32 bits.
    fn compare(&mut self, test: Test) -> Cmp {
        let a = self.load_src(test.a, RDX);
        match test.b {
            Src::Const(0) => self.asm.emit(Instruction::with2(Code::Test_rm64_r64, a, a)),
            b => self.combine(CMP, a, b),
        }
        test.cmp
    }

    /// Computes a scalar.
    pub(super) fn scalar(&mut self, s: S, op: ScalarInst) {
        let own = self.target(s, RAX);
        match op {
            ScalarInst::Base(at) => self.load_word(own, BASES, at),
            ScalarInst::Arg(at) => self.load_word(own, ARGS, at),
            ScalarInst::Copy(a) => match (self.loc(s), a) {
                (Loc::Reg(register), a) => self.move_src(register, a),
                _ => self.move_src(RAX, a),
            },
            ScalarInst::Add { a, b, plus } => self.add(own, a, b, plus),
            ScalarInst::Sub(a, b) => {
                self.move_src(RAX, a);
                self.combine(SUB, RAX, b);
                return self.finish_def(s, RAX);
            }
            ScalarInst::Mul(a, b) => self.multiply(own, a, b),
            ScalarInst::Min(a, b) => return self.choose(s, Test { cmp: Cmp::Lt, a, b }, a, b),
            ScalarInst::Max(a, b) => return self.choose(s, Test { cmp: Cmp::Gt, a, b }, a, b),
            ScalarInst::Select(test, a, b) => return self.choose(s, test, a, b),
            ScalarInst::Div(a, divisor) => return self.divide(s, a, divisor, false),
            ScalarInst::Rem(a, divisor) => return self.divide(s, a, divisor, true),
            ScalarInst::Load64(addr) => {
                let mem = self.mem(addr);
                self.asm.rm(Code::Mov_r64_rm64, own, Rm::Mem(mem));
            }
            ScalarInst::Load32(addr) => {
                let mem = self.mem(addr);
                self.asm.rm(Code::Movsxd_r64_rm32, own, Rm::Mem(mem));
            }
            ScalarInst::MaskWords(n) => {
                self.clamp(n);
                let table = self.pool.mask_table();
                self.asm.emit(Instruction::with1(Code::Neg_rm64, RAX));
                self.asm.emit(Instruction::with2(Code::Lea_r64_m, RDX, pool_operand(table, false)));
                let lanes = self.isa.lanes() as i64;
                let end = MemoryOperand::new(RDX, RAX, 4, lanes * 4, 1, false, Register::None);
                self.asm.emit(Instruction::with2(Code::Lea_r64_m, own, end));
            }
        }
        self.finish_def(s, own);
    }

    fn load_word(&mut self, dst: Register, array: S, at: u32) {
        let mem = self.mem(Addr { base: array, disp: i64::from(at) * 8 });
        self.asm.rm(Code::Mov_r64_rm64, dst, Rm::Mem(mem));
    }

    fn add(&mut self, dst: Register, a: S, b: Option<S>, plus: i64) {
        let Ok(disp) = i32::try_from(plus) else {
            self.move_src(RDX, Src::Const(plus));
            for s in [Some(a), b].into_iter().flatten() {
                let src = self.src_rm(s);
                self.asm.rm(Code::Add_r64_rm64, RDX, src);
            }
            return self.asm.emit(Instruction::with2(Code::Mov_r64_rm64, dst, RDX));
        };
        let a = self.load_src(Src::Value(a), RAX);
        let b = b.map_or(Register::None, |b| self.load_src(Src::Value(b), RDX));
        let sum = MemoryOperand::new(a, b, 1, i64::from(disp), u32::from(disp != 0), false, Register::None);
        self.asm.emit(Instruction::with2(Code::Lea_r64_m, dst, sum));
    }

    fn multiply(&mut self, dst: Register, a: Src, b: Src) {
        match (a, b) {
            (a, Src::Const(c)) if c > 0 && (c & (c - 1)) == 0 => {
                self.move_src(dst, a);
                self.asm.emit(Instruction::with2(Code::Shl_rm64_imm8, dst, c.trailing_zeros()));
            }
            (a, Src::Const(c)) if matches!(c, 3 | 5 | 9) => {
                let a = self.load_src(a, RAX);
                let sum = MemoryOperand::new(a, a, (c - 1) as u32, 0, 0, false, Register::None);
                self.asm.emit(Instruction::with2(Code::Lea_r64_m, dst, sum));
            }
            (a, Src::Const(c)) if i32::try_from(c).is_ok() => {
                let a = self.load_src(a, RAX);
                self.asm.emit(Instruction::with3(Code::Imul_r64_rm64_imm32, dst, a, c as i32));
            }
            (a, b) => {
                self.move_src(RAX, a);
                let b = self.load_src(b, RDX);
                self.asm.emit(Instruction::with2(Code::Imul_r64_rm64, RAX, b));
                if dst != RAX {
                    self.asm.emit(Instruction::with2(Code::Mov_r64_rm64, dst, RAX));
                }
            }
        }
    }

    /// `s = test ? a : b`
    fn choose(&mut self, s: S, test: Test, a: Src, b: Src) {
        let cmp = self.compare(test);
        self.move_src(RAX, b);
        let rm = match a {
            Src::Value(a) => self.src_rm(a),
            Src::Const(_) => {
                self.move_src(RDX, a);
                Rm::Reg(RDX)
            }
        };
        self.asm.rm(move_if(cmp), RAX, rm);
        self.finish_def(s, RAX);
    }

    /// Quotient or remainder of a number that is not negative: a shift or a mask for powers of two, otherwise the high half
    /// of a product with a reciprocal, which is exact below 2^63.
    fn divide(&mut self, s: S, a: Src, divisor: i64, remainder: bool) {
        let log = 63 - divisor.leading_zeros();
        if divisor & (divisor - 1) == 0 {
            self.move_src(RAX, a);
            if !remainder {
                self.asm.emit(Instruction::with2(Code::Shr_rm64_imm8, RAX, log));
            } else if i32::try_from(divisor).is_ok() {
                self.asm.emit(Instruction::with2(Code::And_rm64_imm32, RAX, (divisor - 1) as i32));
            } else {
                self.move_src(RDX, Src::Const(divisor - 1));
                self.asm.emit(Instruction::with2(Code::And_r64_rm64, RAX, RDX));
            }
            return self.finish_def(s, RAX);
        }
        // With 2^log < divisor < 2^(log + 1): floor(2^(64 + log) / divisor) + 1 fits 64 bits.
        let reciprocal = ((1u128 << (64 + log)) / divisor as u128 + 1) as u64;
        self.asm.emit(Instruction::with2(Code::Mov_r64_imm64, RAX, reciprocal));
        let factor = match a {
            Src::Value(a) => self.src_rm(a),
            Src::Const(_) => {
                self.move_src(RDX, a);
                Rm::Reg(RDX)
            }
        };
        self.asm.emit(match factor {
            Rm::Reg(register) => Instruction::with1(Code::Mul_rm64, register),
            Rm::Mem(mem) => Instruction::with1(Code::Mul_rm64, mem),
        });
        self.asm.emit(Instruction::with2(Code::Shr_rm64_imm8, RDX, log));
        if !remainder {
            return self.finish_def(s, RDX);
        }
        match i32::try_from(divisor) {
            Ok(divisor) => self.asm.emit(Instruction::with3(Code::Imul_r64_rm64_imm32, RDX, RDX, divisor)),
            Err(_) => {
                self.move_src(RAX, Src::Const(divisor));
                self.asm.emit(Instruction::with2(Code::Imul_r64_rm64, RDX, RAX));
            }
        }
        self.move_src(RAX, a);
        self.asm.emit(Instruction::with2(Code::Sub_r64_rm64, RAX, RDX));
        self.finish_def(s, RAX);
    }

    /// RAX = n clamped to 0..=L; uses RDX.
    pub(super) fn clamp(&mut self, n: Src) {
        let lanes = self.isa.lanes() as i64;
        if let Src::Const(n) = n {
            return self.move_src(RAX, Src::Const(n.clamp(0, lanes)));
        }
        self.move_src(RAX, n);
        self.move_src(RDX, Src::Const(0));
        self.asm.emit(Instruction::with2(Code::Test_rm64_r64, RAX, RAX));
        self.asm.emit(Instruction::with2(Code::Cmovs_r64_rm64, RAX, RDX));
        self.move_src(RDX, Src::Const(lanes));
        self.asm.emit(Instruction::with2(Code::Cmp_r64_rm64, RAX, RDX));
        self.asm.emit(Instruction::with2(Code::Cmovg_r64_rm64, RAX, RDX));
    }

    /// Jumps to `label` unless `n > lane`; may use RDX. The comparison of the n-by-n copies of narrow elements.
    pub(super) fn stop_at(&mut self, n: Src, lane: i32, label: Label) {
        let test = Test { cmp: Cmp::Le, a: n, b: Src::Const(lane.into()) };
        let cmp = self.compare(test);
        self.asm.jump(jump_if(cmp), label);
    }

    /// Fails the kernel unless the test holds.
    pub(super) fn check(&mut self, test: Test, code: i32) {
        let label = self.asm.label();
        let cmp = self.compare(test);
        self.asm.jump(jump_if(negated(cmp)), label);
        self.failures.push((label, code));
    }

    /// Opens a loop. It is not entered when its range is empty.
    pub(super) fn begin_loop(&mut self, var: S, begin: Src, end: Src, innermost: bool) {
        let own = self.target(var, RAX);
        self.move_src(own, begin);
        self.finish_def(var, own);
        let exit = match (begin, end) {
            (Src::Const(a), Src::Const(b)) if a < b => None,
            _ => {
                let exit = self.asm.label();
                let cmp = self.compare(Test { cmp: Cmp::Ge, a: Src::Value(var), b: end });
                self.asm.jump(jump_if(cmp), exit);
                Some(exit)
            }
        };
        if innermost {
            self.asm.align(32);
        }
        let head = self.asm.label();
        self.asm.bind(head);
        self.open.push(Open::Loop { head, exit });
    }

    /// Closes a loop.
    pub(super) fn end_loop(&mut self, var: S, end: Src, step: i64) -> Result<(), Fail> {
        let Some(Open::Loop { head, exit }) = self.open.pop() else { return Err(unbalanced()) };
        let own = self.load_src(Src::Value(var), RDX);
        self.combine(ADD, own, Src::Const(step));
        self.finish_def(var, own);
        self.combine(CMP, own, end);
        self.asm.jump(jump_if(Cmp::Lt), head);
        if let Some(exit) = exit {
            self.asm.bind(exit);
        }
        Ok(())
    }

    /// Opens a branch.
    pub(super) fn begin_if(&mut self, test: Test) {
        let otherwise = self.asm.label();
        let cmp = self.compare(test);
        self.asm.jump(jump_if(negated(cmp)), otherwise);
        self.open.push(Open::If { otherwise, end: None });
    }

    /// Starts the other side of a branch.
    pub(super) fn otherwise(&mut self) -> Result<(), Fail> {
        let Some(Open::If { otherwise, .. }) = self.open.pop() else { return Err(unbalanced()) };
        let end = self.asm.label();
        self.asm.jump(JUMP, end);
        self.asm.bind(otherwise);
        self.open.push(Open::If { otherwise, end: Some(end) });
        Ok(())
    }

    /// Closes a branch.
    pub(super) fn end_if(&mut self) -> Result<(), Fail> {
        let Some(Open::If { otherwise, end }) = self.open.pop() else { return Err(unbalanced()) };
        self.asm.bind(end.unwrap_or(otherwise));
        Ok(())
    }
}

fn unbalanced() -> Fail {
    Fail::malformed("loops and branches are not nested".into())
}
