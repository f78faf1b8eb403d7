//! Type and shape rules: from an operation and its operands to the types of its results, symbolic dimensions included, and
//! for small integer tensors the elements themselves (shape arithmetic).

use super::{Dim, Graph, Op, Source, Type, ValueId, Weight};

/// Why a node has no type.
#[derive(Debug, thiserror::Error)]
#[error("node '{node}': {what}")]
pub struct InferError {
    /// Name of the node.
    pub node: String,
    /// What is wrong and what would be accepted.
    pub what: String,
}

/// Types and known contents of the `results` results of `op` applied to `inputs`.
pub fn infer(
    _graph: &Graph,
    _op: &Op,
    _inputs: &[ValueId],
    _results: usize,
    node: &str,
) -> Result<Vec<(Type, Option<Vec<Dim>>)>, InferError> {
    Err(InferError { node: node.into(), what: "no rule".into() })
}

/// Elements of a small integer constant of rank 0 or 1.
pub fn weight_content(weight: &Weight) -> Option<Vec<Dim>> {
    let count = weight.len();
    let width = weight.dtype.bytes();
    if count > 4096 || weight.shape().len() > 1 || !weight.dtype.is_integer() || !weight.is_plain() {
        return None;
    }
    let element = |bytes: &[u8]| -> i64 {
        let mut wide = [0u8; 8];
        wide[..width].copy_from_slice(&bytes[..width]);
        let raw = i64::from_le_bytes(wide);
        let unused = 64 - 8 * width as u32;
        let signed = matches!(
            weight.dtype,
            brolga_runtime::DType::I8
                | brolga_runtime::DType::I16
                | brolga_runtime::DType::I32
                | brolga_runtime::DType::I64
        );
        if signed { raw << unused >> unused } else { raw }
    };
    Some(match &weight.source {
        Source::Splat(bytes) => vec![Dim::Const(element(bytes)); count],
        Source::Bytes(bytes) => bytes.chunks_exact(width).map(|c| Dim::Const(element(c))).collect(),
    })
}

impl Graph {
    /// Adds a node whose result types are inferred.
    pub fn add_node(
        &mut self,
        op: Op,
        inputs: &[ValueId],
        results: usize,
        name: impl Into<String>,
    ) -> Result<Vec<ValueId>, InferError> {
        let name = name.into();
        let types = infer(self, &op, inputs, results, &name)?;
        Ok(self.add_typed_node(op, inputs, types, name))
    }
}
