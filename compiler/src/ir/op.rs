//! Every operation of the Graph IR. The meaning of each is the evaluator's (`ir::eval`); the names and the attribute
//! conventions follow ONNX, with opset differences already settled by the frontend.
//!
//! Integer attributes that ONNX passes as tensors are [`Ints`]: either known (possibly symbolic) or still an input.

use super::ResizeAttrs;
use super::expression::Expression;
use super::graph::Graph;
use super::ty::{Dim, Halo, Type};
use brolga_runtime::DType;
use brolga_runtime::library::Function;
pub use brolga_runtime::library::{BinaryOp, PadMode, PowerRounding, ReduceKind, ScatterKind, UnaryOp};

/// A list of integers: known, or the content of an input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ints {
    /// Known, possibly symbolic.
    Known(Vec<Dim>),
    /// Content of the i64 or i32 tensor at this input position.
    Input(usize),
}

/// Geometry of a sliding window over `n` spatial dimensions; each list has `n` entries. Padding is already resolved
/// (`auto_pad` is not here) except that a symbolic extent leaves [`AutoPad`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Extent of the window. Convolutions repeat their weight's.
    pub kernel: Vec<usize>,
    /// Step.
    pub stride: Vec<usize>,
    /// Spacing of the taps.
    pub dilation: Vec<usize>,
    /// Padding before each dimension; negative crops.
    pub pad_begin: Vec<i64>,
    /// Padding after each dimension; negative crops.
    pub pad_end: Vec<i64>,
    /// How to pad when the extents are known.
    pub auto_pad: AutoPad,
}

impl Window {
    /// A window of one element, moved by one, without padding.
    pub fn single(rank: usize) -> Window {
        let (ones, zeros) = (vec![1; rank], vec![0; rank]);
        let (stride, dilation, auto_pad) = (ones.clone(), ones.clone(), AutoPad::Explicit);
        Window { kernel: ones, stride, dilation, pad_begin: zeros.clone(), pad_end: zeros, auto_pad }
    }
}

/// ONNX `auto_pad`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AutoPad {
    /// As `pad_begin` and `pad_end` say.
    #[default]
    Explicit,
    /// Output is input / stride rounded up, odd padding at the end.
    SameUpper,
    /// The same, odd padding at the beginning.
    SameLower,
}

/// Kinds of pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum PoolKind {
    Max,
    /// `count_pad`: padding counts as elements (ONNX `count_include_pad`).
    Average {
        count_pad: bool,
    },
    /// p-norm.
    Lp {
        p: u32,
    },
}

/// The body of a control-flow operation: a graph whose inputs are the operation's operands, those it captures from around
/// it last. Names of symbols mean the same inside as outside.
#[derive(Clone, Debug)]
pub struct Body(pub std::sync::Arc<Graph>);

impl Body {
    /// A body.
    pub fn new(graph: Graph) -> Body {
        Body(std::sync::Arc::new(graph))
    }
}
impl std::ops::Deref for Body {
    type Target = Graph;
    fn deref(&self) -> &Graph {
        &self.0
    }
}
impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        std::sync::Arc::ptr_eq(&self.0, &other.0) || self.to_text() == other.to_text()
    }
}

/// How Scan walks over one of its operands or results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScanAxis {
    /// Dimension of the whole tensor.
    pub axis: usize,
    /// From the end.
    pub reverse: bool,
}

