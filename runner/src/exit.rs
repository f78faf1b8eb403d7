//! Exit codes, and failures that carry one.

use brolga_runtime::RunError;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ExitCode {
    /// Done.
    Ok = 0,
    /// A comparison found a difference.
    Mismatch = 1,
    /// Wrong arguments, or arrays that do not fit the model.
    Usage = 2,
    /// The model breaks ONNX's rules.
    InvalidModel = 3,
    /// The model asks for what is not supported.
    Unsupported = 4,
    /// The model needs more than its budget.
    Budget = 5,
    /// This machine: a file that cannot be read, no linker, CPU level, memory.
    Machine = 6,
    /// Our bug.
    Bug = 70,
}

impl ExitCode {
    /// The number.
    pub fn code(self) -> i32 {
        self as i32
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        std::process::ExitCode::from(code as u8)
    }
}

/// Why a command failed, with its exit code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Exit code.
    pub code: ExitCode,
    /// What to tell the user.
    pub message: String,
}

impl Failure {
    /// A failure with this code and message.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Failure { code, message: message.into() }
    }
    /// Wrong arguments, or arrays that do not fit.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }
    /// A fault of this machine.
    pub fn machine(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Machine, message)
    }
    /// Our bug.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Bug, message)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let code = match &error {
            RunError::Count { .. } | RunError::Port { .. } | RunError::Bytes { .. } | RunError::Name { .. } => {
                ExitCode::Usage
            }
            RunError::Level { .. } | RunError::Memory(_) | RunError::Cancelled | RunError::Deadline => {
                ExitCode::Machine
            }
            // A check in a step looks at the data of the model: an index out of range, a division by zero.
            RunError::Step { .. } => ExitCode::InvalidModel,
            _ => ExitCode::Bug,
        };
        Failure::new(code, error.to_string())
    }
}
