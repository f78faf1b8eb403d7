//! Operations that only move elements: Transpose, Slice, Concat, Expand, Tile, Pad, DepthToSpace, SpaceToDepth, Reorder.

use super::copy::Spec;
use super::halo::fill_halo;
use super::operand::{broadcast, nest_of, place, plain};
use super::{KernelCall, LowerContext, Lowered, NoKernel, Operand, View};
use crate::ir::{Ints, Node, Op, ValueId};
use brolga_runtime::DType;

/// The result of a movement: strides over its nest and what is needed to write it.
pub(super) struct Move<'a, 'g> {
    pub(super) cx: &'a LowerContext<'g>,
    pub(super) result: ValueId,
    bytes: usize,
    calls: Vec<KernelCall>,
}

impl Move<'_, '_> {
    /// Adds a copy of a box: extents, bytes to its first element and strides, on both sides.
    pub(super) fn copy(
        &mut self,
        dims: &[usize],
        to: (i64, &[i64]),
        from: (&Operand, i64, &[i64]),
    ) -> Result<(), NoKernel> {
        if dims.contains(&0) {
            return Ok(());
        }
        let mut spec = Spec::copy(dims, to.1, from.2, self.bytes)?;
        spec.skip = dims.iter().zip(from.2).map(|(d, s)| (*d as i64 - 1) * (-*s).max(0)).sum();
        let source = self.entered(from.0, from.1 - spec.skip)?;
        self.calls.push(spec.call(self.cx.target, Operand::Value(self.result, to.0), Some(source)));
        Ok(())
    }
    /// An operand some bytes further on. A packed constant is entered at its begin; its rest is a table.
    fn entered(&self, operand: &Operand, bytes: i64) -> Result<Operand, NoKernel> {
        let weight = match operand {
            Operand::Packed(value, _) if bytes != 0 => self.cx.graph.weight(*value),
            _ => None,
        };
        let Some(weight) = weight else { return offset(operand, bytes) };
        let tensor = weight.evaluate().map_err(|e| NoKernel(e.to_string()))?;
        offset(&Operand::Table(tensor.bytes().to_vec()), bytes)
    }
    /// An input and its view; a value in blocks stays so.
    pub(super) fn input(&self, node: &Node, position: usize) -> Result<(Operand, View), NoKernel> {
        match node.inputs.get(position) {
            Some(value) => place(self.cx, *value),
            None => Err(NoKernel(format!("operand {position} is missing"))),
        }
    }
    /// View of the result.
    pub(super) fn output(&self) -> Result<View, NoKernel> {
        self.cx.view(self.result).cloned()
    }
    /// A plain input and the plain result.
    fn plain_pair(&self, node: &Node) -> Result<Pair, NoKernel> {
        let (operand, from) = self.input(node, 0)?;
        let to = self.output()?;
        let ((dims, strides), (to_dims, to_strides)) = (plain(&from)?, plain(&to)?);
        let (dims, strides) = (dims.to_vec(), strides.to_vec());
        Ok(Pair { operand, dims, strides, to_dims: to_dims.to_vec(), to_strides: to_strides.to_vec() })
    }
    /// Adds a fill of a box.
    pub(super) fn fill(&mut self, dims: &[usize], to: (i64, &[i64]), element: &[u8]) -> Result<(), NoKernel> {
        if !dims.contains(&0) {
            let spec = Spec::fill(dims, to.1, element)?;
            self.calls.push(spec.call(self.cx.target, Operand::Value(self.result, to.0), None));
        }
        Ok(())
    }
}

/// A plain source and a plain result.
struct Pair {
    operand: Operand,
    dims: Vec<usize>,
    strides: Vec<i64>,
    to_dims: Vec<usize>,
    to_strides: Vec<i64>,
}

/// An operand some bytes further on; only values can be entered in the middle.
fn offset(operand: &Operand, bytes: i64) -> Result<Operand, NoKernel> {
    match operand {
        Operand::Value(value, at) => Ok(Operand::Value(*value, at + bytes)),
        other if bytes == 0 => Ok(other.clone()),
        Operand::Table(all) => match usize::try_from(bytes).ok().and_then(|at| all.get(at..)) {
            Some(rest) => Ok(Operand::Table(rest.to_vec())),
            None => Err(NoKernel("an offset outside a constant".into())),
        },
        _ => Err(NoKernel("a part of a packed constant".into())),
    }
}

