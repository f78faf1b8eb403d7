//! Determinants and running products, worked out by hand.

use super::super::function::Attribute;
use super::*;

fn product_of(exclusive: i64, reverse: i64) -> Vec<i32> {
    let function = Function::new("cum_prod", 2)
        .with("exclusive", Attribute::Int(exclusive))
        .with("reverse", Attribute::Int(reverse));
    let x = Tensor::from_slice(&[3, 2], &[1i32, 10, 2, 20, 3, 30]).unwrap();
    let axis = Tensor::scalar(-2i64);
    let made = function.run(&[Value::Tensor(x).operand(), Value::Tensor(axis).operand()]).unwrap();
    made[0].as_tensor().unwrap().as_slice::<i32>().unwrap().to_vec()
}

#[test]
fn running_products() {
    assert_eq!(product_of(0, 0), [1, 10, 2, 200, 6, 6000]);
    assert_eq!(product_of(1, 0), [1, 1, 1, 10, 2, 200]);
    assert_eq!(product_of(0, 1), [6, 6000, 6, 600, 3, 30]);
    assert_eq!(product_of(1, 1), [6, 600, 3, 30, 1, 1]);
}

#[test]
fn determinants() {
    let det = |shape: &[usize], values: &[f32]| {
        let x = Value::Tensor(Tensor::from_slice(shape, values).unwrap());
        let made = Function::new("det", 1).run(&[x.operand()]);
        made.map(|v| v[0].as_tensor().unwrap().as_slice::<f32>().unwrap().to_vec())
    };
    assert_eq!(det(&[2, 2], &[0., 1., 2., 3.]).unwrap(), [-2.]);
    assert_eq!(det(&[2, 1, 1], &[5., -3.]).unwrap(), [5., -3.]);
    assert_eq!(det(&[3, 3], &[2., 0., 1., 4., 0., 2., 7., 1., 1.]).unwrap(), [0.]);
    assert_eq!(det(&[2, 0, 0], &[]).unwrap(), [1., 1.]);
    assert!(det(&[1, 2], &[1., 2.]).is_err());
}
