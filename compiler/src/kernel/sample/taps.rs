//! Coordinates become taps: for a vector of samples, which elements of a plane each is made of and with what weights.
//!
//! The same rules as the library's, in f32 and a vector of samples at a time. A tap that reads nothing (padding with zeros, or a
//! coordinate that is no number) has the offset [`OUTSIDE`]: readers skip it, so that what lies at some other element,
//! perhaps an infinity, plays no part.

use crate::tile::{Builder, Cmp, FloatUn, IntBin, Lane, MaskOp, Operand, PointerRef, VectorOp};
use brolga_runtime::library::{SampleMode, SamplePadding};

/// The offset of a tap that reads nothing.
pub(super) const OUTSIDE: i32 = -1;

/// The plane that is sampled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plane {
    /// How samples are made of their neighbours.
    pub mode: SampleMode,
    /// What lies outside.
    pub padding: SamplePadding,
    /// Whether -1 and 1 are the centres of the outermost elements, or their outer edges.
    pub corners: bool,
    /// Extents.
    pub extents: Vec<usize>,
    /// From one index to the next, in the units in which a reader counts offsets.
    pub strides: Vec<i64>,
}

impl Plane {
    /// Taps of one sample.
    pub fn taps(&self) -> usize {
        self.mode.reach().pow(self.extents.len() as u32)
    }
    /// Bytes of the taps of a vector of samples: by tap, a vector of offsets (i32) and one of weights (f32).
    pub fn table_bytes(&self, lanes: u32) -> usize {
        self.taps() * 8 * lanes as usize
    }
    /// Bytes of the neighbours along each dimension of a vector of samples, which tables are made of.
    pub fn near_bytes(&self, lanes: u32) -> usize {
        self.extents.len() * self.mode.reach() * 8 * lanes as usize
    }

    /// Writes the table of a vector of samples at these coordinates (in elements, one a dimension), all weights times `scale`.
    pub fn write(&self, k: &mut Builder, at: &[Operand], scale: Option<&Operand>, [near, to]: [PointerRef; 2]) {
        let (vector, reach) = (4 * i64::from(k.lanes()), self.mode.reach());
        for (d, at) in at.iter().enumerate() {
            self.along(k, d, at, near, (d * reach) as i64 * 2 * vector);
        }
        for tap in 0..self.taps() {
            let (mut offset, mut weight): (Option<Operand>, Option<Operand>) = (None, scale.cloned());
            for d in 0..at.len() {
                let neighbour = tap / reach.pow((at.len() - 1 - d) as u32) % reach;
                let from = (d * reach + neighbour) as i64 * 2 * vector;
                let here = k.load(near, from);
                let here = k.vector(VectorOp::Bitcast(Lane::I32, here));
                offset = Some(offset.map_or(here.clone(), |offset| joined(k, offset, here)));
                let here = k.load(near, from + vector);
                weight = Some(weight.map_or(here.clone(), |weight| k.mul(weight, here)));
            }
            if let (Some(offset), Some(weight)) = (offset, weight) {
                k.store(to, tap as i64 * 2 * vector, offset);
                k.store(to, (tap as i64 * 2 + 1) * vector, weight);
            }
        }
    }

    /// Stores the neighbours along one dimension: for each a vector of offsets and one of weights.
    fn along(&self, k: &mut Builder, d: usize, at: &Operand, near: PointerRef, from: i64) {
        let vector = 4 * i64::from(k.lanes());
        if self.mode == SampleMode::Nearest {
            let whole = k.unary(FloatUn::Nearest, at.clone());
            let whole = self.within(k, whole, d);
            let offset = self.element(k, whole, d);
            k.store(near, from, offset);
            let one = k.float(1.0);
            let one = k.vector(VectorOp::Copy(one));
            return k.store(near, from + vector, one);
        }
        let at = self.within(k, at.clone(), d);
        let floor = k.unary(FloatUn::Floor, at.clone());
        let far = k.sub(at, floor.clone());
        let first = if self.mode == SampleMode::Linear { 0.0 } else { -1.0 };
        for neighbour in 0..self.mode.reach() {
            let weight = self.weight(k, &far, neighbour);
            k.store(near, from + (2 * neighbour as i64 + 1) * vector, weight);
            let step = k.float(first + neighbour as f32);
            let place = k.add(floor.clone(), step);
            let offset = self.element(k, place, d);
            k.store(near, from + 2 * neighbour as i64 * vector, offset);
        }
    }

    /// Weight of a neighbour of a sample that lies `far` from the one before it: linear, or Keys' cubic convolution with
    /// a = -0.75, whose outer part is `a (x - 1) (x - 2)^2`.
    fn weight(&self, k: &mut Builder, far: &Operand, neighbour: usize) -> Operand {
        const A: f32 = -0.75;
        let one = k.float(1.0);
        let rest = k.sub(one.clone(), far.clone());
        let outer = |k: &mut Builder, near: &Operand, beyond: &Operand| {
            let square = k.mul(beyond.clone(), beyond.clone());
            let (product, a) = (k.mul(near.clone(), square), k.float(A));
            k.mul(product, a)
        };
        let inner = |k: &mut Builder, x: &Operand| {
            let (a, b) = (k.float(A + 2.0), k.float(A + 3.0));
            let slope = k.mul(a, x.clone());
            let slope = k.sub(slope, b);
            let square = k.mul(x.clone(), x.clone());
            let curve = k.mul(slope, square);
            k.add(curve, one.clone())
        };
        match (self.mode == SampleMode::Cubic, neighbour) {
            (false, 0) => rest,
            (false, _) => k.vector(VectorOp::Copy(far.clone())),
            (true, 0) => outer(k, far, &rest),
            (true, 1) => inner(k, far),
            (true, 2) => inner(k, &rest),
            (true, _) => outer(k, &rest, far),
        }
    }

