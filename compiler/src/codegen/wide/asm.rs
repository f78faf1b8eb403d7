//! The encoder: bytes, labels, references to the constants.

use iced_x86::{Code, Encoder, IcedError, Instruction, MemoryOperand, Register};

use super::pool::{Pool, PoolId};

/// A place in the code that jumps go to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// An operand that may be a register or memory.
#[derive(Clone, Copy)]
pub(super) enum Rm {
    Reg(Register),
    Mem(MemoryOperand),
}

/// Instructions being encoded. The first failure is kept and reported at the end.
pub(super) struct Asm {
    encoder: Encoder,
    position: usize,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, usize)>,
    constants: Vec<(usize, usize, PoolId)>,
    failure: Option<IcedError>,
}

/// A memory operand at a constant of the pool, all of it or one word broadcast.
pub(super) fn pool_operand(id: PoolId, broadcast: bool) -> MemoryOperand {
    MemoryOperand::new(Register::RIP, Register::None, 1, i64::from(id.0), 8, broadcast, Register::None)
}

/// `[base + disp]`, with the shortest displacement.
pub(super) fn memory(base: Register, disp: i64) -> MemoryOperand {
    MemoryOperand::new(base, Register::None, 1, disp, u32::from(disp != 0), false, Register::None)
}

impl Asm {
    /// No code yet.
    pub(super) fn new(instructions: usize) -> Result<Self, IcedError> {
        Ok(Asm {
            encoder: Encoder::try_with_capacity(64, instructions * 8 + 512)?,
            position: 0,
            labels: Vec::new(),
            jumps: Vec::new(),
            constants: Vec::new(),
            failure: None,
        })
    }

    fn fail(&mut self, error: IcedError) {
        self.failure.get_or_insert(error);
    }

    fn encode(&mut self, instruction: &Instruction) {
        match self.encoder.encode(instruction, self.position as u64) {
            Ok(length) => self.position += length,
            Err(error) => self.fail(error),
        }
    }

    /// Appends one instruction.
    pub(super) fn emit(&mut self, instruction: Result<Instruction, IcedError>) {
        match instruction {
            Err(error) => self.fail(error),
            Ok(mut instruction) if instruction.memory_base() == Register::RIP => {
                let id = PoolId(instruction.memory_displacement64() as u32);
                let start = self.position;
                instruction.set_memory_displacement64(start as u64);
                self.encode(&instruction);
                let at = start + self.encoder.get_constant_offsets().displacement_offset();
                self.constants.push((at, self.position, id));
            }
            Ok(instruction) => self.encode(&instruction),
        }
    }

    /// Appends one instruction under mask register `k`; unselected lanes become zero or, without `zeroing`, stay.
    pub(super) fn emit_masked(&mut self, instruction: Result<Instruction, IcedError>, k: Register, zeroing: bool) {
        self.emit(instruction.map(|mut instruction| {
            instruction.set_op_mask(k);
            instruction.set_zeroing_masking(zeroing);
            instruction
        }));
    }

    /// `code dst, src`
    pub(super) fn rm(&mut self, code: Code, dst: Register, src: Rm) {
        self.emit(match src {
            Rm::Reg(src) => Instruction::with2(code, dst, src),
            Rm::Mem(src) => Instruction::with2(code, dst, src),
        });
    }
    /// `code dst, a, b`
    pub(super) fn rrm(&mut self, code: Code, dst: Register, a: Register, b: Rm) {
        self.emit(match b {
            Rm::Reg(b) => Instruction::with3(code, dst, a, b),
            Rm::Mem(b) => Instruction::with3(code, dst, a, b),
        });
    }
    /// `code dst, src, imm`
    pub(super) fn rmi(&mut self, code: Code, dst: Register, src: Rm, imm: u32) {
        self.emit(match src {
            Rm::Reg(src) => Instruction::with3(code, dst, src, imm),
            Rm::Mem(src) => Instruction::with3(code, dst, src, imm),
        });
    }
    /// `code dst, a, b, imm`
    pub(super) fn rrmi(&mut self, code: Code, dst: Register, a: Register, b: Rm, imm: u32) {
        self.emit(match b {
            Rm::Reg(b) => Instruction::with4(code, dst, a, b, imm),
            Rm::Mem(b) => Instruction::with4(code, dst, a, b, imm),
        });
    }

    /// A label to be bound later.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Binds a label to this place.
    pub(super) fn bind(&mut self, label: Label) {
        if let Some(slot) = self.labels.get_mut(label.0) {
            *slot = Some(self.position);
        }
    }

    /// Pads with no-operations to a multiple of `alignment`.
    pub(super) fn align(&mut self, alignment: usize) {
        let mut missing = self.position.next_multiple_of(alignment) - self.position;
        while missing > 0 {
            let (length, code) = match missing {
                1 => (1, Code::Nopd),
                2 => (2, Code::Nopw),
                3..=6 => (3, Code::Nop_rm32),
                _ => (7, Code::Nop_rm32),
            };
            let instruction = match length {
                1 | 2 => Ok(Instruction::with(code)),
                3 => Instruction::with1(code, Register::EAX),
                _ => {
                    let disp = MemoryOperand::new(Register::RAX, Register::None, 1, 0x100, 8, false, Register::None);
                    Instruction::with1(code, disp)
                }
            };
            self.emit(instruction);
            missing = self.position.next_multiple_of(alignment) - self.position;
            if self.failure.is_some() {
                return;
            }
        }
    }

    /// A jump, conditional or not: the short form when the label is near and bound.
    pub(super) fn jump(&mut self, (near, short): (Code, Code), label: Label) {
        if let Some(target) = self.labels.get(label.0).copied().flatten() {
            let code = if self.position - target < 120 { short } else { near };
            return self.emit(Instruction::with_branch(code, target as u64));
        }
        self.emit(Instruction::with_branch(near, self.position as u64));
        self.jumps.push((self.position, label.0));
    }

    /// Resolves jumps and constants: the finished bytes.
    pub(super) fn finish(mut self, pool: &Pool) -> Result<Vec<u8>, String> {
        if let Some(error) = self.failure {
            return Err(error.to_string());
        }
        let mut bytes = self.encoder.take_buffer();
        let offsets = pool.place(&mut bytes);
        let mut patch = |at: usize, end: usize, target: usize| match bytes.get_mut(at..at + 4) {
            Some(field) => {
                let distance = i32::try_from(target as i64 - end as i64).map_err(|_| "code too long".to_owned())?;
                field.copy_from_slice(&distance.to_le_bytes());
                Ok(())
            }
            None => Err("a reference lies outside the code".to_owned()),
        };
        for (end, label) in self.jumps {
            let target = self.labels.get(label).copied().flatten().ok_or("a label is not bound")?;
            patch(end - 4, end, target)?;
        }
        for (at, end, id) in self.constants {
            let target = *offsets.get(id.0 as usize).ok_or("a constant is not in the pool")?;
            patch(at, end, target)?;
        }
        Ok(bytes)
    }
}
