//! What functions make of their attributes once and read at every run: trees, tables to look things up in.

use super::LibraryError;
use super::function::{Function, Operands};
use crate::{Operand, Value};
use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A place beside the attributes of a function for what its first run made of them. It is no part of what the function is: it
/// is neither compared nor stored, and a clone, whose attributes may be changed, begins without.
#[derive(Default)]
pub struct Prepared(OnceLock<Kept>);

/// What was made, and the operands that it was made of beside the attributes.
struct Kept {
    operands: Vec<Option<Value>>,
    made: Arc<dyn Any + Send + Sync>,
}

impl Clone for Prepared {
    fn clone(&self) -> Prepared {
        Prepared::default()
    }
}

impl PartialEq for Prepared {
    fn eq(&self, _: &Prepared) -> bool {
        true
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "prepared" } else { "not prepared" })
    }
}

/// Whether an operand is to the bit what it was.
fn same(then: &Option<Value>, now: Option<Operand>) -> bool {
    match (then, now) {
        (None, None) => true,
        (Some(Value::Tensor(then)), Some(Operand::Tensor(now))) => {
            then.dtype() == now.dtype && then.shape() == now.shape && then.bytes() == now.bytes
        }
        (Some(Value::Strings(then)), Some(Operand::Value(Value::Strings(now)))) => then == now,
        _ => false,
    }
}

impl Function {
    /// What `make` makes of the attributes and of the operands at the positions `of`, and of nothing else. The first run makes
    /// and keeps it; a run whose operands are others makes its own.
    pub(super) fn prepare<T: Any + Send + Sync>(
        &self,
        x: &Operands,
        of: &[usize],
        make: impl FnOnce() -> Result<T, LibraryError>,
    ) -> Result<Arc<T>, LibraryError> {
        let operands = || of.iter().map(|i| x.get(*i));
        if let Some(kept) = self.prepared.0.get()
            && kept.operands.len() == of.len()
            && kept.operands.iter().zip(operands()).all(|(then, now)| same(then, now))
            && let Ok(made) = kept.made.clone().downcast()
        {
            return Ok(made);
        }
        let made = Arc::new(make()?);
        if self.prepared.0.get().is_none() {
            let operands = operands().map(|x| x.map(|x| x.to_value()).transpose()).collect::<Result<_, _>>()?;
            // Of two runs that make it at once, one keeps its own.
            let _ = self.prepared.0.set(Kept { operands, made: made.clone() });
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests;
