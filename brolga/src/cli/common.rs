//! What the verbs share: the model's arguments, values of its symbols, failures, progress.

use brolga::{Error, Level, Model, Options};
use brolga_compiler::ir::{Bindings, Dim};
use brolga_runner::{ExitCode, Failure, PortInfo};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a verb ended early.
#[derive(Debug)]
pub enum Stop {
    /// It failed.
    Failed(Failure),
    /// Its output cannot be written.
    Output(std::io::Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failed(failure)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Stop::Output(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(failure(&error))
    }
}

/// What every verb gives.
pub type Done = Result<ExitCode, Stop>;

/// A library error as a failure of the command.
pub fn failure(error: &Error) -> Failure {
    Failure::new(error.kind().into(), error.to_string())
}

/// Which model, and for what it is compiled.
#[derive(Clone, Debug, clap::Args)]
pub struct ModelArgs {
    /// The ONNX file
    pub model: PathBuf,
    #[command(flatten)]
    pub sizes: SizeArgs,
    /// CPU level of the code: x86-64, x86-64-v3, x86-64-v4, x86-64-v4-vnni or aarch64; this machine's best if not given
    #[arg(long, value_name = "LEVEL")]
    pub cpu: Option<Level>,
    /// Convolve by the definition alone: no algorithm that takes fewer products and rounds otherwise
    #[arg(long)]
    pub exact: bool,
}

/// How large the symbolic dimensions are.
#[derive(Clone, Debug, clap::Args)]
pub struct SizeArgs {
    /// Value of a symbolic dimension; may be given several times
    #[arg(long = "dim", value_name = "NAME=N", value_parser = parse_dim)]
    pub dims: Vec<(String, i64)>,
}

/// `NAME=N`.
fn parse_dim(text: &str) -> Result<(String, i64), String> {
    let (name, value) = text.rsplit_once('=').ok_or("expected NAME=N")?;
    match value.parse::<i64>() {
        Ok(extent) if extent >= 0 && !name.is_empty() => Ok((name.to_owned(), extent)),
        _ => Err("expected NAME=N with a number N of at least 0".to_owned()),
    }
}

impl SizeArgs {
    /// The options that these arguments, and a number of threads of which 0 is none, stand for.
    pub fn options(&self, threads: usize) -> Result<Options, Failure> {
        let mut dims = Bindings::new();
        for (name, extent) in &self.dims {
            if dims.insert(name.clone(), *extent).is_some_and(|before| before != *extent) {
                return Err(Failure::usage(format!("--dim {name} is given twice")));
            }
        }
        Ok(Options { threads: (threads > 0).then_some(threads), dims, ..Options::default() })
    }
}

impl ModelArgs {
    /// The options that these arguments stand for.
    pub fn options(&self, threads: usize) -> Result<Options, Failure> {
        Ok(Options { level: self.cpu, exact: self.exact, ..self.sizes.options(threads)? })
    }

    /// The model's file name, for messages.
    pub fn name(&self) -> String {
        file_name(&self.model)
    }
}

/// Last part of a path.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A value for every symbol that has none yet: 1, with a notice, where it is the first dimension of an input; otherwise the
/// user has to say.
pub fn default_bindings(model: &Model) -> Result<Bindings, Failure> {
    let mut values = Bindings::new();
    let inputs = model.inputs();
    for input in &inputs {
        if let Some(first @ Dim::Expr(_)) = input.shape.as_ref().and_then(|shape| shape.first()) {
            let mut names = Vec::new();
            first.symbols(&mut names);
            if let [name] = &names[..]
                && values.insert(name.clone(), 1).is_none()
            {
                eprintln!("notice: `{name}` of input `{}` is 1", input.name);
            }
        }
    }
    match model.imported().symbols().into_iter().find(|symbol| !values.contains_key(symbol)) {
        Some(symbol) => Err(failure(&Error::Unbound(symbol))),
        None => Ok(values),
    }
}

/// The inputs of a model as the runner knows them.
pub fn runner_ports(model: &Model) -> Vec<PortInfo> {
    let dim = |dim: &Dim| match dim.known().and_then(|n| usize::try_from(n).ok()) {
        Some(extent) => brolga_runner::Dim::Known(extent),
        None => brolga_runner::Dim::Symbol(dim.to_string()),
    };
    let port = |port: brolga::PortInfo| PortInfo {
        name: port.name,
        dtype: port.dtype,
        dims: port.shape.map(|shape| shape.iter().map(dim).collect()),
    };
    model.inputs().into_iter().map(port).collect()
}

/// A spinner on the terminal while something long is done; nothing where errors go to a file.
pub struct Progress(ProgressBar);

impl Progress {
    /// Starts it.
    pub fn start(text: String) -> Progress {
        let bar = ProgressBar::new_spinner().with_message(text);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Progress(bar)
    }

    /// Says something else.
    pub fn say(&self, text: String) {
        self.0.set_message(text);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Refuses a CPU level of which this machine is not.
pub fn available(level: Option<Level>) -> Result<(), Failure> {
    match level.filter(|level| !level.available()) {
        Some(level) => {
            let text = format!("level {level} needs {}, which this machine is not", level.requirement());
            Err(Failure::machine(text))
        }
        None => Ok(()),
    }
}

/// Loads a model to run it, and compiles it when all of its sizes are known.
pub fn load(args: &ModelArgs, options: Options) -> Result<Model, Stop> {
    available(options.level)?;
    let _progress = Progress::start(format!("compiling {}", args.name()));
    Ok(Model::load_with(&args.model, options)?)
}

/// Loads and optimises a model, and compiles nothing.
pub fn open(args: &ModelArgs, options: Options) -> Result<Model, Stop> {
    let _progress = Progress::start(format!("optimising {}", args.name()));
    Ok(Model::open(&args.model, options)?)
}