/// Numbers that the graph knows.
fn known(ints: &Ints) -> Result<Vec<i64>, NoKernel> {
    match ints {
        Ints::Known(dims) => {
            dims.iter().map(|d| d.known().ok_or_else(|| NoKernel(format!("{d} is not known")))).collect()
        }
        Ints::Input(position) => Err(NoKernel(format!("operand {position} is known only at run time"))),
    }
}

/// Lowers the operations of this family.
pub fn lower(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    let Some(&result) = node.outputs.first() else { return Ok(Lowered::default()) };
    let dtype = cx.graph.ty(result).dtype;
    if dtype == DType::String {
        return Err(NoKernel("strings".into()));
    }
    let mut m = Move { cx, result, bytes: dtype.bytes(), calls: Vec::new() };
    match &node.op {
        Op::Transpose { perm } => transpose(&mut m, node, perm)?,
        Op::Slice { axes, starts, ends: _, steps } => slice(&mut m, node, axes, &known(starts)?, steps)?,
        Op::Concat { axis } => concat(&mut m, node, *axis)?,
        Op::Expand { .. } => expand(&mut m, node)?,
        Op::Tile { .. } => tile(&mut m, node)?,
        Op::Pad { mode, pads } => super::pad::pad(&mut m, node, *mode, &known(pads)?)?,
        Op::DepthToSpace { block, crd } => depth_to_space(&mut m, node, *block, *crd)?,
        Op::SpaceToDepth { block } => space_to_depth(&mut m, node, *block)?,
        Op::Reorder { .. } | Op::Reshape { .. } => reorder(&mut m, node)?,
        other => return Err(NoKernel(format!("{other:?} does not only move elements"))),
    }
    let mut calls = m.calls;
    calls.extend(fill_halo(cx, result)?);
    calls.retain(|c| c.extent > 0);
    Ok(Lowered { calls, temporaries: vec![] })
}

fn transpose(m: &mut Move<'_, '_>, node: &Node, perm: &[usize]) -> Result<(), NoKernel> {
    let p = m.plain_pair(node)?;
    let strides: Option<Vec<i64>> = perm.iter().map(|i| p.strides.get(*i).copied()).collect();
    let strides = strides.ok_or_else(|| NoKernel("a permutation of other dimensions".into()))?;
    m.copy(&p.to_dims, (0, &p.to_strides), (&p.operand, 0, &strides))
}

/// Dimension of a view's nest that is dimension `axis` of the tensor, and how many of its indices `amount` are.
pub(super) fn nest_axis(view: &View, axis: usize, amount: i64) -> Result<(usize, i64), NoKernel> {
    match view {
        View::Blocked { lanes, .. } if axis == 1 => {
            let lanes = *lanes as i64;
            let whole = amount % lanes == 0;
            if whole {
                Ok((1, amount / lanes))
            } else {
                Err(NoKernel(format!("{amount} channels in blocks of {lanes}")))
            }
        }
        _ => Ok((axis, amount)),
    }
}

/// Refuses two views that are not both plain or both in blocks of the same size.
pub(super) fn same_layout(a: &View, b: &View) -> Result<(), NoKernel> {
    match (a, b) {
        (View::Plain { .. }, View::Plain { .. }) => Ok(()),
        (View::Blocked { lanes: a, .. }, View::Blocked { lanes: b, .. }) if a == b => Ok(()),
        _ => Err(NoKernel("operands in different layouts".into())),
    }
}

