//! Shape and view operations: Shape, Size, Reshape, Flatten, Squeeze, Unsqueeze, Expand, Tile, Transpose, Concat, Split, Slice.
//!
//! Specification: <https://onnx.ai/onnx/operators/>. What was an attribute became an operand: Reshape's shape at 5, Slice's bounds
//! at 10, axes of Squeeze and Unsqueeze and sizes of Split at 13. Concat's axis defaults to 1 before 4. Tile takes one axis and
//! count before 6. Split takes a number of parts from 18. Shape takes a range from 15.

use crate::context::{Context, Results, product};
use crate::error::{NodeError, invalid, unsupported};
use brolga_compiler::ir::{Dim, Ints, Kind, Op, ReduceKind, Type, ValueId};
use brolga_runtime::DType;
use brolga_runtime::library::Function;

/// Extents of a tensor whose rank only a run can tell.
fn unranked_shape(cx: &mut Context<'_, '_>, x: ValueId) -> Results {
    let function = cx.copy_attributes(Function::new("shape", 1), &["start", "end"])?;
    let ty = Type::new(DType::I64, vec![cx.fresh()]);
    cx.function(function, &[Some(x)], vec![ty])
}

pub(crate) fn shape(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    if cx.ty(x).kind == Kind::Unranked {
        return unranked_shape(cx, x);
    }
    let rank = i64::try_from(cx.rank(x)).unwrap_or(0);
    let place =
        |at: i64| usize::try_from(if at < 0 { at.saturating_add(rank) } else { at }.clamp(0, rank)).unwrap_or(0);
    let begin = place(cx.node.attributes.int_or("start", 0)?);
    let end = place(cx.node.attributes.int_or("end", rank)?).max(begin);
    Ok(vec![cx.emit(Op::Shape { begin, end }, &[x])?])
}

pub(crate) fn size(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    if let Some(count) = cx.ty(x).elements() {
        return Ok(vec![cx.weight_ints(vec![], &[i64::try_from(count).unwrap_or(i64::MAX)])]);
    }
    let shape = match cx.ty(x).kind {
        Kind::Unranked => match unranked_shape(cx, x)?[..] {
            [shape] => shape,
            _ => return invalid("it has no shape"),
        },
        _ => cx.emit(Op::Shape { begin: 0, end: cx.rank(x) }, &[x])?,
    };
    Ok(vec![cx.emit(Op::Reduce { kind: ReduceKind::Prod, axes: vec![0], keep: false }, &[shape])?])
}

pub(crate) fn reshape(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let attributes = &cx.node.attributes;
    if cx.opset < 5 {
        let shape = attributes.required("shape", attributes.ints("shape")?)?;
        let shape = Ints::Known(shape.iter().map(|d| Dim::Const(*d)).collect());
        return Ok(vec![cx.emit(Op::Reshape { shape, allow_zero: false }, &[x])?]);
    }
    let allow_zero = attributes.flag("allowzero")?;
    let target = cx.input(1)?;
    let shape = cx.ints(target, 1);
    let operands = if matches!(shape, Ints::Known(_)) { vec![x] } else { vec![x, target] };
    Ok(vec![cx.emit(Op::Reshape { shape, allow_zero }, &operands)?])
}

pub(crate) fn flatten(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let shape = cx.shape(x);
    let axis = match cx.node.attributes.int_or("axis", 1)? {
        a if usize::try_from(a) == Ok(shape.len()) => shape.len(),
        a => cx.axis(a, shape.len())?,
    };
    let (rows, columns) = shape.split_at(axis);
    Ok(vec![cx.reshape(x, vec![product(rows), product(columns)])?])
}

fn axes_of(cx: &Context<'_, '_>) -> Result<Option<Vec<i64>>, NodeError> {
    if cx.opset < 13 { Ok(cx.node.attributes.ints("axes")?.map(<[i64]>::to_vec)) } else { cx.const_ints(1, "axes") }
}

pub(crate) fn squeeze(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let shape = cx.shape(x);
    let axes = match axes_of(cx)? {
        Some(axes) => cx.axes(&axes, shape.len())?,
        None if shape.iter().any(|d| d.known().is_none()) => {
            return unsupported(
                "which dimensions are 1 is known at run time only; axes, or known extents, are accepted",
            );
        }
        None => (0..shape.len()).filter(|a| shape[*a] == Dim::Const(1)).collect(),
    };
    if let Some(axis) = axes.iter().find(|a| shape[**a].known().is_some_and(|n| n != 1)) {
        return invalid(format!("dimension {axis} is {}, not 1", shape[*axis]));
    }
    let kept = shape.into_iter().enumerate().filter(|(a, _)| !axes.contains(a)).map(|(_, d)| d).collect();
    Ok(vec![cx.reshape(x, kept)?])
}

