//! The text form of every operation, constants, hostile names; and texts that are no graphs.

use super::{GraphWeights, NoWeights, parse};
use crate::ir::eval::evaluate;
use crate::ir::verify::verify;
use crate::ir::*;
use brolga_runtime::{DType, Tensor};
use bytes::Bytes;
use std::sync::Arc;

fn window(n: usize) -> Window {
    Window {
        kernel: vec![2; n],
        stride: vec![2; n],
        dilation: vec![1; n],
        pad_begin: vec![1; n],
        pad_end: vec![0; n],
        auto_pad: AutoPad::Explicit,
    }
}
fn known(list: &[i64]) -> Ints {
    Ints::Known(list.iter().map(|n| Dim::Const(*n)).collect())
}
fn fused() -> Expression {
    let steps = vec![
        Step::Binary(BinaryOp::Add, Arg::Input(0), Arg::Const(0.1)),
        Step::Unary(UnaryOp::Clip { lo: f32::NEG_INFINITY, hi: 6.0 }, Arg::Step(0)),
        Step::Binary(BinaryOp::Min, Arg::Const(1e-20), Arg::Step(1)),
    ];
    Expression { steps }
}
fn resize(mode: ResizeMode, coordinates: Coordinates) -> Op {
    let roi = Some((vec![0.0; 4], vec![1.0; 4]));
    let scales = Some(vec![1.0, 1.0, 2.0, 1.5]);
    Op::Resize(ResizeAttrs {
        mode,
        coordinates,
        sizes: known(&[1, 4, 8, 6]),
        scales,
        roi,
        antialias: true,
        exclude_outside: true,
    })
}

/// Products, windows and normalisations: operation, f32 operands, results.
fn heavy() -> Vec<(Op, Vec<Vec<usize>>, usize)> {
    let x = || vec![1, 4, 4, 4];
    let c = || vec![4];
    let pool = |kind, ceil| Op::Pool { kind, window: window(2), ceil, column_major: false };
    vec![
        (
            Op::Conv { window: window(2), group: 2, bias: true, epilogue: fused() },
            vec![x(), vec![6, 2, 2, 2], vec![6]],
            1,
        ),
        (
            Op::ConvTranspose {
                window: Window { auto_pad: AutoPad::SameLower, ..window(2) },
                output_pad: vec![1, 0],
                group: 1,
                bias: false,
                epilogue: Expression::default(),
            },
            vec![x(), vec![4, 3, 2, 2]],
            1,
        ),
        (
            Op::MatMul { trans_a: true, trans_b: false, bias: true, epilogue: fused() },
            vec![x(), vec![4, 3], vec![3]],
            1,
        ),
        (pool(PoolKind::Max, true), vec![x()], 2),
        (pool(PoolKind::Average { count_pad: true }, false), vec![x()], 1),
        (pool(PoolKind::Lp { p: 3 }, false), vec![x()], 1),
        (Op::BatchNorm { epsilon: 1e-5 }, vec![x(), c(), c(), c(), c()], 1),
        (Op::InstanceNorm { epsilon: 1e-5 }, vec![x(), c(), c()], 1),
        (Op::LayerNorm { axis: 3, epsilon: 1e-5, bias: true }, vec![x(), c(), c()], 1),
        (Op::GroupNorm { groups: 2, epsilon: 1e-5 }, vec![x(), c(), c()], 1),
        (Op::Lrn { size: 5, alpha: 1e-4, beta: 0.75, bias: 1.0 }, vec![x()], 1),
        (Op::LpNorm { axis: 1, p: 2 }, vec![x()], 1),
        (Op::Softmax { axis: 1, log: true }, vec![x()], 1),
        (Op::ArgReduce { min: true, axis: 1, keep: true, last: true }, vec![x()], 1),
        (Op::CumSum { axis: 1, exclusive: true, reverse: true }, vec![x()], 1),
        (Op::TopK { axis: 1, k: known(&[2]), largest: true, sorted: true }, vec![x()], 2),
        (Op::Trilu { upper: true, k: -1 }, vec![x()], 1),
        (Op::Elementwise(fused()), vec![x()], 1),
    ]
}

