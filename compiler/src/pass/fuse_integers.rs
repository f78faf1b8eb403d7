//! fuse-integers: a convolution or matrix product between dequantisation and quantisation becomes one on bytes, and what
//! follows it - scale, bias, activation, the sum with a shortcut, quantisation - its epilogue.
//!
//! The chain after the product is followed while each value has one reader. It ends at the last quantisation, or where no
//! quantisation comes, at the last step that fits. A quantisation in the middle of a chain is computed exactly: rounded,
//! saturated, and scaled back.

use super::quantisation::{dequantized, floats, per_tensor, single};
use super::rewrite::{Miss, Rule, require};
use super::{facts, join_names};
use crate::ir::{Arg, BinaryOp, Expression, Graph, Node, Op, Patch, Step, UnaryOp, ValueId, Weight};
use crate::kernel::conv::integer::refusal;
use brolga_runtime::DType;

/// Steps that a chain may have.
const LONGEST: usize = 24;
/// How far the scale of a quantised bias may be from the product of the other two, in proportion.
const BIAS_SCALE: f32 = 1e-5;

/// The pass.
pub struct FuseIntegers;

impl Rule for FuseIntegers {
    fn name(&self) -> &'static str {
        "fuse-integers"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        match &node.op {
            Op::Conv { bias, epilogue, .. } | Op::MatMul { trans_a: false, bias, epilogue, .. } => {
                require(epilogue.steps.is_empty())?;
                dequantized_product(graph, node, *bias)
            }
            Op::ConvInteger { bias: false, to: DType::I32, .. } => raw_product(graph, node),
            Op::MatMulInteger { bias: false, to: DType::I32, .. } => raw_product(graph, node),
            _ => Err(Miss::Elsewhere),
        }
    }
}

/// The other operand of a step.
#[derive(Clone)]
enum Other {
    Number(f32),
    /// One number per channel, made by the pass.
    Channels(Vec<f32>),
    /// A value read as it is.
    Value(ValueId),
    /// A quantised value: scale and zero point.
    Quantized(ValueId, f32, f32),
}

/// One step after the sums.
enum Link {
    Unary(UnaryOp),
    /// The operation, the other operand, and whether that comes first.
    Binary(BinaryOp, Other, bool),
    /// Scale and zero point.
    Quantize(f32, f32),
    Dequantize(f32, f32),
}

/// A chain of steps and the value it makes.
struct Chain {
    links: Vec<Link>,
    value: ValueId,
    /// Name of the fused node.
    name: String,
    images: bool,
}

/// Dimension of a product's result that counts channels.
fn channel_axis(graph: &Graph, node: &Node) -> usize {
    if matches!(node.op, Op::Conv { .. } | Op::ConvInteger { .. }) {
        1
    } else {
        graph.ty(node.outputs[0]).rank().saturating_sub(1)
    }
}

/// The integer operation of a product: its operands follow.
fn integer_op(op: &Op, bias: bool, to: DType, epilogue: Expression) -> Option<Op> {
    Some(match op {
        Op::Conv { window, group, .. } | Op::ConvInteger { window, group, .. } => {
            Op::ConvInteger { window: window.clone(), group: *group, bias, to, epilogue }
        }
        Op::MatMul { trans_b, .. } | Op::MatMulInteger { trans_b, .. } => {
            Op::MatMulInteger { trans_b: *trans_b, bias, to, epilogue }
        }
        _ => return None,
    })
}

/// Refuses what no kernel takes.
fn check(graph: &Graph, node: &Node, inputs: &[ValueId]) -> Result<(), Miss> {
    let probe = integer_op(&node.op, false, DType::F32, Expression::default()).ok_or(Miss::Elsewhere)?;
    match refusal(graph, &probe, inputs, graph.ty(node.outputs[0])) {
        Some(why) => Err(Miss::blocked(why)),
        None => Ok(()),
    }
}

