//! Pad: one copy of the inside and a copy or fill of every box around it.

use super::movement::{Move, nest_axis, same_layout, view_dims};
use super::operand::nest_of;
use super::{NoKernel, View};
use crate::ir::{Node, PadMode};
use brolga_runtime::DType;

/// A piece of one dimension: where it goes, how long it is, where it comes from and in which direction.
#[derive(Clone, Copy)]
struct Segment {
    to: i64,
    len: i64,
    from: i64,
    step: i64,
}

/// Adds the calls of a padding.
pub(super) fn pad(m: &mut Move<'_, '_>, node: &Node, mode: PadMode, pads: &[i64]) -> Result<(), NoKernel> {
    let (operand, from) = m.input(node, 0)?;
    let to = m.output()?;
    same_layout(&from, &to)?;
    let (rank, dtype) = (view_dims(&from).len(), m.cx.graph.ty(m.result).dtype);
    if pads.len() != 2 * rank {
        return Err(NoKernel(format!("{} pads for rank {rank}", pads.len())));
    }
    let ((dims, strides), (to_dims, to_strides)) = (nest_of(&from, dtype.bytes()), nest_of(&to, dtype.bytes()));
    let mut begin = vec![0; dims.len()];
    let mut end = vec![0; dims.len()];
    for axis in 0..rank {
        if axis == 1 && filled(&from) && pads[rank + 1] != 0 {
            return Err(NoKernel("padding after a block of channels that is not full".into()));
        }
        let (dim, amount) = nest_axis(&from, axis, pads[axis])?;
        begin[dim] = amount;
        end[dim] = nest_axis(&from, axis, pads[rank + axis])?.1;
    }
    if let PadMode::Constant(value) = mode {
        if value != 0.0 && filled(&to) {
            return Err(NoKernel("a padding that is not zero, beside lanes that must be".into()));
        }
        let inside: Vec<Segment> = (0..dims.len()).map(|d| inside(dims[d], begin[d], end[d])).collect();
        copy_box(m, &inside, &to_strides, (&operand, &strides))?;
        return surround(m, &inside, (&to_dims, &to_strides), &element(dtype, value)?);
    }
    let mut segments = Vec::with_capacity(dims.len());
    for d in 0..dims.len() {
        segments.push(mirrored(mode, dims[d] as i64, begin[d], end[d])?);
    }
    let mut at = vec![0; dims.len()];
    loop {
        let chosen: Vec<Segment> = at.iter().zip(&segments).map(|(i, s)| s[*i]).collect();
        copy_box(m, &chosen, &to_strides, (&operand, &strides))?;
        let Some(d) = (0..at.len()).rev().find(|d| at[*d] + 1 < segments[*d].len()) else { return Ok(()) };
        at[d] += 1;
        at[d + 1..].fill(0);
    }
}

/// Whether the last block of channels has lanes without a channel.
fn filled(view: &View) -> bool {
    matches!(view, View::Blocked { dims, lanes, .. } if dims[1] % lanes != 0)
}

/// What is left of a dimension, negative padding cut off.
fn inside(extent: usize, begin: i64, end: i64) -> Segment {
    let len = (extent as i64 + begin.min(0) + end.min(0)).max(0);
    Segment { to: begin.max(0), len, from: (-begin).max(0), step: 1 }
}

fn copy_box(
    m: &mut Move<'_, '_>,
    segments: &[Segment],
    to: &[i64],
    (operand, from): (&super::Operand, &[i64]),
) -> Result<(), NoKernel> {
    let dims: Vec<usize> = segments.iter().map(|s| s.len as usize).collect();
    let target: i64 = segments.iter().zip(to).map(|(s, t)| s.to * t).sum();
    let source: i64 = segments.iter().zip(from).map(|(s, f)| s.from * f).sum();
    let strides: Vec<i64> = segments.iter().zip(from).map(|(s, f)| s.step * f).collect();
    m.copy(&dims, (target, to), (operand, source, &strides))
}

/// Fills everything outside a box, one slab before and one after it per dimension.
fn surround(
    m: &mut Move<'_, '_>,
    inside: &[Segment],
    (dims, strides): (&[usize], &[i64]),
    element: &[u8],
) -> Result<(), NoKernel> {
    for d in 0..dims.len() {
        let after = inside[d].to + inside[d].len;
        for (first, last) in [(0, inside[d].to), (after, dims[d] as i64)] {
            let mut extents = dims.to_vec();
            extents[d] = (last - first).max(0) as usize;
            let mut offset = first * strides[d];
            for outer in 0..d {
                extents[outer] = inside[outer].len as usize;
                offset += inside[outer].to * strides[outer];
            }
            m.fill(&extents, (offset, strides), element)?;
        }
    }
    Ok(())
}

/// Pieces of a dimension for the modes that repeat the source.
fn mirrored(mode: PadMode, n: i64, begin: i64, end: i64) -> Result<Vec<Segment>, NoKernel> {
    let limit = match mode {
        PadMode::Reflect => n - 1,
        PadMode::Wrap => n,
        _ => i64::MAX,
    };
    if begin < 0 || end < 0 || begin.max(end) > limit || (n == 0 && begin + end > 0) {
        return Err(NoKernel(format!("padding {begin} and {end} of extent {n} by {mode:?}")));
    }
    let (before, after) = match mode {
        PadMode::Reflect => ((begin, -1), (n - 2, -1)),
        PadMode::Wrap => ((n - begin, 1), (0, 1)),
        _ => ((0, 0), (n - 1, 0)),
    };
    let all = [
        Segment { to: 0, len: begin, from: before.0, step: before.1 },
        Segment { to: begin, len: n, from: 0, step: 1 },
        Segment { to: begin + n, len: end, from: after.0, step: after.1 },
    ];
    let some: Vec<Segment> = all.iter().copied().filter(|s| s.len > 0).collect();
    Ok(if some.is_empty() { all[1..2].to_vec() } else { some })
}

/// A number as an element.
fn element(dtype: DType, value: f64) -> Result<Vec<u8>, NoKernel> {
    Ok(match dtype {
        DType::F32 => (value as f32).to_le_bytes().to_vec(),
        DType::F64 => value.to_le_bytes().to_vec(),
        DType::I64 => (value as i64).to_le_bytes().to_vec(),
        DType::U64 => (value as u64).to_le_bytes().to_vec(),
        DType::I32 => (value as i32).to_le_bytes().to_vec(),
        DType::U32 => (value as u32).to_le_bytes().to_vec(),
        DType::I8 => (value as i8).to_le_bytes().to_vec(),
        DType::U8 => vec![value as u8],
        DType::Bool => vec![u8::from(value != 0.0)],
        other if value == 0.0 => vec![0; other.bytes()],
        other => return Err(NoKernel(format!("padding of {}", other.name()))),
    })
}
