//! RoiAlign: means or maxima of bilinear samples in each cell of a grid laid over a region.
//!
//! A mean is linear and separable: each cell is a few rows and a few columns with weights. The rows are combined over
//! contiguous columns first, then the columns; the tables are made once per region and serve every channel.

use super::super::elements::{index_of, product};
use super::super::function::{Function, Operands, Results};
use super::super::real::{Real, in_real, zeros};
use super::super::{LibraryError, expect};
use super::{feature_map, regions};
use crate::Value;

/// More samples along a dimension of one cell than any feature map has use for.
const MAX_SAMPLES: f64 = 65536.0;

pub(super) fn roi_align(function: &Function, operands: &Operands) -> Results {
    in_real!(operands.tensor(0)?.dtype, align(function, operands))
}

/// One sample along one dimension: the pixels on either side and how far it is from the first; none outside of the map.
#[derive(Clone, Copy)]
struct Sample<R> {
    low: usize,
    high: usize,
    far: R,
}

/// One dimension of the grid over a region.
struct Side<R> {
    /// Per cell, `per_cell` samples.
    samples: Vec<Option<Sample<R>>>,
    per_cell: usize,
    /// Per cell, where its taps end.
    ends: Vec<usize>,
    /// Pixels with weights: the samples of a cell added up.
    taps: Vec<(usize, R)>,
}

impl<R: Real> Side<R> {
    fn new() -> Self {
        Side { samples: vec![], per_cell: 0, ends: vec![], taps: vec![] }
    }
    /// Lays `cells` cells from `start` over `length`.
    fn lay(&mut self, start: R, length: R, cells: usize, ratio: i64, extent: usize) -> Result<(), LibraryError> {
        let wanted = if ratio > 0 { ratio as f64 } else { (length / R::of(cells as f64)).wide().ceil() };
        if wanted > MAX_SAMPLES {
            return Err(LibraryError::Data(format!(
                "a region needs {wanted} samples a cell; up to {MAX_SAMPLES} are accepted"
            )));
        }
        self.per_cell = wanted.max(0.0) as usize;
        let (one, size) = (R::of(1.0), length / R::of(cells as f64));
        self.samples.clear();
        self.ends.clear();
        self.taps.clear();
        for cell in 0..cells {
            let begin = self.taps.len();
            for s in 0..self.per_cell {
                let part = R::of(s as f64 + 0.5) * size / R::of(self.per_cell as f64);
                let sample = sample(start + R::of(cell as f64) * size + part, extent);
                self.samples.push(sample);
                if let Some(sample) = sample {
                    self.tap(begin, sample.low, one - sample.far);
                    if sample.high != sample.low {
                        self.tap(begin, sample.high, sample.far);
                    }
                }
            }
            self.ends.push(self.taps.len());
        }
        Ok(())
    }
    fn tap(&mut self, begin: usize, pixel: usize, weight: R) {
        match self.taps[begin..].iter_mut().rev().take(2).find(|(p, _)| *p == pixel) {
            Some((_, sum)) => *sum += weight,
            None => self.taps.push((pixel, weight)),
        }
    }
    /// Taps of a cell.
    fn cell(&self, cell: usize) -> &[(usize, R)] {
        let begin = if cell == 0 { 0 } else { self.ends[cell - 1] };
        &self.taps[begin..self.ends[cell]]
    }
    /// The pixels that are read.
    fn span(&self) -> std::ops::Range<usize> {
        let pixels = || self.taps.iter().map(|(p, _)| *p);
        pixels().min().unwrap_or(0)..pixels().max().map_or(0, |p| p + 1)
    }
}

/// A sample that lies more than one pixel outside reads nothing.
fn sample<R: Real>(at: R, extent: usize) -> Option<Sample<R>> {
    let at = at.wide();
    if at < -1.0 || at > extent as f64 || extent == 0 {
        return None;
    }
    let low = at.max(0.0) as usize;
    if low + 1 >= extent {
        return Some(Sample { low: extent - 1, high: extent - 1, far: R::default() });
    }
    Some(Sample { low, high: low + 1, far: R::of(at.max(0.0) - low as f64) })
}

