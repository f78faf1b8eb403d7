//! From places and lowered nodes to the table of steps: kernels numbered, operands resolved to byte regions.

use super::CompileError;
use super::library;
use super::weights::PackedWeights;
use crate::ir::{Graph, Layout, Node, NodeId, ValueId};
use crate::kernel::{self, KernelCall, LowerContext, Lowered, Operand, View};
use crate::plan::arena::{Span, lower_bound};
use crate::plan::{self, Home, Placement};
use crate::tile::{Kernel, Target};
use brolga_runtime::library::Routine;
use brolga_runtime::{Call, Memory, Region, Space, Step, TensorRegion};
use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;
use std::collections::HashMap;

/// Steps, and what they refer to.
pub(super) struct Schedule {
    pub steps: Vec<Step>,
    pub nodes: Vec<Option<NodeId>>,
    pub kernels: Vec<Kernel>,
    pub weights: PackedWeights,
    pub memory: Memory,
}

/// How a node is done.
enum Work {
    Kernels(Lowered),
    Library(Routine, Vec<ValueId>),
}

/// Lowers every node, assigns the arena and resolves operands.
pub(super) fn build(
    graph: &Graph,
    placement: &Placement,
    target: Target,
    exact: bool,
) -> Result<Schedule, CompileError> {
    let views: HashMap<ValueId, View> = placement.places.iter().map(|(v, p)| (*v, p.view.clone())).collect();
    let cx = LowerContext { graph, target, views: &views, exact };
    let mut work = Vec::new();
    let mut refused = Vec::new();
    for (step, id) in placement.order.iter().enumerate() {
        if placement.elided.contains(id) {
            continue;
        }
        let node = graph.node(*id);
        match work_of(&cx, node) {
            Ok(done) => work.push((step, node, done)),
            Err(why) => refused.push(format!("  '{}' ({}): {why}", node.name, kernel::op_name(&node.op))),
        }
    }
    if !refused.is_empty() {
        return Err(CompileError::Unsupported(refused));
    }
    let arena = Arena::new(placement, &work);
    plan::check(graph, placement, |buffer| arena.buffers[buffer])?;
    let mut builder = Builder {
        graph,
        placement,
        arena,
        kernels: IndexSet::default(),
        weights: PackedWeights::default(),
        scratch: 0,
    };
    let mut steps = Vec::new();
    let mut nodes = Vec::new();
    for (_, node, done) in &work {
        steps.push(builder.step(node, done));
        nodes.push(Some(node.id));
    }
    for (value, output) in &placement.copies {
        steps.push(builder.copy(*value, *output));
        nodes.push(None);
    }
    let memory = Memory {
        arena_bytes: builder.arena.bytes as u64,
        scratch_bytes: builder.scratch as u64,
        lower_bound_bytes: builder.arena.bound as u64,
    };
    Ok(Schedule { steps, nodes, kernels: builder.kernels.into_iter().collect(), weights: builder.weights, memory })
}

/// Kernels where there are some, else a library call over plain operands.
fn work_of(cx: &LowerContext, node: &Node) -> Result<Work, String> {
    let no_kernel = match kernel::lower(cx, node) {
        Ok(lowered) => return Ok(Work::Kernels(lowered)),
        Err(e) => e,
    };
    let plain = |v: &ValueId| cx.graph.ty(*v).layout == Layout::Plain;
    let dense = |v: &ValueId| {
        let width = cx.graph.ty(*v).dtype.bytes();
        cx.view(*v).is_ok_and(|view| view.is_dense_plain(width))
    };
    if !node.inputs.iter().chain(&node.outputs).all(|v| plain(v) && dense(v)) {
        return Err(no_kernel.to_string());
    }
    match library::call(cx.graph, node) {
        Some((call, operands)) => Ok(Work::Library(call, operands)),
        None => Err(no_kernel.to_string()),
    }
}

/// Offsets of the plan's buffers and of each step's temporaries.
struct Arena {
    buffers: Vec<usize>,
    /// Per step position: offsets of its temporaries.
    temporaries: HashMap<NodeId, Vec<usize>>,
    bytes: usize,
    bound: usize,
}

impl Arena {
    fn new(placement: &Placement, work: &[(usize, &Node, Work)]) -> Arena {
        let mut spans = Vec::new();
        let mut owner = Vec::new();
        for (i, buffer) in placement.buffers.iter().enumerate() {
            if buffer.home == Home::Arena && buffer.live.0 != usize::MAX {
                spans.push(Span { bytes: buffer.bytes, live: buffer.live });
                owner.push(Err(i));
            }
        }
        for (step, node, done) in work {
            if let Work::Kernels(lowered) = done {
                for bytes in &lowered.temporaries {
                    spans.push(Span { bytes: *bytes, live: (*step, *step) });
                    owner.push(Ok(node.id));
                }
            }
        }
        let arena = plan::assign(&spans);
        let mut made = Arena {
            buffers: vec![0; placement.buffers.len()],
            temporaries: HashMap::new(),
            bytes: arena.bytes,
            bound: lower_bound(&spans),
        };
        for (owner, offset) in owner.into_iter().zip(arena.offsets) {
            match owner {
                Err(buffer) => made.buffers[buffer] = offset,
                Ok(node) => made.temporaries.entry(node).or_default().push(offset),
            }
        }
        made
    }
}

