//! Where the time of a run goes: every step of every program, and what the library computes outside of them.

use crate::ir::{Graph, Node, Op};
use crate::kernel::op_name;
use brolga_runtime::Instance;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Names of nodes that stand for a region.
const NAMED: usize = 3;

/// Filled by a run.
#[derive(Default)]
pub struct Profile {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    parts: Vec<Part>,
    /// Position of what has run before: a program or a stage by its address, and a step of it.
    seen: HashMap<(usize, usize), usize>,
    /// Keeps the addresses apart.
    programs: Vec<Arc<Instance>>,
    total: Duration,
}

/// A step of a program, a node or a region that the library computes, or what a node with bodies does between them.
#[derive(Clone, Debug)]
pub struct Part {
    /// Kernel, or what of the library.
    pub kernel: String,
    /// Names of the model's nodes that it computes.
    pub node: String,
    /// Multiplications and additions of all the times that it ran.
    pub flops: u64,
    /// Time of all of them.
    pub time: Duration,
    /// How often it ran.
    pub times: u64,
}

impl Profile {
    /// The parts, in the order in which they first ran.
    pub fn into_parts(self) -> Vec<Part> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).parts
    }

    /// Adds a run of a program, by the time of each of its steps.
    pub fn add_program(&self, instance: &Arc<Instance>, timings: &[Duration]) {
        let address = Arc::as_ptr(instance).addr();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.programs.iter().any(|known| Arc::ptr_eq(known, instance)) {
            state.programs.push(instance.clone());
        }
        for (number, (step, time)) in instance.program().steps.iter().zip(timings).enumerate() {
            let name = || (step.kernel.clone(), step.node.clone());
            state.add((address, number), *time, step.flops, name);
        }
    }

    /// Runs what the library computes; the time of parts within it is theirs.
    pub(super) fn outside<T>(
        &self,
        stage: usize,
        name: impl FnOnce() -> (String, String),
        run: impl FnOnce() -> T,
    ) -> T {
        let total = || self.state.lock().unwrap_or_else(PoisonError::into_inner).total;
        let (before, start) = (total(), Instant::now());
        let result = run();
        let own = start.elapsed().saturating_sub(total().saturating_sub(before));
        self.state.lock().unwrap_or_else(PoisonError::into_inner).add((stage, usize::MAX), own, 0, name);
        result
    }
}

impl State {
    fn add(&mut self, key: (usize, usize), time: Duration, flops: u64, name: impl FnOnce() -> (String, String)) {
        self.total += time;
        let next = self.parts.len();
        let at = *self.seen.entry(key).or_insert(next);
        if at == next {
            let (kernel, node) = name();
            self.parts.push(Part { kernel, node, flops: 0, time: Duration::ZERO, times: 0 });
        }
        if let Some(part) = self.parts.get_mut(at) {
            part.flops = part.flops.saturating_add(flops);
            part.time += time;
            part.times += 1;
        }
    }
}

/// A dynamic node, for a report.
pub(super) fn of_node(node: &Node) -> (String, String) {
    (kind(&node.op), node.name.clone())
}

fn kind(op: &Op) -> String {
    match op {
        Op::Deferred { op, .. } => kind(op),
        Op::Function { function, .. } => format!("library {}", function.name),
        Op::If { .. } => "If".into(),
        Op::Loop { .. } => "Loop".into(),
        Op::Scan { .. } => "Scan".into(),
        op => format!("library {}", op_name(op)),
    }
}

/// A region that the library computes node by node, for a report.
pub(super) fn of_region(graph: &Graph) -> (String, String) {
    let mut names: Vec<&str> = graph.topological().into_iter().map(|id| graph.node(id).name.as_str()).collect();
    let count = names.len();
    if count > NAMED {
        names.truncate(NAMED);
        names.push("...");
    }
    (format!("library, {count} nodes"), names.join(", "))
}
