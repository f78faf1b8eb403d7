//! `brolga dump`: the graph after any stage, what each pass did, and the kernels in any form.

use super::bench::gather;
use super::common::{self, Done, ModelArgs, Stop, default_bindings};
use super::schedule;
use brolga::{Error, Level, Model, Options, Value};
use brolga_compiler::codegen::{Code, LevelTarget, clif, disassemble};
use brolga_compiler::compile::{CompileError, CompileOptions, Compiled, compile};
use brolga_compiler::ir::{Bindings, Graph};
use brolga_compiler::pass::pipeline::{OPTIMIZE, lay_out, optimize, pass_names};
use brolga_compiler::pass::{PassOptions, PassRecord, Record, Remark, run_stages};
use brolga_compiler::tile::Kernel;
use brolga_runner::{ExitCode, Failure};
use similar::TextDiff;
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

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
  brolga dump model.onnx --emit clif --cpu x86-64
  brolga dump model.onnx --inputs in.npz          where what inputs hold decides the graph

Of a model that runs region by region, the regions whose sizes are known are laid out and compiled one by one; the others have
no code before a run.")]
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
    /// Inputs: an .npz archive; they give symbolic dimensions their values
    #[arg(long, value_name = "F.npz")]
    inputs: Option<PathBuf>,
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
    if let Some(form) = args.emit {
        kernels(&Source::open(args, args.model.options(0)?)?, form, args.kernel.as_deref(), out)?;
    } else if let Some(pass) = &args.between {
        between(args, pass, out)?;
    } else {
        stage(&Source::open(args, args.model.options(0)?)?, &args.stage, out)?;
    }
    Ok(ExitCode::Ok)
}

/// What is dumped: a model, and inputs that tell sizes.
struct Source {
    model: Arc<Model>,
    inputs: Option<Vec<Value>>,
}

/// A graph that becomes one program.
struct Part {
    /// Which, where there are several.
    title: Option<String>,
    /// The optimised graph, or why there is none before a run.
    graph: Result<Graph, String>,
}

impl Source {
    fn open(args: &Args, options: Options) -> Result<Source, Stop> {
        let model = common::open(&args.model, options)?;
        let inputs = args.inputs.as_ref().map(|path| gather(&model, Some(path.clone()))).transpose()?;
        if !model.needs_inputs() {
            return Ok(Source { model: Arc::new(model), inputs });
        }
        match inputs.map(|values| model.for_inputs(values)).transpose()?.flatten() {
            Some((model, _)) => Ok(Source { model, inputs: None }),
            None => {
                Err(Failure::usage("what some inputs hold decides the graph: give them with --inputs F.npz").into())
            }
        }
    }

    fn values(&self) -> Result<Bindings, Stop> {
        match &self.inputs {
            Some(inputs) => Ok(self.model.bindings(&inputs.iter().filter_map(Value::shape).collect::<Vec<_>>())?),
            None => Ok(default_bindings(&self.model)?),
        }
    }

    /// The graphs that become programs, with a value for every symbol.
    fn parts(&self) -> Result<Vec<Part>, Stop> {
        if self.model.is_static() {
            let values = self.values()?;
            let graph = match values.is_empty() {
                true => self.model.graph().clone(),
                false => {
                    let bound = self.model.imported().bind(&values).map_err(Error::from)?;
                    optimize(bound, &PassOptions::default()).map_err(failed)?.graph
                }
            };
            return Ok(vec![Part { title: None, graph: Ok(graph) }]);
        }
        let regions = self.model.regions();
        let count = regions.len();
        let part = |(number, region): (usize, &Graph)| {
            let title = Some(format!("region {} of {count}, {} nodes", number + 1, region.len()));
            let symbols = region.all_symbols();
            let graph = match symbols.is_empty() {
                true => Ok(optimize(region.clone(), &PassOptions::default()).map_err(failed)?.graph),
                false => Err(format!("only a run tells its extents: {}", symbols.join(", "))),
            };
            Ok(Part { title, graph })
        };
        regions.into_iter().enumerate().map(part).collect()
    }
}

impl Part {
    /// Prints the title; gives the graph, or prints why there is none.
    fn begin(&self, out: &mut dyn Write) -> std::io::Result<Option<&Graph>> {
        if let Some(title) = &self.title {
            writeln!(out, "\n; {title}")?;
        }
        if let Err(why) = &self.graph {
            writeln!(out, "; {why}")?;
        }
        Ok(self.graph.as_ref().ok())
    }
}

