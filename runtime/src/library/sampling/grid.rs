//! GridSample: an image read at the places a grid names. AffineGrid: such a grid from affine maps.

use super::super::elements::{extents, product};
use super::super::function::{Function, Operands, Results};
use super::super::real::{Real, in_real, zeros};
use super::super::{LibraryError, expect};
use super::taps::{Plane, SampleMode, SamplePadding, Taps};
use crate::Value;
use crate::wide::{Loop, wide};

/// Samples whose taps are made at once, to be used for all channels.
const CHUNK: usize = 256;

pub(super) fn grid_sample(function: &Function, operands: &Operands) -> Results {
    in_real!(operands.tensor(0)?.dtype, sample(function, operands))
}

/// A GridSample's attributes `mode`, `padding_mode` and `align_corners`.
///
/// # Errors
/// Names that the specification does not have.
pub fn sampling(function: &Function) -> Result<(SampleMode, SamplePadding, bool), LibraryError> {
    let mode = match function.text("mode", "linear") {
        "linear" | "bilinear" => SampleMode::Linear,
        "nearest" => SampleMode::Nearest,
        "cubic" | "bicubic" => SampleMode::Cubic,
        _ => return Err(LibraryError::Operands { accepted: "the modes linear, nearest and cubic" }),
    };
    let padding = match function.text("padding_mode", "zeros") {
        "zeros" => SamplePadding::Zeros,
        "border" => SamplePadding::Border,
        "reflection" => SamplePadding::Reflection,
        _ => return Err(LibraryError::Operands { accepted: "the padding modes zeros, border and reflection" }),
    };
    Ok((mode, padding, function.int("align_corners", 0) != 0))
}

fn sample<R: Real>(function: &Function, operands: &Operands) -> Results {
    let (x, grid) = (operands.tensor(0)?, operands.tensor(1)?);
    let (mode, padding, corners) = sampling(function)?;
    let fits = "an image [n, c, spatial..] and a grid [n, spatial.., rank]";
    let ([batch, channels, dims @ ..], [batch_too, places @ .., coordinates]) = (x.shape, grid.shape) else {
        return Err(LibraryError::Operands { accepted: fits });
    };
    let rank = dims.len();
    expect(batch == batch_too && *coordinates == rank && places.len() == rank, fits)?;
    let plane = Plane { dims, mode, padding, corners };
    let mut taps = Taps::<R>::new(&plane)?;
    let shape: Vec<usize> = [*batch, *channels].iter().chain(places).copied().collect();
    let mut made = zeros::<R>(&shape)?;
    let (size, samples) = (product(dims)?, product(places)?);
    if !made.is_empty() && size > 0 {
        let (data, grid) = (R::elements(&x)?, R::elements(&grid)?);
        let images = data.chunks_exact(channels * size).zip(made.chunks_exact_mut(channels * samples));
        for ((image, made), grid) in images.zip(grid.chunks_exact(samples * rank)) {
            for (i, chunk) in grid.chunks(CHUNK * rank).enumerate() {
                wide(Places { places: chunk, plane: &plane, taps: &mut taps });
                let range = i * CHUNK..i * CHUNK + chunk.len() / rank;
                for (plane, to) in image.chunks_exact(size).zip(made.chunks_exact_mut(samples)) {
                    taps.sample(plane, &mut to[range.clone()]);
                }
            }
        }
    }
    Ok(vec![Value::Tensor(R::tensor(x.dtype, &shape, &made)?)])
}

/// The taps of places of a grid, of `rank` coordinates each.
struct Places<'a, R> {
    places: &'a [R],
    plane: &'a Plane<'a>,
    taps: &'a mut Taps<R>,
}

impl<R: Real> Loop for Places<'_, R> {
    #[inline(always)]
    fn run(self) {
        let Places { places, plane, taps } = self;
        taps.clear();
        for place in places.chunks_exact(plane.dims.len()) {
            // A place names its coordinates from the last dimension to the first.
            let at = place.iter().rev().zip(plane.dims);
            taps.push(plane, at.map(|(at, extent)| position(*at, *extent, plane.corners)), R::of(1.0));
        }
    }
}

/// From the range -1 to 1 to elements.
#[inline(always)]
fn position<R: Real>(at: R, extent: usize, corners: bool) -> R {
    let (one, two, extent) = (R::of(1.0), R::of(2.0), R::of(extent as f64));
    if corners { (at + one) / two * (extent - one) } else { ((at + one) * extent - one) / two }
}

pub(super) fn affine_grid(function: &Function, operands: &Operands) -> Results {
    let theta = operands.tensor(0)?;
    let size = extents(&operands.integers(1)?)?;
    let fits = "maps [n, r, r + 1] and the size [n, c, spatial..] of two or three spatial dimensions";
    let [batch, _, dims @ ..] = &size[..] else { return Err(LibraryError::Operands { accepted: fits }) };
    let rank = dims.len();
    expect((rank == 2 || rank == 3) && theta.shape == [*batch, rank, rank + 1], fits)?;
    let corners = function.int("align_corners", 0) != 0;
    let shape: Vec<usize> = std::iter::once(*batch).chain(dims.iter().copied()).chain([rank]).collect();
    let mut made = zeros::<f64>(&shape)?;
    let maps = operands.reals(0)?;
    let places = product(dims)?;
    if !made.is_empty() {
        let centre = |i: usize, extent: usize| match (corners, extent) {
            (true, 1) => -1.0,
            (true, n) => -1.0 + 2.0 * i as f64 / (n - 1) as f64,
            (false, n) => (2 * i + 1) as f64 / n as f64 - 1.0,
        };
        for (map, made) in maps.chunks_exact(rank * (rank + 1)).zip(made.chunks_exact_mut(places * rank)) {
            for (place, to) in made.chunks_exact_mut(rank).enumerate() {
                let mut rest = place;
                let mut at = [0.0, 0.0, 0.0, 1.0];
                for (i, extent) in dims.iter().rev().enumerate() {
                    at[i] = centre(rest % extent, *extent);
                    rest /= extent;
                }
                at[rank] = 1.0;
                for (to, row) in to.iter_mut().zip(map.chunks_exact(rank + 1)) {
                    *to = row.iter().zip(&at).map(|(m, x)| m * x).sum();
                }
            }
        }
    }
    Ok(vec![Value::Tensor(super::super::function::from_reals(theta.dtype, &shape, &made)?)])
}
