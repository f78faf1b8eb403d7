//! Iteration spaces: the loops that element-wise, copying and reducing kernels share.
//!
//! A [`Nest`] is a row-major space with one list of byte strides per operand. Collapsing drops extents of one and merges
//! dimensions that every operand walks without a gap, so most tensors become one long run. [`Share`] says which leading
//! dimensions are the items that workers divide; the rest are loops inside an item.

use crate::tile::{Builder, Index, Mem, Operand, PointerRef, ScalarId, Storage, VectorOp};

/// Extents, and bytes per index of each dimension for each operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nest {
    /// Extents.
    pub dims: Vec<usize>,
    /// `strides[operand][dimension]`, in bytes.
    pub strides: Vec<Vec<i64>>,
}

/// The innermost dimension of an item: how many elements.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// Known while the kernel is built.
    Known(usize),
    /// A scalar.
    Scalar(ScalarId),
}

/// How a nest is divided into items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Share {
    /// Leading dimensions that make items.
    pub outer: usize,
    /// Elements of the last dimension per item, when items cut it too.
    pub chunk: Option<usize>,
    /// Number of items.
    pub extent: u64,
}

impl Nest {
    /// A nest; every list of strides is as long as `dims`.
    pub fn new(dims: &[usize], strides: Vec<Vec<i64>>) -> Nest {
        Nest { dims: dims.to_vec(), strides }
    }
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.dims.iter().product()
    }
    /// Stride of the last dimension.
    pub fn inner(&self, operand: usize) -> i64 {
        self.strides[operand].last().copied().unwrap_or(0)
    }
    /// Number of elements of the last dimension.
    pub fn run(&self) -> usize {
        self.dims.last().copied().unwrap_or(1)
    }

    /// The same space in fewer dimensions: without extents of one, neighbours merged where no operand has a gap. The last
    /// `keep` dimensions stay as they are. At least one dimension is left.
    pub fn collapse(&self, keep: usize) -> Nest {
        let rank = self.dims.len();
        let mut out = Nest { dims: Vec::new(), strides: vec![Vec::new(); self.strides.len()] };
        for d in 0..rank {
            let kept = d + keep >= rank;
            if self.dims[d] == 1 && !kept {
                continue;
            }
            let extent = self.dims[d] as i64;
            let merges = !kept
                && !out.dims.is_empty()
                && out.strides.iter().zip(&self.strides).all(|(o, s)| o.last() == Some(&(s[d] * extent)));
            if merges {
                out.dims.last_mut().into_iter().for_each(|e| *e *= self.dims[d]);
                out.strides.iter_mut().zip(&self.strides).for_each(|(o, s)| {
                    o.pop();
                    o.push(s[d]);
                });
            } else {
                out.dims.push(self.dims[d]);
                out.strides.iter_mut().zip(&self.strides).for_each(|(o, s)| o.push(s[d]));
            }
        }
        if out.dims.is_empty() {
            out.dims.push(1);
            out.strides.iter_mut().for_each(|o| o.push(0));
        }
        out
    }

    /// Divides the nest into items of about `grain` elements. The last `keep` dimensions stay inside an item; with `keep`
    /// zero a long last dimension is cut as well. A leading dimension may be split in two for it.
    pub fn share(&mut self, grain: usize, keep: usize) -> Share {
        let rank = self.dims.len();
        if self.elements() == 0 {
            return Share { outer: 0, chunk: None, extent: 0 };
        }
        if keep == 0 && self.run() > 2 * grain {
            let rows: usize = self.dims[..rank - 1].iter().product();
            let extent = (rows * self.run().div_ceil(grain)) as u64;
            return Share { outer: rank - 1, chunk: Some(grain), extent };
        }
        let mut outer = rank - keep.max(1).min(rank);
        let mut inside: usize = self.dims[outer..].iter().product();
        while outer > 0 && inside * self.dims[outer - 1] <= grain {
            inside *= self.dims[outer - 1];
            outer -= 1;
        }
        if outer > 0 && inside * 2 <= grain {
            let extent = self.dims[outer - 1];
            let most = (grain / inside).min(extent);
            let part = (2..=most).rev().find(|p| extent.is_multiple_of(*p)).unwrap_or(1);
            if part > 1 {
                self.split(outer - 1, part);
            }
        }
        let extent = self.dims[..outer].iter().product::<usize>() as u64;
        Share { outer, chunk: None, extent }
    }

    /// Makes two dimensions of one, the inner one with `part` elements.
    fn split(&mut self, dim: usize, part: usize) {
        self.dims[dim] /= part;
        self.dims.insert(dim + 1, part);
        for strides in &mut self.strides {
            let stride = strides[dim];
            strides[dim] = stride * part as i64;
            strides.insert(dim + 1, stride);
        }
    }

    /// Writes the loop over this call's items and the loops inside an item, all but those of the last `keep` dimensions
    /// (at least one); `body` gets the byte offset of each operand and the length of the last dimension.
    pub fn walk(
        &self,
        k: &mut Builder,
        share: Share,
        keep: usize,
        body: &mut dyn FnMut(&mut Builder, &[ScalarId], Run),
    ) {
        let (begin, end) = (k.begin(), k.end());
        let inside = self.dims.len() - keep.max(1);
        k.for_(begin, end, 1, |k, item| {
            let mut rest = item;
            let mut run = Run::Known(self.run());
            let mut offsets: Vec<Option<ScalarId>> = vec![None; self.strides.len()];
            if let Some(chunk) = share.chunk {
                let count = self.run().div_ceil(chunk) as i64;
                let at = if share.outer == 0 { rest } else { k.rem_const(rest, count) };
                rest = k.div_const(rest, count);
                let first = k.mul_const(at, chunk as i64);
                self.advance(k, &mut offsets, self.dims.len() - 1, first);
                let total = k.num(self.run() as i64);
                let left = k.ssub(total, first);
                let chunk = k.num(chunk as i64);
                run = Run::Scalar(k.smin(left, chunk));
            }
            for d in (0..share.outer).rev() {
                let at = if d == 0 { rest } else { k.rem_const(rest, self.dims[d] as i64) };
                self.advance(k, &mut offsets, d, at);
                if d > 0 {
                    rest = k.div_const(rest, self.dims[d] as i64);
                }
            }
            let zero = k.num(0);
            let offsets: Vec<ScalarId> = offsets.into_iter().map(|o| o.unwrap_or(zero)).collect();
            self.loops(k, share.outer, inside, offsets, run, body);
        });
    }

    /// Writes loops over the whole nest, all dimensions but the last; `body` gets the byte offset of each operand.
    pub fn whole(&self, k: &mut Builder, body: &mut dyn FnMut(&mut Builder, &[ScalarId], Run)) {
        let zero = k.num(0);
        self.loops(k, 0, self.dims.len() - 1, vec![zero; self.strides.len()], Run::Known(self.run()), body);
    }

    fn loops(
        &self,
        k: &mut Builder,
        from: usize,
        to: usize,
        offsets: Vec<ScalarId>,
        run: Run,
        body: &mut dyn FnMut(&mut Builder, &[ScalarId], Run),
    ) {
        if from >= to {
            return body(k, &offsets, run);
        }
        k.for_count(self.dims[from] as i64, |k, at| {
            let mut next: Vec<Option<ScalarId>> = offsets.into_iter().map(Some).collect();
            if self.dims[from] > 1 {
                self.advance(k, &mut next, from, at);
            }
            let zero = next.iter().flatten().next().copied().unwrap_or(at);
            let next = next.into_iter().map(|o| o.unwrap_or(zero)).collect();
            self.loops(k, from + 1, to, next, run, body);
        });
    }

    /// Adds `at` indices of a dimension to the offset of each operand.
    fn advance(&self, k: &mut Builder, offsets: &mut [Option<ScalarId>], dim: usize, at: ScalarId) {
        let mut made: Vec<(i64, ScalarId)> = Vec::new();
        for (offset, strides) in offsets.iter_mut().zip(&self.strides) {
            let stride = strides[dim];
            if stride == 0 {
                continue;
            }
            let bytes = scaled(k, &mut made, at, stride);
            *offset = Some(offset.map_or(bytes, |o| k.sadd(o, bytes)));
        }
    }
}

