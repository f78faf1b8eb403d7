//! Runs one node through its kernels and compares with the graph evaluator: every lane count in the Tile evaluator, every
//! level of this machine as machine code, whole and in three shares.

#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{KernelCall, LowerContext, Lowered, NoKernel, Operand, View};
use crate::codegen::{JitCode, LevelTarget, emit_code};
use crate::ir::{Graph, Halo, Layout, Node, Op, Type, ValueId, Weight, eval};
use crate::tile::{Access, Buffer, Evaluator, Target};
use brolga_runtime::{DType, Level, Tensor};
use std::collections::HashMap;

/// How a tensor of a case lies in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// Row-major.
    Plain,
    /// Row-major inside a larger tensor.
    Gap,
    /// In channel blocks of the target's lanes, with this many zeros above, left, below and right.
    Blocked([u32; 4]),
    /// A constant.
    Weight,
}

/// One node with its operands.
pub struct Case {
    /// Operation.
    pub op: Op,
    /// Operands.
    pub inputs: Vec<(Tensor, Place)>,
    /// Where the results lie.
    pub outputs: Vec<Place>,
    /// Largest absolute error and largest relative error; an element passes that is within either.
    pub tolerance: (f32, f32),
}

/// A lowering.
pub type Lowering<'a> = dyn Fn(&LowerContext<'_>, &Node) -> Result<Lowered, NoKernel> + 'a;

impl Case {
    /// A case with one result.
    pub fn new(op: Op, inputs: Vec<(Tensor, Place)>, output: Place) -> Case {
        Case { op, inputs, outputs: vec![output], tolerance: (1e-6, 1e-5) }
    }
    /// The same with a tolerance.
    pub fn within(mut self, absolute: f32, relative: f32) -> Case {
        self.tolerance = (absolute, relative);
        self
    }

    /// The case as a graph of plain values.
    pub fn typed(&self) -> Graph {
        self.graph(1, false).0
    }

    fn graph(&self, lanes: u32, laid_out: bool) -> (Graph, Vec<ValueId>, Vec<ValueId>) {
        let mut g = Graph::new("case");
        let mut ids = Vec::new();
        for (i, (tensor, place)) in self.inputs.iter().enumerate() {
            ids.push(match place {
                Place::Weight => g.add_weight(format!("w{i}"), Weight::from_tensor(tensor)),
                _ => g.add_input(format!("x{i}"), Type::known(tensor.dtype(), tensor.shape())),
            });
        }
        let results = g.add_node(self.op.clone(), &ids, self.outputs.len(), "node").expect("the case has types");
        for (i, r) in results.iter().enumerate() {
            g.add_output(format!("y{i}"), *r);
        }
        if laid_out {
            let places = self.inputs.iter().map(|(_, p)| *p).chain(self.outputs.iter().copied());
            for (id, place) in ids.iter().chain(&results).zip(places) {
                let mut ty = g.ty(*id).clone();
                ty.layout = layout(place, lanes);
                g.set_type(*id, ty);
            }
        }
        (g, ids, results)
    }

    /// Lowers and runs the case everywhere. The error is the lowering's; everything else that is wrong panics.
    pub fn check(&self, lower: &Lowering<'_>) -> Result<(), NoKernel> {
        let (graph, ..) = self.graph(4, false);
        let tensors: Vec<Tensor> =
            self.inputs.iter().filter(|(_, p)| *p != Place::Weight).map(|(t, _)| t.clone()).collect();
        let want = eval::evaluate(&graph, &tensors).expect("the evaluator takes the case");
        for level in [Level::X86_64, Level::X86_64V3, Level::X86_64V4] {
            let target = level.target();
            let (machine, lowered) = self.prepare(target, lower)?;
            for call in &lowered.calls {
                emit_code(&call.kernel, level).unwrap_or_else(|e| panic!("{e}\n{}", call.kernel));
            }
            let mut whole = machine.clone();
            whole.run(&lowered, 1, &mut evaluate);
            self.compare(&whole, &want, target);
            if level.available() {
                for parts in [1, 3] {
                    let mut compiled = machine.clone();
                    compiled
                        .run(&lowered, parts, &mut |call, bases, begin, end| execute(level, call, bases, begin, end));
                    compiled.same_bits(&whole, &lowered);
                }
            }
        }
        Ok(())
    }

