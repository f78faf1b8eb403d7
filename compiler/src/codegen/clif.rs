//! Lowers four-lane kernels through Cranelift, for any level: x86-64 with SSE2 or AVX, aarch64.
//!
//! The result must not call anything. So nothing is emitted that Cranelift turns into a library call: no `fma` where the
//! target has none, and on plain x86-64 (SSE2) no vector rounding and no byte shuffle beyond what `pshufd`, `shufps` and the
//! unpack instructions do.

mod convert;
mod memory;
mod vector;

use std::collections::HashMap;
use std::sync::OnceLock;

use brolga_runtime::Level;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32X4, I32, I32X4, I64};
use cranelift_codegen::ir::{
    AbiParam, BlockArg, Function, InstBuilder, MemFlagsData, Signature, Type, UserFuncName, Value,
};
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use target_lexicon::Triple;

use super::{Code, CodegenError, LevelTarget};
use crate::tile::index::UnrollValues;
use crate::tile::*;

/// Features that Cranelift may use from x86-64-v3 on.
const V3: [&str; 11] = [
    "has_sse3",
    "has_ssse3",
    "has_sse41",
    "has_sse42",
    "has_popcnt",
    "has_avx",
    "has_avx2",
    "has_fma",
    "has_bmi1",
    "has_bmi2",
    "has_lzcnt",
];

/// Cranelift's instruction set for a level on an operating system.
pub fn isa(level: Level, triple: Triple, pic: bool) -> Result<OwnedTargetIsa, CodegenError> {
    let fault = |detail: String| CodegenError::Isa { what: format!("{level} ({triple})"), detail };
    let mut flags = settings::builder();
    let verify = if cfg!(debug_assertions) { "true" } else { "false" };
    let options = [
        ("opt_level", "speed"),
        ("is_pic", if pic { "true" } else { "false" }),
        ("enable_verifier", verify),
        ("enable_probestack", "false"),
        ("unwind_info", "false"),
    ];
    for (name, value) in options {
        flags.set(name, value).map_err(|e| fault(e.to_string()))?;
    }
    let mut builder = cranelift_codegen::isa::lookup(triple.clone()).map_err(|e| fault(e.to_string()))?;
    if level.is_x86() && level != Level::X86_64 {
        for name in V3 {
            builder.enable(name).map_err(|e| fault(e.to_string()))?;
        }
    }
    builder.finish(settings::Flags::new(flags)).map_err(|e| fault(e.to_string()))
}

/// The triple whose calling convention kernels of a level use.
fn kernel_triple(level: Level) -> Result<Triple, CodegenError> {
    let text = if level.is_x86() { "x86_64-unknown-linux-gnu" } else { "aarch64-unknown-linux-gnu" };
    text.parse().map_err(|e| CodegenError::Isa { what: text.into(), detail: format!("{e}") })
}

/// The instruction set kernels of a level are compiled for, made once.
fn kernel_isa(level: Level) -> Result<&'static dyn TargetIsa, CodegenError> {
    static MADE: [OnceLock<Result<OwnedTargetIsa, CodegenError>>; Level::ALL.len()] = [const { OnceLock::new() }; 5];
    let made = MADE[level as usize].get_or_init(|| isa(level, kernel_triple(level)?, true));
    made.as_ref().map(|isa| &**isa).map_err(Clone::clone)
}

/// Machine code of a four-lane kernel.
pub fn lower(kernel: &Kernel, level: Level) -> Result<Code, CodegenError> {
    let isa = kernel_isa(level)?;
    let mut context = Context::for_function(function(kernel, level, isa)?);
    let refused = |detail: String| CodegenError::Cranelift { kernel: kernel.name.clone(), detail };
    let compiled = context.compile(isa, &mut ControlPlane::default()).map_err(|e| refused(format!("{:?}", e.inner)))?;
    if let Some(relocation) = compiled.buffer.relocs().first() {
        return Err(CodegenError::Relocation {
            kernel: kernel.name.clone(),
            detail: format!("{:?}", relocation.target),
        });
    }
    Ok(Code { bytes: compiled.code_buffer().to_vec(), alignment: compiled.buffer.alignment.max(16) })
}

/// The CLIF of a four-lane kernel, as Cranelift prints it.
pub fn text(kernel: &Kernel, level: Level) -> Result<String, CodegenError> {
    Ok(function(kernel, level, kernel_isa(level)?)?.display().to_string())
}

