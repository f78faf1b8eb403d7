//! The ring around the planes of a blocked result: zeros, or the zero point of quantised values; written by the
//! step that makes the result, beside its kernel.

use super::nest::{Run, Stream, vectors};
use super::{KernelCall, LowerContext, NoKernel, Operand, View};
use crate::ir::{Op, ValueId};
use crate::tile::{self, Access, Builder, Index, IntBin, Kernel, Mem, PointerRef, ScalarId, Storage, Target, VectorOp};
use brolga_runtime::DType;

/// What a ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fill {
    /// A word.
    Word(u32),
    /// A byte that is read at run time, through a base of its own.
    Byte,
}

/// A ring: extents in rows and words, strides in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Images and their stride.
    pub images: (usize, i64),
    /// Channel blocks and their stride.
    pub blocks: (usize, i64),
    /// Rows above, inside and below, and the stride of a row.
    pub rows: ([usize; 3], i64),
    /// Elements left, inside and right of a row.
    pub row: [usize; 3],
    /// What it is filled with.
    pub fill: Fill,
}

impl Spec {
    /// The program; its bases are the first byte of the ring and the byte to fill it with, where that is read.
    pub fn build(&self, target: Target) -> Kernel {
        let ([top, h, bottom], [left, w, right]) = (self.rows.0, self.row);
        let mut k = Builder::new(format!("halo-{top}+{h}+{bottom}x{left}+{w}+{right}"), target);
        let y = k.base("y", Access::Write);
        let fill = match self.fill {
            Fill::Word(word) => k.int(word as i32),
            Fill::Byte => {
                let mem = Mem { pointer: k.base("fill", Access::Read), disp: Index::Const(0) };
                let byte = k.vector(VectorOp::SplatLoad { mem, storage: Storage::U8 });
                let ones = k.int(0x0101_0101);
                k.vector(VectorOp::Int(IntBin::Mul, byte, ones))
            }
        };
        let (begin, end) = (k.begin(), k.end());
        k.for_(begin, end, 1, |k, plane| {
            let image = k.div_const(plane, self.blocks.0 as i64);
            let block = k.rem_const(plane, self.blocks.0 as i64);
            let image = k.mul_const(image, self.images.1);
            let block = k.mul_const(block, self.blocks.1);
            let offset = k.sadd(image, block);
            let y = k.pointer(y, offset);
            self.write(k, y, &fill, (0, 0), (top, left + w + right));
            self.write(k, y, &fill, (top, 0), (h, left));
            self.write(k, y, &fill, (top, left + w), (h, right));
            self.write(k, y, &fill, (top + h, 0), (bottom, left + w + right));
        });
        k.finish()
    }

    /// Fills a rectangle of `rows` by `elements` from a row and element on.
    fn write(
        &self,
        k: &mut Builder,
        y: PointerRef,
        value: &tile::Operand,
        (row, element): (usize, usize),
        (rows, elements): (usize, usize),
    ) {
        if rows * elements == 0 {
            return;
        }
        let stride = self.rows.1;
        let start = k.num(row as i64 * stride + 4 * element as i64);
        let y = k.pointer(y, start);
        let fill = |k: &mut Builder, at: ScalarId, elements: usize| {
            let offset = k.mul_const(at, stride);
            let pointer = k.pointer(y, offset);
            let row = Stream { pointer, stride: 4, storage: Storage::B32 };
            vectors(k, &[row], Run::Known(elements), 1, &mut |k, streams, at, first| {
                streams[0].store(k, at, value.clone(), first);
            });
        };
        k.for_count(rows as i64, |k, at| fill(k, at, elements));
    }
}

/// The call that zeroes the halo of a blocked value; `None` when it has none.
pub fn zero_halo(target: Target, value: ValueId, view: &View) -> Option<KernelCall> {
    ring(target, value, view, 4, Fill::Word(0))
}

/// The call that fills the halo of a blocked value: of quantised values with the zero point that their readers take.
pub fn fill_halo(cx: &LowerContext<'_>, value: ValueId) -> Result<Option<KernelCall>, NoKernel> {
    let view = cx.view(value)?;
    let bytes = cx.graph.ty(value).dtype.bytes();
    if cx.graph.ty(value).dtype != DType::U8 {
        return Ok(ring(cx.target, value, view, bytes, Fill::Word(0)));
    }
    let readers = cx.graph.readers(value);
    let convolves = |op: &Op| matches!(op, Op::ConvInteger { .. });
    let reader = readers.iter().map(|r| cx.graph.node(*r)).find(|n| convolves(&n.op) && n.inputs[0] == value);
    let Some(&point) = reader.and_then(|n| n.inputs.get(2)) else {
        return Ok(ring(cx.target, value, view, bytes, Fill::Word(0)));
    };
    let Some(weight) = cx.graph.weight(point) else {
        let call = ring(cx.target, value, view, bytes, Fill::Byte);
        return Ok(call.map(|mut call| {
            call.operands.push(Operand::Value(point, 0));
            call
        }));
    };
    let tensor = weight.evaluate().map_err(|e| NoKernel(e.to_string()))?;
    let byte = tensor.bytes().first().copied().unwrap_or(0);
    Ok(ring(cx.target, value, view, bytes, Fill::Word(u32::from_le_bytes([byte; 4]))))
}

fn ring(target: Target, value: ValueId, view: &View, bytes: usize, fill: Fill) -> Option<KernelCall> {
    let View::Blocked { dims: [n, c, h, w], lanes, strides, halo } = view else { return None };
    let [top, left, bottom, right] = [halo.top, halo.left, halo.bottom, halo.right].map(|x| x as usize);
    let blocks = c.div_ceil(*lanes);
    if top + left + bottom + right == 0 || n * blocks == 0 {
        return None;
    }
    let spec = Spec {
        images: (*n, strides[0]),
        blocks: (blocks, strides[1]),
        rows: ([top, *h, bottom], strides[2]),
        row: [left, *w, right].map(|pixels| pixels * lanes * bytes / 4),
        fill,
    };
    let first = top as i64 * strides[2] + left as i64 * strides[3];
    Some(KernelCall {
        kernel: spec.build(target),
        operands: vec![Operand::Value(value, -first)],
        args: vec![],
        extent: (n * blocks) as u64,
        barrier_before: false,
    })
}
