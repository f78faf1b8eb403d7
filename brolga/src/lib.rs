//! ONNX models to native code with Cranelift: compile, JIT-run, snapshot.
//!
//! ```no_run
//! use brolga::{Model, Tensor};
//! let model = Model::load("resnet50.onnx")?;
//! let image = Tensor::from_slice(&[1, 3, 224, 224], &vec![0.5f32; 3 * 224 * 224])?;
//! let outputs = model.run([("input", image)])?;
//! println!("{:?}", outputs[0].shape());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Model::load`] reads and optimises; code for a given size is made at the first run with it (at load when all sizes are
//! known) and kept. [`Model::ir_text`] is the optimised graph as text, the same on every machine, for snapshot tests.

pub mod aot;
mod error;
mod late;
mod model;
mod options;

pub use brolga_runtime::{
    DType, Element, Level, Map, MapKeys, Strings, Tensor, TensorError, TensorView, TensorViewMut, Value,
};
pub use error::{Error, ErrorKind};
pub use model::{LoadTiming, Model, Outputs, PortInfo};
pub use options::Options;
