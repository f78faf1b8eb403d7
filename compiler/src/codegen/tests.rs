//! Every statement and operation, compiled and run against the evaluator, bit for bit.

#![cfg(unix)]
#![allow(unsafe_code)]

mod guarded;

use std::collections::BTreeSet;

use brolga_runtime::Level;
use target_lexicon::Triple;

use super::*;
use crate::tile::corpus::{self, Case};
use crate::tile::{Access, Buffer, Target, evaluate};
use guarded::{Edge, Guarded};

/// Statements, scalar operations, masks, loads, stores, splats, gathers, float, unary, integer, reductions, bitcasts, others.
const FEATURES: usize = 15 + 17 + 15 + 14 + 14 + 7 + 2 + 6 + 7 + 11 + 3 + 2 + 11;

/// Kernels of the corpus for four lanes without fma; there are four more with it.
const CASES: usize = 282;

fn evaluated(case: &Case) -> (i32, Vec<Vec<u8>>) {
    let mut buffers = case.buffers.clone();
    let mut bases: Vec<Buffer<'_>> = buffers
        .iter_mut()
        .zip(&case.kernel.bases)
        .map(|(bytes, base)| match base.access {
            Access::Read => Buffer::Read(bytes),
            Access::Write => Buffer::Write(bytes),
        })
        .collect();
    let code = evaluate(&case.kernel, &mut bases, &case.args, case.share.0, case.share.1);
    let code = code.unwrap_or_else(|e| panic!("{}: {e}", case.kernel.name));
    (code, buffers)
}

/// Whether the outputs agree; where they are floats, any NaN equals any other.
fn same(case: &Case, base: usize, left: &[u8], right: &[u8]) -> bool {
    let nan = |bytes: &[u8]| bytes.try_into().is_ok_and(|bytes| f32::from_le_bytes(bytes).is_nan());
    let floats = case.floats && case.kernel.bases[base].access == Access::Write;
    left.chunks(4).zip(right.chunks(4)).all(|(a, b)| a == b || floats && nan(a) && nan(b))
}

/// Runs compiled code with its buffers against unmapped pages, and compares with the evaluator.
fn agrees(case: &Case, entry: KernelFn, level: Level) {
    let (code, expected) = evaluated(case);
    for edge in [Edge::Front, Edge::Back] {
        let mut memory: Vec<Guarded> = case.buffers.iter().map(|bytes| Guarded::new(bytes, edge)).collect();
        let bases: Vec<*mut u8> = memory.iter_mut().map(Guarded::pointer).collect();
        // SAFETY: the evaluator has run the same call on buffers of the same sizes without leaving them.
        let got = unsafe { entry(bases.as_ptr(), case.args.as_ptr(), case.share.0, case.share.1) };
        let name = &case.kernel.name;
        assert_eq!(got, code, "{name} at {level}");
        for (at, (guarded, expected)) in memory.iter().zip(&expected).enumerate() {
            let got = guarded.bytes();
            if !same(case, at, got, expected) {
                let place = got.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(0) & !3;
                let show = |bytes: &[u8]| format!("{:02x?}", &bytes[place..bytes.len().min(place + 16)]);
                let (got, want) = (show(got), show(expected));
                panic!("{name} at {level}: base {at}, byte {place}: {got}, evaluator {want}\n{}", case.kernel);
            }
        }
    }
}

fn run_corpus(level: Level, target: Target) -> usize {
    let cases = corpus::corpus(target);
    let codes: Vec<Code> = cases
        .iter()
        .map(|case| emit_code(&case.kernel, level).unwrap_or_else(|e| panic!("{level}: {e}\n{}", case.kernel)))
        .collect();
    let jit = JitCode::new(level, &codes).unwrap();
    assert_eq!(jit.entries().len(), cases.len());
    for (case, entry) in cases.iter().zip(jit.entries()) {
        agrees(case, *entry, level);
    }
    cases.len()
}

