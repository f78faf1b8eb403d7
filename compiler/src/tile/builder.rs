//! Writes [`Kernel`]s: fresh names, nested blocks through closures, constants kept once.
//!
//! ```
//! use brolga_compiler::tile::{Access, Builder, Target};
//! let mut k = Builder::new("double-f32", Target { lanes: 4, registers: 16, fma: false, dot: false });
//! let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
//! let (begin, end) = (k.begin(), k.end());
//! k.for_(begin, end, 1, |k, i| {
//!     let offset = k.mul_const(i, 16);
//!     let (from, to) = (k.pointer(x, offset), k.pointer(y, offset));
//!     let v = k.load(from, 0);
//!     let twice = k.add(v.clone(), v);
//!     k.store(to, 0, twice);
//! });
//! let kernel = k.finish();
//! assert_eq!(kernel.bases.len(), 2);
//! ```

use super::ir::*;

impl From<i64> for Index {
    fn from(value: i64) -> Self {
        Index::Const(value)
    }
}
impl From<i32> for Index {
    fn from(value: i32) -> Self {
        Index::Const(value.into())
    }
}
impl From<UnrollId> for Index {
    fn from(value: UnrollId) -> Self {
        Index::Var(value)
    }
}
impl std::ops::Add for Index {
    type Output = Index;
    fn add(self, other: Index) -> Index {
        match (self, other) {
            (Index::Const(a), Index::Const(b)) => Index::Const(a.wrapping_add(b)),
            (Index::Const(0), x) | (x, Index::Const(0)) => x,
            (a, b) => Index::Add(Box::new(a), Box::new(b)),
        }
    }
}
impl std::ops::Mul<i64> for Index {
    type Output = Index;
    fn mul(self, factor: i64) -> Index {
        match self {
            Index::Const(a) => Index::Const(a.wrapping_mul(factor)),
            _ if factor == 0 => Index::Const(0),
            x if factor == 1 => x,
            x => Index::Mul(factor, Box::new(x)),
        }
    }
}
impl std::ops::Mul<i64> for UnrollId {
    type Output = Index;
    fn mul(self, factor: i64) -> Index {
        Index::Var(self) * factor
    }
}
impl From<LetId> for Operand {
    fn from(value: LetId) -> Self {
        Operand::Let(value)
    }
}

/// Writes one kernel.
pub struct Builder {
    kernel: Kernel,
    next: [u32; 6],
    open: Vec<Block>,
}

impl Builder {
    /// An empty kernel.
    pub fn new(name: impl Into<String>, target: Target) -> Self {
        let kernel = Kernel {
            name: name.into(),
            target,
            bases: Vec::new(),
            args: Vec::new(),
            pool: Vec::new(),
            tables: Vec::new(),
            body: Vec::new(),
        };
        Builder { kernel, next: [0; 6], open: vec![Vec::new()] }
    }

    /// The target the kernel is for.
    pub fn target(&self) -> Target {
        self.kernel.target
    }
    /// Lanes of a vector.
    pub fn lanes(&self) -> u32 {
        self.kernel.target.lanes
    }

    /// Ends the kernel.
    pub fn finish(mut self) -> Kernel {
        self.kernel.body = self.open.pop().unwrap_or_default();
        self.kernel
    }

    fn fresh(&mut self, kind: usize) -> u32 {
        self.next[kind] += 1;
        self.next[kind] - 1
    }
    fn push(&mut self, stmt: Stmt) {
        if let Some(block) = self.open.last_mut() {
            block.push(stmt);
        }
    }
    fn block(&mut self, body: impl FnOnce(&mut Self)) -> Block {
        self.open.push(Vec::new());
        body(self);
        self.open.pop().unwrap_or_default()
    }

