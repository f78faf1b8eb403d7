//! Cases worked out by hand.

use super::super::function::Attribute::*;
use super::*;
use crate::{Map, MapKeys};

fn f32s(shape: &[usize], x: &[f32]) -> Value {
    Tensor::from_slice(shape, x).unwrap().into()
}
fn i64s(shape: &[usize], x: &[i64]) -> Value {
    Tensor::from_slice(shape, x).unwrap().into()
}
fn texts(x: &[&str]) -> Value {
    Strings::new(&[x.len()], x.iter().map(|s| (*s).to_owned()).collect()).unwrap().into()
}
fn run(f: &Function, x: &[&Value]) -> Result<Vec<Value>, LibraryError> {
    f.run(&x.iter().map(|v| v.operand()).collect::<Vec<_>>())
}
fn floats(value: &Value) -> Vec<f32> {
    value.as_tensor().unwrap().as_slice::<f32>().unwrap().to_vec()
}
fn ints(value: &Value) -> Vec<i64> {
    value.as_tensor().unwrap().as_slice::<i64>().unwrap().to_vec()
}
fn near(value: &Value, wanted: &[f32]) {
    let got = floats(value);
    assert!(got.len() == wanted.len() && got.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?}");
}

#[test]
fn encoders() {
    let f = Function::new("label_encoder", 4);
    let (keys, values, other) = (texts(&["a", "b", "a"]), i64s(&[3], &[1, 2, 3]), i64s(&[1], &[42]));
    assert_eq!(ints(&run(&f, &[&texts(&["a", "z", "b"]), &keys, &values, &other]).unwrap()[0]), [3, 42, 2]);
    let (x, nan) = (f32s(&[2], &[f32::NAN, -0.0]), f32s(&[2], &[0.0, -f32::NAN]));
    let (values, other) = (texts(&["zero", "nan"]), texts(&["?"]));
    match &run(&f, &[&x, &nan, &values, &other]).unwrap()[0] {
        Value::Strings(found) => assert_eq!(found.elements(), ["nan", "zero"]),
        other => panic!("{other:?}"),
    }
    let hot = Function::new("one_hot_encoder", 2);
    let (x, cats) = (i64s(&[3], &[7, 5, 9]), i64s(&[2], &[5, 7]));
    assert_eq!(floats(&run(&hot, &[&x, &cats]).unwrap()[0]), [0., 1., 1., 0., 0., 0.]);
    assert!(run(&hot.with("zeros", Int(0)), &[&x, &cats]).is_err());
    let pick = Function::new("array_feature_extractor", 2);
    let x = i64s(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    assert_eq!(ints(&run(&pick, &[&x, &i64s(&[2], &[2, 0])]).unwrap()[0]), [3, 1, 6, 4]);
    assert!(run(&pick, &[&x, &i64s(&[1], &[3])]).is_err());
    assert_eq!(run(&pick, &[&texts(&["a", "b"]), &i64s(&[1], &[1])]).unwrap()[0].shape(), Some(&[1, 1][..]));
}

#[test]
fn linear_models() {
    let x = f32s(&[2, 2], &[1., 2., -3., 0.5]);
    let f = Function::new("linear_regressor", 1)
        .with("coefficients", Floats(vec![2., 1., 0., 4.]))
        .with("intercepts", Floats(vec![0.5, -1.]))
        .with("targets", Int(2));
    near(&run(&f, &[&x]).unwrap()[0], &[4.5, 7., -5., 1.]);
    assert!(run(&f.with("targets", Int(3)), &[&x]).is_err());
    let f = Function::new("linear_classifier", 1)
        .with("coefficients", Floats(vec![2., 1.]))
        .with("intercepts", Floats(vec![0.]))
        .with("post_transform", Text("LOGISTIC".into()))
        .with("classlabels_ints", Ints(vec![10, 20]));
    let found = run(&f, &[&x]).unwrap();
    assert_eq!(ints(&found[0]), [20, 10]);
    let p = 1.0 / (1.0 + (-4f32).exp());
    let q = 1.0 / (1.0 + 5.5f32.exp());
    near(&found[1], &[1.0 - p, p, 1.0 - q, q]);
}

#[test]
fn support_vectors() {
    let x = f32s(&[2, 1], &[1., 3.]);
    let f = Function::new("svm_regressor", 1)
        .with("kernel_type", Text("RBF".into()))
        .with("kernel_params", Floats(vec![0.5, 0., 3.]))
        .with("n_supports", Int(2))
        .with("support_vectors", Floats(vec![0., 3.]))
        .with("coefficients", Floats(vec![2., -1.]))
        .with("rho", Floats(vec![0.25]));
    let value = |x: f32| 2.0 * (-0.5 * x * x).exp() - (-0.5 * (x - 3.0) * (x - 3.0)).exp() + 0.25;
    near(&run(&f, &[&x]).unwrap()[0], &[value(1.), value(3.)]);
    let f = Function::new("svm_classifier", 1)
        .with("kernel_params", Floats(vec![0., 0., 0.]))
        .with("vectors_per_class", Ints(vec![1, 1, 1]))
        .with("support_vectors", Floats(vec![0., 1., 3.]))
        .with("coefficients", Floats(vec![0., -1., 1., 0., -1., 1.]))
        .with("rho", Floats(vec![0.5, 1.5, 2.]))
        .with("classlabels_strings", Texts(vec!["a".into(), "b".into(), "c".into()]));
    let found = run(&f, &[&x]).unwrap();
    assert_eq!(found[1].shape(), Some(&[2, 3][..]));
    // a against b: -x + 0.5; a against c: 3x + 1.5; b against c: -x + 3x + 2.
    near(&found[1], &[-0.5, 4.5, 4., -2.5, 10.5, 8.]);
    assert!(run(&f.with("rho", Floats(vec![1.])), &[&x]).is_err());
}

/// One tree: x <= 1 gives 10 to target 0, else -4 to target 1.
fn stump(kind: &str, name: &str) -> Function {
    let ids = |suffix: &str| format!("{kind}_{suffix}");
    let modes = ["BRANCH_LEQ", "LEAF", "LEAF"].map(String::from).to_vec();
    Function::new(name, 3)
        .with("nodes_treeids", Ints(vec![0, 0, 0]))
        .with("nodes_nodeids", Ints(vec![0, 1, 2]))
        .with("nodes_featureids", Ints(vec![0, 0, 0]))
        .with("nodes_modes", Texts(modes))
        .with("nodes_truenodeids", Ints(vec![1, 0, 0]))
        .with("nodes_falsenodeids", Ints(vec![2, 0, 0]))
        .with(&ids("treeids"), Ints(vec![0, 0]))
        .with(&ids("nodeids"), Ints(vec![1, 2]))
        .with(&ids("ids"), Ints(vec![0, 1]))
}

#[test]
fn trees_of_tuples() {
    let x = f32s(&[3, 1], &[1., 2., f32::NAN]);
    let (values, weights) = (f32s(&[3], &[1., 0., 0.]), f32s(&[2], &[10., -4.]));
    let f = stump("target", "tree_ensemble_regressor").with("n_targets", Int(2));
    near(&run(&f, &[&x, &values, &weights]).unwrap()[0], &[10., 0., 0., -4., 0., -4.]);
    let tracked = f.clone().with("nodes_missing_value_tracks_true", Ints(vec![1, 0, 0]));
    near(&run(&tracked, &[&x, &values, &weights]).unwrap()[0], &[10., 0., 0., -4., 10., 0.]);
    let endless = f.clone().with("nodes_falsenodeids", Ints(vec![0, 0, 0]));
    assert!(run(&endless, &[&x, &values, &weights]).is_err());
    for (name, value) in
        [("nodes_featureids", vec![1, 0, 0]), ("nodes_truenodeids", vec![7, 0, 0]), ("target_ids", vec![0, 2])]
    {
        assert!(run(&f.clone().with(name, Ints(value)), &[&x, &values, &weights]).is_err(), "{name}");
    }
    let f = stump("class", "tree_ensemble_classifier").with("classlabels_int64s", Ints(vec![5, 6]));
    let found = run(&f, &[&x, &values, &weights]).unwrap();
    assert_eq!(ints(&found[0]), [5, 5, 5]);
    near(&found[1], &[10., 0., 0., -4., 0., -4.]);
}

#[test]
fn trees_are_made_once_and_read_their_numbers_anew() {
    let f = stump("target", "tree_ensemble_regressor").with("n_targets", Int(2));
    let (values, weights) = (f32s(&[3], &[1., 0., 0.]), f32s(&[2], &[10., -4.]));
    for (split, wanted) in [(1.0, [10., 0.]), (0.0, [0., -4.]), (1.0, [10., 0.])] {
        near(&run(&f, &[&f32s(&[1, 1], &[0.5]), &f32s(&[3], &[split, 0., 0.]), &weights]).unwrap()[0], &wanted);
    }
    let wide: Value = Tensor::from_slice(&[2], &[10f64, 1e-3]).unwrap().into();
    near(&run(&f, &[&f32s(&[2], &[7., 8.]), &values, &wide]).unwrap()[0], &[0., 1e-3]);
    near(&run(&f, &[&f32s(&[0, 1], &[]), &values, &weights]).unwrap()[0], &[]);
    assert!(run(&f, &[&f32s(&[1, 1], &[0.]), &f32s(&[2], &[1., 0.]), &weights]).is_err(), "too few values");
    assert!(run(&f, &[&f32s(&[1, 1], &[0.]), &values, &f32s(&[3], &[0.; 3])]).is_err(), "too many weights");
    assert!(run(&f, &[&f32s(&[1, 0], &[]), &values, &weights]).is_err(), "too few features");
    let changed = f.with("nodes_modes", Texts(["BRANCH_GT", "LEAF", "LEAF"].map(String::from).to_vec()));
    near(&run(&changed, &[&f32s(&[1, 1], &[0.5]), &values, &weights]).unwrap()[0], &[0., -4.]);
}

/// Every mode on numbers below, at and above the split, and where either is NaN.
#[test]
fn modes_of_nodes() {
    let x = f32s(&[4, 1], &[0., 1., 2., f32::NAN]);
    let passes = |mode: &str, missing: i64, split: f32| -> Vec<bool> {
        let f = stump("target", "tree_ensemble_regressor")
            .with("nodes_modes", Texts([mode, "LEAF", "LEAF"].map(String::from).to_vec()))
            .with("nodes_missing_value_tracks_true", Ints(vec![missing, 0, 0]))
            .with("target_ids", Ints(vec![0, 0]));
        let made = run(&f, &[&x, &f32s(&[3], &[split, 0., 0.]), &f32s(&[2], &[1., 0.])]).unwrap();
        floats(&made[0]).iter().map(|y| *y == 1.0).collect()
    };
    for (mode, wanted) in [
        ("BRANCH_LEQ", [true, true, false]),
        ("BRANCH_LT", [true, false, false]),
        ("BRANCH_GTE", [false, true, true]),
        ("BRANCH_GT", [false, false, true]),
        ("BRANCH_EQ", [false, true, false]),
        ("BRANCH_NEQ", [true, false, true]),
    ] {
        for missing in [0, 1] {
            assert_eq!(passes(mode, missing, 1.0), [&wanted[..], &[missing == 1]].concat(), "{mode}");
            let unequal = mode == "BRANCH_NEQ";
            assert_eq!(passes(mode, missing, f32::NAN), [unequal, unequal, unequal, missing == 1], "{mode}");
        }
    }
}

#[test]
fn trees_with_leaves_apart() {
    let f = Function::new("tree_ensemble", 5)
        .with("n_targets", Int(2))
        .with("nodes_featureids", Ints(vec![0, 0]))
        .with("nodes_truenodeids", Ints(vec![1, 0]))
        .with("nodes_trueleafs", Ints(vec![0, 1]))
        .with("nodes_falsenodeids", Ints(vec![2, 1]))
        .with("nodes_falseleafs", Ints(vec![1, 1]))
        .with("leaf_targetids", Ints(vec![0, 1, 0]))
        .with("tree_roots", Ints(vec![0]));
    let x = f32s(&[3, 1], &[2., 3., 9.]);
    let (splits, weights) = (f32s(&[2], &[5., 0.]), f32s(&[3], &[1., 10., 100.]));
    let modes = Tensor::from_slice(&[2], &[0u8, 6]).unwrap().into();
    let members = f32s(&[3], &[2., 7., f32::NAN]);
    near(&run(&f, &[&x, &splits, &weights, &modes, &members]).unwrap()[0], &[1., 0., 0., 10., 100., 0.]);
    let others = f32s(&[2], &[3., f32::NAN]);
    near(&run(&f, &[&x, &splits, &weights, &modes, &others]).unwrap()[0], &[0., 10., 1., 0., 100., 0.]);
    assert!(run(&f, &[&x, &splits, &weights, &modes, &f32s(&[0], &[])]).is_err());
}

#[test]
fn rows_become_maps_and_maps_rows() {
    let labels = Texts(["b", "a", "b"].map(str::to_owned).to_vec());
    let zip = Function::new("zip_map", 1).with("classlabels_strings", labels);
    let x = f32s(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
    let Value::Sequence(maps) = run(&zip, &[&x]).unwrap().remove(0) else { panic!("no sequence") };
    let Value::Map(second) = &maps[1] else { panic!("{:?}", maps[1]) };
    assert_eq!((maps.len(), second.keys()), (2, &MapKeys::Texts(vec!["a".into(), "b".into()])));
    assert_eq!(floats(second.values()), [5., 4.], "of the two labels b the first counts");
    assert!(run(&zip, &[&f32s(&[2, 2], &[0.; 4])]).is_err());
    assert!(run(&Function::new("zip_map", 1), &[&x]).is_err());
    let none = run(&zip, &[&f32s(&[0, 3], &[])]).unwrap();
    assert!(matches!(&none[0], Value::Sequence(maps) if maps.is_empty()));
    let words = |list: &[&str]| Texts(list.iter().map(|s| (*s).to_owned()).collect());
    let vectorizer = Function::new("dict_vectorizer", 1).with("string_vocabulary", words(&["b", "z", "a"]));
    near(&run(&vectorizer, &[&maps[0]]).unwrap()[0], &[1., 0., 2.]);
    let wrong = Function::new("dict_vectorizer", 1).with("int64_vocabulary", Ints(vec![1]));
    assert!(run(&wrong, &[&maps[0]]).is_err());
    let named: Value = Value::Map(
        Map::new(
            MapKeys::Ints(vec![5, 3]),
            match texts(&["2", "7"]) {
                Value::Strings(s) => s,
                other => panic!("{other:?}"),
            },
        )
        .unwrap(),
    );
    let cast = Function::new("cast_map", 1).with("cast_to", Text("TO_INT64".into()));
    assert_eq!(ints(&run(&cast, &[&named]).unwrap()[0]), [7, 2]);
    let sparse = cast.with("map_form", Text("SPARSE".into())).with("max_map", Int(6));
    assert_eq!(ints(&run(&sparse, &[&named]).unwrap()[0]), [0, 0, 0, 7, 0, 2]);
    let short = sparse.with("max_map", Int(5));
    assert_eq!(run(&short, &[&named]).unwrap_err(), LibraryError::Index { index: 5, extent: 5 });
    let numbers =
        Value::Map(Map::new(MapKeys::Ints(vec![5, 3]), Tensor::from_slice(&[2], &[2.5f32, -1.5]).unwrap()).unwrap());
    let as_texts = Function::new("cast_map", 1).with("cast_to", Text("TO_STRING".into()));
    match &run(&as_texts, &[&numbers]).unwrap()[0] {
        Value::Strings(s) => {
            assert_eq!((s.shape(), s.elements()), (&[1, 2][..], &["-1.500000".to_owned(), "2.500000".to_owned()][..]))
        }
        other => panic!("{other:?}"),
    }
}
