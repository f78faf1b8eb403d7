//! Every operation on every wide level of the host, bit for bit against the evaluator.

#![allow(unsafe_code)]

mod arithmetic;
mod lanes;
mod memory;
mod scalars;
mod vectors;

use brolga_runtime::Level;

use super::lower;
use crate::codegen::{JitCode, LevelTarget, disassemble};
use crate::tile::{Buffer, Evaluator, Kernel, Target};

/// The wide levels this machine can run.
fn levels() -> Vec<(Level, Target)> {
    [Level::X86_64V3, Level::X86_64V4].into_iter().filter(|l| l.available()).map(|l| (l, l.target())).collect()
}

/// Compiles a kernel and calls it.
///
/// # Safety
/// The bases must hold everything the kernel touches.
unsafe fn call(kernel: &Kernel, level: Level, bases: &[*mut u8], args: &[i64], items: i64) -> i32 {
    let code = lower(kernel, level).unwrap_or_else(|error| panic!("{error}\n{kernel}"));
    let loaded = JitCode::new(level, &[code]).unwrap();
    // SAFETY: the caller's promise; the code was made for a level this machine has.
    unsafe { (loaded.entries()[0])(bases.as_ptr(), args.as_ptr(), 0, items) }
}

/// The instructions of a kernel.
fn listing(kernel: &Kernel, level: Level) -> String {
    disassemble(&lower(kernel, level).unwrap(), level)
}

/// How outputs are compared.
#[derive(Clone, Copy, PartialEq)]
enum Compare {
    Bits,
    /// Any NaN equals any other.
    Floats,
}

fn canonical(bytes: &[u8], compare: Compare) -> Vec<u32> {
    let words = bytes.chunks(4).map(|w| w.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte)));
    match compare {
        Compare::Bits => words.collect(),
        Compare::Floats => words.map(|w| if f32::from_bits(w).is_nan() { f32::NAN.to_bits() } else { w }).collect(),
    }
}

/// Runs a kernel in the evaluator and as machine code on the same inputs; the last base is written, and compared.
fn agree(kernel: &Kernel, level: Level, inputs: &[&[u8]], output: usize, args: &[i64], items: i64, compare: Compare) {
    let (mut expected, mut actual) = (vec![0xa5u8; output], vec![0xa5u8; output]);
    let mut buffers: Vec<Buffer<'_>> = inputs.iter().map(|bytes| Buffer::Read(bytes)).collect();
    buffers.push(Buffer::Write(&mut expected));
    let evaluated = Evaluator::new(kernel).unwrap().run(&mut buffers, args, 0, items);
    let evaluated = evaluated.unwrap_or_else(|error| panic!("{error}\n{kernel}"));
    drop(buffers);
    let mut bases: Vec<*mut u8> = inputs.iter().map(|bytes| bytes.as_ptr().cast_mut()).collect();
    bases.push(actual.as_mut_ptr());
    // SAFETY: the evaluator has checked every access of this run against the same sizes.
    let answer = unsafe { call(kernel, level, &bases, args, items) };
    assert_eq!(evaluated, answer, "{level}\n{kernel}\n{}", listing(kernel, level));
    let (expected, actual) = (canonical(&expected, compare), canonical(&actual, compare));
    if let Some(at) = expected.iter().zip(&actual).position(|(a, b)| a != b) {
        panic!(
            "{level}: word {at} is {:#x}, expected {:#x}\n{kernel}\n{}",
            actual[at],
            expected[at],
            listing(kernel, level)
        );
    }
}

/// A small generator of numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }
    fn below(&mut self, n: u32) -> u32 {
        self.next() % n
    }
}

/// Words that are awkward as floats or as integers, among ordinary ones.
fn words(seed: u64, count: usize) -> Vec<u8> {
    const AWKWARD: [u32; 20] = [
        0,
        0x8000_0000,
        1,
        0x8000_0001,
        0x007f_ffff,
        0x0080_0000,
        0x3f80_0000,
        0xbf80_0000,
        0x3f00_0000,
        0x4020_0000,
        0x4eff_ffff,
        0x4f00_0000,
        0xcf00_0000,
        0x7f7f_ffff,
        0x7f80_0000,
        0xff80_0000,
        0x7fc0_0001,
        0xffff_ffff,
        0x7fff_ffff,
        0x477f_f000,
    ];
    let mut numbers = Numbers(seed);
    let mut word = || match numbers.below(4) {
        0 => AWKWARD[numbers.below(20) as usize],
        1 => (numbers.below(2000) as f32 / 16.0 - 60.0).to_bits(),
        2 => numbers.below(600).wrapping_sub(300),
        _ => numbers.next() << 1 | numbers.below(2),
    };
    (0..count).flat_map(|_| word().to_le_bytes()).collect()
}
