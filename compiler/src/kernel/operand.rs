//! What a node's operands are to a kernel: where they come from and with which strides, broadcasting and blocks resolved.

use super::{LowerContext, NoKernel, Operand, PackLoop, PackPiece, PackSpec, View};
use crate::ir::{Layout, Node, ValueId, Weight};
use crate::tile::Storage;
use brolga_runtime::DType;
use std::sync::Arc;

/// Bytes above which a constant that is not packed is left to a library call.
const TABLE_LIMIT: usize = 1 << 20;

/// A plain operand: constants are packed row-major (f32) or become tables.
pub fn place(cx: &LowerContext<'_>, value: ValueId) -> Result<(Operand, View), NoKernel> {
    let ty = cx.graph.ty(value);
    let Some(weight) = cx.graph.weight(value) else {
        return Ok((Operand::Value(value, 0), cx.view(value)?.clone()));
    };
    let shape = weight.shape();
    let view = View::dense(&shape, Layout::Plain, ty.dtype.bytes()).0;
    if ty.dtype == DType::F32 && PackSpec::accepts(weight) {
        return Ok((Operand::Packed(value, PackSpec::plain(&shape)), view));
    }
    if weight.len().saturating_mul(ty.dtype.bytes()) > TABLE_LIMIT {
        return Err(NoKernel(format!("the {} constant {value} is large", ty.dtype.name())));
    }
    let tensor = weight.evaluate().map_err(|e| NoKernel(e.to_string()))?;
    Ok((Operand::Table(tensor.bytes().to_vec()), view))
}

/// The element of a constant that has only one.
pub fn constant_scalar(cx: &LowerContext<'_>, value: ValueId) -> Option<f32> {
    let weight = cx.graph.weight(value)?;
    let whole = weight.dtype == DType::F32 && weight.len() == 1;
    whole.then(|| weight.evaluate().ok()?.as_slice::<f32>().ok()?.first().copied())?
}

/// How an element type is stored and which lanes hold it; `None` for types that kernels do not compute with.
pub fn storage(dtype: DType) -> Option<Storage> {
    Some(match dtype {
        DType::F32 | DType::I32 | DType::U32 => Storage::B32,
        DType::F16 => Storage::F16,
        DType::BF16 => Storage::Bf16,
        DType::I8 => Storage::I8,
        DType::I16 => Storage::I16,
        DType::U8 | DType::Bool => Storage::U8,
        DType::U16 => Storage::U16,
        _ => return None,
    })
}

/// Refuses a node whose operand is not of a type.
pub fn expect_type(cx: &LowerContext<'_>, value: ValueId, dtype: DType) -> Result<(), NoKernel> {
    let found = cx.graph.ty(value).dtype;
    if found == dtype { Ok(()) } else { Err(NoKernel(format!("{value} is {}, not {}", found.name(), dtype.name()))) }
}

/// Refuses a plane in which offsets, in the units of its strides, do not fit the 32-bit lanes that they are computed in.
pub fn expect_offsets(extents: &[usize], strides: &[i64]) -> Result<(), NoKernel> {
    let steps = extents.iter().zip(strides).map(|(n, stride)| (*n as i64 - 1).saturating_mul(*stride));
    match steps.fold(0i64, i64::saturating_add) <= i64::from(i32::MAX) {
        true => Ok(()),
        false => Err(NoKernel("a plane of more bytes than 32 bits count".into())),
    }
}

/// Extents and strides of a plain view.
pub fn plain(view: &View) -> Result<(&[usize], &[i64]), NoKernel> {
    match view {
        View::Plain { dims, strides } => Ok((dims, strides)),
        View::Blocked { .. } => Err(NoKernel("a blocked operand where a plain one is needed".into())),
    }
}

/// A view as a row-major nest: blocked ones as `[n, block, h, w, lane]`.
pub fn nest_of(view: &View, element_bytes: usize) -> (Vec<usize>, Vec<i64>) {
    match view {
        View::Plain { dims, strides } => (dims.clone(), strides.clone()),
        View::Blocked { dims: [n, c, h, w], lanes, strides: [sn, sb, sh, sw], .. } => {
            let dims = vec![*n, c.div_ceil(*lanes), *h, *w, *lanes];
            (dims, vec![*sn, *sb, *sh, *sw, element_bytes as i64])
        }
    }
}

