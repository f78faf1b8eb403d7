//! Operators of machine learning other than networks, of training, and those that onnxruntime's tools write.

use crate::ops::{contrib, contrib_attention, gradient, ml, ml_maps, ml_models, quantize, training};
use crate::registry::{Entry, but, op, until};

/// The newest opset of `ai.onnx.ml`.
pub(crate) const ML_OPSET: i64 = 5;

/// Operators of `ai.onnx.ml`, by name.
pub(crate) const ML: &[Entry] = &[
    until(ML_OPSET, op("ArrayFeatureExtractor", 1, ml::array_feature_extractor)),
    until(ML_OPSET, op("Binarizer", 1, ml::binarizer)),
    until(ML_OPSET, op("CastMap", 1, ml_maps::cast_map)),
    until(ML_OPSET, op("CategoryMapper", 1, ml::category_mapper)),
    until(ML_OPSET, op("DictVectorizer", 1, ml_maps::dict_vectorizer)),
    until(ML_OPSET, op("FeatureVectorizer", 1, ml::feature_vectorizer)),
    until(ML_OPSET, op("Imputer", 1, ml::imputer)),
    until(ML_OPSET, op("LabelEncoder", 1, ml::label_encoder)),
    until(ML_OPSET, op("LinearClassifier", 1, ml_models::linear_classifier)),
    until(ML_OPSET, op("LinearRegressor", 1, ml_models::linear_regressor)),
    until(ML_OPSET, op("Normalizer", 1, ml::normalizer)),
    until(ML_OPSET, op("OneHotEncoder", 1, ml::one_hot_encoder)),
    until(ML_OPSET, op("SVMClassifier", 1, ml_models::svm_classifier)),
    until(ML_OPSET, op("SVMRegressor", 1, ml_models::svm_regressor)),
    until(ML_OPSET, op("Scaler", 1, ml::scaler)),
    until(ML_OPSET, op("TreeEnsemble", 5, ml_models::tree_ensemble)),
    until(ML_OPSET, op("TreeEnsembleClassifier", 1, ml_models::tree_ensemble_classifier)),
    until(ML_OPSET, op("TreeEnsembleRegressor", 1, ml_models::tree_ensemble_regressor)),
    until(ML_OPSET, op("ZipMap", 1, ml_maps::zip_map)),
];

/// Operators of `ai.onnx.preview.training`, by name.
pub(crate) const TRAINING: &[Entry] = &[
    until(1, op("Adagrad", 1, training::adagrad)),
    until(1, op("Adam", 1, training::adam)),
    until(
        1,
        but("what computes y is arithmetic, MatMul, Softmax or a reduction", op("Gradient", 1, gradient::gradient)),
    ),
    until(1, op("Momentum", 1, training::momentum)),
];

/// Operators of `com.microsoft` that are written into files, by name.
pub(crate) const CONTRIB: &[Entry] = &[
    until(1, but("no rotation, masks of 1 to 3 dimensions", op("Attention", 1, contrib_attention::attention))),
    until(1, op("BiasGelu", 1, contrib::gelu)),
    until(1, op("DequantizeLinear", 1, quantize::dequantize)),
    until(1, op("EmbedLayerNormalization", 1, contrib_attention::embed_norm)),
    until(1, op("FastGelu", 1, contrib::gelu)),
    until(1, op("FusedConv", 1, contrib::fused_product)),
    until(1, op("FusedGemm", 1, contrib::fused_product)),
    until(1, but("batches come first", op("FusedMatMul", 1, contrib::fused_matmul))),
    until(1, op("Gelu", 1, contrib::gelu)),
    until(1, but("4 or 8 bits, constant weights in order", op("MatMulNBits", 1, contrib::matmul_bits))),
    until(1, op("QGemm", 1, contrib::q_gemm)),
    until(1, op("QLinearAdd", 1, contrib::q_binary)),
    until(1, but("channels before rows", op("QLinearAveragePool", 1, contrib::q_unary))),
    until(1, op("QLinearConcat", 1, contrib::q_concat)),
    until(1, but("channels before rows", op("QLinearGlobalAveragePool", 1, contrib::q_unary))),
    until(1, op("QLinearLeakyRelu", 1, contrib::q_unary)),
    until(1, op("QLinearMul", 1, contrib::q_binary)),
    until(1, op("QLinearSigmoid", 1, contrib::q_unary)),
    until(1, op("QLinearSoftmax", 1, contrib::q_unary)),
    until(1, op("QLinearWhere", 1, contrib::q_where)),
    until(1, op("QuantizeLinear", 1, quantize::quantize)),
    until(1, op("QuickGelu", 1, contrib::gelu)),
    until(1, but("results 0 and 3", op("SkipLayerNormalization", 1, contrib::skip_norm))),
    until(1, but("results 0 and 3", op("SkipSimplifiedLayerNormalization", 1, contrib::skip_norm))),
];
