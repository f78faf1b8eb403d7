//! DeformConv: a convolution whose taps are moved by offsets and scaled by a mask, each its own at every place.
//!
//! For a run of places the samples of all channels are made (one table of taps serves every channel of an offset group),
//! then a small matrix product with the weights makes the outputs.

use super::super::elements::{extents, listed, product};
use super::super::function::{Function, Operands, Results};
use super::super::real::{Real, in_real, zeros};
use super::super::{LibraryError, expect};
use super::taps::{Mode, Padding, Plane, Taps};
use crate::wide::{Loop, add_products, wide};
use crate::{TensorView, Value};

/// Places whose samples are made at once.
const RUN: usize = 512;
/// Rows of samples that all output channels take before the next ones: as much as the first-level cache keeps.
const DEEP: usize = 16;

pub(super) fn deform_conv(function: &Function, operands: &Operands) -> Results {
    in_real!(operands.tensor(0)?.dtype, convolve(function, operands))
}

struct Convolution {
    batch: usize,
    channels: usize,
    outputs: usize,
    groups: usize,
    offset_groups: usize,
    dims: Vec<usize>,
    kernel: Vec<usize>,
    places: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    begins: Vec<usize>,
}

impl Convolution {
    fn new(function: &Function, x: &TensorView, w: &TensorView) -> Result<Self, LibraryError> {
        let fits = "an image [n, c, spatial..] and weights [m, c / groups, kernel..]";
        let ([batch, channels, dims @ ..], [outputs, per_group, kernel @ ..]) = (x.shape, w.shape) else {
            return Err(LibraryError::Operands { accepted: fits });
        };
        let rank = dims.len();
        let groups = extents(&[function.int("group", 1), function.int("offset_group", 1)])?;
        expect(rank > 0 && kernel.len() == rank && !kernel.contains(&0), fits)?;
        expect(groups[0] > 0 && outputs % groups[0] == 0, "outputs that are a multiple of the groups")?;
        expect(per_group.checked_mul(groups[0]) == Some(*channels), fits)?;
        expect(groups[1] > 0 && channels % groups[1] == 0, "channels that are a multiple of the offset groups")?;
        let named = function.ints("kernel_shape");
        expect(named.is_empty() || extents(named)? == kernel, "a kernel shape that is the weights'")?;
        let strides = listed(function.ints("strides"), rank, 1)?;
        let dilations = listed(function.ints("dilations"), rank, 1)?;
        let pads = listed(function.ints("pads"), 2 * rank, 0)?;
        expect(!strides.contains(&0) && !dilations.contains(&0), "strides and dilations above 0")?;
        let place = |i: usize| {
            let reach = (kernel[i] - 1).checked_mul(dilations[i])?.checked_add(1)?;
            let padded = dims[i].checked_add(pads[i])?.checked_add(pads[i + rank])?;
            Some(padded.checked_sub(reach)? / strides[i] + 1)
        };
        let places: Option<Vec<usize>> = (0..rank).map(place).collect();
        let places = places.ok_or(LibraryError::Operands { accepted: "an image no smaller than the kernel" })?;
        Ok(Convolution {
            batch: *batch,
            channels: *channels,
            outputs: *outputs,
            groups: groups[0],
            offset_groups: groups[1],
            dims: dims.to_vec(),
            kernel: kernel.to_vec(),
            places,
            strides,
            dilations,
            begins: pads[..rank].to_vec(),
        })
    }
}

