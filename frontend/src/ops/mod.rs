//! Importers, one file per operator family.

pub(crate) mod activation;
pub(crate) mod arithmetic;
pub(crate) mod attention;
pub(crate) mod bitwise;
pub(crate) mod constant;
pub(crate) mod control;
pub(crate) mod conv;
pub(crate) mod data;
pub(crate) mod einsum;
pub(crate) mod index;
pub(crate) mod loss;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod pool;
pub(crate) mod quantize;
pub(crate) mod random;
pub(crate) mod rearrange;
pub(crate) mod recurrent;
pub(crate) mod reduce;
pub(crate) mod regions;
pub(crate) mod resize;
pub(crate) mod selection;
pub(crate) mod shape;
pub(crate) mod signal;
pub(crate) mod softmax;
pub(crate) mod state;
mod window;
