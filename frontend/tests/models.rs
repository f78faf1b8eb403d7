//! Whole models: order, functions, symbols, constants, and everything that can be wrong with them.
#![allow(clippy::unwrap_used)]

mod build;

use brolga_compiler::ir::eval::evaluate;
use brolga_compiler::ir::{Graph, Source};
use brolga_frontend::*;
use brolga_proto::*;
use build::*;

fn imported(model: ModelProto) -> Result<Graph, ImportError> {
    import(&Loaded::from_model(model), &Options::default())
}

fn x() -> ValueInfoProto {
    port("x", 1, &["2"])
}

fn chain(ops: &[(&str, &str, &str)]) -> Vec<NodeProto> {
    ops.iter().map(|(op, from, to)| node(op, &[from], &[to], vec![])).collect()
}

#[test]
fn nodes_in_any_order_are_sorted() {
    let graph =
        imported(model(13, chain(&[("Neg", "b", "y"), ("Exp", "x", "a"), ("Abs", "a", "b")]), vec![x()], &["y"]));
    let graph = graph.unwrap();
    let out = evaluate(&graph, &[f32s(&[2], &[0.0, 1.0])]).unwrap();
    assert_close("chain", &out[0], &f32s(&[2], &[-1.0, -std::f32::consts::E]));
}

#[test]
fn names_of_dimensions_become_symbols() {
    let input = port("in put", 1, &["batch", "?", "3"]);
    let graph = imported(model(13, chain(&[("Relu", "in put", "y")]), vec![input], &["y"])).unwrap();
    assert_eq!(graph.ty(graph.outputs()[0].1).to_string(), "f32[batch, \"in put_1\", 3]");
    assert_eq!(graph.symbols(), ["batch", "in put_1"]);
    let out = evaluate(&graph, &[f32s(&[1, 1, 3], &[-1.0, 0.0, 1.0])]).unwrap();
    assert_close("relu", &out[0], &f32s(&[1, 1, 3], &[0.0, 0.0, 1.0]));
}

#[test]
fn negated_extents_stay_extents() {
    let ty = |negation: NodeProto| {
        let nodes = vec![
            node("Shape", &["x"], &["shape"], vec![int("start", 0), int("end", 1)]),
            negation,
            node("Add", &["negative", "ten"], &["left"], vec![]),
            node("ConstantOfShape", &["left"], &["y"], vec![]),
        ];
        let mut model = model(18, nodes, vec![port("x", 1, &["batch", "3"])], &["y"]);
        let constants = [("ten", 10), ("minus", -1)].map(|(name, n)| initializer(name, &i64s(&[1], &[n])));
        model.graph.as_mut().unwrap().initializer = constants.to_vec();
        let graph = imported(model).unwrap();
        graph.ty(graph.outputs()[0].1).to_string()
    };
    let negated = ty(node("Neg", &["shape"], &["negative"], vec![]));
    assert_eq!(negated, ty(node("Mul", &["shape", "minus"], &["negative"], vec![])));
    assert!(negated.contains("batch"), "{negated}");
}

#[test]
fn signs_that_name_no_dimension_stand_for_different_ones() {
    let input = port("x", 1, &["??", "3", "??", "-1"]);
    let graph = imported(model(13, chain(&[("Relu", "x", "y")]), vec![input], &["y"])).unwrap();
    assert_eq!(graph.symbols(), ["x_0", "x_2", "x_3"]);
    let picture = f32s(&[1, 3, 2, 1], &[-1.0, 0.0, 1.0, 2.0, -2.0, 3.0]);
    let out = evaluate(&graph, std::slice::from_ref(&picture)).unwrap();
    assert_close("relu", &out[0], &f32s(&[1, 3, 2, 1], &[0.0, 0.0, 1.0, 2.0, 0.0, 3.0]));
}

