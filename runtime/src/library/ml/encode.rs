//! Encoders and selectors: LabelEncoder (and CategoryMapper), OneHotEncoder, ArrayFeatureExtractor.

use crate::library::function::{Function, Operands, Results};
use crate::library::strings::{reserve, strings};
use crate::library::{LibraryError, expect};
use crate::{DType, Operand, Tensor, Value, element_count};
use std::collections::HashMap;

/// Something to look up: elements of one type are the same when their keys are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Text(&'a str),
    Int(i64),
    /// Bits, with one NaN and one zero.
    Float(u64),
}

fn float(x: f64) -> Key<'static> {
    let x = if x.is_nan() { f64::NAN } else { x + 0.0 };
    Key::Float(x.to_bits())
}

/// Shape and keys of operand `i`; `None` when it is left out.
fn keys<'a>(x: &Operands<'a>, i: usize) -> Result<Option<(&'a [usize], Vec<Key<'a>>)>, LibraryError> {
    Ok(Some(match x.get(i) {
        None => return Ok(None),
        Some(Operand::Value(Value::Strings(texts))) => {
            (texts.shape(), texts.elements().iter().map(|s| Key::Text(s)).collect())
        }
        Some(_) => {
            let view = x.tensor(i)?;
            let found = if view.dtype.is_float() {
                x.reals(i)?.into_iter().map(float).collect()
            } else {
                x.integers(i)?.into_iter().map(Key::Int).collect()
            };
            (view.shape, found)
        }
    }))
}

fn required<'a>(x: &Operands<'a>, i: usize) -> Result<(&'a [usize], Vec<Key<'a>>), LibraryError> {
    keys(x, i)?.ok_or(LibraryError::Operands { accepted: "a tensor here" })
}

/// Elements of `table` at these positions, of `other` where there is none.
fn pick(table: Operand, other: Operand, shape: &[usize], at: &[Option<usize>]) -> Result<Value, LibraryError> {
    let accepted = "values and a default of one type";
    let outside = |at: Option<usize>, extent: usize| LibraryError::Index { index: at.map_or(0, |n| n as i64), extent };
    match (table, other) {
        (Operand::Value(Value::Strings(table)), Operand::Value(Value::Strings(other))) => {
            let mut texts = reserve(shape)?;
            for at in at {
                let found = at.map_or(other.elements().first(), |i| table.elements().get(i));
                texts.push(found.ok_or_else(|| outside(*at, table.elements().len()))?.clone());
            }
            Ok(strings(shape, texts)?.into())
        }
        (Operand::Tensor(table), Operand::Tensor(other)) => {
            expect(table.dtype == other.dtype, accepted)?;
            let size = table.dtype.bytes().max(1);
            let mut out = Tensor::zeros(table.dtype, shape)?;
            for (to, at) in out.bytes_mut().chunks_exact_mut(size).zip(at) {
                let from = at.map_or(other.bytes.get(..size), |i| table.bytes.get(i * size..(i + 1) * size));
                to.copy_from_slice(from.ok_or_else(|| outside(*at, table.len()))?);
            }
            Ok(out.into())
        }
        _ => Err(LibraryError::Operands { accepted }),
    }
}

/// `[x, keys, values, default]`: for each element of x the value of its key. Of equal keys the last one counts.
pub(super) fn label_encoder(_: &Function, x: &Operands) -> Results {
    let (shape, elements) = required(x, 0)?;
    let (_, known) = required(x, 1)?;
    let places: HashMap<Key, usize> = known.into_iter().zip(0..).collect();
    let at: Vec<Option<usize>> = elements.iter().map(|key| places.get(key).copied()).collect();
    let given = |i| x.get(i).ok_or(LibraryError::Operands { accepted: "values and a default" });
    Ok(vec![pick(given(2)?, given(3)?, shape, &at)?])
}

/// `[x, categories]`: one more axis, with a one in the place of the category.
pub(super) fn one_hot_encoder(f: &Function, x: &Operands) -> Results {
    let (shape, elements) = required(x, 0)?;
    let (_, known) = match x.tensor(0) {
        // Integers stand for categories whatever the type of the operand.
        Ok(view) if view.dtype.is_float() => {
            let categories = x.reals(1)?.into_iter().map(float).collect();
            (x.tensor(1)?.shape, categories)
        }
        _ => required(x, 1)?,
    };
    let width = known.len();
    let places: HashMap<Key, usize> = known.into_iter().zip(0..).collect();
    let mut out = Tensor::zeros(DType::F32, &[shape, &[width]].concat())?;
    let zeros = f.int("zeros", 1) != 0;
    for (to, key) in out.as_mut_slice::<f32>()?.chunks_exact_mut(width.max(1)).zip(&elements) {
        let place = places.get(key).and_then(|i| to.get_mut(*i));
        match place {
            Some(place) => *place = 1.0,
            None => expect(zeros, "elements that are categories, where zeros is 0")?,
        }
    }
    Ok(vec![out.into()])
}

/// `[x, positions]`: elements of the last axis. A vector becomes one row.
pub(super) fn array_feature_extractor(_: &Function, x: &Operands) -> Results {
    let operand = x.get(0).ok_or(LibraryError::Operands { accepted: "a tensor here" })?;
    let shape: &[usize] = match operand {
        Operand::Value(Value::Strings(texts)) => texts.shape(),
        _ => x.tensor(0)?.shape,
    };
    let Some((extent, leading)) = shape.split_last() else {
        return Err(LibraryError::Operands { accepted: "a tensor that is no scalar" });
    };
    let chosen = x.integers(1)?;
    let mut columns = Vec::with_capacity(chosen.len());
    for index in &chosen {
        let column = usize::try_from(*index).ok().filter(|n| n < extent);
        columns.push(column.ok_or(LibraryError::Index { index: *index, extent: *extent })?);
    }
    let leading = if leading.is_empty() { &[1][..] } else { leading };
    let rows = element_count(leading).unwrap_or(0);
    let out = [leading, &[columns.len()]].concat();
    // What cannot be held is refused before the positions are listed.
    let count = element_count(&out).unwrap_or(usize::MAX);
    Tensor::zeros(DType::Bool, &[count])?;
    let at: Vec<Option<usize>> = (0..rows).flat_map(|r| columns.iter().map(move |c| Some(r * extent + c))).collect();
    Ok(vec![pick(operand, operand, &out, &at)?])
}
