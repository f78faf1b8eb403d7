//! ONNX messages, external data and the budgets that bound them.
//!
//! [`load`] maps a file, [`scan`] walks its wire format within [`Limits`], and only then are messages built, whose byte
//! fields are slices of the map. [`Loaded::tensor`] gives the elements of any tensor as little-endian bytes, from the model
//! or from the files beside it.

mod error;
mod external;
mod load;
mod map;
mod messages;
mod scan;
mod tensor;
mod walk;

pub use bytes::Bytes;
pub use error::{Class, ProtoError};
pub use load::{
    Limits, Loaded, decode, decode_map, decode_optional, decode_sequence, decode_tensor, decode_with_files, load,
};
pub use map::file_bytes;
pub use messages::*;
pub use scan::scan;
pub use tensor::{TensorData, packed, storage_bytes};
