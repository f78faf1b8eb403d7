//! drop-identity, merge-duplicates, drop-dead, fold-shapes, fold-constants, and the passes that move data less.

use super::support::*;
use crate::ir::*;
use crate::pass::drop_dead::DropDead;
use crate::pass::drop_identity::DropIdentity;
use crate::pass::fold_constants::FoldConstants;
use crate::pass::fold_shapes::FoldShapes;
use crate::pass::gather_to_slice::GatherToSlice;
use crate::pass::lift_conv1d::LiftConv1d;
use crate::pass::merge_duplicates::MergeDuplicates;
use crate::pass::simplify_concat::SimplifyConcat;
use crate::pass::sink_transposes::SinkTransposes;
use crate::pass::whole_rows::WholeRows;
use crate::pass::widen_halves::WidenHalves;
use crate::pass::{Limits, PassOptions, once, repeat, run_stages};
use brolga_runtime::DType;
use brolga_runtime::library::Function;
use insta::assert_snapshot;

fn transpose(perm: &[usize]) -> Op {
    Op::Transpose { perm: perm.to_vec() }
}

fn reshape(shape: &[i64]) -> Op {
    Op::Reshape { shape: Ints::Known(shape.iter().map(|d| Dim::Const(*d)).collect()), allow_zero: false }
}

fn slice(axis: usize, begin: i64, end: i64) -> Op {
    let one = |n| Ints::Known(vec![Dim::Const(n)]);
    Op::Slice { axes: vec![axis], starts: one(begin), ends: one(end), steps: vec![1] }
}

#[test]
fn nodes_without_effect_go() {
    let mut net = Net::new();
    let x = net.input("x", &[2, 3, 4]);
    let (zero, one) = (net.number(0.0), net.number(1.0));
    let y = net.op(reshape(&[2, -1, 4]), &[x]);
    let y = net.op(Op::Cast(DType::F32), &[y]);
    let y = net.op(slice(1, 0, i64::MAX), &[y]);
    let y = net.op(transpose(&[2, 0, 1]), &[y]);
    let y = net.op(transpose(&[1, 2, 0]), &[y]);
    let y = net.binary(BinaryOp::Add, zero, y);
    let y = net.binary(BinaryOp::Mul, y, one);
    let y = net.unary(UnaryOp::Relu, y);
    let z = net.op(reshape(&[6, 4]), &[x]);
    let z = net.op(reshape(&[3, 8]), &[z]);
    assert_snapshot!(report(&net.outputs(&[y, z]), &[&DropIdentity]));
}

#[test]
fn nodes_with_an_effect_stay() {
    let mut net = Net::new();
    let x = net.input("x", &[2, 2, 4]);
    let column = net.weight("ones", &[1]);
    let backwards = Op::Slice {
        axes: vec![2],
        starts: Ints::Known(vec![Dim::Const(-1)]),
        ends: Ints::Known(vec![Dim::Const(i64::MIN)]),
        steps: vec![-1],
    };
    let a = net.op(backwards, &[x]);
    let b = net.op(transpose(&[1, 0, 2]), &[x]);
    let c = net.binary(BinaryOp::Mul, x, column);
    let scalar = net.input("s", &[]);
    let ones = net.graph.add_weight("", Weight::splat(DType::F32, vec![2], [0, 0, 128, 63, 0, 0, 0, 0]));
    let d = net.binary(BinaryOp::Mul, scalar, ones);
    let graph = net.outputs(&[a, b, c, d]);
    assert_eq!(ops(&run(&graph, &[&DropIdentity]).graph).len(), 4);
}

#[test]
fn transpose_of_unit_dimensions_is_a_reshape() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 1, 4]);
    let y = net.op(transpose(&[2, 1, 3, 0]), &[x]);
    assert_snapshot!(report(&net.outputs(&[y]), &[&DropIdentity]));
}