    /// Declares the next buffer of the ABI.
    pub fn base(&mut self, name: &str, access: Access) -> PointerRef {
        self.kernel.bases.push(Base { name: name.into(), access });
        PointerRef::Base(self.kernel.bases.len() as u32 - 1)
    }
    /// Declares the next run-time argument of the ABI and reads it.
    pub fn arg(&mut self, name: &str) -> ScalarId {
        self.kernel.args.push(name.into());
        let position = self.kernel.args.len() as u32 - 1;
        self.scalar(ScalarOp::Arg(position))
    }
    /// A table of compile-time numbers.
    pub fn table(&mut self, entries: Vec<i64>) -> TableId {
        let at = self.kernel.tables.iter().position(|t| *t == entries).unwrap_or_else(|| {
            self.kernel.tables.push(entries);
            self.kernel.tables.len() - 1
        });
        TableId(at as u32)
    }
    fn constant(&mut self, constant: Constant) -> Operand {
        let at = self.kernel.pool.iter().position(|c| *c == constant).unwrap_or_else(|| {
            self.kernel.pool.push(constant);
            self.kernel.pool.len() - 1
        });
        Operand::Const(ConstId(at as u32))
    }
    /// A float in every lane.
    pub fn float(&mut self, value: f32) -> Operand {
        self.constant(Constant { lane: Lane::F32, words: vec![value.to_bits()] })
    }
    /// An integer in every lane.
    pub fn int(&mut self, value: i32) -> Operand {
        self.constant(Constant { lane: Lane::I32, words: vec![value as u32] })
    }
    /// One integer a lane.
    pub fn ints(&mut self, values: &[i32]) -> Operand {
        self.constant(Constant { lane: Lane::I32, words: values.iter().map(|v| *v as u32).collect() })
    }

    // Scalars.

    /// Any scalar operation.
    pub fn scalar(&mut self, op: ScalarOp) -> ScalarId {
        let id = ScalarId(self.fresh(0));
        self.push(Stmt::Scalar(id, op));
        id
    }
    /// A number.
    pub fn num(&mut self, value: i64) -> ScalarId {
        self.scalar(ScalarOp::Const(value))
    }
    /// A compile-time index as a scalar.
    pub fn index(&mut self, index: impl Into<Index>) -> ScalarId {
        self.scalar(ScalarOp::Index(index.into()))
    }
    /// First item of this call's share.
    pub fn begin(&mut self) -> ScalarId {
        self.scalar(ScalarOp::Begin)
    }
    /// One past the last item of this call's share.
    pub fn end(&mut self) -> ScalarId {
        self.scalar(ScalarOp::End)
    }
    /// a + b
    pub fn sadd(&mut self, a: ScalarId, b: ScalarId) -> ScalarId {
        self.scalar(ScalarOp::Add(a, b))
    }
    /// a - b
    pub fn ssub(&mut self, a: ScalarId, b: ScalarId) -> ScalarId {
        self.scalar(ScalarOp::Sub(a, b))
    }
    /// a * b
    pub fn smul(&mut self, a: ScalarId, b: ScalarId) -> ScalarId {
        self.scalar(ScalarOp::Mul(a, b))
    }
    /// Signed minimum.
    pub fn smin(&mut self, a: ScalarId, b: ScalarId) -> ScalarId {
        self.scalar(ScalarOp::Min(a, b))
    }
    /// Signed maximum.
    pub fn smax(&mut self, a: ScalarId, b: ScalarId) -> ScalarId {
        self.scalar(ScalarOp::Max(a, b))
    }
    /// a + constant
    pub fn add_const(&mut self, a: ScalarId, value: i64) -> ScalarId {
        self.scalar(ScalarOp::AddConst(a, value))
    }
    /// a * constant
    pub fn mul_const(&mut self, a: ScalarId, value: i64) -> ScalarId {
        self.scalar(ScalarOp::MulConst(a, value))
    }
    /// a / constant, a not negative
    pub fn div_const(&mut self, a: ScalarId, value: i64) -> ScalarId {
        self.scalar(ScalarOp::DivConst(a, value))
    }
    /// a mod constant, a not negative
    pub fn rem_const(&mut self, a: ScalarId, value: i64) -> ScalarId {
        self.scalar(ScalarOp::RemConst(a, value))
    }
    /// A scalar that [`Builder::assign`] can change.
    pub fn variable(&mut self, first: ScalarId) -> ScalarId {
        let id = ScalarId(self.fresh(0));
        self.push(Stmt::Variable(id, first));
        id
    }
    /// Changes a variable.
    pub fn assign(&mut self, variable: ScalarId, value: ScalarId) {
        self.push(Stmt::Assign(variable, value));
    }
    /// pointer + offset bytes
    pub fn pointer(&mut self, from: PointerRef, offset: ScalarId) -> PointerRef {
        let id = PointerId(self.fresh(1));
        self.push(Stmt::Pointer(id, from, offset));
        PointerRef::Let(id)
    }