pub(crate) fn unsqueeze(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let Some(axes) = axes_of(cx)? else { return invalid("axes are missing") };
    let rank = cx.rank(x) + axes.len();
    let axes = cx.axes(&axes, rank)?;
    let mut rest = cx.shape(x).into_iter();
    let shape = (0..rank).map(|a| if axes.contains(&a) { Some(Dim::Const(1)) } else { rest.next() });
    let Some(shape) = shape.collect() else { return invalid("axes do not fit the operand") };
    Ok(vec![cx.reshape(x, shape)?])
}

pub(crate) fn expand(cx: &mut Context<'_, '_>) -> Results {
    let (x, target) = (cx.input(0)?, cx.input(1)?);
    let shape = cx.ints(target, 1);
    let operands = if matches!(shape, Ints::Known(_)) { vec![x] } else { vec![x, target] };
    Ok(vec![cx.emit(Op::Expand { shape }, &operands)?])
}

pub(crate) fn tile(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    if cx.opset < 6 {
        let (Some(count), Some(axis)) = (cx.const_int(1, "tiles")?, cx.const_int(2, "axis")?) else {
            return invalid("tiles or axis is missing");
        };
        let axis = cx.axis(axis, cx.rank(x))?;
        let mut repeats = vec![Dim::Const(1); cx.rank(x)];
        repeats[axis] = Dim::Const(count);
        return Ok(vec![cx.emit(Op::Tile { repeats: Ints::Known(repeats) }, &[x])?]);
    }
    let counts = cx.input(1)?;
    let repeats = cx.ints(counts, 1);
    let operands = if matches!(repeats, Ints::Known(_)) { vec![x] } else { vec![x, counts] };
    Ok(vec![cx.emit(Op::Tile { repeats }, &operands)?])
}

pub(crate) fn transpose(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let perm = match cx.node.attributes.ints("perm")? {
        None => (0..rank).rev().collect(),
        Some(perm) => cx.axes(perm, rank)?,
    };
    if perm.len() != rank {
        return invalid(format!("perm has {} entries; {rank} are expected", perm.len()));
    }
    Ok(vec![cx.emit(Op::Transpose { perm }, &[x])?])
}

pub(crate) fn concat(cx: &mut Context<'_, '_>) -> Results {
    let operands = cx.all_inputs()?;
    let attributes = &cx.node.attributes;
    let given = attributes.int("axis")?;
    let given = if cx.opset < 4 { given.unwrap_or(1) } else { attributes.required("axis", given)? };
    let axis = cx.axis(given, cx.rank(operands[0]))?;
    Ok(vec![cx.emit(Op::Concat { axis }, &operands)?])
}

pub(crate) fn split(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let attributes = &cx.node.attributes;
    let axis = cx.axis_attribute(0, cx.rank(x))?;
    let extent = cx.shape(x).into_iter().nth(axis).unwrap_or(Dim::Const(0));
    let parts = cx.node.outputs.len();
    let sizes = if cx.opset < 13 { attributes.ints("split")?.map(<[i64]>::to_vec) } else { cx.const_ints(1, "split")? };
    let sizes = match sizes {
        Some(sizes) => checked_sizes(sizes, parts, &extent)?,
        None => equal_sizes(cx, parts, &extent)?,
    };
    let mut begin = Dim::Const(0);
    let mut results = Vec::with_capacity(parts);
    for size in sizes {
        let end = begin.add(&size);
        let (starts, ends) = (Ints::Known(vec![begin]), Ints::Known(vec![end.clone()]));
        results.push(cx.emit(Op::Slice { axes: vec![axis], starts, ends, steps: vec![1] }, &[x])?);
        begin = end;
    }
    Ok(results)
}

