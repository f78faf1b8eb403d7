//! Library calls on small cases worked out by hand, and the text form of every call.

use super::*;
use crate::Tensor;

fn f32s(shape: &[usize], x: &[f32]) -> Tensor {
    Tensor::from_slice(shape, x).unwrap()
}
fn i64s(shape: &[usize], x: &[i64]) -> Tensor {
    Tensor::from_slice(shape, x).unwrap()
}
fn run(call: Call, inputs: &[&Tensor], dtype: DType, shape: &[usize]) -> Result<Tensor, LibraryError> {
    let mut out = Tensor::zeros(dtype, shape).unwrap();
    let views: Vec<TensorView> = inputs.iter().map(|t| t.view()).collect();
    call.run(&views, &mut [out.view_mut()])?;
    Ok(out)
}
fn ints(call: Call, inputs: &[&Tensor], shape: &[usize]) -> Vec<i64> {
    run(call, inputs, DType::I64, shape).unwrap().as_slice::<i64>().unwrap().to_vec()
}
fn floats(call: Call, inputs: &[&Tensor], shape: &[usize]) -> Vec<f32> {
    run(call, inputs, DType::F32, shape).unwrap().as_slice::<f32>().unwrap().to_vec()
}

#[test]
fn integer_arithmetic() {
    let (a, b) = (i64s(&[4], &[7, -7, 7, -7]), i64s(&[4], &[2, 2, -2, -2]));
    let go = |op| ints(Call::Binary(op), &[&a, &b], &[4]);
    assert_eq!(go(BinaryOp::Div), [3, -3, -3, 3]);
    assert_eq!(go(BinaryOp::Mod), [1, 1, -1, -1]);
    assert_eq!(go(BinaryOp::Fmod), [1, -1, 1, -1]);
    let big = i64s(&[1], &[i64::MAX]);
    assert_eq!(ints(Call::Binary(BinaryOp::Add), &[&big, &i64s(&[], &[1])], &[1]), [i64::MIN]);
    assert_eq!(ints(Call::Binary(BinaryOp::Mul), &[&big, &big], &[1]), [1]);
    assert_eq!(
        ints(Call::Binary(BinaryOp::Pow), &[&i64s(&[2], &[-3, 2]), &i64s(&[2], &[3, 62])], &[2]),
        [-27, 1 << 62]
    );
    let zero = run(Call::Binary(BinaryOp::Div), &[&a, &i64s(&[], &[0])], DType::I64, &[4]);
    assert_eq!(zero.unwrap_err(), LibraryError::DivisionByZero);
    let less = run(Call::Binary(BinaryOp::Less), &[&a, &b], DType::Bool, &[4]).unwrap();
    assert_eq!(less.bytes(), [0, 1, 0, 1]);
}

#[test]
fn broadcasting_and_selection() {
    let (a, b) = (f32s(&[2, 1], &[1., 2.]), f32s(&[3], &[10., 20., 30.]));
    assert_eq!(floats(Call::Binary(BinaryOp::Add), &[&a, &b], &[2, 3]), [11., 21., 31., 12., 22., 32.]);
    let c = Tensor::from_bools(&[2, 1], &[true, false]).unwrap();
    assert_eq!(floats(Call::Where, &[&c, &a, &b], &[2, 3]), [1., 1., 1., 10., 20., 30.]);
    assert!(run(Call::Binary(BinaryOp::Add), &[&f32s(&[2], &[1., 2.]), &b], DType::F32, &[3]).is_err());
}