    // Control.

    /// A run-time loop over `begin..end` by `step`.
    pub fn for_(&mut self, begin: ScalarId, end: ScalarId, step: i64, body: impl FnOnce(&mut Self, ScalarId)) {
        let var = ScalarId(self.fresh(0));
        let body = self.block(|k| body(k, var));
        self.push(Stmt::For { var, begin, end, step, body });
    }
    /// A run-time loop over `0..count`; no loop at all for a count of one.
    pub fn for_count(&mut self, count: i64, body: impl FnOnce(&mut Self, ScalarId)) {
        let begin = self.num(0);
        if count == 1 {
            return body(self, begin);
        }
        let end = self.num(count);
        self.for_(begin, end, 1, body);
    }
    /// A loop repeated in the code.
    pub fn unroll(&mut self, count: u32, body: impl FnOnce(&mut Self, UnrollId)) {
        let var = UnrollId(self.fresh(5));
        let body = self.block(|k| body(k, var));
        self.push(Stmt::Unroll { var, count, body });
    }
    /// A scalar branch.
    pub fn if_(
        &mut self,
        cmp: Cmp,
        a: ScalarId,
        b: ScalarId,
        then: impl FnOnce(&mut Self),
        otherwise: impl FnOnce(&mut Self),
    ) {
        let then = self.block(then);
        let otherwise = self.block(otherwise);
        self.push(Stmt::If { cond: Cond { cmp, a, b }, then, otherwise });
    }
    /// Fails the kernel with `code` unless the condition holds.
    pub fn check(&mut self, cmp: Cmp, a: ScalarId, b: ScalarId, code: i32) {
        self.push(Stmt::Check(Cond { cmp, a, b }, code));
    }

    // Vectors.

