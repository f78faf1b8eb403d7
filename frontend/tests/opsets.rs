//! The same operator through the opsets in which its form differs, evaluated against numbers worked out by hand.
#![allow(clippy::unwrap_used)]

mod build;

use brolga_runtime::Tensor;
use build::*;

struct Case {
    opset: i64,
    node: brolga_proto::NodeProto,
    operands: Vec<(&'static str, Tensor)>,
    want: Vec<Tensor>,
}

fn case(
    opset: i64,
    op: &str,
    attributes: Vec<brolga_proto::AttributeProto>,
    operands: Vec<(&'static str, Tensor)>,
    want: Vec<Tensor>,
) -> Case {
    let names: Vec<&str> = operands.iter().map(|(n, _)| *n).collect();
    let outputs: Vec<String> = (0..want.len()).map(|i| format!("y{i}")).collect();
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    Case { opset, node: node(op, &names, &outputs, attributes), operands, want }
}

fn check(cases: Vec<Case>, count: usize) {
    assert_eq!(cases.len(), count);
    for case in cases {
        let what = format!("{} of opset {}", case.node.op_type, case.opset);
        let got = run(case.opset, case.node, &case.operands);
        assert_eq!(got.len(), case.want.len(), "{what}");
        for (got, want) in got.iter().zip(&case.want) {
            assert_close(&what, got, want);
        }
    }
}

fn ramp(shape: &[usize]) -> Tensor {
    let all: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| i as f32).collect();
    f32s(shape, &all)
}

#[test]
fn attributes_that_became_operands() {
    let x = || ("x", ramp(&[1, 4]));
    let slice = || vec![f32s(&[1, 2], &[1.0, 2.0])];
    let pads = || f32s(&[1, 6], &[9.0, 0.0, 1.0, 2.0, 3.0, 9.0]);
    let cut = |a: &'static str, b: &'static str, c: &'static str| {
        vec![x(), (a, i64s(&[1], &[1])), (b, i64s(&[1], &[3])), (c, i64s(&[1], &[-1]))]
    };
    let cases = vec![
        case(
            6,
            "Clip",
            vec![float("min", 1.0), float("max", 2.0)],
            vec![x()],
            vec![f32s(&[1, 4], &[1.0, 1.0, 2.0, 2.0])],
        ),
        case(11, "Clip", vec![], vec![x(), ("lo", f32s(&[], &[1.0]))], vec![f32s(&[1, 4], &[1.0, 1.0, 2.0, 3.0])]),
        case(1, "Slice", vec![ints("starts", &[1]), ints("ends", &[3]), ints("axes", &[1])], vec![x()], slice()),
        case(10, "Slice", vec![], cut("a", "b", "c"), slice()),
        case(1, "Pad", vec![ints("paddings", &[0, 1, 0, 1]), float("value", 9.0)], vec![x()], vec![pads()]),
        case(2, "Pad", vec![ints("pads", &[0, 1, 0, 1]), float("value", 9.0)], vec![x()], vec![pads()]),
        case(11, "Pad", vec![], vec![x(), ("p", i64s(&[4], &[0, 1, 0, 1])), ("v", f32s(&[], &[9.0]))], vec![pads()]),
        case(
            18,
            "Pad",
            vec![],
            vec![x(), ("p", i64s(&[2], &[1, 1])), ("v", f32s(&[], &[9.0])), ("a", i64s(&[1], &[1]))],
            vec![pads()],
        ),
        case(1, "Reshape", vec![ints("shape", &[2, -1])], vec![x()], vec![ramp(&[2, 2])]),
        case(5, "Reshape", vec![], vec![x(), ("s", i64s(&[2], &[2, -1]))], vec![ramp(&[2, 2])]),
        case(1, "Squeeze", vec![ints("axes", &[0])], vec![x()], vec![ramp(&[4])]),
        case(13, "Squeeze", vec![], vec![x(), ("a", i64s(&[1], &[0]))], vec![ramp(&[4])]),
        case(13, "Squeeze", vec![], vec![x()], vec![ramp(&[4])]),
        case(1, "Unsqueeze", vec![ints("axes", &[0, 3])], vec![x()], vec![ramp(&[1, 1, 4, 1])]),
        case(13, "Unsqueeze", vec![], vec![x(), ("a", i64s(&[1], &[-1]))], vec![ramp(&[1, 4, 1])]),
        case(11, "ReduceSum", vec![ints("axes", &[1])], vec![x()], vec![f32s(&[1, 1], &[6.0])]),
        case(13, "ReduceSum", vec![int("keepdims", 0)], vec![x(), ("a", i64s(&[1], &[1]))], vec![f32s(&[1], &[6.0])]),
        case(13, "ReduceSum", vec![int("noop_with_empty_axes", 1)], vec![x()], vec![ramp(&[1, 4])]),
        case(17, "ReduceMean", vec![ints("axes", &[-1])], vec![x()], vec![f32s(&[1, 1], &[1.5])]),
        case(18, "ReduceMean", vec![], vec![x(), ("a", i64s(&[1], &[-1]))], vec![f32s(&[1, 1], &[1.5])]),
        case(
            5,
            "Tile",
            vec![],
            vec![x(), ("n", i64s(&[1], &[2])), ("a", i64s(&[1], &[0]))],
            vec![f32s(&[2, 4], &[0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0])],
        ),
        case(
            6,
            "Tile",
            vec![],
            vec![("x", ramp(&[1, 2])), ("n", i64s(&[2], &[1, 2]))],
            vec![f32s(&[1, 4], &[0.0, 1.0, 0.0, 1.0])],
        ),
    ];
    check(cases, 22);
}

