//! Tile IR: kernels as structured vector code, written once and lowered twice.
//!
//! [`Kernel`] is the definition on one screen, [`Builder`] writes it. A kernel prints (`Display`), is verified by [`verify()`], runs
//! in the evaluator ([`evaluate`]), and is lowered by `codegen::clif` (any Cranelift target) or `codegen::wide` (x86-64 AVX2
//! and AVX-512).

mod builder;
#[cfg(test)]
pub(crate) mod corpus;
mod eval;
pub mod index;
mod ir;
pub mod lanes;
mod pressure;
mod print;
mod verify;

pub use builder::Builder;
pub use eval::{Buffer, EvalError, Evaluator, evaluate};
pub use ir::*;
pub use pressure::pressure;
pub use print::statement;
pub use verify::{EXPANSION_LIMIT, Fault, verify};
