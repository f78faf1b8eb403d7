//! Why a run failed.

use crate::{DType, Level, OutOfMemory, ProgramError};

/// Why a program could not be run, or did not finish.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Another number of inputs or outputs than the model has.
    #[error("the model has {} {what}s ({}), {given} were given", .names.len(), .names.join(", "))]
    Count {
        /// `input` or `output`.
        what: &'static str,
        /// Names that the model has.
        names: Vec<String>,
        /// How many were given.
        given: usize,
    },
    /// An input or output of another type or shape than the model's.
    #[error("{what} `{name}` is {dtype}{shape:?}, {given_dtype}{given_shape:?} was given")]
    Port {
        /// `input` or `output`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Its type.
        dtype: DType,
        /// Its shape.
        shape: Vec<usize>,
        /// The type given.
        given_dtype: DType,
        /// The shape given.
        given_shape: Vec<usize>,
    },
    /// An input or output that does not begin at a multiple of its element's size, or whose bytes are not as many as it needs.
    #[error("{what} `{name}` needs {bytes} bytes that begin at a multiple of the size of a {dtype}")]
    Bytes {
        /// `input` or `output`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Its type.
        dtype: DType,
        /// Bytes it needs.
        bytes: usize,
    },
    /// An input that the model does not have.
    #[error("the model has no input `{name}`; its inputs are {}", .known.join(", "))]
    Name {
        /// The name.
        name: String,
        /// Names that the model has.
        known: Vec<String>,
    },
    /// The machine is below the level of the code.
    #[error("the code is for {level}: it needs {}, which this machine does not have", .level.requirement())]
    Level {
        /// Level of the code.
        level: Level,
    },
    /// The tables are wrong.
    #[error("malformed program: {0}")]
    Program(#[from] ProgramError),
    /// The arena cannot be had.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// A check in generated code or in a library call failed.
    #[error("step {step} (`{kernel}`, node `{node}`) failed: {detail}")]
    Step {
        /// Number of the step.
        step: usize,
        /// Its kernel.
        kernel: String,
        /// Nodes of the model that it computes.
        node: String,
        /// What failed.
        detail: String,
    },
    /// The caller asked to stop.
    #[error("the run was cancelled")]
    Cancelled,
    /// The deadline has passed.
    #[error("the run did not finish before its deadline")]
    Deadline,
    /// A worker panicked.
    #[error("a worker stopped unexpectedly; this is a fault of the runtime")]
    Worker,
}