    /// Any vector operation.
    pub fn vector(&mut self, op: VectorOp) -> Operand {
        let id = LetId(self.fresh(2));
        self.push(Stmt::Let(id, op));
        Operand::Let(id)
    }
    /// Pins an array of registers.
    pub fn reg(&mut self, lane: Lane, dims: &[u32]) -> RegId {
        let id = RegId(self.fresh(4));
        self.push(Stmt::Reg { id, lane, dims: dims.to_vec() });
        id
    }
    /// Sets one register of an array.
    pub fn set(&mut self, reg: RegId, at: &[Index], op: VectorOp) {
        self.push(Stmt::Set(reg, at.to_vec(), op));
    }
    /// Reads one register of an array.
    pub fn get(&self, reg: RegId, at: &[Index]) -> Operand {
        Operand::Reg(reg, at.to_vec())
    }
    /// Loads L floats or words.
    pub fn load(&mut self, pointer: PointerRef, disp: impl Into<Index>) -> Operand {
        self.vector(VectorOp::Load { mem: Mem { pointer, disp: disp.into() }, first: None, storage: Storage::B32 })
    }
    /// Loads the first `count` lanes, zeros above.
    pub fn load_first(&mut self, pointer: PointerRef, disp: impl Into<Index>, count: ScalarId) -> Operand {
        self.vector(VectorOp::Load {
            mem: Mem { pointer, disp: disp.into() },
            first: Some(count),
            storage: Storage::B32,
        })
    }
    /// Loads one word into every lane.
    pub fn splat_load(&mut self, pointer: PointerRef, disp: impl Into<Index>) -> Operand {
        self.vector(VectorOp::SplatLoad { mem: Mem { pointer, disp: disp.into() }, storage: Storage::B32 })
    }
    /// Stores L words.
    pub fn store(&mut self, pointer: PointerRef, disp: impl Into<Index>, value: Operand) {
        self.push(Stmt::Store { mem: Mem { pointer, disp: disp.into() }, value, first: None, storage: Storage::B32 });
    }
    /// Stores the first `count` lanes.
    pub fn store_first(&mut self, pointer: PointerRef, disp: impl Into<Index>, value: Operand, count: ScalarId) {
        self.push(Stmt::Store {
            mem: Mem { pointer, disp: disp.into() },
            value,
            first: Some(count),
            storage: Storage::B32,
        });
    }
    /// Stores with a storage format.
    pub fn store_as(
        &mut self,
        pointer: PointerRef,
        disp: impl Into<Index>,
        value: Operand,
        first: Option<ScalarId>,
        storage: Storage,
    ) {
        self.push(Stmt::Store { mem: Mem { pointer, disp: disp.into() }, value, first, storage });
    }
    /// a + b
    pub fn add(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(VectorOp::Float(FloatBin::Add, a, b))
    }
    /// a - b
    pub fn sub(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(VectorOp::Float(FloatBin::Sub, a, b))
    }
    /// a * b
    pub fn mul(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(VectorOp::Float(FloatBin::Mul, a, b))
    }
    /// a / b
    pub fn div(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(VectorOp::Float(FloatBin::Div, a, b))
    }
    /// a < b ? a : b
    pub fn min(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(VectorOp::Float(FloatBin::Min, a, b))
    }
    /// a > b ? a : b
    pub fn max(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(VectorOp::Float(FloatBin::Max, a, b))
    }
    /// a * b + c: fused where the target can, two roundings elsewhere.
    pub fn mul_add(&mut self, a: Operand, b: Operand, c: Operand) -> Operand {
        if self.target().fma {
            return self.vector(VectorOp::Fma(a, b, c));
        }
        let product = self.mul(a, b);
        self.add(product, c)
    }
    /// register += a * b
    pub fn accumulate(&mut self, reg: RegId, at: &[Index], a: Operand, b: Operand) {
        let old = self.get(reg, at);
        if self.target().fma {
            return self.set(reg, at, VectorOp::Fma(a, b, old));
        }
        let product = self.mul(a, b);
        self.set(reg, at, VectorOp::Float(FloatBin::Add, product, old));
    }
    /// Any one-operand float operation.
    pub fn unary(&mut self, op: FloatUn, a: Operand) -> Operand {
        self.vector(VectorOp::Unary(op, a))
    }
    /// Compares floats.
    pub fn cmp(&mut self, cmp: Cmp, a: Operand, b: Operand) -> MaskId {
        self.mask(MaskOp::CmpFloat(cmp, a, b))
    }
    /// Any mask operation.
    pub fn mask(&mut self, op: MaskOp) -> MaskId {
        let id = MaskId(self.fresh(3));
        self.push(Stmt::Mask(id, op));
        id
    }
    /// mask ? a : b
    pub fn select(&mut self, mask: MaskId, a: Operand, b: Operand) -> Operand {
        self.vector(VectorOp::Select(mask, a, b))
    }
    /// Transposes `reg[at..at + L]`.
    pub fn transpose(&mut self, reg: RegId, at: u32) {
        self.push(Stmt::Transpose { reg, at });
    }
    /// Asks for a cache line.
    pub fn prefetch(&mut self, pointer: PointerRef, disp: impl Into<Index>, level: u8) {
        self.push(Stmt::Prefetch(Mem { pointer, disp: disp.into() }, level));
    }
}
