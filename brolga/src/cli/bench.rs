//! `brolga bench`: time from file to runnable, first and steady runs, memory; by step with `--layers`.

use super::common::{self, Done, ModelArgs, Progress, Stop};
use super::layers::{self, Layers};
use brolga::{Model, Tensor, Value};
use brolga_compiler::region::{Part, Profile};
use brolga_runner::{ExitCode, Failure, PortInfo, RunArgs, Runnable};
use brolga_runtime::{Instance, RunOptions, TensorView, TensorViewMut};
use serde::Serialize;
use std::cell::RefCell;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Fewest timed runs, however long they take.
const MIN_RUNS: usize = 5;

/// Measure loading, first run and steady speed
#[derive(clap::Args)]
#[command(after_help = "Examples:
  brolga bench model.onnx --threads 1
  brolga bench model.onnx --layers
  brolga bench model.onnx --inputs in.npz --json
  brolga bench model.onnx --dim batch=8 --seconds 5

load_ms is the time from the file to a program that runs, first_ms that of the first run, and min, median and p99 are over
the runs after it. --layers times every step and measures the machine's peak of multiply-adds in the same run.

A model whose sizes only a run can tell runs region by region (`brolga check` says so). Its first run makes the programs of the
regions whose sizes it meets; steps, weights and code are then sums over its programs, the arena is the largest one, and
--layers also shows what the library computes between them.")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Inputs: an .npz archive whose arrays are named as the model's inputs; random ones if not given
    #[arg(long, value_name = "F.npz")]
    inputs: Option<PathBuf>,
    /// Number of threads; 0 stands for one per core that may be used
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Time to spend on steady runs
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    seconds: f64,
    /// Show a table by step: kernel, time, GFLOP/s, share of the machine's peak
    #[arg(long)]
    layers: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was measured; the field names are the JSON's.
#[derive(Serialize)]
struct Report {
    load_ms: f64,
    parse_ms: f64,
    passes_ms: f64,
    codegen_ms: f64,
    pack_ms: f64,
    first_ms: f64,
    min_ms: f64,
    median_ms: f64,
    p99_ms: f64,
    runs: usize,
    threads: usize,
    cpu: &'static str,
    #[serde(flatten)]
    size: Size,
    peak_rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Layers>,
}

/// How large the programs are that a model has now: of a model that runs region by region there are several.
#[derive(Default, Serialize)]
struct Size {
    programs: usize,
    steps: usize,
    arena_bytes: u64,
    arena_lower_bound_bytes: u64,
    weights_bytes: u64,
    code_bytes: u64,
}

impl Size {
    fn of(model: &Model) -> Size {
        let mut size = Size::default();
        model.programs(&mut |program| {
            size.programs += 1;
            size.steps += program.steps.len();
            size.weights_bytes += program.weights.bytes().len() as u64;
            size.code_bytes += program.code_bytes;
            // They run one after the other.
            size.arena_bytes = size.arena_bytes.max(program.memory.arena_bytes);
            size.arena_lower_bound_bytes = size.arena_lower_bound_bytes.max(program.memory.lower_bound_bytes);
        });
        size
    }
}

pub fn execute(args: Args, out: &mut dyn Write) -> Done {
    let options = args.model.options(args.threads)?;
    let threads = options.thread_count();
    let start = Instant::now();
    let model = common::load(&args.model, options)?;
    let load = start.elapsed();
    let inputs = gather(&model, args.inputs.clone())?;
    let start = Instant::now();
    let mut subject = Subject::new(&model, &inputs)?;
    let load = load + start.elapsed();
    let timing = model.load_timing();
    let first = subject.time()?;
    let times = steady(&args, &mut subject)?;
    let peak_rss_bytes = peak_rss();
    let workers = subject.workers(threads);
    let layers = match args.layers {
        true => Some(layers::measure(&mut subject, model.level(), workers, args.seconds)?),
        false => None,
    };
    let at = |share: f64| times[((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1];
    let report = Report {
        load_ms: ms(load),
        parse_ms: ms(timing.parse),
        passes_ms: ms(timing.passes),
        codegen_ms: ms(timing.codegen),
        pack_ms: ms(timing.pack),
        first_ms: ms(first),
        min_ms: ms(times[0]),
        median_ms: ms(at(0.5)),
        p99_ms: ms(at(0.99)),
        runs: times.len(),
        threads,
        cpu: model.level().name(),
        size: Size::of(&model),
        peak_rss_bytes,
        layers,
    };
    if args.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::bug(error.to_string()))?;
        writeln!(out, "{text}")?;
    } else {
        report.show(out)?;
    }
    Ok(ExitCode::Ok)
}

/// Milliseconds.
pub fn ms(time: Duration) -> f64 {
    // Nanoseconds are all that a clock gives: more digits are noise in a report.
    (time.as_secs_f64() * 1e9).round() / 1e6
}

/// Times of runs for the asked time, shortest first; at least [`MIN_RUNS`].
fn steady(args: &Args, subject: &mut Subject<'_>) -> Result<Vec<Duration>, Stop> {
    let progress = Progress::start(format!("running {}", args.model.name()));
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < MIN_RUNS || start.elapsed().as_secs_f64() < args.seconds {
        times.push(subject.time()?);
        progress.say(format!("running {}: {}", args.model.name(), times.len()));
    }
    times.sort();
    Ok(times)
}