#[test]
fn splits_and_selections() {
    let x = || ("x", ramp(&[5]));
    let parts = || vec![f32s(&[2], &[0.0, 1.0]), f32s(&[3], &[2.0, 3.0, 4.0])];
    let best = || vec![f32s(&[2], &[4.0, 3.0]), i64s(&[2], &[4, 3])];
    let cases = vec![
        case(2, "Split", vec![ints("split", &[2, 3])], vec![x()], parts()),
        case(13, "Split", vec![], vec![x(), ("s", i64s(&[2], &[2, 3]))], parts()),
        case(
            18,
            "Split",
            vec![int("num_outputs", 2)],
            vec![x()],
            vec![f32s(&[3], &[0.0, 1.0, 2.0]), f32s(&[2], &[3.0, 4.0])],
        ),
        case(1, "TopK", vec![int("k", 2)], vec![x()], best()),
        case(10, "TopK", vec![], vec![x(), ("k", i64s(&[1], &[2]))], best()),
        case(
            11,
            "TopK",
            vec![int("largest", 0)],
            vec![x(), ("k", i64s(&[1], &[1]))],
            vec![f32s(&[1], &[0.0]), i64s(&[1], &[0])],
        ),
        case(12, "ArgMax", vec![int("keepdims", 0)], vec![("x", f32s(&[3], &[1.0, 5.0, 5.0]))], vec![i64s(&[], &[1])]),
        case(
            12,
            "ArgMax",
            vec![int("select_last_index", 1)],
            vec![("x", f32s(&[3], &[1.0, 5.0, 5.0]))],
            vec![i64s(&[1], &[2])],
        ),
    ];
    check(cases, 8);
}

