//! Quantised operands: products of bytes, products of floats in their place, and what is left of quantisation.

use super::support::*;
use crate::ir::*;
use crate::pass::drop_dead::DropDead;
use crate::pass::fuse_integers::FuseIntegers;
use crate::pass::lower_quantisation::LowerQuantisation;
use crate::pass::shift_signed::ShiftSigned;
use crate::pass::widen_integers::WidenIntegers;
use brolga_runtime::{DType, Tensor};

fn pool(pad: i64) -> Op {
    Op::Pool { kind: PoolKind::Max, window: window(2, pad), ceil: false, column_major: false }
}

/// A pooled map of bytes before and after, with the padding that is not an element.
fn pooled<T: brolga_runtime::Element>(elements: &[T], dtype: DType) {
    let mut graph = Graph::new("test");
    let x = graph.add_input("x", Type::known(dtype, &[1, 1, 2, 2]));
    let y = graph.add_node(pool(1), &[x], 1, "pool").unwrap()[0];
    graph.add_output("y", y);
    let after = run(&graph, &[&LowerQuantisation]).graph;
    assert_eq!(ops(&after), ["Requantize", "Pool", "Requantize"]);
    let input = [Tensor::from_slice(&[1, 1, 2, 2], elements).unwrap()];
    let (want, got) = (eval::evaluate(&graph, &input).unwrap(), eval::evaluate(&after, &input).unwrap());
    assert_eq!(got[0].dtype(), dtype);
    assert_eq!(got[0].bytes(), want[0].bytes());
}

#[test]
fn the_largest_of_bytes_are_found_among_floats() {
    pooled::<u8>(&[0, 255, 7, 128], DType::U8);
    pooled::<i8>(&[-128, -1, -100, -127], DType::I8);
}

#[test]
fn positions_and_other_types_stay() {
    let mut graph = Graph::new("test");
    let x = graph.add_input("x", Type::known(DType::U8, &[1, 1, 2, 2]));
    let both = graph.add_node(pool(0), &[x], 2, "pool").unwrap();
    both.iter().enumerate().for_each(|(i, value)| graph.add_output(format!("y{i}"), *value));
    assert_eq!(ops(&run(&graph, &[&LowerQuantisation]).graph), ["Pool"]);
    let mut net = Net::new();
    let x = net.input("x", &[1, 1, 2, 2]);
    let y = net.op(pool(0), &[x]);
    assert_eq!(ops(&run(&net.outputs(&[y]), &[&LowerQuantisation]).graph), ["Pool"]);
}

/// A constant of bytes.
fn bytes(net: &mut Net, dtype: DType, shape: &[usize], elements: &[u8]) -> ValueId {
    net.graph.add_weight("", Weight::from_bytes(dtype, shape.to_vec(), elements.to_vec().into()))
}

/// `x` quantised by one scale and zero point.
fn quantized(net: &mut Net, x: ValueId, to: DType, zero: u8) -> ValueId {
    let (scale, zero) = (net.number(0.5), bytes(net, to, &[], &[zero]));
    net.op(Op::Quantize { to, axis: 0, block: 0, precision: DType::F32, saturate: true }, &[x, scale, zero])
}

fn dequantized(net: &mut Net, x: ValueId, zero: u8) -> ValueId {
    let (scale, zero) = (net.number(0.5), bytes(net, net.graph.ty(x).dtype, &[], &[zero]));
    net.op(Op::Dequantize { to: DType::F32, axis: 0, block: 0 }, &[x, scale, zero])
}

/// Weights of so many outputs that each differ by one from the next.
fn filters(net: &mut Net, dtype: DType, shape: &[usize]) -> ValueId {
    let elements: Vec<u8> = (0..shape.iter().product::<usize>()).map(|i| i as u8).collect();
    bytes(net, dtype, shape, &elements)
}

fn integer_conv(group: usize) -> Op {
    let epilogue = Expression::default();
    Op::ConvInteger { window: window(1, 0), group, bias: false, to: DType::I32, epilogue }
}

#[test]
fn signed_activations_become_unsigned() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 2, 2, 2]);
    let q = quantized(&mut net, x, DType::I8, 253);
    let y = dequantized(&mut net, q, 253);
    insta::assert_snapshot!(report(&net.outputs(&[y]), &[&ShiftSigned]));
}

#[test]
fn signed_activations_that_are_read_as_they_are_stay() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 2, 2, 2]);
    let q = quantized(&mut net, x, DType::I8, 253);
    let (y, z) = (dequantized(&mut net, q, 253), net.op(Op::Cast(DType::I32), &[q]));
    insta::assert_snapshot!(report(&net.outputs(&[y, z]), &[&ShiftSigned]));
}

/// A product of dequantised operands, an activation and a quantisation; the weight is unsigned with a zero point.
#[test]
fn product_between_quantisations_is_one_of_bytes() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 4, 2, 2]);
    let q = quantized(&mut net, x, DType::U8, 7);
    let x = dequantized(&mut net, q, 7);
    let w = filters(&mut net, DType::U8, &[3, 4, 1, 1]);
    let w = dequantized(&mut net, w, 5);
    let y = net.op(conv_op(window(1, 0), 1, false), &[x, w]);
    let y = net.unary(UnaryOp::Relu, y);
    let y = quantized(&mut net, y, DType::U8, 9);
    insta::assert_snapshot!(report(&net.outputs(&[y]), &[&FuseIntegers]));
}

