//! Functions over sequences and optional values.

use super::function::{Entry, Function, Operands, Results, pure};
use super::{LibraryError, expect};
use crate::{DType, Operand, Strings, Tensor, TensorError, Value, element_count};

pub(super) const TABLE: &[Entry] = &[
    pure("sequence_empty", |_, _| Ok(vec![Value::Sequence(vec![])])),
    pure("sequence_construct", construct),
    pure("sequence_at", at),
    pure("sequence_insert", insert),
    pure("sequence_erase", erase),
    pure("sequence_length", length),
    pure("split_to_sequence", split),
    pure("concat_from_sequence", concat),
    pure("shape", shape),
    pure("optional", optional),
    pure("optional_has_element", has_element),
    pure("optional_get_element", get_element),
];

const ABSENT: LibraryError = LibraryError::Operands { accepted: "an operand that is given" };

fn owned(x: &Operands, i: usize) -> Result<Value, LibraryError> {
    Ok(x.get(i).ok_or(ABSENT)?.to_value()?)
}

fn construct(_: &Function, x: &Operands) -> Results {
    Ok(vec![Value::Sequence((0..x.len()).map(|i| owned(x, i)).collect::<Result<_, _>>()?)])
}

/// Operand `i` as a position in something of this many places; negative counts from the end.
fn position(x: &Operands, i: usize, places: usize) -> Result<usize, LibraryError> {
    let [index] = x.integers(i)?[..] else {
        return Err(LibraryError::Operands { accepted: "one position" });
    };
    resolve(index, places)
}

fn resolve(index: i64, places: usize) -> Result<usize, LibraryError> {
    let extent = i64::try_from(places).unwrap_or(i64::MAX);
    let from_start = if index < 0 { index.saturating_add(extent) } else { index };
    let found = usize::try_from(from_start).ok().filter(|n| *n < places);
    found.ok_or(LibraryError::Index { index, extent: places })
}

fn at(_: &Function, x: &Operands) -> Results {
    let values = x.sequence(0)?;
    let at = position(x, 1, values.len())?;
    Ok(vec![values.get(at).ok_or(ABSENT)?.clone()])
}

fn insert(_: &Function, x: &Operands) -> Results {
    let mut values = x.sequence(0)?.to_vec();
    let at = match x.get(2) {
        None => values.len(),
        // Insertion after the last one is written as the length; -1 is before the last one.
        Some(_) => match x.integers(2)?[..] {
            [index] if usize::try_from(index) == Ok(values.len()) => values.len(),
            _ => position(x, 2, values.len())?,
        },
    };
    values.insert(at, owned(x, 1)?);
    Ok(vec![Value::Sequence(values)])
}

fn erase(_: &Function, x: &Operands) -> Results {
    let mut values = x.sequence(0)?.to_vec();
    let at = match x.get(1) {
        None => resolve(-1, values.len())?,
        Some(_) => position(x, 1, values.len())?,
    };
    values.remove(at);
    Ok(vec![Value::Sequence(values)])
}

fn length(_: &Function, x: &Operands) -> Results {
    Ok(vec![Tensor::scalar(x.sequence(0)?.len() as i64).into()])
}

/// The elements of a tensor of any type, to be cut and joined.
enum Elements<'a> {
    Bytes(DType, &'a [u8]),
    Texts(&'a [String]),
}

struct Parts<'a> {
    shape: &'a [usize],
    elements: Elements<'a>,
}

fn tensor<'a>(operand: Operand<'a>) -> Result<Parts<'a>, LibraryError> {
    match operand {
        Operand::Tensor(view) => Ok(Parts { shape: view.shape, elements: Elements::Bytes(view.dtype, view.bytes) }),
        Operand::Value(Value::Strings(texts)) => {
            Ok(Parts { shape: texts.shape(), elements: Elements::Texts(texts.elements()) })
        }
        Operand::Value(Value::Tensor(held)) => {
            Ok(Parts { shape: held.shape(), elements: Elements::Bytes(held.dtype(), held.bytes()) })
        }
        _ => Err(LibraryError::Operands { accepted: "a tensor here" }),
    }
}