fn scaled(k: &mut Builder, made: &mut Vec<(i64, ScalarId)>, at: ScalarId, stride: i64) -> ScalarId {
    if let Some((_, done)) = made.iter().find(|(s, _)| *s == stride) {
        return *done;
    }
    let bytes = if stride == 1 { at } else { k.mul_const(at, stride) };
    made.push((stride, bytes));
    bytes
}

/// A row of elements in memory.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// Address of the first.
    pub pointer: PointerRef,
    /// Bytes from one to the next.
    pub stride: i64,
    /// Format.
    pub storage: Storage,
}

impl Stream {
    /// Loads vector elements from `at` on (a compile-time number of elements).
    pub fn load(&self, k: &mut Builder, at: &Index, first: Option<ScalarId>) -> Operand {
        let mem = Mem { pointer: self.pointer, disp: at.clone() * self.stride };
        if self.stride == 0 {
            return k.vector(VectorOp::SplatLoad { mem, storage: self.storage });
        }
        if self.stride == i64::from(self.storage.bytes()) {
            return k.vector(VectorOp::Load { mem, first, storage: self.storage });
        }
        let index: Vec<i32> = (0..k.lanes() as i32).map(|i| i * (self.stride / 4) as i32).collect();
        let index = k.ints(&index);
        k.vector(VectorOp::Gather { mem, index, first })
    }
    /// Stores a vector as elements from `at` on.
    pub fn store(&self, k: &mut Builder, at: &Index, value: Operand, first: Option<ScalarId>) {
        k.store_as(self.pointer, at.clone() * self.stride, value, first, self.storage);
    }
    /// Whether [`Stream::load`] can read such a row.
    pub fn loads(stride: i64, storage: Storage) -> bool {
        let gathers = storage == Storage::B32 && stride % 4 == 0 && i32::try_from(stride / 4 * 16).is_ok();
        stride == 0 || stride == i64::from(storage.bytes()) || gathers
    }
}

