//! What gates make of states: the functions of a cell, a vector of hidden units at a time.

use super::super::math::{sigmoid, tanh};
use super::super::nest::{Run, Stream, vectors};
use super::{Bases, Cell, Spec};
use crate::tile::{Builder, Index, Operand, PointerRef, ScalarId, Storage, VectorOp};

/// A vector of hidden units of one sample, in the rows that the constants name.
struct Units<'a> {
    rows: &'a [Stream],
    at: &'a Index,
    first: Option<ScalarId>,
}

/// The step's result.
const Y: usize = 0;
/// The hidden state.
const STATE: usize = 1;
/// The cell state, where there is one.
const MEMORY: usize = 2;
/// The input's share of a GRU's last gate.
const INPUT: usize = 3;
/// The first gate; the others follow.
const GATES: usize = 4;

impl Units<'_> {
    fn load(&self, k: &mut Builder, row: usize) -> Operand {
        self.rows[row].load(k, self.at, self.first)
    }
    fn store(&self, k: &mut Builder, row: usize, value: Operand) {
        self.rows[row].store(k, self.at, value, self.first);
    }
    /// Sigmoid of a gate.
    fn gate(&self, k: &mut Builder, gate: usize) -> Operand {
        let gate = self.load(k, GATES + gate);
        sigmoid(k, gate)
    }
}

fn row(pointer: PointerRef) -> Stream {
    Stream { pointer, stride: 4, storage: Storage::B32 }
}

impl Spec {
    /// The states at the start: those given, else zeros.
    pub(super) fn start(&self, k: &mut Builder, to: PointerRef, from: Option<PointerRef>) {
        let streams: Vec<Stream> = std::iter::once(to).chain(from).map(row).collect();
        let run = Run::Known(self.samples.1 * self.hidden);
        vectors(k, &streams, run, 1, &mut |k, streams, at, first| {
            let value = match streams.get(1) {
                Some(from) => from.load(k, at, first),
                None => {
                    let zero = k.float(0.0);
                    k.vector(VectorOp::Copy(zero))
                }
            };
            streams[0].store(k, at, value, first);
        });
    }

    /// A loop over the samples and the vectors of their hidden units.
    fn units(&self, k: &mut Builder, bases: &Bases, body: &mut dyn FnMut(&mut Builder, &Units<'_>)) {
        let (gates, padded) = (self.cell.gates(), self.padded(k.lanes()));
        let share = self.directions() * gates * self.hidden;
        k.for_count(self.samples.1 as i64, |k, sample| {
            let mut at = |base: PointerRef, each: usize, element: usize| {
                let offset = k.mul_const(sample, 4 * each as i64);
                let offset = k.add_const(offset, 4 * element as i64);
                row(k.pointer(base, offset))
            };
            let mut rows = vec![at(bases.y, self.hidden, 0), at(bases.state, self.hidden, 0)];
            rows.push(at(bases.memory.unwrap_or(bases.state), self.hidden, 0));
            rows.push(at(bases.projected, share, (gates - 1) * self.hidden));
            rows.extend((0..gates).map(|gate| at(bases.gates, gates * padded, gate * padded)));
            vectors(k, &rows, Run::Known(self.hidden), 1, &mut |k, rows, at, first| {
                body(k, &Units { rows, at, first })
            });
        });
    }

    /// GRU: scales the hidden states by the reset gates, and puts the update gates through their function.
    pub(super) fn scale_states(&self, k: &mut Builder, bases: &Bases) {
        self.units(k, bases, &mut |k, units| {
            let update = units.gate(k, 0);
            units.store(k, GATES, update);
            let (reset, state) = (units.gate(k, 1), units.load(k, STATE));
            let scaled = k.mul(state, reset);
            units.store(k, GATES + 1, scaled);
        });
    }

    /// The new states, and the results of the step.
    pub(super) fn advance(&self, k: &mut Builder, bases: &Bases) {
        self.units(k, bases, &mut |k, units| {
            let new = match self.cell {
                Cell::Rnn => {
                    let gate = units.load(k, GATES);
                    tanh(k, gate)
                }
                Cell::Gru { linear } => gru(k, units, linear),
                Cell::Lstm => lstm(k, units),
            };
            units.store(k, Y, new.clone());
            units.store(k, STATE, new);
        });
    }
}

/// `(1 - z) n + z h`; where the hidden states were scaled, the update gates are done.
fn gru(k: &mut Builder, units: &Units<'_>, linear: bool) -> Operand {
    let update = if linear { units.gate(k, 0) } else { units.load(k, GATES) };
    let mut new = units.load(k, GATES + 2);
    if linear {
        let (reset, input) = (units.gate(k, 1), units.load(k, INPUT));
        new = k.mul_add(reset, new, input);
    }
    let new = tanh(k, new);
    let state = units.load(k, STATE);
    let one = k.float(1.0);
    let rest = k.sub(one, update.clone());
    let kept = k.mul(update, state);
    k.mul_add(rest, new, kept)
}

/// `o tanh(f c + i n)`; the new cell state is stored.
fn lstm(k: &mut Builder, units: &Units<'_>) -> Operand {
    let new = units.load(k, GATES + 3);
    let new = tanh(k, new);
    let input = units.gate(k, 0);
    let new = k.mul(input, new);
    let (forget, cell) = (units.gate(k, 2), units.load(k, MEMORY));
    let cell = k.mul_add(forget, cell, new);
    units.store(k, MEMORY, cell.clone());
    let cell = tanh(k, cell);
    let output = units.gate(k, 1);
    k.mul(output, cell)
}