/// Data movement and resizing.
fn light() -> Vec<(Op, Vec<Vec<usize>>, usize)> {
    let x = || vec![1, 4, 4, 4];
    let pad = |mode| Op::Pad { mode, pads: known(&[0, 0, 1, 1, 0, 0, 1, -1]) };
    let cubic = ResizeMode::Cubic { a: -0.75 };
    vec![
        (Op::Cast(DType::I64), vec![x()], 1),
        (Op::Requantize { to: DType::U8, expression: fused() }, vec![x()], 1),
        (
            Op::Quantize { to: DType::I8, axis: 1, block: 0, precision: DType::F16, saturate: true },
            vec![x(), vec![4]],
            1,
        ),
        (Op::CastNarrow { to: DType::F8E5M2, saturate: false, rounding: PowerRounding::Down }, vec![x()], 1),
        (Op::CastNarrow { to: DType::F8E8M0, saturate: true, rounding: PowerRounding::Up }, vec![x()], 1),
        (Op::Concat { axis: 1 }, vec![x(), x()], 1),
        (
            Op::Slice { axes: vec![1, 2], starts: known(&[3, 0]), ends: known(&[-9, 2]), steps: vec![-2, 1] },
            vec![x()],
            1,
        ),
        (pad(PadMode::Constant(f64::NEG_INFINITY)), vec![x()], 1),
        (pad(PadMode::Edge), vec![x()], 1),
        (pad(PadMode::Reflect), vec![x()], 1),
        (pad(PadMode::Wrap), vec![x()], 1),
        (Op::Reshape { shape: known(&[-1, 8]), allow_zero: true }, vec![x()], 1),
        (Op::Transpose { perm: vec![0, 2, 3, 1] }, vec![x()], 1),
        (Op::Expand { shape: known(&[2, 1, 1, 1]) }, vec![x()], 1),
        (Op::Tile { repeats: known(&[1, 2, 1, 1]) }, vec![x()], 1),
        (resize(ResizeMode::Nearest(Nearest::RoundPreferCeil), Coordinates::Asymmetric), vec![x()], 1),
        (resize(ResizeMode::Linear, Coordinates::TfCropAndResize { extrapolation: 0.5 }), vec![x()], 1),
        (resize(cubic, Coordinates::HalfPixelSymmetric), vec![x()], 1),
        (Op::DepthToSpace { block: 2, crd: true }, vec![x()], 1),
        (Op::SpaceToDepth { block: 2 }, vec![x()], 1),
        (Op::Shape { begin: 1, end: 3 }, vec![x()], 1),
        (Op::ConstantOfShape { shape: known(&[2]), dtype: DType::F16, value: 0.1 }, vec![], 1),
    ]
}

/// Prints, parses, prints; checks that the parsed graph verifies; returns it.
fn round_trip(graph: &Graph) -> Graph {
    verify(graph).unwrap_or_else(|e| panic!("{e}"));
    let text = graph.to_text();
    let parsed = parse(&text, &GraphWeights::of(graph)).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(parsed.to_text(), text);
    verify(&parsed).unwrap_or_else(|e| panic!("{e}"));
    for (id, value) in graph.values() {
        assert_eq!(parsed.value(id).content, value.content, "content of {id}\n{text}");
    }
    let ops = |g: &Graph| g.topological().into_iter().map(|n| g.node(n).op.clone()).collect::<Vec<_>>();
    assert_eq!(ops(&parsed), ops(graph), "{text}");
    parsed
}

#[test]
fn operations_on_bytes() {
    let none = Expression::default;
    let (window, group) = (window(2), 2);
    let (u8, i8) = (DType::U8, DType::I8);
    let image = vec![(u8, vec![1, 4, 4, 4]), (i8, vec![6, 2, 2, 2]), (u8, vec![]), (i8, vec![6])];
    let rows = vec![(u8, vec![3, 8]), (i8, vec![5, 8]), (u8, vec![]), (i8, vec![])];
    let with = |list: &[(DType, Vec<usize>)], more: &[(DType, Vec<usize>)]| [list, more].concat();
    let (sums, f32) = (DType::I32, DType::F32);
    let conv = |bias, to, epilogue| Op::ConvInteger { window: window.clone(), group, bias, to, epilogue };
    let cases = [
        (conv(false, sums, none()), image.clone()),
        (conv(true, i8, fused()), with(&image, &[(sums, vec![6])])),
        (Op::MatMulInteger { trans_b: true, bias: true, to: f32, epilogue: fused() }, with(&rows, &[(sums, vec![5])])),
        (Op::Dequantize { to: f32, axis: 1, block: 4 }, vec![(u8, vec![3, 8]), (f32, vec![3, 2]), (u8, vec![3, 2])]),
    ];
    for (op, operands) in &cases {
        let mut graph = Graph::new("t");
        let ids: Vec<ValueId> = operands.iter().map(|(t, s)| graph.add_input("x", Type::known(*t, s))).collect();
        let out = graph.add_node(op.clone(), &ids, 1, "n").unwrap_or_else(|e| panic!("{op:?}: {e}"));
        graph.add_output("y", out[0]);
        round_trip(&graph);
        for wrong in 1..ids.len() {
            let swapped: Vec<ValueId> = (0..ids.len()).map(|i| if i == wrong { ids[0] } else { ids[i] }).collect();
            let refused = graph.add_node(op.clone(), &swapped, 1, "n").is_err();
            assert!(refused || operands[wrong] == operands[0], "{op:?} takes anything as operand {wrong}");
        }
    }
    assert_eq!(cases.len(), 4);
}

