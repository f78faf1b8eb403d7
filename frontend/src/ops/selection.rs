//! Functions whose results are as large as their data says: NonZero, Compress, Unique.
//!
//! Specification: <https://onnx.ai/onnx/operators/>. Opsets add types, not meanings, except: axes may be negative from 11.

use super::regions::ranked;
use crate::context::{Context, Results};
use brolga_compiler::ir::{Dim, Type};
use brolga_runtime::DType;
use brolga_runtime::library::Function;

pub(crate) fn non_zero(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let rank = ranked(cx, x, 0)?.len();
    let shape = vec![Dim::from(rank), cx.fresh()];
    cx.function(Function::new("non_zero", 1), &[Some(x)], vec![Type::new(DType::I64, shape)])
}

/// A tensor like `x` with another extent along the attribute `axis`, or a list of that extent.
fn along_axis(cx: &Context<'_, '_>, mut shape: Vec<Dim>, extent: Dim) -> Result<Vec<Dim>, crate::error::NodeError> {
    match cx.node.attributes.int("axis")? {
        None => Ok(vec![extent]),
        Some(axis) => {
            let axis = cx.axis(axis, shape.len())?;
            shape[axis] = extent;
            Ok(shape)
        }
    }
}

pub(crate) fn compress(cx: &mut Context<'_, '_>) -> Results {
    let operands = [cx.input(0)?, cx.input(1)?];
    let shape = along_axis(cx, ranked(cx, operands[0], 1)?, cx.fresh())?;
    let function = cx.copy_attributes(Function::new("compress", 2), &["axis"])?;
    let dtype = cx.dtype(operands[0]);
    cx.function(function, &operands.map(Some), vec![Type::new(dtype, shape)])
}

pub(crate) fn unique(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let (shape, found) = (ranked(cx, x, 0)?, cx.fresh());
    let all = match cx.node.attributes.int("axis")? {
        None => crate::context::product(&shape),
        Some(axis) => shape[cx.axis(axis, shape.len())?].clone(),
    };
    let shape = along_axis(cx, shape, found.clone())?;
    let function = cx.copy_attributes(Function::new("unique", 1), &["axis", "sorted"])?;
    let list = |extent: Dim| Type::new(DType::I64, vec![extent]);
    let results = vec![Type::new(cx.dtype(x), shape), list(found.clone()), list(all), list(found)];
    cx.function(function, &[Some(x)], results)
}
