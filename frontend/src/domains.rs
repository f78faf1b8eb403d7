//! Operators of machine learning other than networks, and of training.

use crate::ops::{gradient, ml, ml_maps, ml_models, training};
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
