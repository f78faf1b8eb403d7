//! Evaluation of a graph whose extents are all known, made ready once for any number of runs.

use super::{EvalError, Shared, eval_op};
use crate::ir::{Graph, NodeId, Op, Type, ValueId};
use brolga_runtime::{Operand, Tensor, Value};
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
    types: Vec<Type>,
    operands: Vec<usize>,
    results: Vec<usize>,
    /// Operands that nothing reads later.
    last: Vec<usize>,
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
            let types = node.outputs.iter().map(|v| graph.ty(*v).clone()).collect();
            let operands = node.inputs.iter().map(|v| places.of(*v, constants)).collect::<Result<Vec<_>, _>>()?;
            let results = node.outputs.iter().map(|v| places.of(*v, constants)).collect::<Result<Vec<_>, _>>()?;
            nodes.push(Ready { id, types, operands, results, last: Vec::new() });
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
    if let Op::Function { function, .. } = op {
        let given: Vec<Operand> = operands.iter().map(|v| v.operand()).collect();
        let mut made = function.run(&given)?;
        made.truncate(ready.types.len());
        return Ok(made);
    }
    let tensors: Option<Vec<&Tensor>> = operands.iter().map(|v| v.as_tensor()).collect();
    let tensors = tensors.ok_or_else(|| EvalError::Op("accepted are tensors of numbers".into()))?;
    Ok(eval_op(op, &tensors, &ready.types)?.into_iter().map(Value::Tensor).collect())
}
