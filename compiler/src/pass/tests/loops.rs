//! Loops that append.

use super::support::*;
use crate::ir::*;
use crate::pass::stack_appended::StackAppended;
use brolga_runtime::{DType, Tensor};

/// A loop over the rows of `x` that appends what `piece` makes of each to a carried tensor, beside another carried tensor;
/// its rows, once the tensor at the start has `begin` of them.
fn appending(begin: usize, trips: i64, piece: &dyn Fn(&mut Net, ValueId) -> ValueId, first: bool) -> Graph {
    let mut body = Net::new();
    let index = body.graph.add_input("i", Type::known(DType::I64, &[]));
    body.graph.add_input("go", Type::known(DType::Bool, &[]));
    let sum = body.input("sum", &[2]);
    let rows = body.graph.add_input("rows", Type::new(DType::F32, vec![Dim::symbol("k"), Dim::Const(2)]));
    let x = body.input("x", &[3, 2]);
    let row = body.op(Op::Gather { axis: 0 }, &[x, index]);
    let next = body.binary(BinaryOp::Add, sum, row);
    let part = piece(&mut body, row);
    let appended = body.op(Op::Concat { axis: 0 }, &if first { [rows, part] } else { [part, rows] });
    let go = body.graph.add_weight("", Weight::from_tensor(&Tensor::from_bools(&[], &[true]).unwrap()));
    let body = Body::new(body.outputs(&[go, next, appended]));

    let mut net = Net::new();
    let (x, sum) = (net.input("x", &[3, 2]), net.input("sum", &[2]));
    let start = if begin == 0 {
        net.graph.add_weight("empty", Weight::from_tensor(&Tensor::from_slice::<f32>(&[0, 2], &[]).unwrap()))
    } else {
        net.weight("start", &[begin, 2])
    };
    let trip = net.graph.add_weight("trip", Weight::from_tensor(&Tensor::scalar(trips)));
    let go = net.graph.add_weight("go", Weight::from_tensor(&Tensor::from_bools(&[], &[true]).unwrap()));
    let results = vec![Type::known(DType::F32, &[2]), Type::new(DType::F32, vec![Dim::symbol("n"), Dim::Const(2)])];
    let op = Op::Loop { body, trip: true, condition: true, carried: 2, results };
    let made = net.graph.add_node(op, &[trip, go, sum, start, x], 2, "loop").unwrap();
    net.outputs(&made)
}

fn unsqueezed(net: &mut Net, row: ValueId) -> ValueId {
    let shape = Ints::Known(vec![Dim::Const(1), Dim::Const(2)]);
    net.op(Op::Reshape { shape, allow_zero: true }, &[row])
}

#[test]
fn appended_rows_are_stacked() {
    insta::assert_snapshot!(report(&appending(0, 3, &unsqueezed, true), &[&StackAppended]));
    // No iteration: no rows, of their extents.
    let none = appending(0, 0, &unsqueezed, true);
    let after = run(&none, &[&StackAppended]).graph;
    assert_same(&none, &after);
}

/// Two tensors that a loop appends to, of which only the second begins empty.
#[test]
fn the_one_that_begins_empty_is_stacked() {
    let rows = |name: &str| Type::new(DType::F32, vec![Dim::symbol(name), Dim::Const(2)]);
    let mut body = Net::new();
    let index = body.graph.add_input("i", Type::known(DType::I64, &[]));
    let go = body.graph.add_input("go", Type::known(DType::Bool, &[]));
    let states = ["k", "l"].map(|name| body.graph.add_input(name, rows(name)));
    let x = body.input("x", &[3, 2]);
    let row = body.op(Op::Gather { axis: 0 }, &[x, index]);
    let next = states.map(|state| {
        let part = unsqueezed(&mut body, row);
        body.op(Op::Concat { axis: 0 }, &[state, part])
    });
    let body = Body::new(body.outputs(&[go, next[0], next[1]]));

    let mut net = Net::new();
    let (x, start) = (net.input("x", &[3, 2]), net.weight("start", &[1, 2]));
    let constant = |net: &mut Net, tensor: Tensor| net.graph.add_weight("", Weight::from_tensor(&tensor));
    let empty = constant(&mut net, Tensor::from_slice::<f32>(&[0, 2], &[]).unwrap());
    let (trip, go) =
        (constant(&mut net, Tensor::scalar(3i64)), constant(&mut net, Tensor::from_bools(&[], &[true]).unwrap()));
    let op = Op::Loop { body, trip: true, condition: true, carried: 2, results: vec![rows("m"), rows("n")] };
    let made = net.graph.add_node(op, &[trip, go, start, empty, x], 2, "loop").unwrap();
    let graph = net.outputs(&made);
    let after = run(&graph, &[&StackAppended]).graph;
    assert_same(&graph, &after);
    let carried: Vec<usize> = after
        .nodes()
        .filter_map(|node| if let Op::Loop { carried, .. } = node.op { Some(carried) } else { None })
        .collect();
    assert_eq!(carried, [1]);
}

#[test]
fn other_ways_to_grow_stay() {
    let log = |graph: &Graph| {
        let outcome = run(graph, &[&StackAppended]);
        let refused: Vec<String> = outcome.log[0].refused.iter().map(|remark| remark.why.clone()).collect();
        (outcome.log[0].patches.len(), refused)
    };
    let two = |net: &mut Net, row: ValueId| {
        let row = unsqueezed(net, row);
        net.op(Op::Concat { axis: 0 }, &[row, row])
    };
    assert_eq!(log(&appending(1, 3, &unsqueezed, true)), (0, vec!["it does not append to an empty tensor".to_owned()]));
    assert_eq!(log(&appending(0, 3, &unsqueezed, false)), (0, vec![]));
    assert_eq!(log(&appending(0, 3, &two, true)), (0, vec![]));
}
