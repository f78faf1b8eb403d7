//! What a model is, whether or not it can be compiled: signature, operators, parameters, arithmetic.

use crate::flatten::{has_graph, plain_domain};
use brolga_compiler::ir::{Dim, Graph, Op, ValueId};
use brolga_proto::tensor_proto::DataType;
use brolga_proto::tensor_shape_proto::dimension::Value as DimValue;
use brolga_proto::{Loaded, ModelProto, TypeProto, ValueInfoProto, storage_bytes, type_proto};
use std::collections::BTreeMap;

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Type in words: `float[batch, 3, 224, 224]`.
    pub ty: String,
}

/// Facts about a model file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Name of the graph.
    pub graph: String,
    /// Version of the file format.
    pub ir_version: i64,
    /// What wrote it.
    pub producer: String,
    /// Operator versions by domain; the standard one is `ai.onnx`.
    pub opsets: Vec<(String, i64)>,
    /// Inputs without a default.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
    /// Nodes by operator, `domain.op` where the domain is not the standard one, in the main graph and in functions.
    pub op_counts: BTreeMap<String, usize>,
    /// Nodes in the main graph.
    pub nodes: usize,
    /// Nodes with graphs inside them.
    pub control_flow: usize,
    /// Functions that the model defines.
    pub functions: usize,
    /// Elements in initializers.
    pub parameters: u64,
    /// Bytes they take.
    pub parameter_bytes: u64,
    /// Properties of the model.
    pub metadata: Vec<(String, String)>,
}

/// Reads off what a model is. Never fails: what the file does not say is empty.
pub fn inspect(loaded: &Loaded) -> Inspection {
    let model = &loaded.model;
    let graph = model.graph.clone().unwrap_or_default();
    let defaults: Vec<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let (mut parameters, mut parameter_bytes) = (0u64, 0u64);
    for tensor in &graph.initializer {
        let dims: Option<Vec<usize>> = tensor.dims.iter().map(|d| usize::try_from(*d).ok()).collect();
        let Some(dims) = dims else { continue };
        parameters = parameters.saturating_add(storage_bytes(DataType::Uint8, &dims).unwrap_or(0) as u64);
        if let Ok(dtype) = DataType::try_from(tensor.data_type) {
            parameter_bytes = parameter_bytes.saturating_add(storage_bytes(dtype, &dims).unwrap_or(0) as u64);
        }
    }
    Inspection {
        graph: graph.name.clone(),
        ir_version: model.ir_version,
        producer: [&model.producer_name[..], &model.producer_version].join(" ").trim().to_owned(),
        opsets: model.opset_import.iter().map(|o| (domain_name(&o.domain).to_owned(), o.version)).collect(),
        inputs: graph.input.iter().filter(|p| !defaults.contains(&p.name.as_str())).map(port).collect(),
        outputs: graph.output.iter().map(port).collect(),
        op_counts: op_counts(model),
        nodes: graph.node.len(),
        control_flow: graph.node.iter().filter(|n| has_graph(&n.attribute)).count(),
        functions: model.functions.len(),
        parameters,
        parameter_bytes,
        metadata: model.metadata_props.iter().map(|e| (e.key.clone(), e.value.clone())).collect(),
    }
}

fn domain_name(domain: &str) -> &str {
    if domain.is_empty() { "ai.onnx" } else { domain }
}

fn op_counts(model: &ModelProto) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let main = model.graph.iter().flat_map(|g| &g.node);
    for node in main.chain(model.functions.iter().flat_map(|f| &f.node)) {
        let key = match plain_domain(&node.domain) {
            "" => node.op_type.clone(),
            domain => format!("{domain}.{}", node.op_type),
        };
        *counts.entry(key).or_insert(0) += 1;
    }
    counts
}

fn port(port: &ValueInfoProto) -> Port {
    Port { name: port.name.clone(), ty: type_text(port.r#type.as_ref(), 0) }
}

fn type_text(ty: Option<&TypeProto>, depth: usize) -> String {
    let element = |n: i32| DataType::try_from(n).map_or("?".into(), |d| d.as_str_name().to_lowercase());
    match ty.and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(t)) => {
            let Some(shape) = &t.shape else { return format!("{}[..]", element(t.elem_type)) };
            let dims = shape.dim.iter().map(|d| match &d.value {
                Some(DimValue::DimValue(n)) => n.to_string(),
                Some(DimValue::DimParam(name)) if !name.is_empty() => name.clone(),
                _ => "?".into(),
            });
            format!("{}[{}]", element(t.elem_type), dims.collect::<Vec<_>>().join(", "))
        }
        Some(type_proto::Value::SequenceType(s)) if depth < 8 => {
            format!("sequence({})", type_text(s.elem_type.as_deref(), depth + 1))
        }
        Some(type_proto::Value::OptionalType(s)) if depth < 8 => {
            format!("optional({})", type_text(s.elem_type.as_deref(), depth + 1))
        }
        Some(type_proto::Value::MapType(map)) if depth < 8 => {
            format!("map({}, {})", element(map.key_type), type_text(map.value_type.as_deref(), depth + 1))
        }
        Some(type_proto::Value::SparseTensorType(t)) => format!("sparse {}", element(t.elem_type)),
        Some(type_proto::Value::OpaqueType(_)) => "opaque".into(),
        _ => "?".into(),
    }
}

/// Floating-point operations of convolutions and matrix products, a multiply-add counted as two. `None` when an extent is
/// symbolic or the number overflows.
pub fn flops(graph: &Graph) -> Option<u64> {
    let count = |id: ValueId| graph.ty(id).elements().and_then(|n| u64::try_from(n).ok());
    let mut total = 0u64;
    for node in graph.nodes() {
        let (result, weight) = (node.outputs.first().copied(), node.inputs.get(1).copied());
        let known = |id: ValueId, axis: usize| {
            graph.ty(id).shape.get(axis).and_then(Dim::known).and_then(|n| u64::try_from(n).ok())
        };
        let macs = match &node.op {
            Op::Conv { .. } => {
                let filters = known(weight?, 0)?.max(1);
                count(result?)?.checked_mul(count(weight?)? / filters)?
            }
            Op::ConvTranspose { .. } => {
                let channels = known(weight?, 0)?.max(1);
                count(node.inputs.first().copied()?)?.checked_mul(count(weight?)? / channels)?
            }
            Op::MatMul { trans_a, .. } => {
                let a = node.inputs.first().copied()?;
                let rank = graph.ty(a).rank();
                let inner = if *trans_a && rank >= 2 { rank - 2 } else { rank.checked_sub(1)? };
                count(result?)?.checked_mul(known(a, inner)?)?
            }
            _ => 0,
        };
        total = total.checked_add(macs.checked_mul(2)?)?;
    }
    Some(total)
}
