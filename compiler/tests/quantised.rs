//! Quantised graphs: products of bytes are formed from their pairs of quantisation, and compiled on every CPU level of the
//! machine they give what the evaluator gives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use brolga_compiler::codegen::Level;
use brolga_compiler::compile::{CompileOptions, compile};
use brolga_compiler::ir::eval::evaluate;
use brolga_compiler::ir::*;
use brolga_compiler::pass::PassOptions;
use brolga_compiler::pass::pipeline::optimize;
use brolga_runtime::{DType, Instance, Pool, RunOptions, Tensor};
use std::sync::Arc;

/// Bytes from a multiplicative generator.
fn bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 50) as u8
        })
        .collect()
}

/// A graph in the making, with helpers for the nodes of quantised models.
struct Build {
    g: Graph,
    seed: u64,
}

impl Build {
    fn new() -> Build {
        Build { g: Graph::new("quantised"), seed: 0 }
    }
    fn constant<T: bytemuck::Pod>(&mut self, dtype: DType, shape: &[usize], data: &[T]) -> ValueId {
        let data = bytemuck::cast_slice::<T, u8>(data).to_vec();
        self.g.add_weight("c", Weight::from_bytes(dtype, shape.to_vec(), data.into()))
    }
    fn node(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let name = format!("n{}", self.g.next_node());
        self.g.add_node(op, inputs, 1, name).expect("typed")[0]
    }
    fn random(&mut self, dtype: DType, shape: &[usize]) -> ValueId {
        self.seed += 1;
        let data = bytes(shape.iter().product(), self.seed);
        self.constant(dtype, shape, &data)
    }
    fn quantize(&mut self, x: ValueId, to: DType, scale: f32, zero: u8) -> ValueId {
        let (s, z) = (self.constant(DType::F32, &[], &[scale]), self.constant(to, &[], &[zero]));
        self.node(Op::Quantize { to, axis: 0, block: 0, precision: DType::F32, saturate: true }, &[x, s, z])
    }
    fn dequantize(&mut self, x: ValueId, scale: f32, zero: u8) -> ValueId {
        let to = self.g.ty(x).dtype;
        let (s, z) = (self.constant(DType::F32, &[], &[scale]), self.constant(to, &[], &[zero]));
        self.node(Op::Dequantize { to: DType::F32, axis: 0, block: 0 }, &[x, s, z])
    }
    /// Quantised and back.
    fn pair(&mut self, x: ValueId, to: DType, scale: f32, zero: u8) -> ValueId {
        let q = self.quantize(x, to, scale, zero);
        self.dequantize(q, scale, zero)
    }
    /// A weight quantised along an axis, dequantised; its scales.
    fn weight(&mut self, shape: &[usize], axis: usize) -> (ValueId, Vec<f32>) {
        let scales: Vec<f32> = (0..shape[axis]).map(|i| 0.002 + 0.0003 * (i % 7) as f32).collect();
        let q = self.random(DType::I8, shape);
        let s = self.constant(DType::F32, &[shape[axis]], &scales);
        let z = self.constant(DType::I8, &[shape[axis]], &vec![0u8; shape[axis]]);
        (self.node(Op::Dequantize { to: DType::F32, axis, block: 0 }, &[q, s, z]), scales)
    }
    /// A convolution of a dequantised `x` whose scale is `scale`, with a quantised weight and bias.
    fn conv(&mut self, x: ValueId, scale: f32, outputs: usize, window: Window) -> ValueId {
        let channels = self.g.ty(x).dims().unwrap()[1];
        let (w, scales) = self.weight(&[outputs, channels, window.kernel[0], window.kernel[1]], 0);
        let scales: Vec<f32> = scales.iter().map(|s| s * scale).collect();
        let bias: Vec<i32> = (0..outputs as i32).map(|i| i * 37 - 300).collect();
        let b = self.constant(DType::I32, &[outputs], &bias);
        let s = self.constant(DType::F32, &[outputs], &scales);
        let b = self.node(Op::Dequantize { to: DType::F32, axis: 0, block: 0 }, &[b, s]);
        self.node(Op::Conv { window, group: 1, bias: true, epilogue: Expression::default() }, &[x, w, b])
    }
}

