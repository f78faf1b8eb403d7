//! LinearAttention: a matrix per key head that is the sum of the keys' and values' outer products so far, perhaps decaying,
//! read by each query.
//!
//! Computed in f32: rows of the state along memory are the values' dimension, so every inner loop is contiguous.

use super::function::{Entry, Function, Operands, Results, pure};
use super::{LibraryError, expect};
use crate::{DType, Tensor, TensorView};

pub(super) const TABLE: &[Entry] = &[pure("linear_attention", linear_attention)];

/// Extents and what the update rule has.
struct Rule {
    batch: usize,
    steps: usize,
    query_heads: usize,
    heads: usize,
    key: usize,
    value: usize,
    scale: f32,
}

fn floats(x: &TensorView) -> Result<Vec<f32>, LibraryError> {
    let mut wide = Tensor::zeros(DType::F32, x.shape)?;
    super::cast(x, &mut wide.view_mut())?;
    Ok(wide.as_slice::<f32>()?.to_vec())
}

fn optional_floats(operands: &Operands, i: usize) -> Result<Option<Vec<f32>>, LibraryError> {
    operands.optional(i)?.map(|view| floats(&view)).transpose()
}

/// Narrower columns stand for as many heads or dimensions at once.
struct Gate {
    elements: Vec<f32>,
    columns: usize,
}

impl Gate {
    /// Row of one token.
    fn row(&self, token: usize) -> &[f32] {
        &self.elements[token * self.columns..(token + 1) * self.columns]
    }
}

impl Rule {
    fn of(function: &Function, operands: &Operands) -> Result<Rule, LibraryError> {
        let count = |name: &str| usize::try_from(function.int(name, 0)).ok().filter(|n| *n > 0);
        let heads = LibraryError::Operands { accepted: "q_num_heads that is a multiple of kv_num_heads" };
        let (Some(query_heads), Some(few)) = (count("q_num_heads"), count("kv_num_heads")) else { return Err(heads) };
        if query_heads % few != 0 {
            return Err(heads);
        }
        let shape = |i: usize| -> Result<[usize; 3], LibraryError> {
            <[usize; 3]>::try_from(operands.tensor(i)?.shape)
                .map_err(|_| LibraryError::Operands { accepted: "query, key and value of rank 3" })
        };
        let ([batch, steps, wide], keys, values) = (shape(0)?, shape(1)?, shape(2)?);
        let divide = |all: usize, by: usize| all.is_multiple_of(by).then_some(all / by).filter(|n| *n > 0);
        let (key, value) = (divide(wide, query_heads), divide(values[2], few));
        let (Some(key), Some(value)) = (key, value) else {
            return Err(LibraryError::Operands { accepted: "hidden sizes that the heads divide" });
        };
        let fits = keys == [batch, steps, few * key] && values[..2] == [batch, steps];
        expect(fits, "a key and a value of the query's batch, steps and head size")?;
        let state = operands.optional(3)?;
        expect(state.is_none_or(|s| s.shape == [batch, few, key, value]), "a state [batch, heads, key, value]")?;
        let scale = match function.float("scale", 0.0) {
            0.0 => 1.0 / (key as f32).sqrt(),
            given => given,
        };
        Ok(Rule { batch, steps, query_heads, heads: few, key, value, scale })
    }

    /// Operand `i`, one row per token of one of these numbers of columns.
    fn gate(&self, operands: &Operands, i: usize, columns: [usize; 2]) -> Result<Option<Gate>, LibraryError> {
        let Some(view) = operands.optional(i)? else { return Ok(None) };
        let fits = matches!(view.shape, [b, t, c] if *b == self.batch && *t == self.steps && columns.contains(c));
        expect(fits, "a decay and a beta of one row per token")?;
        Ok(Some(Gate { columns: view.shape[2], elements: floats(&view)? }))
    }
}

