//! Operators of `com.microsoft` that onnxruntime's quantiser and transformer optimiser write into files.
//!
//! Specification: <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md>. Each is imported as what it
//! stands for: the QLinear operators as operands dequantised, the standard operator, its result quantised; the fused ones as
//! the operators that were fused.

use crate::attributes::Attributes;
use crate::context::{Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use crate::flatten::FlatNode;
use crate::registry::{MAX_OPSET, find};
use brolga_compiler::ir::{BinaryOp, Expression, Ints, Op, Source, UnaryOp, ValueId, Weight};
use brolga_proto::AttributeProto;
use brolga_runtime::DType;
use std::sync::LazyLock;

/// Imports the node as a standard operator of an opset, with the node's attributes and other operands.
fn standard(cx: &mut Context<'_, '_>, op: &'static str, opset: i64, inputs: Vec<Option<ValueId>>) -> Results {
    let attributes = cx.node.attributes.clone();
    standard_with(cx, op, opset, inputs, attributes)
}

fn standard_with<'a>(
    cx: &mut Context<'a, '_>,
    op: &'static str,
    opset: i64,
    inputs: Vec<Option<ValueId>>,
    attributes: Attributes<'a>,
) -> Results {
    let node = FlatNode {
        name: cx.node.name.clone(),
        op,
        domain: "",
        opset: Some(opset),
        inputs: Vec::new(),
        outputs: cx.node.outputs.clone(),
        attributes,
        bodies: Vec::new(),
    };
    let Some(entry) = find(op, "", opset)? else { return unsupported(format!("opset {opset} has no {op}")) };
    let (loaded, symbols, names) = (cx.loaded, cx.symbols, cx.names);
    let captured = Vec::new();
    (entry.import)(&mut Context { loaded, graph: cx.graph, node: &node, opset, inputs, symbols, names, captured })
}

/// Operand `at` as f32; its scale is operand `scale_at`, and its zero point, which may be left out, the next.
fn dequantized(cx: &mut Context<'_, '_>, at: usize, scale_at: usize, axis: usize) -> Result<ValueId, NodeError> {
    let operands: Vec<ValueId> =
        [cx.input(at)?, cx.input(scale_at)?].into_iter().chain(cx.optional(scale_at + 1)).collect();
    cx.emit(Op::Dequantize { to: DType::F32, axis, block: 0 }, &operands)
}

/// The result in the type of its zero point, or of an operand where there is none; operands `scale_at` and the next describe it.
fn quantized(cx: &mut Context<'_, '_>, y: ValueId, scale_at: usize, otherwise: DType) -> Results {
    let zero = cx.optional(scale_at + 1);
    let to = zero.map_or(otherwise, |zero| cx.dtype(zero));
    let operands: Vec<ValueId> = [y, cx.input(scale_at)?].into_iter().chain(zero).collect();
    let op = Op::Quantize { to, axis: 0, block: 0, precision: DType::F32, saturate: true };
    Ok(vec![cx.emit(op, &operands)?])
}

/// A standard operator of quantised operands, at pairs of positions of an operand and its scale, in the meaning of an opset.
fn between(cx: &mut Context<'_, '_>, op: &'static str, opset: i64, at: &[(usize, usize)], scale_at: usize) -> Results {
    let first = at.first().map_or(0, |(at, _)| *at);
    let dtype = cx.dtype(cx.input(first)?);
    let operands = at.iter().map(|(at, scale)| dequantized(cx, *at, *scale, 0).map(Some)).collect::<Result<_, _>>()?;
    match standard(cx, op, opset, operands)?[..] {
        [y, ..] => quantized(cx, y, scale_at, dtype),
        [] => invalid("it has no result"),
    }
}

/// QLinearAdd, QLinearMul.
pub(crate) fn q_binary(cx: &mut Context<'_, '_>) -> Results {
    let op = if cx.node.op == "QLinearAdd" { "Add" } else { "Mul" };
    between(cx, op, MAX_OPSET, &[(0, 1), (3, 4)], 6)
}

