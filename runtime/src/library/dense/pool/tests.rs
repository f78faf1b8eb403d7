//! Maxima with their places, against a loop over the taps of every window.

use crate::library::{Attribute::*, Function};
use crate::{Tensor, Value};

fn pool(x: &Tensor, kernel: [i64; 2], stride: i64, dilation: i64, pad: i64, kind: &str) -> Option<Vec<Value>> {
    let out = |extent: usize, k: i64| (extent as i64 + 2 * pad - (k - 1) * dilation - 1) / stride + 1;
    let output = vec![out(x.shape()[2], kernel[0]), out(x.shape()[3], kernel[1])];
    let f = Function::new("pool", 1)
        .with("kind", Text(kind.into()))
        .with("kernel", Ints(kernel.to_vec()))
        .with("stride", Ints(vec![stride; 2]))
        .with("dilation", Ints(vec![dilation; 2]))
        .with("pad_begin", Ints(vec![pad; 2]))
        .with("pad_end", Ints(vec![pad; 2]))
        .with("output", Ints(output));
    f.run(&[crate::Operand::Tensor(x.view())]).ok()
}

/// Bits of the value, and the index.
fn naive(x: &[f32], shape: [usize; 4], at: [usize; 4], kernel: [i64; 2], window: [i64; 3]) -> (u32, i64) {
    let ([_, channels, h, w], [stride, dilation, pad]) = (shape, window);
    let plane = (at[0] * channels + at[1]) * h * w;
    let (mut best, mut place) = (f32::NEG_INFINITY, None);
    for (i, j) in (0..kernel[0]).flat_map(|i| (0..kernel[1]).map(move |j| (i, j))) {
        let (row, column) = (at[2] as i64 * stride + i * dilation - pad, at[3] as i64 * stride + j * dilation - pad);
        if row < 0 || column < 0 || row >= h as i64 || column >= w as i64 {
            continue;
        }
        let offset = row as usize * w + column as usize;
        let value = x[plane + offset];
        if value > best || place.is_none() {
            (best, place) = (value, Some(offset));
        } else if value.is_nan() {
            best = value;
        }
    }
    (best.to_bits(), (plane + place.unwrap_or(0)) as i64)
}

#[test]
fn maxima_and_their_places() {
    let shape = [2, 2, 6, 7];
    let mut x: Vec<f32> = (0..168).map(|i| (i * 37 % 11) as f32 - 5.0).collect();
    (x[3], x[40], x[41], x[90]) = (f32::NAN, f32::NAN, 9.0, f32::NEG_INFINITY);
    let given = Tensor::from_slice(&shape, &x).unwrap();
    let mut cases = 0;
    for (kernel, stride, dilation, pad) in
        [([2, 2], 2, 1, 0), ([3, 3], 2, 1, 1), ([3, 2], 1, 2, 1), ([1, 1], 1, 1, 0), ([2, 3], 3, 1, 2)]
    {
        let made = pool(&given, kernel, stride, dilation, pad, "max").unwrap();
        let (values, indices) = (made[0].as_tensor().unwrap(), made[1].as_tensor().unwrap());
        let [_, _, h, w] = *values.shape() else { panic!("{values:?}") };
        let (values, indices) = (values.as_slice::<f32>().unwrap(), indices.as_slice::<i64>().unwrap());
        for (i, (value, index)) in values.iter().zip(indices).enumerate() {
            let at = [i / (2 * h * w), i / (h * w) % 2, i / w % h, i % w];
            let wanted = naive(&x, shape, at, kernel, [stride, dilation, pad]);
            assert_eq!((value.to_bits(), *index), wanted, "{kernel:?} {at:?}");
            cases += 1;
        }
    }
    assert_eq!(cases, 4 * (3 * 3 + 3 * 4 + 4 * 7 + 6 * 7 + 3 * 3));
}

#[test]
fn means_begin_at_zero() {
    let zeros = Tensor::from_slice(&[1, 1, 2, 2], &[-0.0f32; 4]).unwrap();
    let made = pool(&zeros, [2, 2], 1, 1, 0, "average").unwrap();
    assert_eq!(made[0].as_tensor().unwrap().as_slice::<f32>().unwrap()[0].to_bits(), 0);
    let x = Tensor::from_slice(&[1, 1, 2, 2], &[3.0f32, 4.0, 0.0, 1.0]).unwrap();
    let made = pool(&x, [1, 2], 1, 1, 0, "lp").unwrap();
    assert_eq!(made[0].as_tensor().unwrap().as_slice::<f32>().unwrap(), [5.0, 1.0]);
    assert!(pool(&x, [1, 2], 1, 1, 0, "median").is_none());
}

#[test]
fn no_batch_no_result() {
    let x = Tensor::from_slice::<f32>(&[0, 3, 4, 4], &[]).unwrap();
    let made = pool(&x, [2, 2], 2, 1, 0, "max").unwrap();
    assert_eq!((made[0].shape(), made[1].shape()), (Some(&[0, 3, 2, 2][..]), Some(&[0, 3, 2, 2][..])));
}
