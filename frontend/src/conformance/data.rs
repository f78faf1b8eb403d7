//! Values of a case: files that hold one tensor, sequence, map or optional each.

use super::{Case, Data};
use crate::error::{NodeError, invalid};
use crate::types::weight;
use brolga_proto::tensor_proto::DataType;
use brolga_proto::type_proto::Value as Kind;
use brolga_proto::{
    GraphProto, Loaded, MapProto, ModelProto, OptionalProto, ProtoError, SequenceProto, TensorProto, ValueInfoProto,
    decode_map, decode_optional, decode_sequence, decode_tensor, sequence_proto, tensor_shape_proto,
};
use brolga_runtime::{DType, Map, MapKeys, Strings, Tensor, TensorError, Value};
use std::path::{Path, PathBuf};

/// Inputs of one run and the outputs that are expected, by name.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// Inputs.
    pub inputs: Vec<(String, Value)>,
    /// Expected outputs, in the order of the graph.
    pub outputs: Vec<(String, Value)>,
}

/// The data of a case cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A file cannot be read.
    #[error("{path:?}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path:?}: {what}")]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// A file holds values of a type that this project does not have.
    #[error("{path:?}: {what}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Which.
        what: String,
    },
}

impl Case {
    /// The values of every data set of the case.
    pub fn data_sets(&self, loaded: &Loaded) -> Result<Vec<DataSet>, CaseError> {
        let empty = GraphProto::default();
        let graph = loaded.model.graph.as_ref().unwrap_or(&empty);
        match &self.data {
            Data::Folders(folders) => folders.iter().map(|f| folder(f, graph)).collect(),
            Data::Ramp(outputs) => {
                let paired = graph.output.iter().zip(outputs).map(|(port, path)| read(path, port));
                let constant = |name: &str| graph.initializer.iter().any(|t| t.name == name);
                let inputs = graph.input.iter().filter(|port| !constant(&port.name)).map(|port| {
                    let what = format!("input {:?} has no ramp: f32 of known shape has", port.name);
                    let error = || CaseError::Content { path: self.model.clone(), what };
                    Ok((port.name.clone(), Value::Tensor(ramp(port).ok_or_else(error)?)))
                });
                Ok(vec![DataSet {
                    inputs: inputs.collect::<Result<_, _>>()?,
                    outputs: paired.collect::<Result<_, _>>()?,
                }])
            }
        }
    }
}

fn folder(folder: &Path, graph: &GraphProto) -> Result<DataSet, CaseError> {
    let all = |prefix: &str, ports: &[ValueInfoProto]| {
        let path = |i: usize| folder.join(format!("{prefix}_{i}.pb"));
        let there = ports.iter().enumerate().map(|(i, port)| (path(i), port)).filter(|(path, _)| path.exists());
        there.map(|(path, port)| read(&path, port)).collect::<Result<Vec<_>, _>>()
    };
    Ok(DataSet { inputs: all("input", &graph.input)?, outputs: all("output", &graph.output)? })
}

fn ramp(port: &ValueInfoProto) -> Option<Tensor> {
    let Kind::TensorType(ty) = port.r#type.as_ref()?.value.as_ref()? else { return None };
    let extent = |d: &tensor_shape_proto::Dimension| match d.value {
        Some(tensor_shape_proto::dimension::Value::DimValue(n)) => usize::try_from(n).ok(),
        _ => None,
    };
    let shape = ty.shape.as_ref()?.dim.iter().map(extent).collect::<Option<Vec<usize>>>()?;
    let count = brolga_runtime::element_count(&shape).filter(|_| ty.elem_type == DataType::Float as i32)?;
    let elements: Vec<f32> = (0..count).map(|i| (i as f64 / count as f64) as f32).collect();
    Tensor::from_slice(&shape, &elements).ok()
}

