//! What is left of quantisation.

use super::support::*;
use crate::ir::*;
use crate::pass::lower_quantisation::LowerQuantisation;
use brolga_runtime::{DType, Tensor};

fn pool(pad: i64) -> Op {
    Op::Pool { kind: PoolKind::Max, window: window(2, pad), ceil: false, column_major: false }
}

/// A pooled map of bytes before and after, with the padding that is not an element.
fn pooled<T: brolga_runtime::Element>(elements: &[T], dtype: DType) {
    let mut graph = Graph::new("test");
    let x = graph.add_input("x", Type::known(dtype, &[1, 1, 2, 2]));
    let y = graph.add_node(pool(1), &[x], 1, "pool").unwrap()[0];
    graph.add_output("y", y);
    let after = run(&graph, &[&LowerQuantisation]).graph;
    assert_eq!(ops(&after), ["Requantize", "Pool", "Requantize"]);
    let input = [Tensor::from_slice(&[1, 1, 2, 2], elements).unwrap()];
    let (want, got) = (eval::evaluate(&graph, &input).unwrap(), eval::evaluate(&after, &input).unwrap());
    assert_eq!(got[0].dtype(), dtype);
    assert_eq!(got[0].bytes(), want[0].bytes());
}

#[test]
fn the_largest_of_bytes_are_found_among_floats() {
    pooled::<u8>(&[0, 255, 7, 128], DType::U8);
    pooled::<i8>(&[-128, -1, -100, -127], DType::I8);
}

#[test]
fn positions_and_other_types_stay() {
    let mut graph = Graph::new("test");
    let x = graph.add_input("x", Type::known(DType::U8, &[1, 1, 2, 2]));
    let both = graph.add_node(pool(0), &[x], 2, "pool").unwrap();
    both.iter().enumerate().for_each(|(i, value)| graph.add_output(format!("y{i}"), *value));
    assert_eq!(ops(&run(&graph, &[&LowerQuantisation]).graph), ["Pool"]);
    let mut net = Net::new();
    let x = net.input("x", &[1, 1, 2, 2]);
    let y = net.op(pool(0), &[x]);
    assert_eq!(ops(&run(&net.outputs(&[y]), &[&LowerQuantisation]).graph), ["Pool"]);
}
