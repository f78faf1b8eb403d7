//! The evaluator on small cases.

mod cases;
mod resizes;

use super::{EvalError, evaluate, evaluate_with};
use crate::ir::*;
use brolga_runtime::{DType, Tensor};

/// One operation on filled inputs.
struct Case {
    name: &'static str,
    op: Op,
    shapes: Vec<Vec<usize>>,
    /// Inputs of which the absolute values are taken.
    absolute: Vec<usize>,
    shape: Vec<usize>,
    wanted: Vec<f32>,
    /// Wanted second result; empty when there is none.
    positions: Vec<i64>,
}

fn known(list: &[i64]) -> Ints {
    Ints::Known(list.iter().map(|n| Dim::Const(*n)).collect())
}

fn window(
    kernel: &[usize],
    stride: &[usize],
    dilation: &[usize],
    pad_begin: &[i64],
    pad_end: &[i64],
    auto_pad: AutoPad,
) -> Window {
    let (kernel, stride, dilation) = (kernel.to_vec(), stride.to_vec(), dilation.to_vec());
    Window { kernel, stride, dilation, pad_begin: pad_begin.to_vec(), pad_end: pad_end.to_vec(), auto_pad }
}

fn fill(shape: &[usize], seed: usize) -> Tensor {
    let count = shape.iter().product();
    let elements: Vec<f32> = (0..count).map(|i: usize| (((i * 7 + 3 * seed) % 11) as f32 - 5.0) / 4.0).collect();
    Tensor::from_slice(shape, &elements).unwrap()
}

#[test]
fn operations_agree_with_onnxruntime() {
    let mut count = 0;
    for case in cases::cases().into_iter().chain(resizes::cases()) {
        let mut graph = Graph::new("t");
        let mut inputs = Vec::new();
        for (i, shape) in case.shapes.iter().enumerate() {
            let mut tensor = fill(shape, i + 1);
            if case.absolute.contains(&i) {
                tensor.as_mut_slice::<f32>().unwrap().iter_mut().for_each(|x| *x = x.abs());
            }
            graph.add_input(format!("x{i}"), Type::known(DType::F32, shape));
            inputs.push(tensor);
        }
        let ids = graph.inputs().to_vec();
        let results = if case.positions.is_empty() { 1 } else { 2 };
        let outputs = graph.add_node(case.op, &ids, results, case.name).unwrap();
        outputs.iter().for_each(|id| graph.add_output("y", *id));
        let found = evaluate(&graph, &inputs).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert_eq!(found[0].shape(), case.shape, "{}", case.name);
        for (i, (a, b)) in found[0].as_slice::<f32>().unwrap().iter().zip(&case.wanted).enumerate() {
            assert!((a - b).abs() <= 2e-6 * b.abs().max(1.0), "{} element {i}: {a} not {b}", case.name);
        }
        if results == 2 {
            assert_eq!(found[1].as_slice::<i64>().unwrap(), case.positions, "{}", case.name);
        }
        count += 1;
    }
    assert_eq!(count, 33);
}

#[test]
fn functions() {
    let cases: &[(UnaryOp, f32, f32)] = &[
        (UnaryOp::Round, 2.5, 2.0),
        (UnaryOp::Sign, -0.5, -1.0),
        (UnaryOp::Sigmoid, 0.0, 0.5),
        (UnaryOp::Softplus, 100.0, 100.0),
        (UnaryOp::HardSigmoid { alpha: 0.2, beta: 0.5 }, 1.0, 0.7),
        (UnaryOp::HardSwish, 1.0, 0.666_666_7),
        (UnaryOp::Silu { alpha: 1.0 }, 1.0, 0.731_058_6),
        (UnaryOp::Gelu, 1.0, 0.841_344_7),
        (UnaryOp::GeluTanh, 1.0, 0.841_192),
        (UnaryOp::Mish, 1.0, 0.865_098_4),
        (UnaryOp::LeakyRelu { alpha: 0.1 }, -2.0, -0.2),
        (UnaryOp::Elu { alpha: 2.0 }, -1.0, -1.264_241_1),
        (UnaryOp::Celu { alpha: 2.0 }, -1.0, -0.786_938_7),
        (UnaryOp::Selu { alpha: 1.673_263_2, gamma: 1.050_701 }, -1.0, -1.111_330_7),
        (UnaryOp::ThresholdedRelu { alpha: 1.0 }, 1.0, 0.0),
        (UnaryOp::Clip { lo: 0.0, hi: 6.0 }, 7.0, 6.0),
    ];
    for (op, x, wanted) in cases {
        let found = op.float(f64::from(*x)) as f32;
        assert!((found - wanted).abs() < 1e-6, "{op:?} of {x} is {found}, not {wanted}");
    }
}