#[test]
fn every_operation() {
    let mut count = 0;
    let cases = heavy().into_iter().chain(light());
    let unary = UnaryOp::ALL.iter().filter(|op| **op != UnaryOp::Not).map(|op| (Op::Unary(*op), vec![vec![2, 3]], 1));
    use BinaryOp::{And, Or, ShiftLeft, ShiftRight, Xor};
    let compare = |op: &&BinaryOp| !matches!(op, And | Or | Xor | ShiftLeft | ShiftRight);
    let binary = BinaryOp::ALL.iter().filter(compare).map(|op| (Op::Binary(*op), vec![vec![2, 3], vec![3]], 1));
    let reduce = ReduceKind::ALL
        .iter()
        .map(|kind| (Op::Reduce { kind: *kind, axes: vec![0, 1], keep: true }, vec![vec![2, 3]], 1));
    for (op, shapes, results) in cases.chain(unary).chain(binary).chain(reduce) {
        let mut graph = Graph::new("t");
        let ids: Vec<ValueId> = shapes.iter().map(|s| graph.add_input("x", Type::known(DType::F32, s))).collect();
        let out = graph.add_node(op.clone(), &ids, results, "n").unwrap_or_else(|e| panic!("{op:?}: {e}"));
        out.iter().for_each(|id| graph.add_output("y", *id));
        round_trip(&graph);
        count += 1;
    }
    assert_eq!(count, 18 + 18 + 44 + 15 + 10);
}

#[test]
fn operations_on_integers_and_bools() {
    let mut g = Graph::new("t");
    let b = g.add_input("b", Type::known(DType::Bool, &[3, 2]));
    let x = g.add_input("x", Type::known(DType::I64, &[3, 2]));
    let i = g.add_weight("i", Weight::from_tensor(&Tensor::from_slice(&[1, 2], &[0i64, -1]).unwrap()));
    let one = |g: &mut Graph, op: Op, inputs: &[ValueId]| {
        let id = g.add_node(op, inputs, 1, "").unwrap()[0];
        g.add_output("y", id);
        id
    };
    one(&mut g, Op::Unary(UnaryOp::Not), &[b]);
    for op in [BinaryOp::And, BinaryOp::Or, BinaryOp::Xor] {
        one(&mut g, Op::Binary(op), &[b, b]);
    }
    one(&mut g, Op::Where, &[b, x, x]);
    one(&mut g, Op::Gather { axis: 1 }, &[x, i]);
    one(&mut g, Op::GatherElements { axis: 0 }, &[x, i]);
    let nd = one(&mut g, Op::GatherNd { batch: 0 }, &[x, i]);
    for reduction in ScatterKind::ALL {
        one(&mut g, Op::ScatterNd { reduction: *reduction }, &[x, i, nd]);
        one(&mut g, Op::ScatterElements { axis: 0, reduction: *reduction }, &[x, i, i]);
    }
    let three = g.add_weight("3", Weight::from_tensor(&Tensor::scalar(3i64)));
    let values = g.add_weight("v", Weight::from_tensor(&Tensor::from_slice(&[2], &[0f32, f32::NAN]).unwrap()));
    one(&mut g, Op::OneHot { axis: 2 }, &[x, three, values]);
    one(&mut g, Op::Range, &[three, three, three]);
    let parsed = round_trip(&g);
    let inputs = [
        Tensor::from_bools(&[3, 2], &[true, false, true, true, false, false]).unwrap(),
        Tensor::from_slice(&[3, 2], &[1i64, 2, 0, -1, 2, 1]).unwrap(),
    ];
    let (a, b) = (evaluate(&g, &inputs).unwrap(), evaluate(&parsed, &inputs).unwrap());
    assert_eq!(a.len(), 20);
    assert!(a.iter().zip(&b).all(|(a, b)| a.bytes() == b.bytes() && a.shape() == b.shape()));
}

