//! From structured code to the flat form: unrolls, evaluates indices, folds constants and address arithmetic.

use crate::tile::{
    Block, Cmp, Cond, Index, Kernel, LetId, MaskId, Mem, Operand, PointerId, PointerRef, RegId, ScalarId, ScalarOp,
    Stmt, UnrollId,
};

use super::flat::*;
use super::pool::{Pool, PoolId};
use super::{Fail, Isa};

/// A scalar as an affine form: a value of the flat code plus a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Affine {
    base: Option<S>,
    plus: i64,
}

/// Results worth keeping within a scope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Plus(S, i64),
    First(Src),
}

/// Instructions that one kernel may expand to; more is a mistake in a builder.
const LIMIT: usize = 1 << 17;
/// Identifiers are dense; a larger one is a mistake in a kernel's text.
const LARGEST_ID: u32 = 1 << 20;

/// The state of the expansion.
pub(super) struct Expander<'k> {
    pub isa: Isa,
    kernel: &'k Kernel,
    flat: Flat,
    pub pool: &'k mut Pool,
    constants: Vec<PoolId>,
    scalars: Vec<Option<Affine>>,
    variable: Vec<bool>,
    pointers: Vec<Option<Addr>>,
    lets: Vec<Option<Arg>>,
    masks: Vec<Option<K>>,
    regs: Vec<Option<(V, Vec<u32>)>>,
    unrolls: Vec<Option<i64>>,
    known: Vec<(Key, u32)>,
}

fn put<T: Clone>(table: &mut Vec<Option<T>>, id: u32, value: T) -> Result<(), Fail> {
    if id >= LARGEST_ID {
        return Err(Fail::malformed(format!("identifier {id} is too large")));
    }
    let at = id as usize;
    if table.len() <= at {
        table.resize(at + 1, None);
    }
    if let Some(slot) = table.get_mut(at) {
        *slot = Some(value);
    }
    Ok(())
}

fn get<T: Clone>(table: &[Option<T>], id: u32, name: impl std::fmt::Display) -> Result<T, Fail> {
    table
        .get(id as usize)
        .cloned()
        .flatten()
        .ok_or_else(|| Fail::malformed(format!("{name} is used before it is defined")))
}

/// Whether a relation holds between two numbers.
fn holds(cmp: Cmp, a: i64, b: i64) -> bool {
    match cmp {
        Cmp::Eq => a == b,
        Cmp::Ne => a != b,
        Cmp::Lt => a < b,
        Cmp::Le => a <= b,
        Cmp::Gt => a > b,
        Cmp::Ge => a >= b,
    }
}

/// Expands a kernel.
pub(super) fn expand(kernel: &Kernel, isa: Isa, pool: &mut Pool) -> Result<Flat, Fail> {
    let mut constants = Vec::with_capacity(kernel.pool.len());
    for constant in &kernel.pool {
        if constant.words.len() != 1 && constant.words.len() != isa.lanes() {
            return Err(Fail::malformed(format!("a constant has {} words", constant.words.len())));
        }
        constants.push(pool.vector(&constant.words));
    }
    let bases = kernel.bases.len() as u32;
    let flat = Flat { insts: vec![Inst::Entry], scalars: FIRST_BASE + bases, vectors: 0, masks: 0 };
    // The pool outlives the expansion; the borrow is shortened to the kernel's here.
    let mut e = Expander {
        isa,
        kernel,
        flat,
        pool: &mut *pool,
        constants,
        scalars: Vec::new(),
        variable: Vec::new(),
        pointers: Vec::new(),
        lets: Vec::new(),
        masks: Vec::new(),
        regs: Vec::new(),
        unrolls: Vec::new(),
        known: Vec::new(),
    };
    for base in 0..bases {
        e.push(Inst::Scalar(S(FIRST_BASE + base), ScalarInst::Base(base)))?;
    }
    e.block(&kernel.body)?;
    Ok(e.flat)
}

