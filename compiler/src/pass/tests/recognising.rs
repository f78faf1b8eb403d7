//! recognise-activations, recognise-norms, simplify-arithmetic.

use super::support::*;
use crate::ir::*;
use crate::pass::Pass;
use crate::pass::drop_dead::DropDead;
use crate::pass::recognise_activations::RecogniseActivations;
use crate::pass::recognise_norms::RecogniseNorms;
use crate::pass::simplify_arithmetic::SimplifyArithmetic;
use insta::assert_snapshot;

const RECOGNISE: &[&dyn Pass] = &[&SimplifyArithmetic, &RecogniseActivations, &RecogniseActivations, &DropDead];

/// The only operation left after recognising what `write` makes of an input.
fn recognised(write: impl Fn(&mut Net, ValueId) -> ValueId) -> UnaryOp {
    let mut net = Net::new();
    let x = net.input("x", &[2, 3, 4]);
    let y = write(&mut net, x);
    let graph = net.outputs(&[y]);
    let outcome = run(&graph, RECOGNISE);
    assert_same(&graph, &outcome.graph);
    let nodes: Vec<&Node> = outcome.graph.nodes().collect();
    match nodes[..] {
        [Node { op: Op::Unary(op), .. }] => *op,
        _ => panic!("left:\n{}", show(&outcome.graph)),
    }
}

use BinaryOp::{Add, Div, Max, Min, Mul, Pow};

#[test]
fn silu_and_mish() {
    let silu = |alpha: f32| {
        recognised(move |net, x| {
            let alpha = net.number(alpha);
            let inner = net.binary(Mul, x, alpha);
            let gate = net.unary(UnaryOp::Sigmoid, inner);
            net.binary(Mul, gate, x)
        })
    };
    assert_eq!(silu(1.702), UnaryOp::Silu { alpha: 1.702 });
    let plain = recognised(|net, x| {
        let gate = net.unary(UnaryOp::Sigmoid, x);
        net.binary(Mul, x, gate)
    });
    assert_eq!(plain, UnaryOp::Silu { alpha: 1.0 });
    let mish = recognised(|net, x| {
        let e = net.unary(UnaryOp::Exp, x);
        let one = net.number(1.0);
        let e = net.binary(Add, e, one);
        let soft = net.unary(UnaryOp::Log, e);
        let gate = net.unary(UnaryOp::Tanh, soft);
        net.binary(Mul, x, gate)
    });
    assert_eq!(mish, UnaryOp::Mish);
}

#[test]
fn hard_swish_in_its_usual_forms() {
    let clipped = |net: &mut Net, x: ValueId| {
        let (three, zero, six) = (net.number(3.0), net.number(0.0), net.number(6.0));
        let y = net.binary(Add, x, three);
        let y = net.binary(Max, y, zero);
        net.binary(Min, y, six)
    };
    let product_first = recognised(|net, x| {
        let gate = clipped(net, x);
        let y = net.binary(Mul, x, gate);
        let six = net.number(6.0);
        net.binary(Div, y, six)
    });
    let quotient_first = recognised(|net, x| {
        let gate = clipped(net, x);
        let six = net.number(6.0);
        let gate = net.binary(Div, gate, six);
        net.binary(Mul, gate, x)
    });
    let hard_sigmoid = recognised(|net, x| {
        let gate = net.unary(UnaryOp::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }, x);
        net.binary(Mul, x, gate)
    });
    assert_eq!([product_first, quotient_first, hard_sigmoid], [UnaryOp::HardSwish; 3]);
}

#[test]
fn gelu_in_its_usual_orders() {
    let erf = |net: &mut Net, x: ValueId, divide: bool| {
        let root = net.number(if divide { 2f32.sqrt() } else { 0.5f32.sqrt() });
        let y = net.binary(if divide { Div } else { Mul }, x, root);
        let y = net.unary(UnaryOp::Erf, y);
        let one = net.number(1.0);
        net.binary(Add, y, one)
    };
    let orders: [fn(&mut Net, ValueId, ValueId) -> ValueId; 3] = [
        |net, x, gate| {
            let half = net.number(0.5);
            let y = net.binary(Mul, x, gate);
            net.binary(Mul, y, half)
        },
        |net, x, gate| {
            let half = net.number(0.5);
            let y = net.binary(Mul, half, x);
            net.binary(Mul, y, gate)
        },
        |net, x, gate| {
            let half = net.number(0.5);
            let y = net.binary(Mul, gate, half);
            net.binary(Mul, x, y)
        },
    ];
    for order in orders {
        for divide in [false, true] {
            let found = recognised(|net, x| {
                let gate = erf(net, x, divide);
                order(net, x, gate)
            });
            assert_eq!(found, UnaryOp::Gelu);
        }
    }
}

#[test]
fn gelu_with_tanh() {
    for power in [false, true] {
        let found = recognised(|net, x| {
            let cube = if power {
                let three = net.number(3.0);
                net.binary(Pow, x, three)
            } else {
                let square = net.binary(Mul, x, x);
                net.binary(Mul, square, x)
            };
            let (c, root, one, half) = (
                net.number(0.044715),
                net.number((2.0 / std::f32::consts::PI).sqrt()),
                net.number(1.0),
                net.number(0.5),
            );
            let y = net.binary(Mul, c, cube);
            let y = net.binary(Add, x, y);
            let y = net.binary(Mul, root, y);
            let y = net.unary(UnaryOp::Tanh, y);
            let y = net.binary(Add, one, y);
            let y = net.binary(Mul, x, y);
            net.binary(Mul, half, y)
        });
        assert_eq!(found, UnaryOp::GeluTanh);
    }
}