/// Notes the inputs of a run in place of running.
struct Gather {
    ports: Vec<PortInfo>,
    values: RefCell<Vec<Value>>,
}

impl Runnable for Gather {
    fn inputs(&self) -> Vec<PortInfo> {
        self.ports.clone()
    }
    fn outputs(&self) -> Vec<String> {
        Vec::new()
    }
    fn run(&self, inputs: Vec<Value>) -> Result<Vec<Value>, Failure> {
        *self.values.borrow_mut() = inputs;
        Ok(Vec::new())
    }
}

/// The inputs that `run` would take: from an archive, or random.
pub fn gather(model: &Model, inputs: Option<PathBuf>) -> Result<Vec<Value>, Failure> {
    let gather = Gather { ports: common::runner_ports(model), values: RefCell::default() };
    let args = RunArgs { inputs, ..RunArgs::default() };
    brolga_runner::execute(&gather, &args, &mut std::io::sink(), &mut std::io::stderr().lock())?;
    Ok(gather.values.into_inner())
}

/// What is run again and again: a program with its inputs and room for its outputs, or a model that runs region by region.
pub enum Subject<'a> {
    Program { instance: Arc<Instance>, inputs: Vec<TensorView<'a>>, outputs: Vec<Tensor> },
    Regions { model: &'a Model, inputs: &'a [Value] },
}

impl<'a> Subject<'a> {
    fn new(model: &'a Model, inputs: &'a [Value]) -> Result<Self, Stop> {
        if !model.is_static() {
            return Ok(Subject::Regions { model, inputs });
        }
        let shapes: Vec<&[usize]> = inputs.iter().filter_map(Value::shape).collect();
        let instance = model.program(&model.bindings(&shapes)?)?;
        let outputs = instance.new_outputs().map_err(brolga::Error::from)?;
        Ok(Subject::Program {
            instance,
            inputs: inputs.iter().filter_map(Value::as_tensor).map(Tensor::view).collect(),
            outputs,
        })
    }

    /// Threads that a run uses, of so many.
    fn workers(&self, threads: usize) -> usize {
        match self {
            Subject::Program { instance, .. } => instance.workers().min(threads),
            Subject::Regions { .. } => threads,
        }
    }

    /// Time of one run.
    fn time(&mut self) -> Result<Duration, Stop> {
        match self {
            Subject::Program { instance, inputs, outputs } => {
                let mut outputs: Vec<TensorViewMut<'_>> = outputs.iter_mut().map(Tensor::view_mut).collect();
                let start = Instant::now();
                instance.run(inputs, &mut outputs, RunOptions::default()).map_err(brolga::Error::from)?;
                Ok(start.elapsed())
            }
            Subject::Regions { model, inputs } => {
                let values = inputs.to_vec();
                let start = Instant::now();
                model.run_values(values)?;
                Ok(start.elapsed())
            }
        }
    }

    /// Where the time of one run goes.
    pub fn profile(&mut self) -> Result<Vec<Part>, Stop> {
        let profile = Profile::default();
        match self {
            Subject::Program { instance, inputs, outputs } => {
                let mut outputs: Vec<TensorViewMut<'_>> = outputs.iter_mut().map(Tensor::view_mut).collect();
                let mut timings = Vec::new();
                let options = RunOptions { timings: Some(&mut timings), ..RunOptions::default() };
                instance.run(inputs, &mut outputs, options).map_err(brolga::Error::from)?;
                profile.add_program(instance, &timings);
            }
            Subject::Regions { model, inputs } => {
                model.run_profiled(inputs.to_vec(), &profile)?;
            }
        }
        Ok(profile.into_parts())
    }
}

/// Most memory that this process has had resident, where the system tells.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

impl Size {
    fn show(&self, out: &mut dyn Write) -> std::io::Result<()> {
        match self.programs {
            1 => writeln!(out, "steps   {:9}", self.steps)?,
            programs => writeln!(out, "steps   {:9}     (in {programs} programs)", self.steps)?,
        }
        let (arena, least) = (mb(self.arena_bytes), mb(self.arena_lower_bound_bytes));
        writeln!(out, "arena   {arena:9.3} MB  (lower bound {least:.3})")?;
        writeln!(out, "weights {:9.3} MB", mb(self.weights_bytes))?;
        writeln!(out, "code    {:9.3} MB", mb(self.code_bytes))
    }
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

impl Report {
    fn show(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let Report { load_ms, parse_ms, passes_ms, codegen_ms, pack_ms, first_ms, .. } = self;
        writeln!(out, "level {}, {} threads", self.cpu, self.threads)?;
        write!(out, "load    {load_ms:9.3} ms  (parse {parse_ms:.3}, passes {passes_ms:.3}, ")?;
        writeln!(out, "codegen {codegen_ms:.3}, pack {pack_ms:.3})")?;
        writeln!(out, "first   {first_ms:9.3} ms")?;
        writeln!(
            out,
            "median  {:9.3} ms  (min {:.3}, p99 {:.3}, {} runs)",
            self.median_ms, self.min_ms, self.p99_ms, self.runs
        )?;
        self.size.show(out)?;
        if let Some(rss) = self.peak_rss_bytes {
            writeln!(out, "memory  {:9.3} MB at its peak", mb(rss))?;
        }
        match &self.layers {
            Some(layers) => layers.show(out),
            None => Ok(()),
        }
    }
}
