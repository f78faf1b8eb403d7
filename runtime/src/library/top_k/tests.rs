//! Against a stable sort of everything.

use super::*;
use crate::Tensor;
use crate::library::Call;

/// Values of a short period, so that many are equal, and with every kind of float when `special`.
fn noise(count: usize, period: u32, special: bool) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    (0..count)
        .map(|_| match next() % 16 {
            0 if special => f32::NAN,
            1 if special => -f32::NAN,
            2 if special => 0.0,
            3 if special => -0.0,
            4 if special => f32::INFINITY,
            5 if special => f32::NEG_INFINITY,
            _ => (next() % period) as f32 - (period / 2) as f32,
        })
        .collect()
}

fn check(x: &[f32], shape: [usize; 3], k: usize, largest: bool) {
    let [outer, extent, inner] = shape;
    let given = Tensor::from_slice(&shape, x).unwrap();
    let to = [outer, k, inner];
    let (mut v, mut p) = (Tensor::zeros(DType::F32, &to).unwrap(), Tensor::zeros(DType::I64, &to).unwrap());
    Call::TopK { axis: 1, largest }.run(&[given.view()], &mut [v.view_mut(), p.view_mut()]).unwrap();
    let (v, p) = (v.as_slice::<f32>().unwrap(), p.as_slice::<i64>().unwrap());
    for line in 0..outer * inner {
        let at = |i: usize, extent: usize| (line / inner * extent + i) * inner + line % inner;
        let mut wanted: Vec<usize> = (0..extent).collect();
        wanted.sort_by(|a, b| {
            // Zeros of either sign are equal.
            let order = (x[at(*a, extent)] + 0.0).total_cmp(&(x[at(*b, extent)] + 0.0));
            if largest { order.reverse() } else { order }
        });
        for (i, from) in wanted.iter().take(k).enumerate() {
            let (value, position) = (v[at(i, k)], p[at(i, k)]);
            assert_eq!(position, *from as i64, "{shape:?} k {k} largest {largest} line {line} place {i}");
            assert_eq!(value.to_bits(), x[at(*from, extent)].to_bits());
        }
    }
}

#[test]
fn as_a_stable_sort() {
    let mut cases = 0;
    for shape in [[1, 1, 1], [1, 2000, 1], [3, 333, 1], [2, 150, 5], [1, 40, 7], [4, 1, 3]] {
        let extent: usize = shape[1];
        for k in [0, 1, 2, 31, 32, 33, 70, extent.saturating_sub(1), extent] {
            if k > extent {
                continue;
            }
            for (period, special) in [(7, false), (7, true), (1 << 20, false), (1 << 20, true), (1, false)] {
                let x = noise(shape.iter().product(), period, special);
                for largest in [true, false] {
                    check(&x, shape, k, largest);
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 430);
}

#[test]
fn every_element_a_candidate() {
    let ascending: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let nan = vec![f32::NAN; 1000];
    for k in [1, 10, 400] {
        for largest in [true, false] {
            check(&ascending, [1, 1000, 1], k, largest);
            check(&nan, [1, 1000, 1], k, largest);
        }
    }
}

#[test]
fn integers_of_either_sign() {
    fn first<T: crate::Element>(x: &[T], largest: bool) -> Vec<i64> {
        let x = Tensor::from_slice(&[x.len()], x).unwrap();
        let (mut v, mut p) = (Tensor::zeros(T::DTYPE, &[2]).unwrap(), Tensor::zeros(DType::I64, &[2]).unwrap());
        Call::TopK { axis: 0, largest }.run(&[x.view()], &mut [v.view_mut(), p.view_mut()]).unwrap();
        p.as_slice::<i64>().unwrap().to_vec()
    }
    let i64s = [0, i64::MIN, i64::MAX, -1, i64::MAX - 1];
    assert_eq!((first(&i64s, true), first(&i64s, false)), (vec![2, 4], vec![1, 3]));
    let u64s = [0, u64::MAX, 1 << 63, (1 << 63) - 1];
    assert_eq!((first(&u64s, true), first(&u64s, false)), (vec![1, 2], vec![0, 3]));
    assert_eq!((first(&[3i8, -128, 127], true), first(&[3i8, -128, 127], false)), (vec![2, 0], vec![1, 0]));
    assert_eq!((first(&[3u8, 200, 3], true), first(&[3u8, 200, 3], false)), (vec![1, 0], vec![0, 2]));
}

#[test]
fn nothing_and_too_much() {
    check(&[], [0, 5, 2], 3, true);
    check(&[], [2, 0, 1], 0, true);
    check(&[], [2, 5, 0], 5, false);
    let x = Tensor::from_slice(&[2], &[1f32, 2.0]).unwrap();
    let (mut v, mut p) = (Tensor::zeros(DType::F32, &[3]).unwrap(), Tensor::zeros(DType::I64, &[3]).unwrap());
    let call = Call::TopK { axis: 0, largest: true };
    assert!(call.run(&[x.view()], &mut [v.view_mut(), p.view_mut()]).is_err());
}
