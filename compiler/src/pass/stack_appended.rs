//! stack-appended: a loop that appends one row an iteration to a tensor that it carries, from an empty one on, gives the rows as
//! they are made, and they are put together once.
//!
//! Appending copies all rows there are in every iteration, each time in a tensor of another size. Torchvision pastes masks and
//! reads keypoints so. Needs: a carried tensor whose only reader is a concatenation along dimension 0 with a part of one
//! row, which is carried on and read by nothing else.

use super::rewrite::{Miss, Rule, require};
use crate::ir::{Body, Dim, Graph, Ints, Node, Op, Patch, Type, ValueId};

/// The pass.
pub struct StackAppended;

impl Rule for StackAppended {
    fn name(&self) -> &'static str {
        "stack-appended"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let Op::Loop { body, trip, condition, carried, results } = &node.op else { return Err(Miss::Elsewhere) };
        let before = usize::from(*trip) + usize::from(*condition);
        let extents = |i: usize| row_extents(graph.ty(node.inputs[before + i]), &results[i]).map(|rows| (i, rows));
        let mut appended = (0..*carried).filter(|i| part(body, *i).is_some()).map(extents);
        let first = appended.next().ok_or(Miss::Elsewhere)?;
        let (which, rows) = appended.fold(first, Result::or)?;
        let new = stacking(body, which, rows).ok_or(Miss::Elsewhere)?;

        let (mut operands, mut types, mut old) = (node.inputs.clone(), results.clone(), node.outputs.clone());
        operands.remove(before + which);
        // Stacked results come after all carried ones.
        let stacked = types.remove(which);
        types.push(stacked);
        let rows = old.remove(which);
        old.push(rows);
        let (trip, condition, carried) = (*trip, *condition, carried - 1);
        let op = Op::Loop { body: Body::new(new), trip, condition, carried, results: types.clone() };
        let mut patch = Patch::new(graph, "rows put together once");
        let made = patch.typed_node(op, &operands, types, node.name.clone());
        old.into_iter().zip(made).for_each(|(old, new)| patch.replace(old, new));
        Ok(patch)
    }
}

/// The value that a body appends, as one row, to the tensor that it carries at this position.
fn part(body: &Graph, which: usize) -> Option<ValueId> {
    let (state, next) = (*body.inputs().get(2 + which)?, body.outputs().get(1 + which)?.1);
    let concat = body.only_reader(state)?;
    let &[before, row] = &concat.inputs[..] else { return None };
    let appends = concat.op == Op::Concat { axis: 0 } && before == state && concat.outputs[..] == [next];
    let carried_on = body.outputs().iter().filter(|(_, value)| *value == next).count() == 1;
    let whole = body.ty(row).shape.first() == Some(&Dim::Const(1)) && body.readers(next).is_empty();
    (appends && carried_on && whole).then_some(row)
}

/// Extents of a row: those of the empty tensor at the start, which no iteration changes.
fn row_extents(first: &Type, last: &Type) -> Result<Vec<Dim>, Miss> {
    let ([count, rows @ ..], [_, kept @ ..]) = (&first.shape[..], &last.shape[..]) else { return Err(Miss::Elsewhere) };
    if *count != Dim::Const(0) {
        return Err(Miss::blocked("it does not append to an empty tensor"));
    }
    require(first.is_plain_tensor() && rows.len() == kept.len())?;
    if rows != kept {
        return Err(Miss::blocked("the rows' extents are not those of the empty tensor at the start"));
    }
    Ok(rows.to_vec())
}

/// The body without the carried tensor, giving its row after all other results.
fn stacking(body: &Graph, which: usize, rows: Vec<Dim>) -> Option<Graph> {
    let row = part(body, which)?;
    let mut new = body.clone();
    let concat = body.only_reader(body.inputs()[2 + which])?;
    let op = Op::Reshape { shape: Ints::Known(rows), allow_zero: true };
    let row = new.add_node(op, &[row], 1, concat.name.clone()).ok()?[0];
    let name = new.remove_output(1 + which)?;
    new.add_output(name, row);
    new.sweep(concat.id);
    new.remove_input(2 + which);
    Some(new)
}
