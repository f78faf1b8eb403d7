//! A compiled model: a table of steps over byte regions, the code they call and the packed weights they read.
//!
//! A program knows nothing of where its code and weights came from: the JIT, or the sections of an executable. Workers run it
//! together: each takes its share of every call and meets the others where a step says so.

use crate::{DType, Level, TensorView, TensorViewMut, library};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::sync::Arc;

/// `fn(bases, args, begin, end) -> code`: 0 is success, anything else the number of a failed check.
pub type KernelFn = unsafe extern "C" fn(bases: *const *mut u8, args: *const i64, begin: i64, end: i64) -> i32;

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Name in the model.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Shape.
    pub shape: Vec<usize>,
}

/// Which memory a region is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Space {
    /// The arena of the call.
    Arena,
    /// Packed weights and tables; read-only.
    Weights,
    /// An input of the model.
    Input(u32),
    /// An output of the model.
    Output(u32),
    /// Memory of the worker that runs the call.
    Scratch,
}

/// A place in memory: a space and a byte offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Region {
    /// Memory.
    pub space: Space,
    /// First byte.
    pub offset: u64,
}

/// A tensor operand of a library call: dense, row-major.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorRegion {
    /// First byte.
    pub region: Region,
    /// Element type.
    pub dtype: DType,
    /// Shape.
    pub shape: Vec<usize>,
}

/// What a step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Call {
    /// Calls generated code; `0..extent` is divided among the workers.
    Kernel {
        /// Index into [`Program::functions`].
        function: u32,
        /// One per base of the kernel.
        operands: Vec<Region>,
        /// Run-time arguments.
        args: Vec<i64>,
        /// Items of work.
        extent: u64,
        /// All workers meet before this call.
        barrier_before: bool,
    },
    /// Copies bytes (divided among the workers).
    Copy {
        /// From.
        from: Region,
        /// To; does not overlap.
        to: Region,
        /// How many.
        bytes: u64,
    },
    /// Runs a function of the library on the first worker.
    Library {
        /// Which, with its attributes.
        call: library::Routine,
        /// Operands.
        inputs: Vec<TensorRegion>,
        /// Results.
        outputs: Vec<TensorRegion>,
    },
}

/// One step: calls in order, then all workers meet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Name of the (main) kernel or library function.
    pub kernel: String,
    /// Names of the model's nodes that it computes.
    pub node: String,
    /// Multiplications and additions, for reports.
    pub flops: u64,
    /// Calls in order.
    pub calls: Vec<Call>,
}

/// Bytes with an owner that keeps them in place (a mapped file, a section of the executable, an allocation).
pub trait ByteOwner: Send + Sync {
    /// The bytes; always the same ones.
    fn bytes(&self) -> &[u8];
}

/// Runs a library call on its operands and results: [`library::Routine::run`], unless nothing in the process needs it.
pub type LibraryFn =
    fn(&library::Routine, &[TensorView<'_>], &mut [TensorViewMut<'_>]) -> Result<(), library::LibraryError>;

/// What a program's calls go to, and whatever keeps its code in memory.
#[derive(Clone)]
pub struct Functions {
    /// Entry points of the kernels.
    pub entries: Vec<KernelFn>,
    /// Runs library calls. An executable whose programs have none is linked without the library.
    pub run_library: Option<LibraryFn>,
    /// Owner of the code.
    pub owner: Arc<dyn Any + Send + Sync>,
}

/// Sizes of the memory plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Bytes of one call's arena, temporaries and halos counted, worker scratch not.
    pub arena_bytes: u64,
    /// Bytes of one worker's scratch.
    pub scratch_bytes: u64,
    /// Largest sum of bytes live at once after in-place reuse: no arena can be smaller.
    pub lower_bound_bytes: u64,
}

/// A compiled model for one binding of its symbolic dimensions.
pub struct Program {
    /// Inputs in order.
    pub inputs: Vec<Port>,
    /// Outputs in order.
    pub outputs: Vec<Port>,
    /// CPU level the code needs.
    pub level: Level,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// Memory plan.
    pub memory: Memory,
    /// Code.
    pub functions: Functions,
    /// Packed weights and tables, 64-byte aligned.
    pub weights: Arc<dyn ByteOwner>,
    /// Bytes of code, for reports.
    pub code_bytes: u64,
}
