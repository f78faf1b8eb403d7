//! Two tokens of one head, worked out by hand.
#![allow(clippy::unwrap_used)]

use crate::library::{Attribute, Function};
use crate::{Operand, Tensor};

fn run(rule: &str, operands: [Option<&Tensor>; 6]) -> Result<Vec<Tensor>, crate::library::LibraryError> {
    let mut function = Function::new("linear_attention", 6)
        .with("q_num_heads", Attribute::Int(1))
        .with("kv_num_heads", Attribute::Int(1))
        .with("scale", Attribute::Float(1.0))
        .with("update_rule", Attribute::Text(rule.into()));
    function.operands = operands.iter().map(Option::is_some).collect();
    let given: Vec<Operand> = operands.iter().flatten().map(|t| Operand::Tensor(t.view())).collect();
    Ok(function.run(&given)?.into_iter().map(|v| v.into_tensor().unwrap()).collect())
}

fn tensor(shape: &[usize], elements: &[f32]) -> Tensor {
    Tensor::from_slice(shape, elements).unwrap()
}

#[test]
fn rules() {
    let query = tensor(&[1, 2, 2], &[1.0, 0.0, 1.0, 1.0]);
    let key = tensor(&[1, 2, 2], &[1.0, 0.0, 1.0, 1.0]);
    let value = tensor(&[1, 2, 1], &[2.0, 3.0]);
    let half = tensor(&[1, 2, 1], &[0.5, 0.5]);
    let decay = tensor(&[1, 2, 1], &[0.0, 0.5f32.ln()]);
    let (q, k, v) = (Some(&query), Some(&key), Some(&value));
    let elements = |results: Vec<Tensor>| -> [Vec<f32>; 2] {
        [results[0].as_slice::<f32>().unwrap().to_vec(), results[1].as_slice::<f32>().unwrap().to_vec()]
    };
    // States: [2, 0], then [5, 3].
    let got = elements(run("linear", [q, k, v, None, None, None]).unwrap());
    assert_eq!(got, [vec![2.0, 8.0], vec![5.0, 3.0]]);
    // [2, 0] halves to [1, 0] before [3, 3] is added.
    let got = elements(run("gated", [q, k, v, None, Some(&decay), None]).unwrap());
    assert_eq!(got, [vec![2.0, 7.0], vec![4.0, 3.0]]);
    // [1, 0] after half of 2; then half of 3 - 1 is added.
    let got = elements(run("delta", [q, k, v, None, None, Some(&half)]).unwrap());
    assert_eq!(got, [vec![1.0, 3.0], vec![2.0, 1.0]]);
    // [1, 0] halves to [0.5, 0]; half of 3 - 0.5 is added.
    let got = elements(run("gated_delta", [q, k, v, None, Some(&decay), Some(&half)]).unwrap());
    assert_eq!(got, [vec![1.0, 3.0], vec![1.75, 1.25]]);
    // A past state is where it goes on.
    let past = tensor(&[1, 1, 2, 1], &[1.0, 1.0]);
    let got = elements(run("linear", [q, k, v, Some(&past), None, None]).unwrap());
    assert_eq!(got, [vec![3.0, 10.0], vec![6.0, 4.0]]);
}

#[test]
fn operands_that_do_not_fit_are_errors() {
    let [two, three] = [2usize, 3].map(|n| tensor(&[1, 2, n], &vec![1.0; 2 * n]));
    assert!(run("linear", [Some(&two), Some(&three), Some(&two), None, None, None]).is_err());
    assert!(run("gated", [Some(&two), Some(&two), Some(&two), None, None, None]).is_err());
    assert!(run("linear", [Some(&two), Some(&two), Some(&two), None, Some(&two), None]).is_err());
    assert!(run("quadratic", [Some(&two), Some(&two), Some(&two), None, None, None]).is_err());
}
