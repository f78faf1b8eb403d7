//! Element-wise kernels: fused f32 expressions, comparisons, booleans, selection and conversion, with broadcasting.

use super::expression::{comparison, expression_with, keeps_zero, relation};
use super::halo::fill_halo;
use super::nest::{Nest, Stream, vectors};
use super::operand::{blocked_operand, broadcast, constant_scalar, nest_of, place, storage};
use super::{KernelCall, LowerContext, Lowered, NoKernel, Operand, View};
use crate::ir::{Arg, BinaryOp, Expression, Node, Op, Step, UnaryOp};
use crate::tile::{self, Access, Builder, Cmp, FloatUn, Index, IntBin, Kernel, MaskOp, ScalarId, Storage, VectorOp};
use brolga_runtime::DType;

/// What happens to the elements.
#[derive(Clone, Debug, PartialEq)]
pub enum Function {
    /// f32 arithmetic.
    Expression(Expression),
    /// f32 arithmetic on numbers of which some are integers, and whether the result is one.
    Quantized {
        /// The arithmetic.
        expression: Expression,
        /// Which inputs are integers.
        integers: Vec<bool>,
        /// Whether the result is rounded to one.
        round: bool,
    },
    /// Floats compared, a byte each.
    CompareFloat(BinaryOp),
    /// Integers compared, a byte each.
    CompareInt(BinaryOp),
    /// Integer or boolean arithmetic.
    Int(IntBin),
    /// Logical not.
    Not,
    /// Whether a float is a NaN.
    IsNaN,
    /// Condition, then, else.
    Where,
    /// Conversion.
    Cast(Cast),
}

/// Conversions of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cast {
    /// The lane as it is; storage formats may differ.
    Same,
    /// Integer lane to float lane.
    IntToFloat,
    /// Float lane to integer lane, towards zero.
    FloatToInt,
    /// Whether a float is not zero.
    FloatToBool,
    /// Whether an integer is not zero.
    IntToBool,
}

/// An element-wise kernel; operand 0 of the nest is the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Loops.
    pub nest: Nest,
    /// Format of the result, then of each input.
    pub storages: Vec<Storage>,
    /// What to compute.
    pub function: Function,
    /// Whether the last operand is a mask of words that clears lanes of the result.
    pub masked: bool,
}

impl Spec {
    /// The program and its number of items.
    pub fn build(&self, target: tile::Target) -> Result<(Kernel, u64), NoKernel> {
        let mut nest = self.nest.collapse(0);
        if nest.dims == [1] {
            let bytes = self.storages.iter().map(|s| i64::from(s.bytes()));
            nest.strides.iter_mut().zip(bytes).for_each(|(strides, bytes)| strides[0] = bytes);
        }
        for (operand, storage) in self.storages.iter().enumerate() {
            if !Stream::loads(nest.inner(operand), *storage) || operand == 0 && nest.inner(0) != storage.bytes().into()
            {
                return Err(NoKernel(format!("an inner stride of {} bytes", nest.inner(operand))));
            }
        }
        let share = nest.share(self.grain(), 0);
        let dims: Vec<String> = nest.dims.iter().map(usize::to_string).collect();
        let mut k = Builder::new(format!("elementwise-{}-{}", self.function.label(), dims.join("x")), target);
        let mut bases = vec![k.base("y", Access::Write)];
        for i in 1..self.storages.len() {
            bases.push(k.base(&format!("x{}", i - 1), Access::Read));
        }
        let unroll = if self.grain() >= 4096 && self.storages.len() <= 4 { 4 } else { 1 };
        let mut outcome = Ok(());
        nest.walk(&mut k, share, 0, &mut |k, offsets, run| {
            let streams: Vec<Stream> = (0..bases.len())
                .map(|i| {
                    let pointer = k.pointer(bases[i], offsets[i]);
                    Stream { pointer, stride: nest.inner(i), storage: self.storages[i] }
                })
                .collect();
            vectors(k, &streams, run, unroll, &mut |k, streams, at, first| {
                if let Err(e) = self.element(k, streams, at, first) {
                    outcome = Err(e);
                }
            });
        });
        outcome.map(|()| (k.finish(), share.extent))
    }

