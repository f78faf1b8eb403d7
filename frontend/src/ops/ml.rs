//! The domain `ai.onnx.ml`: preparation of features and labels.
//!
//! Specification: <https://onnx.ai/onnx/operators/index.html#ai-onnx-ml>. LabelEncoder has one list of classes in version 1, keys and
//! values from 2, tensors of them from 4.

use crate::context::{Context, Results};
use crate::error::{NodeError, invalid};
use brolga_compiler::ir::{BinaryOp, Dim, Ints, Op, PadMode, ReduceKind, Type, UnaryOp, ValueId, Weight};
use brolga_runtime::DType;
use brolga_runtime::library::{Attribute, Function};

/// A constant list of floats.
pub(super) fn floats(cx: &mut Context<'_, '_>, shape: Vec<usize>, list: &[f32]) -> ValueId {
    let bytes: Vec<u8> = list.iter().flat_map(|x| x.to_le_bytes()).collect();
    cx.weight(Weight::from_bytes(DType::F32, shape, bytes.into()))
}

/// An attribute that is a list, as a constant; `None` when it is left out.
fn list(cx: &mut Context<'_, '_>, name: &str) -> Result<Option<ValueId>, NodeError> {
    Ok(match cx.node.attributes.value(name)? {
        Some(Attribute::Floats(list)) => Some(floats(cx, vec![list.len()], &list)),
        Some(Attribute::Ints(list)) => Some(cx.weight_ints(vec![list.len()], &list)),
        Some(Attribute::Texts(list)) => Some(cx.texts(&[list.len() as i64], list)?),
        Some(_) => return invalid(format!("attribute {name:?} is no list")),
        None => match cx.node.attributes.tensor(name)? {
            Some(tensor) => Some(cx.weight_of(tensor)?),
            None => None,
        },
    })
}

/// The one of these attributes that is given.
fn one_of(cx: &mut Context<'_, '_>, names: &[&str]) -> Result<ValueId, NodeError> {
    let mut found = Vec::new();
    for name in names {
        found.extend(list(cx, name)?);
    }
    match found[..] {
        [one] => Ok(one),
        _ => invalid(format!("{} of {} are given; one is expected", found.len(), names.join(", "))),
    }
}

/// Rows of the matrix that an operand is; a vector is one row.
pub(super) fn rows(cx: &Context<'_, '_>, x: ValueId) -> Result<Dim, NodeError> {
    match &cx.shape(x)[..] {
        [_] => Ok(Dim::Const(1)),
        [rows, _] => Ok(rows.clone()),
        _ => invalid(format!("its operand is {}; shapes [C] and [N, C] are accepted", cx.ty(x))),
    }
}

pub(crate) fn array_feature_extractor(cx: &mut Context<'_, '_>) -> Results {
    let (x, at) = (cx.input(0)?, cx.input(1)?);
    let mut shape = cx.shape(x);
    if shape.pop().is_none() {
        return invalid("its operand is a scalar");
    }
    if shape.is_empty() {
        shape.push(Dim::Const(1));
    }
    shape.push(crate::context::product(&cx.shape(at)));
    let ty = Type::new(cx.dtype(x), shape);
    cx.function(Function::new("array_feature_extractor", 2), &[Some(x), Some(at)], vec![ty])
}

pub(crate) fn binarizer(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    let wide = if dtype.is_float() { dtype } else { DType::F64 };
    let threshold = f64::from(cx.node.attributes.float_or("threshold", 0.0)?);
    let (a, b) = (cx.cast(x, wide)?, cx.scalar(wide, threshold)?);
    let above = cx.binary(BinaryOp::Greater, a, b)?;
    Ok(vec![cx.cast(above, dtype)?])
}