#[test]
fn broadcasting_before_and_from_opset_7() {
    let x = || ("x", ramp(&[1, 2, 2]));
    let b = || ("b", f32s(&[2], &[10.0, 20.0]));
    let by_channel = || vec![f32s(&[1, 2, 2], &[10.0, 11.0, 22.0, 23.0])];
    let by_column = || vec![f32s(&[1, 2, 2], &[10.0, 21.0, 12.0, 23.0])];
    let minus = || ("x", f32s(&[1, 2, 2], &[-1.0, -1.0, -1.0, 1.0]));
    let cases = vec![
        case(6, "Add", vec![int("broadcast", 1), int("axis", 1)], vec![x(), b()], by_channel()),
        case(6, "Add", vec![int("broadcast", 1)], vec![x(), b()], by_column()),
        case(7, "Add", vec![], vec![x(), b()], by_column()),
        case(6, "PRelu", vec![], vec![minus(), b()], vec![f32s(&[1, 2, 2], &[-10.0, -10.0, -20.0, 1.0])]),
        case(7, "PRelu", vec![], vec![minus(), b()], vec![f32s(&[1, 2, 2], &[-10.0, -20.0, -10.0, 1.0])]),
        case(
            12,
            "Pow",
            vec![],
            vec![("x", f32s(&[2], &[2.0, 3.0])), ("e", i64s(&[], &[2]))],
            vec![f32s(&[2], &[4.0, 9.0])],
        ),
        case(
            8,
            "Mean",
            vec![],
            vec![("x", ramp(&[2])), b(), ("c", f32s(&[1], &[2.0]))],
            vec![f32s(&[2], &[4.0, 23.0 / 3.0])],
        ),
        case(8, "Max", vec![], vec![("x", ramp(&[2])), ("c", f32s(&[1], &[0.5]))], vec![f32s(&[2], &[0.5, 1.0])]),
        case(10, "Mod", vec![], vec![("x", i64s(&[2], &[-5, 5])), ("m", i64s(&[], &[3]))], vec![i64s(&[2], &[1, 2])]),
        case(
            10,
            "Mod",
            vec![int("fmod", 1)],
            vec![("x", i64s(&[2], &[-5, 5])), ("m", i64s(&[], &[3]))],
            vec![i64s(&[2], &[-2, 2])],
        ),
    ];
    check(cases, 10);
}

#[test]
fn softmax_flattens_before_opset_13() {
    let zeros = || ("x", f32s(&[1, 2, 2], &[0.0; 4]));
    let rows = || ("x", f32s(&[2, 2], &[0.0, 1.0, 3.0, 2.0]));
    let cases = vec![
        case(11, "Softmax", vec![], vec![zeros()], vec![f32s(&[1, 2, 2], &[0.25; 4])]),
        case(11, "Softmax", vec![int("axis", 2)], vec![zeros()], vec![f32s(&[1, 2, 2], &[0.5; 4])]),
        case(13, "Softmax", vec![], vec![zeros()], vec![f32s(&[1, 2, 2], &[0.5; 4])]),
        case(
            13,
            "LogSoftmax",
            vec![int("axis", 1)],
            vec![zeros()],
            vec![f32s(&[1, 2, 2], &[-std::f32::consts::LN_2; 4])],
        ),
        case(11, "Hardmax", vec![], vec![rows()], vec![f32s(&[2, 2], &[0.0, 1.0, 1.0, 0.0])]),
        case(13, "Hardmax", vec![int("axis", 0)], vec![rows()], vec![f32s(&[2, 2], &[0.0, 0.0, 1.0, 1.0])]),
    ];
    check(cases, 6);
}

#[test]
fn products_with_and_without_c() {
    let a = || ("a", f32s(&[1, 2], &[1.0, 2.0]));
    let b = || ("b", f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]));
    let cases = vec![
        case(11, "Gemm", vec![], vec![a(), b()], vec![f32s(&[1, 2], &[7.0, 10.0])]),
        case(
            11,
            "Gemm",
            vec![int("transB", 1)],
            vec![a(), b(), ("c", f32s(&[2], &[1.0, 2.0]))],
            vec![f32s(&[1, 2], &[6.0, 13.0])],
        ),
        case(7, "Gemm", vec![], vec![a(), b(), ("c", f32s(&[1, 2], &[1.0, 2.0]))], vec![f32s(&[1, 2], &[8.0, 12.0])]),
        case(7, "Gemm", vec![], vec![a(), b(), ("c", f32s(&[1], &[1.0]))], vec![f32s(&[1, 2], &[8.0, 11.0])]),
        case(
            7,
            "Gemm",
            vec![float("alpha", 2.0), float("beta", 0.5)],
            vec![a(), b(), ("c", f32s(&[2], &[2.0, 4.0]))],
            vec![f32s(&[1, 2], &[15.0, 22.0])],
        ),
        case(
            6,
            "Gemm",
            vec![int("transA", 1)],
            vec![("a", f32s(&[2, 1], &[1.0, 2.0])), b()],
            vec![f32s(&[1, 2], &[7.0, 10.0])],
        ),
        case(13, "MatMul", vec![], vec![a(), b()], vec![f32s(&[1, 2], &[7.0, 10.0])]),
    ];
    check(cases, 7);
}

