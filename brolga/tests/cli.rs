//! The command: exit codes, files that are wrong in every way, texts that repeat, outputs that can be read back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod small;

use small::{axes_as_input, small_model};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The model that comes with the repository.
fn digits(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits").join(file)
}

fn brolga<'a>(args: impl IntoIterator<Item = &'a str>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_brolga")).args(args).output().unwrap()
}

/// Standard output of a command that must succeed.
fn text<'a>(args: impl IntoIterator<Item = &'a str>) -> String {
    let done = brolga(args);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Standard error of a command that must end with this code.
fn refusal<'a>(code: i32, args: impl IntoIterator<Item = &'a str>) -> String {
    let done = brolga(args);
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(code), "{said}");
    assert!(!said.trim().is_empty(), "no message");
    assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
    said
}

fn model() -> String {
    digits("lenet5.onnx").to_str().unwrap().to_owned()
}

#[test]
fn pictures_of_digits_are_recognised() {
    let labels = digits("labels.txt");
    let mut right = 0;
    for digit in 0..10 {
        let picture = digits(&format!("digits/{digit}.png"));
        let out = text(["run", &model(), "--image", picture.to_str().unwrap(), "--labels", labels.to_str().unwrap()]);
        let (_, classes) = out.split_once("probabilities").unwrap();
        let first = classes.lines().nth(1).unwrap();
        assert_eq!(first.split_whitespace().next(), Some(digit.to_string().as_str()), "{out}");
        right += 1;
    }
    assert_eq!(right, 10);
}

#[test]
fn outputs_are_written_read_back_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let image = brolga::Tensor::from_slice(&[2, 1, 28, 28], &[0.25f32; 2 * 784]).unwrap();
    brolga_runner::write_npz(Path::new(&path("in.npz")), &[("image".to_owned(), image.into())]).unwrap();
    text(["run", &model(), "--inputs", &path("in.npz"), "--outputs", &path("out.npz")]);
    let outputs = brolga_runner::read_npz(Path::new(&path("out.npz"))).unwrap();
    assert_eq!((outputs[0].0.as_str(), outputs[0].1.shape()), ("probabilities", &[2usize, 10][..]));
    let compare = ["compare", &model(), "--inputs", &path("in.npz"), "--expect", &path("out.npz"), "--steps"];
    assert!(text(compare).contains("every step agrees"));

    let mut wrong = outputs[0].1.clone();
    wrong.as_mut_slice::<f32>().unwrap()[3] += 0.5;
    brolga_runner::write_npz(Path::new(&path("wrong.npz")), &[("probabilities".to_owned(), wrong.into())]).unwrap();
    let done = brolga(["compare", &model(), "--inputs", &path("in.npz"), "--expect", &path("wrong.npz"), "--json"]);
    assert_eq!(done.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["outputs"][0]["ok"], false);
    assert!(report["outputs"][0]["error"].as_f64().unwrap() > 0.1);
}

