//! Strided copies: every movement of elements is a nest with the strides of the result and of the source.
//!
//! The inner loop is a run of vectors when both sides are contiguous, an L x L transpose in registers when the source is
//! contiguous along another dimension than the result, a gather when it is nowhere, and single elements otherwise.

use super::nest::{Nest, Run, Stream, vectors};
use super::{KernelCall, NoKernel, Operand};
use crate::tile::{self, Access, Builder, Index, Kernel, Lane, PointerRef, ScalarId, Storage, VectorOp};

/// Elements per item.
const GRAIN: usize = 4096;

/// A copy, or a fill when there is no source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Loops; strides of the result, then of the source if there is one.
    pub nest: Nest,
    /// Format on both sides.
    pub storage: Storage,
    /// What to fill with, as the lane that is stored.
    pub fill: u32,
    /// Bytes from the source's base to its first element: strides may be negative, addresses below a base are not.
    pub skip: i64,
    /// The last dimension of the result is filled up with zeros to a whole vector.
    pub pad_lanes: bool,
}

/// A rectangle of a transposed copy that one pair of loops walks.
struct Tiles {
    /// Extent of the dimension along which the source is contiguous, and of the result's.
    extents: [usize; 2],
    /// Bytes of the result per index of the first; of the source per index of the second.
    strides: [i64; 2],
    /// Whether whole vectors are stored though the second extent is shorter.
    pad_lanes: bool,
}

impl Spec {
    /// A copy of 4-byte, 2-byte or 1-byte elements; 8-byte ones become pairs.
    pub fn copy(dims: &[usize], to: &[i64], from: &[i64], element_bytes: usize) -> Result<Spec, NoKernel> {
        let mut nest = Nest::new(dims, vec![to.to_vec(), from.to_vec()]);
        let storage = match element_bytes {
            1 => Storage::U8,
            2 => Storage::U16,
            4 => Storage::B32,
            8 => {
                nest.dims.push(2);
                nest.strides.iter_mut().for_each(|s| s.push(4));
                Storage::B32
            }
            other => return Err(NoKernel(format!("elements of {other} bytes"))),
        };
        Ok(Spec { nest, storage, fill: 0, skip: 0, pad_lanes: false })
    }
    /// A fill with an element given by its little-endian bytes.
    pub fn fill(dims: &[usize], to: &[i64], element: &[u8]) -> Result<Spec, NoKernel> {
        let mut spec = Spec::copy(dims, to, &vec![0; dims.len()], element.len().min(4))?;
        spec.nest.strides.pop();
        if element.len() == 8 {
            if element[..4] != element[4..] {
                return Err(NoKernel("a fill with two different words".into()));
            }
            spec.nest.dims.push(2);
            spec.nest.strides[0].push(4);
        }
        spec.fill = element.iter().take(4).rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        Ok(spec)
    }

    /// The call on a result and a source.
    pub fn call(&self, target: tile::Target, to: Operand, from: Option<Operand>) -> KernelCall {
        let (kernel, extent) = self.build(target);
        KernelCall {
            kernel,
            operands: std::iter::once(to).chain(from).collect(),
            args: vec![],
            extent,
            barrier_before: false,
        }
    }

    /// The program and its number of items.
    pub fn build(&self, target: tile::Target) -> (Kernel, u64) {
        let bytes = i64::from(self.storage.bytes());
        let mut nest = if self.pad_lanes { self.nest.collapse(1) } else { self.nest.collapse(0) };
        nest.contiguous_last(bytes);
        let dims: Vec<String> = nest.dims.iter().map(usize::to_string).collect();
        let what = if nest.strides.len() == 1 { "fill" } else { "copy" };
        let mut k = Builder::new(format!("{what}-b{}-{}", 8 * bytes, dims.join("x")), target);
        let y = k.base("y", Access::Write);
        let x = if nest.strides.len() == 2 { Some(k.base("x", Access::Read)) } else { None };
        let x = x.map(|x| self.skipped(&mut k, x));
        let extent = match (x, self.transposed(&nest)) {
            (Some(x), Some(dim)) => self.transposing(&mut k, nest, dim, y, x),
            _ => self.running(&mut k, nest, y, x),
        };
        (k.finish(), extent)
    }

