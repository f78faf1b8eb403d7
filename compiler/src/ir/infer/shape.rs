//! Operations that move elements: concatenation, slices, padding, reshapes, resizing; and shapes as values.

use super::content;
use super::dims::{agree, broadcast, check_axis, check_same_count, product, quotient, show};
use super::{Operands, Rule, one};
use crate::ir::{Coordinates, Dim, Halo, Ints, Layout, PadMode, ResizeAttrs, ResizeMode, Type};
use brolga_runtime::DType;

pub(super) fn concat(x: &Operands, axis: usize) -> Rule {
    let first = x.ty(0);
    check_axis(axis, first.rank())?;
    let mut shape = first.shape.clone();
    for i in 1..x.len() {
        let ty = x.ty(i);
        if ty.dtype != first.dtype || ty.rank() != first.rank() {
            return Err(format!("operand {i} is {ty}; accepted are {} of rank {}", first.dtype, first.rank()));
        }
        for (d, (mine, theirs)) in shape.iter_mut().zip(&ty.shape).enumerate() {
            *mine = if d == axis {
                mine.add(theirs)
            } else {
                agree(mine, theirs).ok_or_else(|| format!("operand {i} is {ty}; others are {first}"))?
            };
        }
    }
    let content = content::concat(first.rank() == 1, (0..x.len()).map(|i| x.content(i)));
    Ok(vec![(Type::new(first.dtype, shape), content)])
}

/// Number of elements of a slice of extent `dim`. Symbolic begins and ends are taken to be non-negative.
fn slice_extent(dim: &Dim, start: &Dim, end: &Dim, step: i64) -> Dim {
    /// Beyond this a bound means "all the way".
    const FAR: i64 = i32::MAX as i64;
    let zero = Dim::Const(0);
    let from_end = |bound: &Dim| match bound {
        Dim::Const(n) if *n < 0 => dim.add(bound),
        _ => bound.clone(),
    };
    let far = |bound: &Dim| matches!(bound, Dim::Const(n) if *n >= FAR && dim.known().is_none());
    let far_below = |bound: &Dim| matches!(bound, Dim::Const(n) if *n <= -FAR && dim.known().is_none());
    let length = if step > 0 {
        let high = if far(end) { dim.clone() } else { from_end(end).smaller(dim).larger(&zero) };
        let low = if far_below(start) { zero.clone() } else { from_end(start) };
        // The clamp of the begin to the extent is implied when the end is the extent.
        let low = if high == *dim { low } else { low.smaller(dim) };
        high.sub(&if *start == low && start.known().is_some() { low } else { low.larger(&zero) })
    } else {
        let last = dim.sub(&Dim::Const(1));
        let first = if far(start) || *start == Dim::Const(-1) { last.clone() } else { from_end(start).smaller(&last) };
        let first = if dim.known().is_some_and(|n| n > 0) { first.larger(&zero) } else { first };
        let below = if far_below(end) { Dim::Const(-1) } else { from_end(end).larger(&Dim::Const(-1)) };
        first.sub(&below.smaller(&last))
    };
    let step = i64::try_from(step.unsigned_abs()).unwrap_or(i64::MAX);
    let count = if step == 1 { length } else { length.div_ceil(step) };
    if count == *dim { count } else { count.larger(&zero) }
}

pub(super) fn slice(x: &Operands, axes: &[usize], starts: &Ints, ends: &Ints, steps: &[i64]) -> Rule {
    let ty = x.ty(0);
    let (starts, ends) = (x.ints(starts, "starts")?, x.ints(ends, "ends")?);
    if [starts.len(), ends.len(), steps.len()] != [axes.len(); 3] {
        return Err(format!(
            "{} axes, {} starts, {} ends, {} steps",
            axes.len(),
            starts.len(),
            ends.len(),
            steps.len()
        ));
    }
    let mut shape = ty.shape.clone();
    for (i, axis) in axes.iter().enumerate() {
        check_axis(*axis, ty.rank())?;
        if steps[i] == 0 || axes[..i].contains(axis) {
            return Err(format!("axes {axes:?}, steps {steps:?}; accepted are different axes and steps other than 0"));
        }
        shape[*axis] = slice_extent(&ty.shape[*axis], &starts[i], &ends[i], steps[i]);
    }
    let content = match axes {
        [0] => content::slice_rows(x.content(0), &ty.shape, &starts[0], &ends[0], steps[0]),
        [] => x.content(0).map(<[Dim]>::to_vec),
        _ => None,
    };
    Ok(vec![(Type::new(ty.dtype, shape), content)])
}

