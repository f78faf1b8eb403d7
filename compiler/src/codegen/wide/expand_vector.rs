//! Vector and mask operations of the flat form.

use crate::tile::{IntBin, MaskOp, VectorOp};

use super::expand::Expander;
use super::flat::*;
use super::{Fail, Isa};

impl Expander<'_> {
    /// What a let stands for: renamings cost nothing.
    pub(super) fn vector(&mut self, op: &VectorOp) -> Result<Arg, Fail> {
        match self.vector_inst(op)? {
            // A pinned register may change while the let lives; its copy is dropped later where it does not.
            VectorInst::Copy(arg) if !self.is_pinned(op)? => Ok(arg),
            inst => self.define_vector(inst),
        }
    }

    fn is_pinned(&self, op: &VectorOp) -> Result<bool, Fail> {
        use crate::tile::Operand;
        Ok(match op {
            VectorOp::Copy(a) | VectorOp::Bitcast(_, a) | VectorOp::Slide(a, _, 0) => matches!(a, Operand::Reg(..)),
            VectorOp::Slide(_, b, _) => matches!(b, Operand::Reg(..)),
            _ => false,
        })
    }

    /// A vector operation of the flat form.
    pub(super) fn vector_inst(&mut self, op: &VectorOp) -> Result<VectorInst, Fail> {
        let lanes = self.isa.lanes() as u32;
        Ok(match op {
            VectorOp::Copy(a) | VectorOp::Bitcast(_, a) => VectorInst::Copy(self.operand(a)?),
            VectorOp::Load { mem, first, storage } => {
                let words = storage.bytes() == 4;
                VectorInst::Load(self.mem(mem)?, self.first(*first, words)?, *storage)
            }
            VectorOp::SplatLoad { mem, storage } => VectorInst::Splat(self.mem(mem)?, *storage),
            VectorOp::Gather { mem, index, first } => {
                let first = self.first(*first, true)?;
                VectorInst::Gather(self.mem(mem)?, self.operand(index)?, first)
            }
            VectorOp::SplatScalar(s) => match self.src(*s)? {
                Src::Const(value) => VectorInst::Copy(Arg::Pool(self.pool.splat(value as u32))),
                src => VectorInst::FromScalar(src),
            },
            VectorOp::Iota => {
                let words: Vec<u32> = (0..lanes).collect();
                VectorInst::Copy(Arg::Pool(self.pool.vector(&words)))
            }
            VectorOp::Float(op, a, b) => VectorInst::Float(*op, self.operand(a)?, self.operand(b)?),
            VectorOp::Fma(a, b, c) => VectorInst::Fma(self.operand(a)?, self.operand(b)?, self.operand(c)?),
            VectorOp::Dot(a, b, c) => VectorInst::Dot(self.operand(a)?, self.operand(b)?, self.operand(c)?),
            VectorOp::Unary(op, a) => VectorInst::Unary(*op, self.operand(a)?),
            VectorOp::Scale(a, n) => VectorInst::Scale(self.operand(a)?, self.operand(n)?),
            VectorOp::Int(op, a, b) => {
                let (a, b) = (self.operand(a)?, self.operand(b)?);
                self.int(*op, a, b)?
            }
            VectorOp::ToInt(a) => VectorInst::ToInt(self.operand(a)?),
            VectorOp::ToFloat(a) => VectorInst::ToFloat(self.operand(a)?),
            VectorOp::Select(mask, a, b) => {
                VectorInst::Select(self.mask_operand(*mask)?, self.operand(a)?, self.operand(b)?)
            }
            VectorOp::Slide(a, b, n) => match *n {
                0 => VectorInst::Copy(self.operand(a)?),
                n if n == lanes => VectorInst::Copy(self.operand(b)?),
                n if n < lanes => VectorInst::Slide(self.operand(a)?, self.operand(b)?, n),
                n => return Err(Fail::malformed(format!("slide by {n} of {lanes} lanes"))),
            },
            VectorOp::SplatLane(a, n) => {
                let pattern = vec![*n; lanes as usize];
                self.permute(self.operand(a)?, &pattern)?
            }
            VectorOp::Permute(a, pattern) => {
                let pattern: Vec<u32> = pattern.iter().map(|lane| u32::from(*lane)).collect();
                self.permute(self.operand(a)?, &pattern)?
            }
            VectorOp::Reduce(kind, a) => VectorInst::Reduce(*kind, self.operand(a)?),
        })
    }

    fn permute(&mut self, a: Arg, pattern: &[u32]) -> Result<VectorInst, Fail> {
        let lanes = self.isa.lanes();
        if pattern.len() != lanes || pattern.iter().any(|lane| *lane as usize >= lanes) {
            return Err(Fail::malformed(format!("{pattern:?} does not choose among {lanes} lanes")));
        }
        if pattern.iter().all(|lane| *lane == 0) {
            return Ok(VectorInst::Broadcast(a));
        }
        Ok(VectorInst::Permute(a, self.pool.vector(pattern)))
    }

    /// Shift counts are taken modulo 32 here when they are known; the instructions take larger ones as "all bits out".
    fn int(&mut self, op: IntBin, a: Arg, b: Arg) -> Result<VectorInst, Fail> {
        if !matches!(op, IntBin::Shl | IntBin::Shr | IntBin::Sar) {
            return Ok(VectorInst::Int(op, a, b));
        }
        match b {
            Arg::Pool(id) => {
                if let Some(count) = self.pool.as_splat(id) {
                    return Ok(VectorInst::Shift(op, a, (count & 31) as u8));
                }
                let counts: Vec<u32> = (0..self.isa.lanes()).map(|lane| self.pool.word(id, lane) & 31).collect();
                Ok(VectorInst::Int(op, a, Arg::Pool(self.pool.vector(&counts))))
            }
            _ => {
                let low = Arg::Pool(self.pool.splat(31));
                let count = self.define_vector(VectorInst::Int(IntBin::And, b, low))?;
                Ok(VectorInst::Int(op, a, count))
            }
        }
    }

    /// A mask operation of the flat form.
    pub(super) fn mask(&mut self, op: &MaskOp) -> Result<MaskInst, Fail> {
        Ok(match op {
            MaskOp::CmpFloat(cmp, a, b) => MaskInst::Float(*cmp, self.operand(a)?, self.operand(b)?),
            MaskOp::CmpInt(cmp, a, b) => MaskInst::Int(*cmp, self.operand(a)?, self.operand(b)?),
            MaskOp::And(a, b) => MaskInst::And(self.mask_operand(*a)?, self.mask_operand(*b)?),
            MaskOp::Or(a, b) => MaskInst::Or(self.mask_operand(*a)?, self.mask_operand(*b)?),
            MaskOp::Not(a) => MaskInst::Not(self.mask_operand(*a)?),
        })
    }
}

impl Isa {
    /// 32-bit lanes of a vector.
    pub(super) fn lanes(self) -> usize {
        match self {
            Isa::Avx2 => 8,
            Isa::Avx512 => 16,
        }
    }
}