/// Operators of one operand.
pub(crate) fn q_unary(cx: &mut Context<'_, '_>) -> Results {
    if cx.node.attributes.flag("channels_last")? {
        return unsupported("channels_last; images with their channels before rows are accepted");
    }
    let (op, opset) = match cx.node.op {
        "QLinearSigmoid" => ("Sigmoid", MAX_OPSET),
        "QLinearLeakyRelu" => ("LeakyRelu", MAX_OPSET),
        "QLinearGlobalAveragePool" => ("GlobalAveragePool", MAX_OPSET),
        "QLinearAveragePool" => ("AveragePool", MAX_OPSET),
        // It means what the opset in its attribute does.
        "QLinearSoftmax" => ("Softmax", cx.node.attributes.int_or("opset", 13)?),
        other => return unsupported(format!("{other} is not a function of one quantised operand")),
    };
    between(cx, op, opset, &[(0, 1)], 3)
}

/// QLinearConcat: scale and zero point of the result, then each operand with its own.
pub(crate) fn q_concat(cx: &mut Context<'_, '_>) -> Results {
    let operands: Vec<(usize, usize)> = (2..cx.inputs.len()).step_by(3).map(|at| (at, at + 1)).collect();
    if operands.is_empty() {
        return invalid("it has no operands");
    }
    between(cx, "Concat", MAX_OPSET, &operands, 0)
}

/// QLinearWhere: the condition is no quantised operand.
pub(crate) fn q_where(cx: &mut Context<'_, '_>) -> Results {
    let (condition, dtype) = (cx.input(0)?, cx.dtype(cx.input(1)?));
    let (a, b) = (dequantized(cx, 1, 2, 0)?, dequantized(cx, 4, 5, 0)?);
    let y = cx.emit(Op::Where, &[condition, a, b])?;
    quantized(cx, y, 7, dtype)
}

/// QGemm: C is in i32 with the product of both scales; without a scale of the result that is f32.
pub(crate) fn q_gemm(cx: &mut Context<'_, '_>) -> Results {
    let dtype = cx.dtype(cx.input(0)?);
    let columns = usize::from(!cx.node.attributes.flag("transB")?);
    let mut operands = vec![Some(dequantized(cx, 0, 1, 0)?), Some(dequantized(cx, 3, 4, columns)?)];
    if let Some(c) = cx.optional(6) {
        let (of_a, of_b) = (cx.input(1)?, cx.input(4)?);
        let mut scale = cx.binary(BinaryOp::Mul, of_b, of_a)?;
        let alpha = cx.node.attributes.float_or("alpha", 1.0)?;
        if alpha != 1.0 {
            let alpha = cx.scalar(DType::F32, f64::from(alpha))?;
            scale = cx.binary(BinaryOp::Mul, scale, alpha)?;
        }
        let axis = cx.rank(c).saturating_sub(1);
        operands.push(Some(cx.emit(Op::Dequantize { to: DType::F32, axis, block: 0 }, &[c, scale])?));
    }
    match (standard(cx, "Gemm", MAX_OPSET, operands)?[..].first(), cx.optional(7)) {
        (Some(y), Some(_)) => quantized(cx, *y, 7, dtype),
        (Some(y), None) => Ok(vec![*y]),
        (None, _) => invalid("it has no result"),
    }
}

/// Gelu, FastGelu, BiasGelu, QuickGelu: a sum with a row, then the function.
pub(crate) fn gelu(cx: &mut Context<'_, '_>) -> Results {
    let op = match cx.node.op {
        "FastGelu" => UnaryOp::GeluTanh,
        "QuickGelu" => UnaryOp::Silu { alpha: cx.node.attributes.float_or("alpha", 1.702)? },
        _ => UnaryOp::Gelu,
    };
    let mut x = cx.input(0)?;
    if let Some(bias) = cx.optional(1) {
        x = cx.binary(BinaryOp::Add, x, bias)?;
    }
    Ok(vec![cx.unary(op, x)?])
}

