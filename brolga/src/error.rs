//! One error type over the layers, sorted into the families that a user acts on.

use brolga_compiler::compile::CompileError;
use brolga_compiler::ir::infer::InferError;
use brolga_compiler::pass::PassError;
use brolga_frontend::ImportError;
use brolga_proto::{Class, ProtoError};
use brolga_runtime::RunError;

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read or is not a model.
    #[error(transparent)]
    Read(#[from] ProtoError),
    /// The model is malformed or uses what is not supported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The model's shapes do not fit together.
    #[error("invalid model: {0}")]
    Shape(#[from] InferError),
    /// A pass failed.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// Compiling failed.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A run failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A symbolic dimension has no value where one is needed.
    #[error("dimension `{0}` is symbolic and has no value; give one with `--dim {0}=N` or an input of known shape")]
    Unbound(String),
    /// A name, type or shape that the model does not have.
    #[error("{0}")]
    Usage(String),
    /// This machine lacks something.
    #[error("{0}")]
    Machine(String),
}

/// What a user does about an error; also the exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Call it otherwise (2).
    Usage,
    /// The model is malformed (3).
    InvalidModel,
    /// The model uses what is not supported (4).
    Unsupported,
    /// The model asks for more than the limits allow (5).
    Budget,
    /// The machine: files, memory, CPU level, linker (6).
    Machine,
    /// A bug of ours (70).
    Bug,
}

fn of_class(class: Class) -> ErrorKind {
    match class {
        Class::Model => ErrorKind::InvalidModel,
        Class::Unsupported => ErrorKind::Unsupported,
        Class::Budget => ErrorKind::Budget,
        Class::Machine => ErrorKind::Machine,
    }
}

impl Error {
    /// The family it belongs to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Read(e) => of_class(e.class()),
            Error::Import(e) => of_class(e.class()),
            Error::Shape(e) if e.too_large => ErrorKind::Budget,
            Error::Shape(_) => ErrorKind::InvalidModel,
            Error::Pass(e) | Error::Compile(CompileError::Pass(e)) if e.is_budget() => ErrorKind::Budget,
            Error::Compile(CompileError::Unsupported(_)) => ErrorKind::Unsupported,
            Error::Compile(CompileError::Memory(_)) | Error::Machine(_) => ErrorKind::Machine,
            Error::Run(RunError::Level { .. } | RunError::Memory(_)) => ErrorKind::Machine,
            Error::Run(
                RunError::Count { .. } | RunError::Port { .. } | RunError::Name { .. } | RunError::Bytes { .. },
            ) => ErrorKind::Usage,
            Error::Compile(CompileError::UnknownSize(_)) | Error::Unbound(_) | Error::Usage(_) => ErrorKind::Usage,
            Error::Run(RunError::Step { .. }) => ErrorKind::InvalidModel,
            Error::Pass(_) | Error::Compile(_) | Error::Run(_) => ErrorKind::Bug,
        }
    }
}
