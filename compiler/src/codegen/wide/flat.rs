//! The flat form of a kernel: every unrolled copy written out, indices known, control flow as brackets.
//!
//! Scalars, pointers included, become [`S`] values; lets and pinned registers become [`V`] values; masks become [`K`] values.
//! A value is defined once, except variables (scalars) and pinned registers (vectors).

use crate::tile::{Cmp, FloatBin, FloatUn, IntBin, ReduceKind, Storage};

use super::pool::PoolId;

/// A scalar or a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct S(pub u32);
/// A vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct V(pub u32);
/// A mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct K(pub u32);

/// The array of bases, as the caller passes it.
pub(super) const BASES: S = S(0);
/// The array of arguments, as the caller passes it.
pub(super) const ARGS: S = S(1);
/// First item of the share.
pub(super) const BEGIN: S = S(2);
/// One past the last item of the share.
pub(super) const END: S = S(3);
/// The first pointer of `bases`; the others follow.
pub(super) const FIRST_BASE: u32 = 4;

/// A scalar operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Src {
    Value(S),
    Const(i64),
}

/// A memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addr {
    pub base: S,
    pub disp: i64,
}

/// A vector operand; the last two are loads folded into the instruction that needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arg {
    Vector(V),
    Pool(PoolId),
    Load(Addr),
    Splat(Addr),
}

/// A comparison of scalars.
#[derive(Clone, Copy, Debug)]
pub(super) struct Test {
    pub cmp: Cmp,
    pub a: Src,
    pub b: Src,
}

/// Which lanes of memory an operation may touch.
#[derive(Clone, Copy, Debug)]
pub(super) enum First {
    /// All.
    All,
    /// Those of a mask (AVX-512).
    Mask(K),
    /// Those whose word is set in the vector at this address (AVX2, four-byte elements).
    Words(S),
    /// Those below a count (AVX2, narrow elements).
    Count(Src),
}

/// What a scalar is defined as.
#[derive(Clone, Copy, Debug)]
pub(super) enum ScalarInst {
    Base(u32),
    Arg(u32),
    Copy(Src),
    Add {
        a: S,
        b: Option<S>,
        plus: i64,
    },
    Sub(Src, Src),
    Mul(Src, Src),
    Min(Src, Src),
    Max(Src, Src),
    Div(Src, i64),
    Rem(Src, i64),
    Select(Test, Src, Src),
    Load64(Addr),
    Load32(Addr),
    /// Address of L words of which the first n are all ones, the others zero (AVX2).
    MaskWords(Src),
}

/// What a vector is defined as.
#[derive(Clone, Copy, Debug)]
pub(super) enum VectorInst {
    Copy(Arg),
    Load(Addr, First, Storage),
    Splat(Addr, Storage),
    Gather(Addr, Arg, First),
    FromScalar(Src),
    Float(FloatBin, Arg, Arg),
    Fma(Arg, Arg, Arg),
    /// First operand plus the dot products of four bytes, unsigned times signed.
    Dot(Arg, Arg, Arg),
    Unary(FloatUn, Arg),
    Scale(Arg, Arg),
    Int(IntBin, Arg, Arg),
    /// A shift by a constant.
    Shift(IntBin, Arg, u8),
    ToInt(Arg),
    ToFloat(Arg),
    Select(K, Arg, Arg),
    Slide(Arg, Arg, u32),
    Permute(Arg, PoolId),
    Broadcast(Arg),
    Reduce(ReduceKind, Arg),
}

/// What a mask is defined as.
#[derive(Clone, Copy, Debug)]
pub(super) enum MaskInst {
    Float(Cmp, Arg, Arg),
    Int(Cmp, Arg, Arg),
    And(K, K),
    Or(K, K),
    Not(K),
    /// The first n lanes (AVX-512).
    First(Src),
}

/// One step of the flat form.
#[derive(Clone, Copy, Debug)]
pub(super) enum Inst {
    /// Nothing; what a removed instruction leaves.
    Nop,
    /// Defines the four parameters.
    Entry,
    Scalar(S, ScalarInst),
    Vector(V, VectorInst),
    Mask(K, MaskInst),
    /// Takes registers for pinned vectors `first..first + count`.
    Pin(V, u32),
    /// Gives them back.
    Unpin(V, u32),
    Store(Addr, Arg, First, Storage),
    /// Transposes L pinned vectors from this one on.
    Transpose(V, u32),
    Prefetch(Addr, u8),
    Check(Test, i32),
    Loop {
        var: S,
        begin: Src,
        end: Src,
    },
    EndLoop {
        var: S,
        end: Src,
        step: i64,
    },
    If(Test),
    Else,
    EndIf,
}

/// Any value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Scalar(S),
    Vector(V),
    Mask(K),
}

type Visit<'a> = &'a mut dyn FnMut(Value);

