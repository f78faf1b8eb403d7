//! Convolutions, transposed convolutions and matrix products, compiled and run on every CPU level of the machine, against the
//! evaluator, over shapes that are awkward on purpose.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use brolga_compiler::codegen::Level;
use brolga_compiler::compile::{CompileOptions, compile};
use brolga_compiler::ir::eval::evaluate;
use brolga_compiler::ir::*;
use brolga_compiler::pass::PassOptions;
use brolga_runtime::{DType, Instance, Pool, RunOptions, Tensor};
use std::sync::Arc;

/// Numbers in [-1, 1) from a multiplicative generator.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn weight(g: &mut Graph, shape: &[usize], seed: u64) -> ValueId {
    let data: Vec<u8> = numbers(shape.iter().product(), seed).iter().flat_map(|x| x.to_le_bytes()).collect();
    g.add_weight(format!("w{seed}"), Weight::from_bytes(DType::F32, shape.to_vec(), data.into()))
}

fn image(g: &mut Graph, name: &str, shape: &[usize]) -> ValueId {
    g.add_input(name, Type::known(DType::F32, shape))
}

/// Compiles for every level present, runs with one and two threads, compares with the evaluator. The kernels that ran, of all levels.
fn check(what: &str, mut g: Graph) -> Vec<String> {
    g.phase = Phase::Optimized;
    let inputs: Vec<Tensor> = g
        .inputs()
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let dims = g.ty(*v).dims().expect("known");
            Tensor::from_slice(&dims, &numbers(dims.iter().product(), 100 + i as u64)).expect("tensor")
        })
        .collect();
    let want = evaluate(&g, &inputs).expect("evaluates");
    let mut kernels = Vec::new();
    for level in Level::ALL.into_iter().filter(|l| l.available()) {
        let options = CompileOptions { level, threads: 1, exact: false, passes: PassOptions::default() };
        let compiled = compile(&g, &options).unwrap_or_else(|e| panic!("{what} on {level}: {e}"));
        let program = Arc::new(compiled.link(1).expect("links").0);
        kernels.extend(program.steps.iter().map(|s| s.kernel.clone()));
        let mut first: Option<Vec<Tensor>> = None;
        for threads in [1, 2] {
            let instance = Instance::new(program.clone(), Pool::shared(threads)).expect("instance");
            let got = instance.run_tensors(&inputs, RunOptions::default()).expect("runs");
            for (want, got) in want.iter().zip(&got) {
                close(&format!("{what} on {level}"), want, got);
            }
            match &first {
                None => first = Some(got),
                Some(first) => {
                    assert!(first.iter().zip(&got).all(|(a, b)| a.bytes() == b.bytes()), "{what}: threads differ")
                }
            }
        }
    }
    kernels
}

fn close(what: &str, want: &Tensor, got: &Tensor) {
    assert_eq!(want.shape(), got.shape(), "{what}");
    let (a, b) = (want.as_slice::<f32>().expect("f32"), got.as_slice::<f32>().expect("f32"));
    let scale = a.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        assert!((x - y).abs() <= 2e-5 * scale, "{what}: element {i} of {:?} is {y}, not {x}", want.shape());
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    n: usize,
    ic: usize,
    oc: usize,
    h: usize,
    w: usize,
    k: [usize; 2],
    stride: usize,
    dilation: usize,
    pads: [i64; 4],
    group: usize,
}

const BASE: Case =
    Case { n: 1, ic: 16, oc: 32, h: 9, w: 11, k: [3, 3], stride: 1, dilation: 1, pads: [1, 1, 1, 1], group: 1 };

fn window(c: &Case) -> Window {
    Window {
        kernel: c.k.to_vec(),
        stride: vec![c.stride; 2],
        dilation: vec![c.dilation; 2],
        pad_begin: c.pads[..2].to_vec(),
        pad_end: c.pads[2..].to_vec(),
        auto_pad: AutoPad::Explicit,
    }
}

