//! Slices and elements scattered and gathered, against a loop over elements.

use super::super::Call;
use super::*;
use crate::Tensor;

fn scattered(kind: ScatterKind, rows: usize, width: usize, index: &[i64]) -> Result<Tensor, LibraryError> {
    let x: Vec<f32> = (0..rows * width).map(|i| i as f32 * 0.5 - 3.0).collect();
    let updates: Vec<f32> = (0..index.len() * width).map(|i| 7.0 - i as f32 * 0.25).collect();
    let x = Tensor::from_slice(&[rows, width], &x)?;
    let updates = Tensor::from_slice(&[index.len(), width], &updates)?;
    let index = Tensor::from_slice(&[index.len(), 1], index)?;
    let mut out = Tensor::zeros(DType::F32, x.shape())?;
    Call::ScatterNd { kind }.run(&[x.view(), index.view(), updates.view()], &mut [out.view_mut()])?;
    Ok(out)
}

#[test]
fn rows_are_scattered_in_order() {
    let index = [2, -1, 0, 2];
    let mut cases = 0;
    for width in [0, 1, 2, 67] {
        for kind in [ScatterKind::Replace, ScatterKind::Add, ScatterKind::Mul, ScatterKind::Max, ScatterKind::Min] {
            let mut wanted: Vec<f32> = (0..5 * width).map(|i| i as f32 * 0.5 - 3.0).collect();
            for (i, row) in [2, 4, 0, 2].into_iter().enumerate() {
                for k in 0..width {
                    let (old, new) = (&mut wanted[row * width + k], 7.0 - (i * width + k) as f32 * 0.25);
                    *old = match kind {
                        ScatterKind::Replace => new,
                        ScatterKind::Add => *old + new,
                        ScatterKind::Mul => *old * new,
                        ScatterKind::Max => old.max(new),
                        ScatterKind::Min => old.min(new),
                    };
                }
            }
            assert_eq!(scattered(kind, 5, width, &index).unwrap().as_slice::<f32>().unwrap(), wanted, "{width}");
            cases += 1;
        }
    }
    assert_eq!(cases, 20);
}

#[test]
fn rows_that_do_not_exist_are_refused() {
    let outside = LibraryError::Index { index: 5, extent: 5 };
    assert_eq!(scattered(ScatterKind::Replace, 5, 3, &[0, 5]).unwrap_err(), outside);
    assert_eq!(scattered(ScatterKind::Add, 5, 1, &[5]).unwrap_err(), outside);
    assert!(scattered(ScatterKind::Replace, 5, 1, &[-6]).is_err());
    assert!(scattered(ScatterKind::Replace, 5, 1, &[]).is_ok());
}

#[test]
fn bits_are_scattered_as_they_are() {
    for width in [1, 3] {
        let x = Tensor::zeros(DType::F32, &[2, width]).unwrap();
        let quiet_and_not = vec![f32::from_bits(0x7f80_0001); width];
        let updates = Tensor::from_slice(&[1, width], &quiet_and_not).unwrap();
        let index = Tensor::from_slice(&[1, 1], &[1i64]).unwrap();
        let mut out = Tensor::zeros(DType::F32, &[2, width]).unwrap();
        let call = Call::ScatterNd { kind: ScatterKind::Replace };
        call.run(&[x.view(), index.view(), updates.view()], &mut [out.view_mut()]).unwrap();
        let mut back = Tensor::zeros(DType::F32, &[1, width]).unwrap();
        Call::GatherNd { batch: 0 }.run(&[out.view(), index.view()], &mut [back.view_mut()]).unwrap();
        assert_eq!(back.bytes(), updates.bytes());
    }
}
