//! Lowers ConvInteger and MatMulInteger to tile kernels: unsigned bytes by constant signed ones, the zero point of the input
//! folded into the bias.
//!
//! Where the target has a dot of four bytes, four channels are a word of the input and of the weights; elsewhere each channel
//! is widened by itself. Padding is the zero point: the halo of the input holds it.
//!
//! Weights less their zero points are signed bytes, or else unsigned weights are 128 less and the rest of the zero points is
//! multiplied by the sum of the input's bytes below a pixel: `Σ x (w - z) = Σ x w - z Σ x`. A call before the others makes these
//! sums, as a product with ones.

use super::choose::{Part, Problem, blocking, choose, rows_near};
use super::lower::{Image, conv_reach, image};
use super::spec::{Bytes, ExtraKind, Numbers, Outcome, Stream, TileSpec, WeightLayout};
use super::weights::chunks;
use crate::ir::{AutoPad, Expression, Graph, Node, Op, Type, ValueId};
use crate::kernel::halo::fill_halo;
use crate::kernel::{KernelCall, LowerContext, Lowered, NoKernel, Operand, View};
use crate::tile::Storage;
use brolga_runtime::{DType, Tensor};

/// Steps of a matrix product that are unrolled together.
const CHUNK: usize = 32;

/// The parts of a node that both operations have.
struct Parts<'a> {
    bias: bool,
    to: DType,
    epilogue: &'a Expression,
    /// Dimension of the result that counts channels.
    axis: usize,
}

fn parts(node: &Node, rank: usize) -> Option<Parts<'_>> {
    match &node.op {
        Op::ConvInteger { bias, to, epilogue, .. } => Some(Parts { bias: *bias, to: *to, epilogue, axis: 1 }),
        Op::MatMulInteger { bias, to, epilogue, .. } => {
            Some(Parts { bias: *bias, to: *to, epilogue, axis: rank.checked_sub(1)? })
        }
        _ => None,
    }
}

/// Whether a kernel computes such a node; `None` where it does, else why not.
pub fn refusal(graph: &Graph, op: &Op, inputs: &[ValueId], result: &Type) -> Option<&'static str> {
    let (bias, to, axis) = match op {
        Op::ConvInteger { window, group, bias, to, .. } => {
            if *group != 1 || window.kernel.len() != 2 || window.auto_pad != AutoPad::Explicit {
                return Some("accepted are two dimensions, one group and explicit padding");
            }
            if window.pad_begin.iter().chain(&window.pad_end).any(|p| *p < 0) {
                return Some("negative padding");
            }
            (*bias, *to, 1)
        }
        Op::MatMulInteger { bias, to, .. } => (*bias, *to, result.rank().saturating_sub(1)),
        _ => return Some("not an integer product"),
    };
    let [x, w, _, w_zero, rest @ ..] = inputs else { return Some("operands are missing") };
    let (Some(dims), Some(x_dims)) = (result.dims(), graph.ty(*x).dims()) else { return Some("unknown extents") };
    let bytes = matches!(graph.ty(*w).dtype, DType::U8 | DType::I8) && graph.ty(*x).dtype == DType::U8;
    if !bytes || !matches!(to, DType::U8 | DType::F32) {
        return Some("accepted are u8 by u8 or i8 to u8 or f32");
    }
    if graph.weight(*w).is_none() || graph.weight(*w_zero).is_none() {
        return Some("the weight or its zero point is no constant");
    }
    let zeros = graph.ty(*w_zero).elements();
    if !zeros.is_some_and(|n| n == 1 || Some(&n) == dims.get(axis)) {
        return Some("as many zero points as the weight has channels, or one, are accepted");
    }
    if graph.ty(inputs[2]).elements() != Some(1) {
        return Some("several zero points");
    }
    if matches!(op, Op::MatMulInteger { .. }) {
        let k = x_dims.last().copied().unwrap_or(0);
        if graph.ty(*w).rank() != 2 || x_dims.len() < 2 || !k.is_multiple_of(4) || k == 0 {
            return Some("accepted are rows of whole words by a matrix");
        }
    }
    if bias && rest.first().is_none_or(|b| graph.weight(*b).is_none()) {
        return Some("the bias is no constant");
    }
    let known = |v: &ValueId| extra_kind(graph, *v, &dims, axis, matches!(op, Op::ConvInteger { .. })).is_some();
    if rest.iter().skip(usize::from(bias)).all(known) { None } else { Some("an operand that the kernel cannot read") }
}