fn convolve<R: Real>(function: &Function, operands: &Operands) -> Results {
    let (x, w, offset) = (operands.tensor(0)?, operands.tensor(1)?, operands.tensor(2)?);
    let (bias, mask) = (operands.optional(3)?, operands.optional(4)?);
    let c = Convolution::new(function, &x, &w)?;
    let (taps, count, size) = (product(&c.kernel)?, product(&c.places)?, product(&c.dims)?);
    let moved = c.offset_groups.checked_mul(taps).ok_or(LibraryError::Operands { accepted: "countable offsets" })?;
    let shaped = |channels: usize| -> Vec<usize> { [c.batch, channels].iter().chain(&c.places).copied().collect() };
    expect(offset.shape == shaped(moved.saturating_mul(c.dims.len())), "one offset a tap, dimension and place")?;
    expect(mask.is_none_or(|m| m.shape == shaped(moved)), "one mask element a tap and place")?;
    expect(bias.is_none_or(|b| b.shape == [c.outputs]), "one bias an output channel")?;
    let shape = shaped(c.outputs);
    let mut made = zeros::<R>(&shape)?;
    let (data, weights, offsets) = (R::elements(&x)?, R::elements(&w)?, R::elements(&offset)?);
    let mask = mask.as_ref().map(R::elements).transpose()?;
    let bias = bias.as_ref().map(R::elements).transpose()?;
    let depth = c.channels.saturating_mul(taps);
    if made.is_empty() {
        return Ok(vec![Value::Tensor(R::tensor(x.dtype, &shape, &made)?)]);
    }
    let mut samples = zeros::<R>(&[depth, RUN])?;
    for n in 0..c.batch {
        let image = &data[n * c.channels * size..][..c.channels * size];
        let offsets = &offsets[n * moved * c.dims.len() * count..][..moved * c.dims.len() * count];
        let mask = mask.as_ref().map(|m| &m[n * moved * count..][..moved * count]);
        let made = &mut made[n * c.outputs * count..][..c.outputs * count];
        for begin in (0..count).step_by(RUN) {
            let run = begin..count.min(begin + RUN);
            c.sample(image, offsets, mask, run.clone(), &mut samples)?;
            let (rows, deep) = (c.outputs / c.groups, depth / c.groups);
            for group in 0..c.groups {
                let made = &mut made[group * rows * count..][..rows * count];
                let weights = &weights[group * rows * deep..][..rows * deep];
                let samples = &samples[group * deep * RUN..][..deep * RUN];
                wide(Multiply { weights, samples, depth: deep, made, count, run: run.clone() });
            }
        }
        if let Some(bias) = &bias {
            for (to, bias) in made.chunks_exact_mut(count).zip(bias.iter()) {
                to.iter_mut().for_each(|y| *y += *bias);
            }
        }
    }
    Ok(vec![Value::Tensor(R::tensor(x.dtype, &shape, &made)?)])
}

impl Convolution {
    /// The samples of a run of places: a row of [`RUN`] for each channel and tap.
    fn sample<R: Real>(
        &self,
        image: &[R],
        offsets: &[R],
        mask: Option<&[R]>,
        run: std::ops::Range<usize>,
        samples: &mut [R],
    ) -> Result<(), LibraryError> {
        let plane = Plane { dims: &self.dims, mode: Mode::Linear, padding: Padding::Zeros, corners: true };
        let mut taps = Taps::<R>::new(&plane)?;
        let (rank, kernel, count) = (self.dims.len(), product(&self.kernel)?, product(&self.places)?);
        let (size, per_group) = (product(&self.dims)?, self.channels / self.offset_groups);
        let mut at = vec![R::default(); rank];
        for moved in 0..self.offset_groups * kernel {
            let (group, tap) = (moved / kernel, moved % kernel);
            taps.clear();
            for place in run.clone() {
                let (mut rest_place, mut rest_tap) = (place, tap);
                for d in (0..rank).rev() {
                    let step = (rest_place % self.places[d]) * self.strides[d];
                    let reach = (rest_tap % self.kernel[d]) * self.dilations[d];
                    let origin = (step + reach) as f64 - self.begins[d] as f64;
                    at[d] = R::of(origin) + offsets[(moved * rank + d) * count + place];
                    rest_place /= self.places[d];
                    rest_tap /= self.kernel[d];
                }
                let scale = mask.map_or(R::of(1.0), |m| m[moved * count + place]);
                taps.push(&plane, at.iter().copied(), scale);
            }
            for channel in group * per_group..(group + 1) * per_group {
                let row = &mut samples[(channel * kernel + tap) * RUN..][..run.len()];
                taps.sample(&image[channel * size..][..size], row);
            }
        }
        Ok(())
    }
}

/// `made[m][run] += sum over k of weights[m][k] * samples[k][..]`, each sum in the order of `k`.
struct Multiply<'a, R> {
    weights: &'a [R],
    samples: &'a [R],
    depth: usize,
    made: &'a mut [R],
    count: usize,
    run: std::ops::Range<usize>,
}

impl<R: Real> Loop for Multiply<'_, R> {
    #[inline(always)]
    fn run(self) {
        let Multiply { weights, samples, depth, made, count, run } = self;
        for first in (0..depth).step_by(DEEP) {
            let rows = first..(first + DEEP).min(depth);
            for (weights, made) in weights.chunks_exact(depth).zip(made.chunks_exact_mut(count)) {
                let (sums, weights) = (&mut made[run.clone()], &weights[rows.clone()]);
                add_products(sums, weights, &samples[first * RUN..], RUN, |mut sum, w, x| {
                    sum += w * x;
                    sum
                });
            }
        }
    }
}