fn linear_attention(function: &Function, operands: &Operands) -> Results {
    let rule = Rule::of(function, operands)?;
    let (gated, delta) = match function.text("update_rule", "gated_delta") {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        _ => return Err(LibraryError::Operands { accepted: "update_rule linear, gated, delta or gated_delta" }),
    };
    let decay = rule.gate(operands, 4, [rule.heads, rule.heads * rule.key])?;
    let beta = rule.gate(operands, 5, [rule.heads, 1])?;
    expect(decay.is_some() == gated && beta.is_some() == delta, "a decay where it is gated, a beta where it is delta")?;
    let own = operands.tensor(0)?.dtype;
    let (query, key, value) =
        (floats(&operands.tensor(0)?)?, floats(&operands.tensor(1)?)?, floats(&operands.tensor(2)?)?);
    let state_type = operands.optional(3)?.map_or(own, |s| s.dtype);
    let shape = [rule.batch, rule.heads, rule.key, rule.value];
    let mut state = match optional_floats(operands, 3)? {
        Some(given) => Tensor::from_slice(&shape, &given)?,
        None => Tensor::zeros(DType::F32, &shape)?,
    };
    let mut out = Tensor::zeros(DType::F32, &[rule.batch, rule.steps, rule.query_heads * rule.value])?;
    let walk = Walk { rule: &rule, query: &query, key: &key, value: &value, decay, beta };
    walk.run(state.as_mut_slice::<f32>()?, out.as_mut_slice::<f32>()?);
    Ok(vec![narrow(out, own)?.into(), narrow(state, state_type)?.into()])
}

fn narrow(x: Tensor, to: DType) -> Result<Tensor, LibraryError> {
    if x.dtype() == to {
        return Ok(x);
    }
    let mut out = Tensor::zeros(to, x.shape())?;
    super::cast(&x.view(), &mut out.view_mut())?;
    Ok(out)
}

struct Walk<'a> {
    rule: &'a Rule,
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    decay: Option<Gate>,
    beta: Option<Gate>,
}

impl Walk<'_> {
    fn run(&self, states: &mut [f32], out: &mut [f32]) {
        let Rule { heads, key, value, steps, .. } = *self.rule;
        let mut update = vec![0.0; value];
        for (at, state) in states.chunks_exact_mut(key * value).enumerate() {
            let (sample, head) = (at / heads, at % heads);
            for step in 0..steps {
                self.step(sample * steps + step, head, state, &mut update, out);
            }
        }
    }

    fn step(&self, token: usize, head: usize, state: &mut [f32], update: &mut [f32], out: &mut [f32]) {
        let Rule { query_heads, heads, key, value, scale, .. } = *self.rule;
        let keys = &self.key[(token * heads + head) * key..][..key];
        let values = &self.value[(token * heads + head) * value..][..value];
        if let Some(decay) = &self.decay {
            let row = decay.row(token);
            for (d, line) in state.chunks_exact_mut(value).enumerate() {
                let log = if decay.columns == heads { row[head] } else { row[head * key + d] };
                let factor = log.exp();
                line.iter_mut().for_each(|s| *s *= factor);
            }
        }
        update.copy_from_slice(values);
        if let Some(beta) = &self.beta {
            let row = beta.row(token);
            let rate = if beta.columns == 1 { row[0] } else { row[head] };
            for (k, line) in keys.iter().zip(state.chunks_exact(value)) {
                update.iter_mut().zip(line).for_each(|(u, s)| *u -= k * s);
            }
            update.iter_mut().for_each(|u| *u *= rate);
        }
        for (k, line) in keys.iter().zip(state.chunks_exact_mut(value)) {
            line.iter_mut().zip(update.iter()).for_each(|(s, u)| *s += k * u);
        }
        let group = query_heads / heads;
        for reader in head * group..(head + 1) * group {
            let query = &self.query[(token * query_heads + reader) * key..][..key];
            let to = &mut out[(token * query_heads + reader) * value..][..value];
            for (q, line) in query.iter().zip(state.chunks_exact(value)) {
                to.iter_mut().zip(line).for_each(|(o, s)| *o += q * s);
            }
            to.iter_mut().for_each(|o| *o *= scale);
        }
    }
}

#[cfg(test)]
mod tests;
