//! Regions of interest: NonMaxSuppression, RoiAlign, MaxRoiPool.

mod align;
mod pool;
mod suppress;

use super::function::{Entry, pure};
use super::{LibraryError, expect};
use crate::TensorView;

pub(super) const TABLE: &[Entry] = &[
    pure("non_max_suppression", suppress::non_max_suppression),
    pure("roi_align", align::roi_align),
    pure("max_roi_pool", pool::max_roi_pool),
];

/// Batch, channels, height and width of a feature map.
fn feature_map(x: &TensorView) -> Result<[usize; 4], LibraryError> {
    match x.shape {
        [n, c, h, w] => Ok([*n, *c, *h, *w]),
        _ => Err(LibraryError::Operands { accepted: "a feature map of rank 4" }),
    }
}

/// Number of regions, each given by `columns` numbers.
fn regions(rois: &TensorView, columns: usize) -> Result<usize, LibraryError> {
    let count = rois.shape.first().copied().unwrap_or(0);
    expect(
        rois.shape == [count, columns],
        "regions of rank 2, with four coordinates (MaxRoiPool: the batch index before them)",
    )?;
    Ok(count)
}

#[cfg(test)]
mod tests;
