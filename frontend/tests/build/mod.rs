//! Small models made from messages, and tensors to compare with.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use brolga_compiler::ir::eval::evaluate;
use brolga_frontend::{Options, import};
use brolga_proto::*;
use brolga_runtime::{DType, Tensor};

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: 2, ..Default::default() }
}
pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: ints.to_vec(), r#type: 7, ..Default::default() }
}
pub fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f, r#type: 1, ..Default::default() }
}
pub fn floats(name: &str, floats: &[f32]) -> AttributeProto {
    AttributeProto { name: name.into(), floats: floats.to_vec(), r#type: 6, ..Default::default() }
}
pub fn text(name: &str, s: &'static str) -> AttributeProto {
    AttributeProto { name: name.into(), s: s.as_bytes().into(), r#type: 3, ..Default::default() }
}
pub fn tensor_attribute(name: &str, t: TensorProto) -> AttributeProto {
    AttributeProto { name: name.into(), t: Some(Box::new(t)), r#type: 4, ..Default::default() }
}

pub fn node(op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let names = |list: &[&str]| list.iter().map(|s| (*s).to_string()).collect();
    NodeProto {
        op_type: op.into(),
        name: format!("the_{op}"),
        input: names(inputs),
        output: names(outputs),
        attribute,
        ..Default::default()
    }
}

pub fn f32s(shape: &[usize], elements: &[f32]) -> Tensor {
    Tensor::from_slice(shape, elements).unwrap()
}
pub fn i64s(shape: &[usize], elements: &[i64]) -> Tensor {
    Tensor::from_slice(shape, elements).unwrap()
}

pub fn number(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => 1,
        DType::U8 => 2,
        DType::I64 => 7,
        DType::I32 => 6,
        DType::Bool => 9,
        other => panic!("{other} is not used in these tests"),
    }
}

pub fn initializer(name: &str, tensor: &Tensor) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: number(tensor.dtype()),
        dims: tensor.shape().iter().map(|d| *d as i64).collect(),
        raw_data: tensor.bytes().to_vec().into(),
        ..Default::default()
    }
}

/// A dimension by number, or by name where the text is none.
pub fn port(name: &str, elem_type: i32, dims: &[&str]) -> ValueInfoProto {
    use tensor_shape_proto::dimension::Value;
    let dim = |text: &str| match (text, text.parse()) {
        ("?", _) => None,
        (_, Ok(n)) => Some(Value::DimValue(n)),
        _ => Some(Value::DimParam(text.into())),
    };
    let dims = dims.iter().map(|d| tensor_shape_proto::Dimension { value: dim(d), ..Default::default() });
    let tensor = type_proto::Tensor { elem_type, shape: Some(TensorShapeProto { dim: dims.collect() }) };
    let ty = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(ty) }
}

pub fn model(opset: i64, nodes: Vec<NodeProto>, inputs: Vec<ValueInfoProto>, outputs: &[&str]) -> ModelProto {
    let graph = GraphProto {
        name: "g".into(),
        node: nodes,
        input: inputs,
        output: outputs.iter().map(|n| ValueInfoProto { name: (*n).into(), r#type: None }).collect(),
        ..Default::default()
    };
    ModelProto {
        ir_version: 10,
        opset_import: vec![
            OperatorSetIdProto { domain: String::new(), version: opset },
            OperatorSetIdProto { domain: "com.microsoft".into(), version: 1 },
        ],
        graph: Some(graph),
        ..Default::default()
    }
}

/// Results of one node: the first operand is an input of the model, the others are initializers. One without a name is omitted.
pub fn run(opset: i64, node: NodeProto, operands: &[(&str, Tensor)]) -> Vec<Tensor> {
    let given: Vec<&(&str, Tensor)> = operands.iter().filter(|(name, _)| !name.is_empty()).collect();
    let (first, rest) = given.split_first().unwrap();
    let dims: Vec<String> = first.1.shape().iter().map(usize::to_string).collect();
    let dims: Vec<&str> = dims.iter().map(String::as_str).collect();
    let outputs: Vec<String> = node.output.iter().filter(|n| !n.is_empty()).cloned().collect();
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    let mut model = model(opset, vec![node], vec![port(first.0, number(first.1.dtype()), &dims)], &outputs);
    model.graph.as_mut().unwrap().initializer = rest.iter().map(|(name, t)| initializer(name, t)).collect();
    let graph = import(&Loaded::from_model(model), &Options::default()).unwrap();
    evaluate(&graph, std::slice::from_ref(&first.1)).unwrap()
}

/// Elements agree within 1e-5 of the larger magnitude, and shapes exactly.
pub fn assert_close(what: &str, got: &Tensor, want: &Tensor) {
    assert_eq!((got.shape(), got.dtype()), (want.shape(), want.dtype()), "{what}");
    if got.dtype() != DType::F32 {
        assert_eq!(got.bytes(), want.bytes(), "{what}");
        return;
    }
    let (got, want) = (got.as_slice::<f32>().unwrap(), want.as_slice::<f32>().unwrap());
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= 1e-5 * w.abs().max(1.0), "{what}: {got:?} where {want:?} is expected");
    }
}