fn window(kernel: usize, stride: usize, pad: i64) -> Window {
    Window {
        kernel: vec![kernel; 2],
        stride: vec![stride; 2],
        dilation: vec![1; 2],
        pad_begin: vec![pad; 2],
        pad_end: vec![pad; 2],
        auto_pad: AutoPad::Explicit,
    }
}

fn inputs(g: &Graph) -> Vec<Tensor> {
    let one = |v: &ValueId| {
        let dims = g.ty(*v).dims().unwrap();
        let all: Vec<f32> = bytes(dims.iter().product(), 77).iter().map(|b| f32::from(*b) / 64.0 - 2.0).collect();
        Tensor::from_slice(&dims, &all).unwrap()
    };
    g.inputs().iter().map(one).collect()
}

fn count(g: &Graph, wanted: impl Fn(&Op) -> bool) -> usize {
    g.nodes().filter(|n| wanted(&n.op)).count()
}

/// Largest difference as a share of the largest element.
fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()));
    let floats = |t: &Tensor| match t.as_slice::<f32>() {
        Ok(all) => all.to_vec(),
        Err(_) => t.bytes().iter().map(|b| f32::from(*b)).collect(),
    };
    let (a, b) = (floats(a), floats(b));
    let scale = a.iter().fold(1e-6f32, |m, x| m.max(x.abs()));
    a.iter().zip(&b).fold(0.0, |m: f32, (x, y)| m.max((x - y).abs())) / scale
}

/// Optimises; the evaluator agrees with the graph before within a quantum, and every level with the evaluator within
/// `rounding`: nothing, unless a sum of floats comes before a rounding. The optimised graph.
fn check(what: &str, g: Graph, quantum: f32, rounding: f32) -> Graph {
    let given = inputs(&g);
    let before = evaluate(&g, &given).expect("evaluates");
    let optimised = optimize(g, &PassOptions::default()).unwrap_or_else(|e| panic!("{what}: {e}")).graph;
    let want = evaluate(&optimised, &given).expect("evaluates");
    for (a, b) in before.iter().zip(&want) {
        let d = difference(a, b);
        assert!(d <= quantum, "{what}: the optimised graph differs by {d}\n{}", optimised.to_text());
    }
    let mut levels = 0;
    for level in Level::ALL.into_iter().filter(|l| l.available()) {
        let options = CompileOptions { level, threads: 1, exact: false, passes: PassOptions::default() };
        let compiled = compile(&optimised, &options).unwrap_or_else(|e| panic!("{what} on {level}: {e}"));
        let program = Arc::new(compiled.link(1).expect("links").0);
        for threads in [1, 2] {
            let instance = Instance::new(program.clone(), Pool::shared(threads)).expect("instance");
            let got = instance.run_tensors(&given, RunOptions::default()).expect("runs");
            for (a, b) in want.iter().zip(&got) {
                let d = difference(a, b);
                assert!(d <= rounding, "{what} on {level}: differs by {d}\n{}", optimised.to_text());
            }
        }
        levels += 1;
    }
    assert!(levels > 0);
    optimised
}

