//! The text form of a kernel: one statement a line, blocks in braces, the same text from run to run.
//!
//! ```text
//! kernel scale-f32 (lanes 4, registers 16) {
//!   base x: read
//!   base y: write
//!   s0 = begin
//!   s1 = end
//!   for s2 in s0..s1 step 1 {
//!     s3 = s2 * 16
//!     p0 = x + s3
//!     p1 = y + s3
//!     v0 = load [p0]
//!     v1 = mul v0, 0.5
//!     store [p1], v1
//!   }
//! }
//! ```
//!
//! A constant that is the same in every lane prints as its value (`0.5`, `7i`); one with a word a lane is listed at the top.

use std::fmt::{self, Display, Write};

use super::ir::*;

impl Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { lanes, registers, fma, dot } = self.target;
        let fma = match (fma, dot) {
            (true, true) => ", fma, dot",
            (true, false) => ", fma",
            (false, true) => ", dot",
            (false, false) => "",
        };
        writeln!(f, "kernel {} (lanes {lanes}, registers {registers}{fma}) {{", self.name)?;
        for base in &self.bases {
            let access = if base.access == Access::Read { "read" } else { "write" };
            writeln!(f, "  base {}: {access}", base.name)?;
        }
        for (at, name) in self.args.iter().enumerate() {
            writeln!(f, "  arg {at} {name}")?;
        }
        for (at, constant) in self.pool.iter().enumerate().filter(|(_, c)| c.words.len() != 1) {
            let lane = lane(constant.lane);
            writeln!(f, "  {}: {lane} = [{}]", ConstId(at as u32), list(&constant.words, |w| word(constant.lane, *w)))?;
        }
        for (at, table) in self.tables.iter().enumerate() {
            writeln!(f, "  {} = [{}]", TableId(at as u32), list(table, i64::to_string))?;
        }
        block(f, self, &self.body, 1)?;
        writeln!(f, "}}")
    }
}

/// The text of one statement; of a loop or branch, its first line.
pub fn statement(kernel: &Kernel, stmt: &Stmt) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = line(&mut text, kernel, stmt);
    text
}

fn block(f: &mut impl Write, kernel: &Kernel, body: &[Stmt], depth: usize) -> fmt::Result {
    let pad = "  ".repeat(depth);
    for stmt in body {
        f.write_str(&pad)?;
        line(f, kernel, stmt)?;
        match stmt {
            Stmt::For { body, .. } | Stmt::Unroll { body, .. } => {
                f.write_str(" {\n")?;
                block(f, kernel, body, depth + 1)?;
                write!(f, "{pad}}}")?;
            }
            Stmt::If { then, otherwise, .. } => {
                f.write_str(" {\n")?;
                block(f, kernel, then, depth + 1)?;
                if !otherwise.is_empty() {
                    writeln!(f, "{pad}}} else {{")?;
                    block(f, kernel, otherwise, depth + 1)?;
                }
                write!(f, "{pad}}}")?;
            }
            _ => {}
        }
        f.write_str("\n")?;
    }
    Ok(())
}

fn line(f: &mut impl Write, kernel: &Kernel, stmt: &Stmt) -> fmt::Result {
    let k = Names(kernel);
    match stmt {
        Stmt::Scalar(id, op) => write!(f, "{id} = {}", k.scalar(op)),
        Stmt::Variable(id, first) => write!(f, "var {id} = {first}"),
        Stmt::Assign(id, value) => write!(f, "{id} := {value}"),
        Stmt::Pointer(id, from, offset) => write!(f, "{id} = {} + {offset}", k.pointer(*from)),
        Stmt::Let(id, op) => write!(f, "{id} = {}", k.vector(op)),
        Stmt::Mask(id, op) => write!(f, "{id} = {}", k.mask(op)),
        Stmt::Reg { id, lane: of, dims } => {
            write!(f, "reg {id}{}: {}", dims.iter().map(|d| format!("[{d}]")).collect::<String>(), lane(*of))
        }
        Stmt::Set(id, at, op) => write!(f, "{} = {}", k.register(*id, at), k.vector(op)),
        Stmt::For { var, begin, end, step, .. } => write!(f, "for {var} in {begin}..{end} step {step}"),
        Stmt::Unroll { var, count, .. } => write!(f, "unroll {var} in 0..{count}"),
        Stmt::If { cond, .. } => write!(f, "if {}", condition(cond)),
        Stmt::Store { mem, value, first, storage } => {
            write!(f, "store{}{} {}, {}", suffix(*storage), lanes(*first), k.mem(mem), k.operand(value))
        }
        Stmt::Transpose { reg, at } => {
            write!(f, "transpose {reg}[{at}..{}]", u64::from(*at) + u64::from(kernel.target.lanes))
        }
        Stmt::Prefetch(mem, level) => write!(f, "prefetch.l{level} {}", k.mem(mem)),
        Stmt::Check(cond, code) => write!(f, "check {} else {code}", condition(cond)),
    }
}

