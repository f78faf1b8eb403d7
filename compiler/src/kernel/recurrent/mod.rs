//! Recurrent cells: RNN, GRU and LSTM over all steps of a sequence, the input's share of the gates being an operand.
//!
//! The steps of a sequence follow each other inside an item; what workers divide is directions and samples. In each step the
//! hidden states of a few samples are multiplied with the recurrent weights in register tiles (`product`), the weights packed
//! in the order in which they are read; the gates go to scratch memory, and from there, a vector of hidden units at a time,
//! through the cell's functions (`cell`). Formulas: <https://onnx.ai/onnx/operators/onnx__LSTM.html> and its neighbours.

mod cell;
mod product;

use super::operand::place;
use super::{KernelCall, LowerContext, Lowered, NoKernel, Operand, PackLoop, PackPiece, PackSpec};
use crate::ir::{Graph, Node, Op, ValueId};
use crate::tile::{Access, Builder, Cmp, Cond, Kernel, PointerRef, ScalarId, ScalarOp, Target};
use brolga_runtime::DType;
use brolga_runtime::library::Function;

/// A cell, whose gates lie side by side: RNN i; GRU z, r, h; LSTM i, o, f, c.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cell {
    /// One gate.
    Rnn,
    /// Three; whether the reset gate scales the product with the hidden state instead of the hidden state.
    Gru {
        /// Scales the product.
        linear: bool,
    },
    /// Four, and a cell state.
    Lstm,
}

impl Cell {
    fn gates(self) -> usize {
        match self {
            Cell::Rnn => 1,
            Cell::Gru { .. } => 3,
            Cell::Lstm => 4,
        }
    }
    /// The functions of one direction, by default.
    fn activations(self) -> &'static [&'static str] {
        match self {
            Cell::Rnn => &["tanh"],
            Cell::Gru { .. } => &["sigmoid", "tanh"],
            Cell::Lstm => &["sigmoid", "tanh", "tanh"],
        }
    }
}

/// A sequence of steps, for some samples.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Cell.
    pub cell: Cell,
    /// Steps of the sequence.
    pub steps: usize,
    /// Samples of the whole batch.
    pub batch: usize,
    /// Elements of a hidden state.
    pub hidden: usize,
    /// Whether each direction runs backwards.
    pub backwards: Vec<bool>,
    /// First sample, samples of an item, and items.
    pub samples: (usize, usize, usize),
    /// Vectors of a panel of weights.
    pub panel: usize,
    /// Whether there are biases, first hidden states and first cell states.
    pub given: [bool; 3],
}

/// The bases of a kernel, moved to an item's direction and first sample.
struct Bases {
    /// Results: all steps, the state, the cell state.
    y: PointerRef,
    state: PointerRef,
    memory: Option<PointerRef>,
    projected: PointerRef,
    weights: PointerRef,
    bias: Option<PointerRef>,
    /// Gates by sample, each filled up to whole panels.
    gates: PointerRef,
}

impl Spec {
    fn directions(&self) -> usize {
        self.backwards.len()
    }
    /// Panels of one gate.
    fn panels(&self, lanes: u32) -> usize {
        self.hidden.div_ceil(self.panel * lanes as usize)
    }
    /// Elements of a gate in scratch memory.
    fn padded(&self, lanes: u32) -> usize {
        self.panels(lanes) * self.panel * lanes as usize
    }
    /// Bytes of a worker's scratch memory.
    pub fn scratch(&self, lanes: u32) -> usize {
        4 * self.samples.1 * self.cell.gates() * self.padded(lanes)
    }
    /// The order of the weights `[directions, hidden, gates * hidden]`: by direction, gate, panel, row.
    pub fn packing(&self, lanes: u32) -> PackSpec {
        let (hidden, gates, width) = (self.hidden, self.cell.gates(), self.panel * lanes as usize);
        let shape = vec![self.directions(), hidden, gates * hidden];
        let l = |count: usize, dim: usize, step: usize| PackLoop { count, dim, step };
        let loops = vec![
            l(self.directions(), 0, 1),
            l(gates, 2, hidden),
            l(self.panels(lanes), 2, width),
            l(hidden, 1, 1),
            l(width, 2, 1),
        ];
        // Lanes beyond a gate are the next gate's: they are computed and not read.
        PackSpec::new(shape.clone(), vec![PackPiece { start: vec![0; 3], end: shape, loops }])
    }

