//! The one table of supported operators: name, opsets, importer.

use crate::context::{Context, Results};
use crate::domains::{CONTRIB, ML, ML_OPSET, TRAINING};
use crate::error::{NodeError, unsupported};
use crate::ops::{
    activation, arithmetic, attention, bitwise, constant, control, conv, data, einsum, index, loss, matmul, norm, pool,
    quantize, random, rearrange, recurrent, reduce, regions, resize, selection, sequence_map, sequences, shape, signal,
    softmax, state, strings,
};
use std::fmt::Write;

/// The newest opset whose operators are known.
pub const MAX_OPSET: i64 = 27;

pub(crate) type Importer = fn(&mut Context<'_, '_>) -> Results;

/// One operator over a range of opsets.
pub(crate) struct Entry {
    op: &'static str,
    since: i64,
    until: i64,
    /// What is not supported of it; empty when all is.
    limits: &'static str,
    pub(crate) import: Importer,
}

pub(crate) const fn op(op: &'static str, since: i64, import: Importer) -> Entry {
    Entry { op, since, until: MAX_OPSET, limits: "", import }
}

pub(crate) const fn but(limits: &'static str, entry: Entry) -> Entry {
    Entry { limits, ..entry }
}

pub(crate) const fn until(until: i64, entry: Entry) -> Entry {
    Entry { until, ..entry }
}

/// Operators of one domain.
struct Domain {
    name: &'static str,
    /// The newest version that is known.
    newest: i64,
    /// By name.
    table: &'static [Entry],
}

/// The domains whose operators are known; the standard one has no name.
const DOMAINS: &[Domain] = &[
    Domain { name: "", newest: MAX_OPSET, table: TABLE },
    Domain { name: "ai.onnx.ml", newest: ML_OPSET, table: ML },
    Domain { name: "ai.onnx.preview", newest: 1, table: PREVIEW },
    Domain { name: "ai.onnx.preview.training", newest: 1, table: TRAINING },
    Domain { name: "com.microsoft", newest: 1, table: CONTRIB },
];

const PREVIEW: &[Entry] = &[until(1, op("FlexAttention", 1, attention::flex))];