/// Two convolutions and the sum with a shortcut, between an image and f32.
fn residual(to: DType, channels: usize, outputs: usize, size: usize) -> Graph {
    let zero = |z: u8| if to == DType::I8 { z.wrapping_sub(128) } else { z };
    let mut b = Build::new();
    let x = b.g.add_input("x", Type::known(DType::F32, &[2, channels, size, size + 3]));
    let x = b.pair(x, to, 0.02, zero(101));
    let y = b.conv(x, 0.02, outputs, window(3, 1, 1));
    let y = b.node(Op::Unary(UnaryOp::Relu), &[y]);
    let y = b.pair(y, to, 0.05, zero(0));
    let y = b.conv(y, 0.05, outputs, window(3, 2, 1));
    let y = b.pair(y, to, 0.07, zero(120));
    let shortcut = b.conv(x, 0.02, outputs, window(1, 2, 0));
    let shortcut = b.pair(shortcut, to, 0.03, zero(131));
    let sum = b.node(Op::Binary(BinaryOp::Add), &[y, shortcut]);
    let sum = b.node(Op::Unary(UnaryOp::Relu), &[sum]);
    let sum = b.pair(sum, to, 0.06, zero(0));
    b.g.add_output("y", sum);
    b.g
}

#[test]
fn convolutions_between_pairs() {
    let mut done = 0;
    for to in [DType::U8, DType::I8] {
        for (channels, outputs, size) in [(3, 16, 9), (16, 32, 14), (21, 19, 7), (64, 48, 8)] {
            let what = format!("{to} {channels} to {outputs} at {size}");
            let g = check(&what, residual(to, channels, outputs, size), 0.02, 1e-6);
            assert_eq!(count(&g, |op| matches!(op, Op::ConvInteger { .. })), 3, "{what}\n{}", g.to_text());
            assert_eq!(count(&g, |op| matches!(op, Op::Conv { .. } | Op::Dequantize { .. })), 0, "{what}");
            // The sum is in the epilogue of a convolution: what is left is at the two ends.
            assert_eq!(count(&g, |op| matches!(op, Op::Requantize { .. })), 2, "{what}\n{}", g.to_text());
            done += 1;
        }
    }
    assert_eq!(done, 8);
}

/// No operand but the four that every integer convolution has.
#[test]
fn a_convolution_without_bias_and_with_one_scale() {
    let mut b = Build::new();
    let x = b.g.add_input("x", Type::known(DType::F32, &[1, 5, 6, 7]));
    let x = b.pair(x, DType::U8, 0.02, 120);
    let q = b.random(DType::I8, &[19, 5, 3, 3]);
    let (scale, zero) = (b.constant(DType::F32, &[], &[0.004f32]), b.constant(DType::I8, &[], &[0u8]));
    let w = b.node(Op::Dequantize { to: DType::F32, axis: 0, block: 0 }, &[q, scale, zero]);
    let y =
        b.node(Op::Conv { window: window(3, 1, 1), group: 1, bias: false, epilogue: Expression::default() }, &[x, w]);
    let y = b.pair(y, DType::U8, 0.05, 100);
    b.g.add_output("y", y);
    let g = check("without bias", b.g, 0.02, 1e-6);
    let products: Vec<usize> =
        g.nodes().filter(|n| matches!(n.op, Op::ConvInteger { .. })).map(|n| n.inputs.len()).collect();
    assert_eq!(products, [4], "{}", g.to_text());
}