/// How an operand of the epilogue is read.
fn extra_kind(graph: &Graph, value: ValueId, dims: &[usize], axis: usize, images: bool) -> Option<ExtraKind> {
    let ty = graph.ty(value);
    let shape = ty.dims()?;
    let constant = graph.weight(value).is_some();
    let elements: usize = shape.iter().product();
    let per_channel = || {
        let lead = dims.len().checked_sub(shape.len())?;
        let other = shape.iter().enumerate().any(|(i, n)| i + lead != axis && *n != 1);
        (elements == dims[axis] && !other).then_some(ExtraKind::Channel)
    };
    match ty.dtype {
        DType::F32 if elements == 1 => Some(ExtraKind::Scalar),
        DType::F32 if constant => per_channel(),
        DType::F32 | DType::U8 if !constant && images && shape == dims => Some(ExtraKind::Element),
        _ => None,
    }
}

fn constant(cx: &LowerContext, value: ValueId) -> Result<Option<Tensor>, NoKernel> {
    cx.graph.weight(value).map(|w| w.evaluate().map_err(|e| NoKernel(e.to_string()))).transpose()
}

/// A product ready to be cut into parts.
struct Product<'a> {
    cx: &'a LowerContext<'a>,
    node: &'a Node,
    parts: Parts<'a>,
    weight: Signed,
    /// Bytes of the weight from one output channel, input channel and tap to the next.
    weight_steps: [usize; 4],
    channels: usize,
    outputs: usize,
    quad: usize,
    bias: Vec<i32>,
    /// Sums of the weights of each output channel, where the zero point is known only at run time.
    sums: Option<Vec<i32>>,
    family: &'static str,
    outer: usize,
    rows: usize,
    cols: usize,
    taps: [(usize, i64); 2],
    /// Steps of a chunk, and input bytes from one chunk to the next.
    chunk: (usize, i64),
    x: Stream,
    x_start: i64,
    /// Bytes of result per image, vector of channels, row and column.
    y: [i64; 4],
    image: Option<Image>,
}

impl<'a> Product<'a> {
    fn words(&self) -> usize {
        self.channels.div_ceil(self.quad)
    }

    /// The weight between an output channel and an input channel at a tap.
    fn weight_at(&self, output: usize, channel: usize, y: usize, x: usize) -> u8 {
        if output >= self.outputs || channel >= self.channels {
            return 0;
        }
        let at = [output, channel, y, x].iter().zip(self.weight_steps).map(|(i, s)| i * s).sum::<usize>();
        self.weight.bytes.get(at).copied().unwrap_or(0)
    }

    /// `[panel][chunk][tap y][tap x][step][vector][lane][channel of the step]` of the weight between an output channel and an
    /// input channel at a tap.
    fn packed(&self, part: &Part, lanes: usize, weight: impl Fn(usize, usize, usize, usize) -> u8) -> Vec<u8> {
        let ([(ky, _), (kx, _)], panel) = (self.taps, part.vectors * lanes);
        let mut bytes = Vec::with_capacity(part.panels * panel * self.words() * self.quad * ky * kx);
        for p in 0..part.panels {
            let first = part.first * lanes + p * panel;
            for (start, (steps, count)) in chunks(self.words(), self.chunk.0) {
                for step in (0..count).map(|c| start + c * self.chunk.0) {
                    for (y, x) in (0..ky).flat_map(|y| (0..kx).map(move |x| (y, x))) {
                        for word in step..step + steps {
                            for output in first..first + panel {
                                let channels = word * self.quad..(word + 1) * self.quad;
                                bytes.extend(channels.map(|c| weight(output, c, y, x)));
                            }
                        }
                    }
                }
            }
        }
        bytes
    }

    /// Numbers per output channel of a part, filled up with zeros.
    fn per_channel<T: bytemuck::Pod + Default>(&self, all: &[T], part: &Part, lanes: usize) -> Operand {
        let channels = part.first * lanes..(part.first + part.panels * part.vectors) * lanes;
        let words: Vec<T> = channels.map(|c| all.get(c).copied().unwrap_or_default()).collect();
        Operand::Table(bytemuck::cast_slice(&words).to_vec())
    }