    fn prepare(&self, target: Target, lower: &Lowering<'_>) -> Result<(Machine, Lowered), NoKernel> {
        let (graph, ids, results) = self.graph(target.lanes, true);
        let mut machine = Machine::default();
        for (id, (tensor, place)) in ids.iter().zip(&self.inputs) {
            if *place != Place::Weight {
                machine.allocate(*id, tensor.dtype(), tensor.shape(), *place, target.lanes);
                machine.write(*id, tensor);
            }
        }
        for (id, place) in results.iter().zip(&self.outputs) {
            machine.allocate(*id, graph.ty(*id).dtype, &graph.ty(*id).dims().unwrap(), *place, target.lanes);
        }
        machine.results = results;
        let views = machine.values.iter().map(|(id, m)| (*id, m.view.clone())).collect();
        let cx = LowerContext { graph: &graph, target, views: &views, exact: false };
        let node = graph.nodes().next().unwrap();
        let lowered = lower(&cx, node)?;
        machine.constants = constants(&graph, &lowered);
        machine.temporaries = lowered.temporaries.iter().map(|bytes| vec![0xee; *bytes]).collect();
        Ok((machine, lowered))
    }

    fn compare(&self, machine: &Machine, want: &[Tensor], target: Target) {
        for (id, want) in machine.results.iter().zip(want) {
            let memory = &machine.values[id];
            let got = memory.read(want);
            let ok = match want.dtype() {
                DType::F32 => {
                    let (got, want) = (got.as_slice::<f32>().unwrap(), want.as_slice::<f32>().unwrap());
                    got.iter().zip(want).position(|(g, w)| !self.close(*g, *w)).map(|at| (at, got[at], want[at]))
                }
                _ => {
                    let at = got.bytes().iter().zip(want.bytes()).position(|(a, b)| a != b);
                    at.map(|at| (at, f32::from(got.bytes()[at]), f32::from(want.bytes()[at])))
                }
            };
            if let Some((at, g, w)) = ok {
                let shapes: Vec<_> = self.inputs.iter().map(|(t, p)| (t.shape().to_vec(), *p)).collect();
                panic!("{:?} on {shapes:?} with {} lanes: element {at} is {g}, not {w}", self.op, target.lanes);
            }
            memory.check_filling(&self.op);
        }
    }

    fn close(&self, got: f32, want: f32) -> bool {
        let distance = (got - want).abs();
        got == want
            || got.is_nan() && want.is_nan()
            || distance <= self.tolerance.0
            || distance <= self.tolerance.1 * want.abs()
    }
}

fn layout(place: Place, lanes: u32) -> Layout {
    match place {
        Place::Blocked([top, left, bottom, right]) => {
            Layout::Blocked { lanes, halo: Halo { top, left, bottom, right } }
        }
        _ => Layout::Plain,
    }
}

fn constants(graph: &Graph, lowered: &Lowered) -> Vec<Vec<Vec<u8>>> {
    let bytes = |operand: &Operand| match operand {
        Operand::Packed(value, spec) => {
            let mut packed = vec![0f32; spec.len()];
            spec.pack(graph.weight(*value).expect("only constants are packed"), 0, &mut packed);
            packed.iter().flat_map(|x| x.to_le_bytes()).collect()
        }
        Operand::Table(bytes) => bytes.clone(),
        Operand::Scratch(bytes) => vec![0xee; *bytes],
        _ => Vec::new(),
    };
    lowered.calls.iter().map(|c| c.operands.iter().map(bytes).collect()).collect()
}

