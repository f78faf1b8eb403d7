//! lift-3d: convolutions and poolings over three dimensions become two-dimensional ones, so that the same kernels serve them.
//!
//! A convolution sees the planes that one output plane reads as further channels: they are gathered and the weight is read
//! as one of so many channels. So does a transposed convolution, with the planes whose products are added up in one output
//! plane. A pooling goes over the planes first, then over what is left along the depth, its count of elements being a
//! product.
//! Needs: known shapes; batch norms folded, and no epilogues yet.

use super::rewrite::{Miss, Rule, require};
use super::weights::{reshaped, transposed};
use crate::ir::infer::{conv_pads, conv_transpose_pads};
use crate::ir::{AutoPad, Dim, Graph, Ints, Node, Op, Patch, PoolKind, ValueId, Weight, Window};
use brolga_runtime::DType;
use brolga_runtime::library::PadMode;

/// The pass.
pub struct Lift3d;

impl Rule for Lift3d {
    fn name(&self) -> &'static str {
        "lift-3d"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let dims = |v: &ValueId| graph.ty(*v).dims().ok_or(Miss::Elsewhere);
        let single = node.inputs.iter().all(|v| graph.ty(*v).dtype == DType::F32) && node.outputs.len() == 1;
        require(single && matches!(node.op, Op::Conv { .. } | Op::ConvTranspose { .. } | Op::Pool { .. }))?;
        let (x, y) = (dims(&node.inputs[0])?, dims(&node.outputs[0])?);
        require(x.len() == 5 && !x.contains(&0) && !y.contains(&0))?;
        let mut lift = Lift { graph, patch: Patch::new(graph, "three dimensions as planes"), node, x, y };
        let new = match &node.op {
            Op::Conv { window, group, bias, epilogue } if epilogue.steps.is_empty() => lift.conv(window, *group, *bias),
            Op::ConvTranspose { window, output_pad, group, bias, epilogue } if epilogue.steps.is_empty() => {
                lift.transposed(window, output_pad, *group, *bias)
            }
            Op::Pool { kind, window, ceil, .. } if !matches!(kind, PoolKind::Lp { .. }) => {
                Some(lift.pool(*kind, window, *ceil))
            }
            _ => None,
        };
        let new = new.ok_or(Miss::Elsewhere)?;
        lift.patch.replace(node.outputs[0], new);
        Ok(lift.patch)
    }
}

struct Lift<'a> {
    graph: &'a Graph,
    patch: Patch,
    node: &'a Node,
    /// Shapes of operand 0 and of the result.
    x: Vec<usize>,
    y: Vec<usize>,
}

fn ints(list: &[usize]) -> Ints {
    Ints::Known(list.iter().map(|n| Dim::Const(*n as i64)).collect())
}

/// Some dimensions of a window, paddings explicit.
fn part(window: &Window, pads: &(Vec<i64>, Vec<i64>), dims: &[usize]) -> Window {
    let pick = |list: &[usize]| dims.iter().map(|d| list[*d]).collect();
    Window {
        kernel: pick(&window.kernel),
        stride: pick(&window.stride),
        dilation: pick(&window.dilation),
        pad_begin: dims.iter().map(|d| pads.0[*d]).collect(),
        pad_end: dims.iter().map(|d| pads.1[*d]).collect(),
        auto_pad: AutoPad::Explicit,
    }
}

