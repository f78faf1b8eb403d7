//! Softmax and the normalisations: several passes over the elements of a group, then one that writes them.
//!
//! As in a reduction, a group whose elements are contiguous is folded across lanes, and one whose neighbours are contiguous
//! has a lane to itself.

use super::halo::zero_halo;
use super::nest::{Nest, Run, Stream, vectors};
use super::operand::{expect_type, nest_of, place, plain};
use super::reduce::{Join, each, finite, get, value};
use super::{KernelCall, LowerContext, Lowered, NoKernel, Operand, View, math};
use crate::ir::{Node, Op};
use crate::tile::{self, Access, Builder, FloatUn, Index, Kernel, ScalarId, Storage, Target};
use brolga_runtime::DType;

/// What a group's elements become.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// `e^(x - max)` over its sum, or the logarithm of that.
    Softmax {
        /// Logarithm.
        log: bool,
    },
    /// `(x - mean) / sqrt(variance + epsilon)`, times scale, plus bias.
    Moments {
        /// Added to the variance.
        epsilon: f32,
    },
    /// x over the sum of magnitudes (1) or the root of the sum of squares (2).
    Norm {
        /// 1 or 2.
        p: u32,
    },
}

/// A normalisation. The operands of both nests are the result, the source, and scale and bias if there are.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Loops over groups.
    pub outer: Nest,
    /// Loops over the elements of a group.
    pub inner: Nest,
    /// What.
    pub function: Function,
}

/// The loops over one group while a kernel is written.
struct Group<'a> {
    inner: &'a Nest,
    /// The group's first elements; with lanes apart, rows over groups.
    streams: &'a [Stream],
    lanewise: bool,
    /// Groups that count, when lanes are groups and not all are.
    first: Option<ScalarId>,
}

impl Group<'_> {
    /// Calls `body` with rows at each vector of elements.
    fn visit(&self, k: &mut Builder, body: &mut dyn FnMut(&mut Builder, &[Stream], &Index, Option<ScalarId>)) {
        self.inner.whole(k, &mut |k, offsets, run| {
            let rows: Vec<Stream> = (0..self.streams.len())
                .map(|i| Stream {
                    pointer: k.pointer(self.streams[i].pointer, offsets[i]),
                    stride: self.inner.inner(i),
                    storage: Storage::B32,
                })
                .collect();
            if !self.lanewise {
                return vectors(k, &rows, run, 1, body);
            }
            each(k, &rows, run, &mut |k, moved| {
                let moved: Vec<Stream> =
                    moved.iter().zip(self.streams).map(|(m, s)| Stream { stride: s.stride, ..*m }).collect();
                body(k, &moved, &Index::Const(0), self.first);
            });
        });
    }
    /// Joins what `term` makes of each element of the source.
    fn join(
        &self,
        k: &mut Builder,
        join: Join,
        term: &mut dyn FnMut(&mut Builder, tile::Operand, &Stream, &Index, Option<ScalarId>) -> tile::Operand,
    ) -> tile::Operand {
        let acc = join.start(k);
        self.visit(k, &mut |k, s, at, first| {
            let x = s[1].load(k, at, first);
            let x = term(k, x, &s[0], at, first);
            join.add(k, acc, x, if self.lanewise { None } else { first });
        });
        if self.lanewise {
            return value(k, acc);
        }
        let all = get(k, acc);
        join.fold(k, all)
    }
}

impl Spec {
    /// The program and its number of items.
    pub fn build(&self, target: Target) -> (Kernel, u64) {
        let inner = self.inner.collapse(0);
        let mut outer = self.outer.collapse(0);
        let operands = outer.strides.len();
        let lanewise = inner.inner(1) != 4
            && inner.elements() > 1
            && (0..operands).all(|i| outer.inner(i) == 4 || i > 1 && Stream::loads(outer.inner(i), Storage::B32));
        let text = |n: &Nest| n.dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        let what = match self.function {
            Function::Softmax { log: false } => "softmax",
            Function::Softmax { log: true } => "log_softmax",
            Function::Moments { .. } => "normalize",
            Function::Norm { .. } => "norm",
        };
        let mut k = Builder::new(format!("{what}-{}-of-{}", text(&outer), text(&inner)), target);
        let mut bases = vec![k.base("y", Access::Write), k.base("x", Access::Read)];
        bases.extend(["scale", "bias"].iter().take(operands - 2).map(|n| k.base(n, Access::Read)));
        let grain = (4096 / inner.elements().max(1)).max(if lanewise { target.lanes as usize } else { 1 });
        let share = outer.share(grain, 0);
        outer.walk(&mut k, share, 0, &mut |k, offsets, run| {
            let streams: Vec<Stream> = (0..operands)
                .map(|i| Stream {
                    pointer: k.pointer(bases[i], offsets[i]),
                    stride: outer.inner(i),
                    storage: Storage::B32,
                })
                .collect();
            self.groups(k, &inner, &streams, run, lanewise);
        });
        (k.finish(), share.extent)
    }

