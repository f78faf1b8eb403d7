//! The memory plan: where every value lies, how long, and at which offset of the arena.
//!
//! [`mod@place`] decides which values share a buffer (views, concatenations written in place, results that overwrite an operand),
//! [`arena`] gives the buffers offsets, [`mod@check`] replays the schedule against the result without sharing code with either.

pub mod arena;
pub mod check;
pub mod order;
pub mod place;

pub use arena::assign;
pub use check::{PlanFault, check};
pub use place::{Buffer, Home, Place, Placement, place};
