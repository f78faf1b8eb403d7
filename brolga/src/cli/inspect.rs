//! `brolga inspect`: what a model is, whether or not it can be compiled.

use super::common::{Done, ModelArgs, default_bindings};
use brolga::{Error, Model};
use brolga_frontend::{Inspection, Port};
use brolga_runner::ExitCode;
use serde_json::{Value, json};
use std::io::Write;

/// Show a model's signature, operators, parameters and arithmetic
#[derive(clap::Args)]
#[command(after_help = "Examples:
  brolga inspect model.onnx
  brolga inspect model.onnx --dim height=512 --dim width=512
  brolga inspect model.onnx --json

Works on models that cannot be compiled; their arithmetic is then not known.")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn execute(args: &Args, out: &mut dyn Write) -> Done {
    let options = args.model.options(0)?;
    let loaded = brolga_proto::load(&args.model.model, &options.limits).map_err(Error::from)?;
    let facts = brolga_frontend::inspect(&loaded);
    let model = Model::open(&args.model.model, options).ok().filter(|model| !model.needs_inputs());
    let flops = model.and_then(|model| flops_of(&model));
    if args.json {
        writeln!(out, "{:#}", as_json(&facts, flops))?;
    } else {
        show(&facts, flops, out)?;
    }
    Ok(ExitCode::Ok)
}

/// Operations of one run, with 1 for a symbolic first dimension.
fn flops_of(model: &Model) -> Option<u64> {
    let values = default_bindings(model).ok()?;
    let bound = model.imported().bind(&values).ok()?;
    brolga_frontend::flops(&bound)
}

fn as_json(facts: &Inspection, flops: Option<u64>) -> Value {
    let ports = |ports: &[Port]| -> Vec<Value> {
        ports.iter().map(|port| json!({ "name": port.name, "type": port.ty })).collect()
    };
    let opsets: Vec<Value> =
        facts.opsets.iter().map(|(domain, version)| json!({ "domain": domain, "version": version })).collect();
    let metadata: Vec<Value> = facts.metadata.iter().map(|(k, v)| json!({ "key": k, "value": v })).collect();
    json!({
        "graph": facts.graph,
        "producer": facts.producer,
        "ir_version": facts.ir_version,
        "opsets": opsets,
        "inputs": ports(&facts.inputs),
        "outputs": ports(&facts.outputs),
        "nodes": facts.nodes,
        "control_flow": facts.control_flow,
        "functions": facts.functions,
        "op_counts": facts.op_counts,
        "parameters": facts.parameters,
        "parameter_bytes": facts.parameter_bytes,
        "flops": flops,
        "metadata": metadata,
    })
}

fn show(facts: &Inspection, flops: Option<u64>, out: &mut dyn Write) -> std::io::Result<()> {
    let opsets: Vec<String> = facts.opsets.iter().map(|(domain, version)| format!("{domain} {version}")).collect();
    writeln!(out, "graph       {}", facts.graph)?;
    writeln!(out, "producer    {}", facts.producer)?;
    writeln!(out, "format      {}", facts.ir_version)?;
    writeln!(out, "opsets      {}", opsets.join(", "))?;
    let groups = [("input", &facts.inputs), ("output", &facts.outputs)];
    for (what, port) in groups.iter().flat_map(|(what, ports)| ports.iter().map(move |port| (what, port))) {
        writeln!(out, "{what:11} {}: {}", port.name, port.ty)?;
    }
    writeln!(out, "parameters  {} ({:.1} MB)", facts.parameters, facts.parameter_bytes as f64 / 1e6)?;
    match flops {
        Some(flops) => writeln!(out, "arithmetic  {:.3} GFLOP (a multiply-add is two)", flops as f64 / 1e9)?,
        None => writeln!(out, "arithmetic  not known: give sizes with --dim, or see `brolga check`")?,
    }
    if facts.control_flow > 0 {
        writeln!(out, "subgraphs   in {} nodes", facts.control_flow)?;
    }
    if facts.functions > 0 {
        writeln!(out, "functions   {}", facts.functions)?;
    }
    writeln!(out, "nodes       {}", facts.nodes)?;
    for (op, count) in &facts.op_counts {
        writeln!(out, "  {count:5}  {op}")?;
    }
    for (key, value) in &facts.metadata {
        writeln!(out, "metadata    {key}: {value}")?;
    }
    Ok(())
}
