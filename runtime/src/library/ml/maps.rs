//! Between tensors and maps: ZipMap, DictVectorizer, CastMap.

use super::Labels;
use crate::library::function::{Function, Operands, Results};
use crate::library::strings::{reserve, strings};
use crate::library::{LibraryError, expect};
use crate::{DType, Map, MapKeys, Strings, Tensor, Value};
use std::sync::Arc;

/// The labels of the attributes of these names as keys.
fn keys(f: &Function, ints: &str, texts: &str) -> Result<MapKeys, LibraryError> {
    Ok(match Labels::of(f, ints, texts)? {
        Labels::Ints(ints) => MapKeys::Ints(ints.to_vec()),
        Labels::Texts(texts) => MapKeys::Texts(texts.to_vec()),
    })
}

/// `[x]`: a map of each row, from the labels to its elements. Of equal labels the first one counts.
pub(super) fn zip_map(f: &Function, x: &Operands) -> Results {
    let labels = keys(f, "classlabels_int64s", "classlabels_strings")?;
    let view = x.tensor(0)?;
    let (rows, columns) = match *view.shape {
        [columns] => (1, columns),
        [rows, columns] => (rows, columns),
        _ => return Err(LibraryError::Operands { accepted: "operands of shape [C] and [N, C]" }),
    };
    expect(columns == labels.len(), "as many columns as labels")?;
    let (order, elements) = (labels.order(), x.slice::<f32>(0)?);
    let sorted = Arc::new(labels.pick(&order));
    let row = |row: &[f32]| {
        let values: Vec<f32> = order.iter().filter_map(|i| row.get(*i)).copied().collect();
        Ok(Value::Map(Map::of_sorted(&sorted, Tensor::from_slice(&[values.len()], &values)?.into())))
    };
    let maps = elements.chunks_exact(columns.max(1)).take(rows).map(row).collect::<Result<Vec<_>, LibraryError>>()?;
    Ok(vec![Value::Sequence(maps)])
}

/// Where each of these keys is in a map.
fn places(map: &Map, wanted: &MapKeys) -> Result<Vec<Option<usize>>, LibraryError> {
    fn found<K: Ord>(keys: &[K], wanted: &[K]) -> Vec<Option<usize>> {
        wanted.iter().map(|key| keys.binary_search(key).ok()).collect()
    }
    match (map.keys(), wanted) {
        (MapKeys::Ints(keys), MapKeys::Ints(wanted)) => Ok(found(keys, wanted)),
        (MapKeys::Texts(keys), MapKeys::Texts(wanted)) => Ok(found(keys, wanted)),
        _ => Err(LibraryError::Operands { accepted: "a map whose keys are of the vocabulary's type" }),
    }
}

/// `[map]`: the value of each word of the vocabulary, zero or nothing where it is no key.
pub(super) fn dict_vectorizer(f: &Function, x: &Operands) -> Results {
    let map = x.map(0)?;
    let at = places(map, &keys(f, "int64_vocabulary", "string_vocabulary")?)?;
    let shape = [at.len()];
    Ok(vec![match map.values() {
        Value::Strings(texts) => {
            let mut made = reserve(&shape)?;
            made.extend(at.iter().map(|at| at.and_then(|i| texts.elements().get(i)).cloned().unwrap_or_default()));
            strings(&shape, made)?.into()
        }
        Value::Tensor(values) => {
            let mut made = Tensor::zeros(values.dtype(), &shape)?;
            let size = values.dtype().bytes().max(1);
            for (to, at) in made.bytes_mut().chunks_exact_mut(size).zip(at) {
                if let Some(from) = at.and_then(|i| values.bytes().get(i * size..(i + 1) * size)) {
                    to.copy_from_slice(from);
                }
            }
            made.into()
        }
        _ => return Err(LibraryError::Operands { accepted: "a map to numbers or texts" }),
    }])
}

/// A row that is `[1, N]`, of one element for each of the values.
enum Row {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

/// The values of a map in another type.
fn converted(values: &Value, to: &str) -> Result<Row, LibraryError> {
    let number = |text: &String| LibraryError::Data(format!("{text:?} is no number"));
    Ok(match (values, to) {
        (Value::Tensor(tensor), _) => {
            let floats = tensor.as_slice::<f32>()?;
            match to {
                "TO_INT64" => Row::Ints(floats.iter().map(|x| *x as i64).collect()),
                "TO_STRING" => Row::Texts(floats.iter().map(|x| format!("{x:.6}")).collect()),
                _ => Row::Floats(floats.to_vec()),
            }
        }
        (Value::Strings(texts), "TO_STRING") => Row::Texts(texts.elements().to_vec()),
        (Value::Strings(texts), "TO_INT64") => Row::Ints(
            texts.elements().iter().map(|s| s.trim().parse().map_err(|_| number(s))).collect::<Result<_, _>>()?,
        ),
        (Value::Strings(texts), _) => Row::Floats(
            texts.elements().iter().map(|s| s.trim().parse().map_err(|_| number(s))).collect::<Result<_, _>>()?,
        ),
        _ => return Err(LibraryError::Operands { accepted: "a map to numbers or texts" }),
    })
}

/// Elements at these places of a row of `count`; nothing elsewhere.
fn placed<T: Default + Clone>(count: usize, places: &[usize], elements: Vec<T>) -> Vec<T> {
    let mut row = vec![T::default(); count];
    for (place, element) in places.iter().zip(elements) {
        if let Some(to) = row.get_mut(*place) {
            *to = element;
        }
    }
    row
}

/// `[map]`: the values in the order of their keys or, where `map_form` is SPARSE, each in the place that its key tells.
pub(super) fn cast_map(f: &Function, x: &Operands) -> Results {
    let map = x.map(0)?;
    let MapKeys::Ints(keys) = map.keys() else {
        return Err(LibraryError::Operands { accepted: "a map whose keys are integers" });
    };
    let (count, places) = if f.text("map_form", "DENSE") == "SPARSE" {
        let count = usize::try_from(f.int("max_map", 1)).unwrap_or(0);
        let inside = |key: &i64| usize::try_from(*key).ok().filter(|n| *n < count);
        let place = |key: &i64| inside(key).ok_or(LibraryError::Index { index: *key, extent: count });
        (count, keys.iter().map(place).collect::<Result<Vec<_>, _>>()?)
    } else {
        (keys.len(), (0..keys.len()).collect())
    };
    let shape = [1, count];
    // What cannot be held is refused before it is listed.
    Tensor::zeros(DType::I64, &shape)?;
    Ok(vec![match converted(map.values(), f.text("cast_to", "TO_FLOAT"))? {
        Row::Floats(row) => Tensor::from_slice(&shape, &placed(count, &places, row))?.into(),
        Row::Ints(row) => Tensor::from_slice(&shape, &placed(count, &places, row))?.into(),
        Row::Texts(row) => {
            let texts = Strings::new(&shape, placed(count, &places, row));
            texts.ok_or(LibraryError::Operands { accepted: "as many texts as places" })?.into()
        }
    }])
}
