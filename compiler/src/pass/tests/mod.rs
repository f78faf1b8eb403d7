//! Tests of passes: each fires, does not fire, is blocked with a reason; and the graph computes the same before and after.

mod clean;
mod folding;
mod fusing;
mod layout;
mod lifting;
mod loops;
mod manager;
mod quantised;
mod recognising;
mod resizing;
mod splitting;
mod support;