/// Operators of the standard domain.
const TABLE: &[Entry] = &[
    op("Abs", 1, activation::plain),
    op("Acos", 7, activation::plain),
    op("Acosh", 9, activation::plain),
    op("Add", 1, arithmetic::binary),
    op("AffineGrid", 20, regions::affine_grid),
    op("And", 1, arithmetic::binary),
    op("ArgMax", 1, reduce::arg),
    op("ArgMin", 1, reduce::arg),
    op("Asin", 7, activation::plain),
    op("Asinh", 9, activation::plain),
    op("Atan", 7, activation::plain),
    op("Atanh", 9, activation::plain),
    op("Attention", 23, attention::attention),
    op("AveragePool", 1, pool::average),
    but("inference form before opset 14", op("BatchNormalization", 1, norm::batch)),
    op("Bernoulli", 15, random::like),
    op("BitCast", 26, rearrange::bit_cast),
    op("BitShift", 11, bitwise::binary),
    op("BitwiseAnd", 18, bitwise::binary),
    op("BitwiseNot", 18, bitwise::not),
    op("BitwiseOr", 18, bitwise::binary),
    op("BitwiseXor", 18, bitwise::binary),
    op("BlackmanWindow", 17, signal::window),
    op("Cast", 1, data::cast),
    op("CastLike", 15, data::cast_like),
    op("CausalConvWithState", 27, state::causal_conv),
    op("Ceil", 1, activation::plain),
    op("Celu", 12, activation::with_parameters),
    op("CenterCropPad", 18, rearrange::center_crop_pad),
    op("Clip", 1, activation::clip),
    op("Col2Im", 18, regions::col2_im),
    op("Compress", 9, selection::compress),
    op("Concat", 1, shape::concat),
    op("ConcatFromSequence", 11, sequences::concat),
    but("dense", op("Constant", 1, constant::constant)),
    op("ConstantOfShape", 9, constant::constant_of_shape),
    op("Conv", 1, conv::conv),
    op("ConvInteger", 10, quantize::conv_integer),
    op("ConvTranspose", 1, conv::transpose),
    op("Cos", 7, activation::plain),
    op("Cosh", 9, activation::plain),
    op("CumProd", 26, rearrange::cum_prod),
    op("CumSum", 11, reduce::cum_sum),
    op("DFT", 17, signal::dft),
    op("DeformConv", 19, regions::deform_conv),
    op("DepthToSpace", 1, data::depth_to_space),
    op("DequantizeLinear", 10, quantize::dequantize),
    op("Det", 11, rearrange::det),
    op("Div", 1, arithmetic::binary),
    but("inference form before opset 12", op("Dropout", 1, data::dropout)),
    op("DynamicQuantizeLinear", 11, quantize::dynamic),
    op("Einsum", 12, einsum::einsum),
    op("Elu", 1, activation::with_parameters),
    op("Equal", 1, arithmetic::binary),
    op("Erf", 9, activation::plain),
    op("Exp", 1, activation::plain),
    op("Expand", 8, shape::expand),
    op("EyeLike", 9, rearrange::eye_like),
    op("Flatten", 1, shape::flatten),
    op("Floor", 1, activation::plain),
    op("GRU", 1, recurrent::cell),
    op("Gather", 1, index::gather),
    op("GatherElements", 11, index::gather_elements),
    op("GatherND", 11, index::gather_nd),
    op("Gelu", 20, activation::gelu),
    op("Gemm", 1, matmul::gemm),
    op("GlobalAveragePool", 1, pool::global),
    op("GlobalLpPool", 1, pool::global),
    op("GlobalMaxPool", 1, pool::global),
    op("Greater", 1, arithmetic::binary),
    op("GreaterOrEqual", 12, arithmetic::binary),
    op("GridSample", 16, regions::grid_sample),
    op("GroupNormalization", 18, norm::group),
    op("HammingWindow", 17, signal::window),
    op("HannWindow", 17, signal::window),
    op("HardSigmoid", 1, activation::with_parameters),
    op("HardSwish", 14, activation::plain),
    op("Hardmax", 1, softmax::hardmax),
    op("Identity", 1, data::identity),
    op("If", 1, control::branch),
    op("ImageDecoder", 20, regions::image_decoder),
    op("InstanceNormalization", 1, norm::instance),
    op("IsInf", 10, activation::is_inf),
    op("IsNaN", 9, activation::plain),
    op("LRN", 1, norm::lrn),
    op("LSTM", 1, recurrent::cell),
    op("LayerNormalization", 17, norm::layer),
    op("LeakyRelu", 1, activation::with_parameters),
    op("Less", 1, arithmetic::binary),
    op("LessOrEqual", 12, arithmetic::binary),
    op("LinearAttention", 27, state::linear_attention),
    op("Log", 1, activation::plain),
    op("LogSoftmax", 1, softmax::softmax),
    op("Loop", 1, control::repeat),
    op("LpNormalization", 1, norm::lp),
    op("LpPool", 1, pool::lp),
    op("MatMul", 1, matmul::matmul),
    op("MatMulInteger", 10, quantize::matmul_integer),
    op("Max", 1, arithmetic::variadic),
    op("MaxPool", 1, pool::max),
    op("MaxRoiPool", 1, regions::max_roi_pool),
    op("MaxUnpool", 9, regions::max_unpool),
    op("Mean", 1, arithmetic::variadic),
    op("MeanVarianceNormalization", 1, norm::mean_variance),
    op("MelWeightMatrix", 17, signal::mel_weight_matrix),
    op("Min", 1, arithmetic::variadic),
    op("Mish", 18, activation::plain),
    op("Mod", 10, arithmetic::modulo),
    op("Mul", 1, arithmetic::binary),
    op("Multinomial", 7, random::multinomial),
    op("Neg", 1, activation::plain),
    op("NegativeLogLikelihoodLoss", 12, loss::likelihood),
    op("NonMaxSuppression", 10, regions::non_max_suppression),
    op("NonZero", 9, selection::non_zero),
    op("Not", 1, activation::plain),
    op("OneHot", 9, index::one_hot),
    op("Optional", 15, sequences::optional),
    op("OptionalGetElement", 15, sequences::get_element),
    op("OptionalHasElement", 15, sequences::has_element),
    op("Or", 1, arithmetic::binary),
    op("PRelu", 1, arithmetic::prelu),
    but("constant value and axes", op("Pad", 1, data::pad)),
    op("Pow", 1, arithmetic::pow),
    op("QLinearConv", 10, quantize::conv),
    but("scales of one number, or per row or column", op("QLinearMatMul", 10, quantize::matmul)),
    op("QuantizeLinear", 10, quantize::quantize),
    op("RMSNormalization", 23, norm::rms),
    op("RNN", 1, recurrent::cell),
    op("RandomNormal", 1, random::filled),
    op("RandomNormalLike", 1, random::like),
    op("RandomUniform", 1, random::filled),
    op("RandomUniformLike", 1, random::like),
    op("Range", 11, constant::range),
    op("Reciprocal", 1, activation::plain),
    but("constant axes", op("ReduceL1", 1, reduce::reduce)),
    but("constant axes", op("ReduceL2", 1, reduce::reduce)),
    but("constant axes", op("ReduceLogSum", 1, reduce::reduce)),
    but("constant axes", op("ReduceLogSumExp", 1, reduce::reduce)),
    but("constant axes", op("ReduceMax", 1, reduce::reduce)),
    but("constant axes", op("ReduceMean", 1, reduce::reduce)),
    but("constant axes", op("ReduceMin", 1, reduce::reduce)),
    but("constant axes", op("ReduceProd", 1, reduce::reduce)),
    but("constant axes", op("ReduceSum", 1, reduce::reduce)),
    but("constant axes", op("ReduceSumSquare", 1, reduce::reduce)),
    op("RegexFullMatch", 20, strings::regex_full_match),
    op("Relu", 1, activation::plain),
    op("Reshape", 1, shape::reshape),
    but("constant scales", op("Resize", 10, resize::resize)),
    op("ReverseSequence", 10, rearrange::reverse_sequence),
    op("RoiAlign", 10, regions::roi_align),
    op("RotaryEmbedding", 23, attention::rotary),
    op("Round", 11, activation::plain),
    op("STFT", 17, signal::stft),
    until(8, op("Scan", 8, control::scan_batches)),
    op("Scan", 9, control::scan),
    until(10, op("Scatter", 9, index::scatter_elements)),
    op("ScatterElements", 11, index::scatter_elements),
    op("ScatterND", 11, index::scatter_nd),
    op("Selu", 1, activation::with_parameters),
    op("SequenceAt", 11, sequences::at),
    op("SequenceConstruct", 11, sequences::construct),
    op("SequenceEmpty", 11, sequences::empty),
    op("SequenceErase", 11, sequences::erase),
    op("SequenceInsert", 11, sequences::insert),
    op("SequenceLength", 11, sequences::length),
    op("SequenceMap", 17, sequence_map::map),
    op("Shape", 1, shape::shape),
    op("Shrink", 9, activation::shrink),
    op("Sigmoid", 1, activation::plain),
    op("Sign", 9, activation::plain),
    // Of no version of the standard; onnxruntime's optimizer writes it into this domain.
    op("SimplifiedLayerNormalization", 1, norm::rms),
    op("Sin", 7, activation::plain),
    op("Sinh", 9, activation::plain),
    op("Size", 1, shape::size),
    but("constant axes and steps", op("Slice", 1, shape::slice)),
    op("Softmax", 1, softmax::softmax),
    op("SoftmaxCrossEntropyLoss", 12, loss::cross_entropy),
    op("Softplus", 1, activation::plain),
    op("Softsign", 1, activation::plain),
    op("SpaceToDepth", 1, data::space_to_depth),
    but("constant sizes", op("Split", 1, shape::split)),
    op("SplitToSequence", 11, sequences::split),
    op("Sqrt", 1, activation::plain),
    but("constant axes", op("Squeeze", 1, shape::squeeze)),
    op("StringConcat", 20, strings::concat),
    op("StringNormalizer", 10, strings::normalizer),
    op("StringSplit", 20, strings::split),
    op("Sub", 1, arithmetic::binary),
    op("Sum", 1, arithmetic::variadic),
    op("Swish", 24, activation::with_parameters),
    op("Tan", 7, activation::plain),
    op("Tanh", 1, activation::plain),
    op("TensorScatter", 24, rearrange::tensor_scatter),
    op("TfIdfVectorizer", 9, strings::tf_idf_vectorizer),
    op("ThresholdedRelu", 10, activation::with_parameters),
    op("Tile", 1, shape::tile),
    op("TopK", 1, index::top_k),
    op("Transpose", 1, shape::transpose),
    but("constant k", op("Trilu", 14, index::trilu)),
    op("Unique", 11, selection::unique),
    but("constant axes", op("Unsqueeze", 1, shape::unsqueeze)),
    but("constant scales", until(9, op("Upsample", 1, resize::upsample))),
    op("Where", 9, arithmetic::where_),
    op("Xor", 1, arithmetic::binary),
];

