//! New sizes at every run: right results, a bounded number of programs, no memory that grows.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use brolga::{Error, Model, Options, Tensor};
use brolga_proto::*;
use prost::Message;
use std::sync::{Mutex, PoisonError};

/// What these tests measure is the whole process's.
static ALONE: Mutex<()> = Mutex::new(());

const SIZES: usize = 1000;
/// Elements of a row: enough for regions of more than about a hundred rows to be worth compiling.
const WIDTH: i64 = 2048;
/// Programs that a model, or a region, keeps.
const KEPT: usize = 8;

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Mappings of memory that may be executed: each program has one.
fn code_mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|access| access.contains('x'))).count()
}

/// A model of one input `x`, f32 of one dimension `n`, a constant `row` of `[1, WIDTH]` ones, and one output `y`.
fn model(nodes: Vec<NodeProto>, dims: &[(&str, i64)]) -> Result<Model, Error> {
    use tensor_shape_proto::{Dimension, dimension::Value};
    let n = Dimension { value: Some(Value::DimParam("n".into())), ..Default::default() };
    let tensor = type_proto::Tensor { elem_type: 1, shape: Some(TensorShapeProto { dim: vec![n] }) };
    let ty = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    let graph = GraphProto {
        name: "sizes".into(),
        node: nodes,
        input: vec![ValueInfoProto { name: "x".into(), r#type: Some(ty) }],
        output: vec![ValueInfoProto { name: "y".into(), r#type: None }],
        initializer: vec![ones("row", &[1, WIDTH])],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    let model = ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() };
    let dims = dims.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    Model::from_bytes(model.encode_to_vec(), Options { threads: Some(1), dims, ..Options::default() })
}

fn ones(name: &str, shape: &[i64]) -> TensorProto {
    let count = shape.iter().product::<i64>() as usize;
    let raw: Vec<u8> = std::iter::repeat_n(1f32.to_le_bytes(), count).flatten().collect();
    TensorProto { name: name.into(), data_type: 1, dims: shape.to_vec(), raw_data: raw.into(), ..Default::default() }
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    let input = inputs.iter().map(|name| (*name).into()).collect();
    NodeProto { op_type: op.into(), name: op.into(), input, output: vec![output.into()], ..Default::default() }
}

/// Runs the model twice with every size from 1 on; every third element is positive, the others negative. The second time nothing
/// may stay behind. The largest number of programs that were kept.
fn run_all(model: &Model, check: impl Fn(&Tensor, usize)) -> usize {
    let (mut settled, mut most) = ((0, 0), 0);
    for _ in 0..2 {
        settled = (resident_bytes(), code_mappings());
        for size in 1..=SIZES {
            let data: Vec<f32> = (0..size).map(|i| if i % 3 == 0 { i as f32 + 1.0 } else { -1.0 }).collect();
            let outputs = model.run_tensors(&[Tensor::from_slice(&[size], &data).unwrap()]).unwrap();
            check(&outputs[0], size.div_ceil(3));
            let mut programs = 0;
            model.programs(&mut |_| programs += 1);
            most = most.max(programs);
        }
    }
    // Arenas of a few megabytes come and go: what stays of them differs from round to round.
    let grown = resident_bytes().saturating_sub(settled.0);
    assert!(grown < 32 << 20, "{SIZES} sizes left {grown} bytes");
    assert!(code_mappings() <= settled.1, "{SIZES} sizes left code behind");
    most
}

#[test]
fn a_thousand_sizes_of_a_symbolic_dimension() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let model = model(vec![node("Relu", &["x"], "y")], &[]).unwrap();
    assert!(model.is_static());
    let most = run_all(&model, |y, positive| {
        assert_eq!(y.as_slice::<f32>().unwrap().iter().filter(|v| **v > 0.0).count(), positive);
    });
    assert_eq!(most, KEPT);
}

#[test]
fn a_thousand_counts_that_only_a_run_tells() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut column = node("Cast", &["rows"], "column");
    column.attribute.push(AttributeProto { name: "to".into(), r#type: 2, i: 1, ..Default::default() });
    let nodes = vec![
        node("Relu", &["x"], "r"),
        node("NonZero", &["r"], "at"),
        node("Transpose", &["at"], "rows"),
        column,
        node("Add", &["column", "row"], "table"),
        node("Exp", &["row"], "e"),
        node("MatMul", &["table", "e_column"], "sums"),
        node("Transpose", &["e"], "e_column"),
        node("Relu", &["sums"], "y"),
    ];
    let model = model(nodes, &[]).unwrap();
    assert!(!model.is_static());
    let most = run_all(&model, |y, positive| {
        assert_eq!(y.shape(), [positive, 1]);
        // Row i holds 2048 times its position and one; position i is 3 i.
        let wanted = |i: usize| (3 * i + 1) as f32 * WIDTH as f32 * 1f32.exp();
        let near = |(i, sum): (usize, &f32)| (sum - wanted(i)).abs() <= 1e-4 * wanted(i);
        assert!(y.as_slice::<f32>().unwrap().iter().enumerate().all(near));
    });
    assert!((KEPT..=2 * KEPT).contains(&most), "{most} programs are kept");
}

#[test]
fn a_rank_that_extents_decide() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let build = |dims: &[(&str, i64)]| model(vec![node("Squeeze", &["x"], "y")], dims);
    let open = build(&[]).unwrap();
    assert!(!open.is_static());
    for (size, rank) in [(3, 1), (1, 0), (5, 1)] {
        let outputs = open.run_tensors(&[Tensor::from_slice(&[size], &vec![2f32; size]).unwrap()]).unwrap();
        assert_eq!(outputs[0].shape().len(), rank, "{size} elements");
    }
    assert!(build(&[("n", 1)]).unwrap().is_static(), "a value for the dimension decides the rank at load");
    assert!(build(&[("m", 1)]).is_err(), "there is no dimension of this name");
}