/// The activation of a fused node, by its name and its up to two numbers.
fn activation(name: &str, numbers: [Option<f32>; 2]) -> Result<Option<UnaryOp>, NodeError> {
    let [a, b] = numbers;
    Ok(Some(match name {
        "" => return Ok(None),
        "Relu" => UnaryOp::Relu,
        "Tanh" => UnaryOp::Tanh,
        "Sigmoid" => UnaryOp::Sigmoid,
        "LeakyRelu" => UnaryOp::LeakyRelu { alpha: a.unwrap_or(0.01) },
        "HardSigmoid" => UnaryOp::HardSigmoid { alpha: a.unwrap_or(0.2), beta: b.unwrap_or(0.5) },
        "Clip" => UnaryOp::Clip { lo: a.unwrap_or(f32::MIN), hi: b.unwrap_or(f32::MAX) },
        other => {
            let known = "Relu, Tanh, Sigmoid, LeakyRelu, HardSigmoid and Clip";
            return unsupported(format!("the activation {other}; {known} are accepted"));
        }
    }))
}

/// FusedConv and FusedGemm: a standard operator, for convolutions the sum with operand 3, an activation.
pub(crate) fn fused_product(cx: &mut Context<'_, '_>) -> Results {
    let attributes = &cx.node.attributes;
    let (op, numbers) = if cx.node.op == "FusedConv" {
        let list = attributes.floats("activation_params")?.unwrap_or_default();
        ("Conv", [list.first().copied(), list.get(1).copied()])
    } else {
        ("Gemm", [attributes.float("activation_alpha")?, attributes.float("activation_beta")?])
    };
    let function = activation(attributes.text_or("activation", "")?, numbers)?;
    let operands = vec![Some(cx.input(0)?), Some(cx.input(1)?), cx.optional(2)];
    let Some(mut y) = standard(cx, op, MAX_OPSET, operands)?.first().copied() else {
        return invalid("it has no result");
    };
    if let Some(addend) = cx.optional(3) {
        y = cx.binary(BinaryOp::Add, y, addend)?;
    }
    if let Some(function) = function {
        y = cx.unary(function, y)?;
    }
    Ok(vec![y])
}

/// FusedMatMul: `alpha * a * b`, either turned.
pub(crate) fn fused_matmul(cx: &mut Context<'_, '_>) -> Results {
    let attributes = &cx.node.attributes;
    if attributes.flag("transBatchA")? || attributes.flag("transBatchB")? {
        return unsupported("transBatchA and transBatchB; products whose batches come first are accepted");
    }
    let (trans_a, trans_b) = (attributes.flag("transA")?, attributes.flag("transB")?);
    let alpha = attributes.float_or("alpha", 1.0)?;
    let operands = [cx.input(0)?, cx.input(1)?];
    let y = cx.emit(Op::MatMul { trans_a, trans_b, bias: false, epilogue: Expression::default() }, &operands)?;
    if alpha == 1.0 {
        return Ok(vec![y]);
    }
    let alpha = cx.scalar(cx.dtype(y), f64::from(alpha))?;
    Ok(vec![cx.binary(BinaryOp::Mul, y, alpha)?])
}

/// SkipLayerNormalization, SkipSimplifiedLayerNormalization: the sum of two tensors and a row, normalised; result 3 is the sum.
pub(crate) fn skip_norm(cx: &mut Context<'_, '_>) -> Results {
    let whole = cx.node.op == "SkipLayerNormalization";
    if cx.wants(1) || cx.wants(2) {
        return unsupported("results 1 and 2 (mean and deviation); results 0 and 3 are accepted");
    }
    let (x, skip, bias) = (cx.input(0)?, cx.input(1)?, cx.optional(if whole { 4 } else { 3 }));
    let mut sum = cx.binary(BinaryOp::Add, x, skip)?;
    if let Some(bias) = bias {
        sum = cx.binary(BinaryOp::Add, sum, bias)?;
    }
    let (op, beta) = if whole { ("LayerNormalization", cx.optional(3)) } else { ("RMSNormalization", None) };
    let gamma = cx.input(2)?;
    let y = normalized(cx, op, sum, gamma, beta)?;
    // Results 1 and 2 stand for what nobody reads.
    Ok(vec![y, y, y, sum])
}