pub(super) fn pad(x: &Operands, mode: PadMode, pads: &Ints) -> Rule {
    let ty = x.ty(0);
    let pads = x.ints(pads, "pads")?;
    if pads.len() != 2 * ty.rank() {
        return Err(format!("{} pads for {ty}; accepted are {}", pads.len(), 2 * ty.rank()));
    }
    let mut shape = Vec::with_capacity(ty.rank());
    for (i, dim) in ty.shape.iter().enumerate() {
        let (begin, end) = (&pads[i], &pads[ty.rank() + i]);
        if let (Some(n), Some(b), Some(e)) = (dim.known(), begin.known(), end.known()) {
            let grows = b > 0 || e > 0;
            let most = match mode {
                PadMode::Constant(_) => i64::MAX,
                PadMode::Reflect if n > 0 => n - 1,
                PadMode::Edge if n > 0 => i64::MAX,
                PadMode::Wrap if n > 0 => n,
                _ => 0,
            };
            if grows && b.max(e) > most
                || n.checked_add(b.min(0)).and_then(|n| n.checked_add(e.min(0))).is_none_or(|n| n < 0)
            {
                return Err(format!("pads {b} and {e} of extent {n} in mode {mode:?}; the data does not reach"));
            }
        }
        shape.push(dim.add(begin).add(end));
    }
    one(ty.dtype, shape)
}

pub(super) fn reshape(x: &Operands, target: &Ints, allow_zero: bool) -> Rule {
    let ty = x.ty(0);
    let target = x.ints(target, "shape")?;
    let mut shape = Vec::with_capacity(target.len());
    let mut unknown = None;
    for (i, dim) in target.iter().enumerate() {
        match dim {
            Dim::Const(0) if !allow_zero => {
                let copied =
                    ty.shape.get(i).ok_or_else(|| format!("shape {} copies what {ty} has not", show(&target)))?;
                shape.push(copied.clone());
            }
            Dim::Const(-1) if unknown.is_none() => {
                unknown = Some(i);
                shape.push(Dim::Const(1));
            }
            Dim::Const(n) if *n < 0 => {
                return Err(format!("shape {}; accepted are one -1 and extents", show(&target)));
            }
            _ => shape.push(dim.clone()),
        }
    }
    if let Some(i) = unknown {
        shape[i] = quotient(&ty.shape, &shape).map_err(|e| format!("shape {} for {ty}: {e}", show(&target)))?;
    } else {
        check_same_count(&ty.shape, &shape)?;
    }
    Ok(vec![(Type::new(ty.dtype, shape), x.content(0).map(<[Dim]>::to_vec))])
}

pub(super) fn transpose(x: &Operands, perm: &[usize]) -> Rule {
    let ty = x.ty(0);
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..ty.rank()) {
        return Err(format!("permutation {perm:?} of {ty}; accepted are the dimensions, each once"));
    }
    let shape = perm.iter().map(|p| ty.shape[*p].clone()).collect();
    Ok(vec![(Type::new(ty.dtype, shape), content::transpose(x.content(0), ty, perm))])
}

pub(super) fn expand(x: &Operands, target: &Ints) -> Rule {
    let ty = x.ty(0);
    let shape = broadcast(&ty.shape, &x.ints(target, "shape")?)?;
    let content = content::spread(x.content(0), &shape);
    Ok(vec![(Type::new(ty.dtype, shape), content)])
}

pub(super) fn tile(x: &Operands, repeats: &Ints) -> Rule {
    let ty = x.ty(0);
    let repeats = x.ints(repeats, "repeats")?;
    if repeats.len() != ty.rank() || repeats.iter().any(|r| r.known().is_some_and(|n| n < 0)) {
        return Err(format!("repeats {} of {ty}; accepted are {} numbers from 0", show(&repeats), ty.rank()));
    }
    let shape: Vec<Dim> = ty.shape.iter().zip(&repeats).map(|(d, r)| d.mul(r)).collect();
    let content = content::tile(x.content(0), &repeats);
    Ok(vec![(Type::new(ty.dtype, shape), content)])
}

pub(super) fn resize(x: &Operands, attrs: &ResizeAttrs) -> Rule {
    let ty = x.ty(0);
    let rank = ty.rank();
    let sizes = x.ints(&attrs.sizes, "sizes")?;
    let scales_fit =
        attrs.scales.as_ref().is_none_or(|s| s.len() == rank && s.iter().all(|s| *s > 0.0 && s.is_finite()));
    let roi_fits = attrs.roi.as_ref().is_none_or(|(b, e)| b.len() == rank && e.len() == rank);
    let crop = matches!(attrs.coordinates, Coordinates::TfCropAndResize { .. });
    if sizes.len() != rank || !scales_fit || !roi_fits || (crop && attrs.roi.is_none()) {
        return Err(format!(
            "sizes {}, scales {:?}, region {:?} of {ty}; accepted are {rank} entries each and positive scales",
            show(&sizes),
            attrs.scales,
            attrs.roi
        ));
    }
    let smooth = !matches!(attrs.mode, ResizeMode::Nearest(_));
    if (smooth && !ty.dtype.is_float() && !ty.dtype.is_integer()) || ty.dtype == DType::String {
        return Err(format!("input {ty}; accepted are numbers"));
    }
    let empty_source = |(d, s): (&Dim, &Dim)| *d == Dim::Const(0) && s.known().is_some_and(|n| n > 0);
    if ty.shape.iter().zip(&sizes).any(empty_source) {
        return Err(format!("sizes {} from the empty {ty}", show(&sizes)));
    }
    one(ty.dtype, sizes)
}

