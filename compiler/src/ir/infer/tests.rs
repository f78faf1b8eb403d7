//! Typing rules on numbers and symbols, and what they refuse.

use crate::ir::infer::InferError;
use crate::ir::*;
use brolga_runtime::{DType, Tensor};

fn window(kernel: &[usize], stride: usize, pad: i64) -> Window {
    let n = kernel.len();
    Window {
        kernel: kernel.to_vec(),
        stride: vec![stride; n],
        dilation: vec![1; n],
        pad_begin: vec![pad; n],
        pad_end: vec![pad; n],
        auto_pad: AutoPad::Explicit,
    }
}
fn conv(window: Window, group: usize) -> Op {
    Op::Conv { window, group, bias: false, epilogue: Expression::default() }
}
fn dims(list: &[i64]) -> Vec<Dim> {
    list.iter().map(|n| Dim::Const(*n)).collect()
}
fn known(list: &[i64]) -> Ints {
    Ints::Known(dims(list))
}
/// The printed type of the first result of an operation on f32 operands of these shapes.
fn typed(op: Op, shapes: &[&[i64]]) -> Result<String, InferError> {
    let mut graph = Graph::new("t");
    let ids: Vec<ValueId> = shapes.iter().map(|s| graph.add_input("x", Type::new(DType::F32, dims(s)))).collect();
    let out = graph.add_node(op, &ids, 1, "node")?;
    Ok(graph.ty(out[0]).to_string())
}

#[test]
fn the_larger_of_extents_holds_each_once() {
    let (s, t) = (Dim::symbol("s"), Dim::symbol("t"));
    let both = s.larger(&t);
    assert_ne!(both, s);
    assert_eq!((both.larger(&s), t.larger(&both)), (both.clone(), both.clone()));
    assert_ne!(both.larger(&Dim::symbol("u")), both);
}

#[test]
fn products_have_one_order() {
    let (b, n, four) = (Dim::symbol("b"), Dim::symbol("n"), Dim::Const(4));
    assert_eq!(four.mul(&b), b.mul(&four));
    assert_eq!(n.mul(&b), b.mul(&n));
    assert_eq!(four.mul(&b).mul(&n).to_string(), "((b * n) * 4)");
    assert_eq!(b.mul(&n.mul(&four)), b.mul(&four).mul(&n));
    assert_eq!(b.mul(&four).mul(&Dim::Const(98)), b.mul(&Dim::Const(392)));
    assert_eq!(four.mul(&b).larger(&b.mul(&four)), b.mul(&four));
    // What does not fit stays a product of two numbers.
    let large = Dim::Const(i64::MAX);
    assert_eq!(b.mul(&large).mul(&four).known(), None);
}

#[test]
fn windows() {
    let ok = |op, shapes: &[&[i64]], wanted: &str| assert_eq!(typed(op, shapes).unwrap(), wanted);
    ok(conv(window(&[3, 3], 2, 1), 1), &[&[1, 3, 224, 224], &[64, 3, 3, 3]], "f32[1, 64, 112, 112]");
    ok(conv(window(&[3, 3], 1, 1), 8), &[&[1, 8, 7, 7], &[16, 1, 3, 3]], "f32[1, 16, 7, 7]");
    let same = Window { auto_pad: AutoPad::SameUpper, ..window(&[3], 2, 0) };
    ok(conv(same.clone(), 1), &[&[1, 2, 7], &[2, 2, 3]], "f32[1, 2, 4]");
    assert_eq!(infer::conv_pads(&same, &[6]), (vec![0], vec![1]));
    // A window that skips elements begins with the first one.
    let sparse = Window { auto_pad: AutoPad::SameUpper, ..window(&[1], 4, 0) };
    assert_eq!(infer::conv_pads(&sparse, &[9]), (vec![0], vec![0]));
    ok(conv(sparse, 1), &[&[1, 2, 9], &[2, 2, 1]], "f32[1, 2, 3]");
    let pool = |ceil| Op::Pool { kind: PoolKind::Max, window: window(&[2, 2], 2, 0), ceil, column_major: false };
    ok(pool(true), &[&[1, 1, 5, 5]], "f32[1, 1, 3, 3]");
    ok(pool(false), &[&[1, 1, 5, 5]], "f32[1, 1, 2, 2]");
    // The only window reaches past the data.
    let large = |ceil| Op::Pool { kind: PoolKind::Max, window: window(&[9, 9], 9, 0), ceil, column_major: false };
    ok(large(true), &[&[1, 1, 5, 5]], "f32[1, 1, 1, 1]");
    assert!(typed(large(false), &[&[1, 1, 5, 5]]).unwrap_err().to_string().contains("does not fit"));
    // The third window would begin in the padding after the data.
    let odd = Op::Pool { kind: PoolKind::Max, window: window(&[1], 2, 1), ceil: true, column_major: false };
    ok(odd, &[&[1, 1, 2]], "f32[1, 1, 2]");
    let up = Op::ConvTranspose {
        window: window(&[4, 4], 2, 1),
        output_pad: vec![0, 0],
        group: 1,
        bias: false,
        epilogue: Expression::default(),
    };
    ok(up, &[&[1, 8, 7, 7], &[8, 4, 4, 4]], "f32[1, 4, 14, 14]");
}

