//! New sizes at every run: right results, a bounded number of programs, no memory that grows.
#![cfg(target_os = "linux")]

use brolga::{Model, Options, Tensor};
use brolga_proto::*;
use prost::Message;

const SIZES: usize = 1000;

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A model of one input `x`, f32 of one dimension without a name, and one output `y`.
fn model(nodes: Vec<NodeProto>) -> Model {
    use tensor_shape_proto::Dimension;
    let tensor = type_proto::Tensor { elem_type: 1, shape: Some(TensorShapeProto { dim: vec![Dimension::default()] }) };
    let ty = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    let graph = GraphProto {
        name: "sizes".into(),
        node: nodes,
        input: vec![ValueInfoProto { name: "x".into(), r#type: Some(ty) }],
        output: vec![ValueInfoProto { name: "y".into(), r#type: None }],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    let model = ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() };
    Model::from_bytes(model.encode_to_vec(), Options { threads: Some(1), ..Options::default() }).unwrap()
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    let input = inputs.iter().map(|name| (*name).into()).collect();
    NodeProto { op_type: op.into(), name: op.into(), input, output: vec![output.into()], ..Default::default() }
}

/// Runs the model with every size from 1 on; every third element is positive, the others negative.
fn run_all(model: &Model, check: impl Fn(&Tensor, usize)) {
    let mut settled = 0;
    for size in 1..=SIZES {
        let data: Vec<f32> = (0..size).map(|i| if i % 3 == 0 { i as f32 + 1.0 } else { -1.0 }).collect();
        let outputs = model.run_tensors(&[Tensor::from_slice(&[size], &data).unwrap()]).unwrap();
        check(&outputs[0], size.div_ceil(3));
        let mut programs = 0;
        model.programs(&mut |_| programs += 1);
        assert!(programs <= 16, "{programs} programs are kept");
        if size == SIZES / 4 {
            settled = resident_bytes();
        }
    }
    let grown = resident_bytes().saturating_sub(settled);
    assert!(grown < 8 << 20, "{SIZES} sizes left {grown} bytes");
}

#[test]
fn a_thousand_sizes_of_a_symbolic_dimension() {
    let model = model(vec![node("Relu", &["x"], "y")]);
    assert!(model.is_static());
    run_all(&model, |y, positive| {
        assert_eq!(y.as_slice::<f32>().unwrap().iter().filter(|v| **v > 0.0).count(), positive);
    });
}

#[test]
fn a_thousand_counts_that_only_a_run_tells() {
    let nodes = vec![
        node("Relu", &["x"], "r"),
        node("NonZero", &["r"], "at"),
        node("GatherND", &["r", "rows"], "picked"),
        node("Transpose", &["at"], "rows"),
        node("Exp", &["picked"], "y"),
    ];
    let model = model(nodes);
    assert!(!model.is_static());
    run_all(&model, |y, positive| assert_eq!(y.shape(), [positive]));
}
