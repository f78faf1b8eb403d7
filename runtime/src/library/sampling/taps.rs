//! Interpolation as taps: which elements of a plane make a sample, with what weights.

use super::super::LibraryError;
use super::super::real::Real;

/// Spatial dimensions that are sampled: a cubic sample of six has 4096 taps.
pub(super) const MAX_RANK: usize = 6;

/// What stands for an element outside of the plane; it reads as zero.
const OUTSIDE: usize = usize::MAX;

/// How a sample is made of its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleMode {
    /// The nearest one, the even one of two.
    Nearest,
    /// Two along each dimension.
    Linear,
    /// Four along each dimension, weighted by [`cubic`](https://en.wikipedia.org/wiki/Bicubic_interpolation) convolution, a = -0.75.
    Cubic,
}

impl SampleMode {
    /// Neighbours a sample has along one dimension.
    #[inline(always)]
    pub fn reach(self) -> usize {
        match self {
            SampleMode::Nearest => 1,
            SampleMode::Linear => 2,
            SampleMode::Cubic => 4,
        }
    }
}

/// What lies outside of the plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SamplePadding {
    /// Zeros.
    Zeros,
    /// The outermost elements again.
    Border,
    /// The plane again, reflected as often as it takes.
    Reflection,
}

/// A plane to be sampled.
pub(super) struct Plane<'a> {
    pub dims: &'a [usize],
    pub mode: SampleMode,
    pub padding: SamplePadding,
    /// Whether reflection is about the centres of the outermost elements, or about their outer edges.
    pub corners: bool,
}

/// Taps of some samples, as many for each.
pub(super) struct Taps<R> {
    offsets: Vec<usize>,
    weights: Vec<R>,
    pub per_sample: usize,
}

/// Neighbours along one dimension.
struct Neighbours<R> {
    at: [Option<usize>; 4],
    weights: [R; 4],
}

impl Plane<'_> {
    #[inline(always)]
    fn fold(&self, at: f64, extent: usize) -> f64 {
        let last = extent as f64 - 1.0;
        match self.padding {
            SamplePadding::Zeros => at,
            SamplePadding::Border => at.clamp(0.0, last),
            SamplePadding::Reflection if self.corners => reflect(at, 0.0, last),
            SamplePadding::Reflection => reflect(at, -0.5, last + 0.5),
        }
    }

    /// The element a whole coordinate means.
    #[inline(always)]
    fn element(&self, at: f64, extent: usize) -> Option<usize> {
        let inside = at >= 0.0 && at < extent as f64;
        let at = if inside { at } else { self.fold(at, extent) };
        // Reflection about an edge ends between two elements of equal value, or half an element outside.
        (at > -1.0 && at < extent as f64).then_some(at as usize)
    }

    #[inline(always)]
    fn neighbours<R: Real>(&self, at: R, extent: usize) -> Neighbours<R> {
        let wide = at.wide();
        if extent == 0 {
            return Neighbours { at: [None; 4], weights: [R::default(); 4] };
        }
        if self.mode == SampleMode::Nearest {
            let mut found = Neighbours { at: [None; 4], weights: [R::of(1.0); 4] };
            let whole = wide.round_ties_even();
            found.at[0] = self.element(self.within(whole, extent), extent);
            return found;
        }
        let at = R::of(self.within(wide, extent));
        let floor = at.wide().floor();
        let far = at - R::of(floor);
        let (first, weights) = if self.mode == SampleMode::Linear {
            (floor, [R::of(1.0) - far, far, R::default(), R::default()])
        } else {
            (floor - 1.0, cubic(far))
        };
        let mut found = Neighbours { at: [None; 4], weights };
        for (i, place) in found.at.iter_mut().enumerate().take(self.mode.reach()) {
            *place = self.element(first + i as f64, extent);
        }
        found
    }

    /// A coordinate that lies outside brought in, where there is something outside. A cubic sample beyond the border is still
    /// made of four taps there, of which those outside repeat the border.
    #[inline(always)]
    fn within(&self, at: f64, extent: usize) -> f64 {
        if self.mode == SampleMode::Cubic && self.padding == SamplePadding::Border {
            return at.clamp(-3.0, extent as f64 + 2.0);
        }
        let (low, high) = if self.corners { (0.0, extent as f64 - 1.0) } else { (-0.5, extent as f64 - 0.5) };
        if at < low || at > high { self.fold(at, extent) } else { at }
    }
}