/// relu(conv(x) + bias + residual)
fn conv(c: &Case, residual: bool) -> Graph {
    let mut g = Graph::new("conv");
    let x = image(&mut g, "x", &[c.n, c.ic, c.h, c.w]);
    let w = weight(&mut g, &[c.oc, c.ic / c.group, c.k[0], c.k[1]], 1);
    let b = weight(&mut g, &[c.oc], 2);
    let mut inputs = vec![x, w, b];
    let mut steps = vec![];
    if residual {
        let plain = Op::Conv { window: window(c), group: c.group, bias: true, epilogue: Expression::default() };
        let y = g.add_node(plain, &inputs, 1, "plain").expect("typed")[0];
        inputs.push(y);
        steps.push(Step::Binary(BinaryOp::Add, Arg::Input(0), Arg::Input(1)));
    }
    let last = if residual { Arg::Step(0) } else { Arg::Input(0) };
    steps.push(Step::Unary(UnaryOp::Relu, last));
    let op = Op::Conv { window: window(c), group: c.group, bias: true, epilogue: Expression { steps } };
    let y = g.add_node(op, &inputs, 1, "conv").expect("typed")[0];
    g.add_output("y", y);
    g
}

#[test]
fn convolutions_of_awkward_shapes() {
    let cases = [
        BASE,
        Case { ic: 1, oc: 1, ..BASE },
        Case { ic: 3, oc: 17, stride: 2, ..BASE },
        Case { ic: 17, oc: 33, ..BASE },
        Case { ic: 33, oc: 24, k: [1, 1], pads: [0; 4], ..BASE },
        Case { ic: 24, oc: 48, h: 7, w: 7, ..BASE },
        Case { ic: 20, oc: 64, h: 14, w: 14, k: [1, 1], pads: [0; 4], ..BASE },
        Case { ic: 32, oc: 96, h: 1, w: 1, k: [1, 1], pads: [0; 4], ..BASE },
        Case { stride: 3, k: [5, 5], pads: [2, 2, 2, 2], ..BASE },
        Case { dilation: 2, pads: [2, 2, 2, 2], ..BASE },
        Case { pads: [0, 1, 2, 3], k: [2, 4], ..BASE },
        Case { k: [1, 7], pads: [0, 3, 0, 3], w: 30, ..BASE },
        Case { k: [7, 7], ic: 3, stride: 2, h: 30, w: 30, pads: [3, 3, 3, 3], ..BASE },
        Case { n: 3, h: 5, w: 4, ..BASE },
        Case { ic: 32, oc: 32, group: 32, ..BASE },
        Case { ic: 35, oc: 35, group: 35, stride: 2, k: [5, 5], pads: [2, 2, 2, 2], h: 15, w: 15, ..BASE },
        Case { ic: 64, oc: 64, group: 16, ..BASE },
        Case { ic: 24, oc: 48, group: 3, ..BASE },
        Case { ic: 12, oc: 24, group: 12, ..BASE },
        Case { ic: 10, oc: 15, group: 5, ..BASE },
        // Groups that do not fill vectors evenly: some are left over.
        Case { ic: 40, oc: 40, group: 5, n: 2, ..BASE },
        Case { ic: 20, oc: 60, group: 5, ..BASE },
        Case { ic: 72, oc: 72, group: 3, ..BASE },
        // More weights than stay near: the sum is handed on from call to call.
        Case { ic: 650, oc: 33, h: 12, w: 13, ..BASE },
        Case { ic: 2400, oc: 64, n: 3, k: [1, 1], pads: [0; 4], ..BASE },
        Case { h: 3, w: 3, k: [3, 3], pads: [0; 4], ..BASE },
        // Taps that meet mostly padding, done one by one.
        Case { ic: 40, oc: 33, n: 2, dilation: 6, pads: [6; 4], ..BASE },
        Case { ic: 32, oc: 32, dilation: 12, pads: [12; 4], h: 20, w: 16, ..BASE },
        Case { ic: 650, oc: 33, dilation: 7, pads: [7; 4], stride: 2, ..BASE },
        Case { ic: 48, oc: 100, k: [3, 5], dilation: 5, pads: [5, 10, 5, 10], h: 17, w: 14, ..BASE },
        Case { ic: 32, oc: 16, dilation: 30, pads: [30; 4], ..BASE },
    ];
    let mut ran = 0;
    for case in &cases {
        for residual in [false, true] {
            if residual && (case.ic != case.oc || case.stride != 1) {
                continue;
            }
            check(&format!("{case:?} residual {residual}"), conv(case, residual));
            ran += 1;
        }
    }
    assert!(ran >= cases.len());
}

