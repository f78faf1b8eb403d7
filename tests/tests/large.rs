//! Graphs of very many nodes, operands and constants: nothing takes time in the square of their number. At the sizes here that
//! would be minutes; what is asserted is what becomes of them.
#![allow(clippy::unwrap_used)]

use brolga::{Model, Options, Tensor};
use brolga_compiler::ir::Op;
use brolga_proto::*;
use prost::Message;

fn node(op: &str, inputs: Vec<String>, output: String) -> NodeProto {
    NodeProto { op_type: op.into(), name: output.clone(), input: inputs, output: vec![output], ..Default::default() }
}

fn load(nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) -> Model {
    use tensor_shape_proto::{Dimension, dimension::Value};
    let dim = vec![Dimension { value: Some(Value::DimValue(4)), ..Default::default() }];
    let tensor = type_proto::Tensor { elem_type: 1, shape: Some(TensorShapeProto { dim }) };
    let ty = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    let graph = GraphProto {
        name: "g".into(),
        node: nodes,
        input: vec![ValueInfoProto { name: "x".into(), r#type: Some(ty) }],
        output: vec![ValueInfoProto { name: "y".into(), r#type: None }],
        initializer: initializers,
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 18 }];
    let model = ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() };
    Model::from_bytes(model.encode_to_vec(), Options { threads: Some(1), ..Options::default() }).unwrap()
}

fn run(model: &Model, x: [f32; 4]) -> Vec<f32> {
    let outputs = model.run_tensors(&[Tensor::from_slice(&[4], &x).unwrap()]).unwrap();
    outputs[0].as_slice::<f32>().unwrap().to_vec()
}

/// The name of value `i` of `count`, the last of which is the output.
fn name(i: usize, count: usize) -> String {
    if i + 1 == count { "y".into() } else { format!("v{i}") }
}

#[test]
fn long_chain() {
    const COUNT: usize = 20_000;
    let before = |i: usize| if i == 0 { "x".into() } else { name(i - 1, COUNT) };
    let nodes = (0..COUNT).map(|i| node("Add", vec![before(i), "x".into()], name(i, COUNT))).collect();
    let model = load(nodes, vec![]);
    assert_eq!(model.imported().len(), COUNT);
    // Fused as far as a kernel goes, and no further.
    assert!((COUNT / 24..COUNT / 12).contains(&model.graph().len()), "{} nodes", model.graph().len());
    let scale = COUNT as f32 + 1.0;
    assert_eq!(run(&model, [0.0, 1.0, -2.0, 0.5]), [0.0, scale, -2.0 * scale, 0.5 * scale]);
}

#[test]
fn many_operands() {
    const COUNT: usize = 20_000;
    let mut nodes: Vec<NodeProto> = (0..COUNT).map(|i| node("Relu", vec!["x".into()], format!("r{i}"))).collect();
    nodes.push(node("Concat", (0..COUNT).map(|i| format!("r{i}")).collect(), "y".into()));
    nodes[COUNT].attribute.push(AttributeProto { name: "axis".into(), r#type: 2, ..Default::default() });
    let model = load(nodes, vec![]);
    assert_eq!(model.imported().len(), COUNT + 1);
    let wide = model.graph().nodes().find(|node| matches!(node.op, Op::Concat { .. })).unwrap();
    assert_eq!((model.graph().len(), wide.inputs.len()), (2, COUNT), "equal nodes are one");
    let y = run(&model, [1.0, -1.0, 2.0, 0.0]);
    assert!(y.len() == 4 * COUNT && y.chunks(4).all(|part| part == [1.0, 0.0, 2.0, 0.0]));
}

#[test]
fn many_constants() {
    const COUNT: usize = 20_000;
    let constant = |i: usize| TensorProto {
        name: format!("w{i}"),
        data_type: 1,
        dims: vec![4],
        raw_data: [1.0, i as f32, 0.0, -1.0].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>().into(),
        ..Default::default()
    };
    let before = |i: usize| if i == 0 { "x".into() } else { name(i - 1, COUNT) };
    let op = |i: usize| if i.is_multiple_of(2) { "Max" } else { "Add" };
    let nodes = (0..COUNT).map(|i| node(op(i), vec![before(i), format!("w{i}")], name(i, COUNT))).collect();
    let model = load(nodes, (0..COUNT).map(constant).collect());
    let weights = model.imported().values().filter(|(id, _)| model.imported().weight(*id).is_some()).count();
    assert_eq!(weights, COUNT);
    assert!(model.graph().len() >= COUNT / 24, "{} nodes", model.graph().len());
    let expected = (0..COUNT).fold([3.0f32, 3.0, 3.0, 3.0], |y, i| {
        let w = [1.0, i as f32, 0.0, -1.0];
        std::array::from_fn(|k| if i.is_multiple_of(2) { y[k].max(w[k]) } else { y[k] + w[k] })
    });
    assert_eq!(run(&model, [3.0; 4]), expected);
}