#[test]
fn weights_keep_their_expressions() {
    let mut g = Graph::new("weights");
    let data: Vec<f32> = (0..24).map(|i| i as f32 / 3.0).collect();
    let bytes = Bytes::copy_from_slice(bytemuck::cast_slice(&data));
    let mut w = Weight::from_bytes(DType::F32, vec![2, 3, 4], bytes);
    w.perm = vec![2, 0, 1];
    w.reshape = Some(vec![4, 6]);
    w.scales.push(Arc::new(AxisScale { axis: 0, scale: vec![1.0, 0.1, 2.5, -1e300] }));
    w.scales.push(Arc::new(AxisScale { axis: 1, scale: vec![0.5; 6] }));
    let w = g.add_weight("w", w);
    let mut half = [0; 8];
    half[..2].copy_from_slice(&0x3c01u16.to_le_bytes());
    let s = g.add_weight("s", Weight::splat(DType::F16, vec![1 << 20], half));
    let mut long = Weight::from_tensor(&Tensor::from_slice(&[9], &[0.1f32; 9]).unwrap());
    long.scales.push(Arc::new(AxisScale { axis: 0, scale: (0..9).map(|i| f64::from(i) / 7.0).collect() }));
    let l = g.add_weight("l", long);
    for id in [w, s, l] {
        g.add_output("y", id);
    }
    let parsed = round_trip(&g);
    let (a, b) = (evaluate(&g, &[]).unwrap(), evaluate(&parsed, &[]).unwrap());
    assert!(a.iter().zip(&b).all(|(a, b)| a.bytes() == b.bytes() && a.shape() == b.shape()));
    let error = parse(&g.to_text(), &NoWeights).unwrap_err();
    assert!(error.to_string().contains("\"w\" are not at hand"), "{error}");
}

#[test]
fn names_are_quoted_and_symbols_kept() {
    let mut g = Graph::new("a \"b\" \\ \n\u{1b}[31m}");
    let n = Dim::symbol("batch size; % {").add(&Dim::Const(1));
    let shape = vec![n.clone(), Dim::symbol("h").div(&Dim::Const(2)).rem(&Dim::symbol("w")), n.smaller(&Dim::Const(7))];
    let x = g.add_input("in \u{202e}put", Type::new(DType::F32, shape.clone()));
    let seven = Dim::Const(7).larger(&Dim::symbol("h"));
    let op =
        Op::Reshape { shape: Ints::Known(vec![Dim::symbol("k"), Dim::Const(-1), seven.clone(), n]), allow_zero: false };
    let y = g.add_node(op, &[x], 1, "node\u{7}\r\n; \"x\"").unwrap()[0];
    g.add_output("out", y);
    let parsed = round_trip(&g);
    assert_eq!(parsed.ty(x).shape, shape);
    assert_eq!(parsed.ty(y).shape[2], seven);
    assert_eq!(parsed.node(parsed.topological()[0]).name, "node\u{7}\r\n; \"x\"");
    assert!(g.to_text().chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn layouts_and_phases() {
    let text = "graph \"t\" (%3 \"x\": f32[1, 3, 8, 8]) -> (%9 \"y\") phase laid-out {\n  \
        %4 = reorder %3 {lanes = 16, halo = [1, 1, 1, 1]}: f32[1, 3, 8, 8] nchw16c halo 1 1 1 1\n  \
        %2 = relu %4: f32[1, 3, 8, 8] nchw16c ; \"r\"\n  \
        %9 = reorder %2 {lanes = 0}: f32[1, 3, 8, 8] ; \"back\"\n}\n";
    let graph = parse(text, &NoWeights).unwrap();
    assert_eq!(graph.to_text(), text);
    round_trip(&graph);
    assert_eq!(graph.next_value(), 10);
}

#[test]
fn texts_that_are_no_graphs() {
    let with = |line: &str| format!("graph \"t\" (%0 \"x\": f32[2]) -> (%1 \"y\") phase imported {{\n  {line}\n}}\n");
    let cases = [
        (String::new(), "line 1: expected graph"),
        (with("%1 = frobnicate %0: f32[2]"), "line 2: frobnicate: there is no operation"),
        (with("%1 = relu %7: f32[2]"), "%7 is not defined"),
        (with("%0 = relu %0: f32[2]"), "%0 is defined twice"),
        (with("%1 = relu %0 {alpha = 1.0}: f32[2]"), "there is no attribute alpha"),
        (with("%1 = leaky_relu %0: f32[2]"), "there is no operation leaky_relu"),
        (with("%1 = softmax %0 {axis = -1}: f32[2]"), "axis = -1 is not of its kind"),
        (with("%1 = relu %0: q7[2]"), "no element type q7"),
        (with("%1 = relu %0: f32[2], f32[2]"), "1 results, 2 types"),
        (with("%1 = weight \"w\": f32[2] = [1.0]"), "not as many elements"),
        (with("%1 = weight \"w\": u8[1] = [256]"), "expected an element of type u8"),
        (with("%1 = weight \"w\": f32[2] = splat x"), "expected an element"),
        (with("%1 = weight \"w\": f32[2] = splat 1.0 perm [1]"), "no permutation"),
        (with(&format!("%1 = relu %0: f32[{}2]", "(".repeat(100_000))), "nested too deep"),
        (with("%1 = relu %0: f32[2] \u{1b}"), "has no meaning"),
        (with("%1 = relu %0: f32[2] ; \"open"), "does not end"),
        (with("%4294967295 = relu %0: f32[2]"), "too large"),
    ];
    for (text, wanted) in &cases {
        let error = parse(text, &NoWeights).expect_err(wanted).to_string();
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    assert_eq!(cases.len(), 17);
}
