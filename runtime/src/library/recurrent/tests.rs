//! Cells with one or two units, worked out by hand.
#![allow(clippy::unwrap_used)]

use crate::library::{Attribute, Function, LibraryError};
use crate::{Operand, Tensor};

fn run(function: Function, operands: &[Option<&Tensor>]) -> Result<Vec<Tensor>, LibraryError> {
    let function = Function { operands: operands.iter().map(Option::is_some).collect(), ..function };
    let given: Vec<Operand> = operands.iter().flatten().map(|t| Operand::Tensor(t.view())).collect();
    Ok(function.run(&given)?.into_iter().map(|v| v.into_tensor().unwrap()).collect())
}

fn tensor(shape: &[usize], elements: &[f32]) -> Tensor {
    Tensor::from_slice(shape, elements).unwrap()
}

fn close(got: &Tensor, want: &[f32]) {
    let got = got.as_slice::<f32>().unwrap();
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() < 1e-6, "{got:?} where {want:?} is expected");
    }
}

fn named(name: &str, activations: &[&str]) -> Function {
    let texts = activations.iter().map(|a| (*a).to_owned()).collect();
    Function::new(name, 1).with("activations", Attribute::Texts(texts))
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn a_linear_cell_in_both_directions_with_lengths() {
    // h = x + 2 h; samples of 3 and 2 steps.
    let x = tensor(&[3, 2, 2], &[1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0, 9.0, 9.0]);
    let weights = tensor(&[2, 1, 1], &[2.0, 2.0]);
    let lengths = Tensor::from_slice(&[2], &[3i32, 2]).unwrap();
    let function = named("rnn", &["Affine", "Affine"]).with("direction", Attribute::Text("bidirectional".into()));
    let results = run(function, &[Some(&x), Some(&weights), None, Some(&lengths)]).unwrap();
    assert_eq!(results[0].shape(), [3, 2, 2, 1]);
    close(&results[0], &[1.0, 1.0, 17.0, 5.0, 4.0, 4.0, 8.0, 2.0, 11.0, 0.0, 3.0, 0.0]);
    close(&results[1], &[11.0, 4.0, 17.0, 5.0]);
}

#[test]
fn parameters_go_to_the_functions_that_have_them() {
    let x = tensor(&[1, 1, 2], &[-2.0, -2.0]);
    let weights = tensor(&[2, 1, 1], &[0.0, 0.0]);
    let function = named("rnn", &["Relu", "LeakyRelu"])
        .with("direction", Attribute::Text("bidirectional".into()))
        .with("activation_alpha", Attribute::Floats(vec![0.25]));
    let results = run(function, &[Some(&x), Some(&weights)]).unwrap();
    close(&results[1], &[0.0, -0.5]);
    assert!(run(named("rnn", &["Relu", "Relu"]), &[Some(&x), Some(&weights)]).is_err());
    let clipped = named("rnn", &["Affine", "Affine"])
        .with("direction", Attribute::Text("bidirectional".into()))
        .with("clip", Attribute::Float(1.5));
    close(&run(clipped, &[Some(&x), Some(&weights)]).unwrap()[1], &[-1.5, -1.5]);
}

#[test]
fn gru_with_the_reset_before_and_after_the_product() {
    // z = r = sigmoid(0) = 1/2; state 1.
    let x = tensor(&[1, 1, 3], &[0.0, 0.0, 0.25]);
    let weights = tensor(&[1, 1, 3], &[0.0, 0.0, 2.0]);
    let bias = tensor(&[1, 3], &[0.0, 0.0, 1.0]);
    let state = tensor(&[1, 1, 1], &[1.0]);
    let operands = [Some(&x), Some(&weights), Some(&bias), None, Some(&state)];
    let before = run(named("gru", &["Sigmoid", "Affine"]), &operands).unwrap();
    // New: 0.25 + 2 * 0.5 + 1.
    close(&before[1], &[0.5 * 2.25 + 0.5]);
    let linear = named("gru", &["Sigmoid", "Affine"]).with("linear_before_reset", Attribute::Int(1));
    // New: 0.25 + 0.5 * (2 * 1 + 1).
    close(&run(linear, &operands).unwrap()[1], &[0.5 * 1.75 + 0.5]);
}

#[test]
fn lstm_with_peepholes_and_coupled_gates() {
    let x = tensor(&[1, 1, 4], &[0.1, 0.2, 0.3, 0.4]);
    let weights = tensor(&[1, 1, 4], &[1.0, 2.0, 3.0, 4.0]);
    let (state, memory) = (tensor(&[1, 1, 1], &[0.5]), tensor(&[1, 1, 1], &[0.25]));
    let peepholes = tensor(&[1, 3], &[1.0, 2.0, 3.0]);
    let operands = [Some(&x), Some(&weights), None, None, Some(&state), Some(&memory), Some(&peepholes)];
    let (i, f, new) = (sigmoid(0.1 + 0.5 + 0.25), sigmoid(0.3 + 1.5 + 0.75), (0.4f32 + 2.0).tanh());
    let cell = f * 0.25 + i * new;
    let results = run(Function::new("lstm", 7), &operands).unwrap();
    close(&results[2], &[cell]);
    close(&results[1], &[sigmoid(0.2 + 1.0 + 2.0 * cell) * cell.tanh()]);
    let coupled = Function::new("lstm", 7).with("input_forget", Attribute::Int(1));
    close(&run(coupled, &operands).unwrap()[2], &[(1.0 - i) * 0.25 + i * new]);
}

#[test]
fn the_limit_is_on_gates_and_not_on_the_cell() {
    let x = tensor(&[1, 1, 4], &[9.0, 9.0, -9.0, 9.0]);
    let weights = tensor(&[1, 1, 4], &[0.0; 4]);
    let memory = tensor(&[1, 1, 1], &[4.0]);
    let limited = Function::new("lstm", 6).with("clip", Attribute::Float(0.5));
    let results = run(limited, &[Some(&x), Some(&weights), None, None, None, Some(&memory)]).unwrap();
    let cell = sigmoid(-0.5) * 4.0 + sigmoid(0.5) * 0.5f32.tanh();
    close(&results[2], &[cell]);
    close(&results[1], &[sigmoid(0.5) * cell.tanh()]);
}

/// Below, at and above the rows of the weights that are taken at once; samples of unlike lengths.
#[test]
fn many_units_agree_with_the_sums_written_out() {
    let at = |i: usize| ((i * 37 + 11) % 19) as f32 / 19.0 - 0.5;
    let of = |count: usize, shift: usize| -> Vec<f32> { (0..count).map(|i| at(i + shift)).collect() };
    let (steps, lengths) = (3, [3, 0, 2]);
    let mut cases = 0;
    for hidden in [7, 8, 19] {
        let (x, weights) = (of(steps * 3 * hidden, 0), of(hidden * hidden, 5));
        let first = of(3 * hidden, 3);
        let mut want = first.clone();
        for (sample, state) in want.chunks_exact_mut(hidden).enumerate() {
            for step in 0..lengths[sample] {
                let x = &x[(step * 3 + sample) * hidden..];
                let sum = |j: usize| (0..hidden).fold(x[j], |sum, k| sum + state[k] * weights[k * hidden + j]);
                let next: Vec<f32> = (0..hidden).map(|j| sum(j).tanh()).collect();
                state.copy_from_slice(&next);
                cases += 1;
            }
        }
        let operands = [
            tensor(&[steps, 3, hidden], &x),
            tensor(&[1, hidden, hidden], &weights),
            Tensor::from_slice(&[3], &lengths.map(|n| n as i32)).unwrap(),
            tensor(&[1, 3, hidden], &first),
        ];
        let given = [Some(&operands[0]), Some(&operands[1]), None, Some(&operands[2]), Some(&operands[3])];
        close(&run(Function::new("rnn", 5), &given).unwrap()[1], &want);
    }
    assert_eq!(cases, 15);
}

#[test]
fn operands_that_do_not_fit_are_errors() {
    let x = tensor(&[1, 1, 2], &[0.0, 0.0]);
    let weights = tensor(&[1, 2, 2], &[0.0; 4]);
    let lengths = Tensor::from_slice(&[1], &[2i32]).unwrap();
    assert!(run(Function::new("lstm", 2), &[Some(&x), Some(&weights)]).is_err());
    assert!(run(Function::new("rnn", 4), &[Some(&x), Some(&weights), None, Some(&lengths)]).is_err());
    let backwards = Function::new("rnn", 2).with("direction", Attribute::Text("sideways".into()));
    assert!(run(backwards, &[Some(&x), Some(&weights)]).is_err());
}