#[test]
fn bench_prints_every_key() {
    let out = text(["bench", &model(), "--json", "--seconds", "0.01", "--layers"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let keys = [
        "load_ms",
        "parse_ms",
        "passes_ms",
        "codegen_ms",
        "pack_ms",
        "first_ms",
        "min_ms",
        "median_ms",
        "p99_ms",
        "threads",
        "steps",
        "arena_bytes",
        "arena_lower_bound_bytes",
        "weights_bytes",
        "code_bytes",
        "peak_rss_bytes",
    ];
    for key in keys {
        assert!(report[key].is_number() || (key == "peak_rss_bytes" && !cfg!(target_os = "linux")), "{key}: {out}");
    }
    assert!(report["cpu"].is_string());
    assert!(report["min_ms"].as_f64() <= report["median_ms"].as_f64());
    assert_eq!(report["layers"]["steps"].as_array().unwrap().len() as u64, report["steps"].as_u64().unwrap());
}

/// A model whose sizes its data tell, one whose inputs decide the graph, where inputs for both may lie, and their input `x`.
fn run_only_models(folder: &Path) -> ([String; 3], brolga::Tensor) {
    let paths = ["sized.onnx", "axes.onnx", "in.npz"].map(|name| folder.join(name).to_str().unwrap().to_owned());
    std::fs::write(&paths[0], sized_by_data()).unwrap();
    std::fs::write(&paths[1], axes_as_input()).unwrap();
    (paths, brolga::Tensor::from_slice(&[4, 6], &[0f32, 1., -2., 3.].repeat(6)).unwrap())
}

#[test]
fn bench_measures_what_runs_region_by_region() {
    let folder = tempfile::tempdir().unwrap();
    let ([sized, axes, inputs], x) = run_only_models(folder.path());
    let axis = brolga::Tensor::from_slice(&[1], &[1i64]).unwrap();
    brolga_runner::write_npz(Path::new(&inputs), &[("x".into(), x.into()), ("axes".into(), axis.into())]).unwrap();
    // The model, its programs, and kernels of the table.
    let cases: [(&str, &[&str], u64, &[&str]); 2] =
        [(&sized, &[], 1, &["library non_zero", "library, "]), (&axes, &["--inputs", &inputs], 1, &[])];
    for (model, args, programs, library) in cases {
        let args = [&["bench", model, "--json", "--seconds", "0.01", "--layers"], args].concat();
        let out = text(args.iter().copied());
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        for key in ["load_ms", "passes_ms", "first_ms", "min_ms", "median_ms", "p99_ms", "steps", "code_bytes"] {
            assert!(report[key].as_f64().unwrap() > 0.0, "{key}: {out}");
        }
        assert_eq!(report["programs"], programs, "{out}");
        let steps = report["layers"]["steps"].as_array().unwrap();
        let kernels: Vec<&str> = steps.iter().map(|step| step["kernel"].as_str().unwrap()).collect();
        let (outside, inside): (Vec<&str>, Vec<&str>) = kernels.iter().partition(|k| k.starts_with("library"));
        assert_eq!(inside.len() as u64, report["steps"].as_u64().unwrap(), "{out}");
        for name in library {
            assert!(outside.iter().any(|kernel| kernel.starts_with(name)), "{name}: {kernels:?}");
        }
        assert_eq!(outside.len(), library.len(), "{kernels:?}");
        assert!(text(args.iter().copied().filter(|arg| *arg != "--json")).contains("median"));
    }
}

#[test]
fn what_runs_region_by_region_is_checked_dumped_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let ([sized, axes, inputs], x) = run_only_models(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    brolga_runner::write_npz(Path::new(&inputs), &[("x".into(), x.clone().into())]).unwrap();
    let json = |model: &str| -> serde_json::Value { serde_json::from_str(&text(["check", model, "--json"])).unwrap() };
    assert_eq!((&json(&sized)["needs_compiler"], &json(&sized)["compiled"]), (&true.into(), &true.into()));
    let tile = text(["dump", &sized, "--emit", "tile"]);
    assert!(tile.contains("region 1 of 2") && tile.contains("kernel elementwise-exp-24"), "{tile}");
    for stage in ["laid-out", "scheduled"] {
        let dump = text(["dump", &sized, "--stage", stage]);
        assert!(dump.contains("region 2 of 2, 3 nodes\n; only a run tells its extents"), "{dump}");
    }
    assert!(refusal(2, ["dump", &axes]).contains("--inputs"));
    assert_eq!(json(&axes)["decided_by_inputs"][0]["op"], "ReduceSum");

    // Three of every four elements are at least 0: e to their power has a floor above 0.
    let values = [("x".into(), x.into()), ("axes".into(), brolga::Tensor::from_slice(&[1], &[1i64]).unwrap().into())];
    brolga_runner::write_npz(Path::new(&path("both.npz")), &values).unwrap();
    for (model, given, shape) in [(&sized, "in.npz", [18, 0]), (&axes, "both.npz", [4, 1])] {
        text(["run", model, "--inputs", &path(given), "--outputs", &path("out.npz")]);
        let outputs = brolga_runner::read_npz(Path::new(&path("out.npz"))).unwrap();
        let wanted: Vec<usize> = shape.into_iter().filter(|n| *n > 0).collect();
        assert_eq!(outputs[0].1.shape(), wanted);
        let out = text(["compare", model, "--inputs", &path(given), "--expect", &path("out.npz"), "--steps"]);
        assert!(out.contains("every step agrees"), "{out}");
        assert!(text(["dump", model, "--inputs", &path(given)]).starts_with("graph"));
    }
}

#[test]
fn dumps_repeat_byte_for_byte() {
    let dumps: [&[&str]; 9] = [
        &[],
        &["--stage", "imported"],
        &["--stage", "fold"],
        &["--stage", "laid-out"],
        &["--stage", "scheduled"],
        &["--between"],
        &["--between=fuse-bias"],
        &["--emit", "tile"],
        &["--emit", "asm"],
    ];
    let mut compared = 0;
    for args in dumps {
        let model = model();
        let command = || text(["dump", &model].into_iter().chain(args.iter().copied()));
        let first = command();
        assert!(!first.is_empty(), "{args:?}");
        assert_eq!(first, command(), "{args:?}");
        compared += 1;
    }
    assert_eq!(compared, 9);
    assert_eq!(text(["dump", &model()]), brolga::Model::load(digits("lenet5.onnx")).unwrap().ir_text());
}

#[test]
fn the_snapshot_of_the_example_is_current() {
    let path = "../examples/snapshot/tests/snapshots/model__optimised_graph.snap";
    let snapshot = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (_, kept) = snapshot.split_once("\n---\n").unwrap();
    assert_eq!(kept.trim_end(), text(["dump", &model()]).trim_end());
}

#[test]
#[cfg(target_arch = "x86_64")]
fn kernels_print_in_cranelifts_form() {
    let out = text(["dump", &model(), "--emit", "clif", "--cpu", "x86-64"]);
    assert!(out.contains("function"), "{out}");
}

#[test]
fn wrong_arguments_end_with_2() {
    let model = model();
    assert!(refusal(2, ["run"]).contains("MODEL"));
    assert!(refusal(2, ["walk"]).contains("walk"));
    assert!(refusal(2, ["run", &model, "--dim", "height=3"]).contains("`height`"));
    assert!(refusal(2, ["run", &model, "--dim", "batch"]).contains("NAME=N"));
    assert!(refusal(2, ["run", &model, "--dim", "batch=1", "--dim", "batch=2"]).contains("twice"));
    assert!(refusal(2, ["run", &model, "--cpu", "x86-64-v9"]).contains("x86-64-v3"));
    assert!(refusal(2, ["dump", &model, "--stage", "nowhere"]).contains("optimized"));
    assert!(refusal(2, ["dump", &model, "--between=nothing"]).contains("fold-batchnorm"));
    assert!(refusal(2, ["dump", &model, "--emit", "tile", "--kernel", "nothing"]).contains("kernels are"));
    assert!(refusal(2, ["compile", &model, "-o", "unwritten"]).contains("batch"));
}

#[test]
fn this_machine_ends_with_6() {
    let missing = digits("missing.onnx");
    assert!(refusal(6, ["run", missing.to_str().unwrap()]).contains("missing.onnx"));
    assert!(refusal(6, ["run", digits("").to_str().unwrap()]).contains("digits"));
    let foreign = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86-64" };
    refusal(6, ["run", &model(), "--cpu", foreign]);
}

#[test]
fn files_that_are_no_models_end_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(digits("lenet5.onnx")).unwrap();
    let mut files: Vec<(String, Vec<u8>)> = vec![
        ("empty".into(), Vec::new()),
        ("text".into(), b"this is not a model\n".repeat(40)),
        ("picture".into(), std::fs::read(digits("digits/7.png")).unwrap()),
    ];
    files.extend((1..40).map(|part| (format!("cut{part}"), bytes[..bytes.len() * part / 40].to_vec())));
    assert_eq!(files.len(), 42);
    for (name, bytes) in files {
        let path = folder.path().join(format!("{name}.onnx"));
        std::fs::write(&path, bytes).unwrap();
        for verb in ["run", "check"] {
            refusal(3, [verb, path.to_str().unwrap()]);
        }
    }
}

#[test]
fn flipped_bits_never_bring_it_down() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(digits("lenet5.onnx")).unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut ran = 0;
    for round in 0..40 {
        let mut bytes = bytes.clone();
        // The structure of the file is in its first part and its last: the middle is weights.
        for _ in 0..=round % 4 {
            let at = if round % 2 == 0 { random(1500.min(bytes.len())) } else { random(bytes.len()) };
            bytes[at] ^= 1 << random(8);
        }
        let path = folder.path().join(format!("flipped{round}.onnx"));
        std::fs::write(&path, bytes).unwrap();
        let done = brolga(["run", path.to_str().unwrap(), "--threads", "1"]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(matches!(done.status.code(), Some(0 | 2 | 3 | 4 | 5)), "round {round}: {:?} {said}", done.status);
        ran += 1;
    }
    assert_eq!(ran, 40);
}

#[test]
fn an_unknown_operator_ends_with_4_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.onnx");
    let bytes = std::fs::read(digits("lenet5.onnx")).unwrap();
    // Another operator of the same length in place of the first one.
    let at = bytes.windows(4).position(|window| window == b"Relu").unwrap();
    let mut odd = bytes;
    odd[at..at + 4].copy_from_slice(b"Rulu");
    std::fs::write(&path, odd).unwrap();
    assert!(refusal(4, ["run", path.to_str().unwrap()]).contains("Rulu"));
    let done = brolga(["check", path.to_str().unwrap(), "--json"]);
    assert_eq!(done.status.code(), Some(4));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["supported"], false);
    assert_eq!(report["unsupported"][0]["op"], "Rulu");
    let facts: serde_json::Value = serde_json::from_str(&text(["inspect", path.to_str().unwrap(), "--json"])).unwrap();
    assert_eq!(facts["op_counts"]["Rulu"], 1);
}

