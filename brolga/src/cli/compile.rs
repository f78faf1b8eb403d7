//! `brolga compile`: a model to a file of native code.

use super::common::{self, Done, ModelArgs, Progress, Stop};
use brolga::aot::{AotError, Container, ProgramParts, c_name, write_executable, write_freestanding};
use brolga::{Error, Level, Model};
use brolga_compiler::codegen::Freestanding;
use brolga_compiler::compile::Compiled;
use brolga_compiler::ir::Bindings;
use brolga_runner::{ExitCode, Failure};
use brolga_runtime::{Block, Tables, default_threads};
use std::io::Write;
use std::path::PathBuf;
use target_lexicon::{Architecture, Triple};

/// Compile a model to an executable, an object file or a static library
#[derive(clap::Args)]
#[command(after_help = "Examples:
  brolga compile model.onnx -o model
  brolga compile model.onnx -o model --dim batch=1 --dim batch=8
  brolga compile model.onnx -o model.o --emit obj --dim batch=1
  brolga compile model.onnx -o libmodel.a --emit staticlib --target aarch64-unknown-linux-gnu

The executable takes the input and output options of `brolga run` and needs nothing installed. A C header is written beside
an object file or a static library. Every symbolic dimension needs a value; several values for one make an executable that
holds a program for each.")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The file to write
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// What to make
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Kind::Exe)]
    emit: Kind,
    /// Platform to make it for; this one if not given
    #[arg(long, value_name = "TRIPLE", value_parser = parse_triple)]
    target: Option<Triple>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// An executable that needs nothing installed
    Exe,
    /// An object file with a C interface
    Obj,
    /// A static library with a C interface
    Staticlib,
}

fn parse_triple(text: &str) -> Result<Triple, String> {
    text.parse().map_err(|error| format!("{error}"))
}

impl From<AotError> for Stop {
    fn from(error: AotError) -> Self {
        Stop::Failed(Failure::new(error.exit_code(), error.to_string()))
    }
}

/// A compiled program with its weights packed.
struct Packed {
    compiled: Compiled,
    weights: Block,
}

pub fn execute(args: &Args, out: &mut dyn Write) -> Done {
    let triple = args.target.clone().unwrap_or_else(Triple::host);
    let level = level_for(&triple, args.model.cpu)?;
    if args.emit == Kind::Exe && triple != Triple::host() {
        let host = Triple::host().to_string();
        return Err(AotError::Target { host, target: triple.to_string() }.into());
    }
    let progress = Progress::start(format!("compiling {}", args.model.name()));
    let bindings = specialisations(&args.model.dims);
    let programs = bindings.into_iter().map(|dims| compile(args, level, dims)).collect::<Result<Vec<_>, Stop>>()?;
    progress.say(format!("writing {}", common::file_name(&args.output)));
    match args.emit {
        Kind::Exe => executable(args, level, &programs)?,
        Kind::Obj => freestanding(args, level, triple, &programs, Container::Object)?,
        Kind::Staticlib => freestanding(args, level, triple, &programs, Container::StaticLibrary)?,
    }
    drop(progress);
    let bytes = std::fs::metadata(&args.output).map_or(0, |about| about.len());
    writeln!(out, "{}: {:.1} MB for {level}", args.output.display(), bytes as f64 / 1e6)?;
    Ok(ExitCode::Ok)
}

/// The CPU level: asked for, or the best of this machine, or the plainest of another one.
fn level_for(triple: &Triple, asked: Option<Level>) -> Result<Level, Failure> {
    let x86 = match triple.architecture {
        Architecture::X86_64 => true,
        Architecture::Aarch64(_) => false,
        other => return Err(Failure::usage(format!("no code can be made for {other}; x86_64 and aarch64 are known"))),
    };
    let own = Level::host().filter(|level| level.is_x86() == x86 && *triple == Triple::host());
    let plain = if x86 { Level::X86_64 } else { Level::Aarch64 };
    match asked {
        Some(level) if level.is_x86() != x86 => {
            Err(Failure::usage(format!("--cpu {level} is not a level of {triple}; give its --target too")))
        }
        Some(level) => Ok(level),
        None => Ok(own.unwrap_or(plain)),
    }
}

/// Every choice of one value for each name.
fn specialisations(dims: &[(String, i64)]) -> Vec<Bindings> {
    let mut all = vec![Bindings::new()];
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in dims.iter().filter(|(name, _)| !name.is_empty()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    for name in names {
        let mut values: Vec<i64> = dims.iter().filter(|(known, _)| known == name).map(|(_, value)| *value).collect();
        values.dedup();
        let with = |bindings: &Bindings| -> Vec<Bindings> {
            let one = |value: &i64| {
                let mut bindings = bindings.clone();
                bindings.insert(name.to_owned(), *value);
                bindings
            };
            values.iter().map(one).collect()
        };
        all = all.iter().flat_map(with).collect();
    }
    all
}

fn compile(args: &Args, level: Level, dims: Bindings) -> Result<Packed, Stop> {
    let options = brolga::Options { level: Some(level), dims, ..brolga::Options::default() };
    let model = Model::open(&args.model.model, options)?;
    let compiled = model.compile(&Bindings::new())?;
    let weights = compiled.weights.pack_in_memory(&compiled.graph, default_threads().get()).map_err(Error::from)?;
    Ok(Packed { compiled, weights })
}

fn executable(args: &Args, level: Level, programs: &[Packed]) -> Result<(), Stop> {
    let parts = programs.iter().map(|Packed { compiled, weights }| {
        let tables = Tables {
            inputs: compiled.inputs.clone(),
            outputs: compiled.outputs.clone(),
            level,
            steps: compiled.steps.clone(),
            memory: compiled.memory,
            functions: u32::try_from(compiled.codes.len()).unwrap_or(u32::MAX),
            weights_bytes: weights.len() as u64,
            code_bytes: compiled.code_bytes(),
        };
        let tables = tables.to_bytes().map_err(|error| Failure::bug(error.to_string()))?;
        Ok(ProgramParts { tables, codes: &compiled.codes, weights })
    });
    let parts = parts.collect::<Result<Vec<_>, Failure>>()?;
    Ok(write_executable(level, &parts, &args.output)?)
}

fn freestanding(
    args: &Args,
    level: Level,
    triple: Triple,
    programs: &[Packed],
    container: Container,
) -> Result<(), Stop> {
    let [Packed { compiled, weights }] = programs else {
        return Err(Failure::usage("an object file holds one program: give every dimension one value").into());
    };
    let name = c_name(&args.output);
    let program = Freestanding {
        name: &name,
        inputs: &compiled.inputs,
        outputs: &compiled.outputs,
        steps: &compiled.steps,
        memory: compiled.memory,
        codes: &compiled.codes,
        weights,
    };
    Ok(write_freestanding(level, triple, &program, container, &args.output)?)
}

#[cfg(test)]
mod tests {
    use super::specialisations;

    #[test]
    fn several_values_make_several_programs() {
        let dims: Vec<(String, i64)> =
            [("n", 1), ("h", 2), ("n", 4)].iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let all: Vec<Vec<i64>> = specialisations(&dims).iter().map(|b| b.values().copied().collect()).collect();
        assert_eq!(all, [[2, 1], [2, 4]]);
        assert_eq!(specialisations(&[]).len(), 1);
    }
}
