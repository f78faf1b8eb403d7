//! Convolutions and matrix products of 8-bit integers, summed in 32 bits that wrap.

use super::walk::{broadcast_strides, strides};
use super::{LibraryError, elements_mut, expect, function::reals};
use crate::wide::{Loop, add_products, wide};
use crate::{DType, Tensor, TensorView, TensorViewMut};

/// Geometry of an integer convolution: one entry per spatial dimension. The result's extents say how far it reaches.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerWindow {
    /// Steps.
    pub stride: Vec<usize>,
    /// Spacings of the taps.
    pub dilation: Vec<usize>,
    /// Padding before.
    pub begin: Vec<i64>,
    /// Groups.
    pub group: usize,
}

const OPERANDS: LibraryError = LibraryError::Operands { accepted: "a tensor, a weight and their zero points that fit" };

/// Elements less their zero points, which broadcast to them.
fn centred(x: &TensorView, zero: &TensorView, zero_shape: &[usize]) -> Result<Vec<i32>, LibraryError> {
    expect(matches!(x.dtype, DType::U8 | DType::I8) && zero.dtype == x.dtype, "8-bit integers and their zero points")?;
    let signed = x.dtype == DType::I8;
    let whole = |b: u8| if signed { i32::from(b as i8) } else { i32::from(b) };
    let zeros: Vec<i32> = reals(zero)?.into_iter().map(|z| z as i32).collect();
    if let [zero] = zeros[..] {
        return Ok(x.bytes.iter().map(|b| whole(*b) - zero).collect());
    }
    let steps = broadcast_strides(zero_shape, x.shape).ok_or(OPERANDS)?;
    let dense = strides(x.shape);
    let at = |i: usize| (0..steps.len()).map(|d| (i / dense[d] % x.shape[d]) * steps[d] as usize).sum::<usize>();
    Ok(x.bytes.iter().enumerate().map(|(i, b)| whole(*b) - zeros[at(i)]).collect())
}

/// `[x, w, x zero, w zero]`: the zero point of `w` is one number or one per output channel.
pub fn conv_integer(
    window: &IntegerWindow,
    inputs: &[TensorView],
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    let [x, w, x_zero, w_zero] = inputs else { return Err(OPERANDS) };
    let n = window.stride.len();
    let fits = x.shape.len() == n + 2 && w.shape.len() == n + 2 && out.shape.len() == n + 2 && n > 0;
    let per_group = w.shape.get(1).copied().unwrap_or(0);
    expect(fits && window.group > 0 && per_group * window.group == x.shape[1], "images and a weight of equal rank")?;
    expect(w.shape[0].is_multiple_of(window.group), "as many output channels in every group")?;
    expect(out.shape[0] == x.shape[0] && out.shape[1] == w.shape[0], "a result of as many images and channels")?;
    expect(window.dilation.len() == n && window.begin.len() == n, "one entry per spatial dimension")?;
    let mut channel_shape = vec![1; n + 2];
    channel_shape[0] = w_zero.len();
    let weights = centred(w, w_zero, &channel_shape)?;
    let reach = |d: usize| {
        let last = out.shape[d + 2].saturating_sub(1) * window.stride[d];
        last + w.shape[d + 2].saturating_sub(1) * window.dilation[d] + 1
    };
    let padded: Vec<usize> = (0..n).map(reach).collect();
    let planes = padded_planes(x, x_zero, &padded, &window.begin)?;
    let plane: usize = padded.iter().product();
    let steps = strides(&padded);
    let taps = offsets(&w.shape[2..], &steps, &window.dilation);
    let pixels = offsets(&out.shape[2..], &steps, &window.stride);
    let (outputs, depth) = (out.shape[1] / window.group, per_group * taps.len());
    let sums = elements_mut::<i32>(out)?;
    sums.fill(0);
    if depth == 0 {
        return Ok(());
    }
    let of_group = (outputs * pixels.len()).max(1);
    for (at, sums) in sums.chunks_exact_mut(of_group).enumerate() {
        let group = at % window.group;
        let weights = &weights[group * outputs * depth..][..outputs * depth];
        let planes = &planes[at * per_group * plane..][..per_group * plane];
        wide(Group { sums, weights, planes, plane, taps: &taps, pixels: &pixels });
    }
    Ok(())
}

/// Elements of the input that are gathered for the products of a run of pixels: they stay in the second cache.
const GATHERED: usize = 1 << 17;

/// The products of one group of one image: im2col, a run of pixels at a time.
struct Group<'a> {
    /// By output channel, then pixel.
    sums: &'a mut [i32],
    /// By output channel, input channel, tap.
    weights: &'a [i32],
    planes: &'a [i32],
    /// Elements of a plane.
    plane: usize,
    /// Places of the taps of the first pixel in a plane.
    taps: &'a [usize],
    /// Places of the first taps of all pixels.
    pixels: &'a [usize],
}

impl Loop for Group<'_> {
    #[inline(always)]
    fn run(self) {
        let depth = self.planes.len() / self.plane.max(1) * self.taps.len();
        let run = (GATHERED / depth).clamp(1, self.pixels.len().max(1));
        let mut columns = vec![0; depth * run];
        for (i, pixels) in self.pixels.chunks(run).enumerate() {
            let width = pixels.len();
            let rows =
                self.planes.chunks_exact(self.plane).flat_map(|plane| self.taps.iter().map(move |tap| &plane[*tap..]));
            for (row, columns) in rows.zip(columns.chunks_exact_mut(width)) {
                columns.iter_mut().zip(pixels).for_each(|(to, at)| *to = row[*at]);
            }
            let channels = self.sums.chunks_exact_mut(self.pixels.len()).zip(self.weights.chunks_exact(depth));
            for (sums, filter) in channels {
                add_products(&mut sums[i * run..][..width], filter, &columns, width, wrapping);
            }
        }
    }
}

