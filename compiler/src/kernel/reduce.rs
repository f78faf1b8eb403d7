//! Reductions over any dimensions of f32, one result after another in a fixed order that does not depend on the workers.
//!
//! Where the reduced elements are contiguous a vector of partial results is folded at the end; where the kept ones are, each
//! lane is a result of its own (also the lanes of a channel block, so a global pooling is a reduction).

use super::halo::zero_halo;
use super::nest::{Nest, Run, Stream, vectors};
use super::operand::{expect_type, nest_of, place};
use super::{KernelCall, LowerContext, Lowered, NoKernel, Operand, View, math};
use crate::ir::{Node, Op, ReduceKind};
use crate::tile::{
    self, Access, Builder, Cmp, FloatBin, FloatUn, Index, Kernel, Lane, MaskOp, PointerRef, RegId, ScalarId, Storage,
    Target, VectorOp,
};
use brolga_runtime::DType;

/// A reduction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Loops over the results; strides of the result, then of the source.
    pub kept: Nest,
    /// Loops over the elements of one result; strides of the source.
    pub reduced: Nest,
    /// What.
    pub kind: ReduceKind,
}

/// How partial results are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    Add,
    Mul,
    Max,
    Min,
}

impl Join {
    pub(super) fn of(kind: ReduceKind) -> Join {
        match kind {
            ReduceKind::Max => Join::Max,
            ReduceKind::Min => Join::Min,
            ReduceKind::Prod => Join::Mul,
            _ => Join::Add,
        }
    }
    fn identity(self) -> f32 {
        match self {
            Join::Add => 0.0,
            Join::Mul => 1.0,
            Join::Max => f32::NEG_INFINITY,
            Join::Min => f32::INFINITY,
        }
    }
    fn operation(self) -> FloatBin {
        match self {
            Join::Add => FloatBin::Add,
            Join::Mul => FloatBin::Mul,
            Join::Max => FloatBin::Max,
            Join::Min => FloatBin::Min,
        }
    }
    /// One accumulator at its first value.
    pub(super) fn start(self, k: &mut Builder) -> RegId {
        let acc = k.reg(Lane::F32, &[1]);
        let identity = k.float(self.identity());
        k.set(acc, &[Index::Const(0)], VectorOp::Copy(identity));
        acc
    }
    /// Joins a vector of which the first lanes count.
    pub(super) fn add(self, k: &mut Builder, acc: RegId, x: tile::Operand, first: Option<ScalarId>) {
        let x = match first {
            Some(n) => {
                let lane = k.vector(VectorOp::Iota);
                let count = k.vector(VectorOp::SplatScalar(n));
                let inside = k.mask(MaskOp::CmpInt(Cmp::Lt, lane, count));
                let identity = k.float(self.identity());
                k.select(inside, x, identity)
            }
            None => x,
        };
        let old = get(k, acc);
        k.set(acc, &[Index::Const(0)], VectorOp::Float(self.operation(), x, old));
    }
    /// All lanes joined, in every lane.
    pub(super) fn fold(self, k: &mut Builder, x: tile::Operand) -> tile::Operand {
        let kind = match self {
            Join::Add => tile::ReduceKind::Add,
            Join::Max => tile::ReduceKind::Max,
            Join::Min => tile::ReduceKind::Min,
            Join::Mul => {
                let (mut x, mut by) = (x, k.lanes() / 2);
                while by > 0 {
                    let moved = k.vector(VectorOp::Slide(x.clone(), x.clone(), by));
                    x = k.mul(x, moved);
                    by /= 2;
                }
                return x;
            }
        };
        k.vector(VectorOp::Reduce(kind, x))
    }
}

/// The value of a single accumulator.
pub(super) fn get(k: &Builder, acc: RegId) -> tile::Operand {
    k.get(acc, &[Index::Const(0)])
}

/// The accumulator's value as a let that stays when the accumulator changes.
pub(super) fn value(k: &mut Builder, acc: RegId) -> tile::Operand {
    let now = get(k, acc);
    k.vector(VectorOp::Copy(now))
}

