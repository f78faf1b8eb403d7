//! If, Loop and Scan.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__If.html>, onnx__Loop, onnx__Scan. A body becomes a graph of its own whose
//! last inputs are what it reads from around it. Extents that differ between branches, or from one iteration to the next,
//! are known at run time only.

use crate::context::{Captured, Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use crate::flatten::FlatBody;
use crate::import::import_body;
use brolga_compiler::ir::{Body, Dim, Graph, Kind, Op, ScanAxis, Type, ValueId};
use brolga_runtime::DType;

/// Rounds in which the types of carried values settle.
const ROUNDS: usize = 4;

pub(super) fn body<'g, 'a>(cx: &Context<'a, 'g>, name: &str) -> Result<&'g FlatBody<'a>, NodeError> {
    match cx.node.bodies.iter().find(|(n, _)| *n == name) {
        Some((_, body)) => Ok(body),
        None => invalid(format!("attribute {name:?} has no graph")),
    }
}

/// Captured values that are no constants: the last operands of the node.
pub(super) fn captured(cx: &Context<'_, '_>) -> Vec<ValueId> {
    let values = cx.captured.iter().filter_map(|(_, captured)| match captured {
        Captured::Value(id) if cx.graph.weight(*id).is_none() => Some(*id),
        _ => None,
    });
    values.collect()
}

fn outputs(graph: &Graph) -> Vec<Type> {
    graph.outputs().iter().map(|(_, id)| graph.ty(*id).clone()).collect()
}

/// Whether every symbol of an extent means something outside of the body.
fn is_outer(cx: &Context<'_, '_>, dim: &Dim) -> bool {
    let mut names = Vec::new();
    dim.symbols(&mut names);
    let known = cx.graph.values().flat_map(|(_, v)| v.ty.symbols()).collect::<std::collections::BTreeSet<_>>();
    names.iter().all(|name| known.contains(name))
}

/// A type of values of either type.
fn merged(cx: &Context<'_, '_>, a: &Type, b: &Type) -> Result<Type, NodeError> {
    if a.dtype != b.dtype {
        return invalid(format!("a result is {a} in one place and {b} in another"));
    }
    if a.kind == Kind::Tensor && b.kind == Kind::Tensor && a.rank() == b.rank() {
        let dim = |(a, b): (&Dim, &Dim)| if a == b && is_outer(cx, a) { a.clone() } else { cx.fresh() };
        return Ok(Type::new(a.dtype, a.shape.iter().zip(&b.shape).map(dim).collect()));
    }
    match (a.kind, b.kind) {
        (Kind::Tensor | Kind::Unranked, Kind::Tensor | Kind::Unranked) => Ok(Type::unranked(a.dtype)),
        (a_kind, b_kind) if a_kind == b_kind => Ok(a.clone()),
        (Kind::OptionalSequence, Kind::Sequence) | (Kind::Sequence, Kind::OptionalSequence) => {
            Ok(Type::optional(Type::sequence(Type::unranked(a.dtype))))
        }
        _ => invalid(format!("a result is {a} in one place and {b} in another")),
    }
}

/// ONNX If. A constant condition leaves the branch it chooses.
pub(crate) fn branch(cx: &mut Context<'_, '_>) -> Results {
    let condition = cx.input(0)?;
    let captured = captured(cx);
    if let Some(known) = cx.tensor(condition).filter(|t| t.dtype() == DType::Bool && t.len() == 1) {
        let chosen = if known.bytes() == [0] { "else_branch" } else { "then_branch" };
        let graph = import_body(cx, body(cx, chosen)?, &[])?;
        return Ok(cx.graph.splice(&graph, &captured));
    }
    let then = either(import_body(cx, body(cx, "then_branch")?, &[]))?;
    let otherwise = either(import_body(cx, body(cx, "else_branch")?, &[]))?;
    let (a, b) = (outputs(&then), outputs(&otherwise));
    if a.len() != b.len() {
        return invalid(format!("one branch has {} results, the other {}", a.len(), b.len()));
    }
    let results: Vec<Type> = a.iter().zip(&b).map(|(a, b)| merged(cx, a, b)).collect::<Result<_, _>>()?;
    let operands: Vec<ValueId> = std::iter::once(condition).chain(captured).collect();
    let count = results.len();
    cx.emit_many(Op::If { then: Body::new(then), otherwise: Body::new(otherwise), results }, &operands, count)
}

/// A branch that does not fit these operands may be one that is never taken: it can be left out once the condition is known.
fn either(branch: Result<Graph, NodeError>) -> Result<Graph, NodeError> {
    match branch {
        Err(NodeError::Invalid(what)) => {
            unsupported(format!("a branch that these operands do not fit, and whose condition is not known: {what}"))
        }
        other => other,
    }
}

/// A type whose extents all mean something outside of the body: others become fresh.
fn outward(cx: &Context<'_, '_>, ty: &Type) -> Type {
    let shape = ty.shape.iter().map(|d| if is_outer(cx, d) { d.clone() } else { cx.fresh() }).collect();
    Type { shape, ..ty.clone() }
}

/// What an iteration takes: some values, those carried from the last one, more values.
struct Inputs<'t> {
    before: &'t [Type],
    after: &'t [Type],
}

