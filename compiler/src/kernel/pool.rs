//! Max and average pooling over blocks of channels: any window, stride, padding and dilation.
//!
//! A row of the result is one unit of work. Where the whole window is inside the row of the source, several results go
//! through the columns of the window together; at the edges one result at a time visits the columns that exist.

use super::halo::zero_halo;
use super::{KernelCall, LowerContext, Lowered, NoKernel, Operand, View};
use crate::ir::infer::conv_pads;
use crate::ir::{Node, Op, PoolKind};
use crate::tile::{
    self, Access, Builder, FloatBin, Index, Kernel, Lane, PointerRef, RegId, ScalarId, Target, VectorOp,
};

/// One spatial dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Extent of the source.
    pub input: i64,
    /// Extent of the result.
    pub output: i64,
    /// Extent of the window.
    pub kernel: i64,
    /// Step.
    pub stride: i64,
    /// Spacing of the taps.
    pub dilation: i64,
    /// Padding before.
    pub begin: i64,
    /// Padding after.
    pub end: i64,
    /// Bytes from one index of the source to the next.
    pub from: i64,
    /// Bytes from one index of the result to the next.
    pub to: i64,
}

impl Axis {
    /// Results whose window is inside the source: first, and one past the last.
    fn interior(&self) -> (i64, i64) {
        let reach = (self.kernel - 1) * self.dilation;
        let first = self.begin.max(0).div_ceil_positive(self.stride);
        let last = (self.input - 1 - reach + self.begin).div_euclid(self.stride) + 1;
        let first = first.min(self.output);
        (first, last.clamp(first, self.output))
    }
}

trait DivCeil {
    fn div_ceil_positive(self, by: i64) -> i64;
}
impl DivCeil for i64 {
    fn div_ceil_positive(self, by: i64) -> i64 {
        (self + by - 1).div_euclid(by)
    }
}

/// A pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Images and channel blocks with the strides of source and result.
    pub planes: [(usize, i64, i64); 2],
    /// Rows.
    pub rows: Axis,
    /// Columns.
    pub columns: Axis,
    /// Average instead of maximum; whether padding counts.
    pub average: Option<bool>,
}

/// Taps of a window that exist: a range of taps, and the byte offset of tap zero.
struct Taps {
    first: ScalarId,
    last: ScalarId,
    /// Taps that count for an average.
    counted: ScalarId,
    offset: ScalarId,
}

impl Spec {
    /// The program and its number of items.
    pub fn build(&self, target: Target) -> (Kernel, u64) {
        let what = if self.average.is_some() { "avgpool" } else { "maxpool" };
        let (r, c) = (&self.rows, &self.columns);
        let name = format!("{what}-{}x{}-s{}x{}-{}x{}", r.kernel, c.kernel, r.stride, c.stride, r.output, c.output);
        let mut k = Builder::new(name, target);
        let (y, x) = (k.base("y", Access::Write), k.base("x", Access::Read));
        let (begin, end) = (k.begin(), k.end());
        k.for_(begin, end, 1, |k, item| {
            let row = k.rem_const(item, r.output);
            let plane = k.div_const(item, r.output);
            let [(_, xn, yn), (blocks, xb, yb)] = self.planes;
            let block = k.rem_const(plane, blocks as i64);
            let image = k.div_const(plane, blocks as i64);
            let taps = self.taps(k, r, row);
            let (from, to) = (self.at(k, image, xn, block, xb), self.at(k, image, yn, block, yb));
            let from = k.sadd(from, taps.offset);
            let down = k.mul_const(row, r.to);
            let to = k.sadd(to, down);
            let (y, x) = (k.pointer(y, to), k.pointer(x, from));
            self.row(k, &taps, y, x);
        });
        let planes = self.planes[0].0 * self.planes[1].0;
        (k.finish(), planes as u64 * r.output.max(0) as u64)
    }

    fn at(&self, k: &mut Builder, image: ScalarId, by: i64, block: ScalarId, block_by: i64) -> ScalarId {
        let image = k.mul_const(image, by);
        let block = k.mul_const(block, block_by);
        k.sadd(image, block)
    }

