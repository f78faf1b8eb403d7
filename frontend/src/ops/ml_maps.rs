//! The domain `ai.onnx.ml`: maps, which a run makes of tensors and tensors of maps.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx_aionnxml_ZipMap.html> and its neighbours.

use super::ml::rows;
use crate::context::{Context, Results};
use crate::error::{NodeError, invalid};
use brolga_compiler::ir::{Dim, KeyType, Kind, Type, ValueId};
use brolga_runtime::DType;
use brolga_runtime::library::Function;

/// The function with the one of two lists that is given: its type, and how long it is.
fn labelled(
    cx: &Context<'_, '_>,
    function: Function,
    ints: &str,
    texts: &str,
) -> Result<(Function, KeyType, usize), NodeError> {
    let function = cx.copy_attributes(function, &[ints, texts])?;
    let (numbers, words) = (function.ints(ints).len(), function.texts(texts).len());
    match (numbers, words) {
        (0, 0) => invalid(format!("neither {ints} nor {texts} is given; one of them is expected")),
        (count, 0) => Ok((function, KeyType::Int, count)),
        (0, count) => Ok((function, KeyType::Text, count)),
        _ => invalid(format!("{ints} and {texts} are given; one of them is expected")),
    }
}

/// Operand 0, which must be a map with keys of this type.
fn map(cx: &Context<'_, '_>, key: KeyType) -> Result<(ValueId, DType), NodeError> {
    let x = cx.input(0)?;
    let ty = cx.ty(x);
    match ty.kind == Kind::Map(key) {
        true => Ok((x, ty.dtype)),
        false => invalid(format!("its operand is {ty}; a map whose keys are {} is expected", DType::from(key))),
    }
}

pub(crate) fn zip_map(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let (names, texts) = ("classlabels_int64s", "classlabels_strings");
    let (function, key, count) = labelled(cx, Function::new("zip_map", 1), names, texts)?;
    rows(cx, x)?;
    if cx.dtype(x) != DType::F32 {
        return invalid(format!("its operand is {}; f32 is expected", cx.ty(x)));
    }
    let columns = cx.shape(x).last().and_then(Dim::known);
    if columns.is_some_and(|columns| usize::try_from(columns) != Ok(count)) {
        return invalid(format!("its operand is {}, and there are {count} labels", cx.ty(x)));
    }
    cx.function(function, &[Some(x)], vec![Type::map_sequence(key, DType::F32)])
}

pub(crate) fn dict_vectorizer(cx: &mut Context<'_, '_>) -> Results {
    let (names, texts) = ("int64_vocabulary", "string_vocabulary");
    let (function, key, count) = labelled(cx, Function::new("dict_vectorizer", 1), names, texts)?;
    let (x, dtype) = map(cx, key)?;
    cx.function(function, &[Some(x)], vec![Type::known(dtype, &[count])])
}

pub(crate) fn cast_map(cx: &mut Context<'_, '_>) -> Results {
    let function = cx.copy_attributes(Function::new("cast_map", 1), &["cast_to", "map_form", "max_map"])?;
    let (x, dtype) = map(cx, KeyType::Int)?;
    if !matches!(dtype, DType::F32 | DType::String) {
        return invalid(format!("its operand is {}; a map to f32 or string is expected", cx.ty(x)));
    }
    let to = match function.text("cast_to", "TO_FLOAT") {
        "TO_FLOAT" => DType::F32,
        "TO_INT64" => DType::I64,
        "TO_STRING" => DType::String,
        other => return invalid(format!("cast_to {other:?}; TO_FLOAT, TO_INT64 or TO_STRING is expected")),
    };
    let extent = match function.text("map_form", "DENSE") {
        "DENSE" => cx.fresh(),
        "SPARSE" => Dim::Const(function.int("max_map", 1)),
        other => return invalid(format!("map_form {other:?}; DENSE or SPARSE is expected")),
    };
    cx.function(function, &[Some(x)], vec![Type::new(to, vec![Dim::Const(1), extent])])
}
