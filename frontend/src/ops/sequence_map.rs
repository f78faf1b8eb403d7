//! SequenceMap, as the loop that it is defined by.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__SequenceMap.html>.

use super::control::{body, captured};
use super::sequences::sequence;
use crate::context::{Context, Results};
use crate::error::{NodeError, invalid, unsupported};
use crate::import::import_body;
use crate::types::input_type;
use brolga_compiler::ir::{Body, Graph, Kind, Op, Type, ValueId};
use brolga_runtime::DType;
use brolga_runtime::library::Function;

/// Type of an element of a sequence, of the rank that the body's input declares.
fn element(cx: &Context<'_, '_>, declared: Option<Type>, dtype: DType) -> Type {
    match declared {
        Some(ty) if ty.kind == Kind::Tensor && ty.dtype == dtype => {
            Type::new(dtype, ty.shape.iter().map(|_| cx.fresh()).collect())
        }
        _ => Type::unranked(dtype),
    }
}

fn add(graph: &mut Graph, name: &str, inputs: &[ValueId], ty: Type) -> Result<ValueId, NodeError> {
    let op = Op::Function { function: Function::new(name, inputs.len()), results: vec![ty] };
    let made = graph.add_node(op, inputs, 1, name)?;
    made.first().copied().ok_or_else(|| NodeError::Invalid("it has no result".into()))
}

pub(crate) fn map(cx: &mut Context<'_, '_>) -> Results {
    let first = sequence(cx, 0)?;
    let operands = cx.all_inputs()?;
    let source = body(cx, "body")?;
    if source.inputs.len() != operands.len() {
        return invalid(format!("its body takes {} values; {} are given", source.inputs.len(), operands.len()));
    }
    let mut types = Vec::with_capacity(operands.len());
    for (port, id) in source.graph.input.iter().zip(&operands) {
        let ty = cx.ty(*id).clone();
        types.push(match ty.kind {
            Kind::Sequence | Kind::EmptySequence => element(cx, input_type(port).ok(), ty.dtype),
            _ => ty,
        });
    }
    let inner = import_body(cx, source, &types)?;
    let elements: Vec<Type> = inner.outputs().iter().map(|(_, id)| inner.ty(*id).clone()).collect();
    if elements.iter().any(|ty| !matches!(ty.kind, Kind::Tensor | Kind::Unranked)) {
        return unsupported("a body whose results are no tensors; tensors are accepted");
    }
    let results: Vec<Type> = elements.iter().map(|ty| Type::sequence(ty.clone())).collect();
    let captured = captured(cx);
    let graph = iteration(cx, &operands, &types, &captured, &inner, &results)?;
    let trip = cx.function(Function::new("sequence_length", 1), &[Some(first)], vec![Type::known(DType::I64, &[])])?;
    let mut all = trip;
    for ty in &results {
        all.extend(cx.function(Function::new("sequence_empty", 0), &[], vec![ty.clone()])?);
    }
    all.extend(operands);
    all.extend(captured);
    let count = results.len();
    let body = Body::new(graph);
    cx.emit_many(Op::Loop { body, trip: true, condition: false, carried: count, results }, &all, count)
}

/// One iteration: takes the elements at its number, applies the body, appends what it gives.
fn iteration(
    cx: &Context<'_, '_>,
    operands: &[ValueId],
    types: &[Type],
    captured: &[ValueId],
    inner: &Graph,
    results: &[Type],
) -> Result<Graph, NodeError> {
    let mut graph = Graph::new("sequence_map");
    let number = graph.add_input("number", Type::known(DType::I64, &[]));
    let condition = graph.add_input("condition", Type::known(DType::Bool, &[]));
    let lists: Vec<ValueId> = results.iter().map(|ty| graph.add_input("list", ty.clone())).collect();
    let given: Vec<ValueId> = operands.iter().map(|id| graph.add_input("operand", cx.ty(*id).clone())).collect();
    let mut inputs = Vec::with_capacity(given.len() + captured.len());
    for (id, ty) in given.iter().zip(types) {
        inputs.push(match graph.ty(*id).kind {
            Kind::Sequence | Kind::EmptySequence => add(&mut graph, "sequence_at", &[*id, number], ty.clone())?,
            _ => *id,
        });
    }
    inputs.extend(captured.iter().map(|id| graph.add_input("captured", cx.ty(*id).clone())));
    let made = graph.splice(inner, &inputs);
    graph.add_output("condition", condition);
    for ((list, value), ty) in lists.iter().zip(made).zip(results) {
        let longer = add(&mut graph, "sequence_insert", &[*list, value], ty.clone())?;
        graph.add_output("list", longer);
    }
    Ok(graph)
}