    fn skipped(&self, k: &mut Builder, x: PointerRef) -> PointerRef {
        if self.skip == 0 {
            return x;
        }
        let skip = k.num(self.skip);
        k.pointer(x, skip)
    }

    /// The dimension along which the source is contiguous when the result's last one is not it.
    fn transposed(&self, nest: &Nest) -> Option<usize> {
        let last = nest.dims.len() - 1;
        if self.storage != Storage::B32 || nest.strides.len() != 2 || nest.inner(0) != 4 {
            return None;
        }
        if !self.pad_lanes && (nest.inner(1) == 4 || nest.inner(1) == 0) {
            return None;
        }
        let dim = (0..last).rev().find(|d| nest.strides[1][*d] == 4 && nest.dims[*d] > 1);
        dim.or(if self.pad_lanes { Some(last) } else { None })
    }

    fn running(&self, k: &mut Builder, mut nest: Nest, y: PointerRef, x: Option<PointerRef>) -> u64 {
        let share = nest.share(GRAIN, 0);
        let bytes = i64::from(self.storage.bytes());
        let vector = nest.inner(0) == bytes && x.is_none_or(|_| Stream::loads(nest.inner(1), self.storage));
        nest.walk(k, share, 0, &mut |k, offsets, run| {
            let bases = std::iter::once(y).chain(x);
            let streams: Vec<Stream> = bases
                .enumerate()
                .map(|(i, base)| {
                    let pointer = k.pointer(base, offsets[i]);
                    Stream { pointer, stride: nest.inner(i), storage: self.storage }
                })
                .collect();
            if vector {
                return vectors(k, &streams, run, 4, &mut |k, s, at, first| {
                    let value = self.value(k, s.get(1), at, first);
                    s[0].store(k, at, value, first);
                });
            }
            self.elements(k, &streams, run);
        });
        share.extent
    }

    /// One element at a time.
    fn elements(&self, k: &mut Builder, streams: &[Stream], run: Run) {
        let one = k.num(1);
        let body = |k: &mut Builder, at: ScalarId| {
            let moved: Vec<Stream> = streams
                .iter()
                .map(|s| {
                    let offset = k.mul_const(at, s.stride);
                    Stream { pointer: k.pointer(s.pointer, offset), stride: 0, ..*s }
                })
                .collect();
            let here = Index::Const(0);
            let value = self.value(k, moved.get(1), &here, None);
            moved[0].store(k, &here, value, Some(one));
        };
        match run {
            Run::Known(n) => k.for_count(n as i64, body),
            Run::Scalar(n) => {
                let zero = k.num(0);
                k.for_(zero, n, 1, |k, at| body(k, at));
            }
        }
    }

    fn value(&self, k: &mut Builder, from: Option<&Stream>, at: &Index, first: Option<ScalarId>) -> tile::Operand {
        match from {
            Some(stream) => stream.load(k, at, first),
            None => k.int(self.fill as i32),
        }
    }

