//! What a step of a program runs from the library: a call that writes its results in place, or a function.

use super::{Call, Function, LibraryError};
use crate::{Operand, TensorView, TensorViewMut, Value};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A library call or function over tensors whose sizes are known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Routine {
    /// Writes its results in place.
    Call(#[serde(with = "text")] Call),
    /// Makes its results, which are copied to their place.
    Function(Function),
}

impl Routine {
    /// Runs it. The views' shapes say what is made.
    pub fn run(&self, inputs: &[TensorView], outputs: &mut [TensorViewMut]) -> Result<(), LibraryError> {
        let function = match self {
            Routine::Call(call) => return call.run(inputs, outputs),
            Routine::Function(function) => function,
        };
        let operands: Vec<Operand> = inputs.iter().map(|view| Operand::Tensor(*view)).collect();
        let results = function.run(&operands)?;
        for (position, out) in outputs.iter_mut().enumerate() {
            let Some(Value::Tensor(result)) = results.get(position) else {
                return Err(LibraryError::Operands { accepted: "functions whose results are tensors" });
            };
            if result.dtype() != out.dtype || result.shape() != out.shape {
                let (wanted, dtype) = (out.shape, out.dtype);
                return Err(LibraryError::Data(format!("result {position} is {result:?}, not {dtype}{wanted:?}")));
            }
            out.bytes.copy_from_slice(result.bytes());
        }
        Ok(())
    }
}

impl fmt::Display for Routine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Routine::Call(call) => call.fmt(f),
            Routine::Function(function) => f.write_str(&function.name),
        }
    }
}

/// A call is stored as its text.
mod text {
    use crate::library::Call;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(call: &Call, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(call)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Call, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
