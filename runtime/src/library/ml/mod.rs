//! Functions of the domain `ai.onnx.ml` that are not composed of operations of the graph.

mod encode;
mod linear;
mod maps;
mod scores;
mod svm;
mod tree;
mod tree_build;

use super::function::{Entry, Function, Operands, pure};
use super::{LibraryError, expect};
use crate::{DType, Strings, Tensor, Value};

pub(super) const TABLE: &[Entry] = &[
    pure("array_feature_extractor", encode::array_feature_extractor),
    pure("label_encoder", encode::label_encoder),
    pure("one_hot_encoder", encode::one_hot_encoder),
    pure("linear_classifier", linear::classifier),
    pure("linear_regressor", linear::regressor),
    pure("cast_map", maps::cast_map),
    pure("dict_vectorizer", maps::dict_vectorizer),
    pure("zip_map", maps::zip_map),
    pure("svm_classifier", svm::classifier),
    pure("svm_regressor", svm::regressor),
    pure("tree_ensemble", tree::ensemble),
    pure("tree_ensemble_classifier", tree::classifier),
    pure("tree_ensemble_regressor", tree::regressor),
];

/// A matrix of f64: one row for each observation.
struct Rows {
    rows: usize,
    columns: usize,
    elements: Vec<f64>,
}

impl Rows {
    /// Operand 0. A vector is one row.
    fn of(x: &Operands) -> Result<Rows, LibraryError> {
        let (rows, columns) = match *x.tensor(0)?.shape {
            [n] => (1, n),
            [rows, n] => (rows, n),
            _ => return Err(LibraryError::Operands { accepted: "operands of shape [C] and [N, C]" }),
        };
        Ok(Rows { rows, columns, elements: x.reals(0)? })
    }
    /// Each row.
    fn iter(&self) -> impl Iterator<Item = &[f64]> {
        (0..self.rows).map(|r| self.elements.get(r * self.columns..(r + 1) * self.columns).unwrap_or_default())
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn wide(floats: &[f32]) -> Vec<f64> {
    floats.iter().map(|x| f64::from(*x)).collect()
}

/// Position of the first largest element.
fn arg_max(scores: &[f64]) -> usize {
    let mut best = 0;
    for (i, score) in scores.iter().enumerate() {
        if scores.get(best).is_none_or(|b| score > b) {
            best = i;
        }
    }
    best
}

/// Labels of classes.
enum Labels<'a> {
    Ints(&'a [i64]),
    Texts(&'a [String]),
}

impl<'a> Labels<'a> {
    /// From the attributes of these names; exactly one list is given.
    fn of(f: &'a Function, ints: &str, texts: &str) -> Result<Labels<'a>, LibraryError> {
        let (ints, texts) = (f.ints(ints), f.texts(texts));
        expect(ints.is_empty() != texts.is_empty(), "labels that are either integers or texts")?;
        Ok(if texts.is_empty() { Labels::Ints(ints) } else { Labels::Texts(texts) })
    }
    fn len(&self) -> usize {
        match self {
            Labels::Ints(ints) => ints.len(),
            Labels::Texts(texts) => texts.len(),
        }
    }
    /// The label of each observation: a position in the list, or `None` for the absence of the only class.
    fn pick(&self, chosen: &[Option<usize>]) -> Result<Value, LibraryError> {
        let missing = || LibraryError::Operands { accepted: "as many labels as classes" };
        Ok(match self {
            Labels::Ints(ints) => {
                let found = chosen.iter().map(|c| c.map_or(Some(0), |c| ints.get(c).copied()));
                let found = found.collect::<Option<Vec<i64>>>().ok_or_else(missing)?;
                Tensor::from_slice(&[found.len()], &found)?.into()
            }
            Labels::Texts(texts) => {
                let found = chosen.iter().map(|c| c.map_or(Some(String::new()), |c| texts.get(c).cloned()));
                let found = found.collect::<Option<Vec<String>>>().ok_or_else(missing)?;
                Strings::new(&[found.len()], found).ok_or_else(missing)?.into()
            }
        })
    }
}

/// An f32 matrix of the scores of all observations.
fn matrix(rows: usize, columns: usize, scores: &[f64]) -> Result<Value, LibraryError> {
    Ok(super::function::from_reals(DType::F32, &[rows, columns], scores)?.into())
}

#[cfg(test)]
mod tests;
