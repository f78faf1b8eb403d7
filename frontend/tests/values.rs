//! Texts, sequences and derivatives through several nodes, evaluated against numbers worked out by hand.
#![allow(clippy::unwrap_used, clippy::panic)]

mod build;

use brolga_compiler::ir::eval::evaluate_values;
use brolga_frontend::{Options, import};
use brolga_proto::*;
use brolga_runtime::{Strings, Tensor, Value};
use build::*;
use std::sync::Arc;

fn texts(name: &str, list: &[&'static str]) -> AttributeProto {
    let strings = list.iter().map(|s| s.as_bytes().into()).collect();
    AttributeProto { name: name.into(), strings, r#type: 8, ..Default::default() }
}

fn evaluated(model: ModelProto, inputs: &[Value]) -> Vec<Value> {
    let graph = import(&Loaded::from_model(model), &Options::default()).unwrap();
    let inputs: Vec<Arc<Value>> = inputs.iter().cloned().map(Arc::new).collect();
    evaluate_values(&graph, &inputs).unwrap().into_iter().map(Arc::unwrap_or_clone).collect()
}

fn words(shape: &[usize], list: &[&str]) -> Value {
    Strings::new(shape, list.iter().map(|s| (*s).to_owned()).collect()).unwrap().into()
}

fn seen(value: &Value) -> Vec<&str> {
    match value {
        Value::Strings(s) => s.elements().iter().map(String::as_str).collect(),
        other => panic!("{other:?}"),
    }
}

fn floats(value: &Value) -> &[f32] {
    value.as_tensor().unwrap().as_slice().unwrap()
}

#[test]
fn texts_are_moved_and_compared() {
    let nodes = vec![
        node("Constant", &[], &["c"], vec![texts("value_strings", &["z", "b"])]),
        node("Transpose", &["x"], &["t"], vec![]),
        node("Concat", &["t", "x"], &["both"], vec![int("axis", 0)]),
        node("Equal", &["x", "c"], &["same"], vec![]),
        node("Where", &["same", "c", "x"], &["y"], vec![]),
        node("StringConcat", &["y", "init"], &["z"], vec![]),
    ];
    let mut model = model(20, nodes, vec![port("x", 8, &["2", "N"])], &["both", "same", "z"]);
    model.graph.as_mut().unwrap().initializer = vec![TensorProto {
        name: "init".into(),
        data_type: 8,
        dims: vec![1],
        string_data: vec![b"!".to_vec().into()],
        ..Default::default()
    }];
    let got = evaluated(model, &[words(&[2, 2], &["a", "b", "z", "d"])]);
    assert_eq!(seen(&got[0]), ["a", "z", "b", "d", "a", "b", "z", "d"]);
    assert_eq!(got[1].as_tensor().unwrap().bytes(), [0, 1, 1, 0]);
    assert_eq!(seen(&got[2]), ["a!", "b!", "z!", "d!"]);
}

#[test]
fn elements_of_sequences_have_the_rank_a_run_gives_them() {
    let nodes = vec![
        node("SequenceConstruct", &["a", "b"], &["s"], vec![]),
        node("SequenceAt", &["s", "i"], &["e"], vec![]),
        node("Add", &["e", "a"], &["sum"], vec![]),
        node("Shape", &["sum"], &["shape"], vec![]),
    ];
    let ports = vec![port("a", 1, &["2"]), port("b", 1, &["2", "2"]), port("i", 7, &[])];
    let inputs = [f32s(&[2], &[1., 2.]), f32s(&[2, 2], &[1., 2., 3., 4.]), i64s(&[], &[-1])].map(Value::Tensor);
    let got = evaluated(model(17, nodes, ports, &["sum", "shape"]), &inputs);
    assert_eq!(floats(&got[0]), [2., 4., 4., 6.]);
    assert_eq!(got[1].as_tensor().unwrap().as_slice::<i64>().unwrap(), [2, 2]);
}

/// A loop that walks over the parts of a tensor and puts together what it makes of them.
#[test]
fn what_a_loop_gathers_keeps_its_rank() {
    let body = GraphProto {
        name: "body".into(),
        input: vec![port("i", 7, &[]), port("go", 9, &[]), port("list", 1, &[])],
        node: vec![
            node("SequenceAt", &["parts", "i"], &["part"], vec![]),
            node("Unsqueeze", &["part", "zero"], &["deep"], vec![]),
            node("Concat", &["deep", "deep"], &["twice"], vec![int("axis", 1)]),
            node("SequenceInsert", &["list", "twice"], &["longer"], vec![]),
            node("Identity", &["go"], &["on"], vec![]),
        ],
        output: vec![port("on", 9, &[]), port("longer", 1, &[])],
        ..Default::default()
    };
    let body = AttributeProto { name: "body".into(), g: Some(Box::new(body)), r#type: 5, ..Default::default() };
    let nodes = vec![
        node("SplitToSequence", &["x", "lengths"], &["parts"], vec![int("axis", 0)]),
        node("SequenceEmpty", &[], &["none"], vec![]),
        node("Loop", &["count", "", "none"], &["all"], vec![body]),
        node("ConcatFromSequence", &["all"], &["stacked"], vec![int("axis", 1)]),
        node("Transpose", &["stacked"], &["y"], vec![]),
    ];
    let ports = vec![port("x", 1, &["N", "2"]), port("lengths", 7, &["P"]), port("count", 7, &[])];
    let mut model = model(17, nodes, ports, &["y"]);
    model.graph.as_mut().unwrap().initializer = vec![initializer("zero", &i64s(&[1], &[0]))];
    let inputs = [f32s(&[3, 2], &[1., 2., 3., 4., 5., 6.]), i64s(&[2], &[1, 2]), i64s(&[], &[2])].map(Value::Tensor);
    let got = evaluated(model, &inputs);
    assert_eq!(got[0].as_tensor().unwrap().shape(), [2, 6, 1]);
    assert_eq!(floats(&got[0]), [1., 1., 3., 5., 3., 5., 2., 2., 4., 6., 4., 6.]);
}

/// A region of interest that a run computes does what a constant one does.
#[test]
fn resizing_by_a_computed_region() {
    let x = f32s(&[1, 1, 4, 5], &(0..20).map(|i| (i * i % 17) as f32).collect::<Vec<_>>());
    for region in [[0.0, 0.0, 0.2, 0.5, 1.0, 1.0, 0.9, 1.2], [0.0, 0.0, 0.9, -0.5, 1.0, 1.0, 0.1, 0.7]] {
        let region = f32s(&[8], &region);
        let made = |computed: bool| {
            let attributes = vec![
                text("mode", "linear"),
                text("coordinate_transformation_mode", "tf_crop_and_resize"),
                float("extrapolation_value", 9.0),
            ];
            let crop = node("Resize", &["x", "region", "", "sizes"], &["y"], attributes);
            let mut ports = vec![port("x", 1, &["1", "1", "H", "W"])];
            let mut given = vec![Value::Tensor(x.clone())];
            let mut constants = vec![initializer("sizes", &i64s(&[4], &[1, 1, 3, 6]))];
            match computed {
                true => {
                    ports.push(port("region", 1, &["8"]));
                    given.push(Value::Tensor(region.clone()));
                }
                false => constants.push(initializer("region", &region)),
            }
            let mut model = model(13, vec![crop], ports, &["y"]);
            model.graph.as_mut().unwrap().initializer = constants;
            evaluated(model, &given).remove(0)
        };
        let (got, want) = (made(true), made(false));
        assert_close("crop", got.as_tensor().unwrap(), want.as_tensor().unwrap());
    }
}

fn with_training(mut model: ModelProto) -> ModelProto {
    model.opset_import.push(OperatorSetIdProto { domain: "ai.onnx.preview.training".into(), version: 1 });
    model
}

fn gradient(xs: &[&'static str], outputs: &[&str]) -> NodeProto {
    let attributes = vec![texts("xs", xs), text("y", "y")];
    NodeProto { domain: "ai.onnx.preview.training".into(), ..node("Gradient", xs, outputs, attributes) }
}

/// Derivatives of a sum of a matrix product's sigmoid, against differences.
#[test]
fn derivatives_agree_with_differences() {
    let forward = || {
        vec![
            node("MatMul", &["a", "b"], &["p"], vec![]),
            node("Add", &["p", "c"], &["q"], vec![]),
            node("Sigmoid", &["q"], &["r"], vec![]),
            node("Mul", &["r", "q"], &["s"], vec![]),
            node("ReduceSum", &["s"], &["y"], vec![int("keepdims", 0)]),
        ]
    };
    let ports = || vec![port("a", 1, &["2", "3"]), port("b", 1, &["3", "2"]), port("c", 1, &["2"])];
    let mut nodes = forward();
    nodes.push(gradient(&["a", "b", "c"], &["da", "db", "dc"]));
    let inputs = [
        f32s(&[2, 3], &[0.5, -1., 2., 0.1, 0.3, -0.7]),
        f32s(&[3, 2], &[1., 0.2, -0.4, 0.6, 0.9, -1.1]),
        f32s(&[2], &[0.25, -0.5]),
    ];
    let value = |inputs: &[Tensor]| {
        let inputs: Vec<Value> = inputs.iter().cloned().map(Value::Tensor).collect();
        f64::from(floats(&evaluated(model(17, forward(), ports(), &["y"]), &inputs)[0])[0])
    };
    let all: Vec<Value> = inputs.iter().cloned().map(Value::Tensor).collect();
    let got = evaluated(with_training(model(17, nodes, ports(), &["da", "db", "dc"])), &all);
    let step = 1e-2;
    for (which, derivative) in got.iter().enumerate() {
        assert_eq!(derivative.shape(), Some(inputs[which].shape()));
        for (i, found) in floats(derivative).iter().enumerate() {
            let moved = |by: f32| {
                let mut moved = inputs.clone();
                moved[which].as_mut_slice::<f32>().unwrap()[i] += by;
                value(&moved)
            };
            let wanted = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            assert!((f64::from(*found) - wanted).abs() < 2e-3, "{which} {i}: {found} not {wanted}");
        }
    }
}

/// Operands of Gradient other than the tensors that `xs` names take their places.
#[test]
fn a_derivative_is_taken_where_the_operands_are() {
    let mut gradient = gradient(&["x"], &["dx"]);
    gradient.input = vec!["at".into()];
    let nodes = vec![node("Mul", &["x", "x"], &["y"], vec![]), gradient];
    let ports = vec![port("x", 1, &[]), port("at", 1, &[])];
    let got = evaluated(
        with_training(model(17, nodes, ports, &["y", "dx"])),
        &[f32s(&[], &[3.]), f32s(&[], &[5.])].map(Value::Tensor),
    );
    assert_eq!((floats(&got[0]), floats(&got[1])), (&[9f32][..], &[10f32][..]));
}

#[test]
fn what_has_no_meaning_is_refused() {
    let refused = |opset, nodes, ports: Vec<ValueInfoProto>, outputs: &[&str]| {
        let model = with_training(model(opset, nodes, ports, outputs));
        import(&Loaded::from_model(model), &Options::default()).unwrap_err().to_string()
    };
    let x = || vec![port("x", 8, &["2"])];
    let message = refused(17, vec![node("Relu", &["x"], &["y"], vec![])], x(), &["y"]);
    assert!(message.contains("texts; numbers and booleans are accepted"), "{message}");
    let pattern = vec![text("pattern", "(")];
    let message = refused(20, vec![node("RegexFullMatch", &["x"], &["y"], pattern)], x(), &["y"]);
    assert!(message.contains("pattern"), "{message}");
    let message = refused(17, vec![node("SequenceAt", &["x", "x"], &["y"], vec![])], x(), &["y"]);
    assert!(message.contains("a sequence is expected"), "{message}");
    let nodes = vec![node("Erf", &["x"], &["y"], vec![]), gradient(&["x"], &["dx"])];
    let message = refused(17, nodes, vec![port("x", 1, &["2"])], &["dx"]);
    assert!(message.contains("derivative of node"), "{message}");
}
