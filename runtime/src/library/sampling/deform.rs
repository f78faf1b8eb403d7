//! The columns of a DeformConv: samples of an image at the taps of a window, each moved by an offset and scaled by a mask that
//! are its own at every place. A convolution of one tap makes the outputs of them.

use super::super::elements::{extents, listed, product};
use super::super::function::{Function, Operands, Results};
use super::super::real::{Real, in_real, zeros};
use super::super::{LibraryError, expect};
use super::taps::{Plane, SampleMode, SamplePadding, Taps};
use crate::Value;

pub(super) fn deform_columns(function: &Function, operands: &Operands) -> Results {
    in_real!(operands.tensor(0)?.dtype, columns(function, operands))
}

/// The window of a deformed convolution, as its attributes say it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeformWindow {
    /// Extents of the window.
    pub kernel: Vec<usize>,
    /// Steps from one place to the next.
    pub strides: Vec<usize>,
    /// Steps from one tap to the next.
    pub dilations: Vec<usize>,
    /// Elements of padding before and after each dimension.
    pub pads: Vec<usize>,
    /// Groups of channels that are summed apart: columns are ordered by group, tap, channel.
    pub groups: usize,
    /// Groups of channels that share offsets and a mask.
    pub offset_groups: usize,
}

impl DeformWindow {
    /// The window that a function's attributes describe: `kernel_shape`, `strides`, `dilations`, `pads`, `group`, `offset_group`.
    ///
    /// # Errors
    /// Attributes that are negative, zero where a number of elements is meant, or of another rank than the window's.
    pub fn of(function: &Function) -> Result<DeformWindow, LibraryError> {
        let kernel = extents(function.ints("kernel_shape"))?;
        let rank = kernel.len();
        let strides = listed(function.ints("strides"), rank, 1)?;
        let dilations = listed(function.ints("dilations"), rank, 1)?;
        let pads = listed(function.ints("pads"), 2 * rank, 0)?;
        let groups = extents(&[function.int("group", 1), function.int("offset_group", 1)])?;
        expect(rank > 0 && !kernel.contains(&0) && !groups.contains(&0), "a window and groups of one and more")?;
        expect(!strides.contains(&0) && !dilations.contains(&0), "strides and dilations above 0")?;
        Ok(DeformWindow { kernel, strides, dilations, pads, groups: groups[0], offset_groups: groups[1] })
    }
    /// Places of the window in an image of these extents; `None` where it does not fit once.
    pub fn places(&self, image: &[usize]) -> Option<Vec<usize>> {
        let rank = self.kernel.len();
        let place = |i: usize| {
            let reach = (self.kernel[i] - 1).checked_mul(self.dilations[i])?.checked_add(1)?;
            let padded = image[i].checked_add(self.pads[i])?.checked_add(self.pads[i + rank])?;
            Some(padded.checked_sub(reach)? / self.strides[i] + 1)
        };
        (image.len() == rank).then(|| (0..rank).map(place).collect())?
    }
}

/// One image's part of the work.
struct Columns<'a> {
    window: &'a DeformWindow,
    dims: &'a [usize],
    places: &'a [usize],
    taps: usize,
    /// Places, and elements of a channel of the image.
    count: usize,
    size: usize,
    channels: usize,
}

fn columns<R: Real>(function: &Function, operands: &Operands) -> Results {
    let (x, offset, mask) = (operands.tensor(0)?, operands.tensor(1)?, operands.optional(2)?);
    let window = DeformWindow::of(function)?;
    let fits = "an image [n, c, spatial..] no smaller than the window";
    let [batch, channels, dims @ ..] = x.shape else { return Err(LibraryError::Operands { accepted: fits }) };
    let places = window.places(dims).ok_or(LibraryError::Operands { accepted: fits })?;
    let whole = channels % window.groups == 0 && channels % window.offset_groups == 0;
    expect(whole, "channels that are a multiple of the groups")?;
    let (taps, count, size) = (product(&window.kernel)?, product(&places)?, product(dims)?);
    let moved = product(&[window.offset_groups, taps])?;
    let shaped = |channels: usize| -> Vec<usize> { [*batch, channels].iter().chain(&places).copied().collect() };
    expect(offset.shape == shaped(moved.saturating_mul(dims.len())), "one offset a tap, dimension and place")?;
    expect(mask.is_none_or(|m| m.shape == shaped(moved)), "one mask element a tap and place")?;
    let shape = shaped(product(&[*channels, taps])?);
    let mut made = zeros::<R>(&shape)?;
    if !made.is_empty() {
        let (data, offsets) = (R::elements(&x)?, R::elements(&offset)?);
        let mask = mask.as_ref().map(R::elements).transpose()?;
        let (each, each_mask) = (moved * dims.len() * count, moved * count);
        let columns = Columns { window: &window, dims, places: &places, taps, count, size, channels: *channels };
        for (n, made) in made.chunks_exact_mut(channels * taps * count).enumerate() {
            let mask = mask.as_ref().map(|m| &m[n * each_mask..][..each_mask]);
            let image = &data[n * channels * size..][..channels * size];
            columns.sample(image, &offsets[n * each..][..each], mask, made)?;
        }
    }
    Ok(vec![Value::Tensor(R::tensor(x.dtype, &shape, &made)?)])
}

impl Columns<'_> {
    fn sample<R: Real>(
        &self,
        image: &[R],
        offsets: &[R],
        mask: Option<&[R]>,
        made: &mut [R],
    ) -> Result<(), LibraryError> {
        let (mode, padding) = (SampleMode::Linear, SamplePadding::Zeros);
        let plane = Plane { dims: self.dims, mode, padding, corners: true };
        let mut taps = Taps::<R>::new(&plane)?;
        let (per_offset, per_group) = (self.channels / self.window.offset_groups, self.channels / self.window.groups);
        let mut at = vec![R::default(); self.dims.len()];
        for moved in 0..self.window.offset_groups * self.taps {
            let (group, tap) = (moved / self.taps, moved % self.taps);
            taps.clear();
            for place in 0..self.count {
                self.move_to(place, tap, &mut at);
                for (d, at) in at.iter_mut().enumerate() {
                    *at += offsets[(moved * self.dims.len() + d) * self.count + place];
                }
                let scale = mask.map_or(R::of(1.0), |m| m[moved * self.count + place]);
                taps.push(&plane, at.iter().copied(), scale);
            }
            for channel in group * per_offset..(group + 1) * per_offset {
                let row = (channel / per_group * self.taps + tap) * per_group + channel % per_group;
                taps.sample(&image[channel * self.size..][..self.size], &mut made[row * self.count..][..self.count]);
            }
        }
        Ok(())
    }

    /// Where a tap of a place is before it is moved.
    fn move_to<R: Real>(&self, mut place: usize, mut tap: usize, at: &mut [R]) {
        for d in (0..at.len()).rev() {
            let step = (place % self.places[d]) * self.window.strides[d];
            let reach = (tap % self.window.kernel[d]) * self.window.dilations[d];
            at[d] = R::of((step + reach) as f64 - self.window.pads[d] as f64);
            place /= self.places[d];
            tap /= self.window.kernel[d];
        }
    }
}
