//! Straight-line arithmetic on elements: what fused chains and epilogues compute.

use super::{BinaryOp, UnaryOp};

/// An operand of an [`Expression`] step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arg {
    /// The i-th input of the expression.
    Input(u32),
    /// The result of an earlier step.
    Step(u32),
    /// A number.
    Const(f32),
}

/// One step of an [`Expression`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Step {
    Unary(UnaryOp, Arg),
    Binary(BinaryOp, Arg, Arg),
}

/// Straight-line f32 arithmetic on elements, single assignment; the last step is the result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expression {
    /// Steps in order.
    pub steps: Vec<Step>,
}
