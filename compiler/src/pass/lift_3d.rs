//! lift-3d: convolutions and poolings over three dimensions become two-dimensional ones, so that the same kernels serve them.
//!
//! A convolution sees the planes that one output plane reads as further channels: they are gathered and the weight is read
//! as one of so many channels. A pooling goes over the planes first, then over what is left along the depth, its count of
//! elements being a product.
//! Needs: known shapes; batch norms folded, and no epilogues yet.

use super::rewrite::{Miss, Rule, require};
use super::weights::reshaped;
use crate::ir::infer::conv_pads;
use crate::ir::{AutoPad, Graph, Ints, Node, Op, Patch, PoolKind, ValueId, Weight, Window};
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
        require(single && matches!(node.op, Op::Conv { .. } | Op::Pool { .. }))?;
        let (x, y) = (dims(&node.inputs[0])?, dims(&node.outputs[0])?);
        require(x.len() == 5 && !x.contains(&0) && !y.contains(&0))?;
        let mut lift = Lift { graph, patch: Patch::new(graph, "three dimensions as planes"), node, x, y };
        let new = match &node.op {
            Op::Conv { window, group, bias, epilogue } if epilogue.steps.is_empty() => lift.conv(window, *group, *bias),
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
    Ints::Known(list.iter().map(|n| crate::ir::Dim::Const(*n as i64)).collect())
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

    fn conv(&mut self, window: &Window, group: usize, bias: bool) -> Option<ValueId> {
        let weight = self.graph.ty(self.node.inputs[1]).dims()?;
        let [outputs, inputs, taps, rows, columns] = weight[..] else { return None };
        let (n, c, h, w, depth) = (self.x[0], self.x[1], self.x[3], self.x[4], self.y[2]);
        let pads = conv_pads(window, &self.x[2..]);
        let mut planes = self.node.inputs[0];
        if pads.0[0] != 0 || pads.1[0] != 0 {
            let mut list = vec![crate::ir::Dim::Const(0); 10];
            (list[2], list[7]) = (crate::ir::Dim::Const(pads.0[0]), crate::ir::Dim::Const(pads.1[0]));
            planes = self.add(Op::Pad { mode: PadMode::Constant(0.0), pads: Ints::Known(list) }, &[planes]);
        }
        let plane = |i: usize| (i / taps * window.stride[0] + i % taps * window.dilation[0]) as i64;
        let bytes: Vec<u8> = (0..depth * taps).flat_map(|i| plane(i).to_le_bytes()).collect();
        let index = Weight::from_bytes(DType::I64, vec![depth * taps], bytes.into());
        let index = self.patch.weight(format!("{}.planes", self.node.name), index);
        let gathered = self.add(Op::Gather { axis: 2 }, &[planes, index]);
        let apart = self.reshape(gathered, &[n, c, depth, taps, h, w]);
        let turned = self.add(Op::Transpose { perm: vec![0, 2, 1, 3, 4, 5] }, &[apart]);
        let images = self.reshape(turned, &[n * depth, c * taps, h, w]);
        let flat = [outputs, inputs * taps, rows, columns];
        let lifted = self.graph.weight(self.node.inputs[1]).and_then(|weight| reshaped(weight, &flat));
        let weight = match lifted {
            Some(lifted) => self.patch.weight(self.graph.value(self.node.inputs[1]).name.clone(), lifted),
            None => self.reshape(self.node.inputs[1], &flat),
        };
        let mut operands = vec![images, weight];
        operands.extend(self.node.inputs.get(2).filter(|_| bias));
        let window = part(window, &pads, &[1, 2]);
        let made = self.add(Op::Conv { window, group, bias, epilogue: Default::default() }, &operands);
        let (oh, ow) = (self.y[3], self.y[4]);
        let apart = self.reshape(made, &[n, depth, outputs, oh, ow]);
        Some(self.add(Op::Transpose { perm: vec![0, 2, 1, 3, 4] }, &[apart]))
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
