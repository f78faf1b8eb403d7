//! Elements of tensors from every field, and from files beside the model.

#![allow(clippy::unwrap_used)]
use brolga_proto::tensor_proto::DataType;
use brolga_proto::*;
use prost::Message;
use std::fs;
use std::path::Path;

fn read(tensor: &TensorProto) -> Result<TensorData, ProtoError> {
    Loaded::from_model(ModelProto::default()).tensor(tensor)
}

fn tensor(dtype: DataType, dims: &[i64]) -> TensorProto {
    TensorProto { name: "t".into(), data_type: dtype as i32, dims: dims.to_vec(), ..Default::default() }
}

#[test]
fn typed_lists_become_little_endian_elements() {
    use DataType::*;
    let words = TensorProto { int32_data: vec![1, -1], ..Default::default() };
    let with = |dtype: DataType, from: TensorProto| TensorProto {
        name: "t".into(),
        data_type: dtype as i32,
        dims: vec![2],
        ..from
    };
    let cases: Vec<(TensorProto, Vec<u8>)> = vec![
        (
            with(Float, TensorProto { float_data: vec![1.0, 2.0], ..Default::default() }),
            vec![0, 0, 128, 63, 0, 0, 0, 64],
        ),
        (with(Int8, words.clone()), vec![1, 255]),
        (with(Uint8, words.clone()), vec![1, 255]),
        (with(Int16, words.clone()), vec![1, 0, 255, 255]),
        (with(Float16, words.clone()), vec![1, 0, 255, 255]),
        (with(Bool, words.clone()), vec![1, 1]),
        (with(Int32, words), vec![1, 0, 0, 0, 255, 255, 255, 255]),
        (
            with(Int64, TensorProto { int64_data: vec![-2, 3], ..Default::default() }),
            vec![254, 255, 255, 255, 255, 255, 255, 255, 3, 0, 0, 0, 0, 0, 0, 0],
        ),
        (with(Uint32, TensorProto { uint64_data: vec![7, 8], ..Default::default() }), vec![7, 0, 0, 0, 8, 0, 0, 0]),
        (
            with(Double, TensorProto { double_data: vec![1.0, 0.0], ..Default::default() }),
            vec![0, 0, 0, 0, 0, 0, 240, 63, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        (with(Int4, TensorProto { raw_data: vec![0x21].into(), ..Default::default() }), vec![0x21]),
    ];
    assert_eq!(cases.len(), 11);
    for (tensor, want) in cases {
        assert_eq!(read(&tensor).unwrap().bytes, want, "{tensor:?}");
    }
}

#[test]
fn raw_data_is_a_slice_of_the_file() {
    let mut t = tensor(DataType::Float, &[2]);
    t.raw_data = vec![1; 8].into();
    assert_eq!(read(&t).unwrap().bytes.as_ptr(), t.raw_data.as_ptr());
}

#[test]
fn wrong_tensors_are_typed_errors() {
    use DataType::*;
    let raw = |t: TensorProto, n: usize| TensorProto { raw_data: vec![0; n].into(), ..t };
    let both = TensorProto { float_data: vec![0.0], ..raw(tensor(Float, &[1]), 4) };
    let segment = TensorProto { segment: Some(Default::default()), ..raw(tensor(Float, &[1]), 4) };
    let external = TensorProto { data_location: 1, ..tensor(Float, &[1]) };
    let mut number = tensor(Float, &[1]);
    number.data_type = 999;
    let cases = [
        (raw(tensor(Float, &[2]), 7), Class::Model),
        (raw(tensor(Float, &[2]), 9), Class::Model),
        (tensor(Float, &[2]), Class::Model),
        (raw(tensor(Float, &[-1]), 4), Class::Model),
        (raw(tensor(Double, &[1 << 62]), 4), Class::Model),
        (raw(tensor(Float, &[1 << 32, 1 << 32]), 4), Class::Model),
        (raw(tensor(Undefined, &[1]), 4), Class::Model),
        (number, Class::Model),
        (both, Class::Model),
        (TensorProto { int32_data: vec![0], ..tensor(Float, &[1]) }, Class::Model),
        (external, Class::Model),
        (segment, Class::Unsupported),
        (tensor(String, &[1]), Class::Unsupported),
    ];
    assert_eq!(cases.len(), 13);
    for (tensor, class) in cases {
        let e = read(&tensor).unwrap_err();
        assert_eq!(e.class(), class, "{tensor:?}: {e}");
        assert!(e.to_string().contains("\"t\""), "{e}");
    }
    assert!(read(&tensor(Float, &[1 << 62, 0, 1 << 62])).unwrap().bytes.is_empty());
}

fn external(entries: &[(&str, &str)]) -> TensorProto {
    let entries = entries.iter().map(|(k, v)| StringStringEntryProto { key: (*k).into(), value: (*v).into() });
    TensorProto { data_location: 1, external_data: entries.collect(), ..tensor(DataType::Float, &[2]) }
}

fn write_model(path: &Path) {
    let graph = GraphProto { name: "g".into(), ..Default::default() };
    fs::write(path, ModelProto { graph: Some(graph), ..Default::default() }.encode_to_vec()).unwrap();
}

#[test]
fn external_data_is_found_below_the_model_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("model");
    fs::create_dir_all(home.join("sub")).unwrap();
    fs::create_dir_all(dir.path().join("model_evil")).unwrap();
    write_model(&home.join("m.onnx"));
    let data: Vec<u8> = (0..17).collect();
    for file in ["model/w.bin", "model/sub/w.bin", "secret.bin", "model_evil/w.bin"] {
        fs::write(dir.path().join(file), &data).unwrap();
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(dir.path().join("secret.bin"), home.join("link.bin")).unwrap();
        std::os::unix::fs::symlink(dir.path(), home.join("up")).unwrap();
        std::os::unix::fs::symlink("w.bin", home.join("inner.bin")).unwrap();
        std::os::unix::fs::symlink("loop.bin", home.join("loop.bin")).unwrap();
    }
    let loaded = load(&home.join("m.onnx"), &Limits::default()).unwrap();
    let at = |location| loaded.tensor(&external(&[("location", location), ("offset", "1"), ("length", "8")]));
    for location in ["w.bin", "./w.bin", "sub/w.bin", "inner.bin"] {
        assert_eq!(at(location).unwrap().bytes, data[1..9], "{location}");
    }
    let long = "a/".repeat(3000) + "b";
    let absolute = dir.path().join("secret.bin").to_string_lossy().into_owned();
    let refused = [
        "../secret.bin",
        "sub/../../secret.bin",
        &absolute,
        "/etc/passwd",
        "C:\\x",
        "C:x",
        "\\\\host\\x",
        "",
        ".",
        "sub",
        "w.bin/",
        "w\0.bin",
        "../model_evil/w.bin",
        "link.bin",
        "up/secret.bin",
        "/proc/self/mem",
        &long,
    ];
    assert_eq!(refused.len(), 17);
    for location in refused {
        let e = at(location).unwrap_err();
        assert_eq!(e.class(), Class::Model, "{location:?}: {e}");
    }
    assert_eq!(at("absent.bin").unwrap_err().class(), Class::Machine);
    assert_eq!(at("loop.bin").unwrap_err().class(), Class::Machine);
}

#[test]
fn offsets_and_lengths_are_checked_against_the_file() {
    let dir = tempfile::tempdir().unwrap();
    write_model(&dir.path().join("m.onnx"));
    fs::write(dir.path().join("w"), [7u8; 16]).unwrap();
    let loaded = load(&dir.path().join("m.onnx"), &Limits::default()).unwrap();
    let l = ("location", "w");
    let good: [&[_]; 4] =
        [&[l], &[l, ("offset", "8")], &[l, ("offset", "3"), ("length", "8")], &[l, ("checksum", "00")]];
    for entries in good {
        assert_eq!(loaded.tensor(&external(entries)).unwrap().bytes.len(), 8);
    }
    let bad: [&[_]; 11] = [
        &[("offset", "0")],
        &[l, l],
        &[l, ("offset", "9")],
        &[l, ("offset", "-1")],
        &[l, ("offset", "+1")],
        &[l, ("offset", "x")],
        &[l, ("offset", "18446744073709551615")],
        &[l, ("offset", "18446744073709551616")],
        &[l, ("length", "7")],
        &[l, ("length", "9")],
        &[l, ("basedir", "/")],
    ];
    for entries in bad {
        assert_eq!(loaded.tensor(&external(entries)).unwrap_err().class(), Class::Model, "{entries:?}");
    }
}

/// A download cache: the model and its data are links into a folder of blobs.
#[cfg(unix)]
#[test]
fn linked_models_load_with_their_data() {
    let dir = tempfile::tempdir().unwrap();
    let (snapshots, blobs) = (dir.path().join("snapshots/1"), dir.path().join("blobs"));
    fs::create_dir_all(&snapshots).unwrap();
    fs::create_dir_all(&blobs).unwrap();
    write_model(&blobs.join("aa"));
    fs::write(blobs.join("bb"), vec![5u8; 100_000]).unwrap();
    std::os::unix::fs::symlink("../../blobs/aa", snapshots.join("x.onnx")).unwrap();
    std::os::unix::fs::symlink("../../blobs/bb", snapshots.join("x.onnx_data")).unwrap();
    let loaded = load(&snapshots.join("x.onnx"), &Limits::default()).unwrap();
    let t = loaded.tensor(&external(&[("location", "x.onnx_data"), ("offset", "64000")])).unwrap();
    assert_eq!(t.bytes, vec![5u8; 8]);
}

#[test]
fn paths_that_are_no_model_have_kinds_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("empty"), b"").unwrap();
    let limits = Limits::default();
    assert!(matches!(load(dir.path(), &limits), Err(ProtoError::NotAFile { .. })));
    assert!(matches!(load(&dir.path().join("absent"), &limits), Err(ProtoError::Io { .. })));
    assert!(matches!(load(&dir.path().join("empty"), &limits), Err(ProtoError::Empty)));
    #[cfg(unix)]
    assert!(matches!(load(Path::new("/dev/zero"), &limits), Err(ProtoError::NotAFile { .. })));
}

