//! The Tile IR on one screen: what a kernel is made of.
//!
//! A kernel is structured code without a control-flow graph: loops, scalar `if`, pinned vector registers, single-assignment
//! lets, memory operations. Vectors have [`Target::lanes`] lanes of 32 bits; scalars are `i64`; a pointer is one of the
//! kernel's bases plus a scalar byte offset. Compile-time indices ([`Index`]) range over `unroll` variables, so an unrolled
//! body prints once and is expanded while code is emitted.
//!
//! ABI of the compiled kernel: `fn(bases: *const *mut u8, args: *const i64, begin: i64, end: i64) -> i32`; 0 means done, any
//! other value is the code of the [`Stmt::Check`] that failed.
//!
//! Meaning of the operations (identical in the evaluator and in every lowering, bit for bit):
//! `max(a,b)` is `a > b ? a : b` and `min(a,b)` is `a < b ? a : b` (so the second operand wins when either is NaN); `to_int` rounds to
//! nearest even and saturates (NaN gives i32::MIN, as does everything out of range); reductions halve the vector (lane i with
//! lane i + L/2, then L/4, ...) and splat the result; `fma` rounds once and exists only where [`Target::fma`] is set
//! (a `mul_add` elsewhere is a multiply and an add, two roundings). Shift counts are masked to 5 bits. `scale` multiplies by
//! 2^(n >> 1), then by 2^(n - (n >> 1)), each power made as the float of bits `(exponent + 127) << 23`. A load of f16 is exact and
//! quiets a NaN (payload shifted up); a load of bf16 is a shift by 16. A store as f16 or bf16 rounds to nearest even, overflows to
//! infinity, keeps subnormals; a NaN keeps its sign and the upper bits of its payload and becomes quiet. Which NaN *arithmetic*
//! gives is not defined; copies, selections, `min` and `max` keep its bits.

/// What a kernel is built for: the lane count and the registers that builders choose their tiles from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// 32-bit lanes of one vector: 4, 8 or 16.
    pub lanes: u32,
    /// Vector registers that a kernel may hold at once, all temporaries counted.
    pub registers: u32,
    /// Whether a fused multiply-add exists.
    pub fma: bool,
    /// Whether the dot product of four bytes exists.
    pub dot: bool,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    )*};
}
ids! {
    /// A scalar `i64`, assigned once (or a scalar variable, see [`Stmt::Variable`]).
    ScalarId "s";
    /// A pointer: a base plus a byte offset.
    PointerId "p";
    /// A vector assigned once; it dies at its last use.
    LetId "v";
    /// A mask: one bit a lane, from a comparison.
    MaskId "m";
    /// An array of pinned vector registers.
    RegId "acc";
    /// A compile-time loop variable.
    UnrollId "u";
    /// A table of compile-time numbers.
    TableId "t";
    /// A vector constant of the pool.
    ConstId "c";
}

/// What the lanes of a vector are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// IEEE single precision.
    F32,
    /// Two's complement 32 bits.
    I32,
}

/// How a lane is stored in memory; loads widen to the lane type, stores narrow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// Four bytes, as the lane is.
    B32,
    /// IEEE half precision (lane f32).
    F16,
    /// bfloat16 (lane f32).
    Bf16,
    /// Unsigned byte (lane i32; a store saturates).
    U8,
    /// Signed byte (lane i32; a store saturates).
    I8,
    /// Unsigned 16 bits (lane i32; a store saturates).
    U16,
    /// Signed 16 bits (lane i32; a store saturates).
    I16,
}

impl Storage {
    /// Bytes of one element in memory.
    pub fn bytes(self) -> u32 {
        match self {
            Storage::B32 => 4,
            Storage::F16 | Storage::Bf16 | Storage::U16 | Storage::I16 => 2,
            Storage::U8 | Storage::I8 => 1,
        }
    }
}

/// A compile-time number: an affine form of unroll variables, or a table entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Index {
    /// A number.
    Const(i64),
    /// The value of an unroll variable.
    Var(UnrollId),
    /// Sum of two.
    Add(Box<Index>, Box<Index>),
    /// A constant multiple.
    Mul(i64, Box<Index>),
    /// Entry of a table.
    Table(TableId, Box<Index>),
}

/// Where a pointer starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PointerRef {
    /// A base of the kernel, by position.
    Base(u32),
    /// A pointer made before.
    Let(PointerId),
}

/// One memory operand: a pointer and a compile-time displacement in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mem {
    /// The run-time part.
    pub pointer: PointerRef,
    /// The compile-time part, in bytes.
    pub disp: Index,
}

