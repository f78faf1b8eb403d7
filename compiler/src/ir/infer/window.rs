//! Sliding windows: convolution, transposed convolution, pooling.

use super::dims::{agree, show};
use super::elementwise::epilogue;
use super::{Operands, Rule, one};
use crate::ir::{AutoPad, Dim, Expression, PoolKind, Type, Window};
use brolga_runtime::DType;

/// Attributes larger than this are refused before any arithmetic on them.
const MAX_ATTRIBUTE: usize = 1 << 31;

fn check(window: &Window, rank: usize) -> Result<(), String> {
    let Window { kernel, stride, dilation, pad_begin, pad_end, .. } = window;
    let spatial = rank - 2;
    if [kernel.len(), stride.len(), dilation.len(), pad_begin.len(), pad_end.len()] != [spatial; 5] {
        return Err(format!(
            "kernel {kernel:?}, stride {stride:?}, dilation {dilation:?}, pads {pad_begin:?} {pad_end:?}; \
             accepted are {spatial} entries each"
        ));
    }
    for (what, list) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
        if list.iter().any(|n| *n == 0 || *n > MAX_ATTRIBUTE) {
            return Err(format!("{what} {list:?}; accepted are 1 to 2^31"));
        }
    }
    if pad_begin.iter().chain(pad_end).any(|p| p.unsigned_abs() as usize > MAX_ATTRIBUTE) {
        return Err(format!("pads {pad_begin:?} {pad_end:?}; accepted are up to 2^31"));
    }
    Ok(())
}

/// Reach of the taps of dimension `i`. Attributes are below 2^31, so nothing overflows.
fn reach(window: &Window, i: usize) -> i64 {
    (window.dilation[i] as i64) * (window.kernel[i] as i64 - 1) + 1
}

/// Result extent of spatial dimension `i`.
fn extent(input: &Dim, window: &Window, i: usize, ceil: bool) -> Result<Dim, String> {
    let stride = window.stride[i] as i64;
    if window.auto_pad != AutoPad::Explicit {
        return Ok(input.div_ceil(stride));
    }
    let reach = reach(window, i);
    let before = Dim::Const(window.pad_begin[i]);
    let room = input.add(&before).add(&Dim::Const(window.pad_end[i])).sub(&Dim::Const(reach));
    // Rounding up, a window may reach past everything, as far as the next one.
    if room.known().is_some_and(|n| n < if ceil { 1 - stride } else { 0 }) {
        return Err(format!(
            "a window that reaches over {reach} does not fit into extent {input} with padding {} and {}",
            window.pad_begin[i], window.pad_end[i]
        ));
    }
    let one = Dim::Const(1);
    if ceil {
        // A window that would begin in the padding after the data is left out.
        let last = input.add(&before).sub(&one).div(&Dim::Const(stride));
        return Ok(room.div_ceil(stride).smaller(&last).add(&one));
    }
    Ok(room.div(&Dim::Const(stride)).add(&one))
}

/// Padding before and after each spatial dimension of a convolution or pooling whose input extents are `input`.
pub fn conv_pads(window: &Window, input: &[usize]) -> (Vec<i64>, Vec<i64>) {
    if window.auto_pad == AutoPad::Explicit {
        return (window.pad_begin.clone(), window.pad_end.clone());
    }
    let total = |i: usize| {
        let (size, stride) = (input[i] as i64, window.stride[i] as i64);
        let out = (size + stride - 1) / stride;
        // A window that skips elements has no padding and not less; the last elements are left over.
        ((out - 1) * stride + reach(window, i) - size).max(0)
    };
    let halves = |total: i64| {
        let begin = (total + i64::from(window.auto_pad == AutoPad::SameLower)) / 2;
        (begin, total - begin)
    };
    (0..input.len()).map(total).map(halves).unzip()
}

/// The window with explicit padding, for spatial extents of the input.
pub fn explicit(window: &Window, input: &[usize]) -> Window {
    let (pad_begin, pad_end) = conv_pads(window, input);
    Window { pad_begin, pad_end, auto_pad: AutoPad::Explicit, ..window.clone() }
}

/// The padding that a transposed convolution crops from its full result.
pub fn conv_transpose_pads(window: &Window, output_pad: &[i64], input: &[usize]) -> (Vec<i64>, Vec<i64>) {
    if window.auto_pad == AutoPad::Explicit {
        return (window.pad_begin.clone(), window.pad_end.clone());
    }
    let total = |i: usize| {
        let (size, stride) = (input[i] as i64, window.stride[i] as i64);
        (size - 1) * stride + reach(window, i) + output_pad.get(i).copied().unwrap_or(0) - size * stride
    };
    split_pads((0..input.len()).map(total), window.auto_pad)
}

fn split_pads(totals: impl Iterator<Item = i64>, auto_pad: AutoPad) -> (Vec<i64>, Vec<i64>) {
    totals
        .map(|total| {
            let small = total.div_euclid(2);
            if auto_pad == AutoPad::SameLower { (total - small, small) } else { (small, total - small) }
        })
        .unzip()
}