/// An operation. Inputs are listed in brackets; `..` marks the operands that a fused [`Expression`] reads after its input 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// `[x, w, bias?, ..]`: N-d convolution (really correlation), weight `[oc, ic / group, taps..]`.
    Conv {
        /// Taps.
        window: Window,
        /// Groups.
        group: usize,
        /// Whether input 2 is the bias `[oc]`.
        bias: bool,
        /// What happens to each element before it is stored; its input 0 is the convolution's result, bias added.
        epilogue: Expression,
    },
    /// `[x, w, bias?, ..]`: transposed convolution, weight `[ic, oc / group, taps..]`.
    ConvTranspose {
        /// Taps; padding crops the full result.
        window: Window,
        /// Extra extent at the end of each dimension.
        output_pad: Vec<i64>,
        /// Groups.
        group: usize,
        /// Whether input 2 is the bias.
        bias: bool,
        /// As of [`Op::Conv`].
        epilogue: Expression,
    },
    /// `[a, b, bias?, ..]`: numpy `matmul` with broadcast batch dimensions. Rank 1 operands are as in numpy.
    MatMul {
        /// Whether the last two dimensions of a are swapped first.
        trans_a: bool,
        /// Whether the last two dimensions of b are swapped first.
        trans_b: bool,
        /// Whether input 2 is a bias `[n]` added to each row.
        bias: bool,
        /// As of [`Op::Conv`].
        epilogue: Expression,
    },
    /// `[x]`: pooling over the dimensions after the first two. Max may have a second output, i64 indices into the flattened input.
    Pool {
        /// What.
        kind: PoolKind,
        /// Window.
        window: Window,
        /// Output extent rounds up.
        ceil: bool,
        /// Indices are column-major within a plane (max with two outputs only).
        column_major: bool,
    },
    /// `[x, scale, bias, mean, variance]`: batch normalisation in inference form.
    BatchNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// `[x, scale, bias]`: over the dimensions after the first two, per sample and channel.
    InstanceNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// `[x, scale, bias?]`: over the dimensions from `axis` on.
    LayerNorm {
        /// First normalised dimension, not negative.
        axis: usize,
        /// Added to the variance.
        epsilon: f32,
        /// Whether input 2 is there.
        bias: bool,
    },
    /// `[x, scale, bias]`: over groups of channels and the dimensions after them; scale and bias per channel.
    GroupNorm {
        /// Number of groups.
        groups: usize,
        /// Added to the variance.
        epsilon: f32,
    },
    /// `[x]`: local response normalisation across channels.
    Lrn {
        /// Channels in the window.
        size: usize,
        /// Scale of the sum.
        alpha: f32,
        /// Exponent.
        beta: f32,
        /// Added.
        bias: f32,
    },
    /// `[x]`: x / ||x||_p along an axis.
    LpNorm {
        /// Dimension.
        axis: usize,
        /// 1 or 2.
        p: u32,
    },
    /// `[x]`
    Unary(UnaryOp),
    /// `[a, b]`
    Binary(BinaryOp),
    /// `[x0, x1, ..]`: a fused chain of element-wise f32 operations, inputs broadcast against each other.
    Elementwise(Expression),
    /// `[condition, a, b]`
    Where,
    /// `[x]`
    Cast(DType),
    /// `[x, scale, (zero point)]`: x / scale rounded to even, plus the zero point, saturated. The scale is one number, one per
    /// index of an axis, or one per block of an axis.
    Quantize {
        /// Element type of the result.
        to: DType,
        /// Dimension that scales differ along.
        axis: usize,
        /// Elements of the axis that share a scale; 0 where there are no blocks.
        block: usize,
        /// Type that the quotient is computed in.
        precision: DType,
        /// Whether floats of 8 bits saturate.
        saturate: bool,
    },
    /// `[x, scale, (zero point)]`: (x - zero point) * scale.
    Dequantize {
        /// Element type of the result.
        to: DType,
        /// Dimension that scales differ along.
        axis: usize,
        /// Elements of the axis that share a scale; 0 where there are no blocks.
        block: usize,
    },
    /// `[x, w, x zero point, w zero point, (bias), ..]`: convolution of 8-bit integers less their zero points, and an i32
    /// bias per channel, in i32 that wraps. Then, unless the result is i32: the sum as f32 through the expression, whose further
    /// inputs are the last operands read as f32; an 8-bit result is rounded to even and saturated.
    ConvInteger {
        /// Geometry.
        window: Window,
        /// Groups.
        group: usize,
        /// Whether there is a bias.
        bias: bool,
        /// Element type of the result: i32, f32, u8 or i8.
        to: DType,
        /// What happens to the sums; empty for i32.
        epilogue: Expression,
    },
    /// `[a, b, a zero point, b zero point, (bias), ..]`: matrix product of 8-bit integers; the rest as in
    /// [`Op::ConvInteger`].
    MatMulInteger {
        /// Whether `b` is `[n, k]`.
        trans_b: bool,
        /// Whether there is a bias, one number per column.
        bias: bool,
        /// Element type of the result: i32, f32, u8 or i8.
        to: DType,
        /// What happens to the sums; empty for i32.
        epilogue: Expression,
    },
    /// `[x0, x1, ..]`: like [`Op::Elementwise`] on operands of f32, u8, i8 or i32 read as f32; an 8-bit result is rounded to
    /// even and saturated.
    Requantize {
        /// Element type of the result: f32, u8 or i8.
        to: DType,
        /// The arithmetic.
        expression: Expression,
    },
    /// `[x]` to a float of 8 bits, where [`Op::Cast`] saturates and rounds powers of two up.
    CastNarrow {
        /// Element type of the result.
        to: DType,
        /// Whether numbers out of range become the largest, instead of infinite or NaN.
        saturate: bool,
        /// How numbers become powers of two.
        rounding: PowerRounding,
    },
    /// `[x]`
    Softmax {
        /// Dimension, not negative.
        axis: usize,
        /// Logarithm of it.
        log: bool,
    },
    /// `[x]`
    Reduce {
        /// What.
        kind: ReduceKind,
        /// Dimensions, sorted, not negative (all of them for "reduce all").
        axes: Vec<usize>,
        /// Whether reduced dimensions stay as 1.
        keep: bool,
    },
    /// `[x]` to i64.
    ArgReduce {
        /// Minimum instead of maximum.
        min: bool,
        /// Dimension.
        axis: usize,
        /// Whether the dimension stays as 1.
        keep: bool,
        /// Of equal elements the last.
        last: bool,
    },
    /// `[x]`
    CumSum {
        /// Dimension, not negative.
        axis: usize,
        /// Without the element itself.
        exclusive: bool,
        /// From the end.
        reverse: bool,
    },
    /// `[x0, x1, ...]`
    Concat {
        /// Dimension.
        axis: usize,
    },
    /// `[x, (starts), (ends)]`: numpy slicing of the listed axes. Starts and ends are as ONNX gives them (negative counts from
    /// the end, out of range clamps).
    Slice {
        /// Dimensions.
        axes: Vec<usize>,
        /// Begins.
        starts: Ints,
        /// Ends.
        ends: Ints,
        /// Steps, not zero.
        steps: Vec<i64>,
    },
    /// `[x, (pads)]`: `2 * rank` integers, all begins then all ends; negative crops.
    Pad {
        /// How.
        mode: PadMode,
        /// How much.
        pads: Ints,
    },
    /// `[x, (shape)]`: ONNX rules: -1 is inferred, 0 copies unless `allow_zero`.
    Reshape {
        /// Target.
        shape: Ints,
        /// Zero means an empty dimension.
        allow_zero: bool,
    },
    /// `[x]`
    Transpose {
        /// Output dimension i is input dimension `perm[i]`.
        perm: Vec<usize>,
    },
    /// `[x, (shape)]`: broadcasts both ways.
    Expand {
        /// Target.
        shape: Ints,
    },
    /// `[x, (repeats)]`
    Tile {
        /// Copies per dimension.
        repeats: Ints,
    },
    /// `[x, index]`: rows along an axis, numpy `take`; negative indices count from the end.
    Gather {
        /// Dimension.
        axis: usize,
    },
    /// `[x, index]`
    GatherElements {
        /// Dimension.
        axis: usize,
    },
    /// `[x, index]`
    GatherNd {
        /// Leading dimensions in common.
        batch: usize,
    },
    /// `[x, index, updates]`
    ScatterNd {
        /// How an update meets what is there.
        reduction: ScatterKind,
    },
    /// `[x, index, updates]`
    ScatterElements {
        /// Dimension.
        axis: usize,
        /// How an update meets what is there.
        reduction: ScatterKind,
    },
    /// `[x, (sizes)]`
    Resize(ResizeAttrs),
    /// `[x]`: `[n, c, h, w]` to `[n, c / b^2, h * b, w * b]`; `crd` column-row-depth order.
    DepthToSpace {
        /// Block.
        block: usize,
        /// CRD instead of DCR.
        crd: bool,
    },
    /// `[x]`: its inverse (DCR).
    SpaceToDepth {
        /// Block.
        block: usize,
    },
    /// `[x]` to i64: dimensions `begin..end`.
    Shape {
        /// First.
        begin: usize,
        /// One past the last.
        end: usize,
    },
    /// `[(shape)]`: a splat.
    ConstantOfShape {
        /// Extents.
        shape: Ints,
        /// Element type.
        dtype: DType,
        /// Value, as f64 for floats and exact for integers below 2^53.
        value: f64,
    },
    /// `[start, limit, delta]`, scalars.
    Range,
    /// `[x, k?]`: largest or smallest k along an axis; two outputs.
    TopK {
        /// Dimension.
        axis: usize,
        /// How many.
        k: Ints,
        /// Largest.
        largest: bool,
        /// In order.
        sorted: bool,
    },
    /// `[x]`: upper or lower triangle of the last two dimensions.
    Trilu {
        /// Upper.
        upper: bool,
        /// Diagonal.
        k: i64,
    },
    /// `[index, depth, values]`
    OneHot {
        /// Where the new dimension goes.
        axis: usize,
    },
    /// Operands as the function says: an operation that is only ever a library function. The importer knows its results'
    /// types; extents that only a run can tell are fresh symbols.
    Function {
        /// Which, with its attributes.
        function: Function,
        /// Types of the results.
        results: Vec<Type>,
    },
    /// Operands of the inner operation, whose results are as large as an operand says at run time; fresh symbols stand for
    /// those extents.
    Deferred {
        /// The operation.
        op: Box<Op>,
        /// Types of the results.
        results: Vec<Type>,
    },
    /// `[condition, captured..]`: ONNX If.
    If {
        /// Run when the condition holds.
        then: Body,
        /// Run when it does not.
        otherwise: Body,
        /// Types of the results.
        results: Vec<Type>,
    },
    /// `[trip count?, condition?, carried.., captured..]`: ONNX Loop. The body takes the iteration's number, the condition, what
    /// is carried, what is captured; it gives the condition, what is carried, and what is stacked.
    Loop {
        /// One iteration.
        body: Body,
        /// Whether there is a trip count.
        trip: bool,
        /// Whether there is a condition.
        condition: bool,
        /// Values carried from one iteration to the next.
        carried: usize,
        /// Types of the results.
        results: Vec<Type>,
    },
    /// `[state.., scanned.., captured..]`: ONNX Scan (one sequence).
    Scan {
        /// One iteration.
        body: Body,
        /// How each scanned operand is walked.
        inputs: Vec<ScanAxis>,
        /// How each stacked result is built.
        outputs: Vec<ScanAxis>,
        /// Types of the results.
        results: Vec<Type>,
    },
    /// `[x]`: to another layout and halo of the same logical tensor; made by pick-layout only.
    Reorder {
        /// 0 for plain, else channels of a block.
        lanes: u32,
        /// Zero padding around the planes of the result.
        halo: Halo,
    },
}