fn checked_sizes(sizes: Vec<i64>, parts: usize, extent: &Dim) -> Result<Vec<Dim>, NodeError> {
    let sum = sizes.iter().try_fold(0i64, |n, s| if *s < 0 { None } else { n.checked_add(*s) });
    if sizes.len() != parts || sum.is_none() || extent.known().is_some_and(|n| Some(n) != sum) {
        return invalid(format!("split is {sizes:?}; {parts} sizes that add up to {extent} are expected"));
    }
    Ok(sizes.into_iter().map(Dim::Const).collect())
}

/// Parts of the same size; the last may be smaller where the number of parts is given.
fn equal_sizes(cx: &Context<'_, '_>, parts: usize, extent: &Dim) -> Result<Vec<Dim>, NodeError> {
    let count = i64::try_from(parts).unwrap_or(i64::MAX);
    let asked = cx.node.attributes.int_or("num_outputs", count)?;
    if asked != count || parts == 0 {
        return invalid(format!("num_outputs is {asked}, but it has {parts} results"));
    }
    let Some(extent) = extent.known() else {
        if cx.opset < 18 {
            return Ok(vec![extent.div(&Dim::Const(count)); parts]);
        }
        let each = extent.div_ceil(count);
        let mut sizes = vec![each.clone(); parts];
        sizes[parts - 1] = extent.sub(&each.mul(&Dim::Const(count - 1)));
        return Ok(sizes);
    };
    if cx.opset < 18 && extent % count != 0 {
        return invalid(format!("{extent} elements do not split into {parts} equal parts"));
    }
    let each = extent / count + i64::from(extent % count != 0);
    let last = extent - each * (count - 1);
    if last < 0 {
        return invalid(format!("{extent} elements do not split into {parts} parts"));
    }
    let mut sizes = vec![Dim::Const(each); parts];
    sizes[parts - 1] = Dim::Const(last);
    Ok(sizes)
}

/// A slice of which only a run can tell how many extents change.
fn slice_of_unknown_axes(cx: &mut Context<'_, '_>, x: ValueId, rank: usize) -> Results {
    if !cx.ty(x).is_plain_tensor() {
        return unsupported(format!("a slice of {} along unknown axes; a tensor of known rank is accepted", cx.ty(x)));
    }
    let operands: Vec<Option<ValueId>> = (0..5).map(|i| cx.optional(i)).collect();
    let shape = (0..rank).map(|_| cx.fresh()).collect();
    cx.function(Function::new("slice", 5), &operands, vec![Type::new(cx.dtype(x), shape)])
}

pub(crate) fn slice(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let mut operands = vec![x];
    let attributes = &cx.node.attributes;
    let known = |list: &[i64]| Ints::Known(list.iter().map(|n| Dim::Const(*n)).collect());
    let (starts, ends, axes, steps);
    if cx.opset < 10 {
        starts = known(attributes.required("starts", attributes.ints("starts")?)?);
        ends = known(attributes.required("ends", attributes.ints("ends")?)?);
        axes = attributes.ints("axes")?.map(<[i64]>::to_vec);
        steps = None;
    } else {
        let (first, last) = (cx.input(1)?, cx.input(2)?);
        starts = cx.ints(first, 1);
        if matches!(starts, Ints::Input(_)) {
            operands.push(first);
        }
        ends = cx.ints(last, operands.len());
        if matches!(ends, Ints::Input(_)) {
            operands.push(last);
        }
        axes = cx.const_ints(3, "axes")?;
        steps = cx.const_ints(4, "steps")?;
    }
    let count = match (&starts, &ends) {
        (Ints::Known(list), _) | (_, Ints::Known(list)) => Some(list.len()),
        _ => cx.optional(1).and_then(|id| cx.ty(id).elements()),
    };
    let axes = match (axes, count) {
        (Some(axes), _) => cx.axes(&axes, rank)?,
        (None, Some(count)) if count <= rank => (0..count).collect(),
        (None, Some(count)) => return invalid(format!("{count} starts for rank {rank}")),
        (None, None) => return slice_of_unknown_axes(cx, x, rank),
    };
    let steps = steps.unwrap_or_else(|| vec![1; axes.len()]);
    let fits = |ints: &Ints| !matches!(ints, Ints::Known(list) if list.len() != axes.len());
    if !fits(&starts) || !fits(&ends) || steps.len() != axes.len() || steps.contains(&0) {
        return invalid(format!("starts, ends and non-zero steps for {} axes are expected", axes.len()));
    }
    Ok(vec![cx.emit(Op::Slice { axes, starts, ends, steps }, &operands)?])
}
