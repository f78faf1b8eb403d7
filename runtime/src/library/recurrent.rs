//! Recurrent cells: RNN, GRU, LSTM. The products of the input with its weights over all steps are an operand, so that they are one
//! matrix product; what is here is the recurrence.
//!
//! Operands of all three: `[projected, recurrent, bias, lengths, first, ..]`.
//! `projected` is `[steps, batch, directions * gates * hidden]`, input biases added; `recurrent` is
//! `[directions, hidden, gates * hidden]`, the weights transposed so that the inner loop runs along memory; `bias` of the
//! recurrence is `[directions, gates * hidden]`; `lengths` are the samples' steps; `first` is the hidden state
//! `[directions, batch, hidden]`. LSTM has two more: the first cell state and the peepholes `[directions, 3 * hidden]`.
//! Results: `[steps, directions, batch, hidden]`, zero after a sample's end; the last hidden state; LSTM's last cell state.

mod activation;
mod cell;
mod smooth;

use super::function::{Entry, Function, Operands, Results, pure};
use super::{LibraryError, expect};
use crate::{DType, Element, Tensor, TensorView};
use activation::{Real, activations};
use cell::{Cell, Kind, Scratch};

pub(super) const TABLE: &[Entry] = &[pure("rnn", rnn), pure("gru", gru), pure("lstm", lstm)];

fn rnn(function: &Function, operands: &Operands) -> Results {
    run(Kind::Rnn, function, operands)
}
fn gru(function: &Function, operands: &Operands) -> Results {
    run(Kind::Gru { linear_before_reset: function.int("linear_before_reset", 0) != 0 }, function, operands)
}
fn lstm(function: &Function, operands: &Operands) -> Results {
    run(Kind::Lstm { coupled: function.int("input_forget", 0) != 0 }, function, operands)
}

fn run(kind: Kind, function: &Function, operands: &Operands) -> Results {
    match operands.tensor(0)?.dtype {
        DType::F32 => typed::<f32>(kind, function, operands),
        DType::F64 => typed::<f64>(kind, function, operands),
        dtype => Err(LibraryError::Type { what: "the input of a recurrent cell", dtype }),
    }
}

/// Extents, checked against every operand.
#[derive(Clone, Copy)]
struct Extents {
    steps: usize,
    batch: usize,
    directions: usize,
    gates: usize,
    hidden: usize,
}

impl Extents {
    fn of(kind: Kind, operands: &Operands) -> Result<Extents, LibraryError> {
        let gates = kind.gates();
        let (&[steps, batch, columns], &[directions, hidden, own]) =
            (operands.tensor(0)?.shape, operands.tensor(1)?.shape)
        else {
            return Err(LibraryError::Operands { accepted: "a projected input and weights of rank 3" });
        };
        expect(Some(own) == hidden.checked_mul(gates), "recurrent weights [directions, hidden, gates * hidden]")?;
        expect(Some(columns) == directions.checked_mul(own), "a projected input of all gates and directions")?;
        expect(hidden > 0 && (1..=2).contains(&directions), "one or two directions and a hidden size from 1")?;
        let extents = Extents { steps, batch, directions, gates, hidden };
        let fits = |i: usize, shape: &[usize]| -> Result<(), LibraryError> {
            let given = operands.optional(i)?;
            expect(given.is_none_or(|t| t.shape == shape), "operands of matching extents")
        };
        fits(2, &[directions, own])?;
        fits(3, &[batch])?;
        fits(4, &[directions, batch, hidden])?;
        fits(5, &[directions, batch, hidden])?;
        fits(6, &[directions, 3 * hidden])?;
        Ok(extents)
    }
    /// Gates of one direction.
    fn own(&self) -> usize {
        self.gates * self.hidden
    }
}

fn optional<'a, T: Element>(view: Option<TensorView<'a>>) -> Result<Option<&'a [T]>, LibraryError> {
    Ok(view.map(|v| v.as_slice::<T>()).transpose()?)
}

/// Steps of each sample.
fn lengths(operands: &Operands, extents: Extents) -> Result<Vec<usize>, LibraryError> {
    if operands.optional(3)?.is_none() {
        return Ok(vec![extents.steps; extents.batch]);
    }
    let given = operands.integers(3)?;
    let fits = |n: &i64| usize::try_from(*n).ok().filter(|n| *n <= extents.steps);
    let lengths = given.iter().map(fits).collect::<Option<Vec<usize>>>();
    lengths.ok_or(LibraryError::Operands { accepted: "lengths of samples from 0 to the number of steps" })
}