/// Imports a body again until the values it carries keep their types; `first` is the number of results before the carried ones.
fn settle<'a>(
    cx: &Context<'a, '_>,
    source: &FlatBody<'a>,
    inputs: &Inputs<'_>,
    mut carried: Vec<Type>,
    first: usize,
) -> Result<(Graph, Vec<Type>), NodeError> {
    for _ in 0..ROUNDS {
        let types = [inputs.before, &carried, inputs.after].concat();
        let graph = import_body(cx, source, &types)?;
        let made: Vec<Type> = outputs(&graph).into_iter().skip(first).take(carried.len()).collect();
        if made.len() != carried.len() {
            return invalid(format!("its body has {} carried results; {} are expected", made.len(), carried.len()));
        }
        let next: Vec<Type> = carried.iter().zip(&made).map(|(a, b)| widened(cx, a, b)).collect::<Result<_, _>>()?;
        if next == carried {
            return Ok((graph, carried));
        }
        carried = next;
    }
    unsupported("the types of what it carries from one iteration to the next do not settle")
}

/// The type of a carried value that begins as `a` and comes back as `b`; `a` itself when it need not change.
fn widened(cx: &Context<'_, '_>, a: &Type, b: &Type) -> Result<Type, NodeError> {
    if a.kind != Kind::Tensor || b.kind != Kind::Tensor || a.rank() != b.rank() {
        return merged(cx, a, b);
    }
    if a.dtype != b.dtype {
        return invalid(format!("a carried value is {a} at first and {b} after an iteration"));
    }
    // A symbol that stands alone takes whatever an iteration brings.
    let keeps = |a: &Dim, b: &Dim| a == b || (a.known().is_none() && !is_outer(cx, a));
    let dim = |(a, b): (&Dim, &Dim)| if keeps(a, b) { a.clone() } else { cx.fresh() };
    Ok(Type::new(a.dtype, a.shape.iter().zip(&b.shape).map(dim).collect()))
}

/// Types of the operands from `begin` on, omitted ones left out, and the operands themselves.
fn carried(cx: &Context<'_, '_>, begin: usize, count: usize) -> Result<(Vec<ValueId>, Vec<Type>), NodeError> {
    let ids: Vec<ValueId> = (begin..begin + count).map(|i| cx.input(i)).collect::<Result<_, _>>()?;
    let types = ids.iter().map(|id| cx.ty(*id).clone()).collect();
    Ok((ids, types))
}

