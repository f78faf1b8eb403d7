//! Layouts: what is kept in channel blocks, with which halo, and where reorders go.

use super::support::*;
use crate::ir::*;
use crate::pass::drop_dead::DropDead;
use crate::pass::pick_layout::PickLayout;
use brolga_runtime::DType;
use brolga_runtime::library::Function;

fn laid_out(graph: &Graph) -> String {
    report(graph, &[&PickLayout { lanes: 16 }, &DropDead])
}

fn sample(net: &mut Net, x: ValueId, grid: ValueId) -> ValueId {
    let (image, places) = (net.graph.ty(x).dims().unwrap(), net.graph.ty(grid).dims().unwrap());
    let shape = [image[0], image[1], places[1], places[2]];
    let function = Function { operands: vec![true; 2], ..Function::new("grid_sample", 2) };
    net.op(Op::Function { function, results: vec![Type::known(DType::F32, &shape)] }, &[x, grid])
}

#[test]
fn convolutions_read_planes_then_blocks() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 8, 8]);
    let a = net.conv(x, 16, 3);
    let b = net.conv(a, 16, 5);
    let sum = net.binary(BinaryOp::Add, a, b);
    let y = net.conv(sum, 7, 1);
    insta::assert_snapshot!(laid_out(&net.outputs(&[y, sum])));
}

#[test]
fn concatenations_of_whole_blocks_share_a_halo() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 16, 6, 6]);
    let (a, b) = (net.conv(x, 16, 1), net.conv(x, 8, 1));
    let whole = net.op(Op::Concat { axis: 1 }, &[a, b]);
    let ragged = net.op(Op::Concat { axis: 1 }, &[b, a]);
    let (y, z) = (net.conv(whole, 4, 3), net.conv(ragged, 4, 3));
    insta::assert_snapshot!(laid_out(&net.outputs(&[y, z])));
}

#[test]
fn samples_of_blocks_are_blocks_and_their_grids_plain() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 4, 6, 6]);
    let features = net.conv(x, 16, 3);
    let flow = net.conv(features, 2, 3);
    let grid = net.op(Op::Transpose { perm: vec![0, 2, 3, 1] }, &[flow]);
    let warped = sample(&mut net, features, grid);
    let y = net.conv(warped, 8, 3);
    insta::assert_snapshot!(laid_out(&net.outputs(&[y])));
}

#[test]
fn nothing_in_blocks_where_nothing_convolves() {
    let mut net = Net::new();
    let (x, grid) = (net.input("x", &[1, 3, 6, 6]), net.input("grid", &[1, 4, 5, 2]));
    // Three channels would leave most lanes of a block empty.
    let sampled = sample(&mut net, x, grid);
    // Constants stay as they are.
    let table = net.weight("table", &[1, 16, 6, 6]);
    let looked_up = sample(&mut net, table, grid);
    let rows =
        net.op(Op::Reshape { shape: Ints::Known(vec![Dim::Const(12), Dim::Const(5)]), allow_zero: true }, &[sampled]);
    let w = net.weight("w", &[5, 4]);
    let y = net.op(matmul_op(), &[rows, w]);
    let graph = net.outputs(&[y, looked_up]);
    let outcome = run(&graph, &[&PickLayout { lanes: 16 }]);
    assert!(outcome.log.iter().all(|record| record.patches.is_empty()), "{}", show(&outcome.graph));
    assert_eq!(outcome.graph.phase, Phase::LaidOut);
}
