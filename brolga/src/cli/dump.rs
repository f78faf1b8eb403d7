//! `brolga dump`: the graph after any stage, what each pass did, and the kernels in any form.

use super::common::{self, Done, ModelArgs, Stop, default_bindings};
use super::schedule;
use brolga::{Error, Model, Options};
use brolga_compiler::codegen::{LevelTarget, clif, disassemble};
use brolga_compiler::compile::{CompileError, Compiled};
use brolga_compiler::ir::{Bindings, Graph};
use brolga_compiler::pass::pipeline::{OPTIMIZE, lay_out, optimize, pass_names};
use brolga_compiler::pass::{PassOptions, PassRecord, Record, Remark, run_stages};
use brolga_runner::{ExitCode, Failure};
use similar::TextDiff;
use std::collections::HashMap;
use std::io::Write;

/// Print the graph after a stage, what the passes did, or the kernels
#[derive(clap::Args)]
#[command(after_help = "Examples:
  brolga dump model.onnx                          the optimised graph, the same on every machine
  brolga dump model.onnx --stage imported
  brolga dump model.onnx --stage scheduled --cpu x86-64-v3
  brolga dump model.onnx --between                every pass: patches, refusals, what changed
  brolga dump model.onnx --between=fold-batchnorm
  brolga dump model.onnx --emit tile
  brolga dump model.onnx --emit asm --kernel NAME
  brolga dump model.onnx --emit clif --cpu x86-64")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Stage: imported, a stage of passes (clean, canonicalise, ...), optimized, laid-out or scheduled
    #[arg(long, value_name = "NAME", default_value = "optimized")]
    stage: String,
    /// Show what every pass, or this one, changed, and what it refused to change and why
    #[arg(long, value_name = "PASS", num_args = 0..=1, require_equals = true, default_missing_value = "", conflicts_with = "stage")]
    between: Option<String>,
    /// Print kernels: the Tile IR, Cranelift's IR, or machine code
    #[arg(long, value_enum, value_name = "FORM", conflicts_with_all = ["stage", "between"])]
    emit: Option<Form>,
    /// Only the kernel of this name
    #[arg(long, value_name = "NAME", requires = "emit")]
    kernel: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Form {
    /// Tile IR
    Tile,
    /// Cranelift IR
    Clif,
    /// Machine code
    Asm,
}

pub fn execute(args: &Args, out: &mut dyn Write) -> Done {
    let options = args.model.options(0)?;
    if let Some(form) = args.emit {
        kernels(&common::open(&args.model, options)?, form, args.kernel.as_deref(), out)?;
    } else if let Some(pass) = &args.between {
        between(args, options, pass, out)?;
    } else {
        stage(&common::open(&args.model, options)?, &args.stage, out)?;
    }
    Ok(ExitCode::Ok)
}

/// What a pipeline's failure is to the user.
fn failed(error: brolga_compiler::pass::PassError) -> Stop {
    Error::from(error).into()
}

fn stage(model: &Model, name: &str, out: &mut dyn Write) -> Result<(), Stop> {
    let known: Vec<&str> = OPTIMIZE.iter().map(|stage| stage.name).collect();
    match name {
        "imported" => out.write_all(model.imported().to_text().as_bytes())?,
        "optimized" => out.write_all(model.ir_text().as_bytes())?,
        "laid-out" => {
            let target = model.level().target();
            let graph = lay_out(bound(model)?, target.lanes, &PassOptions::default()).map_err(failed)?.graph;
            writeln!(out, "; for level {}", model.level())?;
            out.write_all(graph.to_text().as_bytes())?;
        }
        "scheduled" => schedule::print(&compiled(model)?, out)?,
        _ => match known.iter().position(|known| *known == name) {
            Some(last) => {
                let stages = OPTIMIZE.get(..=last).unwrap_or_default();
                let outcome = run_stages(model.imported().clone(), stages, &PassOptions::default()).map_err(failed)?;
                out.write_all(outcome.graph.to_text().as_bytes())?;
            }
            None => {
                let known = known.join(", ");
                let text = format!("no stage `{name}`; stages are imported, {known}, optimized, laid-out, scheduled");
                return Err(Failure::usage(text).into());
            }
        },
    }
    Ok(())
}

