//! Graph IR, passes, memory plan, Tile IR, kernels and code generation.

pub mod ir;
pub mod tile;
