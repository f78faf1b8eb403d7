//! If, Loop and Scan.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__If.html>, onnx__Loop, onnx__Scan. A body becomes a graph of its own whose
//! last inputs are what it reads from around it. Extents that differ between branches, or from one iteration to the next,
//! are known at run time only.

use crate::context::{Captured, Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use crate::flatten::FlatBody;
use crate::import::import_body;
use brolga_compiler::ir::{BinaryOp, Body, Dim, Graph, Kind, Op, ScanAxis, Type, ValueId, Weight};
use brolga_runtime::DType;
use brolga_runtime::library::{Attribute, Function};

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
        _ if a.is_sequence() && b.is_sequence() => Ok(super::sequences::joined(a, b)),
        (a_kind, b_kind) if a_kind == b_kind => Ok(a.clone()),
        (Kind::OptionalSequence, _) if b.is_sequence() => Ok(a.clone()),
        (_, Kind::OptionalSequence) if a.is_sequence() => Ok(b.clone()),
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

/// How many of its operands ONNX Scan walks over, and how many are states, from operand `first` on.
fn scanned(cx: &Context<'_, '_>, first: usize) -> Result<(usize, usize), NodeError> {
    let count = cx.node.attributes.required("num_scan_inputs", cx.node.attributes.int("num_scan_inputs")?)?;
    let given = cx.inputs.len().saturating_sub(first);
    match usize::try_from(count).ok().filter(|n| (1..=given).contains(n)) {
        Some(count) => Ok((given - count, count)),
        None => invalid("num_scan_inputs is the number of its last operands"),
    }
}

/// One scan over a sequence: its operation, without captured values the types of what it takes.
struct Sequence {
    /// States, then whole sequences.
    operands: Vec<Type>,
    states: usize,
    inputs: Vec<ScanAxis>,
    outputs: Vec<ScanAxis>,
    body: Graph,
    results: Vec<Type>,
}

/// Types of a scan over one sequence, its body settled.
fn sequence<'a>(
    cx: &Context<'a, '_>,
    source: &FlatBody<'a>,
    types: Vec<Type>,
    items: Vec<Type>,
    inputs: Vec<ScanAxis>,
) -> Result<Sequence, NodeError> {
    let operands = [types.as_slice(), &items].concat();
    let (states, mut items, mut length) = (types.len(), items, None);
    for (ty, walk) in items.iter_mut().zip(&inputs) {
        length = Some(ty.shape.remove(walk.axis));
    }
    if source.inputs.len() != operands.len() {
        return invalid(format!("its body takes {} values; {} are given", source.inputs.len(), operands.len()));
    }
    let (body, settled) = settle(cx, source, &Inputs { before: &[], after: &items }, types, 0)?;
    let mut results: Vec<Type> = settled.iter().map(|ty| outward(cx, ty)).collect();
    let stacked: Vec<Type> = outputs(&body).split_off(states);
    let ranks: Vec<usize> = stacked.iter().map(|ty| ty.rank() + 1).collect();
    let outputs = walks(cx, "scan_output_axes", "scan_output_directions", &ranks)?;
    for (ty, walk) in stacked.iter().zip(&outputs) {
        let mut ty = outward(cx, ty);
        ty.shape.insert(walk.axis, length.clone().unwrap_or_else(|| cx.fresh()));
        results.push(ty);
    }
    Ok(Sequence { operands, states, inputs, outputs, body, results })
}

/// ONNX Scan, from opset 9 on.
pub(crate) fn scan(cx: &mut Context<'_, '_>) -> Results {
    let source = body(cx, "body")?;
    let (states, count) = scanned(cx, 0)?;
    let (initial, types) = carried(cx, 0, states)?;
    let (whole, items) = carried(cx, states, count)?;
    let ranks: Vec<usize> = items.iter().map(Type::rank).collect();
    let inputs = walks(cx, "scan_input_axes", "scan_input_directions", &ranks)?;
    let Sequence { inputs, outputs, body, results, .. } = sequence(cx, source, types, items, inputs)?;
    let operands: Vec<ValueId> = initial.into_iter().chain(whole).chain(captured(cx)).collect();
    let (count, body) = (results.len(), Body::new(body));
    cx.emit_many(Op::Scan { body, inputs, outputs, results }, &operands, count)
}

const FORWARD: ScanAxis = ScanAxis { axis: 0, reverse: false };

