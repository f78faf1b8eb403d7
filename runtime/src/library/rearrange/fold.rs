//! Col2Im: overlapping blocks added up to an image. MaxUnpool: pooled elements put back where they were.

use super::super::elements::{extents, listed, product};
use super::super::function::{Function, Operands, Results, from_reals};
use super::super::{LibraryError, cast, expect};
use super::flat;
use crate::{DType, Tensor, Value};

/// Where the columns of one dimension go: the image's extent, and a position per block element and block, if it is inside.
struct Side {
    extent: usize,
    block: usize,
    count: usize,
    stride: usize,
    dilation: usize,
    begin: usize,
}

impl Side {
    fn at(&self, element: usize, block: usize) -> Option<usize> {
        let at = (block * self.stride + element * self.dilation).checked_sub(self.begin)?;
        (at < self.extent).then_some(at)
    }
}

fn sides(function: &Function, image: &[usize], block: &[usize]) -> Result<Vec<Side>, LibraryError> {
    let rank = image.len();
    expect(rank > 0 && block.len() == rank && !block.contains(&0), "an image and a block of one rank above 0")?;
    let strides = listed(function.ints("strides"), rank, 1)?;
    let dilations = listed(function.ints("dilations"), rank, 1)?;
    let pads = listed(function.ints("pads"), 2 * rank, 0)?;
    expect(!strides.contains(&0) && !dilations.contains(&0), "strides and dilations above 0")?;
    (0..rank)
        .map(|i| {
            let count = || {
                let reach = (block[i] - 1).checked_mul(dilations[i])?.checked_add(1)?;
                let padded = image[i].checked_add(pads[i])?.checked_add(pads[rank + i])?;
                Some(padded.checked_sub(reach)? / strides[i] + 1)
            };
            let count = count().ok_or(LibraryError::Operands { accepted: "an image no smaller than the block" })?;
            Ok(Side {
                extent: image[i],
                block: block[i],
                count,
                stride: strides[i],
                dilation: dilations[i],
                begin: pads[i],
            })
        })
        .collect()
}

pub(super) fn col2_im(function: &Function, operands: &Operands) -> Results {
    let x = operands.tensor(0)?;
    let image = extents(&operands.integers(1)?)?;
    let block = extents(&operands.integers(2)?)?;
    let sides = sides(function, &image, &block)?;
    let fits = "columns [n, channels * block, blocks]";
    let [batch, rows, columns] = x.shape else { return Err(LibraryError::Operands { accepted: fits }) };
    let per_channel = product(&block)?;
    let blocks = product(&sides.iter().map(|s| s.count).collect::<Vec<_>>())?;
    expect(rows % per_channel == 0 && *columns == blocks, fits)?;
    let shape: Vec<usize> = [*batch, rows / per_channel].into_iter().chain(image).collect();
    let size = product(&shape[2..])?;
    let made = match x.dtype {
        DType::F32 => Tensor::from_slice(&shape, &add_up(operands.slice::<f32>(0)?, &sides, size, |a, b| a + b)?)?,
        dtype if dtype.is_float() => {
            from_reals(dtype, &shape, &add_up(&operands.reals(0)?, &sides, size, |a, b| a + b)?)?
        }
        dtype if dtype.is_integer() => {
            let sums = add_up(&operands.integers(0)?, &sides, size, i64::wrapping_add)?;
            let mut made = Tensor::zeros(dtype, &shape)?;
            cast(&Tensor::from_slice(&shape, &sums)?.view(), &mut made.view_mut())?;
            made
        }
        dtype => return Err(LibraryError::Type { what: "columns that are added up", dtype }),
    };
    Ok(vec![Value::Tensor(made)])
}

/// One image of `size` elements for each channel's columns.
fn add_up<T: Copy + Default>(
    columns: &[T],
    sides: &[Side],
    size: usize,
    add: impl Fn(T, T) -> T,
) -> Result<Vec<T>, LibraryError> {
    let (block, count) = sides.iter().fold((1, 1), |(block, count), s| (block * s.block, count * s.count));
    let Some((last, outer)) = sides.split_last() else { return Ok(vec![]) };
    let per_channel = product(&[block, count])?;
    let channels = columns.len() / per_channel.max(1);
    let mut images = vec![T::default(); product(&[channels, size])?];
    if columns.is_empty() || size == 0 || count == 0 {
        return Ok(images);
    }
    for (columns, image) in columns.chunks_exact(per_channel).zip(images.chunks_exact_mut(size)) {
        for (element, column) in columns.chunks_exact(count).enumerate() {
            for (line, from) in column.chunks_exact(last.count).enumerate() {
                // Where this line of blocks begins in the image, when it is inside.
                let (mut rest_element, mut rest_line) = (element / last.block, line);
                let (mut row, mut stride) = (Some(0), last.extent);
                for side in outer.iter().rev() {
                    let at = side.at(rest_element % side.block, rest_line % side.count);
                    row = row.zip(at).map(|(row, at)| row + at * stride);
                    stride *= side.extent;
                    rest_element /= side.block;
                    rest_line /= side.count;
                }
                let Some(row) = row else { continue };
                for (i, x) in from.iter().enumerate() {
                    if let Some(at) = last.at(element % last.block, i) {
                        image[row + at] = add(image[row + at], *x);
                    }
                }
            }
        }
    }
    Ok(images)
}

pub(super) fn max_unpool(function: &Function, operands: &Operands) -> Results {
    let (x, places) = (operands.tensor(0)?, operands.tensor(1)?);
    let fits = "pooled elements [n, c, spatial..], each with an index";
    let [batch, channels, dims @ ..] = x.shape else { return Err(LibraryError::Operands { accepted: fits }) };
    expect(places.shape == x.shape && places.dtype == DType::I64, fits)?;
    let rank = dims.len();
    let kernel = extents(function.ints("kernel_shape"))?;
    expect(kernel.len() == rank, "a kernel shape of the spatial rank")?;
    let strides = listed(function.ints("strides"), rank, 1)?;
    let pads = listed(function.ints("pads"), 2 * rank, 0)?;
    let mut natural = vec![*batch, *channels];
    for i in 0..rank {
        let extent = || {
            let steps = dims[i].checked_sub(1)?.checked_mul(strides[i])?.checked_add(kernel[i])?;
            steps.checked_sub(pads[i].checked_add(pads[rank + i])?)
        };
        natural.push(extent().ok_or(LibraryError::Operands { accepted: "a kernel larger than its pads" })?);
    }
    let shape = if operands.get(2).is_some() { extents(&operands.integers(2)?)? } else { natural.clone() };
    expect(shape.len() == natural.len(), "an output shape of the operand's rank")?;
    expect(shape.iter().zip(&natural).all(|(s, n)| s >= n), "an output shape no smaller than the pooled extents need")?;
    let mut made = Tensor::zeros(x.dtype, &shape)?;
    let (count, width) = (product(&natural)?, x.dtype.bytes());
    let steps = super::strides(&shape);
    let same = shape == natural;
    for (from, place) in x.bytes.chunks_exact(width.max(1)).zip(operands.slice::<i64>(1)?) {
        // An index counts in the extents that pooling undone has by itself; the rest of a larger output stays zero.
        let mut place = flat(*place, count)?;
        if !same {
            let mut to = 0;
            for (extent, step) in natural.iter().zip(&steps).rev() {
                to += place % extent * step;
                place /= extent;
            }
            place = to;
        }
        made.bytes_mut()[place * width..][..width].copy_from_slice(from);
    }
    Ok(vec![Value::Tensor(made)])
}