#[test]
fn sigmoid_and_leaky_relu_from_arithmetic() {
    let sigmoid = recognised(|net, x| {
        let y = net.unary(UnaryOp::Neg, x);
        let y = net.unary(UnaryOp::Exp, y);
        let one = net.number(1.0);
        let y = net.binary(Add, one, y);
        net.binary(Div, one, y)
    });
    assert_eq!(sigmoid, UnaryOp::Sigmoid);
    let leaky = recognised(|net, x| {
        let c = net.number(0.125);
        let y = net.binary(Mul, x, c);
        net.binary(Max, x, y)
    });
    assert_eq!(leaky, UnaryOp::LeakyRelu { alpha: 0.125 });
}

#[test]
fn gate_with_another_reader_stays() {
    let mut net = Net::new();
    let x = net.input("x", &[2, 3]);
    let gate = net.unary(UnaryOp::Sigmoid, x);
    let y = net.binary(Mul, x, gate);
    assert_snapshot!(report(&net.outputs(&[y, gate]), &[&RecogniseActivations]));
}

#[test]
fn other_products_are_no_activation() {
    let mut net = Net::new();
    let x = net.input("x", &[2, 3]);
    let z = net.input("z", &[2, 3]);
    let gate = net.unary(UnaryOp::Sigmoid, x);
    let y = net.binary(Mul, z, gate);
    assert_eq!(ops(&run(&net.outputs(&[y]), RECOGNISE).graph), ["Unary", "Binary"]);
}

#[test]
fn arithmetic_with_numbers_gets_simpler() {
    let mut net = Net::new();
    let x = net.input("x", &[2, 3]);
    let numbers: Vec<ValueId> = [0.0, 6.0, 2.0, 0.5, 4.0, 0.25].iter().map(|n| net.number(*n)).collect();
    let relu = net.binary(Max, numbers[0], x);
    let relu6 = net.binary(Min, relu, numbers[1]);
    let square = net.binary(Pow, x, numbers[2]);
    let root = net.binary(Pow, square, numbers[3]);
    let quarter = net.binary(Div, root, numbers[4]);
    let leaky = net.binary(BinaryOp::PRelu, x, numbers[5]);
    assert_snapshot!(report(&net.outputs(&[relu6, quarter, leaky]), &[&SimplifyArithmetic]));
}

/// The arithmetic of a layer normalisation over `axes`.
fn written_norm(net: &mut Net, x: ValueId, axes: &[usize]) -> ValueId {
    let mean_op = Op::Reduce { kind: ReduceKind::Mean, axes: axes.to_vec(), keep: true };
    let mean = net.op(mean_op.clone(), &[x]);
    let centred = net.binary(BinaryOp::Sub, x, mean);
    let two = net.number(2.0);
    let square = net.binary(Pow, centred, two);
    let variance = net.op(mean_op, &[square]);
    let epsilon = net.number(1e-5);
    let sum = net.binary(Add, variance, epsilon);
    let root = net.unary(UnaryOp::Sqrt, sum);
    net.binary(Div, centred, root)
}

#[test]
fn layer_norm_from_arithmetic() {
    let mut net = Net::new();
    let x = net.input("x", &[2, 3, 8]);
    let y = written_norm(&mut net, x, &[2]);
    let (scale, bias) = (net.weight("scale", &[1, 1, 8]), net.weight("bias", &[8]));
    let y = net.binary(Mul, y, scale);
    let y = net.binary(Add, y, bias);
    let image = net.input("image", &[2, 3, 4, 5]);
    let z = written_norm(&mut net, image, &[2, 3]);
    assert_snapshot!(report(&net.outputs(&[y, z]), &[&RecogniseNorms, &DropDead]));
}

#[test]
fn norm_over_inner_dimensions_stays() {
    let mut net = Net::new();
    let x = net.input("x", &[2, 3, 4, 5]);
    let y = written_norm(&mut net, x, &[1]);
    let outcome = run(&net.outputs(&[y]), &[&RecogniseNorms]);
    assert_eq!(outcome.log[0].refused[0].why, "the normalised dimensions are not the last ones");
}

/// `41 * (1 / 41)` is not 1, and rounded down it is 0.
#[test]
fn quotients_are_products_where_nothing_is_rounded() {
    for (c, stays) in [(41.0, true), (-0.25, false)] {
        let mut net = Net::new();
        let (x, c_value) = (net.input("x", &[1, 100]), net.number(c));
        let quotient = net.binary(Div, x, c_value);
        let y = net.unary(UnaryOp::Floor, quotient);
        let graph = net.outputs(&[y]);
        let after = run(&graph, &[&SimplifyArithmetic]).graph;
        assert_eq!(ops(&after), ["Binary", "Unary"]);
        assert_eq!(show(&after).contains("div"), stays, "{}", show(&after));
        let whole: Vec<f32> = (0..100).map(|i| i as f32 * c).collect();
        let got = eval::evaluate(&after, &[brolga_runtime::Tensor::from_slice(&[1, 100], &whole).unwrap()]).unwrap();
        let wanted: Vec<f32> = (0..100).map(|i| i as f32).collect();
        assert_eq!(got[0].as_slice::<f32>().unwrap(), wanted);
    }
}
