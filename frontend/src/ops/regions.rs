//! Regions of interest and sampling: NonMaxSuppression, RoiAlign, MaxRoiPool, GridSample, AffineGrid, DeformConv, Col2Im, MaxUnpool,
//! ImageDecoder.
//!
//! Specification: <https://onnx.ai/onnx/operators/>. RoiAlign has no coordinate mode before 16 and works as `output_half_pixel`;
//! GridSample's modes are named `bilinear` and `bicubic` before 20.

use crate::context::{Context, Results, product};
use crate::error::{NodeError, invalid, unsupported};
use brolga_compiler::ir::{Dim, Expression, Ints, Kind, Op, Type, ValueId, Window};
use brolga_runtime::DType;
use brolga_runtime::library::{Attribute, Function};

/// Shape of an operand whose rank must be known and at least `least`.
pub(super) fn ranked(cx: &Context<'_, '_>, id: ValueId, least: usize) -> Result<Vec<Dim>, NodeError> {
    let ty = cx.ty(id);
    match ty.kind {
        Kind::Tensor if ty.rank() >= least => Ok(ty.shape.clone()),
        Kind::Tensor => invalid(format!("an operand is {ty}; rank {least} and more is expected")),
        Kind::Unranked => unsupported(format!("an operand is {ty}; a tensor of known rank is accepted")),
        _ => invalid(format!("an operand is {ty}; a tensor is expected")),
    }
}

/// Shape of an operand of this rank.
fn of_rank<const N: usize>(cx: &Context<'_, '_>, id: ValueId) -> Result<[Dim; N], NodeError> {
    match <[Dim; N]>::try_from(ranked(cx, id, N)?) {
        Ok(shape) => Ok(shape),
        Err(_) => invalid(format!("an operand is {}; rank {N} is expected", cx.ty(id))),
    }
}

/// Refuses element types other than floats.
pub(super) fn float(cx: &Context<'_, '_>, id: ValueId) -> Result<DType, NodeError> {
    let dtype = cx.dtype(id);
    if dtype.is_float() { Ok(dtype) } else { invalid(format!("an operand is {}; floats are expected", cx.ty(id))) }
}

/// Extents held by an operand: those known before a run, else new names. `None` when not even their number is known.
fn held(cx: &Context<'_, '_>, id: ValueId) -> Option<Vec<Dim>> {
    if let Ints::Known(dims) = cx.ints(id, 0) {
        return Some(dims);
    }
    let count = usize::try_from(cx.ty(id).shape.first()?.known()?).ok()?;
    Some((0..count).map(|_| cx.fresh()).collect())
}

fn extent(cx: &Context<'_, '_>, attribute: &str, default: i64) -> Result<Dim, NodeError> {
    match cx.node.attributes.int_or(attribute, default)? {
        n @ 1.. => Ok(Dim::Const(n)),
        n => invalid(format!("{attribute} is {n}; more than 0 is expected")),
    }
}

pub(crate) fn non_max_suppression(cx: &mut Context<'_, '_>) -> Results {
    let operands: Vec<Option<ValueId>> = (0..5).map(|i| cx.optional(i)).collect();
    let _: [[Dim; 3]; 2] = [of_rank(cx, cx.input(0)?)?, of_rank(cx, cx.input(1)?)?];
    let function = cx.copy_attributes(Function::new("non_max_suppression", 5), &["center_point_box"])?;
    let shape = vec![cx.fresh(), Dim::Const(3)];
    cx.function(function, &operands, vec![Type::new(DType::I64, shape)])
}

pub(crate) fn roi_align(cx: &mut Context<'_, '_>) -> Results {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let [_, channels, _, _] = of_rank(cx, operands[0])?;
    let [regions, _] = of_rank(cx, operands[1])?;
    let dtype = float(cx, operands[0])?;
    let names = ["mode", "output_height", "output_width", "sampling_ratio", "spatial_scale"];
    let mut function = cx.copy_attributes(Function::new("roi_align", 3), &names)?;
    let mode = if cx.opset < 16 { "output_half_pixel" } else { "half_pixel" };
    let mode = cx.node.attributes.text_or("coordinate_transformation_mode", mode)?;
    if !matches!(mode, "half_pixel" | "output_half_pixel") {
        return invalid(format!("coordinate_transformation_mode is {mode:?}"));
    }
    if !matches!(cx.node.attributes.text_or("mode", "avg")?, "avg" | "max") {
        return invalid("mode is neither avg nor max");
    }
    function = function.with("coordinate_transformation_mode", Attribute::Text(mode.to_owned()));
    let shape = vec![regions, channels, extent(cx, "output_height", 1)?, extent(cx, "output_width", 1)?];
    cx.function(function, &operands.map(Some), vec![Type::new(dtype, shape)])
}

