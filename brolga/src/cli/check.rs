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

Ends with 0 when the model is supported and with 4 when it is not. A model whose sizes only a run can tell runs, and its executable
carries the compiler, but it cannot be an object file: that is said, as is which nodes depend on what the inputs hold. Sizes that
are not known are not tried.")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found out.
#[derive(Default)]
struct Verdict {
    /// Nodes that cannot be imported.
    unsupported: Vec<UnsupportedNode>,
    /// Nodes that only the values of inputs can tell: axes, sizes and the like.
    decided_by_inputs: Vec<UnsupportedNode>,
    /// Nodes that were imported but for which neither a kernel nor a library function exists.
    uncompiled: Vec<String>,
    /// Whether the model needs the compiler while it runs: of such a model, what has known sizes is compiled here.
    needs_compiler: bool,
    /// Whether code was made.
    compiled: bool,
}

pub fn execute(args: &Args, out: &mut dyn Write) -> Done {
    let options = args.model.options(0)?;
    let loaded = brolga_proto::load(&args.model.model, &options.limits).map_err(Error::from)?;
    let import = brolga_frontend::Options { dims: options.dims, ..Default::default() };
    let report = support_report(&loaded, &import).map_err(Error::from)?;
    let nodes = brolga_frontend::inspect(&loaded).nodes;
    let words = report.to_string();
    let verdict = judge(args, report.unsupported)?;
    let supported = verdict.unsupported.is_empty() && verdict.uncompiled.is_empty();
    let name = args.model.name();
    if args.json {
        let list = |nodes: &[UnsupportedNode]| -> Vec<Value> { nodes.iter().map(node_json).collect() };
        let value = json!({
            "supported": supported, "nodes": nodes, "unsupported": list(&verdict.unsupported),
            "decided_by_inputs": list(&verdict.decided_by_inputs), "uncompiled": verdict.uncompiled,
            "needs_compiler": verdict.needs_compiler, "compiled": verdict.compiled,
        });
        writeln!(out, "{value:#}")?;
    } else if supported {
        writeln!(out, "{name}: supported ({nodes} nodes{})", verdict.limits())?;
        for node in &verdict.decided_by_inputs {
            writeln!(out, "  decided by inputs: node \"{}\" ({})", node.name, node.op)?;
        }
    } else if verdict.uncompiled.is_empty() {
        writeln!(out, "{name}: {words}")?;
    } else {
        writeln!(out, "{name}: {} nodes cannot be compiled", verdict.uncompiled.len())?;
        for line in verdict.uncompiled {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(if supported { ExitCode::Ok } else { ExitCode::Unsupported })
}

impl Verdict {
    /// What a supported model cannot do, or was not tried.
    fn limits(&self) -> &'static str {
        match self {
            Verdict { decided_by_inputs, .. } if !decided_by_inputs.is_empty() => {
                "; what its inputs hold decides some, so that only a run can tell, and an executable carries the compiler"
            }
            Verdict { needs_compiler: true, .. } => {
                "; only a run can tell its sizes, so that an executable carries the compiler"
            }
            Verdict { compiled: false, .. } => "; not compiled: give sizes with --dim to try that too",
            _ => "",
        }
    }
}

fn node_json(node: &UnsupportedNode) -> Value {
    json!({
        "name": node.name, "op": node.op, "domain": node.domain, "opset": node.opset, "reason": node.reason,
    })
}

/// Compiles as much as can be.
fn judge(args: &Args, unsupported: Vec<UnsupportedNode>) -> Result<Verdict, Stop> {
    let options = args.model.options(0)?;
    if !unsupported.is_empty() {
        let late = common::open(&args.model, options).is_ok_and(|model| model.needs_inputs());
        return Ok(match late {
            true => Verdict { decided_by_inputs: unsupported, needs_compiler: true, ..Verdict::default() },
            false => Verdict { unsupported, ..Verdict::default() },
        });
    }
    let model = common::open(&args.model, options.clone())?;
    let needs_compiler = !model.is_static();
    let compiled = match needs_compiler {
        true => Model::load_with(&args.model.model, options).map(drop),
        false => match default_bindings(&model) {
            Ok(values) => model.compile(&values).map(drop),
            Err(_) => return Ok(Verdict::default()),
        },
    };
    match compiled {
        Err(
            Error::Compile(CompileError::Unsupported(nodes))
            | Error::Execute(ExecuteError::Compile(CompileError::Unsupported(nodes))),
        ) => {
            let uncompiled = nodes.iter().map(|node| node.trim().to_owned()).collect();
            Ok(Verdict { uncompiled, needs_compiler, ..Verdict::default() })
        }
        Err(error) => Err(error.into()),
        Ok(()) => Ok(Verdict { needs_compiler, compiled: true, ..Verdict::default() }),
    }
}