impl Op {
    /// Types of the results of an operation that carries them.
    pub fn stored_results(&self) -> Option<&[Type]> {
        match self {
            Op::Function { results, .. }
            | Op::Deferred { results, .. }
            | Op::If { results, .. }
            | Op::Loop { results, .. }
            | Op::Scan { results, .. } => Some(results),
            _ => None,
        }
    }
    /// The same, to change.
    pub fn stored_results_mut(&mut self) -> Option<&mut Vec<Type>> {
        match self {
            Op::Function { results, .. }
            | Op::Deferred { results, .. }
            | Op::If { results, .. }
            | Op::Loop { results, .. }
            | Op::Scan { results, .. } => Some(results),
            _ => None,
        }
    }
    /// Bodies of a control-flow operation.
    pub fn bodies(&self) -> Vec<&Body> {
        match self {
            Op::If { then, otherwise, .. } => vec![then, otherwise],
            Op::Loop { body, .. } | Op::Scan { body, .. } => vec![body],
            _ => vec![],
        }
    }
    /// The same, to change.
    pub fn bodies_mut(&mut self) -> Vec<&mut Body> {
        match self {
            Op::If { then, otherwise, .. } => vec![then, otherwise],
            Op::Loop { body, .. } | Op::Scan { body, .. } => vec![body],
            _ => vec![],
        }
    }
    /// Whether equal operands give equal results, so that it may be folded or shared.
    pub fn is_pure(&self) -> bool {
        match self {
            Op::Function { function, .. } => function.is_pure(),
            _ => self.bodies().iter().all(|body| body.nodes().all(|node| node.op.is_pure())),
        }
    }
}