    /// The program and its number of items. Its bases are the results, the projected input, the weights, the biases and first
    /// states that are given, and scratch memory.
    pub fn build(&self, target: Target) -> (Kernel, u64) {
        let kind = match self.cell {
            Cell::Rnn => "rnn",
            Cell::Gru { .. } => "gru",
            Cell::Lstm => "lstm",
        };
        let (_, samples, tiles) = self.samples;
        let name = format!("{kind}-{samples}x{}-h{}-{}", self.panel * target.lanes as usize, self.hidden, self.steps);
        let mut k = Builder::new(name, target);
        let (y, state) = (k.base("y", Access::Write), k.base("state", Access::Write));
        let memory = (self.cell == Cell::Lstm).then(|| k.base("memory", Access::Write));
        let (projected, weights) = (k.base("projected", Access::Read), k.base("weights", Access::Read));
        let mut given = |i: usize, name: &str| self.given[i].then(|| k.base(name, Access::Read));
        let (bias, first_state, first_memory) = (given(0, "bias"), given(1, "first_state"), given(2, "first_memory"));
        let gates = k.base("gates", Access::Write);
        let (begin, end) = (k.begin(), k.end());
        k.for_(begin, end, 1, |k, item| {
            let direction = k.div_const(item, tiles as i64);
            let tile = k.rem_const(item, tiles as i64);
            let sample = k.mul_const(tile, samples as i64);
            let sample = k.add_const(sample, self.samples.0 as i64);
            let states = self.offset(k, (direction, self.batch * self.hidden), (sample, self.hidden));
            let own = self.cell.gates() * self.hidden;
            let columns = self.offset(k, (direction, own), (sample, self.directions() * own));
            let panels = self.cell.gates() * self.panels(target.lanes) * self.panel * target.lanes as usize;
            let panels = k.mul_const(direction, 4 * (panels * self.hidden) as i64);
            let bases = Bases {
                y: k.pointer(y, states),
                state: k.pointer(state, states),
                memory: memory.map(|memory| k.pointer(memory, states)),
                projected: k.pointer(projected, columns),
                weights: k.pointer(weights, panels),
                bias: bias.map(|bias| {
                    let offset = k.mul_const(direction, 4 * own as i64);
                    k.pointer(bias, offset)
                }),
                gates,
            };
            let first = first_state.map(|first| k.pointer(first, states));
            self.start(k, bases.state, first);
            if let Some(memory) = bases.memory {
                let first = first_memory.map(|first| k.pointer(first, states));
                self.start(k, memory, first);
            }
            k.for_count(self.steps as i64, |k, step| {
                let step = self.turned(k, step, direction);
                self.step(k, &bases, step);
            });
        });
        (k.finish(), (self.directions() * tiles) as u64)
    }

    /// Bytes of so many and so many elements.
    fn offset(&self, k: &mut Builder, a: (ScalarId, usize), b: (ScalarId, usize)) -> ScalarId {
        let (a, b) = (k.mul_const(a.0, 4 * a.1 as i64), k.mul_const(b.0, 4 * b.1 as i64));
        k.sadd(a, b)
    }

    /// The step that a direction takes at this turn.
    fn turned(&self, k: &mut Builder, step: ScalarId, direction: ScalarId) -> ScalarId {
        let last = k.num(self.steps as i64 - 1);
        match self.backwards[..] {
            [false] => step,
            [true] => k.ssub(last, step),
            _ => {
                let (back, zero) = (k.ssub(last, step), k.num(0));
                let forward = Cond { cmp: Cmp::Eq, a: direction, b: zero };
                k.scalar(ScalarOp::Select(forward, step, back))
            }
        }
    }

    fn step(&self, k: &mut Builder, bases: &Bases, step: ScalarId) {
        let own = self.directions() * self.hidden;
        let to = k.mul_const(step, 4 * (self.batch * own) as i64);
        let from = k.mul_const(step, 4 * (self.batch * own * self.cell.gates()) as i64);
        let here = Bases { y: k.pointer(bases.y, to), projected: k.pointer(bases.projected, from), ..*bases };
        let (state, each) = (here.state, 4 * self.hidden as i64);
        match self.cell {
            Cell::Rnn | Cell::Lstm => self.product(k, &here, 0..self.cell.gates(), (state, each), true),
            Cell::Gru { linear } => {
                self.product(k, &here, 0..2, (state, each), true);
                if linear {
                    self.product(k, &here, 2..3, (state, each), false);
                } else {
                    // The scaled states take the reset gates' place.
                    self.scale_states(k, &here);
                    let padded = 4 * self.padded(k.lanes()) as i64;
                    let offset = k.num(padded);
                    let scaled = k.pointer(here.gates, offset);
                    self.product(k, &here, 2..3, (scaled, 3 * padded), true);
                }
            }
        }
        self.advance(k, &here);
    }
}

/// A node of this family, its operands where they are given.
struct Sequence {
    cell: Cell,
    backwards: Vec<bool>,
    projected: ValueId,
    recurrent: ValueId,
    bias: Option<ValueId>,
    first: [Option<ValueId>; 2],
}

