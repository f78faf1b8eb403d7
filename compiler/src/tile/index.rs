//! Values of compile-time indices while an unrolled body is expanded.

use super::ir::{Index, UnrollId};

/// The unroll variables in scope and their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnrollValues(Vec<(UnrollId, i64)>);

impl UnrollValues {
    /// Enters an unrolled body.
    pub fn push(&mut self, var: UnrollId, value: i64) {
        self.0.push((var, value));
    }
    /// Leaves it.
    pub fn pop(&mut self) {
        self.0.pop();
    }
    /// The value of a variable in scope.
    pub fn get(&self, var: UnrollId) -> Option<i64> {
        self.0.iter().rev().find(|(v, _)| *v == var).map(|(_, value)| *value)
    }
    /// The value of an index; `None` for a variable out of scope, an entry outside its table, or overflow.
    pub fn value(&self, index: &Index, tables: &[Vec<i64>]) -> Option<i64> {
        match index {
            Index::Const(value) => Some(*value),
            Index::Var(var) => self.get(*var),
            Index::Add(a, b) => self.value(a, tables)?.checked_add(self.value(b, tables)?),
            Index::Mul(factor, a) => self.value(a, tables)?.checked_mul(*factor),
            Index::Table(table, a) => {
                let at = usize::try_from(self.value(a, tables)?).ok()?;
                tables.get(table.0 as usize)?.get(at).copied()
            }
        }
    }
    /// The position of a register in its array, last dimension fastest; `None` when out of range.
    pub fn position(&self, at: &[Index], dims: &[u32], tables: &[Vec<i64>]) -> Option<usize> {
        if at.len() != dims.len() {
            return None;
        }
        at.iter().zip(dims).try_fold(0usize, |position, (index, dim)| {
            let value = u32::try_from(self.value(index, tables)?).ok().filter(|v| v < dim)?;
            position.checked_mul(*dim as usize)?.checked_add(value as usize)
        })
    }
}

impl std::fmt::Display for UnrollValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (var, value)) in self.0.iter().enumerate() {
            write!(f, "{}{var} = {value}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
