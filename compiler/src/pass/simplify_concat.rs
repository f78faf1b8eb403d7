//! simplify-concat: concatenations of concatenations become one, neighbouring slices of one value that are put together again
//! become one slice, and a slice of a concatenation that lies within one operand reads that operand.

use super::facts::{extent, made_by};
use super::join_names;
use super::rewrite::{Miss, Rule};
use crate::ir::{Dim, Graph, Ints, Node, Op, Patch, ValueId};

/// The pass.
pub struct SimplifyConcat;

impl Rule for SimplifyConcat {
    fn name(&self) -> &'static str {
        "simplify-concat"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        match node.op {
            Op::Concat { axis } => match join_slices(graph, node, axis) {
                Some(patch) => Ok(patch),
                None => flatten(graph, node, axis),
            },
            Op::Slice { .. } => pick_operand(graph, node).ok_or(Miss::Elsewhere),
            _ => Err(Miss::Elsewhere),
        }
    }
}

/// A slice of one dimension with step 1 and known bounds.
struct Range {
    source: ValueId,
    axis: usize,
    begin: i64,
    end: i64,
}

fn range(graph: &Graph, node: &Node) -> Option<Range> {
    let Op::Slice { axes, starts: Ints::Known(starts), ends: Ints::Known(ends), steps } = &node.op else { return None };
    let ([axis], [start], [end], [1]) = (&axes[..], &starts[..], &ends[..], &steps[..]) else { return None };
    let source = node.inputs[0];
    let extent = extent(graph.ty(source), *axis)? as i64;
    let at = |d: &Dim| d.known().map(|n| if n < 0 { n.saturating_add(extent) } else { n }.clamp(0, extent));
    let (begin, end) = (at(start)?, at(end)?);
    (begin <= end).then_some(Range { source, axis: *axis, begin, end })
}

fn slice(axis: usize, begin: i64, end: i64) -> Op {
    let one = |n| Ints::Known(vec![Dim::Const(n)]);
    Op::Slice { axes: vec![axis], starts: one(begin), ends: one(end), steps: vec![1] }
}

/// Joins runs of operands that are neighbouring slices of one value.
fn join_slices(graph: &Graph, node: &Node, axis: usize) -> Option<Patch> {
    let mut patch = Patch::new(graph, "neighbouring slices into one");
    let mut inputs = Vec::new();
    let mut open: Option<(Range, usize, ValueId)> = None;
    let mut joined = false;
    let mut close = |patch: &mut Patch, run: Option<(Range, usize, ValueId)>, inputs: &mut Vec<ValueId>| {
        let Some((range, count, value)) = run else { return };
        joined |= count > 1;
        inputs.push(match count {
            1 => value,
            _ => patch.node(slice(axis, range.begin, range.end), &[range.source], node.name.clone()),
        });
    };
    for value in &node.inputs {
        let piece = graph.producer(*value).and_then(|n| range(graph, n)).filter(|r| r.axis == axis);
        match (&mut open, piece) {
            (Some((run, count, _)), Some(next)) if run.source == next.source && run.end == next.begin => {
                run.end = next.end;
                *count += 1;
            }
            (_, Some(next)) => close(&mut patch, open.replace((next, 1, *value)), &mut inputs),
            (_, None) => {
                close(&mut patch, open.take(), &mut inputs);
                inputs.push(*value);
            }
        }
    }
    close(&mut patch, open.take(), &mut inputs);
    if !joined {
        return None;
    }
    let new = match inputs[..] {
        [only] => only,
        _ => patch.node(Op::Concat { axis }, &inputs, node.name.clone()),
    };
    patch.replace(node.outputs[0], new);
    Some(patch)
}

fn flatten(graph: &Graph, node: &Node, axis: usize) -> Result<Patch, Miss> {
    let mut inputs = Vec::new();
    let mut name = node.name.clone();
    for value in &node.inputs {
        let inner = made_by(graph, *value, |op| *op == Op::Concat { axis });
        match inner {
            Some(inner) if graph.only_reader(*value).is_some() => {
                inputs.extend(&inner.inputs);
                name = join_names(&inner.name, &name);
            }
            _ => inputs.push(*value),
        }
    }
    if inputs == node.inputs {
        return Err(Miss::Elsewhere);
    }
    let mut patch = Patch::new(graph, "nested concatenations into one");
    let new = patch.node(Op::Concat { axis }, &inputs, name);
    patch.replace(node.outputs[0], new);
    Ok(patch)
}

/// A slice of a concatenation, when it lies within one operand.
fn pick_operand(graph: &Graph, node: &Node) -> Option<Patch> {
    let Range { source, axis, begin, end } = range(graph, node)?;
    let concat = made_by(graph, source, |op| *op == Op::Concat { axis })?;
    let mut at = 0;
    for operand in &concat.inputs {
        let count = extent(graph.ty(*operand), axis)? as i64;
        if begin >= at && end <= at + count && begin < end {
            let mut patch = Patch::new(graph, "slice of one operand of a concatenation");
            let whole = begin == at && end == at + count;
            let new = match whole {
                true => *operand,
                false => patch.node(slice(axis, begin - at, end - at), &[*operand], node.name.clone()),
            };
            patch.replace(node.outputs[0], new);
            return Some(patch);
        }
        at += count;
    }
    None
}
