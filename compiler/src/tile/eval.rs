//! Evaluator: runs a kernel on byte buffers, every access checked; the oracle of both lowerings.
//!
//! A kernel is first flattened (unrolled bodies repeated, indices resolved, names turned into slots), then run as a list of
//! steps. Reads of a register that was never set, negative dividends and negative lane counts, on which compiled code may do
//! anything, are errors here.

mod flatten;
mod machine;
#[cfg(test)]
mod tests;

use super::ir::Kernel;

/// A buffer a kernel is given.
pub enum Buffer<'a> {
    /// One it only loads from.
    Read(&'a [u8]),
    /// One it may store to.
    Write(&'a mut [u8]),
}

impl Buffer<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Buffer::Read(bytes) => bytes,
            Buffer::Write(bytes) => bytes,
        }
    }
}

/// What stopped the evaluator; `statement` is the text of the statement with its unroll variables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The kernel breaks a rule of the Tile IR.
    #[error("malformed kernel at `{statement}`: {detail}")]
    Malformed {
        /// Where.
        statement: String,
        /// What.
        detail: String,
    },
    /// An access reaches outside its buffer.
    #[error("`{statement}` reaches bytes {offset}..{} of `{base}`, which has {size}", offset.saturating_add(*bytes))]
    OutOfBounds {
        /// Where.
        statement: String,
        /// The base.
        base: String,
        /// First byte.
        offset: i64,
        /// Number of bytes.
        bytes: i64,
        /// Size of the buffer.
        size: usize,
    },
    /// A store through a buffer that may only be read.
    #[error("`{statement}` stores to `{base}`, which may only be read")]
    ReadOnly {
        /// Where.
        statement: String,
        /// The base.
        base: String,
    },
    /// A register is read before it is set.
    #[error("`{statement}` reads a register that was never set")]
    Unset {
        /// Where.
        statement: String,
    },
    /// A value outside the range for which the operation has a meaning.
    #[error("`{statement}`: {detail}")]
    Undefined {
        /// Where.
        statement: String,
        /// What.
        detail: String,
    },
    /// The number of buffers or arguments is not the kernel's.
    #[error("the kernel takes {expected} {what}, {given} given")]
    Count {
        /// Buffers or arguments.
        what: &'static str,
        /// Of the kernel.
        expected: usize,
        /// Of the caller.
        given: usize,
    },
}

/// A kernel ready to be evaluated many times.
pub struct Evaluator<'k> {
    kernel: &'k Kernel,
    flat: flatten::Flat<'k>,
}

impl<'k> Evaluator<'k> {
    /// Resolves the kernel's names and indices.
    pub fn new(kernel: &'k Kernel) -> Result<Self, EvalError> {
        Ok(Evaluator { kernel, flat: flatten::flatten(kernel)? })
    }

    /// Runs items `begin..end`; the answer is 0 or the code of the check that failed.
    pub fn run(&self, bases: &mut [Buffer<'_>], args: &[i64], begin: i64, end: i64) -> Result<i32, EvalError> {
        let count = |what, expected, given| {
            if expected == given { Ok(()) } else { Err(EvalError::Count { what, expected, given }) }
        };
        count("buffers", self.kernel.bases.len(), bases.len())?;
        count("arguments", self.kernel.args.len(), args.len())?;
        match self.kernel.target.lanes {
            4 => machine::run::<4>(self.kernel, &self.flat, bases, args, begin, end),
            8 => machine::run::<8>(self.kernel, &self.flat, bases, args, begin, end),
            _ => machine::run::<16>(self.kernel, &self.flat, bases, args, begin, end),
        }
    }
}

/// Runs items `begin..end` of a kernel once.
pub fn evaluate(
    kernel: &Kernel,
    bases: &mut [Buffer<'_>],
    args: &[i64],
    begin: i64,
    end: i64,
) -> Result<i32, EvalError> {
    Evaluator::new(kernel)?.run(bases, args, begin, end)
}
