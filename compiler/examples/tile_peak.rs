//! The convolution tile against the multiply-add peak of this machine, for each wide level it has.
//!
//! Prints the speed of a loop of nothing but fused multiply-adds in registers and that of a tile of `rows` positions by two
//! vectors of channels with its data in the first-level cache, both compiled from Tile IR.

#![allow(unsafe_code)]

use std::time::{Duration, Instant};

use brolga_compiler::codegen::peak::Peak;
use brolga_compiler::codegen::{Code, CodegenError, JitCode, Level, LevelTarget, disassemble, wide};
use brolga_compiler::tile::{Access, Builder, Index, Kernel, Lane, VectorOp};

/// A cache line, so that no vector straddles two.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code)] [f32; 16]);

/// Input channels of one step of the tile's loop.
const CHANNELS: i64 = 16;
/// Taps: the steps of the loop.
const TAPS: i64 = 3;

/// `rows` x 2 accumulators, each the sum of `TAPS * CHANNELS` products; item = one tile over the same data.
fn tile(level: Level, rows: u32) -> Kernel {
    let mut k = Builder::new(format!("conv-f32-{rows}x2"), level.target());
    let vector = i64::from(k.lanes()) * 4;
    let input = k.base("input", Access::Read);
    let weights = k.base("weights", Access::Read);
    let output = k.base("output", Access::Write);
    let (begin, end) = (k.begin(), k.end());
    k.for_(begin, end, 1, |k, _| {
        let acc = k.reg(Lane::F32, &[rows, 2]);
        let zero = k.float(0.0);
        k.unroll(rows, |k, m| {
            k.unroll(2, |k, n| k.set(acc, &[m.into(), n.into()], VectorOp::Copy(zero.clone())));
        });
        let (first, last) = (k.num(0), k.num(TAPS));
        k.for_(first, last, 1, |k, tap| {
            let (at, from) = (k.mul_const(tap, CHANNELS * 4), k.mul_const(tap, CHANNELS * 2 * vector));
            let (x, w) = (k.pointer(input, at), k.pointer(weights, from));
            k.unroll(CHANNELS as u32, |k, c| {
                let columns = [k.load(w, c * (2 * vector)), k.load(w, Index::from(vector) + c * (2 * vector))];
                k.unroll(rows, |k, m| {
                    let s = k.splat_load(x, m * (CHANNELS * TAPS * 4) + c * 4);
                    for (n, column) in columns.iter().enumerate() {
                        k.accumulate(acc, &[m.into(), Index::from(n as i64)], s.clone(), column.clone());
                    }
                });
            });
        });
        k.unroll(rows, |k, m| {
            k.unroll(2, |k, n| {
                let sum = k.get(acc, &[m.into(), n.into()]);
                k.store(output, m * (2 * vector) + n * vector, sum);
            });
        });
    });
    k.finish()
}

/// The best time of one item over about half a second.
fn time(code: Code, level: Level, bases: &[*mut u8], items: i64) -> Result<f64, CodegenError> {
    let loaded = JitCode::new(level, &[code])?;
    let (start, mut best) = (Instant::now(), Duration::MAX);
    while start.elapsed() < Duration::from_millis(500) {
        for entry in loaded.entries() {
            let before = Instant::now();
            // SAFETY: the bases hold all that the kernel touches, and it has no arguments.
            let failed = unsafe { entry(bases.as_ptr(), std::ptr::null(), 0, items) };
            assert_eq!(failed, 0, "the kernels contain no checks");
            best = best.min(before.elapsed());
        }
    }
    Ok(best.as_secs_f64() / items as f64)
}

fn main() -> Result<(), CodegenError> {
    let mut data = vec![vec![Line([1.0; 16]); 1 << 10]; 3];
    let bases: Vec<*mut u8> = data.iter_mut().map(|buffer| buffer.as_mut_ptr().cast()).collect();
    for (level, tiles) in [(Level::X86_64V3, &[6u32, 4][..]), (Level::X86_64V4, &[14, 8][..])] {
        if !level.available() {
            println!("{level}: not on this machine");
            continue;
        }
        let lanes = f64::from(level.target().lanes);
        let most = Peak::new(level)?.measure(1) / 1e9;
        println!("{level}: peak {most:.1} GFLOP/s");
        for rows in tiles {
            let kernel = tile(level, *rows);
            let code = wide::lower(&kernel, level)?;
            let mut lowering = Duration::MAX;
            for _ in 0..50 {
                let before = Instant::now();
                wide::lower(&kernel, level)?;
                lowering = lowering.min(before.elapsed());
            }
            if std::env::args().any(|argument| argument == "--code") {
                println!("{}", disassemble(&code, level));
            }
            let size = code.bytes.len();
            let flop = 2.0 * lanes * 2.0 * f64::from(*rows) * (TAPS * CHANNELS) as f64;
            let speed = flop / time(code, level, &bases, 1_000)? / 1e9;
            println!(
                "{level}: {rows}x2 tile {speed:.1} GFLOP/s, {:.1} % of peak, {} bytes, lowered in {lowering:?}",
                100.0 * speed / most,
                size
            );
        }
    }
    Ok(())
}