    fn extra(
        &self,
        value: ValueId,
        part: &Part,
        lanes: usize,
    ) -> Result<(ExtraKind, Stream, Storage, Operand), NoKernel> {
        let dims = self.cx.dims(self.node.outputs[0])?;
        let kind = extra_kind(self.cx.graph, value, &dims, self.parts.axis, self.image.is_some());
        let kind = kind.ok_or_else(|| NoKernel(format!("{value} is no operand of an integer product")))?;
        let width = 4 * lanes as i64;
        let fixed = |panel, vector| Stream { outer: vec![0], panel, vector, row: 0, col: 0 };
        let floats = |t: Tensor| t.as_slice::<f32>().map(<[f32]>::to_vec).map_err(|e| NoKernel(e.to_string()));
        Ok(match (kind, constant(self.cx, value)?) {
            (ExtraKind::Scalar, Some(tensor)) => {
                (kind, fixed(0, 0), Storage::B32, Operand::Table(tensor.bytes().to_vec()))
            }
            (ExtraKind::Scalar, None) => (kind, fixed(0, 0), Storage::B32, Operand::Value(value, 0)),
            (_, Some(tensor)) => {
                let operand = self.per_channel(&floats(tensor)?, part, lanes);
                (ExtraKind::Channel, fixed(part.vectors as i64 * width, width), Storage::B32, operand)
            }
            _ => {
                let e = image(self.cx.view(value)?)?;
                if e.dims != self.image.map_or([0; 4], |y| y.dims) || e.lanes != lanes {
                    return Err(NoKernel("a fused operand in other blocks than the result".into()));
                }
                let [image, block, row, col] = e.strides;
                let panel = block * part.vectors as i64;
                let stream = Stream { outer: vec![image], panel, vector: block, row, col };
                let bytes = self.cx.graph.ty(value).dtype == DType::U8;
                let storage = if bytes { Storage::U8 } else { Storage::B32 };
                (kind, stream, storage, Operand::Value(value, block * part.first as i64))
            }
        })
    }

    /// The program of a part that stores the sums of whole vectors.
    fn spec(&self, part: &Part, y: Stream) -> TileSpec {
        let lanes = self.cx.target.lanes as usize;
        let steps = self.words() * self.taps[0].0 * self.taps[1].0;
        let w_panel = (steps * part.vectors * lanes * self.quad) as i64;
        let groups = self.rows / part.rows_per_tile;
        let input_row =
            self.x.row.unsigned_abs() as usize * part.rows_per_tile * self.words().div_ceil(self.chunk.0.max(1));
        let order = blocking(groups, input_row, w_panel as usize * part.panels, part.panels, self.outer);
        let bytes = Bytes {
            quad: self.quad,
            outcome: Outcome::Sums,
            zero_at_run_time: false,
            pixel_sums: None,
            extras: vec![],
        };
        TileSpec {
            family: self.family,
            outer: vec![self.outer],
            rows: self.rows,
            cols: self.cols,
            rows_per_tile: part.rows_per_tile,
            panels: part.panels,
            vectors: part.vectors,
            tail_lanes: None,
            taps: self.taps,
            channels: self.words(),
            chunk: self.chunk.0,
            chunk_stride: self.chunk.1,
            channel_stride: self.quad as i64,
            x: self.x.clone(),
            y,
            w_outer: vec![0],
            w_panel,
            w_layout: WeightLayout::Packed,
            bias: None,
            resumes: false,
            depthwise: false,
            numbers: Numbers::Bytes(bytes),
            epilogue: Expression::default(),
            extras: vec![],
            max_pixels: part.pixels,
            row_block: order.row_block,
            panels_inner: order.panels_inner,
        }
    }

