//! Why a model cannot be imported.

use brolga_compiler::ir::infer::InferError;
use brolga_proto::{Class, ProtoError};
use std::fmt;

/// A node that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedNode {
    /// Name of the node, or of its first result when it has none.
    pub name: String,
    /// Operator.
    pub op: String,
    /// Domain of the operator; empty for the standard one.
    pub domain: String,
    /// Version of the domain's operators.
    pub opset: i64,
    /// What is not supported, and what would be.
    pub reason: String,
    /// Whether the operator is supported, though not as the node uses it.
    pub known: bool,
}

impl fmt::Display for UnsupportedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = if self.domain.is_empty() { "ai.onnx" } else { &self.domain };
        write!(f, "node {:?}: {} (domain {domain:?}, opset {}): {}", self.name, self.op, self.opset, self.reason)
    }
}

/// Every node of a model that cannot be imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of the model; empty when all is supported.
    pub unsupported: Vec<UnsupportedNode>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.unsupported.len();
        write!(f, "{n} node{} not supported", if n == 1 { " is" } else { "s are" })?;
        for node in &self.unsupported {
            write!(f, "\n  {node}")?;
        }
        Ok(())
    }
}

/// Error of importing a model.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A tensor or the file.
    #[error(transparent)]
    Proto(#[from] ProtoError),
    /// The model contradicts itself or the format.
    #[error("invalid model: {0}")]
    Invalid(String),
    /// Nodes that are not supported.
    #[error("{0}")]
    Unsupported(Report),
    /// Something other than a node is not supported.
    #[error("{0}")]
    UnsupportedModel(String),
    /// A limit is exceeded.
    #[error("the model exceeds a limit: {0}")]
    Budget(String),
}

impl ImportError {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            ImportError::Proto(e) => e.class(),
            ImportError::Invalid(_) => Class::Model,
            ImportError::Unsupported(_) | ImportError::UnsupportedModel(_) => Class::Unsupported,
            ImportError::Budget(_) => Class::Budget,
        }
    }
}

/// Error of importing one node; the driver adds which.
#[derive(Debug)]
pub(crate) enum NodeError {
    Invalid(String),
    Unsupported(String),
    Budget(String),
    Proto(ProtoError),
    /// Nodes of its body that are not supported.
    Nested(Vec<UnsupportedNode>),
}

impl From<InferError> for NodeError {
    fn from(e: InferError) -> Self {
        if e.too_large { NodeError::Budget(e.what) } else { NodeError::Invalid(e.what) }
    }
}

impl From<ProtoError> for NodeError {
    fn from(e: ProtoError) -> Self {
        match e.class() {
            Class::Unsupported => NodeError::Unsupported(e.to_string()),
            _ => NodeError::Proto(e),
        }
    }
}

/// Short for an error of the model.
pub(crate) fn invalid<T>(what: impl Into<String>) -> Result<T, NodeError> {
    Err(NodeError::Invalid(what.into()))
}

/// Short for something that is not implemented; `what` says what is.
pub(crate) fn unsupported<T>(what: impl Into<String>) -> Result<T, NodeError> {
    Err(NodeError::Unsupported(what.into()))
}
