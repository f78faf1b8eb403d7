//! An executable of a hand-made program gives the right numbers, says what is wrong in words, and is built as it should be.

use super::*;
use brolga_compiler::codegen::{Code, Freestanding, LevelTarget, emit_code};
use brolga_compiler::tile::{Access, Builder};
use brolga_runner::{read_npz, write_npz};
use brolga_runtime::library::{self, Routine};
use brolga_runtime::{Call, DType, Memory, Port, Region, Space, Step, Tables, Tensor, TensorRegion};
use std::process::{Command, Output};

const WEIGHTS: u64 = 32;

/// out = in * weights, item = one vector.
fn scale(level: Level) -> Code {
    let mut k = Builder::new("scale", level.target());
    let vector = i64::from(k.lanes()) * 4;
    let input = k.base("input", Access::Read);
    let weights = k.base("weights", Access::Read);
    let output = k.base("output", Access::Write);
    let (begin, end) = (k.begin(), k.end());
    k.for_(begin, end, 1, |k, item| {
        let at = k.mul_const(item, vector);
        let (x, w, y) = (k.pointer(input, at), k.pointer(weights, at), k.pointer(output, at));
        let (a, b) = (k.load(x, 0), k.load(w, 0));
        let product = k.mul(a, b);
        k.store(y, 0, product);
    });
    emit_code(&k.finish(), level).unwrap()
}

fn tables(level: Level, extent: usize) -> Tables {
    let port = |name: &str| Port { name: name.into(), dtype: DType::F32, shape: vec![1, extent] };
    let region = |space| Region { space, offset: 0 };
    let call = Call::Kernel {
        function: 0,
        operands: vec![region(Space::Input(0)), region(Space::Weights), region(Space::Output(0))],
        args: Vec::new(),
        extent: extent as u64 / u64::from(level.target().lanes),
        barrier_before: false,
    };
    Tables {
        inputs: vec![port("x")],
        outputs: vec![port("y")],
        level,
        steps: vec![Step { kernel: "scale".into(), node: "mul".into(), flops: 1 << 30, calls: vec![call] }],
        memory: Memory { arena_bytes: 64, scratch_bytes: 0, lower_bound_bytes: 0 },
        functions: 1,
        weights_bytes: WEIGHTS * 4,
        code_bytes: 0,
    }
}

/// An executable that takes vectors of 16 and of 32 numbers.
fn build(folder: &Path, level: Level, claimed: Level) -> PathBuf {
    let weights: Vec<u8> = (0..WEIGHTS).flat_map(|i| (i as f32 / 2.0).to_le_bytes()).collect();
    let codes = [scale(level)];
    let program = |extent| {
        let tables = Tables { level: claimed, ..tables(level, extent) }.to_bytes().unwrap();
        ProgramParts { tables, codes: &codes, weights: &weights, calls_library: false }
    };
    let path = folder.join("model");
    write_executable(level, &[program(16), program(32)], &path).unwrap();
    path
}

fn run(path: &Path, arguments: &[&str]) -> Output {
    Command::new(path).args(arguments).current_dir(path.parent().unwrap()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_level_of_this_machine_gives_the_right_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let levels: Vec<Level> = Level::ALL.into_iter().filter(|level| level.available()).collect();
    for level in &levels {
        let path = build(folder.path(), *level, *level);
        for extent in [16usize, 32] {
            let x: Vec<f32> = (0..extent).map(|i| i as f32 + 1.0).collect();
            let x = Tensor::from_slice(&[1, extent], &x).unwrap();
            write_npz(&folder.path().join("in.npz"), &[("x".to_string(), x.into())]).unwrap();
            for threads in ["1", "2"] {
                let output = run(&path, &["--inputs", "in.npz", "--outputs", "out.npz", "--threads", threads]);
                assert!(output.status.success(), "{}", text(&output.stderr));
                let expected: Vec<f32> = (0..extent).map(|i| (i as f32 + 1.0) * (i as f32 / 2.0)).collect();
                let outputs = read_npz(&folder.path().join("out.npz")).unwrap();
                assert_eq!(outputs[0].1.as_slice::<f32>().unwrap(), expected, "{level}");
            }
        }
    }
    assert!(!levels.is_empty());
}

#[test]
fn wrong_calls_have_their_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let level = Level::host().unwrap();
    let path = build(folder.path(), level, level);
    let ends = |arguments: &[&str]| run(&path, arguments).status.code();
    assert_eq!(ends(&["--help"]), Some(0));
    assert_eq!(ends(&["--nonsense"]), Some(2));
    assert_eq!(ends(&["--inputs", "none.npz"]), Some(6));
    let x = Tensor::from_slice(&[1, 5], &[0f32; 5]).unwrap();
    write_npz(&folder.path().join("in.npz"), &[("x".to_string(), x.into())]).unwrap();
    let output = run(&path, &["--inputs", "in.npz"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("input `x` is f32[1, 16], f32[1, 5] was given"), "{}", text(&output.stderr));
}

#[test]
fn a_machine_below_the_level_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let level = Level::host().unwrap();
    let foreign = if level.is_x86() { Level::Aarch64 } else { Level::X86_64V3 };
    let output = run(&build(folder.path(), level, foreign), &[]);
    assert_eq!(output.status.code(), Some(6));
    assert!(text(&output.stderr).contains(foreign.requirement()), "{}", text(&output.stderr));
}

