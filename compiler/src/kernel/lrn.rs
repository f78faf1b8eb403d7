//! Local response normalisation across channels, plain and in blocks.

use super::halo::zero_halo;
use super::nest::{Nest, Run, Stream, vectors};
use super::operand::{expect_type, nest_of, place};
use super::{KernelCall, LowerContext, Lowered, NoKernel, Operand, View, math};
use crate::ir::{Node, Op};
use crate::tile::{
    self, Access, Builder, Cmp, FloatBin, Index, Kernel, Lane, PointerRef, ScalarId, Storage, Target, VectorOp,
};
use brolga_runtime::DType;

/// A normalisation `x / (bias + scale * sum of squares)^beta`.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Loops: images, channels or blocks, then the elements of a plane; strides of the result and the source.
    pub nest: Nest,
    /// Channels before and after one that count.
    pub reach: (usize, usize),
    /// Factor of the sum.
    pub scale: f32,
    /// Exponent.
    pub beta: f32,
    /// Addend.
    pub bias: f32,
    /// Whether lanes are channels.
    pub blocked: bool,
}

impl Spec {
    /// The program and its number of items.
    pub fn build(&self, target: Target) -> (Kernel, u64) {
        let dims: Vec<String> = self.nest.dims.iter().map(usize::to_string).collect();
        let (before, after) = self.reach;
        let mut k = Builder::new(format!("lrn-{}-{}", before + 1 + after, dims.join("x")), target);
        let (y, x) = (k.base("y", Access::Write), k.base("x", Access::Read));
        // A third operand of stride one along the channels says which one it is.
        let mut nest = self.nest.clone();
        let mut which = vec![0; nest.dims.len()];
        which[1] = 1;
        nest.strides.push(which);
        let keep = nest.dims.len() - 2;
        let share = nest.share(1, keep);
        nest.walk(&mut k, share, if self.blocked { 1 } else { keep }, &mut |k, offsets, run| {
            let pointers = [k.pointer(y, offsets[0]), k.pointer(x, offsets[1])];
            if self.blocked {
                let sum = self.block_sum(k, pointers[1], offsets[2]);
                let x = k.load(pointers[1], 0);
                let y = self.finish(k, x, sum);
                k.store(pointers[0], 0, y);
            } else {
                self.plane(k, pointers, offsets[2], run);
            }
        });
        (k.finish(), share.extent)
    }

    fn finish(&self, k: &mut Builder, x: tile::Operand, sum: tile::Operand) -> tile::Operand {
        let (scale, bias, power) = (k.float(self.scale), k.float(self.bias), k.float(-self.beta));
        let base = k.mul_add(sum, scale, bias);
        let y = math::log(k, base);
        let y = k.mul(y, power);
        let y = math::exp(k, y);
        k.mul(y, x)
    }

    /// One plane: the squares of the same place in neighbouring planes.
    fn plane(&self, k: &mut Builder, pointers: [PointerRef; 2], channel: ScalarId, run: Run) {
        let stride = self.nest.strides[1][1];
        let (zero, count) = (k.num(0), k.num(self.nest.dims[1] as i64));
        let first = k.add_const(channel, -(self.reach.0 as i64));
        let first = k.smax(first, zero);
        let last = k.add_const(channel, self.reach.1 as i64 + 1);
        let last = k.smin(last, count);
        let (first, last) = (k.ssub(first, channel), k.ssub(last, channel));
        let streams = pointers.map(|pointer| Stream { pointer, stride: 4, storage: Storage::B32 });
        vectors(k, &streams, run, 1, &mut |k, s, at, lanes| {
            let acc = k.reg(Lane::F32, &[1]);
            let none = k.float(0.0);
            k.set(acc, &[Index::Const(0)], VectorOp::Copy(none));
            k.for_(first, last, 1, |k, d| {
                let offset = k.mul_const(d, stride);
                let near = Stream { pointer: k.pointer(s[1].pointer, offset), ..s[1] };
                let v = near.load(k, at, lanes);
                k.accumulate(acc, &[Index::Const(0)], v.clone(), v);
            });
            let x = s[1].load(k, at, lanes);
            let sum = k.get(acc, &[Index::Const(0)]);
            let y = self.finish(k, x, sum);
            s[0].store(k, at, y, lanes);
        });
    }

