//! Owned tensors: an element type, a shape, and 64-byte aligned little-endian bytes in row-major order.

use crate::dtype::DType;
use bytemuck::{Pod, Zeroable};

/// 64 bytes on a 64-byte boundary: the unit of storage.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Bytes that begin on a 64-byte boundary.
#[derive(Clone)]
pub struct AlignedBytes {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBytes {
    /// `len` zero bytes, or `None` when they cannot be had.
    pub fn zeroed(len: usize) -> Option<Self> {
        let count = len.div_ceil(64);
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).ok()?;
        lines.resize(count, Line([0; 64]));
        Some(AlignedBytes { lines, len })
    }
}
impl std::ops::Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}
impl std::ops::DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

/// Why a tensor could not be made or read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TensorError {
    /// The product of the dimensions does not fit, or the memory cannot be had.
    #[error("a tensor of shape {shape:?} and type {dtype} is too large")]
    TooLarge {
        /// Element type asked for.
        dtype: DType,
        /// Shape asked for.
        shape: Vec<usize>,
    },
    /// The number of elements is not what the shape needs.
    #[error("shape {shape:?} needs {needed} elements, {given} were given")]
    Count {
        /// Shape asked for.
        shape: Vec<usize>,
        /// Elements the shape has.
        needed: usize,
        /// Elements given.
        given: usize,
    },
    /// Read as another element type than it has.
    #[error("the tensor holds {has}, not {wanted}")]
    Type {
        /// Its type.
        has: DType,
        /// The type asked for.
        wanted: DType,
    },
}

/// Rust types that are tensor elements.
pub trait Element: Pod {
    /// The element type it stands for.
    const DTYPE: DType;
}
macro_rules! elements {
    ($($t:ty => $d:ident),*) => { $(impl Element for $t { const DTYPE: DType = DType::$d; })* };
}
elements!(f32 => F32, f64 => F64, half::f16 => F16, half::bf16 => BF16, i8 => I8, i16 => I16, i32 => I32, i64 => I64,
          u8 => U8, u16 => U16, u32 => U32, u64 => U64);

/// Number of elements of a shape, or `None` when it overflows.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    // A zero dimension makes the tensor empty whatever the others are.
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))
}

/// An owned tensor. Booleans are one byte, 0 or 1. Cheap to move, copied on `clone`.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: AlignedBytes,
}

impl Tensor {
    /// A tensor of zeros.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Result<Self, TensorError> {
        let too_large = || TensorError::TooLarge { dtype, shape: shape.to_vec() };
        let bytes = element_count(shape).and_then(|n| n.checked_mul(dtype.bytes())).ok_or_else(too_large)?;
        let data = AlignedBytes::zeroed(bytes).ok_or_else(too_large)?;
        Ok(Tensor { dtype, shape: shape.to_vec(), data })
    }

    /// A tensor of these elements in row-major order.
    pub fn from_slice<T: Element>(shape: &[usize], elements: &[T]) -> Result<Self, TensorError> {
        Self::from_bytes(T::DTYPE, shape, bytemuck::cast_slice(elements))
    }

    /// A tensor of booleans.
    pub fn from_bools(shape: &[usize], elements: &[bool]) -> Result<Self, TensorError> {
        let bytes: Vec<u8> = elements.iter().map(|b| u8::from(*b)).collect();
        Self::from_bytes(DType::Bool, shape, &bytes)
    }

    /// A tensor of these little-endian bytes.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Self, TensorError> {
        let needed = element_count(shape).ok_or_else(|| TensorError::TooLarge { dtype, shape: shape.to_vec() })?;
        if needed.checked_mul(dtype.bytes()) != Some(bytes.len()) {
            let given = bytes.len() / dtype.bytes().max(1);
            return Err(TensorError::Count { shape: shape.to_vec(), needed, given });
        }
        let mut tensor = Self::zeros(dtype, shape)?;
        tensor.data.copy_from_slice(bytes);
        Ok(tensor)
    }

    /// A scalar (rank 0).
    pub fn scalar<T: Element>(value: T) -> Self {
        let mut data = AlignedBytes { lines: vec![Line([0; 64])], len: size_of::<T>() };
        data.copy_from_slice(bytemuck::bytes_of(&value));
        Tensor { dtype: T::DTYPE, shape: Vec::new(), data }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }
    /// Shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
    /// Number of elements.
    pub fn len(&self) -> usize {
        element_count(&self.shape).unwrap_or(0)
    }
    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }
    /// Its bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }
    /// Shape, and bytes to write.
    pub(crate) fn parts_mut(&mut self) -> (&[usize], &mut [u8]) {
        (&self.shape, &mut self.data)
    }
    /// Its elements, when they are `T`s.
    pub fn as_slice<T: Element>(&self) -> Result<&[T], TensorError> {
        if self.dtype != T::DTYPE {
            return Err(TensorError::Type { has: self.dtype, wanted: T::DTYPE });
        }
        Ok(bytemuck::cast_slice(&self.data))
    }
    /// Its elements, to write.
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T], TensorError> {
        if self.dtype != T::DTYPE {
            return Err(TensorError::Type { has: self.dtype, wanted: T::DTYPE });
        }
        Ok(bytemuck::cast_slice_mut(&mut self.data))
    }
    /// The same elements under another shape of the same count.
    pub fn reshaped(mut self, shape: &[usize]) -> Result<Self, TensorError> {
        let needed = element_count(shape);
        if needed != Some(self.len()) {
            return Err(TensorError::Count {
                shape: shape.to_vec(),
                needed: needed.unwrap_or(usize::MAX),
                given: self.len(),
            });
        }
        self.shape = shape.to_vec();
        Ok(self)
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)
    }
}
