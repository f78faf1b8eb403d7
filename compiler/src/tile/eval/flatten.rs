//! Turns a kernel into a list of steps with slots for names, constants for indices and positions for jumps.

use std::collections::HashMap;
use std::hash::Hash;

use super::EvalError;
use crate::tile::index::UnrollValues;
use crate::tile::ir::*;
use crate::tile::print;

/// Steps a flattened kernel may have.
const STEP_LIMIT: usize = 1 << 20;

/// An address: a pointer slot and a displacement.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub pointer: u32,
    pub disp: i64,
}

/// A scalar condition on slots.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    pub cmp: Cmp,
    pub a: u32,
    pub b: u32,
}

/// Scalar arithmetic on slots.
#[derive(Clone, Copy, Debug)]
pub enum Arith {
    Add,
    Sub,
    Mul,
    Min,
    Max,
}

/// One step. The first number is the slot it defines.
#[derive(Clone, Debug)]
pub enum Step {
    Number(u32, i64),
    Arg(u32, u32),
    Begin(u32),
    End(u32),
    ScalarCopy(u32, u32),
    Scalar(Arith, u32, u32, u32),
    ScalarConst(Arith, u32, u32, i64),
    Div(u32, u32, i64),
    Rem(u32, u32, i64),
    ScalarSelect(u32, Test, u32, u32),
    ScalarLoad(u32, At, i64),
    Pointer(u32, u32, u32),
    Load(u32, At, Option<u32>, Storage),
    SplatLoad(u32, At, Storage),
    Gather(u32, At, u32, Option<u32>),
    SplatScalar(u32, u32),
    Iota(u32),
    Copy(u32, u32),
    Float(FloatBin, u32, u32, u32),
    Fma(u32, u32, u32, u32),
    Dot(u32, u32, u32, u32),
    Unary(FloatUn, u32, u32),
    Scale(u32, u32, u32),
    Int(IntBin, u32, u32, u32),
    ToInt(u32, u32),
    ToFloat(u32, u32),
    Select(u32, u32, u32, u32),
    Slide(u32, u32, u32, u32),
    Permute(u32, u32, [u8; 16]),
    Reduce(ReduceKind, u32, u32),
    CmpFloat(Cmp, u32, u32, u32),
    CmpInt(Cmp, u32, u32, u32),
    MaskAnd(u32, u32, u32),
    MaskOr(u32, u32, u32),
    MaskNot(u32, u32),
    Unset(u32, u32),
    /// Enter a loop: variable, first value, bound, slot that keeps the bound, position after the loop.
    Enter(u32, u32, u32, u32, usize),
    /// Next turn: variable, kept bound, step, position of the body.
    Next(u32, u32, i64, usize),
    JumpUnless(Test, usize),
    Jump(usize),
    Store(At, u32, Option<u32>, Storage),
    Transpose(u32),
    Check(Test, i32),
}

/// A kernel as steps.
pub struct Flat<'k> {
    pub steps: Vec<Step>,
    sites: Vec<u32>,
    places: Vec<(&'k Stmt, UnrollValues)>,
    pub scalars: usize,
    pub pointers: usize,
    pub masks: usize,
    /// First values of the vector slots: the constants, then zeros.
    pub vectors: Vec<[u32; 16]>,
    /// Constants at the front of `vectors`.
    pub constants: usize,
}

impl Flat<'_> {
    /// The text of the statement a step came from.
    pub fn statement(&self, kernel: &Kernel, step: usize) -> String {
        let Some((stmt, values)) = self.sites.get(step).and_then(|site| self.places.get(*site as usize)) else {
            return String::new();
        };
        place(kernel, stmt, values)
    }
}

fn place(kernel: &Kernel, stmt: &Stmt, values: &UnrollValues) -> String {
    let (text, values) = (print::statement(kernel, stmt), values.to_string());
    if values.is_empty() { text } else { format!("{text} ({values})") }
}

