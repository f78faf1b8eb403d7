//! Graph IR: typed values in single-assignment form, numbered by us, over a petgraph graph.
//!
//! [`Graph`] holds nodes and values, [`Op`] is the closed set of operations, [`Type`] their types, [`Weight`] the constants,
//! [`Patch`] the only way to change a graph after import, [`infer`] the typing rules.

pub mod eval;
mod expression;
mod flops;
mod graph;
pub mod infer;
mod linear;
mod op;
mod patch;
mod resize;
pub mod text;
mod ty;
pub mod verify;
mod weight;

pub use expression::{Arg, Expression, Step};
pub use flops::flops;
pub use graph::*;
pub use op::*;
pub use patch::{Patch, PatchError};
pub use resize::*;
pub use ty::*;
pub use weight::*;
