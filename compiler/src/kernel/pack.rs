//! Packing: the affine map from a constant to the form its kernel reads.
//!
//! A packed weight is a sequence of pieces, each a nest of loops. Every loop walks one dimension of the source with a
//! multiplier, so `oc = 32 * panel + o` is two loops over dimension 0. Elements outside the source are zero:
//!
//! ```text
//! [panel 2][ic block 4][kh 3][kw 3][ic 16][oc 32]    of a source [64, 64, 3, 3]
//!  dim 0    dim 1       2     3     1      0
//!  x32      x16         x1    x1    x1     x1
//! ```
//!
//! The same spec is evaluated at compile time for constants and is written as a kernel for weights that arrive at run time.

use crate::ir::{Source, Weight};

/// One loop of a packing nest, outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PackLoop {
    /// Number of steps.
    pub count: usize,
    /// Source dimension that it walks.
    pub dim: usize,
    /// Source indices per step.
    pub step: usize,
}

/// A nest of loops from a starting index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PackPiece {
    /// First source index per dimension.
    pub start: Vec<usize>,
    /// One past the last source index per dimension; beyond it elements are zero.
    pub end: Vec<usize>,
    /// Loops, outermost first.
    pub loops: Vec<PackLoop>,
}

impl PackPiece {
    /// Number of packed elements.
    pub fn len(&self) -> usize {
        self.loops.iter().map(|l| l.count).product()
    }
    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a weight is packed: f32 elements, pieces one after another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PackSpec {
    /// Shape of the source.
    pub source: Vec<usize>,
    /// Pieces in order.
    pub pieces: Vec<PackPiece>,
}

impl PackSpec {
    /// The source as it is, row-major.
    pub fn plain(source: &[usize]) -> PackSpec {
        let loops = source.iter().enumerate().map(|(dim, count)| PackLoop { count: *count, dim, step: 1 }).collect();
        let piece = PackPiece { start: vec![0; source.len()], end: source.to_vec(), loops };
        PackSpec { source: source.to_vec(), pieces: vec![piece] }
    }
    /// A vector of `count` elements filled up with zeros to a multiple of `lanes`.
    pub fn padded(count: usize, lanes: usize) -> PackSpec {
        let loops = vec![PackLoop { count: count.next_multiple_of(lanes), dim: 0, step: 1 }];
        PackSpec { source: vec![count], pieces: vec![PackPiece { start: vec![0], end: vec![count], loops }] }
    }
    /// Number of packed elements.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(PackPiece::len).sum()
    }
    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Evaluates packed elements `from..from + out.len()` of an f32 weight. Parts can be packed by different threads.
    /// The weight must be [`PackSpec::accepts`]ed.
    pub fn pack(&self, weight: &Weight, from: usize, out: &mut [f32]) {
        let reader = Reader::new(weight, &self.source);
        let mut begin = 0;
        for piece in &self.pieces {
            let (lo, hi) = (from.max(begin), (from + out.len()).min(begin + piece.len()));
            if lo < hi {
                pack_piece(&reader, piece, lo - begin, &mut out[lo - from..hi - from]);
            }
            begin += piece.len();
        }
    }

    /// Whether a weight can be packed as the expression it is; others are evaluated first.
    pub fn accepts(weight: &Weight) -> bool {
        weight.perm.is_empty() || weight.reshape.is_none()
    }
}

/// Reads elements of a weight expression.
struct Reader<'a> {
    bytes: &'a [u8],
    splat: f32,
    /// Source elements per step of each dimension.
    strides: Vec<usize>,
    /// Combined factors per index of a dimension.
    scales: Vec<(usize, Vec<f64>)>,
}