    /// The sums of one pixel's block, from it and its neighbours.
    fn block_sum(&self, k: &mut Builder, x: PointerRef, block: ScalarId) -> tile::Operand {
        let stride = self.nest.strides[1][1];
        let near = k.reg(Lane::F32, &[3]);
        let load = |k: &mut Builder, at: i64| {
            let offset = k.num((at - 1) * stride);
            let x = k.pointer(x, offset);
            let v = k.load(x, 0);
            k.set(near, &[Index::Const(at)], VectorOp::Float(FloatBin::Mul, v.clone(), v));
        };
        let none = |k: &mut Builder, at: i64| {
            let zero = k.float(0.0);
            k.set(near, &[Index::Const(at)], VectorOp::Copy(zero));
        };
        load(k, 1);
        let (zero, last) = (k.num(0), k.num(self.nest.dims[1] as i64 - 1));
        k.if_(Cmp::Gt, block, zero, |k| load(k, 0), |k| none(k, 0));
        k.if_(Cmp::Lt, block, last, |k| load(k, 2), |k| none(k, 2));
        let get = |k: &Builder, at: i64| k.get(near, &[Index::Const(at)]);
        let mut sum = get(k, 1);
        let lanes = k.lanes();
        for d in 1..=self.reach.0 as u32 {
            let moved = k.vector(VectorOp::Slide(get(k, 0), get(k, 1), lanes - d));
            sum = k.add(sum, moved);
        }
        for d in 1..=self.reach.1 as u32 {
            let moved = k.vector(VectorOp::Slide(get(k, 1), get(k, 2), d));
            sum = k.add(sum, moved);
        }
        sum
    }
}

/// Lowers Lrn.
pub fn lower(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    let (&Op::Lrn { size, alpha, beta, bias }, [input], [result]) = (&node.op, &node.inputs[..], &node.outputs[..])
    else {
        return Err(NoKernel("not a local response normalisation".into()));
    };
    expect_type(cx, *input, DType::F32)?;
    let (operand, from) = place(cx, *input)?;
    let to = cx.view(*result)?;
    super::movement::same_layout(&from, to)?;
    let reach = (size.saturating_sub(1) / 2, size / 2);
    let blocked = match &from {
        View::Blocked { lanes, .. } => {
            if *lanes != cx.target.lanes as usize || reach.1 >= *lanes {
                return Err(NoKernel(format!("a window of {size} channels over blocks of {lanes}")));
            }
            true
        }
        View::Plain { .. } => false,
    };
    let ((dims, x), (_, y)) = (nest_of(&from, 4), nest_of(to, 4));
    if dims.len() < 3 || x.last() != Some(&4) || y.last() != Some(&4) {
        return Err(NoKernel("planes that are not contiguous".into()));
    }
    let mut nest = Nest::new(&dims, vec![y, x]);
    if !blocked {
        let planes = Nest::new(&dims[2..], nest.strides.iter().map(|s| s[2..].to_vec()).collect()).collapse(0);
        if planes.dims.len() != 1 {
            return Err(NoKernel("planes that are not contiguous".into()));
        }
        nest.dims.truncate(2);
        nest.dims.extend(&planes.dims);
        nest.strides.iter_mut().for_each(|s| {
            s.truncate(2);
            s.push(4);
        });
    }
    let scale = alpha / size.max(1) as f32;
    let (kernel, extent) = Spec { nest, reach, scale, beta, bias, blocked }.build(cx.target);
    let operands = vec![Operand::Value(*result, 0), operand];
    let mut calls = vec![KernelCall { kernel, operands, args: vec![], extent, barrier_before: false }];
    calls.extend(zero_halo(cx.target, *result, to));
    calls.retain(|c| c.extent > 0);
    Ok(Lowered { calls, temporaries: vec![] })
}
