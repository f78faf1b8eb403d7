//! The peak of this machine at a level: multiply-adds on registers alone, measured with generated code.
#![allow(unsafe_code)]

use super::{CodegenError, JitCode, Level, LevelTarget, emit_code};
use crate::tile::{Access, Builder, FloatUn, Index, Kernel, Lane, VectorOp};
use std::time::{Duration, Instant};

/// Rounds of one timing: a few milliseconds.
const ROUNDS: i64 = 50_000;
/// Copies of the multiply-adds in a round, so that the loop around them costs nothing.
const REPEAT: u32 = 8;
/// Timings, of which the median counts, as it does for what is held against the peak.
const TIMINGS: usize = 15;

/// A kernel that does nothing but multiply and add.
pub struct Peak {
    code: JitCode,
    /// Operations of one round.
    flops: f64,
    /// Bytes that the kernel stores at its end.
    stored: usize,
}

impl Peak {
    /// Makes the kernel for a level that this machine runs.
    pub fn new(level: Level) -> Result<Peak, CodegenError> {
        let target = level.target();
        // Enough chains to hide the latency of a multiply-add, and four registers left for its operands.
        let chains = i64::from(target.registers) - 4;
        let code = JitCode::new(level, &[emit_code(&kernel(level, chains), level)?])?;
        let stored = chains as usize * target.lanes as usize * size_of::<f32>();
        Ok(Peak { code, flops: 2.0 * f64::from(REPEAT) * chains as f64 * f64::from(target.lanes), stored })
    }

    /// Operations per second of this many threads at once, the median of a few short runs.
    pub fn measure(&self, threads: usize) -> f64 {
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| self.one_thread())).collect();
            let own = self.one_thread();
            own + others.into_iter().map(|other| other.join().unwrap_or(0.0)).sum::<f64>()
        })
    }

    fn one_thread(&self) -> f64 {
        let mut out = vec![0u8; self.stored];
        let bases = [out.as_mut_ptr()];
        let Some(entry) = self.code.entries().first() else { return 0.0 };
        let mut times = Vec::with_capacity(TIMINGS);
        for _ in 0..TIMINGS {
            let start = Instant::now();
            // SAFETY: the kernel stores `stored` bytes through its only base, takes no arguments and reads nothing.
            let code = unsafe { entry(bases.as_ptr(), std::ptr::null(), 0, ROUNDS) };
            if code == 0 {
                times.push(start.elapsed());
            }
        }
        times.sort();
        let median = times.get(times.len() / 2).map_or(f64::INFINITY, Duration::as_secs_f64);
        self.flops * ROUNDS as f64 / median
    }
}

fn kernel(level: Level, chains: i64) -> Kernel {
    let target = level.target();
    let mut k = Builder::new("peak", target);
    let y = k.base("y", Access::Write);
    let acc = k.reg(Lane::F32, &[chains as u32]);
    let start = k.float(0.5);
    k.unroll(chains as u32, |k, i| k.set(acc, &[i.into()], VectorOp::Copy(start.clone())));
    // Computed, so that it sits in a register: a constant would be read from memory each time.
    let quarter = k.float(0.0625);
    let factor = k.unary(FloatUn::Sqrt, quarter);
    let (begin, end) = (k.begin(), k.end());
    k.for_(begin, end, 1, |k, _| {
        k.unroll(REPEAT, |k, _| {
            k.unroll(chains as u32, |k, i| k.accumulate(acc, &[i.into()], factor.clone(), factor.clone()))
        });
    });
    k.unroll(chains as u32, |k, i| {
        let value = k.get(acc, &[Index::from(i)]);
        k.store(y, i * (i64::from(target.lanes) * 4), value);
    });
    k.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_of_this_machine_has_a_peak() {
        let mut measured = 0;
        for level in Level::ALL.into_iter().filter(|level| level.available()) {
            let peak = Peak::new(level).unwrap().measure(1);
            assert!(peak > 1e8 && peak < 1e13, "{level}: {peak} operations per second");
            measured += 1;
        }
        assert!(measured > 0);
    }
}
