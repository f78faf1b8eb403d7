//! MaxRoiPool: the largest element in each cell of a grid laid over a region, on whole pixels.

use super::super::elements::{extents, index_of, product};
use super::super::expect;
use super::super::function::{Function, Operands, Results};
use super::super::real::{Real, in_real, zeros};
use super::{feature_map, regions};
use crate::Value;

pub(super) fn max_roi_pool(function: &Function, operands: &Operands) -> Results {
    in_real!(operands.tensor(0)?.dtype, pool(function, operands))
}

/// The pixels of cell `p` along one dimension.
fn cell(start: f64, size: f64, p: usize, extent: usize) -> std::ops::Range<usize> {
    let inside = |at: f64| (at + start).clamp(0.0, extent as f64) as usize;
    inside((p as f64 * size).floor())..inside(((p + 1) as f64 * size).ceil())
}

fn pool<R: Real>(function: &Function, operands: &Operands) -> Results {
    let (x, rois) = (operands.tensor(0)?, operands.tensor(1)?);
    let [batch, channels, height, width] = feature_map(&x)?;
    let count = regions(&rois, 5)?;
    let pooled = extents(function.ints("pooled_shape"))?;
    expect(pooled.len() == 2 && !pooled.contains(&0), "a pooled shape of two extents above 0")?;
    let scale = R::of(f64::from(function.float("spatial_scale", 1.0)));
    let (data, rois) = (R::elements(&x)?, R::elements(&rois)?);
    let shape = [count, channels, pooled[0], pooled[1]];
    let mut made = zeros::<R>(&shape)?;
    let plane = product(&[height, width])?;
    if made.is_empty() || plane == 0 {
        return Ok(vec![Value::Tensor(R::tensor(x.dtype, &shape, &made)?)]);
    }
    let cells = pooled[0] * pooled[1];
    for (roi, to) in rois.chunks_exact(5).zip(made.chunks_exact_mut(channels * cells)) {
        let image = index_of(roi[0].wide() as i64, batch)?;
        let at = |i: usize| (roi[i] * scale).wide().round();
        let (left, top) = (at(1), at(2));
        let size_h = (at(4) - top + 1.0).max(1.0) / pooled[0] as f64;
        let size_w = (at(3) - left + 1.0).max(1.0) / pooled[1] as f64;
        let planes = data[image * channels * plane..].chunks_exact(plane);
        for (from, to) in planes.zip(to.chunks_exact_mut(cells)) {
            for (p, to) in to.iter_mut().enumerate() {
                let rows = cell(top, size_h, p / pooled[1], height);
                let columns = cell(left, size_w, p % pooled[1], width);
                if columns.start >= columns.end {
                    continue;
                }
                let mut best: Option<R> = None;
                for row in rows {
                    for value in &from[row * width..][columns.clone()] {
                        best = Some(best.map_or(*value, |b| if *value > b { *value } else { b }));
                    }
                }
                *to = best.unwrap_or_default();
            }
        }
    }
    Ok(vec![Value::Tensor(R::tensor(x.dtype, &shape, &made)?)])
}
