//! Objects compiled here for aarch64, linked with a C harness and run by an emulator, against this machine's own code.
//!
//! `BROLGA_AARCH64_CC` names the C compiler and `BROLGA_AARCH64_RUNNER` the emulator (`scripts/setup_aarch64.sh` finds or fetches
//! both); without them the usual names are tried, and where those are not installed nothing is tested.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod graphs;

use brolga::aot::{CompiledModel, Container, parse_triple};
use brolga::{Level, Model, Options, Outputs, Tensor};
use brolga_tests::zoo;
use std::path::{Path, PathBuf};
use std::process::Command;

const HARNESS: &str = include_str!("harness.c");
/// Largest difference from this machine's code as a share of the largest value: sums are taken in another order.
const TOLERANCE: f32 = 2e-5;

/// The tools, or `None` with a note when they are not there.
struct Tools {
    compiler: PathBuf,
    runner: PathBuf,
}

fn tools() -> Option<Tools> {
    let named = |variable: &str, usual: &str| {
        let given = std::env::var_os(variable).map(PathBuf::from);
        let tool = given.clone().unwrap_or_else(|| usual.into());
        let works = Command::new(&tool).arg("--version").output().is_ok_and(|done| done.status.success());
        assert!(works || given.is_none(), "{variable} is {}, which does not run", tool.display());
        works.then_some(tool)
    };
    let compiler = named("BROLGA_AARCH64_CC", "aarch64-linux-gnu-gcc");
    let runner = named("BROLGA_AARCH64_RUNNER", "qemu-aarch64");
    let tools = compiler.zip(runner).map(|(compiler, runner)| Tools { compiler, runner });
    if tools.is_none() {
        eprintln!("not tested: no C compiler for aarch64, or no qemu-aarch64");
    }
    tools
}

/// A model and what to run it on.
struct Case {
    name: String,
    bytes: Vec<u8>,
    dims: Vec<(String, i64)>,
    inputs: Vec<Tensor>,
}

fn random(key: &str, shape: &[usize]) -> Tensor {
    Tensor::from_slice(shape, &zoo::fill(key, shape, 1.0)).unwrap()
}

fn of_zoo(name: &str) -> Case {
    let case = zoo::case(name).unwrap();
    let tensor = |array: &zoo::Array| Tensor::from_slice(&array.shape, &array.data).unwrap();
    let inputs = case.inputs().iter().map(tensor).collect();
    Case { name: name.into(), bytes: case.model().unwrap(), dims: Vec::new(), inputs }
}

fn digits() -> Case {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits/lenet5.onnx");
    let inputs = vec![random("digits", &[3, 1, 28, 28])];
    Case { name: "digits".into(), bytes: std::fs::read(path).unwrap(), dims: vec![("batch".into(), 3)], inputs }
}

fn made(name: &str, graph: (Vec<u8>, Vec<usize>)) -> Case {
    let (bytes, shape) = graph;
    Case { name: name.into(), bytes, dims: Vec::new(), inputs: vec![random(name, &shape)] }
}

#[test]
fn objects_give_what_this_machine_gives() {
    let Some(tools) = tools() else { return };
    let cases = [
        digits(),
        // Depthwise convolutions, residuals, squeeze and excite, hard swish.
        of_zoo("mobilenet_v3_large"),
        // Grouped convolutions, channel shuffles, concatenations.
        of_zoo("shufflenet_v2_x1_0"),
        made("attention", graphs::attention()),
        made("window", graphs::windows()),
        made("elementwise", graphs::elementwise()),
    ];
    let mut ran = 0;
    for case in &cases {
        check(&tools, case);
        ran += 1;
    }
    assert_eq!(ran, 6);
}

fn check(tools: &Tools, case: &Case) {
    let folder = tempfile::tempdir().unwrap();
    let program = build(tools, case, folder.path());
    let input: Vec<u8> = case.inputs.iter().flat_map(Tensor::bytes).copied().collect();
    std::fs::write(folder.path().join("in"), input).unwrap();
    let run = |workers: &str| {
        let mut command = Command::new(&tools.runner);
        let done = command.current_dir(folder.path()).arg(&program).args(["in", "out", workers]).output().unwrap();
        assert!(done.status.success(), "{}: {}, {}", case.name, done.status, String::from_utf8_lossy(&done.stderr));
        std::fs::read(folder.path().join("out")).unwrap()
    };
    let alone = run("1");
    compare(case, &alone, &here(case));
    assert!(run("3") == alone, "{}: three workers give other bits than one", case.name);
}

fn build(tools: &Tools, case: &Case, folder: &Path) -> PathBuf {
    let path = |file: &str| folder.join(file);
    std::fs::write(path("model.onnx"), &case.bytes).unwrap();
    let options =
        Options { level: Some(Level::Aarch64), dims: case.dims.iter().cloned().collect(), ..Options::default() };
    let model = Model::open(path("model.onnx"), options).unwrap();
    let compiled = CompiledModel::new(&model).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let triple = parse_triple("aarch64-unknown-linux-gnu").unwrap();
    compiled.write(Container::Object, triple, path("model.o")).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    std::fs::write(path("harness.c"), HARNESS).unwrap();
    let mut compiler = Command::new(&tools.compiler);
    compiler.current_dir(folder).args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-static"]);
    let done = compiler.args(["-o", "program", "harness.c", "model.o", "-lpthread"]).output().unwrap();
    assert!(done.status.success(), "{}: {}", case.name, String::from_utf8_lossy(&done.stderr));
    path("program")
}

fn here(case: &Case) -> Outputs {
    let model = Model::from_bytes(case.bytes.clone(), Options::default()).unwrap();
    model.run_tensors(&case.inputs).unwrap()
}

fn compare(case: &Case, bytes: &[u8], expected: &Outputs) {
    let values: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let mut rest = &values[..];
    for (name, value) in expected.iter() {
        let wanted = value.as_tensor().unwrap().as_slice::<f32>().unwrap();
        let (given, after) = rest.split_at(wanted.len());
        rest = after;
        let scale = wanted.iter().fold(0f32, |most, value| most.max(value.abs()));
        assert!(scale.is_normal(), "{} {name}: nothing to compare with", case.name);
        for (at, (got, want)) in given.iter().zip(wanted).enumerate() {
            let fine = (got - want).abs() <= TOLERANCE * scale;
            assert!(fine, "{} {name}: element {at} is {got}, here it is {want} (of at most {scale})", case.name);
        }
    }
    assert!(rest.is_empty(), "{}: {} values too many", case.name, rest.len());
}
