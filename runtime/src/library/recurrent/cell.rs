//! One step of a cell. Gates lie side by side: RNN i; GRU z, r, h; LSTM i, o, f, c.

use super::activation::{Activation, Real};
use crate::wide::{Loop, add_products, wide};
use std::ops::Range;

/// Which cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Rnn,
    Gru {
        /// Whether the reset gate scales the product with the hidden state instead of the hidden state.
        linear_before_reset: bool,
    },
    Lstm {
        /// Whether what is not let in is what is forgotten.
        coupled: bool,
    },
}

impl Kind {
    pub(super) fn gates(self) -> usize {
        match self {
            Kind::Rnn => 1,
            Kind::Gru { .. } => 3,
            Kind::Lstm { .. } => 4,
        }
    }
    /// Default functions of one direction.
    pub(super) fn activations(self) -> &'static [Activation] {
        match self {
            Kind::Rnn => &[Activation::Tanh],
            Kind::Gru { .. } => &[Activation::Sigmoid, Activation::Tanh],
            Kind::Lstm { .. } => &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
        }
    }
}

/// A cell of one direction.
pub(super) struct Cell<'a, T> {
    pub kind: Kind,
    pub hidden: usize,
    /// `[hidden, gates * hidden]`
    pub recurrent: &'a [T],
    /// `[gates * hidden]`
    pub bias: Option<&'a [T]>,
    /// `[3 * hidden]`: of the gates i, o, f
    pub peepholes: Option<&'a [T]>,
    pub activations: &'a [Activation],
    /// What a gate puts into its function stays within this of zero.
    pub limit: Option<T>,
}

/// Room for the gates of one step of a batch.
pub(super) struct Scratch<T> {
    /// `[batch, gates * hidden]`: before a step, the gates' shares of the input.
    pub gates: Vec<T>,
    /// `[batch, hidden]`
    extra: Vec<T>,
}

impl<T: Real> Scratch<T> {
    pub(super) fn new(batch: usize, gates: usize, hidden: usize) -> Self {
        Scratch { gates: vec![T::of(0.0); batch * gates], extra: vec![T::of(0.0); batch * hidden] }
    }
}

/// Rows of the weights that all samples take before the next ones: as much as the first-level cache keeps.
const ROWS: usize = 8;

/// `sums += x * weights[.., columns]` for each sample, in the order of the rows.
struct Product<'a, T> {
    samples: &'a [usize],
    /// `[batch, hidden]`
    x: &'a [T],
    hidden: usize,
    /// `[hidden, stride]`
    weights: &'a [T],
    stride: usize,
    columns: Range<usize>,
}

/// A product and where it goes: sums that begin `offset` elements into the `pitch` elements of each sample.
struct AddTo<'a, T> {
    product: Product<'a, T>,
    sums: &'a mut [T],
    pitch: usize,
    offset: usize,
}

impl<T: Real> Loop for AddTo<'_, T> {
    #[inline(always)]
    fn run(self) {
        let AddTo { product, sums, pitch, offset } = self;
        let Product { samples, x, hidden, weights, stride, columns } = product;
        for first in (0..hidden).step_by(ROWS) {
            let rows = first..(first + ROWS).min(hidden);
            for sample in samples {
                let sums = &mut sums[sample * pitch + offset..][..columns.len()];
                let x = &x[sample * hidden..][rows.clone()];
                add_products(sums, x, &weights[first * stride + columns.start..], stride, |sum, x, w| sum + x * w);
            }
        }
    }
}

impl<'a, T: Real> Product<'a, T> {
    fn add_to(self, sums: &'a mut [T], pitch: usize, offset: usize) {
        wide(AddTo { product: self, sums, pitch, offset });
    }
}

fn add<T: Real>(sums: &mut [T], terms: &[T]) {
    sums.iter_mut().zip(terms).for_each(|(sum, x)| *sum += *x);
}