    /// Elements per item, fewer of what takes long.
    fn grain(&self) -> usize {
        match &self.function {
            Function::Expression(e) | Function::Quantized { expression: e, .. } => {
                let long = |s: &&Step| {
                    matches!(s, Step::Unary(op, _) if !cheap(*op))
                        || matches!(s, Step::Binary(BinaryOp::Pow | BinaryOp::Fmod, ..))
                };
                if e.steps.iter().any(|s| long(&s)) || e.steps.len() > 6 { 1024 } else { 4096 }
            }
            _ => 4096,
        }
    }

    fn element(
        &self,
        k: &mut Builder,
        streams: &[Stream],
        at: &Index,
        first: Option<ScalarId>,
    ) -> Result<(), NoKernel> {
        let mut load = |k: &mut Builder, i: u32| match streams.get(i as usize + 1) {
            Some(stream) => Ok(stream.load(k, at, first)),
            None => Err(NoKernel(format!("the expression has no input {i}"))),
        };
        let mut y = self.function.apply(k, &mut load)?;
        if self.masked {
            let mask = load(k, streams.len() as u32 - 2)?;
            let bits = k.vector(VectorOp::Bitcast(tile::Lane::I32, y));
            let mask = k.vector(VectorOp::Bitcast(tile::Lane::I32, mask));
            let bits = k.vector(VectorOp::Int(IntBin::And, bits, mask));
            y = k.vector(VectorOp::Bitcast(tile::Lane::F32, bits));
        }
        streams[0].store(k, at, y, first);
        Ok(())
    }
}

fn cheap(op: UnaryOp) -> bool {
    use UnaryOp::*;
    matches!(op, Abs | Neg | Floor | Ceil | Round | Sign | Sqrt | Relu | HardSigmoid { .. } | HardSwish)
        || matches!(op, LeakyRelu { .. } | ThresholdedRelu { .. } | Clip { .. } | Reciprocal | Softsign)
}

type Load<'a> = dyn FnMut(&mut Builder, u32) -> Result<tile::Operand, NoKernel> + 'a;

impl Function {
    fn label(&self) -> String {
        let word = |debug: String| debug.split([' ', '{', '(']).next().unwrap_or_default().to_lowercase();
        match self {
            Function::Expression(e) | Function::Quantized { expression: e, .. } => {
                let name = |s: &Step| match s {
                    Step::Unary(op, _) => word(format!("{op:?}")),
                    Step::Binary(op, ..) => word(format!("{op:?}")),
                };
                let names: Vec<String> = e.steps.iter().take(4).map(name).collect();
                let more = if e.steps.len() > 4 { format!("+{}", e.steps.len() - 4) } else { String::new() };
                let kind = if matches!(self, Function::Quantized { .. }) { "quantized-" } else { "" };
                kind.to_owned() + &names.join("+") + &more
            }
            Function::CompareFloat(op) => format!("{}-f32", word(format!("{op:?}"))),
            Function::CompareInt(op) => format!("{}-i32", word(format!("{op:?}"))),
            Function::Int(op) => format!("{}-i32", word(format!("{op:?}"))),
            Function::Cast(cast) => format!("cast-{}", word(format!("{cast:?}"))),
            other => word(format!("{other:?}")),
        }
    }

    fn apply(&self, k: &mut Builder, load: &mut Load<'_>) -> Result<tile::Operand, NoKernel> {
        let (zero, one) = (k.int(0), k.int(1));
        Ok(match self {
            Function::Expression(e) => expression_with(k, e, load)?,
            Function::Quantized { expression, integers, round } => {
                let y = expression_with(k, expression, &mut |k, i| {
                    let x = load(k, i)?;
                    let whole = integers.get(i as usize).copied().unwrap_or(false);
                    Ok(if whole { k.vector(VectorOp::ToFloat(x)) } else { x })
                })?;
                if *round { k.vector(VectorOp::ToInt(y)) } else { y }
            }
            Function::CompareFloat(op) => {
                let (a, b) = (load(k, 0)?, load(k, 1)?);
                let mask = comparison(k, *op, a, b)?;
                k.select(mask, one, zero)
            }
            Function::CompareInt(op) => {
                let (a, b) = (load(k, 0)?, load(k, 1)?);
                let cmp = relation(*op).ok_or_else(|| NoKernel(format!("{op:?} is not a comparison")))?;
                let mask = k.mask(MaskOp::CmpInt(cmp, a, b));
                k.select(mask, one, zero)
            }
            Function::Int(op) => {
                let (a, b) = (load(k, 0)?, load(k, 1)?);
                k.vector(VectorOp::Int(*op, a, b))
            }
            Function::Not => {
                let x = load(k, 0)?;
                let mask = k.mask(MaskOp::CmpInt(Cmp::Eq, x, zero.clone()));
                k.select(mask, one, zero)
            }
            Function::IsNaN => {
                let x = load(k, 0)?;
                let mask = k.cmp(Cmp::Ne, x.clone(), x);
                k.select(mask, one, zero)
            }
            Function::Where => {
                let c = load(k, 0)?;
                let mask = k.mask(MaskOp::CmpInt(Cmp::Ne, c, zero));
                let (a, b) = (load(k, 1)?, load(k, 2)?);
                k.select(mask, a, b)
            }
            Function::Cast(cast) => {
                let x = load(k, 0)?;
                cast.apply(k, x)
            }
        })
    }
}

