//! Vector and mask operations on four lanes.

use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::types::{F32X4, I8X16, I32, I32X4};
use cranelift_codegen::ir::{ConstantData, Endianness, InstBuilder, MemFlagsData, Type, Value};

use super::{Emit, Lower, signed, vector_type};
use crate::tile::*;

impl Lower<'_, '_> {
    /// The same bits as another vector type.
    pub(super) fn cast(&mut self, value: Value, to: Type) -> Value {
        if self.b.func.dfg.value_type(value) == to {
            return value;
        }
        self.b.ins().bitcast(to, MemFlagsData::new().with_endianness(Endianness::Little), value)
    }

    pub(super) fn float(&mut self, operand: &Operand) -> Emit<Value> {
        let value = self.operand(operand)?;
        Ok(self.cast(value, F32X4))
    }

    pub(super) fn int(&mut self, operand: &Operand) -> Emit<Value> {
        let value = self.operand(operand)?;
        Ok(self.cast(value, I32X4))
    }

    /// Four words as a constant of this type.
    pub(super) fn words(&mut self, ty: Type, words: [u32; 4]) -> Value {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let constant = self.b.func.dfg.constants.insert(ConstantData::from(bytes.as_slice()));
        self.b.ins().vconst(ty, constant)
    }

    /// An integer in every lane.
    pub(super) fn int_const(&mut self, value: u32) -> Value {
        self.words(I32X4, [value; 4])
    }

    /// A float in every lane.
    pub(super) fn float_const(&mut self, value: f32) -> Value {
        self.words(F32X4, [value.to_bits(); 4])
    }

    fn constant(&self, id: ConstId) -> Emit<(Lane, [u32; 4])> {
        let constant = self.kernel.pool.get(id.0 as usize).ok_or_else(|| format!("{id} is not in the pool"))?;
        match constant.words[..] {
            [word] => Ok((constant.lane, [word; 4])),
            [a, b, c, d] => Ok((constant.lane, [a, b, c, d])),
            _ => Err(format!("{id} has {} words", constant.words.len())),
        }
    }

    fn operand(&mut self, operand: &Operand) -> Emit<Value> {
        match operand {
            Operand::Let(id) => self.lets.get(id).copied().ok_or_else(|| format!("{id} is not defined")),
            Operand::Reg(id, at) => {
                let (variable, _) = self.register(*id, at)?;
                Ok(self.b.use_var(variable))
            }
            Operand::Const(id) => {
                let (lane, words) = self.constant(*id)?;
                Ok(self.words(vector_type(lane), words))
            }
        }
    }

    fn mask(&self, id: MaskId) -> Emit<Value> {
        self.masks.get(&id).copied().ok_or_else(|| format!("{id} is not defined"))
    }

    pub(super) fn mask_op(&mut self, op: &MaskOp) -> Emit<Value> {
        Ok(match op {
            MaskOp::CmpFloat(cmp, a, b) => {
                let (a, b) = (self.float(a)?, self.float(b)?);
                self.b.ins().fcmp(ordered(*cmp), a, b)
            }
            MaskOp::CmpInt(cmp, a, b) => {
                let (a, b) = (self.int(a)?, self.int(b)?);
                self.b.ins().icmp(signed(*cmp), a, b)
            }
            MaskOp::And(a, b) => {
                let (a, b) = (self.mask(*a)?, self.mask(*b)?);
                self.b.ins().band(a, b)
            }
            MaskOp::Or(a, b) => {
                let (a, b) = (self.mask(*a)?, self.mask(*b)?);
                self.b.ins().bor(a, b)
            }
            MaskOp::Not(a) => {
                let a = self.mask(*a)?;
                self.b.ins().bnot(a)
            }
        })
    }

    /// mask ? a : b on floats.
    pub(super) fn choose(&mut self, mask: Value, a: Value, b: Value) -> Value {
        let mask = self.cast(mask, F32X4);
        self.b.ins().bitselect(mask, a, b)
    }

    /// mask ? a : b on integers.
    pub(super) fn choose_int(&mut self, mask: Value, a: Value, b: Value) -> Value {
        self.b.ins().bitselect(mask, a, b)
    }