/// A standard normalisation of the last dimension, with the node's epsilon.
pub(super) fn normalized(
    cx: &mut Context<'_, '_>,
    op: &'static str,
    x: ValueId,
    gamma: ValueId,
    beta: Option<ValueId>,
) -> Result<ValueId, NodeError> {
    static EPSILON: LazyLock<AttributeProto> =
        LazyLock::new(|| AttributeProto { name: "epsilon".into(), f: 1e-12, r#type: 1, ..Default::default() });
    let mut attributes = cx.node.attributes.clone();
    if attributes.get("epsilon").is_none() {
        attributes.push("epsilon", &EPSILON);
    }
    match standard_with(cx, op, MAX_OPSET, vec![Some(x), Some(gamma), beta], attributes)?[..] {
        [y, ..] => Ok(y),
        [] => invalid("it has no result"),
    }
}

/// The elements of an initializer's bytes: of four bits, the low before the high, or of eight.
fn as_elements(cx: &mut Context<'_, '_>, id: ValueId, bits: i64, shape: [usize; 2]) -> Result<ValueId, NodeError> {
    let dtype = if bits == 4 { DType::U4 } else { DType::U8 };
    let plain = cx.graph.weight(id).filter(|w| w.dtype == DType::U8 && w.perm.is_empty() && w.scales.is_empty());
    let Some(Source::Bytes(bytes)) = plain.map(|w| w.source.clone()) else {
        return unsupported("packed operands that are computed; initializers of u8 are accepted");
    };
    let wanted = shape[0].checked_mul(shape[1]).and_then(|n| n.checked_mul(bits as usize)).map(|n| n.div_ceil(8));
    if wanted != Some(bytes.len()) {
        return invalid(format!("an operand has {} bytes; {wanted:?} are expected", bytes.len()));
    }
    let elements = match bits {
        4 => bytes.iter().flat_map(|byte| [byte & 15, byte >> 4]).collect::<Vec<u8>>().into(),
        _ => bytes,
    };
    Ok(cx.weight(Weight::from_bytes(dtype, shape.to_vec(), elements)))
}

/// MatMulNBits: a product with the transpose of `[N, K]` numbers of few bits, a scale and a zero point for each block of a row.
pub(crate) fn matmul_bits(cx: &mut Context<'_, '_>) -> Results {
    let attributes = &cx.node.attributes;
    let size = |name: &str| match usize::try_from(attributes.required(name, attributes.int(name)?)?) {
        Ok(n) if (1..1 << 31).contains(&n) => Ok(n),
        _ => invalid(format!("{name} is no size")),
    };
    let (k, n, block, bits) = (size("K")?, size("N")?, size("block_size")?, attributes.int_or("bits", 4)?);
    if !matches!(bits, 4 | 8) || cx.optional(4).is_some() {
        return unsupported(format!("{bits} bits, or rows in another order; 4 or 8 bits in order are accepted"));
    }
    // Blocks fill whole bytes.
    if !block.is_power_of_two() || block < 16 {
        return invalid(format!("block_size is {block}; a power of two from 16 is expected"));
    }
    let (blocks, per_byte) = (k.div_ceil(block), 8 / bits as usize);
    let (a, b, scales) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let weight = as_elements(cx, b, bits, [n, blocks * block])?;
    let scales = cx.reshape(scales, vec![n.into(), blocks.into()])?;
    let slice = |cx: &mut Context<'_, '_>, id: ValueId, end: usize| {
        let (starts, ends) = (Ints::Known(vec![0usize.into()]), Ints::Known(vec![end.into()]));
        cx.emit(Op::Slice { axes: vec![1], starts, ends, steps: vec![1] }, &[id])
    };
    let zero = match cx.optional(3) {
        Some(zero) => {
            let row = blocks.next_multiple_of(per_byte);
            let all = as_elements(cx, zero, bits, [n, row])?;
            if row == blocks { all } else { slice(cx, all, blocks)? }
        }
        None => cx.splat(cx.dtype(weight), vec![n, blocks], if bits == 4 { 8.0 } else { 128.0 })?,
    };
    let to = cx.dtype(a);
    let mut weight = cx.emit(Op::Dequantize { to, axis: 1, block }, &[weight, scales, zero])?;
    if blocks * block != k {
        weight = slice(cx, weight, k)?;
    }
    let op = Op::MatMul { trans_a: false, trans_b: true, bias: false, epilogue: Expression::default() };
    let y = cx.emit(op, &[a, weight])?;
    match cx.optional(5) {
        Some(bias) => Ok(vec![cx.binary(BinaryOp::Add, y, bias)?]),
        None => Ok(vec![y]),
    }
}
