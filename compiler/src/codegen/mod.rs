//! Code generation: Tile IR to machine code, and machine code into a Cranelift module.
//!
//! A kernel becomes a [`Code`]: position-independent bytes without relocations, made on any thread. Kernels of four lanes go
//! through Cranelift, wider ones through our own x86-64 encoder; both calls follow the same ABI,
//! `extern "C" fn(bases: *const *mut u8, args: *const i64, begin: i64, end: i64) -> i32`.

pub mod clif;
mod disassemble;
mod freestanding;
mod level;
mod module;
pub mod peak;
#[cfg(test)]
mod tests;
pub mod wide;

pub use brolga_runtime::Level;
pub use disassemble::disassemble;
pub use freestanding::{Freestanding, freestanding_object};
pub use level::LevelTarget;
pub use module::{JitCode, ObjectCode, Visibility, Word};

use crate::tile::Kernel;

/// A compiled kernel: 0 is success, any other value the code of the check that failed.
pub type KernelFn = unsafe extern "C" fn(bases: *const *mut u8, args: *const i64, begin: i64, end: i64) -> i32;

/// Machine code of a kernel for a level, four lanes through Cranelift, more through our own encoder. Debug builds verify the
/// kernel first.
pub fn emit_code(kernel: &Kernel, level: Level) -> Result<Code, CodegenError> {
    if cfg!(debug_assertions)
        && let Some(fault) = crate::tile::verify(kernel).first()
    {
        return Err(CodegenError::Malformed { kernel: kernel.name.clone(), detail: fault.to_string() });
    }
    match kernel.target.lanes {
        4 => clif::lower(kernel, level),
        _ => wide::lower(kernel, level),
    }
}

/// Machine code of one kernel: position-independent, without relocations, entered at its first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Instructions, then the constants they read.
    pub bytes: Vec<u8>,
    /// Alignment that the first byte needs; a power of two.
    pub alignment: u32,
}

/// Why code could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodegenError {
    /// The kernel breaks a rule of the Tile IR.
    #[error("kernel `{kernel}` is malformed: {detail}")]
    Malformed {
        /// Name of the kernel.
        kernel: String,
        /// What is wrong, naming the statement.
        detail: String,
    },
    /// The kernel was built for another target than the level it is compiled for.
    #[error("kernel `{kernel}` has {lanes} lanes, level {level} has {expected}")]
    Lanes {
        /// Name of the kernel.
        kernel: String,
        /// Lanes it was built for.
        lanes: u32,
        /// Level asked for.
        level: Level,
        /// Lanes of that level.
        expected: u32,
    },
    /// The kernel needs more vector registers than the level has.
    #[error("kernel `{kernel}` needs {needed} vector registers, level {level} has {available}")]
    Registers {
        /// Name of the kernel.
        kernel: String,
        /// Level asked for.
        level: Level,
        /// Registers in use at the busiest place, temporaries counted.
        needed: u32,
        /// Registers of the level.
        available: u32,
    },
    /// An instruction could not be encoded.
    #[error("kernel `{kernel}`: {detail}")]
    Encode {
        /// Name of the kernel.
        kernel: String,
        /// The encoder's words.
        detail: String,
    },
    /// Cranelift refused the function.
    #[error("Cranelift cannot compile `{kernel}`: {detail}")]
    Cranelift {
        /// Name of the kernel.
        kernel: String,
        /// Cranelift's words.
        detail: String,
    },
    /// Cranelift asked for a relocation: it wanted a library call, which kernels must not contain.
    #[error("the code of `{kernel}` needs a relocation ({detail})")]
    Relocation {
        /// Name of the kernel.
        kernel: String,
        /// What the relocation refers to.
        detail: String,
    },
    /// The instruction set or object format is not available.
    #[error("no code generator for {what}: {detail}")]
    Isa {
        /// The level or triple.
        what: String,
        /// Cranelift's words.
        detail: String,
    },
    /// A symbol could not be declared, defined or written.
    #[error("symbol `{symbol}`: {detail}")]
    Module {
        /// The symbol.
        symbol: String,
        /// The module's words.
        detail: String,
    },
}
