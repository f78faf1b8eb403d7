//! Sampling between the elements of a tensor: GridSample, AffineGrid, the columns of DeformConv.

mod deform;
mod grid;
mod taps;

pub use deform::DeformWindow;
pub use grid::sampling;
pub use taps::{SampleMode, SamplePadding};

use super::function::{Entry, pure};

pub(super) const TABLE: &[Entry] = &[
    pure("grid_sample", grid::grid_sample),
    pure("affine_grid", grid::affine_grid),
    pure("deform_columns", deform::deform_columns),
];

#[cfg(test)]
mod tests;