    fn call(&self, part: &Part, last: bool) -> Result<KernelCall, NoKernel> {
        let lanes = self.cx.target.lanes as usize;
        let [image_y, vector, row, col] = self.y;
        let mut operands = vec![
            Operand::Value(self.node.inputs[0], self.x_start),
            Operand::Table(self.packed(part, lanes, |o, c, y, x| self.weight_at(o, c, y, x))),
            self.per_channel(&self.bias, part, lanes),
        ];
        if let Some(sums) = &self.sums {
            operands.push(Operand::Value(self.node.inputs[2], 0));
            operands.push(self.per_channel(sums, part, lanes));
        }
        let pixel_sums = self.weight.zeros.as_ref().map(|zeros| {
            operands.push(self.per_channel(zeros, part, lanes));
            operands.push(Operand::Temporary(0, 0));
            self.sums_of_pixels()
        });
        let (mut extras, mut storages) = (Vec::new(), Vec::new());
        for value in self.node.inputs.iter().skip(4 + usize::from(self.parts.bias)) {
            let (kind, stream, storage, operand) = self.extra(*value, part, lanes)?;
            extras.push((kind, stream));
            storages.push(storage);
            operands.push(operand);
        }
        operands.push(Operand::Value(self.node.outputs[0], vector * part.first as i64));
        let plane = self.image.is_none();
        let y = Stream { outer: vec![image_y], panel: vector * part.vectors as i64, vector, row, col };
        let spec = TileSpec {
            tail_lanes: Some(self.outputs % lanes).filter(|t| plane && *t != 0 && last),
            bias: Some(vec![0]),
            numbers: Numbers::Bytes(Bytes {
                quad: self.quad,
                outcome: if self.parts.to == DType::U8 { Outcome::Bytes } else { Outcome::Floats },
                zero_at_run_time: self.sums.is_some(),
                pixel_sums,
                extras: storages,
            }),
            epilogue: self.parts.epilogue.clone(),
            extras,
            ..self.spec(part, y)
        };
        super::fitted(spec, self.cx.target, operands)
    }

    /// Where the sums of the input's bytes below the pixels lie: a vector for each.
    fn sums_of_pixels(&self) -> Stream {
        let (vector, cols) = (i64::from(self.cx.target.lanes) * 4, self.cols as i64);
        Stream { outer: vec![vector * cols * self.rows as i64], panel: 0, vector: 0, row: vector * cols, col: vector }
    }

    /// Products with ones, the same in all lanes.
    fn sum_pixels(&self, part: &Part) -> Result<KernelCall, NoKernel> {
        let (target, lanes) = (self.cx.target, self.cx.target.lanes as usize);
        let ones = self.packed(part, lanes, |_, channel, _, _| u8::from(channel < self.channels));
        let operands =
            vec![Operand::Value(self.node.inputs[0], self.x_start), Operand::Table(ones), Operand::Temporary(0, 0)];
        super::fitted(self.spec(part, self.sums_of_pixels()), target, operands)
    }

    /// How so many vectors of channels are cut.
    fn cut(&self, vectors: usize) -> Vec<Part> {
        let steps = self.words() * self.taps[0].0 * self.taps[1].0;
        let pixels_limit = rows_near(self.x.col).min(28);
        let problem = Problem { rows: self.rows, cols: self.cols, vectors, steps, pixels_limit };
        let mut parts = choose(self.cx.target, problem).1;
        if self.image.is_none() {
            parts.iter_mut().for_each(|part| part.rows_per_tile = 1);
        }
        parts
    }

    fn lower(self) -> Result<Lowered, NoKernel> {
        let lanes = self.cx.target.lanes as usize;
        let vectors = self.outputs.div_ceil(lanes);
        let pixels = self.rows * self.cols * self.outer;
        let mut lowered = Lowered::default();
        if pixels * vectors > 0 {
            if self.weight.zeros.is_some() {
                lowered.temporaries.push(pixels * lanes * 4);
                let parts = self.cut(1);
                lowered.calls = parts.iter().map(|part| self.sum_pixels(part)).collect::<Result<_, _>>()?;
            }
            let (before, parts) = (lowered.calls.len(), self.cut(vectors));
            for (i, part) in parts.iter().enumerate() {
                let mut call = self.call(part, i + 1 == parts.len())?;
                call.barrier_before = before > 0 && i == 0;
                lowered.calls.push(call);
            }
        }
        lowered.calls.extend(fill_halo(self.cx, self.node.outputs[0])?);
        Ok(lowered)
    }
}

/// A weight as signed bytes.
struct Signed {
    bytes: Vec<u8>,
    /// Zero points that are left, one per output channel.
    zeros: Option<Vec<i32>>,
}