impl<'a> Reader<'a> {
    fn new(weight: &'a Weight, shape: &[usize]) -> Reader<'a> {
        let (bytes, splat): (&[u8], f32) = match &weight.source {
            Source::Bytes(bytes) => (bytes, 0.0),
            Source::Splat(e) => (&[], f32::from_le_bytes([e[0], e[1], e[2], e[3]])),
        };
        let mut scales: Vec<(usize, Vec<f64>)> = Vec::new();
        for s in &weight.scales {
            match scales.iter_mut().find(|(axis, _)| *axis == s.axis) {
                Some((_, factors)) => factors.iter_mut().zip(&s.scale).for_each(|(f, x)| *f *= x),
                None => scales.push((s.axis, s.scale.clone())),
            }
        }
        Reader { bytes, splat, strides: result_strides(weight, shape), scales }
    }
    fn at(&self, offset: usize) -> f32 {
        match self.bytes.get(4 * offset..4 * offset + 4) {
            Some(b) => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            None => self.splat,
        }
    }
    /// Product of the factors at an index.
    fn factor(&self, index: &[usize]) -> f64 {
        self.scales.iter().map(|(axis, factors)| factors[index[*axis]]).product()
    }
}

fn scaled(value: f32, factor: f64) -> f32 {
    (f64::from(value) * factor) as f32
}

/// Source strides in elements per dimension of the weight's result.
fn result_strides(weight: &Weight, shape: &[usize]) -> Vec<usize> {
    let dense = |shape: &[usize]| {
        let mut strides = vec![1; shape.len()];
        for i in (0..shape.len().saturating_sub(1)).rev() {
            strides[i] = strides[i + 1] * shape[i + 1];
        }
        strides
    };
    if weight.perm.is_empty() {
        return dense(shape);
    }
    let source = dense(&weight.source_shape);
    weight.perm.iter().map(|p| source[*p]).collect()
}

/// The two innermost loops of a piece, and how many there are outside them.
fn inner_loops(piece: &PackPiece) -> (usize, PackLoop, PackLoop) {
    let unit = PackLoop { count: 1, dim: 0, step: 0 };
    match piece.loops[..] {
        [] => (0, unit, unit),
        [b] => (0, unit, b),
        [.., a, b] => (piece.loops.len() - 2, a, b),
    }
}

/// Packed elements `from..from + out.len()` of one piece, block by block of its two innermost loops.
fn pack_piece(reader: &Reader, piece: &PackPiece, from: usize, out: &mut [f32]) {
    let (outer, a, b) = inner_loops(piece);
    let inner = a.count * b.count;
    let (mut at, end) = (from, from + out.len());
    while at < end {
        let block = at / inner;
        let mut index = piece.start.clone();
        let mut rest = block;
        for l in piece.loops[..outer].iter().rev() {
            index[l.dim] += rest % l.count * l.step;
            rest /= l.count;
        }
        let lo = at - block * inner;
        let hi = (end - block * inner).min(inner);
        pack_block(reader, piece, &mut index, (a, b), lo, &mut out[at - from..at - from + hi - lo]);
        at += hi - lo;
    }
}

/// Elements `lo..lo + out.len()` of the block that the loops `a` and `b` make from `index` on.
fn pack_block(
    r: &Reader,
    piece: &PackPiece,
    index: &mut [usize],
    (a, b): (PackLoop, PackLoop),
    lo: usize,
    out: &mut [f32],
) {
    if index.is_empty() {
        return out.fill(r.at(0));
    }
    if lo == 0 && out.len() == a.count * b.count && pack_whole(r, piece, index, (a, b), out) {
        return;
    }
    let base: usize = index.iter().zip(&r.strides).map(|(i, s)| i * s).sum();
    let (step_a, step_b) = (a.step * r.strides[a.dim], b.step * r.strides[b.dim]);
    let start = index.to_vec();
    let inside = |i: &[usize]| i.iter().zip(&piece.end).all(|(i, end)| i < end);
    let (mut i, mut j) = (lo / b.count, lo % b.count);
    for to in out {
        index.copy_from_slice(&start);
        index[a.dim] += i * a.step;
        index[b.dim] += j * b.step;
        *to = match inside(index) {
            true if r.scales.is_empty() => r.at(base + i * step_a + j * step_b),
            true => scaled(r.at(base + i * step_a + j * step_b), r.factor(index)),
            false => 0.0,
        };
        j += 1;
        if j == b.count {
            (i, j) = (i + 1, 0);
        }
    }
}

/// The same for a whole block that lies inside the source and whose factors depend on `b` alone; false when it is another.
fn pack_whole(
    r: &Reader,
    piece: &PackPiece,
    index: &mut [usize],
    (a, b): (PackLoop, PackLoop),
    out: &mut [f32],
) -> bool {
    let reach = |d: usize| {
        let along = |l: PackLoop| if l.dim == d { (l.count - 1) * l.step } else { 0 };
        index[d] + along(a) + along(b)
    };
    let inside = (0..index.len()).all(|d| reach(d) < piece.end[d]);
    let plain = r.scales.iter().all(|(axis, _)| *axis != a.dim || a.count == 1);
    if !inside || !plain || a.dim == b.dim || r.bytes.is_empty() {
        return false;
    }
    let base: usize = index.iter().zip(&r.strides).map(|(i, s)| i * s).sum();
    let (step_a, step_b) = (4 * a.step * r.strides[a.dim], 4 * b.step * r.strides[b.dim]);
    let last = 4 * base + (a.count - 1) * step_a + (b.count - 1) * step_b;
    let Some(bytes) = r.bytes.get(4 * base..last + 4) else { return false };
    let read = |at: usize| bytemuck::pod_read_unaligned::<f32>(&bytes[at..at + 4]);
    let first = index[b.dim];
    let factors: Vec<f64> = match r.scales.is_empty() {
        true => Vec::new(),
        false => (0..b.count)
            .map(|j| {
                index[b.dim] = first + j * b.step;
                r.factor(index)
            })
            .collect(),
    };
    for (i, row) in out.chunks_exact_mut(b.count).enumerate() {
        let start = i * step_a;
        if factors.is_empty() {
            row.iter_mut().enumerate().for_each(|(j, to)| *to = read(start + j * step_b));
        } else {
            let pairs = row.iter_mut().zip(&factors).enumerate();
            pairs.for_each(|(j, (to, factor))| *to = scaled(read(start + j * step_b), *factor));
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn weight(shape: &[usize]) -> Weight {
        let n: usize = shape.iter().product();
        let bytes: Vec<u8> = (0..n).flat_map(|i| (i as f32).to_le_bytes()).collect();
        Weight::from_bytes(brolga_runtime::DType::F32, shape.to_vec(), Bytes::from(bytes))
    }

    #[test]
    fn blocks_are_filled_up_with_zeros() {
        let l = |count, dim, step| PackLoop { count, dim, step };
        let loops = vec![l(3, 1, 2), l(2, 1, 1), l(4, 0, 1)];
        let piece = PackPiece { start: vec![0, 0], end: vec![3, 5], loops };
        let spec = PackSpec { source: vec![3, 5], pieces: vec![piece] };
        let mut all = vec![-1.0; spec.len()];
        spec.pack(&weight(&[3, 5]), 0, &mut all);
        let mut want: Vec<f32> = Vec::new();
        for i in 0..5 {
            want.extend([i as f32, (5 + i) as f32, (10 + i) as f32, 0.0]);
        }
        want.extend([0.0; 4]);
        assert_eq!(all, want);
        for cut in 0..all.len() {
            let mut parts = vec![-1.0; spec.len()];
            let (lo, hi) = parts.split_at_mut(cut);
            spec.pack(&weight(&[3, 5]), 0, lo);
            spec.pack(&weight(&[3, 5]), cut, hi);
            assert_eq!(parts, want);
        }
    }
}