#[test]
fn windows_and_padding() {
    let x = || ("x", ramp(&[1, 1, 4]));
    let w = || ("w", f32s(&[1, 1, 2], &[1.0, 1.0]));
    let same = |mode| vec![text("auto_pad", mode), ints("strides", &[1])];
    let row = |e: &[f32]| vec![f32s(&[1, 1, e.len()], e)];
    let pool = |extra: Vec<brolga_proto::AttributeProto>| {
        [vec![ints("kernel_shape", &[3]), ints("strides", &[2])], extra].concat()
    };
    let cases = vec![
        case(11, "Conv", vec![], vec![x(), w()], row(&[1.0, 3.0, 5.0])),
        case(11, "Conv", same("SAME_UPPER"), vec![x(), w()], row(&[1.0, 3.0, 5.0, 3.0])),
        case(11, "Conv", same("SAME_LOWER"), vec![x(), w()], row(&[0.0, 1.0, 3.0, 5.0])),
        case(11, "Conv", vec![ints("dilations", &[2]), ints("pads", &[1, 0])], vec![x(), w()], row(&[1.0, 2.0, 4.0])),
        case(
            11,
            "ConvTranspose",
            vec![ints("strides", &[2])],
            vec![("x", f32s(&[1, 1, 2], &[1.0, 2.0])), w()],
            row(&[1.0, 1.0, 2.0, 2.0]),
        ),
        case(
            11,
            "ConvTranspose",
            vec![ints("strides", &[2]), ints("output_shape", &[3])],
            vec![("x", f32s(&[1, 1, 2], &[1.0, 2.0])), w()],
            row(&[1.0, 2.0, 2.0]),
        ),
        case(8, "MaxPool", pool(vec![]), vec![x()], vec![f32s(&[1, 1, 1], &[2.0]), i64s(&[1, 1, 1], &[2])]),
        case(10, "MaxPool", pool(vec![int("ceil_mode", 1)]), vec![x()], row(&[2.0, 3.0])),
        case(7, "AveragePool", pool(vec![ints("pads", &[1, 1])]), vec![x()], row(&[0.5, 2.0])),
        case(
            7,
            "AveragePool",
            pool(vec![ints("pads", &[1, 1]), int("count_include_pad", 1)]),
            vec![x()],
            row(&[1.0 / 3.0, 2.0]),
        ),
        case(1, "GlobalAveragePool", vec![], vec![x()], row(&[1.5])),
        case(1, "GlobalMaxPool", vec![], vec![x()], row(&[3.0])),
    ];
    check(cases, 12);
}

#[test]
fn normalisations() {
    let x = || ("x", f32s(&[1, 2, 2], &[1.0, 3.0, 2.0, 6.0]));
    let two = |name: &'static str, a: f32, b: f32| (name, f32s(&[2], &[a, b]));
    let y = |e: &[f32]| vec![f32s(&[1, 2, 2], e)];
    let statistics = vec![x(), two("s", 1.0, 2.0), two("b", 0.0, 1.0), two("m", 1.0, 2.0), two("v", 4.0, 16.0)];
    let grouped = |channels: usize| {
        vec![
            ("x", f32s(&[1, 2, 2], &[1.0, 3.0, 1.0, 3.0])),
            ("s", f32s(&[channels], &vec![2.0; channels])),
            ("b", f32s(&[channels], &vec![1.0; channels])),
        ]
    };
    let no_epsilon = || vec![float("epsilon", 0.0)];
    let group = |n| vec![int("num_groups", n), float("epsilon", 0.0)];
    let cases = vec![
        case(9, "BatchNormalization", no_epsilon(), statistics.clone(), y(&[0.0, 1.0, 1.0, 3.0])),
        case(15, "BatchNormalization", no_epsilon(), statistics, y(&[0.0, 1.0, 1.0, 3.0])),
        case(
            6,
            "InstanceNormalization",
            no_epsilon(),
            vec![x(), two("s", 1.0, 1.0), two("b", 0.0, 5.0)],
            y(&[-1.0, 1.0, 4.0, 6.0]),
        ),
        case(18, "GroupNormalization", group(1), grouped(1), y(&[-1.0, 3.0, -1.0, 3.0])),
        case(21, "GroupNormalization", group(1), grouped(2), y(&[-1.0, 3.0, -1.0, 3.0])),
        case(
            17,
            "LayerNormalization",
            no_epsilon(),
            vec![x(), two("s", 1.0, 2.0)],
            vec![
                f32s(&[1, 2, 2], &[-1.0, 2.0, -1.0, 2.0]),
                f32s(&[1, 2, 1], &[2.0, 4.0]),
                f32s(&[1, 2, 1], &[1.0, 0.5]),
            ],
        ),
        case(
            23,
            "RMSNormalization",
            no_epsilon(),
            vec![("x", f32s(&[1, 2], &[3.0, 3.0])), two("s", 1.0, 2.0)],
            vec![f32s(&[1, 2], &[1.0, 2.0])],
        ),
        case(13, "MeanVarianceNormalization", vec![ints("axes", &[2])], vec![x()], y(&[-1.0, 1.0, -1.0, 1.0])),
        case(
            1,
            "LpNormalization",
            vec![int("p", 1)],
            vec![("x", f32s(&[2], &[1.0, 3.0]))],
            vec![f32s(&[2], &[0.25, 0.75])],
        ),
    ];
    check(cases, 9);
}

