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

mod winograd;

use crate::ir::{Source, Weight};
use brolga_runtime::wide::{Loop, wide};

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

/// What a piece's indices stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Elements {
    /// Elements of the source.
    #[default]
    Own,
    /// Of filters `[o, i, 3, 3]` the elements of `[o, i, 4, 4]`: what they are in Winograd's minimal filtering F(2x2, 3x3), summed in
    /// f64. Constants only.
    Winograd,
}

/// How a weight is packed: f32 elements, pieces one after another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PackSpec {
    /// Shape of the source.
    pub source: Vec<usize>,
    /// What is packed.
    pub elements: Elements,
    /// Pieces in order.
    pub pieces: Vec<PackPiece>,
}

impl PackSpec {
    /// Pieces of a source's own elements.
    pub fn new(source: Vec<usize>, pieces: Vec<PackPiece>) -> PackSpec {
        PackSpec { source, elements: Elements::Own, pieces }
    }
    /// The source as it is, row-major.
    pub fn plain(source: &[usize]) -> PackSpec {
        let loops = source.iter().enumerate().map(|(dim, count)| PackLoop { count: *count, dim, step: 1 }).collect();
        let piece = PackPiece { start: vec![0; source.len()], end: source.to_vec(), loops };
        PackSpec::new(source.to_vec(), vec![piece])
    }
    /// A vector of `count` elements filled up with zeros to a multiple of `lanes`.
    pub fn padded(count: usize, lanes: usize) -> PackSpec {
        let loops = vec![PackLoop { count: count.next_multiple_of(lanes), dim: 0, step: 1 }];
        PackSpec::new(vec![count], vec![PackPiece { start: vec![0], end: vec![count], loops }])
    }
    /// Number of packed elements.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(PackPiece::len).sum()
    }
    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Packed elements that are best made together, in parts that begin at multiples of them.
    pub fn unit(&self) -> usize {
        match (self.elements, &self.pieces[..]) {
            (Elements::Winograd, [piece]) => winograd::unit(piece),
            _ => 1,
        }
    }

    /// Evaluates packed elements `from..from + out.len()` of an f32 weight. Parts can be packed by different threads.
    /// The weight must be [`PackSpec::accepts`]ed.
    pub fn pack(&self, weight: &Weight, from: usize, out: &mut [f32]) {
        let reader = Reader::new(weight, &self.source);
        let mut scratch = Scratch::default();
        let mut begin = 0;
        for piece in &self.pieces {
            let (lo, hi) = (from.max(begin), (from + out.len()).min(begin + piece.len()));
            if lo < hi {
                let out = &mut out[lo - from..hi - from];
                match self.elements {
                    Elements::Own => pack_piece(&reader, piece, lo - begin, &mut scratch, out),
                    Elements::Winograd => winograd::pack_piece(&reader, piece, lo - begin, out),
                }
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

#[inline(always)]
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

/// Packed elements of a block: its lines and those of the source that it comes from stay in the nearest cache.
const BLOCK: usize = 8192;

/// How a piece is cut into blocks: `chunk` iterations of one loop, and everything inside it.
struct Blocks {
    /// The loop that is cut; those before it are outside of blocks.
    cut: usize,
    /// Its iterations in a block; fewer in the last.
    chunk: usize,
    /// Elements of one of its iterations.
    inner: usize,
}

impl Blocks {
    fn of(loops: &[PackLoop]) -> Blocks {
        let (mut cut, mut inner) = (loops.len().saturating_sub(1), 1);
        while cut > 0 && inner * loops[cut].count <= BLOCK {
            inner *= loops[cut].count;
            cut -= 1;
        }
        Blocks { cut, chunk: (BLOCK / inner).max(1), inner }
    }
}

/// Packed elements `from..from + out.len()` of one piece, block by block.
fn pack_piece(reader: &Reader, piece: &PackPiece, from: usize, scratch: &mut Scratch, out: &mut [f32]) {
    let blocks = Blocks::of(&piece.loops);
    let Some(cut) = piece.loops.get(blocks.cut) else { return out.fill(reader.at(0)) };
    let (span, size) = (cut.count * blocks.inner, blocks.chunk * blocks.inner);
    let (mut at, end) = (from, from + out.len());
    while at < end {
        let (mut rest, chunk) = (at / span, at % span / size);
        let begin = rest * span + chunk * size;
        let count = blocks.chunk.min(cut.count - chunk * blocks.chunk);
        let mut start = piece.start.clone();
        start[cut.dim] += chunk * blocks.chunk * cut.step;
        for l in piece.loops[..blocks.cut].iter().rev() {
            start[l.dim] += rest % l.count * l.step;
            rest /= l.count;
        }
        let mut loops = piece.loops[blocks.cut..].to_vec();
        loops[0].count = count;
        let block = PackPiece { start, end: piece.end.clone(), loops };
        let (lo, hi) = (at - begin, (end - begin).min(count * blocks.inner));
        let part = &mut out[at - from..at - from + hi - lo];
        at += hi - lo;
        if part.len() == count * blocks.inner {
            pack_block(reader, &block, scratch, part);
        } else {
            let mut whole = vec![0.0; count * blocks.inner];
            pack_block(reader, &block, scratch, &mut whole);
            part.copy_from_slice(&whole[lo..hi]);
        }
    }
}

/// A block, in the order of the source where that can be.
fn pack_block(r: &Reader, block: &PackPiece, scratch: &mut Scratch, out: &mut [f32]) {
    if block.start.iter().zip(&block.end).any(|(start, end)| start >= end) {
        return out.fill(0.0);
    }
    if pack_rows(r, block, scratch, out).is_some() {
        return;
    }
    if let Some(parts) = parts(block) {
        let mut rest = out;
        for part in parts {
            let (of_part, more) = rest.split_at_mut(part.len());
            pack_block(r, &part, scratch, of_part);
            rest = more;
        }
        return;
    }
    for (i, to) in out.iter_mut().enumerate() {
        let (mut index, mut rest) = (block.start.clone(), i);
        for l in block.loops.iter().rev() {
            index[l.dim] += rest % l.count * l.step;
            rest /= l.count;
        }
        let inside = index.iter().zip(&block.end).all(|(i, end)| i < end);
        let offset = index.iter().zip(&r.strides).map(|(i, s)| i * s).sum();
        *to = match inside {
            true if r.scales.is_empty() => r.at(offset),
            true => scaled(r.at(offset), r.factor(&index)),
            false => 0.0,
        };
    }
}

/// A block whose outermost loop shares its dimension with another: the iterations that stay inside of the source where others leave
/// it, and every other by itself.
fn parts(block: &PackPiece) -> Option<Vec<PackPiece>> {
    let at = block.loops.iter().position(|l| l.count != 1)?;
    let (outer, inner) = block.loops[at..].split_first()?;
    let reach: usize = inner.iter().filter(|l| l.dim == outer.dim).map(|l| l.count.saturating_sub(1) * l.step).sum();
    if reach == 0 || outer.count == 0 {
        return None;
    }
    let room = block.end[outer.dim].saturating_sub(block.start[outer.dim] + reach);
    let whole = Some(room.div_ceil(outer.step.max(1))).filter(|n| *n < outer.count).unwrap_or(0);
    let part = |from: usize, count: usize| {
        let mut start = block.start.clone();
        start[outer.dim] += from * outer.step;
        let loops = std::iter::once(PackLoop { count, ..*outer }).chain(inner.iter().copied()).collect();
        PackPiece { start, end: block.end.clone(), loops }
    };
    let first = (whole > 0).then(|| part(0, whole));
    Some(first.into_iter().chain((whole..outer.count).map(|i| part(i, 1))).collect())
}

/// A loop of a block with its distances in the source and in the block, in elements.
#[derive(Clone, Copy, PartialEq)]
struct Walk {
    count: usize,
    dim: usize,
    step: usize,
    source: usize,
    packed: usize,
}

/// The loops of a block without what lies outside of the source and those of one step, those with the largest distance in the source
/// first. `None` where loops that share a dimension leave the source.
fn walks(r: &Reader, block: &PackPiece) -> Option<Vec<Walk>> {
    let mut packed = 1;
    let mut found = Vec::new();
    for l in block.loops.iter().rev().filter(|l| l.count != 1) {
        let room = block.end[l.dim].checked_sub(block.start[l.dim])?.div_ceil(l.step.max(1));
        let alone = block.loops.iter().filter(|other| other.dim == l.dim && other.count > 1).count() <= 1;
        let count = if alone { l.count.min(room) } else { l.count };
        found.push(Walk { count, dim: l.dim, step: l.step, source: l.step * r.strides[l.dim], packed });
        packed *= l.count;
    }
    let reach =
        |d: usize| -> usize { found.iter().filter(|w| w.dim == d).map(|w| (w.count.max(1) - 1) * w.step).sum() };
    let inside = (0..block.start.len()).all(|d| block.start[d] + reach(d) < block.end[d]);
    found.sort_by_key(|w| std::cmp::Reverse(w.source));
    inside.then_some(found)
}

/// What blocks share.
#[derive(Default)]
struct Scratch {
    /// Inner loops of the last block, and their places.
    last: Vec<Walk>,
    places: Places,
    /// Rows as they were read.
    read: Vec<f32>,
}

/// Elements from a row to the next in [`Scratch::read`]: an odd number of cache lines, so that a column of it lies in unlike sets of
/// the cache.
fn pitch(run: usize) -> usize {
    if run < 16 { run } else { (run.div_ceil(16) | 1) * 16 }
}

/// A block in the order of the source: its loop with the largest distance there is outermost. `None`, and nothing done, where bounds or
/// factors need a look at every element.
fn pack_rows(r: &Reader, block: &PackPiece, scratch: &mut Scratch, out: &mut [f32]) -> Option<()> {
    let walks = walks(r, block)?;
    let (rows, inner) = walks.split_first()?;
    let of_row = r.scales.iter().all(|(axis, _)| *axis == rows.dim && inner.iter().all(|w| w.dim != *axis));
    if !of_row && r.scales.iter().any(|(axis, _)| *axis == rows.dim) {
        return None;
    }
    let base: usize = block.start.iter().zip(&r.strides).map(|(i, s)| i * s).sum();
    let last: usize = base + walks.iter().map(|w| (w.count.max(1) - 1) * w.source).sum::<usize>();
    let bytes = if r.bytes.is_empty() { r.bytes } else { r.bytes.get(4 * base..4 * last + 4)? };
    if walks.iter().map(|w| w.count).product::<usize>() < out.len() {
        out.fill(0.0);
    }
    let fits = scratch.last == inner && scratch.places.factors.is_empty() && !scratch.places.sources.is_empty();
    if !of_row || !fits {
        scratch.places = Places::of(r, block, inner, !of_row);
        scratch.last = inner.to_vec();
    }
    let pitch = pitch(scratch.places.sources.len());
    scratch.read.resize(rows.count * pitch, 0.0);
    let factor = |i: usize| {
        let mut index = block.start.clone();
        index[rows.dim] += i * rows.step;
        r.factor(&index)
    };
    let factors = if r.scales.is_empty() || !of_row { Vec::new() } else { (0..rows.count).map(factor).collect() };
    let (places, read) = (&scratch.places, &mut scratch.read[..]);
    wide(Rows { rows: *rows, factors, places, bytes, splat: r.splat, read, pitch, out });
    Some(())
}

/// The rows of a block: read, multiplied, written.
struct Rows<'a> {
    rows: Walk,
    /// A factor each, where that is one.
    factors: Vec<f64>,
    places: &'a Places,
    bytes: &'a [u8],
    splat: f32,
    read: &'a mut [f32],
    pitch: usize,
    out: &'a mut [f32],
}

impl Loop for Rows<'_> {
    /// All rows are read before the first is written: they lie far apart, and the processor waits for many at a time.
    #[inline(always)]
    fn run(self) {
        let (run, pitch) = (self.places.sources.len(), self.pitch.max(1));
        for (i, row) in self.read.chunks_exact_mut(pitch).enumerate() {
            let row = &mut row[..run];
            match self.bytes.get(4 * i * self.rows.source..) {
                Some(bytes) if !bytes.is_empty() => self.places.read(bytes, row),
                _ => row.fill(self.splat),
            }
            if let Some(factor) = self.factors.get(i) {
                row.iter_mut().for_each(|x| *x = scaled(*x, *factor));
            }
            row.iter_mut().zip(&self.places.factors).for_each(|(x, factor)| *x = scaled(*x, *factor));
        }
        if self.rows.packed == 1 {
            return self.places.write_columns(self.read, self.rows.count, pitch, self.out);
        }
        for (i, row) in self.read.chunks_exact(pitch).enumerate() {
            self.places.write(&row[..run], &mut self.out[i * self.rows.packed..]);
        }
    }
}

/// Where each element of a row comes from and goes to.
#[derive(Default)]
struct Places {
    sources: Vec<usize>,
    targets: Vec<usize>,
    /// Whether either is dense.
    dense: (bool, bool),
    /// A factor each, where they differ within a row.
    factors: Vec<f64>,
}

impl Places {
    fn of(r: &Reader, block: &PackPiece, inner: &[Walk], with_factors: bool) -> Places {
        let along = |distance: fn(&Walk) -> usize| {
            inner.iter().fold(vec![0], |places: Vec<usize>, w| {
                places.iter().flat_map(|at| (0..w.count).map(move |i| at + i * distance(w))).collect()
            })
        };
        let (sources, targets) = (along(|w| w.source), along(|w| w.packed));
        let factor = |place: usize| {
            let (mut rest, mut index) = (place, block.start.clone());
            for w in inner.iter().rev() {
                index[w.dim] += rest % w.count * w.step;
                rest /= w.count;
            }
            r.factor(&index)
        };
        let factors = if with_factors { (0..sources.len()).map(factor).collect() } else { Vec::new() };
        let dense = |places: &[usize]| places.iter().enumerate().all(|(i, at)| i == *at);
        Places { dense: (dense(&sources), dense(&targets)), sources, targets, factors }
    }

    #[inline(always)]
    fn read(&self, bytes: &[u8], row: &mut [f32]) {
        if self.dense.0 {
            let words = bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned);
            row.iter_mut().zip(words).for_each(|(x, word)| *x = word);
        } else {
            let word = |at: usize| bytemuck::pod_read_unaligned(&bytes[4 * at..4 * at + 4]);
            row.iter_mut().zip(&self.sources).for_each(|(x, at)| *x = word(*at));
        }
    }

    #[inline(always)]
    fn write(&self, row: &[f32], out: &mut [f32]) {
        if self.dense.1 {
            out[..row.len()].copy_from_slice(row);
        } else {
            row.iter().zip(&self.targets).for_each(|(x, at)| out[*at] = *x);
        }
    }

    /// Rows whose elements lie beside each other in the block, a column at a time: whole cache lines are written.
    #[inline(always)]
    fn write_columns(&self, rows: &[f32], count: usize, pitch: usize, out: &mut [f32]) {
        for (i, at) in self.targets.iter().enumerate() {
            let mut from = i;
            for to in &mut out[*at..*at + count] {
                *to = rows[from];
                from += pitch;
            }
        }
    }
}

#[cfg(test)]
mod tests;
