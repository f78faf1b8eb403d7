//! Tensors, arena, worker threads, library calls and the Program format; no Cranelift, no ONNX.

mod dtype;
mod level;
mod tensor;

pub use dtype::DType;
pub use level::{Level, LevelError};
pub use tensor::{AlignedBytes, Element, Tensor, TensorError, element_count};
