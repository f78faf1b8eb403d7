//! Graph IR: typed values in single-assignment form, numbered by us, over a petgraph graph.

mod op;
mod ty;
mod weight;

pub use op::*;
pub use ty::*;
pub use weight::*;
