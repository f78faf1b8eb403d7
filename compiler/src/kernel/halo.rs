//! The zero ring around the planes of a blocked result: written by the step that makes the result, beside its kernel.

use super::nest::{Run, Stream, vectors};
use super::{KernelCall, Operand, View};
use crate::ir::ValueId;
use crate::tile::{Access, Builder, Kernel, PointerRef, ScalarId, Storage, Target};

/// A ring of zeros: extents in rows and elements, strides in bytes.
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
}

impl Spec {
    /// The program; its base is the first byte of the ring.
    pub fn build(&self, target: Target) -> Kernel {
        let ([top, h, bottom], [left, w, right]) = (self.rows.0, self.row);
        let mut k = Builder::new(format!("halo-{top}+{h}+{bottom}x{left}+{w}+{right}"), target);
        let y = k.base("y", Access::Write);
        let (begin, end) = (k.begin(), k.end());
        k.for_(begin, end, 1, |k, plane| {
            let image = k.div_const(plane, self.blocks.0 as i64);
            let block = k.rem_const(plane, self.blocks.0 as i64);
            let image = k.mul_const(image, self.images.1);
            let block = k.mul_const(block, self.blocks.1);
            let offset = k.sadd(image, block);
            let y = k.pointer(y, offset);
            self.zero(k, y, (0, 0), top, left + w + right);
            self.zero(k, y, (top, 0), h, left);
            self.zero(k, y, (top, left + w), h, right);
            self.zero(k, y, (top + h, 0), bottom, left + w + right);
        });
        k.finish()
    }

    /// Zeros in a rectangle of `rows` by `elements` from a row and element on.
    fn zero(&self, k: &mut Builder, y: PointerRef, (row, element): (usize, usize), rows: usize, elements: usize) {
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
                let zero = k.float(0.0);
                streams[0].store(k, at, zero, first);
            });
        };
        k.for_count(rows as i64, |k, at| fill(k, at, elements));
    }
}

/// The call that zeroes the halo of a blocked value; `None` when it has none.
pub fn zero_halo(target: Target, value: ValueId, view: &View) -> Option<KernelCall> {
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
        row: [left * lanes, w * lanes, right * lanes],
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