#[test]
fn conversions() {
    let x = f32s(&[5], &[1.9, -1.9, 300.0, f32::NAN, -0.0]);
    let u8s = run(Call::Cast, &[&x], DType::U8, &[5]).unwrap();
    assert_eq!(u8s.bytes(), [1, 0, 255, 0, 0]);
    assert_eq!(ints(Call::Cast, &[&x], &[5]), [1, -1, 300, 0, 0]);
    assert_eq!(run(Call::Cast, &[&x], DType::Bool, &[5]).unwrap().bytes(), [1, 1, 1, 1, 0]);
    let wide = run(Call::Cast, &[&i64s(&[2], &[257, -1])], DType::U8, &[2]).unwrap();
    assert_eq!(wide.bytes(), [1, 255]);
    // One rounding, not two: through f64 this would become 2^60 exactly.
    let odd = i64s(&[1], &[(1 << 60) + (1 << 36) + 1]);
    assert_eq!(floats(Call::Cast, &[&odd], &[1]), [((1i64 << 60) + (1 << 37)) as f32]);
}

#[test]
fn reductions() {
    let x = f32s(&[2, 3], &[1., 2., 3., 4., 5., 6.]);
    let go = |kind, axes: &[usize], shape: &[usize]| floats(Call::Reduce { kind, axes: axes.to_vec() }, &[&x], shape);
    assert_eq!(go(ReduceKind::Sum, &[0], &[3]), [5., 7., 9.]);
    assert_eq!(go(ReduceKind::Mean, &[1], &[2, 1]), [2., 5.]);
    assert_eq!(go(ReduceKind::Max, &[0, 1], &[]), [6.]);
    assert_eq!(go(ReduceKind::Prod, &[], &[2, 3]), [1., 2., 3., 4., 5., 6.]);
    assert_eq!(go(ReduceKind::L2, &[1], &[2]), [14f32.sqrt(), 77f32.sqrt()]);
    let lse = go(ReduceKind::LogSumExp, &[1], &[2])[0];
    assert!((lse - 3.407_606).abs() < 1e-6, "{lse}");
    let arg = |min, last| ints(Call::ArgReduce { min, axis: 1, last }, &[&i64s(&[2, 3], &[1, 5, 5, 2, 2, 9])], &[2]);
    assert_eq!((arg(false, false), arg(false, true), arg(true, true)), (vec![1, 2], vec![2, 2], vec![0, 1]));
    let sums =
        |exclusive, reverse| ints(Call::CumSum { axis: 0, exclusive, reverse }, &[&i64s(&[3], &[1, 2, 3])], &[3]);
    assert_eq!(
        (sums(false, false), sums(true, false), sums(false, true)),
        (vec![1, 3, 6], vec![0, 1, 3], vec![6, 5, 3])
    );
}

#[test]
fn top_k_is_the_beginning_of_a_stable_sort() {
    let mut state = 1u32;
    let values: Vec<f32> = (0..500)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 26) as f32 - 32.0
        })
        .collect();
    let x = Tensor::from_slice(&[500], &values).unwrap();
    for (largest, k) in [(true, 0), (true, 1), (true, 77), (false, 77), (false, 499), (true, 500)] {
        let mut wanted: Vec<i64> = (0..500).collect();
        wanted.sort_by(|a, b| {
            let order = values[*a as usize].total_cmp(&values[*b as usize]);
            if largest { order.reverse() } else { order }
        });
        wanted.truncate(k);
        let mut top = Tensor::zeros(DType::F32, &[k]).unwrap();
        let mut positions = Tensor::zeros(DType::I64, &[k]).unwrap();
        let results = &mut [top.view_mut(), positions.view_mut()];
        Call::TopK { axis: 0, largest }.run(&[x.view()], results).unwrap();
        assert_eq!(positions.as_slice::<i64>().unwrap(), wanted, "{k} largest {largest}");
        let found: Vec<f32> = wanted.iter().map(|at| values[*at as usize]).collect();
        assert_eq!(top.as_slice::<f32>().unwrap(), found);
    }
}

#[test]
fn top_k_takes_the_first_of_equals() {
    let x = f32s(&[1, 5], &[1., 4., 4., -2., 3.]);
    let (mut v, mut p) = (Tensor::zeros(DType::F32, &[1, 3]).unwrap(), Tensor::zeros(DType::I64, &[1, 3]).unwrap());
    Call::TopK { axis: 1, largest: true }.run(&[x.view()], &mut [v.view_mut(), p.view_mut()]).unwrap();
    assert_eq!(v.as_slice::<f32>().unwrap(), [4., 4., 3.]);
    assert_eq!(p.as_slice::<i64>().unwrap(), [1, 2, 4]);
}