impl Sequence {
    fn of(function: &Function, inputs: &[ValueId]) -> Result<Sequence, NoKernel> {
        let cell = match function.name.as_str() {
            "rnn" => Cell::Rnn,
            "gru" => Cell::Gru { linear: function.int("linear_before_reset", 0) != 0 },
            "lstm" => Cell::Lstm,
            name => return Err(NoKernel(format!("{name} is no recurrent cell"))),
        };
        let backwards = match function.text("direction", "forward") {
            "forward" => vec![false],
            "reverse" => vec![true],
            "bidirectional" => vec![false, true],
            other => return Err(NoKernel(format!("direction {other}"))),
        };
        let mut given = inputs.iter().copied();
        let operands: Vec<Option<ValueId>> =
            function.operands.iter().map(|there| if *there { given.next() } else { None }).collect();
        let at = |i: usize| operands.get(i).copied().flatten();
        let no = |why: &str| Err(NoKernel(why.into()));
        if at(3).is_some() || at(6).is_some() {
            return no("lengths of samples, or peepholes");
        }
        let named: Vec<String> = function.texts("activations").iter().map(|name| name.to_lowercase()).collect();
        let usual = cell.activations().iter().cycle().take(cell.activations().len() * backwards.len());
        let usual = named.is_empty() || named.iter().eq(usual);
        if !usual || function.has("clip") || function.int("input_forget", 0) != 0 {
            return no("functions other than the usual ones, a clip, or coupled gates");
        }
        let (Some(projected), Some(recurrent)) = (at(0), at(1)) else { return no("operands that are missing") };
        Ok(Sequence { cell, backwards, projected, recurrent, bias: at(2), first: [at(4), at(5)] })
    }

    /// Steps, batch and hidden elements, where all operands and results fit together.
    fn extents(&self, graph: &Graph, outputs: &[ValueId]) -> Option<[usize; 3]> {
        let dims = |value: ValueId| Some(graph.ty(value).dims()?).filter(|_| graph.ty(value).dtype == DType::F32);
        let (&[steps, batch, columns], &[directions, hidden, own]) =
            (&dims(self.projected)?[..], &dims(self.recurrent)?[..])
        else {
            return None;
        };
        let state = [directions, batch, hidden];
        let results = [vec![steps, directions, batch, hidden], state.to_vec(), state.to_vec()];
        let given = |value: &Option<ValueId>, shape: &[usize]| match value {
            None => true,
            Some(value) => dims(*value).as_deref() == Some(shape),
        };
        let fits = directions == self.backwards.len()
            && own == self.cell.gates() * hidden
            && columns == directions * own
            && hidden > 0
            && given(&self.bias, &[directions, own])
            && self.first.iter().all(|first| given(first, &state))
            && outputs.len() == if self.cell == Cell::Lstm { 3 } else { 2 }
            && outputs.iter().zip(&results).all(|(value, shape)| dims(*value).as_ref() == Some(shape));
        fits.then_some([steps, batch, hidden])
    }
}

/// Samples of an item at most, and vectors of a panel: as many sums as leave registers for weights and one state.
fn tile(target: Target, batch: usize, hidden: usize) -> (usize, usize) {
    let (samples, most) = match (target.registers > 16, batch) {
        (true, 1) => (1, 8),
        (true, _) => (6, 4),
        (false, 1) => (1, 6),
        (false, _) => (5, 2),
    };
    let tiles = batch.div_ceil(samples).max(1);
    let vectors = hidden.div_ceil(target.lanes as usize);
    (batch.div_ceil(tiles).max(1), vectors.div_ceil(vectors.div_ceil(most)))
}

/// Lowers the functions `rnn`, `gru` and `lstm`.
pub fn lower(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    let Op::Function { function, .. } = &node.op else { return Err(NoKernel("no recurrent cell".into())) };
    let sequence = Sequence::of(function, &node.inputs)?;
    let [steps, batch, hidden] = sequence
        .extents(cx.graph, &node.outputs)
        .ok_or_else(|| NoKernel("operands that do not fit together or are not f32".into()))?;
    let views = std::iter::once(&sequence.projected).chain(&node.outputs).chain(sequence.first.iter().flatten());
    for value in views.chain(&sequence.bias) {
        if cx.graph.weight(*value).is_none() && !cx.view(*value)?.is_dense_plain(4) {
            return Err(NoKernel("operands that are not contiguous".into()));
        }
    }
    let (samples, panel) = tile(cx.target, batch, hidden);
    let whole = batch / samples;
    let mut calls = Vec::new();
    for (first, samples, tiles) in [(0, samples, whole), (whole * samples, batch - whole * samples, 1)] {
        if samples * tiles == 0 {
            continue;
        }
        let given = [sequence.bias.is_some(), sequence.first[0].is_some(), sequence.first[1].is_some()];
        let (cell, backwards) = (sequence.cell, sequence.backwards.clone());
        let samples = (first, samples, tiles);
        let spec = Spec { cell, steps, batch, hidden, backwards, samples, panel, given };
        let mut operands: Vec<Operand> = node.outputs.iter().map(|result| Operand::Value(*result, 0)).collect();
        operands.push(place(cx, sequence.projected)?.0);
        operands.push(Operand::Packed(sequence.recurrent, spec.packing(cx.target.lanes)));
        for value in std::iter::once(&sequence.bias).chain(&sequence.first).flatten() {
            operands.push(place(cx, *value)?.0);
        }
        operands.push(Operand::Scratch(spec.scratch(cx.target.lanes)));
        let (kernel, extent) = spec.build(cx.target);
        calls.push(KernelCall { kernel, operands, args: vec![], extent, barrier_before: false });
    }
    Ok(Lowered { calls, temporaries: vec![] })
}
