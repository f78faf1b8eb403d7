//! The tile kernel and what is lowered to it: convolutions of every kind, matrix products, dense layers.
//!
//! One program shape serves them all (see [`TileSpec`]): accumulators stay in registers for the whole reduction, the epilogue
//! runs on them before the only store. [`choose`] picks tile and loop order from an explicit cost model.

mod build;
pub mod choose;
pub mod integer;
mod lower;
pub mod matmul;
pub mod sparse;
mod spec;
pub mod transposed;
mod weights;
mod winograd;

pub use lower::{conv_reach, lower, separate_taps};
pub use spec::{Bytes, ExtraKind, Numbers, Outcome, Stream, TileSpec, WeightLayout};

use super::{KernelCall, NoKernel, Operand};
use crate::ir::{Expression, Step, UnaryOp};
use crate::tile::{Target, pressure};

/// Builds a spec's program, with narrower tiles where the epilogue needs more registers than the tile leaves.
fn fitted(mut spec: TileSpec, target: Target, operands: Vec<Operand>) -> Result<KernelCall, NoKernel> {
    let spare = temporaries(&spec.epilogue);
    loop {
        let kernel = spec.build(target)?;
        if pressure(&kernel) + spare <= target.registers || spec.max_pixels == 1 {
            return Ok(KernelCall { kernel, operands, args: Vec::new(), extent: spec.extent(), barrier_before: false });
        }
        spec.max_pixels -= 1;
    }
}

/// Registers that lowering an epilogue's functions takes beside the values the program names.
fn temporaries(epilogue: &Expression) -> u32 {
    let simple = |op: &UnaryOp| {
        matches!(
            op,
            UnaryOp::Relu
                | UnaryOp::Clip { .. }
                | UnaryOp::Abs
                | UnaryOp::Neg
                | UnaryOp::HardSwish
                | UnaryOp::Round
                | UnaryOp::HardSigmoid { .. }
        )
    };
    let heavy = epilogue.steps.iter().any(|s| matches!(s, Step::Unary(op, _) if !simple(op)));
    if heavy { 3 } else { 0 }
}