/// The value in a file, whose kind is that of the port.
fn read(path: &Path, port: &ValueInfoProto) -> Result<(String, Value), CaseError> {
    let bytes = std::fs::read(path).map_err(|source| CaseError::Io { path: path.into(), source })?;
    let short = path.parent().and_then(Path::parent).and_then(|case| path.strip_prefix(case).ok()).unwrap_or(path);
    let content = |what: String| CaseError::Content { path: short.into(), what };
    let wire = |e: ProtoError| content(e.to_string());
    let value = match port.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(Kind::SequenceType(_)) => sequence(&decode_sequence(bytes.into()).map_err(wire)?),
        Some(Kind::MapType(_)) => map(&decode_map(bytes.into()).map_err(wire)?),
        Some(Kind::OptionalType(_)) => optional(&decode_optional(bytes.into()).map_err(wire)?),
        _ => tensor(&decode_tensor(bytes.into()).map_err(wire)?),
    };
    match value {
        Ok(value) => Ok((port.name.clone(), value)),
        Err(NodeError::Unsupported(what)) => Err(CaseError::Unsupported { path: short.into(), what }),
        Err(NodeError::Invalid(what) | NodeError::Budget(what)) => Err(content(what)),
        Err(NodeError::Proto(e)) => Err(content(e.to_string())),
        Err(NodeError::Nested(_)) => Err(content("it is no tensor".into())),
    }
}

fn tensor(message: &TensorProto) -> Result<Value, NodeError> {
    if message.data_type == DataType::String as i32 {
        let shape: Option<Vec<usize>> = message.dims.iter().map(|d| usize::try_from(*d).ok()).collect();
        let elements = message.string_data.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect();
        let strings = shape.and_then(|shape| Strings::new(&shape, elements));
        return strings.map(Value::Strings).ok_or_else(|| NodeError::Invalid("texts do not fit the shape".into()));
    }
    let alone = Loaded::from_model(ModelProto::default());
    let made = weight(&alone, message)?.evaluate();
    Ok(Value::Tensor(made.map_err(|e: TensorError| NodeError::Invalid(e.to_string()))?))
}

fn sequence(message: &SequenceProto) -> Result<Value, NodeError> {
    use sequence_proto::DataType;
    let values = match DataType::try_from(message.elem_type) {
        Ok(DataType::Tensor | DataType::Undefined) => message.tensor_values.iter().map(tensor).collect(),
        Ok(DataType::Sequence) => message.sequence_values.iter().map(sequence).collect(),
        Ok(DataType::Optional) => message.optional_values.iter().map(optional).collect(),
        Ok(DataType::Map) => message.map_values.iter().map(map).collect(),
        _ => Err(NodeError::Unsupported("a sequence of sparse tensors".into())),
    };
    Ok(Value::Sequence(values?))
}

fn map(message: &MapProto) -> Result<Value, NodeError> {
    let keys = match DataType::try_from(message.key_type) {
        Ok(DataType::String) => {
            let texts = message.string_keys.iter().map(|s| String::from_utf8_lossy(s).into_owned());
            MapKeys::Texts(texts.collect())
        }
        Ok(DataType::Int64) => MapKeys::Ints(message.keys.clone()),
        _ => return invalid("a map whose keys are neither int64 nor string"),
    };
    let Some(Value::Sequence(values)) = message.values.as_ref().map(sequence).transpose()? else {
        return invalid("a map without values");
    };
    let made = joined(&values).and_then(|values| Map::new(keys, values));
    made.map(Value::Map)
        .ok_or_else(|| NodeError::Invalid("a map that has not one value of one type for each key".into()))
}

/// Tensors of one element each, as one tensor.
fn joined(values: &[Value]) -> Option<Value> {
    let dtype = values.first().map_or(Some(DType::F32), Value::dtype)?;
    let (mut bytes, mut texts) = (Vec::new(), Vec::new());
    for value in values {
        match value {
            Value::Tensor(one) if one.dtype() == dtype && one.len() == 1 => bytes.extend_from_slice(one.bytes()),
            Value::Strings(one) if one.elements().len() == 1 => texts.extend_from_slice(one.elements()),
            _ => return None,
        }
    }
    match dtype {
        DType::String => Strings::new(&[values.len()], texts).map(Value::Strings),
        _ => Tensor::from_bytes(dtype, &[values.len()], &bytes).ok().map(Value::Tensor),
    }
}

fn optional(message: &OptionalProto) -> Result<Value, NodeError> {
    let inner = match (&message.tensor_value, &message.sequence_value, &message.optional_value) {
        (Some(value), _, _) => Some(tensor(value)?),
        (_, Some(value), _) => Some(sequence(value)?),
        (_, _, Some(value)) => Some(optional(value)?),
        _ => None,
    };
    Ok(Value::Optional(inner.map(Box::new)))
}
