//! What a Resize is asked for: how elements are interpolated, where positions lie, what is outside.

use super::Ints;

/// Interpolation of Resize.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum ResizeMode {
    Nearest(Nearest),
    Linear,
    Cubic { a: f32 },
}

/// Rounding of nearest Resize.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Nearest {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
}

/// Coordinate transformation of Resize.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    /// Resize from opset 10: `x / scale`, and upsample's own rule is `Asymmetric`.
    TfHalfPixelForNn,
    /// Region of interest from two further lists in [`ResizeAttrs`].
    TfCropAndResize {
        extrapolation: f32,
    },
}

/// Attributes of Resize; every list has one entry per dimension of the input.
#[derive(Clone, Debug, PartialEq)]
pub struct ResizeAttrs {
    /// Interpolation.
    pub mode: ResizeMode,
    /// Coordinate transformation.
    pub coordinates: Coordinates,
    /// Output extents.
    pub sizes: Ints,
    /// Scales as the model gives them; `None` means output / input.
    pub scales: Option<Vec<f32>>,
    /// Region of interest, begin and end per dimension, for crop-and-resize.
    pub roi: Option<(Vec<f32>, Vec<f32>)>,
    /// Low-pass filter when shrinking.
    pub antialias: bool,
    /// Elements outside have no weight, instead of repeating the border.
    pub exclude_outside: bool,
}