#[test]
fn types_below_a_byte_are_packed_in_files_only() {
    let data =
        |dtype, dims: &[usize], bytes: &'static [u8]| TensorData { dtype, dims: dims.to_vec(), bytes: bytes.into() };
    let cases = [
        (DataType::Int4, vec![3], &[0x8f, 0x07][..], vec![0xff, 0xf8, 0x07]),
        (DataType::Uint4, vec![3], &[0x8f, 0x07], vec![0x0f, 0x08, 0x07]),
        (DataType::Float4e2m1, vec![1, 2], &[0x9a], vec![0x0a, 0x09]),
        (DataType::Int2, vec![5], &[0b11_10_01_00, 0b10], vec![0, 1, 0xfe, 0xff, 0xfe]),
        (DataType::Uint2, vec![5], &[0b11_10_01_00, 0b10], vec![0, 1, 2, 3, 2]),
        (DataType::Uint8, vec![2], &[0x8f, 0x07], vec![0x8f, 0x07]),
    ];
    for (dtype, dims, stored, want) in cases {
        let elements = data(dtype, &dims, stored).unpacked();
        assert_eq!(&elements[..], &want[..], "{dtype:?}");
        assert_eq!(packed(dtype, &elements), stored, "{dtype:?}");
    }
}

#[test]
fn every_file_of_a_model_is_listed_and_taken_in_its_place() {
    let named = |location: &str, name: &str| TensorProto { name: name.into(), ..external(&[("location", location)]) };
    let constant = |location: &str| {
        let value = AttributeProto { t: Some(Box::new(named(location, "t"))), ..Default::default() };
        NodeProto { attribute: vec![value], ..Default::default() }
    };
    let sparse = SparseTensorProto { values: Some(named("sparse", "s")), ..Default::default() };
    let body = GraphProto { node: vec![constant("body")], sparse_initializer: vec![sparse], ..Default::default() };
    let branch = AttributeProto { g: Some(Box::new(body)), ..Default::default() };
    let graph = GraphProto {
        initializer: vec![named("weights", "w"), named("weights", "v"), tensor(DataType::Float, &[0])],
        node: vec![NodeProto { attribute: vec![branch], ..Default::default() }],
        ..Default::default()
    };
    let functions = vec![FunctionProto { node: vec![constant("sub/function")], ..Default::default() }];
    let model = ModelProto { graph: Some(graph), functions, ..Default::default() }.encode_to_vec();

    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("m.onnx"), &model).unwrap();
    let locations = ["body", "sparse", "sub/function", "weights"];
    for location in &locations[1..] {
        fs::write(dir.path().join(location), [location.as_bytes(), &[0; 8]].concat()).unwrap();
    }
    let loaded = load(&dir.path().join("m.onnx"), &Limits::default()).unwrap();
    assert_eq!(loaded.external_files().unwrap_err().class(), Class::Machine, "one of them is not there");
    fs::write(dir.path().join("body"), [1; 8]).unwrap();
    let files = loaded.external_files().unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), locations);

    let from_memory = decode_with_files(model.into(), files.into_iter().collect(), &Limits::default()).unwrap();
    let read = |location: &str| from_memory.tensor(&external(&[("location", location)]));
    assert_eq!(read("body").unwrap().bytes[..], [1; 8]);
    assert_eq!(read("weights").unwrap().bytes[..], *b"weights\0");
    for location in ["./weights", "other", "../weights"] {
        assert_eq!(read(location).unwrap_err().class(), Class::Model, "{location}");
    }
}