    /// The offset of the element that whole coordinates mean.
    fn element(&self, k: &mut Builder, at: Operand, d: usize) -> Operand {
        let at = self.fold(k, at, d);
        let (below, extent) = (k.float(-1.0), k.float(self.extents[d] as f32));
        let (a, b) = (k.cmp(Cmp::Gt, at.clone(), below), k.cmp(Cmp::Lt, at.clone(), extent));
        let inside = k.mask(MaskOp::And(a, b));
        // Reflection may end half an element outside.
        let whole = k.unary(FloatUn::Trunc, at);
        let index = k.vector(VectorOp::ToInt(whole));
        let stride = k.int(self.strides[d] as i32);
        let offset = k.vector(VectorOp::Int(IntBin::Mul, index, stride));
        let outside = k.int(OUTSIDE);
        k.select(inside, offset, outside)
    }

    /// Coordinates that lie outside brought in, where there is something outside. A cubic sample beyond the border is still made of
    /// four taps there, of which those outside repeat the border.
    fn within(&self, k: &mut Builder, at: Operand, d: usize) -> Operand {
        let extent = self.extents[d] as f32;
        match (self.padding, self.mode) {
            (SamplePadding::Zeros, _) => at,
            (SamplePadding::Border, SampleMode::Cubic) => clamp(k, at, -3.0, extent + 2.0),
            (SamplePadding::Border, _) => {
                let (low, high) = self.bounds(d);
                let (low, high) = (k.float(low), k.float(high));
                let (a, b) = (k.cmp(Cmp::Lt, at.clone(), low), k.cmp(Cmp::Gt, at.clone(), high));
                let outside = k.mask(MaskOp::Or(a, b));
                let folded = self.fold(k, at.clone(), d);
                k.select(outside, folded, at)
            }
            (SamplePadding::Reflection, _) => self.fold(k, at, d),
        }
    }

    fn bounds(&self, d: usize) -> (f32, f32) {
        let extent = self.extents[d] as f32;
        if self.corners { (0.0, extent - 1.0) } else { (-0.5, extent - 0.5) }
    }

    fn fold(&self, k: &mut Builder, at: Operand, d: usize) -> Operand {
        match self.padding {
            SamplePadding::Zeros => at,
            SamplePadding::Border => clamp(k, at, 0.0, self.extents[d] as f32 - 1.0),
            SamplePadding::Reflection => reflect(k, &at, self.bounds(d)),
        }
    }
}

/// The sum of two offsets; outside when either is.
fn joined(k: &mut Builder, a: Operand, b: Operand) -> Operand {
    let either = k.vector(VectorOp::Int(IntBin::Or, a.clone(), b.clone()));
    let (zero, outside) = (k.int(0), k.int(OUTSIDE));
    let inside = k.mask(MaskOp::CmpInt(Cmp::Ge, either, zero));
    let sum = k.vector(VectorOp::Int(IntBin::Add, a, b));
    k.select(inside, sum, outside)
}

/// Between two bounds; what is no number stays so.
fn clamp(k: &mut Builder, at: Operand, low: f32, high: f32) -> Operand {
    let (low, high) = (k.float(low), k.float(high));
    let raised = k.max(low, at);
    k.min(high, raised)
}

/// Reflected about both bounds till it lies between them.
fn reflect(k: &mut Builder, at: &Operand, (low, high): (f32, f32)) -> Operand {
    let range = high - low;
    if range <= 0.0 {
        let only = k.float(low.max(0.0));
        let number = k.cmp(Cmp::Eq, at.clone(), at.clone());
        return k.select(number, only, at.clone());
    }
    let (lower, upper, span) = (k.float(low), k.float(high), k.float(range));
    let under = k.cmp(Cmp::Lt, at.clone(), lower.clone());
    let (a, b) = (k.sub(lower.clone(), at.clone()), k.sub(at.clone(), upper.clone()));
    let beyond = k.select(under, a, b);
    let times = k.div(beyond.clone(), span.clone());
    let times = k.unary(FloatUn::Floor, times);
    let whole = k.mul(times.clone(), span);
    let rest = k.sub(beyond.clone(), whole);
    // An even number of spans beyond one bound is a way back from that bound, an odd one from the other.
    let half = k.float(0.5);
    let halves = k.mul(times, half);
    let floor = k.unary(FloatUn::Floor, halves.clone());
    let even = k.cmp(Cmp::Eq, halves, floor);
    let (up, down) = (k.add(lower, rest.clone()), k.sub(upper, rest));
    let (from_low, from_high) = (k.select(even, up.clone(), down.clone()), k.select(even, down, up));
    let reflected = k.select(under, from_low, from_high);
    let zero = k.float(0.0);
    let between = k.cmp(Cmp::Le, beyond, zero);
    k.select(between, at.clone(), reflected)
}