fn dequantized_product(graph: &Graph, node: &Node, bias: bool) -> Result<Patch, Miss> {
    let [x, w] = [0, 1].map(|i| dequantized(graph, node.inputs[i]));
    let (x, w) = x.zip(w).ok_or(Miss::Elsewhere)?;
    let (x_scale, _) = per_tensor(graph, x).ok_or(Miss::Elsewhere)?;
    let (Some(&x_zero), Some(&w_zero)) = (x.inputs.get(2), w.inputs.get(2)) else {
        return Err(Miss::blocked("a zero point is left out"));
    };
    let inputs = [x.inputs[0], w.inputs[0], x_zero, w_zero];
    check(graph, node, &inputs)?;
    let axis = channel_axis(graph, node);
    let channels = facts::extent(graph.ty(node.outputs[0]), axis).ok_or(Miss::Elsewhere)?;
    let Op::Dequantize { axis: w_axis, .. } = w.op else { return Err(Miss::Elsewhere) };
    let mut scales = floats(graph, w.inputs[1]).ok_or(Miss::Elsewhere)?;
    let wanted = usize::from(matches!(node.op, Op::MatMul { trans_b: false, .. }));
    require(scales.len() == 1 || scales.len() == channels && w_axis == wanted)?;
    scales.iter_mut().for_each(|s| *s *= x_scale);
    let scales = if scales.len() == 1 { vec![scales[0]; channels] } else { scales };
    let mut chain = Chain {
        links: vec![Link::Binary(BinaryOp::Mul, Other::Channels(scales.clone()), false)],
        value: node.outputs[0],
        name: node.name.clone(),
        images: axis == 1 && matches!(node.op, Op::Conv { .. }),
    };
    let mut integer_bias = None;
    if bias {
        match quantized_bias(graph, node.inputs[2], &scales) {
            Some(value) => integer_bias = Some(value),
            None => {
                let added = floats(graph, node.inputs[2]).filter(|b| b.len() == channels);
                let added = added.ok_or_else(|| Miss::blocked("the bias is computed at run time"))?;
                chain.links.push(Link::Binary(BinaryOp::Add, Other::Channels(added), false));
            }
        }
    }
    let to = chain.follow(graph);
    chain.patch(graph, node, &inputs, integer_bias, to)
}

/// The i32 constant that a bias is, when its scale is the product of the operands'.
fn quantized_bias(graph: &Graph, bias: ValueId, scales: &[f32]) -> Option<ValueId> {
    let node = dequantized(graph, bias)?;
    let value = node.inputs[0];
    let own = floats(graph, node.inputs[1])?;
    let plain = node.inputs.get(2).is_none_or(|z| floats(graph, *z).is_some_and(|z| z.iter().all(|z| *z == 0.0)));
    let close = |(i, scale): (usize, &f32)| {
        let mine = if own.len() == 1 { own.first() } else { own.get(i) };
        mine.is_some_and(|s| (s - scale).abs() <= BIAS_SCALE * scale.abs())
    };
    let fits = graph.weight(value).is_some() && graph.ty(value).dtype == DType::I32 && plain;
    (fits && scales.iter().enumerate().all(close)).then_some(value)
}

/// An integer product of the model: converted to f32 by the one node that reads it.
fn raw_product(graph: &Graph, node: &Node) -> Result<Patch, Miss> {
    let inputs = [0, 1, 2, 3].map(|i| node.inputs[i]);
    let cast = graph.only_reader(node.outputs[0]).ok_or(Miss::Elsewhere)?;
    require(matches!(cast.op, Op::Cast(DType::F32)) && !graph.is_output(node.outputs[0]))?;
    check(graph, node, &inputs)?;
    let images = matches!(node.op, Op::ConvInteger { .. });
    let mut chain = Chain { links: vec![], value: cast.outputs[0], name: join_names(&node.name, &cast.name), images };
    let to = chain.follow(graph);
    chain.patch(graph, node, &inputs, None, to)
}

