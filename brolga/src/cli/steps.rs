//! Which step of a compiled program first gives another result than the evaluator.

use super::common::{Progress, Stop};
use super::compare::error;
use brolga::{Error, Model, Tensor, Value};
use brolga_compiler::compile::{CompileOptions, compile};
use brolga_compiler::ir::eval::{Shared, evaluate_values_with};
use brolga_compiler::ir::{Graph, NodeId, ValueId};
use brolga_compiler::pass::{PassOptions, optimize};
use brolga_compiler::region::{Executable, Settings, is_static};
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
    inputs: &'a [Shared],
    /// The evaluator's results.
    wanted: HashMap<ValueId, Shared>,
    /// Nodes in the order in which the evaluator met them.
    order: Vec<NodeId>,
    tolerance: f64,
    threads: usize,
}

/// The first step, in the order of the graph, whose result is further from the evaluator's than the tolerance.
///
/// A program of its own makes every intermediate result an output. Where that program agrees but the model's own does not
/// (outputs keep their memory, so a fault of placing does not show), the step is found by halving, with one output at a time.
/// What is no tensor of numbers is not compared.
pub fn first_departure(
    model: &Model,
    inputs: Vec<Value>,
    tolerance: f64,
    threads: usize,
) -> Result<Option<Departure>, Stop> {
    if model.needs_inputs()
        && let Some((model, rest)) = model.for_inputs(inputs.clone())?
    {
        return first_departure(&model, rest, tolerance, threads);
    }
    let graph = bound_graph(model, &inputs)?;
    let inputs: Vec<Shared> = inputs.into_iter().map(Arc::new).collect();
    let progress = Progress::start(format!("evaluating {} steps", graph.len()));
    let (mut wanted, mut order) = (HashMap::new(), Vec::new());
    let results = evaluate_values_with(&graph, &inputs, |node, results| {
        order.push(node.id);
        progress.say(format!("evaluated {} of {} steps", order.len(), graph.len()));
        wanted.extend(node.outputs.iter().copied().zip(results.iter().cloned()));
    });
    let results = results.map_err(|error| Failure::bug(format!("evaluator: {error}")))?;
    wanted.extend(graph.outputs().iter().map(|(_, value)| *value).zip(results));
    progress.say("comparing steps".into());
    let threads = if threads > 0 { threads } else { brolga_runtime::default_threads().get() };
    let trial = Trial { model, graph, inputs: &inputs, wanted, order, tolerance, threads };
    if let Some(found) = trial.differing(&trial.order)? {
        return Ok(Some(found));
    }
    match trial.differing(&[])? {
        Some(last) => trial.halve(last).map(Some),
        None => Ok(None),
    }
}

/// The optimised graph, for the sizes of these inputs where it is one program.
fn bound_graph(model: &Model, inputs: &[Value]) -> Result<Graph, Stop> {
    if !model.is_static() {
        return Ok(model.graph().clone());
    }
    let shapes: Vec<&[usize]> = inputs.iter().filter_map(Value::shape).collect();
    let bindings = model.bindings(&shapes)?;
    if bindings.is_empty() {
        return Ok(model.graph().clone());
    }
    let bound = model.imported().bind(&bindings).map_err(Error::from)?;
    Ok(optimize(bound, &PassOptions::default()).map_err(Error::from)?.graph)
}

/// The error of one result; none where no number tells it.
fn difference(got: &Tensor, want: &Tensor) -> Option<f64> {
    if got.dtype() == want.dtype() && got.shape() == want.shape() { error(got, want) } else { None }
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
        let got: HashMap<ValueId, Shared> = values.into_iter().zip(self.run(&graph)?).collect();
        for node in self.order.iter().map(|id| self.graph.node(*id)) {
            for value in &node.outputs {
                let pair = (got.get(value), self.wanted.get(value));
                let (Some(got), Some(want)) = pair else { continue };
                let (Some(got), Some(want)) = (got.as_tensor(), want.as_tensor()) else { continue };
                let error = difference(got, want);
                if error.is_none_or(|error| error > self.tolerance) {
                    let op = brolga_compiler::kernel::op_name(&node.op).to_string();
                    return Ok(Some(Departure { step: value.to_string(), node: node.name.clone(), op, error }));
                }
            }
        }
        Ok(None)
    }

    fn run(&self, graph: &Graph) -> Result<Vec<Shared>, Stop> {
        let options = CompileOptions { passes: PassOptions::default(), ..self.model.compile_options() };
        let pool = Pool::shared(self.threads);
        if !is_static(graph) {
            let cut = Executable::new(graph.clone(), &Settings { compile: options, pool }).map_err(Error::from)?;
            return Ok(cut.run(self.inputs).map_err(Error::from)?);
        }
        let compiled = compile(graph, &options).map_err(Error::from)?;
        let (program, _) = compiled.link(self.threads).map_err(Error::from)?;
        let instance = Instance::new(Arc::new(program), pool).map_err(Error::from)?;
        let inputs: Vec<Tensor> = self.inputs.iter().filter_map(|value| value.as_tensor().cloned()).collect();
        let made = instance.run_tensors(&inputs, RunOptions::default()).map_err(Error::from)?;
        Ok(made.into_iter().map(|tensor| Arc::new(Value::Tensor(tensor))).collect())
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
