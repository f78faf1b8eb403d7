//! Values as named arrays, which is what an archive holds.

use crate::exit::Failure;
use brolga_runtime::{DType, Map, MapKeys, Strings, Tensor, Value, element_count};

#[cfg(test)]
mod tests;

/// Type and shape of a value, in words.
pub fn described(value: &Value) -> String {
    match value {
        Value::Tensor(tensor) => format!("{}{:?}", tensor.dtype(), tensor.shape()),
        Value::Strings(texts) => format!("string{:?}", texts.shape()),
        Value::Map(map) => format!("map of {} to {}", map.keys().dtype(), map.dtype()),
        Value::Sequence(values) => match values.first() {
            Some(first) if values.len() == 1 => format!("sequence of one {}", described(first)),
            Some(first) => format!("sequence of {}, the first {}", values.len(), described(first)),
            None => "sequence of nothing".into(),
        },
        Value::Optional(None) => "nothing".into(),
        Value::Optional(Some(value)) => described(value),
        _ => "another kind of value".into(),
    }
}

/// Values that are all tensors of numbers.
pub fn tensors(values: Vec<Value>) -> Result<Vec<Tensor>, Failure> {
    let tensor = |value: Value| match value {
        Value::Tensor(tensor) => Ok(tensor),
        other => Err(Failure::usage(format!("{} where a tensor of numbers is expected", described(&other)))),
    };
    values.into_iter().map(tensor).collect()
}

/// The arrays that stand for a value called `name`.
///
/// A tensor is one array of that name. A map is `NAME.keys` and `NAME.values`; so is a sequence of maps that all have the same keys,
/// with a row of values for each map. Other sequences are `NAME.0`, `NAME.1` and so on, and an absent value is no array.
pub fn arrays_of(name: &str, value: Value) -> Result<Vec<(String, Value)>, Failure> {
    match value {
        Value::Map(map) => {
            let values = map.values().clone();
            Ok(vec![(format!("{name}.keys"), keys(map.keys())?), (format!("{name}.values"), values)])
        }
        Value::Sequence(values) if values.iter().any(|value| matches!(value, Value::Map(_))) => {
            let maps: Vec<&Map> =
                values.iter().filter_map(|v| if let Value::Map(map) = v { Some(map) } else { None }).collect();
            table(name, &maps)
        }
        Value::Sequence(values) => {
            let parts = values.into_iter().enumerate().map(|(i, value)| arrays_of(&format!("{name}.{i}"), value));
            Ok(parts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        }
        Value::Optional(None) => Ok(Vec::new()),
        Value::Optional(Some(value)) => arrays_of(name, *value),
        array => Ok(vec![(name.to_owned(), array)]),
    }
}

fn keys(keys: &MapKeys) -> Result<Value, Failure> {
    match keys {
        MapKeys::Ints(keys) => Ok(tensor(Tensor::from_slice(&[keys.len()], keys))?.into()),
        MapKeys::Texts(keys) => texts(&[keys.len()], keys.clone()),
    }
}

fn tensor(made: Result<Tensor, brolga_runtime::TensorError>) -> Result<Tensor, Failure> {
    made.map_err(|error| Failure::machine(error.to_string()))
}

fn texts(shape: &[usize], elements: Vec<String>) -> Result<Value, Failure> {
    let count = element_count(shape);
    match Strings::new(shape, elements) {
        Some(texts) => Ok(texts.into()),
        None => Err(Failure::bug(format!("not {count:?} texts for the shape {shape:?}"))),
    }
}

/// Maps of the same keys as an array of those and one of the values, by rows.
fn table(name: &str, maps: &[&Map]) -> Result<Vec<(String, Value)>, Failure> {
    let Some(first) = maps.first() else { return Ok(Vec::new()) };
    if maps.iter().any(|map| map.keys() != first.keys() || map.dtype() != first.dtype()) {
        return Err(Failure::usage(format!(
            "`{name}` is a sequence of maps whose keys differ, for which there is no array"
        )));
    }
    let shape = [maps.len(), first.len()];
    let values = if first.dtype() == DType::String {
        let row = |map: &&Map| if let Value::Strings(s) = map.values() { s.elements().to_vec() } else { Vec::new() };
        texts(&shape, maps.iter().flat_map(row).collect())?
    } else {
        let row = |map: &&Map| map.values().as_tensor().map(|t| t.bytes().to_vec()).unwrap_or_default();
        let bytes: Vec<u8> = maps.iter().flat_map(row).collect();
        tensor(Tensor::from_bytes(first.dtype(), &shape, &bytes))?.into()
    };
    Ok(vec![(format!("{name}.keys"), keys(first.keys())?), (format!("{name}.values"), values)])
}
