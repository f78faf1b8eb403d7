//! Graph IR, passes, memory plan, Tile IR, kernels and code generation.

#[cfg(feature = "codegen")]
pub mod codegen;
#[cfg(feature = "codegen")]
pub mod compile;
pub mod ir;
pub mod kernel;
pub mod pass;
pub mod plan;
#[cfg(feature = "codegen")]
pub mod region;
pub mod tile;