struct Flattener<'k> {
    kernel: &'k Kernel,
    flat: Flat<'k>,
    values: UnrollValues,
    scalars: HashMap<ScalarId, u32>,
    pointers: HashMap<PointerId, u32>,
    lets: HashMap<LetId, u32>,
    masks: HashMap<MaskId, u32>,
    regs: HashMap<RegId, (u32, Vec<u32>)>,
}

/// Resolves a kernel.
pub fn flatten(kernel: &Kernel) -> Result<Flat<'_>, EvalError> {
    let lanes = kernel.target.lanes as usize;
    let malformed = |detail: String| EvalError::Malformed { statement: kernel.name.clone(), detail };
    if ![4, 8, 16].contains(&lanes) {
        return Err(malformed(format!("{lanes} lanes")));
    }
    let mut vectors = Vec::new();
    for constant in &kernel.pool {
        let mut lane_words = [0; 16];
        match constant.words.as_slice() {
            [word] => lane_words = [*word; 16],
            words if words.len() == lanes => lane_words[..lanes].copy_from_slice(words),
            words => return Err(malformed(format!("a constant of {} words", words.len()))),
        }
        vectors.push(lane_words);
    }
    let flat = Flat {
        steps: Vec::new(),
        sites: Vec::new(),
        places: Vec::new(),
        scalars: 0,
        pointers: kernel.bases.len(),
        masks: 0,
        constants: vectors.len(),
        vectors,
    };
    let mut flattener = Flattener {
        kernel,
        flat,
        values: UnrollValues::default(),
        scalars: HashMap::new(),
        pointers: HashMap::new(),
        lets: HashMap::new(),
        masks: HashMap::new(),
        regs: HashMap::new(),
    };
    flattener.block(&kernel.body)?;
    Ok(flattener.flat)
}

/// What a name or index stands for, or what is wrong with it.
type Found<T> = Result<T, String>;

fn known<K: Hash + Eq + std::fmt::Display>(slots: &HashMap<K, u32>, id: K) -> Found<u32> {
    slots.get(&id).copied().ok_or_else(|| format!("{id} is not defined"))
}

