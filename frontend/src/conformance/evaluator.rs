//! Runs a case through the evaluator.

use super::{Case, CaseError, DataSet, Outcome, Verdict, judge};
use crate::{ImportError, Options, import};
use brolga_compiler::ir::Graph;
use brolga_compiler::ir::eval::evaluate_values;
use brolga_proto::Class;
use brolga_runtime::Value;
use std::sync::Arc;

/// Imports and evaluates a case and judges its outputs. A case that cannot be imported without knowing its inputs is imported
/// with them as constants, as a model is at its first run.
pub fn evaluate(case: &Case) -> Outcome {
    let outcome = attempt(case, false).err().unwrap_or_else(Outcome::pass);
    if outcome.verdict == Verdict::Unsupported {
        return attempt(case, true).err().unwrap_or_else(Outcome::pass);
    }
    outcome
}

fn attempt(case: &Case, known: bool) -> Result<(), Outcome> {
    let loaded = case.load().map_err(|e| Outcome::because(verdict(e.class()), e))?;
    let sets = case.data_sets(&loaded).map_err(|e| {
        let unsupported = matches!(e, CaseError::Unsupported { .. });
        Outcome::because(if unsupported { Verdict::Unsupported } else { Verdict::Fail }, e)
    })?;
    if sets.is_empty() {
        return Err(Outcome::because(Verdict::Fail, "the case has no data"));
    }
    for set in &sets {
        let tensors = set.inputs.iter().filter_map(|(name, v)| Some((name.clone(), v.as_tensor()?.clone())));
        let fixed = if known { tensors.collect() } else { Vec::new() };
        let graph = import(&loaded, &Options { fixed, ..Options::default() }).map_err(refused)?;
        let got = outputs(&graph, set).map_err(|what| Outcome::because(Verdict::Fail, what))?;
        judge(&case.name, set, &got).map_err(|what| Outcome::because(Verdict::Fail, what))?;
    }
    Ok(())
}

fn verdict(class: Class) -> Verdict {
    if class == Class::Unsupported { Verdict::Unsupported } else { Verdict::Fail }
}

fn refused(error: ImportError) -> Outcome {
    Outcome::because(verdict(error.class()), error)
}

fn outputs(graph: &Graph, set: &DataSet) -> Result<Vec<(String, Value)>, String> {
    let input = |id| {
        let name = &graph.value(id).name;
        let found = set.inputs.iter().find(|(n, _)| n == name);
        found.map(|(_, v)| Arc::new(v.clone())).ok_or_else(|| format!("the case has no value for input {name:?}"))
    };
    let inputs = graph.inputs().iter().map(|id| input(*id)).collect::<Result<Vec<_>, String>>()?;
    let results = evaluate_values(graph, &inputs).map_err(|e| e.to_string())?;
    let results = results.into_iter().map(Arc::unwrap_or_clone);
    Ok(graph.outputs().iter().map(|(name, _)| name.clone()).zip(results).collect())
}
