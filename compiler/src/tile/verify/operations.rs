//! The operands of operations: in scope, of the right lane type, with indices that have a value.

use super::{Checked, Meaning, Name, Verifier, require, stored_lane};
use crate::tile::ir::*;

impl Verifier<'_> {
    pub(super) fn scalar(&self, id: ScalarId) -> Checked<()> {
        require(self.names.contains_key(&Name::Scalar(id)), || format!("{id} is not in scope"))
    }

    pub(super) fn first(&self, first: Option<ScalarId>) -> Checked<()> {
        first.map_or(Ok(()), |id| self.scalar(id))
    }

    pub(super) fn cond(&self, cond: &Cond) -> Checked<()> {
        self.scalar(cond.a)?;
        self.scalar(cond.b)
    }

    /// The base a pointer leads into.
    pub(super) fn pointer(&self, pointer: PointerRef) -> Checked<u32> {
        match pointer {
            PointerRef::Base(at) if (at as usize) < self.kernel.bases.len() => Ok(at),
            PointerRef::Base(at) => Err(format!("base {at} is not declared")),
            PointerRef::Let(id) => match self.names.get(&Name::Pointer(id)) {
                Some(Meaning::Pointer(base)) => Ok(*base),
                _ => Err(format!("{id} is not in scope")),
            },
        }
    }

    fn index(&self, index: &Index) -> Checked<i64> {
        self.values.value(index, &self.kernel.tables).ok_or_else(|| "an index has no value here".into())
    }

    /// The base of a memory operand.
    pub(super) fn mem(&self, mem: &Mem) -> Checked<u32> {
        let disp = self.index(&mem.disp)?;
        require(i32::try_from(disp).is_ok(), || format!("the displacement {disp} has more than 32 bits"))?;
        self.pointer(mem.pointer)
    }

    /// The lane type of an array whose element is named.
    pub(super) fn register(&self, id: RegId, at: &[Index]) -> Checked<Lane> {
        let Some(Meaning::Reg(lane, dims)) = self.names.get(&Name::Reg(id)) else {
            return Err(format!("{id} is not in scope"));
        };
        require(at.len() == dims.len(), || format!("{id} has {} dimensions", dims.len()))?;
        let inside = self.values.position(at, dims, &self.kernel.tables).is_some();
        require(inside, || format!("an index of {id} is out of range ({})", self.values))?;
        Ok(*lane)
    }

    /// The lane type of an operand, which must fit what is wanted.
    pub(super) fn operand(&self, operand: &Operand, wanted: Option<Lane>) -> Checked<Option<Lane>> {
        let lane = match operand {
            Operand::Let(id) => match self.names.get(&Name::Let(*id)) {
                Some(Meaning::Let(lane)) => *lane,
                _ => return Err(format!("{id} is not in scope")),
            },
            Operand::Reg(id, at) => Some(self.register(*id, at)?),
            Operand::Const(id) => {
                let constant = self.kernel.pool.get(id.0 as usize);
                Some(constant.ok_or_else(|| format!("{id} is not in the pool"))?.lane)
            }
        };
        if let (Some(lane), Some(wanted)) = (lane, wanted) {
            require(lane == wanted, || format!("an operand has {lane:?} lanes where {wanted:?} is wanted"))?;
        }
        Ok(lane.or(wanted))
    }

    /// Operands of one type, whichever it is.
    fn alike(&self, a: &Operand, b: &Operand) -> Checked<Option<Lane>> {
        let first = self.operand(a, None)?;
        self.operand(b, first)
    }

    fn mask(&self, id: MaskId) -> Checked<()> {
        require(self.names.contains_key(&Name::Mask(id)), || format!("{id} is not in scope"))
    }

    pub(super) fn scalar_op(&self, op: &ScalarOp) -> Checked<()> {
        match op {
            ScalarOp::Const(_) | ScalarOp::Begin | ScalarOp::End => Ok(()),
            ScalarOp::Index(at) => self.index(at).map(|_| ()),
            ScalarOp::Arg(at) => {
                require((*at as usize) < self.kernel.args.len(), || format!("argument {at} is not declared"))
            }
            ScalarOp::Add(a, b)
            | ScalarOp::Sub(a, b)
            | ScalarOp::Mul(a, b)
            | ScalarOp::Min(a, b)
            | ScalarOp::Max(a, b) => {
                self.scalar(*a)?;
                self.scalar(*b)
            }
            ScalarOp::AddConst(a, _) | ScalarOp::MulConst(a, _) => self.scalar(*a),
            ScalarOp::DivConst(a, divisor) | ScalarOp::RemConst(a, divisor) => {
                self.scalar(*a)?;
                require(*divisor > 0, || format!("division by {divisor}"))
            }
            ScalarOp::Select(cond, a, b) => {
                self.cond(cond)?;
                self.scalar(*a)?;
                self.scalar(*b)
            }
            ScalarOp::LoadI64(mem) | ScalarOp::LoadI32(mem) => self.mem(mem).map(|_| ()),
        }
    }

    pub(super) fn mask_op(&self, op: &MaskOp) -> Checked<()> {
        match op {
            MaskOp::CmpFloat(_, a, b) => {
                self.operand(a, Some(Lane::F32))?;
                self.operand(b, Some(Lane::F32)).map(|_| ())
            }
            MaskOp::CmpInt(_, a, b) => {
                self.operand(a, Some(Lane::I32))?;
                self.operand(b, Some(Lane::I32)).map(|_| ())
            }
            MaskOp::And(a, b) | MaskOp::Or(a, b) => {
                self.mask(*a)?;
                self.mask(*b)
            }
            MaskOp::Not(a) => self.mask(*a),
        }
    }

    /// The lane type of a result; `None` fits both.
    pub(super) fn vector_op(&self, op: &VectorOp) -> Checked<Option<Lane>> {
        let (lanes, f32, i32) = (self.kernel.target.lanes, Some(Lane::F32), Some(Lane::I32));
        match op {
            VectorOp::Copy(a) => self.operand(a, None),
            VectorOp::Load { mem, first, storage } => {
                self.mem(mem)?;
                self.first(*first)?;
                Ok(stored_lane(*storage))
            }
            VectorOp::SplatLoad { mem, storage } => {
                self.mem(mem)?;
                Ok(stored_lane(*storage))
            }
            VectorOp::Gather { mem, index, first } => {
                self.mem(mem)?;
                self.first(*first)?;
                self.operand(index, i32)?;
                Ok(None)
            }
            VectorOp::SplatScalar(s) => self.scalar(*s).map(|()| i32),
            VectorOp::Iota => Ok(i32),
            VectorOp::Fma(a, b, c) => {
                require(self.kernel.target.fma, || "the target has no fma".into())?;
                [a, b, c].into_iter().try_fold(f32, |_, operand| self.operand(operand, f32))
            }
            VectorOp::Dot(a, b, c) => {
                require(self.kernel.target.dot, || "the target has no dot of bytes".into())?;
                [a, b, c].into_iter().try_fold(i32, |_, operand| self.operand(operand, i32))
            }
            VectorOp::Float(_, a, b) => {
                self.operand(a, f32)?;
                self.operand(b, f32)
            }
            VectorOp::Int(_, a, b) => {
                self.operand(a, i32)?;
                self.operand(b, i32)
            }
            VectorOp::Scale(a, n) => {
                self.operand(n, i32)?;
                self.operand(a, f32)
            }
            VectorOp::Unary(_, a) | VectorOp::Reduce(_, a) => self.operand(a, f32),
            VectorOp::ToInt(a) => self.operand(a, f32).map(|_| i32),
            VectorOp::ToFloat(a) => self.operand(a, i32).map(|_| f32),
            VectorOp::Bitcast(lane, a) => self.operand(a, None).map(|_| Some(*lane)),
            VectorOp::Select(mask, a, b) => {
                self.mask(*mask)?;
                self.alike(a, b)
            }
            VectorOp::Slide(a, b, n) => {
                require(*n <= lanes, || format!("slide by {n} of {lanes}"))?;
                self.alike(a, b)
            }
            VectorOp::SplatLane(a, n) => {
                require(*n < lanes, || format!("lane {n} of {lanes}"))?;
                self.operand(a, None)
            }
            VectorOp::Permute(a, pattern) => {
                let fits = pattern.len() == lanes as usize && pattern.iter().all(|lane| u32::from(*lane) < lanes);
                require(fits, || format!("a permutation {pattern:?} of {lanes} lanes"))?;
                self.operand(a, None)
            }
        }
    }
}
