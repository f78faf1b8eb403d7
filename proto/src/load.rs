//! From a path or bytes to a decoded model.

use crate::error::ProtoError;
use crate::external::External;
use crate::map::file_bytes;
use crate::messages::{MapProto, ModelProto, OptionalProto, SequenceProto, TensorProto};
use crate::scan::scan;
use crate::tensor::{TensorData, inline_tensor};
use crate::walk::each_tensor;
use bytes::Bytes;
use prost::Message;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Bounds on what reading a model may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Nesting of messages.
    pub depth: usize,
    /// Bytes that decoding may allocate ...
    pub decode_bytes: u64,
    /// ... plus this many for each byte of the file.
    pub decode_factor: u64,
}

impl Default for Limits {
    fn default() -> Self {
        // Plain nodes decode to about twelve times their bytes.
        Limits { depth: 64, decode_bytes: 64 << 20, decode_factor: 16 }
    }
}

/// A decoded model and the way to the data of its tensors.
#[derive(Debug)]
pub struct Loaded {
    /// The model.
    pub model: ModelProto,
    /// Bytes of the model file.
    pub file_bytes: u64,
    external: External,
}

/// Reads the model at `path`. The file stays mapped as long as a tensor's bytes are in use.
pub fn load(path: &Path, limits: &Limits) -> Result<Loaded, ProtoError> {
    let bytes = file_bytes(path)?;
    let mut loaded = decode(bytes, limits)?;
    loaded.external = External::beside(path)?;
    Ok(loaded)
}

/// Decodes a model from memory. Its tensors cannot be in other files.
pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Loaded, ProtoError> {
    if bytes.is_empty() {
        return Err(ProtoError::Empty);
    }
    scan(&bytes, limits)?;
    let file_bytes = bytes.len() as u64;
    Ok(Loaded { model: ModelProto::decode(bytes)?, file_bytes, external: External::none() })
}

/// Decodes a model from memory, and gives it the files to which its tensors refer, by the locations that they name.
pub fn decode_with_files(bytes: Bytes, files: HashMap<String, Bytes>, limits: &Limits) -> Result<Loaded, ProtoError> {
    Ok(Loaded { external: External::given(files), ..decode(bytes, limits)? })
}

/// Decodes a file that is a single tensor, as test data comes in.
pub fn decode_tensor(bytes: Bytes) -> Result<TensorProto, ProtoError> {
    Ok(TensorProto::decode(bytes)?)
}

/// Decodes a file that is a single sequence.
pub fn decode_sequence(bytes: Bytes) -> Result<SequenceProto, ProtoError> {
    Ok(SequenceProto::decode(bytes)?)
}

/// Decodes a file that is a single map.
pub fn decode_map(bytes: Bytes) -> Result<MapProto, ProtoError> {
    Ok(MapProto::decode(bytes)?)
}

/// Decodes a file that is a single optional value.
pub fn decode_optional(bytes: Bytes) -> Result<OptionalProto, ProtoError> {
    Ok(OptionalProto::decode(bytes)?)
}

impl Loaded {
    /// A model made by other means than reading a file.
    pub fn from_model(model: ModelProto) -> Loaded {
        Loaded { model, file_bytes: 0, external: External::none() }
    }

    /// The elements of a tensor: slices of the model file or of the file beside it where possible.
    pub fn tensor(&self, tensor: &TensorProto) -> Result<TensorData, ProtoError> {
        if is_external(tensor) { self.external.tensor(tensor) } else { inline_tensor(tensor) }
    }

    /// Every file to which a tensor of the model refers, by the location that it names.
    pub fn external_files(&self) -> Result<BTreeMap<String, Bytes>, ProtoError> {
        let mut files = BTreeMap::new();
        each_tensor(&self.model, &mut |tensor| {
            if is_external(tensor) {
                let (location, file) = self.external.file(tensor)?;
                files.insert(location.to_owned(), file);
            }
            Ok(())
        })?;
        Ok(files)
    }
}

fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location == 1
}