fn slice(m: &mut Move<'_, '_>, node: &Node, axes: &[usize], starts: &[i64], steps: &[i64]) -> Result<(), NoKernel> {
    let (operand, from) = m.input(node, 0)?;
    let to = m.output()?;
    same_layout(&from, &to)?;
    let extents = view_dims(&from);
    let kept = view_dims(&to);
    let (dims, to_strides) = nest_of(&to, m.bytes);
    let (_, mut strides) = nest_of(&from, m.bytes);
    let mut first = 0;
    for ((axis, start), step) in axes.iter().zip(starts).zip(steps) {
        let Some(extent) = extents.get(*axis).map(|e| *e as i64) else {
            return Err(NoKernel(format!("axis {axis} of rank {}", extents.len())));
        };
        let start = if *start < 0 { start.saturating_add(extent) } else { *start };
        let start = start.clamp(0, if *step > 0 { extent } else { (extent - 1).max(0) });
        let (dim, index) = nest_axis(&from, *axis, start)?;
        if let (View::Blocked { lanes, .. }, 1) = (&from, *axis) {
            let whole = kept[1].is_multiple_of(*lanes) || start + kept[1] as i64 == extent;
            if *step != 1 || !whole {
                return Err(NoKernel("a slice through a block of channels".into()));
            }
        }
        first += index * strides[dim];
        strides[dim] *= step;
    }
    m.copy(&dims, (0, &to_strides), (&operand, first, &strides))
}

/// Logical extents of a view.
pub(super) fn view_dims(view: &View) -> Vec<usize> {
    match view {
        View::Plain { dims, .. } => dims.clone(),
        View::Blocked { dims, .. } => dims.to_vec(),
    }
}

fn concat(m: &mut Move<'_, '_>, node: &Node, axis: usize) -> Result<(), NoKernel> {
    let to = m.output()?;
    let (_, to_strides) = nest_of(&to, m.bytes);
    let mut at = 0;
    for position in 0..node.inputs.len() {
        let (operand, from) = m.input(node, position)?;
        let extent = view_dims(&from).get(axis).copied().unwrap_or(0);
        if extent == 0 {
            continue;
        }
        same_layout(&from, &to)?;
        let (dim, index) = nest_axis(&to, axis, at)?;
        let (dims, strides) = nest_of(&from, m.bytes);
        m.copy(&dims, (index * to_strides[dim], &to_strides), (&operand, 0, &strides))?;
        at += extent as i64;
    }
    Ok(())
}

fn expand(m: &mut Move<'_, '_>, node: &Node) -> Result<(), NoKernel> {
    let (operand, from) = m.input(node, 0)?;
    let to = m.output()?;
    let (dims, to_strides) = plain(&to)?;
    let strides = broadcast(&from, dims)?;
    m.copy(dims, (0, to_strides), (&operand, 0, &strides))
}

fn tile(m: &mut Move<'_, '_>, node: &Node) -> Result<(), NoKernel> {
    let p = m.plain_pair(node)?;
    let (mut dims, mut to, mut from) = (Vec::new(), Vec::new(), Vec::new());
    for (i, extent) in p.dims.iter().enumerate() {
        let repeats = p.to_dims[i].checked_div(*extent).unwrap_or(0);
        dims.extend([repeats, *extent]);
        to.extend([p.to_strides[i] * *extent as i64, p.to_strides[i]]);
        from.extend([0, p.strides[i]]);
    }
    m.copy(&dims, (0, &to), (&p.operand, 0, &from))
}

fn depth_to_space(m: &mut Move<'_, '_>, node: &Node, block: usize, crd: bool) -> Result<(), NoKernel> {
    let p = m.plain_pair(node)?;
    let (&[n, channels, ..], &[_, _, h, w]) = (&p.to_dims[..], &p.dims[..]) else {
        return Err(NoKernel("depth to space of another rank than 4".into()));
    };
    let (&[on, oc, oh, ow], &[sn, sc, sh, sw]) = (&p.to_strides[..], &p.strides[..]) else { return Ok(()) };
    let (b, c) = (block as i64, channels as i64);
    let (channel, row, column) = if crd { (sc * b * b, sc * b, sc) } else { (sc, sc * b * c, sc * c) };
    let dims = [n, channels, h, block, w, block];
    let to = [on, oc, oh * b, oh, ow * b, ow];
    m.copy(&dims, (0, &to), (&p.operand, 0, &[sn, channel, sh, row, sw, column]))
}

