//! From an optimised graph to code, tables and weights: lay out, place, lower, emit.
//!
//! [`compile`] yields a [`Compiled`]: machine code per kernel, the steps over arena offsets, and the list of what to pack
//! where. [`Compiled::link`] turns it into a runnable program in this process; the ahead-of-time path writes the same parts
//! into an object file.

mod library;
mod schedule;
mod weights;

pub use weights::{PackedWeights, Pieces};

use crate::codegen::{self, Code, CodegenError, Level, LevelTarget};
use crate::ir::{Graph, NodeId};
use crate::pass::{self, PassError, PassOptions};
use crate::plan::{self, place};
use brolga_runtime::library::Routine;
use brolga_runtime::{ByteOwner, Functions, Memory, Port, Program, Step};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A graph cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CompileError {
    /// Nodes for which there is neither a kernel nor a library function.
    #[error("{} of the model's nodes are not supported:\n{}", .0.len(), .0.join("\n"))]
    Unsupported(Vec<String>),
    /// Shapes that are not known.
    #[error(transparent)]
    UnknownSize(#[from] place::UnknownSize),
    /// A pass failed.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// Code generation failed: our bug.
    #[error("code generation: {0}")]
    Codegen(#[from] CodegenError),
    /// The memory plan is wrong: our bug.
    #[error("memory plan: {0}")]
    Plan(#[from] plan::PlanFault),
    /// A constant cannot be evaluated.
    #[error("weight '{name}': {what}")]
    Weight { name: String, what: String },
    /// Memory for weights or code cannot be had.
    #[error("{0}")]
    Memory(String),
}

/// What to compile for.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// CPU level.
    pub level: Level,
    /// Threads that compile and pack.
    pub threads: usize,
    /// Whether convolutions multiply what their definition names, instead of by minimal filtering where that is faster.
    pub exact: bool,
    /// Limits and records of the passes.
    pub passes: PassOptions,
}

/// Time spent, by part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Layout, plan and lowering.
    pub lower: Duration,
    /// Machine code.
    pub codegen: Duration,
    /// Packing weights.
    pub pack: Duration,
}

impl std::ops::Add for Timing {
    type Output = Timing;
    fn add(self, other: Timing) -> Timing {
        Timing { lower: self.lower + other.lower, codegen: self.codegen + other.codegen, pack: self.pack + other.pack }
    }
}

/// A compiled graph that is not linked yet.
pub struct Compiled {
    /// Inputs.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
    /// Level of the code.
    pub level: Level,
    /// Steps; kernels are numbered as [`Compiled::kernels`].
    pub steps: Vec<Step>,
    /// Memory plan.
    pub memory: Memory,
    /// Programs, in the order of the steps' function numbers.
    pub kernels: Vec<crate::tile::Kernel>,
    /// Their machine code.
    pub codes: Vec<Code>,
    /// What the weights segment holds.
    pub weights: PackedWeights,
    /// The laid-out graph, for dumps and reports.
    pub graph: Graph,
    /// Which node each step computes, where it is one.
    pub step_nodes: Vec<Option<NodeId>>,
    /// Time spent so far.
    pub timing: Timing,
}

/// Lays out, places, lowers and emits an optimised graph of known shapes.
pub fn compile(graph: &Graph, options: &CompileOptions) -> Result<Compiled, CompileError> {
    let start = Instant::now();
    let target = options.level.target();
    let laid_out = pass::pipeline::lay_out(graph.clone(), target.lanes, &options.passes)?.graph;
    let placement = place(&laid_out)?;
    let schedule = schedule::build(&laid_out, &placement, target, options.exact)?;
    let lower = start.elapsed();
    let start = Instant::now();
    let codes = emit_all(&schedule.kernels, options)?;
    let timing = Timing { lower, codegen: start.elapsed(), pack: Duration::ZERO };
    let port = |name: &str, id| {
        let ty = laid_out.ty(id);
        Port { name: name.to_owned(), dtype: ty.dtype, shape: ty.dims().unwrap_or_default() }
    };
    Ok(Compiled {
        inputs: laid_out.inputs().iter().map(|v| port(&laid_out.value(*v).name, *v)).collect(),
        outputs: laid_out.outputs().iter().map(|(name, v)| port(name, *v)).collect(),
        level: options.level,
        steps: schedule.steps,
        memory: schedule.memory,
        kernels: schedule.kernels,
        codes,
        weights: schedule.weights,
        step_nodes: schedule.nodes,
        graph: laid_out,
        timing,
    })
}

/// Machine code of every kernel, made on several threads.
fn emit_all(kernels: &[crate::tile::Kernel], options: &CompileOptions) -> Result<Vec<Code>, CodegenError> {
    let workers = options.threads.clamp(1, kernels.len().max(1));
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(kernel) = kernels.get(i) else { return done };
            done.push((i, codegen::emit_code(kernel, options.level)));
        }
    };
    let mut results: Vec<(usize, Result<Code, CodegenError>)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            all.extend(other.join().unwrap_or_default());
        }
        all
    });
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, code)| code).collect()
}

impl Compiled {
    /// Bytes of all code.
    pub fn code_bytes(&self) -> u64 {
        self.codes.iter().map(|c| c.bytes.len() as u64).sum()
    }

    /// Packs the weights and puts the code into memory.
    pub fn link(mut self, threads: usize) -> Result<(Program, Timing), CompileError> {
        let start = Instant::now();
        let jit = codegen::JitCode::new(self.level, &self.codes)?;
        let entries = jit.entries().to_vec();
        self.timing.codegen += start.elapsed();
        let start = Instant::now();
        let packed: Arc<dyn ByteOwner> = Arc::new(self.weights.pack_in_memory(&self.graph, threads)?);
        self.timing.pack = start.elapsed();
        let program = Program {
            code_bytes: self.code_bytes(),
            inputs: self.inputs,
            outputs: self.outputs,
            level: self.level,
            steps: self.steps,
            memory: self.memory,
            functions: Functions { entries, run_library: Some(Routine::run), owner: Arc::new(jit) },
            weights: packed,
        };
        Ok((program, self.timing))
    }
}