#[test]
fn constants_arrive_through_nodes_and_splats_take_no_bytes() {
    let shape = initializer("shape", &i64s(&[2], &[1 << 20, 1 << 10]));
    let nodes = vec![
        node("Identity", &["shape"], &["same"], vec![]),
        node(
            "ConstantOfShape",
            &["same"],
            &["big"],
            vec![tensor_attribute("value", initializer("", &f32s(&[1], &[2.5])))],
        ),
        node("Constant", &[], &["one"], vec![float("value_float", 1.0)]),
        node("Add", &["big", "one"], &["y"], vec![]),
    ];
    let mut model = model(13, nodes, vec![], &["y"]);
    model.graph.as_mut().unwrap().initializer = vec![shape];
    let graph = imported(model).unwrap();
    assert_eq!(graph.len(), 1);
    let add = graph.nodes().next().unwrap();
    let weight = graph.weight(add.inputs[0]).unwrap();
    assert!(matches!(weight.source, Source::Splat([0, 0, 0x20, 0x40, 0, 0, 0, 0])), "{:?}", weight.source);
    assert_eq!(weight.shape(), [1 << 20, 1 << 10]);
}

fn function(name: &str, inputs: &[&str], outputs: &[&str], nodes: Vec<NodeProto>) -> FunctionProto {
    let names = |list: &[&str]| list.iter().map(|s| (*s).to_string()).collect();
    FunctionProto {
        name: name.into(),
        domain: "own".into(),
        input: names(inputs),
        output: names(outputs),
        node: nodes,
        opset_import: vec![
            OperatorSetIdProto { domain: String::new(), version: 13 },
            OperatorSetIdProto { domain: "own".into(), version: 1 },
        ],
        ..Default::default()
    }
}

fn call(name: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto { domain: "own".into(), ..node(name, inputs, outputs, attribute) }
}

fn with_functions(nodes: Vec<NodeProto>, functions: Vec<FunctionProto>) -> ModelProto {
    let mut model = model(13, nodes, vec![x()], &["y"]);
    model.functions = functions;
    model.opset_import.push(OperatorSetIdProto { domain: "own".into(), version: 1 });
    model
}