impl Chain {
    /// Follows the readers; the element type of the result.
    fn follow(&mut self, graph: &Graph) -> DType {
        let mut best: Option<(usize, ValueId, String)> = None;
        while self.links.len() < LONGEST && !graph.is_output(self.value) {
            let Some(reader) = graph.only_reader(self.value) else { break };
            let Some(link) = self.link(graph, reader) else { break };
            let quantized = matches!(link, Link::Quantize(..));
            self.links.push(link);
            self.value = reader.outputs[0];
            self.name = join_names(&self.name, &reader.name);
            if quantized {
                best = Some((self.links.len(), self.value, self.name.clone()));
            }
        }
        let Some((count, value, name)) = best else { return DType::F32 };
        self.links.truncate(count);
        (self.value, self.name) = (value, name);
        DType::U8
    }

    fn link(&self, graph: &Graph, reader: &Node) -> Option<Link> {
        let [result] = reader.outputs[..] else { return None };
        if graph.ty(result).shape != graph.ty(self.value).shape {
            return None;
        }
        match &reader.op {
            Op::Unary(op) if graph.ty(result).dtype == DType::F32 && !matches!(op, UnaryOp::Not | UnaryOp::IsNaN) => {
                Some(Link::Unary(*op))
            }
            Op::Binary(op) if graph.ty(result).dtype == DType::F32 => {
                use BinaryOp::{Add, Div, Max, Min, Mul, Sub};
                let [a, b] = reader.inputs[..] else { return None };
                if a == b || !matches!(op, Add | Sub | Mul | Div | Min | Max) {
                    return None;
                }
                let (first, other) = if a == self.value { (false, b) } else { (true, a) };
                Some(Link::Binary(*op, self.other(graph, other)?, first))
            }
            Op::Quantize { to: DType::U8, block: 0, precision: DType::F32, .. } if reader.inputs[0] == self.value => {
                let (scale, zero) = per_tensor(graph, reader)?;
                Some(Link::Quantize(scale, zero))
            }
            Op::Dequantize { to: DType::F32, block: 0, .. } if reader.inputs[0] == self.value => {
                let (scale, zero) = per_tensor(graph, reader)?;
                Some(Link::Dequantize(scale, zero))
            }
            _ => None,
        }
    }

    fn other(&self, graph: &Graph, value: ValueId) -> Option<Other> {
        let (ty, mine) = (graph.ty(value), graph.ty(self.value));
        if ty.elements() == Some(1) {
            return Some(single(graph, value).map_or(Other::Value(value), Other::Number));
        }
        if graph.weight(value).is_some() {
            let axis = if self.images { 1 } else { mine.rank().checked_sub(1)? };
            let channels = facts::extent(mine, axis)?;
            let all = facts::along_axis(graph, value, mine.rank(), axis, channels)?;
            return Some(Other::Channels(all.into_iter().map(|x| x as f32).collect()));
        }
        if !self.images || ty.shape != mine.shape {
            return None;
        }
        if let Some(node) = dequantized(graph, value)
            && graph.ty(node.inputs[0]).dtype == DType::U8
            && graph.weight(node.inputs[0]).is_none()
            && let Some((scale, zero)) = per_tensor(graph, node)
        {
            return Some(Other::Quantized(node.inputs[0], scale, zero));
        }
        Some(Other::Value(value))
    }

    /// The fused node in place of the chain.
    fn patch(
        self,
        graph: &Graph,
        node: &Node,
        inputs: &[ValueId; 4],
        bias: Option<ValueId>,
        to: DType,
    ) -> Result<Patch, Miss> {
        let mut patch = Patch::new(graph, "product of bytes");
        let mut writer = Writer { steps: vec![], extras: vec![], images: self.images };
        let links = merged(self.links);
        let last = links.len();
        for (i, link) in links.into_iter().enumerate() {
            writer.link(&mut patch, link, i + 1 == last);
        }
        let epilogue = Expression { steps: writer.steps };
        let op = integer_op(&node.op, bias.is_some(), to, epilogue).ok_or(Miss::Elsewhere)?;
        let operands: Vec<ValueId> = inputs.iter().copied().chain(bias).chain(writer.extras).collect();
        let new = patch.node(op, &operands, self.name);
        patch.replace(self.value, new);
        Ok(patch)
    }
}

