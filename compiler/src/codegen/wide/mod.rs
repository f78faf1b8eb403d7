//! Tile IR to AVX2 and AVX-512 machine code.
//!
//! A kernel is expanded into a flat list of instructions (`flat`, `expand`), a few peepholes run over it (`fold`), live
//! ranges are computed (`live`), scalars get general registers by how often they are used (`gpr`), and one pass over the
//! list encodes it, giving vector registers at the definition of a value and taking them back at its last use (`emit`, with
//! `scalar`, `vector`, `lanes`, `mask` and `memory`). Vectors never spill: a kernel that needs more registers than there are
//! is refused.
//!
//! Registers that an operation takes on top of live values and its result: none for arithmetic with at most one operand
//! that is a constant, otherwise one for each further constant; one for `Permute` and `SplatLane`, for `Reduce` and
//! `Transpose`, for an AVX2 `Slide`, an AVX2 gather, and an AVX2 store of the first lanes or of narrow elements; one for
//! AVX-512 stores of unsigned elements; `Scale` takes one, and so do shifts by counts that are not constant; stores as
//! bfloat16 take two, and AVX2 one more for the comparison and one for the packing. Masks are mask registers on AVX-512 (six
//! at once) and vector registers on AVX2. A result takes the register of an operand that dies there, except those of
//! `Gather` and `Scale`.
//!
//! The code is position-independent; its constants follow it and are addressed relative to the instruction pointer.

mod asm;
mod emit;
mod expand;
mod expand_vector;
mod flat;
mod fold;
mod gpr;
mod lanes;
mod live;
mod mask;
mod memory;
mod pool;
mod scalar;
mod vector;

#[cfg(test)]
#[cfg(unix)]
mod tests;

use brolga_runtime::Level;

use super::{Code, CodegenError};
use crate::tile::Kernel;

/// The vector extension in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isa {
    Avx2,
    Avx512,
}

/// Why a kernel cannot be lowered, before its name and level are attached.
#[derive(Debug)]
enum Fail {
    Malformed(String),
    Registers { needed: u32 },
    Encode(String),
}

impl Fail {
    fn malformed(detail: String) -> Self {
        Fail::Malformed(detail)
    }
}

/// Lowers a kernel built for the lanes of `level`, which is x86-64-v3 or above.
pub fn lower(kernel: &Kernel, level: Level) -> Result<Code, CodegenError> {
    let isa = match level {
        Level::X86_64V3 => Isa::Avx2,
        Level::X86_64V4 | Level::X86_64V4Vnni => Isa::Avx512,
        Level::X86_64 | Level::Aarch64 => {
            let detail = "wide vectors exist from x86-64-v3 on".to_owned();
            return Err(CodegenError::Isa { what: level.to_string(), detail });
        }
    };
    let name = || kernel.name.clone();
    if kernel.target.dot && level != Level::X86_64V4Vnni {
        let detail = "the level has no dot of bytes".to_owned();
        return Err(CodegenError::Malformed { kernel: name(), detail });
    }
    let expected = isa.lanes() as u32;
    if kernel.target.lanes != expected {
        return Err(CodegenError::Lanes { kernel: name(), lanes: kernel.target.lanes, level, expected });
    }
    lower_for(kernel, isa).map_err(|fail| match fail {
        Fail::Malformed(detail) => CodegenError::Malformed { kernel: name(), detail },
        Fail::Encode(detail) => CodegenError::Encode { kernel: name(), detail },
        Fail::Registers { needed } => {
            CodegenError::Registers { kernel: name(), level, needed, available: isa.registers() }
        }
    })
}

fn lower_for(kernel: &Kernel, isa: Isa) -> Result<Code, Fail> {
    let mut pool = pool::Pool::new(isa.lanes(), isa == Isa::Avx512);
    let mut flat = expand::expand(kernel, isa, &mut pool)?;
    fold::fold(&mut flat, isa);
    let live = live::live(&flat);
    let gprs = gpr::assign(&live);
    let bytes = emit::emit(&flat, &live, gprs, pool, isa)?;
    Ok(Code { bytes, alignment: 64 })
}