/// `keys` and `values`, and what stands for the rest.
fn encode(cx: &mut Context<'_, '_>, keys: ValueId, values: ValueId, default: ValueId) -> Results {
    let x = cx.input(0)?;
    let (have, want) = (cx.dtype(x), cx.dtype(keys));
    let alike = have == want || (have != DType::String && want != DType::String);
    if !alike || cx.dtype(values) != cx.dtype(default) {
        return invalid(format!("its operand is of {have}, its keys of {want}; one type is expected"));
    }
    let x = if have == want { x } else { cx.cast(x, want)? };
    if cx.ty(keys).elements() != cx.ty(values).elements() {
        return invalid("it has not as many keys as values");
    }
    let ty = Type::new(cx.dtype(values), cx.shape(x));
    cx.function(Function::new("label_encoder", 4), &[Some(x), Some(keys), Some(values), Some(default)], vec![ty])
}

/// What a list of integers and a list of texts map to each other: towards texts when the operand is integers.
fn both_ways(cx: &mut Context<'_, '_>, ints: ValueId, texts: ValueId) -> Results {
    if cx.dtype(cx.input(0)?) == DType::String {
        let default = cx.node.attributes.int_or("default_int64", -1)?;
        let default = cx.weight_ints(vec![1], &[default]);
        encode(cx, texts, ints, default)
    } else {
        let default = cx.node.attributes.text_or("default_string", "_Unused")?.to_owned();
        let default = cx.texts(&[1], vec![default])?;
        encode(cx, ints, texts, default)
    }
}

pub(crate) fn category_mapper(cx: &mut Context<'_, '_>) -> Results {
    let ints = one_of(cx, &["cats_int64s"])?;
    let texts = one_of(cx, &["cats_strings"])?;
    both_ways(cx, ints, texts)
}

pub(crate) fn label_encoder(cx: &mut Context<'_, '_>) -> Results {
    if cx.opset < 2 {
        let texts = one_of(cx, &["classes_strings"])?;
        let count = cx.ty(texts).elements().and_then(|n| i64::try_from(n).ok()).unwrap_or(0);
        let ints = cx.weight_ints(vec![count as usize], &(0..count).collect::<Vec<_>>());
        return both_ways(cx, ints, texts);
    }
    let keys = one_of(cx, &["keys_floats", "keys_int64s", "keys_strings", "keys_tensor"])?;
    let values = one_of(cx, &["values_floats", "values_int64s", "values_strings", "values_tensor"])?;
    let attributes = &cx.node.attributes;
    let default = match (attributes.tensor("default_tensor")?, cx.dtype(values)) {
        (Some(tensor), _) => cx.weight_of(tensor)?,
        (None, DType::String) => {
            let text = attributes.text_or("default_string", "_Unused")?.to_owned();
            cx.texts(&[1], vec![text])?
        }
        (None, dtype) if dtype.is_float() => {
            let default = attributes.float_or("default_float", -0.0)?;
            cx.splat(dtype, vec![1], f64::from(default))?
        }
        (None, dtype) => {
            let default = attributes.int_or("default_int64", -1)?;
            cx.splat(dtype, vec![1], default as f64)?
        }
    };
    encode(cx, keys, values, default)
}

pub(crate) fn one_hot_encoder(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let categories = one_of(cx, &["cats_int64s", "cats_strings"])?;
    if (cx.dtype(x) == DType::String) != (cx.dtype(categories) == DType::String) {
        return invalid(format!("its operand is of {}, its categories of {}", cx.dtype(x), cx.dtype(categories)));
    }
    let function = cx.copy_attributes(Function::new("one_hot_encoder", 2), &["zeros"])?;
    let mut shape = cx.shape(x);
    shape.extend(cx.shape(categories));
    cx.function(function, &[Some(x), Some(categories)], vec![Type::new(DType::F32, shape)])
}

/// A list attribute of one float or one for each column, to broadcast against the operand.
fn by_column(cx: &mut Context<'_, '_>, name: &str, default: f32) -> Result<ValueId, NodeError> {
    let list = cx.node.attributes.floats(name)?.unwrap_or(&[]).to_vec();
    let list = if list.is_empty() { vec![default] } else { list };
    Ok(floats(cx, vec![list.len()], &list))
}

