//! Functions over tensors of texts.
//!
//! Operations that only move, compare or count elements have no form of their own for texts: `string_ranks` numbers the texts,
//! the operation works on the numbers, and `string_take` turns numbers back into texts.

use super::LibraryError;
use super::function::{Entry, Function, Operands, Results, pure};
#[cfg(feature = "patterns")]
use super::regular;
use crate::{DType, Operand, Strings, Tensor, TensorError, Value, element_count};
use std::collections::{BTreeSet, HashMap};

pub(super) const TABLE: &[Entry] = &[
    pure("string_constant", constant),
    pure("string_ranks", ranks),
    pure("string_take", take),
    pure("string_concat", concat),
    pure("string_split", split),
    pure("string_normalizer", normalizer),
    #[cfg(feature = "patterns")]
    pure("regex_full_match", regex_full_match),
    pure("cast_to_string", cast_to_string),
    pure("cast_from_string", cast_from_string),
];

/// Texts of this shape.
pub(super) fn strings(shape: &[usize], elements: Vec<String>) -> Result<Strings, LibraryError> {
    Strings::new(shape, elements).ok_or(LibraryError::Operands { accepted: "as many texts as the shape needs" })
}

fn too_large(shape: &[usize]) -> LibraryError {
    TensorError::TooLarge { dtype: DType::String, shape: shape.to_vec() }.into()
}

/// Room for the texts of a shape.
pub(super) fn reserve(shape: &[usize]) -> Result<Vec<String>, LibraryError> {
    let count = element_count(shape).ok_or_else(|| too_large(shape))?;
    let mut texts = Vec::new();
    texts.try_reserve_exact(count).map_err(|_| too_large(shape))?;
    Ok(texts)
}

/// A shape given as integers.
fn extents(ints: &[i64]) -> Result<Vec<usize>, LibraryError> {
    let shape: Option<Vec<usize>> = ints.iter().map(|n| usize::try_from(*n).ok()).collect();
    shape.ok_or(LibraryError::Operands { accepted: "extents that are not negative" })
}

/// No operands; the attributes `shape` and `texts`.
fn constant(f: &Function, _: &Operands) -> Results {
    Ok(vec![strings(&extents(f.ints("shape"))?, f.texts("texts").to_vec())?.into()])
}

/// All distinct texts of all operands in order, and for each operand the position of each of its elements among them.
fn ranks(_: &Function, x: &Operands) -> Results {
    let operands = (0..x.len()).map(|i| x.strings(i)).collect::<Result<Vec<_>, _>>()?;
    let distinct: BTreeSet<&str> = operands.iter().flat_map(|s| s.elements().iter().map(String::as_str)).collect();
    let table: Vec<String> = distinct.iter().map(|s| (*s).to_owned()).collect();
    let rank: HashMap<&str, i64> = distinct.into_iter().zip(0..).collect();
    let mut results = vec![strings(&[table.len()], table)?.into()];
    for operand in operands {
        let numbers: Vec<i64> =
            operand.elements().iter().map(|text| rank.get(text.as_str()).copied().unwrap_or(-1)).collect();
        results.push(Tensor::from_slice(operand.shape(), &numbers)?.into());
    }
    Ok(results)
}

/// `[table, positions]`: the texts of the table at these positions.
fn take(_: &Function, x: &Operands) -> Results {
    let table = x.strings(0)?.elements();
    let shape = x.tensor(1)?.shape;
    let mut texts = reserve(shape)?;
    for index in x.integers(1)? {
        let found = usize::try_from(index).ok().and_then(|i| table.get(i));
        texts.push(found.ok_or(LibraryError::Index { index, extent: table.len() })?.clone());
    }
    Ok(vec![strings(shape, texts)?.into()])
}