impl Spec {
    /// The program and its number of items.
    pub fn build(&self, target: Target) -> (Kernel, u64) {
        let reduced = self.reduced.collapse(0);
        let mut kept = self.kept.collapse(0);
        let lanewise = reduced.inner(0) != 4 && kept.inner(0) == 4 && Stream::loads(kept.inner(1), Storage::B32);
        let text = |n: &Nest| n.dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        let name = format!("reduce_{:?}-{}-of-{}", self.kind, text(&kept), text(&reduced)).to_lowercase();
        let mut k = Builder::new(name, target);
        let (y, x) = (k.base("y", Access::Write), k.base("x", Access::Read));
        let grain = (8192 / reduced.elements().max(1)).max(1);
        let share = if lanewise { kept.share(grain.max(target.lanes as usize), 0) } else { kept.share(grain, 0) };
        kept.walk(&mut k, share, 0, &mut |k, offsets, run| {
            let row = |k: &mut Builder, base, i: usize| {
                let pointer = k.pointer(base, offsets[i]);
                Stream { pointer, stride: kept.inner(i), storage: Storage::B32 }
            };
            let streams = [row(k, y, 0), row(k, x, 1)];
            if lanewise {
                vectors(k, &streams, run, 1, &mut |k, s, _, first| {
                    let result = self.lanewise(k, &reduced, s[1], first);
                    s[0].store(k, &Index::Const(0), result, first);
                });
            } else {
                each(k, &streams, run, &mut |k, s| {
                    let result = self.folded(k, &reduced, s[1].pointer);
                    let one = k.num(1);
                    s[0].store(k, &Index::Const(0), result, Some(one));
                });
            }
        });
        (k.finish(), share.extent)
    }

    /// What an element contributes.
    fn term(&self, k: &mut Builder, x: tile::Operand, shift: Option<&tile::Operand>) -> tile::Operand {
        match self.kind {
            ReduceKind::L1 => k.unary(FloatUn::Abs, x),
            ReduceKind::L2 | ReduceKind::SumSquare => k.mul(x.clone(), x),
            ReduceKind::LogSumExp => {
                let x = match shift {
                    Some(shift) => k.sub(x, shift.clone()),
                    None => x,
                };
                math::exp(k, x)
            }
            _ => x,
        }
    }

    /// The result of what was joined.
    fn finish(&self, k: &mut Builder, sum: tile::Operand, shift: Option<tile::Operand>) -> tile::Operand {
        match self.kind {
            ReduceKind::Mean => {
                let count = k.float(self.reduced.elements() as f32);
                k.div(sum, count)
            }
            ReduceKind::L2 => k.unary(FloatUn::Sqrt, sum),
            ReduceKind::LogSum => math::log(k, sum),
            ReduceKind::LogSumExp => {
                let y = math::log(k, sum);
                match shift {
                    Some(shift) => k.add(y, shift),
                    None => y,
                }
            }
            _ => sum,
        }
    }

    /// One result per lane.
    fn lanewise(&self, k: &mut Builder, reduced: &Nest, x: Stream, first: Option<ScalarId>) -> tile::Operand {
        let pass = |k: &mut Builder, join: Join, shift: Option<&tile::Operand>| {
            let acc = join.start(k);
            reduced.whole(k, &mut |k, offsets, _| {
                let from = k.pointer(x.pointer, offsets[0]);
                let (stride, count) = (reduced.inner(0), reduced.run() as i64);
                k.for_count(count, |k, i| {
                    let offset = k.mul_const(i, stride);
                    let here = Stream { pointer: k.pointer(from, offset), ..x };
                    let v = here.load(k, &Index::Const(0), first);
                    let v = if join == Join::of(self.kind) { self.term(k, v, shift) } else { v };
                    join.add(k, acc, v, None);
                });
            });
            value(k, acc)
        };
        let shift = self.shifted().then(|| {
            let most = pass(k, Join::Max, None);
            finite(k, most)
        });
        let sum = pass(k, Join::of(self.kind), shift.as_ref());
        self.finish(k, sum, shift)
    }

    /// One result in every lane.
    fn folded(&self, k: &mut Builder, reduced: &Nest, x: PointerRef) -> tile::Operand {
        let pass = |k: &mut Builder, join: Join, shift: Option<&tile::Operand>| {
            let acc = join.start(k);
            reduced.whole(k, &mut |k, offsets, run| {
                let row = Stream { pointer: k.pointer(x, offsets[0]), stride: reduced.inner(0), storage: Storage::B32 };
                vectors(k, &[row], run, 1, &mut |k, s, at, first| {
                    let v = s[0].load(k, at, first);
                    let v = if join == Join::of(self.kind) { self.term(k, v, shift) } else { v };
                    join.add(k, acc, v, first);
                });
            });
            let all = get(k, acc);
            join.fold(k, all)
        };
        let shift = self.shifted().then(|| {
            let most = pass(k, Join::Max, None);
            finite(k, most)
        });
        let sum = pass(k, Join::of(self.kind), shift.as_ref());
        self.finish(k, sum, shift)
    }

    fn shifted(&self) -> bool {
        self.kind == ReduceKind::LogSumExp
    }
}

/// A finite number, or zero instead of an infinite one.
pub(super) fn finite(k: &mut Builder, x: tile::Operand) -> tile::Operand {
    let (infinity, zero) = (k.float(f32::INFINITY), k.float(0.0));
    let magnitude = k.unary(FloatUn::Abs, x.clone());
    let mask = k.cmp(Cmp::Lt, magnitude, infinity);
    k.select(mask, x, zero)
}

