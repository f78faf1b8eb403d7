//! The text form of a graph: [`Graph::to_text`](super::Graph::to_text) writes it, [`parse`] reads it.
//!
//! The same graph gives the same text; parsing and printing it again gives that text; every float is written so that it reads
//! back as the same bits. `docs/ir.md` describes the grammar.

mod attr;
mod lex;
mod op;
mod parse;
mod print;
mod weight;

pub use parse::{ParseError, parse};
pub use weight::{GraphWeights, NoWeights, WeightSource};

#[cfg(test)]
mod tests;
