//! Files that are no models, or models meant to do harm: the right family of error each, and never a panic.
#![allow(clippy::unwrap_used, clippy::panic)]

use brolga::{Error, ErrorKind, Model, Options};
use brolga_proto::*;
use brolga_tests::zoo;
use prost::Message;

fn load(bytes: &[u8]) -> Result<Model, Error> {
    Model::from_bytes(bytes, Options { threads: Some(1), ..Options::default() })
}

fn refused(bytes: &[u8], kind: ErrorKind, what: &str) {
    match load(bytes) {
        Ok(_) => panic!("{what}: loaded"),
        Err(error) => assert_eq!(error.kind(), kind, "{what}: {error}"),
    }
}

/// Stands for a symbolic extent.
const SYMBOL: i64 = -1;

fn port(name: &str, dims: &[i64]) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension::Value};
    let value = |n: i64| if n == SYMBOL { Value::DimParam("n".into()) } else { Value::DimValue(n) };
    let dim = dims.iter().map(|n| Dimension { value: Some(value(*n)), ..Default::default() }).collect();
    let tensor = type_proto::Tensor { elem_type: 1, shape: Some(TensorShapeProto { dim }) };
    let ty = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(ty) }
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    let input = inputs.iter().map(|name| (*name).into()).collect();
    NodeProto {
        op_type: op.into(),
        name: format!("the {op}"),
        input,
        output: vec![output.into()],
        ..Default::default()
    }
}

fn model(nodes: Vec<NodeProto>, input: &[i64], initializers: Vec<TensorProto>) -> Vec<u8> {
    let graph = GraphProto {
        name: "g".into(),
        node: nodes,
        input: vec![port("x", input)],
        output: vec![ValueInfoProto { name: "y".into(), r#type: None }],
        initializer: initializers,
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }.encode_to_vec()
}

fn integers(name: &str, values: &[i64]) -> TensorProto {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let dims = vec![values.len() as i64];
    TensorProto { name: name.into(), data_type: 7, dims, raw_data: raw.into(), ..Default::default() }
}

#[test]
fn bytes_that_are_no_model() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde";
    refused(b"", ErrorKind::InvalidModel, "empty");
    refused(b"Dear reader, this is no model.\n", ErrorKind::InvalidModel, "text");
    refused(png, ErrorKind::InvalidModel, "PNG");
}

#[test]
fn truncated_models() {
    let whole = zoo::case("lenet5").unwrap().model().unwrap();
    load(&whole).unwrap();
    for part in 1..40 {
        refused(&whole[..whole.len() * part / 40], ErrorKind::InvalidModel, &format!("{part}/40"));
    }
}

#[test]
fn flipped_bits_never_panic() {
    let whole = zoo::case("lenet5").unwrap().model().unwrap();
    let mut seed = 1u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let (mut loaded, mut failed) = (0, 0);
    for round in 0..500 {
        let mut bytes = whole.clone();
        // Nodes lie at the front, inputs and outputs at the end, weights between them.
        let at = match round % 3 {
            0 => random() % bytes.len(),
            1 => random() % 2000,
            _ => bytes.len() - 1 - random() % 200,
        };
        bytes[at] ^= 1 << (random() % 8);
        match load(&bytes) {
            Ok(_) => loaded += 1,
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::Bug, "byte {at}: {error}");
                failed += 1;
            }
        }
    }
    assert_eq!(loaded + failed, 500);
    assert!(failed > 50, "{failed}");
}

#[test]
fn models_that_make_no_sense() {
    let cyclic = vec![node("Add", &["x", "b"], "a"), node("Relu", &["a"], "b"), node("Relu", &["b"], "y")];
    refused(&model(cyclic, &[2], vec![]), ErrorKind::InvalidModel, "cyclic");
    refused(&model(vec![node("Relu", &["x"], "y")], &[1 << 62], vec![]), ErrorKind::InvalidModel, "2^62");
    refused(&model(vec![node("Frobnicate", &["x"], "y")], &[2], vec![]), ErrorKind::Unsupported, "unknown op");
    for exponent in [16, 20] {
        let nodes =
            vec![node("ConstantOfShape", &["s"], "big"), node("Exp", &["big"], "e"), node("Add", &["x", "e"], "y")];
        let shape = integers("s", &[1 << exponent, 1 << exponent]);
        refused(&model(nodes, &[1], vec![shape]), ErrorKind::Budget, "folding");
    }
}

/// Extents that are computed by more steps than a stack is deep.
#[test]
fn extents_nested_deeply() {
    const STEPS: usize = 20_000;
    // The largest of an extent and 3, over and over, is one expression; the sizes of the others are left to the run.
    for (op, known) in [("Mul", false), ("Div", false), ("Min", false), ("Max", true)] {
        let mut nodes = vec![node("Shape", &["x"], "v0")];
        nodes.extend((0..STEPS).map(|i| node(op, &[&format!("v{i}"), "three"], &format!("v{}", i + 1))));
        nodes.push(node("ConstantOfShape", &[&format!("v{STEPS}")], "y"));
        let loaded = load(&model(nodes, &[SYMBOL], vec![integers("three", &[3])])).map(|model| model.is_static());
        assert!(matches!(loaded, Ok(is) if is == known), "{op}: {loaded:?}");
    }
    let mut nodes = vec![node("Identity", &["x"], "v0")];
    for i in 0..1000 {
        let mut pool = node("MaxPool", &[&format!("v{i}")], &format!("v{}", i + 1));
        let list = |name: &str, ints: &[i64]| AttributeProto {
            name: name.into(),
            r#type: 7,
            ints: ints.to_vec(),
            ..Default::default()
        };
        pool.attribute = vec![list("kernel_shape", &[3]), list("strides", &[2]), list("pads", &[1, 1])];
        nodes.push(pool);
    }
    nodes.push(node("Relu", &["v1000"], "y"));
    refused(&model(nodes, &[1, 1, SYMBOL], vec![]), ErrorKind::Budget, "an extent");
}

#[test]
fn files_that_cannot_be_had() {
    let folder = tempfile::tempdir().unwrap();
    let kind = |path: &std::path::Path| Model::load(path).err().map(|error| error.kind());
    assert_eq!(kind(&folder.path().join("none.onnx")), Some(ErrorKind::Machine));
    assert_eq!(kind(folder.path()), Some(ErrorKind::Machine));
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(folder.path().join("x"), [0; 8]).unwrap();
    let weight = TensorProto {
        name: "w".into(),
        data_type: 1,
        dims: vec![2],
        data_location: 1,
        external_data: vec![entry("location", "../x")],
        ..Default::default()
    };
    let path = inner.join("model.onnx");
    std::fs::write(&path, model(vec![node("Add", &["x", "w"], "y")], &[2], vec![weight])).unwrap();
    assert_eq!(kind(&path), Some(ErrorKind::InvalidModel));
}