#[test]
fn indexing() {
    let x = i64s(&[3, 2], &[0, 1, 10, 11, 20, 21]);
    assert_eq!(ints(Call::Gather { axis: 0 }, &[&x, &i64s(&[2], &[-1, 0])], &[2, 2]), [20, 21, 0, 1]);
    assert_eq!(ints(Call::Gather { axis: 1 }, &[&x, &i64s(&[], &[1])], &[3]), [1, 11, 21]);
    let bad = run(Call::Gather { axis: 0 }, &[&x, &i64s(&[], &[3])], DType::I64, &[2]);
    assert_eq!(bad.unwrap_err(), LibraryError::Index { index: 3, extent: 3 });
    assert_eq!(ints(Call::GatherElements { axis: 0 }, &[&x, &i64s(&[1, 2], &[2, 1])], &[1, 2]), [20, 11]);
    assert_eq!(ints(Call::GatherNd { batch: 0 }, &[&x, &i64s(&[2, 2], &[0, 1, 2, 0])], &[2]), [1, 20]);
    assert_eq!(ints(Call::GatherNd { batch: 1 }, &[&x, &i64s(&[3, 1], &[1, 0, 1])], &[3]), [1, 10, 21]);
    let updates = i64s(&[2, 2], &[5, 6, 7, 8]);
    let index = i64s(&[2, 1], &[1, 1]);
    let go = |kind| ints(Call::ScatterNd { kind }, &[&x, &index, &updates], &[3, 2]);
    assert_eq!(go(ScatterKind::Replace), [0, 1, 7, 8, 20, 21]);
    assert_eq!(go(ScatterKind::Add), [0, 1, 22, 25, 20, 21]);
    let scattered = ints(
        Call::ScatterElements { axis: 1, kind: ScatterKind::Replace },
        &[&x, &i64s(&[1, 1], &[-1]), &i64s(&[1, 1], &[9])],
        &[3, 2],
    );
    assert_eq!(scattered, [0, 9, 10, 11, 20, 21]);
    let hot = floats(Call::OneHot { axis: 1 }, &[&i64s(&[2], &[-1, 1]), &f32s(&[2], &[0., 1.])], &[2, 3]);
    assert_eq!(hot, [0., 0., 1., 0., 1., 0.]);
}

