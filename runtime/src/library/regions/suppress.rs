//! NonMaxSuppression: the boxes of each class by falling score, without those that overlap a better one too much.

use super::super::elements::{one_integer, one_real};
use super::super::function::{Function, Operands, Results};
use super::super::{LibraryError, expect};
use crate::{Tensor, Value};

/// Lower corner, upper corner, area.
#[derive(Clone, Copy)]
struct Region {
    low: [f32; 2],
    high: [f32; 2],
    area: f32,
}

impl Region {
    /// From any two opposite corners, or from centre and size.
    fn new(numbers: &[f32; 4], centred: bool) -> Region {
        let [a, b, c, d] = *numbers;
        let (low, high) = if centred {
            ([b - d / 2.0, a - c / 2.0], [b + d / 2.0, a + c / 2.0])
        } else {
            ([a.min(c), b.min(d)], [a.max(c), b.max(d)])
        };
        Region { low, high, area: (high[0] - low[0]) * (high[1] - low[1]) }
    }
    /// Intersection over union above `threshold`.
    fn overlaps(&self, other: &Region, threshold: f32) -> bool {
        let height = (self.high[0].min(other.high[0]) - self.low[0].max(other.low[0])).max(0.0);
        let width = (self.high[1].min(other.high[1]) - self.low[1].max(other.low[1])).max(0.0);
        let common = height * width;
        let union = self.area + other.area - common;
        (union > 0.0) & (common / union > threshold)
    }
}

/// Integer that sorts as the float does.
fn rank(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// Fills `order` with candidates, best score first, lower index first of equals.
fn sort_candidates(scores: &[f32], above: Option<f32>, order: &mut Vec<u64>) {
    order.clear();
    let taken = scores.iter().enumerate().filter(|(_, s)| above.map_or(!s.is_nan(), |limit| **s > limit));
    order.extend(taken.map(|(i, s)| u64::from(rank(*s)) << 32 | u64::from(!(i as u32))));
    order.sort_unstable_by(|a, b| b.cmp(a));
}

/// Boxes that are compared without a branch between them, so that several are at once.
const AT_ONCE: usize = 8;
/// Boxes to a strip, on average, and strips at most.
const STRIP: usize = 32;
const STRIPS: usize = 1024;

/// The boxes that stay, by the strips of the first axis that they reach into: boxes that share no strip have nothing in common.
/// Detectors move the boxes of each class to a place of their own, and few of all boxes are near any one.
struct Kept {
    strips: Vec<Vec<Region>>,
    start: f32,
    /// Strips to a unit of length.
    scale: f32,
    count: usize,
}

impl Kept {
    /// None yet, of `regions`. No strip is narrower than the mean box, so that a box is in three of them on average at most. A
    /// threshold below zero suppresses boxes that have nothing in common, and boxes without an inside are nowhere: one strip.
    fn new(regions: &[Region], threshold: f32) -> Kept {
        let start = regions.iter().fold(f32::INFINITY, |start, r| start.min(r.low[0]));
        let end = regions.iter().fold(f32::NEG_INFINITY, |end, r| end.max(r.high[0]));
        let reach = |r: &Region| f64::from(r.high[0]) - f64::from(r.low[0]);
        let mean = regions.iter().map(reach).sum::<f64>() / regions.len() as f64;
        let fitting = ((f64::from(end) - f64::from(start)) / mean) as usize;
        let strips = (regions.len() / STRIP).min(fitting).clamp(1, STRIPS);
        let scale = strips as f32 / (end - start);
        let proper = |r: &Region| r.low[0].is_finite() && r.high[0].is_finite() && r.low[0] <= r.high[0];
        let many = threshold >= 0.0 && scale.is_normal() && regions.iter().all(proper);
        let (strips, scale) = if many { (strips, scale) } else { (1, 0.0) };
        Kept { strips: vec![Vec::new(); strips], start, scale, count: 0 }
    }
    fn clear(&mut self) {
        self.strips.iter_mut().for_each(Vec::clear);
        self.count = 0;
    }
    fn reach(&self, region: &Region) -> std::ops::RangeInclusive<usize> {
        let last = self.strips.len() - 1;
        let strip = |at: f32| (((at - self.start) * self.scale) as usize).min(last);
        strip(region.low[0])..=strip(region.high[0])
    }
    /// Whether one of the boxes overlaps `region`.
    fn suppress(&self, region: &Region, threshold: f32) -> bool {
        let hit = |block: &[Region]| block.iter().fold(false, |hit, k| hit | k.overlaps(region, threshold));
        self.strips[self.reach(region)].iter().any(|strip| strip.chunks(AT_ONCE).any(hit))
    }
    fn push(&mut self, region: &Region) {
        let reach = self.reach(region);
        self.strips[reach].iter_mut().for_each(|strip| strip.push(*region));
        self.count += 1;
    }
}

pub(super) fn non_max_suppression(function: &Function, operands: &Operands) -> Results {
    let (boxes, scores) = (operands.tensor(0)?, operands.tensor(1)?);
    let ([batches, count, 4], [batches_too, classes, count_too]) = (boxes.shape, scores.shape) else {
        return Err(LibraryError::Operands { accepted: "boxes [batch, n, 4] and scores [batch, class, n]" });
    };
    expect(batches == batches_too && count == count_too, "boxes [batch, n, 4] and scores [batch, class, n]")?;
    expect(u32::try_from(*count).is_ok(), "fewer than 2^32 boxes")?;
    let limit = usize::try_from(one_integer(operands, 2, 0)?).unwrap_or(0);
    let threshold = one_real(operands, 3, 0.0)? as f32;
    let above = if operands.get(4).is_some() { Some(one_real(operands, 4, 0.0)? as f32) } else { None };
    let centred = function.int("center_point_box", 0) != 0;
    let (boxes, scores) = (operands.slice::<f32>(0)?, operands.slice::<f32>(1)?);

    let mut selected: Vec<i64> = Vec::new();
    let mut order = Vec::new();
    if *count > 0 && limit > 0 {
        let corners = boxes.as_chunks::<4>().0;
        for (batch, (corners, scores)) in
            corners.chunks_exact(*count).zip(scores.chunks(classes.saturating_mul(*count).max(1))).enumerate()
        {
            let regions: Vec<Region> = corners.iter().map(|c| Region::new(c, centred)).collect();
            let mut kept = Kept::new(&regions, threshold);
            for (class, scores) in scores.chunks_exact(*count).enumerate() {
                sort_candidates(scores, above, &mut order);
                kept.clear();
                suppress(&regions, &order, limit, threshold, &mut kept, |index| {
                    selected.extend([batch as i64, class as i64, index as i64]);
                });
            }
        }
    }
    Ok(vec![Value::Tensor(Tensor::from_slice(&[selected.len() / 3, 3], &selected)?)])
}

/// Calls `select` with the index of each box that stays, until there are `limit`.
fn suppress(
    regions: &[Region],
    order: &[u64],
    limit: usize,
    threshold: f32,
    kept: &mut Kept,
    mut select: impl FnMut(usize),
) {
    for key in order {
        if kept.count == limit {
            return;
        }
        let index = !(*key as u32) as usize;
        let region = &regions[index];
        if !kept.suppress(region, threshold) {
            kept.push(region);
            select(index);
        }
    }
}
