//! Tensors, arena, worker threads, library calls and the Program format; no Cranelift, no ONNX.

mod check;
mod dtype;
mod error;
mod instance;
mod level;
pub mod library;
mod map;
mod memory;
mod pool;
mod program;
mod store;
mod tensor;
mod threads;
mod value;
mod view;
mod walk;
pub mod wide;

pub use check::ProgramError;
pub use dtype::DType;
pub use error::RunError;
pub use instance::{Instance, RunOptions};
pub use level::{Level, LevelError};
pub use map::{Map, MapKeys};
pub use memory::{Block, MappedFile, OutOfMemory, StaticBytes};
pub use pool::{Pool, Ranges, Team};
pub use program::{
    ByteOwner, Call, Functions, KernelFn, LibraryFn, Memory, Port, Program, Region, Space, Step, TensorRegion,
};
pub use store::{StoreError, Tables};
pub use tensor::{AlignedBytes, Element, Tensor, TensorError, element_count};
pub use threads::{default_threads, within_threads};
pub use value::{Operand, Strings, Value};
pub use view::{TensorView, TensorViewMut};