/// Shape of two operands broadcast against each other.
fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, LibraryError> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], axis: usize| {
        (axis + shape.len()).checked_sub(rank).and_then(|i| shape.get(i)).copied().unwrap_or(1)
    };
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (1, n) | (n, 1) => Ok(n),
            (n, m) if n == m => Ok(n),
            _ => Err(LibraryError::Operands { accepted: "shapes that broadcast" }),
        })
        .collect()
}

/// Position in an operand of shape `from` of element `at` of the broadcast shape `to`.
fn source(mut at: usize, to: &[usize], from: &[usize]) -> usize {
    let (mut index, mut step) = (0, 1);
    for (axis, extent) in to.iter().enumerate().rev() {
        let coordinate = at % extent.max(&1);
        at /= extent.max(&1);
        let own = (axis + from.len()).checked_sub(to.len()).and_then(|i| from.get(i)).copied().unwrap_or(1);
        if own != 1 {
            index += coordinate * step;
        }
        step *= own;
    }
    index
}

fn concat(_: &Function, x: &Operands) -> Results {
    let (a, b) = (x.strings(0)?, x.strings(1)?);
    let shape = broadcast(a.shape(), b.shape())?;
    let mut texts = reserve(&shape)?;
    for at in 0..element_count(&shape).unwrap_or(0) {
        let left = a.elements().get(source(at, &shape, a.shape()));
        let right = b.elements().get(source(at, &shape, b.shape()));
        if let (Some(left), Some(right)) = (left, right) {
            texts.push(format!("{left}{right}"));
        }
    }
    Ok(vec![strings(&shape, texts)?.into()])
}

/// The parts of a text. Without a delimiter, runs of white space separate and none is part of a result but in the rest
/// that is left when all splits are used.
fn parts(text: &str, delimiter: &str, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    if !delimiter.is_empty() {
        return text.splitn(most.saturating_add(1), delimiter).map(str::to_owned).collect();
    }
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if found.len() == most {
            found.push(rest.to_owned());
            break;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        found.push(part.to_owned());
        rest = after.trim_start();
    }
    found
}

fn split(f: &Function, x: &Operands) -> Results {
    let texts = x.strings(0)?;
    let most = if f.has("maxsplit") { usize::try_from(f.int("maxsplit", 0)).unwrap_or(usize::MAX) } else { usize::MAX };
    let delimiter = f.text("delimiter", "");
    let split: Vec<Vec<String>> = texts.elements().iter().map(|text| parts(text, delimiter, most)).collect();
    let width = split.iter().map(Vec::len).max().unwrap_or(0);
    let counts: Vec<i64> = split.iter().map(|p| p.len() as i64).collect();
    let mut shape = texts.shape().to_vec();
    shape.push(width);
    let mut padded = reserve(&shape)?;
    for found in split {
        let missing = width - found.len();
        padded.extend(found);
        padded.extend(std::iter::repeat_n(String::new(), missing));
    }
    Ok(vec![strings(&shape, padded)?.into(), Tensor::from_slice(texts.shape(), &counts)?.into()])
}

/// Drops stop words, then changes case. All that is left out leaves one empty text.
fn normalizer(f: &Function, x: &Operands) -> Results {
    let texts = x.strings(0)?;
    let leading = match texts.shape() {
        [_] => vec![],
        [1, _] => vec![1],
        _ => return Err(LibraryError::Operands { accepted: "shapes [C] and [1, C]" }),
    };
    let sensitive = f.int("is_case_sensitive", 0) != 0;
    let fold = |text: &str| if sensitive { text.to_owned() } else { text.to_lowercase() };
    let stop: BTreeSet<String> = f.texts("stopwords").iter().map(|word| fold(word)).collect();
    let kept = texts.elements().iter().filter(|text| !stop.contains(&fold(text)));
    let action = f.text("case_change_action", "NONE");
    let mut changed: Vec<String> = match action {
        "NONE" => kept.cloned().collect(),
        "LOWER" => kept.map(|text| text.to_lowercase()).collect(),
        "UPPER" => kept.map(|text| text.to_uppercase()).collect(),
        _ => return Err(LibraryError::Operands { accepted: "case changes NONE, LOWER and UPPER" }),
    };
    if changed.is_empty() {
        changed.push(String::new());
    }
    let shape = [leading, vec![changed.len()]].concat();
    Ok(vec![strings(&shape, changed)?.into()])
}

