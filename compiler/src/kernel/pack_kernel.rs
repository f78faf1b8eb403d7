//! Packing at run time: the kernel that a [`PackSpec`] is, for weights that are not constant.

use super::nest::{Nest, Run};
use super::operand::plain;
use super::pack::Elements;
use super::{KernelCall, NoKernel, Operand, PackPiece, PackSpec, View};
use crate::tile::{
    self, Access, Builder, Cmp, Cond, Index, Kernel, Mem, PointerRef, ScalarId, ScalarOp, Target, VectorOp,
};

/// One piece of a packed weight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Loops and bounds.
    pub piece: PackPiece,
    /// Bytes per index of the source.
    pub strides: Vec<i64>,
    /// Bytes of the pieces before it.
    pub skip: i64,
}

/// The calls that pack a plain f32 value; `to` is usually a temporary of the step.
pub fn pack_calls(
    target: Target,
    spec: &PackSpec,
    from: (&Operand, &View),
    to: &Operand,
) -> Result<Vec<KernelCall>, NoKernel> {
    let (dims, strides) = plain(from.1)?;
    if dims != spec.source {
        return Err(NoKernel(format!("a packing of {:?} for a value of {dims:?}", spec.source)));
    }
    if spec.elements != Elements::Own {
        return Err(NoKernel("filters that arrive at run time are packed as they are".into()));
    }
    let (mut calls, mut skip) = (Vec::new(), 0);
    for piece in spec.pieces.iter().filter(|p| !p.is_empty()) {
        let part = Spec { piece: piece.clone(), strides: strides.to_vec(), skip };
        let (kernel, extent) = part.build(target);
        let operands = vec![to.clone(), from.0.clone()];
        calls.push(KernelCall { kernel, operands, args: vec![], extent, barrier_before: false });
        skip += 4 * piece.len() as i64;
    }
    Ok(calls)
}

impl Spec {
    /// The program and its number of items.
    pub fn build(&self, target: Target) -> (Kernel, u64) {
        let counts: Vec<String> = self.piece.loops.iter().map(|l| l.count.to_string()).collect();
        let mut k = Builder::new(format!("pack-{}", counts.join("x")), target);
        let (y, x) = (k.base("y", Access::Write), k.base("x", Access::Read));
        let mut nest = self.nest();
        let share = nest.share((4096 / nest.run().max(1)).max(1), 1);
        nest.walk(&mut k, share, 1, &mut |k, offsets, run| {
            let Run::Known(count) = run else { return };
            let start: i64 = self.piece.start.iter().zip(&self.strides).map(|(i, s)| *i as i64 * s).sum();
            let (to, from) = (k.add_const(offsets[0], self.skip), k.add_const(offsets[1], start));
            let (y, x) = (k.pointer(y, to), k.pointer(x, from));
            let valid = self.valid(k, &offsets[2..], count as i64);
            self.row(k, y, x, valid, count as i64);
        });
        (k.finish(), share.extent)
    }

    /// Loops with the strides of the result, of the source, and of each source index.
    fn nest(&self) -> Nest {
        let loops = &self.piece.loops;
        let mut to = vec![4; loops.len()];
        for i in (0..loops.len().saturating_sub(1)).rev() {
            to[i] = to[i + 1] * loops[i + 1].count as i64;
        }
        let from = loops.iter().map(|l| l.step as i64 * self.strides.get(l.dim).copied().unwrap_or(0)).collect();
        let mut strides = vec![to, from];
        for d in 0..self.strides.len() {
            strides.push(loops.iter().map(|l| if l.dim == d { l.step as i64 } else { 0 }).collect());
        }
        let mut nest = Nest::new(&loops.iter().map(|l| l.count).collect::<Vec<_>>(), strides);
        if loops.is_empty() {
            nest.dims.push(1);
            nest.strides.iter_mut().for_each(|s| s.push(0));
        }
        nest
    }

    /// How many elements of a row are inside the source.
    fn valid(&self, k: &mut Builder, indices: &[ScalarId], count: i64) -> ScalarId {
        let (zero, mut valid) = (k.num(0), k.num(count));
        let last = self.piece.loops.last();
        for (d, offset) in indices.iter().enumerate() {
            let index = k.add_const(*offset, self.piece.start[d] as i64);
            let end = k.num(self.piece.end[d] as i64);
            match last {
                Some(l) if l.dim == d && l.step > 0 => {
                    let left = k.ssub(end, index);
                    let left = k.add_const(left, l.step as i64 - 1);
                    let left = k.smax(left, zero);
                    let left = k.div_const(left, l.step as i64);
                    valid = k.smin(valid, left);
                }
                _ => valid = k.scalar(ScalarOp::Select(Cond { cmp: Cmp::Lt, a: index, b: end }, valid, zero)),
            }
        }
        valid
    }

    fn row(&self, k: &mut Builder, y: PointerRef, x: PointerRef, valid: ScalarId, count: i64) {
        let lanes = i64::from(k.lanes());
        let step = self.piece.loops.last().map_or(4, |l| l.step as i64 * self.strides.get(l.dim).copied().unwrap_or(0));
        let zero = k.num(0);
        let total = k.num(count);
        k.for_count((count + lanes - 1) / lanes, |k, i| {
            let at = k.mul_const(i, lanes);
            let left = k.ssub(valid, at);
            let first = k.smax(left, zero);
            let (to, from) = (k.mul_const(at, 4), k.mul_const(at, step));
            let (y, x) = (k.pointer(y, to), k.pointer(x, from));
            let v = load(k, x, step, first);
            if count % lanes == 0 {
                k.store(y, 0, v);
            } else {
                let rest = k.ssub(total, at);
                k.store_first(y, 0, v, rest);
            }
        });
    }
}

fn load(k: &mut Builder, x: PointerRef, step: i64, first: ScalarId) -> tile::Operand {
    if step == 4 {
        return k.load_first(x, 0, first);
    }
    let index: Vec<i32> = (0..k.lanes() as i32).map(|i| i * (step / 4) as i32).collect();
    let index = k.ints(&index);
    k.vector(VectorOp::Gather { mem: Mem { pointer: x, disp: Index::Const(0) }, index, first: Some(first) })
}
