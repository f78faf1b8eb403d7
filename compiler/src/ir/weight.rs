//! Constants and the expressions over them that stay unevaluated until a kernel's packing reads them.
//!
//! A weight is a source (bytes in the file, or one number everywhere), a permutation of its dimensions, then a scale and a
//! shift per index of one dimension in f64. That is all that folding a batch normalisation or a transpose needs, so weights
//! are read once, at the end, into the form their kernel wants.

use brolga_runtime::{DType, Tensor, TensorError};
use bytes::Bytes;
use std::sync::Arc;

/// Where the elements come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Little-endian elements in row-major order, zero-copy from the file when that is mapped.
    Bytes(Bytes),
    /// The same element everywhere (its little-endian bytes). Costs no memory until packed.
    Splat([u8; 8]),
}

/// Factor and addend per index of one dimension of the (permuted) weight: `w * scale[i] + shift[i]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AxisScale {
    /// Dimension of the result.
    pub axis: usize,
    /// Factors, one per index.
    pub scale: Vec<f64>,
}

/// A constant value of the graph.
#[derive(Clone, Debug)]
pub struct Weight {
    /// Element type.
    pub dtype: DType,
    /// Shape of the source.
    pub source_shape: Vec<usize>,
    /// Elements.
    pub source: Source,
    /// Result dimension i is source dimension `perm[i]`; empty means as it is.
    pub perm: Vec<usize>,
    /// Shape of the result when it differs from the permuted source (same count; row-major reshape after the permutation).
    pub reshape: Option<Vec<usize>>,
    /// Scales on dimensions of the result, applied in order, in f64.
    pub scales: Vec<Arc<AxisScale>>,
}

impl Weight {
    /// A weight that is just these bytes. The caller has checked that they are as many as the shape needs.
    pub fn from_bytes(dtype: DType, shape: Vec<usize>, bytes: Bytes) -> Weight {
        Weight { dtype, source_shape: shape, source: Source::Bytes(bytes), perm: vec![], reshape: None, scales: vec![] }
    }
    /// A weight that is one element everywhere.
    pub fn splat(dtype: DType, shape: Vec<usize>, element: [u8; 8]) -> Weight {
        Weight {
            dtype,
            source_shape: shape,
            source: Source::Splat(element),
            perm: vec![],
            reshape: None,
            scales: vec![],
        }
    }
    /// A weight that owns a tensor's elements.
    pub fn from_tensor(tensor: &Tensor) -> Weight {
        let bytes = Bytes::copy_from_slice(tensor.bytes());
        Weight::from_bytes(tensor.dtype(), tensor.shape().to_vec(), bytes)
    }
    /// Shape of the result.
    pub fn shape(&self) -> Vec<usize> {
        match (&self.reshape, self.perm.is_empty()) {
            (Some(shape), _) => shape.clone(),
            (None, true) => self.source_shape.clone(),
            (None, false) => self.perm.iter().map(|p| self.source_shape[*p]).collect(),
        }
    }
    /// Whether it is the source itself, element for element.
    pub fn is_plain(&self) -> bool {
        self.perm.is_empty() && self.scales.is_empty()
    }
    /// Number of elements.
    pub fn len(&self) -> usize {
        brolga_runtime::element_count(&self.source_shape).unwrap_or(0)
    }
    /// Bytes that its source holds; none for one element everywhere.
    pub fn held_bytes(&self) -> usize {
        match &self.source {
            Source::Bytes(bytes) => bytes.len(),
            Source::Splat(_) => 0,
        }
    }
    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weight as a tensor. The caller has checked the size against its budget.
    pub fn evaluate(&self) -> Result<Tensor, TensorError> {
        let shape = self.shape();
        let mut out = Tensor::zeros(self.dtype, &shape)?;
        let width = self.dtype.bytes().max(1);
        match &self.source {
            Source::Splat(element) => {
                for to in out.bytes_mut().chunks_exact_mut(width) {
                    to.copy_from_slice(&element[..width]);
                }
            }
            Source::Bytes(bytes) if self.perm.is_empty() => out.bytes_mut().copy_from_slice(bytes),
            Source::Bytes(bytes) => {
                let mut at = StridedIndex::new(&self.source_shape, &self.perm);
                for to in out.bytes_mut().chunks_exact_mut(width) {
                    let from = at.next_offset() * width;
                    to.copy_from_slice(&bytes[from..from + width]);
                }
            }
        }
        if !self.scales.is_empty() {
            apply_scales(out.as_mut_slice::<f32>()?, &shape, &self.scales);
        }
        Ok(out)
    }
}

/// Walks a permuted tensor in row-major order of the result, yielding source offsets.
pub struct StridedIndex {
    extent: Vec<usize>,
    stride: Vec<usize>,
    at: Vec<usize>,
    offset: usize,
}

impl StridedIndex {
    /// Result dimension i is source dimension `perm[i]`.
    pub fn new(source_shape: &[usize], perm: &[usize]) -> Self {
        let mut strides = vec![1; source_shape.len()];
        for i in (0..source_shape.len().saturating_sub(1)).rev() {
            strides[i] = strides[i + 1] * source_shape[i + 1];
        }
        StridedIndex {
            extent: perm.iter().map(|p| source_shape[*p]).collect(),
            stride: perm.iter().map(|p| strides[*p]).collect(),
            at: vec![0; perm.len()],
            offset: 0,
        }
    }
    /// The next offset in elements.
    pub fn next_offset(&mut self) -> usize {
        let now = self.offset;
        for i in (0..self.at.len()).rev() {
            self.at[i] += 1;
            self.offset += self.stride[i];
            if self.at[i] < self.extent[i] {
                break;
            }
            self.offset -= self.stride[i] * self.extent[i];
            self.at[i] = 0;
        }
        now
    }
}

fn apply_scales(elements: &mut [f32], shape: &[usize], scales: &[Arc<AxisScale>]) {
    let inner = |axis: usize| shape[axis + 1..].iter().product::<usize>().max(1);
    for (i, x) in elements.iter_mut().enumerate() {
        let mut y = f64::from(*x);
        for s in scales {
            y *= s.scale[i / inner(s.axis) % shape[s.axis]];
        }
        *x = y as f32;
    }
}
