//! One error type over the layers, sorted into the families that a user acts on.

use brolga_compiler::compile::CompileError;
use brolga_compiler::ir::infer::InferError;
use brolga_compiler::pass::PassError;
use brolga_compiler::region::ExecuteError;
use brolga_frontend::ImportError;
use brolga_proto::{Class, ProtoError};
use brolga_runner::ExitCode;
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
    /// Running region by region failed.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// Sizes depend on data where one program is asked for.
    #[error(
        "only a run can tell the sizes of some results ({0}): such a model is not one compiled program; it runs, and `brolga compile` \
         makes an executable of it that carries the compiler"
    )]
    Dynamic(String),
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

/// What a user does about an error, and what the command's exit code is.
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

impl From<ErrorKind> for ExitCode {
    fn from(kind: ErrorKind) -> ExitCode {
        match kind {
            ErrorKind::Usage => ExitCode::Usage,
            ErrorKind::InvalidModel => ExitCode::InvalidModel,
            ErrorKind::Unsupported => ExitCode::Unsupported,
            ErrorKind::Budget => ExitCode::Budget,
            ErrorKind::Machine => ExitCode::Machine,
            ErrorKind::Bug => ExitCode::Bug,
        }
    }
}

pub(crate) fn of_class(class: Class) -> ErrorKind {
    match class {
        Class::Model => ErrorKind::InvalidModel,
        Class::Unsupported => ErrorKind::Unsupported,
        Class::Budget => ErrorKind::Budget,
        Class::Machine => ErrorKind::Machine,
    }
}

fn of_shape(error: &InferError) -> ErrorKind {
    if error.too_large { ErrorKind::Budget } else { ErrorKind::InvalidModel }
}

fn of_pass(error: &PassError) -> ErrorKind {
    if error.is_budget() { ErrorKind::Budget } else { ErrorKind::Bug }
}

fn of_compile(error: &CompileError) -> ErrorKind {
    match error {
        CompileError::Pass(e) => of_pass(e),
        CompileError::Unsupported(_) => ErrorKind::Unsupported,
        CompileError::Memory(_) => ErrorKind::Machine,
        CompileError::UnknownSize(_) => ErrorKind::Usage,
        _ => ErrorKind::Bug,
    }
}

fn of_run(error: &RunError) -> ErrorKind {
    match error {
        RunError::Level { .. } | RunError::Memory(_) => ErrorKind::Machine,
        RunError::Count { .. } | RunError::Port { .. } | RunError::Name { .. } | RunError::Bytes { .. } => {
            ErrorKind::Usage
        }
        RunError::Step { .. } => ErrorKind::InvalidModel,
        _ => ErrorKind::Bug,
    }
}

impl Error {
    /// The family it belongs to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Read(e) => of_class(e.class()),
            Error::Import(e) => of_class(e.class()),
            Error::Shape(e) | Error::Execute(ExecuteError::Shape(e)) => of_shape(e),
            Error::Pass(e) | Error::Execute(ExecuteError::Pass(e)) => of_pass(e),
            Error::Compile(e) | Error::Execute(ExecuteError::Compile(e)) => of_compile(e),
            Error::Run(e) | Error::Execute(ExecuteError::Run(e)) => of_run(e),
            Error::Execute(ExecuteError::Node(_)) => ErrorKind::InvalidModel,
            Error::Dynamic(_) => ErrorKind::Unsupported,
            Error::Machine(_) => ErrorKind::Machine,
            Error::Unbound(_) | Error::Usage(_) => ErrorKind::Usage,
        }
    }
}