#[test]
fn equal_nodes_and_constants_become_one() {
    let mut net = Net::new();
    let x = net.input("x", &[2, 3]);
    let (two, again) = (net.number(2.0), net.number(2.0));
    let a = net.binary(BinaryOp::Mul, x, two);
    let b = net.binary(BinaryOp::Mul, x, again);
    let c = net.binary(BinaryOp::Add, a, b);
    let d = net.binary(BinaryOp::Sub, x, two);
    assert_snapshot!(report(&net.outputs(&[c, d]), &[&MergeDuplicates]));
}

#[test]
fn dead_nodes_and_unread_indices_go() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 2, 4, 4]);
    let dead = net.unary(UnaryOp::Exp, x);
    net.unary(UnaryOp::Relu, dead);
    let op = Op::Pool { kind: PoolKind::Max, window: window(2, 0), ceil: false, column_major: false };
    let y = net.graph.add_node(op, &[x], 2, "pool").unwrap()[0];
    assert_snapshot!(report(&net.outputs(&[y]), &[&DropDead]));
}

#[test]
fn shape_arithmetic_becomes_an_attribute() {
    let mut net = Net::new();
    let batch = Type::new(DType::F32, vec![Dim::symbol("n"), Dim::Const(3), Dim::Const(4)]);
    let x = net.graph.add_input("x", batch);
    let shape = net.op(Op::Shape { begin: 0, end: 3 }, &[x]);
    let first = net.op(slice(0, 0, 1), &[shape]);
    let last = net.op(slice(0, 2, 3), &[shape]);
    let minus = net.ints(&[-1]);
    let target = net.op(Op::Concat { axis: 0 }, &[first, minus]);
    let y = net.op(Op::Reshape { shape: Ints::Input(1), allow_zero: false }, &[x, target]);
    let graph = net.outputs(&[y, last]);
    let outcome = run(&graph, &[&FoldShapes, &DropDead]);
    assert_eq!(ops(&outcome.graph), ["Reshape"]);
    assert_snapshot!(format!("{}--- after\n{}", show(&graph), show(&outcome.graph)));
}

#[test]
fn constants_are_computed_or_stay_expressions() {
    let mut net = Net::new();
    let w = net.weight("w", &[3, 4]);
    let t = net.op(transpose(&[1, 0]), &[w]);
    let t = net.op(reshape(&[2, 6]), &[t]);
    let e = net.unary(UnaryOp::Exp, w);
    let shape = Ints::Known(vec![Dim::Const(100), Dim::Const(100), Dim::Const(100)]);
    let large = net.op(Op::ConstantOfShape { shape, dtype: DType::F32, value: 3.0 }, &[]);
    let two = net.number(2.0);
    let large = net.binary(BinaryOp::Mul, large, two);
    let large = net.op(slice(0, 0, 1), &[large]);
    let large = net.op(slice(1, 0, 2), &[large]);
    let large = net.op(slice(2, 0, 3), &[large]);
    assert_snapshot!(report(&net.outputs(&[t, e, large]), &[&FoldConstants]));
}

#[test]
fn constants_over_the_budget_are_left_or_refused() {
    let build = |factor: usize| {
        let mut net = Net::new();
        let w = net.weight("w", &[1, 100_000]);
        let shape = Ints::Known(vec![Dim::from(factor), Dim::Const(100_000)]);
        let y = net.op(Op::Expand { shape }, &[w]);
        net.outputs(&[y])
    };
    let run = |factor, limits: Limits| {
        let options = PassOptions { limits, ..PassOptions::default() };
        run_stages(build(factor), &[once("test", &[&FoldConstants])], &options)
    };
    assert_eq!(ops(&run(3, Limits::default()).unwrap().graph), [""; 0]);
    // Grows too much; over the total; over what may exist at all.
    assert_eq!(ops(&run(20, Limits::default()).unwrap().graph), ["Expand"]);
    let tight = Limits { folded_bytes: 1 << 19, ..Limits::default() };
    assert_eq!(ops(&run(3, tight).unwrap().graph), ["Expand"]);
    let error = run(1 << 20, Limits::default()).unwrap_err();
    assert!(error.is_budget(), "{error}");
}