impl Src {
    fn visit(self, f: Visit) {
        if let Src::Value(s) = self {
            f(Value::Scalar(s));
        }
    }
}
impl Test {
    fn visit(self, f: Visit) {
        self.a.visit(f);
        self.b.visit(f);
    }
}
impl Arg {
    fn visit(self, f: Visit) {
        match self {
            Arg::Vector(v) => f(Value::Vector(v)),
            Arg::Load(addr) | Arg::Splat(addr) => f(Value::Scalar(addr.base)),
            Arg::Pool(_) => {}
        }
    }
}
impl First {
    fn visit(self, f: Visit) {
        match self {
            First::All => {}
            First::Mask(k) => f(Value::Mask(k)),
            First::Words(s) => f(Value::Scalar(s)),
            First::Count(n) => n.visit(f),
        }
    }
}
impl ScalarInst {
    fn visit(self, f: Visit) {
        match self {
            ScalarInst::Base(_) => f(Value::Scalar(BASES)),
            ScalarInst::Arg(_) => f(Value::Scalar(ARGS)),
            ScalarInst::Copy(a) | ScalarInst::Div(a, _) | ScalarInst::Rem(a, _) | ScalarInst::MaskWords(a) => {
                a.visit(f)
            }
            ScalarInst::Add { a, b, .. } => {
                f(Value::Scalar(a));
                b.into_iter().for_each(|b| f(Value::Scalar(b)));
            }
            ScalarInst::Sub(a, b) | ScalarInst::Mul(a, b) | ScalarInst::Min(a, b) | ScalarInst::Max(a, b) => {
                a.visit(f);
                b.visit(f);
            }
            ScalarInst::Select(test, a, b) => {
                test.visit(f);
                a.visit(f);
                b.visit(f);
            }
            ScalarInst::Load64(addr) | ScalarInst::Load32(addr) => f(Value::Scalar(addr.base)),
        }
    }
}
impl VectorInst {
    fn visit(self, f: Visit) {
        match self {
            VectorInst::Load(addr, first, _) => {
                f(Value::Scalar(addr.base));
                first.visit(f);
            }
            VectorInst::Splat(addr, _) => f(Value::Scalar(addr.base)),
            VectorInst::Gather(addr, index, first) => {
                f(Value::Scalar(addr.base));
                index.visit(f);
                first.visit(f);
            }
            VectorInst::FromScalar(a) => a.visit(f),
            VectorInst::Fma(a, b, c) | VectorInst::Dot(a, b, c) => [a, b, c].into_iter().for_each(|x| x.visit(f)),
            VectorInst::Float(_, a, b)
            | VectorInst::Scale(a, b)
            | VectorInst::Int(_, a, b)
            | VectorInst::Slide(a, b, _) => {
                a.visit(f);
                b.visit(f);
            }
            VectorInst::Select(mask, a, b) => {
                f(Value::Mask(mask));
                a.visit(f);
                b.visit(f);
            }
            VectorInst::Copy(a)
            | VectorInst::Unary(_, a)
            | VectorInst::Shift(_, a, _)
            | VectorInst::ToInt(a)
            | VectorInst::ToFloat(a)
            | VectorInst::Permute(a, _)
            | VectorInst::Broadcast(a)
            | VectorInst::Reduce(_, a) => a.visit(f),
        }
    }
}
impl MaskInst {
    fn visit(self, f: Visit) {
        match self {
            MaskInst::Float(_, a, b) | MaskInst::Int(_, a, b) => {
                a.visit(f);
                b.visit(f);
            }
            MaskInst::And(a, b) | MaskInst::Or(a, b) => {
                f(Value::Mask(a));
                f(Value::Mask(b));
            }
            MaskInst::Not(a) => f(Value::Mask(a)),
            MaskInst::First(n) => n.visit(f),
        }
    }
}

impl Inst {
    /// Calls `f` with every value the instruction reads.
    pub(super) fn uses(&self, f: Visit) {
        match *self {
            Inst::Scalar(_, op) => op.visit(f),
            Inst::Vector(_, op) => op.visit(f),
            Inst::Mask(_, op) => op.visit(f),
            Inst::Unpin(first, count) | Inst::Transpose(first, count) => {
                (first.0..first.0 + count).for_each(|v| f(Value::Vector(V(v))));
            }
            Inst::Store(addr, value, first, _) => {
                f(Value::Scalar(addr.base));
                value.visit(f);
                first.visit(f);
            }
            Inst::Prefetch(addr, _) => f(Value::Scalar(addr.base)),
            Inst::Check(test, _) | Inst::If(test) => test.visit(f),
            Inst::Loop { begin, .. } => begin.visit(f),
            Inst::EndLoop { var, end, .. } => {
                f(Value::Scalar(var));
                end.visit(f);
            }
            Inst::Nop | Inst::Entry | Inst::Pin(..) | Inst::Else | Inst::EndIf => {}
        }
    }

    /// Calls `f` with every value the instruction writes.
    pub(super) fn defs(&self, f: Visit) {
        match *self {
            Inst::Scalar(s, _) | Inst::Loop { var: s, .. } => f(Value::Scalar(s)),
            Inst::Vector(v, _) => f(Value::Vector(v)),
            Inst::Mask(k, _) => f(Value::Mask(k)),
            Inst::Entry => [BASES, ARGS, BEGIN, END].into_iter().for_each(|s| f(Value::Scalar(s))),
            Inst::Pin(first, count) | Inst::Transpose(first, count) => {
                (first.0..first.0 + count).for_each(|v| f(Value::Vector(V(v))));
            }
            _ => {}
        }
    }
}

/// A kernel in flat form.
pub(super) struct Flat {
    /// The instructions, in order.
    pub insts: Vec<Inst>,
    /// Number of scalars.
    pub scalars: u32,
    /// Number of vectors.
    pub vectors: u32,
    /// Number of masks.
    pub masks: u32,
}
