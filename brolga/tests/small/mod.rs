//! Models of a few nodes, made by hand.

/// A model of these inputs (name, element type, shape), nodes (operator, inputs, output) and constants, whose output is `y`.
pub fn small_model(
    inputs: &[(&str, i32, &[i64])],
    nodes: &[(&str, &[&str], &str)],
    constants: &[(&str, &[i64])],
) -> Vec<u8> {
    use brolga_proto::*;
    use prost::Message;
    use tensor_shape_proto::{Dimension, dimension::Value};
    let dim = |extent: &i64| Dimension { value: Some(Value::DimValue(*extent)), ..Default::default() };
    let input = |(name, elem_type, shape): &(&str, i32, &[i64])| {
        let shape = TensorShapeProto { dim: shape.iter().map(dim).collect() };
        let tensor = type_proto::Tensor { elem_type: *elem_type, shape: Some(shape) };
        let ty = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
        ValueInfoProto { name: (*name).into(), r#type: Some(ty) }
    };
    let node = |(op, inputs, output): &(&str, &[&str], &str)| NodeProto {
        op_type: (*op).into(),
        name: format!("{op} of {output}"),
        input: inputs.iter().map(|name| (*name).into()).collect(),
        output: vec![(*output).into()],
        ..Default::default()
    };
    let constant = |(name, values): &(&str, &[i64])| {
        let raw_data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let dims = vec![values.len() as i64];
        TensorProto { name: (*name).into(), data_type: 7, dims, raw_data: raw_data.into(), ..Default::default() }
    };
    let graph = GraphProto {
        name: "small".into(),
        node: nodes.iter().map(node).collect(),
        input: inputs.iter().map(input).collect(),
        output: vec![ValueInfoProto { name: "y".into(), r#type: None }],
        initializer: constants.iter().map(constant).collect(),
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }.encode_to_vec()
}

/// A model that sums over the axes which are its second input.
pub fn axes_as_input() -> Vec<u8> {
    small_model(&[("x", 1, &[4, 6]), ("axes", 7, &[1])], &[("ReduceSum", &["x", "axes"], "y")], &[])
}