pub(crate) fn scaler(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let x = cx.cast(x, DType::F32)?;
    let (offset, scale) = (by_column(cx, "offset", 0.0)?, by_column(cx, "scale", 1.0)?);
    let centred = cx.binary(BinaryOp::Sub, x, offset)?;
    Ok(vec![cx.binary(BinaryOp::Mul, centred, scale)?])
}

pub(crate) fn normalizer(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    rows(cx, x)?;
    let (axis, x) = (cx.rank(x) - 1, cx.cast(x, DType::F32)?);
    let kind = match cx.node.attributes.text_or("norm", "MAX")? {
        "MAX" => ReduceKind::Max,
        "L1" => ReduceKind::L1,
        "L2" => ReduceKind::L2,
        other => return invalid(format!("norm {other:?}; MAX, L1 or L2 is expected")),
    };
    // The specification divides by the largest element, which may be negative.
    let norm = cx.emit(Op::Reduce { kind, axes: vec![axis], keep: true }, &[x])?;
    // A row of zeros stays one.
    let (zero, one) = (cx.scalar(DType::F32, 0.0)?, cx.scalar(DType::F32, 1.0)?);
    let none = cx.binary(BinaryOp::Equal, norm, zero)?;
    let divisor = cx.emit(Op::Where, &[none, one, norm])?;
    Ok(vec![cx.binary(BinaryOp::Div, x, divisor)?])
}

pub(crate) fn imputer(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    let float = dtype.is_float();
    let name = if float { "imputed_value_floats" } else { "imputed_value_int64s" };
    let values = one_of(cx, &[name])?;
    let values = cx.cast(values, dtype)?;
    let attributes = &cx.node.attributes;
    let replaced = if float {
        f64::from(attributes.float_or("replaced_value_float", 0.0)?)
    } else {
        attributes.int_or("replaced_value_int64", 0)? as f64
    };
    let missing = if replaced.is_nan() {
        cx.unary(UnaryOp::IsNaN, x)?
    } else {
        let replaced = cx.scalar(dtype, replaced)?;
        cx.binary(BinaryOp::Equal, x, replaced)?
    };
    Ok(vec![cx.emit(Op::Where, &[missing, values, x])?])
}

pub(crate) fn feature_vectorizer(cx: &mut Context<'_, '_>) -> Results {
    let widths = cx.node.attributes.ints("inputdimensions")?.unwrap_or(&[]);
    let inputs = cx.all_inputs()?;
    if widths.len() != inputs.len() {
        return invalid(format!("inputdimensions has {} extents; {} are expected", widths.len(), inputs.len()));
    }
    let mut parts = Vec::with_capacity(inputs.len());
    for (x, width) in inputs.into_iter().zip(widths) {
        let rows = rows(cx, x)?;
        let Some(columns) = cx.shape(x).last().cloned() else { return invalid("an operand is a scalar") };
        let x = cx.cast(x, DType::F32)?;
        let x = if cx.rank(x) == 1 { cx.reshape(x, vec![rows, columns.clone()])? } else { x };
        parts.push(match columns.known() {
            Some(own) if own < *width => {
                let pads = [0, 0, 0, width - own].map(Dim::Const).to_vec();
                cx.emit(Op::Pad { mode: PadMode::Constant(0.0), pads: Ints::Known(pads) }, &[x])?
            }
            Some(own) if own == *width => x,
            _ => {
                let (starts, ends) = (Ints::Known(vec![Dim::Const(0)]), Ints::Known(vec![Dim::Const(*width)]));
                cx.emit(Op::Slice { axes: vec![1], starts, ends, steps: vec![1] }, &[x])?
            }
        });
    }
    Ok(vec![match parts[..] {
        [one] => one,
        _ => cx.emit(Op::Concat { axis: 1 }, &parts)?,
    }])
}
