//! One run of a program: every worker walks the steps, computes its share of each call and meets the others.
//!
//! A failure does not end a walk, because the others would wait at the next meeting for ever: the rest of the steps are passed by
//! without computing.
#![allow(unsafe_code)]

use crate::{
    Block, Call, Program, Region, RunError, Space, Step, Team, TensorRegion, TensorView, TensorViewMut, library,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Copies are divided at multiples of this many bytes, so that two workers do not write to one line.
const COPY_LINE: u64 = 128;

/// First bytes of the memories that regions lie in.
pub(crate) struct Bases {
    arena: *mut u8,
    scratch: *mut u8,
    scratch_stride: usize,
    weights: *mut u8,
    inputs: Vec<*mut u8>,
    outputs: Vec<*mut u8>,
}

// SAFETY: the memories outlive the walk, and the schedule keeps workers from writing what others use between two meetings.
unsafe impl Sync for Bases {}

impl Bases {
    pub(crate) fn new(
        arena: &Block,
        scratch_offset: usize,
        scratch_stride: usize,
        program: &Program,
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorViewMut<'_>],
    ) -> Self {
        Bases {
            arena: arena.start(),
            scratch: arena.start().wrapping_add(scratch_offset),
            scratch_stride,
            weights: program.weights.bytes().as_ptr().cast_mut(),
            inputs: inputs.iter().map(|view| view.bytes.as_ptr().cast_mut()).collect(),
            outputs: outputs.iter_mut().map(|view| view.bytes.as_mut_ptr()).collect(),
        }
    }

    /// Address of a region for a worker. `Program::check` has seen that the region exists.
    fn address(&self, region: Region, worker: usize) -> *mut u8 {
        let base = match region.space {
            Space::Arena => self.arena,
            Space::Weights => self.weights,
            Space::Scratch => self.scratch.wrapping_add(worker * self.scratch_stride),
            Space::Input(i) => self.inputs.get(i as usize).copied().unwrap_or(std::ptr::null_mut()),
            Space::Output(i) => self.outputs.get(i as usize).copied().unwrap_or(std::ptr::null_mut()),
        };
        base.wrapping_add(region.offset as usize)
    }
}

/// The place of a failure: step, call, worker. The first one is reported, whichever worker is quicker.
type Place = (usize, usize, usize);

/// A run under way.
pub(crate) struct Walk<'a> {
    program: &'a Program,
    bases: Bases,
    cancel: Option<&'a AtomicBool>,
    deadline: Option<Instant>,
    stop: AtomicBool,
    failure: Mutex<Option<(Place, RunError)>>,
    timed: bool,
    timings: Mutex<Vec<Duration>>,
    /// For each call in order, what [`Team::ranges`] counts.
    taken: Vec<AtomicU64>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        program: &'a Program,
        bases: Bases,
        cancel: Option<&'a AtomicBool>,
        deadline: Option<Instant>,
        timed: bool,
    ) -> Self {
        let (stop, failure, timings) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
        let calls = program.steps.iter().map(|step| step.calls.len()).sum();
        let taken = std::iter::repeat_with(AtomicU64::default).take(calls).collect();
        Walk { program, bases, cancel, deadline, stop, failure, timed, timings, taken }
    }

    /// The whole program on this thread; false after a panic.
    pub(crate) fn run_alone(&self) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.run(Team::alone()))).is_ok()
    }

    /// One worker's walk.
    pub(crate) fn run(&self, team: Team<'_>) {
        let first = team.worker == 0;
        let mut operands = Vec::new();
        let mut times = Vec::new();
        let mut taken = self.taken.iter();
        for (index, step) in self.program.steps.iter().enumerate() {
            let begin = (first && self.timed).then(Instant::now);
            if first && let Some(error) = self.told_to_stop() {
                self.fail((index, 0, 0), error);
            }
            self.step(index, (step, &mut taken), team, &mut operands);
            team.meet();
            times.extend(begin.map(|begin| begin.elapsed()));
        }
        if first && self.timed {
            *self.timings.lock().unwrap_or_else(PoisonError::into_inner) = times;
        }
    }

    /// What the walk found: a failure, and the times of the steps.
    pub(crate) fn finish(self) -> (Option<RunError>, Vec<Duration>) {
        let failure = self.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        let timings = self.timings.into_inner().unwrap_or_else(PoisonError::into_inner);
        (failure.map(|(_, error)| error), timings)
    }

    fn told_to_stop(&self) -> Option<RunError> {
        if self.cancel.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return Some(RunError::Cancelled);
        }
        self.deadline.filter(|deadline| Instant::now() >= *deadline).map(|_| RunError::Deadline)
    }

    fn fail(&self, place: Place, error: RunError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.as_ref().is_none_or(|(earlier, _)| place < *earlier) {
            *failure = Some((place, error));
        }
        self.stop.store(true, Ordering::Relaxed);
    }

    fn step(
        &self,
        index: usize,
        (step, taken): (&Step, &mut std::slice::Iter<'_, AtomicU64>),
        team: Team<'_>,
        operands: &mut Vec<*mut u8>,
    ) {
        let mut previous = None;
        for (number, (call, taken)) in step.calls.iter().zip(taken).enumerate() {
            if meets_before(previous, call) {
                team.meet();
            }
            previous = Some(call);
            if self.stop.load(Ordering::Relaxed) {
                continue;
            }
            if let Err(detail) = self.call((call, taken), team, operands) {
                let (kernel, node) = (step.kernel.clone(), step.node.clone());
                self.fail((index, number, team.worker), RunError::Step { step: index, kernel, node, detail });
            }
        }
    }

    fn call(
        &self,
        (call, taken): (&Call, &AtomicU64),
        team: Team<'_>,
        operands: &mut Vec<*mut u8>,
    ) -> Result<(), String> {
        match call {
            Call::Kernel { function, operands: regions, args, extent, .. } => {
                let Some(entry) = self.program.functions.entries.get(*function as usize) else {
                    return Err(format!("there is no function {function}"));
                };
                operands.clear();
                operands.extend(regions.iter().map(|region| self.bases.address(*region, team.worker)));
                for range in team.ranges(*extent, taken) {
                    // SAFETY: the compiler made code, operands and extent for each other, `Instance::new` checked the level, and
                    // the owner of the code lives in the program.
                    let code = unsafe { entry(operands.as_ptr(), args.as_ptr(), range.start as i64, range.end as i64) };
                    if code != 0 {
                        return Err(format!("check {code} in the kernel did not hold"));
                    }
                }
                Ok(())
            }
            Call::Copy { from, to, bytes } => {
                let share = team.share(bytes.div_ceil(COPY_LINE));
                let (begin, end) = (share.start * COPY_LINE, (share.end * COPY_LINE).min(*bytes));
                if begin < end {
                    let from = self.bases.address(*from, team.worker).wrapping_add(begin as usize);
                    let to = self.bases.address(*to, team.worker).wrapping_add(begin as usize);
                    // SAFETY: `Program::check` has seen that both ranges are inside their memories and apart.
                    unsafe { std::ptr::copy_nonoverlapping(from, to, (end - begin) as usize) };
                }
                Ok(())
            }
            Call::Library { call, inputs, outputs } if team.worker == 0 => {
                crate::within_threads(team.workers, || self.run_library(call, inputs, outputs))
            }
            Call::Library { .. } => Ok(()),
        }
    }

    fn run_library(
        &self,
        call: &library::Routine,
        inputs: &[TensorRegion],
        outputs: &[TensorRegion],
    ) -> Result<(), String> {
        let Some(run) = self.program.functions.run_library else { return Err("there is no library".into()) };
        let size = |tensor: &TensorRegion| tensor.shape.iter().product::<usize>() * tensor.dtype.bytes();
        let read = |tensor: &'_ TensorRegion| {
            // SAFETY: `Program::check` has seen that the range is inside its memory, aligned, and apart from what is written; no
            // other worker computes until the next meeting.
            unsafe { std::slice::from_raw_parts(self.bases.address(tensor.region, 0).cast_const(), size(tensor)) }
        };
        // An operand whose place the result takes is read now.
        let replaced = |tensor: &TensorRegion| outputs.iter().any(|out| out.region == tensor.region);
        let kept: Vec<Option<Vec<u64>>> =
            inputs.iter().map(|tensor| replaced(tensor).then(|| words(read(tensor)))).collect();
        let inputs: Vec<TensorView<'_>> = inputs
            .iter()
            .zip(&kept)
            .map(|(tensor, kept)| {
                let bytes = match kept {
                    Some(words) => &bytemuck::cast_slice(words)[..size(tensor)],
                    None => read(tensor),
                };
                TensorView { dtype: tensor.dtype, shape: &tensor.shape, bytes }
            })
            .collect();
        let mut outputs: Vec<TensorViewMut<'_>> = outputs
            .iter()
            .map(|tensor| {
                let start = self.bases.address(tensor.region, 0);
                // SAFETY: as above, and no two results overlap.
                let bytes = unsafe { std::slice::from_raw_parts_mut(start, size(tensor)) };
                TensorViewMut { dtype: tensor.dtype, shape: &tensor.shape, bytes }
            })
            .collect();
        match catch_unwind(AssertUnwindSafe(|| run(call, &inputs, &mut outputs))) {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the library stopped unexpectedly; this is a fault of the runtime".into()),
        }
    }
}

/// A copy of bytes that is aligned for every element type.
fn words(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    words
}

/// Whether the workers meet before a call. A library call runs on one worker, so all meet on both sides of it; copies that follow
/// each other are independent.
fn meets_before(previous: Option<&Call>, call: &Call) -> bool {
    match (previous, call) {
        (None, _) => false,
        (Some(Call::Library { .. }), _) | (_, Call::Library { .. }) => true,
        (_, Call::Kernel { barrier_before, .. }) => *barrier_before,
        (Some(Call::Copy { .. }), Call::Copy { .. }) => false,
        (_, Call::Copy { .. }) => true,
    }
}
