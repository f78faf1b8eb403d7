//! Elements of a tensor message as little-endian bytes, whichever field they are in.

use crate::error::ProtoError;
use crate::messages::TensorProto;
use crate::messages::tensor_proto::DataType;
use bytes::Bytes;

/// The elements of a tensor.
#[derive(Clone, Debug)]
pub struct TensorData {
    /// Element type; never undefined or a string.
    pub dtype: DataType,
    /// Shape.
    pub dims: Vec<usize>,
    /// Little-endian elements in row-major order, exactly as many as the shape says; types below 8 bits are packed, first
    /// element in the low bits. Booleans are 0 or 1.
    pub bytes: Bytes,
}

impl TensorData {
    /// The elements, those below 8 bits each in a byte of its own: signed integers extended, others with zeros above.
    pub fn unpacked(&self) -> Bytes {
        use DataType::*;
        let width = match self.dtype {
            Int4 | Uint4 | Float4e2m1 => 4,
            Int2 | Uint2 => 2,
            _ => return self.bytes.clone(),
        };
        let signed = matches!(self.dtype, Int4 | Int2);
        let count: usize = if self.dims.contains(&0) { 0 } else { self.dims.iter().product() };
        let of_byte = |byte: &u8| {
            let byte = *byte;
            (0..8 / width).map(move |i| {
                let high = byte << (8 - width * (i + 1));
                if signed { (high as i8 >> (8 - width)) as u8 } else { high >> (8 - width) }
            })
        };
        self.bytes.iter().flat_map(of_byte).take(count).collect::<Vec<u8>>().into()
    }
}

/// The bytes that elements of a type below 8 bits, each in a byte, take in a tensor message; of other types themselves.
pub fn packed(dtype: DataType, elements: &[u8]) -> Vec<u8> {
    let width = match bits(dtype) {
        Some(width @ (2 | 4)) => width as usize,
        _ => return elements.to_vec(),
    };
    let mask = (1u8 << width) - 1;
    let pack = |few: &[u8]| few.iter().rev().fold(0u8, |byte, element| (byte << width) | (element & mask));
    elements.chunks(8 / width).map(pack).collect()
}

pub(crate) fn invalid(tensor: &TensorProto, reason: impl Into<String>) -> ProtoError {
    ProtoError::Tensor { name: tensor.name.clone(), reason: reason.into() }
}

fn unsupported(tensor: &TensorProto, reason: impl Into<String>) -> ProtoError {
    ProtoError::UnsupportedTensor { name: tensor.name.clone(), reason: reason.into() }
}

/// Bits of an element; `None` where elements have no fixed size.
fn bits(dtype: DataType) -> Option<u64> {
    use DataType::*;
    Some(match dtype {
        Undefined | String => return None,
        Uint2 | Int2 => 2,
        Uint4 | Int4 | Float4e2m1 => 4,
        Uint8 | Int8 | Bool | Float8e4m3fn | Float8e4m3fnuz | Float8e5m2 | Float8e5m2fnuz | Float8e8m0 => 8,
        Uint16 | Int16 | Float16 | Bfloat16 => 16,
        Float | Int32 | Uint32 => 32,
        Int64 | Uint64 | Double | Complex64 => 64,
        Complex128 => 128,
    })
}

/// Bytes that elements of `dtype` in this shape take; `None` when they have no fixed size or the number overflows.
pub fn storage_bytes(dtype: DataType, dims: &[usize]) -> Option<usize> {
    let mut count = 1u64;
    // A zero anywhere makes it empty, however large the rest.
    if dims.contains(&0) {
        count = 0;
    } else {
        for d in dims {
            count = count.checked_mul(u64::try_from(*d).ok()?)?;
        }
    }
    let bytes = count.checked_mul(bits(dtype)?)?.div_ceil(8);
    usize::try_from(bytes).ok().filter(|n| isize::try_from(*n).is_ok())
}