fn compiled(model: &Model, graph: &Graph) -> Result<Compiled, Stop> {
    let options = CompileOptions { passes: PassOptions::default(), ..model.compile_options() };
    Ok(compile(graph, &options).map_err(Error::from)?)
}

/// What a pipeline's failure is to the user.
fn failed(error: brolga_compiler::pass::PassError) -> Stop {
    Error::from(error).into()
}

fn stage(source: &Source, name: &str, out: &mut dyn Write) -> Result<(), Stop> {
    let model = &*source.model;
    let known: Vec<&str> = OPTIMIZE.iter().map(|stage| stage.name).collect();
    match name {
        "imported" => out.write_all(model.imported().to_text().as_bytes())?,
        "optimized" => out.write_all(model.ir_text().as_bytes())?,
        "laid-out" => {
            writeln!(out, "; for level {}", model.level())?;
            for part in source.parts()? {
                let Some(graph) = part.begin(out)? else { continue };
                let lanes = model.level().target().lanes;
                let graph = lay_out(graph.clone(), lanes, &PassOptions::default()).map_err(failed)?.graph;
                out.write_all(graph.to_text().as_bytes())?;
            }
        }
        "scheduled" => {
            for part in source.parts()? {
                if let Some(graph) = part.begin(out)? {
                    schedule::print(&compiled(model, graph)?, out)?;
                }
            }
        }
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

fn between(args: &Args, pass: &str, out: &mut dyn Write) -> Result<(), Stop> {
    const LAYOUT: &str = "pick-layout";
    let names = pass_names();
    if !pass.is_empty() && pass != LAYOUT && !names.contains(&pass) {
        let text = format!("no pass `{pass}`; passes are {}, {LAYOUT}", names.join(", "));
        return Err(Failure::usage(text).into());
    }
    let mut options = args.model.options(0)?;
    options.passes.record = if pass.is_empty() { Record::All } else { Record::Only(pass.to_owned()) };
    let recording = options.passes.clone();
    let source = Source::open(args, options)?;
    let model = &*source.model;
    if pass != LAYOUT {
        return print_log(model.pass_log(), pass, out);
    }
    writeln!(out, "; for level {}", model.level())?;
    for part in source.parts()? {
        if let Some(graph) = part.begin(out)? {
            let outcome = lay_out(graph.clone(), model.level().target().lanes, &recording).map_err(failed)?;
            print_log(&outcome.log, pass, out)?;
        }
    }
    Ok(())
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

fn kernels(source: &Source, form: Form, only: Option<&str>, out: &mut dyn Write) -> Result<(), Stop> {
    let level = source.model.level();
    if matches!(form, Form::Clif) && level.target().lanes != 4 {
        let text = format!("level {level} does not go through Cranelift's IR; try --cpu x86-64 or --cpu aarch64");
        return Err(Failure::usage(text).into());
    }
    writeln!(out, "; for level {level}")?;
    let (mut names, mut printed) = (Vec::new(), 0);
    for part in source.parts()? {
        let Some(graph) = part.begin(out)? else { continue };
        let compiled = compiled(&source.model, graph)?;
        for (kernel, code) in compiled.kernels.iter().zip(&compiled.codes) {
            names.push(kernel.name.clone());
            if only.is_none_or(|name| kernel.name == name) {
                print_kernel(kernel, code, form, level, out)?;
                printed += 1;
            }
        }
    }
    match only {
        Some(name) if printed == 0 => {
            Err(Failure::usage(format!("no kernel `{name}`; kernels are {}", names.join(", "))).into())
        }
        _ => Ok(()),
    }
}

fn print_kernel(kernel: &Kernel, code: &Code, form: Form, level: Level, out: &mut dyn Write) -> Result<(), Stop> {
    match form {
        Form::Tile => writeln!(out, "{kernel}")?,
        Form::Clif => {
            let text = clif::text(kernel, level).map_err(|error| Error::from(CompileError::from(error)))?;
            writeln!(out, "; kernel {}\n{text}", kernel.name)?;
        }
        Form::Asm => {
            writeln!(out, "; kernel {}, {} bytes", kernel.name, code.bytes.len())?;
            writeln!(out, "{}", disassemble(code, level))?;
        }
    }
    Ok(())
}
