//! One case: load, compile, run, judge.

use super::Args;
use super::report::{Code, Record};
use brolga::{Error, ErrorKind, Model, Options, Value};
use brolga_compiler::pass::pipeline::pass_names;
use brolga_frontend::conformance::{Case, CaseError, DataSet, Outcome, Verdict, evaluate, is_random, judge};
use brolga_proto::{Loaded, NodeProto};
use brolga_runtime::{Call, Program};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Runs a case; a panic is a crash.
pub fn run(args: &Args, case: &Case) -> Record {
    let start = Instant::now();
    let mut record = Record {
        suite: case.suite.clone(),
        name: case.name.clone(),
        verdict: Verdict::Crash,
        reason: String::new(),
        code: Code::None,
        random: is_random(&case.name),
        operators: Vec::new(),
        types: Vec::new(),
        milliseconds: 0,
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| attempt(args, case, &mut record)));
    let outcome = outcome.unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("unknown fault");
        Err(Outcome::because(Verdict::Crash, format!("panic: {text}")))
    });
    let Outcome { verdict, reason } = outcome.err().unwrap_or_else(Outcome::pass);
    (record.verdict, record.reason) = (verdict, reason);
    record.milliseconds = start.elapsed().as_millis();
    record
}

fn attempt(args: &Args, case: &Case, record: &mut Record) -> Result<(), Outcome> {
    let loaded = case.load().map_err(|e| refused(&Error::Read(e)))?;
    record.operators = operators(&loaded);
    let sets = case.data_sets(&loaded).map_err(|e| match e {
        CaseError::Unsupported { .. } => Outcome::because(Verdict::Unsupported, e),
        _ => Outcome::because(Verdict::Fail, e),
    })?;
    if sets.is_empty() {
        return Err(Outcome::because(Verdict::Fail, "the case has no data"));
    }
    let types: BTreeSet<&str> =
        sets.iter().flat_map(|s| &s.inputs).filter_map(|(_, v)| v.dtype()).map(|d| d.name()).collect();
    record.types = types.into_iter().map(str::to_owned).collect();
    if args.evaluator {
        let outcome = evaluate(case);
        return if outcome.verdict == Verdict::Pass { Ok(()) } else { Err(outcome) };
    }
    let threads = (args.threads > 0).then_some(args.threads);
    let mut options = Options { level: args.cpu, threads, ..Options::default() };
    if args.skip_passes {
        options.passes.skip = pass_names().into_iter().map(str::to_owned).collect();
    }
    let model = Model::load_with(&case.model, options).map_err(|e| refused(&e))?;
    for set in &sets {
        let got = outputs(&model, set, &mut record.code)?;
        judge(&case.name, set, &got).map_err(|what| Outcome::because(Verdict::Fail, what))?;
    }
    Ok(())
}

fn refused(error: &Error) -> Outcome {
    let verdict = if error.kind() == ErrorKind::Unsupported { Verdict::Unsupported } else { Verdict::Fail };
    Outcome::because(verdict, error)
}

fn outputs(model: &Model, set: &DataSet, code: &mut Code) -> Result<Vec<(String, Value)>, Outcome> {
    let input = |name: &str| {
        let found = set.inputs.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        found.ok_or_else(|| Outcome::because(Verdict::Fail, format!("the case has no value for input {name:?}")))
    };
    let inputs: Vec<Value> = model.inputs().iter().map(|port| input(&port.name)).collect::<Result<_, _>>()?;
    let results = model.run_values(inputs).map_err(|e| refused(&e))?;
    let mut ran = *code;
    if model.programs(&mut |program| ran = ran.and(of_program(program))) {
        ran = ran.and(Code::Library);
    }
    *code = ran;
    Ok(results.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect())
}

/// What the steps of a program run.
fn of_program(program: &Program) -> Code {
    program.steps.iter().flat_map(|step| &step.calls).fold(Code::None, |code, call| {
        code.and(match call {
            Call::Kernel { .. } => Code::Generated,
            Call::Library { .. } => Code::Library,
            Call::Copy { .. } => Code::None,
        })
    })
}

/// Operators of the model, those in bodies and functions included.
fn operators(loaded: &Loaded) -> Vec<String> {
    fn visit(nodes: &[NodeProto], found: &mut BTreeSet<String>) {
        for node in nodes {
            found.insert(node.op_type.clone());
            let graphs = node.attribute.iter().flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs));
            graphs.for_each(|graph| visit(&graph.node, found));
        }
    }
    let mut found = BTreeSet::new();
    visit(loaded.model.graph.as_ref().map_or(&[], |g| &g.node), &mut found);
    loaded.model.functions.iter().for_each(|f| visit(&f.node, &mut found));
    found.into_iter().collect()
}
