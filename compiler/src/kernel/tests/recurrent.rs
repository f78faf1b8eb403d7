//! RNN, GRU, LSTM.

use super::super::harness::{Case, Place, floats};
use super::check_all;
use crate::ir::{Op, Type};
use Place::{Plain, Weight};
use brolga_runtime::library::{Attribute, Function};
use brolga_runtime::{DType, Tensor};

/// Numbers small enough that sums of many of them stay where the functions bend.
fn small(shape: &[usize], seed: u32) -> Tensor {
    let x: Vec<f32> = floats(shape, seed).as_slice::<f32>().unwrap().iter().map(|x| x / 4.0).collect();
    Tensor::from_slice(shape, &x).unwrap()
}

/// A cell over `[steps, batch, hidden]`: biases and first states where `given` says so, weights at a place.
fn cell(name: &str, [steps, batch, hidden]: [usize; 3], direction: &str, given: [bool; 2], weights: Place) -> Case {
    let gates = [("rnn", 1), ("gru", 3), ("gru linear", 3), ("lstm", 4)].iter().find(|(n, _)| *n == name).unwrap().1;
    let directions = if direction == "bidirectional" { 2 } else { 1 };
    let own = gates * hidden;
    let mut function = Function::new(name.split(' ').next().unwrap(), if gates == 4 { 7 } else { 5 })
        .with("direction", Attribute::Text(direction.into()));
    if name == "gru linear" {
        function = function.with("linear_before_reset", Attribute::Int(1));
    }
    let state = [directions, batch, hidden];
    let mut inputs =
        vec![(floats(&[steps, batch, directions * own], 1), Plain), (small(&[directions, hidden, own], 2), weights)];
    if given[0] {
        inputs.push((floats(&[directions, own], 3), Weight));
    }
    let states = if gates == 4 { 2 } else { 1 };
    if given[1] {
        (0..states).for_each(|i| inputs.push((floats(&state, 4 + i as u32), Plain)));
    }
    let mut operands = vec![true, true, given[0], false, given[1]];
    operands.extend([given[1], false].iter().take(if gates == 4 { 2 } else { 0 }));
    function.operands = operands;
    let mut results = vec![Type::known(DType::F32, &[steps, directions, batch, hidden])];
    results.extend(vec![Type::known(DType::F32, &state); states]);
    let outputs = vec![Plain; results.len()];
    let op = Op::Function { function, results };
    Case { op, inputs, outputs, tolerance: (2e-5, 1e-4) }
}

#[test]
fn steps_cells() {
    let mut all = Vec::new();
    for name in ["rnn", "gru", "gru linear", "lstm"] {
        for direction in ["forward", "reverse", "bidirectional"] {
            for given in [[true, true], [false, false], [true, false]] {
                for extents in [[3, 1, 5], [2, 7, 33], [4, 2, 16]] {
                    all.push(cell(name, extents, direction, given, Weight));
                }
            }
        }
        // Several panels and tiles, the last ones not whole; weights that are computed; no steps and no samples.
        all.push(cell(name, [2, 13, 141], "bidirectional", [true, true], Weight));
        all.push(cell(name, [3, 1, 200], "forward", [true, false], Weight));
        all.push(cell(name, [3, 3, 20], "bidirectional", [true, true], Plain));
        all.push(cell(name, [0, 2, 4], "forward", [true, true], Weight));
        all.push(cell(name, [2, 0, 4], "forward", [true, true], Weight));
    }
    check_all(all, 128);
}

#[test]
fn unusual_cells_are_left_to_the_library() {
    let refused = |change: &dyn Fn(&mut Function, &mut Vec<(Tensor, Place)>)| {
        let mut case = cell("lstm", [2, 2, 4], "forward", [true, true], Weight);
        let Op::Function { function, .. } = &mut case.op else { unreachable!() };
        change(function, &mut case.inputs);
        case.check(&super::super::lower).map_err(|e| e.to_string())
    };
    let texts = |names: [&str; 3]| Attribute::Texts(names.map(str::to_owned).to_vec());
    assert_eq!(refused(&|f, _| *f = f.clone().with("activations", texts(["SIGMOID", "Tanh", "tanh"]))), Ok(()));
    let unusual = Err("functions other than the usual ones, a clip, or coupled gates".to_owned());
    assert_eq!(refused(&|f, _| *f = f.clone().with("activations", texts(["Relu", "Tanh", "Tanh"]))), unusual);
    assert_eq!(refused(&|f, _| *f = f.clone().with("clip", Attribute::Float(0.5))), unusual);
    assert_eq!(refused(&|f, _| *f = f.clone().with("input_forget", Attribute::Int(1))), unusual);
    let lengths = refused(&|f, inputs| {
        f.operands[3] = true;
        inputs.insert(3, (Tensor::from_slice(&[2], &[1i32, 2]).unwrap(), Plain));
    });
    assert_eq!(lengths, Err("lengths of samples, or peepholes".to_owned()));
}
