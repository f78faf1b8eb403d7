//! fold-batchnorm, expand-batchnorm, fold-scale, fold-pad, fuse-bias.

use super::support::*;
use crate::ir::*;
use crate::pass::expand_batchnorm::ExpandBatchnorm;
use crate::pass::fold_batchnorm::FoldBatchnorm;
use crate::pass::fold_pad::FoldPad;
use crate::pass::fold_scale::FoldScale;
use crate::pass::fuse_bias::FuseBias;
use insta::assert_snapshot;

#[test]
fn batchnorm_folds_into_the_convolution_before_it() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 5, 5]);
    let y = net.conv(x, 4, 3);
    let y = net.batchnorm(y);
    assert_snapshot!(report(&net.outputs(&[y]), &[&FoldBatchnorm]));
}

#[test]
fn batchnorm_folds_into_a_bias_that_is_there() {
    let mut net = Net::new();
    let x = net.input("x", &[2, 3, 4, 4]);
    let (w, b) = (net.weight("w", &[6, 1, 3, 3]), net.weight("b", &[6]));
    let y = net.op(conv_op(window(3, 0), 3, true), &[x, w, b]);
    let y = net.batchnorm(y);
    assert_snapshot!(report(&net.outputs(&[y]), &[&FoldBatchnorm]));
}

#[test]
fn batchnorm_folds_into_transposed_convolution_and_matrix_product() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 4, 4]);
    let w = net.weight("w", &[3, 5, 2, 2]);
    let op = Op::ConvTranspose {
        window: Window { stride: vec![2, 2], ..window(2, 0) },
        output_pad: vec![0, 0],
        group: 1,
        bias: false,
        epilogue: Expression::default(),
    };
    let y = net.op(op, &[x, w]);
    let y = net.batchnorm(y);
    let a = net.input("a", &[2, 7]);
    let w = net.weight("v", &[7, 4]);
    let z = net.op(matmul_op(), &[a, w]);
    let z = net.batchnorm(z);
    assert_snapshot!(report(&net.outputs(&[y, z]), &[&FoldBatchnorm]));
}

#[test]
fn batchnorm_folds_into_the_convolution_after_it_when_nothing_is_padded() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 5, 5]);
    let y = net.batchnorm(x);
    let y = net.conv(y, 4, 1);
    let z = net.batchnorm(x);
    let w = net.weight("depthwise", &[3, 1, 2, 2]);
    let z = net.op(conv_op(window(2, 0), 3, false), &[z, w]);
    assert_snapshot!(report(&net.outputs(&[y, z]), &[&FoldBatchnorm]));
}

#[test]
fn batchnorm_stays_before_a_padded_convolution() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 5, 5]);
    let y = net.batchnorm(x);
    let y = net.conv(y, 4, 3);
    assert_snapshot!(report(&net.outputs(&[y]), &[&FoldBatchnorm]));
}

#[test]
fn batchnorm_stays_when_the_convolution_has_two_readers() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 5, 5]);
    let c = net.conv(x, 4, 3);
    let y = net.batchnorm(c);
    assert_snapshot!(report(&net.outputs(&[c, y]), &[&FoldBatchnorm]));
}

#[test]
fn batchnorm_without_variance_is_not_folded() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 2, 3, 3]);
    let c = net.conv(x, 2, 1);
    let (scale, bias, mean) = (net.weight("s", &[2]), net.weight("b", &[2]), net.weight("m", &[2]));
    let zero = net.graph.add_weight("v", Weight::splat(brolga_runtime::DType::F32, vec![2], [0; 8]));
    let y = net.op(Op::BatchNorm { epsilon: 0.0 }, &[c, scale, bias, mean, zero]);
    let outcome = run(&net.outputs(&[y]), &[&FoldBatchnorm]);
    assert_eq!(ops(&outcome.graph), ["Conv", "BatchNorm"]);
    assert_eq!(outcome.log[0].refused[0].why, "its scale or shift is not finite");
}

