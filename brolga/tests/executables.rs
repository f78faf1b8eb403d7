//! Executables that carry the compiler: they need nothing beside them, answer as `brolga run` does, and say what is wrong.
#![allow(clippy::unwrap_used)]

mod small;

use brolga::Tensor;
use prost::Message;
use small::{axes_as_input, small_model};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn start(program: &Path, folder: &Path, args: &[&str]) -> Output {
    Command::new(program).args(args).current_dir(folder).output().unwrap()
}

/// Standard output of the command that must succeed, in this folder.
fn brolga(folder: &Path, args: &[&str]) -> String {
    succeeds(start(Path::new(env!("CARGO_BIN_EXE_brolga")), folder, args))
}

fn succeeds(done: Output) -> String {
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Standard error of what must end with this code.
fn refusal(code: i32, done: Output) -> String {
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(code), "{said}");
    said
}

/// The products of `x` and weights that are not 0; the weights are in the file `w.bin`.
fn write_products(folder: &Path) {
    use brolga_proto::*;
    let nodes: [(&str, &[&str], &str); 4] = [
        ("Mul", &["x", "w"], "m"),
        ("NonZero", &["m"], "at"),
        ("Transpose", &["at"], "places"),
        ("GatherND", &["m", "places"], "y"),
    ];
    let bytes = small_model(&[("x", 7, &[4, 6])], &nodes, &[("w", &[1, 0, 2, 3, 0, 4])]);
    let mut model = ModelProto::decode(&bytes[..]).unwrap();
    let weights = &mut model.graph.as_mut().unwrap().initializer[0];
    fs::write(folder.join("w.bin"), std::mem::take(&mut weights.raw_data)).unwrap();
    weights.data_location = 1;
    weights.external_data = vec![StringStringEntryProto { key: "location".into(), value: "w.bin".into() }];
    fs::write(folder.join("products.onnx"), model.encode_to_vec()).unwrap();
}

#[test]
fn an_executable_answers_as_the_model_does_and_needs_nothing_beside_it() {
    let (made, moved) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (folder, program) = (made.path(), moved.path().join("program"));
    write_products(folder);
    let x: Vec<i64> = (-12..12).collect();
    let x = Tensor::from_slice(&[4, 6], &x).unwrap();
    brolga_runner::write_npz(&moved.path().join("in.npz"), &[("x".into(), x.into())]).unwrap();
    assert!(brolga(folder, &["compile", "products.onnx", "-o", "program"]).contains("with the compiler"));
    brolga(folder, &["compile", "products.onnx", "-o", "again"]);
    assert!(fs::read(folder.join("program")).unwrap() == fs::read(folder.join("again")).unwrap());
    brolga(
        moved.path(),
        &["run", folder.join("products.onnx").to_str().unwrap(), "--inputs", "in.npz", "--outputs", "run.npz"],
    );
    fs::rename(folder.join("program"), &program).unwrap();
    made.close().unwrap();

    let start = |args: &[&str]| start(&program, moved.path(), args);
    for threads in ["1", "2"] {
        succeeds(start(&["--inputs", "in.npz", "--outputs", "out.npz", "--threads", threads]));
        assert!(fs::read(moved.path().join("out.npz")).unwrap() == fs::read(moved.path().join("run.npz")).unwrap());
    }
    let outputs = brolga_runner::read_npz(&moved.path().join("out.npz")).unwrap();
    let wanted = [-12i64, -20, -27, -28, -6, -8, -9, -4, 4, 9, 20, 6, 16, 27, 44];
    assert_eq!(outputs[0].1.as_slice::<i64>().unwrap(), wanted);
    assert!(succeeds(start(&["--inputs", "in.npz"])).starts_with("y: i64[15]"));
    assert!(succeeds(start(&["--inputs", "in.npz", "--repeat", "2"])).contains("repeated: runs 2"));
    let help = succeeds(start(&["--help"]));
    assert!(help.contains("Usage: program [OPTIONS]") && help.contains("--inputs") && help.contains("--dim"), "{help}");
    // It is the model and no longer the command.
    refusal(2, start(&["compile", "products.onnx", "-o", "other"]));
    assert!(refusal(2, start(&["--dim", "n=3"])).contains("`n`"));
    refusal(6, start(&["--inputs", "none.npz"]));

    let file = fs::OpenOptions::new().write(true).open(&program).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    drop(file);
    assert!(refusal(6, start(&["--inputs", "in.npz"])).contains("damaged: its end is missing"));
}

#[test]
fn inputs_that_decide_the_graph_decide_it_in_an_executable_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("axes.onnx"), axes_as_input()).unwrap();
    let command = Path::new(env!("CARGO_BIN_EXE_brolga"));
    let object = start(command, folder, &["compile", "axes.onnx", "-o", "axes.o", "--emit", "obj"]);
    assert!(refusal(4, object).contains("carries the compiler"));
    let foreign = if cfg!(target_arch = "x86_64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };
    let cross = start(command, folder, &["compile", "axes.onnx", "-o", "axes", "--target", foreign]);
    assert!(refusal(2, cross).contains("the command itself"));

    brolga(folder, &["compile", "axes.onnx", "-o", "axes"]);
    let mut compared = 0;
    for axis in [0i64, 1] {
        let x = Tensor::from_slice(&[4, 6], &[0f32, 1., -2., 3.].repeat(6)).unwrap();
        let axes = Tensor::from_slice(&[1], &[axis]).unwrap();
        let inputs = [("x".to_owned(), x.into()), ("axes".to_owned(), axes.into())];
        brolga_runner::write_npz(&folder.join("in.npz"), &inputs).unwrap();
        brolga(folder, &["run", "axes.onnx", "--inputs", "in.npz", "--outputs", "run.npz"]);
        succeeds(start(&folder.join("axes"), folder, &["--inputs", "in.npz", "--outputs", "out.npz"]));
        assert!(fs::read(folder.join("out.npz")).unwrap() == fs::read(folder.join("run.npz")).unwrap());
        compared += 1;
    }
    assert_eq!(compared, 2);
}