fn function(kernel: &Kernel, level: Level, isa: &dyn TargetIsa) -> Result<Function, CodegenError> {
    let expected = level.narrow_target();
    if kernel.target.lanes != expected.lanes {
        let (name, lanes) = (kernel.name.clone(), kernel.target.lanes);
        return Err(CodegenError::Lanes { kernel: name, lanes, level, expected: expected.lanes });
    }
    let malformed = |detail: String| CodegenError::Malformed { kernel: kernel.name.clone(), detail };
    if kernel.target.fma && !expected.fma {
        return Err(malformed(format!("it was built with fused multiply-add, which {level} does not have")));
    }
    let mut signature = Signature::new(CallConv::triple_default(isa.triple()));
    signature.params = vec![AbiParam::new(I64); 4];
    signature.returns = vec![AbiParam::new(I32)];
    let mut function = Function::with_name_signature(UserFuncName::user(0, 0), signature);
    let mut context = FunctionBuilderContext::new();
    let mut builder = FunctionBuilder::new(&mut function, &mut context);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    builder.seal_block(entry);
    let [bases, args, begin, end] = builder.block_params(entry)[..] else {
        return Err(malformed("the entry block has no parameters".into()));
    };
    let bases = (0..kernel.bases.len())
        .map(|at| builder.ins().load(I64, MemFlagsData::trusted(), bases, at as i32 * 8))
        .collect();
    let mut lower = Lower {
        b: builder,
        kernel,
        sse2: level == Level::X86_64,
        x86: level.is_x86(),
        values: UnrollValues::default(),
        bases,
        args,
        share: (begin, end),
        scalars: HashMap::new(),
        pointers: HashMap::new(),
        lets: HashMap::new(),
        masks: HashMap::new(),
        regs: HashMap::new(),
    };
    lower.block(&kernel.body).map_err(malformed)?;
    let done = lower.b.ins().iconst(I32, 0);
    lower.b.ins().return_(&[done]);
    lower.b.finalize(isa.frontend_config());
    Ok(function)
}

#[derive(Clone, Copy)]
enum Scalar {
    Value(Value),
    Variable(Variable),
}

/// What is wrong with a kernel, as text; the statement is added on the way out.
type Emit<T> = Result<T, String>;

struct Lower<'k, 'f> {
    b: FunctionBuilder<'f>,
    kernel: &'k Kernel,
    sse2: bool,
    x86: bool,
    values: UnrollValues,
    bases: Vec<Value>,
    args: Value,
    share: (Value, Value),
    scalars: HashMap<ScalarId, Scalar>,
    pointers: HashMap<PointerId, Value>,
    lets: HashMap<LetId, Value>,
    masks: HashMap<MaskId, Value>,
    regs: HashMap<RegId, Registers>,
}

/// One variable for each register of an array.
struct Registers {
    variables: Vec<Variable>,
    dims: Vec<u32>,
    ty: Type,
}

