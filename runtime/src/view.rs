//! Borrowed tensors: an element type, a shape, and little-endian bytes in row-major order that live elsewhere.

use crate::{DType, Element, Tensor, TensorError, element_count};

/// A tensor to read.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Element type.
    pub dtype: DType,
    /// Shape.
    pub shape: &'a [usize],
    /// Elements.
    pub bytes: &'a [u8],
}

/// A tensor to write.
pub struct TensorViewMut<'a> {
    /// Element type.
    pub dtype: DType,
    /// Shape.
    pub shape: &'a [usize],
    /// Elements.
    pub bytes: &'a mut [u8],
}

fn check(dtype: DType, shape: &[usize], bytes: usize) -> Result<(), TensorError> {
    let needed = element_count(shape).ok_or_else(|| TensorError::TooLarge { dtype, shape: shape.to_vec() })?;
    if needed.checked_mul(dtype.bytes()) == Some(bytes) {
        return Ok(());
    }
    Err(TensorError::Count { shape: shape.to_vec(), needed, given: bytes / dtype.bytes().max(1) })
}

impl<'a> TensorView<'a> {
    /// A view of these bytes, which must be as many as the shape needs.
    pub fn new(dtype: DType, shape: &'a [usize], bytes: &'a [u8]) -> Result<Self, TensorError> {
        check(dtype, shape, bytes.len())?;
        Ok(TensorView { dtype, shape, bytes })
    }
    /// Number of elements.
    pub fn len(&self) -> usize {
        element_count(self.shape).unwrap_or(0)
    }
    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Its elements, when they are `T`s.
    pub fn as_slice<T: Element>(&self) -> Result<&'a [T], TensorError> {
        let error = TensorError::Type { has: self.dtype, wanted: T::DTYPE };
        if self.dtype != T::DTYPE {
            return Err(error);
        }
        bytemuck::try_cast_slice(self.bytes).map_err(|_| error)
    }
}

impl<'a> TensorViewMut<'a> {
    /// A view of these bytes, which must be as many as the shape needs.
    pub fn new(dtype: DType, shape: &'a [usize], bytes: &'a mut [u8]) -> Result<Self, TensorError> {
        check(dtype, shape, bytes.len())?;
        Ok(TensorViewMut { dtype, shape, bytes })
    }
    /// Number of elements.
    pub fn len(&self) -> usize {
        element_count(self.shape).unwrap_or(0)
    }
    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Tensor {
    /// The tensor as a view.
    pub fn view(&self) -> TensorView<'_> {
        TensorView { dtype: self.dtype(), shape: self.shape(), bytes: self.bytes() }
    }
    /// The tensor as a view to write.
    pub fn view_mut(&mut self) -> TensorViewMut<'_> {
        let dtype = self.dtype();
        let (shape, bytes) = self.parts_mut();
        TensorViewMut { dtype, shape, bytes }
    }
}
