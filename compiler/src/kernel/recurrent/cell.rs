//! What gates make of states: the functions of a cell, a vector of hidden units at a time.

use super::super::math::{sigmoid, tanh};
use super::{Bases, Cell, Spec};
use crate::tile::{Builder, Operand, PointerRef, ScalarId};

/// Loads and stores of a vector of units, of which not all may be there.
struct Units {
    left: Option<ScalarId>,
}

impl Units {
    fn load(&self, k: &mut Builder, pointer: PointerRef, disp: i64) -> Operand {
        match self.left {
            Some(left) => k.load_first(pointer, disp, left),
            None => k.load(pointer, disp),
        }
    }
    fn store(&self, k: &mut Builder, pointer: PointerRef, value: Operand) {
        match self.left {
            Some(left) => k.store_first(pointer, 0, value, left),
            None => k.store(pointer, 0, value),
        }
    }
}

impl Spec {
    /// GRU: scales the hidden states by the reset gates, and puts the update gates through their function.
    pub(super) fn scale_states(&self, k: &mut Builder, bases: &Bases) {
        let padded = 4 * self.padded(k.lanes()) as i64;
        self.units(k, &mut |k, [states, gates, _], left| {
            let units = Units { left };
            let (state, gates) = (k.pointer(bases.state, states), k.pointer(bases.gates, gates));
            let update = k.load(gates, 0);
            let update = sigmoid(k, update);
            k.store(gates, 0, update);
            let reset = k.load(gates, padded);
            let reset = sigmoid(k, reset);
            let state = units.load(k, state, 0);
            let scaled = k.mul(state, reset);
            k.store(gates, padded, scaled);
        });
    }

    /// The new states, and the results of the step.
    pub(super) fn advance(&self, k: &mut Builder, bases: &Bases) {
        let padded = 4 * self.padded(k.lanes()) as i64;
        self.units(k, &mut |k, [states, gates, inputs], left| {
            let units = Units { left };
            let gates = k.pointer(bases.gates, gates);
            let (y, state) = (k.pointer(bases.y, states), k.pointer(bases.state, states));
            let new = match (self.cell, bases.memory) {
                (Cell::Rnn, _) => {
                    let gate = k.load(gates, 0);
                    tanh(k, gate)
                }
                (Cell::Gru { linear }, _) => {
                    let input = linear.then(|| k.pointer(bases.projected, inputs));
                    self.gru(k, &units, (gates, padded), state, input)
                }
                (Cell::Lstm, memory) => {
                    let memory = memory.map_or(state, |memory| k.pointer(memory, states));
                    lstm(k, &units, (gates, padded), memory)
                }
            };
            units.store(k, y, new.clone());
            units.store(k, state, new);
        });
    }

    /// `(1 - z) n + z h`.
    fn gru(
        &self,
        k: &mut Builder,
        units: &Units,
        (gates, padded): (PointerRef, i64),
        state: PointerRef,
        input: Option<PointerRef>,
    ) -> Operand {
        let mut update = k.load(gates, 0);
        let mut new = k.load(gates, 2 * padded);
        if let Some(input) = input {
            update = sigmoid(k, update);
            let reset = k.load(gates, padded);
            let reset = sigmoid(k, reset);
            let input = units.load(k, input, 8 * self.hidden as i64);
            new = k.mul_add(reset, new, input);
        }
        let new = tanh(k, new);
        let state = units.load(k, state, 0);
        let one = k.float(1.0);
        let rest = k.sub(one, update.clone());
        let kept = k.mul(update, state);
        k.mul_add(rest, new, kept)
    }
}

/// `o tanh(f c + i n)`; the new cell state is stored.
fn lstm(k: &mut Builder, units: &Units, (gates, padded): (PointerRef, i64), memory: PointerRef) -> Operand {
    let input = k.load(gates, 0);
    let input = sigmoid(k, input);
    let new = k.load(gates, 3 * padded);
    let new = tanh(k, new);
    let new = k.mul(input, new);
    let forget = k.load(gates, 2 * padded);
    let forget = sigmoid(k, forget);
    let cell = units.load(k, memory, 0);
    let cell = k.mul_add(forget, cell, new);
    units.store(k, memory, cell.clone());
    let cell = tanh(k, cell);
    let output = k.load(gates, padded);
    let output = sigmoid(k, output);
    k.mul(output, cell)
}