/// A convolution with a bias, a residual operand and a clip, in one node and in several.
#[test]
fn epilogues_are_what_they_fuse() {
    let window = window(&[3, 3], &[1, 1], &[1, 1], &[1, 1], &[1, 1], AutoPad::Explicit);
    let clip = UnaryOp::Clip { lo: -0.5, hi: 1.5 };
    let fused = Expression {
        steps: vec![Step::Binary(BinaryOp::Add, Arg::Input(0), Arg::Input(1)), Step::Unary(clip, Arg::Step(0))],
    };
    let shapes: [&[usize]; 4] = [&[1, 2, 4, 4], &[3, 2, 3, 3], &[3], &[3, 1, 1]];
    let inputs: Vec<Tensor> = shapes.iter().enumerate().map(|(i, s)| fill(s, i)).collect();
    let mut one = Graph::new("one");
    let ids: Vec<ValueId> = shapes.iter().map(|s| one.add_input("x", Type::known(DType::F32, s))).collect();
    let mut many = one.clone();
    let op = |epilogue| Op::Conv { window: window.clone(), group: 1, bias: true, epilogue };
    let y = one.add_node(op(fused), &ids, 1, "conv").unwrap()[0];
    one.add_output("y", y);
    let y = many.add_node(op(Expression::default()), &ids[..3], 1, "conv").unwrap()[0];
    let y = many.add_node(Op::Binary(BinaryOp::Add), &[y, ids[3]], 1, "add").unwrap()[0];
    let y = many.add_node(Op::Unary(clip), &[y], 1, "clip").unwrap()[0];
    many.add_output("y", y);
    let (a, b) = (evaluate(&one, &inputs).unwrap(), evaluate(&many, &inputs).unwrap());
    assert_eq!(a[0].bytes(), b[0].bytes());
}

#[test]
fn symbols_come_from_the_inputs() {
    let mut graph = Graph::new("t");
    let x = graph.add_input("x", Type::new(DType::F32, vec![Dim::symbol("n"), Dim::Const(2)]));
    let w = graph.add_weight(
        "w",
        Weight::splat(DType::F32, vec![2, 3], {
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&2f32.to_le_bytes());
            bytes
        }),
    );
    let op = Op::MatMul { trans_a: false, trans_b: false, bias: false, epilogue: Expression::default() };
    let y = graph.add_node(op, &[x, w], 1, "mm").unwrap()[0];
    let s = graph.add_node(Op::Shape { begin: 0, end: 2 }, &[y], 1, "shape").unwrap()[0];
    graph.add_output("y", y);
    graph.add_output("s", s);
    graph.add_output("w", w);
    let mut seen = Vec::new();
    let input = Tensor::from_slice(&[2, 2], &[1f32, 2., 3., 4.]).unwrap();
    let found = evaluate_with(&graph, std::slice::from_ref(&input), |node, _| seen.push(node.name.clone())).unwrap();
    assert_eq!(found[0].as_slice::<f32>().unwrap(), [6., 6., 6., 14., 14., 14.]);
    assert_eq!(found[1].as_slice::<i64>().unwrap(), [2, 3]);
    assert_eq!(found[2].shape(), [2, 3]);
    assert_eq!(seen, ["mm", "shape"]);

    assert!(matches!(evaluate(&graph, &[]), Err(EvalError::Count { .. })));
    let wrong = Tensor::zeros(DType::F32, &[2, 3]).unwrap();
    let error = evaluate(&graph, &[wrong]).unwrap_err().to_string();
    assert_eq!(error, "input 'x' takes f32[2, 2], the tensor is f32[2, 3]");
}

#[test]
fn errors_name_the_node() {
    let mut graph = Graph::new("t");
    let x = graph.add_input("x", Type::known(DType::I64, &[2]));
    let y = graph.add_node(Op::Binary(BinaryOp::Div), &[x, x], 1, "halve").unwrap()[0];
    graph.add_output("y", y);
    let zero = Tensor::zeros(DType::I64, &[2]).unwrap();
    assert_eq!(evaluate(&graph, &[zero]).unwrap_err().to_string(), "node 'halve': integer division by zero");
}
