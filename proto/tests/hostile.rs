//! Bytes that are not a model, or a model meant to do harm: a typed error each, within the memory limit.

use brolga_proto::*;
use bytes::Bytes;
use prost::Message;

fn initializer(name: &str, values: &[f32]) -> TensorProto {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    TensorProto {
        name: name.into(),
        data_type: 1,
        dims: vec![values.len() as i64],
        raw_data: raw.into(),
        ..Default::default()
    }
}

fn value(name: &str) -> ValueInfoProto {
    let dim = |value| tensor_shape_proto::Dimension { value: Some(value), ..Default::default() };
    let shape = TensorShapeProto {
        dim: vec![
            dim(tensor_shape_proto::dimension::Value::DimParam("batch".into())),
            dim(tensor_shape_proto::dimension::Value::DimValue(3)),
        ],
    };
    let tensor = type_proto::Tensor { elem_type: 1, shape: Some(shape) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind) }
}

fn model() -> ModelProto {
    let axis = AttributeProto { name: "axis".into(), i: -1, r#type: 2, ..Default::default() };
    let ints = AttributeProto { name: "pads".into(), ints: vec![1, -2, 1 << 40], r#type: 7, ..Default::default() };
    let tensor = AttributeProto {
        name: "t".into(),
        t: Some(Box::new(initializer("c", &[1.0]))),
        r#type: 4,
        ..Default::default()
    };
    let node = NodeProto {
        input: vec!["x".into(), "w".into()],
        output: vec!["y".into()],
        name: "add".into(),
        op_type: "Add".into(),
        attribute: vec![axis, ints, tensor],
        ..Default::default()
    };
    let graph = GraphProto {
        node: vec![node],
        name: "g".into(),
        initializer: vec![initializer("w", &[1.0, 2.0, 3.0])],
        input: vec![value("x")],
        output: vec![value("y")],
        ..Default::default()
    };
    ModelProto {
        ir_version: 10,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 21 }],
        graph: Some(graph),
        ..Default::default()
    }
}

fn try_bytes(bytes: Vec<u8>) -> Result<Loaded, ProtoError> {
    let loaded = decode(Bytes::from(bytes), &Limits::default())?;
    if let Some(graph) = &loaded.model.graph {
        for tensor in &graph.initializer {
            let _ = loaded.tensor(tensor);
        }
    }
    Ok(loaded)
}

#[test]
fn a_model_survives_the_round_trip() {
    let bytes = model().encode_to_vec();
    let loaded = try_bytes(bytes.clone()).unwrap();
    assert_eq!(loaded.model, model());
    assert_eq!(loaded.file_bytes, bytes.len() as u64);
    let counted = scan(&bytes, &Limits::default()).unwrap();
    assert_eq!(counted.messages, 20);
}

#[test]
fn every_prefix_is_an_error_or_a_smaller_model() {
    let bytes = model().encode_to_vec();
    let mut refused = 0;
    for n in 0..bytes.len() {
        match try_bytes(bytes[..n].to_vec()) {
            Ok(loaded) => assert_ne!(loaded.model, model()),
            Err(e) => {
                assert_eq!(e.class(), Class::Model);
                refused += 1;
            }
        }
    }
    assert!(refused > bytes.len() - 20, "{refused} of {}", bytes.len());
}

#[test]
fn every_flipped_bit_gives_a_model_or_a_typed_error() {
    let bytes = model().encode_to_vec();
    let (mut read, mut refused) = (0, 0);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match try_bytes(flipped) {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert_eq!(read + refused, bytes.len() * 8);
    assert!(read > 0 && refused > 0);
}

/// The scan and the decoder agree on what is well-formed.
#[test]
fn what_the_scan_accepts_decodes_but_for_text_and_numbers_out_of_range() {
    let bytes = model().encode_to_vec();
    let mut checked = 0;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let scanned = scan(&flipped, &Limits::default());
        if let (Ok(_), Err(e)) = (scanned, ModelProto::decode(&flipped[..])) {
            let text = e.to_string();
            assert!(text.contains("UTF-8") || text.contains("wire type"), "{text}");
        }
        checked += 1;
    }
    assert_eq!(checked, bytes.len() * 8);
}

#[test]
fn files_of_other_kinds_are_malformed() {
    let files: [&[u8]; 7] = [
        b"This is a text file, not a model.\n",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
        b"PK\x03\x04\x14\0\0\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    ];
    for bytes in files {
        let e = try_bytes(bytes.to_vec()).unwrap_err();
        assert_eq!(e.class(), Class::Model, "{e}");
    }
    assert!(matches!(try_bytes(vec![]), Err(ProtoError::Empty)));
}

#[test]
fn trailing_garbage_and_groups_are_refused() {
    let mut bytes = model().encode_to_vec();
    bytes.extend([0xff; 5]);
    assert!(matches!(try_bytes(bytes), Err(ProtoError::Malformed { .. })));
    let groups = [0xfb, 0x01].repeat(100_000);
    assert!(matches!(try_bytes(groups), Err(ProtoError::Malformed { offset: 0, .. })));
}

#[test]
fn deep_nesting_is_refused() {
    let mut inner = GraphProto::default();
    for _ in 0..40 {
        let attribute =
            AttributeProto { name: "body".into(), g: Some(Box::new(inner)), r#type: 5, ..Default::default() };
        let node = NodeProto { op_type: "Loop".into(), attribute: vec![attribute], ..Default::default() };
        inner = GraphProto { node: vec![node], ..Default::default() };
    }
    let e = try_bytes(ModelProto { graph: Some(inner), ..Default::default() }.encode_to_vec()).unwrap_err();
    assert!(e.to_string().contains("nested too deeply"), "{e}");
}

#[test]
fn unknown_fields_cost_nothing() {
    let mut bytes = model().encode_to_vec();
    let before = scan(&bytes, &Limits::default()).unwrap().memory;
    bytes.extend([0xf8, 0x07, 0x01].repeat(1_000_000));
    assert_eq!(scan(&bytes, &Limits::default()).unwrap().memory, before);
    assert!(try_bytes(bytes).is_ok());
}

#[test]
fn two_byte_messages_that_decode_to_hundreds_are_counted_before_they_are_made() {
    // A graph of empty nodes: tag and zero length each.
    let nodes = [0x0a, 0x00].repeat(8 << 20);
    let mut bytes = vec![0x3a];
    let mut n = nodes.len();
    while n >= 0x80 {
        bytes.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes.extend(nodes);
    let e = try_bytes(bytes).unwrap_err();
    assert!(matches!(e, ProtoError::TooLarge { .. }) && e.class() == Class::Budget, "{e}");
}

#[test]
fn later_singular_fields_win_and_lists_may_be_packed_or_not() {
    let mut bytes = model().encode_to_vec();
    bytes.extend([0x08, 0x63]);
    assert_eq!(try_bytes(bytes).unwrap().model.ir_version, 99);
    let unpacked: &[u8] = &[0x08, 2, 0x08, 3];
    let packed: &[u8] = &[0x0a, 2, 2, 3];
    assert_eq!(TensorProto::decode(unpacked).unwrap(), TensorProto::decode(packed).unwrap());
}
