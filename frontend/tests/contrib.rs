//! Operators of `com.microsoft`, with numbers worked out by hand; `scripts/contrib_kinds.py` compares them with onnxruntime.
#![allow(clippy::unwrap_used)]

mod build;

use brolga_frontend::{Options, import};
use brolga_proto::{AttributeProto, Loaded, NodeProto};
use brolga_runtime::Tensor;
use build::*;

fn contrib(op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto { domain: "com.microsoft".into(), ..node(op, inputs, outputs, attributes) }
}

fn bytes(shape: &[usize], elements: &[u8]) -> Tensor {
    Tensor::from_slice(shape, elements).unwrap()
}

#[test]
fn quantised_sums_saturate_and_zero_points_may_be_left_out() {
    let sum = contrib("QLinearAdd", &["a", "sa", "za", "b", "sb", "", "s"], &["y"], vec![]);
    let operands = [
        ("a", bytes(&[3], &[10, 20, 255])),
        ("sa", f32s(&[], &[0.5])),
        ("za", bytes(&[], &[10])),
        ("b", bytes(&[3], &[0, 4, 255])),
        ("", bytes(&[], &[0])),
        ("sb", f32s(&[], &[0.25])),
        ("s", f32s(&[], &[0.5])),
    ];
    // (0 + 0) / 0.5, (5 + 1) / 0.5, (122.5 + 63.75) / 0.5
    assert_eq!(run(18, sum, &operands)[0].bytes(), [0, 12, 255]);
}

#[test]
fn operands_of_a_concatenation_have_their_own_scales() {
    let concat = contrib("QLinearConcat", &["s", "z", "a", "sa", "za", "b", "sb", "zb"], &["y"], vec![int("axis", 0)]);
    let operands = [
        ("a", bytes(&[1], &[4])),
        ("s", f32s(&[], &[1.0])),
        ("z", bytes(&[], &[100])),
        ("sa", f32s(&[], &[2.0])),
        ("za", bytes(&[], &[1])),
        ("b", bytes(&[2], &[9, 11])),
        ("sb", f32s(&[], &[3.0])),
        ("zb", bytes(&[], &[10])),
    ];
    assert_eq!(run(18, concat, &operands)[0].bytes(), [106, 97, 103]);
}

/// Two rows of three numbers in a block of sixteen, low nibbles first; zero points of four bits, a byte for each row.
#[test]
fn weights_of_four_bits_are_read_low_nibble_first() {
    let attributes = vec![int("K", 3), int("N", 2), int("bits", 4), int("block_size", 16)];
    let product = contrib("MatMulNBits", &["a", "b", "s", "z"], &["y"], attributes);
    let rows = [0x21, 0xF3, 0, 0, 0, 0, 0, 0, 0x65, 0x07, 0, 0, 0, 0, 0, 0];
    let operands = [
        ("a", f32s(&[1, 3], &[1., 10., 100.])),
        ("b", bytes(&[2, 1, 8], &rows)),
        ("s", f32s(&[2], &[1., 2.])),
        ("z", bytes(&[2], &[1, 4])),
    ];
    // Rows (1, 2, 3) - 1 and 2 * ((5, 6, 7) - 4).
    assert_eq!(run(18, product, &operands)[0].as_slice::<f32>().unwrap(), [210., 642.]);
}

#[test]
fn the_sum_before_a_normalisation_is_a_result_too() {
    let norm = contrib("SkipLayerNormalization", &["x", "skip", "gamma"], &["y", "", "", "sum"], vec![]);
    let operands =
        [("x", f32s(&[1, 2], &[1., 2.])), ("skip", f32s(&[1, 2], &[1., 4.])), ("gamma", f32s(&[2], &[1., 3.]))];
    let got = run(18, norm, &operands);
    assert_close("y", &got[0], &f32s(&[1, 2], &[-1., 3.]));
    assert_close("sum", &got[1], &f32s(&[1, 2], &[2., 6.]));
}

#[test]
fn what_is_not_supported_is_named() {
    let refusal = |node: NodeProto| {
        let model = model(18, vec![node], vec![port("x", 2, &["1", "2", "2", "2"]), port("s", 1, &[])], &["y"]);
        import(&Loaded::from_model(model), &Options::default()).unwrap_err().to_string()
    };
    let error = refusal(contrib("DynamicQuantizeLSTM", &["x"], &["y"], vec![]));
    assert!(error.contains("DynamicQuantizeLSTM") && error.contains("no such operator"), "{error}");
    let inputs = ["x", "s", "", "s"];
    let error = refusal(contrib("QLinearGlobalAveragePool", &inputs, &["y"], vec![int("channels_last", 1)]));
    assert!(error.contains("channels_last"), "{error}");
    let attributes = vec![int("K", 3), int("N", 1), int("bits", 4), int("block_size", 3)];
    let error = refusal(contrib("MatMulNBits", &["s", "x", "s"], &["y"], attributes));
    assert!(error.contains("block_size is 3"), "{error}");
    let attention = |inputs: &[&str], attributes: Vec<AttributeProto>| {
        let shapes = [("q", &["1", "4", "6"][..]), ("w", &["6", "24"]), ("m", &["1", "1", "4", "4"])];
        let inputs_of = shapes.map(|(name, shape)| port(name, 1, shape)).to_vec();
        let model = model(18, vec![contrib("Attention", inputs, &["y"], attributes)], inputs_of, &["y"]);
        import(&Loaded::from_model(model), &Options::default()).unwrap_err().to_string()
    };
    let error = attention(&["q", "w", "", "m"], vec![int("num_heads", 2)]);
    assert!(error.contains("a mask of shape [1, 1, 4, 4]; [1], [1, 4]"), "{error}");
    let error = attention(&["q", "w"], vec![int("num_heads", 3)]);
    assert!(error.contains("3 heads do not divide 8 elements"), "{error}");
    let error = attention(&["q", "w"], vec![int("num_heads", 2), int("do_rotary", 1)]);
    assert!(error.contains("do_rotary"), "{error}");
}
