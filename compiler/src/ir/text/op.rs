//! Operations as name and attributes, and back. Attributes that have their usual value are left out.

use super::attr::{Attr, Attrs, attribute, expression, ints, number, numbers, word};
use crate::ir::*;
use brolga_runtime::DType;
use brolga_runtime::library::{Function, function};
use std::borrow::Cow;

type List = Vec<(Cow<'static, str>, Attr)>;

/// Collects attributes.
#[derive(Default)]
struct Out(List);
impl Out {
    fn with(mut self, key: &'static str, attr: Attr) -> Out {
        self.0.push((key.into(), attr));
        self
    }
    /// Only when the condition holds.
    fn when(self, holds: bool, key: &'static str, attr: Attr) -> Out {
        if holds { self.with(key, attr) } else { self }
    }
    fn flag(self, key: &'static str, on: bool) -> Out {
        self.when(on, key, Attr::True)
    }
    fn window(self, w: &Window) -> Out {
        let ones = |list: &[usize]| list.iter().all(|n| *n == 1) && list.len() == w.kernel.len();
        let zeros = |list: &[i64]| list.iter().all(|n| *n == 0) && list.len() == w.kernel.len();
        let auto = match w.auto_pad {
            AutoPad::Explicit => "explicit",
            AutoPad::SameUpper => "same_upper",
            AutoPad::SameLower => "same_lower",
        };
        self.with("kernel", numbers(&w.kernel))
            .when(!ones(&w.stride), "stride", numbers(&w.stride))
            .when(!ones(&w.dilation), "dilation", numbers(&w.dilation))
            .when(!zeros(&w.pad_begin), "pad_begin", numbers(&w.pad_begin))
            .when(!zeros(&w.pad_end), "pad_end", numbers(&w.pad_end))
            .when(w.auto_pad != AutoPad::Explicit, "auto_pad", word(auto))
    }
    fn fused(self, key: &'static str, e: &Expression) -> Out {
        self.when(!e.steps.is_empty(), key, expression(e))
    }
    fn groups(self, group: usize) -> Out {
        self.when(group != 1, "group", number(group))
    }
}

/// Name and attributes of an operation.
pub(super) fn describe(op: &Op) -> (&'static str, List) {
    let out = Out::default();
    let axis = |axis: &usize| Out::default().with("axis", number(axis));
    let (name, out) = match op {
        Op::Unary(op) => {
            let (name, parameters) = op.parts();
            return (name, parameters.into_iter().map(|(key, x)| (key.into(), number(x))).collect());
        }
        Op::Binary(op) => (op.name(), out),
        Op::Elementwise(e) => ("elementwise", out.with("steps", expression(e))),
        Op::Where => ("where", out),
        Op::Cast(to) => ("cast", out.with("to", word(to.name()))),
        Op::Quantize { to, axis, block, precision, saturate } => {
            let out = out.with("to", word(to.name())).with("axis", number(axis));
            let out = out.when(*block != 0, "block", number(block));
            let out = out.when(*precision != DType::F32, "precision", word(precision.name()));
            ("quantize", out.flag("saturate", *saturate))
        }
        Op::Dequantize { to, axis, block } => {
            let out = out.with("to", word(to.name())).with("axis", number(axis));
            ("dequantize", out.when(*block != 0, "block", number(block)))
        }
        Op::ConvInteger { window, group, bias, to, epilogue } => {
            let out = out.window(window).groups(*group).flag("bias", *bias).with("to", word(to.name()));
            ("conv_integer", out.fused("epilogue", epilogue))
        }
        Op::MatMulInteger { trans_b, bias, to, epilogue } => {
            let out = out.flag("trans_b", *trans_b).flag("bias", *bias).with("to", word(to.name()));
            ("matmul_integer", out.fused("epilogue", epilogue))
        }
        Op::Requantize { to, expression } => ("requantize", out.with("to", word(to.name())).fused("steps", expression)),
        Op::CastNarrow { to, saturate, rounding } => {
            let out = out.with("to", word(to.name())).flag("saturate", *saturate);
            ("cast_narrow", out.when(*rounding != PowerRounding::Up, "rounding", word(rounding.name())))
        }
        Op::Concat { axis: a } => ("concat", axis(a)),
        Op::Slice { axes, starts, ends, steps } => {
            let out = out.with("axes", numbers(axes)).with("starts", ints(starts)).with("ends", ints(ends));
            ("slice", out.when(steps.iter().any(|s| *s != 1) || steps.len() != axes.len(), "steps", numbers(steps)))
        }
        Op::Reshape { shape, allow_zero } => {
            ("reshape", out.with("shape", ints(shape)).flag("allow_zero", *allow_zero))
        }
        Op::Transpose { perm } => ("transpose", out.with("perm", numbers(perm))),
        Op::Expand { shape } => ("expand", out.with("shape", ints(shape))),
        Op::Tile { repeats } => ("tile", out.with("repeats", ints(repeats))),
        Op::Gather { axis: a } => ("gather", axis(a)),
        Op::GatherElements { axis: a } => ("gather_elements", axis(a)),
        Op::GatherNd { batch } => ("gather_nd", out.when(*batch != 0, "batch", number(batch))),
        Op::ScatterNd { reduction } => ("scatter_nd", out.with("reduction", word(reduction.name()))),
        Op::ScatterElements { axis: a, reduction } => {
            ("scatter_elements", axis(a).with("reduction", word(reduction.name())))
        }
        Op::DepthToSpace { block, crd } => ("depth_to_space", out.with("block", number(block)).flag("crd", *crd)),
        Op::SpaceToDepth { block } => ("space_to_depth", out.with("block", number(block))),
        Op::Shape { begin, end } => ("shape", out.with("begin", number(begin)).with("end", number(end))),
        Op::ConstantOfShape { shape, dtype, value } => {
            let out = out.with("shape", ints(shape)).with("dtype", word(dtype.name()));
            ("constant_of_shape", out.with("value", number(value)))
        }
        Op::Range => ("range", out),
        Op::OneHot { axis: a } => ("one_hot", axis(a)),
        Op::Reorder { lanes, halo } => {
            let sides = [halo.top, halo.left, halo.bottom, halo.right];
            ("reorder", out.with("lanes", number(lanes)).when(*halo != Halo::default(), "halo", numbers(&sides)))
        }
        Op::Pad { mode, pads } => ("pad", describe_pad(*mode).with("pads", ints(pads))),
        Op::Resize(attrs) => ("resize", describe_resize(attrs)),
        Op::Function { function, .. } => return describe_function(function),
        Op::Deferred { op, .. } => return describe(op),
        Op::If { .. } | Op::Loop { .. } | Op::Scan { .. } => describe_control(op),
        _ => describe_heavy(op),
    };
    (name, out.0)
}

/// A library function: its own name and attributes, and which operands are given unless all are.
fn describe_function(of: &Function) -> (&'static str, List) {
    let mut list: List = Vec::new();
    if of.operands.contains(&false) {
        let given: Vec<u8> = of.operands.iter().map(|given| u8::from(*given)).collect();
        list.push(("operands".into(), numbers(&given)));
    }
    list.extend(of.attributes.iter().map(|(key, value)| (Cow::Owned(key.clone()), attribute(value))));
    (function::find(&of.name).map_or("function", |entry| entry.name), list)
}

fn describe_control(op: &Op) -> (&'static str, Out) {
    let out = Out::default();
    let body = |body: &Body| Attr::Graph(body.clone());
    let walks = |list: &[ScanAxis]| numbers(&list.iter().map(|s| s.axis).collect::<Vec<_>>());
    let reversed = |list: &[ScanAxis]| numbers(&list.iter().map(|s| u8::from(s.reverse)).collect::<Vec<_>>());
    match op {
        Op::If { then, otherwise, .. } => ("if", out.with("then", body(then)).with("otherwise", body(otherwise))),
        Op::Loop { body: b, trip, condition, carried, .. } => {
            let out = out.flag("trip", *trip).flag("condition", *condition).with("carried", number(carried));
            ("loop", out.with("body", body(b)))
        }
        Op::Scan { body: b, inputs, outputs, .. } => {
            let out = out.with("inputs", walks(inputs)).with("inputs_reversed", reversed(inputs));
            let out = out.with("outputs", walks(outputs)).with("outputs_reversed", reversed(outputs));
            ("scan", out.with("body", body(b)))
        }
        _ => unreachable_op(op),
    }
}

/// Products, windows, normalisations and reductions.
fn describe_heavy(op: &Op) -> (&'static str, Out) {
    let out = Out::default();
    let axis = |axis: &usize| Out::default().with("axis", number(axis));
    match op {
        Op::Conv { window, group, bias, epilogue } => {
            ("conv", out.window(window).groups(*group).flag("bias", *bias).fused("epilogue", epilogue))
        }
        Op::ConvTranspose { window, output_pad, group, bias, epilogue } => {
            let padded = output_pad.iter().any(|p| *p != 0) || output_pad.len() != window.kernel.len();
            let out = out.window(window).when(padded, "output_pad", numbers(output_pad)).groups(*group);
            ("conv_transpose", out.flag("bias", *bias).fused("epilogue", epilogue))
        }
        Op::MatMul { trans_a, trans_b, bias, epilogue } => {
            let out = out.flag("trans_a", *trans_a).flag("trans_b", *trans_b).flag("bias", *bias);
            ("matmul", out.fused("epilogue", epilogue))
        }
        Op::Pool { kind, window, ceil, column_major } => {
            let (kind, count_pad, p) = match kind {
                PoolKind::Max => ("max", false, 0),
                PoolKind::Average { count_pad } => ("average", *count_pad, 0),
                PoolKind::Lp { p } => ("lp", false, *p),
            };
            let out = out.with("kind", word(kind)).flag("count_pad", count_pad).when(kind == "lp", "p", number(p));
            ("pool", out.window(window).flag("ceil", *ceil).flag("column_major", *column_major))
        }
        Op::BatchNorm { epsilon } => ("batch_norm", out.with("epsilon", number(epsilon))),
        Op::InstanceNorm { epsilon } => ("instance_norm", out.with("epsilon", number(epsilon))),
        Op::LayerNorm { axis: a, epsilon, bias } => {
            ("layer_norm", axis(a).with("epsilon", number(epsilon)).flag("bias", *bias))
        }
        Op::GroupNorm { groups, epsilon } => {
            ("group_norm", out.with("groups", number(groups)).with("epsilon", number(epsilon)))
        }
        Op::Lrn { size, alpha, beta, bias } => {
            let out = out.with("size", number(size)).with("alpha", number(alpha)).with("beta", number(beta));
            ("lrn", out.with("bias", number(bias)))
        }
        Op::LpNorm { axis: a, p } => ("lp_norm", axis(a).with("p", number(p))),
        Op::Softmax { axis: a, log } => ("softmax", axis(a).flag("log", *log)),
        Op::Reduce { kind, axes, keep } => {
            ("reduce", out.with("kind", word(kind.name())).with("axes", numbers(axes)).flag("keep", *keep))
        }
        Op::ArgReduce { min, axis: a, keep, last } => {
            ("arg_reduce", axis(a).flag("min", *min).flag("keep", *keep).flag("last", *last))
        }
        Op::CumSum { axis: a, exclusive, reverse } => {
            ("cum_sum", axis(a).flag("exclusive", *exclusive).flag("reverse", *reverse))
        }
        Op::TopK { axis: a, k, largest, sorted } => {
            ("top_k", axis(a).with("k", ints(k)).flag("largest", *largest).flag("sorted", *sorted))
        }
        Op::Trilu { upper, k } => ("trilu", out.flag("upper", *upper).with("k", number(k))),
        _ => unreachable_op(op),
    }
}

/// [`describe`] takes every other operation.
fn unreachable_op(op: &Op) -> (&'static str, Out) {
    debug_assert!(false, "no text for {op:?}");
    ("unknown", Out::default())
}

fn describe_pad(mode: PadMode) -> Out {
    let out = Out::default();
    match mode {
        PadMode::Constant(value) => out.with("mode", word("constant")).with("value", number(value)),
        PadMode::Edge => out.with("mode", word("edge")),
        PadMode::Reflect => out.with("mode", word("reflect")),
        PadMode::Wrap => out.with("mode", word("wrap")),
    }
}

fn describe_resize(attrs: &ResizeAttrs) -> Out {
    let out = Out::default();
    let out = match attrs.mode {
        ResizeMode::Nearest(rounding) => {
            let rounding = match rounding {
                Nearest::RoundPreferFloor => "round_prefer_floor",
                Nearest::RoundPreferCeil => "round_prefer_ceil",
                Nearest::Floor => "floor",
                Nearest::Ceil => "ceil",
            };
            out.with("mode", word("nearest")).with("rounding", word(rounding))
        }
        ResizeMode::Linear => out.with("mode", word("linear")),
        ResizeMode::Cubic { a } => out.with("mode", word("cubic")).with("a", number(a)),
    };
    let (coordinates, extrapolation) = match attrs.coordinates {
        Coordinates::HalfPixel => ("half_pixel", None),
        Coordinates::HalfPixelSymmetric => ("half_pixel_symmetric", None),
        Coordinates::PytorchHalfPixel => ("pytorch_half_pixel", None),
        Coordinates::AlignCorners => ("align_corners", None),
        Coordinates::Asymmetric => ("asymmetric", None),
        Coordinates::TfHalfPixelForNn => ("tf_half_pixel_for_nn", None),
        Coordinates::TfCropAndResize { extrapolation } => ("tf_crop_and_resize", Some(extrapolation)),
    };
    let mut out = out.with("coordinates", word(coordinates)).with("sizes", ints(&attrs.sizes));
    if let Some(value) = extrapolation {
        out = out.with("extrapolation", number(value));
    }
    if let Some(scales) = &attrs.scales {
        out = out.with("scales", numbers(scales));
    }
    if let Some((begin, end)) = &attrs.roi {
        out = out.with("roi_begin", numbers(begin)).with("roi_end", numbers(end));
    }
    out.flag("antialias", attrs.antialias).flag("exclude_outside", attrs.exclude_outside)
}

/// The operation of this name with these attributes and `given` operands. Types of results that an operation carries are left
/// out.
pub(super) fn build(name: &str, a: &Attrs, given: usize) -> Result<Op, String> {
    if let Some(op) = BinaryOp::from_name(name) {
        return Ok(Op::Binary(op));
    }
    if let Some(op) = UnaryOp::from_parts(name, |key| a.value(key).ok()) {
        return Ok(Op::Unary(op));
    }
    let dtype = |key: &str| {
        let name = a.word(key)?;
        DType::from_name(&name).ok_or_else(|| format!("there is no element type {name}"))
    };
    let scatter = || {
        let name = a.word("reduction")?;
        ScatterKind::from_name(&name).ok_or_else(|| format!("there is no reduction {name}"))
    };
    Ok(match name {
        "elementwise" => Op::Elementwise(a.expression("steps")?),
        "where" => Op::Where,
        "cast" => Op::Cast(dtype("to")?),
        "cast_narrow" => {
            let rounding = if a.has("rounding") { a.word("rounding")? } else { PowerRounding::Up.name().into() };
            let rounding =
                PowerRounding::from_name(&rounding).ok_or_else(|| format!("there is no rounding {rounding}"))?;
            Op::CastNarrow { to: dtype("to")?, saturate: a.flag("saturate")?, rounding }
        }
        "concat" => Op::Concat { axis: a.value("axis")? },
        "slice" => {
            let axes: Vec<usize> = a.list("axes")?;
            let steps = a.list_or("steps", vec![1; axes.len()])?;
            Op::Slice { axes, starts: a.ints("starts")?, ends: a.ints("ends")?, steps }
        }
        "reshape" => Op::Reshape { shape: a.ints("shape")?, allow_zero: a.flag("allow_zero")? },
        "transpose" => Op::Transpose { perm: a.list("perm")? },
        "expand" => Op::Expand { shape: a.ints("shape")? },
        "tile" => Op::Tile { repeats: a.ints("repeats")? },
        "gather" => Op::Gather { axis: a.value("axis")? },
        "gather_elements" => Op::GatherElements { axis: a.value("axis")? },
        "gather_nd" => Op::GatherNd { batch: a.value_or("batch", 0)? },
        "scatter_nd" => Op::ScatterNd { reduction: scatter()? },
        "scatter_elements" => Op::ScatterElements { axis: a.value("axis")?, reduction: scatter()? },
        "depth_to_space" => Op::DepthToSpace { block: a.value("block")?, crd: a.flag("crd")? },
        "space_to_depth" => Op::SpaceToDepth { block: a.value("block")? },
        "shape" => Op::Shape { begin: a.value("begin")?, end: a.value("end")? },
        "constant_of_shape" => {
            Op::ConstantOfShape { shape: a.ints("shape")?, dtype: dtype("dtype")?, value: a.value("value")? }
        }
        "range" => Op::Range,
        "one_hot" => Op::OneHot { axis: a.value("axis")? },
        "reorder" => {
            let halo = match a.list_or("halo", vec![0u32; 4])?[..] {
                [top, left, bottom, right] => Halo { top, left, bottom, right },
                _ => return Err("halo has four sides".into()),
            };
            Op::Reorder { lanes: a.value("lanes")?, halo }
        }
        "pad" => Op::Pad { mode: build_pad(a)?, pads: a.ints("pads")? },
        "resize" => Op::Resize(build_resize(a)?),
        _ => return build_heavy(name, a, given),
    })
}

fn build_window(a: &Attrs) -> Result<Window, String> {
    let kernel: Vec<usize> = a.list("kernel")?;
    let n = kernel.len();
    let auto_pad = match a.value_or("auto_pad", "explicit".to_string())?.as_str() {
        "explicit" => AutoPad::Explicit,
        "same_upper" => AutoPad::SameUpper,
        "same_lower" => AutoPad::SameLower,
        other => return Err(format!("there is no padding {other}")),
    };
    Ok(Window {
        kernel,
        stride: a.list_or("stride", vec![1; n])?,
        dilation: a.list_or("dilation", vec![1; n])?,
        pad_begin: a.list_or("pad_begin", vec![0; n])?,
        pad_end: a.list_or("pad_end", vec![0; n])?,
        auto_pad,
    })
}

/// An element type by name.
fn dtype(a: &Attrs, key: &str) -> Result<DType, String> {
    let name = a.word(key)?;
    DType::from_name(&name).ok_or_else(|| format!("there is no element type {name}"))
}

fn build_heavy(name: &str, a: &Attrs, given: usize) -> Result<Op, String> {
    Ok(match name {
        "conv" => Op::Conv {
            window: build_window(a)?,
            group: a.value_or("group", 1)?,
            bias: a.flag("bias")?,
            epilogue: a.expression("epilogue")?,
        },
        "conv_integer" => Op::ConvInteger {
            window: build_window(a)?,
            group: a.value_or("group", 1)?,
            bias: a.flag("bias")?,
            to: dtype(a, "to")?,
            epilogue: a.expression("epilogue")?,
        },
        "matmul_integer" => Op::MatMulInteger {
            trans_b: a.flag("trans_b")?,
            bias: a.flag("bias")?,
            to: dtype(a, "to")?,
            epilogue: a.expression("epilogue")?,
        },
        "requantize" => Op::Requantize { to: dtype(a, "to")?, expression: a.expression("steps")? },
        "quantize" => Op::Quantize {
            to: dtype(a, "to")?,
            axis: a.value("axis")?,
            block: a.value_or("block", 0)?,
            precision: if a.has("precision") { dtype(a, "precision")? } else { DType::F32 },
            saturate: a.flag("saturate")?,
        },
        "dequantize" => Op::Dequantize { to: dtype(a, "to")?, axis: a.value("axis")?, block: a.value_or("block", 0)? },
        "conv_transpose" => {
            let window = build_window(a)?;
            let output_pad = a.list_or("output_pad", vec![0; window.kernel.len()])?;
            let (group, bias) = (a.value_or("group", 1)?, a.flag("bias")?);
            Op::ConvTranspose { window, output_pad, group, bias, epilogue: a.expression("epilogue")? }
        }
        "matmul" => Op::MatMul {
            trans_a: a.flag("trans_a")?,
            trans_b: a.flag("trans_b")?,
            bias: a.flag("bias")?,
            epilogue: a.expression("epilogue")?,
        },
        "pool" => {
            let kind = match a.word("kind")?.as_str() {
                "max" => PoolKind::Max,
                "average" => PoolKind::Average { count_pad: a.flag("count_pad")? },
                "lp" => PoolKind::Lp { p: a.value("p")? },
                other => return Err(format!("there is no pooling {other}")),
            };
            Op::Pool { kind, window: build_window(a)?, ceil: a.flag("ceil")?, column_major: a.flag("column_major")? }
        }
        "batch_norm" => Op::BatchNorm { epsilon: a.value("epsilon")? },
        "instance_norm" => Op::InstanceNorm { epsilon: a.value("epsilon")? },
        "layer_norm" => Op::LayerNorm { axis: a.value("axis")?, epsilon: a.value("epsilon")?, bias: a.flag("bias")? },
        "group_norm" => Op::GroupNorm { groups: a.value("groups")?, epsilon: a.value("epsilon")? },
        "lrn" => {
            let (size, alpha, beta) = (a.value("size")?, a.value("alpha")?, a.value("beta")?);
            Op::Lrn { size, alpha, beta, bias: a.value("bias")? }
        }
        "lp_norm" => Op::LpNorm { axis: a.value("axis")?, p: a.value("p")? },
        "softmax" => Op::Softmax { axis: a.value("axis")?, log: a.flag("log")? },
        "reduce" => {
            let name = a.word("kind")?;
            let kind = ReduceKind::from_name(&name).ok_or_else(|| format!("there is no reduction {name}"))?;
            Op::Reduce { kind, axes: a.list("axes")?, keep: a.flag("keep")? }
        }
        "arg_reduce" => {
            let (min, axis, keep) = (a.flag("min")?, a.value("axis")?, a.flag("keep")?);
            Op::ArgReduce { min, axis, keep, last: a.flag("last")? }
        }
        "cum_sum" => {
            Op::CumSum { axis: a.value("axis")?, exclusive: a.flag("exclusive")?, reverse: a.flag("reverse")? }
        }
        "top_k" => {
            let (axis, k, largest) = (a.value("axis")?, a.ints("k")?, a.flag("largest")?);
            Op::TopK { axis, k, largest, sorted: a.flag("sorted")? }
        }
        "trilu" => Op::Trilu { upper: a.flag("upper")?, k: a.value("k")? },
        "if" => Op::If { then: a.body("then")?, otherwise: a.body("otherwise")?, results: vec![] },
        "loop" => Op::Loop {
            body: a.body("body")?,
            trip: a.flag("trip")?,
            condition: a.flag("condition")?,
            carried: a.value("carried")?,
            results: vec![],
        },
        "scan" => Op::Scan {
            body: a.body("body")?,
            inputs: build_walks(a, "inputs", "inputs_reversed")?,
            outputs: build_walks(a, "outputs", "outputs_reversed")?,
            results: vec![],
        },
        _ if function::find(name).is_some() => {
            let operands: Vec<u8> = a.list_or("operands", vec![1; given])?;
            let operands = operands.into_iter().map(|n| n != 0).collect();
            Op::Function {
                function: Function { attributes: a.attributes()?, operands, ..Function::new(name, 0) },
                results: vec![],
            }
        }
        _ => return Err(format!("there is no operation {name}")),
    })
}

fn build_walks(a: &Attrs, axes: &str, reversed: &str) -> Result<Vec<ScanAxis>, String> {
    let (axes, reversed): (Vec<usize>, Vec<u8>) = (a.list(axes)?, a.list(reversed)?);
    if axes.len() != reversed.len() {
        return Err("a scan has as many directions as axes".into());
    }
    Ok(axes.into_iter().zip(reversed).map(|(axis, reverse)| ScanAxis { axis, reverse: reverse != 0 }).collect())
}

fn build_pad(a: &Attrs) -> Result<PadMode, String> {
    Ok(match a.word("mode")?.as_str() {
        "constant" => PadMode::Constant(a.value("value")?),
        "edge" => PadMode::Edge,
        "reflect" => PadMode::Reflect,
        "wrap" => PadMode::Wrap,
        other => return Err(format!("there is no padding {other}")),
    })
}

fn build_resize(a: &Attrs) -> Result<ResizeAttrs, String> {
    let mode = match a.word("mode")?.as_str() {
        "nearest" => ResizeMode::Nearest(match a.word("rounding")?.as_str() {
            "round_prefer_floor" => Nearest::RoundPreferFloor,
            "round_prefer_ceil" => Nearest::RoundPreferCeil,
            "floor" => Nearest::Floor,
            "ceil" => Nearest::Ceil,
            other => return Err(format!("there is no rounding {other}")),
        }),
        "linear" => ResizeMode::Linear,
        "cubic" => ResizeMode::Cubic { a: a.value("a")? },
        other => return Err(format!("there is no interpolation {other}")),
    };
    let coordinates = match a.word("coordinates")?.as_str() {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNn,
        "tf_crop_and_resize" => Coordinates::TfCropAndResize { extrapolation: a.value("extrapolation")? },
        other => return Err(format!("there is no coordinate transformation {other}")),
    };
    let scales = if a.has("scales") { Some(a.list("scales")?) } else { None };
    let roi = if a.has("roi_begin") { Some((a.list("roi_begin")?, a.list("roi_end")?)) } else { None };
    let (antialias, exclude_outside) = (a.flag("antialias")?, a.flag("exclude_outside")?);
    Ok(ResizeAttrs { mode, coordinates, sizes: a.ints("sizes")?, scales, roi, antialias, exclude_outside })
}
