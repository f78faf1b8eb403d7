//! Keys are sorted, and what belongs to them goes along.

use super::*;

#[test]
fn keys_are_ascending_with_their_values() {
    let values = Tensor::from_slice(&[3], &[1f32, 2.0, 3.0]).unwrap();
    let map = Map::new(MapKeys::Ints(vec![7, -1, 3]), values.clone()).unwrap();
    assert_eq!(*map.keys(), MapKeys::Ints(vec![-1, 3, 7]));
    assert_eq!(map.values().as_tensor().unwrap().as_slice::<f32>().unwrap(), [2.0, 3.0, 1.0]);
    let texts = Strings::new(&[2], vec!["y".into(), "x".into()]).unwrap();
    let map = Map::new(MapKeys::Texts(vec!["b".into(), "a".into()]), texts).unwrap();
    assert!(matches!(map.values(), Value::Strings(s) if s.elements() == ["x", "y"]));
    assert_eq!((map.len(), map.dtype(), map.keys().dtype()), (2, DType::String, DType::String));
    assert!(Map::new(MapKeys::Ints(vec![1, 2, 1]), values.clone()).is_none(), "a key twice");
    assert!(Map::new(MapKeys::Ints(vec![1, 2]), values.clone()).is_none(), "a value too many");
    assert!(Map::new(MapKeys::Ints(vec![1, 2, 3]), values.reshaped(&[3, 1]).unwrap()).is_none(), "two dimensions");
}