fn space_to_depth(m: &mut Move<'_, '_>, node: &Node, block: usize) -> Result<(), NoKernel> {
    let p = m.plain_pair(node)?;
    let (&[n, _, h, w], &[_, channels, ..]) = (&p.to_dims[..], &p.dims[..]) else {
        return Err(NoKernel("space to depth of another rank than 4".into()));
    };
    let (&[on, oc, oh, ow], &[sn, sc, sh, sw]) = (&p.to_strides[..], &p.strides[..]) else { return Ok(()) };
    let (b, c) = (block as i64, channels as i64);
    let dims = [n, block, block, channels, h, w];
    let to = [on, oc * b * c, oc * c, oc, oh, ow];
    m.copy(&dims, (0, &to), (&p.operand, 0, &[sn, sh, sw, sc, sh * b, sw * b]))
}

/// The same logical tensor in another layout (or with another halo).
fn reorder(m: &mut Move<'_, '_>, node: &Node) -> Result<(), NoKernel> {
    let (operand, from) = m.input(node, 0)?;
    let to = m.output()?;
    let (full, rest) = match (&from, &to) {
        (View::Plain { dims, .. }, View::Plain { dims: to_dims, .. }) => {
            let dense = from.is_dense_plain(m.bytes) && to.is_dense_plain(m.bytes);
            if dims != to_dims && !dense {
                return Err(NoKernel("a reshape of parts of tensors".into()));
            }
            let (dims, to) = if dense { (vec![dims.iter().product()], vec![m.bytes as i64]) } else { nest_of(&to, 0) };
            let strides = if dense { to.clone() } else { nest_of(&from, 0).1 };
            return m.copy(&dims, (0, &to), (&operand, 0, &strides));
        }
        (View::Blocked { .. }, View::Blocked { .. }) => {
            same_layout(&from, &to)?;
            let ((dims, to), (_, from)) = (nest_of(&to, m.bytes), nest_of(&from, m.bytes));
            return m.copy(&dims, (0, &to), (&operand, 0, &from));
        }
        (View::Blocked { dims, lanes, .. }, _) | (_, View::Blocked { dims, lanes, .. }) => {
            (dims[1] / lanes, dims[1] % lanes)
        }
    };
    let bytes = m.bytes as i64;
    if bytes != 4 && bytes != 1 {
        return Err(NoKernel("blocks of elements that are neither four bytes nor one".into()));
    }
    match (&from, &to) {
        (View::Plain { strides: s, dims }, View::Blocked { lanes, strides: t, .. }) => {
            let (&[n, _, h, w], &[sn, sc, sh, sw]) = (&dims[..], &s[..]) else { return Err(rank()) };
            let (to, from) = ([t[0], t[1], t[2], t[3], bytes], [sn, sc * *lanes as i64, sh, sw, sc]);
            m.copy(&[n, full, h, w, *lanes], (0, &to), (&operand, 0, &from))?;
            if bytes == 1 {
                // What fills up a block of bytes is multiplied by zeros: any numbers do.
                let skip = full as i64;
                let to_rest = [to[0], to[2], to[3], bytes];
                return m.copy(
                    &[n, h, w, rest],
                    (skip * to[1], &to_rest),
                    (&operand, skip * from[1], &[sn, sh, sw, sc]),
                );
            }
            if rest > 0 && n * h * w > 0 {
                let mut spec = Spec::copy(&[n, h, w, rest], &[t[0], t[2], t[3], 4], &[sn, sh, sw, sc], 4)?;
                spec.pad_lanes = true;
                let skip = full as i64;
                let source = m.entered(&operand, skip * from[1])?;
                m.calls.push(spec.call(m.cx.target, Operand::Value(m.result, skip * t[1]), Some(source)));
            }
            Ok(())
        }
        (View::Blocked { lanes, strides: s, .. }, View::Plain { strides: t, dims }) => {
            let (&[n, _, h, w], &[tn, tc, th, tw]) = (&dims[..], &t[..]) else { return Err(rank()) };
            let (to, from) = ([tn, tc * *lanes as i64, tc, th, tw], [s[0], s[1], bytes, s[2], s[3]]);
            m.copy(&[n, full, *lanes, h, w], (0, &to), (&operand, 0, &from))?;
            let skip = full as i64;
            m.copy(&[n, 1, rest, h, w], (skip * to[1], &to), (&operand, skip * from[1], &from))
        }
        _ => Ok(()),
    }
}

fn rank() -> NoKernel {
    NoKernel("channel blocks of another rank than 4".into())
}