/// A vector operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A let.
    Let(LetId),
    /// An element of a register array (one index per dimension).
    Reg(RegId, Vec<Index>),
    /// A pool constant (kept in memory, never pins a register).
    Const(ConstId),
}

/// Scalar operations; all wrap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ScalarOp {
    /// A number known now.
    Const(i64),
    /// A compile-time index as a scalar.
    Index(Index),
    /// The i-th entry of `args`.
    Arg(u32),
    /// First item of the caller's share.
    Begin,
    /// One past the last item of the caller's share.
    End,
    /// a + b
    Add(ScalarId, ScalarId),
    /// a - b
    Sub(ScalarId, ScalarId),
    /// a * b
    Mul(ScalarId, ScalarId),
    /// Signed minimum.
    Min(ScalarId, ScalarId),
    /// Signed maximum.
    Max(ScalarId, ScalarId),
    /// a + constant
    AddConst(ScalarId, i64),
    /// a * constant
    MulConst(ScalarId, i64),
    /// a / constant (constant > 0; a is not negative).
    DivConst(ScalarId, i64),
    /// a mod constant (constant > 0; a is not negative).
    RemConst(ScalarId, i64),
    /// cond ? a : b
    Select(Cond, ScalarId, ScalarId),
    /// Loads a little-endian `i64`.
    LoadI64(Mem),
    /// Loads a little-endian `i32`, sign-extended.
    LoadI32(Mem),
}

/// Comparison of two scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cond {
    /// Relation.
    pub cmp: Cmp,
    /// Left side.
    pub a: ScalarId,
    /// Right side.
    pub b: ScalarId,
}

/// Relations (floats: ordered, false on NaN, except `Ne`, which is true).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cmp {
    /// equal
    Eq,
    /// not equal
    Ne,
    /// less
    Lt,
    /// less or equal
    Le,
    /// greater
    Gt,
    /// greater or equal
    Ge,
}

/// Two-operand float arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatBin {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a / b, correctly rounded
    Div,
    /// a < b ? a : b
    Min,
    /// a > b ? a : b
    Max,
}

/// One-operand float arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatUn {
    /// Flips the sign bit.
    Neg,
    /// Clears the sign bit.
    Abs,
    /// Correctly rounded square root.
    Sqrt,
    /// Round towards minus infinity.
    Floor,
    /// Round towards plus infinity.
    Ceil,
    /// Round towards zero.
    Trunc,
    /// Round to nearest, ties to even.
    Nearest,
}

/// Integer arithmetic; wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntBin {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b, low 32 bits
    Mul,
    /// bitwise and
    And,
    /// bitwise or
    Or,
    /// bitwise exclusive or
    Xor,
    /// a << (b & 31)
    Shl,
    /// logical a >> (b & 31)
    Shr,
    /// arithmetic a >> (b & 31)
    Sar,
    /// signed minimum
    Min,
    /// signed maximum
    Max,
}

/// Kinds of horizontal reduction; the result is in every lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// Sum.
    Add,
    /// `max` as defined above.
    Max,
    /// `min` as defined above.
    Min,
}

/// Vector operations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VectorOp {
    /// The operand itself.
    Copy(Operand),
    /// Consecutive elements. With `first: Some(n)`, lanes `>= n` are zero and their memory is not touched (0 <= n <= L; larger
    /// n means L).
    Load {
        /// Address of lane 0.
        mem: Mem,
        /// Number of lanes to load, all when absent.
        first: Option<ScalarId>,
        /// Format in memory.
        storage: Storage,
    },
    /// One element in every lane.
    SplatLoad {
        /// Address.
        mem: Mem,
        /// Format in memory.
        storage: Storage,
    },
    /// `mem[index[i]]` for each lane below `first`: 4-byte elements, index counts elements, signed.
    Gather {
        /// Address of element 0.
        mem: Mem,
        /// Lane indices (i32).
        index: Operand,
        /// Number of lanes to load, all when absent; other lanes are zero.
        first: Option<ScalarId>,
    },
    /// The low 32 bits of a scalar in every lane (lane type i32).
    SplatScalar(ScalarId),
    /// 0, 1, 2, ... (i32).
    Iota,
    /// Float arithmetic.
    Float(FloatBin, Operand, Operand),
    /// a * b + c, rounded once; only where the target has it.
    Fma(Operand, Operand, Operand),
    /// a + the sum of four products, unsigned byte i of b times signed byte i of c, in i32 lanes that wrap; only where the
    /// target has it.
    Dot(Operand, Operand, Operand),
    /// Float arithmetic of one operand.
    Unary(FloatUn, Operand),
    /// a * 2^n for an f32 `a` and an i32 `n` in [-252, 254], rounded once per half (2^(n/2) twice): overflow gives infinity, underflow is gradual.
    Scale(Operand, Operand),
    /// Integer arithmetic.
    Int(IntBin, Operand, Operand),
    /// f32 to i32, to nearest even, saturating as the module says.
    ToInt(Operand),
    /// i32 to f32, to nearest even.
    ToFloat(Operand),
    /// The same bits, read as the other lane type.
    Bitcast(Lane, Operand),
    /// mask ? a : b
    Select(MaskId, Operand, Operand),
    /// Lanes `n..n+L` of a followed by b (0 <= n <= L).
    Slide(Operand, Operand, u32),
    /// Lane `n` in every lane.
    SplatLane(Operand, u32),
    /// Lane i is lane `pattern[i]` of the operand.
    Permute(Operand, Vec<u8>),
    /// Horizontal reduction of f32 lanes, splat.
    Reduce(ReduceKind, Operand),
}

