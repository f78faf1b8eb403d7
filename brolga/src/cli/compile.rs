//! `brolga compile`: a model to a file of native code.

use super::common::{self, Done, ModelArgs, Progress, Stop};
use brolga::aot::{AotError, Bundle, CompiledModel, Container, Triple, level_for, own_path, parse_triple};
use brolga::{Level, Model, Options};
use brolga_compiler::ir::Bindings;
use brolga_runner::{ExitCode, Failure};
use std::io::Write;
use std::path::PathBuf;

/// Compile a model to an executable, an object file or a static library
#[derive(clap::Args)]
#[command(after_help = "Examples:
  brolga compile model.onnx -o model
  brolga compile model.onnx -o model --dim batch=1 --dim batch=8
  brolga compile model.onnx -o model.o --emit obj --dim batch=1
  brolga compile model.onnx -o libmodel.a --emit staticlib --target aarch64-unknown-linux-gnu

The executable takes the input and output options of `brolga run` and needs nothing installed. A C header is written beside
an object file or a static library. Every symbolic dimension needs a value; several values for one make an executable that
holds a program for each.

Where only a run can tell sizes (detectors, loops, sequences; `brolga check` says so), the executable carries the model and
this command, and makes its code when it runs. Its symbolic dimensions need no value; without --cpu the code is for the machine
that it runs on. Such a model cannot be an object file.")]
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

impl From<AotError> for Stop {
    fn from(error: AotError) -> Self {
        Stop::Failed(Failure::new(error.exit_code(), error.to_string()))
    }
}

pub fn execute(args: &Args, out: &mut dyn Write) -> Done {
    let triple = args.target.clone().unwrap_or_else(Triple::host);
    let level = checked_level(&triple, args.model.cpu)?;
    if args.emit == Kind::Exe && triple != Triple::host() {
        let host = Triple::host().to_string();
        return Err(AotError::Target { host, target: triple.to_string() }.into());
    }
    let progress = Progress::start(format!("compiling {}", args.model.name()));
    let bindings = specialisations(&args.model.sizes.dims);
    let programs =
        bindings.into_iter().map(|dims| compile(args, level, dims)).collect::<Result<Option<Vec<_>>, Stop>>()?;
    progress.say(format!("writing {}", common::file_name(&args.output)));
    match (&programs, args.emit) {
        (None, _) => bundle(args)?,
        (Some(programs), Kind::Exe) => CompiledModel::write_executable(programs, &args.output)?,
        (Some(programs), Kind::Obj) => only(programs)?.write(Container::Object, triple, &args.output)?,
        (Some(programs), Kind::Staticlib) => only(programs)?.write(Container::StaticLibrary, triple, &args.output)?,
    }
    drop(progress);
    let bytes = std::fs::metadata(&args.output).map_or(0, |about| about.len());
    let made_for = match (programs, args.model.cpu) {
        (None, None) => "the machine that it runs on, with the compiler".to_owned(),
        (None, Some(level)) => format!("{level}, with the compiler"),
        (Some(_), _) => level.to_string(),
    };
    writeln!(out, "{}: {:.1} MB for {made_for}", args.output.display(), bytes as f64 / 1e6)?;
    Ok(ExitCode::Ok)
}

/// Writes an executable that carries the compiler.
fn bundle(args: &Args) -> Result<(), Stop> {
    if specialisations(&args.model.sizes.dims).len() > 1 {
        let text = "only a run can tell the sizes of this model: give each dimension one value, or none for any";
        return Err(Failure::usage(text).into());
    }
    let options = args.model.options(0)?;
    if options.level.is_none_or(Level::available) {
        // What cannot be compiled is better known now than when the executable runs.
        Model::load_with(&args.model.model, options.clone())?;
    }
    Ok(Bundle::write(&own_path()?, &args.model.model, &options, &args.output)?)
}

/// The CPU level: asked for, or the best that is known to be there.
fn checked_level(triple: &Triple, asked: Option<Level>) -> Result<Level, Failure> {
    let Some(known) = level_for(triple) else {
        let architecture = triple.architecture;
        return Err(Failure::usage(format!("no code can be made for {architecture}; x86_64 and aarch64 are known")));
    };
    match asked {
        Some(level) if level.is_x86() != known.is_x86() => {
            Err(Failure::usage(format!("--cpu {level} is not a level of {triple}; give its --target too")))
        }
        asked => Ok(asked.unwrap_or(known)),
    }
}

/// The program of an object file.
fn only(programs: &[CompiledModel]) -> Result<&CompiledModel, Failure> {
    match programs {
        [program] => Ok(program),
        _ => Err(Failure::usage("an object file holds one program: give every dimension one value")),
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

/// A program for these dimensions; none where only a run can tell the sizes, and an executable can make it then.
fn compile(args: &Args, level: Level, dims: Bindings) -> Result<Option<CompiledModel>, Stop> {
    let options = Options { level: Some(level), dims, exact: args.model.exact, ..Options::default() };
    let model = Model::open(&args.model.model, options)?;
    if args.emit == Kind::Exe && !model.is_static() {
        return Ok(None);
    }
    Ok(Some(CompiledModel::new(&model)?))
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
