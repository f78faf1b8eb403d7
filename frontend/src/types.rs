//! Element types, shapes and constants of the format as those of the graph.

use crate::attributes::Attributes;
use crate::error::{ImportError, NodeError, invalid, unsupported};
use brolga_compiler::ir::{ANY_EXTENT, Dim, KeyType, Kind, Type, Weight};
use brolga_proto::tensor_proto::DataType;
use brolga_proto::tensor_shape_proto::dimension::Value as DimValue;
use brolga_proto::{Loaded, TensorProto, TypeProto, ValueInfoProto, type_proto};
use brolga_runtime::DType;
use brolga_runtime::library::Function;

/// Element type of a number in the file.
pub(crate) fn dtype(number: i64) -> Result<DType, NodeError> {
    let kind = i32::try_from(number).ok().and_then(|n| DataType::try_from(n).ok());
    Ok(match kind {
        Some(DataType::Float) => DType::F32,
        Some(DataType::Double) => DType::F64,
        Some(DataType::Float16) => DType::F16,
        Some(DataType::Bfloat16) => DType::BF16,
        Some(DataType::Int8) => DType::I8,
        Some(DataType::Int16) => DType::I16,
        Some(DataType::Int32) => DType::I32,
        Some(DataType::Int64) => DType::I64,
        Some(DataType::Uint8) => DType::U8,
        Some(DataType::Uint16) => DType::U16,
        Some(DataType::Uint32) => DType::U32,
        Some(DataType::Uint64) => DType::U64,
        Some(DataType::Bool) => DType::Bool,
        Some(DataType::Int4) => DType::I4,
        Some(DataType::Uint4) => DType::U4,
        Some(DataType::Int2) => DType::I2,
        Some(DataType::Uint2) => DType::U2,
        Some(DataType::Float8e4m3fn) => DType::F8E4M3FN,
        Some(DataType::Float8e4m3fnuz) => DType::F8E4M3FNUZ,
        Some(DataType::Float8e5m2) => DType::F8E5M2,
        Some(DataType::Float8e5m2fnuz) => DType::F8E5M2FNUZ,
        Some(DataType::Float8e8m0) => DType::F8E8M0,
        Some(DataType::Float4e2m1) => DType::F4E2M1,
        Some(DataType::String) => DType::String,
        Some(DataType::Undefined) | None => return invalid(format!("element type number {number} does not exist")),
        Some(other) => {
            let name = other.as_str_name();
            return unsupported(format!(
                "element type {name}; bool, integers of 2 to 64 bits and floats of 4 to 64 bits are accepted"
            ));
        }
    })
}

/// Element type by its name in the oldest `Cast`.
pub(crate) fn dtype_by_name(name: &str) -> Result<DType, NodeError> {
    match DataType::from_str_name(name) {
        Some(kind) => dtype(i64::from(kind as i32)),
        None => invalid(format!("element type {name:?} does not exist")),
    }
}

/// A constant of texts, as the function that holds them; `None` when it is a tensor of numbers.
pub(crate) fn texts(tensor: &TensorProto) -> Result<Option<(Function, Type)>, NodeError> {
    if tensor.data_type != DataType::String as i32 {
        return Ok(None);
    }
    check_rank(tensor.dims.len())?;
    let texts = tensor.string_data.iter().map(|bytes| std::str::from_utf8(bytes).map(str::to_owned));
    match texts.collect::<Result<Vec<String>, _>>() {
        Ok(texts) => crate::kinds::text_constant(&tensor.dims, texts).map(Some),
        Err(_) => invalid(format!("tensor {:?} has texts that are not UTF-8", tensor.name)),
    }
}

/// A constant of the file. Its bytes are not copied.
pub(crate) fn weight(loaded: &Loaded, tensor: &TensorProto) -> Result<Weight, NodeError> {
    let data = loaded.tensor(tensor)?;
    check_rank(data.dims.len())?;
    let dtype = dtype(i64::from(data.dtype as i32))?;
    Ok(Weight::from_bytes(dtype, data.dims.clone(), data.unpacked()))
}

const MAX_RANK: usize = 32;

fn check_rank(rank: usize) -> Result<(), NodeError> {
    if rank > MAX_RANK { unsupported(format!("rank {rank}; up to {MAX_RANK} is accepted")) } else { Ok(()) }
}

/// Whether a type's elements could be counted and addressed, symbols and extents that may differ taken as one.
pub(crate) fn fits(ty: &Type) -> bool {
    let extent = |d: &Dim| d.known().filter(|n| !ty.is_sequence() || *n != ANY_EXTENT).unwrap_or(1);
    let mut known = ty.shape.iter().map(extent);
    if ty.shape.contains(&Dim::Const(0)) {
        return true;
    }
    let count = known.try_fold(1i64, |n, d| if d < 0 { None } else { n.checked_mul(d) });
    count.is_some_and(|n| n.checked_mul(16).is_some())
}

