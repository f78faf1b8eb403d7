//! Graphs whose extents depend on data, whose values may be texts or sequences, or that have control flow.
//!
//! A graph is cut into regions: static parts that are compiled like any graph, one program for each set of extents they meet
//! (a bounded number is kept), and between them the nodes that only a run can size, which the library computes on whole
//! values. Bodies of If, Loop and Scan are cut the same way. `partition` makes the cut, [`Executable`] runs
//! it.

mod execute;
mod partition;
mod profile;

pub use execute::{Executable, ExecuteError, Settings};
pub use partition::is_static;
pub use profile::{Part, Profile};