    /// The taps of result `at` of an axis.
    fn taps(&self, k: &mut Builder, axis: &Axis, at: ScalarId) -> Taps {
        let start = k.mul_const(at, axis.stride);
        let start = k.add_const(start, -axis.begin);
        let zero = k.num(0);
        let window = k.num(axis.kernel);
        // The first tap with start + tap * dilation >= 0 and the first at or beyond a limit.
        let beyond = |k: &mut Builder, limit: i64| {
            let limit = k.num(limit + axis.dilation - 1);
            let left = k.ssub(limit, start);
            let left = k.smax(left, zero);
            let taps = k.div_const(left, axis.dilation);
            k.smin(taps, window)
        };
        let first = beyond(k, 0);
        let last = beyond(k, axis.input);
        let last = k.smax(last, first);
        let counted = match self.average {
            Some(true) => beyond(k, axis.input + axis.end),
            _ => k.ssub(last, first),
        };
        let offset = k.mul_const(start, axis.from);
        Taps { first, last, counted, offset }
    }

    fn row(&self, k: &mut Builder, rows: &Taps, y: PointerRef, x: PointerRef) {
        let c = &self.columns;
        let (inner, outer) = c.interior();
        let (zero, inner_at, outer_at, end) = (k.num(0), k.num(inner), k.num(outer), k.num(c.output));
        for (from, to, any) in [(zero, inner_at, inner > 0), (outer_at, end, outer < c.output)] {
            if any {
                k.for_(from, to, 1, |k, at| self.edge(k, rows, at, y, x));
            }
        }
        let width = outer - inner;
        if width == 0 {
            return;
        }
        let together = width.min(4);
        let count = width.div_ceil_positive(together);
        k.for_count(count, |k, i| {
            // The last group overlaps the one before it.
            let at = k.mul_const(i, together);
            let at = k.add_const(at, inner);
            let most = k.num(outer - together);
            let at = k.smin(at, most);
            let from = k.mul_const(at, c.stride * c.from);
            let from = k.add_const(from, -c.begin * c.from);
            let to = k.mul_const(at, c.to);
            let (y, x) = (k.pointer(y, to), k.pointer(x, from));
            self.group(k, rows, together as u32, y, x);
        });
    }

    fn start(&self, k: &mut Builder, count: u32) -> RegId {
        let acc = k.reg(Lane::F32, &[count]);
        let first = if self.average.is_some() { 0.0 } else { f32::NEG_INFINITY };
        let first = k.float(first);
        for i in 0..count {
            k.set(acc, &[Index::Const(i.into())], VectorOp::Copy(first.clone()));
        }
        acc
    }

    fn join(&self, k: &mut Builder, acc: RegId, at: Index, x: tile::Operand) {
        let op = if self.average.is_some() { FloatBin::Add } else { FloatBin::Max };
        let old = k.get(acc, std::slice::from_ref(&at));
        k.set(acc, &[at], VectorOp::Float(op, x, old));
    }

    /// Some results whose windows are inside.
    fn group(&self, k: &mut Builder, rows: &Taps, count: u32, y: PointerRef, x: PointerRef) {
        let c = &self.columns;
        let acc = self.start(k, count);
        let (down, across) = (self.rows.dilation * self.rows.from, c.dilation * c.from);
        let step = c.stride * c.from;
        k.for_(rows.first, rows.last, 1, |k, tap| {
            let offset = k.mul_const(tap, down);
            let x = k.pointer(x, offset);
            let taps = |k: &mut Builder, x: PointerRef| {
                k.unroll(count, |k, u| {
                    let v = k.load(x, u * step);
                    self.join(k, acc, u.into(), v);
                });
            };
            // Short windows are written out.
            if c.kernel * i64::from(count) <= 24 {
                for tap in 0..c.kernel {
                    let offset = k.num(tap * across);
                    let x = k.pointer(x, offset);
                    taps(k, x);
                }
            } else {
                k.for_count(c.kernel, |k, tap| {
                    let offset = k.mul_const(tap, across);
                    let x = k.pointer(x, offset);
                    taps(k, x);
                });
            }
        });
        let divisor = self.average.map(|_| {
            let counted = k.mul_const(rows.counted, c.kernel);
            self.divisor(k, counted)
        });
        k.unroll(count, |k, u| {
            let mut v = k.get(acc, &[u.into()]);
            if let Some(divisor) = &divisor {
                v = k.div(v, divisor.clone());
            }
            k.store(y, u * c.to, v);
        });
    }