#[test]
fn refuses() {
    let x: &[i64] = &[1, 3, 8, 8];
    let cases: Vec<(Op, Vec<&[i64]>, &str)> = vec![
        (conv(window(&[3, 3], 0, 0), 1), vec![x, &[4, 3, 3, 3]], "stride"),
        (conv(window(&[0, 3], 1, 0), 1), vec![x, &[4, 3, 0, 3]], "kernel"),
        (conv(window(&[9, 9], 1, 0), 1), vec![x, &[4, 3, 9, 9]], "does not fit"),
        (conv(window(&[3, 3], 1, 0), 2), vec![x, &[4, 3, 3, 3]], "channels"),
        (conv(window(&[3, 3], 1, i64::MAX), 1), vec![x, &[4, 3, 3, 3]], "pads"),
        (conv(window(&[3, 3], 1, 0), 1), vec![x], "1 inputs"),
        (Op::Transpose { perm: vec![0, 0, 1, 2] }, vec![x], "permutation"),
        (Op::Reshape { shape: known(&[7, -1]), allow_zero: false }, vec![x], "shared out"),
        (Op::Reshape { shape: known(&[191]), allow_zero: false }, vec![x], "as many"),
        (Op::Softmax { axis: 4, log: false }, vec![x], "axis 4"),
        (Op::Binary(BinaryOp::Add), vec![x, &[5]], "broadcast"),
        (Op::Concat { axis: 1 }, vec![x, &[1, 3, 8, 9]], "others are"),
        (Op::Unary(UnaryOp::Not), vec![x], "bool"),
        (Op::Expand { shape: known(&[1 << 40, 3, 8, 8]) }, vec![x], "too large"),
        (Op::Tile { repeats: known(&[1 << 62, 1 << 62, 1, 1]) }, vec![x], "too large"),
        (Op::Slice { axes: vec![0], starts: known(&[0]), ends: known(&[1]), steps: vec![0] }, vec![x], "steps"),
        (
            Op::MatMul { trans_a: false, trans_b: false, bias: false, epilogue: Expression::default() },
            vec![x, &[7, 2]],
            "inner",
        ),
        (Op::DepthToSpace { block: 2, crd: false }, vec![x], "multiples of 4"),
        (Op::GroupNorm { groups: 2, epsilon: 0.0 }, vec![x, &[3], &[3]], "groups"),
    ];
    let count = cases.len();
    for (op, shapes, wanted) in cases {
        let error = typed(op.clone(), &shapes).expect_err(wanted).to_string();
        assert!(error.contains(wanted) && error.contains("'node'"), "{op:?}: {error}");
    }
    assert_eq!(count, 19);
}

/// `x.view(x.shape[0], -1)` and its like, on a symbolic batch.
#[test]
fn shape_arithmetic() {
    let mut g = Graph::new("t");
    let n = Dim::symbol("n");
    let x = g.add_input("x", Type::new(DType::F32, vec![n.clone(), Dim::Const(8), Dim::Const(2), Dim::Const(3)]));
    let i64s = |g: &mut Graph, list: &[i64]| {
        g.add_weight("c", Weight::from_tensor(&Tensor::from_slice(&[list.len()], list).unwrap()))
    };
    let shape = g.add_node(Op::Shape { begin: 0, end: 4 }, &[x], 1, "s").unwrap()[0];
    let zero = i64s(&mut g, &[0]);
    let batch = g.add_node(Op::Gather { axis: 0 }, &[shape, zero], 1, "g").unwrap()[0];
    assert_eq!(g.value(batch).content, Some(vec![n.clone()]));
    let two = i64s(&mut g, &[2]);
    let twice = g.add_node(Op::Binary(BinaryOp::Mul), &[batch, two], 1, "m").unwrap()[0];
    let rest = i64s(&mut g, &[4, -1]);
    let target = g.add_node(Op::Concat { axis: 0 }, &[twice, rest], 1, "c").unwrap()[0];
    let out = g.add_node(Op::Reshape { shape: Ints::Input(1), allow_zero: false }, &[x, target], 1, "r").unwrap()[0];
    assert_eq!(g.ty(out).to_string(), "f32[(n * 2), 4, 6]");
    g.add_output("y", out);

    let bound = g.bind(&Bindings::from([("n".into(), 5)])).unwrap();
    assert_eq!(bound.ty(out).to_string(), "f32[10, 4, 6]");
    assert_eq!(bound.value(target).content, Some(dims(&[10, 4, -1])));
    assert!(g.bind(&Bindings::from([("n".into(), -1)])).is_err());
    assert!(g.bind(&Bindings::from([("n".into(), 1 << 60)])).is_err());
}