/// `rows` runs of `wide` elements, of each those from `from` on, `count` of them.
fn runs<T: Clone>(all: &[T], wide: usize, from: usize, count: usize) -> Vec<T> {
    let rows = all.chunks_exact(wide.max(1));
    rows.flat_map(|row| row.get(from..from + count).unwrap_or_default()).cloned().collect()
}

fn cut(x: &Parts, axis: usize, from: usize, count: usize, shape: &[usize]) -> Result<Value, LibraryError> {
    let inner: usize = x.shape.iter().skip(axis + 1).product();
    let wide = x.shape.get(axis).copied().unwrap_or(1) * inner;
    Ok(match x.elements {
        Elements::Bytes(dtype, bytes) => {
            let size = inner * dtype.bytes();
            Tensor::from_bytes(dtype, shape, &runs(bytes, wide * dtype.bytes(), from * size, count * size))?.into()
        }
        Elements::Texts(texts) => {
            super::strings::strings(shape, runs(texts, wide, from * inner, count * inner))?.into()
        }
    })
}

/// Lengths of the parts along an axis of this extent.
fn lengths(x: &Operands, extent: usize) -> Result<Vec<usize>, LibraryError> {
    const ACCEPTED: &str = "lengths that add up to the extent of the axis, or one positive length";
    let Some(split) = x.optional(1)? else { return Ok(vec![1; extent]) };
    let given = x.integers(1)?;
    let sizes: Option<Vec<usize>> = given.iter().map(|n| usize::try_from(*n).ok()).collect();
    let sizes = sizes.ok_or(LibraryError::Operands { accepted: ACCEPTED })?;
    if split.shape.is_empty() {
        let Some(size) = sizes.first().copied().filter(|n| *n > 0) else {
            return Err(LibraryError::Operands { accepted: ACCEPTED });
        };
        return Ok((0..extent).step_by(size).map(|from| size.min(extent - from)).collect());
    }
    let total = sizes.iter().try_fold(0usize, |sum, n| sum.checked_add(*n));
    expect(total == Some(extent), ACCEPTED)?;
    Ok(sizes)
}

fn split(f: &Function, x: &Operands) -> Results {
    let whole = tensor(x.get(0).ok_or(ABSENT)?)?;
    let axis = resolve(f.int("axis", 0), whole.shape.len())?;
    let extent = whole.shape.get(axis).copied().unwrap_or(0);
    let drop = x.get(1).is_none() && f.int("keepdims", 1) == 0;
    let (mut from, mut values) = (0, Vec::new());
    for count in lengths(x, extent)? {
        let mut shape = whole.shape.to_vec();
        if drop {
            shape.remove(axis);
        } else if let Some(extent) = shape.get_mut(axis) {
            *extent = count;
        }
        values.push(cut(&whole, axis, from, count, &shape)?);
        from += count;
    }
    Ok(vec![Value::Sequence(values)])
}

/// Extent of the joined axis, after checking that all else agrees.
fn joined(parts: &[Parts], axis: usize, new: bool) -> Result<usize, LibraryError> {
    let accepted = "tensors of one type and, but for the axis, of one shape";
    let first = parts.first().ok_or(LibraryError::Operands { accepted: "a sequence that is not empty" })?;
    let kind = |p: &Parts| match p.elements {
        Elements::Bytes(dtype, _) => dtype,
        Elements::Texts(_) => DType::String,
    };
    let mut sum = 0usize;
    for part in parts {
        let alike = part.shape.len() == first.shape.len()
            && kind(part) == kind(first)
            && part.shape.iter().zip(first.shape).enumerate().all(|(i, (a, b))| a == b || (!new && i == axis));
        expect(alike, accepted)?;
        let own = if new { 1 } else { part.shape.get(axis).copied().unwrap_or(1) };
        sum = sum.checked_add(own).ok_or(LibraryError::Operands { accepted })?;
    }
    Ok(sum)
}

