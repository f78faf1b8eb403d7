//! The domain `ai.onnx.ml`: linear models, support vector machines and trees.
//!
//! Specification: <https://onnx.ai/onnx/operators/index.html#ai-onnx-ml>. The older tree operators have their numbers in lists of
//! floats or, from 3, in tensors that end in `_as_tensor`; TreeEnsemble comes with 5.

use super::ml::{floats, rows};
use crate::context::{Context, Results};
use crate::error::{NodeError, invalid};
use brolga_compiler::ir::{Dim, Type, ValueId};
use brolga_runtime::DType;
use brolga_runtime::library::Function;

/// Labels and scores, whose widths are these.
fn labelled(cx: &Context<'_, '_>, function: &Function, x: ValueId, width: i64) -> Result<Vec<Type>, NodeError> {
    let rows = rows(cx, x)?;
    let texts = function.has("classlabels_strings") && !function.texts("classlabels_strings").is_empty();
    let labels = Type::new(if texts { DType::String } else { DType::I64 }, vec![rows.clone()]);
    Ok(vec![labels, Type::new(DType::F32, vec![rows, Dim::Const(width)])])
}

/// Number of class labels.
fn classes(function: &Function, ints: &str) -> i64 {
    function.ints(ints).len().max(function.texts("classlabels_strings").len()) as i64
}

pub(crate) fn linear_regressor(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let names = ["coefficients", "intercepts", "post_transform", "targets"];
    let function = cx.copy_attributes(Function::new("linear_regressor", 1), &names)?;
    let ty = Type::new(DType::F32, vec![rows(cx, x)?, Dim::Const(function.int("targets", 1))]);
    cx.function(function, &[Some(x)], vec![ty])
}

pub(crate) fn linear_classifier(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let names = ["classlabels_ints", "classlabels_strings", "coefficients", "intercepts", "post_transform"];
    let function = cx.copy_attributes(Function::new("linear_classifier", 1), &names)?;
    let columns = cx.shape(x).last().and_then(Dim::known).unwrap_or(0);
    let targets = (function.floats("coefficients").len() as i64).checked_div(columns).unwrap_or(0);
    let labels = classes(&function, "classlabels_ints");
    let width = if columns == 0 { labels } else { targets };
    let types = labelled(cx, &function, x, if width == 1 && labels == 2 { 2 } else { width })?;
    cx.function(function, &[Some(x)], types)
}

const SVM: [&str; 5] = ["coefficients", "kernel_params", "kernel_type", "post_transform", "rho"];

pub(crate) fn svm_regressor(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let function = cx.copy_attributes(Function::new("svm_regressor", 1), &SVM)?;
    let function = cx.copy_attributes(function, &["n_supports", "one_class", "support_vectors"])?;
    let ty = Type::new(DType::F32, vec![rows(cx, x)?, Dim::Const(1)]);
    cx.function(function, &[Some(x)], vec![ty])
}

pub(crate) fn svm_classifier(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let function = cx.copy_attributes(Function::new("svm_classifier", 1), &SVM)?;
    let more = ["classlabels_ints", "classlabels_strings", "prob_a", "prob_b", "support_vectors", "vectors_per_class"];
    let function = cx.copy_attributes(function, &more)?;
    let labels = classes(&function, "classlabels_ints");
    let linear = function.ints("vectors_per_class").iter().all(|n| *n == 0);
    // One score for each class, or for each pair of them where there are no probabilities.
    let width = if linear || !function.floats("prob_a").is_empty() || labels == 2 {
        labels
    } else {
        labels.saturating_mul(labels.saturating_sub(1)) / 2
    };
    let types = labelled(cx, &function, x, width)?;
    cx.function(function, &[Some(x)], types)
}

const TREE: [&str; 8] = [
    "nodes_falsenodeids",
    "nodes_featureids",
    "nodes_missing_value_tracks_true",
    "nodes_modes",
    "nodes_nodeids",
    "nodes_treeids",
    "nodes_truenodeids",
    "post_transform",
];

/// Numbers that are given as a list of floats or as a tensor.
fn numbers(cx: &mut Context<'_, '_>, name: &str) -> Result<Option<ValueId>, NodeError> {
    let tensor = cx.node.attributes.tensor(&format!("{name}_as_tensor"))?;
    match (cx.node.attributes.floats(name)?, tensor) {
        (Some(list), None) => Ok(Some(floats(cx, vec![list.len()], list))),
        (None, Some(tensor)) => Ok(Some(cx.weight_of(tensor)?)),
        (None, None) => Ok(None),
        _ => invalid(format!("{name} and {name}_as_tensor are given; one is expected")),
    }
}

/// The older tree operators, whose votes' attributes begin with `kind`.
fn tuples(
    cx: &mut Context<'_, '_>,
    function: Function,
    kind: &str,
) -> Result<(Function, Vec<Option<ValueId>>), NodeError> {
    let function = cx.copy_attributes(function, &TREE)?;
    let votes = ["ids", "nodeids", "treeids"].map(|end| format!("{kind}_{end}"));
    let function = cx.copy_attributes(function, &votes.each_ref().map(String::as_str))?;
    let mut operands = vec![Some(cx.input(0)?)];
    for name in ["nodes_values", &format!("{kind}_weights")] {
        match numbers(cx, name)? {
            Some(list) => operands.push(Some(list)),
            None => return invalid(format!("attribute {name:?} is missing")),
        }
    }
    operands.push(numbers(cx, "base_values")?);
    Ok((function, operands))
}

pub(crate) fn tree_ensemble_regressor(cx: &mut Context<'_, '_>) -> Results {
    let (function, operands) = tuples(cx, Function::new("tree_ensemble_regressor", 4), "target")?;
    let function = cx.copy_attributes(function, &["aggregate_function", "n_targets"])?;
    let targets = function.int("n_targets", 1);
    let ty = Type::new(DType::F32, vec![rows(cx, cx.input(0)?)?, Dim::Const(targets)]);
    cx.function(function, &operands, vec![ty])
}

pub(crate) fn tree_ensemble_classifier(cx: &mut Context<'_, '_>) -> Results {
    let (function, operands) = tuples(cx, Function::new("tree_ensemble_classifier", 4), "class")?;
    let function = cx.copy_attributes(function, &["classlabels_int64s", "classlabels_strings"])?;
    let width = classes(&function, "classlabels_int64s");
    let types = labelled(cx, &function, cx.input(0)?, width)?;
    cx.function(function, &operands, types)
}

pub(crate) fn tree_ensemble(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let names = [
        "aggregate_function",
        "leaf_targetids",
        "n_targets",
        "nodes_falseleafs",
        "nodes_falsenodeids",
        "nodes_featureids",
        "nodes_missing_value_tracks_true",
        "nodes_trueleafs",
        "nodes_truenodeids",
        "post_transform",
        "tree_roots",
    ];
    let function = cx.copy_attributes(Function::new("tree_ensemble", 5), &names)?;
    let mut operands = vec![Some(x)];
    for name in ["nodes_splits", "leaf_weights", "nodes_modes"] {
        let tensor = cx.node.attributes.required(name, cx.node.attributes.tensor(name)?)?;
        operands.push(Some(cx.weight_of(tensor)?));
    }
    operands.push(match cx.node.attributes.tensor("membership_values")? {
        Some(tensor) => Some(cx.weight_of(tensor)?),
        None => None,
    });
    let ty = Type::new(cx.dtype(x), vec![rows(cx, x)?, Dim::Const(function.int("n_targets", 1))]);
    cx.function(function, &operands, vec![ty])
}