#[test]
fn the_object_is_the_same_each_time() {
    let level = Level::host().unwrap();
    let (codes, weights) = ([scale(level)], [1u8; 128]);
    let make = || {
        let tables = tables(level, 16).to_bytes().unwrap();
        let parts = ProgramParts { tables, codes: &codes, weights: &weights, calls_library: false };
        executable_object(level, Triple::host(), &[parts]).unwrap()
    };
    assert_eq!(make(), make());
}

/// One library call, a transposition of a vector.
#[test]
fn the_library_is_linked_where_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let level = Level::host().unwrap();
    let mut tables = tables(level, 16);
    let tensor = |space, shape: &[usize]| TensorRegion {
        region: Region { space, offset: 0 },
        dtype: DType::F32,
        shape: shape.to_vec(),
    };
    tables.steps[0].calls = vec![Call::Library {
        call: Routine::Call(library::Call::Transpose { perm: vec![1, 0] }),
        inputs: vec![tensor(Space::Input(0), &[1, 16])],
        outputs: vec![tensor(Space::Output(0), &[16, 1])],
    }];
    let (codes, weights) = ([scale(level)], [0u8; WEIGHTS as usize * 4]);
    let link = |name: &str, calls_library| {
        let path = folder.path().join(name);
        let tables = tables.to_bytes().unwrap();
        let parts = ProgramParts { tables, codes: &codes, weights: &weights, calls_library };
        write_executable(level, &[parts], &path).unwrap();
        path
    };
    let (with, without) = (link("with", true), link("without", false));
    let x = Tensor::from_slice(&[1, 16], &std::array::from_fn::<f32, 16, _>(|i| i as f32)).unwrap();
    write_npz(&folder.path().join("in.npz"), &[("x".to_string(), x.clone().into())]).unwrap();
    let arguments = ["--inputs", "in.npz", "--outputs", "out.npz"];
    let output = run(&with, &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(read_npz(&folder.path().join("out.npz")).unwrap()[0].1.bytes(), x.bytes());
    let output = run(&without, &arguments);
    assert_eq!(output.status.code(), Some(70));
    assert!(text(&output.stderr).contains("there is no library"), "{}", text(&output.stderr));
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    assert!(size(&without) < size(&with), "{} and {}", size(&without), size(&with));
}

#[test]
#[cfg(target_os = "linux")]
fn position_independent_and_small() {
    let folder = tempfile::tempdir().unwrap();
    let level = Level::host().unwrap();
    let path = build(folder.path(), level, level);
    let bytes = std::fs::read(&path).unwrap();
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!(u16::from_le_bytes([bytes[16], bytes[17]]), 3, "ET_DYN");
    let (table, count) = (word(32) as usize, usize::from(u16::from_le_bytes([bytes[56], bytes[57]])));
    let segments = (0..count).map(|i| table + i * usize::from(u16::from_le_bytes([bytes[54], bytes[55]])));
    for segment in segments {
        let kind = u32::from_le_bytes(bytes[segment..segment + 4].try_into().unwrap());
        let flags = u32::from_le_bytes(bytes[segment + 4..segment + 8].try_into().unwrap());
        assert_ne!(flags & 3, 3, "segment of kind {kind:#x} is writable and executable");
        if kind == 2 {
            let entry =
                |i: usize| (word(word(segment + 8) as usize + i * 16), word(word(segment + 8) as usize + i * 16 + 8));
            let entries: Vec<(u64, u64)> = (0..).map(entry).take_while(|(tag, _)| *tag != 0).collect();
            assert!(!entries.iter().any(|(tag, _)| *tag == 22), "relocations in code");
            assert!(entries.iter().any(|(tag, value)| *tag == 0x6fff_fffb && value & 1 == 1), "bound at start");
        }
    }
    // The quick library of a debug build is larger than what is shipped.
    if !cfg!(debug_assertions) {
        assert!(bytes.len() < 3_000_000, "{} bytes", bytes.len());
    }
}

/// Runs a model named `scale` in its own thread, or in two that meet at a barrier, and prints the outputs.
const HARNESS: &str = r#"
#include "scale.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_barrier_t barrier;
static struct scale_context context;
static int codes[2];
static void meet(void *b) { pthread_barrier_wait(b); }
static void *work(void *w) { codes[(size_t)w] = scale_worker(&context, (size_t)w, 2); return 0; }