impl Signed {
    /// Less its zero points: one, or one per output channel, of which an element's place says which it belongs to.
    fn of(weight: &Tensor, zero: &Tensor, outputs: usize, channel: impl Fn(usize) -> usize) -> Signed {
        let flip = if weight.dtype() == DType::U8 { 0x80 } else { 0 };
        let signed = |b: &u8| (b ^ flip) as i8;
        let zeros: Vec<i16> = zero.bytes().iter().map(|b| signed(b).into()).collect();
        let zero_of = |c: usize| zeros.get(c).or(zeros.first()).copied().unwrap_or(0);
        let elements = weight.bytes().iter().enumerate();
        let less = |(i, b)| i8::try_from(i16::from(signed(b)) - zero_of(channel(i))).ok().map(|w| w as u8);
        match elements.map(less).collect() {
            Some(bytes) => Signed { bytes, zeros: None },
            None => {
                let bytes = weight.bytes().iter().map(|b| b ^ flip).collect();
                Signed { bytes, zeros: Some((0..outputs).map(|c| zero_of(c).into()).collect()) }
            }
        }
    }

    /// Sums over the elements of each output channel less their zero points.
    fn sums(&self, outputs: usize, channel: impl Fn(usize) -> usize) -> Vec<i32> {
        let mut sums = vec![0i32; outputs];
        for (i, b) in self.bytes.iter().enumerate() {
            if let Some(sum) = sums.get_mut(channel(i)) {
                *sum = sum.wrapping_add((*b as i8).into());
                *sum = sum.wrapping_sub(self.zeros.as_ref().and_then(|z| z.get(channel(i))).copied().unwrap_or(0));
            }
        }
        sums
    }
}

/// Bias less the zero point's share where that is known, and the sums of the weights where it is not.
fn compensated(
    cx: &LowerContext,
    node: &Node,
    bias: bool,
    sums: Vec<i32>,
) -> Result<(Vec<i32>, Option<Vec<i32>>), NoKernel> {
    let mut start = vec![0; sums.len()];
    let given = node.inputs.get(4).filter(|_| bias).map(|v| constant(cx, *v)).transpose()?.flatten();
    if let Some(tensor) = given {
        start = tensor.as_slice::<i32>().map_err(|e| NoKernel(e.to_string()))?.to_vec();
    }
    let Some(zero) = constant(cx, node.inputs[2])? else { return Ok((start, Some(sums))) };
    let zero = zero.bytes().first().copied().map_or(0, i32::from);
    start.iter_mut().zip(&sums).for_each(|(b, s)| *b = b.wrapping_sub(zero.wrapping_mul(*s)));
    Ok((start, None))
}

/// The zero points of the weight.
fn weight_zero(cx: &LowerContext, node: &Node) -> Result<Tensor, NoKernel> {
    constant(cx, node.inputs[3])?.ok_or_else(|| NoKernel("the weight's zero point is no constant".into()))
}

/// Lowers an [`Op::ConvInteger`] or [`Op::MatMulInteger`].
pub fn lower(cx: &LowerContext, node: &Node) -> Result<Lowered, NoKernel> {
    let result = cx.graph.ty(node.outputs[0]);
    if let Some(why) = refusal(cx.graph, &node.op, &node.inputs, result) {
        return Err(NoKernel(why.into()));
    }
    let parts = parts(node, result.rank()).ok_or_else(|| NoKernel("not an integer product".into()))?;
    let weight = constant(cx, node.inputs[1])?.ok_or_else(|| NoKernel("the weight is no constant".into()))?;
    let quad = if cx.target.dot { 4 } else { 1 };
    match &node.op {
        Op::ConvInteger { .. } => convolution(cx, node, parts, weight, quad)?.lower(),
        _ => matrix(cx, node, parts, weight, quad)?.lower(),
    }
}

