//! Nothing but a model and the test in `tests/model.rs` that pins its optimised graph.

/// The model that the project ships.
pub const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../digits/lenet5.onnx");
