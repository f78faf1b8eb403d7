//! What each CPU level means for code generation.

use brolga_runtime::Level;

use crate::tile::Target;

/// The Tile target of a CPU level.
pub trait LevelTarget {
    /// Lanes, registers and fused multiply-add that kernels for this level are built with.
    fn target(self) -> Target;
    /// The target of kernels that Cranelift lowers at this level whatever its vectors: four lanes.
    fn narrow_target(self) -> Target;
}

impl LevelTarget for Level {
    fn target(self) -> Target {
        let (lanes, registers, fma) = match self {
            Level::X86_64 => (4, 16, false),
            Level::X86_64V3 => (8, 16, true),
            Level::X86_64V4 | Level::X86_64V4Vnni => (16, 32, true),
            Level::Aarch64 => (4, 32, true),
        };
        Target { lanes, registers, fma, dot: self == Level::X86_64V4Vnni }
    }

    fn narrow_target(self) -> Target {
        Target {
            lanes: 4,
            registers: if self == Level::Aarch64 { 32 } else { 16 },
            fma: self != Level::X86_64,
            dot: false,
        }
    }
}
