//! The stored form of a program's tables. Code and weights lie beside it, where they can be mapped.
//!
//! Eight bytes of magic, the version, the length of the body (both little-endian), then the body: [`Tables`] as postcard writes
//! them. Reading allocates in proportion to the bytes given, whatever they say.

use crate::{ByteOwner, Functions, Level, Memory, Port, Program, ProgramError, Step};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[cfg(test)]
mod tests;

const MAGIC: [u8; 8] = *b"BROLGA\r\n";
const VERSION: u32 = 1;
const HEADER: usize = 8 + 4 + 8;

/// Why tables cannot be stored or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Does not begin like a stored program.
    #[error("not a stored program")]
    Magic,
    /// Of another version of the format.
    #[error("a stored program of version {found}; this build reads version {VERSION}")]
    Version {
        /// The version it says.
        found: u32,
    },
    /// Shorter or longer than it says.
    #[error("a stored program of {expected} bytes, of which there are {given}")]
    Length {
        /// Bytes it says it has.
        expected: u64,
        /// Bytes given.
        given: u64,
    },
    /// The body does not read as tables.
    #[error("malformed tables: {0}")]
    Tables(String),
    /// Code or weights are not those the tables were made for.
    #[error("the tables are for {expected} {what}, {given} were given")]
    Parts {
        /// `functions` or `bytes of weights`.
        what: &'static str,
        /// How many the tables were made for.
        expected: u64,
        /// How many were given.
        given: u64,
    },
    /// The tables contradict themselves.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// Everything of a program but its code and its weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tables {
    /// Inputs in order.
    pub inputs: Vec<Port>,
    /// Outputs in order.
    pub outputs: Vec<Port>,
    /// CPU level the code needs.
    pub level: Level,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// Memory plan.
    pub memory: Memory,
    /// Number of functions.
    pub functions: u32,
    /// Bytes of packed weights.
    pub weights_bytes: u64,
    /// Bytes of code, for reports.
    pub code_bytes: u64,
}

impl Tables {
    /// The tables of a program.
    pub fn of(program: &Program) -> Self {
        Tables {
            inputs: program.inputs.clone(),
            outputs: program.outputs.clone(),
            level: program.level,
            steps: program.steps.clone(),
            memory: program.memory,
            functions: u32::try_from(program.functions.entries.len()).unwrap_or(u32::MAX),
            weights_bytes: program.weights.bytes().len() as u64,
            code_bytes: program.code_bytes,
        }
    }

    /// The stored form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let body = postcard::to_stdvec(self).map_err(|error| StoreError::Tables(error.to_string()))?;
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Reads the stored form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(StoreError::Magic)?;
        if *magic != MAGIC {
            return Err(StoreError::Magic);
        }
        let short = StoreError::Length { expected: HEADER as u64, given: bytes.len() as u64 };
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(short.clone())?;
        let found = u32::from_le_bytes(*version);
        if found != VERSION {
            return Err(StoreError::Version { found });
        }
        let (length, body) = rest.split_first_chunk::<8>().ok_or(short)?;
        let length = u64::from_le_bytes(*length);
        if length != body.len() as u64 {
            let expected = length.saturating_add(HEADER as u64);
            return Err(StoreError::Length { expected, given: bytes.len() as u64 });
        }
        let (tables, rest) = postcard::take_from_bytes(body).map_err(|error| StoreError::Tables(error.to_string()))?;
        if !rest.is_empty() {
            return Err(StoreError::Tables(format!("{} bytes are left over", rest.len())));
        }
        Ok(tables)
    }

    /// The program, with the code and the weights that belong to the tables.
    pub fn into_program(self, functions: Functions, weights: Arc<dyn ByteOwner>) -> Result<Program, StoreError> {
        let same = |what, expected, given| {
            if expected == given { Ok(()) } else { Err(StoreError::Parts { what, expected, given }) }
        };
        same("functions", u64::from(self.functions), functions.entries.len() as u64)?;
        same("bytes of weights", self.weights_bytes, weights.bytes().len() as u64)?;
        let Tables { inputs, outputs, level, steps, memory, code_bytes, .. } = self;
        let program = Program { inputs, outputs, level, steps, memory, functions, weights, code_bytes };
        program.check()?;
        Ok(program)
    }
}