/// Checks what both kinds of convolution share; `taps` are the weight's spatial extents.
fn check_conv(x: &Operands, window: &Window, group: usize, integers: bool) -> Result<(), String> {
    let (input, weight) = (x.ty(0), x.ty(1));
    if input.rank() < 3 || weight.rank() != input.rank() {
        return Err(format!("input {input} and weight {weight}; accepted are equal ranks of at least 3"));
    }
    if !integers && (!input.dtype.is_float() || weight.dtype != input.dtype) {
        return Err(format!("input {input} and weight {weight}; accepted are floats of one type"));
    }
    check(window, input.rank())?;
    let fits = |(d, k): (&Dim, &usize)| d.known().is_none_or(|n| n == *k as i64);
    if !weight.shape[2..].iter().zip(&window.kernel).all(fits) {
        return Err(format!("kernel {:?} and weight {weight} differ", window.kernel));
    }
    if group == 0 || group > MAX_ATTRIBUTE {
        return Err(format!("group {group}; accepted are 1 and more"));
    }
    Ok(())
}

fn check_bias(x: &Operands, at: usize, channels: &Dim) -> Result<(), String> {
    let bias = x.ty(at);
    let fits = bias.rank() == 1 && agree(&bias.shape[0], channels).is_some();
    if bias.dtype == x.dtype(0) && fits {
        return Ok(());
    }
    Err(format!("bias {bias}; accepted is {}[{channels}]", x.dtype(0)))
}

/// The shape that a convolution has, of floats of one type or of integers.
pub(super) fn conv_shape(x: &Operands, window: &Window, group: usize, integers: bool) -> Result<Vec<Dim>, String> {
    check_conv(x, window, group, integers)?;
    let (input, weight) = (x.shape(0), x.shape(1));
    let groups = Dim::Const(group as i64);
    if agree(&input[1], &weight[1].mul(&groups)).is_none() {
        return Err(format!(
            "{} input channels; weight {} in {group} groups takes {}",
            input[1],
            show(weight),
            weight[1].mul(&groups)
        ));
    }
    if weight[0].known().is_some_and(|n| n % group as i64 != 0) {
        return Err(format!("{} output channels cannot be shared out over {group} groups", weight[0]));
    }
    let mut shape = vec![input[0].clone(), weight[0].clone()];
    for (i, dim) in input[2..].iter().enumerate() {
        shape.push(extent(dim, window, i, false)?);
    }
    Ok(shape)
}

pub(super) fn conv(x: &Operands, window: &Window, group: usize, bias: bool, fused: &Expression) -> Rule {
    let shape = conv_shape(x, window, group, false)?;
    if bias {
        check_bias(x, 2, &shape[1])?;
    }
    let ty = Type::new(x.dtype(0), shape);
    epilogue(x, 2 + usize::from(bias), fused, &ty)?;
    Ok(vec![(ty, None)])
}

pub(super) fn conv_transpose(
    x: &Operands,
    window: &Window,
    output_pad: &[i64],
    group: usize,
    bias: bool,
    fused: &Expression,
) -> Rule {
    check_conv(x, window, group, false)?;
    let (input, weight) = (x.shape(0), x.shape(1));
    let spatial = input.len() - 2;
    if output_pad.len() != spatial || output_pad.iter().any(|p| p.unsigned_abs() as usize > MAX_ATTRIBUTE) {
        return Err(format!("output padding {output_pad:?}; accepted are {spatial} small numbers"));
    }
    if agree(&input[1], &weight[0]).is_none() || weight[0].known().is_some_and(|n| n % group as i64 != 0) {
        return Err(format!("{} input channels in {group} groups; weight {}", input[1], show(weight)));
    }
    let channels = weight[1].mul(&Dim::Const(group as i64));
    let mut shape = vec![input[0].clone(), channels.clone()];
    for (i, dim) in input[2..].iter().enumerate() {
        let stride = Dim::Const(window.stride[i] as i64);
        let out = if window.auto_pad == AutoPad::Explicit {
            let more = reach(window, i) + output_pad[i] - window.pad_begin[i] - window.pad_end[i];
            dim.sub(&Dim::Const(1)).mul(&stride).add(&Dim::Const(more))
        } else {
            dim.mul(&stride)
        };
        if out.known().is_some_and(|n| n < 0) {
            return Err(format!("the padding crops more than the whole of dimension {}", i + 2));
        }
        shape.push(out);
    }
    if bias {
        check_bias(x, 2, &channels)?;
    }
    let ty = Type::new(x.dtype(0), shape);
    epilogue(x, 2 + usize::from(bias), fused, &ty)?;
    Ok(vec![(ty, None)])
}

pub(super) fn pool(x: &Operands, kind: PoolKind, window: &Window, ceil: bool) -> Rule {
    let input = x.ty(0);
    if input.rank() < 3 {
        return Err(format!("input {input}; accepted are ranks of at least 3"));
    }
    let accepted = input.dtype.is_float() || (kind == PoolKind::Max && input.dtype.is_integer());
    if !accepted {
        return Err(format!("input {input}; accepted are floats, and integers for max"));
    }
    if matches!(kind, PoolKind::Lp { p: 0 }) {
        return Err("p 0; accepted are 1 and more".into());
    }
    check(window, input.rank())?;
    let mut shape = input.shape[..2].to_vec();
    for (i, dim) in input.shape[2..].iter().enumerate() {
        shape.push(extent(dim, window, i, ceil)?);
    }
    let mut results = one(input.dtype, shape.clone())?;
    if x.results == 2 {
        results.push((Type::new(DType::I64, shape), None));
    }
    Ok(results)
}