/// Calls `body` with the rows moved to each element of a run.
pub(super) fn each(k: &mut Builder, streams: &[Stream], run: Run, body: &mut dyn FnMut(&mut Builder, &[Stream])) {
    let one = |k: &mut Builder, at: ScalarId| {
        let moved: Vec<Stream> = streams
            .iter()
            .map(|s| {
                let offset = k.mul_const(at, s.stride);
                Stream { pointer: k.pointer(s.pointer, offset), ..*s }
            })
            .collect();
        body(k, &moved);
    };
    match run {
        Run::Known(n) => k.for_count(n as i64, one),
        Run::Scalar(n) => {
            let zero = k.num(0);
            k.for_(zero, n, 1, one);
        }
    }
}

/// Kept and reduced dimensions of a view.
fn split(spec: &mut Spec, dims: &[usize], from: &[i64], to: &[i64], axes: &[usize]) {
    for d in 0..dims.len() {
        let nest = if axes.contains(&d) { &mut spec.reduced } else { &mut spec.kept };
        nest.dims.push(dims[d]);
        if axes.contains(&d) {
            nest.strides[0].push(from[d]);
        } else {
            nest.strides[0].push(to[d]);
            nest.strides[1].push(from[d]);
        }
    }
}

/// Lowers Reduce.
pub fn lower(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    let (Op::Reduce { kind, axes, keep }, [input], [result]) = (&node.op, &node.inputs[..], &node.outputs[..]) else {
        return Err(NoKernel("not a reduction of one operand".into()));
    };
    expect_type(cx, *input, DType::F32)?;
    let (operand, from) = place(cx, *input)?;
    let to = cx.view(*result)?;
    let empty = |operands| Spec {
        kept: Nest::new(&[], vec![vec![]; operands]),
        reduced: Nest::new(&[], vec![vec![]]),
        kind: *kind,
    };
    let (dims, strides) = nest_of(&from, 4);
    let mut calls: Vec<KernelCall> = Vec::new();
    let mut emit = |spec: &Spec, to: i64, operand: Operand| {
        let (kernel, extent) = spec.build(cx.target);
        let operands = vec![Operand::Value(*result, to), operand];
        calls.push(KernelCall { kernel, operands, args: vec![], extent, barrier_before: false });
    };
    let mut spec = empty(2);
    match (&from, to) {
        (View::Plain { .. }, View::Plain { strides: t, .. }) => {
            split(&mut spec, &dims, &strides, &result_strides(dims.len(), axes, *keep, t)?, axes);
            check(&spec)?;
            emit(&spec, 0, operand);
        }
        (View::Blocked { dims: [_, c, ..], lanes, .. }, _) if !axes.contains(&1) => {
            let logs = matches!(kind, ReduceKind::LogSum | ReduceKind::LogSumExp);
            let (full, rest) = (c / lanes, c % lanes);
            if let View::Blocked { strides: t, lanes: of, .. } = to {
                if of != lanes || logs && rest > 0 {
                    return Err(NoKernel("a reduction into other blocks".into()));
                }
                split(&mut spec, &dims, &strides, &[t[0], t[1], t[2], t[3], 4], axes);
                check(&spec)?;
                emit(&spec, 0, operand);
            } else if let (View::Plain { strides: t, .. }, Operand::Value(value, at)) = (to, &operand) {
                let t = result_strides(4, axes, *keep, t)?;
                let t = [t[0], t[1] * *lanes as i64, t[2], t[3], t[1]];
                for (first, blocks, lanes) in [(0, full, *lanes), (full, 1, rest)] {
                    let mut part = empty(2);
                    let dims = [dims[0], blocks, dims[2], dims[3], lanes];
                    split(&mut part, &dims, &strides, &t, axes);
                    check(&part)?;
                    let skip = first as i64;
                    emit(&part, skip * t[1], Operand::Value(*value, at + skip * strides[1]));
                }
            }
        }
        _ => return Err(NoKernel("a reduction across blocks of channels".into())),
    }
    calls.extend(zero_halo(cx.target, *result, to));
    calls.retain(|c| c.extent > 0);
    Ok(Lowered { calls, temporaries: vec![] })
}

fn check(spec: &Spec) -> Result<(), NoKernel> {
    let reduced = spec.reduced.collapse(0);
    if !reduced.strides[0].iter().all(|s| Stream::loads(*s, Storage::B32)) {
        return Err(NoKernel("a reduction over a far stride".into()));
    }
    Ok(())
}

/// Strides of the result per dimension of the source; those of reduced ones are not used.
fn result_strides(rank: usize, axes: &[usize], keep: bool, strides: &[i64]) -> Result<Vec<i64>, NoKernel> {
    let mut next = strides.iter();
    let mut all = Vec::with_capacity(rank);
    for d in 0..rank {
        let reduced = axes.contains(&d);
        all.push(if reduced && !keep {
            0
        } else {
            *next.next().ok_or_else(|| NoKernel("a result of lower rank".into()))?
        });
    }
    Ok(all)
}