/// Scales by channel that only an activation without scale parts from a quantisation are divided by its scale.
fn merged(mut links: Vec<Link>) -> Vec<Link> {
    let Some(Link::Binary(BinaryOp::Mul, Other::Channels(scales), false)) = links.first() else { return links };
    let mut scales = scales.clone();
    let at = links.iter().skip(1).position(|l| !matches!(l, Link::Unary(UnaryOp::Relu))).map(|i| i + 1);
    if let Some(at) = at
        && let Link::Quantize(scale, zero) = links[at]
    {
        scales.iter_mut().for_each(|s| *s /= scale);
        links[0] = Link::Binary(BinaryOp::Mul, Other::Channels(scales), false);
        links[at] = Link::Quantize(1.0, zero);
    }
    links
}

/// Steps and operands of the epilogue.
struct Writer {
    steps: Vec<Step>,
    extras: Vec<ValueId>,
    images: bool,
}

impl Writer {
    fn now(&self) -> Arg {
        match self.steps.len() {
            0 => Arg::Input(0),
            n => Arg::Step(n as u32 - 1),
        }
    }
    fn push(&mut self, step: Step) -> Arg {
        self.steps.push(step);
        self.now()
    }
    fn input(&mut self, value: ValueId) -> Arg {
        self.extras.push(value);
        Arg::Input(self.extras.len() as u32)
    }
    fn binary(&mut self, op: BinaryOp, x: Arg, number: f32, neutral: f32) -> Arg {
        if number == neutral { x } else { self.push(Step::Binary(op, x, Arg::Const(number))) }
    }

    fn link(&mut self, patch: &mut Patch, link: Link, last: bool) {
        let x = self.now();
        match link {
            Link::Unary(op) => {
                self.push(Step::Unary(op, x));
            }
            Link::Binary(op, other, first) => {
                let y = self.operand(patch, other);
                self.push(if first { Step::Binary(op, y, x) } else { Step::Binary(op, x, y) });
            }
            Link::Quantize(scale, zero) => {
                let x = self.binary(BinaryOp::Mul, x, 1.0 / scale, 1.0);
                let x = self.push(Step::Unary(UnaryOp::Round, x));
                let x = self.binary(BinaryOp::Add, x, zero, 0.0);
                if !last {
                    self.push(Step::Unary(UnaryOp::Clip { lo: 0.0, hi: 255.0 }, x));
                }
            }
            Link::Dequantize(scale, zero) => {
                let x = self.binary(BinaryOp::Sub, x, zero, 0.0);
                self.push(Step::Binary(BinaryOp::Mul, x, Arg::Const(scale)));
            }
        }
    }

    fn operand(&mut self, patch: &mut Patch, other: Other) -> Arg {
        match other {
            Other::Number(number) => Arg::Const(number),
            Other::Value(value) => self.input(value),
            Other::Quantized(value, scale, zero) => {
                let x = self.input(value);
                let x = self.binary(BinaryOp::Sub, x, zero, 0.0);
                self.push(Step::Binary(BinaryOp::Mul, x, Arg::Const(scale)))
            }
            Other::Channels(all) => match all.first() {
                Some(first) if all.iter().all(|x| x == first) => Arg::Const(*first),
                _ => {
                    let shape = if self.images { vec![all.len(), 1, 1] } else { vec![all.len()] };
                    let wide: Vec<f64> = all.iter().map(|x| f64::from(*x)).collect();
                    let weight: Weight = facts::f32_weight(&shape, &wide);
                    self.input(patch.weight("", weight))
                }
            },
        }
    }
}
