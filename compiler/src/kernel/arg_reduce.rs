//! Positions of the largest or smallest elements along a dimension: i64 results, each lane a result of its own.
//!
//! A position is kept in 32 bits; the vector of positions is spread over two vectors with zeros between, which are the
//! little-endian i64s.

use super::nest::{Nest, Stream, vectors};
use super::operand::{expect_type, place, plain};
use super::{KernelCall, LowerContext, Lowered, NoKernel, Operand};
use crate::ir::{Node, Op};
use crate::tile::{
    self, Access, Builder, Cmp, Index, IntBin, Kernel, Lane, MaskOp, ScalarId, Storage, Target, VectorOp,
};
use brolga_runtime::DType;

/// A search for extremes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Loops over the results; strides of the result, then of the source.
    pub kept: Nest,
    /// Elements of one result, and bytes from one to the next.
    pub along: (usize, i64),
    /// Smallest instead of largest.
    pub min: bool,
    /// Of equal elements the last.
    pub last: bool,
}

impl Spec {
    /// The program and its number of items.
    pub fn build(&self, target: Target) -> Result<(Kernel, u64), NoKernel> {
        let mut kept = self.kept.collapse(0);
        if kept.dims == [1] {
            kept.strides = vec![vec![8], vec![4]];
        }
        if kept.inner(0) != 8 || !Stream::loads(kept.inner(1), Storage::B32) {
            return Err(NoKernel("positions or elements that lie apart".into()));
        }
        let what = match (self.min, self.last) {
            (false, false) => "arg_max",
            (false, true) => "arg_max_last",
            (true, false) => "arg_min",
            (true, true) => "arg_min_last",
        };
        let dims: Vec<String> = kept.dims.iter().map(usize::to_string).collect();
        let mut k = Builder::new(format!("{what}-{}-of-{}", dims.join("x"), self.along.0), target);
        let (y, x) = (k.base("y", Access::Write), k.base("x", Access::Read));
        let share = kept.share((4096 / self.along.0.max(1)).max(target.lanes as usize), 0);
        kept.walk(&mut k, share, 0, &mut |k, offsets, run| {
            let row = |k: &mut Builder, base, i: usize| {
                let pointer = k.pointer(base, offsets[i]);
                Stream { pointer, stride: kept.inner(i), storage: Storage::B32 }
            };
            let streams = [row(k, y, 0), row(k, x, 1)];
            vectors(k, &streams, run, 1, &mut |k, s, _, first| {
                let positions = self.search(k, s[1], first);
                store_wide(k, s[0], positions, first);
            });
        });
        Ok((k.finish(), share.extent))
    }

    /// The position of each lane's extreme.
    fn search(&self, k: &mut Builder, x: Stream, first: Option<ScalarId>) -> tile::Operand {
        let at = [Index::Const(0)];
        let (best, position) = (k.reg(Lane::F32, &[1]), k.reg(Lane::I32, &[1]));
        let (begin, none) = (x.load(k, &at[0], first), k.int(0));
        k.set(best, &at, VectorOp::Copy(begin));
        k.set(position, &at, VectorOp::Copy(none));
        let better = match (self.min, self.last) {
            (false, false) => Cmp::Gt,
            (false, true) => Cmp::Ge,
            (true, false) => Cmp::Lt,
            (true, true) => Cmp::Le,
        };
        k.for_count(self.along.0 as i64 - 1, |k, i| {
            let i = k.add_const(i, 1);
            let offset = k.mul_const(i, self.along.1);
            let here = Stream { pointer: k.pointer(x.pointer, offset), ..x };
            let (v, old, old_position) = (here.load(k, &at[0], first), k.get(best, &at), k.get(position, &at));
            let takes = k.cmp(better, v.clone(), old.clone());
            k.set(best, &at, VectorOp::Select(takes, v, old));
            let i = k.vector(VectorOp::SplatScalar(i));
            k.set(position, &at, VectorOp::Select(takes, i, old_position));
        });
        let now = k.get(position, &at);
        k.vector(VectorOp::Copy(now))
    }
}

/// Stores the lanes, which are not negative, as i64.
fn store_wide(k: &mut Builder, y: Stream, lanes: tile::Operand, first: Option<ScalarId>) {
    let count = k.lanes();
    let (iota, one, zero) = (k.vector(VectorOp::Iota), k.int(1), k.int(0));
    let odd = k.vector(VectorOp::Int(IntBin::And, iota, one));
    let lower = k.mask(MaskOp::CmpInt(Cmp::Eq, odd, zero.clone()));
    for half in [0, 1] {
        let pattern: Vec<u8> = (0..count).map(|i| ((i + half * count) / 2) as u8).collect();
        let words = k.vector(VectorOp::Permute(lanes.clone(), pattern));
        let words = k.select(lower, words, zero.clone());
        let words_left = first.map(|n| {
            let (twice, before) = (k.mul_const(n, 2), i64::from(half * count));
            let left = k.add_const(twice, -before);
            let (none, all) = (k.num(0), k.num(i64::from(count)));
            let left = k.smax(left, none);
            k.smin(left, all)
        });
        k.store_as(y.pointer, i64::from(4 * half * count), words, words_left, Storage::B32);
    }
}

/// Lowers ArgReduce.
pub fn lower(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    let (Op::ArgReduce { min, axis, keep, last }, [input], [result]) = (&node.op, &node.inputs[..], &node.outputs[..])
    else {
        return Err(NoKernel("not a search for extremes in one operand".into()));
    };
    expect_type(cx, *input, DType::F32)?;
    let (operand, from) = place(cx, *input)?;
    let ((dims, strides), (_, to)) = (plain(&from)?, plain(cx.view(*result)?)?);
    let extent = dims.get(*axis).copied().filter(|n| (1..1 << 31).contains(n));
    let Some(extent) = extent else { return Err(NoKernel("positions that 32 bits do not hold, or none".into())) };
    let mut to = to.to_vec();
    if !keep {
        to.insert(*axis, 0);
    }
    let without = |list: &[i64]| (0..dims.len()).filter(|d| d != axis).map(|d| list[d]).collect::<Vec<i64>>();
    let kept: Vec<usize> = (0..dims.len()).filter(|d| d != axis).map(|d| dims[d]).collect();
    let kept = Nest::new(&kept, vec![without(&to), without(strides)]);
    let spec = Spec { kept, along: (extent, strides[*axis]), min: *min, last: *last };
    let (kernel, extent) = spec.build(cx.target)?;
    let operands = vec![Operand::Value(*result, 0), operand];
    let mut calls = vec![KernelCall { kernel, operands, args: vec![], extent, barrier_before: false }];
    calls.retain(|c| c.extent > 0);
    Ok(Lowered { calls, temporaries: vec![] })
}
