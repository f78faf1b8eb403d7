//! Graph IR, passes, memory plan, Tile IR, kernels and code generation.

#[cfg(feature = "codegen")]
pub mod codegen;
pub mod ir;
pub mod kernel;
pub mod pass;
pub mod tile;