#[test]
fn symbolic_extents() {
    let mut g = Graph::new("t");
    let h = Dim::symbol("h");
    let x = g.add_input("x", Type::new(DType::F32, vec![Dim::Const(1), Dim::Const(4), h.clone(), h]));
    let w = g.add_input("w", Type::known(DType::F32, &[4, 4, 3, 3]));
    let y = g.add_node(conv(window(&[3, 3], 2, 1), 1), &[x, w], 1, "conv").unwrap()[0];
    assert_eq!(g.ty(y).to_string(), "f32[1, 4, (((h - 1) / 2) + 1), (((h - 1) / 2) + 1)]");
    let slice = |g: &mut Graph, start: i64, end: i64| {
        let op = Op::Slice { axes: vec![2], starts: known(&[start]), ends: known(&[end]), steps: vec![1] };
        let id = g.add_node(op, &[x], 1, "slice").unwrap()[0];
        g.ty(id).shape[2].clone()
    };
    let mut lengths = vec![];
    for (start, end) in [(0, i64::MAX), (2, i64::MAX), (0, -1), (-3, i64::MAX), (1, 5)] {
        lengths.push(slice(&mut g, start, end));
    }
    for (size, wanted) in [(10, [10, 8, 9, 3, 4]), (3, [3, 1, 2, 3, 2]), (1, [1, 0, 0, 1, 0])] {
        let values = Bindings::from([("h".into(), size)]);
        let found: Vec<i64> = lengths.iter().map(|d| d.bind(&values).known().unwrap()).collect();
        assert_eq!(found, wanted, "h = {size}");
    }
    assert_eq!(lengths[0].to_string(), "h");
}

#[test]
fn data_dependent_shapes_are_refused() {
    let mut g = Graph::new("t");
    let x = g.add_input("x", Type::known(DType::F32, &[6]));
    let s = g.add_input("s", Type::known(DType::I64, &[2]));
    let error = g.add_node(Op::Reshape { shape: Ints::Input(1), allow_zero: false }, &[x, s], 1, "r").unwrap_err();
    assert_eq!(error.to_string(), "node 'r': shape depends on data; accepted are constants and arithmetic over shapes");
}

/// Amounts of padding as exporters turn them round: pairs, last dimension first, reversed, then all begins before all ends.
#[test]
fn content_follows_rows_and_transposes_of_matrices() {
    let mut graph = Graph::new("t");
    let list = Tensor::from_slice(&[6], &[1i64, 2, 3, 4, 5, 6]).unwrap();
    let x = graph.add_weight("x", Weight::from_tensor(&list));
    let mut node = |op, x| graph.add_node(op, &[x], 1, "n").unwrap()[0];
    let pairs = node(Op::Reshape { shape: known(&[3, 2]), allow_zero: false }, x);
    let slice = Op::Slice { axes: vec![0], starts: known(&[-1]), ends: known(&[i64::MIN + 1]), steps: vec![-1] };
    let reversed = node(slice, pairs);
    let turned = node(Op::Transpose { perm: vec![1, 0] }, reversed);
    assert_eq!(graph.value(reversed).content.as_deref(), Some(&dims(&[5, 6, 3, 4, 1, 2])[..]));
    assert_eq!(graph.value(turned).content.as_deref(), Some(&dims(&[5, 3, 1, 6, 4, 2])[..]));
}

#[test]
fn symbols_that_meet_may_be_one() {
    let mut graph = Graph::new("t");
    let extents = [vec![Dim::symbol("a"), Dim::symbol("n")], vec![Dim::symbol("b"), Dim::symbol("n")]];
    let ids = extents.map(|shape| graph.add_input("x", Type::new(DType::F32, shape)));
    let sum = graph.add_node(Op::Binary(BinaryOp::Add), &ids, 1, "sum").unwrap()[0];
    assert_eq!(graph.ty(sum).to_string(), "f32[max(a, b), n]");
    let values = [("a", 1), ("b", 5), ("n", 3)].map(|(name, value)| (name.to_owned(), value));
    assert_eq!(graph.bind(&values.into()).unwrap().ty(sum).to_string(), "f32[5, 3]");
}
