//! The parts of a tile program that sums of bytes have to themselves.

use super::{Cursor, Fixed, Tile, Writer};
use crate::kernel::conv::Stream;
use crate::tile::{Builder, Index, IntBin, Mem, Operand, PointerRef, RegId, ScalarId, Storage, UnrollId, VectorOp};

impl Writer<'_> {
    /// What the sums of a vector of channels begin with.
    pub(super) fn start(&self, k: &mut Builder, fixed: Fixed, n: UnrollId) -> Operand {
        let width = self.lanes * 4;
        let start = match (fixed.bias, self.spec.bytes()) {
            (Some(p), _) => k.load(p, n * width),
            (None, None) => k.float(0.0),
            (None, Some(_)) => k.int(0),
        };
        let Some((point, sums)) = fixed.zero else { return start };
        let mem = Mem { pointer: point, disp: Index::Const(0) };
        let point = k.vector(VectorOp::SplatLoad { mem, storage: Storage::U8 });
        let sums = k.load(sums, n * width);
        let all = k.vector(VectorOp::Int(IntBin::Mul, point, sums));
        k.vector(VectorOp::Int(IntBin::Sub, start, all))
    }

    /// The same of one pixel, less the weights' zero points times the sum of its bytes.
    pub(super) fn less_zeros(
        &self,
        k: &mut Builder,
        start: &Operand,
        zeros: &Operand,
        sums: &Cursor,
        tile: Tile,
        m: UnrollId,
    ) -> VectorOp {
        let at = self.pixel(k, sums.stream, tile, m);
        let sum = k.load(sums.pointer, at);
        let share = k.vector(VectorOp::Int(IntBin::Mul, sum, zeros.clone()));
        VectorOp::Int(IntBin::Sub, start.clone(), share)
    }

    /// One step of the reduction: four channels in a dot product, or one in a product and a sum.
    pub(super) fn byte_step(
        &self,
        k: &mut Builder,
        quad: usize,
        (xp, wp): (PointerRef, PointerRef),
        x: &Stream,
        tile: Tile,
        acc: RegId,
        (input, weight): (Index, Index),
    ) {
        self.fetch(k, wp, &weight);
        let width = self.spec.weight_width(self.lanes);
        let (of_weight, of_input) = if quad == 4 { (Storage::B32, Storage::B32) } else { (Storage::I8, Storage::U8) };
        let weights: Vec<Operand> = (0..self.spec.vectors)
            .map(|n| {
                let mem = Mem { pointer: wp, disp: weight.clone() + Index::Const(n as i64 * width) };
                k.vector(VectorOp::Load { mem, first: None, storage: of_weight })
            })
            .collect();
        k.unroll(tile.pixels as u32, |k, m| {
            let mem = Mem { pointer: xp, disp: self.pixel(k, x, tile, m) + input };
            let value = k.vector(VectorOp::SplatLoad { mem, storage: of_input });
            for (n, weight) in weights.iter().enumerate() {
                let at = [m.into(), Index::Const(n as i64)];
                let old = k.get(acc, &at);
                let op = if quad == 4 {
                    VectorOp::Dot(old, value.clone(), weight.clone())
                } else {
                    let product = k.vector(VectorOp::Int(IntBin::Mul, value.clone(), weight.clone()));
                    VectorOp::Int(IntBin::Add, old, product)
                };
                k.set(acc, &at, op);
            }
        });
    }

    /// An operand of the epilogue as f32.
    pub(super) fn extra(&self, k: &mut Builder, i: usize, mem: Mem, first: Option<ScalarId>) -> Operand {
        let storage = self.spec.bytes().and_then(|b| b.extras.get(i)).copied().unwrap_or(Storage::B32);
        let value = k.vector(VectorOp::Load { mem, first, storage });
        if storage == Storage::B32 { value } else { k.vector(VectorOp::ToFloat(value)) }
    }
}