pub(crate) fn max_roi_pool(cx: &mut Context<'_, '_>) -> Results {
    let operands = [cx.input(0)?, cx.input(1)?];
    let [_, channels, _, _] = of_rank(cx, operands[0])?;
    let [regions, _] = of_rank(cx, operands[1])?;
    let dtype = float(cx, operands[0])?;
    let function = cx.copy_attributes(Function::new("max_roi_pool", 2), &["pooled_shape", "spatial_scale"])?;
    let [height @ (1..), width @ (1..)] = function.ints("pooled_shape") else {
        return invalid("pooled_shape is not two extents above 0");
    };
    let shape = vec![regions, channels, Dim::Const(*height), Dim::Const(*width)];
    cx.function(function, &operands.map(Some), vec![Type::new(dtype, shape)])
}

pub(crate) fn grid_sample(cx: &mut Context<'_, '_>) -> Results {
    let operands = [cx.input(0)?, cx.input(1)?];
    let (x, grid) = (ranked(cx, operands[0], 3)?, ranked(cx, operands[1], 3)?);
    if x.len() != grid.len() {
        return invalid(format!("the image has rank {}, the grid {}; one rank is expected", x.len(), grid.len()));
    }
    float(cx, operands[1])?;
    let dtype = cx.dtype(operands[0]);
    if !dtype.is_float() && !dtype.is_integer() {
        return unsupported(format!("sampling of {dtype}; numbers are accepted"));
    }
    let function = cx.copy_attributes(Function::new("grid_sample", 2), &["mode", "padding_mode", "align_corners"])?;
    let shape = [&x[..2], &grid[1..grid.len() - 1]].concat();
    cx.function(function, &operands.map(Some), vec![Type::new(dtype, shape)])
}

pub(crate) fn affine_grid(cx: &mut Context<'_, '_>) -> Results {
    let operands = [cx.input(0)?, cx.input(1)?];
    let [batch, rank, _] = of_rank(cx, operands[0])?;
    let dtype = float(cx, operands[0])?;
    let Some(size) = held(cx, operands[1]) else { return unsupported("the number of extents is not known") };
    if !matches!(size.len(), 4 | 5) {
        return invalid(format!("the size has {} extents; four or five are expected", size.len()));
    }
    let function = cx.copy_attributes(Function::new("affine_grid", 2), &["align_corners"])?;
    let shape = [&[batch], &size[2..], &[rank]].concat();
    cx.function(function, &operands.map(Some), vec![Type::new(dtype, shape)])
}

/// Extents of a DeformConv's window, which its columns are as many as.
fn window_extents(cx: &Context<'_, '_>, weights: &[Dim]) -> Result<Vec<i64>, NodeError> {
    let named = cx.node.attributes.ints("kernel_shape")?.map(<[i64]>::to_vec);
    let held: Option<Vec<i64>> = weights.iter().map(Dim::known).collect();
    let extents = match (named, held) {
        (Some(named), Some(held)) if named != held => {
            return invalid(format!("kernel_shape is {named:?} where the weights have {held:?}"));
        }
        (Some(extents), _) | (None, Some(extents)) => extents,
        (None, None) => return unsupported("the extents of its window are not known; a kernel_shape is accepted"),
    };
    if extents.len() != weights.len() || extents.iter().any(|n| *n < 1) {
        return invalid(format!("a window of {extents:?}; {} extents above 0 are expected", weights.len()));
    }
    Ok(extents)
}