    fn groups(&self, k: &mut Builder, inner: &Nest, streams: &[Stream], run: Run, lanewise: bool) {
        if lanewise {
            vectors(k, streams, run, 1, &mut |k, streams, _, first| {
                self.group(k, &Group { inner, streams, lanewise, first });
            });
        } else {
            each(k, streams, run, &mut |k, streams| {
                self.group(k, &Group { inner, streams, lanewise, first: None });
            });
        }
    }

    fn group(&self, k: &mut Builder, group: &Group<'_>) {
        match self.function {
            Function::Softmax { log } => softmax(k, group, log),
            Function::Moments { epsilon } => moments(k, group, epsilon),
            Function::Norm { p } => norm(k, group, p),
        }
    }
}

fn softmax(k: &mut Builder, group: &Group<'_>, log: bool) {
    let most = group.join(k, Join::Max, &mut |_, x, _, _, _| x);
    let most = finite(k, most);
    let sum = group.join(k, Join::Add, &mut |k, x, y, at, first| {
        let x = k.sub(x, most.clone());
        let e = math::exp_share(k, x);
        if !log {
            y.store(k, at, e.clone(), first);
        }
        e
    });
    if log {
        let shift = math::log(k, sum);
        return group.visit(k, &mut |k, s, at, first| {
            // The difference to the maximum is exact where the result is small.
            let x = s[1].load(k, at, first);
            let x = k.sub(x, most.clone());
            let y = k.sub(x, shift.clone());
            s[0].store(k, at, y, first);
        });
    }
    group.visit(k, &mut |k, s, at, first| {
        let e = s[0].load(k, at, first);
        let y = k.div(e, sum.clone());
        s[0].store(k, at, y, first);
    });
}

fn moments(k: &mut Builder, group: &Group<'_>, epsilon: f32) {
    let sum = group.join(k, Join::Add, &mut |_, x, _, _, _| x);
    let count = k.float(group.inner.elements() as f32);
    let mean = k.div(sum, count.clone());
    let squares = group.join(k, Join::Add, &mut |k, x, _, _, _| {
        let x = k.sub(x, mean.clone());
        k.mul(x.clone(), x)
    });
    let (epsilon, one) = (k.float(epsilon), k.float(1.0));
    let variance = k.div(squares, count);
    let variance = k.add(variance, epsilon);
    let deviation = k.unary(FloatUn::Sqrt, variance);
    let factor = k.div(one, deviation);
    group.visit(k, &mut |k, s, at, first| {
        let x = s[1].load(k, at, first);
        let x = k.sub(x, mean.clone());
        let mut y = k.mul(x, factor.clone());
        if let Some(scale) = s.get(2) {
            let scale = scale.load(k, at, first);
            y = k.mul(y, scale);
        }
        if let Some(bias) = s.get(3) {
            let bias = bias.load(k, at, first);
            y = k.add(y, bias);
        }
        s[0].store(k, at, y, first);
    });
}

fn norm(k: &mut Builder, group: &Group<'_>, p: u32) {
    let sum = group.join(k, Join::Add, &mut |k, x, _, _, _| {
        if p == 1 { k.unary(FloatUn::Abs, x) } else { k.mul(x.clone(), x) }
    });
    let length = if p == 1 { sum } else { k.unary(FloatUn::Sqrt, sum) };
    // A group of zeros stays as it is.
    let (zero, one) = (k.float(0.0), k.float(1.0));
    let empty = k.cmp(tile::Cmp::Eq, length.clone(), zero);
    let length = k.select(empty, one, length);
    group.visit(k, &mut |k, s, at, first| {
        let x = s[1].load(k, at, first);
        let y = k.div(x, length.clone());
        s[0].store(k, at, y, first);
    });
}

/// Operands and strides over the dimensions of the source while a node is read.
struct Lowering<'a, 'g> {
    cx: &'a LowerContext<'g>,
    node: &'a Node,
    dims: Vec<usize>,
    strides: Vec<Vec<i64>>,
    operands: Vec<Operand>,
}