struct Names<'k>(&'k Kernel);

impl Names<'_> {
    fn pointer(&self, pointer: PointerRef) -> String {
        match pointer {
            PointerRef::Base(at) => {
                self.0.bases.get(at as usize).map_or_else(|| format!("base{at}"), |b| b.name.clone())
            }
            PointerRef::Let(id) => id.to_string(),
        }
    }

    fn mem(&self, mem: &Mem) -> String {
        match &mem.disp {
            Index::Const(0) => format!("[{}]", self.pointer(mem.pointer)),
            disp => format!("[{} + {}]", self.pointer(mem.pointer), index(disp)),
        }
    }

    fn register(&self, id: RegId, at: &[Index]) -> String {
        format!("{id}{}", at.iter().map(|i| format!("[{}]", index(i))).collect::<String>())
    }

    fn operand(&self, operand: &Operand) -> String {
        match operand {
            Operand::Let(id) => id.to_string(),
            Operand::Reg(id, at) => self.register(*id, at),
            Operand::Const(id) => match self.0.pool.get(id.0 as usize) {
                Some(Constant { lane, words }) if words.len() == 1 => word(*lane, words[0]),
                _ => id.to_string(),
            },
        }
    }

    fn operands(&self, operands: &[&Operand]) -> String {
        list(operands, |o| self.operand(o))
    }

    fn scalar(&self, op: &ScalarOp) -> String {
        match op {
            ScalarOp::Const(value) => value.to_string(),
            ScalarOp::Index(at) => format!("index {}", index(at)),
            ScalarOp::Arg(at) => {
                format!("arg {}", self.0.args.get(*at as usize).map_or_else(|| at.to_string(), String::clone))
            }
            ScalarOp::Begin => "begin".into(),
            ScalarOp::End => "end".into(),
            ScalarOp::Add(a, b) => format!("{a} + {b}"),
            ScalarOp::Sub(a, b) => format!("{a} - {b}"),
            ScalarOp::Mul(a, b) => format!("{a} * {b}"),
            ScalarOp::Min(a, b) => format!("min {a}, {b}"),
            ScalarOp::Max(a, b) => format!("max {a}, {b}"),
            ScalarOp::AddConst(a, value) => format!("{a} + {value}"),
            ScalarOp::MulConst(a, value) => format!("{a} * {value}"),
            ScalarOp::DivConst(a, value) => format!("{a} / {value}"),
            ScalarOp::RemConst(a, value) => format!("{a} % {value}"),
            ScalarOp::Select(cond, a, b) => format!("select {}, {a}, {b}", condition(cond)),
            ScalarOp::LoadI64(mem) => format!("load.i64 {}", self.mem(mem)),
            ScalarOp::LoadI32(mem) => format!("load.i32 {}", self.mem(mem)),
        }
    }

    fn vector(&self, op: &VectorOp) -> String {
        match op {
            VectorOp::Copy(a) => format!("copy {}", self.operand(a)),
            VectorOp::Load { mem, first, storage } => {
                format!("load{}{} {}", suffix(*storage), lanes(*first), self.mem(mem))
            }
            VectorOp::SplatLoad { mem, storage } => format!("splat{} {}", suffix(*storage), self.mem(mem)),
            VectorOp::Gather { mem, index, first } => {
                format!("gather{} {}, {}", lanes(*first), self.mem(mem), self.operand(index))
            }
            VectorOp::SplatScalar(s) => format!("splat {s}"),
            VectorOp::Iota => "iota".into(),
            VectorOp::Float(op, a, b) => format!("{} {}", lower(op), self.operands(&[a, b])),
            VectorOp::Fma(a, b, c) => format!("fma {}", self.operands(&[a, b, c])),
            VectorOp::Dot(a, b, c) => format!("dot {}", self.operands(&[a, b, c])),
            VectorOp::Unary(op, a) => format!("{} {}", lower(op), self.operand(a)),
            VectorOp::Scale(a, n) => format!("scale {}", self.operands(&[a, n])),
            VectorOp::Int(op, a, b) => format!("i{} {}", lower(op), self.operands(&[a, b])),
            VectorOp::ToInt(a) => format!("to_int {}", self.operand(a)),
            VectorOp::ToFloat(a) => format!("to_float {}", self.operand(a)),
            VectorOp::Bitcast(to, a) => format!("bitcast.{} {}", lane(*to), self.operand(a)),
            VectorOp::Select(m, a, b) => format!("select {m}, {}", self.operands(&[a, b])),
            VectorOp::Slide(a, b, n) => format!("slide.{n} {}", self.operands(&[a, b])),
            VectorOp::SplatLane(a, n) => format!("splat_lane.{n} {}", self.operand(a)),
            VectorOp::Permute(a, pattern) => format!("permute {}, [{}]", self.operand(a), list(pattern, u8::to_string)),
            VectorOp::Reduce(kind, a) => format!("reduce_{} {}", lower(kind), self.operand(a)),
        }
    }

    fn mask(&self, op: &MaskOp) -> String {
        match op {
            MaskOp::CmpFloat(cmp, a, b) => format!("{} {} {}", self.operand(a), relation(*cmp), self.operand(b)),
            MaskOp::CmpInt(cmp, a, b) => format!("{} {}i {}", self.operand(a), relation(*cmp), self.operand(b)),
            MaskOp::And(a, b) => format!("{a} & {b}"),
            MaskOp::Or(a, b) => format!("{a} | {b}"),
            MaskOp::Not(a) => format!("!{a}"),
        }
    }
}

fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    items.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn lower(name: &impl fmt::Debug) -> String {
    format!("{name:?}").to_lowercase()
}

fn lane(lane: Lane) -> &'static str {
    match lane {
        Lane::F32 => "f32",
        Lane::I32 => "i32",
    }
}

fn word(lane: Lane, word: u32) -> String {
    match lane {
        Lane::I32 => format!("{}i", word as i32),
        Lane::F32 if f32::from_bits(word).is_finite() => format!("{:?}", f32::from_bits(word)),
        Lane::F32 => format!("f32:0x{word:08x}"),
    }
}

fn suffix(storage: Storage) -> &'static str {
    match storage {
        Storage::B32 => "",
        Storage::F16 => ".f16",
        Storage::Bf16 => ".bf16",
        Storage::U8 => ".u8",
        Storage::I8 => ".i8",
        Storage::U16 => ".u16",
        Storage::I16 => ".i16",
    }
}

fn lanes(first: Option<ScalarId>) -> String {
    first.map_or_else(String::new, |n| format!(" first {n} of"))
}

fn relation(cmp: Cmp) -> &'static str {
    match cmp {
        Cmp::Eq => "==",
        Cmp::Ne => "!=",
        Cmp::Lt => "<",
        Cmp::Le => "<=",
        Cmp::Gt => ">",
        Cmp::Ge => ">=",
    }
}

fn condition(cond: &Cond) -> String {
    format!("{} {} {}", cond.a, relation(cond.cmp), cond.b)
}

fn index(at: &Index) -> String {
    match at {
        Index::Const(value) => value.to_string(),
        Index::Var(var) => var.to_string(),
        Index::Add(a, b) => format!("{} + {}", index(a), index(b)),
        Index::Mul(factor, a) if matches!(**a, Index::Add(..)) => format!("{factor}*({})", index(a)),
        Index::Mul(factor, a) => format!("{factor}*{}", index(a)),
        Index::Table(table, a) => format!("{table}[{}]", index(a)),
    }
}
