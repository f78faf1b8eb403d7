//! Linear quantisation and its inverse, per tensor, per index of an axis, or per block of an axis.

use super::function::reals;
use super::{LibraryError, PowerRounding, cast_narrow, expect, narrow};
use crate::{DType, Tensor, TensorView, TensorViewMut};
use half::{bf16, f16};

/// Which scale an element has.
struct Scales {
    /// Extents before the axis, of it, and after it.
    around: (usize, usize, usize),
    /// Elements of the axis that share a scale; 0 where every index of the axis has its own scale for all the rest.
    block: usize,
    single: bool,
}

impl Scales {
    fn new(shape: &[usize], scale: &[usize], axis: usize, block: usize) -> Result<Scales, LibraryError> {
        let wrong = || LibraryError::Operands { accepted: "a scale for all, one per index of the axis, or per block" };
        let count: usize = scale.iter().product();
        if count == 1 && (block == 0 || scale.len() != shape.len()) {
            return Ok(Scales { around: (1, 1, shape.iter().product()), block: 0, single: true });
        }
        let around = super::walk::around(shape, axis).ok_or_else(wrong)?;
        let fits = match block {
            0 => scale.len() == 1 && count == around.1,
            _ => {
                let mut blocked = shape.to_vec();
                blocked[axis] = around.1.div_ceil(block);
                scale == blocked
            }
        };
        if fits { Ok(Scales { around, block, single: false }) } else { Err(wrong()) }
    }

    /// Calls `f` with the number of each element and of its scale.
    fn each(&self, mut f: impl FnMut(usize, usize)) {
        let (before, extent, after) = self.around;
        let mut element = 0;
        for o in 0..before {
            for d in 0..extent {
                for i in 0..after {
                    let scale = match self.block {
                        _ if self.single => 0,
                        0 => d,
                        block => (o * extent.div_ceil(block) + d / block) * after + i,
                    };
                    f(element, scale);
                    element += 1;
                }
            }
        }
    }
}

/// A number rounded to a float type.
fn rounded(x: f64, to: DType) -> f64 {
    match to {
        DType::F16 => f16::from_f64(x).to_f64(),
        DType::BF16 => bf16::from_f64(x).to_f64(),
        DType::F64 => x,
        _ => f64::from(x as f32),
    }
}

/// Least and largest number of an integer type.
pub fn integer_range(dtype: DType) -> Option<(f64, f64)> {
    Some(match dtype {
        DType::I2 => (-2.0, 1.0),
        DType::U2 => (0.0, 3.0),
        DType::I4 => (-8.0, 7.0),
        DType::U4 => (0.0, 15.0),
        DType::I8 => (-128.0, 127.0),
        DType::U8 => (0.0, 255.0),
        DType::I16 => (-32768.0, 32767.0),
        DType::U16 => (0.0, 65535.0),
        DType::I32 => (-2147483648.0, 2147483647.0),
        _ => return None,
    })
}

fn zeros_of(zero: Option<&TensorView>, scale: &TensorView) -> Result<Vec<f64>, LibraryError> {
    let zeros = match zero {
        Some(zero) => reals(zero)?,
        None => vec![0.0; scale.len()],
    };
    expect(zeros.len() == scale.len(), "as many zero points as scales")?;
    Ok(zeros)
}

/// Operands as numbers, and which scale each element has.
struct Scaled {
    values: Vec<f64>,
    scales: Vec<f64>,
    zeros: Vec<f64>,
    which: Scales,
}

impl Scaled {
    fn new((axis, block): (usize, usize), inputs: &[TensorView], result: &[usize]) -> Result<Scaled, LibraryError> {
        let [x, scale, rest @ ..] = inputs else {
            return Err(LibraryError::Operands { accepted: "a tensor and a scale" });
        };
        expect(x.shape == result, "operand and result of one shape")?;
        let which = Scales::new(x.shape, scale.shape, axis, block)?;
        Ok(Scaled { values: reals(x)?, scales: reals(scale)?, zeros: zeros_of(rest.first(), scale)?, which })
    }
}

/// `[x, scale, (zero)]`: x / scale in the type `precision`, rounded to even, plus the zero point, saturated to the result's
/// type. Floats of 8 bits do not saturate where `saturate` is not set.
pub fn quantize(
    place: (usize, usize),
    precision: DType,
    saturate: bool,
    inputs: &[TensorView],
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    let Scaled { values, scales, zeros, which } = Scaled::new(place, inputs, out.shape)?;
    let mut wide = vec![0.0; values.len()];
    let range = integer_range(out.dtype);
    which.each(|i, s| {
        let quotient = rounded(rounded(values[i], precision) / rounded(scales[s], precision), precision);
        wide[i] = match range {
            Some((least, most)) => (quotient.round_ties_even() + zeros[s]).clamp(least, most),
            None => quotient + zeros[s],
        };
    });
    let wide = Tensor::from_slice(out.shape, &wide)?;
    cast_narrow(saturate, PowerRounding::Up, &wide.view(), out)
}

/// `[x, scale, (zero)]`: (x - zero) * scale.
pub fn dequantize(place: (usize, usize), inputs: &[TensorView], out: &mut TensorViewMut) -> Result<(), LibraryError> {
    let Scaled { values, scales, zeros, which } = Scaled::new(place, inputs, out.shape)?;
    let mut wide = vec![0.0; values.len()];
    which.each(|i, s| wide[i] = f64::from((values[i] - zeros[s]) as f32) * scales[s]);
    let wide = Tensor::from_slice(out.shape, &wide)?;
    cast_narrow(true, PowerRounding::Up, &wide.view(), out)
}

/// Whether elements of this type can be quantised to.
pub fn is_quantized(dtype: DType) -> bool {
    integer_range(dtype).is_some() || (dtype.is_narrow_float() && narrow::decode(dtype, 0) == 0.0)
}
