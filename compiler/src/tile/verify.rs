//! Verifier: the rules of the Tile IR, all broken ones reported.
//!
//! Names are defined before use, once, and in scope; every index has a value inside its array or table at every turn of the
//! unrolled bodies around it; operands have the lane type their operation wants (a 32-bit load fits both); stores go to bases
//! that may be written; the code after unrolling and the registers held stay within bounds.

mod operations;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::index::UnrollValues;
use super::ir::*;
use super::pressure::pressure;
use super::print;

/// Statements that a kernel may have once its unrolled bodies are repeated.
pub const EXPANSION_LIMIT: usize = 16_384;
/// Faults after which the verifier stops looking.
const FAULT_LIMIT: usize = 100;

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// The statement, or the name of the kernel.
    pub statement: String,
    /// What is wrong.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.statement, self.detail)
    }
}

/// Every broken rule; empty for a kernel that can be lowered.
pub fn verify(kernel: &Kernel) -> Vec<Fault> {
    let mut verifier = Verifier {
        kernel,
        faults: Vec::new(),
        seen: HashSet::new(),
        size: 0,
        values: UnrollValues::default(),
        names: HashMap::new(),
    };
    verifier.head();
    verifier.block(&kernel.body);
    if verifier.size > EXPANSION_LIMIT {
        verifier.fault(kernel.name.clone(), format!("more than {EXPANSION_LIMIT} statements when unrolled"));
    }
    let held = pressure(kernel);
    if held > kernel.target.registers {
        let detail = format!("{held} vector registers held at once, the target has {}", kernel.target.registers);
        verifier.fault(kernel.name.clone(), detail);
    }
    verifier.faults
}

/// A name in scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Name {
    Scalar(ScalarId),
    Pointer(PointerId),
    Let(LetId),
    Mask(MaskId),
    Reg(RegId),
    Unroll(UnrollId),
}

/// What a name stands for.
#[derive(Clone, Debug)]
enum Meaning {
    /// A scalar; true for a variable.
    Scalar(bool),
    /// A pointer into a base.
    Pointer(u32),
    /// A vector; `None` fits both lane types.
    Let(Option<Lane>),
    Mask,
    Reg(Lane, Vec<u32>),
    Unroll,
}

/// What is wrong with a statement.
type Checked<T> = Result<T, String>;

struct Verifier<'k> {
    kernel: &'k Kernel,
    faults: Vec<Fault>,
    seen: HashSet<Fault>,
    size: usize,
    values: UnrollValues,
    names: HashMap<Name, Meaning>,
}

fn require(holds: bool, detail: impl FnOnce() -> String) -> Checked<()> {
    if holds { Ok(()) } else { Err(detail()) }
}

