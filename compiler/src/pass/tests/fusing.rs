//! fuse-activation, fuse-residual, fuse-elementwise, and whole blocks through the pipeline.

use super::support::*;
use crate::ir::*;
use crate::pass::fuse_activation::FuseActivation;
use crate::pass::fuse_elementwise::FuseElementwise;
use crate::pass::fuse_residual::FuseResidual;
use crate::pass::{PassOptions, optimize};
use insta::assert_snapshot;

#[test]
fn activation_goes_into_the_epilogue() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 5, 5]);
    let y = net.conv(x, 4, 3);
    let y = net.unary(UnaryOp::Clip { lo: 0.0, hi: 6.0 }, y);
    let y = net.unary(UnaryOp::Tanh, y);
    assert_snapshot!(report(&net.outputs(&[y]), &[&FuseActivation]));
}

#[test]
fn activation_stays_when_the_convolution_has_two_readers() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 5, 5]);
    let c = net.conv(x, 4, 3);
    let y = net.unary(UnaryOp::Relu, c);
    let z = net.unary(UnaryOp::Sigmoid, c);
    let s = net.conv(x, 2, 1);
    let t = net.unary(UnaryOp::Relu, s);
    assert_snapshot!(report(&net.outputs(&[y, z, s, t]), &[&FuseActivation]));
}

#[test]
fn activation_without_a_vector_form_stays() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 5, 5]);
    let c = net.conv(x, 4, 3);
    let y = net.unary(UnaryOp::Atanh, c);
    assert_eq!(ops(&run(&net.outputs(&[y]), &[&FuseActivation]).graph), ["Conv", "Unary"]);
}

#[test]
fn residual_goes_into_the_later_convolution() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 4, 5, 5]);
    let shortcut = net.conv(x, 4, 1);
    let y = net.conv(x, 4, 3);
    let y = net.unary(UnaryOp::Relu, y);
    let y = net.conv(y, 4, 3);
    let y = net.binary(BinaryOp::Add, shortcut, y);
    let y = net.unary(UnaryOp::Relu, y);
    assert_snapshot!(report(&net.outputs(&[y]), &[&FuseActivation, &FuseResidual, &FuseActivation]));
}

#[test]
fn factor_per_channel_goes_into_the_epilogue() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 4, 5, 5]);
    let y = net.conv(x, 4, 3);
    let y = net.unary(UnaryOp::Relu, y);
    let c = net.weight("c", &[4, 1, 1]);
    let y = net.binary(BinaryOp::Mul, y, c);
    let a = net.input("a", &[2, 3]);
    let w = net.weight("v", &[3, 4]);
    let z = net.op(matmul_op(), &[a, w]);
    let z = net.unary(UnaryOp::Gelu, z);
    let d = net.weight("d", &[1, 4]);
    let z = net.binary(BinaryOp::Mul, d, z);
    assert_snapshot!(report(&net.outputs(&[y, z]), &[&FuseActivation, &FuseResidual]));
}

#[test]
fn residual_stays_out_of_reach() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 4, 5, 5]);
    // A run-time operand per channel, a result that is broadcast, a second reader.
    let gate = net.input("gate", &[1, 4, 1, 1]);
    let a = net.conv(x, 4, 3);
    let a = net.binary(BinaryOp::Mul, a, gate);
    let small = net.conv(gate, 4, 1);
    let b = net.binary(BinaryOp::Add, small, x);
    let c = net.conv(x, 4, 3);
    let d = net.binary(BinaryOp::Add, c, x);
    assert_snapshot!(report(&net.outputs(&[a, b, c, d]), &[&FuseResidual]));
}

#[test]
fn chains_and_diamonds_become_one_node() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 4, 5, 5]);
    let c = net.weight("c", &[4, 1, 1]);
    let a = net.binary(BinaryOp::Mul, x, c);
    let half = net.number(0.5);
    let a = net.binary(BinaryOp::Sub, half, a);
    let left = net.unary(UnaryOp::Exp, a);
    let right = net.unary(UnaryOp::Sigmoid, a);
    let y = net.binary(BinaryOp::Add, left, right);
    assert_snapshot!(report(&net.outputs(&[y]), &[&FuseElementwise]));
}

#[test]
fn chain_does_not_repeat_work_for_a_broadcast() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 4, 5, 5]);
    let gate = net.input("gate", &[1, 4, 1, 1]);
    let gate = net.unary(UnaryOp::Sigmoid, gate);
    let y = net.binary(BinaryOp::Mul, x, gate);
    assert_snapshot!(report(&net.outputs(&[y]), &[&FuseElementwise]));
}

#[test]
fn chain_goes_into_the_convolution_that_it_follows() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 4, 5, 5]);
    let c = net.conv(x, 4, 3);
    let g = net.unary(UnaryOp::Softsign, c);
    let y = net.binary(BinaryOp::Mul, c, g);
    assert_snapshot!(report(&net.outputs(&[y]), &[&FuseElementwise]));
}

fn unit(net: &mut Net, x: ValueId, channels: usize, k: usize) -> ValueId {
    let y = net.conv(x, channels, k);
    net.batchnorm(y)
}

#[test]
fn residual_block_is_nothing_but_convolutions() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 4, 6, 6]);
    let y = unit(&mut net, x, 2, 1);
    let y = net.unary(UnaryOp::Relu, y);
    let y = unit(&mut net, y, 2, 3);
    let y = net.unary(UnaryOp::Relu, y);
    let y = unit(&mut net, y, 8, 1);
    let shortcut = unit(&mut net, x, 8, 1);
    let y = net.binary(BinaryOp::Add, y, shortcut);
    let block = net.unary(UnaryOp::Relu, y);
    let y = unit(&mut net, block, 8, 3);
    let y = net.binary(BinaryOp::Add, y, block);
    let y = net.unary(UnaryOp::Relu, y);
    let graph = net.outputs(&[y]);
    let outcome = optimize(graph.clone(), &PassOptions::default()).unwrap();
    assert_same(&graph, &outcome.graph);
    assert_eq!(ops(&outcome.graph), ["Conv"; 5]);
    assert_snapshot!(show(&outcome.graph));
}

#[test]
fn norm_before_activation_becomes_one_chain() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 4, 6, 6]);
    let y = net.batchnorm(x);
    let y = net.unary(UnaryOp::Relu, y);
    let y = net.conv(y, 8, 3);
    let graph = net.outputs(&[y]);
    let outcome = optimize(graph.clone(), &PassOptions::default()).unwrap();
    assert_same(&graph, &outcome.graph);
    assert_eq!(ops(&outcome.graph), ["Elementwise", "Conv"]);
}
