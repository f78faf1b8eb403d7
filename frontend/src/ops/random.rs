//! Random tensors: RandomNormal, RandomUniform, RandomNormalLike, RandomUniformLike, Bernoulli, Multinomial.
//!
//! Specification: <https://onnx.ai/onnx/operators/>. Opset 22 adds types. With the attribute `seed` every run gives the same elements;
//! without it each run gives others.

use super::rearrange::{named_type, with_type};
use super::regions::{float, ranked};
use crate::context::{Context, Results};
use crate::error::{invalid, unsupported};
use brolga_compiler::ir::{Dim, Type};
use brolga_runtime::DType;
use brolga_runtime::library::{Attribute, Function};

const NORMAL: [&str; 3] = ["seed", "mean", "scale"];
const UNIFORM: [&str; 3] = ["seed", "low", "high"];

/// RandomNormal and RandomUniform.
pub(crate) fn filled(cx: &mut Context<'_, '_>) -> Results {
    let dtype = named_type(cx, "dtype")?.unwrap_or(DType::F32);
    let shape = cx.node.attributes.required("shape", cx.node.attributes.ints("shape")?)?.to_vec();
    if let Some(extent) = shape.iter().find(|n| **n < 0) {
        return invalid(format!("shape has an extent of {extent}"));
    }
    let (name, names) =
        if cx.node.op == "RandomNormal" { ("random_normal", NORMAL) } else { ("random_uniform", UNIFORM) };
    let function = with_type(cx.copy_attributes(Function::new(name, 0), &names)?, "dtype", dtype);
    let result = Type::new(dtype, shape.iter().map(|n| Dim::Const(*n)).collect());
    cx.function(function.with("shape", Attribute::Ints(shape)), &[], vec![result])
}

/// RandomNormalLike, RandomUniformLike and Bernoulli.
pub(crate) fn like(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let dtype = named_type(cx, "dtype")?.unwrap_or(cx.dtype(x));
    let (name, names) = match cx.node.op {
        "RandomNormalLike" => ("random_normal", NORMAL),
        "RandomUniformLike" => ("random_uniform", UNIFORM),
        _ => ("bernoulli", ["seed"; 3]),
    };
    let accepted = if name == "bernoulli" { dtype != DType::String } else { dtype.is_float() };
    if !accepted {
        return unsupported(format!("random elements of type {dtype}; floats are accepted"));
    }
    let function = with_type(cx.copy_attributes(Function::new(name, 1), &names)?, "dtype", dtype);
    let result = Type { dtype, ..cx.ty(x).clone() };
    cx.function(function, &[Some(x)], vec![result])
}

pub(crate) fn multinomial(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    float(cx, x)?;
    let shape = ranked(cx, x, 2)?;
    let dtype = named_type(cx, "dtype")?.unwrap_or(DType::I32);
    let samples = cx.node.attributes.int_or("sample_size", 1)?;
    if samples < 1 || shape.len() != 2 || !matches!(dtype, DType::I32 | DType::I64) {
        return invalid("rank 2, a sample size above 0, and i32 or i64 as type are expected");
    }
    let names = ["seed", "sample_size"];
    let function = with_type(cx.copy_attributes(Function::new("multinomial", 1), &names)?, "dtype", dtype);
    cx.function(function, &[Some(x)], vec![Type::new(dtype, vec![shape[0].clone(), Dim::Const(samples)])])
}
