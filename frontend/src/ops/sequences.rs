//! Operators of sequences and optional values.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__SequenceAt.html> and its neighbours. What comes out of a sequence has the
//! rank of what went in, where all of it has one, and extents that only a run can tell. OptionalHasElement and
//! OptionalGetElement take other values than optional ones from 18.

use crate::context::{Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use crate::types::{attribute_type, dtype};
use brolga_compiler::ir::{ANY_EXTENT, Dim, Kind, Type, ValueId};
use brolga_runtime::DType;
use brolga_runtime::library::Function;

/// Operand `i`, which must be a sequence.
pub(crate) fn sequence(cx: &Context<'_, '_>, i: usize) -> Result<ValueId, NodeError> {
    let id = cx.input(i)?;
    match cx.ty(id).is_sequence() {
        true => Ok(id),
        false => invalid(format!("operand {i} is {}; a sequence is expected", cx.ty(id))),
    }
}

fn of(dtype: DType) -> Type {
    Type::sequence(Type::unranked(dtype))
}

/// The type of sequences that hold elements of both: their ranks where they agree, and the extents.
pub(super) fn joined(a: &Type, b: &Type) -> Type {
    match (a.kind, b.kind) {
        (Kind::EmptySequence, _) => b.clone(),
        (_, Kind::EmptySequence) => a.clone(),
        _ if a.rank() != b.rank() => of(a.dtype),
        _ => {
            let extent = |(a, b): (&Dim, &Dim)| if a == b { a.clone() } else { Dim::Const(ANY_EXTENT) };
            Type { shape: a.shape.iter().zip(&b.shape).map(extent).collect(), ..a.clone() }
        }
    }
}

/// The type of an element of a sequence.
fn member(cx: &Context<'_, '_>, sequence: &Type) -> Type {
    let extent = |d: &Dim| if *d == Dim::Const(ANY_EXTENT) { cx.fresh() } else { d.clone() };
    match sequence.rank() {
        0 => Type::unranked(sequence.dtype),
        _ => Type::new(sequence.dtype, sequence.shape.iter().map(extent).collect()),
    }
}

/// Operand `i`, a tensor that can be an element of a sequence of `dtype`.
fn element(cx: &Context<'_, '_>, i: usize, dtype: DType) -> Result<ValueId, NodeError> {
    let id = cx.input(i)?;
    let ty = cx.ty(id);
    match ty.kind {
        Kind::Tensor | Kind::Unranked if ty.dtype == dtype => Ok(id),
        _ => invalid(format!("operand {i} is {ty}; a tensor of {dtype} is expected")),
    }
}

pub(crate) fn empty(cx: &mut Context<'_, '_>) -> Results {
    let dtype = match cx.node.attributes.int("dtype")? {
        None => DType::F32,
        Some(number) => dtype(number)?,
    };
    cx.function(Function::new("sequence_empty", 0), &[], vec![Type::empty_sequence(dtype)])
}

pub(crate) fn construct(cx: &mut Context<'_, '_>) -> Results {
    let inputs = cx.all_inputs()?;
    let dtype = inputs.first().map_or(DType::F32, |id| cx.dtype(*id));
    for i in 0..inputs.len() {
        element(cx, i, dtype)?;
    }
    let types = inputs.iter().map(|id| Type::sequence(cx.ty(*id).clone()));
    let ty = types.reduce(|a, b| joined(&a, &b)).unwrap_or(Type::empty_sequence(dtype));
    let operands: Vec<Option<ValueId>> = inputs.into_iter().map(Some).collect();
    cx.function(Function::new("sequence_construct", operands.len()), &operands, vec![ty])
}

pub(crate) fn at(cx: &mut Context<'_, '_>) -> Results {
    let (s, position) = (sequence(cx, 0)?, cx.input(1)?);
    let ty = member(cx, cx.ty(s));
    cx.function(Function::new("sequence_at", 2), &[Some(s), Some(position)], vec![ty])
}

pub(crate) fn insert(cx: &mut Context<'_, '_>) -> Results {
    let s = sequence(cx, 0)?;
    let x = element(cx, 1, cx.dtype(s))?;
    let ty = joined(cx.ty(s), &Type::sequence(cx.ty(x).clone()));
    let position = cx.optional(2);
    cx.function(Function::new("sequence_insert", 3), &[Some(s), Some(x), position], vec![ty])
}

pub(crate) fn erase(cx: &mut Context<'_, '_>) -> Results {
    let s = sequence(cx, 0)?;
    let (ty, position) = (cx.ty(s).clone(), cx.optional(1));
    cx.function(Function::new("sequence_erase", 2), &[Some(s), position], vec![ty])
}

pub(crate) fn length(cx: &mut Context<'_, '_>) -> Results {
    let s = sequence(cx, 0)?;
    cx.function(Function::new("sequence_length", 1), &[Some(s)], vec![Type::known(DType::I64, &[])])
}

pub(crate) fn split(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let axis = cx.axis_attribute(0, cx.rank(x))?;
    let function = cx.copy_attributes(Function::new("split_to_sequence", 2), &["axis", "keepdims"])?;
    let lengths = cx.optional(1);
    let mut ty = Type::sequence(cx.ty(x).clone());
    // Without lengths the parts are as thin as can be, and only then keepdims counts.
    match (lengths, cx.node.attributes.int("keepdims")?) {
        (None, Some(0)) => {
            ty.shape.remove(axis);
        }
        (None, _) => ty.shape[axis] = Dim::Const(1),
        _ => ty.shape[axis] = Dim::Const(ANY_EXTENT),
    }
    cx.function(function, &[Some(x), lengths], vec![ty])
}

pub(crate) fn concat(cx: &mut Context<'_, '_>) -> Results {
    let s = sequence(cx, 0)?;
    let attributes = &cx.node.attributes;
    let axis = attributes.required("axis", attributes.int("axis")?)?;
    let stacked = attributes.int("new_axis")?.unwrap_or(0) != 0;
    let function = cx.copy_attributes(Function::new("concat_from_sequence", 1), &["axis", "new_axis"])?;
    let mut ty = member(cx, cx.ty(s));
    if ty.kind == Kind::Tensor {
        let axis = cx.axis(axis, ty.rank() + usize::from(stacked))?;
        match stacked {
            true => ty.shape.insert(axis, cx.fresh()),
            false => ty.shape[axis] = cx.fresh(),
        }
    }
    cx.function(function, &[Some(s)], vec![ty])
}

pub(crate) fn optional(cx: &mut Context<'_, '_>) -> Results {
    let operand = cx.optional(0);
    let inner = match operand {
        Some(id) if cx.ty(id).is_map() => {
            return unsupported(format!("an optional {}; a tensor or a sequence of such is accepted", cx.ty(id)));
        }
        Some(id) => cx.ty(id).clone(),
        None => attribute_type(&cx.node.attributes, "type")?,
    };
    cx.function(Function::new("optional", 1), &[operand], vec![Type::optional(inner)])
}

pub(crate) fn has_element(cx: &mut Context<'_, '_>) -> Results {
    let operand = cx.optional(0);
    cx.function(Function::new("optional_has_element", 1), &[operand], vec![Type::known(DType::Bool, &[])])
}

pub(crate) fn get_element(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let ty = cx.ty(x);
    let inner = match ty.kind {
        Kind::Tensor | Kind::Unranked | Kind::Sequence | Kind::EmptySequence => return Ok(vec![x]),
        Kind::Map(_) | Kind::MapSequence(_) => {
            return unsupported(format!("operand 0 is {ty}; a value that may be absent is accepted"));
        }
        Kind::OptionalSequence => of(ty.dtype),
        // An empty shape says either that there is none or that it is not known.
        Kind::Optional if ty.shape.is_empty() => Type::unranked(ty.dtype),
        Kind::Optional => Type::new(ty.dtype, ty.shape.clone()),
    };
    cx.function(Function::new("optional_get_element", 1), &[Some(x)], vec![inner])
}
