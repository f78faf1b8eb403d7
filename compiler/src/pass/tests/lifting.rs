//! Three dimensions as two.

use super::support::*;
use crate::ir::*;
use crate::pass::lift_3d::Lift3d;

fn window(kernel: [usize; 3], stride: [usize; 3], dilation: [usize; 3], pads: [i64; 6]) -> Window {
    Window {
        kernel: kernel.to_vec(),
        stride: stride.to_vec(),
        dilation: dilation.to_vec(),
        pad_begin: pads[..3].to_vec(),
        pad_end: pads[3..].to_vec(),
        auto_pad: AutoPad::Explicit,
    }
}

/// Lifts the only node of a graph, which has to give the same.
fn lifted(net: Net, y: ValueId) -> Graph {
    let graph = net.outputs(&[y]);
    let after = run(&graph, &[&Lift3d]).graph;
    assert_same(&graph, &after);
    let deep = |n: &Node| matches!(n.op, Op::Conv { .. } | Op::ConvTranspose { .. } | Op::Pool { .. });
    assert!(after.nodes().filter(|n| deep(n)).all(|n| after.ty(n.inputs[0]).rank() == 4), "{}", show(&after));
    after
}

#[test]
fn transposed_convolutions() {
    let cases = [
        (window([3, 3, 3], [1, 1, 1], [1, 1, 1], [0; 6]), [0, 0, 0], 1),
        (window([3, 2, 2], [2, 2, 2], [1, 1, 1], [1, 0, 1, 0, 1, 0]), [1, 0, 1], 1),
        (window([2, 3, 1], [3, 1, 2], [2, 1, 1], [0; 6]), [2, 0, 0], 2),
        (window([1, 2, 2], [2, 2, 2], [1, 1, 1], [0; 6]), [0, 0, 0], 4),
    ];
    for (window, output_pad, group) in cases {
        for bias in [false, true] {
            let mut net = Net::new();
            let x = net.input("x", &[2, 4, 3, 4, 5]);
            let k = &window.kernel;
            let w = net.weight("w", &[4, 3, k[0], k[1], k[2]]);
            let mut operands = vec![x, w];
            if bias {
                operands.push(net.weight("b", &[3 * group]));
            }
            let (window, output_pad) = (window.clone(), output_pad.to_vec());
            let op = Op::ConvTranspose { window, output_pad, group, bias, epilogue: Expression::default() };
            let y = net.op(op, &operands);
            let after = lifted(net, y);
            assert!(ops(&after).contains(&"ConvTranspose".to_owned()));
        }
    }
}

#[test]
fn transposed_convolution_that_keeps_multiples_of_extents() {
    let mut net = Net::new();
    let (x, w) = (net.input("x", &[1, 2, 3, 3, 2]), net.input("w", &[2, 3, 3, 3, 3]));
    let window = Window { auto_pad: AutoPad::SameLower, ..window([3; 3], [2; 3], [1; 3], [0; 6]) };
    let op =
        Op::ConvTranspose { window, output_pad: vec![0; 3], group: 1, bias: false, epilogue: Expression::default() };
    let y = net.op(op, &[x, w]);
    lifted(net, y);
}

#[test]
fn convolutions_and_poolings() {
    for (window, group) in [
        (window([3, 3, 3], [1, 1, 1], [1, 1, 1], [1; 6]), 1),
        (window([2, 1, 3], [2, 1, 1], [1, 2, 1], [0, 0, 1, 1, 0, 2]), 2),
    ] {
        let mut net = Net::new();
        let x = net.input("x", &[2, 4, 5, 4, 6]);
        let k = &window.kernel;
        let (w, b) = (net.weight("w", &[6, 4 / group, k[0], k[1], k[2]]), net.weight("b", &[6]));
        let y = net.op(conv_op(window.clone(), group, true), &[x, w, b]);
        lifted(net, y);
        for kind in [PoolKind::Max, PoolKind::Average { count_pad: true }, PoolKind::Average { count_pad: false }] {
            let mut net = Net::new();
            let x = net.input("x", &[1, 2, 5, 4, 6]);
            let y = net.op(Op::Pool { kind, window: window.clone(), ceil: false, column_major: false }, &[x]);
            lifted(net, y);
        }
    }
}