#[test]
fn moving() {
    let x = i64s(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    assert_eq!(ints(Call::Transpose { perm: vec![1, 0] }, &[&x], &[3, 2]), [1, 4, 2, 5, 3, 6]);
    let back = Call::Slice { axes: vec![1], starts: vec![2], steps: vec![-2] };
    assert_eq!(ints(back, &[&x], &[2, 2]), [3, 1, 6, 4]);
    assert_eq!(ints(Call::Concat { axis: 1 }, &[&x, &i64s(&[2, 1], &[8, 9])], &[2, 4]), [1, 2, 3, 8, 4, 5, 6, 9]);
    assert_eq!(ints(Call::Tile, &[&i64s(&[2], &[1, 2])], &[6]), [1, 2, 1, 2, 1, 2]);
    assert_eq!(ints(Call::Expand, &[&i64s(&[2, 1], &[1, 2])], &[2, 2]), [1, 1, 2, 2]);
    let row = i64s(&[3], &[1, 2, 3]);
    let pad = |mode, n: usize| ints(Call::Pad { mode, before: vec![2] }, &[&row], &[n]);
    assert_eq!(pad(PadMode::Constant(7.0), 6), [7, 7, 1, 2, 3, 7]);
    assert_eq!(pad(PadMode::Edge, 6), [1, 1, 1, 2, 3, 3]);
    assert_eq!(pad(PadMode::Reflect, 7), [3, 2, 1, 2, 3, 2, 1]);
    assert_eq!(pad(PadMode::Wrap, 6), [2, 3, 1, 2, 3, 1]);
    assert_eq!(ints(Call::Pad { mode: PadMode::Edge, before: vec![-1] }, &[&row], &[2]), [2, 3]);
    assert_eq!(ints(Call::Range, &[&i64s(&[], &[5]), &i64s(&[], &[-2])], &[3]), [5, 3, 1]);
    let square = i64s(&[2, 2], &[1, 2, 3, 4]);
    assert_eq!(ints(Call::Trilu { upper: true, k: 0 }, &[&square], &[2, 2]), [1, 2, 0, 4]);
    assert_eq!(ints(Call::Trilu { upper: false, k: -1 }, &[&square], &[2, 2]), [0, 0, 3, 0]);
    let deep = i64s(&[1, 8, 1, 1], &[0, 1, 2, 3, 4, 5, 6, 7]);
    let dcr = run(Call::DepthToSpace { block: 2, crd: false }, &[&deep], DType::I64, &[1, 2, 2, 2]).unwrap();
    assert_eq!(dcr.as_slice::<i64>().unwrap(), [0, 2, 4, 6, 1, 3, 5, 7]);
    assert_eq!(ints(Call::DepthToSpace { block: 2, crd: true }, &[&deep], &[1, 2, 2, 2]), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(ints(Call::SpaceToDepth { block: 2 }, &[&dcr], &[1, 8, 1, 1]), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(ints(Call::Copy, &[&i64s(&[0, 4], &[])], &[4, 0]), []);
}

#[test]
fn erf_is_exact_to_f64() {
    let cases = [
        (0.0, 0.0),
        (0.5, 0.520_499_877_813_046_5),
        (1.0, 0.842_700_792_949_714_9),
        (2.0, 0.995_322_265_018_952_7),
        (-3.0, -0.999_977_909_503_001_4),
        (9.0, 1.0),
    ];
    for (x, wanted) in cases {
        assert!((erf(x) - wanted).abs() < 4e-16, "erf({x}) = {} not {wanted}", erf(x));
    }
}

#[test]
fn text_form() {
    let mut calls: Vec<Call> = UnaryOp::ALL.iter().map(|op| Call::Unary(*op)).collect();
    calls.extend(BinaryOp::ALL.iter().map(|op| Call::Binary(*op)));
    calls.extend(ReduceKind::ALL.iter().map(|k| Call::Reduce { kind: *k, axes: vec![0, 2] }));
    calls.extend(ScatterKind::ALL.iter().map(|k| Call::ScatterElements { axis: 1, kind: *k }));
    calls.extend([
        Call::Unary(UnaryOp::Clip { lo: f32::NEG_INFINITY, hi: 0.1 }),
        Call::Where,
        Call::Cast,
        Call::CastNarrow { saturate: false, rounding: PowerRounding::Nearest },
        Call::Quantize { axis: 1, block: 4, precision: DType::F16, saturate: false },
        Call::Dequantize { axis: 0, block: 0 },
        Call::ConvInteger(IntegerWindow { stride: vec![1, 2], dilation: vec![1, 1], begin: vec![0, -1], group: 3 }),
        Call::MatMulInteger,
        Call::Reduce { kind: ReduceKind::Sum, axes: vec![] },
        Call::ArgReduce { min: true, axis: 1, last: false },
        Call::CumSum { axis: 2, exclusive: true, reverse: false },
        Call::TopK { axis: 1, largest: true },
        Call::Gather { axis: 1 },
        Call::GatherElements { axis: 0 },
        Call::GatherNd { batch: 1 },
        Call::ScatterNd { kind: ScatterKind::Max },
        Call::OneHot { axis: 1 },
        Call::Trilu { upper: true, k: -3 },
        Call::Range,
        Call::Fill { value: 1e-30 },
        Call::Integers { values: vec![-1, i64::MAX] },
        Call::Copy,
        Call::Transpose { perm: vec![1, 0] },
        Call::Slice { axes: vec![1], starts: vec![0], steps: vec![-1] },
        Call::Concat { axis: 0 },
        Call::Expand,
        Call::Tile,
        Call::Pad { mode: PadMode::Constant(f64::INFINITY), before: vec![0, -1] },
        Call::Pad { mode: PadMode::Wrap, before: vec![] },
        Call::DepthToSpace { block: 2, crd: true },
        Call::SpaceToDepth { block: 3 },
    ]);
    for call in &calls {
        assert_eq!(call.to_string().parse::<Call>().as_ref(), Ok(call));
    }
    assert_eq!(calls.len(), 41 + 20 + 10 + 5 + 31);
    for text in ["", "gather", "gather axis=-1", "pad mode=none before=", "unary op=clip lo=1", "cast x"] {
        assert!(text.parse::<Call>().is_err(), "{text}");
    }
}

/// Bytes that floats become, and the floats they stand for.
fn narrow(dtype: DType, saturate: bool, x: &[f32]) -> Vec<u8> {
    let call = Call::CastNarrow { saturate, rounding: PowerRounding::Up };
    run(call, &[&f32s(&[x.len()], x)], dtype, &[x.len()]).unwrap().bytes().to_vec()
}

#[test]
fn floats_of_eight_and_four_bits() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let x = [nan, -nan, inf, -inf, -0.0, 1e-9, 464.0, 465.0, 61439.0, 61440.0, 240.0, 248.0];
    let keep = |dtype| narrow(dtype, true, &x);
    let lose = |dtype| narrow(dtype, false, &x);
    assert_eq!(keep(DType::F8E4M3FN), [0x7f, 0xff, 0x7e, 0xfe, 0x80, 0, 0x7e, 0x7e, 0x7e, 0x7e, 0x77, 0x78]);
    assert_eq!(lose(DType::F8E4M3FN), [0x7f, 0xff, 0x7f, 0xff, 0x80, 0, 0x7e, 0x7f, 0x7f, 0x7f, 0x77, 0x78]);
    assert_eq!(keep(DType::F8E4M3FNUZ), [0x80, 0x80, 0x7f, 0xff, 0, 0, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f]);
    assert_eq!(lose(DType::F8E4M3FNUZ), [0x80, 0x80, 0x80, 0x80, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x7f, 0x80]);
    assert_eq!(keep(DType::F8E5M2), [0x7e, 0xfe, 0x7b, 0xfb, 0x80, 0, 0x5f, 0x5f, 0x7b, 0x7b, 0x5c, 0x5c]);
    assert_eq!(lose(DType::F8E5M2), [0x7e, 0xfe, 0x7c, 0xfc, 0x80, 0, 0x5f, 0x5f, 0x7b, 0x7c, 0x5c, 0x5c]);
    assert_eq!(lose(DType::F8E5M2FNUZ), [0x80, 0x80, 0x80, 0x80, 0, 0, 0x63, 0x63, 0x7f, 0x80, 0x60, 0x60]);
    let four = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 6.1, inf, -inf, -0.3];
    assert_eq!(narrow(DType::F4E2M1, false, &four), [0, 2, 2, 4, 4, 6, 6, 7, 7, 15, 9]);
    let powers = [0.0, 1e-45, 0.124, 1.5, 1.4, 2.0, 3.4e38, inf, nan];
    assert_eq!(narrow(DType::F8E8M0, true, &powers), [0, 0, 124, 128, 128, 128, 254, 254, 255]);
    let rounded = |rounding| {
        let call = Call::CastNarrow { saturate: false, rounding };
        run(call, &[&f32s(&[3], &[1.4, 1.5, 0.0])], DType::F8E8M0, &[3]).unwrap().bytes().to_vec()
    };
    assert_eq!(rounded(PowerRounding::Down), [127, 127, 255]);
    assert_eq!(rounded(PowerRounding::Nearest), [127, 128, 255]);
}

#[test]
fn every_narrow_value_survives_a_wider_type() {
    let mut tried = 0;
    for dtype in DType::ALL.into_iter().filter(|d| d.is_narrow()) {
        let count = match dtype {
            DType::I2 | DType::U2 => 4,
            DType::I4 | DType::U4 | DType::F4E2M1 => 16,
            _ => 256,
        };
        // Integers as they are stored: signed ones extended.
        let codes: Vec<u8> =
            (0..count).map(|i| encode(dtype, decode(dtype, i as u8), true, PowerRounding::Up)).collect();
        let x = Tensor::from_bytes(dtype, &[count], &codes).unwrap();
        for wide in [DType::F32, DType::F64, DType::BF16] {
            let there = run(Call::Cast, &[&x], wide, &[count]).unwrap();
            let back = run(Call::Cast, &[&there], dtype, &[count]).unwrap();
            assert_eq!(back.bytes(), codes, "{dtype} through {wide}");
            tried += count;
        }
    }
    assert_eq!(tried, 3 * (4 + 4 + 16 + 16 + 16 + 5 * 256));
}

#[test]
fn integers_of_four_and_two_bits() {
    let x = f32s(&[4], &[-9.0, 7.9, 8.0, -1.5]);
    let to = |dtype| run(Call::Cast, &[&x], dtype, &[4]).unwrap();
    assert_eq!(to(DType::I4).bytes(), [7, 7, 0xf8, 0xff]);
    assert_eq!(to(DType::U4).bytes(), [7, 7, 8, 15]);
    assert_eq!(to(DType::I2).bytes(), [0xff, 0xff, 0, 0xff]);
    let wide = run(Call::Cast, &[&to(DType::I4)], DType::U8, &[4]).unwrap();
    assert_eq!(wide.bytes(), [7, 7, 248, 255]);
    assert_eq!(ints(Call::Cast, &[&to(DType::I2)], &[4]), [-1, -1, 0, -1]);
    assert!(run(Call::Binary(BinaryOp::Add), &[&to(DType::I4), &to(DType::I4)], DType::I4, &[4]).is_err());
}

#[test]
fn integer_sums() {
    let bytes = |dtype, shape: &[usize], x: &[u8]| Tensor::from_bytes(dtype, shape, x).unwrap();
    let sums = |call: Call, inputs: &[&Tensor], shape: &[usize]| {
        run(call, inputs, DType::I32, shape).unwrap().as_slice::<i32>().unwrap().to_vec()
    };
    // Padding is the zero point: it adds nothing.
    let x = bytes(DType::U8, &[1, 1, 2, 2], &[2, 3, 4, 5]);
    let w = bytes(DType::I8, &[1, 1, 2, 2], &[1, 0xff, 2, 3]);
    let (one, zero) = (bytes(DType::U8, &[], &[1]), bytes(DType::I8, &[1], &[0]));
    let window = IntegerWindow { stride: vec![1, 1], dilation: vec![1, 1], begin: vec![1, 0], group: 1 };
    assert_eq!(sums(Call::ConvInteger(window), &[&x, &w, &one, &zero], &[1, 1, 2, 1]), [2 + 6, 1 - 2 + 6 + 12]);
    let a = bytes(DType::U8, &[2, 2], &[11, 7, 3, 10]);
    let b = bytes(DType::U8, &[2, 1], &[1, 4]);
    let (twelve, none) = (bytes(DType::U8, &[2], &[12, 3]), bytes(DType::U8, &[], &[0]));
    assert_eq!(sums(Call::MatMulInteger, &[&a, &b, &twelve, &none], &[2, 1]), [-1 - 20, 28]);
    assert!(run(Call::MatMulInteger, &[&b, &b, &none, &none], DType::I32, &[2, 1]).is_err());
}

/// More pixels than are gathered at once, two groups, an uneven stride, a zero point for each output.
#[test]
fn integer_convolutions_are_sums_by_the_definition() {
    let (channels, outputs, rows, columns) = (64, 6, 40, 35);
    let made = |count: usize, salt: usize| -> Vec<u8> { (0..count).map(|i| ((i * 7919 + salt) % 251) as u8).collect() };
    let (x, w) = (made(2 * channels * rows * columns, 3), made(outputs * channels / 2 * 9, 8));
    let zeros: Vec<u8> = (0..outputs as u8).map(|i| i * 20).collect();
    let (high, wide) = ((rows + 1 - 3) / 2 + 1, columns + 2 - 3 + 1);
    let at = |image: usize, output: usize, y: usize, col: usize| -> i32 {
        let mut sum = 0;
        for (channel, tap) in (0..channels / 2).flat_map(|c| (0..9).map(move |tap| (c, tap))) {
            let plane = image * channels + output / (outputs / 2) * (channels / 2) + channel;
            let (row, column) = ((2 * y + tap / 3).wrapping_sub(1), (col + tap % 3).wrapping_sub(1));
            if row < rows && column < columns {
                let weight = i32::from(w[(output * channels / 2 + channel) * 9 + tap]) - i32::from(zeros[output]);
                sum += (i32::from(x[(plane * rows + row) * columns + column]) - 117) * weight;
            }
        }
        sum
    };
    let shape = [2, outputs, high, wide];
    let mut want = Vec::new();
    for image in 0..2 {
        for (output, pixel) in (0..outputs).flat_map(|o| (0..high * wide).map(move |p| (o, p))) {
            want.push(at(image, output, pixel / wide, pixel % wide));
        }
    }
    let bytes = |shape: &[usize], x: &[u8]| Tensor::from_bytes(DType::U8, shape, x).unwrap();
    let operands = [
        bytes(&[2, channels, rows, columns], &x),
        bytes(&[outputs, channels / 2, 3, 3], &w),
        bytes(&[], &[117]),
        bytes(&[outputs], &zeros),
    ];
    let window = IntegerWindow { stride: vec![2, 1], dilation: vec![1, 1], begin: vec![1, 1], group: 2 };
    let got = run(Call::ConvInteger(window), &operands.each_ref(), DType::I32, &shape).unwrap();
    assert!(got.as_slice::<i32>().unwrap() == want);
}

#[test]
fn quantisation_per_tensor_axis_and_block() {
    let q = |x: &Tensor, s: &Tensor, z: Option<&Tensor>, dtype, axis, block| {
        let call = Call::Quantize { axis, block, precision: DType::F32, saturate: true };
        let inputs: Vec<&Tensor> = [x, s].into_iter().chain(z).collect();
        run(call, &inputs, dtype, x.shape()).unwrap().bytes().to_vec()
    };
    let x = f32s(&[2, 3], &[1.0, 3.0, 1000.0, -1.0, 5.0, -1000.0]);
    let zero = Tensor::from_bytes(DType::U8, &[], &[1]).unwrap();
    // Halves are rounded to even before the zero point is added.
    assert_eq!(q(&x, &f32s(&[], &[2.0]), Some(&zero), DType::U8, 0, 0), [1, 3, 255, 1, 3, 0]);
    assert_eq!(q(&x, &f32s(&[2], &[1.0, 0.5]), None, DType::I8, 0, 0), [1, 3, 127, 0xfe, 10, 0x80]);
    assert_eq!(q(&x, &f32s(&[2, 2], &[1.0, 500.0, 2.0, 1.0]), None, DType::I4, 1, 2), [1, 3, 2, 0, 2, 0xf8]);
    let codes = Tensor::from_bytes(DType::I8, &[2, 2], &[1, 0xff, 3, 4]).unwrap();
    let scale = f32s(&[2], &[0.5, 2.0]);
    assert_eq!(floats(Call::Dequantize { axis: 1, block: 0 }, &[&codes, &scale], &[2, 2]), [0.5, -2.0, 1.5, 8.0]);
    let call = Call::Dequantize { axis: 1, block: 0 };
    assert!(run(call, &[&codes, &f32s(&[3], &[1.0; 3])], DType::F32, &[2, 2]).is_err());
}
