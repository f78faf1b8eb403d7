//! Importers, one file per operator family.

pub(crate) mod activation;
pub(crate) mod arithmetic;
pub(crate) mod constant;
pub(crate) mod control;
pub(crate) mod conv;
pub(crate) mod data;
pub(crate) mod index;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod pool;
pub(crate) mod quantize;
pub(crate) mod reduce;
pub(crate) mod resize;
pub(crate) mod shape;
pub(crate) mod softmax;
mod window;