    pub(super) fn vector_op(&mut self, op: &VectorOp) -> Emit<Value> {
        match op {
            VectorOp::Copy(a) => self.operand(a),
            VectorOp::Load { mem, first, storage } => self.load(mem, *first, *storage),
            VectorOp::SplatLoad { mem, storage } => self.splat_load(mem, *storage),
            VectorOp::Gather { mem, index, first } => self.gather(mem, index, *first),
            VectorOp::SplatScalar(s) => {
                let scalar = self.scalar(*s)?;
                let low = self.b.ins().ireduce(I32, scalar);
                Ok(self.b.ins().splat(I32X4, low))
            }
            VectorOp::Iota => Ok(self.words(I32X4, [0, 1, 2, 3])),
            VectorOp::Float(op, a, b) => {
                let (a, b) = (self.float(a)?, self.float(b)?);
                Ok(self.float_bin(*op, a, b))
            }
            VectorOp::Fma(a, b, c) if self.kernel.target.fma => {
                let (a, b, c) = (self.float(a)?, self.float(b)?, self.float(c)?);
                Ok(self.b.ins().fma(a, b, c))
            }
            VectorOp::Fma(..) => Err("the target has no fma".into()),
            VectorOp::Dot(..) => Err("the target has no dot of bytes".into()),
            VectorOp::Unary(op, a) => {
                let a = self.float(a)?;
                Ok(self.unary(*op, a))
            }
            VectorOp::Scale(a, n) => {
                let (a, n) = (self.float(a)?, self.int(n)?);
                Ok(self.scale(a, n))
            }
            VectorOp::Int(op, a, b) => self.int_bin(*op, a, b),
            VectorOp::ToInt(a) => {
                let a = self.float(a)?;
                Ok(self.nearest_int(a))
            }
            VectorOp::ToFloat(a) => {
                let a = self.int(a)?;
                Ok(self.b.ins().fcvt_from_sint(F32X4, a))
            }
            VectorOp::Bitcast(lane, a) => {
                let a = self.operand(a)?;
                Ok(self.cast(a, vector_type(*lane)))
            }
            VectorOp::Select(mask, a, b) => {
                let (mask, a, b) = (self.mask(*mask)?, self.float(a)?, self.float(b)?);
                Ok(self.choose(mask, a, b))
            }
            VectorOp::Slide(a, b, n) => self.slide(a, b, *n),
            VectorOp::SplatLane(a, lane) => self.permute(a, &[*lane as u8; 4]),
            VectorOp::Permute(a, pattern) => self.permute(a, pattern),
            VectorOp::Reduce(kind, a) => {
                let a = self.float(a)?;
                Ok(self.reduce(*kind, a))
            }
        }
    }

    pub(super) fn float_bin(&mut self, op: FloatBin, a: Value, b: Value) -> Value {
        match op {
            FloatBin::Add => self.b.ins().fadd(a, b),
            FloatBin::Sub => self.b.ins().fsub(a, b),
            FloatBin::Mul => self.b.ins().fmul(a, b),
            FloatBin::Div => self.b.ins().fdiv(a, b),
            // These two shapes are one instruction on x86-64: `minps` and `maxps` have the meaning of the Tile IR.
            FloatBin::Min => {
                let less = self.b.ins().fcmp(FloatCC::LessThan, a, b);
                self.choose(less, a, b)
            }
            FloatBin::Max => {
                let greater = self.b.ins().fcmp(FloatCC::LessThan, b, a);
                self.choose(greater, a, b)
            }
        }
    }

    fn unary(&mut self, op: FloatUn, a: Value) -> Value {
        match op {
            FloatUn::Neg => self.b.ins().fneg(a),
            FloatUn::Abs => self.b.ins().fabs(a),
            FloatUn::Sqrt => self.b.ins().sqrt(a),
            _ if self.sse2 => self.round_sse2(op, a),
            FloatUn::Floor => self.b.ins().floor(a),
            FloatUn::Ceil => self.b.ins().ceil(a),
            FloatUn::Trunc => self.b.ins().trunc(a),
            FloatUn::Nearest => self.b.ins().nearest(a),
        }
    }

    fn int_bin(&mut self, op: IntBin, a: &Operand, b: &Operand) -> Emit<Value> {
        if let IntBin::Shl | IntBin::Shr | IntBin::Sar = op {
            return self.shift(op, a, b);
        }
        let (a, b) = (self.int(a)?, self.int(b)?);
        Ok(match op {
            IntBin::Add => self.b.ins().iadd(a, b),
            IntBin::Sub => self.b.ins().isub(a, b),
            IntBin::Mul => self.b.ins().imul(a, b),
            IntBin::And => self.b.ins().band(a, b),
            IntBin::Or => self.b.ins().bor(a, b),
            IntBin::Xor => self.b.ins().bxor(a, b),
            IntBin::Min => self.b.ins().smin(a, b),
            _ => self.b.ins().smax(a, b),
        })
    }

    /// One shift for an amount known now, a shift a lane otherwise: CLIF has no amounts by lane.
    fn shift(&mut self, op: IntBin, a: &Operand, b: &Operand) -> Emit<Value> {
        let value = self.int(a)?;
        if let Operand::Const(id) = b {
            let (_, words) = self.constant(*id)?;
            if words.iter().all(|word| word & 31 == words[0] & 31) {
                return Ok(self.shift_by(op, value, words[0] & 31));
            }
        }
        let (amounts, mut out) = (self.int(b)?, value);
        for lane in 0..4u8 {
            let (x, n) = (self.b.ins().extractlane(value, lane), self.b.ins().extractlane(amounts, lane));
            let shifted = self.shift_value(op, x, n);
            out = self.b.ins().insertlane(out, shifted, lane);
        }
        Ok(out)
    }