#[test]
fn corpus_has_every_operation() {
    let target = Target { lanes: 4, registers: 16, fma: true, dot: false };
    let names: BTreeSet<String> =
        corpus::corpus(target).iter().flat_map(|case| corpus::features(&case.kernel)).collect();
    assert_eq!(names.len(), FEATURES, "{names:#?}");
}

#[test]
fn four_lanes_agree_with_the_evaluator_on_every_level_of_this_machine() {
    let levels: Vec<Level> = Level::ALL.into_iter().filter(|level| level.available()).collect();
    assert!(!levels.is_empty());
    for level in levels {
        let target = level.narrow_target();
        assert_eq!(run_corpus(level, target), CASES + if target.fma { 4 } else { 0 });
    }
}

#[test]
fn wide_vectors_agree_with_the_evaluator_on_every_level_of_this_machine() {
    for level in Level::ALL.into_iter().filter(|level| level.available() && level.target().lanes > 4) {
        assert!(run_corpus(level, level.target()) > CASES);
    }
}

#[test]
fn aarch64_code_needs_no_relocation() {
    let cases = corpus::corpus(Level::Aarch64.target());
    let codes = cases.iter().map(|case| emit_code(&case.kernel, Level::Aarch64).unwrap());
    assert_eq!(codes.filter(|code| !code.bytes.is_empty()).count(), CASES + 4);
}

#[test]
fn kernels_for_another_target_are_refused() {
    let case = &corpus::corpus(Target { lanes: 4, registers: 16, fma: true, dot: false })[0];
    assert!(matches!(emit_code(&case.kernel, Level::X86_64), Err(CodegenError::Malformed { .. })));
}

#[test]
#[cfg(debug_assertions)]
fn kernels_that_break_a_rule_are_refused() {
    let mut kernel = corpus::corpus(Level::Aarch64.target())[0].kernel.clone();
    emit_code(&kernel, Level::Aarch64).unwrap();
    kernel.bases.iter_mut().for_each(|base| base.access = Access::Read);
    let refused = emit_code(&kernel, Level::Aarch64);
    let said = refused.map(|_| ()).map_err(|error| error.to_string());
    assert!(said.as_ref().is_err_and(|said| said.contains("may only be read")), "{said:?}");
}

#[test]
fn objects_carry_functions_and_data() {
    let case = &corpus::corpus(Level::Aarch64.target())[0];
    for (level, triple) in [
        (Level::X86_64, "x86_64-unknown-linux-gnu"),
        (Level::Aarch64, "aarch64-unknown-linux-gnu"),
        (Level::Aarch64, "aarch64-apple-darwin"),
        (Level::X86_64, "x86_64-pc-windows-msvc"),
    ] {
        let mut kernel = case.kernel.clone();
        kernel.target = level.narrow_target();
        let code = emit_code(&kernel, level).unwrap();
        let mut object = ObjectCode::new(level, triple.parse::<Triple>().unwrap(), "model").unwrap();
        object.function("model_kernel0", &code, Visibility::Global).unwrap();
        object.data("model_weights", vec![7; 100], 64, Visibility::Local).unwrap();
        assert!(object.function("model_kernel0", &code, Visibility::Global).is_err());
        let bytes = object.finish().unwrap();
        let finds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(finds(b"model_kernel0") && finds(&code.bytes) && finds(&[7; 100]), "{triple}");
    }
}

#[test]
fn disassembly_ends_where_the_constants_begin() {
    let case = corpus::corpus(Level::X86_64.target()).into_iter().find(|c| c.kernel.name == "float-Mul-const").unwrap();
    let code = emit_code(&case.kernel, Level::X86_64).unwrap();
    let text = disassemble(&code, Level::X86_64);
    assert!(text.contains("mulps") && text.contains("ret") && text.contains(".word 0x3fd9999a"), "{text}");
    assert!(!text.contains("(bad)"), "{text}");
    assert!(clif::text(&case.kernel, Level::X86_64).unwrap().contains("fmul"));
}
