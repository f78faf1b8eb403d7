//! ONNX models to native code with Cranelift: compile, JIT-run, snapshot.

pub mod aot;