fn convolution<'a>(
    cx: &'a LowerContext<'a>,
    node: &'a Node,
    parts: Parts<'a>,
    weight: Tensor,
    quad: usize,
) -> Result<Product<'a>, NoKernel> {
    let Op::ConvInteger { window, .. } = &node.op else { return Err(NoKernel("not a convolution".into())) };
    let (x, y) = (image(cx.input(node, 0)?)?, image(cx.view(node.outputs[0])?)?);
    let &[outputs, channels, ky, kx] = weight.shape() else { return Err(NoKernel("a weight of another rank".into())) };
    for (d, taps) in [ky, kx].into_iter().enumerate() {
        let halo = if d == 0 { (x.halo.top, x.halo.bottom) } else { (x.halo.left, x.halo.right) };
        let (before, after) = conv_reach(x.dims[2 + d], y.dims[2 + d], taps, window, d);
        if before > i64::from(halo.0) || after > i64::from(halo.1) {
            return Err(NoKernel("the operand's halo is smaller than the window's reach".into()));
        }
    }
    if y.lanes != cx.target.lanes as usize || x.lanes % quad != 0 {
        return Err(NoKernel(format!("blocks of {} and {} channels", x.lanes, y.lanes)));
    }
    let per_output = channels * ky * kx;
    let channel = |i: usize| i / per_output.max(1);
    let weight = Signed::of(&weight, &weight_zero(cx, node)?, outputs, channel);
    let (bias, sums) = compensated(cx, node, parts.bias, weight.sums(outputs, channel))?;
    let [image_x, block_x, row_x, col_x] = x.strides;
    Ok(Product {
        cx,
        node,
        parts,
        weight,
        weight_steps: [per_output, ky * kx, kx, 1],
        channels,
        outputs,
        quad,
        bias,
        sums,
        family: "conv",
        outer: y.dims[0],
        rows: y.dims[2],
        cols: y.dims[3],
        taps: [(ky, window.dilation[0] as i64 * row_x), (kx, window.dilation[1] as i64 * col_x)],
        chunk: (x.lanes / quad, block_x),
        x: Stream {
            outer: vec![image_x],
            panel: 0,
            vector: 0,
            row: window.stride[0] as i64 * row_x,
            col: window.stride[1] as i64 * col_x,
        },
        x_start: -window.pad_begin[0] * row_x - window.pad_begin[1] * col_x,
        y: y.strides,
        image: Some(y),
    })
}

fn matrix<'a>(
    cx: &'a LowerContext<'a>,
    node: &'a Node,
    parts: Parts<'a>,
    weight: Tensor,
    quad: usize,
) -> Result<Product<'a>, NoKernel> {
    let Op::MatMulInteger { trans_b, .. } = node.op else { return Err(NoKernel("not a matrix product".into())) };
    let (x, y) = (cx.input(node, 0)?, cx.view(node.outputs[0])?);
    let width = if parts.to == DType::U8 { 1 } else { 4 };
    let (View::Plain { dims, .. }, true, true) = (x, x.is_dense_plain(1), y.is_dense_plain(width)) else {
        return Err(NoKernel("a matrix product of dense plain tensors is accepted".into()));
    };
    let (k, m) = (dims.last().copied().unwrap_or(0), dims.iter().rev().skip(1).product::<usize>());
    let &[a, b] = weight.shape() else { return Err(NoKernel("a weight of another rank".into())) };
    let (outputs, steps) = if trans_b { (a, [b, 1, 0, 0]) } else { (b, [1, b, 0, 0]) };
    let channel = |i: usize| if trans_b { i / k.max(1) } else { i % outputs.max(1) };
    let weight = Signed::of(&weight, &weight_zero(cx, node)?, outputs, channel);
    let (bias, sums) = compensated(cx, node, parts.bias, weight.sums(outputs, channel))?;
    let (rows, cols) = super::matmul::split_rows(m);
    let (row_x, row_y) = (k as i64, (outputs * width) as i64);
    let chunk = CHUNK.min((k / quad).max(1));
    Ok(Product {
        cx,
        node,
        parts,
        weight,
        weight_steps: steps,
        channels: k,
        outputs,
        quad,
        bias,
        sums,
        family: "matmul",
        outer: 1,
        rows,
        cols,
        taps: [(1, 0), (1, 0)],
        chunk: (chunk, (chunk * quad) as i64),
        x: Stream { outer: vec![0], panel: 0, vector: 0, row: row_x * cols as i64, col: row_x },
        x_start: 0,
        y: [0, (cx.target.lanes as usize * width) as i64, row_y * cols as i64, row_y],
        image: None,
    })
}