impl Lift<'_> {
    fn add(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        self.patch.node(op, inputs, self.node.name.clone())
    }
    fn reshape(&mut self, value: ValueId, shape: &[usize]) -> ValueId {
        self.add(Op::Reshape { shape: ints(shape), allow_zero: true }, &[value])
    }

    /// Of each plane of the result the planes of the operand that its taps read, as channels of an image: `source` tells the
    /// plane of a plane of the result and a tap.
    fn images(&mut self, planes: ValueId, taps: usize, source: impl Fn(usize, usize) -> usize) -> ValueId {
        let (n, c, h, w, depth) = (self.x[0], self.x[1], self.x[3], self.x[4], self.y[2]);
        let bytes = (0..depth * taps).flat_map(|i| (source(i / taps, i % taps) as i64).to_le_bytes());
        let index = Weight::from_bytes(DType::I64, vec![depth * taps], bytes.collect::<Vec<u8>>().into());
        let index = self.patch.weight(format!("{}.planes", self.node.name), index);
        let gathered = self.add(Op::Gather { axis: 2 }, &[planes, index]);
        let apart = self.reshape(gathered, &[n, c, depth, taps, h, w]);
        let turned = self.add(Op::Transpose { perm: vec![0, 2, 1, 3, 4, 5] }, &[apart]);
        self.reshape(turned, &[n * depth, c * taps, h, w])
    }

    /// The operand with more planes of zeros at its ends; fewer where a number is negative.
    fn padded(&mut self, before: i64, after: i64) -> ValueId {
        let x = self.node.inputs[0];
        if before == 0 && after == 0 {
            return x;
        }
        let mut list = vec![Dim::Const(0); 10];
        (list[2], list[7]) = (Dim::Const(before), Dim::Const(after));
        self.add(Op::Pad { mode: PadMode::Constant(0.0), pads: Ints::Known(list) }, &[x])
    }

    /// The weight with its dimensions in another order, then in another shape.
    fn weight(&mut self, perm: &[usize], shape: &[usize]) -> ValueId {
        let value = self.node.inputs[1];
        let turned = self.graph.weight(value).and_then(|weight| transposed(weight, perm));
        match turned.and_then(|weight| reshaped(&weight, shape)) {
            Some(weight) => self.patch.weight(self.graph.value(value).name.clone(), weight),
            None => {
                let still = perm.iter().enumerate().all(|(i, p)| i == *p);
                let turned = if still { value } else { self.add(Op::Transpose { perm: perm.to_vec() }, &[value]) };
                self.reshape(turned, shape)
            }
        }
    }

    /// A contraction over the images and the weight, its images as planes again.
    fn contraction(&mut self, op: Op, images: ValueId, weight: ValueId, bias: bool) -> ValueId {
        let mut operands = vec![images, weight];
        operands.extend(self.node.inputs.get(2).filter(|_| bias));
        let made = self.add(op, &operands);
        let [n, channels, depth, h, w] = self.y[..] else { return made };
        let apart = self.reshape(made, &[n, depth, channels, h, w]);
        self.add(Op::Transpose { perm: vec![0, 2, 1, 3, 4] }, &[apart])
    }

    fn conv(&mut self, window: &Window, group: usize, bias: bool) -> Option<ValueId> {
        let [outputs, inputs, taps, rows, columns] = self.graph.ty(self.node.inputs[1]).dims()?[..] else {
            return None;
        };
        let pads = conv_pads(window, &self.x[2..]);
        let planes = self.padded(pads.0[0], pads.1[0]);
        let images = self.images(planes, taps, |plane, tap| plane * window.stride[0] + tap * window.dilation[0]);
        let weight = self.weight(&[0, 1, 2, 3, 4], &[outputs, inputs * taps, rows, columns]);
        let op = Op::Conv { window: part(window, &pads, &[1, 2]), group, bias, epilogue: Default::default() };
        Some(self.contraction(op, images, weight, bias))
    }

    /// A plane that no tap of a plane of the result hits is one of zeros, behind the others.
    fn transposed(&mut self, window: &Window, output_pad: &[i64], group: usize, bias: bool) -> Option<ValueId> {
        let [inputs, outputs, taps, rows, columns] = self.graph.ty(self.node.inputs[1]).dims()?[..] else {
            return None;
        };
        let pads = conv_transpose_pads(window, output_pad, &self.x[2..]);
        let (depth, stride) = (self.x[2], window.stride[0] as i64);
        let planes = self.padded(0, 1);
        let images = self.images(planes, taps, |plane, tap| {
            let from = plane as i64 + pads.0[0] - (tap * window.dilation[0]) as i64;
            let hit = usize::try_from(from / stride).ok().filter(|source| from % stride == 0 && *source < depth);
            hit.unwrap_or(depth)
        });
        let weight = self.weight(&[0, 2, 1, 3, 4], &[inputs * taps, outputs, rows, columns]);
        let (window, output_pad) = (part(window, &pads, &[1, 2]), output_pad.get(1..)?.to_vec());
        let op = Op::ConvTranspose { window, output_pad, group, bias, epilogue: Default::default() };
        Some(self.contraction(op, images, weight, bias))
    }

    fn pool(&mut self, kind: PoolKind, window: &Window, ceil: bool) -> ValueId {
        let pads = conv_pads(window, &self.x[2..]);
        let (x, y) = (self.x.clone(), self.y.clone());
        let planes = self.reshape(self.node.inputs[0], &[x[0], x[1] * x[2], x[3], x[4]]);
        let pool = |window: Window| Op::Pool { kind, window, ceil, column_major: false };
        let pooled = self.add(pool(part(window, &pads, &[1, 2])), &[planes]);
        let lines = self.reshape(pooled, &[x[0], x[1], x[2], y[3] * y[4]]);
        let mut along = part(window, &pads, &[0]);
        for (list, one) in [(&mut along.kernel, 1), (&mut along.stride, 1), (&mut along.dilation, 1)] {
            list.push(one);
        }
        along.pad_begin.push(0);
        along.pad_end.push(0);
        let pooled = self.add(pool(along), &[lines]);
        self.reshape(pooled, &y)
    }
}
