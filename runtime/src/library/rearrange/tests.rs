//! Elements moved to other places, on small cases worked out by hand.

use super::super::function::Attribute;
use super::*;
use crate::{DType, Operand};

fn i64s(shape: &[usize], values: &[i64]) -> Value {
    Value::Tensor(Tensor::from_slice(shape, values).unwrap())
}

fn run(function: Function, operands: &[Value]) -> Result<Tensor, LibraryError> {
    let operands: Vec<Operand> = operands.iter().map(Value::operand).collect();
    Ok(function.run(&operands)?.remove(0).into_tensor().unwrap())
}

fn ints(function: Function, operands: &[Value]) -> Vec<i64> {
    run(function, operands).unwrap().as_slice::<i64>().unwrap().to_vec()
}

#[test]
fn sequences_are_reversed_up_to_their_lengths() {
    let x = i64s(&[3, 2], &[0, 1, 10, 11, 20, 21]);
    let time_first = Function::new("reverse_sequence", 2);
    assert_eq!(ints(time_first.clone(), &[x.clone(), i64s(&[2], &[3, 2])]), [20, 11, 10, 1, 0, 21]);
    let batch_first = time_first.clone().with("time_axis", Attribute::Int(1)).with("batch_axis", Attribute::Int(0));
    assert_eq!(ints(batch_first, &[x.clone(), i64s(&[3], &[1, 2, 0])]), [0, 1, 11, 10, 20, 21]);
    assert!(run(time_first, &[x, i64s(&[2], &[4, 2])]).is_err());
}

#[test]
fn slices_take_their_axes_as_data() {
    let x = i64s(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    let list = |values: &[i64]| i64s(&[values.len()], values);
    let function = Function::new("slice", 3);
    assert_eq!(ints(function.clone(), &[x.clone(), list(&[1]), list(&[2])]), [4, 5, 6]);
    assert_eq!(ints(function.clone(), &[x.clone(), list(&[]), list(&[])]), [1, 2, 3, 4, 5, 6]);
    let all = Function::new("slice", 5);
    let operands = [x.clone(), list(&[-1, 0]), list(&[-9, 1]), list(&[-1, 0]), list(&[-2, 1])];
    assert_eq!(ints(all.clone(), &operands), [3, 1]);
    for wrong in [
        [x.clone(), list(&[0]), list(&[1]), list(&[2]), list(&[1])],
        [x.clone(), list(&[0, 0]), list(&[1, 1]), list(&[0, -2]), list(&[1, 1])],
        [x.clone(), list(&[0]), list(&[1, 1]), list(&[0]), list(&[1])],
        [x, list(&[0]), list(&[1]), list(&[0]), list(&[0])],
    ] {
        assert!(run(all.clone(), &wrong).is_err());
    }
}

#[test]
fn crops_and_pads_are_centred() {
    let x = i64s(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    let function = Function::new("center_crop_pad", 2);
    assert_eq!(ints(function.clone(), &[x.clone(), i64s(&[2], &[3, 2])]), [1, 2, 4, 5, 0, 0]);
    assert_eq!(ints(function.clone(), &[x.clone(), i64s(&[2], &[1, 5])]), [0, 1, 2, 3, 0]);
    let rows = function.with("axes", Attribute::Ints(vec![-2]));
    assert_eq!(ints(rows, &[x, i64s(&[1], &[4])]), [0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0]);
}

#[test]
fn caches_are_updated_in_place_or_around_the_end() {
    let (past, update) = (i64s(&[2, 3, 1], &[1, 2, 3, 4, 5, 6]), i64s(&[2, 2, 1], &[70, 71, 80, 81]));
    let function = Function::new("tensor_scatter", 3);
    let at = |a, b| [past.clone(), update.clone(), i64s(&[2], &[a, b])];
    assert_eq!(ints(function.clone(), &at(1, 0)), [1, 70, 71, 80, 81, 6]);
    assert!(run(function.clone(), &at(2, 0)).is_err());
    assert!(run(function.clone(), &at(-1, 0)).is_err());
    let circular = function.with("mode", Attribute::Text("circular".into()));
    assert_eq!(ints(circular, &at(2, 4)), [71, 2, 70, 4, 80, 81]);
}

#[test]
fn diagonals_and_bits() {
    let x = i64s(&[2, 3], &[0; 6]);
    assert_eq!(
        ints(Function::new("eye_like", 1).with("k", Attribute::Int(1)), std::slice::from_ref(&x)),
        [0, 1, 0, 0, 0, 1]
    );
    assert_eq!(ints(Function::new("eye_like", 1).with("k", Attribute::Int(i64::MIN)), &[x]), [0; 6]);
    let one = Value::Tensor(Tensor::scalar(1.0f32));
    let cast =
        |to: &str| run(Function::new("bit_cast", 1).with("to", Attribute::Text(to.into())), std::slice::from_ref(&one));
    assert_eq!(cast("i32").unwrap().as_slice::<i32>().unwrap(), [0x3f80_0000]);
    assert!(cast("i64").is_err());
}

#[test]
fn blocks_are_added_where_they_overlap() {
    // Two blocks of two by two, one column apart, on an image of two by three.
    let columns = i64s(&[1, 4, 2], &[1, 2, 3, 4, 5, 6, 7, 8]);
    let operands = [columns, i64s(&[2], &[2, 3]), i64s(&[2], &[2, 2])];
    let function = Function::new("col2_im", 3);
    assert_eq!(ints(function.clone(), &operands), [1, 2 + 3, 4, 5, 6 + 7, 8]);
    let padded = function.clone().with("pads", Attribute::Ints(vec![0, 1, 0, 0]));
    let operands = [operands[0].clone(), i64s(&[2], &[2, 2]), operands[2].clone()];
    assert_eq!(ints(padded, &operands), [2 + 3, 4, 6 + 7, 8]);
    let hostile = [i64s(&[1, 0, 2], &[]), i64s(&[2], &[i64::MAX, 3]), i64s(&[2], &[i64::MAX, i64::MAX])];
    assert!(run(function, &hostile).is_err());
}

#[test]
fn unpooled_elements_go_back() {
    let function = Function::new("max_unpool", 3)
        .with("kernel_shape", Attribute::Ints(vec![2, 2]))
        .with("strides", Attribute::Ints(vec![2, 2]));
    let x = i64s(&[1, 1, 1, 2], &[5, 6]);
    let mut without = function.clone();
    without.operands = vec![true, true, false];
    assert_eq!(ints(without.clone(), &[x.clone(), i64s(&[1, 1, 1, 2], &[1, 6])]), [0, 5, 0, 0, 0, 0, 6, 0]);
    assert!(run(without, &[x.clone(), i64s(&[1, 1, 1, 2], &[1, 8])]).is_err());
    let larger = i64s(&[4], &[1, 1, 2, 5]);
    let made = ints(function, &[x, i64s(&[1, 1, 1, 2], &[1, 6]), larger]);
    assert_eq!(made, [0, 5, 0, 0, 0, 0, 0, 6, 0, 0]);
}

#[test]
fn texts_move_as_numbers_do() {
    let texts = crate::Strings::new(&[2, 1], ["a", "b"].map(str::to_owned).to_vec()).unwrap();
    let operands = [Value::Strings(texts), i64s(&[1], &[2])];
    let operands: Vec<Operand> = operands.iter().map(Value::operand).collect();
    let made = Function::new("reverse_sequence", 2).run(&operands).unwrap();
    assert!(matches!(&made[0], Value::Strings(s) if s.elements() == ["b", "a"]));
    assert_eq!(made[0].dtype(), Some(DType::String));
}