impl<T: Real> Cell<'_, T> {
    /// Advances the hidden states and the memories, `[batch, hidden]`, of these samples by one step.
    pub(super) fn step(&self, samples: &[usize], state: &mut [T], memory: &mut [T], scratch: &mut Scratch<T>) {
        match self.kind {
            Kind::Rnn => self.rnn(samples, state, scratch),
            Kind::Gru { linear_before_reset: false } => self.gru(samples, state, scratch),
            Kind::Gru { linear_before_reset: true } => self.gru_linear(samples, state, scratch),
            Kind::Lstm { coupled } => self.lstm(coupled, samples, state, memory, scratch),
        }
    }

    /// Elements of a sample's gates.
    fn own(&self) -> usize {
        self.kind.gates() * self.hidden
    }

    /// Where the hidden state of a sample is.
    fn of(&self, sample: usize) -> Range<usize> {
        sample * self.hidden..(sample + 1) * self.hidden
    }

    /// Adds the first biases to the gates of each sample.
    fn add_bias(&self, samples: &[usize], gates: &mut [T], count: usize) {
        let Some(bias) = self.bias else { return };
        for sample in samples {
            add(&mut gates[sample * self.own()..][..count], &bias[..count]);
        }
    }

    fn product<'a>(&'a self, samples: &'a [usize], x: &'a [T], columns: Range<usize>) -> Product<'a, T> {
        Product { samples, x, hidden: self.hidden, weights: self.recurrent, stride: self.own(), columns }
    }

    fn activate(&self, function: usize, elements: &mut [T]) {
        if let Some(limit) = self.limit {
            let low = T::of(0.0) - limit;
            for x in elements.iter_mut() {
                *x = if *x > limit {
                    limit
                } else if *x < low {
                    low
                } else {
                    *x
                };
            }
        }
        if let Some(activation) = self.activations.get(function) {
            activation.apply(elements);
        }
    }

    fn rnn(&self, samples: &[usize], state: &mut [T], scratch: &mut Scratch<T>) {
        let (own, gates) = (self.own(), &mut scratch.gates);
        self.add_bias(samples, gates, own);
        self.product(samples, state, 0..own).add_to(gates, own, 0);
        for sample in samples {
            let new = &mut gates[sample * own..][..own];
            self.activate(0, new);
            state[self.of(*sample)].copy_from_slice(new);
        }
    }

    fn gru(&self, samples: &[usize], state: &mut [T], Scratch { gates, extra }: &mut Scratch<T>) {
        let (own, hidden) = (self.own(), self.hidden);
        self.add_bias(samples, gates, own);
        self.product(samples, state, 0..2 * hidden).add_to(gates, own, 0);
        for sample in samples {
            let outer = &mut gates[sample * own..][..2 * hidden];
            self.activate(0, outer);
            let (reset, state) = (&outer[hidden..], &state[self.of(*sample)]);
            for ((x, h), r) in extra[self.of(*sample)].iter_mut().zip(state).zip(reset) {
                *x = *h * *r;
            }
        }
        self.product(samples, extra, 2 * hidden..own).add_to(gates, own, 2 * hidden);
        for sample in samples {
            let (outer, new) = gates[sample * own..][..own].split_at_mut(2 * hidden);
            self.activate(1, new);
            blend(&mut state[self.of(*sample)], outer, new);
        }
    }

    fn gru_linear(&self, samples: &[usize], state: &mut [T], Scratch { gates, extra }: &mut Scratch<T>) {
        let (own, hidden) = (self.own(), self.hidden);
        self.add_bias(samples, gates, 2 * hidden);
        for sample in samples {
            let sums = &mut extra[self.of(*sample)];
            match self.bias {
                Some(bias) => sums.copy_from_slice(&bias[2 * hidden..]),
                None => sums.fill(T::of(0.0)),
            }
        }
        self.product(samples, state, 0..2 * hidden).add_to(gates, own, 0);
        self.product(samples, state, 2 * hidden..own).add_to(extra, hidden, 0);
        for sample in samples {
            let (outer, new) = gates[sample * own..][..own].split_at_mut(2 * hidden);
            self.activate(0, outer);
            for ((new, r), x) in new.iter_mut().zip(&outer[hidden..]).zip(&extra[self.of(*sample)]) {
                *new += *r * *x;
            }
            self.activate(1, new);
            blend(&mut state[self.of(*sample)], outer, new);
        }
    }

    fn lstm(
        &self,
        coupled: bool,
        samples: &[usize],
        state: &mut [T],
        memory: &mut [T],
        Scratch { gates, .. }: &mut Scratch<T>,
    ) {
        let own = self.own();
        self.add_bias(samples, gates, own);
        self.product(samples, state, 0..own).add_to(gates, own, 0);
        for sample in samples {
            let here = self.of(*sample);
            let gates = &mut gates[sample * own..][..own];
            self.lstm_gates(coupled, gates, &mut state[here.clone()], &mut memory[here]);
        }
    }

    /// What the gates of one sample make of its state and memory.
    fn lstm_gates(&self, coupled: bool, gates: &mut [T], state: &mut [T], memory: &mut [T]) {
        let hidden = self.hidden;
        let (input, rest) = gates.split_at_mut(hidden);
        let (output, rest) = rest.split_at_mut(hidden);
        let (forget, new) = rest.split_at_mut(hidden);
        let peephole = |gate: &mut [T], at: usize, memory: &[T]| {
            if let Some(weights) = self.peepholes {
                for ((g, w), c) in gate.iter_mut().zip(&weights[at * hidden..]).zip(memory) {
                    *g += *w * *c;
                }
            }
        };
        peephole(input, 0, memory);
        self.activate(0, input);
        if coupled {
            forget.iter_mut().zip(input.iter()).for_each(|(f, i)| *f = T::of(1.0) - *i);
        } else {
            peephole(forget, 2, memory);
            self.activate(0, forget);
        }
        self.activate(1, new);
        for (((c, f), i), n) in memory.iter_mut().zip(forget.iter()).zip(input.iter()).zip(new.iter()) {
            *c = *f * *c + *i * *n;
        }
        peephole(output, 1, memory);
        self.activate(0, output);
        // The limit is on what comes from the gates: the cell state itself may grow.
        state.copy_from_slice(memory);
        if let Some(activation) = self.activations.get(2) {
            activation.apply(state);
        }
        state.iter_mut().zip(output.iter()).for_each(|(h, o)| *h = *h * *o);
    }
}

/// `state = (1 - update) * new + update * state`
fn blend<T: Real>(state: &mut [T], update: &[T], new: &[T]) {
    for ((h, z), n) in state.iter_mut().zip(update).zip(new) {
        *h = (T::of(1.0) - *z) * *n + *z * *h;
    }
}
