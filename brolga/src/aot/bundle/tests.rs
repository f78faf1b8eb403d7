//! What is written is what is read, used where it lies; whatever is missing, changed or no engine is told.

use super::*;
use crate::{ErrorKind, Tensor};
use brolga_proto::*;
use brolga_runner::ExitCode;
use prost::Message;

/// The file of a program that can carry a model, as far as that matters here.
fn engine() -> Vec<u8> {
    [&[7; 640][..], &Slot::default().to_bytes(), &[9; 4992]].concat()
}

/// y = x + w, over `n` rows; w is in the file `data/w.bin`.
fn write_model(folder: &Path) -> PathBuf {
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
    let weight = TensorProto {
        name: "w".into(),
        data_type: 1,
        dims: vec![3],
        data_location: 1,
        external_data: vec![entry("location", "data/w.bin"), entry("offset", "4")],
        ..Default::default()
    };
    let dims =
        [tensor_shape_proto::dimension::Value::DimParam("n".into()), tensor_shape_proto::dimension::Value::DimValue(3)];
    let dim = dims.map(|value| tensor_shape_proto::Dimension { value: Some(value), ..Default::default() }).to_vec();
    let ty = type_proto::Tensor { elem_type: 1, shape: Some(TensorShapeProto { dim }) };
    let ty = TypeProto { value: Some(type_proto::Value::TensorType(ty)), ..Default::default() };
    let add = NodeProto {
        op_type: "Add".into(),
        input: vec!["x".into(), "w".into()],
        output: vec!["y".into()],
        ..Default::default()
    };
    let graph = GraphProto {
        name: "g".into(),
        node: vec![add],
        input: vec![ValueInfoProto { name: "x".into(), r#type: Some(ty) }],
        output: vec![ValueInfoProto { name: "y".into(), r#type: None }],
        initializer: vec![weight],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    let model = ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() };
    let (path, data) = (folder.join("m.onnx"), folder.join("data"));
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    std::fs::create_dir(&data).unwrap();
    let numbers = [0f32, 10.0, 20.0, 30.0];
    std::fs::write(data.join("w.bin"), numbers.map(f32::to_le_bytes).as_flattened()).unwrap();
    path
}

/// The bytes of an executable of that model, made in a folder that is gone afterwards.
fn written(options: &Options) -> Bytes {
    let folder = tempfile::tempdir().unwrap();
    let (model, program, output) =
        (write_model(folder.path()), folder.path().join("engine"), folder.path().join("out"));
    std::fs::write(&program, engine()).unwrap();
    // Something that is there is replaced.
    std::fs::write(&output, "before").unwrap();
    Bundle::write(&program, &model, options, &output).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_ne!(std::fs::metadata(&output).unwrap().permissions().mode() & 0o100, 0, "its owner may run it");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "nothing else is left");
    std::fs::read(&output).unwrap().into()
}

/// What its place says.
fn slot(program: &[u8]) -> Slot {
    Slot::find(program).unwrap().1
}

#[test]
fn a_model_is_read_back_with_its_files_and_options() {
    let options = Options { level: Some(Level::X86_64), dims: [("n".to_owned(), 2)].into(), ..Options::default() };
    let file = written(&options);
    assert_eq!(file, written(&options), "the same files, the same bytes");
    let bundle = Bundle::read(&file, slot(&file)).unwrap();
    assert_eq!((bundle.level(), bundle.dims()), (Some(Level::X86_64), &options.dims));
    assert_eq!(bundle.files.len(), 1);
    for part in [&bundle.model, &bundle.files[0].1] {
        let offset = part.as_ptr() as usize - file.as_ptr() as usize;
        assert!(offset + part.len() <= file.len() && offset.is_multiple_of(4096), "used where it lies");
    }
    // Level and folder of the one that wrote it are no longer needed.
    let model = bundle.load(Options { level: Level::host(), ..Options::default() }).unwrap();
    let x = Tensor::from_slice(&[2, 3], &[1f32, 2., 3., 4., 5., 6.]).unwrap();
    let outputs = model.run([("x", x)]).unwrap();
    assert_eq!(outputs[0].as_slice::<f32>().unwrap(), [11., 22., 33., 14., 25., 36.]);

    let dims = |n| Options { level: Level::host(), dims: [("n".to_owned(), n)].into(), ..Options::default() };
    assert!(bundle.load(dims(2)).is_ok());
    assert_eq!(bundle.load(dims(3)).err().map(|error| error.kind()), Some(ErrorKind::Usage));
}

#[test]
fn what_is_missing_or_changed_is_told() {
    let file = written(&Options::default());
    let slot = slot(&file);
    let first = engine().len();
    let mut told = 0;
    for len in (0..first).step_by(977).chain(first..file.len()) {
        assert!(Bundle::read(&file.slice(..len), slot).is_err_and(|why| why.contains("missing")), "{len} bytes");
        told += 1;
    }
    for at in slot.offset as usize..file.len() {
        let mut other = file.to_vec();
        other[at] ^= 1;
        assert!(Bundle::read(&other.into(), slot).is_err_and(|why| why.contains("not what was written")), "byte {at}");
        told += 1;
    }
    assert!(told > file.len() - first);
    for wrong in [Slot { offset: u64::MAX, ..slot }, Slot { len: u64::MAX, ..slot }, Slot { checksum: 0, ..slot }] {
        assert!(Bundle::read(&file, wrong).is_err());
    }
    // Tables that fit their checksum, but not the file.
    let (text, start) = (String::from_utf8(file[slot.offset as usize..].to_vec()).unwrap(), slot.offset as usize);
    for (from, to) in [("\"offset\":8192", "\"offset\":99999999"), ("\"len\"", "\"length\""), ("{", "[")] {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text);
        let slot = Slot { len: other.len() as u64, checksum: checksum(other.as_bytes()), ..slot };
        assert!(Bundle::read(&[&file[..start], other.as_bytes()].concat().into(), slot).is_err(), "{other}");
    }
}

#[test]
fn only_a_program_that_carries_nothing_is_an_engine() {
    assert!(Bundle::carried().unwrap().is_none());
    let own = file_bytes(&own_path().unwrap()).unwrap();
    assert!(Slot::find(&own).is_some_and(|(_, slot)| slot.is_empty()), "this program has one place, and it is empty");

    let folder = tempfile::tempdir().unwrap();
    let (model, program, output) =
        (write_model(folder.path()), folder.path().join("engine"), folder.path().join("out"));
    let full = written(&Options::default());
    for (bytes, why) in
        [(vec![7; 9000], "no `brolga` command"), (engine().repeat(2), "no `brolga`"), (full.to_vec(), "already")]
    {
        std::fs::write(&program, bytes).unwrap();
        let error = Bundle::write(&program, &model, &Options::default(), &output).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Machine);
    }
    std::fs::write(&program, engine()).unwrap();
    std::fs::remove_file(folder.path().join("data/w.bin")).unwrap();
    let error = Bundle::write(&program, &model, &Options::default(), &output).unwrap_err();
    assert!(error.to_string().contains("w.bin"), "{error}");
    assert!(!output.exists());
    let folder = folder.path().join("data");
    assert!(write_program(&folder, |_| Ok((0, []))).is_err(), "a folder is not replaced");
}
