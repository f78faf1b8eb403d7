//! Ahead of time: compiled programs as files that need no compiler.
//!
//! An executable is one object file (code, tables, weights) linked with the runner's static library, which this crate carries. For
//! a model whose sizes only a run can tell it is a [`Bundle`]: the command itself, with the model behind it.

mod bundle;
mod freestanding;
mod link;
mod model;
mod object;
#[cfg(debug_assertions)]
mod runner_library;

pub use bundle::{Bundle, own_path};
pub use freestanding::{Container, c_name, header, write_freestanding};
pub use link::link_executable;
pub use model::{CompiledModel, level_for, parse_triple};
pub use object::{ProgramParts, executable_object};
pub use target_lexicon::Triple;

use crate::error::of_class;
use brolga_compiler::codegen::{CodegenError, Level};
use brolga_runner::ExitCode;
use std::path::{Path, PathBuf};

/// Why an artefact could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AotError {
    /// The object file could not be made.
    #[error(transparent)]
    Codegen(#[from] CodegenError),
    /// The tables of a program could not be stored.
    #[error(transparent)]
    Store(#[from] brolga_runtime::StoreError),
    /// No platform has this name.
    #[error("`{name}` is no platform: {detail}")]
    UnknownTarget {
        /// The name.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// An executable of no program.
    #[error("an executable needs a program")]
    Nothing,
    /// There is no C compiler to link with.
    #[error("no linker: `{command}` cannot be started ({error}); install a C compiler, or name one in CC")]
    NoLinker {
        /// The command.
        command: String,
        /// The system's words.
        error: std::io::Error,
    },
    /// The linker failed.
    #[error("the linker `{command}` failed ({status}):\n{output}")]
    Linker {
        /// The command.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        output: String,
    },
    /// A file could not be written.
    #[error("{path}: {error}")]
    Io {
        /// File.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
    /// This build of Brolga was made without the runner.
    #[error("this build of Brolga carries no runner and makes no executables; an object file needs none")]
    NoRunner,
    /// Steps that only the runtime can compute, where none is.
    #[error("an object file has no runtime, which these steps need: {}; an executable has", .0.join(", "))]
    LibraryCalls(
        /// The steps.
        Vec<String>,
    ),
    /// The model's file, or one it refers to, cannot be read.
    #[error(transparent)]
    Read(#[from] brolga_proto::ProtoError),
    /// A program that cannot be copied to carry a model.
    #[error("{path} cannot carry a model: {why}")]
    NoEngine {
        /// The program.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// A program that carries a model of which something is missing.
    #[error("{path} is damaged: {detail}; compile the model again")]
    Damaged {
        /// The program.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// An executable for another platform than this one.
    #[error(
        "executables are made for {host} here, not for {target}: they hold the runner that was built for it, or the command itself \
         when only a run can tell sizes; an object file needs neither and can be made for any"
    )]
    Target {
        /// This platform.
        host: String,
        /// The one asked for.
        target: String,
    },
}

impl AotError {
    /// The exit code of a command that fails with it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            AotError::Codegen(_) | AotError::Store(_) => ExitCode::Bug,
            AotError::Target { .. } | AotError::UnknownTarget { .. } | AotError::Nothing => ExitCode::Usage,
            AotError::LibraryCalls(_) => ExitCode::Unsupported,
            AotError::Read(error) => of_class(error.class()).into(),
            _ => ExitCode::Machine,
        }
    }
}

/// Compiles programs, the specialisations of one model, into an executable for this platform.
pub fn write_executable(level: Level, programs: &[ProgramParts<'_>], output: &Path) -> Result<(), AotError> {
    let object = executable_object(level, Triple::host(), programs)?;
    link_executable(&object, output)
}

#[cfg(test)]
mod tests;