struct Builder<'a> {
    graph: &'a Graph,
    placement: &'a Placement,
    arena: Arena,
    kernels: IndexSet<Kernel, FxBuildHasher>,
    weights: PackedWeights,
    scratch: usize,
}

impl Builder<'_> {
    fn number(&mut self, kernel: &Kernel) -> u32 {
        let known = self.kernels.get_index_of(kernel);
        known.unwrap_or_else(|| self.kernels.insert_full(kernel.clone()).0) as u32
    }

    fn value(&mut self, value: ValueId, offset: i64) -> Region {
        let place = &self.placement.places[&value];
        let buffer = &self.placement.buffers[place.buffer];
        let at = place.offset + offset;
        let (space, base) = match buffer.home {
            Home::Arena => (Space::Arena, self.arena.buffers[place.buffer]),
            Home::Input(i) => (Space::Input(i as u32), 0),
            Home::Output(i) => (Space::Output(i as u32), 0),
            Home::Weight(root) => (Space::Weights, self.weights.plain(root, buffer.bytes)),
        };
        Region { space, offset: (base as i64 + at).max(0) as u64 }
    }

    fn operands(&mut self, node: &Node, call: &KernelCall) -> Vec<Region> {
        let mut scratch = 0usize;
        let regions = call
            .operands
            .iter()
            .map(|operand| match operand {
                Operand::Value(value, offset) => self.value(*value, *offset),
                Operand::Packed(value, spec) => {
                    Region { space: Space::Weights, offset: self.weights.packed(*value, spec) as u64 }
                }
                Operand::Table(bytes) => Region { space: Space::Weights, offset: self.weights.table(bytes) as u64 },
                Operand::Scratch(bytes) => {
                    let offset = scratch as u64;
                    scratch += bytes.next_multiple_of(64);
                    Region { space: Space::Scratch, offset }
                }
                Operand::Temporary(i, at) => {
                    let offsets = self.arena.temporaries.get(&node.id);
                    let offset = offsets.and_then(|o| o.get(*i)).copied().unwrap_or(0);
                    Region { space: Space::Arena, offset: (offset + at) as u64 }
                }
            })
            .collect();
        self.scratch = self.scratch.max(scratch);
        regions
    }

    fn step(&mut self, node: &Node, work: &Work) -> Step {
        let (kernel, calls) = match work {
            Work::Kernels(lowered) => {
                let name =
                    lowered.calls.first().map_or_else(String::new, |c| main_call(lowered, c).kernel.name.clone());
                let calls = lowered
                    .calls
                    .iter()
                    .map(|call| Call::Kernel {
                        function: self.number(&call.kernel),
                        operands: self.operands(node, call),
                        args: call.args.clone(),
                        extent: call.extent,
                        barrier_before: call.barrier_before,
                    })
                    .collect();
                (name, calls)
            }
            Work::Library(call, operands) => {
                let inputs = operands.iter().map(|v| self.tensor(*v)).collect();
                let outputs = node.outputs.iter().map(|v| self.tensor(*v)).collect();
                (format!("library {call}"), vec![Call::Library { call: call.clone(), inputs, outputs }])
            }
        };
        Step { kernel, node: node.name.clone(), flops: crate::ir::flops(self.graph, node), calls }
    }

    fn tensor(&mut self, value: ValueId) -> TensorRegion {
        let region = self.value(value, 0);
        let ty = self.graph.ty(value);
        TensorRegion { region, dtype: ty.dtype, shape: ty.dims().unwrap_or_default() }
    }

    fn copy(&mut self, value: ValueId, output: usize) -> Step {
        let from = self.value(value, 0);
        let to = Region { space: Space::Output(output as u32), offset: 0 };
        let bytes = self.graph.ty(value).stored_bytes().unwrap_or(0) as u64;
        let node = self.graph.value(value).name.clone();
        Step { kernel: "copy".into(), node, flops: 0, calls: vec![Call::Copy { from, to, bytes }] }
    }
}

/// The call that a step is named after: the one with the most operands.
fn main_call<'a>(lowered: &'a Lowered, first: &'a KernelCall) -> &'a KernelCall {
    lowered.calls.iter().fold(first, |best, call| {
        let weight = |c: &KernelCall| c.operands.len();
        if weight(call) > weight(best) { call } else { best }
    })
}