    fn divisor(&self, k: &mut Builder, counted: ScalarId) -> tile::Operand {
        let n = k.vector(VectorOp::SplatScalar(counted));
        k.vector(VectorOp::ToFloat(n))
    }

    /// One result whose window may reach outside.
    fn edge(&self, k: &mut Builder, rows: &Taps, at: ScalarId, y: PointerRef, x: PointerRef) {
        let c = &self.columns;
        let taps = self.taps(k, c, at);
        let acc = self.start(k, 1);
        let x = k.pointer(x, taps.offset);
        let (down, across) = (self.rows.dilation * self.rows.from, c.dilation * c.from);
        k.for_(rows.first, rows.last, 1, |k, row| {
            let offset = k.mul_const(row, down);
            let x = k.pointer(x, offset);
            k.for_(taps.first, taps.last, 1, |k, tap| {
                let offset = k.mul_const(tap, across);
                let x = k.pointer(x, offset);
                let v = k.load(x, 0);
                self.join(k, acc, Index::Const(0), v);
            });
        });
        let mut v = k.get(acc, &[Index::Const(0)]);
        if self.average.is_some() {
            let counted = k.smul(rows.counted, taps.counted);
            let one = k.num(1);
            let counted = k.smax(counted, one);
            let divisor = self.divisor(k, counted);
            v = k.div(v, divisor);
        }
        let to = k.mul_const(at, c.to);
        let y = k.pointer(y, to);
        k.store(y, 0, v);
    }
}

/// Lowers Pool on blocked operands.
pub fn lower(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    let (Op::Pool { kind, window, .. }, [_], [result]) = (&node.op, &node.inputs[..], &node.outputs[..]) else {
        return Err(NoKernel("pooling with one operand and one result is what kernels do".into()));
    };
    let average = match kind {
        PoolKind::Max => None,
        PoolKind::Average { count_pad } => Some(*count_pad),
        PoolKind::Lp { .. } => return Err(NoKernel("pooling by a p-norm".into())),
    };
    let (from, to) = (cx.input(node, 0)?, cx.view(*result)?);
    let (View::Blocked { dims: i, lanes, strides: s, .. }, View::Blocked { dims: o, lanes: ol, strides: t, .. }) =
        (from, to)
    else {
        return Err(NoKernel("pooling of plain operands".into()));
    };
    if lanes != ol || *lanes != cx.target.lanes as usize || window.kernel.len() != 2 {
        return Err(NoKernel(format!("blocks of {lanes} and {ol} channels")));
    }
    if [&window.stride, &window.dilation].into_iter().any(|s| s.len() != 2 || s.contains(&0)) {
        return Err(NoKernel("a window without a step".into()));
    }
    let blocks = i[1].div_ceil(*lanes);
    let pads = conv_pads(window, &i[2..]);
    let axis = |d: usize| Axis {
        input: i[d + 2] as i64,
        output: o[d + 2] as i64,
        kernel: window.kernel[d] as i64,
        stride: window.stride[d] as i64,
        dilation: window.dilation[d] as i64,
        begin: pads.0[d],
        end: pads.1[d],
        from: s[d + 2],
        to: t[d + 2],
    };
    let planes = [(i[0], s[0], t[0]), (blocks, s[1], t[1])];
    let (kernel, extent) = Spec { planes, rows: axis(0), columns: axis(1), average }.build(cx.target);
    let operands = vec![Operand::Value(*result, 0), Operand::Value(node.inputs[0], 0)];
    let mut calls = vec![KernelCall { kernel, operands, args: vec![], extent, barrier_before: false }];
    calls.extend(zero_halo(cx.target, *result, to));
    calls.retain(|c| c.extent > 0);
    Ok(Lowered { calls, temporaries: vec![] })
}
