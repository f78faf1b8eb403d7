//! Every kind of value as arrays, and through an archive and back.

use super::*;
use crate::{read_npz, read_npz_values, write_npz};

fn map(keys: MapKeys, values: &[f32]) -> Value {
    Value::Map(Map::new(keys, Tensor::from_slice(&[values.len()], values).unwrap()).unwrap())
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

#[test]
fn maps_are_keys_and_rows_of_values() {
    let rows = [[0.25f32, 0.75], [1.0, 0.0]];
    let maps = rows.iter().map(|row| map(MapKeys::Texts(words(&["dog", "cät"])), row)).collect();
    let arrays = arrays_of("p", Value::Sequence(maps)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.npz");
    write_npz(&path, &arrays).unwrap();
    let back = read_npz_values(&path).unwrap();
    assert_eq!(back.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["p.keys", "p.values"]);
    assert!(matches!(&back[0].1, Value::Strings(s) if s.shape() == [2] && s.elements() == words(&["cät", "dog"])));
    assert_eq!(back[1].1.shape(), Some(&[2, 2][..]));
    assert_eq!(back[1].1.as_tensor().unwrap().as_slice::<f32>().unwrap(), [0.75, 0.25, 0.0, 1.0]);
    assert!(
        read_npz(&path).unwrap_err().to_string().ends_with("array `p.keys`: texts; accepted are numbers and booleans")
    );
    let apart = vec![map(MapKeys::Ints(vec![1]), &[0.0]), map(MapKeys::Ints(vec![2]), &[0.0])];
    assert!(arrays_of("p", Value::Sequence(apart)).is_err());
    let one = arrays_of("m", map(MapKeys::Ints(vec![4, 2]), &[1.0, 2.0])).unwrap();
    assert_eq!(one[0].1.as_tensor().unwrap().as_slice::<i64>().unwrap(), [2, 4]);
}

#[test]
fn sequences_are_numbered_and_what_is_absent_is_not_there() {
    let tensor = |n: usize| Value::Tensor(Tensor::zeros(DType::I32, &[n]).unwrap());
    let value = Value::Sequence(vec![tensor(1), Value::Optional(None), Value::Optional(Some(Box::new(tensor(3))))]);
    let names: Vec<String> = arrays_of("s", value).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["s.0", "s.2"]);
}
