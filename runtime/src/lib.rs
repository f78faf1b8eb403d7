//! Tensors, arena, worker threads, library calls and the Program format; no Cranelift, no ONNX.

mod dtype;
mod level;
pub mod library;
mod tensor;
mod view;

pub use dtype::DType;
pub use level::{Level, LevelError};
pub use tensor::{AlignedBytes, Element, Tensor, TensorError, element_count};
pub use view::{TensorView, TensorViewMut};
