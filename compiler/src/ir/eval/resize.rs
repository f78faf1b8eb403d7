//! Resizing: along each dimension every result element is a weighted sum of input elements.

use super::{EvalError, reals, store};
use crate::ir::{Coordinates, Nearest, ResizeAttrs, ResizeMode};
use brolga_runtime::Tensor;

/// What one result position along one dimension reads.
#[derive(Clone, Debug, PartialEq)]
pub struct ResizeTap {
    /// Input positions and their weights, which sum to 1.
    pub sources: Vec<(usize, f64)>,
    /// Outside of the region of interest, where the extrapolation value stands.
    pub outside: bool,
}

/// Input coordinate of a result position, in f32 as the format's implementations do it.
fn coordinate(attrs: &ResizeAttrs, d: usize, input: usize, output: usize, at: usize, scale: f32) -> f32 {
    let (x, n, m) = (at as f32, input as f32, output as f32);
    let centre = (x + 0.5) / scale;
    let half = centre - 0.5;
    match attrs.coordinates {
        Coordinates::HalfPixel => half,
        Coordinates::HalfPixelSymmetric => n / 2.0 * (1.0 - m / (scale * n)) + centre - 0.5,
        Coordinates::PytorchHalfPixel => {
            if output > 1 {
                half
            } else {
                0.0
            }
        }
        Coordinates::AlignCorners => {
            if output > 1 {
                // A scale that is given counts, not the extent that it is rounded to.
                let length = if attrs.scales.is_some() { scale * n } else { m };
                x * (n - 1.0) / (length - 1.0)
            } else {
                0.0
            }
        }
        Coordinates::Asymmetric => x / scale,
        Coordinates::TfHalfPixelForNn => (x + 0.5) / scale,
        Coordinates::TfCropAndResize { .. } => {
            let bound = |list: fn(&(Vec<f32>, Vec<f32>)) -> &Vec<f32>, missing: f32| {
                attrs.roi.as_ref().and_then(|roi| list(roi).get(d)).copied().unwrap_or(missing)
            };
            let (begin, end) = (bound(|r| &r.0, 0.0), bound(|r| &r.1, 1.0));
            if output > 1 {
                begin * (n - 1.0) + x * (end - begin) * (n - 1.0) / (m - 1.0)
            } else {
                0.5 * (begin + end) * (n - 1.0)
            }
        }
    }
}

/// What each result position along dimension `d` reads. Both extents are positive.
pub fn resize_taps(attrs: &ResizeAttrs, d: usize, input: usize, output: usize) -> Vec<ResizeTap> {
    let given = attrs.scales.as_ref().and_then(|s| s.get(d)).copied();
    let scale = given.unwrap_or(output as f32 / input as f32);
    let crop = matches!(attrs.coordinates, Coordinates::TfCropAndResize { .. });
    let tap = |at: usize| {
        let x = coordinate(attrs, d, input, output, at, scale);
        let outside = crop && (x < 0.0 || x > (input - 1) as f32);
        let sources = match attrs.mode {
            ResizeMode::Nearest(rounding) => vec![(nearest(x, rounding, input), 1.0)],
            ResizeMode::Linear => spread(attrs, f64::from(x), input, scale, 1.0, |t| (1.0 - t).max(0.0)),
            ResizeMode::Cubic { a } => spread(attrs, f64::from(x), input, scale, 2.0, |t| cubic(t, f64::from(a))),
        };
        ResizeTap { sources, outside }
    };
    (0..output).map(tap).collect()
}

fn nearest(x: f32, rounding: Nearest, input: usize) -> usize {
    let at = match rounding {
        Nearest::RoundPreferFloor => (x - 0.5).ceil(),
        Nearest::RoundPreferCeil => (x + 0.5).floor(),
        Nearest::Floor => x.floor(),
        Nearest::Ceil => x.ceil(),
    };
    at.clamp(0.0, (input - 1) as f32) as usize
}

fn cubic(t: f64, a: f64) -> f64 {
    if t <= 1.0 {
        ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0
    } else if t < 2.0 {
        ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a
    } else {
        0.0
    }
}

/// Positions around `x` weighted by a kernel of this reach, which antialiasing widens when shrinking. Positions outside are
/// moved to the edge, or left out.
fn spread(
    attrs: &ResizeAttrs,
    x: f64,
    input: usize,
    scale: f32,
    reach: f64,
    kernel: impl Fn(f64) -> f64,
) -> Vec<(usize, f64)> {
    let narrow = if attrs.antialias { f64::from(scale).min(1.0) } else { 1.0 };
    let last = input as i64 - 1;
    let floor = x.floor();
    // No wider than the data: what lies further out is at the edge or left out anyway.
    let start = ((-reach / narrow).floor() as i64 + 1).max(-2 * last - 4);
    let mut sources: Vec<(usize, f64)> = Vec::new();
    for k in start..=(1 - start) {
        let at = (floor as i64).saturating_add(k);
        let weight = kernel(((k as f64 + floor - x) * narrow).abs());
        if weight == 0.0 || (attrs.exclude_outside && !(0..=last).contains(&at)) {
            continue;
        }
        let at = at.clamp(0, last) as usize;
        match sources.iter_mut().find(|(s, _)| *s == at) {
            Some((_, w)) => *w += weight,
            None => sources.push((at, weight)),
        }
    }
    let sum: f64 = sources.iter().map(|(_, w)| w).sum();
    if sources.is_empty() || sum == 0.0 {
        return vec![((floor as i64).clamp(0, last) as usize, 1.0)];
    }
    sources.iter_mut().for_each(|(_, w)| *w /= sum);
    sources
}

pub(super) fn resize(x: &Tensor, attrs: &ResizeAttrs, out: &mut Tensor) -> Result<(), EvalError> {
    if out.is_empty() {
        return Ok(());
    }
    let mut shape = x.shape().to_vec();
    let mut data = reals(x)?;
    let mut outside = vec![false; out.len()];
    let mut inner_out = out.len();
    for d in 0..shape.len() {
        let taps = resize_taps(attrs, d, shape[d], out.shape()[d]);
        let (outer, inner) = (shape[..d].iter().product::<usize>(), shape[d + 1..].iter().product::<usize>());
        inner_out /= taps.len();
        for (i, mark) in outside.iter_mut().enumerate() {
            *mark |= taps[i / inner_out % taps.len()].outside;
        }
        let mut next = vec![0f64; outer * taps.len() * inner];
        for (i, line) in next.chunks_exact_mut(inner).enumerate() {
            let (o, tap) = (i / taps.len(), &taps[i % taps.len()]);
            for (at, weight) in &tap.sources {
                let from = &data[(o * shape[d] + at) * inner..][..inner];
                line.iter_mut().zip(from).for_each(|(to, x)| *to += weight * x);
            }
        }
        shape[d] = taps.len();
        data = next;
    }
    if let Coordinates::TfCropAndResize { extrapolation } = attrs.coordinates {
        let marked = data.iter_mut().zip(&outside).filter(|(_, outside)| **outside);
        marked.for_each(|(x, _)| *x = f64::from(extrapolation));
    }
    store(&data, out)
}