/// Mask operations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MaskOp {
    /// Compares f32 lanes.
    CmpFloat(Cmp, Operand, Operand),
    /// Compares i32 lanes, signed.
    CmpInt(Cmp, Operand, Operand),
    /// Both.
    And(MaskId, MaskId),
    /// Either.
    Or(MaskId, MaskId),
    /// Not.
    Not(MaskId),
}

/// A sequence of statements; what it defines ends with it.
pub type Block = Vec<Stmt>;

/// Statements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stmt {
    /// Defines a scalar.
    Scalar(ScalarId, ScalarOp),
    /// Defines a scalar variable with a first value; [`Stmt::Assign`] changes it.
    Variable(ScalarId, ScalarId),
    /// Gives a scalar variable a new value.
    Assign(ScalarId, ScalarId),
    /// Defines a pointer: another pointer plus a byte offset.
    Pointer(PointerId, PointerRef, ScalarId),
    /// Defines a vector.
    Let(LetId, VectorOp),
    /// Defines a mask.
    Mask(MaskId, MaskOp),
    /// Pins an array of registers until the end of the block (contents undefined until set).
    Reg {
        /// Name.
        id: RegId,
        /// Lane type.
        lane: Lane,
        /// Extent of each dimension.
        dims: Vec<u32>,
    },
    /// Gives one register of an array a new value.
    Set(RegId, Vec<Index>, VectorOp),
    /// A run-time loop: `var` from `begin` while below `end`, by `step` > 0.
    For {
        /// Loop variable.
        var: ScalarId,
        /// First value.
        begin: ScalarId,
        /// Bound, exclusive.
        end: ScalarId,
        /// Increment.
        step: i64,
        /// Body.
        body: Block,
    },
    /// A loop of known length whose body is repeated in the code.
    Unroll {
        /// Loop variable, 0..count.
        var: UnrollId,
        /// Number of copies.
        count: u32,
        /// Body.
        body: Block,
    },
    /// A scalar branch.
    If {
        /// Condition.
        cond: Cond,
        /// When it holds.
        then: Block,
        /// When it does not.
        otherwise: Block,
    },
    /// Stores lanes `0..first` (all when absent).
    Store {
        /// Address of lane 0.
        mem: Mem,
        /// What.
        value: Operand,
        /// Number of lanes, all when absent.
        first: Option<ScalarId>,
        /// Format in memory.
        storage: Storage,
    },
    /// Transposes the L registers `reg[at + 0..L]` of a one-dimensional array, as an L x L matrix, in place.
    Transpose {
        /// Array of at least `at + L` registers.
        reg: RegId,
        /// First register.
        at: u32,
    },
    /// Asks for a cache line: level 1 or 2; never faults.
    Prefetch(Mem, u8),
    /// Returns `code` (not 0) unless the condition holds.
    Check(Cond, i32),
}

/// Whether a kernel reads or writes through a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Only loads.
    Read,
    /// Stores, and loads of what it stored.
    Write,
}

/// A buffer a kernel is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Base {
    /// Name in the text.
    pub name: String,
    /// What the kernel does with it.
    pub access: Access,
}

/// A vector constant: the same 32 bits in every lane, or one word a lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Constant {
    /// Lane type.
    pub lane: Lane,
    /// One word (splat) or L words.
    pub words: Vec<u32>,
}

/// A kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// `op-type-tile[-epilogue]`, stable from run to run.
    pub name: String,
    /// What it was built for.
    pub target: Target,
    /// Buffers, in the order of the ABI.
    pub bases: Vec<Base>,
    /// Names of the run-time arguments, in the order of the ABI.
    pub args: Vec<String>,
    /// Vector constants.
    pub pool: Vec<Constant>,
    /// Tables for [`Index::Table`].
    pub tables: Vec<Vec<i64>>,
    /// The code.
    pub body: Block,
}
