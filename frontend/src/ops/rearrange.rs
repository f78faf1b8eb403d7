//! Functions that put elements elsewhere, and some of algebra: ReverseSequence, CenterCropPad, TensorScatter, EyeLike, BitCast,
//! CumProd, Det.
//!
//! Specification: <https://onnx.ai/onnx/operators/>. Opsets add types, not meanings.

use super::regions::{float, ranked};
use crate::context::{Context, Results};
use crate::error::{NodeError, invalid};
use brolga_compiler::ir::{Ints, Type, ValueId};
use brolga_runtime::DType;
use brolga_runtime::library::{Attribute, Function};

/// The element type an attribute numbers.
pub(super) fn named_type(cx: &Context<'_, '_>, attribute: &str) -> Result<Option<DType>, NodeError> {
    cx.node.attributes.int(attribute)?.map(crate::types::dtype).transpose()
}

/// With an element type as a text attribute.
pub(super) fn with_type(function: Function, attribute: &str, dtype: DType) -> Function {
    function.with(attribute, Attribute::Text(dtype.name().to_owned()))
}

pub(crate) fn reverse_sequence(cx: &mut Context<'_, '_>) -> Results {
    let operands = [cx.input(0)?, cx.input(1)?];
    let function = cx.copy_attributes(Function::new("reverse_sequence", 2), &["batch_axis", "time_axis"])?;
    let result = cx.ty(operands[0]).clone();
    cx.function(function, &operands.map(Some), vec![result])
}

pub(crate) fn center_crop_pad(cx: &mut Context<'_, '_>) -> Results {
    let operands = [cx.input(0)?, cx.input(1)?];
    let mut shape = ranked(cx, operands[0], 0)?;
    let axes = match cx.node.attributes.ints("axes")? {
        Some(axes) => cx.axes(axes, shape.len())?,
        None => (0..shape.len()).collect(),
    };
    let wanted = match cx.ints(operands[1], 0) {
        Ints::Known(dims) => dims,
        Ints::Input(_) => axes.iter().map(|_| cx.fresh()).collect(),
    };
    if wanted.len() != axes.len() {
        return invalid(format!("{} extents are given for {} axes", wanted.len(), axes.len()));
    }
    axes.iter().zip(wanted).for_each(|(axis, extent)| shape[*axis] = extent);
    let function = cx.copy_attributes(Function::new("center_crop_pad", 2), &["axes"])?;
    let dtype = cx.dtype(operands[0]);
    cx.function(function, &operands.map(Some), vec![Type::new(dtype, shape)])
}

pub(crate) fn tensor_scatter(cx: &mut Context<'_, '_>) -> Results {
    let operands = [Some(cx.input(0)?), Some(cx.input(1)?), cx.optional(2)];
    let function = cx.copy_attributes(Function::new("tensor_scatter", 3), &["mode", "axis"])?;
    let result = cx.ty(cx.input(0)?).clone();
    cx.function(function, &operands, vec![result])
}

pub(crate) fn eye_like(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let shape = ranked(cx, x, 2)?;
    if shape.len() != 2 {
        return invalid(format!("the operand is {}; rank 2 is expected", cx.ty(x)));
    }
    let dtype = named_type(cx, "dtype")?.unwrap_or(cx.dtype(x));
    let function = with_type(cx.copy_attributes(Function::new("eye_like", 1), &["k"])?, "dtype", dtype);
    cx.function(function, &[Some(x)], vec![Type::new(dtype, shape)])
}

pub(crate) fn bit_cast(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let to = cx.node.attributes.required("to", named_type(cx, "to")?)?;
    let from = cx.ty(x).clone();
    if from.dtype == DType::String || from.dtype.bytes() != to.bytes() {
        return invalid(format!("the bits of {from} are not those of {to}; types of one width are expected"));
    }
    let function = with_type(Function::new("bit_cast", 1), "to", to);
    cx.function(function, &[Some(x)], vec![Type { dtype: to, ..from }])
}

pub(crate) fn cum_prod(cx: &mut Context<'_, '_>) -> Results {
    let operands: [ValueId; 2] = [cx.input(0)?, cx.input(1)?];
    let function = cx.copy_attributes(Function::new("cum_prod", 2), &["exclusive", "reverse"])?;
    let result = cx.ty(operands[0]).clone();
    cx.function(function, &operands.map(Some), vec![result])
}

pub(crate) fn det(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let mut shape = ranked(cx, x, 2)?;
    shape.truncate(shape.len() - 2);
    let dtype = float(cx, x)?;
    cx.function(Function::new("det", 1), &[Some(x)], vec![Type::new(dtype, shape)])
}