fn concat(f: &Function, x: &Operands) -> Results {
    let parts = x.sequence(0)?.iter().map(|v| tensor(v.operand())).collect::<Result<Vec<_>, _>>()?;
    let new = f.int("new_axis", 0) != 0;
    let rank = parts.first().map_or(0, |p| p.shape.len());
    let axis = resolve(f.int("axis", 0), rank + usize::from(new))?;
    let extent = joined(&parts, axis, new)?;
    let mut shape = parts.first().map_or(vec![], |p| p.shape.to_vec());
    if new {
        shape.insert(axis, extent);
    } else if let Some(own) = shape.get_mut(axis) {
        *own = extent;
    }
    let too_large = |dtype| LibraryError::Tensor(TensorError::TooLarge { dtype, shape: shape.clone() });
    element_count(&shape).ok_or_else(|| too_large(DType::String))?;
    // A new axis is joined just like the one it goes before, whose runs it does not cut.
    let outer: usize = shape.iter().take(axis).product();
    let (mut bytes, mut texts, mut kind) = (Vec::new(), Vec::new(), DType::String);
    for row in 0..outer {
        for part in &parts {
            let run = element_count(part.shape).unwrap_or(0) / outer.max(1);
            match part.elements {
                Elements::Bytes(dtype, all) => {
                    kind = dtype;
                    let size = run * dtype.bytes();
                    bytes.extend_from_slice(all.get(row * size..(row + 1) * size).unwrap_or_default());
                }
                Elements::Texts(all) => {
                    texts.extend_from_slice(all.get(row * run..(row + 1) * run).unwrap_or_default())
                }
            }
        }
    }
    if let Some(Parts { elements: Elements::Bytes(dtype, _), .. }) = parts.first() {
        kind = *dtype;
    }
    Ok(vec![match kind {
        DType::String => Strings::new(&shape, texts).ok_or_else(|| too_large(kind))?.into(),
        _ => Tensor::from_bytes(kind, &shape, &bytes)?.into(),
    }])
}

/// Extents of a tensor of any type, those from the attribute `start` to `end`; negative ones count from the end.
fn shape(f: &Function, x: &Operands) -> Results {
    let extents: Vec<i64> = tensor(x.get(0).ok_or(ABSENT)?)?.shape.iter().map(|n| *n as i64).collect();
    let rank = extents.len() as i64;
    let clamped = |n: i64| usize::try_from(if n < 0 { n.saturating_add(rank) } else { n }.clamp(0, rank)).unwrap_or(0);
    let (start, end) = (clamped(f.int("start", 0)), clamped(f.int("end", i64::MAX)));
    let part = extents.get(start..end).unwrap_or_default();
    Ok(vec![Tensor::from_slice(&[part.len()], part)?.into()])
}

fn optional(_: &Function, x: &Operands) -> Results {
    let held = match x.get(0) {
        None => None,
        Some(operand) => Some(Box::new(operand.to_value()?)),
    };
    Ok(vec![Value::Optional(held)])
}

fn has_element(_: &Function, x: &Operands) -> Results {
    let there = !matches!(x.get(0), None | Some(Operand::Value(Value::Optional(None))));
    Ok(vec![Tensor::from_bools(&[], &[there])?.into()])
}

fn get_element(_: &Function, x: &Operands) -> Results {
    Ok(vec![match x.get(0) {
        Some(Operand::Value(Value::Optional(Some(value)))) => (**value).clone(),
        None | Some(Operand::Value(Value::Optional(None))) => {
            return Err(LibraryError::Operands { accepted: "an optional value that is there" });
        }
        Some(operand) => operand.to_value()?,
    }])
}

#[cfg(test)]
mod tests;