    fn shift_value(&mut self, op: IntBin, value: Value, amount: Value) -> Value {
        match op {
            IntBin::Shl => self.b.ins().ishl(value, amount),
            IntBin::Shr => self.b.ins().ushr(value, amount),
            _ => self.b.ins().sshr(value, amount),
        }
    }

    /// A vector shifted by one amount.
    pub(super) fn shift_by(&mut self, op: IntBin, value: Value, amount: u32) -> Value {
        let amount = self.b.ins().iconst(I32, i64::from(amount));
        self.shift_value(op, value, amount)
    }

    /// Lanes chosen from the eight of `a` then `b`.
    fn lanes_of(&mut self, a: Value, b: Value, pattern: [u8; 4]) -> Value {
        let ty = self.b.func.dfg.value_type(a);
        let bytes: Vec<u8> = pattern.iter().flat_map(|lane| (0..4).map(move |byte| lane * 4 + byte)).collect();
        let mask = self.b.func.dfg.immediates.push(ConstantData::from(bytes.as_slice()));
        let (a, b) = (self.cast(a, I8X16), self.cast(b, I8X16));
        let out = self.b.ins().shuffle(a, b, mask);
        self.cast(out, ty)
    }

    fn permute(&mut self, a: &Operand, pattern: &[u8]) -> Emit<Value> {
        let a = self.operand(a)?;
        match *pattern {
            [p, q, r, s] if pattern.iter().all(|lane| *lane < 4) => Ok(self.lanes_of(a, a, [p, q, r, s])),
            _ => Err(format!("lanes {pattern:?} of 4")),
        }
    }

    fn slide(&mut self, a: &Operand, b: &Operand, n: u32) -> Emit<Value> {
        let a = self.operand(a)?;
        let ty = self.b.func.dfg.value_type(a);
        let b = self.operand(b)?;
        let b = self.cast(b, ty);
        Ok(match n {
            0 => a,
            4 => b,
            // `shufps` takes two lanes of each side, so an odd slide is two of them where there is no `palignr`.
            1 if self.sse2 => {
                let middle = self.lanes_of(a, b, [3, 3, 4, 4]);
                self.lanes_of(a, middle, [1, 2, 4, 6])
            }
            3 if self.sse2 => {
                let middle = self.lanes_of(a, b, [3, 3, 4, 4]);
                self.lanes_of(middle, b, [0, 2, 5, 6])
            }
            1..=3 => {
                let n = n as u8;
                self.lanes_of(a, b, [n, n + 1, n + 2, n + 3])
            }
            _ => return Err(format!("slide by {n}")),
        })
    }

    fn reduce(&mut self, kind: ReduceKind, a: Value) -> Value {
        let op = match kind {
            ReduceKind::Add => FloatBin::Add,
            ReduceKind::Max => FloatBin::Max,
            ReduceKind::Min => FloatBin::Min,
        };
        let upper = self.lanes_of(a, a, [2, 3, 2, 3]);
        let halves = self.float_bin(op, a, upper);
        let odd = self.lanes_of(halves, halves, [1, 1, 1, 1]);
        let all = self.float_bin(op, halves, odd);
        self.lanes_of(all, all, [0; 4])
    }

    pub(super) fn transpose(&mut self, reg: RegId, at: u32) -> Emit<()> {
        let mut rows = Vec::new();
        for row in 0..4 {
            rows.push(self.register(reg, &[Index::Const(i64::from(at) + row)])?);
        }
        let [a, b, c, d] = [rows[0], rows[1], rows[2], rows[3]].map(|(row, _)| self.b.use_var(row));
        let (low, high) = ([0, 4, 1, 5], [2, 6, 3, 7]);
        let (ab, cd) = (self.lanes_of(a, b, low), self.lanes_of(c, d, low));
        let (ab_high, cd_high) = (self.lanes_of(a, b, high), self.lanes_of(c, d, high));
        for ((row, _), (left, right, pattern)) in rows.into_iter().zip([
            (ab, cd, [0, 1, 4, 5]),
            (ab, cd, [2, 3, 6, 7]),
            (ab_high, cd_high, [0, 1, 4, 5]),
            (ab_high, cd_high, [2, 3, 6, 7]),
        ]) {
            let value = self.lanes_of(left, right, pattern);
            self.b.def_var(row, value);
        }
        Ok(())
    }
}

fn ordered(cmp: Cmp) -> FloatCC {
    match cmp {
        Cmp::Eq => FloatCC::Equal,
        Cmp::Ne => FloatCC::NotEqual,
        Cmp::Lt => FloatCC::LessThan,
        Cmp::Le => FloatCC::LessThanOrEqual,
        Cmp::Gt => FloatCC::GreaterThan,
        Cmp::Ge => FloatCC::GreaterThanOrEqual,
    }
}