/// Planes of many tiles, with even and odd extents, images, channels in several parts and every kind of operand of the epilogue; and
/// what stays with the definition: few tiles, strides, channels that fill no panel.
#[test]
fn convolutions_by_minimal_filtering() {
    let levels = Level::ALL.into_iter().filter(|l| l.available()).count();
    let wide = Case { ic: 32, oc: 32, h: 40, w: 40, ..BASE };
    let cases = [
        (wide, true),
        (Case { ic: 16, oc: 64, h: 41, w: 43, ..wide }, true),
        (Case { h: 40, w: 45, n: 2, ..wide }, true),
        (Case { h: 21, w: 16, n: 5, ..wide }, true),
        (Case { h: 43, w: 44, pads: [0, 0, 0, 0], ..wide }, true),
        (Case { h: 39, w: 44, pads: [1, 0, 2, 3], ..wide }, true),
        (Case { ic: 64, oc: 384, ..wide }, true),
        (Case { ic: 48, oc: 96, h: 61, w: 4, n: 7, ..wide }, true),
        (Case { h: 39, w: 38, ..wide }, false),
        (Case { h: 3, w: 900, ..wide }, false),
        (Case { stride: 2, h: 80, w: 80, ..wide }, false),
        (Case { dilation: 2, pads: [2; 4], ..wide }, false),
        (Case { oc: 36, ..wide }, false),
        (Case { ic: 17, ..wide }, false),
        (Case { group: 2, ..wide }, false),
    ];
    for (case, fits) in cases {
        for residual in [false, true] {
            if residual && (case.ic != case.oc || case.pads != [1; 4] || case.stride != 1) {
                continue;
            }
            let kernels = check(&format!("{case:?} residual {residual}"), conv(&case, residual));
            let filtered = kernels.iter().filter(|name| name.starts_with("winograd-")).count();
            let convolutions = if residual { 2 } else { 1 };
            assert_eq!(filtered, if fits { levels * convolutions } else { 0 }, "{case:?}: {kernels:?}");
        }
    }
}

/// A factor of each channel, one number, and a whole image that a run gives, after a sum by minimal filtering.
#[test]
fn operands_of_the_epilogue_after_minimal_filtering() {
    let case = Case { ic: 32, oc: 64, h: 41, w: 41, ..BASE };
    let mut g = Graph::new("conv");
    let x = image(&mut g, "x", &[1, 32, 41, 41]);
    let added = image(&mut g, "added", &[1, 64, 41, 41]);
    let (w, factor, shift) =
        (weight(&mut g, &[64, 32, 3, 3], 1), weight(&mut g, &[64, 1, 1], 3), weight(&mut g, &[1], 4));
    let steps = vec![
        Step::Binary(BinaryOp::Mul, Arg::Input(0), Arg::Input(1)),
        Step::Binary(BinaryOp::Add, Arg::Step(0), Arg::Input(2)),
        Step::Unary(UnaryOp::Gelu, Arg::Step(1)),
        Step::Binary(BinaryOp::Sub, Arg::Step(2), Arg::Input(3)),
    ];
    let op = Op::Conv { window: window(&case), group: 1, bias: false, epilogue: Expression { steps } };
    let y = g.add_node(op, &[x, w, factor, shift, added], 1, "conv").expect("typed")[0];
    g.add_output("y", y);
    let kernels = check("an epilogue of four operands", g);
    assert!(kernels.iter().any(|name| name.starts_with("winograd-")), "{kernels:?}");
}