/// What is large on the way only is evaluated and let go; it stays where the run reads it, and where it would be too much at once.
#[test]
fn constants_that_are_large_on_the_way_are_folded() {
    let build = |read: bool| {
        let mut net = Net::new();
        let w = net.weight("w", &[1, 100_000]);
        let shape = Ints::Known(vec![Dim::Const(20), Dim::Const(100_000)]);
        let grown = net.op(Op::Expand { shape }, &[w]);
        let twice = net.op(Op::Concat { axis: 0 }, &[grown, grown]);
        let kind = ReduceKind::Mean;
        let ys = [twice, grown].map(|v| net.op(Op::Reduce { kind, axes: vec![0], keep: true }, &[v]));
        let all = if read { vec![ys[0], ys[1], twice] } else { ys.to_vec() };
        net.outputs(&all)
    };
    let run = |read, limits: Limits| {
        let options = PassOptions { limits, ..PassOptions::default() };
        let after = run_stages(build(read), &[once("test", &[&FoldConstants, &DropDead])], &options).unwrap().graph;
        assert_same(&build(read), &after);
        ops(&after)
    };
    assert_eq!(run(false, Limits::default()), [""; 0]);
    assert_eq!(run(true, Limits::default()), ["Expand", "Concat"]);
    // 24 MB on the way.
    let tight = Limits { folded_bytes: 20 << 20, ..Limits::default() };
    assert_eq!(run(false, tight), ["Expand", "Concat", "Reduce", "Reduce"]);
}

/// A row that does not exist is an error of the run, and nothing that reads it is a constant.
#[test]
fn constants_that_cannot_be_evaluated_are_left() {
    let mut net = Net::new();
    let w = net.weight("w", &[1, 100_000]);
    let rows = net.ints(&[[0; 19].as_slice(), &[7]].concat());
    let grown = net.op(Op::Gather { axis: 0 }, &[w, rows]);
    let y = net.op(Op::Reduce { kind: ReduceKind::Mean, axes: vec![0], keep: true }, &[grown]);
    let outcome = run(&net.outputs(&[y]), &[&FoldConstants]);
    let why: Vec<&str> = outcome.log[0].refused.iter().map(|remark| remark.why.as_str()).collect();
    assert!(why.contains(&"an operand cannot be evaluated: computed at run time"), "{why:?}");
    assert_eq!(ops(&outcome.graph), ["Gather", "Reduce"]);
}

#[test]
fn folding_is_charged_for_what_constants_grow_by() {
    let mean = Op::Reduce { kind: ReduceKind::Mean, axes: vec![1], keep: true };
    // Standardised weights: two passes over 400,000 bytes, which are let go in the end.
    let standardised = |net: &mut Net, name: &str| {
        let w = net.weight(name, &[100, 1000]);
        let m = net.op(mean.clone(), &[w]);
        let d = net.binary(BinaryOp::Sub, w, m);
        let square = net.binary(BinaryOp::Mul, d, d);
        let variance = net.op(mean.clone(), &[square]);
        net.binary(BinaryOp::Div, d, variance)
    };
    let run = |count: usize, kept: bool, limits: Limits| {
        let mut net = Net::new();
        let mut outputs: Vec<ValueId> = (0..count).map(|i| standardised(&mut net, &format!("w{i}"))).collect();
        if kept {
            outputs.extend(net.graph.values().filter(|(_, v)| v.name.starts_with('w')).map(|(id, _)| id));
        }
        let options = PassOptions { limits, ..PassOptions::default() };
        ops(&run_stages(net.outputs(&outputs), &[repeat("test", 8, &[&FoldConstants])], &options).unwrap().graph).len()
    };
    let tight = Limits { folded_bytes: 900_000, folded_work: 32, ..Limits::default() };
    assert_eq!(run(10, false, tight.clone()), 0);
    // The originals stay: what one set leaves and one step of another are all that fit.
    assert_eq!(run(10, true, tight.clone()), 3 + 8 * 4);
    // Time runs out before memory does.
    assert!(run(10, false, Limits { folded_work: 1, ..tight }) > 8);
}