/// Element type, shape and bytes in all, checked.
pub(crate) fn describe(tensor: &TensorProto) -> Result<(DataType, Vec<usize>, usize), ProtoError> {
    if tensor.segment.is_some() {
        return Err(unsupported(tensor, "is stored in segments; one piece is accepted"));
    }
    let dtype = DataType::try_from(tensor.data_type)
        .map_err(|_| invalid(tensor, format!("has unknown element type number {}", tensor.data_type)))?;
    match dtype {
        DataType::Undefined => return Err(invalid(tensor, "has no element type")),
        DataType::String => return Err(unsupported(tensor, "has elements of type string; numbers are accepted")),
        _ => {}
    }
    let dims = tensor.dims.iter().map(|d| usize::try_from(*d).ok()).collect::<Option<Vec<usize>>>();
    let dims = dims.ok_or_else(|| invalid(tensor, format!("has a negative dimension in {:?}", tensor.dims)))?;
    let bytes = storage_bytes(dtype, &dims)
        .ok_or_else(|| invalid(tensor, format!("has more elements than memory can hold: {dims:?}")))?;
    Ok((dtype, dims, bytes))
}

/// The elements of a tensor that are in its own message.
pub(crate) fn inline_tensor(tensor: &TensorProto) -> Result<TensorData, ProtoError> {
    let (dtype, dims, want) = describe(tensor)?;
    let lists = [
        (tensor.float_data.len(), "float_data"),
        (tensor.int32_data.len(), "int32_data"),
        (tensor.int64_data.len(), "int64_data"),
        (tensor.double_data.len(), "double_data"),
        (tensor.uint64_data.len(), "uint64_data"),
        (tensor.string_data.len(), "string_data"),
    ];
    let mut given = lists.iter().filter(|(n, _)| *n > 0);
    let (first, second) = (given.next(), given.next());
    let bytes = match (first, second, tensor.raw_data.is_empty()) {
        (None, _, _) => tensor.raw_data.clone(),
        (Some(_), None, true) => typed_elements(tensor, dtype)?,
        (Some((_, name)), None, false) => {
            return Err(invalid(tensor, format!("has both raw_data and {name}")));
        }
        (Some((_, a)), Some((_, b)), _) => return Err(invalid(tensor, format!("has both {a} and {b}"))),
    };
    if bytes.len() != want {
        let message = format!("has {} bytes of data where its shape {dims:?} needs {want}", bytes.len());
        return Err(invalid(tensor, message));
    }
    Ok(TensorData { dtype, dims, bytes: clean_bools(dtype, bytes) })
}

/// Booleans are 0 or 1 from here on; generated code relies on it.
pub(crate) fn clean_bools(dtype: DataType, bytes: Bytes) -> Bytes {
    if dtype == DataType::Bool && bytes.iter().any(|b| *b > 1) {
        return bytes.iter().map(|b| u8::from(*b != 0)).collect::<Vec<u8>>().into();
    }
    bytes
}

fn typed_elements(tensor: &TensorProto, dtype: DataType) -> Result<Bytes, ProtoError> {
    use DataType::*;
    let collect = |bytes: Vec<u8>| Bytes::from(bytes);
    let (list, bytes) = match dtype {
        Float | Complex64 => ("float_data", collect(tensor.float_data.iter().flat_map(|x| x.to_le_bytes()).collect())),
        Double | Complex128 => {
            ("double_data", collect(tensor.double_data.iter().flat_map(|x| x.to_le_bytes()).collect()))
        }
        Int64 => ("int64_data", collect(tensor.int64_data.iter().flat_map(|x| x.to_le_bytes()).collect())),
        Uint64 => ("uint64_data", collect(tensor.uint64_data.iter().flat_map(|x| x.to_le_bytes()).collect())),
        Uint32 => {
            let words = tensor.uint64_data.iter();
            ("uint64_data", collect(words.flat_map(|x| x.to_le_bytes().into_iter().take(4)).collect()))
        }
        _ => {
            // One number per element, or per byte of packed ones; the low bits hold it.
            let width = usize::try_from(bits(dtype).unwrap_or(8).div_ceil(8)).unwrap_or(1);
            let words = tensor.int32_data.iter();
            ("int32_data", collect(words.flat_map(|x| x.to_le_bytes().into_iter().take(width)).collect()))
        }
    };
    if bytes.is_empty() {
        return Err(invalid(
            tensor,
            format!("has its elements in the wrong field; {} is in {list}", dtype.as_str_name()),
        ));
    }
    Ok(bytes)
}
