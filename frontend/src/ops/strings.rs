//! Operators of texts: StringConcat, StringSplit, StringNormalizer, RegexFullMatch, TfIdfVectorizer, and Cast to and from texts.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__StringSplit.html> and its neighbours.

use crate::context::{Context, Results};
use crate::error::{NodeError, invalid};
use brolga_compiler::ir::{Dim, Kind, Type, ValueId};
use brolga_runtime::library::{Attribute, Function};
use brolga_runtime::{DType, Operand, Strings, Value};

/// Operand `i`, which must be texts.
fn texts(cx: &Context<'_, '_>, i: usize) -> Result<ValueId, NodeError> {
    let id = cx.input(i)?;
    match cx.dtype(id) {
        DType::String => Ok(id),
        other => invalid(format!("operand {i} is of {other}; texts are expected")),
    }
}

/// Shape of two operands broadcast against each other.
pub(crate) fn broadcast(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, NodeError> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[Dim], axis: usize| {
        (axis + shape.len()).checked_sub(rank).and_then(|i| shape.get(i)).cloned().unwrap_or(Dim::Const(1))
    };
    let joined = |axis| match (extent(a, axis), extent(b, axis)) {
        (Dim::Const(1), d) | (d, Dim::Const(1)) => Ok(d),
        (Dim::Const(n), Dim::Const(m)) if n != m => invalid(format!("extents {n} and {m} do not broadcast")),
        (known @ Dim::Const(_), _) | (_, known @ Dim::Const(_)) => Ok(known),
        (d, _) => Ok(d),
    };
    (0..rank).map(joined).collect()
}

pub(crate) fn concat(cx: &mut Context<'_, '_>) -> Results {
    let (a, b) = (texts(cx, 0)?, texts(cx, 1)?);
    let shape = broadcast(&cx.shape(a), &cx.shape(b))?;
    cx.function(Function::new("string_concat", 2), &[Some(a), Some(b)], vec![Type::new(DType::String, shape)])
}

pub(crate) fn split(cx: &mut Context<'_, '_>) -> Results {
    let x = texts(cx, 0)?;
    let function = cx.copy_attributes(Function::new("string_split", 1), &["delimiter", "maxsplit"])?;
    let shape = cx.shape(x);
    let parts = [shape.clone(), vec![cx.fresh()]].concat();
    cx.function(function, &[Some(x)], vec![Type::new(DType::String, parts), Type::new(DType::I64, shape)])
}

pub(crate) fn normalizer(cx: &mut Context<'_, '_>) -> Results {
    let x = texts(cx, 0)?;
    let names = ["case_change_action", "is_case_sensitive", "stopwords"];
    let function = cx.copy_attributes(Function::new("string_normalizer", 1), &names)?;
    let shape = match &cx.shape(x)[..] {
        [_] => vec![cx.fresh()],
        [Dim::Const(1) | Dim::Expr(_), _] => vec![Dim::Const(1), cx.fresh()],
        _ => return invalid(format!("its operand is {}; shapes [C] and [1, C] are accepted", cx.ty(x))),
    };
    cx.function(function, &[Some(x)], vec![Type::new(DType::String, shape)])
}

pub(crate) fn regex_full_match(cx: &mut Context<'_, '_>) -> Results {
    let x = texts(cx, 0)?;
    let pattern = cx.node.attributes.required("pattern", cx.node.attributes.text("pattern")?)?;
    let function = Function::new("regex_full_match", 1).with("pattern", Attribute::Text(pattern.into()));
    // A pattern that does not compile is found here, and not at the first run.
    let nothing = Value::Strings(Strings::default());
    let none = Strings::new(&[0], vec![]).map_or(nothing, Value::Strings);
    if let Err(e) = function.run(&[Operand::Value(&none)]) {
        return invalid(e.to_string());
    }
    let ty = Type::new(DType::Bool, cx.shape(x));
    cx.function(function, &[Some(x)], vec![ty])
}

pub(crate) fn tf_idf_vectorizer(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let names = [
        "max_gram_length",
        "max_skip_count",
        "min_gram_length",
        "mode",
        "ngram_counts",
        "ngram_indexes",
        "pool_int64s",
        "pool_strings",
        "weights",
    ];
    let function = cx.copy_attributes(Function::new("tf_idf_vectorizer", 1), &names)?;
    let width = function.ints("ngram_indexes").iter().copied().max().unwrap_or(-1);
    let Some(width) = width.checked_add(1).filter(|n| *n > 0) else {
        return invalid("ngram_indexes are columns, at least one");
    };
    let mut shape = cx.shape(x);
    match shape.len() {
        0 => {}
        1 | 2 => {
            shape.pop();
        }
        _ => return invalid(format!("its operand is {}; shapes [C] and [N, C] are accepted", cx.ty(x))),
    }
    shape.push(Dim::Const(width));
    cx.function(function, &[Some(x)], vec![Type::new(DType::F32, shape)])
}

/// A conversion where either type is texts.
pub(crate) fn cast(cx: &mut Context<'_, '_>, x: ValueId, to: DType) -> Results {
    if cx.dtype(x) == to {
        return Ok(vec![x]);
    }
    let function = match to {
        DType::String => Function::new("cast_to_string", 1),
        _ => Function::new("cast_from_string", 1).with("to", Attribute::Text(to.name().into())),
    };
    let ty = Type { dtype: to, kind: Kind::Tensor, ..cx.ty(x).clone() };
    cx.function(function, &[Some(x)], vec![ty])
}