#[test]
fn halves_are_computed_on_in_f32_and_rounded_once() {
    let mut net = Net::new();
    let half = |net: &mut Net, v| net.op(Op::Cast(DType::F16), &[v]);
    let (x, w, two) = (net.input("x", &[2, 4]), net.weight("w", &[4, 4]), net.number(2.0));
    let (x, w, two) = (half(&mut net, x), half(&mut net, w), half(&mut net, two));
    let product = Op::MatMul { trans_a: false, trans_b: false, bias: false, epilogue: Expression::default() };
    let y = net.op(product, &[x, w]);
    let y = net.op(transpose(&[1, 0]), &[y]);
    let y = net.binary(BinaryOp::Mul, y, two);
    let moved = net.op(transpose(&[1, 0]), &[x]);
    let equal = net.binary(BinaryOp::Equal, y, moved);
    let stages = [once("test", &[&WidenHalves, &DropDead])];
    let graph = run_stages(net.outputs(&[y, moved, equal]), &stages, &PassOptions::default()).unwrap().graph;
    let found = ops(&graph);
    let count = |name: &str| found.iter().filter(|op| op.starts_with(name)).count();
    // To halves: three of the model, one result. To f32: three operands. Data that is only moved stays.
    assert_eq!([count("Cast"), count("Transpose"), count("MatMul")], [7, 2, 1], "{found:?}");
    let dtypes = graph.nodes().map(|node| (node.op.clone(), graph.ty(node.outputs[0]).dtype));
    let f32s = dtypes.filter(|(op, dtype)| !matches!(op, Op::Cast(_)) && *dtype == DType::F32).count();
    assert_eq!(f32s, 3);
    let types: Vec<DType> = graph.outputs().iter().map(|(_, v)| graph.ty(*v).dtype).collect();
    assert_eq!(types, [DType::F16, DType::F16, DType::Bool]);
}

#[test]
fn halves_are_sampled_in_f32() {
    for image in [DType::F16, DType::I32] {
        let mut net = Net::new();
        let (x, at) = (net.input("x", &[1, 2, 3, 3]), net.input("at", &[1, 2, 2, 2]));
        let (x, at) = (net.op(Op::Cast(image), &[x]), net.op(Op::Cast(DType::F16), &[at]));
        let function = Function { operands: vec![true; 2], ..Function::new("grid_sample", 2) };
        let y = net.op(Op::Function { function, results: vec![Type::known(image, &[1, 2, 2, 2])] }, &[x, at]);
        let before = net.outputs(&[y]);
        let after = run(&before, &[&WidenHalves]).graph;
        assert_eq!(after.ty(after.outputs()[0].1).dtype, image);
        let sampled = after.nodes().find(|node| matches!(node.op, Op::Function { .. })).unwrap();
        let wanted = if image == DType::F16 { DType::F32 } else { image };
        assert_eq!(after.ty(sampled.outputs[0]).dtype, wanted);
        assert_eq!(after.ty(sampled.inputs[1]).dtype, DType::F32);
    }
}

#[test]
fn consecutive_rows_are_a_slice() {
    let mut net = Net::new();
    let x = net.input("x", &[2, 5, 3]);
    let last = net.graph.add_weight("", Weight::from_tensor(&brolga_runtime::Tensor::scalar(-1i64)));
    let a = net.op(Op::Gather { axis: 1 }, &[x, last]);
    let rows = net.ints(&[1, 2, 3]);
    let b = net.op(Op::Gather { axis: 1 }, &[x, rows]);
    let mixed = net.ints(&[2, 0]);
    let c = net.op(Op::Gather { axis: 1 }, &[x, mixed]);
    assert_snapshot!(report(&net.outputs(&[a, b, c]), &[&GatherToSlice]));
}

