//! Judging outputs, and reading cases from folders.

use super::judge::judge;
use super::*;
use brolga_runtime::{Map, MapKeys, Strings, Tensor, Value};

fn set(inputs: &[f32], outputs: &[f32]) -> DataSet {
    DataSet { inputs: vec![("x".into(), floats(inputs))], outputs: vec![("y".into(), floats(outputs))] }
}

fn floats(elements: &[f32]) -> Value {
    Value::Tensor(Tensor::from_slice(&[elements.len()], elements).unwrap())
}

fn verdict(case: &str, set: &DataSet, got: Value) -> Result<(), String> {
    judge(case, set, &[("y".into(), got)])
}

#[test]
fn elements_pass_within_the_tolerance() {
    let want = set(&[], &[1.0, f32::NAN, f32::INFINITY]);
    assert_eq!(verdict("test_x", &want, floats(&[1.0005, f32::NAN, f32::INFINITY])), Ok(()));
    for wrong in [[1.01, f32::NAN, f32::INFINITY], [1.0, 0.0, f32::INFINITY], [1.0, f32::NAN, f32::NEG_INFINITY]] {
        assert!(verdict("test_x", &want, floats(&wrong)).is_err(), "{wrong:?}");
    }
    assert!(verdict("test_x", &want, floats(&[1.0])).is_err());
    let ints = |n: i64| Value::Tensor(Tensor::from_slice(&[1], &[n]).unwrap());
    let want = DataSet { inputs: vec![], outputs: vec![("y".into(), ints(1_000_000))] };
    assert_eq!(verdict("test_x", &want, ints(1_000_000)), Ok(()));
    assert!(verdict("test_x", &want, ints(1_000_001)).is_err());
}

#[test]
fn texts_sequences_and_optionals_are_compared() {
    let texts = |t: &str| Value::Strings(Strings::new(&[1], vec![t.into()]).unwrap());
    let list = |items: &[&str]| Value::Sequence(items.iter().map(|t| texts(t)).collect());
    let map = |key: &str, value: f32| {
        Value::Map(Map::new(MapKeys::Texts(vec![key.into()]), Tensor::from_slice(&[1], &[value]).unwrap()).unwrap())
    };
    let some = |t: &str| Value::Optional(Some(Box::new(texts(t))));
    for (want, wrong) in [
        (texts("a"), texts("b")),
        (list(&["a", "b"]), list(&["a"])),
        (list(&["a"]), list(&["b"])),
        (some("a"), Value::Optional(None)),
        (Value::Optional(None), some("a")),
        (map("a", 1.0), map("a", 2.0)),
        (map("a", 1.0), map("b", 1.0)),
        (Value::Sequence(vec![map("a", 1.0)]), list(&["a"])),
    ] {
        let set = DataSet { inputs: vec![], outputs: vec![("y".into(), want.clone())] };
        assert_eq!(verdict("test_x", &set, want), Ok(()));
        assert!(verdict("test_x", &set, wrong).is_err());
    }
}

#[test]
fn random_outputs_are_judged_by_their_distribution() {
    let half = set(&[0.5; 100], &[0.0; 100]);
    let ones = |n: usize| floats(&(0..100).map(|i| f32::from(u8::from(i < n))).collect::<Vec<_>>());
    assert_eq!(verdict("test_bernoulli_seed", &half, ones(55)), Ok(()));
    assert!(verdict("test_bernoulli_seed", &half, ones(90)).is_err());
    assert!(verdict("test_bernoulli_seed", &half, floats(&[0.5; 100])).is_err());
    let ramp: Vec<f32> = (1..=100).map(|i| i as f32).collect();
    let kept: Vec<f32> = ramp.iter().map(|x| if *x as i32 % 2 == 0 { x * 2.0 } else { 0.0 }).collect();
    assert_eq!(verdict("test_training_dropout_default", &set(&ramp, &ramp), floats(&kept)), Ok(()));
    assert!(verdict("test_training_dropout_default", &set(&ramp, &ramp), floats(&ramp)).is_err());
    assert!(is_random("test_training_dropout") && !is_random("test_training_dropout_zero_ratio"));
}

#[test]
fn cases_are_found_in_folders_and_beside_single_models() {
    let root = std::env::temp_dir().join(format!("brolga-conformance-{}", std::process::id()));
    let node = root.join("node").join("test_a");
    std::fs::create_dir_all(node.join("test_data_set_0")).unwrap();
    std::fs::write(node.join("model.onnx"), b"").unwrap();
    let light = root.join("light");
    std::fs::create_dir_all(&light).unwrap();
    for file in ["light_b.onnx", "light_b_output_0.pb", "other.onnx"] {
        std::fs::write(light.join(file), b"").unwrap();
    }
    let found = find(&root);
    std::fs::remove_dir_all(&root).unwrap();
    let titles: Vec<String> = found.unwrap().iter().map(Case::title).collect();
    assert_eq!(titles, ["light/light_b", "node/test_a"]);
}