/// ONNX Loop.
pub(crate) fn repeat(cx: &mut Context<'_, '_>) -> Results {
    let source = body(cx, "body")?;
    let (trip, condition) = (cx.optional(0), cx.optional(1));
    let (initial, types) = carried(cx, 2, cx.inputs.len().saturating_sub(2))?;
    if source.inputs.len() != types.len() + 2 {
        return invalid(format!("its body takes {} values; {} are given", source.inputs.len(), types.len() + 2));
    }
    let before = [Type::known(DType::I64, &[]), Type::known(DType::Bool, &[])];
    let (graph, settled) = settle(cx, source, &Inputs { before: &before, after: &[] }, types, 1)?;
    let mut results: Vec<Type> = settled.iter().map(|ty| outward(cx, ty)).collect();
    for ty in outputs(&graph).iter().skip(1 + settled.len()) {
        let mut ty = outward(cx, ty);
        ty.shape.insert(0, cx.fresh());
        results.push(ty);
    }
    let captured = captured(cx);
    let operands: Vec<ValueId> = trip.into_iter().chain(condition).chain(initial).chain(captured).collect();
    let (trip, condition) = (trip.is_some(), condition.is_some());
    let (count, carried, body) = (results.len(), settled.len(), Body::new(graph));
    cx.emit_many(Op::Loop { body, trip, condition, carried, results }, &operands, count)
}

/// Axis and direction of each scanned operand or stacked result, by rank.
fn walks(cx: &Context<'_, '_>, axes: &str, directions: &str, ranks: &[usize]) -> Result<Vec<ScanAxis>, NodeError> {
    let axes = cx.node.attributes.ints(axes)?.unwrap_or(&[]);
    let directions = cx.node.attributes.ints(directions)?.unwrap_or(&[]);
    let walk = |(i, rank): (usize, &usize)| {
        let axis = cx.axis(axes.get(i).copied().unwrap_or(0), *rank)?;
        Ok(ScanAxis { axis, reverse: directions.get(i).is_some_and(|d| *d != 0) })
    };
    ranks.iter().enumerate().map(walk).collect()
}

/// ONNX Scan, from opset 9 on.
pub(crate) fn scan(cx: &mut Context<'_, '_>) -> Results {
    let source = body(cx, "body")?;
    let count = cx.node.attributes.required("num_scan_inputs", cx.node.attributes.int("num_scan_inputs")?)?;
    let count = usize::try_from(count).ok().filter(|n| (1..=cx.inputs.len()).contains(n));
    let Some(count) = count else { return invalid("num_scan_inputs is the number of its last operands") };
    let states = cx.inputs.len() - count;
    let (initial, types) = carried(cx, 0, states)?;
    let (scanned, mut items) = carried(cx, states, count)?;
    let ranks: Vec<usize> = items.iter().map(Type::rank).collect();
    let inputs = walks(cx, "scan_input_axes", "scan_input_directions", &ranks)?;
    let mut length = None;
    for (ty, walk) in items.iter_mut().zip(&inputs) {
        length = Some(ty.shape.remove(walk.axis));
    }
    if source.inputs.len() != states + count {
        return invalid(format!("its body takes {} values; {} are given", source.inputs.len(), states + count));
    }
    let (graph, settled) = settle(cx, source, &Inputs { before: &[], after: &items }, types, 0)?;
    let mut results: Vec<Type> = settled.iter().map(|ty| outward(cx, ty)).collect();
    let stacked: Vec<Type> = outputs(&graph).split_off(states);
    let ranks: Vec<usize> = stacked.iter().map(|ty| ty.rank() + 1).collect();
    let walked = walks(cx, "scan_output_axes", "scan_output_directions", &ranks)?;
    for (ty, walk) in stacked.iter().zip(&walked) {
        let mut ty = outward(cx, ty);
        ty.shape.insert(walk.axis, length.clone().unwrap_or_else(|| cx.fresh()));
        results.push(ty);
    }
    let operands: Vec<ValueId> = initial.into_iter().chain(scanned).chain(captured(cx)).collect();
    let (count, body) = (results.len(), Body::new(graph));
    cx.emit_many(Op::Scan { body, inputs, outputs: walked, results }, &operands, count)
}
