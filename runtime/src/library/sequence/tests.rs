//! Sequences and optional values on small cases worked out by hand.

use super::super::function::Attribute::*;
use super::*;

fn tensor(shape: &[usize], x: &[i64]) -> Value {
    Tensor::from_slice(shape, x).unwrap().into()
}
fn texts(shape: &[usize], x: &[&str]) -> Value {
    Strings::new(shape, x.iter().map(|s| (*s).to_owned()).collect()).unwrap().into()
}
fn run(f: Function, x: &[&Value]) -> Result<Value, LibraryError> {
    Ok(f.run(&x.iter().map(|v| v.operand()).collect::<Vec<_>>())?.remove(0))
}
/// Shape and elements of each tensor of a sequence.
fn listed(value: &Value) -> Vec<(Vec<usize>, Vec<i64>)> {
    let Value::Sequence(values) = value else { panic!("{value:?}") };
    values.iter().map(|v| (v.shape().unwrap().to_vec(), v.as_tensor().unwrap().as_slice().unwrap().to_vec())).collect()
}

#[test]
fn places() {
    let (a, b, c) = (tensor(&[1], &[1]), tensor(&[2], &[2, 2]), tensor(&[], &[3]));
    let s = run(Function::new("sequence_construct", 2), &[&a, &b]).unwrap();
    let insert = |at: &Value| run(Function::new("sequence_insert", 3), &[&s, &c, at]).map(|v| listed(&v));
    assert_eq!(insert(&tensor(&[], &[-1])).unwrap()[1], (vec![], vec![3]));
    assert_eq!(insert(&tensor(&[], &[2])).unwrap()[2], (vec![], vec![3]));
    assert_eq!(insert(&tensor(&[], &[3])).unwrap_err(), LibraryError::Index { index: 3, extent: 2 });
    let mut back = Function::new("sequence_insert", 3);
    back.operands[2] = false;
    assert_eq!(listed(&run(back, &[&s, &c]).unwrap())[2].1, [3]);
    let erase = |at: i64| run(Function::new("sequence_erase", 2), &[&s, &tensor(&[], &[at])]);
    assert_eq!(listed(&erase(-2).unwrap()), [(vec![2], vec![2, 2])]);
    assert!(erase(2).is_err());
    assert_eq!(listed(&run(Function::new("sequence_erase", 1), &[&s]).unwrap()), [(vec![1], vec![1])]);
    let at = run(Function::new("sequence_at", 2), &[&s, &tensor(&[], &[-1])]).unwrap();
    assert_eq!(at.shape(), Some(&[2][..]));
    let n = run(Function::new("sequence_length", 1), &[&s]).unwrap();
    assert_eq!(n.as_tensor().unwrap().as_slice::<i64>().unwrap(), [2]);
    assert!(run(Function::new("sequence_erase", 1), &[&Value::Sequence(vec![])]).is_err());
}

#[test]
fn splitting() {
    let x = tensor(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    let f = |operands, axis: i64| Function::new("split_to_sequence", operands).with("axis", Int(axis));
    let two = run(f(2, -1), &[&x, &tensor(&[], &[2])]).unwrap();
    assert_eq!(listed(&two), [(vec![2, 2], vec![1, 2, 4, 5]), (vec![2, 1], vec![3, 6])]);
    let given = run(f(2, 1), &[&x, &tensor(&[2], &[0, 3])]).unwrap();
    assert_eq!(listed(&given), [(vec![2, 0], vec![]), (vec![2, 3], vec![1, 2, 3, 4, 5, 6])]);
    let rows = run(f(1, 0).with("keepdims", Int(0)), &[&x]).unwrap();
    assert_eq!(listed(&rows), [(vec![3], vec![1, 2, 3]), (vec![3], vec![4, 5, 6])]);
    for bad in [tensor(&[2], &[1, 3]), tensor(&[], &[0]), tensor(&[2], &[-1, 4])] {
        assert!(run(f(2, 1), &[&x, &bad]).is_err());
    }
    assert!(run(f(1, 2), &[&x]).is_err());
}

#[test]
fn joining() {
    let x = tensor(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    let s = Value::Sequence(vec![x.clone(), tensor(&[2, 1], &[8, 9])]);
    let f = |axis: i64, new: i64| {
        Function::new("concat_from_sequence", 1).with("axis", Int(axis)).with("new_axis", Int(new))
    };
    let see = |v: Value| (v.shape().unwrap().to_vec(), v.as_tensor().unwrap().as_slice::<i64>().unwrap().to_vec());
    assert_eq!(see(run(f(1, 0), &[&s]).unwrap()), (vec![2, 4], vec![1, 2, 3, 8, 4, 5, 6, 9]));
    assert!(run(f(0, 0), &[&s]).is_err());
    let pair = Value::Sequence(vec![tensor(&[2], &[1, 2]), tensor(&[2], &[3, 4])]);
    assert_eq!(see(run(f(-1, 1), &[&pair]).unwrap()), (vec![2, 2], vec![1, 3, 2, 4]));
    assert_eq!(see(run(f(0, 1), &[&pair]).unwrap()), (vec![2, 2], vec![1, 2, 3, 4]));
    assert!(run(f(0, 0), &[&Value::Sequence(vec![])]).is_err());
    let words = Value::Sequence(vec![texts(&[1], &["a"]), texts(&[2], &["b", "c"])]);
    match run(f(0, 0), &[&words]).unwrap() {
        Value::Strings(joined) => assert_eq!(joined.elements(), ["a", "b", "c"]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn optional_values() {
    let x = tensor(&[1], &[7]);
    let some = run(Function::new("optional", 1), &[&x]).unwrap();
    let none = run(Function::new("optional", 0), &[]).unwrap();
    let has = |v: &Value| run(Function::new("optional_has_element", 1), &[v]).unwrap().as_tensor().unwrap().bytes()[0];
    assert_eq!((has(&some), has(&none), has(&x)), (1, 0, 1));
    let get = |v: &Value| run(Function::new("optional_get_element", 1), &[v]);
    assert_eq!(get(&some).unwrap().shape(), Some(&[1][..]));
    assert_eq!(get(&x).unwrap().shape(), Some(&[1][..]));
    assert!(get(&none).is_err());
}