impl<'k> Lower<'k, '_> {
    fn block(&mut self, body: &'k [Stmt]) -> Emit<()> {
        for stmt in body {
            match stmt {
                Stmt::For { var, begin, end, step, body } => self.loop_(*var, *begin, *end, *step, body)?,
                Stmt::Unroll { var, count, body } => {
                    for value in 0..*count {
                        self.values.push(*var, value.into());
                        self.block(body)?;
                        self.values.pop();
                    }
                }
                Stmt::If { cond, then, otherwise } => self.branch(cond, then, otherwise)?,
                _ => self.simple(stmt).map_err(|e| {
                    let (text, values) = (statement(self.kernel, stmt), &self.values);
                    format!("`{text}` ({values}): {e}")
                })?,
            }
        }
        Ok(())
    }

    fn simple(&mut self, stmt: &Stmt) -> Emit<()> {
        match stmt {
            Stmt::Scalar(id, op) => {
                let value = self.scalar_op(op)?;
                self.scalars.insert(*id, Scalar::Value(value));
            }
            Stmt::Variable(id, first) => {
                let (first, variable) = (self.scalar(*first)?, self.b.declare_var(I64));
                self.b.def_var(variable, first);
                self.scalars.insert(*id, Scalar::Variable(variable));
            }
            Stmt::Assign(id, value) => {
                let value = self.scalar(*value)?;
                match self.scalars.get(id) {
                    Some(Scalar::Variable(variable)) => self.b.def_var(*variable, value),
                    _ => return Err(format!("{id} is not a variable")),
                }
            }
            Stmt::Pointer(id, from, offset) => {
                let (from, offset) = (self.pointer(*from)?, self.scalar(*offset)?);
                let value = self.b.ins().iadd(from, offset);
                self.pointers.insert(*id, value);
            }
            Stmt::Let(id, op) => {
                let value = self.vector_op(op)?;
                self.lets.insert(*id, value);
            }
            Stmt::Mask(id, op) => {
                let value = self.mask_op(op)?;
                self.masks.insert(*id, value);
            }
            Stmt::Reg { id, lane, dims } => self.declare(*id, *lane, dims)?,
            Stmt::Set(id, at, op) => {
                let (value, (variable, ty)) = (self.vector_op(op)?, self.register(*id, at)?);
                let value = self.cast(value, ty);
                self.b.def_var(variable, value);
            }
            Stmt::Store { mem, value, first, storage } => self.store(mem, value, *first, *storage)?,
            Stmt::Transpose { reg, at } => self.transpose(*reg, *at)?,
            // Cranelift has no prefetch instruction.
            Stmt::Prefetch(..) => {}
            Stmt::Check(cond, code) => self.check(cond, *code)?,
            Stmt::For { .. } | Stmt::Unroll { .. } | Stmt::If { .. } => {}
        }
        Ok(())
    }

    fn loop_(&mut self, var: ScalarId, begin: ScalarId, end: ScalarId, step: i64, body: &'k [Stmt]) -> Emit<()> {
        let (begin, end) = (self.scalar(begin)?, self.scalar(end)?);
        let (inside, after) = (self.b.create_block(), self.b.create_block());
        let value = self.b.append_block_param(inside, I64);
        let enter = self.b.ins().icmp(IntCC::SignedLessThan, begin, end);
        self.b.ins().brif(enter, inside, &[BlockArg::Value(begin)], after, &[]);
        self.b.switch_to_block(inside);
        self.scalars.insert(var, Scalar::Value(value));
        self.block(body)?;
        let next = self.b.ins().iadd_imm_s(value, step);
        let again = self.b.ins().icmp(IntCC::SignedLessThan, next, end);
        self.b.ins().brif(again, inside, &[BlockArg::Value(next)], after, &[]);
        self.b.seal_block(inside);
        self.b.seal_block(after);
        self.b.switch_to_block(after);
        Ok(())
    }

    fn branch(&mut self, cond: &Cond, then: &'k [Stmt], otherwise: &'k [Stmt]) -> Emit<()> {
        let test = self.cond(cond)?;
        let [yes, no, after] = [(); 3].map(|()| self.b.create_block());
        self.b.ins().brif(test, yes, &[], no, &[]);
        for (block, body) in [(yes, then), (no, otherwise)] {
            self.b.seal_block(block);
            self.b.switch_to_block(block);
            self.block(body)?;
            self.b.ins().jump(after, &[]);
        }
        self.b.seal_block(after);
        self.b.switch_to_block(after);
        Ok(())
    }

    fn check(&mut self, cond: &Cond, code: i32) -> Emit<()> {
        let test = self.cond(cond)?;
        let (holds, fails) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(fails);
        self.b.ins().brif(test, holds, &[], fails, &[]);
        self.b.seal_block(fails);
        self.b.switch_to_block(fails);
        let code = self.b.ins().iconst(I32, i64::from(code));
        self.b.ins().return_(&[code]);
        self.b.seal_block(holds);
        self.b.switch_to_block(holds);
        Ok(())
    }

    fn declare(&mut self, id: RegId, lane: Lane, dims: &[u32]) -> Emit<()> {
        let count = dims.iter().try_fold(1u32, |count, dim| count.checked_mul(*dim)).filter(|count| *count <= 1024);
        let count = count.ok_or_else(|| format!("{id} has too many registers"))?;
        let ty = vector_type(lane);
        let variables = (0..count).map(|_| self.b.declare_var(ty)).collect();
        self.regs.insert(id, Registers { variables, dims: dims.to_vec(), ty });
        Ok(())
    }

    fn register(&self, id: RegId, at: &[Index]) -> Emit<(Variable, Type)> {
        let Registers { variables, dims, ty } = self.regs.get(&id).ok_or_else(|| format!("{id} is not defined"))?;
        let position = self.values.position(at, dims, &self.kernel.tables);
        let variable = position.and_then(|position| variables.get(position)).map(|variable| (*variable, *ty));
        variable.ok_or_else(|| format!("an index of {id} is out of range"))
    }

    fn index(&self, index: &Index) -> Emit<i64> {
        self.values.value(index, &self.kernel.tables).ok_or_else(|| "an index has no value here".into())
    }

    fn scalar(&mut self, id: ScalarId) -> Emit<Value> {
        match self.scalars.get(&id) {
            Some(Scalar::Value(value)) => Ok(*value),
            Some(Scalar::Variable(variable)) => Ok(self.b.use_var(*variable)),
            None => Err(format!("{id} is not defined")),
        }
    }

    fn pointer(&self, pointer: PointerRef) -> Emit<Value> {
        match pointer {
            PointerRef::Base(at) => self.bases.get(at as usize).copied().ok_or_else(|| format!("no base {at}")),
            PointerRef::Let(id) => self.pointers.get(&id).copied().ok_or_else(|| format!("{id} is not defined")),
        }
    }

    fn cond(&mut self, cond: &Cond) -> Emit<Value> {
        let (a, b) = (self.scalar(cond.a)?, self.scalar(cond.b)?);
        Ok(self.b.ins().icmp(signed(cond.cmp), a, b))
    }

    fn scalar_op(&mut self, op: &ScalarOp) -> Emit<Value> {
        let positive = |c: i64| if c > 0 { Ok(c) } else { Err(format!("division by {c}")) };
        match op {
            ScalarOp::Const(value) => Ok(self.b.ins().iconst(I64, *value)),
            ScalarOp::Index(at) => {
                let value = self.index(at)?;
                Ok(self.b.ins().iconst(I64, value))
            }
            ScalarOp::Arg(at) if (*at as usize) < self.kernel.args.len() => {
                Ok(self.b.ins().load(I64, MemFlagsData::trusted(), self.args, *at as i32 * 8))
            }
            ScalarOp::Arg(at) => Err(format!("argument {at} is not declared")),
            ScalarOp::Begin => Ok(self.share.0),
            ScalarOp::End => Ok(self.share.1),
            ScalarOp::Add(a, b)
            | ScalarOp::Sub(a, b)
            | ScalarOp::Mul(a, b)
            | ScalarOp::Min(a, b)
            | ScalarOp::Max(a, b) => {
                let (a, b) = (self.scalar(*a)?, self.scalar(*b)?);
                Ok(match op {
                    ScalarOp::Add(..) => self.b.ins().iadd(a, b),
                    ScalarOp::Sub(..) => self.b.ins().isub(a, b),
                    ScalarOp::Mul(..) => self.b.ins().imul(a, b),
                    ScalarOp::Min(..) => self.b.ins().smin(a, b),
                    _ => self.b.ins().smax(a, b),
                })
            }
            ScalarOp::AddConst(a, value) => {
                let a = self.scalar(*a)?;
                Ok(self.b.ins().iadd_imm_s(a, *value))
            }
            ScalarOp::MulConst(a, value) => {
                let a = self.scalar(*a)?;
                Ok(self.b.ins().imul_imm_s(a, *value))
            }
            ScalarOp::DivConst(a, value) => {
                let (a, divisor) = (self.scalar(*a)?, positive(*value)?);
                Ok(self.b.ins().udiv_imm_u(a, divisor))
            }
            ScalarOp::RemConst(a, value) => {
                let (a, divisor) = (self.scalar(*a)?, positive(*value)?);
                Ok(self.b.ins().urem_imm_u(a, divisor))
            }
            ScalarOp::Select(cond, a, b) => {
                let (test, a, b) = (self.cond(cond)?, self.scalar(*a)?, self.scalar(*b)?);
                Ok(self.b.ins().select(test, a, b))
            }
            ScalarOp::LoadI64(mem) => {
                let (address, offset) = self.address(mem)?;
                Ok(self.b.ins().load(I64, flags(), address, offset))
            }
            ScalarOp::LoadI32(mem) => {
                let (address, offset) = self.address(mem)?;
                Ok(self.b.ins().sload32(flags(), address, offset))
            }
        }
    }
}

/// Accesses of kernels: never trap, any alignment.
fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

fn vector_type(lane: Lane) -> Type {
    match lane {
        Lane::F32 => F32X4,
        Lane::I32 => I32X4,
    }
}

fn signed(cmp: Cmp) -> IntCC {
    match cmp {
        Cmp::Eq => IntCC::Equal,
        Cmp::Ne => IntCC::NotEqual,
        Cmp::Lt => IntCC::SignedLessThan,
        Cmp::Le => IntCC::SignedLessThanOrEqual,
        Cmp::Gt => IntCC::SignedGreaterThan,
        Cmp::Ge => IntCC::SignedGreaterThanOrEqual,
    }
}
