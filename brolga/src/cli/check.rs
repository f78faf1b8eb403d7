//! `brolga check`: whether a model can be compiled, and if not, every reason.

use super::common::{self, Done, ModelArgs, Stop, default_bindings};
use brolga::Error;
use brolga_compiler::compile::CompileError;
use brolga_frontend::{UnsupportedNode, support_report};
use brolga_runner::ExitCode;
use serde_json::{Value, json};
use std::io::Write;

/// Report whether a model is supported, and every node that is not
#[derive(clap::Args)]
#[command(after_help = "Examples:
  brolga check model.onnx
  brolga check model.onnx --json

Ends with 0 when the model is supported and with 4 when it is not.")]
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
    let report = support_report(&loaded, &brolga_frontend::Options::default()).map_err(Error::from)?;
    let uncompiled = if report.unsupported.is_empty() { uncompiled(args)? } else { Vec::new() };
    let supported = report.unsupported.is_empty() && uncompiled.is_empty();
    let nodes = brolga_frontend::inspect(&loaded).nodes;
    if args.json {
        let unsupported: Vec<Value> = report.unsupported.iter().map(node_json).collect();
        let value = json!({
            "supported": supported, "nodes": nodes, "unsupported": unsupported, "uncompiled": uncompiled,
        });
        writeln!(out, "{value:#}")?;
    } else if supported {
        writeln!(out, "{}: supported ({nodes} nodes)", args.model.name())?;
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

/// Nodes that were imported but for which neither a kernel nor a library function exists.
fn uncompiled(args: &Args) -> Result<Vec<String>, Stop> {
    let model = common::open(&args.model, args.model.options(0)?)?;
    match model.compile(&default_bindings(&model)?) {
        Err(Error::Compile(CompileError::Unsupported(nodes))) => {
            Ok(nodes.iter().map(|node| node.trim().to_owned()).collect())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(Vec::new()),
    }
}