/// Reflects about both bounds till it lies between them.
fn reflect(at: f64, low: f64, high: f64) -> f64 {
    let range = high - low;
    if range <= 0.0 && !at.is_nan() {
        return low.max(0.0);
    }
    let beyond = if at < low {
        low - at
    } else if at > high {
        at - high
    } else {
        return at;
    };
    let (times, rest) = ((beyond / range).floor(), beyond % range);
    if (times % 2.0 == 0.0) == (at < low) { low + rest } else { high - rest }
}

/// Keys' cubic convolution with a = -0.75.
fn cubic<R: Real>(far: R) -> [R; 4] {
    let (a, x) = (-0.75, far.wide());
    let inner = |x: f64| ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    let outer = |x: f64| ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
    [R::of(outer(x + 1.0)), R::of(inner(x)), R::of(inner(1.0 - x)), R::of(outer(2.0 - x))]
}

impl<R: Real> Taps<R> {
    /// No taps yet for samples of this plane.
    pub(super) fn new(plane: &Plane) -> Result<Self, LibraryError> {
        let rank = plane.dims.len();
        if rank == 0 || rank > MAX_RANK {
            return Err(LibraryError::Operands { accepted: "one to six spatial dimensions" });
        }
        Ok(Taps { offsets: vec![], weights: vec![], per_sample: plane.mode.reach().pow(rank as u32) })
    }
    pub(super) fn clear(&mut self) {
        self.offsets.clear();
        self.weights.clear();
    }
    /// Adds the taps of a sample at these coordinates, all weights times `scale`.
    #[inline(always)]
    pub(super) fn push(&mut self, plane: &Plane, mut at: impl Iterator<Item = R>, scale: R) {
        if let [rows, columns] = plane.dims
            && let (Some(y), Some(x)) = (at.next(), at.next())
        {
            let near = [plane.neighbours(y, *rows), plane.neighbours(x, *columns)];
            return self.push_product(near, *columns, plane.mode.reach(), scale);
        }
        let begin = self.offsets.len();
        self.offsets.push(0);
        self.weights.push(scale);
        let reach = plane.mode.reach();
        for (extent, at) in plane.dims.iter().zip(at) {
            let near = plane.neighbours(at, *extent);
            let count = self.offsets.len() - begin;
            // From the last to the first, so that the products can take the place of their factors.
            self.offsets.resize(begin + count * reach, 0);
            self.weights.resize(begin + count * reach, R::default());
            for i in (0..count).rev() {
                let (offset, weight) = (self.offsets[begin + i], self.weights[begin + i]);
                for j in (0..reach).rev() {
                    self.offsets[begin + i * reach + j] = match near.at[j] {
                        Some(place) if offset != OUTSIDE => offset * extent + place,
                        _ => OUTSIDE,
                    };
                    self.weights[begin + i * reach + j] = weight * near.weights[j];
                }
            }
        }
    }
    /// Adds the taps of a sample of a plane with rows of `columns` elements.
    #[inline(always)]
    fn push_product(&mut self, [y, x]: [Neighbours<R>; 2], columns: usize, reach: usize, scale: R) {
        for (row, weight) in y.at.iter().zip(y.weights).take(reach) {
            let weight = scale * weight;
            for (column, far) in x.at.iter().zip(x.weights).take(reach) {
                let offset = row.zip(*column).map_or(OUTSIDE, |(row, column)| row * columns + column);
                self.offsets.push(offset);
                self.weights.push(weight * far);
            }
        }
    }
    /// The samples of one plane.
    pub(super) fn sample(&self, plane: &[R], to: &mut [R]) {
        match self.per_sample {
            1 => self.sample_by::<1>(plane, to),
            2 => self.sample_by::<2>(plane, to),
            4 => self.sample_by::<4>(plane, to),
            8 => self.sample_by::<8>(plane, to),
            16 => self.sample_by::<16>(plane, to),
            n => {
                for ((to, offsets), weights) in
                    to.iter_mut().zip(self.offsets.chunks_exact(n)).zip(self.weights.chunks_exact(n))
                {
                    *to = one_sample(plane, offsets, weights);
                }
            }
        }
    }
    fn sample_by<const N: usize>(&self, plane: &[R], to: &mut [R]) {
        let taps = self.offsets.as_chunks::<N>().0.iter().zip(self.weights.as_chunks::<N>().0);
        for (to, (offsets, weights)) in to.iter_mut().zip(taps) {
            *to = one_sample(plane, offsets, weights);
        }
    }
}

#[inline(always)]
fn one_sample<R: Real>(plane: &[R], offsets: &[usize], weights: &[R]) -> R {
    let mut sum = R::default();
    for (offset, weight) in offsets.iter().zip(weights) {
        if let Some(x) = plane.get(*offset) {
            sum += *weight * *x;
        }
    }
    sum
}
