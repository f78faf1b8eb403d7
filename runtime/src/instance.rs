//! A program with the memory and the threads to run it.

use crate::walk::{Bases, Walk};
use crate::{Block, DType, Pool, Port, Program, RunError, Tensor, TensorView, TensorViewMut};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// Arenas kept between runs; a run that finds none makes its own.
const KEPT_ARENAS: usize = 2;
/// A program of less work than this (operations, bytes) is over before a second worker is awake.
const SMALL_FLOPS: u64 = 2 << 20;
const SMALL_BYTES: u64 = 1 << 20;

/// What a run may be asked for.
#[derive(Default)]
pub struct RunOptions<'a> {
    /// Looked at between steps: true stops the run.
    pub cancel: Option<&'a AtomicBool>,
    /// Looked at between steps.
    pub deadline: Option<Instant>,
    /// Filled with the time of every step.
    pub timings: Option<&'a mut Vec<Duration>>,
}

/// A program ready to run, from any number of threads at once.
pub struct Instance {
    program: Arc<Program>,
    pool: Arc<Pool>,
    arenas: Mutex<Vec<Block>>,
    small: bool,
}

impl Instance {
    /// Checks the program and the machine.
    pub fn new(program: Arc<Program>, pool: Arc<Pool>) -> Result<Self, RunError> {
        if !program.level.available() {
            return Err(RunError::Level { level: program.level });
        }
        program.check()?;
        let flops = program.steps.iter().fold(0u64, |sum, step| sum.saturating_add(step.flops));
        let bytes = program.memory.arena_bytes.saturating_add(program.weights.bytes().len() as u64);
        let small = flops < SMALL_FLOPS && bytes < SMALL_BYTES;
        Ok(Instance { program, pool, arenas: Mutex::default(), small })
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Number of threads that a run uses when the pool is free.
    pub fn workers(&self) -> usize {
        if self.small { 1 } else { self.pool.workers() }
    }

    /// Runs the program: inputs and outputs in the order of its tables.
    pub fn run(
        &self,
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorViewMut<'_>],
        mut options: RunOptions<'_>,
    ) -> Result<(), RunError> {
        self.check_ports(inputs, outputs)?;
        let scratch = Stride::of(self.program.memory.scratch_bytes, self.workers())?;
        let arena = self.take_arena(scratch.arena_bytes(&self.program)?)?;
        let bases = Bases::new(&arena, scratch.offset(&self.program), scratch.bytes, &self.program, inputs, outputs);
        let walk = Walk::new(&self.program, bases, options.cancel, options.deadline, options.timings.is_some());
        let intact = if self.small { walk.run_alone() } else { self.pool.run(&|team| walk.run(team)) };
        let (failure, timings) = walk.finish();
        self.give_back(arena);
        if let Some(wanted) = options.timings.as_deref_mut() {
            *wanted = timings;
        }
        match failure {
            Some(error) => Err(error),
            None if intact => Ok(()),
            None => Err(RunError::Worker),
        }
    }

    /// Runs the program on tensors in the order of its tables and makes its outputs.
    pub fn run_tensors(&self, inputs: &[Tensor], options: RunOptions<'_>) -> Result<Vec<Tensor>, RunError> {
        let views: Vec<TensorView<'_>> = inputs.iter().map(Tensor::view).collect();
        let mut outputs = self.new_outputs()?;
        let mut written: Vec<TensorViewMut<'_>> = outputs.iter_mut().map(Tensor::view_mut).collect();
        self.run(&views, &mut written, options)?;
        Ok(outputs)
    }

    /// Tensors of zeros for the outputs.
    pub fn new_outputs(&self) -> Result<Vec<Tensor>, RunError> {
        let make = |port: &Port| {
            let bytes = port.shape.iter().fold(port.dtype.bytes() as u64, |n, d| n.saturating_mul(*d as u64));
            Tensor::zeros(port.dtype, &port.shape).map_err(|_| RunError::Memory(crate::OutOfMemory(bytes)))
        };
        self.program.outputs.iter().map(make).collect()
    }

    fn check_ports(&self, inputs: &[TensorView<'_>], outputs: &[TensorViewMut<'_>]) -> Result<(), RunError> {
        let count = |what, ports: &[Port], given| {
            let names = ports.iter().map(|p| p.name.clone()).collect();
            if ports.len() == given { Ok(()) } else { Err(RunError::Count { what, names, given }) }
        };
        count("input", &self.program.inputs, inputs.len())?;
        count("output", &self.program.outputs, outputs.len())?;
        for (port, given) in self.program.inputs.iter().zip(inputs) {
            check_port("input", port, given.dtype, given.shape, given.bytes)?;
        }
        for (port, given) in self.program.outputs.iter().zip(outputs) {
            check_port("output", port, given.dtype, given.shape, given.bytes)?;
        }
        Ok(())
    }

    fn take_arena(&self, bytes: usize) -> Result<Block, RunError> {
        let kept = self.arenas.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match kept {
            Some(block) => Ok(block),
            None => Ok(Block::zeroed(bytes)?),
        }
    }

    fn give_back(&self, arena: Block) {
        let mut kept = self.arenas.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_ARENAS {
            kept.push(arena);
        }
    }
}

fn check_port(what: &'static str, port: &Port, dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<(), RunError> {
    if port.dtype != dtype || port.shape != shape {
        return Err(RunError::Port {
            what,
            name: port.name.clone(),
            dtype: port.dtype,
            shape: port.shape.clone(),
            given_dtype: dtype,
            given_shape: shape.to_vec(),
        });
    }
    // The fields of a view are open, so its bytes are counted again here.
    let needed = crate::element_count(shape).and_then(|n| n.checked_mul(dtype.bytes()));
    let aligned = bytes.is_empty() || bytes.as_ptr().addr().is_multiple_of(dtype.bytes().max(1));
    if needed != Some(bytes.len()) || !aligned {
        let bytes = needed.unwrap_or(usize::MAX);
        return Err(RunError::Bytes { what, name: port.name.clone(), dtype, bytes });
    }
    Ok(())
}

/// Where the workers' scratch lies behind the arena: each worker's on lines of its own.
struct Stride {
    bytes: usize,
    workers: usize,
}

impl Stride {
    fn of(scratch: u64, workers: usize) -> Result<Self, RunError> {
        let out = RunError::Memory(crate::OutOfMemory(scratch));
        let bytes = usize::try_from(scratch).ok().and_then(|n| n.checked_next_multiple_of(128)).ok_or(out)?;
        Ok(Stride { bytes, workers })
    }

    fn offset(&self, program: &Program) -> usize {
        (program.memory.arena_bytes as usize).saturating_add(127) & !127
    }

    fn arena_bytes(&self, program: &Program) -> Result<usize, RunError> {
        let out = RunError::Memory(crate::OutOfMemory(program.memory.arena_bytes));
        self.bytes.checked_mul(self.workers).and_then(|n| n.checked_add(self.offset(program))).ok_or(out)
    }
}