    /// Tiles of L x L: rows along `dim` are loaded, transposed, and stored along the last dimension.
    fn transposing(&self, k: &mut Builder, mut nest: Nest, dim: usize, y: PointerRef, x: PointerRef) -> u64 {
        let last = nest.dims.len() - 1;
        let lanes = k.lanes() as usize;
        let tiles = Tiles {
            extents: [if dim == last { 1 } else { nest.dims[dim] }, nest.dims[last]],
            strides: [if dim == last { 0 } else { nest.strides[0][dim] }, nest.strides[1][last]],
            pad_lanes: self.pad_lanes,
        };
        // The rectangle's dimensions become one of row tiles; a third operand of stride one tells which.
        nest.dims.pop();
        nest.strides.iter_mut().for_each(|s| s.truncate(last));
        if dim != last {
            nest.dims.remove(dim);
            for strides in &mut nest.strides {
                strides.remove(dim);
            }
        }
        let count = tiles.extents[0].div_ceil(lanes);
        nest.dims.push(count);
        nest.strides.iter_mut().for_each(|s| s.push(0));
        let mut which = vec![0; nest.dims.len()];
        which[nest.dims.len() - 1] = 1;
        nest.strides.push(which);
        let share = nest.share((GRAIN / (tiles.extents[1].max(1) * lanes)).max(1), 0);
        nest.walk(k, share, 0, &mut |k, offsets, run| {
            let (y, x) = (k.pointer(y, offsets[0]), k.pointer(x, offsets[1]));
            let each = |k: &mut Builder, at: ScalarId| {
                let at = k.sadd(at, offsets[2]);
                tiles.strip(k, at, y, x);
            };
            match run {
                Run::Known(n) => k.for_count(n as i64, each),
                Run::Scalar(n) => {
                    let zero = k.num(0);
                    k.for_(zero, n, 1, each);
                }
            }
        });
        share.extent
    }
}

impl Tiles {
    /// First index of tile `at`; the last tile overlaps the one before it rather than reaching outside.
    fn start(k: &mut Builder, at: ScalarId, extent: usize) -> ScalarId {
        let lanes = i64::from(k.lanes());
        if extent as i64 <= lanes {
            return k.num(0);
        }
        let start = k.mul_const(at, lanes);
        if extent as i64 % lanes == 0 {
            return start;
        }
        let most = k.num(extent as i64 - lanes);
        k.smin(start, most)
    }

    /// All tiles of one strip of L indices of the first dimension.
    fn strip(&self, k: &mut Builder, at: ScalarId, y: PointerRef, x: PointerRef) {
        let row = Tiles::start(k, at, self.extents[0]);
        let to = k.mul_const(row, self.strides[0]);
        let from = k.mul_const(row, 4);
        let (y, x) = (k.pointer(y, to), k.pointer(x, from));
        let count = self.extents[1].div_ceil(k.lanes() as usize);
        k.for_count(count as i64, |k, at| {
            let column = Tiles::start(k, at, self.extents[1]);
            let to = k.mul_const(column, 4);
            let from = k.mul_const(column, self.strides[1]);
            let (y, x) = (k.pointer(y, to), k.pointer(x, from));
            self.tile(k, y, x);
        });
    }

    fn tile(&self, k: &mut Builder, y: PointerRef, x: PointerRef) {
        let lanes = k.lanes();
        let [rows, columns] = self.extents.map(|e| (e as u32).min(lanes));
        let reg = k.reg(Lane::F32, &[lanes]);
        let first = if rows < lanes { Some(k.num(rows.into())) } else { None };
        let stream = Stream { pointer: x, stride: 4, storage: Storage::B32 };
        let step = self.strides[1];
        k.unroll(columns, |k, u| {
            let mem = tile::Mem { pointer: stream.pointer, disp: u * step };
            k.set(reg, &[u.into()], VectorOp::Load { mem, first, storage: Storage::B32 });
        });
        for u in columns..lanes {
            let zero = k.float(0.0);
            k.set(reg, &[Index::Const(u.into())], VectorOp::Copy(zero));
        }
        k.transpose(reg, 0);
        let first = if columns < lanes && !self.pad_lanes { Some(k.num(columns.into())) } else { None };
        let step = self.strides[0];
        k.unroll(rows, |k, u| {
            let value = k.get(reg, &[u.into()]);
            k.store_as(y, u * step, value, first, Storage::B32);
        });
    }
}

impl Nest {
    /// Makes a dimension along which the result is contiguous the last one, if there is such.
    fn contiguous_last(&mut self, bytes: i64) {
        let last = self.dims.len() - 1;
        if self.strides[0][last] == bytes {
            return;
        }
        if let Some(dim) = (0..last).rev().find(|d| self.strides[0][*d] == bytes) {
            let extent = self.dims.remove(dim);
            self.dims.push(extent);
            for strides in &mut self.strides {
                let stride = strides.remove(dim);
                strides.push(stride);
            }
        }
    }
}
