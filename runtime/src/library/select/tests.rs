//! Chosen elements and their positions, on small cases worked out by hand.

use super::super::function::Attribute;
use super::*;

fn i64s(shape: &[usize], values: &[i64]) -> Value {
    Value::Tensor(Tensor::from_slice(shape, values).unwrap())
}

fn run(function: Function, operands: &[Value]) -> Result<Vec<(Vec<usize>, Vec<i64>)>, LibraryError> {
    let operands: Vec<Operand> = operands.iter().map(Value::operand).collect();
    let made = function.run(&operands)?;
    Ok(made
        .iter()
        .map(|v| (v.shape().unwrap().to_vec(), v.as_tensor().unwrap().as_slice::<i64>().unwrap().to_vec()))
        .collect())
}

#[test]
fn places_of_what_is_not_zero() {
    let made = run(Function::new("non_zero", 1), &[i64s(&[2, 3], &[0, 5, 0, 7, 0, 9])]).unwrap();
    assert_eq!(made, [(vec![2, 3], vec![0, 1, 1, 1, 0, 2])]);
    let scalar = run(Function::new("non_zero", 1), &[i64s(&[], &[4])]).unwrap();
    assert_eq!(scalar, [(vec![0, 1], vec![])]);
    let none = run(Function::new("non_zero", 1), &[i64s(&[3, 0], &[])]).unwrap();
    assert_eq!(none, [(vec![2, 0], vec![])]);
}

#[test]
fn compress_takes_what_is_marked() {
    let x = i64s(&[3, 2], &[1, 2, 3, 4, 5, 6]);
    let marks = |m: &[bool]| Value::Tensor(Tensor::from_bools(&[m.len()], m).unwrap());
    let along = |axis| Function::new("compress", 2).with("axis", Attribute::Int(axis));
    assert_eq!(run(along(0), &[x.clone(), marks(&[false, true])]).unwrap(), [(vec![1, 2], vec![3, 4])]);
    assert_eq!(run(along(-1), &[x.clone(), marks(&[false, true])]).unwrap(), [(vec![3, 1], vec![2, 4, 6])]);
    let flat = run(Function::new("compress", 2), &[x.clone(), marks(&[true, false, false, false, true])]).unwrap();
    assert_eq!(flat, [(vec![2], vec![1, 5])]);
    assert!(run(along(1), &[x, marks(&[true; 3])]).is_err());
}

#[test]
fn unique_of_elements_and_of_rows() {
    let list = |values: &[i64]| (vec![values.len()], values.to_vec());
    let x = i64s(&[6], &[2, 1, 1, 3, 4, 3]);
    let unsorted = run(Function::new("unique", 1).with("sorted", Attribute::Int(0)), &[x]).unwrap();
    assert_eq!(unsorted, [list(&[2, 1, 3, 4]), list(&[0, 1, 3, 4]), list(&[0, 1, 1, 2, 3, 2]), list(&[1, 2, 2, 1])]);
    let rows = i64s(&[3, 3], &[2, 3, 4, 1, 0, 0, 1, 0, 0]);
    let made = run(Function::new("unique", 1).with("axis", Attribute::Int(0)), &[rows]).unwrap();
    assert_eq!(made, [(vec![2, 3], vec![1, 0, 0, 2, 3, 4]), list(&[1, 0]), list(&[1, 0, 0]), list(&[2, 1])]);
}

#[test]
fn unique_of_texts_and_of_nan() {
    let texts = crate::Strings::new(&[3], ["b", "a", "b"].map(str::to_owned).to_vec()).unwrap();
    let made = Function::new("unique", 1).run(&[Value::Strings(texts).operand()]).unwrap();
    assert!(matches!(&made[0], Value::Strings(s) if s.elements() == ["a", "b"]));
    let x = Value::Tensor(Tensor::from_slice(&[4], &[f32::NAN, 1.0, f32::NAN, -0.0]).unwrap());
    let made = Function::new("unique", 1).run(&[x.operand()]).unwrap();
    assert_eq!(made[0].as_tensor().unwrap().as_slice::<f32>().unwrap()[..2], [0.0, 1.0]);
    assert_eq!(made[3].as_tensor().unwrap().as_slice::<i64>().unwrap(), [1, 1, 2]);
}