/// Whether each direction runs backwards.
fn backwards(function: &Function, directions: usize) -> Result<Vec<bool>, LibraryError> {
    match (function.text("direction", "forward"), directions) {
        ("forward", 1) => Ok(vec![false]),
        ("reverse", 1) => Ok(vec![true]),
        ("bidirectional", 2) => Ok(vec![false, true]),
        _ => Err(LibraryError::Operands {
            accepted: "a direction forward, reverse or bidirectional, with as many weights",
        }),
    }
}

fn typed<T: Real>(kind: Kind, function: &Function, operands: &Operands) -> Results {
    let extents = Extents::of(kind, operands)?;
    let Extents { steps, batch, directions, hidden, .. } = extents;
    let lengths = lengths(operands, extents)?;
    let backwards = backwards(function, directions)?;
    let activations = activations(function, kind.activations(), directions)?;
    let limit = function.has("clip").then(|| T::of(f64::from(function.float("clip", 0.0))));
    let (projected, recurrent) = (operands.slice::<T>(0)?, operands.slice::<T>(1)?);
    let bias = optional::<T>(operands.optional(2)?)?;
    let peepholes = optional::<T>(operands.optional(6)?)?;

    let mut y = Tensor::zeros(T::DTYPE, &[steps, directions, batch, hidden])?;
    let mut state = first::<T>(operands.optional(4)?, &[directions, batch, hidden])?;
    let mut memory = first::<T>(operands.optional(5)?, &[directions, batch, hidden])?;
    let own = extents.own();
    for (direction, backwards) in backwards.into_iter().enumerate() {
        let row = direction * own..(direction + 1) * own;
        let cell = Cell {
            kind,
            hidden,
            recurrent: &recurrent[direction * hidden * own..(direction + 1) * hidden * own],
            bias: bias.map(|b| &b[row]),
            peepholes: peepholes.map(|p| &p[direction * 3 * hidden..(direction + 1) * 3 * hidden]),
            activations: &activations[direction],
            limit,
        };
        let here = direction * batch * hidden..(direction + 1) * batch * hidden;
        let states = &mut state.as_mut_slice::<T>()?[here.clone()];
        let memories = &mut memory.as_mut_slice::<T>()?[here];
        let sequence = Sequence { extents, direction, backwards, lengths: &lengths, projected };
        sequence.run(&cell, states, memories, y.as_mut_slice::<T>()?);
    }
    let mut results = vec![y.into(), state.into()];
    if matches!(kind, Kind::Lstm { .. }) {
        results.push(memory.into());
    }
    Ok(results)
}

/// The first state: as given, or zero.
fn first<T: Element>(given: Option<TensorView>, shape: &[usize]) -> Result<Tensor, LibraryError> {
    match given {
        Some(view) => Ok(Tensor::from_slice(shape, view.as_slice::<T>()?)?),
        None => Ok(Tensor::zeros(T::DTYPE, shape)?),
    }
}

/// One direction of a batch.
struct Sequence<'a, T> {
    extents: Extents,
    direction: usize,
    backwards: bool,
    lengths: &'a [usize],
    projected: &'a [T],
}

impl<T: Real> Sequence<'_, T> {
    fn run(&self, cell: &Cell<T>, states: &mut [T], memories: &mut [T], y: &mut [T]) {
        let Extents { steps, batch, directions, hidden, .. } = self.extents;
        let own = self.extents.own();
        let mut scratch = Scratch::new(batch, own, hidden);
        let mut samples: Vec<usize> = (0..batch).collect();
        for count in 0..steps {
            samples.retain(|sample| self.lengths[*sample] > count);
            let step = |sample: usize| if self.backwards { self.lengths[sample] - 1 - count } else { count };
            for sample in &samples {
                let from = ((step(*sample) * batch + sample) * directions + self.direction) * own;
                scratch.gates[sample * own..][..own].copy_from_slice(&self.projected[from..from + own]);
            }
            cell.step(&samples, states, memories, &mut scratch);
            for sample in &samples {
                let to = ((step(*sample) * directions + self.direction) * batch + sample) * hidden;
                y[to..to + hidden].copy_from_slice(&states[sample * hidden..][..hidden]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
