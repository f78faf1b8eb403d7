//! What passes ask about constants and readers.

use crate::ir::{Graph, Node, NodeId, Op, Source, Type, ValueId, Weight};
use brolga_runtime::{DType, Tensor};

/// Per-channel tensors larger than this are not looked at.
pub(crate) const MAX_ELEMENTS: usize = 1 << 20;

/// The one number that every element of a constant is.
pub(crate) fn number(graph: &Graph, value: ValueId) -> Option<f64> {
    let weight = graph.weight(value)?;
    let uniform = matches!(weight.source, Source::Splat(_)) && weight.scales.is_empty();
    if uniform && !weight.is_empty() {
        let one = Weight::splat(weight.dtype, vec![1], splat_bytes(weight)?);
        return elements(&one)?.first().copied();
    }
    if weight.is_empty() || weight.len() > 4096 {
        return None;
    }
    let all = elements(weight)?;
    let first = *all.first()?;
    all.iter().all(|x| x.to_bits() == first.to_bits()).then_some(first)
}

fn splat_bytes(weight: &Weight) -> Option<[u8; 8]> {
    match weight.source {
        Source::Splat(bytes) => Some(bytes),
        Source::Bytes(_) => None,
    }
}

/// Like [`number`], for f32 constants.
pub(crate) fn f32_number(graph: &Graph, value: ValueId) -> Option<f32> {
    if graph.ty(value).dtype != DType::F32 {
        return None;
    }
    number(graph, value).map(|x| x as f32)
}

/// Elements of a constant as f64, when it is small and of a type that fits.
pub(crate) fn elements(weight: &Weight) -> Option<Vec<f64>> {
    if weight.len() > MAX_ELEMENTS {
        return None;
    }
    tensor_elements(&weight.evaluate().ok()?)
}

fn tensor_elements(tensor: &Tensor) -> Option<Vec<f64>> {
    Some(match tensor.dtype() {
        DType::F32 => tensor.as_slice::<f32>().ok()?.iter().map(|x| f64::from(*x)).collect(),
        DType::F64 => tensor.as_slice::<f64>().ok()?.to_vec(),
        DType::I32 => tensor.as_slice::<i32>().ok()?.iter().map(|x| f64::from(*x)).collect(),
        DType::I64 => {
            let small = |x: &i64| x.unsigned_abs() < 1 << 53;
            let all = tensor.as_slice::<i64>().ok()?;
            all.iter().map(|x| small(x).then_some(*x as f64)).collect::<Option<_>>()?
        }
        _ => return None,
    })
}

/// Elements of a constant f32 vector of `count` elements (any shape that has as many).
pub(crate) fn f32_vector(graph: &Graph, value: ValueId, count: usize) -> Option<Vec<f64>> {
    let weight = graph.weight(value)?;
    if weight.dtype != DType::F32 || weight.len() != count {
        return None;
    }
    elements(weight)
}

/// A constant f32 operand that broadcasts against a result of `rank` dimensions and varies along `axis` only: its elements
/// along that axis, of `extent` entries.
pub(crate) fn along_axis(graph: &Graph, value: ValueId, rank: usize, axis: usize, extent: usize) -> Option<Vec<f64>> {
    let weight = graph.weight(value)?;
    let shape = weight.shape();
    if weight.dtype != DType::F32 || shape.len() > rank {
        return None;
    }
    let lead = rank - shape.len();
    for (i, d) in shape.iter().enumerate() {
        let allowed = *d == 1 || (i + lead == axis && *d == extent);
        if !allowed {
            return None;
        }
    }
    let all = elements(weight)?;
    match all[..] {
        [one] => Some(vec![one; extent]),
        _ => Some(all),
    }
}

/// Extent of one dimension of a value, when known.
pub(crate) fn extent(ty: &Type, axis: usize) -> Option<usize> {
    usize::try_from(ty.shape.get(axis)?.known()?).ok()
}

/// Whether `node` is the only reader of a value that is no graph output; it may read it more than once.
pub(crate) fn read_only_by(graph: &Graph, value: ValueId, node: NodeId) -> bool {
    !graph.is_output(value) && graph.is_used(value) && graph.other_reader(value, node).is_none()
}

/// A constant f32 tensor of these elements, each rounded once.
pub(crate) fn f32_weight(shape: &[usize], elements: &[f64]) -> Weight {
    let bytes: Vec<u8> = elements.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect();
    Weight::from_bytes(DType::F32, shape.to_vec(), bytes.into())
}

/// A constant f32 tensor that is one number everywhere.
pub(crate) fn f32_splat(shape: &[usize], x: f32) -> Weight {
    let mut element = [0; 8];
    element[..4].copy_from_slice(&x.to_le_bytes());
    Weight::splat(DType::F32, shape.to_vec(), element)
}

/// The node that makes `value` as its first result, if it has the wanted operation.
pub(crate) fn made_by(graph: &Graph, value: ValueId, wanted: impl Fn(&Op) -> bool) -> Option<&Node> {
    graph.producer(value).filter(|n| n.outputs.first() == Some(&value) && wanted(&n.op))
}