#[test]
fn functions_are_inlined_with_their_attributes() {
    let slope = AttributeProto { name: "alpha".into(), ref_attr_name: "slope".into(), r#type: 1, ..Default::default() };
    let mut leaky = function("Leaky", &["v"], &["w"], vec![node("LeakyRelu", &["v"], &["w"], vec![slope])]);
    leaky.attribute_proto = vec![float("slope", 0.5)];
    let twice = function(
        "Twice",
        &["v"],
        &["w", "v"],
        vec![call("Leaky", &["v"], &["t"], vec![]), call("Leaky", &["t"], &["w"], vec![float("slope", 0.25)])],
    );
    let nodes = vec![call("Twice", &["x"], &["a", "b"], vec![]), node("Sub", &["a", "b"], &["y"], vec![])];
    let graph = imported(with_functions(nodes, vec![leaky, twice])).unwrap();
    let out = evaluate(&graph, &[f32s(&[2], &[-8.0, 3.0])]).unwrap();
    assert_close("functions", &out[0], &f32s(&[2], &[7.0, 0.0]));
    assert!(graph.nodes().any(|n| n.name == "the_Twice/the_Leaky/the_LeakyRelu"));
}

#[test]
fn functions_that_never_end_or_explode_are_refused() {
    let own = function("F", &["v"], &["w"], vec![call("F", &["v"], &["w"], vec![])]);
    let e = imported(with_functions(vec![call("F", &["x"], &["y"], vec![])], vec![own])).unwrap_err();
    assert_eq!(e.class(), Class::Model, "{e}");
    let doubling: Vec<FunctionProto> = (0..30)
        .map(|i| {
            let inner = |from: &str, to: &str| match i {
                0 => node("Relu", &[from], &[to], vec![]),
                _ => call(&format!("F{}", i - 1), &[from], &[to], vec![]),
            };
            function(&format!("F{i}"), &["v"], &["w"], vec![inner("v", "t"), inner("t", "w")])
        })
        .collect();
    let options = Options { max_nodes: 10_000, ..Options::default() };
    let model = with_functions(vec![call("F29", &["x"], &["y"], vec![])], doubling);
    let e = import(&Loaded::from_model(model), &options).unwrap_err();
    assert_eq!(e.class(), Class::Budget, "{e}");
}

#[test]
fn wrong_models_are_typed_errors_that_name_the_node() {
    let one = |n: NodeProto| model(13, vec![n], vec![x()], &["y"]);
    let relu = |from: &str, to: &str| node("Relu", &[from], &[to], vec![]);
    let mut no_graph = one(relu("x", "y"));
    no_graph.graph = None;
    let mut no_opset = one(relu("x", "y"));
    no_opset.opset_import.clear();
    let reference = AttributeProto { name: "alpha".into(), ref_attr_name: "a".into(), ..Default::default() };
    let cases = vec![
        (no_graph, "no graph"),
        (no_opset, "imports no opset"),
        (model(0, chain(&[("Relu", "x", "y")]), vec![x()], &["y"]), "opset 0"),
        (one(relu("nowhere", "y")), "the_Relu"),
        (one(relu("y", "y")), "cycle"),
        (model(13, chain(&[("Relu", "a", "b"), ("Abs", "b", "a"), ("Neg", "x", "y")]), vec![x()], &["y"]), "cycle"),
        (model(13, chain(&[("Relu", "x", "y"), ("Abs", "x", "y")]), vec![x()], &["y"]), "the_Abs"),
        (one(relu("x", "x")), "the_Relu"),
        (model(13, vec![], vec![x()], &[]), "no outputs"),
        (one(relu("x", "z")), "\"y\""),
        (model(13, chain(&[("Relu", "x", "y")]), vec![x(), x()], &["y"]), "twice"),
        (one(node("Relu", &[], &["y"], vec![])), "operand 0"),
        (one(node("Softmax", &["x"], &["y"], vec![float("axis", 1.0)])), "INT"),
        (one(node("Softmax", &["x"], &["y"], vec![int("axis", 4)])), "axis 4"),
        (one(node("Transpose", &["x"], &["y"], vec![ints("perm", &[0, 0])])), "listed twice"),
        (one(node("LeakyRelu", &["x"], &["y"], vec![reference])), "outside a function"),
        (one(node("Relu", &["x"], &["y", "z"], vec![])), "result number 1"),
        (
            model(13, chain(&[("Relu", "x", "y")]), vec![port("x", 1, &["4611686018427387904"])], &["y"]),
            "more than memory",
        ),
        (
            model(13, chain(&[("Relu", "x", "y")]), vec![port("x", 1, &["4294967296", "4294967296"])], &["y"]),
            "more than memory",
        ),
        (model(13, chain(&[("Relu", "x", "y")]), vec![port("x", 1, &["-7"])], &["y"]), "-7"),
        (model(13, chain(&[("Relu", "x", "y")]), vec![port("x", 99, &["1"])], &["y"]), "99"),
    ];
    let count = cases.len();
    assert_eq!(count, 21);
    for (model, word) in cases {
        let e = imported(model).unwrap_err();
        assert_eq!(e.class(), Class::Model, "{e}");
        assert!(e.to_string().contains(word), "{e} (no {word:?})");
    }
}

#[test]
fn windows_of_wrong_size_are_refused() {
    let weight = initializer("w", &f32s(&[1, 1, 3], &[0.0; 3]));
    let wrong = [
        ints("strides", &[0]),
        ints("strides", &[-1]),
        ints("strides", &[1, 1]),
        ints("dilations", &[0]),
        ints("pads", &[1]),
        ints("pads", &[1 << 40, 0]),
        ints("kernel_shape", &[2]),
        int("group", 0),
        int("group", 2),
        text("auto_pad", "SOMETIMES"),
    ];
    for attribute in wrong {
        let what = format!("{attribute:?}");
        let conv = node("Conv", &["x", "w"], &["y"], vec![attribute]);
        let mut model = model(13, vec![conv], vec![port("x", 1, &["1", "1", "8"])], &["y"]);
        model.graph.as_mut().unwrap().initializer = vec![weight.clone()];
        let e = imported(model).unwrap_err();
        assert_eq!(e.class(), Class::Model, "{what}: {e}");
        assert!(e.to_string().contains("the_Conv"), "{e}");
    }
}

#[test]
fn one_report_lists_everything_that_is_not_supported() {
    let nodes = vec![
        node("Frobnicate", &["x"], &["a"], vec![]),
        node("Relu", &["a"], &["b"], vec![]),
        NodeProto { domain: "elsewhere".into(), ..node("Thing", &["b"], &["c"], vec![]) },
        node("Scatter", &["x", "c", "x"], &["d"], vec![]),
        node("Relu", &["x"], &["y"], vec![]),
    ];
    let mut model = model(13, nodes, vec![x()], &["y", "d"]);
    model.opset_import.push(OperatorSetIdProto { domain: "elsewhere".into(), version: 3 });
    let loaded = Loaded::from_model(model.clone());
    let report = support_report(&loaded, &Options::default()).unwrap();
    let found: Vec<(&str, &str, i64)> =
        report.unsupported.iter().map(|n| (&n.op[..], &n.domain[..], n.opset)).collect();
    assert_eq!(found, [("Frobnicate", "", 13), ("Thing", "elsewhere", 3), ("Scatter", "", 13)]);
    let e = imported(model).unwrap_err();
    assert_eq!(e.class(), Class::Unsupported);
    let text = e.to_string();
    assert!(text.contains("3 nodes are not supported") && text.contains("opsets 9 to 10"), "{text}");
}

#[test]
fn long_chains_take_no_deep_stack() {
    let names: Vec<String> = (0..=100_000).map(|i| format!("v{i}")).collect();
    let nodes = names.windows(2).map(|w| node("Identity", &[&w[0]], &[&w[1]], vec![])).collect();
    let model = model(13, nodes, vec![port("v0", 1, &["2"])], &["v100000"]);
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(move || imported(model).unwrap().len());
    assert_eq!(thread.unwrap().join().unwrap(), 0);
}

#[test]
fn fixed_inputs_become_constants() {
    let reshape = node("Reshape", &["x", "shape"], &["y"], vec![]);
    let model = model(13, vec![reshape], vec![x(), port("shape", 7, &["2"])], &["y"]);
    let graph = imported(model.clone()).unwrap();
    assert_eq!(graph.ty(graph.outputs()[0].1).to_string(), "f32[_0, _1]");
    let options = Options { fixed: vec![("shape".into(), i64s(&[2], &[2, 1]))], ..Options::default() };
    let graph = import(&Loaded::from_model(model), &options).unwrap();
    assert_eq!(graph.inputs().len(), 1);
    assert_eq!(graph.ty(graph.outputs()[0].1).to_string(), "f32[2, 1]");
}

#[test]
fn inspection_works_on_models_that_cannot_be_imported() {
    let mut model = model(13, vec![node("Frobnicate", &["x", "w"], &["y"], vec![])], vec![x()], &["y"]);
    model.graph.as_mut().unwrap().initializer = vec![initializer("w", &f32s(&[2, 3], &[0.0; 6]))];
    let facts = inspect(&Loaded::from_model(model));
    assert_eq!((facts.parameters, facts.parameter_bytes, facts.nodes), (6, 24, 1));
    assert_eq!(facts.inputs, [Port { name: "x".into(), ty: "float[2]".into() }]);
    assert_eq!(facts.op_counts.get("Frobnicate"), Some(&1));
}

#[test]
fn flops_count_multiply_adds_twice() {
    let conv = node("Conv", &["x", "w"], &["y"], vec![]);
    let mut model = model(13, vec![conv], vec![port("x", 1, &["1", "2", "4"])], &["y"]);
    model.graph.as_mut().unwrap().initializer = vec![initializer("w", &f32s(&[3, 2, 3], &[0.0; 18]))];
    // 3 filters, 2 positions, 2 channels, 3 taps.
    assert_eq!(flops(&imported(model).unwrap()), Some(2 * 3 * 2 * 2 * 3));
}

#[test]
fn pads_beyond_all_numbers_are_refused() {
    let attributes = vec![ints("kernel_shape", &[1]), ints("pads", &[0, i64::MIN])];
    let model =
        model(13, vec![node("MaxPool", &["x"], &["y"], attributes)], vec![port("x", 1, &["1", "1", "4"])], &["y"]);
    assert_eq!(imported(model).unwrap_err().class(), Class::Model);
}
