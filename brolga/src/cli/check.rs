//! `brolga check`: whether a model is supported, and if not, every reason.

use super::common::{self, Done, ModelArgs, Stop, default_bindings};
use brolga::{Error, Model};
use brolga_compiler::compile::CompileError;
use brolga_compiler::region::ExecuteError;
use brolga_frontend::{UnsupportedNode, support_report};
use brolga_runner::ExitCode;
use serde_json::{Value, json};
use std::io::Write;

/// Report whether a model is supported, and every node that is not
#[derive(clap::Args)]
#[command(after_help = "Examples:
  brolga check model.onnx
  brolga check model.onnx --json

Ends with 0 when the model is supported and with 4 when it is not. A model whose sizes only a run can tell is supported by `run`
alone, which is said.")]
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
    let import = brolga_frontend::Options { dims: options.dims, ..Default::default() };
    let report = support_report(&loaded, &import).map_err(Error::from)?;
    let (uncompiled, run_only) = if report.unsupported.is_empty() { uncompiled(args)? } else { (Vec::new(), false) };
    let supported = report.unsupported.is_empty() && uncompiled.is_empty();
    let nodes = brolga_frontend::inspect(&loaded).nodes;
    if args.json {
        let unsupported: Vec<Value> = report.unsupported.iter().map(node_json).collect();
        let value = json!({
            "supported": supported, "nodes": nodes, "unsupported": unsupported, "uncompiled": uncompiled,
            "run_only": run_only,
        });
        writeln!(out, "{value:#}")?;
    } else if supported {
        let how = if run_only {
            "; its sizes are known at run time only, so that it cannot be compiled to a file"
        } else {
            ""
        };
        writeln!(out, "{}: supported ({nodes} nodes{how})", args.model.name())?;
    } else if uncompiled.is_empty() {
        writeln!(out, "{}: {report}", args.model.name())?;
    } else {
        writeln!(out, "{}: {} nodes cannot be compiled", args.model.name(), uncompiled.len())?;
        for line in uncompiled {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(if supported { ExitCode::Ok } else { ExitCode::Unsupported })
}

fn node_json(node: &UnsupportedNode) -> Value {
    json!({
        "name": node.name, "op": node.op, "domain": node.domain, "opset": node.opset, "reason": node.reason,
    })
}

/// Nodes that were imported but for which neither a kernel nor a library function exists, and whether the model can only be
/// run: of such a model, what has known sizes is compiled.
fn uncompiled(args: &Args) -> Result<(Vec<String>, bool), Stop> {
    let options = args.model.options(0)?;
    let model = common::open(&args.model, options.clone())?;
    let run_only = !model.is_static();
    let compiled = match run_only {
        true => Model::load_with(&args.model.model, options).map(drop),
        false => model.compile(&default_bindings(&model)?).map(drop),
    };
    match compiled {
        Err(
            Error::Compile(CompileError::Unsupported(nodes))
            | Error::Execute(ExecuteError::Compile(CompileError::Unsupported(nodes))),
        ) => Ok((nodes.iter().map(|node| node.trim().to_owned()).collect(), run_only)),
        Err(error) => Err(error.into()),
        Ok(()) => Ok((Vec::new(), run_only)),
    }
}