#[test]
fn pooling_and_a_dense_layer() {
    let mut b = Build::new();
    let x = b.g.add_input("x", Type::known(DType::F32, &[1, 3, 20, 20]));
    let x = b.pair(x, DType::U8, 0.03, 128);
    let y = b.conv(x, 0.03, 24, window(7, 2, 3));
    let y = b.node(Op::Unary(UnaryOp::Relu), &[y]);
    let y = b.pair(y, DType::U8, 0.05, 0);
    let kind = PoolKind::Max;
    let y = b.node(Op::Pool { kind, window: window(3, 2, 1), ceil: false, column_major: false }, &[y]);
    let y = b.pair(y, DType::U8, 0.05, 0);
    let y = b.node(Op::Reduce { kind: ReduceKind::Mean, axes: vec![2, 3], keep: false }, &[y]);
    let y = b.pair(y, DType::U8, 0.02, 3);
    let (w, scales) = b.weight(&[19, 24], 0);
    let scales: Vec<f32> = scales.iter().map(|s| s * 0.02).collect();
    let bias: Vec<i32> = (0..19).map(|i| 200 - i * 31).collect();
    let c = b.constant(DType::I32, &[19], &bias);
    let s = b.constant(DType::F32, &[19], &scales);
    let c = b.node(Op::Dequantize { to: DType::F32, axis: 0, block: 0 }, &[c, s]);
    let dense = Op::MatMul { trans_a: false, trans_b: true, bias: true, epilogue: Expression::default() };
    let y = b.node(dense, &[y, w, c]);
    let y = b.pair(y, DType::U8, 0.01, 90);
    b.g.add_output("y", y);
    let g = check("pool and dense", b.g, 0.02, 0.02);
    assert_eq!(count(&g, |op| matches!(op, Op::ConvInteger { .. })), 1);
    assert_eq!(count(&g, |op| matches!(op, Op::MatMulInteger { to: DType::U8, .. })), 1, "{}", g.to_text());
}

/// Quantisation with a scale and zero point from the numbers themselves, as a model states it.
fn dynamically(b: &mut Build, x: ValueId) -> (ValueId, ValueId, ValueId) {
    let axes: Vec<usize> = (0..b.g.ty(x).rank()).collect();
    let reduce = |b: &mut Build, kind| b.node(Op::Reduce { kind, axes: axes.clone(), keep: false }, &[x]);
    let (most, least) = (reduce(b, ReduceKind::Max), reduce(b, ReduceKind::Min));
    let range = b.node(Op::Binary(BinaryOp::Sub), &[most, least]);
    let steps = b.constant(DType::F32, &[], &[255.0f32]);
    let scale = b.node(Op::Binary(BinaryOp::Div), &[range, steps]);
    let zero = b.node(Op::Binary(BinaryOp::Div), &[least, scale]);
    let zero = b.node(Op::Unary(UnaryOp::Neg), &[zero]);
    let zero = b.node(Op::Unary(UnaryOp::Clip { lo: 0.0, hi: 255.0 }), &[zero]);
    let zero = b.node(Op::Unary(UnaryOp::Round), &[zero]);
    let zero = b.node(Op::Cast(DType::U8), &[zero]);
    let op = Op::Quantize { to: DType::U8, axis: 0, block: 0, precision: DType::F32, saturate: true };
    (b.node(op, &[x, scale, zero]), scale, zero)
}

#[test]
fn integer_products_of_run_time_scales() {
    for channels in [3, 32] {
        let mut b = Build::new();
        let x = b.g.add_input("x", Type::known(DType::F32, &[1, channels, 11, 10]));
        let (q, scale, zero) = dynamically(&mut b, x);
        let (w, none) = (b.random(DType::I8, &[20, channels, 3, 3]), b.constant(DType::I8, &[], &[0u8]));
        let epilogue = Expression::default();
        let op = Op::ConvInteger { window: window(3, 1, 1), group: 1, bias: false, to: DType::I32, epilogue };
        let y = b.node(op, &[q, w, zero, none]);
        let y = b.node(Op::Cast(DType::F32), &[y]);
        let factor = b.constant(DType::F32, &[], &[0.01f32]);
        let scale = b.node(Op::Binary(BinaryOp::Mul), &[scale, factor]);
        let y = b.node(Op::Binary(BinaryOp::Mul), &[y, scale]);
        let bias: Vec<f32> = (0..20).map(|i| i as f32 * 0.1 - 1.0).collect();
        let bias = b.constant(DType::F32, &[1, 20, 1, 1], &bias);
        let y = b.node(Op::Binary(BinaryOp::Add), &[y, bias]);
        let y = b.node(Op::Unary(UnaryOp::Relu), &[y]);
        let y = b.node(Op::Reduce { kind: ReduceKind::Mean, axes: vec![2, 3], keep: false }, &[y]);
        let (q, scale, zero) = dynamically(&mut b, y);
        let (w, none) = (b.random(DType::I8, &[20, 9]), b.constant(DType::I8, &[], &[0u8]));
        let epilogue = Expression::default();
        let op = Op::MatMulInteger { trans_b: false, bias: false, to: DType::I32, epilogue };
        let y = b.node(op, &[q, w, zero, none]);
        let y = b.node(Op::Cast(DType::F32), &[y]);
        let y = b.node(Op::Binary(BinaryOp::Mul), &[y, scale]);
        b.g.add_output("y", y);
        let g = check(&format!("dynamic {channels}"), b.g, 0.02, 0.02);
        let products =
            |op: &Op| matches!(op, Op::ConvInteger { to: DType::F32, .. } | Op::MatMulInteger { to: DType::F32, .. });
        assert_eq!(count(&g, products), 2, "{}", g.to_text());
    }
}