impl Expander<'_> {
    /// Appends an instruction.
    pub(super) fn push(&mut self, inst: Inst) -> Result<(), Fail> {
        if self.flat.insts.len() >= LIMIT {
            return Err(Fail::malformed(format!("expands to more than {LIMIT} instructions")));
        }
        self.flat.insts.push(inst);
        Ok(())
    }

    fn new_scalar(&mut self) -> S {
        self.flat.scalars += 1;
        S(self.flat.scalars - 1)
    }
    fn define(&mut self, op: ScalarInst) -> Result<S, Fail> {
        let s = self.new_scalar();
        self.push(Inst::Scalar(s, op))?;
        Ok(s)
    }
    pub(super) fn define_vector(&mut self, op: VectorInst) -> Result<Arg, Fail> {
        let v = V(self.flat.vectors);
        self.flat.vectors += 1;
        self.push(Inst::Vector(v, op))?;
        Ok(Arg::Vector(v))
    }
    fn define_mask(&mut self, op: MaskInst) -> Result<K, Fail> {
        let k = K(self.flat.masks);
        self.flat.masks += 1;
        self.push(Inst::Mask(k, op))?;
        Ok(k)
    }

    fn is_variable(&self, s: S) -> bool {
        self.variable.get(s.0 as usize).copied().unwrap_or(false)
    }

    fn affine(&self, id: ScalarId) -> Result<Affine, Fail> {
        get(&self.scalars, id.0, id)
    }

    /// The scalar as an operand; computes the sum when it is one.
    pub(super) fn src(&mut self, id: ScalarId) -> Result<Src, Fail> {
        let Affine { base, plus } = self.affine(id)?;
        let Some(s) = base else { return Ok(Src::Const(plus)) };
        if plus == 0 {
            return Ok(Src::Value(s));
        }
        let key = Key::Plus(s, plus);
        if let Some((_, known)) = self.known.iter().find(|(k, _)| *k == key) {
            return Ok(Src::Value(S(*known)));
        }
        let sum = self.define(ScalarInst::Add { a: s, b: None, plus })?;
        self.known.push((key, sum.0));
        Ok(Src::Value(sum))
    }

    /// The scalar as an operand that later assignments do not change.
    fn snapshot(&mut self, id: ScalarId) -> Result<Src, Fail> {
        match self.src(id)? {
            Src::Value(s) if self.is_variable(s) => Ok(Src::Value(self.define(ScalarInst::Copy(Src::Value(s)))?)),
            src => Ok(src),
        }
    }

    fn test(&mut self, cond: Cond) -> Result<Test, Fail> {
        Ok(Test { cmp: cond.cmp, a: self.src(cond.a)?, b: self.src(cond.b)? })
    }

    /// The value of a compile-time index.
    pub(super) fn index(&self, index: &Index) -> Result<i64, Fail> {
        Ok(match index {
            Index::Const(value) => *value,
            Index::Var(UnrollId(id)) => get(&self.unrolls, *id, UnrollId(*id))?,
            Index::Add(a, b) => self.index(a)?.wrapping_add(self.index(b)?),
            Index::Mul(factor, a) => factor.wrapping_mul(self.index(a)?),
            Index::Table(table, at) => {
                let at = self.index(at)?;
                let entry = self.kernel.tables.get(table.0 as usize).and_then(|t| t.get(usize::try_from(at).ok()?));
                *entry.ok_or_else(|| Fail::malformed(format!("{table} has no entry {at}")))?
            }
        })
    }

    fn pointer(&self, pointer: PointerRef) -> Result<Addr, Fail> {
        match pointer {
            PointerRef::Base(at) if (at as usize) < self.kernel.bases.len() => {
                Ok(Addr { base: S(FIRST_BASE + at), disp: 0 })
            }
            PointerRef::Base(at) => Err(Fail::malformed(format!("there is no base {at}"))),
            PointerRef::Let(PointerId(id)) => get(&self.pointers, id, PointerId(id)),
        }
    }

    /// A memory operand.
    pub(super) fn mem(&self, mem: &Mem) -> Result<Addr, Fail> {
        let Addr { base, disp } = self.pointer(mem.pointer)?;
        Ok(Addr { base, disp: disp.wrapping_add(self.index(&mem.disp)?) })
    }

    /// The flat vector of one element of a register array.
    pub(super) fn element(&self, reg: RegId, at: &[Index]) -> Result<V, Fail> {
        let (first, dims) = match self.regs.get(reg.0 as usize) {
            Some(Some(entry)) => entry,
            _ => return Err(Fail::malformed(format!("{reg} is used outside its block"))),
        };
        if at.len() != dims.len() {
            return Err(Fail::malformed(format!("{reg} has {} dimensions, not {}", dims.len(), at.len())));
        }
        let mut position = 0;
        for (index, dim) in at.iter().zip(dims) {
            let index = self.index(index)?;
            match u32::try_from(index) {
                Ok(i) if i < *dim => position = position * dim + i,
                _ => return Err(Fail::malformed(format!("{reg}: index {index} is outside 0..{dim}"))),
            }
        }
        Ok(V(first.0 + position))
    }

    /// A vector operand.
    pub(super) fn operand(&self, operand: &Operand) -> Result<Arg, Fail> {
        match operand {
            Operand::Let(LetId(id)) => get(&self.lets, *id, LetId(*id)),
            Operand::Reg(reg, at) => Ok(Arg::Vector(self.element(*reg, at)?)),
            Operand::Const(id) => match self.constants.get(id.0 as usize) {
                Some(id) => Ok(Arg::Pool(*id)),
                None => Err(Fail::malformed(format!("there is no constant {id}"))),
            },
        }
    }

    /// A mask operand.
    pub(super) fn mask_operand(&self, id: MaskId) -> Result<K, Fail> {
        get(&self.masks, id.0, id)
    }

    /// The lanes that a count selects.
    pub(super) fn first(&mut self, first: Option<ScalarId>, words: bool) -> Result<First, Fail> {
        let Some(id) = first else { return Ok(First::All) };
        let n = self.src(id)?;
        if matches!(n, Src::Const(n) if n >= self.isa.lanes() as i64) {
            return Ok(First::All);
        }
        if self.isa == Isa::Avx2 && !words {
            return Ok(First::Count(n));
        }
        let key = Key::First(n);
        let known = match self.known.iter().find(|(k, _)| *k == key) {
            Some((_, known)) => *known,
            None => {
                let made = match self.isa {
                    Isa::Avx512 => self.define_mask(MaskInst::First(n))?.0,
                    Isa::Avx2 => self.define(ScalarInst::MaskWords(n))?.0,
                };
                if !matches!(n, Src::Value(s) if self.is_variable(s)) {
                    self.known.push((key, made));
                }
                made
            }
        };
        Ok(if self.isa == Isa::Avx512 { First::Mask(K(known)) } else { First::Words(S(known)) })
    }

    /// What a scalar operation gives, as an affine form.
    fn scalar(&mut self, op: &ScalarOp) -> Result<Affine, Fail> {
        let number = |plus| Ok(Affine { base: None, plus });
        let form = match op {
            ScalarOp::Const(value) => return number(*value),
            ScalarOp::Index(index) => return number(self.index(index)?),
            ScalarOp::Begin => Affine { base: Some(BEGIN), plus: 0 },
            ScalarOp::End => Affine { base: Some(END), plus: 0 },
            ScalarOp::AddConst(a, c) => {
                let Affine { base, plus } = self.affine(*a)?;
                Affine { base, plus: plus.wrapping_add(*c) }
            }
            ScalarOp::Add(a, b) => {
                let (a, b) = (self.affine(*a)?, self.affine(*b)?);
                let base = match (a.base, b.base) {
                    (Some(x), Some(y)) => Some(self.define(ScalarInst::Add { a: x, b: Some(y), plus: 0 })?),
                    (x, y) => x.or(y),
                };
                Affine { base, plus: a.plus.wrapping_add(b.plus) }
            }
            ScalarOp::Sub(a, b) => {
                let (a, b) = (self.affine(*a)?, self.affine(*b)?);
                let base = match (a.base, b.base) {
                    (x, None) => x,
                    (None, Some(y)) => Some(self.define(ScalarInst::Sub(Src::Const(0), Src::Value(y)))?),
                    (Some(x), Some(y)) => Some(self.define(ScalarInst::Sub(Src::Value(x), Src::Value(y)))?),
                };
                Affine { base, plus: a.plus.wrapping_sub(b.plus) }
            }
            ScalarOp::MulConst(a, c) => self.times(*a, *c)?,
            ScalarOp::Mul(a, b) => match (self.affine(*a)?, self.affine(*b)?) {
                (_, Affine { base: None, plus }) => self.times(*a, plus)?,
                (Affine { base: None, plus }, _) => self.times(*b, plus)?,
                _ => {
                    let (a, b) = (self.src(*a)?, self.src(*b)?);
                    Affine { base: Some(self.define(ScalarInst::Mul(a, b))?), plus: 0 }
                }
            },
            _ => self.opaque(op)?,
        };
        // A variable may change before the form is used.
        match form.base {
            Some(s) if self.is_variable(s) => {
                let base = self.define(ScalarInst::Add { a: s, b: None, plus: form.plus })?;
                Ok(Affine { base: Some(base), plus: 0 })
            }
            _ => Ok(form),
        }
    }

    fn times(&mut self, a: ScalarId, factor: i64) -> Result<Affine, Fail> {
        let Affine { base, plus } = self.affine(a)?;
        let plus = plus.wrapping_mul(factor);
        Ok(match (base, factor) {
            (None, _) | (_, 0) => Affine { base: None, plus },
            (base, 1) => Affine { base, plus },
            (Some(s), _) => {
                Affine { base: Some(self.define(ScalarInst::Mul(Src::Value(s), Src::Const(factor)))?), plus }
            }
        })
    }

    /// Operations that are not affine.
    fn opaque(&mut self, op: &ScalarOp) -> Result<Affine, Fail> {
        let number = |plus| Ok(Affine { base: None, plus });
        let op = match op {
            ScalarOp::Arg(at) if (*at as usize) < self.kernel.args.len() => ScalarInst::Arg(*at),
            ScalarOp::Arg(at) => return Err(Fail::malformed(format!("there is no argument {at}"))),
            ScalarOp::Min(a, b) => match (self.src(*a)?, self.src(*b)?) {
                (Src::Const(a), Src::Const(b)) => return number(a.min(b)),
                (a, b) => ScalarInst::Min(a, b),
            },
            ScalarOp::Max(a, b) => match (self.src(*a)?, self.src(*b)?) {
                (Src::Const(a), Src::Const(b)) => return number(a.max(b)),
                (a, b) => ScalarInst::Max(a, b),
            },
            ScalarOp::DivConst(_, c) | ScalarOp::RemConst(_, c) if *c <= 0 => {
                return Err(Fail::malformed(format!("division by {c}")));
            }
            ScalarOp::DivConst(a, c) => match self.src(*a)? {
                Src::Const(a) => return number(a / c),
                a => ScalarInst::Div(a, *c),
            },
            ScalarOp::RemConst(a, c) => match self.src(*a)? {
                Src::Const(a) => return number(a % c),
                a => ScalarInst::Rem(a, *c),
            },
            ScalarOp::Select(cond, a, b) => match self.test(*cond)? {
                Test { cmp, a: Src::Const(x), b: Src::Const(y) } => {
                    ScalarInst::Copy(if holds(cmp, x, y) { self.src(*a)? } else { self.src(*b)? })
                }
                test => ScalarInst::Select(test, self.src(*a)?, self.src(*b)?),
            },
            ScalarOp::LoadI64(mem) => ScalarInst::Load64(self.mem(mem)?),
            ScalarOp::LoadI32(mem) => ScalarInst::Load32(self.mem(mem)?),
            _ => return Err(Fail::malformed("a scalar operation is affine and not handled as such".into())),
        };
        Ok(Affine { base: Some(self.define(op)?), plus: 0 })
    }

    fn variable(&mut self, id: ScalarId, first: ScalarId) -> Result<(), Fail> {
        let first = self.src(first)?;
        let s = self.define(ScalarInst::Copy(first))?;
        self.variable.resize(self.flat.scalars as usize, false);
        if let Some(flag) = self.variable.get_mut(s.0 as usize) {
            *flag = true;
        }
        put(&mut self.scalars, id.0, Affine { base: Some(s), plus: 0 })
    }

    fn make_pointer(&mut self, id: PointerId, from: PointerRef, offset: ScalarId) -> Result<(), Fail> {
        let Addr { base, disp } = self.pointer(from)?;
        let offset = self.affine(offset)?;
        let base = match offset.base {
            None => base,
            Some(s) => self.define(ScalarInst::Add { a: base, b: Some(s), plus: 0 })?,
        };
        put(&mut self.pointers, id.0, Addr { base, disp: disp.wrapping_add(offset.plus) })
    }

    fn pin(&mut self, id: RegId, dims: &[u32], opened: &mut Vec<(RegId, V, u32)>) -> Result<(), Fail> {
        let count = dims.iter().try_fold(1u32, |n, dim| n.checked_mul(*dim)).filter(|n| *n <= 1024);
        let count = count.ok_or_else(|| Fail::malformed(format!("{id} is too large")))?;
        let first = V(self.flat.vectors);
        self.flat.vectors += count;
        self.push(Inst::Pin(first, count))?;
        opened.push((id, first, count));
        put(&mut self.regs, id.0, (first, dims.to_vec()))
    }

    fn block(&mut self, block: &Block) -> Result<(), Fail> {
        let mut opened = Vec::new();
        for stmt in block {
            self.stmt(stmt, &mut opened)?;
        }
        for (id, first, count) in opened.into_iter().rev() {
            self.push(Inst::Unpin(first, count))?;
            if let Some(slot) = self.regs.get_mut(id.0 as usize) {
                *slot = None;
            }
        }
        Ok(())
    }

    /// A block that may run any number of times: what it computes is not known after it.
    fn scoped(&mut self, block: &Block) -> Result<(), Fail> {
        let known = self.known.len();
        self.block(block)?;
        self.known.truncate(known);
        Ok(())
    }

    fn stmt(&mut self, stmt: &Stmt, opened: &mut Vec<(RegId, V, u32)>) -> Result<(), Fail> {
        match stmt {
            Stmt::Scalar(id, op) => {
                let form = self.scalar(op)?;
                put(&mut self.scalars, id.0, form)
            }
            Stmt::Variable(id, first) => self.variable(*id, *first),
            Stmt::Assign(id, value) => match self.affine(*id)?.base {
                Some(s) if self.is_variable(s) => {
                    let value = self.src(*value)?;
                    self.push(Inst::Scalar(s, ScalarInst::Copy(value)))
                }
                _ => Err(Fail::malformed(format!("{id} is not a variable"))),
            },
            Stmt::Pointer(id, from, offset) => self.make_pointer(*id, *from, *offset),
            Stmt::Let(id, op) => {
                let arg = self.vector(op)?;
                put(&mut self.lets, id.0, arg)
            }
            Stmt::Mask(id, op) => {
                let op = self.mask(op)?;
                let k = self.define_mask(op)?;
                put(&mut self.masks, id.0, k)
            }
            Stmt::Reg { id, dims, .. } => self.pin(*id, dims, opened),
            Stmt::Set(reg, at, op) => {
                let v = self.element(*reg, at)?;
                let op = self.vector_inst(op)?;
                self.push(Inst::Vector(v, op))
            }
            Stmt::For { .. } | Stmt::Unroll { .. } | Stmt::If { .. } => self.control(stmt),
            Stmt::Store { mem, value, first, storage } => {
                let words = storage.bytes() == 4;
                let (addr, value, first) = (self.mem(mem)?, self.operand(value)?, self.first(*first, words)?);
                self.push(Inst::Store(addr, value, first, *storage))
            }
            Stmt::Transpose { reg, at } => {
                let lanes = self.isa.lanes() as u32;
                let last = Index::Const(i64::from(*at) + i64::from(lanes) - 1);
                self.element(*reg, &[last])?;
                let first = self.element(*reg, &[Index::Const((*at).into())])?;
                self.push(Inst::Transpose(first, lanes))
            }
            Stmt::Prefetch(mem, level) => {
                let addr = self.mem(mem)?;
                self.push(Inst::Prefetch(addr, *level))
            }
            Stmt::Check(cond, code) => {
                let test = self.test(*cond)?;
                self.push(Inst::Check(test, *code))
            }
        }
    }

    fn control(&mut self, stmt: &Stmt) -> Result<(), Fail> {
        match stmt {
            Stmt::For { var, begin, end, step, body } => {
                if *step <= 0 {
                    return Err(Fail::malformed(format!("{var}: the step {step} is not positive")));
                }
                let (begin, end) = (self.src(*begin)?, self.snapshot(*end)?);
                let s = self.new_scalar();
                put(&mut self.scalars, var.0, Affine { base: Some(s), plus: 0 })?;
                self.push(Inst::Loop { var: s, begin, end })?;
                self.scoped(body)?;
                self.push(Inst::EndLoop { var: s, end, step: *step })
            }
            Stmt::Unroll { var, count, body } => {
                for copy in 0..*count {
                    put(&mut self.unrolls, var.0, i64::from(copy))?;
                    self.block(body)?;
                }
                Ok(())
            }
            Stmt::If { cond, then, otherwise } => match self.test(*cond)? {
                Test { cmp, a: Src::Const(a), b: Src::Const(b) } => {
                    self.block(if holds(cmp, a, b) { then } else { otherwise })
                }
                test => {
                    self.push(Inst::If(test))?;
                    self.scoped(then)?;
                    if !otherwise.is_empty() {
                        self.push(Inst::Else)?;
                        self.scoped(otherwise)?;
                    }
                    self.push(Inst::EndIf)
                }
            },
            _ => Err(Fail::malformed("not a control statement".into())),
        }
    }
}