#[cfg(feature = "patterns")]
fn regex_full_match(f: &Function, x: &Operands) -> Results {
    let texts = x.strings(0)?;
    let pattern = regular::compile(f.text("pattern", ""))?;
    let found: Vec<bool> = texts.elements().iter().map(|text| pattern.is_match(text)).collect();
    Ok(vec![Tensor::from_bools(texts.shape(), &found)?.into()])
}

/// A float as ONNX writes it: plain notation, with as many digits as tell it from its neighbours.
fn float_text<T: std::fmt::Display>(value: T, wide: f64) -> String {
    if wide.is_nan() {
        "NaN".into()
    } else if wide.is_infinite() {
        if wide > 0.0 { "INF".into() } else { "-INF".into() }
    } else {
        value.to_string()
    }
}

fn cast_to_string(_: &Function, x: &Operands) -> Results {
    let view = match x.get(0) {
        Some(Operand::Value(Value::Strings(texts))) => return Ok(vec![texts.clone().into()]),
        _ => x.tensor(0)?,
    };
    let texts: Vec<String> = match view.dtype {
        DType::F64 => x.reals(0)?.iter().map(|v| float_text(v, *v)).collect(),
        dtype if dtype.is_float() => x.reals(0)?.iter().map(|v| float_text(*v as f32, *v)).collect(),
        DType::U64 => view.as_slice::<u64>()?.iter().map(u64::to_string).collect(),
        _ => x.integers(0)?.iter().map(i64::to_string).collect(),
    };
    Ok(vec![strings(view.shape, texts)?.into()])
}

/// A number in plain or scientific notation; `inf` and `nan` in any case.
fn number<T: std::str::FromStr>(text: &str) -> Result<T, LibraryError> {
    text.trim().parse().map_err(|_| LibraryError::Data(format!("{text:?} is no number")))
}

/// An integer; what is written as a float is truncated.
fn integer<T: std::str::FromStr>(text: &str, from: impl Fn(f64) -> T) -> Result<T, LibraryError> {
    text.trim().parse::<T>().or_else(|_| number::<f64>(text).map(from))
}

fn cast_from_string(f: &Function, x: &Operands) -> Results {
    let texts = x.strings(0)?;
    let to = DType::from_name(f.text("to", "f32")).ok_or(LibraryError::Operands { accepted: "a type of elements" })?;
    let (shape, elements) = (texts.shape(), texts.elements());
    let parsed = match to {
        DType::String => return Ok(vec![texts.clone().into()]),
        DType::F32 => {
            Tensor::from_slice(shape, &elements.iter().map(|s| number::<f32>(s)).collect::<Result<Vec<_>, _>>()?)?
        }
        DType::U64 => {
            let parsed = elements.iter().map(|s| integer::<u64>(s, |v| v as u64)).collect::<Result<Vec<_>, _>>()?;
            Tensor::from_slice(shape, &parsed)?
        }
        integral if integral.is_integer() => {
            let parsed = elements.iter().map(|s| integer::<i64>(s, |v| v as i64)).collect::<Result<Vec<_>, _>>()?;
            Tensor::from_slice(shape, &parsed)?
        }
        _ => Tensor::from_slice(shape, &elements.iter().map(|s| number::<f64>(s)).collect::<Result<Vec<_>, _>>()?)?,
    };
    let mut out = Tensor::zeros(to, shape)?;
    super::cast(&parsed.view(), &mut out.view_mut())?;
    Ok(vec![out.into()])
}

#[cfg(test)]
mod tests;