pub(super) fn depth_to_space(x: &Operands, block: usize) -> Rule {
    let ty = x.ty(0);
    let [n, c, h, w] = &ty.shape[..] else { return Err(format!("input {ty}; accepted is rank 4")) };
    let area = square(block)?;
    if c.known().is_some_and(|c| c % area != 0) {
        return Err(format!("{c} channels; accepted are multiples of {area}"));
    }
    let side = Dim::from(block);
    one(ty.dtype, vec![n.clone(), c.div(&Dim::Const(area)), h.mul(&side), w.mul(&side)])
}

pub(super) fn space_to_depth(x: &Operands, block: usize) -> Rule {
    let ty = x.ty(0);
    let [n, c, h, w] = &ty.shape[..] else { return Err(format!("input {ty}; accepted is rank 4")) };
    let area = square(block)?;
    if [h, w].iter().any(|d| d.known().is_some_and(|d| d % block as i64 != 0)) {
        return Err(format!("{h} x {w}; accepted are multiples of {block}"));
    }
    let side = Dim::from(block);
    one(ty.dtype, vec![n.clone(), c.mul(&Dim::Const(area)), h.div(&side), w.div(&side)])
}

fn square(block: usize) -> Result<i64, String> {
    let side = i64::try_from(block).ok().filter(|b| (1..1 << 20).contains(b));
    side.map(|b| b * b).ok_or_else(|| format!("block {block}; accepted are 1 to 2^20"))
}

pub(super) fn shape_of(x: &Operands, begin: usize, end: usize) -> Rule {
    let shape = x.shape(0);
    let dims = shape.get(begin..end).ok_or_else(|| format!("dimensions {begin}..{end} of rank {}", shape.len()))?;
    Ok(vec![(Type::known(DType::I64, &[dims.len()]), Some(dims.to_vec()))])
}

pub(super) fn constant_of_shape(x: &Operands, shape: &Ints, dtype: DType, value: f64) -> Rule {
    if dtype == DType::String {
        return Err("strings; accepted are numbers and bool".into());
    }
    let shape = x.ints(shape, "shape")?;
    let whole = !dtype.is_float() && value.fract() == 0.0 && value.abs() <= (1u64 << 53) as f64;
    let content = if whole { content::spread(Some(&[Dim::Const(value as i64)]), &shape) } else { None };
    Ok(vec![(Type::new(dtype, shape), content)])
}

pub(super) fn range(x: &Operands) -> Rule {
    let dtype = x.dtype(0);
    let scalars = (0..3).all(|i| x.dtype(i) == dtype && product(x.shape(i)) == Dim::Const(1) && x.ty(i).rank() <= 1);
    if !scalars || !(dtype.is_float() || dtype.is_integer()) {
        return Err(format!("operands {}, {}, {}; accepted are scalars of one type", x.ty(0), x.ty(1), x.ty(2)));
    }
    if dtype.is_float() {
        let scalar = |i: usize| x.weight(i).and_then(content::weight_scalar);
        let (Some(start), Some(limit), Some(delta)) = (scalar(0), scalar(1), scalar(2)) else {
            return Err("the number of elements depends on data; accepted are constants".into());
        };
        let count = ((limit - start) / delta).ceil().max(0.0);
        if !count.is_finite() || count > super::MAX_TENSOR_BYTES as f64 {
            return Err(format!("from {start} to {limit} by {delta} is no finite number of elements"));
        }
        return one(dtype, vec![Dim::Const(count as i64)]);
    }
    let scalar = |i: usize| x.content(i).and_then(|c| c.first()).cloned();
    let (Some(start), Some(limit), Some(delta)) = (scalar(0), scalar(1), scalar(2)) else {
        return Err("the number of elements depends on data; accepted are constants and arithmetic over shapes".into());
    };
    let Some(step) = delta.known().filter(|d| *d != 0) else {
        return Err(format!("step {delta}; accepted are numbers other than 0"));
    };
    let length = if step > 0 { limit.sub(&start) } else { start.sub(&limit) };
    let count = length.div_ceil(i64::try_from(step.unsigned_abs()).unwrap_or(i64::MAX));
    let count = if start == Dim::Const(0) && step == 1 && count.known().is_none() {
        count
    } else {
        count.larger(&Dim::Const(0))
    };
    let content = content::range(&start, &count, step);
    Ok(vec![(Type::new(dtype, vec![count]), content)])
}

pub(super) fn reorder(x: &Operands, lanes: u32, halo: Halo) -> Rule {
    let mut ty = x.ty(0).clone();
    ty.layout = match lanes {
        0 => Layout::Plain,
        _ if ty.rank() == 4 && ty.may_be_blocked() && lanes <= 1024 => Layout::Blocked { lanes, halo },
        _ => return Err(format!("input {ty} in blocks of {lanes}; accepted are f32 and u8 of rank 4 and up to 1024")),
    };
    Ok(vec![(ty, None)])
}