#[test]
fn product_of_a_computed_weight_is_none_of_bytes() {
    let mut net = Net::new();
    let x = net.input("x", &[2, 4]);
    let q = quantized(&mut net, x, DType::U8, 7);
    let w = net.input("w", &[4, 3]);
    let w = quantized(&mut net, w, DType::I8, 0);
    let zero = [bytes(&mut net, DType::U8, &[], &[7]), bytes(&mut net, DType::I8, &[], &[0])];
    let epilogue = Expression::default();
    let op = Op::MatMulInteger { trans_b: false, bias: false, to: DType::I32, epilogue };
    let y = net.op(op, &[q, w, zero[0], zero[1]]);
    let y = net.op(Op::Cast(DType::F32), &[y]);
    insta::assert_snapshot!(report(&net.outputs(&[y]), &[&FuseIntegers, &WidenIntegers]));
}

/// Of two groups, which kernels of bytes do not take: read by a conversion, and as integers.
#[test]
fn integers_in_groups_are_summed_as_floats() {
    for read_as_floats in [true, false] {
        let mut net = Net::new();
        let x = net.input("x", &[1, 4, 2, 2]);
        let q = quantized(&mut net, x, DType::U8, 7);
        let w = filters(&mut net, DType::I8, &[4, 2, 1, 1]);
        let zeros = [bytes(&mut net, DType::U8, &[], &[7]), bytes(&mut net, DType::I8, &[4], &[0, 1, 2, 250])];
        let mut y = net.op(integer_conv(2), &[q, w, zeros[0], zeros[1]]);
        if read_as_floats {
            y = net.op(Op::Cast(DType::F32), &[y]);
        }
        let name = if read_as_floats { "grouped_as_floats" } else { "grouped_as_integers" };
        insta::assert_snapshot!(name, report(&net.outputs(&[y]), &[&FuseIntegers, &WidenIntegers]));
    }
}

/// 700 elements that are 100 from their zero point, times 255, are beyond 2^24; 600 are not. Batches of matrices do not add up.
#[test]
fn sums_beyond_floats_stay_integers() {
    let mut done = 0;
    for (shape, stays) in [(&[700, 2][..], true), (&[600, 2], false), (&[3, 600, 2], false), (&[3, 700, 2], true)] {
        let mut net = Net::new();
        let x = net.input("x", &[3, 1, shape[shape.len() - 2]]);
        let q = quantized(&mut net, x, DType::U8, 0);
        let w = bytes(&mut net, DType::U8, shape, &vec![200; shape.iter().product()]);
        let zeros = [bytes(&mut net, DType::U8, &[], &[0]), bytes(&mut net, DType::U8, &[2], &[100, 180])];
        let epilogue = Expression::default();
        let op = Op::MatMulInteger { trans_b: false, bias: false, to: DType::I32, epilogue };
        let y = net.op(op, &[q, w, zeros[0], zeros[1]]);
        let text = report(&net.outputs(&[y]), &[&WidenIntegers]);
        assert_eq!(text.contains("sums may be larger than f32 holds"), stays, "{text}");
        done += 1;
    }
    assert_eq!(done, 4);
}

/// Numbers quantised to 16 bits and back, with saturation at both ends; read as integers too they stay.
#[test]
fn sixteen_bits_are_rounded_as_floats() {
    for (to, zero, elements) in
        [(DType::U16, 40_000u16, [9e9f32, -9e9, 0.3, -7.25]), (DType::I16, 65_436, [9e9f32, -9e9, 0.25, 1e3])]
    {
        for also_read in [false, true] {
            let mut net = Net::new();
            let x = net.input("x", &[4]);
            let point = |net: &mut Net| {
                let bytes = zero.to_le_bytes().to_vec().into();
                (net.number(0.5), net.graph.add_weight("", Weight::from_bytes(to, vec![], bytes)))
            };
            let (scale, zero) = point(&mut net);
            let q = net
                .op(Op::Quantize { to, axis: 0, block: 0, precision: DType::F32, saturate: true }, &[x, scale, zero]);
            let (scale, zero) = point(&mut net);
            let y = net.op(Op::Dequantize { to: DType::F32, axis: 0, block: 0 }, &[q, scale, zero]);
            let graph = if also_read { net.outputs(&[y, q]) } else { net.outputs(&[y]) };
            let after = run(&graph, &[&LowerQuantisation, &DropDead]).graph;
            assert_eq!(ops(&after), if also_read { vec!["Quantize", "Elementwise"] } else { vec!["Elementwise"] });
            let input = [Tensor::from_slice(&[4], &elements).unwrap()];
            let (want, got) = (eval::evaluate(&graph, &input).unwrap(), eval::evaluate(&after, &input).unwrap());
            assert_eq!(got[0].as_slice::<f32>().unwrap(), want[0].as_slice::<f32>().unwrap());
        }
    }
}