#[test]
fn concatenations_of_pieces_get_simpler() {
    let mut net = Net::new();
    let x = net.input("x", &[2, 6]);
    let z = net.input("z", &[2, 2]);
    let (a, b) = (net.op(slice(1, 0, 2), &[x]), net.op(slice(1, 2, 6), &[x]));
    let inner = net.op(Op::Concat { axis: 1 }, &[a, b]);
    let y = net.op(Op::Concat { axis: 1 }, &[inner, z]);
    let part = net.op(slice(1, 6, 8), &[y]);
    let across = net.op(slice(1, 5, 7), &[y]);
    assert_snapshot!(report(&net.outputs(&[y, part, across]), &[&SimplifyConcat, &DropIdentity]));
}

#[test]
fn transposes_sink_and_cancel() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 4, 5]);
    let c = net.weight("c", &[3]);
    let t = net.op(transpose(&[0, 2, 3, 1]), &[x]);
    let t = net.binary(BinaryOp::Mul, t, c);
    let t = net.unary(UnaryOp::Relu, t);
    let y = net.op(transpose(&[0, 3, 1, 2]), &[t]);
    assert_snapshot!(report(&net.outputs(&[y]), &[&FoldConstants, &SinkTransposes, &DropIdentity]));
}

#[test]
fn transposes_sink_through_reductions_and_concatenations() {
    let mut net = Net::new();
    let x = net.input("x", &[2, 3, 4, 5]);
    let z = net.input("z", &[2, 7, 4, 5]);
    let (a, b) = (net.op(transpose(&[0, 2, 3, 1]), &[x]), net.op(transpose(&[0, 2, 3, 1]), &[z]));
    let y = net.op(Op::Concat { axis: 3 }, &[a, b]);
    let y = net.op(Op::Softmax { axis: 3, log: false }, &[y]);
    let y = net.op(Op::Reduce { kind: ReduceKind::Mean, axes: vec![1], keep: false }, &[y]);
    assert_snapshot!(report(&net.outputs(&[y]), &[&SinkTransposes]));
}

#[test]
fn transpose_becomes_a_flag_of_the_product_or_stays() {
    let mut net = Net::new();
    let (a, b) = (net.input("a", &[2, 3, 4]), net.input("b", &[2, 5, 4]));
    let t = net.op(transpose(&[0, 2, 1]), &[b]);
    let y = net.op(matmul_op(), &[a, t]);
    let u = net.op(transpose(&[0, 2, 1]), &[a]);
    let v = net.unary(UnaryOp::Relu, u);
    assert_snapshot!(report(&net.outputs(&[y, u, v]), &[&SinkTransposes]));
}

#[test]
fn one_dimension_becomes_a_row() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 9]);
    let (w, b) = (net.weight("w", &[4, 3, 3]), net.weight("b", &[4]));
    let line = Window {
        kernel: vec![3],
        stride: vec![2],
        dilation: vec![1],
        pad_begin: vec![1],
        pad_end: vec![0],
        auto_pad: AutoPad::Explicit,
    };
    let y = net.op(conv_op(line.clone(), 1, true), &[x, w, b]);
    let pool = Op::Pool {
        kind: PoolKind::Average { count_pad: true },
        window: Window { pad_begin: vec![0], ..line },
        ceil: false,
        column_major: false,
    };
    let y = net.op(pool, &[y]);
    assert_snapshot!(report(&net.outputs(&[y]), &[&LiftConv1d, &DropIdentity]));
}

