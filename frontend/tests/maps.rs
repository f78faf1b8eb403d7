//! Models of `ai.onnx.ml` that make maps and take them, evaluated against numbers worked out by hand.
#![allow(clippy::unwrap_used, clippy::panic)]

mod build;

use brolga_compiler::ir::eval::evaluate_values;
use brolga_compiler::ir::{Graph, text as ir_text};
use brolga_frontend::{ImportError, Options, import};
use brolga_proto::*;
use brolga_runtime::{Map, MapKeys, Strings, Tensor, Value};
use build::*;
use std::sync::Arc;

const FLOAT: i32 = 1;
const INT64: i32 = 7;
const STRING: i32 = 8;

fn texts(name: &str, list: &[&'static str]) -> AttributeProto {
    let strings = list.iter().map(|s| s.as_bytes().into()).collect();
    AttributeProto { name: name.into(), strings, r#type: 8, ..Default::default() }
}

fn map_port(name: &str, key_type: i32, elem_type: i32) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type, shape: None };
    let value = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    let map = type_proto::Map { key_type, value_type: Some(Box::new(value)) };
    let ty = TypeProto { value: Some(type_proto::Value::MapType(Box::new(map))), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(ty) }
}

fn of_ml(nodes: Vec<NodeProto>, inputs: Vec<ValueInfoProto>, outputs: &[&str]) -> ModelProto {
    let nodes = nodes.into_iter().map(|node| NodeProto { domain: "ai.onnx.ml".into(), ..node }).collect();
    let mut model = model(18, nodes, inputs, outputs);
    model.opset_import.push(OperatorSetIdProto { domain: "ai.onnx.ml".into(), version: 3 });
    model
}

fn imported(model: ModelProto) -> Result<Graph, ImportError> {
    import(&Loaded::from_model(model), &Options::default())
}

fn evaluated(model: ModelProto, inputs: Vec<Value>) -> Vec<Value> {
    let graph = imported(model).unwrap();
    let text = graph.to_text();
    assert_eq!(ir_text::parse(&text, &ir_text::NoWeights).unwrap().to_text(), text);
    let inputs: Vec<Arc<Value>> = inputs.into_iter().map(Arc::new).collect();
    evaluate_values(&graph, &inputs).unwrap().into_iter().map(Arc::unwrap_or_clone).collect()
}

fn map(keys: MapKeys, values: impl Into<Value>) -> Value {
    Value::Map(Map::new(keys, values).unwrap())
}

#[test]
fn a_classifier_ends_in_a_map_for_each_row() {
    let nodes = vec![
        node(
            "LinearClassifier",
            &["x"],
            &["label", "scores"],
            vec![
                floats("coefficients", &[1., 0., 0., 1., -1., -1.]),
                floats("intercepts", &[0., 0., 0.5]),
                texts("classlabels_strings", &["iris", "daisy", "rose"]),
            ],
        ),
        node("ZipMap", &["scores"], &["p"], vec![texts("classlabels_strings", &["iris", "daisy", "rose"])]),
    ];
    let ports = vec![port("x", FLOAT, &["N", "2"])];
    let got = evaluated(of_ml(nodes, ports, &["label", "p"]), vec![f32s(&[2, 2], &[3., 1., -1., -2.]).into()]);
    assert!(matches!(&got[0], Value::Strings(s) if s.elements() == ["iris", "rose"]));
    let Value::Sequence(maps) = &got[1] else { panic!("{:?}", got[1]) };
    let rows: Vec<&Map> = maps.iter().map(|m| if let Value::Map(m) = m { m } else { panic!("{m:?}") }).collect();
    let keys = MapKeys::Texts(["daisy", "iris", "rose"].map(str::to_owned).to_vec());
    assert!(rows.len() == 2 && rows.iter().all(|row| *row.keys() == keys));
    let values = |row: &Map| row.values().as_tensor().unwrap().as_slice::<f32>().unwrap().to_vec();
    assert_eq!((values(rows[0]), values(rows[1])), (vec![1., 3., -3.5], vec![-2., -1., 3.5]));
}

#[test]
fn maps_are_taken_as_inputs() {
    let vocabulary = vec![texts("string_vocabulary", &["a", "c", "b", "z"])];
    let model =
        of_ml(vec![node("DictVectorizer", &["m"], &["y"], vocabulary)], vec![map_port("m", STRING, INT64)], &["y"]);
    let words = MapKeys::Texts(vec!["c".into(), "a".into()]);
    let got = evaluated(model, vec![map(words, i64s(&[2], &[8, 4]))]);
    assert_eq!(got[0].as_tensor().unwrap().as_slice::<i64>().unwrap(), [4, 8, 0, 0]);
    assert_eq!(got[0].shape(), Some(&[4][..]));
    let cast = node("CastMap", &["m"], &["y"], vec![text("cast_to", "TO_FLOAT")]);
    let model = of_ml(vec![cast], vec![map_port("m", INT64, STRING)], &["y"]);
    let texts = Strings::new(&[2], vec!["1.5".into(), "-2".into()]).unwrap();
    let got = evaluated(model, vec![map(MapKeys::Ints(vec![9, 3]), texts)]);
    assert_eq!(got[0].as_tensor().unwrap().as_slice::<f32>().unwrap(), [-2.0, 1.5]);
    assert_eq!(got[0].shape(), Some(&[1, 2][..]));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let zip = |attributes: Vec<AttributeProto>, elem: i32, dims: &[&str]| {
        of_ml(vec![node("ZipMap", &["x"], &["p"], attributes)], vec![port("x", elem, dims)], &["p"])
    };
    let labels = || vec![ints("classlabels_int64s", &[3, 5])];
    let both = vec![ints("classlabels_int64s", &[3]), texts("classlabels_strings", &["a"])];
    let vectorizer = |key: i32| {
        let attributes = vec![ints("int64_vocabulary", &[1, 2])];
        of_ml(vec![node("DictVectorizer", &["m"], &["y"], attributes)], vec![map_port("m", key, FLOAT)], &["y"])
    };
    let added = model(18, vec![node("Add", &["m", "m"], &["y"], vec![])], vec![map_port("m", INT64, FLOAT)], &["y"]);
    let cases: [(ModelProto, &str); 8] = [
        (zip(labels(), FLOAT, &["2", "3"]), "its operand is f32[2, 3], and there are 2 labels"),
        (zip(labels(), INT64, &["2", "2"]), "f32 is expected"),
        (zip(labels(), FLOAT, &["1", "2", "2"]), "shapes [C] and [N, C] are accepted"),
        (zip(vec![], FLOAT, &["2", "2"]), "neither classlabels_int64s nor classlabels_strings is given"),
        (zip(both, FLOAT, &["2", "1"]), "one of them is expected"),
        (vectorizer(STRING), "its operand is text_map f32[]; a map whose keys are i64 is expected"),
        (vectorizer(FLOAT), "maps from int64 or string"),
        (added, "operand 0 is int_map f32[]; a tensor is accepted"),
    ];
    for (model, words) in cases {
        let error = imported(model).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let graph = imported(vectorizer(INT64)).unwrap();
    let tensor: Value = Tensor::scalar(1f32).into();
    assert!(evaluate_values(&graph, &[Arc::new(tensor)]).is_err(), "a tensor is no map");
}