#[inline(always)]
fn wrapping(sum: i32, x: i32, y: i32) -> i32 {
    sum.wrapping_add(x.wrapping_mul(y))
}

/// The product of two matrices, added to a third.
struct Matrices<'a> {
    sums: &'a mut [i32],
    a: &'a [i32],
    b: &'a [i32],
    inner: usize,
    columns: usize,
}

impl Loop for Matrices<'_> {
    #[inline(always)]
    fn run(self) {
        let rows = self.a.chunks_exact(self.inner.max(1)).zip(self.sums.chunks_exact_mut(self.columns.max(1)));
        for (row, sums) in rows {
            add_products(sums, row, self.b, self.columns, wrapping);
        }
    }
}

/// Planes less their zero point with zeros around: `begin` before, as many after as `padded` has room for.
fn padded_planes(x: &TensorView, zero: &TensorView, padded: &[usize], begin: &[i64]) -> Result<Vec<i32>, LibraryError> {
    let values = centred(x, zero, &[])?;
    let inside: usize = x.shape[2..].iter().product();
    let (plane, from, to) = (padded.iter().product::<usize>(), strides(&x.shape[2..]), strides(padded));
    let place = |i: usize| {
        let mut at = 0;
        for d in 0..padded.len() {
            let index = (i / from[d] % x.shape[d + 2]) as i64 + begin[d];
            at += usize::try_from(index).ok().filter(|index| *index < padded[d])? * to[d];
        }
        Some(at)
    };
    let places: Vec<Option<usize>> = (0..inside).map(place).collect();
    let mut planes = vec![0; plane * x.shape[0] * x.shape[1]];
    for (to, from) in planes.chunks_exact_mut(plane.max(1)).zip(values.chunks_exact(inside.max(1))) {
        for (place, value) in places.iter().zip(from) {
            if let Some(place) = place {
                to[*place] = *value;
            }
        }
    }
    Ok(planes)
}

/// Offsets of all indices of `extents`, the last one fastest, where index `i` of dimension `d` is `i * factor[d]` steps.
fn offsets(extents: &[usize], steps: &[usize], factor: &[usize]) -> Vec<usize> {
    let mut found = vec![0];
    for ((extent, step), factor) in extents.iter().zip(steps).zip(factor) {
        found = found.iter().flat_map(|at| (0..*extent).map(move |i| at + i * factor * step)).collect();
    }
    found
}

/// `[a, b, a zero, b zero]`: numpy `matmul`. A zero point is one number, or one per row of `a` or column of `b`.
pub fn matmul_integer(inputs: &[TensorView], out: &mut TensorViewMut) -> Result<(), LibraryError> {
    let [a, b, a_zero, b_zero] = inputs else { return Err(OPERANDS) };
    expect(!a.shape.is_empty() && !b.shape.is_empty(), "ranks of at least 1")?;
    let mut a_zero_shape = a_zero.shape.to_vec();
    if a_zero_shape.len() == 1 && a.shape.len() > 1 {
        a_zero_shape.push(1);
    }
    let left = centred(a, a_zero, &a_zero_shape)?;
    let right = centred(b, b_zero, b_zero.shape)?;
    let row = |shape: &[usize]| if shape.len() == 1 { vec![1, shape[0]] } else { shape.to_vec() };
    let a_shape = row(a.shape);
    let b_shape = if b.shape.len() == 1 { vec![b.shape[0], 1] } else { b.shape.to_vec() };
    let (a_batch, a_last) = a_shape.split_at(a_shape.len() - 2);
    let (b_batch, b_last) = b_shape.split_at(b_shape.len() - 2);
    let ([m, k], [l, n]) = ([a_last[0], a_last[1]], [b_last[0], b_last[1]]);
    let dropped = usize::from(a.shape.len() == 1) + usize::from(b.shape.len() == 1);
    let batch = out.shape.get(..(out.shape.len() + dropped).saturating_sub(2)).ok_or(OPERANDS)?.to_vec();
    let fits = k == l && batch.iter().product::<usize>() * m * n == out.len();
    expect(fits, "matrices whose inner extents agree")?;
    let (sa, sb) = (broadcast_strides(a_batch, &batch).ok_or(OPERANDS)?, broadcast_strides(b_batch, &batch));
    let sb = sb.ok_or(OPERANDS)?;
    let dense = strides(&batch);
    let matrix =
        |i: usize, s: &[isize]| (0..batch.len()).map(|d| (i / dense[d] % batch[d]) * s[d] as usize).sum::<usize>();
    let sums = elements_mut::<i32>(out)?;
    sums.fill(0);
    for (i, sums) in sums.chunks_exact_mut((m * n).max(1)).enumerate() {
        let (a, b) = (&left[matrix(i, &sa) * m * k..][..m * k], &right[matrix(i, &sb) * k * n..][..k * n]);
        wide(Matrices { sums, a, b, inner: k, columns: n });
    }
    Ok(())
}

/// The sum of an i32 tensor and one number per channel (dimension 1, or the last of a matrix), wrapping.
pub fn add_channels(sums: &mut Tensor, bias: &[i32], axis: usize) -> Result<(), LibraryError> {
    let (_, extent, after) = super::walk::around(sums.shape(), axis).ok_or(OPERANDS)?;
    expect(extent == bias.len(), "one number per channel")?;
    for (i, sum) in sums.as_mut_slice::<i32>()?.iter_mut().enumerate() {
        *sum = sum.wrapping_add(bias[i / after.max(1) % extent.max(1)]);
    }
    Ok(())
}
