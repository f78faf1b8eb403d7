//! What can be wrong with a model file.

use std::path::PathBuf;

/// Whose fault an error is; front ends choose words and exit codes by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The model is malformed.
    Model,
    /// The model is well-formed, but uses something that is not implemented.
    Unsupported,
    /// The model asks for more than the limits allow.
    Budget,
    /// The file system refused.
    Machine,
}

/// Error of reading a model or the data beside it.
#[derive(Debug, thiserror::Error)]
pub enum ProtoError {
    /// The operating system refused.
    #[error("cannot read {path:?}: {source}")]
    Io {
        /// File.
        path: PathBuf,
        /// Reason.
        source: std::io::Error,
    },
    /// Directory, pipe, device or socket.
    #[error("{path:?} is not a regular file")]
    NotAFile {
        /// Path.
        path: PathBuf,
    },
    /// No bytes.
    #[error("the model is empty (0 bytes)")]
    Empty,
    /// The bytes are not a message in the wire format.
    #[error("not an ONNX model: at byte {offset}, {reason}")]
    Malformed {
        /// Where.
        offset: usize,
        /// What.
        reason: &'static str,
    },
    /// A field's content is not what its type says.
    #[error("not an ONNX model: {0}")]
    Decode(#[from] prost::DecodeError),
    /// It would take too much memory.
    #[error("the model's structure needs {needed} bytes of memory, more than the limit of {limit}")]
    TooLarge {
        /// Estimate.
        needed: u64,
        /// Limit.
        limit: u64,
    },
    /// Something about a tensor.
    #[error("tensor {name:?}: {reason}")]
    Tensor {
        /// Its name.
        name: String,
        /// What.
        reason: String,
    },
    /// A tensor uses a feature that is not implemented.
    #[error("tensor {name:?}: {reason}")]
    UnsupportedTensor {
        /// Its name.
        name: String,
        /// What.
        reason: String,
    },
}

impl ProtoError {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            ProtoError::Io { .. } | ProtoError::NotAFile { .. } => Class::Machine,
            ProtoError::Empty | ProtoError::Malformed { .. } | ProtoError::Decode(_) | ProtoError::Tensor { .. } => {
                Class::Model
            }
            ProtoError::TooLarge { .. } => Class::Budget,
            ProtoError::UnsupportedTensor { .. } => Class::Unsupported,
        }
    }
}