/// The optimised graph with a value for every symbol.
fn bound(model: &Model) -> Result<Graph, Stop> {
    let values = default_bindings(model)?;
    if values.is_empty() {
        return Ok(model.graph().clone());
    }
    let graph = model.imported().bind(&values).map_err(Error::from)?;
    Ok(optimize(graph, &PassOptions::default()).map_err(failed)?.graph)
}

fn compiled(model: &Model) -> Result<Compiled, Stop> {
    let values: Bindings = default_bindings(model)?;
    Ok(model.compile(&values)?)
}

fn between(args: &Args, mut options: Options, pass: &str, out: &mut dyn Write) -> Result<(), Stop> {
    const LAYOUT: &str = "pick-layout";
    let names = pass_names();
    if !pass.is_empty() && pass != LAYOUT && !names.contains(&pass) {
        let text = format!("no pass `{pass}`; passes are {}, {LAYOUT}", names.join(", "));
        return Err(Failure::usage(text).into());
    }
    options.passes.record = if pass.is_empty() { Record::All } else { Record::Only(pass.to_owned()) };
    let recording = options.passes.clone();
    let model = common::open(&args.model, options)?;
    if pass == LAYOUT {
        writeln!(out, "; for level {}", model.level())?;
        let outcome = lay_out(bound(&model)?, model.level().target().lanes, &recording).map_err(failed)?;
        return print_log(&outcome.log, pass, out);
    }
    print_log(model.pass_log(), pass, out)
}

/// Runs of passes that did something, or refused something other than in their run before.
fn print_log(log: &[PassRecord], pass: &str, out: &mut dyn Write) -> Result<(), Stop> {
    let mut refused: HashMap<&str, &[Remark]> = HashMap::new();
    let mut silent = true;
    for record in log.iter().filter(|record| pass.is_empty() || record.pass == pass) {
        let before = refused.insert(record.pass, &record.refused).unwrap_or_default();
        let news = record.refused != before;
        if !record.changed && !news {
            continue;
        }
        silent = false;
        writeln!(out, "=== {} / {}", record.stage, record.pass)?;
        for patch in &record.patches {
            writeln!(out, "patch {}: {}", patch.number, patch.text)?;
        }
        if news {
            for Remark { node, name, why } in &record.refused {
                writeln!(out, "refused {node} \"{name}\": {why}")?;
            }
        }
        if let (Some(before), Some(after)) = (&record.before, &record.after) {
            write!(out, "{}", TextDiff::from_lines(before, after).unified_diff().context_radius(1))?;
        }
        writeln!(out)?;
    }
    if silent {
        writeln!(out, "=== {pass} changed nothing and refused nothing")?;
    }
    Ok(())
}

fn kernels(model: &Model, form: Form, only: Option<&str>, out: &mut dyn Write) -> Result<(), Stop> {
    let (compiled, level) = (compiled(model)?, model.level());
    if matches!(form, Form::Clif) && level.target().lanes != 4 {
        let text = format!("level {level} does not go through Cranelift's IR; try --cpu x86-64 or --cpu aarch64");
        return Err(Failure::usage(text).into());
    }
    let chosen: Vec<usize> =
        (0..compiled.kernels.len()).filter(|i| only.is_none_or(|name| compiled.kernels[*i].name == name)).collect();
    if chosen.is_empty()
        && let Some(name) = only
    {
        let names: Vec<&str> = compiled.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        return Err(Failure::usage(format!("no kernel `{name}`; kernels are {}", names.join(", "))).into());
    }
    writeln!(out, "; for level {level}")?;
    for i in chosen {
        let kernel = &compiled.kernels[i];
        match form {
            Form::Tile => writeln!(out, "{kernel}")?,
            Form::Clif => {
                let text = clif::text(kernel, level).map_err(|error| Error::from(CompileError::from(error)))?;
                writeln!(out, "; kernel {}\n{text}", kernel.name)?;
            }
            Form::Asm => {
                let code = &compiled.codes[i];
                writeln!(out, "; kernel {}, {} bytes", kernel.name, code.bytes.len())?;
                writeln!(out, "{}", disassemble(code, level))?;
            }
        }
    }
    Ok(())
}