/// ONNX Scan of opset 8: the first dimension of every operand is the batch, the second that of the sequences. A scan over the
/// batch, in whose body is the scan over one sequence.
pub(crate) fn scan_batches(cx: &mut Context<'_, '_>) -> Results {
    let source = body(cx, "body")?;
    let (states, count) = scanned(cx, 1)?;
    let (initial, mut types) = carried(cx, 1, states)?;
    let (mut whole, mut items) = carried(cx, 1 + states, count)?;
    if types.iter().any(|ty| ty.rank() < 1) || items.iter().any(|ty| ty.rank() < 2) {
        return invalid("its states have a batch dimension, what it walks over that and one for the sequence");
    }
    let batch = items[0].shape[0].clone();
    types.iter_mut().chain(&mut items).for_each(|ty| drop(ty.shape.remove(0)));
    let directions = cx.node.attributes.ints("directions")?.unwrap_or(&[]);
    let walk = |i: usize| ScanAxis { axis: 0, reverse: directions.get(i).is_some_and(|d| *d != 0) };
    let mut one = sequence(cx, source, types, items, (0..count).map(walk).collect())?;
    let lengths = cx.optional(0);
    if let Some(lengths) = lengths {
        for (walk, value) in one.inputs.iter_mut().zip(&mut whole).filter(|(walk, _)| walk.reverse) {
            walk.reverse = false;
            *value = reversed(cx, *value, lengths)?;
        }
    }
    let captured = captured(cx);
    let kept: Vec<Type> = captured.iter().map(|id| cx.ty(*id).clone()).collect();
    let results: Vec<Type> = one
        .results
        .iter()
        .cloned()
        .map(|mut ty| {
            ty.shape.insert(0, batch.clone());
            ty
        })
        .collect();
    let body = Body::new(one.graph(&kept, lengths.is_some())?);
    let operands: Vec<ValueId> = initial.into_iter().chain(whole).chain(lengths).chain(captured).collect();
    let inputs = vec![FORWARD; states + count + usize::from(lengths.is_some())];
    let (count, outputs) = (results.len(), vec![FORWARD; results.len()]);
    cx.emit_many(Op::Scan { body, inputs, outputs, results }, &operands, count)
}

/// Sequences of these lengths from their ends; what is behind them stays.
fn reversed(cx: &mut Context<'_, '_>, x: ValueId, lengths: ValueId) -> Result<ValueId, NodeError> {
    let lengths = cx.cast(lengths, DType::I64)?;
    let ty = cx.ty(x).clone();
    let mut function = Function::new("reverse_sequence", 2);
    for (name, axis) in [("batch_axis", 0), ("time_axis", 1)] {
        function.attributes.insert(name.into(), Attribute::Int(axis));
    }
    match cx.function(function, &[Some(x), Some(lengths)], vec![ty])?[..] {
        [one] => Ok(one),
        _ => invalid("it has no result"),
    }
}

impl Sequence {
    /// A graph that takes the operands of the scan, the sequence's length if it has one of its own, and what is captured.
    fn graph(self, captured: &[Type], measured: bool) -> Result<Graph, NodeError> {
        let mut graph = Graph::new("sequence");
        let mut operands: Vec<ValueId> = self.operands.iter().map(|ty| graph.add_input("", ty.clone())).collect();
        let length = measured.then(|| graph.add_input("length", Type::known(DType::I64, &[])));
        let (mut body, mut inputs) = (self.body, self.inputs);
        if measured {
            let Some(steps) = self.operands.last().and_then(|ty| ty.shape.first()?.known()) else {
                return unsupported("sequence lengths where the extent of the sequences is not known");
            };
            let numbers: Vec<u8> = (0..steps).flat_map(i64::to_le_bytes).collect();
            let numbers = Weight::from_bytes(DType::I64, vec![steps as usize], numbers.into());
            operands.push(graph.add_weight("steps", numbers));
            inputs.push(FORWARD);
            body = until(&body, self.states, self.operands.len())?;
        }
        operands.extend(captured.iter().map(|ty| graph.add_input("", ty.clone())));
        operands.extend(length);
        let (count, body) = (self.results.len(), Body::new(body));
        let op = Op::Scan { body, inputs, outputs: self.outputs, results: self.results };
        for id in graph.add_node(op, &operands, count, "sequence")? {
            graph.add_output("", id);
        }
        Ok(graph)
    }
}

/// A body that also takes its step's number, before what it captures, and the sequence's length at the end: behind the
/// length states stay and results are zero.
fn until(body: &Graph, states: usize, operands: usize) -> Result<Graph, NodeError> {
    let mut graph = Graph::new("step");
    let types: Vec<Type> = body.inputs().iter().map(|id| body.ty(*id).clone()).collect();
    let (own, captured) = types.split_at(operands);
    let own: Vec<ValueId> = own.iter().map(|ty| graph.add_input("", ty.clone())).collect();
    let number = graph.add_input("number", Type::known(DType::I64, &[]));
    let captured: Vec<ValueId> = captured.iter().map(|ty| graph.add_input("", ty.clone())).collect();
    let length = graph.add_input("length", Type::known(DType::I64, &[]));
    let made = graph.splice(body, &[own.as_slice(), &captured].concat());
    let inside = graph.add_node(Op::Binary(BinaryOp::Less), &[number, length], 1, "inside")?;
    for (i, value) in made.into_iter().enumerate() {
        let other = match own.get(i).filter(|_| i < states) {
            Some(state) => *state,
            None => graph.add_weight("", Weight::splat(graph.ty(value).dtype, vec![], [0; 8])),
        };
        let kept = graph.add_node(Op::Where, &[inside[0], value, other], 1, "kept")?;
        graph.add_output("", kept[0]);
    }
    Ok(graph)
}