impl Verifier<'_> {
    fn fault(&mut self, statement: String, detail: String) {
        let fault = Fault { statement, detail };
        if self.faults.len() < FAULT_LIMIT && self.seen.insert(fault.clone()) {
            self.faults.push(fault);
        }
    }

    fn head(&mut self) {
        let (kernel, lanes) = (self.kernel, self.kernel.target.lanes);
        let here = || kernel.name.clone();
        if ![4, 8, 16].contains(&lanes) {
            self.fault(here(), format!("{lanes} lanes; 4, 8 and 16 exist"));
        }
        for (at, constant) in kernel.pool.iter().enumerate() {
            if constant.words.len() != 1 && constant.words.len() != lanes as usize {
                self.fault(here(), format!("{} has {} words", ConstId(at as u32), constant.words.len()));
            }
        }
        for (at, base) in kernel.bases.iter().enumerate() {
            if base.name.is_empty() || kernel.bases[..at].iter().any(|other| other.name == base.name) {
                self.fault(here(), format!("the name `{}` of base {at} is empty or taken", base.name));
            }
        }
    }

    fn block(&mut self, body: &[Stmt]) {
        let mut opened = Vec::new();
        for stmt in body {
            self.size += 1;
            if self.size > EXPANSION_LIMIT {
                break;
            }
            match self.statement(stmt) {
                Ok(None) => {}
                Ok(Some((name, meaning))) => {
                    if self.names.insert(name, meaning).is_some() {
                        self.fault(print::statement(self.kernel, stmt), "the name is defined twice".into());
                    }
                    opened.push(name);
                }
                Err(detail) => {
                    self.fault(print::statement(self.kernel, stmt), detail);
                    // What it would have defined exists from here on, so that one fault is reported once.
                    if let Some((name, meaning)) = defines(stmt) {
                        self.names.insert(name, meaning);
                        opened.push(name);
                    }
                }
            }
            self.nested(stmt);
        }
        for name in opened {
            self.names.remove(&name);
        }
    }

    fn nested(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::For { var, body, .. } => {
                self.scoped(Name::Scalar(*var), Meaning::Scalar(false), stmt, |v| v.block(body))
            }
            Stmt::Unroll { var, count, body } => self.scoped(Name::Unroll(*var), Meaning::Unroll, stmt, |v| {
                for value in 0..*count {
                    v.values.push(*var, value.into());
                    v.block(body);
                    v.values.pop();
                    if v.size > EXPANSION_LIMIT {
                        break;
                    }
                }
            }),
            Stmt::If { then, otherwise, .. } => {
                self.block(then);
                self.block(otherwise);
            }
            _ => {}
        }
    }

    fn scoped(&mut self, name: Name, meaning: Meaning, stmt: &Stmt, body: impl FnOnce(&mut Self)) {
        let outer = self.names.insert(name, meaning);
        if outer.is_some() {
            self.fault(print::statement(self.kernel, stmt), "the name is defined twice".into());
        }
        body(self);
        self.names.remove(&name);
    }

    fn statement(&mut self, stmt: &Stmt) -> Checked<Option<(Name, Meaning)>> {
        match stmt {
            Stmt::Scalar(id, op) => {
                self.scalar_op(op)?;
                Ok(Some((Name::Scalar(*id), Meaning::Scalar(false))))
            }
            Stmt::Variable(id, first) => {
                self.scalar(*first)?;
                Ok(Some((Name::Scalar(*id), Meaning::Scalar(true))))
            }
            Stmt::Pointer(id, from, offset) => {
                self.scalar(*offset)?;
                Ok(Some((Name::Pointer(*id), Meaning::Pointer(self.pointer(*from)?))))
            }
            Stmt::Let(id, op) => Ok(Some((Name::Let(*id), Meaning::Let(self.vector_op(op)?)))),
            Stmt::Mask(id, op) => {
                self.mask_op(op)?;
                Ok(Some((Name::Mask(*id), Meaning::Mask)))
            }
            Stmt::Reg { id, lane, dims } => {
                require(dims.iter().all(|dim| *dim > 0), || "an extent is zero".into())?;
                Ok(Some((Name::Reg(*id), Meaning::Reg(*lane, dims.clone()))))
            }
            _ => self.effect(stmt).map(|()| None),
        }
    }

    fn effect(&mut self, stmt: &Stmt) -> Checked<()> {
        match stmt {
            Stmt::Assign(id, value) => {
                self.scalar(*value)?;
                let variable = matches!(self.names.get(&Name::Scalar(*id)), Some(Meaning::Scalar(true)));
                require(variable, || format!("{id} is not a variable"))
            }
            Stmt::Set(id, at, op) => {
                let (given, lane) = (self.vector_op(op)?, self.register(*id, at)?);
                require(given.is_none_or(|given| given == lane), || format!("{id} has {lane:?} lanes"))
            }
            Stmt::For { begin, end, step, .. } => {
                self.scalar(*begin)?;
                self.scalar(*end)?;
                require(*step > 0, || format!("step {step}"))
            }
            Stmt::If { cond, .. } => self.cond(cond),
            Stmt::Check(cond, code) => {
                self.cond(cond)?;
                require(*code != 0, || "0 means success".into())
            }
            Stmt::Store { mem, value, first, storage } => self.store(mem, value, *first, *storage),
            Stmt::Transpose { reg, at } => {
                for row in [u64::from(*at), u64::from(*at) + u64::from(self.kernel.target.lanes) - 1] {
                    self.register(*reg, &[Index::Const(row as i64)])?;
                }
                Ok(())
            }
            Stmt::Prefetch(mem, level) => {
                self.mem(mem)?;
                require((1..=2).contains(level), || format!("cache level {level}"))
            }
            _ => Ok(()),
        }
    }

    fn store(&mut self, mem: &Mem, value: &Operand, first: Option<ScalarId>, storage: Storage) -> Checked<()> {
        let base = self.mem(mem)?;
        self.first(first)?;
        let wanted = stored_lane(storage);
        self.operand(value, wanted)?;
        let base = self.kernel.bases.get(base as usize).ok_or("no such base")?;
        require(base.access == Access::Write, || format!("`{}` may only be read", base.name))
    }
}

/// The lane type a storage format is for; `None` for both.
fn stored_lane(storage: Storage) -> Option<Lane> {
    match storage {
        Storage::B32 => None,
        Storage::F16 | Storage::Bf16 => Some(Lane::F32),
        Storage::U8 | Storage::I8 | Storage::U16 | Storage::I16 => Some(Lane::I32),
    }
}

/// A guess at what a faulty statement defines.
fn defines(stmt: &Stmt) -> Option<(Name, Meaning)> {
    match stmt {
        Stmt::Scalar(id, _) => Some((Name::Scalar(*id), Meaning::Scalar(false))),
        Stmt::Variable(id, _) => Some((Name::Scalar(*id), Meaning::Scalar(true))),
        Stmt::Pointer(id, ..) => Some((Name::Pointer(*id), Meaning::Pointer(u32::MAX))),
        Stmt::Let(id, _) => Some((Name::Let(*id), Meaning::Let(None))),
        Stmt::Mask(id, _) => Some((Name::Mask(*id), Meaning::Mask)),
        Stmt::Reg { id, lane, dims } => Some((Name::Reg(*id), Meaning::Reg(*lane, dims.clone()))),
        _ => None,
    }
}