/// A model that adds e to the power of a constant tensor of this many rows and columns to its input.
fn exploding(extent: i64) -> Vec<u8> {
    let nodes: [(&str, &[&str], &str); 4] = [
        ("ConstantOfShape", &["s"], "c"),
        ("Exp", &["c"], "e"),
        ("Add", &["x", "e"], "sum"),
        ("ReduceMax", &["sum"], "y"),
    ];
    small_model(&[("x", 1, &[1])], &nodes, &[("s", &[extent; 2])])
}

/// A model whose output has as many elements as e to the power of its input has from 1 on: the roots of those.
fn sized_by_data() -> Vec<u8> {
    let nodes: [(&str, &[&str], &str); 6] = [
        ("Exp", &["x"], "e"),
        ("Floor", &["e"], "f"),
        ("NonZero", &["f"], "at"),
        ("Transpose", &["at"], "places"),
        ("GatherND", &["e", "places"], "found"),
        ("Sqrt", &["found"], "y"),
    ];
    small_model(&[("x", 1, &[4, 6])], &nodes, &[])
}

#[test]
fn models_over_budget_end_with_5() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    for exponent in [16, 20] {
        std::fs::write(&path, exploding(1 << exponent)).unwrap();
        for verb in ["run", "dump"] {
            refusal(5, [verb, path.to_str().unwrap()]);
        }
        let object = folder.path().join("model.o");
        refusal(5, ["compile", path.to_str().unwrap(), "-o", object.to_str().unwrap(), "--emit", "obj"]);
        assert!(!object.exists());
    }
    std::fs::write(&path, exploding(8)).unwrap();
    text(["run", path.to_str().unwrap()]);
}