/// The memory of one value.
#[derive(Clone)]
struct Memory {
    bytes: Vec<u8>,
    first: usize,
    view: View,
    width: usize,
}

impl Memory {
    /// Byte offset of each logical element, row-major.
    fn offsets(&self) -> Vec<usize> {
        let (dims, strides): (Vec<usize>, Vec<i64>) = match &self.view {
            View::Plain { dims, strides } => (dims.clone(), strides.clone()),
            View::Blocked { dims, strides, .. } => (dims.to_vec(), strides.to_vec()),
        };
        let mut all = Vec::new();
        for i in 0..dims.iter().product() {
            let (mut rest, mut offset): (usize, usize) = (i, self.first);
            for d in (0..dims.len()).rev() {
                let mut at = rest % dims[d];
                rest /= dims[d];
                if let (View::Blocked { lanes, .. }, 1) = (&self.view, d) {
                    offset += at % lanes * self.width;
                    at /= lanes;
                }
                offset += at * strides[d] as usize;
            }
            all.push(offset);
        }
        all
    }
    fn read(&self, like: &Tensor) -> Tensor {
        let bytes: Vec<u8> =
            self.offsets().into_iter().flat_map(|o| self.bytes[o..o + self.width].iter().copied()).collect();
        Tensor::from_bytes(like.dtype(), like.shape(), &bytes).unwrap()
    }
    /// Halo and filling lanes of a blocked value are zeros; gaps of a plain one are untouched.
    fn check_filling(&self, op: &Op) {
        let mut logical = vec![false; self.bytes.len()];
        for o in self.offsets() {
            logical[o..o + self.width].fill(true);
        }
        let filling = if matches!(self.view, View::Blocked { .. }) { 0 } else { 0xff };
        let wrong = logical.iter().zip(&self.bytes).position(|(l, b)| !*l && *b != filling && *b | 0x80 != 0x80);
        assert!(wrong.is_none(), "{op:?}: byte {wrong:?} outside the elements is not {filling}");
    }
}

/// All memory of a case.
#[derive(Clone, Default)]
struct Machine {
    values: HashMap<ValueId, Memory>,
    results: Vec<ValueId>,
    constants: Vec<Vec<Vec<u8>>>,
    temporaries: Vec<Vec<u8>>,
}

/// One base of a call: its bytes and whether they may be written.
type Bases<'a> = [(&'a mut [u8], Access)];