fn align<R: Real>(function: &Function, operands: &Operands) -> Results {
    let (x, rois) = (operands.tensor(0)?, operands.tensor(1)?);
    let [batch, channels, height, width] = feature_map(&x)?;
    let count = regions(&rois, 4)?;
    let images = operands.integers(2)?;
    expect(images.len() == count, "one batch index for each region")?;
    let cells = [function.int("output_height", 1), function.int("output_width", 1)];
    let [Ok(tall @ 1..), Ok(wide @ 1..)] = cells.map(usize::try_from) else {
        return Err(LibraryError::Operands { accepted: "output extents above 0" });
    };
    let ratio = function.int("sampling_ratio", 0);
    let half_pixel = function.text("coordinate_transformation_mode", "half_pixel") == "half_pixel";
    let offset = R::of(if half_pixel { 0.5 } else { 0.0 });
    let scale = R::of(f64::from(function.float("spatial_scale", 1.0)));
    let mean = function.text("mode", "avg") != "max";
    let (data, rois) = (R::elements(&x)?, R::elements(&rois)?);
    let shape = [count, channels, tall, wide];
    let mut made = zeros::<R>(&shape)?;
    let plane = product(&[height, width])?;
    let per_image = product(&[channels, plane])?;
    if !made.is_empty() && plane > 0 {
        let mut line = zeros::<R>(&[if data.is_empty() { 0 } else { width }])?;
        let (mut rows, mut columns) = (Side::new(), Side::new());
        let made = made.chunks_exact_mut(channels * tall * wide);
        for ((roi, image), made) in rois.chunks_exact(4).zip(&images).zip(made) {
            let image = index_of(*image, batch)?;
            let at = |i: usize| roi[i] * scale - offset;
            // Without the half-pixel shift a region is never smaller than a pixel.
            let length = |low: usize, high: usize| {
                let length = at(high) - at(low);
                if half_pixel || length > R::of(1.0) { length } else { R::of(1.0) }
            };
            rows.lay(at(1), length(1, 3), tall, ratio, height)?;
            columns.lay(at(0), length(0, 2), wide, ratio, width)?;
            let planes = data[image * per_image..].chunks_exact(plane).zip(made.chunks_exact_mut(tall * wide));
            for (from, to) in planes {
                if mean {
                    average(&rows, &columns, from, width, &mut line, to)
                } else {
                    maximum(&rows, &columns, from, width, to)
                }
            }
        }
    }
    Ok(vec![Value::Tensor(R::tensor(x.dtype, &shape, &made)?)])
}

/// Columns are combined where they lie, as long as most of those in between are wanted.
const SPARSE: usize = 4;

fn average<R: Real>(rows: &Side<R>, columns: &Side<R>, from: &[R], width: usize, line: &mut [R], to: &mut [R]) {
    let samples = rows.per_cell.saturating_mul(columns.per_cell).max(1);
    let share = R::of(1.0) / R::of(samples as f64);
    let wide = columns.ends.len();
    let span = columns.span();
    let dense = span.len() <= SPARSE * columns.taps.len();
    for (row, to) in to.chunks_exact_mut(wide).enumerate() {
        let taps = rows.cell(row);
        if dense {
            let line = &mut line[span.clone()];
            line.fill(R::default());
            for (y, weight) in taps {
                for (sum, x) in line.iter_mut().zip(&from[y * width..][span.clone()]) {
                    *sum += *weight * *x;
                }
            }
        }
        for (column, to) in to.iter_mut().enumerate() {
            let mut sum = R::default();
            for (x, weight) in columns.cell(column) {
                if dense {
                    sum += *weight * line[*x];
                } else {
                    let mut inner = R::default();
                    taps.iter().for_each(|(y, weight)| inner += *weight * from[y * width + x]);
                    sum += *weight * inner;
                }
            }
            *to = sum * share;
        }
    }
}

/// The largest weighted pixel of all samples: ONNX does not add the four of one sample before it compares.
fn maximum<R: Real>(rows: &Side<R>, columns: &Side<R>, from: &[R], width: usize, to: &mut [R]) {
    let (one, wide) = (R::of(1.0), columns.ends.len());
    for (cell, to) in to.iter_mut().enumerate() {
        let samples = |side: &Side<R>, cell: usize| cell * side.per_cell..(cell + 1) * side.per_cell;
        let mut best: Option<R> = None;
        for y in &rows.samples[samples(rows, cell / wide)] {
            for x in &columns.samples[samples(columns, cell % wide)] {
                let corners = match (y, x) {
                    (Some(y), Some(x)) => {
                        let (low, high) = (&from[y.low * width..], &from[y.high * width..]);
                        let (near_y, near_x) = (one - y.far, one - x.far);
                        [
                            near_y * near_x * low[x.low],
                            near_y * x.far * low[x.high],
                            y.far * near_x * high[x.low],
                            y.far * x.far * high[x.high],
                        ]
                    }
                    _ => [R::default(); 4],
                };
                for corner in corners {
                    best = Some(best.map_or(corner, |b| if corner > b { corner } else { b }));
                }
            }
        }
        *to = best.unwrap_or_default();
    }
}