impl Cast {
    fn apply(self, k: &mut Builder, x: tile::Operand) -> tile::Operand {
        let (zero, one) = (k.int(0), k.int(1));
        match self {
            Cast::Same => x,
            Cast::IntToFloat => k.vector(VectorOp::ToFloat(x)),
            Cast::FloatToInt => {
                let x = k.unary(FloatUn::Trunc, x);
                k.vector(VectorOp::ToInt(x))
            }
            Cast::FloatToBool => {
                let none = k.float(0.0);
                let mask = k.cmp(Cmp::Ne, x, none);
                k.select(mask, one, zero)
            }
            Cast::IntToBool => {
                let mask = k.mask(MaskOp::CmpInt(Cmp::Ne, x, zero.clone()));
                k.select(mask, one, zero)
            }
        }
    }

    fn of(from: DType, to: DType) -> Option<Cast> {
        let float = |d| matches!(d, DType::F32 | DType::F16 | DType::BF16);
        let narrow = |d| matches!(d, DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::Bool);
        let signed = |d| narrow(d) || d == DType::I32;
        Some(match (from, to) {
            (a, b) if a == b || float(a) && float(b) => Cast::Same,
            (a, DType::Bool) if float(a) => Cast::FloatToBool,
            (a, DType::Bool) if signed(a) => Cast::IntToBool,
            (a, DType::I32) if float(a) => Cast::FloatToInt,
            (a, b) if signed(a) && float(b) => Cast::IntToFloat,
            (a, DType::I32) if narrow(a) => Cast::Same,
            _ => return None,
        })
    }
}

/// The function of a node, scalar constants folded in, and which inputs are left.
fn function(cx: &LowerContext<'_>, node: &Node) -> Result<(Function, Vec<usize>), NoKernel> {
    let dtype = |i: usize| node.inputs.get(i).map(|v| cx.graph.ty(*v).dtype);
    let all: Vec<usize> = (0..node.inputs.len()).collect();
    let refuse = || NoKernel(format!("{:?} of {}", node.op, dtype(0).map_or("nothing", DType::name)));
    let function = match &node.op {
        Op::Unary(UnaryOp::Not) if dtype(0) == Some(DType::Bool) => Function::Not,
        Op::Unary(UnaryOp::IsNaN) if dtype(0) == Some(DType::F32) => Function::IsNaN,
        Op::Unary(op) if dtype(0) == Some(DType::F32) => {
            Function::Expression(Expression { steps: vec![Step::Unary(*op, Arg::Input(0))] })
        }
        Op::Binary(op) => binary_function(*op, dtype(0)).ok_or_else(refuse)?,
        Op::Elementwise(e) => Function::Expression(e.clone()),
        Op::Requantize { expression, .. } => Function::Expression(expression.clone()),
        Op::Where if dtype(0) == Some(DType::Bool) && dtype(1) == dtype(2) => Function::Where,
        Op::Cast(to) => {
            let cast = dtype(0).and_then(|from| Cast::of(from, *to));
            Function::Cast(cast.ok_or_else(refuse)?)
        }
        _ => return Err(refuse()),
    };
    let Function::Expression(mut e) = function else { return Ok((function, all)) };
    let quantized = matches!(node.op, Op::Requantize { .. });
    if !quantized && node.inputs.iter().any(|v| cx.graph.ty(*v).dtype != DType::F32) {
        return Err(refuse());
    }
    let constants: Vec<Option<f32>> = node.inputs.iter().map(|v| constant_scalar(cx, *v)).collect();
    let left: Vec<usize> = all.into_iter().filter(|i| constants[*i].is_none()).collect();
    let rename = |arg: &mut Arg| {
        if let Arg::Input(i) = *arg {
            match constants.get(i as usize).copied().flatten() {
                Some(c) => *arg = Arg::Const(c),
                None => *arg = Arg::Input(left.iter().position(|l| *l == i as usize).unwrap_or(0) as u32),
            }
        }
    };
    for step in &mut e.steps {
        match step {
            Step::Unary(_, a) => rename(a),
            Step::Binary(_, a, b) => {
                rename(a);
                rename(b);
            }
        }
    }
    if !quantized {
        return Ok((Function::Expression(e), left));
    }
    let integers = left.iter().map(|i| dtype(*i) != Some(DType::F32)).collect();
    let round = node.outputs.iter().any(|v| cx.graph.ty(*v).dtype != DType::F32);
    Ok((Function::Quantized { expression: e, integers, round }, left))
}

