//! One step of a cell. Gates lie side by side: RNN i; GRU z, r, h; LSTM i, o, f, c.

use super::activation::{Activation, Real};

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

/// Room for the gates of one step.
pub(super) struct Scratch<T> {
    gates: Vec<T>,
    extra: Vec<T>,
}

impl<T: Real> Scratch<T> {
    pub(super) fn new(gates: usize, hidden: usize) -> Self {
        Scratch { gates: vec![T::of(0.0); gates], extra: vec![T::of(0.0); hidden] }
    }
}

/// Rows of the weights taken in one pass over the sums.
const ROWS: usize = 4;

/// `sums += x * weights[.., columns]`, with `stride` elements between rows.
fn accumulate<T: Real>(sums: &mut [T], x: &[T], weights: &[T], stride: usize, column: usize) {
    let width = sums.len();
    let row = |k: usize| &weights[k * stride + column..][..width];
    let mut k = 0;
    while k + ROWS <= x.len() {
        let [a, b, c, d] = [row(k), row(k + 1), row(k + 2), row(k + 3)];
        let (xa, xb, xc, xd) = (x[k], x[k + 1], x[k + 2], x[k + 3]);
        for ((((sum, a), b), c), d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *sum = *sum + xa * *a + xb * *b + xc * *c + xd * *d;
        }
        k += ROWS;
    }
    for (k, x) in x.iter().enumerate().skip(k) {
        sums.iter_mut().zip(row(k)).for_each(|(sum, w)| *sum += *x * *w);
    }
}

fn add<T: Real>(sums: &mut [T], terms: &[T]) {
    sums.iter_mut().zip(terms).for_each(|(sum, x)| *sum += *x);
}

impl<T: Real> Cell<'_, T> {
    /// Advances the hidden state and the memory by one step; `projected` are the gates' shares of the input.
    pub(super) fn step(&self, projected: &[T], state: &mut [T], memory: &mut [T], scratch: &mut Scratch<T>) {
        scratch.gates.copy_from_slice(projected);
        match self.kind {
            Kind::Rnn => self.rnn(state, scratch),
            Kind::Gru { linear_before_reset: false } => self.gru(state, scratch),
            Kind::Gru { linear_before_reset: true } => self.gru_linear(state, scratch),
            Kind::Lstm { coupled } => self.lstm(coupled, state, memory, scratch),
        }
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

    fn rnn(&self, state: &mut [T], scratch: &mut Scratch<T>) {
        let gates = &mut scratch.gates;
        if let Some(bias) = self.bias {
            add(gates, bias);
        }
        accumulate(gates, state, self.recurrent, self.hidden, 0);
        self.activate(0, gates);
        state.copy_from_slice(gates);
    }

    fn gru(&self, state: &mut [T], scratch: &mut Scratch<T>) {
        let hidden = self.hidden;
        if let Some(bias) = self.bias {
            add(&mut scratch.gates, bias);
        }
        let (outer, new) = scratch.gates.split_at_mut(2 * hidden);
        accumulate(outer, state, self.recurrent, 3 * hidden, 0);
        self.activate(0, outer);
        let (update, reset) = outer.split_at(hidden);
        for ((x, h), r) in scratch.extra.iter_mut().zip(state.iter()).zip(reset) {
            *x = *h * *r;
        }
        accumulate(new, &scratch.extra, self.recurrent, 3 * hidden, 2 * hidden);
        self.activate(1, new);
        blend(state, update, new);
    }

    fn gru_linear(&self, state: &mut [T], scratch: &mut Scratch<T>) {
        let hidden = self.hidden;
        let (outer, new) = scratch.gates.split_at_mut(2 * hidden);
        match self.bias {
            Some(bias) => {
                add(outer, &bias[..2 * hidden]);
                scratch.extra.copy_from_slice(&bias[2 * hidden..]);
            }
            None => scratch.extra.fill(T::of(0.0)),
        }
        accumulate(outer, state, self.recurrent, 3 * hidden, 0);
        accumulate(&mut scratch.extra, state, self.recurrent, 3 * hidden, 2 * hidden);
        self.activate(0, outer);
        let (update, reset) = outer.split_at(hidden);
        for ((new, r), x) in new.iter_mut().zip(reset).zip(&scratch.extra) {
            *new += *r * *x;
        }
        self.activate(1, new);
        blend(state, update, new);
    }

    fn lstm(&self, coupled: bool, state: &mut [T], memory: &mut [T], scratch: &mut Scratch<T>) {
        let hidden = self.hidden;
        let gates = &mut scratch.gates;
        if let Some(bias) = self.bias {
            add(gates, bias);
        }
        accumulate(gates, state, self.recurrent, 4 * hidden, 0);
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