/// The samples at every tap of every place, ordered by group, tap, channel, and a convolution of one tap over them.
pub(crate) fn deform_conv(cx: &mut Context<'_, '_>) -> Results {
    let (x, w, offset) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let (image, weights) = (ranked(cx, x, 3)?, ranked(cx, w, 3)?);
    let places = ranked(cx, offset, 3)?.split_off(2);
    let rank = places.len();
    if image.len() != rank + 2 || weights.len() != rank + 2 {
        return invalid(format!("ranks {}, {} and {}; one rank is expected", image.len(), weights.len(), rank + 2));
    }
    let dtype = float(cx, x)?;
    let kernel = window_extents(cx, &weights[2..])?;
    let names = ["dilations", "group", "offset_group", "pads", "strides"];
    let function = cx.copy_attributes(Function::new("deform_columns", 3), &names)?;
    let function = function.with("kernel_shape", Attribute::Ints(kernel.clone()));
    let taps = product(&kernel.iter().map(|n| Dim::Const(*n)).collect::<Vec<_>>());
    let shape = [vec![image[0].clone(), image[1].mul(&taps)], places].concat();
    let operands = [Some(x), Some(offset), cx.optional(4)];
    let columns = cx.function(function, &operands, vec![Type::new(dtype, shape)])?[0];

    let per_group = weights[1].clone();
    let flat = cx.reshape(w, vec![weights[0].clone(), per_group.clone(), taps.clone()])?;
    let by_tap = cx.emit(Op::Transpose { perm: vec![0, 2, 1] }, &[flat])?;
    let single = [vec![weights[0].clone(), taps.mul(&per_group)], vec![Dim::Const(1); rank]].concat();
    let mut operands = vec![columns, cx.reshape(by_tap, single)?];
    operands.extend(cx.optional(3));
    let group = extent(cx, "group", 1)?.known().and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    let (window, bias) = (Window::single(rank), operands.len() == 3);
    Ok(vec![cx.emit(Op::Conv { window, group, bias, epilogue: Expression::default() }, &operands)?])
}

pub(crate) fn col2_im(cx: &mut Context<'_, '_>) -> Results {
    let operands = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let [batch, rows, _] = of_rank(cx, operands[0])?;
    let dtype = cx.dtype(operands[0]);
    if !dtype.is_float() && !dtype.is_integer() {
        return unsupported(format!("columns of {dtype}; numbers are accepted"));
    }
    let Some(image) = held(cx, operands[1]) else { return unsupported("the number of extents is not known") };
    let channels = match cx.ints(operands[2], 0) {
        Ints::Known(block) => rows.div(&product(&block)),
        Ints::Input(_) => cx.fresh(),
    };
    let function = cx.copy_attributes(Function::new("col2_im", 3), &["dilations", "pads", "strides"])?;
    let shape = [vec![batch, channels], image].concat();
    cx.function(function, &operands.map(Some), vec![Type::new(dtype, shape)])
}

pub(crate) fn max_unpool(cx: &mut Context<'_, '_>) -> Results {
    let operands = [Some(cx.input(0)?), Some(cx.input(1)?), cx.optional(2)];
    let mut shape = ranked(cx, cx.input(0)?, 3)?;
    let rank = shape.len() - 2;
    let function = cx.copy_attributes(Function::new("max_unpool", 3), &["kernel_shape", "pads", "strides"])?;
    if let Some(wanted) = operands[2] {
        shape = match cx.ints(wanted, 0) {
            Ints::Known(dims) if dims.len() == rank + 2 => dims,
            Ints::Known(dims) => return invalid(format!("the output shape has {} extents", dims.len())),
            Ints::Input(_) => (0..rank + 2).map(|_| cx.fresh()).collect(),
        };
    } else {
        let kernel = function.ints("kernel_shape");
        let at = |name: &str, i: usize, default: i64| function.ints(name).get(i).copied().unwrap_or(default);
        if kernel.len() != rank {
            return invalid(format!("kernel_shape has {} extents; {rank} are expected", kernel.len()));
        }
        for (i, (extent, kernel)) in shape.iter_mut().skip(2).zip(kernel).enumerate() {
            let steps = extent.sub(&Dim::Const(1)).mul(&Dim::Const(at("strides", i, 1)));
            let pads = at("pads", i, 0).saturating_add(at("pads", rank + i, 0));
            *extent = steps.add(&Dim::Const(kernel.saturating_sub(pads)));
        }
    }
    let dtype = float(cx, cx.input(0)?)?;
    cx.function(function, &operands, vec![Type::new(dtype, shape)])
}

pub(crate) fn image_decoder(cx: &mut Context<'_, '_>) -> Results {
    let bytes = cx.input(0)?;
    let [_] = of_rank(cx, bytes)?;
    if cx.dtype(bytes) != DType::U8 {
        return invalid(format!("the encoded stream is {}; u8 is expected", cx.ty(bytes)));
    }
    let channels = match cx.node.attributes.text_or("pixel_format", "RGB")? {
        "RGB" | "BGR" => 3,
        "Grayscale" => 1,
        other => return invalid(format!("pixel_format is {other:?}; RGB, BGR or Grayscale is expected")),
    };
    let function = cx.copy_attributes(Function::new("image_decoder", 1), &["pixel_format"])?;
    let shape = vec![cx.fresh(), cx.fresh(), Dim::Const(channels)];
    cx.function(function, &[Some(bytes)], vec![Type::new(DType::U8, shape)])
}
