//! Maps: what `ZipMap` makes and `DictVectorizer` reads.

use crate::{DType, Strings, Tensor, Value};
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Keys of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapKeys {
    /// Integers.
    Ints(Vec<i64>),
    /// Texts.
    Texts(Vec<String>),
}

impl MapKeys {
    /// Number of keys.
    pub fn len(&self) -> usize {
        match self {
            MapKeys::Ints(keys) => keys.len(),
            MapKeys::Texts(keys) => keys.len(),
        }
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Element type of a tensor of them.
    pub fn dtype(&self) -> DType {
        match self {
            MapKeys::Ints(_) => DType::I64,
            MapKeys::Texts(_) => DType::String,
        }
    }
    /// Positions of the keys in ascending order, of equal ones the first alone.
    pub fn order(&self) -> Vec<usize> {
        fn sorted<K: Ord>(keys: &[K]) -> Vec<usize> {
            let mut order: Vec<usize> = (0..keys.len()).collect();
            order.sort_by_key(|i| keys.get(*i));
            order.dedup_by_key(|i| keys.get(*i));
            order
        }
        match self {
            MapKeys::Ints(keys) => sorted(keys),
            MapKeys::Texts(keys) => sorted(keys),
        }
    }
    /// The keys at these positions.
    pub fn pick(&self, order: &[usize]) -> MapKeys {
        match self {
            MapKeys::Ints(keys) => MapKeys::Ints(picked(keys, order)),
            MapKeys::Texts(keys) => MapKeys::Texts(picked(keys, order)),
        }
    }
}

fn picked<T: Clone>(all: &[T], order: &[usize]) -> Vec<T> {
    order.iter().filter_map(|i| all.get(*i)).cloned().collect()
}

/// Keys, ascending and each there once, with a value each. Maps of the same keys share them.
#[derive(Clone, Debug)]
pub struct Map {
    keys: Arc<MapKeys>,
    values: Box<Value>,
}

impl Map {
    /// A map of these keys, in any order, to the elements of `values`: a tensor, of numbers or of texts, of one dimension. `None`
    /// when there are not as many values as keys, or when a key is there twice.
    pub fn new(keys: MapKeys, values: impl Into<Value>) -> Option<Map> {
        let order = keys.order();
        let values = values.into();
        if order.len() != keys.len() || values.shape() != Some(&[keys.len()]) {
            return None;
        }
        let values = match values {
            Value::Strings(texts) => Strings::new(&[order.len()], picked(texts.elements(), &order))?.into(),
            Value::Tensor(tensor) => {
                let rows: Vec<&[u8]> = tensor.bytes().chunks_exact(tensor.dtype().bytes().max(1)).collect();
                Tensor::from_bytes(tensor.dtype(), &[order.len()], &picked(&rows, &order).concat()).ok()?.into()
            }
            _ => return None,
        };
        Some(Map { keys: Arc::new(keys.pick(&order)), values: Box::new(values) })
    }

    /// A map of keys that are ascending.
    pub(crate) fn of_sorted(keys: &Arc<MapKeys>, values: Value) -> Map {
        Map { keys: keys.clone(), values: Box::new(values) }
    }

    /// Keys, ascending.
    pub fn keys(&self) -> &MapKeys {
        &self.keys
    }
    /// Values in the order of the keys: a tensor, of numbers or of texts, of one dimension.
    pub fn values(&self) -> &Value {
        &self.values
    }
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Type of the values.
    pub fn dtype(&self) -> DType {
        self.values.dtype().unwrap_or(DType::String)
    }
}
