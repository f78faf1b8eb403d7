//! Running sums, worked out by hand.
#![allow(clippy::unwrap_used)]

use crate::library::{Attribute, Function, LibraryError};
use crate::{Tensor, Value};

fn run(x: &Tensor, axis: i32, flags: &[&str]) -> Result<Vec<f64>, LibraryError> {
    let flagged = |f: Function, flag: &&str| f.with(flag, Attribute::Int(1));
    let function = flags.iter().fold(Function::new("cum_sum", 2), flagged);
    let operands = [Value::Tensor(x.clone()), Value::Tensor(Tensor::scalar(axis))];
    let operands: Vec<_> = operands.iter().map(Value::operand).collect();
    let y = function.run(&operands)?.remove(0).into_tensor().unwrap();
    Ok(y.as_slice::<f64>().unwrap().to_vec())
}

#[test]
fn along_an_axis_in_either_direction() {
    let x = Tensor::from_slice(&[2, 3], &[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    assert_eq!(run(&x, 1, &[]).unwrap(), [1.0, 3.0, 6.0, 4.0, 9.0, 15.0]);
    assert_eq!(run(&x, -2, &[]).unwrap(), [1.0, 2.0, 3.0, 5.0, 7.0, 9.0]);
    assert_eq!(run(&x, 1, &["reverse"]).unwrap(), [6.0, 5.0, 3.0, 15.0, 11.0, 6.0]);
    assert_eq!(run(&x, 1, &["exclusive"]).unwrap(), [0.0, 1.0, 3.0, 0.0, 4.0, 9.0]);
}

#[test]
fn an_axis_that_is_not_there_is_an_error() {
    let x = Tensor::from_slice(&[1], &[1.0f64]).unwrap();
    assert!(run(&x, 1, &[]).is_err());
    assert!(run(&x, -2, &[]).is_err());
}