/// The type in an attribute.
pub(crate) fn attribute_type(attributes: &Attributes<'_>, name: &str) -> Result<Type, NodeError> {
    let Some(ty) = attributes.get(name).and_then(|a| a.tp.as_ref()) else {
        return invalid(format!("attribute {name:?} is missing"));
    };
    value_type(name, ty, MAX_NESTING).map_err(|e| match e {
        ImportError::Invalid(what) => NodeError::Invalid(what),
        other => NodeError::Unsupported(other.to_string()),
    })
}

/// Sequences and optionals within each other.
const MAX_NESTING: usize = 4;

/// Type of a graph input. A dimension without number or name becomes a symbol named after the input.
pub(crate) fn input_type(port: &ValueInfoProto) -> Result<Type, ImportError> {
    match &port.r#type {
        Some(ty) => value_type(&port.name, ty, MAX_NESTING),
        None => Err(ImportError::Invalid(format!("input {:?} has no type", port.name))),
    }
}

fn value_type(name: &str, ty: &TypeProto, depth: usize) -> Result<Type, ImportError> {
    let depth = depth.saturating_sub(1);
    match &ty.value {
        Some(type_proto::Value::TensorType(tensor)) => tensor_type(name, tensor),
        Some(type_proto::Value::SequenceType(inner)) if depth > 0 => match &inner.elem_type {
            Some(inner) => match value_type(name, inner, depth)? {
                Type { kind: Kind::Map(key), dtype, .. } => Ok(Type::map_sequence(key, dtype)),
                inner if inner.is_map() => Err(not_accepted(name)),
                inner => Ok(Type::sequence(inner)),
            },
            None => Err(ImportError::Invalid(format!("input {name:?} is a sequence of nothing"))),
        },
        Some(type_proto::Value::OptionalType(inner)) if depth > 0 => match &inner.elem_type {
            Some(inner) => match value_type(name, inner, depth)? {
                inner if inner.is_map() => Err(not_accepted(name)),
                inner => Ok(Type::optional(inner)),
            },
            None => Err(ImportError::Invalid(format!("input {name:?} is an optional of nothing"))),
        },
        Some(type_proto::Value::MapType(map)) if depth > 0 => map_type(name, map, depth),
        Some(_) => Err(not_accepted(name)),
        None => Err(ImportError::Invalid(format!("input {name:?} has no type"))),
    }
}

fn not_accepted(name: &str) -> ImportError {
    let accepted = "tensors, sequences and optionals of them, maps from int64 or string to numbers or texts and sequences of \
                    such are accepted";
    ImportError::UnsupportedModel(format!("input {name:?} is of a type that is not supported; {accepted}"))
}

fn map_type(name: &str, map: &type_proto::Map, depth: usize) -> Result<Type, ImportError> {
    let key = match DataType::try_from(map.key_type) {
        Ok(DataType::Int64) => KeyType::Int,
        Ok(DataType::String) => KeyType::Text,
        _ => return Err(not_accepted(name)),
    };
    match &map.value_type {
        None => Err(ImportError::Invalid(format!("input {name:?} is a map to nothing"))),
        Some(inner) => match value_type(name, inner, depth)? {
            Type { kind: Kind::Tensor | Kind::Unranked, dtype, .. } => Ok(Type::map(key, dtype)),
            _ => Err(not_accepted(name)),
        },
    }
}

fn tensor_type(name: &str, tensor: &type_proto::Tensor) -> Result<Type, ImportError> {
    let about = |e: NodeError| match e {
        NodeError::Invalid(what) => ImportError::Invalid(format!("input {name:?}: {what}")),
        NodeError::Unsupported(what) => ImportError::UnsupportedModel(format!("input {name:?}: {what}")),
        NodeError::Budget(what) => ImportError::Budget(format!("input {name:?}: {what}")),
        NodeError::Nested(_) => ImportError::Invalid(format!("input {name:?}")),
        NodeError::Proto(e) => ImportError::Proto(e),
    };
    let element = dtype(i64::from(tensor.elem_type)).map_err(about)?;
    let Some(shape) = &tensor.shape else { return Ok(Type::unranked(element)) };
    check_rank(shape.dim.len()).map_err(about)?;
    let mut dims = Vec::with_capacity(shape.dim.len());
    for (axis, dim) in shape.dim.iter().enumerate() {
        dims.push(match &dim.value {
            // Some exporters write -1 for a dimension they do not know.
            None | Some(DimValue::DimValue(-1)) => Dim::symbol(format!("{name}_{axis}")),
            // Others write the same sign, such as "?", for every one of them.
            Some(DimValue::DimParam(symbol)) if !symbol.contains(char::is_alphanumeric) => {
                Dim::symbol(format!("{name}_{axis}"))
            }
            Some(DimValue::DimParam(symbol)) => Dim::symbol(symbol.clone()),
            Some(DimValue::DimValue(n)) if *n < 0 => {
                return Err(ImportError::Invalid(format!("input {name:?} has a dimension of {n}")));
            }
            Some(DimValue::DimValue(n)) => Dim::Const(*n),
        });
    }
    let ty = Type::new(element, dims);
    if !fits(&ty) {
        return Err(ImportError::Invalid(format!("input {name:?} is {ty}, more than memory can address")));
    }
    Ok(ty)
}
