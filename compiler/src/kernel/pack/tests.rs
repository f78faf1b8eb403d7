//! Packing against its definition, element by element.

#![allow(clippy::unwrap_used)]

use super::*;
use bytes::Bytes;

fn weight(shape: &[usize]) -> Weight {
    let n: usize = shape.iter().product();
    let bytes: Vec<u8> = (0..n).flat_map(|i| (i as f32).to_le_bytes()).collect();
    Weight::from_bytes(brolga_runtime::DType::F32, shape.to_vec(), Bytes::from(bytes))
}

/// The definition, element by element.
fn by_definition(spec: &PackSpec, weight: &Weight) -> Vec<f32> {
    let reader = Reader::new(weight, &spec.source);
    let mut all = Vec::new();
    for piece in &spec.pieces {
        for i in 0..piece.len() {
            let (mut index, mut rest) = (piece.start.clone(), i);
            for l in piece.loops.iter().rev() {
                index[l.dim] += rest % l.count * l.step;
                rest /= l.count;
            }
            let inside = index.iter().zip(&piece.end).all(|(i, end)| i < end);
            let at = index.iter().zip(&reader.strides).map(|(i, s)| i * s).sum();
            all.push(if inside { (f64::from(reader.at(at)) * reader.factor(&index)) as f32 } else { 0.0 });
        }
    }
    all
}

/// Weights of convolutions and products, whole and cut, with factors of rows, of columns and of both.
#[test]
fn blocks_in_the_order_of_the_source_are_what_the_definition_says() {
    let l = |count, dim, step| PackLoop { count, dim, step };
    let conv = |[oc, ic, ky, kx]: [usize; 4], chunk: usize, panel: usize| {
        let loops = vec![l(ic.div_ceil(chunk), 1, chunk), l(ky, 2, 1), l(kx, 3, 1), l(chunk, 1, 1), l(panel, 0, 1)];
        let end = vec![oc, ic, ky, kx];
        let piece = |p: usize| PackPiece { start: vec![p * panel, 0, 0, 0], end: end.clone(), loops: loops.clone() };
        PackSpec::new(end.clone(), (0..oc.div_ceil(panel)).map(piece).collect())
    };
    // Both loops over one dimension, as depthwise filters have them.
    let lanes = vec![l(3, 0, 16), l(5, 2, 1), l(3, 3, 1), l(16, 0, 1)];
    let depthwise = PackPiece { start: vec![0; 4], end: vec![40, 1, 5, 3], loops: lanes };
    let depthwise = PackSpec::new(vec![40, 1, 5, 3], vec![depthwise]);
    let columns = PackPiece { start: vec![1, 3], end: vec![300, 50], loops: vec![l(299, 0, 1), l(64, 1, 1)] };
    let columns = PackSpec::new(vec![300, 50], vec![columns]);
    let specs =
        [conv([40, 48, 3, 3], 16, 32), conv([24, 600, 1, 1], 16, 32), conv([33, 20, 5, 1], 16, 16), columns, depthwise];
    let mut count = 0;
    for spec in &specs {
        let plain = weight(&spec.source);
        let mut turned = weight(&spec.source.iter().rev().copied().collect::<Vec<_>>());
        turned.perm = (0..spec.source.len()).rev().collect();
        let splat = Weight::splat(brolga_runtime::DType::F32, spec.source.clone(), [0, 0, 32, 64, 0, 0, 0, 0]);
        for base in [plain, turned, splat] {
            for axes in [&[][..], &[0], &[1], &[0, 1]] {
                let mut weight = base.clone();
                for axis in axes {
                    let scale = (0..spec.source[*axis]).map(|i| 1.0 / (i + 3) as f64).collect();
                    weight.scales.push(std::sync::Arc::new(crate::ir::AxisScale { axis: *axis, scale }));
                }
                let want = by_definition(spec, &weight);
                for cut in [0, 1, want.len() / 3, want.len() - 5] {
                    let mut got = vec![-1.0; want.len()];
                    let (lo, hi) = got.split_at_mut(cut);
                    spec.pack(&weight, 0, lo);
                    spec.pack(&weight, cut, hi);
                    assert!(got == want, "{:?}, scaled along {axes:?}, cut at {cut}", spec.source);
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 240);
}

#[test]
fn blocks_are_filled_up_with_zeros() {
    let l = |count, dim, step| PackLoop { count, dim, step };
    let loops = vec![l(3, 1, 2), l(2, 1, 1), l(4, 0, 1)];
    let piece = PackPiece { start: vec![0, 0], end: vec![3, 5], loops };
    let spec = PackSpec::new(vec![3, 5], vec![piece]);
    let mut all = vec![-1.0; spec.len()];
    spec.pack(&weight(&[3, 5]), 0, &mut all);
    let mut want: Vec<f32> = Vec::new();
    for i in 0..5 {
        want.extend([i as f32, (5 + i) as f32, (10 + i) as f32, 0.0]);
    }
    want.extend([0.0; 4]);
    assert_eq!(all, want);
    for cut in 0..all.len() {
        let mut parts = vec![-1.0; spec.len()];
        let (lo, hi) = parts.split_at_mut(cut);
        spec.pack(&weight(&[3, 5]), 0, lo);
        spec.pack(&weight(&[3, 5]), cut, hi);
        assert_eq!(parts, want);
    }
}

/// A block of scaled depthwise filters has a loop of one step over the dimension of its lanes: no factor within a row differs.
#[test]
fn scaled_depthwise_filters_are_packed_by_rows() {
    let l = |count, dim, step| PackLoop { count, dim, step };
    let loops = vec![l(1, 0, 16), l(3, 2, 1), l(3, 3, 1), l(16, 0, 1)];
    let block = PackPiece { start: vec![16, 0, 0, 0], end: vec![40, 1, 3, 3], loops };
    let mut filters = weight(&[40, 1, 3, 3]);
    let scale = (0..40).map(|i| f64::from(i) / 8.0).collect();
    filters.scales.push(std::sync::Arc::new(crate::ir::AxisScale { axis: 0, scale }));
    let reader = Reader::new(&filters, &[40, 1, 3, 3]);
    let walked = walks(&reader, &block).unwrap();
    assert_eq!(walked.iter().map(|w| (w.dim, w.count)).collect::<Vec<_>>(), [(0, 16), (2, 3), (3, 3)]);
    let (mut scratch, mut got) = (Scratch::default(), vec![-1.0; block.len()]);
    assert_eq!(pack_rows(&reader, &block, &mut scratch, &mut got), Some(()));
    assert!(scratch.places.factors.is_empty());
    let spec = PackSpec::new(vec![40, 1, 3, 3], vec![block]);
    assert_eq!(got, by_definition(&spec, &filters));
}
