//! Resampling: Resize, Upsample.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__Resize.html>. Upsample (until 9) and Resize 10 compute coordinates as
//! `x / scale` and round them down; scales are attributes in Upsample 1 and 7. Resize 11 brings sizes, coordinate modes and the
//! region of interest, 18 axes, antialiasing and policies for the aspect ratio, 19 the symmetric half-pixel mode.

use crate::context::{Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use crate::ops::crop::{Crop, Side, known_parts, linear};
use brolga_compiler::ir::{Coordinates, Dim, Ints, Nearest, Op, ResizeAttrs, ResizeMode, ValueId};

pub(crate) fn upsample(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let attributes = &cx.node.attributes;
    let scales: Vec<f32> = if cx.opset < 7 {
        let height = attributes.required("height_scale", attributes.float("height_scale")?)?;
        let width = attributes.required("width_scale", attributes.float("width_scale")?)?;
        vec![1.0, 1.0, height, width]
    } else if cx.opset < 9 {
        attributes.required("scales", attributes.floats("scales")?)?.to_vec()
    } else {
        known_scales(cx, cx.input(1)?)?
    };
    simple(cx, x, scales)
}

/// The form before opset 11.
fn simple(cx: &mut Context<'_, '_>, x: ValueId, scales: Vec<f32>) -> Results {
    let mode = match cx.node.attributes.text_or("mode", "nearest")? {
        "nearest" => ResizeMode::Nearest(Nearest::Floor),
        "linear" | "bilinear" => ResizeMode::Linear,
        other => return invalid(format!("mode {other:?}; nearest or linear is expected")),
    };
    let sizes = Ints::Known(scaled(&cx.shape(x), &scales)?);
    let attrs = ResizeAttrs {
        mode,
        coordinates: Coordinates::Asymmetric,
        sizes,
        scales: Some(scales),
        roi: None,
        antialias: false,
        exclude_outside: false,
    };
    Ok(vec![cx.emit(Op::Resize(attrs), &[x])?])
}

fn known_scales(cx: &Context<'_, '_>, id: ValueId) -> Result<Vec<f32>, NodeError> {
    match cx.known_floats(id) {
        Some(scales) => Ok(scales.into_iter().map(|s| s as f32).collect()),
        None => unsupported("scales computed at run time; constants, or sizes, are accepted"),
    }
}

/// Extents times scales, rounded down.
fn scaled(shape: &[Dim], scales: &[f32]) -> Result<Vec<Dim>, NodeError> {
    if scales.len() != shape.len() || scales.iter().any(|s| !s.is_finite() || *s <= 0.0) {
        return invalid(format!("scales are {scales:?}; {} positive numbers are expected", shape.len()));
    }
    shape.iter().zip(scales).map(|(dim, scale)| scaled_dim(dim, *scale)).collect()
}

fn scaled_dim(dim: &Dim, scale: f32) -> Result<Dim, NodeError> {
    if let Some(n) = dim.known() {
        // In f32, as the format's reference does.
        let size = (n as f32 * scale).floor();
        return if size < 1e15 {
            Ok(Dim::Const(size as i64))
        } else {
            invalid(format!("{n} times {scale} is too large"))
        };
    }
    for divisor in 1..=64i16 {
        let product = scale * f32::from(divisor);
        if product.fract() == 0.0 && product < 1e6 {
            return Ok(dim.mul(&Dim::Const(product as i64)).div(&Dim::Const(i64::from(divisor))));
        }
    }
    unsupported(format!(
        "scale {scale} of the symbolic dimension {dim}; a fraction with a divisor up to 64 is accepted"
    ))
}

/// Coordinates, mode and rounding as the attributes say.
fn rules(cx: &Context<'_, '_>) -> Result<(ResizeMode, Coordinates), NodeError> {
    let attributes = &cx.node.attributes;
    let nearest = match attributes.text_or("nearest_mode", "round_prefer_floor")? {
        "round_prefer_floor" => Nearest::RoundPreferFloor,
        "round_prefer_ceil" => Nearest::RoundPreferCeil,
        "floor" => Nearest::Floor,
        "ceil" => Nearest::Ceil,
        other => return invalid(format!("nearest_mode {other:?} does not exist")),
    };
    let mode = match attributes.text_or("mode", "nearest")? {
        "nearest" => ResizeMode::Nearest(nearest),
        "linear" => ResizeMode::Linear,
        "cubic" => ResizeMode::Cubic { a: attributes.float_or("cubic_coeff_a", -0.75)? },
        other => return invalid(format!("mode {other:?}; nearest, linear or cubic is expected")),
    };
    let coordinates = match attributes.text_or("coordinate_transformation_mode", "half_pixel")? {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNn,
        "tf_crop_and_resize" => {
            Coordinates::TfCropAndResize { extrapolation: attributes.float_or("extrapolation_value", 0.0)? }
        }
        other => return invalid(format!("coordinate_transformation_mode {other:?} does not exist")),
    };
    Ok((mode, coordinates))
}

pub(crate) fn resize(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    if cx.opset < 11 {
        let scales = known_scales(cx, cx.input(1)?)?;
        return simple(cx, x, scales);
    }
    let shape = cx.shape(x);
    let (mode, coordinates) = rules(cx)?;
    let axes = match cx.node.attributes.ints("axes")? {
        Some(axes) => cx.axes(axes, shape.len())?,
        None => (0..shape.len()).collect(),
    };
    let antialias = cx.node.attributes.flag("antialias")?;
    let exclude_outside = cx.node.attributes.flag("exclude_outside")?;
    // An operand that is there but empty counts as omitted.
    let given = |cx: &Context<'_, '_>, i: usize| cx.optional(i).filter(|id| cx.ty(*id).elements() != Some(0));
    if let Coordinates::TfCropAndResize { extrapolation } = coordinates
        && cx.known_floats(cx.input(1)?).is_none()
    {
        return crop_at_run_time(cx, mode, &axes, extrapolation);
    }
    let roi = match coordinates {
        Coordinates::TfCropAndResize { .. } => Some(region(cx, &axes, shape.len())?),
        _ => None,
    };
    let mut operands = vec![x];
    let (sizes, scales) = match (given(cx, 2), given(cx, 3)) {
        (Some(scales), None) => {
            let some = known_scales(cx, scales)?;
            if some.len() != axes.len() {
                return invalid(format!("{} scales for {} axes", some.len(), axes.len()));
            }
            let mut all = vec![1.0; shape.len()];
            axes.iter().zip(some).for_each(|(axis, scale)| all[*axis] = scale);
            // Also of a region: onnxruntime leaves its extents out, other than the specification's text.
            (Ints::Known(scaled(&shape, &all)?), Some(all))
        }
        (None, Some(sizes)) => {
            match (cx.ints(sizes, 1), cx.node.attributes.text_or("keep_aspect_ratio_policy", "stretch")?) {
                (Ints::Known(some), policy) => with_policy(&shape, &axes, some, policy)?,
                (Ints::Input(_), "stretch") if axes.len() == shape.len() => {
                    operands.push(sizes);
                    (Ints::Input(1), None)
                }
                _ => return unsupported("sizes computed at run time for some axes; for all is accepted"),
            }
        }
        _ => return invalid("either scales or sizes are expected"),
    };
    let attrs = ResizeAttrs { mode, coordinates, sizes, scales, roi, antialias, exclude_outside };
    Ok(vec![cx.emit(Op::Resize(attrs), &operands)?])
}

/// A crop whose region of interest is computed.
fn crop_at_run_time(cx: &mut Context<'_, '_>, mode: ResizeMode, axes: &[usize], extrapolation: f32) -> Results {
    let (x, region, corners) = (cx.input(0)?, cx.input(1)?, axes.len());
    let sizes = match cx.optional(3).map(|id| cx.ints(id, 1)) {
        Some(Ints::Known(sizes)) if mode == ResizeMode::Linear => sizes,
        _ => return unsupported("a region of interest computed at run time; linear, with sizes, is accepted"),
    };
    if sizes.len() != corners || cx.shape(region)[..] != [Dim::from(2 * corners)] {
        return invalid(format!("{} sizes and a region that is {} for {corners} axes", sizes.len(), cx.ty(region)));
    }
    let parts = known_parts(cx, region, MAX_CHAIN).unwrap_or_default();
    let mut sides = Vec::new();
    for (corner, (axis, size)) in axes.iter().zip(&sizes).enumerate() {
        let whole = (parts.get(corner), parts.get(corners + corner)) == (Some(&Some(0.0)), Some(&Some(1.0)));
        match size.known().filter(|n| *n > 0) {
            _ if whole && *size == cx.shape(x)[*axis] => {}
            Some(size) => sides.push(Side { corner, axis: *axis, size }),
            None => {
                return unsupported(format!("a region of interest and an extent of {size}; constants are accepted"));
            }
        }
    }
    Ok(vec![linear(cx, &Crop { x, region, corners, sides: &sides, extrapolation })?])
}

/// Lists within lists that are looked into for known numbers.
const MAX_CHAIN: usize = 8;

type Region = (Vec<f32>, Vec<f32>);

/// The region of interest for all dimensions.
fn region(cx: &Context<'_, '_>, axes: &[usize], rank: usize) -> Result<Region, NodeError> {
    let Some(some) = cx.known_floats(cx.input(1)?) else {
        return unsupported("a region of interest computed at run time; a constant is accepted");
    };
    if some.len() != 2 * axes.len() {
        return invalid(format!("the region of interest has {} numbers; {} are expected", some.len(), 2 * axes.len()));
    }
    let (mut begin, mut end) = (vec![0.0; rank], vec![1.0; rank]);
    let (begins, ends) = some.split_at(axes.len());
    for ((axis, b), e) in axes.iter().zip(begins).zip(ends) {
        begin[*axis] = *b as f32;
        end[*axis] = *e as f32;
    }
    Ok((begin, end))
}

/// Sizes for all dimensions, and the one scale of a policy that keeps the aspect ratio.
fn with_policy(
    shape: &[Dim],
    axes: &[usize],
    some: Vec<Dim>,
    policy: &str,
) -> Result<(Ints, Option<Vec<f32>>), NodeError> {
    if some.len() != axes.len() {
        return invalid(format!("{} sizes for {} axes", some.len(), axes.len()));
    }
    let mut sizes = shape.to_vec();
    axes.iter().zip(&some).for_each(|(axis, size)| sizes[*axis] = size.clone());
    if policy == "stretch" {
        return Ok((Ints::Known(sizes), None));
    }
    let ratios = axes.iter().zip(&some).map(|(axis, size)| match (size.known(), shape[*axis].known()) {
        (Some(out), Some(extent)) if extent > 0 => Some(out as f32 / extent as f32),
        _ => None,
    });
    let Some(ratios) = ratios.collect::<Option<Vec<f32>>>() else {
        return unsupported("a policy for the aspect ratio over symbolic dimensions; stretch is accepted");
    };
    let scale = match policy {
        "not_larger" => ratios.into_iter().fold(f32::INFINITY, f32::min),
        "not_smaller" => ratios.into_iter().fold(0.0, f32::max),
        other => return invalid(format!("keep_aspect_ratio_policy {other:?} does not exist")),
    };
    let mut scales = vec![1.0; shape.len()];
    for axis in axes {
        scales[*axis] = scale;
        let extent = shape[*axis].known().unwrap_or(0) as f32;
        sizes[*axis] = Dim::Const((scale * extent).round() as i64);
    }
    Ok((Ints::Known(sizes), Some(scales)))
}