/// What is added to a whole image may be a constant, such as the position of each pixel.
#[test]
fn constant_images_in_the_epilogue() {
    let cases = [BASE, Case { ic: 5, oc: 20, k: [1, 3], pads: [0, 1, 0, 1], ..BASE }];
    for case in cases {
        let mut g = conv(&case, false);
        let x = g.inputs()[0];
        let shape = g.ty(g.outputs()[0].1).dims().expect("known");
        let (w, added) = (weight(&mut g, &[case.oc, case.ic, case.k[0], case.k[1]], 1), weight(&mut g, &shape, 3));
        let steps = vec![Step::Binary(BinaryOp::Add, Arg::Input(0), Arg::Input(1))];
        let op = Op::Conv { window: window(&case), group: 1, bias: false, epilogue: Expression { steps } };
        let y = g.add_node(op, &[x, w, added], 1, "placed").expect("typed")[0];
        g.add_output("placed", y);
        check(&format!("a constant added to {case:?}"), g);
    }
}

/// A factor per image and channel that a run gives, and a constant image, beside channels that fill no whole block.
#[test]
fn factors_of_channels_that_fill_no_block() {
    for (oc, batch) in [(24, 1), (2, 1), (5, 3)] {
        let case = Case { oc, n: batch, ..BASE };
        let mut g = conv(&case, false);
        let y = g.outputs()[0].1;
        let shape = g.ty(y).dims().expect("known");
        let factor = image(&mut g, "factor", &[batch, oc, 1, 1]);
        let scaled = g.add_node(Op::Binary(BinaryOp::Mul), &[y, factor], 1, "scaled").expect("typed")[0];
        let place = weight(&mut g, &shape, 7);
        let placed = g.add_node(Op::Binary(BinaryOp::Sub), &[scaled, place], 1, "placed").expect("typed")[0];
        g.add_output("placed", placed);
        check(&format!("factors of {oc} channels"), g);
    }
}

/// Channels that a constant adds to those of a convolution, before another convolution.
#[test]
fn constant_channels_beside_computed_ones() {
    let cases = [(32, 32, false), (32, 16, true), (32, 5, false), (7, 32, true)];
    for (computed, constant, first) in cases {
        let mut g = conv(&Case { oc: computed, ..BASE }, false);
        let (x, added) = (g.outputs()[0].1, weight(&mut g, &[1, constant, 9, 11], 3));
        let parts = if first { [added, x] } else { [x, added] };
        let all = g.add_node(Op::Concat { axis: 1 }, &parts, 1, "all").expect("typed")[0];
        let w = weight(&mut g, &[24, computed + constant, 3, 3], 4);
        let op = Op::Conv { window: window(&BASE), group: 1, bias: false, epilogue: Expression::default() };
        let y = g.add_node(op, &[all, w], 1, "after").expect("typed")[0];
        g.add_output("z", y);
        check(&format!("{computed} and {constant} channels"), g);
    }
}

/// A concatenation that has to copy one of its operands, beside another that is made in its place and read again later.
#[test]
fn an_operand_listed_twice_beside_one_that_is_read_again() {
    let mut g = conv(&Case { oc: 32, ..BASE }, false);
    let a = g.outputs()[0].1;
    let b = g.add_node(Op::Unary(UnaryOp::Neg), &[a], 1, "b").expect("typed")[0];
    let all = g.add_node(Op::Concat { axis: 1 }, &[a, b, a], 1, "all").expect("typed")[0];
    let w = weight(&mut g, &[16, 96, 3, 3], 4);
    let op = Op::Conv { window: window(&BASE), group: 1, bias: false, epilogue: Expression::default() };
    let y = g.add_node(op, &[all, w], 1, "after").expect("typed")[0];
    let again = g.add_node(Op::DepthToSpace { block: 2, crd: false }, &[b], 1, "again").expect("typed")[0];
    g.add_output("z", y);
    g.add_output("again", again);
    check("an operand listed twice", g);
}

