//! The sliding window that convolutions and pooling share: strides, dilations, explicit and automatic padding.

use crate::context::Context;
use crate::error::{NodeError, invalid, unsupported};
use brolga_compiler::ir::infer::explicit;
use brolga_compiler::ir::{AutoPad, Dim, ValueId, Window};

/// What `auto_pad` says.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Auto {
    Explicit,
    Valid,
    SameUpper,
    SameLower,
}

pub(super) fn auto_pad(cx: &Context<'_, '_>) -> Result<Auto, NodeError> {
    match cx.node.attributes.text_or("auto_pad", "NOTSET")? {
        "NOTSET" | "" => Ok(Auto::Explicit),
        "VALID" => Ok(Auto::Valid),
        "SAME_UPPER" => Ok(Auto::SameUpper),
        "SAME_LOWER" => Ok(Auto::SameLower),
        other => invalid(format!("auto_pad {other:?}; NOTSET, VALID, SAME_UPPER or SAME_LOWER is expected")),
    }
}

/// Extents beyond this are mistakes or attacks; products of a few stay far from overflow.
const MAX_EXTENT: i64 = 1 << 31;

fn positive(name: &str, list: Option<&[i64]>, n: usize) -> Result<Vec<usize>, NodeError> {
    let Some(list) = list else { return Ok(vec![1; n]) };
    let sizes = list.iter().map(|v| usize::try_from(*v).ok().filter(|_| (1..MAX_EXTENT).contains(v)));
    match sizes.collect::<Option<Vec<usize>>>() {
        Some(sizes) if sizes.len() == n => Ok(sizes),
        _ => invalid(format!("{name} is {list:?}; {n} positive numbers are expected")),
    }
}

/// Number of spatial dimensions of operand `x`.
pub(super) fn spatial(cx: &Context<'_, '_>, x: ValueId) -> Result<usize, NodeError> {
    match cx.rank(x) {
        rank if rank >= 3 => Ok(rank - 2),
        rank => invalid(format!("its operand has rank {rank}; at least 3 is expected (batch, channels, extents)")),
    }
}

/// The window's kernel from the attribute, or from the weight.
pub(super) fn kernel(cx: &Context<'_, '_>, weight: Option<ValueId>, n: usize) -> Result<Vec<usize>, NodeError> {
    let attribute = cx.node.attributes.ints("kernel_shape")?;
    let Some(weight) = weight else {
        let given = cx.node.attributes.required("kernel_shape", attribute)?;
        return positive("kernel_shape", Some(given), n);
    };
    if cx.rank(weight) != n + 2 {
        return invalid(format!("the weight has rank {}; {} is expected", cx.rank(weight), n + 2));
    }
    let taps: Option<Vec<i64>> = cx.ty(weight).shape.iter().skip(2).map(Dim::known).collect();
    match (taps, attribute) {
        (Some(taps), Some(given)) if taps != given => {
            invalid(format!("kernel_shape is {given:?} where the weight's is {taps:?}"))
        }
        (Some(taps), _) => positive("the weight's kernel", Some(&taps), n),
        (None, Some(given)) => positive("kernel_shape", Some(given), n),
        (None, None) => unsupported(format!(
            "its weight is {}, and there is no kernel_shape; known extents are accepted",
            cx.ty(weight)
        )),
    }
}

/// The window over the last `n` dimensions of `x`; automatic padding is made explicit where the extents are known.
pub(super) fn window(cx: &Context<'_, '_>, x: ValueId, kernel: Vec<usize>) -> Result<Window, NodeError> {
    let n = kernel.len();
    let attributes = &cx.node.attributes;
    let mut window = Window {
        kernel,
        stride: positive("strides", attributes.ints("strides")?, n)?,
        dilation: positive("dilations", attributes.ints("dilations")?, n)?,
        pad_begin: vec![0; n],
        pad_end: vec![0; n],
        auto_pad: AutoPad::Explicit,
    };
    let auto = auto_pad(cx)?;
    if auto == Auto::Explicit {
        if let Some(pads) = attributes.ints("pads")? {
            if pads.len() != 2 * n || pads.iter().any(|p| !(-MAX_EXTENT..=MAX_EXTENT).contains(p)) {
                return invalid(format!("pads is {pads:?}; {} numbers of moderate size are expected", 2 * n));
            }
            window.pad_begin = pads.iter().take(n).copied().collect();
            window.pad_end = pads.iter().skip(n).copied().collect();
        }
    } else if auto != Auto::Valid {
        let extents: Option<Vec<i64>> = cx.ty(x).shape.iter().skip(2).map(Dim::known).collect();
        window.auto_pad = if auto == Auto::SameUpper { AutoPad::SameUpper } else { AutoPad::SameLower };
        let extents = extents.and_then(|list| list.into_iter().map(|n| usize::try_from(n).ok()).collect());
        if let Some(extents) = extents.filter(|list: &Vec<usize>| list.iter().all(|n| *n < MAX_EXTENT as usize)) {
            window = explicit(&window, &extents);
        }
    }
    Ok(window)
}
