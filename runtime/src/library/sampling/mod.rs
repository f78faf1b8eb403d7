//! Sampling between the elements of a tensor: GridSample, AffineGrid, DeformConv.

mod deform;
mod grid;
mod taps;

use super::function::{Entry, pure};

pub(super) const TABLE: &[Entry] = &[
    pure("grid_sample", grid::grid_sample),
    pure("affine_grid", grid::affine_grid),
    pure("deform_conv", deform::deform_conv),
];

#[cfg(test)]
mod tests;
