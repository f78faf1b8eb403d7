//! Evaluation of a graph whose extents are all known, made ready once for any number of runs.

use super::{EvalError, MAX_BYTES, Shared, dense_function, eval_op, node_library_call};
use crate::ir::{Graph, Node, NodeId, Op, Type, ValueId};
use brolga_runtime::library::{Call, Function};
use brolga_runtime::{DType, Operand, Tensor, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// A graph with known extents, ready to run: its order, the types of results, and where each value is kept.
pub struct Prepared {
    graph: Graph,
    nodes: Vec<Ready>,
    /// Values before the first node: constants, and nothing where others will be.
    initial: Vec<Option<Shared>>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

struct Ready {
    id: NodeId,
    work: Work,
    operands: Vec<usize>,
    results: Vec<usize>,
    /// Operands that nothing reads later.
    last: Vec<usize>,
}

/// What computes a node.
enum Work {
    /// A call of the library on the operands of these positions, and its results.
    Call(Call, Vec<usize>, Vec<(DType, Vec<usize>)>),
    Function(Function),
    /// The evaluator, which gives results of these types.
    Evaluator(Vec<Type>),
}

impl Work {
    fn of(graph: &Graph, node: &Node) -> Work {
        if let Op::Function { function, .. } = &node.op {
            return Work::Function(function.clone());
        }
        let types: Vec<Type> = node.outputs.iter().map(|v| graph.ty(*v).clone()).collect();
        let small = |ty: &Type| ty.dtype != DType::String && ty.stored_bytes().is_some_and(|bytes| bytes <= MAX_BYTES);
        let shapes: Option<Vec<Vec<usize>>> = node.inputs.iter().map(|v| graph.ty(*v).dims()).collect();
        let results: Option<Vec<Vec<usize>>> = types.iter().map(Type::dims).collect();
        let (Some(shapes), Some(results), true) = (shapes, results, types.iter().all(small)) else {
            return Work::Evaluator(types);
        };
        if let Some((call, operands)) = node_library_call(graph, node.id) {
            let position = |id: &ValueId| node.inputs.iter().position(|v| v == id);
            return match operands.iter().map(position).collect() {
                Some(operands) => Work::Call(call, operands, types.iter().map(|t| t.dtype).zip(results).collect()),
                None => Work::Evaluator(types),
            };
        }
        let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        let results: Vec<&[usize]> = results.iter().map(Vec::as_slice).collect();
        match dense_function(&node.op, &shapes, &results) {
            Some(function) => Work::Function(function),
            None => Work::Evaluator(types),
        }
    }
}

/// Gives values their places as they are met.
struct Places<'a> {
    graph: &'a Graph,
    of: HashMap<ValueId, usize>,
    initial: Vec<Option<Shared>>,
}

impl Places<'_> {
    fn of(&mut self, id: ValueId, constants: &mut HashMap<ValueId, Shared>) -> Result<usize, EvalError> {
        if let Some(place) = self.of.get(&id) {
            return Ok(*place);
        }
        let constant = match (constants.get(&id), self.graph.weight(id)) {
            (Some(known), _) => Some(known.clone()),
            (None, Some(weight)) => {
                let made: Shared = Arc::new(Value::Tensor(weight.evaluate()?));
                constants.insert(id, made.clone());
                Some(made)
            }
            (None, None) => None,
        };
        self.initial.push(constant);
        self.of.insert(id, self.initial.len() - 1);
        Ok(self.initial.len() - 1)
    }
}

impl Prepared {
    /// Makes a graph ready that has been bound, so that no extent of it is symbolic. Constants are taken from `constants`,
    /// by their id, and added to it.
    pub fn new(graph: Graph, constants: &mut HashMap<ValueId, Shared>) -> Result<Prepared, EvalError> {
        let mut places = Places { graph: &graph, of: HashMap::new(), initial: Vec::new() };
        let inputs = graph.inputs().iter().map(|v| places.of(*v, constants)).collect::<Result<Vec<_>, _>>()?;
        let mut nodes = Vec::new();
        for id in graph.topological() {
            let node = graph.node(id);
            let work = Work::of(&graph, node);
            let operands = node.inputs.iter().map(|v| places.of(*v, constants)).collect::<Result<Vec<_>, _>>()?;
            let results = node.outputs.iter().map(|v| places.of(*v, constants)).collect::<Result<Vec<_>, _>>()?;
            nodes.push(Ready { id, work, operands, results, last: Vec::new() });
        }
        let ids = graph.outputs().iter().map(|(_, id)| *id);
        let outputs = ids.map(|id| places.of(id, constants)).collect::<Result<Vec<_>, _>>()?;
        let initial = places.initial;
        let mut kept: Vec<bool> = initial.iter().map(Option::is_some).collect();
        outputs.iter().for_each(|place| kept[*place] = true);
        for node in nodes.iter_mut().rev() {
            for place in node.operands.iter().chain(&node.results) {
                if !std::mem::replace(&mut kept[*place], true) {
                    node.last.push(*place);
                }
            }
        }
        Ok(Prepared { graph, nodes, initial, inputs, outputs })
    }

    /// Outputs on these inputs, both in the graph's order.
    pub fn run(&self, inputs: &[Shared]) -> Result<Vec<Shared>, EvalError> {
        if self.inputs.len() != inputs.len() {
            return Err(EvalError::Count { wanted: self.inputs.len(), given: inputs.len() });
        }
        let mut values = self.initial.clone();
        self.inputs.iter().zip(inputs).for_each(|(place, value)| values[*place] = Some(value.clone()));
        for ready in &self.nodes {
            let node = self.graph.node(ready.id);
            let made = run_ready(&node.op, ready, &values)
                .map_err(|e| EvalError::Node { node: node.name.clone(), what: e.to_string() })?;
            for (place, value) in ready.results.iter().zip(made) {
                values[*place] = Some(Arc::new(value));
            }
            ready.last.iter().for_each(|place| values[*place] = None);
        }
        let missing = || EvalError::Op("an output has no value".into());
        self.outputs.iter().map(|place| values[*place].clone().ok_or_else(missing)).collect()
    }
}

fn run_ready(op: &Op, ready: &Ready, values: &[Option<Shared>]) -> Result<Vec<Value>, EvalError> {
    let operands: Option<Vec<&Shared>> = ready.operands.iter().map(|place| values[*place].as_ref()).collect();
    let operands = operands.ok_or_else(|| EvalError::Op("an operand has no value".into()))?;
    let tensors = || {
        let tensors: Option<Vec<&Tensor>> = operands.iter().map(|v| v.as_tensor()).collect();
        tensors.ok_or_else(|| EvalError::Op("accepted are tensors of numbers".into()))
    };
    let made = match &ready.work {
        Work::Function(function) => {
            let given: Vec<Operand> = operands.iter().map(|v| v.operand()).collect();
            let mut made = function.run(&given)?;
            made.truncate(ready.results.len());
            return Ok(made);
        }
        Work::Call(call, positions, results) => {
            let tensors = tensors()?;
            let views: Vec<_> = positions.iter().map(|i| tensors[*i].view()).collect();
            let zeros = results.iter().map(|(dtype, shape)| Tensor::zeros(*dtype, shape));
            let mut made = zeros.collect::<Result<Vec<Tensor>, _>>()?;
            let mut written: Vec<_> = made.iter_mut().map(Tensor::view_mut).collect();
            call.run(&views, &mut written)?;
            made
        }
        Work::Evaluator(types) => eval_op(op, &tensors()?, types)?,
    };
    Ok(made.into_iter().map(Value::Tensor).collect())
}