fn binary_function(op: BinaryOp, dtype: Option<DType>) -> Option<Function> {
    let arithmetic = matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Fmod
            | BinaryOp::Pow
            | BinaryOp::Min
            | BinaryOp::Max
            | BinaryOp::PRelu
    );
    Some(match dtype? {
        DType::F32 if relation(op).is_some() => Function::CompareFloat(op),
        DType::F32 if arithmetic => {
            Function::Expression(Expression { steps: vec![Step::Binary(op, Arg::Input(0), Arg::Input(1))] })
        }
        DType::I32 | DType::U8 | DType::I8 | DType::Bool if relation(op).is_some() => Function::CompareInt(op),
        DType::Bool => Function::Int(match op {
            BinaryOp::And => IntBin::And,
            BinaryOp::Or => IntBin::Or,
            BinaryOp::Xor => IntBin::Xor,
            _ => return None,
        }),
        DType::I32 => Function::Int(match op {
            BinaryOp::Add => IntBin::Add,
            BinaryOp::Sub => IntBin::Sub,
            BinaryOp::Mul => IntBin::Mul,
            BinaryOp::Min => IntBin::Min,
            BinaryOp::Max => IntBin::Max,
            _ => return None,
        }),
        _ => return None,
    })
}

/// Lowers Unary, Binary, Elementwise, Requantize, Where and Cast.
pub fn lower(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    let (function, inputs) = function(cx, node)?;
    let Some(&result) = node.outputs.first() else { return Ok(Lowered::default()) };
    let format = |value| {
        let dtype = cx.graph.ty(value).dtype;
        storage(dtype).ok_or_else(|| NoKernel(format!("elements of type {}", dtype.name())))
    };
    let view = cx.view(result)?;
    let mut storages = vec![format(result)?];
    let (dims, strides) = nest_of(view, storages[0].bytes() as usize);
    let mut nest = Nest::new(&dims, vec![strides]);
    let mut operands = vec![Operand::Value(result, 0)];
    let mut zero = true;
    for i in inputs {
        let value = node.inputs[i];
        storages.push(format(value)?);
        let (operand, strides) = match view {
            View::Plain { dims, .. } => {
                let (operand, from) = place(cx, value)?;
                (operand, broadcast(&from, dims)?)
            }
            View::Blocked { dims, lanes, .. } => {
                let (operand, strides, padded) = blocked_operand(cx, node, value, (dims, *lanes))?;
                zero &= padded;
                (operand, strides)
            }
        };
        operands.push(operand);
        nest.strides.push(strides);
    }
    let mut masked = false;
    if let View::Blocked { dims: [_, c, ..], lanes, .. } = view {
        let quantized = matches!(function, Function::Quantized { .. });
        if !quantized && storages.iter().any(|s| *s != Storage::B32) {
            return Err(NoKernel("blocked elements that are not four bytes".into()));
        }
        masked = c % lanes != 0
            && storages[0] == Storage::B32
            && !(zero && matches!(&function, Function::Expression(e) if keeps_zero(e)));
        if masked {
            let words = (0..c.next_multiple_of(*lanes)).map(|i| if i < *c { u32::MAX } else { 0 });
            operands.push(Operand::Table(words.flat_map(u32::to_le_bytes).collect()));
            nest.strides.push(vec![0, 4 * *lanes as i64, 0, 0, 4]);
            storages.push(Storage::B32);
        }
    }
    let (kernel, extent) = Spec { nest, storages, function, masked }.build(cx.target)?;
    let mut calls = vec![KernelCall { kernel, operands, args: vec![], extent, barrier_before: false }];
    calls.extend(fill_halo(cx, result)?);
    calls.retain(|c| c.extent > 0);
    Ok(Lowered { calls, temporaries: vec![] })
}
