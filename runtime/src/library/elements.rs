//! Elements of any type, numbers or texts, moved without being looked at; and what functions read of their operands.

use super::function::Operands;
use super::{LibraryError, expect};
use crate::{DType, Operand, Strings, Tensor, Value};

/// A tensor of numbers or of texts.
pub(super) struct Elements<'a> {
    pub shape: &'a [usize],
    kind: Kind<'a>,
}

enum Kind<'a> {
    Numbers { dtype: DType, bytes: &'a [u8] },
    Texts(&'a [String]),
}

impl<'a> Elements<'a> {
    /// Operand `i`.
    pub(super) fn of(operands: &Operands<'a>, i: usize) -> Result<Elements<'a>, LibraryError> {
        Ok(match operands.get(i) {
            Some(Operand::Value(Value::Strings(texts))) => {
                Elements { shape: texts.shape(), kind: Kind::Texts(texts.elements()) }
            }
            _ => {
                let x = operands.tensor(i)?;
                Elements { shape: x.shape, kind: Kind::Numbers { dtype: x.dtype, bytes: x.bytes } }
            }
        })
    }

    /// The texts, when it holds such.
    pub(super) fn texts(&self) -> Option<&'a [String]> {
        match self.kind {
            Kind::Texts(texts) => Some(texts),
            Kind::Numbers { .. } => None,
        }
    }

    /// A value of this shape made of runs of `run` elements, one for each of `picks`: the run at that place, counted in runs,
    /// or zeros (empty texts).
    pub(super) fn take(
        &self,
        shape: &[usize],
        run: usize,
        picks: impl Iterator<Item = Option<usize>>,
    ) -> Result<Value, LibraryError> {
        let picks = picks.take(product(shape)? / run.max(1));
        match self.kind {
            Kind::Numbers { dtype, bytes } => {
                let mut made = Tensor::zeros(dtype, shape)?;
                let width = run.saturating_mul(dtype.bytes());
                if width > 0 {
                    for (to, pick) in made.bytes_mut().chunks_exact_mut(width).zip(picks) {
                        if let Some(at) = pick {
                            to.copy_from_slice(within(bytes, at, width)?);
                        }
                    }
                }
                Ok(Value::Tensor(made))
            }
            Kind::Texts(texts) => {
                let mut made = Vec::new();
                for pick in picks {
                    match pick {
                        Some(at) => made.extend_from_slice(within(texts, at, run)?),
                        None => made.resize(made.len() + run, String::new()),
                    }
                }
                let made = Strings::new(shape, made);
                made.map(Value::Strings).ok_or(LibraryError::Operands { accepted: "as many texts as the shape needs" })
            }
        }
    }
}

fn within<T>(all: &[T], at: usize, run: usize) -> Result<&[T], LibraryError> {
    let begin = at.saturating_mul(run);
    let outside = LibraryError::Index { index: i64::try_from(at).unwrap_or(i64::MAX), extent: all.len() / run.max(1) };
    all.get(begin..begin.saturating_add(run)).ok_or(outside)
}

/// An axis of a tensor of rank `rank`; negative counts from the end.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize, LibraryError> {
    index_of(axis, rank)
}

/// An index into `extent`; negative counts from the end.
pub(super) fn index_of(index: i64, extent: usize) -> Result<usize, LibraryError> {
    let n = i64::try_from(extent).unwrap_or(i64::MAX);
    let from_start = if index < 0 { index.saturating_add(n) } else { index };
    match usize::try_from(from_start) {
        Ok(found) if found < extent => Ok(found),
        _ => Err(LibraryError::Index { index, extent }),
    }
}

/// Extents from integers.
pub(super) fn extents(values: &[i64]) -> Result<Vec<usize>, LibraryError> {
    let found: Option<Vec<usize>> = values.iter().map(|n| usize::try_from(*n).ok()).collect();
    found.ok_or(LibraryError::Operands { accepted: "extents of 0 and more" })
}

/// The one element of an integer operand, or `default` when it is not given.
pub(super) fn one_integer(operands: &Operands, i: usize, default: i64) -> Result<i64, LibraryError> {
    if operands.get(i).is_none() {
        return Ok(default);
    }
    let values = operands.integers(i)?;
    expect(values.len() == 1, "a scalar")?;
    Ok(values[0])
}

/// The one element of a float operand, or `default` when it is not given.
pub(super) fn one_real(operands: &Operands, i: usize, default: f64) -> Result<f64, LibraryError> {
    if operands.get(i).is_none() {
        return Ok(default);
    }
    let values = operands.reals(i)?;
    expect(values.len() == 1, "a scalar")?;
    Ok(values[0])
}

/// A list of `count` attribute values, each `default` when the attribute is left out.
pub(super) fn listed(values: &[i64], count: usize, default: usize) -> Result<Vec<usize>, LibraryError> {
    if values.is_empty() {
        return Ok(vec![default; count]);
    }
    expect(values.len() == count, "as many attribute values as spatial dimensions (twice as many pads)")?;
    extents(values)
}

/// A product that must not overflow.
pub(super) fn product(extents: &[usize]) -> Result<usize, LibraryError> {
    crate::element_count(extents).ok_or(LibraryError::Operands { accepted: "extents whose product can be counted" })
}

/// Copies a decoded text attribute's element type.
pub(super) fn named_type(name: &str) -> Result<DType, LibraryError> {
    DType::from_name(name).ok_or(LibraryError::Operands { accepted: "names of element types" })
}
