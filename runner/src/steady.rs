//! Times of repeated runs.

use brolga_runtime::{Instance, RunError, RunOptions, Tensor, TensorView, TensorViewMut};
use std::fmt;
use std::time::{Duration, Instant};

/// Times runs of a program on the same inputs, into the same outputs.
pub fn time_runs(instance: &Instance, inputs: &[Tensor], runs: usize) -> Result<Vec<Duration>, RunError> {
    let inputs: Vec<TensorView<'_>> = inputs.iter().map(Tensor::view).collect();
    let mut outputs = instance.new_outputs()?;
    let mut times = Vec::new();
    for _ in 0..runs {
        let mut written: Vec<TensorViewMut<'_>> = outputs.iter_mut().map(Tensor::view_mut).collect();
        let start = Instant::now();
        instance.run(&inputs, &mut written, RunOptions::default())?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// What is told of the times of runs, as one line that a program can read.
pub(crate) struct Steady(Vec<Duration>);

impl Steady {
    /// `None` when nothing was timed.
    pub(crate) fn of(mut times: Vec<Duration>) -> Option<Steady> {
        times.sort();
        (!times.is_empty()).then_some(Steady(times))
    }

    /// The time that this share of the runs does not exceed, in ms.
    fn at(&self, share: f64) -> f64 {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(rank.clamp(1, self.0.len()) - 1).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

impl fmt::Display for Steady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, median, most) = (self.at(0.0), self.at(0.5), self.at(0.99));
        write!(f, "runs {}, min_ms {least:.4}, median_ms {median:.4}, p99_ms {most:.4}", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_least_median_and_most() {
        let times = [5, 1, 3, 4, 2].map(Duration::from_millis).to_vec();
        let line = Steady::of(times).map(|steady| steady.to_string());
        assert_eq!(line.as_deref(), Some("runs 5, min_ms 1.0000, median_ms 3.0000, p99_ms 5.0000"));
        assert!(Steady::of(Vec::new()).is_none());
    }
}