#[test]
fn batchnorm_expands_to_arithmetic() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 5, 5]);
    let constant = net.batchnorm(x);
    let vectors: Vec<ValueId> = ["s", "b", "m"].iter().map(|n| net.input(n, &[3])).collect();
    let variance = net.positive("v", &[3]);
    let inputs = [x, vectors[0], vectors[1], vectors[2], variance];
    let computed = net.op(Op::BatchNorm { epsilon: 1e-3 }, &inputs);
    assert_snapshot!(report(&net.outputs(&[constant, computed]), &[&ExpandBatchnorm]));
}

#[test]
fn factor_per_channel_goes_into_the_weight() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 5, 5]);
    let y = net.conv(x, 4, 3);
    let c = net.weight("c", &[4, 1, 1]);
    let y = net.binary(BinaryOp::Mul, c, y);
    let two = net.number(2.0);
    let y = net.binary(BinaryOp::Div, y, two);
    assert_snapshot!(report(&net.outputs(&[y]), &[&FoldScale]));
}

#[test]
fn factor_stays_where_it_varies_within_a_plane() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 4, 4]);
    let y = net.conv(x, 4, 3);
    let c = net.weight("c", &[4, 1]);
    let y = net.binary(BinaryOp::Mul, y, c);
    let graph = net.outputs(&[y]);
    assert_eq!(ops(&run(&graph, &[&FoldScale]).graph), ["Conv", "Binary"]);
}

#[test]
fn addends_become_the_bias() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 5, 5]);
    let y = net.conv(x, 4, 3);
    let c = net.weight("c", &[1, 4, 1, 1]);
    let y = net.binary(BinaryOp::Add, c, y);
    let d = net.number(0.5);
    let y = net.binary(BinaryOp::Sub, y, d);
    let a = net.input("a", &[2, 3, 7]);
    let w = net.weight("v", &[7, 4]);
    let z = net.op(matmul_op(), &[a, w]);
    let b = net.weight("b", &[4]);
    let z = net.binary(BinaryOp::Add, z, b);
    assert_snapshot!(report(&net.outputs(&[y, z]), &[&FuseBias]));
}

#[test]
fn addend_stays_when_the_convolution_has_two_readers() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 5, 5]);
    let c = net.conv(x, 4, 3);
    let b = net.weight("b", &[4, 1, 1]);
    let y = net.binary(BinaryOp::Add, c, b);
    let z = net.unary(UnaryOp::Relu, c);
    assert_snapshot!(report(&net.outputs(&[y, z]), &[&FuseBias]));
}

fn pad(net: &mut Net, x: ValueId, fill: f64, amount: i64) -> ValueId {
    let pads = [0, 0, amount, amount, 0, 0, amount, amount + 1].map(Dim::Const).to_vec();
    net.op(Op::Pad { mode: PadMode::Constant(fill), pads: Ints::Known(pads) }, &[x])
}

fn pool(kind: PoolKind) -> Op {
    Op::Pool { kind, window: Window { stride: vec![2, 2], ..window(3, 0) }, ceil: false, column_major: false }
}

#[test]
fn pad_becomes_the_padding_of_its_reader() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 6, 6]);
    let p = pad(&mut net, x, 0.0, 1);
    let a = net.conv(p, 4, 3);
    let b = net.op(pool(PoolKind::Average { count_pad: false }), &[p]);
    let positive = net.unary(UnaryOp::Relu, x);
    let p = pad(&mut net, positive, 0.0, 1);
    let c = net.op(pool(PoolKind::Max), &[p]);
    assert_snapshot!(report(&net.outputs(&[a, b, c]), &[&FoldPad]));
}

#[test]
fn pad_stays_where_it_means_something_else() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 6, 6]);
    let ones = pad(&mut net, x, 1.0, 1);
    let a = net.conv(ones, 4, 3);
    let zeros = pad(&mut net, x, 0.0, 1);
    let b = net.op(pool(PoolKind::Max), &[zeros]);
    let crop = pad(&mut net, x, 0.0, -1);
    let c = net.conv(crop, 2, 1);
    assert_snapshot!(report(&net.outputs(&[a, b, c]), &[&FoldPad]));
}