impl Machine {
    fn allocate(&mut self, id: ValueId, dtype: DType, shape: &[usize], place: Place, lanes: u32) {
        let width = dtype.bytes();
        let (view, first) = View::dense(shape, layout(place, lanes), width);
        let mut ty = Type::known(dtype, shape);
        ty.layout = layout(place, lanes);
        let mut memory = Memory { bytes: vec![0xff; ty.stored_bytes().unwrap()], first: first as usize, view, width };
        if place == Place::Gap {
            let wider: Vec<usize> = shape.iter().map(|d| d + 1).collect();
            let strides = match View::dense(&wider, Layout::Plain, width).0 {
                View::Plain { strides, .. } => strides,
                View::Blocked { .. } => unreachable!(),
            };
            memory.bytes = vec![0xff; wider.iter().product::<usize>() * width];
            memory.view = View::Plain { dims: shape.to_vec(), strides };
        }
        self.values.insert(id, memory);
    }
    fn write(&mut self, id: ValueId, tensor: &Tensor) {
        let memory = self.values.get_mut(&id).unwrap();
        if matches!(memory.view, View::Blocked { .. }) {
            memory.bytes.fill(0);
        }
        for (from, to) in tensor.bytes().chunks_exact(memory.width).zip(memory.offsets()) {
            memory.bytes[to..to + from.len()].copy_from_slice(from);
        }
    }
    fn run(
        &mut self,
        lowered: &Lowered,
        parts: u64,
        run: &mut dyn FnMut(&KernelCall, &mut Bases<'_>, i64, i64) -> i32,
    ) {
        for (at, call) in lowered.calls.iter().enumerate() {
            for part in 0..parts {
                let begin = (call.extent * part / parts) as i64;
                let end = (call.extent * (part + 1) / parts) as i64;
                let mut held: Vec<Vec<u8>> = Vec::new();
                for (i, operand) in call.operands.iter().enumerate() {
                    held.push(match operand {
                        Operand::Value(id, offset) => {
                            let m = &self.values[id];
                            let start = usize::try_from(m.first as i64 + offset).expect("an offset inside the value");
                            m.bytes[start.min(m.bytes.len())..].to_vec()
                        }
                        Operand::Temporary(t, at) => self.temporaries[*t][*at..].to_vec(),
                        _ => self.constants[at][i].clone(),
                    });
                }
                let accesses = call.kernel.bases.iter().map(|b| b.access);
                let mut bases: Vec<(&mut [u8], Access)> =
                    held.iter_mut().map(Vec::as_mut_slice).zip(accesses).collect();
                assert_eq!(bases.len(), call.operands.len(), "one operand per base");
                let code = run(call, &mut bases, begin, end);
                assert_eq!(code, 0, "a check of {} failed", call.kernel.name);
                for ((operand, bytes), base) in call.operands.iter().zip(held).zip(&call.kernel.bases) {
                    match operand {
                        _ if base.access == Access::Read => {}
                        Operand::Value(id, offset) => {
                            let m = self.values.get_mut(id).unwrap();
                            let start = (m.first as i64 + offset) as usize;
                            m.bytes[start..].copy_from_slice(&bytes);
                        }
                        Operand::Temporary(t, _) => self.temporaries[*t] = bytes,
                        Operand::Scratch(_) => {}
                        other => panic!("a kernel writes to {other:?}"),
                    }
                }
            }
        }
    }
    fn same_bits(&self, other: &Machine, lowered: &Lowered) {
        for id in &self.results {
            let (a, b) = (&self.values[id], &other.values[id]);
            for at in a.offsets() {
                let (x, y) = (&a.bytes[at..at + a.width], &b.bytes[at..at + a.width]);
                let nan = |b: &[u8]| b.len() == 4 && f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_nan();
                if x != y && !(nan(x) && nan(y)) {
                    let kernels: Vec<String> = lowered.calls.iter().map(|c| c.kernel.to_string()).collect();
                    panic!("compiled code gives {x:?}, the evaluator {y:?} at byte {at}\n{}", kernels.join("\n"));
                }
            }
        }
    }
}

fn evaluate(call: &KernelCall, bases: &mut Bases<'_>, begin: i64, end: i64) -> i32 {
    let mut buffers: Vec<Buffer<'_>> = bases
        .iter_mut()
        .map(|(bytes, access)| if *access == Access::Write { Buffer::Write(bytes) } else { Buffer::Read(bytes) })
        .collect();
    let evaluator = Evaluator::new(&call.kernel).unwrap_or_else(|e| panic!("{e}\n{}", call.kernel));
    evaluator.run(&mut buffers, &call.args, begin, end).unwrap_or_else(|e| panic!("{e}\n{}", call.kernel))
}

fn execute(level: Level, call: &KernelCall, bases: &mut Bases<'_>, begin: i64, end: i64) -> i32 {
    let code = emit_code(&call.kernel, level).expect("the kernel compiles");
    let jit = JitCode::new(level, &[code]).expect("code in memory");
    let pointers: Vec<*mut u8> = bases.iter_mut().map(|(bytes, _)| bytes.as_mut_ptr()).collect();
    // SAFETY: the evaluator has run the same program on buffers of the same sizes without leaving them.
    unsafe { jit.entries()[0](pointers.as_ptr(), call.args.as_ptr(), begin, end) }
}

/// Floats in [-2, 2) from a fixed sequence.
pub fn floats(shape: &[usize], seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    let elements: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_slice(shape, &elements).expect("a tensor")
}