/// Strides of a plain operand in a result of `dims`, zero where it is broadcast.
pub fn broadcast(view: &View, dims: &[usize]) -> Result<Vec<i64>, NoKernel> {
    let (from, strides) = plain(view)?;
    let Some(missing) = dims.len().checked_sub(from.len()) else {
        return Err(NoKernel("an operand of higher rank than the result".into()));
    };
    let mut out = vec![0; dims.len()];
    for (i, (extent, stride)) in from.iter().zip(strides).enumerate() {
        match *extent {
            1 => {}
            n if n == dims[missing + i] => out[missing + i] = *stride,
            n => return Err(NoKernel(format!("extent {n} does not broadcast to {}", dims[missing + i]))),
        }
    }
    Ok(out)
}

/// An operand of a blocked result, with strides over `[n, block, h, w, lane]`, and whether it is zero in the lanes that
/// fill up the last block.
pub fn blocked_operand(
    cx: &LowerContext<'_>,
    node: &Node,
    value: ValueId,
    result: (&[usize; 4], usize),
) -> Result<(Operand, Vec<i64>, bool), NoKernel> {
    let (dims, lanes) = result;
    if let (None, Some(View::Blocked { dims: from, lanes: of, strides, .. })) =
        (cx.graph.weight(value), cx.views.get(&value))
    {
        let bytes = cx.graph.ty(value).dtype.bytes() as i64;
        let strides = blocked_strides(from, *of, strides, bytes, result)?;
        let padded = strides[4] != 0;
        return Ok((Operand::Value(value, 0), strides, padded));
    }
    let shape = cx.dims(value)?;
    let Some(missing) = 4usize.checked_sub(shape.len()) else {
        return Err(NoKernel(format!("an operand of rank {} of `{}`", shape.len(), node.name)));
    };
    let channels = if missing > 1 { 1 } else { shape[1 - missing] };
    if channels == 1 {
        let (operand, view) = place(cx, value)?;
        let s = broadcast(&view, dims)?;
        return Ok((operand, vec![s[0], 0, s[2], s[3], 0], false));
    }
    let per_channel = shape.iter().product::<usize>() == channels;
    let packs = |w: &&Arc<Weight>| per_channel && w.dtype == DType::F32 && PackSpec::accepts(w);
    if cx.graph.weight(value).filter(packs).is_some() {
        let spec = channel_spec(&shape, 1 - missing, lanes);
        return Ok((Operand::Packed(value, spec), vec![0, 4 * lanes as i64, 0, 0, 4], true));
    }
    let (operand, view) = place(cx, value)?;
    let s = broadcast(&view, dims)?;
    if channels % lanes != 0 {
        return Err(NoKernel(format!("plain {value} has {channels} channels, not whole blocks of {lanes}")));
    }
    Ok((operand, vec![s[0], s[1] * lanes as i64, s[2], s[3], s[1]], false))
}

/// Strides of a blocked operand in a blocked result; extents of one broadcast.
fn blocked_strides(
    from: &[usize; 4],
    lanes: usize,
    strides: &[i64; 4],
    bytes: i64,
    (dims, result_lanes): (&[usize; 4], usize),
) -> Result<Vec<i64>, NoKernel> {
    if lanes != result_lanes {
        return Err(NoKernel(format!("blocks of {lanes} and of {result_lanes} channels")));
    }
    let mut out = vec![0; 5];
    for i in 0..4 {
        if from[i] == dims[i] {
            out[i] = if from[i] == 1 { 0 } else { strides[i] };
        } else if from[i] != 1 {
            return Err(NoKernel(format!("extent {} does not broadcast to {}", from[i], dims[i])));
        }
    }
    // A single channel for many: its one lane is read into all.
    out[4] = if from[1] == 1 && dims[1] > 1 { 0 } else { bytes };
    Ok(out)
}

/// A constant with one element per channel, filled up with zeros to whole blocks.
pub fn channel_spec(shape: &[usize], channel: usize, lanes: usize) -> PackSpec {
    let count = shape[channel].next_multiple_of(lanes);
    let piece = PackPiece {
        start: vec![0; shape.len()],
        end: shape.to_vec(),
        loops: vec![PackLoop { count, dim: channel, step: 1 }],
    };
    PackSpec::new(shape.to_vec(), vec![piece])
}
