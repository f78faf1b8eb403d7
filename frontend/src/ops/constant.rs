//! Values from attributes: Constant, ConstantOfShape, Range.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__Constant.html>. `value_float` and its kin come with opset 12,
//! `sparse_value` with 11.

use crate::context::{Context, Results};
use crate::error::{invalid, unsupported};
use brolga_compiler::ir::{Dim, Ints, Op, Source, Weight};
use brolga_runtime::DType;
use brolga_runtime::library::Attribute;

pub(crate) fn constant(cx: &mut Context<'_, '_>) -> Results {
    let attributes = &cx.node.attributes;
    let names = [
        "value",
        "sparse_value",
        "value_float",
        "value_floats",
        "value_int",
        "value_ints",
        "value_string",
        "value_strings",
    ];
    let given: Vec<&str> = names.into_iter().filter(|n| attributes.get(n).is_some()).collect();
    let [name] = given[..] else {
        return invalid(format!("it has {} values ({}); one is expected", given.len(), given.join(", ")));
    };
    Ok(vec![match name {
        "value" => {
            let tensor = attributes.required(name, attributes.tensor(name)?)?;
            cx.weight_of(tensor)?
        }
        "value_float" | "value_floats" => {
            let (shape, floats) = match attributes.get(name) {
                Some(a) if name == "value_floats" => (vec![a.floats.len()], a.floats.clone()),
                Some(a) => (vec![], vec![a.f]),
                None => (vec![0], vec![]),
            };
            let bytes: Vec<u8> = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
            cx.weight(Weight::from_bytes(DType::F32, shape, bytes.into()))
        }
        "value_int" => {
            let int = attributes.int_or(name, 0)?;
            cx.weight_ints(vec![], &[int])
        }
        "value_ints" => {
            let ints = attributes.ints(name)?.unwrap_or_default();
            cx.weight_ints(vec![ints.len()], ints)
        }
        "sparse_value" => return unsupported("a sparse value; a dense one is accepted"),
        "value_string" => {
            let text = attributes.text_or(name, "")?.to_owned();
            cx.texts(&[], vec![text])?
        }
        _ => match attributes.value(name)? {
            Some(Attribute::Texts(texts)) => cx.texts(&[texts.len() as i64], texts)?,
            _ => return invalid(format!("attribute {name:?} is no list of texts")),
        },
    }])
}

pub(crate) fn constant_of_shape(cx: &mut Context<'_, '_>) -> Results {
    let shape = cx.input(0)?;
    let (dtype, splat) = match cx.node.attributes.tensor("value")? {
        None => (DType::F32, [0u8; 8]),
        Some(tensor) => {
            let weight = crate::types::weight(cx.loaded, tensor)?;
            let mut first = [0u8; 8];
            match &weight.source {
                Source::Bytes(bytes) if weight.len() == 1 => {
                    first.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
                }
                _ => return invalid(format!("its value has {} elements; one is expected", weight.len())),
            }
            (weight.dtype, first)
        }
    };
    let ints = cx.ints(shape, 0);
    let known = match &ints {
        Ints::Known(dims) => dims.iter().map(Dim::known).collect::<Option<Vec<i64>>>(),
        Ints::Input(_) => None,
    };
    if let Some(known) = known {
        let dims = known.iter().map(|d| usize::try_from(*d).ok()).collect::<Option<Vec<usize>>>();
        let Some(dims) = dims.filter(|d| brolga_runtime::element_count(d).is_some_and(|n| n < 1 << 58)) else {
            return invalid(format!("its shape is {known:?}, which no memory can hold"));
        };
        return Ok(vec![cx.weight(Weight::splat(dtype, dims, splat))]);
    }
    let one = Weight::splat(dtype, vec![1], splat);
    let id = cx.weight(one);
    let Some([value]) = cx.known_floats(id).as_deref().and_then(|v| <[f64; 1]>::try_from(v).ok()) else {
        return unsupported(format!("a shape known at run time with elements of {dtype}"));
    };
    let operands = if matches!(ints, Ints::Known(_)) { vec![] } else { vec![shape] };
    Ok(vec![cx.emit(Op::ConstantOfShape { shape: ints, dtype, value }, &operands)?])
}

pub(crate) fn range(cx: &mut Context<'_, '_>) -> Results {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    Ok(vec![cx.emit(Op::Range, &operands)?])
}
