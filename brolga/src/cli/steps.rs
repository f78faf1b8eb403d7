//! Which step of a compiled program first gives another result than the evaluator.

use super::common::{Progress, Stop};
use super::compare::error;
use brolga::{Error, Model, Tensor};
use brolga_compiler::compile::{CompileOptions, compile};
use brolga_compiler::ir::eval::evaluate_with;
use brolga_compiler::ir::{Graph, NodeId, ValueId};
use brolga_compiler::pass::{PassOptions, optimize};
use brolga_runner::Failure;
use brolga_runtime::{Instance, Pool, RunOptions};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

/// A step whose result is not the evaluator's.
#[derive(Debug, Serialize)]
pub struct Departure {
    /// Node of the optimised graph, as `dump` prints its result.
    pub step: String,
    /// Nodes of the model that it computes.
    pub node: String,
    /// Operation.
    pub op: String,
    /// Largest difference as a share of the largest magnitude; none when one of the two is not finite.
    pub error: Option<f64>,
}

/// What is the same for every program that is tried.
struct Trial<'a> {
    model: &'a Model,
    graph: Graph,
    inputs: &'a [Tensor],
    /// The evaluator's results.
    wanted: HashMap<ValueId, Tensor>,
    /// Nodes in the order in which the evaluator met them.
    order: Vec<NodeId>,
    tolerance: f64,
    threads: usize,
}

/// The first step, in the order of the graph, whose result is further from the evaluator's than the tolerance.
///
/// A program of its own makes every intermediate result an output. Where that program agrees but the model's own does not
/// (outputs keep their memory, so a fault of placing does not show), the step is found by halving, with one output at a time.
pub fn first_departure(
    model: &Model,
    inputs: &[Tensor],
    tolerance: f64,
    threads: usize,
) -> Result<Option<Departure>, Stop> {
    let graph = bound_graph(model, inputs)?;
    let progress = Progress::start(format!("evaluating {} steps", graph.len()));
    let (mut wanted, mut order) = (HashMap::new(), Vec::new());
    let results = evaluate_with(&graph, inputs, |node, results| {
        order.push(node.id);
        progress.say(format!("evaluated {} of {} steps", order.len(), graph.len()));
        wanted.extend(node.outputs.iter().copied().zip(results.iter().cloned()));
    });
    let results = results.map_err(|error| Failure::bug(format!("evaluator: {error}")))?;
    wanted.extend(graph.outputs().iter().map(|(_, value)| *value).zip(results));
    progress.say("comparing steps".into());
    let threads = if threads > 0 { threads } else { brolga_runtime::default_threads().get() };
    let trial = Trial { model, graph, inputs, wanted, order, tolerance, threads };
    if let Some(found) = trial.differing(&trial.order)? {
        return Ok(Some(found));
    }
    match trial.differing(&[])? {
        Some(last) => trial.halve(last).map(Some),
        None => Ok(None),
    }
}

/// The optimised graph for the sizes of these inputs.
fn bound_graph(model: &Model, inputs: &[Tensor]) -> Result<Graph, Stop> {
    let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
    let bindings = model.bindings(&shapes)?;
    if bindings.is_empty() {
        return Ok(model.graph().clone());
    }
    let bound = model.imported().bind(&bindings).map_err(Error::from)?;
    Ok(optimize(bound, &PassOptions::default()).map_err(Error::from)?.graph)
}

impl Trial<'_> {
    /// The first node among those shown, or among the graph's own outputs, whose result differs when the results of these
    /// nodes are outputs too.
    fn differing(&self, shown: &[NodeId]) -> Result<Option<Departure>, Stop> {
        let mut graph = self.graph.clone();
        for node in shown.iter().map(|id| self.graph.node(*id)) {
            for value in &node.outputs {
                if !graph.is_output(*value) {
                    graph.add_output(format!("result {value}"), *value);
                }
            }
        }
        let values: Vec<ValueId> = graph.outputs().iter().map(|(_, value)| *value).collect();
        let got: HashMap<ValueId, Tensor> = values.into_iter().zip(self.run(&graph)?).collect();
        for node in self.order.iter().map(|id| self.graph.node(*id)) {
            for value in &node.outputs {
                let (Some(got), Some(want)) = (got.get(value), self.wanted.get(value)) else { continue };
                let error = error(got, want);
                if error.is_none_or(|error| error > self.tolerance) {
                    let op = brolga_compiler::kernel::op_name(&node.op).to_string();
                    return Ok(Some(Departure { step: value.to_string(), node: node.name.clone(), op, error }));
                }
            }
        }
        Ok(None)
    }

    fn run(&self, graph: &Graph) -> Result<Vec<Tensor>, Stop> {
        let options =
            CompileOptions { level: self.model.level(), threads: self.threads, passes: PassOptions::default() };
        let compiled = compile(graph, &options).map_err(Error::from)?;
        let (program, _) = compiled.link(self.threads).map_err(Error::from)?;
        let instance = Instance::new(Arc::new(program), Pool::shared(self.threads)).map_err(Error::from)?;
        Ok(instance.run_tensors(self.inputs, RunOptions::default()).map_err(Error::from)?)
    }

    /// Between a result that is right and one that is not there are two neighbours of which that holds.
    fn halve(&self, last: Departure) -> Result<Departure, Stop> {
        let (mut right, mut wrong) = (0, self.order.len());
        let mut found = last;
        while right < wrong {
            let middle = (right + wrong) / 2;
            match self.differing_at(middle)? {
                Some(departure) => (wrong, found) = (middle, departure),
                None => right = middle + 1,
            }
        }
        Ok(found)
    }

    /// Whether the result of this node alone differs when it is an output too.
    fn differing_at(&self, at: usize) -> Result<Option<Departure>, Stop> {
        let Some(id) = self.order.get(at) else { return Ok(None) };
        let found = self.differing(&[*id])?;
        let shown = &self.graph.node(*id).outputs;
        Ok(found.filter(|departure| shown.iter().any(|value| value.to_string() == departure.step)))
    }
}