#[test]
fn repeated_runs_are_timed() {
    let out = text(["run", &model(), "--repeat", "4"]);
    assert!(out.lines().any(|line| line.starts_with("repeated: runs 4, min_ms ")), "{out}");
}

#[test]
fn reports_can_be_read_by_programs() {
    let facts: serde_json::Value = serde_json::from_str(&text(["inspect", &model(), "--json"])).unwrap();
    assert_eq!(facts["inputs"][0]["name"], "image");
    assert!(facts["parameters"].as_u64().unwrap() >= 61_706);
    assert!(facts["flops"].as_u64().unwrap() > 100_000);
    let report: serde_json::Value = serde_json::from_str(&text(["check", &model(), "--json"])).unwrap();
    assert_eq!(report["supported"], true);
    let ops: serde_json::Value = serde_json::from_str(&text(["ops", "--json"])).unwrap();
    assert!(ops.as_array().unwrap().iter().any(|op| op["op"] == "Conv"));
    assert!(text(["ops"]).contains("| Conv |"));
}

#[test]
fn every_verb_explains_itself() {
    let verbs = ["run", "compile", "bench", "dump", "inspect", "check", "compare", "ops"];
    let listed = text(["--help"]);
    for verb in verbs {
        assert!(listed.contains(verb), "{verb}");
        let help = text([verb, "--help"]);
        assert!(help.contains("Examples:") && help.contains(&format!("brolga {verb}")), "{help}");
    }
}