impl<'a, 'g> Lowering<'a, 'g> {
    fn new(cx: &'a LowerContext<'g>, node: &'a Node) -> Result<Self, NoKernel> {
        let (Some(x), Some(y)) = (node.inputs.first(), node.outputs.first()) else {
            return Err(NoKernel("no operand".into()));
        };
        expect_type(cx, *x, DType::F32)?;
        let (operand, from) = place(cx, *x)?;
        let to = cx.view(*y)?;
        super::movement::same_layout(&from, to)?;
        let ((dims, x_strides), (_, y_strides)) = (nest_of(&from, 4), nest_of(to, 4));
        let operands = vec![Operand::Value(*y, 0), operand];
        Ok(Lowering { cx, node, dims, strides: vec![y_strides, x_strides], operands })
    }
    /// Adds a dense operand whose elements lie along some dimensions, in order.
    fn parameter(&mut self, position: usize, along: &[usize]) -> Result<(), NoKernel> {
        let Some(value) = self.node.inputs.get(position) else {
            return Err(NoKernel(format!("operand {position} is missing")));
        };
        let (operand, view) = place(self.cx, *value)?;
        expect_type(self.cx, *value, DType::F32)?;
        let mut strides = vec![0; self.dims.len()];
        let elements: usize = plain(&view)?.0.iter().product();
        let wanted: usize = along.iter().map(|d| self.dims[*d]).product();
        if elements != 1 || wanted == 1 {
            if elements != wanted || !view.is_dense_plain(4) {
                return Err(NoKernel(format!("operand {position} has {elements} elements, not {wanted}")));
            }
            let mut stride = 4;
            for d in along.iter().rev() {
                strides[*d] = stride;
                stride *= self.dims[*d] as i64;
            }
        }
        self.operands.push(operand);
        self.strides.push(strides);
        Ok(())
    }
    fn finish(self, inner: impl Fn(usize) -> bool, function: Function) -> Result<Lowered, NoKernel> {
        let part = |keep: &dyn Fn(usize) -> bool| {
            let kept: Vec<usize> = (0..self.dims.len()).filter(|d| keep(*d)).collect();
            let dims: Vec<usize> = kept.iter().map(|d| self.dims[*d]).collect();
            Nest::new(&dims, self.strides.iter().map(|s| kept.iter().map(|d| s[*d]).collect()).collect())
        };
        let spec = Spec { outer: part(&|d| !inner(d)), inner: part(&inner), function };
        let narrow = spec.inner.collapse(0);
        if !(0..narrow.strides.len()).all(|i| Stream::loads(narrow.inner(i), Storage::B32)) {
            return Err(NoKernel("a far stride".into()));
        }
        if narrow.inner(0) != 4 && narrow.elements() > 1 && spec.outer.collapse(0).inner(0) != 4 {
            return Err(NoKernel("neither the elements of a group nor the groups are contiguous".into()));
        }
        let (kernel, extent) = spec.build(self.cx.target);
        let mut calls =
            vec![KernelCall { kernel, operands: self.operands, args: vec![], extent, barrier_before: false }];
        if let Some(y) = self.node.outputs.first() {
            calls.extend(zero_halo(self.cx.target, *y, self.cx.view(*y)?));
        }
        calls.retain(|c| c.extent > 0 && spec.inner.elements() > 0);
        Ok(Lowered { calls, temporaries: vec![] })
    }
    fn blocked(&self) -> Result<bool, NoKernel> {
        let y = self.node.outputs.first().ok_or_else(|| NoKernel("no result".into()))?;
        Ok(matches!(self.cx.view(*y)?, View::Blocked { .. }))
    }
}

/// Lowers Softmax, LayerNorm, InstanceNorm, GroupNorm and LpNorm.
pub fn lower(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    let mut l = Lowering::new(cx, node)?;
    let rank = l.dims.len();
    match node.op {
        Op::InstanceNorm { epsilon } if l.blocked()? => {
            let Some(View::Blocked { dims, lanes, .. }) = cx.views.get(&node.outputs[0]) else {
                return Err(NoKernel("no result".into()));
            };
            for position in [1, 2] {
                // One element per channel: as if it were [1, c, 1, 1].
                let value = *node.inputs.get(position).ok_or_else(|| NoKernel("no scale or bias".into()))?;
                let weight = cx.graph.weight(value).filter(|w| super::PackSpec::accepts(w) && w.shape() == [dims[1]]);
                if weight.is_none() {
                    return Err(NoKernel("a scale that is not constant".into()));
                }
                l.operands.push(Operand::Packed(value, super::PackSpec::padded(dims[1], *lanes)));
                l.strides.push(vec![0, 4 * *lanes as i64, 0, 0, 4]);
            }
            l.finish(|d| d == 2 || d == 3, Function::Moments { epsilon })
        }
        _ if l.blocked()? => Err(NoKernel("a normalisation across blocks of channels".into())),
        Op::Softmax { axis, log } => l.finish(|d| d == axis, Function::Softmax { log }),
        Op::LpNorm { axis, p } if p == 1 || p == 2 => l.finish(|d| d == axis, Function::Norm { p }),
        Op::LayerNorm { axis, epsilon, bias } => {
            let along: Vec<usize> = (axis..rank).collect();
            l.parameter(1, &along)?;
            if bias {
                l.parameter(2, &along)?;
            }
            l.finish(|d| d >= axis, Function::Moments { epsilon })
        }
        Op::InstanceNorm { epsilon } if rank > 2 => {
            l.parameter(1, &[1])?;
            l.parameter(2, &[1])?;
            l.finish(|d| d > 1, Function::Moments { epsilon })
        }
        Op::GroupNorm { groups, epsilon } if rank > 2 && groups > 0 && l.dims[1] % groups == 0 => {
            let channels = l.dims[1] / groups;
            l.dims[1] = groups;
            l.dims.insert(2, channels);
            for s in &mut l.strides {
                s.insert(2, s[1]);
                s[1] *= channels as i64;
            }
            l.parameter(1, &[1, 2])?;
            l.parameter(2, &[1, 2])?;
            l.finish(|d| d > 1, Function::Moments { epsilon })
        }
        _ => Err(NoKernel(format!("{:?} of rank {rank}", node.op))),
    }
}