#[test]
fn resizing() {
    let x = || ("x", f32s(&[1, 1, 1, 2], &[1.0, 3.0]));
    let scales = || ("s", f32s(&[4], &[1.0, 1.0, 1.0, 2.0]));
    let nearest = || vec![f32s(&[1, 1, 1, 4], &[1.0, 1.0, 3.0, 3.0])];
    let none = || ("none", f32s(&[0], &[]));
    let linear = |e: &[f32]| vec![f32s(&[1, 1, 1, 4], e)];
    let sizes = || vec![x(), none(), ("e", f32s(&[0], &[])), ("n", i64s(&[4], &[1, 1, 1, 4]))];
    let cases = vec![
        case(7, "Upsample", vec![floats("scales", &[1.0, 1.0, 1.0, 2.0])], vec![x()], nearest()),
        case(9, "Upsample", vec![text("mode", "linear")], vec![x(), scales()], linear(&[1.0, 2.0, 3.0, 3.0])),
        case(10, "Resize", vec![], vec![x(), scales()], nearest()),
        case(11, "Resize", vec![text("mode", "linear")], vec![x(), none(), scales()], linear(&[1.0, 1.5, 2.5, 3.0])),
        case(
            13,
            "Resize",
            vec![text("mode", "linear"), text("coordinate_transformation_mode", "align_corners")],
            sizes(),
            linear(&[1.0, 5.0 / 3.0, 7.0 / 3.0, 3.0]),
        ),
        case(18, "Resize", vec![ints("axes", &[3])], vec![x(), none(), ("s", f32s(&[1], &[2.0]))], nearest()),
        case(
            18,
            "Resize",
            vec![ints("axes", &[2, 3]), text("keep_aspect_ratio_policy", "not_larger")],
            vec![x(), none(), ("e", f32s(&[0], &[])), ("n", i64s(&[2], &[1, 4]))],
            vec![f32s(&[1, 1, 1, 2], &[1.0, 3.0])],
        ),
    ];
    check(cases, 7);
}

