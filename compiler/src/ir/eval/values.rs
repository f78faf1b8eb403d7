//! Evaluation of graphs whose values may be texts, sequences and absent, and whose extents may depend on data.
//!
//! Every node is typed anew from the operands it really has, so that a rule which had to guess over symbols is exact here.
//! Symbols take their values where they first stand alone: in the types of inputs, and of results that only a run can size.

use super::{EvalError, control, eval_op};
use crate::ir::infer::{InferError, infer};
use crate::ir::{Bindings, Body, Dim, DimExpr, Graph, Node, NodeId, Op, Type, ValueId, Weight};
use brolga_runtime::{DType, Operand, Tensor, Value};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A value that several may hold.
pub type Shared = Arc<Value>;

/// Runs the body of a control-flow operation on its inputs, where symbols have these values.
pub type RunBody<'a> = dyn Fn(&Body, &[Shared], &Bindings) -> Result<Vec<Shared>, EvalError> + 'a;

/// Tensors with at most this many elements are shown to type rules.
const SHOWN: usize = 64;

/// Outputs of a graph on these inputs, both in the graph's order.
pub fn evaluate_values(graph: &Graph, inputs: &[Shared]) -> Result<Vec<Shared>, EvalError> {
    walk(graph, inputs, Bindings::new(), &mut |_, _| {})
}

/// The same; `observe` sees each node of the graph itself, and not of bodies, with its results as soon as they are there.
pub fn evaluate_values_with(
    graph: &Graph,
    inputs: &[Shared],
    mut observe: impl FnMut(&Node, &[Shared]),
) -> Result<Vec<Shared>, EvalError> {
    walk(graph, inputs, Bindings::new(), &mut observe)
}

fn walk(
    graph: &Graph,
    inputs: &[Shared],
    mut symbols: Bindings,
    observe: &mut dyn FnMut(&Node, &[Shared]),
) -> Result<Vec<Shared>, EvalError> {
    if graph.inputs().len() != inputs.len() {
        return Err(EvalError::Count { wanted: graph.inputs().len(), given: inputs.len() });
    }
    let mut values: HashMap<ValueId, Shared> = HashMap::new();
    for (id, value) in graph.inputs().iter().zip(inputs) {
        bind_symbols(graph.ty(*id), value, &mut symbols);
        values.insert(*id, value.clone());
    }
    let run_body: &RunBody = &|body, inputs, symbols| walk(body, inputs, symbols.clone(), &mut |_, _| {});
    for id in order(graph) {
        let node = graph.node(id);
        let operands: Vec<Shared> =
            node.inputs.iter().map(|v| operand(graph, &mut values, *v)).collect::<Result<_, _>>()?;
        let results = run_node(node, &operands, &symbols, run_body)?;
        observe(node, &results);
        for (output, result) in node.outputs.iter().zip(results) {
            bind_symbols(graph.ty(*output), &result, &mut symbols);
            values.insert(*output, result);
        }
    }
    graph.outputs().iter().map(|(_, id)| operand(graph, &mut values, *id)).collect()
}

/// The nodes in an order in which a node comes after those whose results it reads, and after those that give the symbols it
/// mentions their values.
fn order(graph: &Graph) -> Vec<NodeId> {
    let mut waiting = graph.topological();
    let makers = graph.symbol_makers(&waiting);
    let (mut order, mut done) = (Vec::with_capacity(waiting.len()), BTreeSet::new());
    let mut stuck = false;
    while !waiting.is_empty() {
        let before = waiting.len();
        waiting.retain(|id| {
            let node = graph.node(*id);
            let read = node.inputs.iter().all(|v| graph.producer(*v).is_none_or(|from| done.contains(&from.id)));
            let made = |symbol: &String| makers.get(symbol).is_none_or(|from| from == id || done.contains(from));
            // Symbols that wait for each other get no value: the node says so when it runs.
            let ready = read && (stuck || graph.node_symbols(node).iter().all(made));
            if ready {
                done.insert(*id);
                order.push(*id);
            }
            !ready
        });
        stuck = waiting.len() == before;
    }
    order
}

fn operand(graph: &Graph, values: &mut HashMap<ValueId, Shared>, id: ValueId) -> Result<Shared, EvalError> {
    if let Some(value) = values.get(&id) {
        return Ok(value.clone());
    }
    let Some(weight) = graph.weight(id) else { return Err(EvalError::Op(format!("{id} has no value"))) };
    let value = Arc::new(Value::Tensor(weight.evaluate()?));
    values.insert(id, value.clone());
    Ok(value)
}

/// Results of a node on these operands.
pub fn run_node(
    node: &Node,
    operands: &[Shared],
    symbols: &Bindings,
    run_body: &RunBody,
) -> Result<Vec<Shared>, EvalError> {
    run_op(&node.op, node.outputs.len(), operands, symbols, run_body)
        .map_err(|e| EvalError::Node { node: node.name.clone(), what: e.to_string() })
}

fn run_op(
    op: &Op,
    results: usize,
    operands: &[Shared],
    symbols: &Bindings,
    run_body: &RunBody,
) -> Result<Vec<Shared>, EvalError> {
    let share = |results: Vec<Value>| results.into_iter().map(Arc::new).collect();
    match op {
        Op::Function { function, .. } => {
            let given: Vec<Operand> = operands.iter().map(|v| v.operand()).collect();
            let mut made = function.run(&given)?;
            made.truncate(results);
            Ok(share(made))
        }
        Op::Deferred { op, .. } => run_op(op, results, operands, symbols, run_body),
        Op::If { then, otherwise, .. } => control::branch(then, otherwise, operands, symbols, run_body),
        Op::Loop { .. } => control::repeat(op, operands, symbols, run_body),
        Op::Scan { .. } => control::scan(op, operands, symbols, run_body),
        _ => {
            let tensors: Option<Vec<&Tensor>> = operands.iter().map(|v| v.as_tensor()).collect();
            let tensors = tensors.ok_or_else(|| EvalError::Op("accepted are tensors of numbers".into()))?;
            let (op, types) = typed(op, results, &tensors, symbols)?;
            Ok(share(eval_op(&op, &tensors, &types)?.into_iter().map(Value::Tensor).collect()))
        }
    }
}

/// An operation with its symbols bound, and the types of its results on these operands.
fn typed(op: &Op, results: usize, operands: &[&Tensor], symbols: &Bindings) -> Result<(Op, Vec<Type>), InferError> {
    let mut graph = Graph::new("");
    let inputs: Vec<ValueId> = operands
        .iter()
        .map(|tensor| {
            if tensor.len() <= SHOWN && tensor.dtype() != DType::String {
                graph.add_weight("", Weight::from_tensor(tensor))
            } else {
                graph.add_input("", Type::known(tensor.dtype(), tensor.shape()))
            }
        })
        .collect();
    let op = crate::ir::infer::bind_op(op, symbols)?;
    let types = infer(&graph, &op, &inputs, results, "")?;
    Ok((op, types.into_iter().map(|(ty, _)| ty).collect()))
}

/// Gives the symbols that stand alone in a type the extents that a value of it has.
pub fn bind_symbols(ty: &Type, value: &Value, symbols: &mut Bindings) {
    let value = match value {
        Value::Optional(Some(inner)) => inner,
        other => other,
    };
    let Some(shape) = value.shape() else { return };
    for (dim, extent) in ty.shape.iter().zip(shape) {
        if let Dim::Expr(e) = dim
            && let DimExpr::Symbol(name) = &**e
        {
            symbols.insert(name.clone(), i64::try_from(*extent).unwrap_or(i64::MAX));
        }
    }
}