#[test]
fn transposed_convolutions() {
    let cases = [
        Case { stride: 2, k: [4, 4], ..BASE },
        Case { stride: 2, k: [3, 3], ..BASE },
        Case { stride: 2, k: [2, 2], pads: [0; 4], ic: 17, oc: 9, ..BASE },
        Case { stride: 1, h: 1, w: 1, k: [4, 4], pads: [0; 4], ic: 100, oc: 40, ..BASE },
        Case { stride: 3, k: [2, 5], pads: [0, 1, 1, 2], ..BASE },
        Case { stride: 2, dilation: 2, pads: [0; 4], ..BASE },
    ];
    for c in &cases {
        let mut g = Graph::new("transposed");
        let x = image(&mut g, "x", &[c.n, c.ic, c.h, c.w]);
        let w = weight(&mut g, &[c.ic, c.oc, c.k[0], c.k[1]], 1);
        let b = weight(&mut g, &[c.oc], 2);
        let epilogue = Expression { steps: vec![Step::Unary(UnaryOp::Tanh, Arg::Input(0))] };
        let op = Op::ConvTranspose { window: window(c), output_pad: vec![0, 0], group: 1, bias: true, epilogue };
        let y = g.add_node(op, &[x, w, b], 1, "transposed").expect("typed")[0];
        g.add_output("y", y);
        check(&format!("transposed {c:?}"), g);
    }
}

#[test]
fn products_with_a_transposed_left_operand() {
    for (a, b, trans_b) in
        [([2, 20, 7], [2, 20, 17], false), ([2, 20, 7], [2, 17, 20], true), ([1, 33, 40], [1, 33, 5], false)]
    {
        let mut g = Graph::new("matmul");
        let inputs = [image(&mut g, "a", &a), image(&mut g, "b", &b)];
        let op = Op::MatMul { trans_a: true, trans_b, bias: false, epilogue: Expression::default() };
        let y = g.add_node(op, &inputs, 1, "matmul").expect("typed")[0];
        g.add_output("y", y);
        check(&format!("transposed {a:?} x {b:?} transposed {trans_b}"), g);
    }
}

#[test]
fn matrix_products() {
    let shapes: [(&[usize], &[usize]); 9] = [
        (&[1, 10], &[10, 7]),
        (&[5, 33], &[33, 40]),
        (&[197, 96], &[96, 48]),
        (&[2, 3, 7, 20], &[20, 17]),
        (&[2, 3, 7, 20], &[2, 3, 20, 17]),
        (&[3, 7, 20], &[3, 20, 32]),
        (&[300, 31], &[31, 5]),
        (&[1, 1, 1], &[1, 1]),
        (&[4, 64], &[64, 130]),
    ];
    for (a, b) in shapes {
        for constant in [true, false] {
            for trans_b in [false, true] {
                let mut g = Graph::new("matmul");
                let x = image(&mut g, "a", a);
                let mut b = b.to_vec();
                let rank = b.len();
                if trans_b {
                    b.swap(rank - 1, rank - 2);
                }
                let w = if constant { weight(&mut g, &b, 1) } else { image(&mut g, "b", &b) };
                let n = if trans_b { b[rank - 2] } else { b[rank - 1] };
                let bias = if constant { weight(&mut g, &[n], 2) } else { image(&mut g, "c", &[n]) };
                let epilogue = Expression { steps: vec![Step::Unary(UnaryOp::Relu, Arg::Input(0))] };
                let op = Op::MatMul { trans_a: false, trans_b, bias: true, epilogue };
                let y = g.add_node(op, &[x, w, bias], 1, "matmul").expect("typed")[0];
                g.add_output("y", y);
                let kernels = check(&format!("{a:?} x {b:?} constant {constant} transposed {trans_b}"), g);
                assert!(kernels.iter().all(|kernel| !kernel.starts_with("library")), "{a:?} x {b:?}: {kernels:?}");
            }
        }
    }
}

/// A row of 19 pixels is a tile of ten and one of nine: the second takes the registers of the first.
#[test]
fn two_widths_of_tiles_share_the_registers() {
    let mut g = conv(&Case { oc: 64, h: 19, w: 19, ..BASE }, false);
    g.phase = Phase::Optimized;
    let options = CompileOptions { level: Level::X86_64V4, threads: 1, exact: false, passes: PassOptions::default() };
    let program = compile(&g, &options).unwrap().link(1).unwrap().0;
    let step = program.steps.iter().find(|s| s.node == "conv").unwrap();
    assert!(step.kernel.starts_with("conv-f32-10x32-"), "{}", step.kernel);
}