/// What [`vectors`] repeats: rows moved to the current element, a compile-time element offset, and the number of lanes that
/// count when not all do.
pub type VectorBody<'a> = dyn FnMut(&mut Builder, &[Stream], &Index, Option<ScalarId>) + 'a;

/// Writes the loop over a run in vectors: `unroll` at a time, one at a time, then the rest.
pub fn vectors(k: &mut Builder, streams: &[Stream], run: Run, unroll: u32, body: &mut VectorBody<'_>) {
    let lanes = i64::from(k.lanes());
    match run {
        Run::Known(n) => {
            let n = n as i64;
            let wide = if n >= lanes * i64::from(unroll) { unroll } else { 1 };
            let step = lanes * i64::from(wide);
            let (most, full) = (n / step * step, n / lanes * lanes);
            let zero = k.num(0);
            let (most_end, full_end) = (k.num(most), k.num(full));
            if most > 0 {
                spans(k, streams, (zero, most_end), most / step, wide, body);
            }
            if full > most {
                spans(k, streams, (most_end, full_end), (full - most) / lanes, 1, body);
            }
            if n > full {
                let rest = k.num(n - full);
                let moved = moved(k, streams, full_end);
                body(k, &moved, &Index::Const(0), Some(rest));
            }
        }
        Run::Scalar(n) => {
            let zero = k.num(0);
            let step = lanes * i64::from(unroll);
            let groups = k.div_const(n, step);
            let most = k.mul_const(groups, step);
            spans(k, streams, (zero, most), 2, unroll, body);
            let whole = k.div_const(n, lanes);
            let full = k.mul_const(whole, lanes);
            if unroll > 1 {
                spans(k, streams, (most, full), 2, 1, body);
            }
            let rest = k.ssub(n, full);
            k.if_(
                crate::tile::Cmp::Gt,
                rest,
                zero,
                |k| {
                    let moved = moved(k, streams, full);
                    body(k, &moved, &Index::Const(0), Some(rest));
                },
                |_| {},
            );
        }
    }
}

/// A loop over `range` in groups of `unroll` vectors; `steps` of one needs no loop.
fn spans(
    k: &mut Builder,
    streams: &[Stream],
    range: (ScalarId, ScalarId),
    steps: i64,
    unroll: u32,
    body: &mut VectorBody<'_>,
) {
    let lanes = i64::from(k.lanes());
    let group = |k: &mut Builder, at: ScalarId, body: &mut VectorBody<'_>| {
        let moved = moved(k, streams, at);
        if unroll == 1 {
            body(k, &moved, &Index::Const(0), None);
        } else {
            k.unroll(unroll, |k, u| body(k, &moved, &(u * lanes), None));
        }
    };
    if steps == 1 {
        return group(k, range.0, body);
    }
    k.for_(range.0, range.1, lanes * i64::from(unroll), |k, at| group(k, at, body));
}

/// The rows from element `at` on.
fn moved(k: &mut Builder, streams: &[Stream], at: ScalarId) -> Vec<Stream> {
    let mut made = Vec::new();
    let mut pointers: Vec<Stream> = Vec::new();
    for stream in streams {
        let mut stream = *stream;
        if stream.stride != 0 {
            let bytes = scaled(k, &mut made, at, stream.stride);
            stream.pointer = k.pointer(stream.pointer, bytes);
        }
        pointers.push(stream);
    }
    pointers
}