#[test]
fn conversions_and_masks() {
    let bools = |e: &[bool]| Tensor::from_bools(&[e.len()], e).unwrap();
    let x = || ("x", f32s(&[3], &[-2.0, 0.25, 2.0]));
    let infinite = || ("x", f32s(&[3], &[f32::NEG_INFINITY, 0.0, f32::INFINITY]));
    let cases = vec![
        case(1, "Cast", vec![text("to", "INT64")], vec![x()], vec![i64s(&[3], &[-2, 0, 2])]),
        case(13, "Cast", vec![int("to", 7)], vec![x()], vec![i64s(&[3], &[-2, 0, 2])]),
        case(15, "CastLike", vec![], vec![x(), ("like", i64s(&[0], &[]))], vec![i64s(&[3], &[-2, 0, 2])]),
        case(12, "Dropout", vec![], vec![x()], vec![f32s(&[3], &[-2.0, 0.25, 2.0]), bools(&[true; 3])]),
        case(7, "Dropout", vec![], vec![x()], vec![f32s(&[3], &[-2.0, 0.25, 2.0])]),
        case(
            9,
            "Shrink",
            vec![float("lambd", 1.0), float("bias", 0.5)],
            vec![x()],
            vec![f32s(&[3], &[-1.5, 0.0, 1.5])],
        ),
        case(10, "IsInf", vec![], vec![infinite()], vec![bools(&[true, false, true])]),
        case(10, "IsInf", vec![int("detect_negative", 0)], vec![infinite()], vec![bools(&[false, false, true])]),
        case(15, "Shape", vec![int("start", -1)], vec![("x", ramp(&[2, 3]))], vec![i64s(&[1], &[3])]),
        case(1, "Size", vec![], vec![("x", ramp(&[2, 3]))], vec![i64s(&[], &[6])]),
        case(1, "Flatten", vec![int("axis", 2)], vec![("x", ramp(&[1, 2, 3]))], vec![ramp(&[2, 3])]),
        case(
            3,
            "Concat",
            vec![],
            vec![("x", ramp(&[1, 1])), ("y", ramp(&[1, 2]))],
            vec![f32s(&[1, 3], &[0.0, 0.0, 1.0])],
        ),
        case(
            11,
            "DepthToSpace",
            vec![int("blocksize", 2), text("mode", "CRD")],
            vec![("x", ramp(&[1, 4, 1, 1]))],
            vec![ramp(&[1, 1, 2, 2])],
        ),
    ];
    check(cases, 13);
}

/// Sums of two sequences, the second from its end, of which the first batch has two elements and the second all three.
#[test]
fn scan_over_a_batch() {
    let port = |name: &str| brolga_proto::ValueInfoProto { name: name.into(), ..Default::default() };
    let add = |a, b, y| node("Add", &[a, b], &[y], vec![]);
    let body = brolga_proto::GraphProto {
        node: vec![add("state", "a", "sum"), add("sum", "b", "next"), node("Identity", &["next"], &["each"], vec![])],
        input: vec![port("state"), port("a"), port("b")],
        output: vec![port("next"), port("each")],
        ..Default::default()
    };
    let body =
        brolga_proto::AttributeProto { name: "body".into(), r#type: 5, g: Some(Box::new(body)), ..Default::default() };
    let attributes = vec![int("num_scan_inputs", 2), ints("directions", &[0, 1]), body];
    let state = ("state0", f32s(&[2, 1], &[0.0, 100.0]));
    let a = ("a0", f32s(&[2, 3, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    let b = ("b0", f32s(&[2, 3, 1], &[10.0, 20.0, 30.0, 40.0, 50.0, 60.0]));
    let lengths = ("lengths", i64s(&[2], &[2, 3]));
    let cases = vec![
        case(
            8,
            "Scan",
            attributes.clone(),
            vec![lengths, state.clone(), a.clone(), b.clone()],
            vec![f32s(&[2, 1], &[33.0, 265.0]), f32s(&[2, 3, 1], &[21.0, 33.0, 0.0, 164.0, 219.0, 265.0])],
        ),
        case(
            8,
            "Scan",
            attributes,
            vec![("", f32s(&[], &[0.0])), state, a, b],
            vec![f32s(&[2, 1], &[66.0, 265.0]), f32s(&[2, 3, 1], &[31.0, 53.0, 66.0, 164.0, 219.0, 265.0])],
        ),
    ];
    check(cases, 2);
}

/// A begin before the first element of a slice that runs backwards is the first element.
#[test]
fn slices_from_before_the_first_element() {
    let operands = vec![
        ("x", ramp(&[3])),
        ("starts", i64s(&[1], &[-9])),
        ("ends", i64s(&[1], &[-20])),
        ("axes", i64s(&[1], &[0])),
        ("steps", i64s(&[1], &[-1])),
    ];
    check(vec![case(13, "Slice", vec![], operands, vec![f32s(&[1], &[0.0])])], 1);
}

/// What is left of a cropped dimension is what repeats.
#[test]
fn padding_that_crops_and_wraps() {
    let operands = vec![("x", ramp(&[4])), ("pads", i64s(&[2], &[-1, 3]))];
    let want = vec![f32s(&[6], &[1.0, 2.0, 3.0, 1.0, 2.0, 3.0])];
    check(vec![case(19, "Pad", vec![text("mode", "wrap")], operands, want)], 1);
}