int main(void) {
    float x[16], y[16];
    for (int i = 0; i < 16; i++) x[i] = i + 1;
    if (scale_input_size(0) != sizeof x || scale_output_size(0) != sizeof y || scale_input_size(1) != 0) return 1;
    const void *inputs[SCALE_INPUTS] = {x};
    void *outputs[SCALE_OUTPUTS] = {y};
    size_t bytes = (scale_arena_size(2) + 63) / 64 * 64;
    void *arena = aligned_alloc(64, bytes);
    if (scale_run(inputs, outputs, arena)) return 2;
    for (int i = 0; i < 16; i++) printf("%g ", y[i]);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 16; i++) y[i] = -1;
        pthread_barrier_init(&barrier, 0, 2);
        context = (struct scale_context){inputs, outputs, arena, meet, &barrier};
        pthread_t other;
        pthread_create(&other, 0, work, (void *)1);
        work((void *)0);
        pthread_join(other, 0);
        if (codes[0] || codes[1]) return 3;
    }
    for (int i = 0; i < 16; i++) printf("%g ", y[i]);
    return 0;
}
"#;

/// A copy into the arena, the kernel there, and a copy out, so that workers must meet.
fn freestanding_steps(level: Level) -> Vec<Step> {
    let region = |space, offset| Region { space, offset };
    let arena = |offset| region(Space::Arena, offset);
    let step = |calls| Step { kernel: "scale".into(), node: "mul".into(), flops: 0, calls };
    let kernel = Call::Kernel {
        function: 0,
        operands: vec![arena(0), region(Space::Weights, 0), arena(64)],
        args: vec![7],
        extent: 16 / u64::from(level.target().lanes),
        barrier_before: true,
    };
    vec![
        step(vec![Call::Copy { from: region(Space::Input(0), 0), to: arena(0), bytes: 64 }, kernel]),
        step(vec![Call::Copy { from: arena(64), to: region(Space::Output(0), 0), bytes: 64 }]),
    ]
}

#[test]
#[cfg(target_os = "linux")]
fn freestanding_objects_and_libraries_run_from_c() {
    let folder = tempfile::tempdir().unwrap();
    let level = Level::host().unwrap();
    let (codes, steps, tables) = ([scale(level)], freestanding_steps(level), tables(level, 16));
    let weights: Vec<u8> = (0..WEIGHTS).flat_map(|i| (i as f32 / 2.0).to_le_bytes()).collect();
    let program = Freestanding {
        name: "scale",
        inputs: &tables.inputs,
        outputs: &tables.outputs,
        steps: &steps,
        memory: Memory { arena_bytes: 128, scratch_bytes: 64, lower_bound_bytes: 0 },
        codes: &codes,
        weights: &weights,
    };
    let expected: String = (0..16).map(|i| format!("{} ", (i as f32 + 1.0) * (i as f32 / 2.0))).collect();
    std::fs::write(folder.path().join("main.c"), HARNESS).unwrap();
    for (file, container) in [("scale.o", Container::Object), ("scale.a", Container::StaticLibrary)] {
        let triple = Triple::host();
        write_freestanding(level, triple, &program, container, &folder.path().join(file)).unwrap();
        let mut compiler = Command::new("cc");
        compiler.current_dir(folder.path()).args(["-Wall", "-Werror", "-o", "main", "main.c", file, "-lpthread"]);
        let compiled = compiler.output().unwrap();
        assert!(compiled.status.success(), "{}", text(&compiled.stderr));
        let output = run(&folder.path().join("main"), &[]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stdout), expected.repeat(2), "{file}");
    }
}

#[test]
fn a_library_call_cannot_be_freestanding() {
    let level = Level::host().unwrap();
    let tables = tables(level, 16);
    let call = Routine::Call(library::Call::Range);
    let call = Call::Library { call, inputs: Vec::new(), outputs: Vec::new() };
    let steps = [Step { kernel: "range".into(), node: "n7".into(), flops: 0, calls: vec![call] }];
    let (inputs, outputs, memory) = (&tables.inputs[..], &tables.outputs[..], tables.memory);
    let program = Freestanding { name: "m", inputs, outputs, steps: &steps, memory, codes: &[], weights: &[] };
    let triple = Triple::host();
    let error = write_freestanding(level, triple, &program, Container::Object, Path::new("unused.o")).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Unsupported);
    assert!(error.to_string().contains("`range` (node `n7`)"), "{error}");
}

#[test]
fn names_and_headers_are_c() {
    assert_eq!(c_name(Path::new("/x/libresnet-50.v1.a")), "resnet_50_v1");
    assert_eq!(c_name(Path::new("7.o")), "model_7");
    let level = Level::host().unwrap();
    let mut tables = tables(level, 16);
    tables.inputs[0].name = "a */ evil \\\n/* b".into();
    let (inputs, outputs, memory) = (&tables.inputs[..], &tables.outputs[..], tables.memory);
    let program = Freestanding { name: "m", inputs, outputs, steps: &[], memory, codes: &[], weights: &[] };
    let header = header(level, &program);
    assert!(header.contains(" *   0: a/evil/b  f32[1, 16]\n"), "{header}");
    assert!(header.contains("int m_worker(struct m_context *context, size_t worker, size_t workers);"));
}
