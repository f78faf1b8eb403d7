//! The table by step of `brolga bench --layers`.

use super::bench::{Subject, ms};
use super::common::Stop;
use brolga::Level;
use brolga_compiler::codegen::peak::Peak;
use brolga_compiler::compile::CompileError;
use brolga_compiler::region::Part;
use serde::Serialize;
use std::io::Write;
use std::time::{Duration, Instant};

/// Fewest and most runs whose steps are timed.
const RUNS: std::ops::RangeInclusive<usize> = 5..=200;

/// Every step, and the peak they are held against.
#[derive(Serialize)]
pub struct Layers {
    peak_gflops: f64,
    steps: Vec<Layer>,
}

/// One step.
#[derive(Serialize)]
struct Layer {
    step: usize,
    node: String,
    kernel: String,
    /// How often it ran within one run: in a loop more than once.
    times: u64,
    ms: f64,
    share_of_time: f64,
    gflops: f64,
    share_of_peak: f64,
}

/// Median time of every step, and the better of the peaks before and after.
pub fn measure(subject: &mut Subject<'_>, level: Level, workers: usize, seconds: f64) -> Result<Layers, Stop> {
    let peak = Peak::new(level).map_err(|error| brolga::Error::from(CompileError::from(error)))?;
    let before = peak.measure(workers);
    let (mut parts, mut times): (Vec<Part>, Vec<Vec<Duration>>) = (Vec::new(), Vec::new());
    let start = Instant::now();
    for round in 0..*RUNS.end() {
        if round >= *RUNS.start() && start.elapsed().as_secs_f64() > seconds {
            break;
        }
        // The same inputs take the same way through the model, and so give the same parts.
        parts = subject.profile()?;
        times.resize_with(parts.len(), Vec::new);
        for (times, part) in times.iter_mut().zip(&parts) {
            times.push(part.time);
        }
    }
    let peak = before.max(peak.measure(workers));
    let medians: Vec<Duration> = times.iter_mut().map(|times| median(times)).collect();
    let total: Duration = medians.iter().sum();
    let layer = |(step, (part, time)): (usize, (Part, &Duration))| {
        let seconds = time.as_secs_f64();
        let rate = if seconds > 0.0 { part.flops as f64 / seconds } else { 0.0 };
        Layer {
            step,
            node: part.node,
            kernel: part.kernel,
            times: part.times,
            ms: ms(*time),
            share_of_time: seconds / total.as_secs_f64().max(f64::MIN_POSITIVE),
            gflops: rate / 1e9,
            share_of_peak: rate / peak,
        }
    };
    Ok(Layers { peak_gflops: peak / 1e9, steps: parts.into_iter().zip(&medians).enumerate().map(layer).collect() })
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

impl Layers {
    pub fn show(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "\npeak {:.1} GFLOP/s\n", self.peak_gflops)?;
        writeln!(out, "step        ms   time   GFLOP/s   peak  kernel  (node)")?;
        for layer in &self.steps {
            let Layer { step, ms, gflops, kernel, node, times, .. } = layer;
            let times = if *times == 1 { String::new() } else { format!(", {times} times") };
            let (time, peak) = (layer.share_of_time * 100.0, layer.share_of_peak * 100.0);
            write!(out, "{step:4} {ms:9.4} {time:5.1} % ")?;
            match gflops {
                0.0 => write!(out, "{:17}", "")?,
                _ => write!(out, "{gflops:8.1} {peak:5.1} % ")?,
            }
            writeln!(out, " {kernel}  ({node}{times})")?;
        }
        Ok(())
    }
}