/// Odd padding, and windows that skip elements: none.
#[test]
fn automatic_padding_becomes_numbers() {
    for (auto_pad, k, stride, wanted) in [
        (AutoPad::SameLower, 2, 1, [1, 0]),
        (AutoPad::SameUpper, 2, 1, [0, 1]),
        (AutoPad::SameUpper, 1, 3, [0, 0]),
        (AutoPad::SameLower, 1, 3, [0, 0]),
    ] {
        let mut net = Net::new();
        let (x, w) = (net.input("x", &[1, 2, 6, 6]), net.weight("w", &[3, 2, k, k]));
        let window = Window { stride: vec![stride; 2], auto_pad, ..window(k, 0) };
        let y = net.op(conv_op(window.clone(), 1, false), &[x, w]);
        let kind = PoolKind::Average { count_pad: false };
        let z = net.op(Op::Pool { kind, window, ceil: false, column_major: false }, &[x]);
        let graph = net.outputs(&[y, z]);
        let after = run(&graph, &[&FoldShapes]).graph;
        assert_same(&graph, &after);
        for node in after.nodes() {
            let (Op::Conv { window, .. } | Op::Pool { window, .. }) = &node.op else { continue };
            assert_eq!((window.pad_begin[0], window.pad_end[1]), (wanted[0], wanted[1]));
            assert_eq!(window.auto_pad, AutoPad::Explicit);
        }
    }
}

/// An index of one element a row, expanded to rows of `shape`.
fn expanded(net: &mut Net, index: &[i64], own: &[usize], shape: &[i64]) -> ValueId {
    let index = brolga_runtime::Tensor::from_slice(own, index).unwrap();
    let index = net.graph.add_weight("rows", Weight::from_tensor(&index));
    let shape = Ints::Known(shape.iter().map(|d| Dim::Const(*d)).collect());
    net.op(Op::Expand { shape }, &[index])
}

#[test]
fn expanded_indices_move_whole_rows() {
    let mut net = Net::new();
    let (x, updates) = (net.input("x", &[5, 2, 3]), net.input("updates", &[2, 2, 3]));
    let rows = expanded(&mut net, &[4, -5], &[2, 1, 1], &[2, 2, 3]);
    let replaced = net.op(Op::ScatterElements { axis: 0, reduction: ScatterKind::Replace }, &[x, rows, updates]);
    let added = net.op(Op::ScatterElements { axis: 0, reduction: ScatterKind::Add }, &[x, rows, updates]);
    let gathered = net.op(Op::GatherElements { axis: 0 }, &[x, rows]);
    let each = expanded(&mut net, &[1, 0, 1, -1, 0], &[5, 1, 1], &[5, 1, 3]);
    let apart = net.op(Op::GatherElements { axis: 1 }, &[x, each]);
    let repeats = Ints::Known([5, 1, 3].map(Dim::Const).to_vec());
    let index = brolga_runtime::Tensor::from_slice(&[1, 4, 1], &[1i64, 1, 0, 1]).unwrap();
    let index = net.graph.add_weight("tiled", Weight::from_tensor(&index));
    let tiled = net.op(Op::Tile { repeats }, &[index]);
    let tiled = net.op(Op::GatherElements { axis: 1 }, &[x, tiled]);
    assert_snapshot!(report(&net.outputs(&[replaced, added, gathered, apart, tiled]), &[&WholeRows, &DropDead]));
}

#[test]
fn indices_that_differ_within_rows_stay() {
    let mut net = Net::new();
    let (x, updates) = (net.input("x", &[5, 2, 3]), net.input("updates", &[5, 2, 3]));
    // Along another dimension than the first, of part of each row, each element by its own, and one index for all rows.
    let inner = expanded(&mut net, &[1, 0], &[1, 2, 1], &[5, 2, 3]);
    let inner = net.op(Op::ScatterElements { axis: 1, reduction: ScatterKind::Replace }, &[x, inner, updates]);
    let part = expanded(&mut net, &[4, 0], &[2, 1, 1], &[2, 2, 2]);
    let part = net.op(Op::GatherElements { axis: 0 }, &[x, part]);
    let each = expanded(&mut net, &[0, 1, 2], &[1, 1, 3], &[2, 2, 3]);
    let each = net.op(Op::GatherElements { axis: 0 }, &[x, each]);
    let one = expanded(&mut net, &[3], &[1, 1, 1], &[2, 2, 3]);
    let one = net.op(Op::GatherElements { axis: 0 }, &[x, one]);
    assert_snapshot!(report(&net.outputs(&[inner, part, each, one]), &[&WholeRows]));
}