/// The newest opset of a domain whose operators are known.
pub(crate) fn newest(domain: &str) -> Option<i64> {
    DOMAINS.iter().find(|d| d.name == domain).map(|d| d.newest)
}

/// The importer of an operator, if it is supported.
pub(crate) fn find(op: &str, domain: &str, opset: i64) -> Result<Option<&'static Entry>, NodeError> {
    let Some(Domain { newest, table, .. }) = DOMAINS.iter().find(|d| d.name == domain) else { return Ok(None) };
    if opset < 1 {
        return Err(NodeError::Invalid(format!("opset {opset} does not exist")));
    }
    if opset > *newest {
        return unsupported(format!("opset {opset} is newer than the opsets that are supported, 1 to {newest}"));
    }
    Ok(table.iter().find(|e| e.op == op && (e.since..=e.until).contains(&opset)))
}

/// The opsets an operator is supported in, in words; empty when in none.
pub(crate) fn versions(op: &str, domain: &str) -> String {
    let entries = DOMAINS.iter().filter(|d| d.name == domain).flat_map(|d| d.table).filter(|e| e.op == op);
    entries.map(|e| format!("opsets {} to {}", e.since, e.until)).collect::<Vec<_>>().join(" and ")
}

/// A row of the table of supported operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supported {
    /// Domain; empty for the standard one.
    pub domain: &'static str,
    /// Operator.
    pub op: &'static str,
    /// First opset.
    pub since: i64,
    /// Last opset.
    pub until: i64,
    /// What part of it is supported; empty when all is.
    pub limits: &'static str,
}

/// Every supported operator, by domain and name.
pub fn supported_ops() -> impl Iterator<Item = Supported> {
    let row = |domain: &'static str| {
        move |e: &'static Entry| Supported { domain, op: e.op, since: e.since, until: e.until, limits: e.limits }
    };
    DOMAINS.iter().flat_map(move |d| d.table.iter().map(row(d.name)))
}

/// The table as a Markdown page, as it stands in the documentation.
pub fn ops_markdown() -> String {
    let mut page = String::from(
        "# Supported operators\n\nGenerated from the registry of `frontend`; a test keeps it current. Operators without a domain \
         are of the standard\nONNX domain. Functions that a model defines itself are replaced by their bodies.\n\n\
         | operator | opsets | restricted to |\n| --- | --- | --- |\n",
    );
    for e in supported_ops() {
        let dot = if e.domain.is_empty() { "" } else { "." };
        // Writing to a string does not fail.
        let _ = writeln!(page, "| {}{dot}{} | {} to {} | {} |", e.domain, e.op, e.since, e.until, e.limits);
    }
    page
}
