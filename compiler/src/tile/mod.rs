//! Tile IR: kernels as structured vector code, written once and lowered twice.
//!
//! [`ir`] is the definition on one screen, [`Builder`] writes it. A kernel prints, verifies, evaluates, and is lowered by
//! `codegen::clif` (any Cranelift target) or `codegen::wide` (x86-64 AVX2 and AVX-512).

mod builder;
mod ir;

pub use builder::Builder;
pub use ir::*;
