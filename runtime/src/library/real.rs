//! Arithmetic that heavy functions are written in once: in f32 for f32 tensors, in f64, rounded once, for all others.

use super::LibraryError;
use super::function::{from_reals, reals};
use crate::{DType, Element, Tensor, TensorView};
use std::borrow::Cow;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

/// f32 or f64.
pub(super) trait Real:
    Element
    + PartialOrd
    + Default
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
{
    fn of(x: f64) -> Self;
    fn wide(self) -> f64;
    /// Elements of `x` in this type.
    fn elements<'a>(x: &TensorView<'a>) -> Result<Cow<'a, [Self]>, LibraryError>;
    /// A tensor of type `dtype`.
    fn tensor(dtype: DType, shape: &[usize], elements: &[Self]) -> Result<Tensor, LibraryError>;
}

impl Real for f32 {
    fn of(x: f64) -> f32 {
        x as f32
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn elements<'a>(x: &TensorView<'a>) -> Result<Cow<'a, [f32]>, LibraryError> {
        if x.dtype == DType::F32 {
            return Ok(Cow::Borrowed(x.as_slice()?));
        }
        Ok(Cow::Owned(reals(x)?.into_iter().map(|x| x as f32).collect()))
    }
    fn tensor(dtype: DType, shape: &[usize], elements: &[f32]) -> Result<Tensor, LibraryError> {
        if dtype == DType::F32 {
            return Ok(Tensor::from_slice(shape, elements)?);
        }
        from_reals(dtype, shape, &elements.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>())
    }
}

impl Real for f64 {
    fn of(x: f64) -> f64 {
        x
    }
    fn wide(self) -> f64 {
        self
    }
    fn elements<'a>(x: &TensorView<'a>) -> Result<Cow<'a, [f64]>, LibraryError> {
        if x.dtype == DType::F64 {
            return Ok(Cow::Borrowed(x.as_slice()?));
        }
        Ok(Cow::Owned(reals(x)?))
    }
    fn tensor(dtype: DType, shape: &[usize], elements: &[f64]) -> Result<Tensor, LibraryError> {
        from_reals(dtype, shape, elements)
    }
}

/// `function::<f32>` for f32 tensors, `function::<f64>` for others.
macro_rules! in_real {
    ($dtype:expr, $function:ident($($argument:expr),*)) => {
        if $dtype == $crate::DType::F32 { $function::<f32>($($argument),*) } else { $function::<f64>($($argument),*) }
    };
}
pub(super) use in_real;

/// Zeros, as many as a shape has elements.
pub(super) fn zeros<R: Real>(shape: &[usize]) -> Result<Vec<R>, LibraryError> {
    let too_large = || crate::TensorError::TooLarge { dtype: R::DTYPE, shape: shape.to_vec() };
    let count = crate::element_count(shape).ok_or_else(too_large)?;
    let mut made = Vec::new();
    made.try_reserve_exact(count).map_err(|_| too_large())?;
    made.resize(count, R::default());
    Ok(made)
}