/// A product of bytes by a weight of `to` with zero points, in a model's own words; its result as floats.
fn product_of(b: &mut Build, q: ValueId, zero: ValueId, to: DType, zeros: &[u8], images: bool) -> ValueId {
    let (x, outputs) = (b.g.ty(q).dims().unwrap(), 35);
    let shape = if images { vec![outputs, x[1], 3, 3] } else { vec![x[x.len() - 1], outputs] };
    let w = b.random(to, &shape);
    let of_channels: Vec<u8> = (0..outputs).map(|c| zeros[c % zeros.len()]).collect();
    let w_zero = match zeros {
        [one] => b.constant(to, &[], &[*one]),
        _ => b.constant(to, &[outputs], &of_channels),
    };
    let epilogue = Expression::default();
    let op = match images {
        true => Op::ConvInteger { window: window(3, 2, 1), group: 1, bias: false, to: DType::I32, epilogue },
        false => Op::MatMulInteger { trans_b: false, bias: false, to: DType::I32, epilogue },
    };
    let y = b.node(op, &[q, w, zero, w_zero]);
    let y = b.node(Op::Cast(DType::F32), &[y]);
    let scale = b.constant(DType::F32, &[], &[0.001f32]);
    b.node(Op::Binary(BinaryOp::Mul), &[y, scale])
}

/// Zero points of weights are in the weights where they fit there, else multiplied by the sums of the input.
#[test]
fn weights_of_either_sign_with_zero_points() {
    let mut done = 0;
    for (to, zeros) in [
        (DType::U8, &[128][..]),
        (DType::U8, &[119]),
        (DType::U8, &[0, 255, 130, 97]),
        (DType::I8, &[5]),
        (DType::I8, &[0, 250, 127]),
    ] {
        for shape in [&[2, 3, 9, 7][..], &[1, 37, 6, 5], &[1, 64, 15, 14], &[9, 36], &[3, 5, 128]] {
            for at_run_time in [false, true] {
                let what = format!("{to} less {zeros:?}, {shape:?}, zero point at run time {at_run_time}");
                let mut b = Build::new();
                let x = b.g.add_input("x", Type::known(DType::F32, shape));
                let (q, zero) = if at_run_time {
                    let (q, _, zero) = dynamically(&mut b, x);
                    (q, zero)
                } else {
                    (b.quantize(x, DType::U8, 0.02, 101), b.constant(DType::U8, &[], &[101u8]))
                };
                let y = product_of(&mut b, q, zero, to, zeros, shape.len() == 4);
                b.g.add_output("y", y);
                let g = check(&what, b.g, 1e-6, 1e-6);
                let fused = |op: &Op| {
                    matches!(op, Op::ConvInteger { to: DType::F32, .. } | Op::MatMulInteger { to: DType::F32, .. })
                };
                assert_eq!(count(&g, fused), 1, "{what}\n{}", g.to_text());
                done += 1;
            }
        }
    }
    assert_eq!(done, 50);
}
