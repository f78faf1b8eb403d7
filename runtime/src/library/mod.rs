//! Library calls: operations that are no kernel, as plain functions over tensor views, and [`Call`], one closed value that
//! names such an operation with its attributes, runs it, and has a text form to be stored.
//!
//! Shapes of results are the caller's: every function checks that the views it is given fit together.

mod algebra;
mod call;
mod cumulative;
#[cfg(feature = "images")]
mod decode;
pub mod dense;
mod elements;
mod elementwise;
pub mod function;
mod index;
mod integer;
mod linear_attention;
mod ml;
mod movement;
mod narrow;
mod op;
mod prepared;
mod quantize;
mod random;
mod real;
mod rearrange;
mod recurrent;
mod reduce;
mod regions;
#[cfg(feature = "patterns")]
mod regular;
mod routine;
mod sampling;
mod scalar;
mod select;
mod sequence;
mod signal;
mod strings;
mod tf_idf;
mod top_k;
mod walk;

pub use call::{Call, ParseCallError};
pub use elementwise::{binary, cast, cast_narrow, select, unary};
pub use function::{Attribute, Function};
pub use index::{gather, gather_elements, gather_nd, one_hot, scatter_elements, scatter_nd};
pub use integer::{IntegerWindow, add_channels, conv_integer, matmul_integer};
pub use movement::{
    concat, copy, depth_to_space, expand, fill, integers, pad, range, slice, space_to_depth, tile, transpose, trilu,
};
pub use narrow::{PowerRounding, decode, encode};
pub use op::{BinaryOp, PadMode, ReduceKind, ScatterKind, UnaryOp};
pub use prepared::Prepared;
pub use quantize::{dequantize, integer_range, is_quantized, quantize};
pub use reduce::{arg_reduce, cum_sum, reduce};
pub use routine::Routine;
pub use sampling::{DeformWindow, SampleMode, SamplePadding, sampling};
pub use scalar::erf;
pub use top_k::top_k;

use crate::{DType, TensorError, TensorView, TensorViewMut};

/// Why a library call could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// The operands do not fit together.
    #[error("accepted are {accepted}")]
    Operands {
        /// What would fit.
        accepted: &'static str,
    },
    /// An element type it does not work on.
    #[error("{dtype} is not accepted as {what}")]
    Type {
        /// What it was meant to be.
        what: &'static str,
        /// Its type.
        dtype: DType,
    },
    /// A function that is not defined on these.
    #[error("{function} is not defined on {on}")]
    Function {
        /// Function.
        function: &'static str,
        /// What it was applied to.
        on: &'static str,
    },
    /// An index outside of its dimension.
    #[error("index {index} is out of range for extent {extent}")]
    Index {
        /// Index.
        index: i64,
        /// Extent.
        extent: usize,
    },
    /// Integers divided by zero.
    #[error("integer division by zero")]
    DivisionByZero,
    /// A tensor that cannot be made or read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Data that the operation refuses.
    #[error("{0}")]
    Data(String),
}

pub(crate) fn expect(holds: bool, accepted: &'static str) -> Result<(), LibraryError> {
    if holds { Ok(()) } else { Err(LibraryError::Operands { accepted }) }
}

/// The elements of a view, which must be aligned for them and as many as its shape needs.
fn elements<'a, T: bytemuck::Pod>(x: &TensorView<'a>) -> Result<&'a [T], LibraryError> {
    let unfit = LibraryError::Operands { accepted: "aligned bytes, as many as the shape needs" };
    let found: &[T] = bytemuck::try_cast_slice(x.bytes).map_err(|_| unfit.clone())?;
    if found.len() == x.len() { Ok(found) } else { Err(unfit) }
}

fn elements_mut<'a, T: bytemuck::Pod>(x: &'a mut TensorViewMut) -> Result<&'a mut [T], LibraryError> {
    let unfit = LibraryError::Operands { accepted: "aligned bytes, as many as the shape needs" };
    let count = x.len();
    let found: &mut [T] = bytemuck::try_cast_slice_mut(x.bytes).map_err(|_| unfit.clone())?;
    if found.len() == count { Ok(found) } else { Err(unfit) }
}

#[cfg(test)]
mod tests;