impl<'k> Flattener<'k> {
    fn block(&mut self, body: &'k [Stmt]) -> Result<(), EvalError> {
        for stmt in body {
            self.flat.places.push((stmt, self.values.clone()));
            let site = self.flat.places.len() - 1;
            match stmt {
                Stmt::For { var, begin, end, step, body } => self.loop_(site, *var, *begin, *end, *step, body)?,
                Stmt::Unroll { var, count, body } => {
                    for value in 0..*count {
                        self.values.push(*var, value.into());
                        self.block(body)?;
                        self.values.pop();
                    }
                }
                Stmt::If { cond, then, otherwise } => self.branch(site, cond, then, otherwise)?,
                _ => {
                    let step = self.simple(stmt);
                    let step = step.map_err(|detail| self.fault(site, detail))?;
                    if let Some(step) = step {
                        self.push(site, step)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn fault(&self, site: usize, detail: String) -> EvalError {
        let statement = self.flat.places.get(site).map_or_else(String::new, |(s, v)| place(self.kernel, s, v));
        EvalError::Malformed { statement, detail }
    }

    fn push(&mut self, site: usize, step: Step) -> Result<usize, EvalError> {
        if self.flat.steps.len() >= STEP_LIMIT {
            return Err(self.fault(site, format!("more than {STEP_LIMIT} steps when unrolled")));
        }
        self.flat.steps.push(step);
        self.flat.sites.push(site as u32);
        Ok(self.flat.steps.len() - 1)
    }

    fn loop_(
        &mut self,
        site: usize,
        var: ScalarId,
        begin: ScalarId,
        end: ScalarId,
        step: i64,
        body: &'k [Stmt],
    ) -> Result<(), EvalError> {
        if step <= 0 {
            return Err(self.fault(site, format!("step {step}")));
        }
        let slots = known(&self.scalars, begin).and_then(|begin| Ok((begin, known(&self.scalars, end)?)));
        let (begin, end) = slots.map_err(|detail| self.fault(site, detail))?;
        let var = self.scalar(var);
        self.flat.scalars += 1;
        let bound = self.flat.scalars as u32 - 1;
        let enter = self.push(site, Step::Enter(var, begin, end, bound, 0))?;
        self.block(body)?;
        let next = self.push(site, Step::Next(var, bound, step, enter + 1))?;
        self.flat.steps[enter] = Step::Enter(var, begin, end, bound, next + 1);
        Ok(())
    }

    fn branch(&mut self, site: usize, cond: &Cond, then: &'k [Stmt], otherwise: &'k [Stmt]) -> Result<(), EvalError> {
        let test = self.test(cond).map_err(|detail| self.fault(site, detail))?;
        let skip = self.push(site, Step::Jump(0))?;
        self.block(then)?;
        let leave = self.push(site, Step::Jump(0))?;
        self.flat.steps[skip] = Step::JumpUnless(test, leave + 1);
        self.block(otherwise)?;
        self.flat.steps[leave] = Step::Jump(self.flat.steps.len());
        Ok(())
    }

    fn scalar(&mut self, id: ScalarId) -> u32 {
        let count = &mut self.flat.scalars;
        *self.scalars.entry(id).or_insert_with(|| {
            *count += 1;
            *count as u32 - 1
        })
    }

    fn let_(&mut self, id: LetId) -> u32 {
        let vectors = &mut self.flat.vectors;
        *self.lets.entry(id).or_insert_with(|| {
            vectors.push([0; 16]);
            vectors.len() as u32 - 1
        })
    }

    fn test(&self, cond: &Cond) -> Found<Test> {
        Ok(Test { cmp: cond.cmp, a: known(&self.scalars, cond.a)?, b: known(&self.scalars, cond.b)? })
    }

    fn pointer(&self, pointer: PointerRef) -> Found<u32> {
        match pointer {
            PointerRef::Base(at) if (at as usize) < self.kernel.bases.len() => Ok(at),
            PointerRef::Base(at) => Err(format!("base {at} is not declared")),
            PointerRef::Let(id) => known(&self.pointers, id),
        }
    }

    fn index(&self, index: &Index) -> Found<i64> {
        self.values.value(index, &self.kernel.tables).ok_or_else(|| "an index has no value here".into())
    }

    fn at(&self, mem: &Mem) -> Found<At> {
        Ok(At { pointer: self.pointer(mem.pointer)?, disp: self.index(&mem.disp)? })
    }

    fn register(&self, id: RegId, at: &[Index]) -> Found<u32> {
        let (first, dims) = self.regs.get(&id).ok_or_else(|| format!("{id} is not defined"))?;
        let position = self.values.position(at, dims, &self.kernel.tables);
        Ok(first + position.ok_or_else(|| format!("an index of {id} is out of range"))? as u32)
    }

    fn operand(&self, operand: &Operand) -> Found<u32> {
        match operand {
            Operand::Let(id) => known(&self.lets, *id),
            Operand::Reg(id, at) => self.register(*id, at),
            Operand::Const(id) if (id.0 as usize) < self.flat.constants => Ok(id.0),
            Operand::Const(id) => Err(format!("{id} is not in the pool")),
        }
    }

    fn first(&self, first: Option<ScalarId>) -> Found<Option<u32>> {
        first.map(|id| known(&self.scalars, id)).transpose()
    }

    fn simple(&mut self, stmt: &Stmt) -> Found<Option<Step>> {
        Ok(Some(match stmt {
            Stmt::Scalar(id, op) => self.scalar_step(*id, op)?,
            Stmt::Variable(id, value) => {
                let value = known(&self.scalars, *value)?;
                Step::ScalarCopy(self.scalar(*id), value)
            }
            Stmt::Assign(id, value) => Step::ScalarCopy(known(&self.scalars, *id)?, known(&self.scalars, *value)?),
            Stmt::Pointer(id, from, offset) => {
                let (from, offset) = (self.pointer(*from)?, known(&self.scalars, *offset)?);
                let count = &mut self.flat.pointers;
                let slot = *self.pointers.entry(*id).or_insert_with(|| {
                    *count += 1;
                    *count as u32 - 1
                });
                Step::Pointer(slot, from, offset)
            }
            Stmt::Let(id, op) => {
                let slot = self.let_(*id);
                self.vector_step(slot, op)?
            }
            Stmt::Set(id, at, op) => self.vector_step(self.register(*id, at)?, op)?,
            Stmt::Mask(id, op) => self.mask_step(*id, op)?,
            Stmt::Reg { id, dims, .. } => return self.declare(*id, dims).map(Some),
            Stmt::Store { mem, value, first, storage } => {
                Step::Store(self.at(mem)?, self.operand(value)?, self.first(*first)?, *storage)
            }
            Stmt::Transpose { reg, at } => {
                let last = u64::from(*at) + u64::from(self.kernel.target.lanes) - 1;
                self.register(*reg, &[Index::Const(last as i64)])?;
                Step::Transpose(self.register(*reg, &[Index::Const(i64::from(*at))])?)
            }
            Stmt::Prefetch(mem, _) => {
                self.at(mem)?;
                return Ok(None);
            }
            Stmt::Check(cond, code) => Step::Check(self.test(cond)?, *code),
            Stmt::For { .. } | Stmt::Unroll { .. } | Stmt::If { .. } => return Ok(None),
        }))
    }

    fn declare(&mut self, id: RegId, dims: &[u32]) -> Found<Step> {
        let size = dims.iter().try_fold(1u32, |size, dim| size.checked_mul(*dim)).filter(|size| *size <= 1024);
        let size = size.ok_or_else(|| format!("{id} has too many registers"))?;
        let vectors = &mut self.flat.vectors;
        let entry = self.regs.entry(id).or_insert_with(|| {
            let first = vectors.len();
            vectors.resize(first + size as usize, [0; 16]);
            (first as u32, dims.to_vec())
        });
        Ok(Step::Unset(entry.0, size))
    }

    fn scalar_step(&mut self, id: ScalarId, op: &ScalarOp) -> Found<Step> {
        let to = self.scalar(id);
        let of = |id: &ScalarId| known(&self.scalars, *id);
        let pair = |op, a, b| Ok::<_, String>(Step::Scalar(op, to, of(a)?, of(b)?));
        let positive = |c: i64| if c > 0 { Ok(c) } else { Err(format!("division by {c}")) };
        Ok(match op {
            ScalarOp::Const(value) => Step::Number(to, *value),
            ScalarOp::Index(at) => Step::Number(to, self.index(at)?),
            ScalarOp::Arg(at) if (*at as usize) < self.kernel.args.len() => Step::Arg(to, *at),
            ScalarOp::Arg(at) => return Err(format!("argument {at} is not declared")),
            ScalarOp::Begin => Step::Begin(to),
            ScalarOp::End => Step::End(to),
            ScalarOp::Add(a, b) => pair(Arith::Add, a, b)?,
            ScalarOp::Sub(a, b) => pair(Arith::Sub, a, b)?,
            ScalarOp::Mul(a, b) => pair(Arith::Mul, a, b)?,
            ScalarOp::Min(a, b) => pair(Arith::Min, a, b)?,
            ScalarOp::Max(a, b) => pair(Arith::Max, a, b)?,
            ScalarOp::AddConst(a, c) => Step::ScalarConst(Arith::Add, to, of(a)?, *c),
            ScalarOp::MulConst(a, c) => Step::ScalarConst(Arith::Mul, to, of(a)?, *c),
            ScalarOp::DivConst(a, c) => Step::Div(to, of(a)?, positive(*c)?),
            ScalarOp::RemConst(a, c) => Step::Rem(to, of(a)?, positive(*c)?),
            ScalarOp::Select(cond, a, b) => Step::ScalarSelect(to, self.test(cond)?, of(a)?, of(b)?),
            ScalarOp::LoadI64(mem) => Step::ScalarLoad(to, self.at(mem)?, 8),
            ScalarOp::LoadI32(mem) => Step::ScalarLoad(to, self.at(mem)?, 4),
        })
    }

    fn vector_step(&self, to: u32, op: &VectorOp) -> Found<Step> {
        let of = |operand: &Operand| self.operand(operand);
        Ok(match op {
            VectorOp::Copy(a) | VectorOp::Bitcast(_, a) => Step::Copy(to, of(a)?),
            VectorOp::Load { mem, first, storage } => Step::Load(to, self.at(mem)?, self.first(*first)?, *storage),
            VectorOp::SplatLoad { mem, storage } => Step::SplatLoad(to, self.at(mem)?, *storage),
            VectorOp::Gather { mem, index, first } => Step::Gather(to, self.at(mem)?, of(index)?, self.first(*first)?),
            VectorOp::SplatScalar(s) => Step::SplatScalar(to, known(&self.scalars, *s)?),
            VectorOp::Iota => Step::Iota(to),
            VectorOp::Float(op, a, b) => Step::Float(*op, to, of(a)?, of(b)?),
            VectorOp::Fma(..) if !self.kernel.target.fma => return Err("the target has no fma".into()),
            VectorOp::Dot(..) if !self.kernel.target.dot => return Err("the target has no dot of bytes".into()),
            VectorOp::Dot(a, b, c) => Step::Dot(to, of(a)?, of(b)?, of(c)?),
            VectorOp::Fma(a, b, c) => Step::Fma(to, of(a)?, of(b)?, of(c)?),
            VectorOp::Unary(op, a) => Step::Unary(*op, to, of(a)?),
            VectorOp::Scale(a, n) => Step::Scale(to, of(a)?, of(n)?),
            VectorOp::Int(op, a, b) => Step::Int(*op, to, of(a)?, of(b)?),
            VectorOp::ToInt(a) => Step::ToInt(to, of(a)?),
            VectorOp::ToFloat(a) => Step::ToFloat(to, of(a)?),
            VectorOp::Select(m, a, b) => Step::Select(to, known(&self.masks, *m)?, of(a)?, of(b)?),
            VectorOp::Slide(_, _, n) if *n > self.kernel.target.lanes => return Err(format!("slide by {n}")),
            VectorOp::Slide(a, b, n) => Step::Slide(to, of(a)?, of(b)?, *n),
            VectorOp::SplatLane(a, n) => Step::Permute(to, of(a)?, self.pattern(&vec![*n; self.lanes()])?),
            VectorOp::Permute(a, pattern) => {
                let pattern: Vec<u32> = pattern.iter().map(|p| (*p).into()).collect();
                Step::Permute(to, of(a)?, self.pattern(&pattern)?)
            }
            VectorOp::Reduce(kind, a) => Step::Reduce(*kind, to, of(a)?),
        })
    }

    fn lanes(&self) -> usize {
        self.kernel.target.lanes as usize
    }

    fn pattern(&self, lanes: &[u32]) -> Found<[u8; 16]> {
        let mut pattern = [0; 16];
        if lanes.len() != self.lanes() || lanes.iter().any(|lane| *lane as usize >= self.lanes()) {
            return Err(format!("lanes {lanes:?} of {}", self.lanes()));
        }
        for (to, lane) in pattern.iter_mut().zip(lanes) {
            *to = *lane as u8;
        }
        Ok(pattern)
    }

    fn mask_step(&mut self, id: MaskId, op: &MaskOp) -> Found<Step> {
        let count = &mut self.flat.masks;
        let to = *self.masks.entry(id).or_insert_with(|| {
            *count += 1;
            *count as u32 - 1
        });
        Ok(match op {
            MaskOp::CmpFloat(cmp, a, b) => Step::CmpFloat(*cmp, to, self.operand(a)?, self.operand(b)?),
            MaskOp::CmpInt(cmp, a, b) => Step::CmpInt(*cmp, to, self.operand(a)?, self.operand(b)?),
            MaskOp::And(a, b) => Step::MaskAnd(to, known(&self.masks, *a)?, known(&self.masks, *b)?),
            MaskOp::Or(a, b) => Step::MaskOr(to, known(&self.masks, *a)?, known(&self.masks, *b)?),
            MaskOp::Not(a) => Step::MaskNot(to, known(&self.masks, *a)?),
        })
    }
}
