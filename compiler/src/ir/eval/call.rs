//! Which library call an operation is, once its shapes are known.

use super::{known, quantized};
use crate::ir::{Graph, NodeId, Op, ValueId};
use brolga_runtime::library::Call;
use brolga_runtime::{DType, Tensor};

/// The integers a tensor holds.
pub(super) fn integers(tensor: &Tensor) -> Option<Vec<i64>> {
    match tensor.dtype() {
        DType::I64 => tensor.as_slice::<i64>().ok().map(<[i64]>::to_vec),
        DType::I32 => tensor.as_slice::<i32>().ok().map(|s| s.iter().map(|i| i64::from(*i)).collect()),
        _ => None,
    }
}

/// The library call that computes a node of a bound graph, and its operands; `None` when it is none or its integers are
/// not known.
pub fn node_library_call(graph: &Graph, node: NodeId) -> Option<(Call, Vec<ValueId>)> {
    let node = graph.try_node(node)?;
    let dims = |ids: &[ValueId]| ids.iter().map(|id| graph.ty(*id).dims()).collect::<Option<Vec<_>>>();
    let (shapes, results) = (dims(&node.inputs)?, dims(&node.outputs)?);
    let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
    let results: Vec<&[usize]> = results.iter().map(Vec::as_slice).collect();
    let content = |i: usize| graph.value(*node.inputs.get(i)?).content.as_ref()?.iter().map(|d| d.known()).collect();
    let (call, operands) = library_call(&node.op, &shapes, &content, &results)?;
    Some((call, operands.into_iter().map(|i| node.inputs[i]).collect()))
}

/// The library call that computes an operation, and which of its operands the call takes. `content` tells the integers that
/// an operand holds.
pub fn library_call(
    op: &Op,
    shapes: &[&[usize]],
    content: &dyn Fn(usize) -> Option<Vec<i64>>,
    results: &[&[usize]],
) -> Option<(Call, Vec<usize>)> {
    let first = |call: Call| Some((call, vec![0]));
    let all = |call: Call| Some((call, (0..shapes.len()).collect()));
    match op {
        Op::Unary(op) => first(Call::Unary(*op)),
        Op::Binary(op) => all(Call::Binary(*op)),
        Op::Where => all(Call::Where),
        Op::Cast(_) => first(Call::Cast),
        Op::Quantize { axis, block, precision, saturate, .. } => {
            let (axis, block, precision, saturate) = (*axis, *block, *precision, *saturate);
            all(Call::Quantize { axis, block, precision, saturate })
        }
        Op::Dequantize { axis, block, .. } => all(Call::Dequantize { axis: *axis, block: *block }),
        Op::ConvInteger { window, group, bias: false, to: DType::I32, .. } => {
            all(Call::ConvInteger(quantized::geometry(window, *group, shapes.first()?)?))
        }
        Op::MatMulInteger { trans_b: false, bias: false, to: DType::I32, .. } => all(Call::MatMulInteger),
        Op::CastNarrow { saturate, rounding, .. } => {
            first(Call::CastNarrow { saturate: *saturate, rounding: *rounding })
        }
        Op::Reduce { kind, axes, .. } => first(Call::Reduce { kind: *kind, axes: axes.clone() }),
        Op::ArgReduce { min, axis, last, .. } => first(Call::ArgReduce { min: *min, axis: *axis, last: *last }),
        Op::CumSum { axis, exclusive, reverse } => {
            first(Call::CumSum { axis: *axis, exclusive: *exclusive, reverse: *reverse })
        }
        Op::TopK { axis, largest, .. } => first(Call::TopK { axis: *axis, largest: *largest }),
        Op::Concat { axis } => all(Call::Concat { axis: *axis }),
        Op::Slice { axes, starts, steps, .. } => {
            let starts = resolve_starts(shapes.first()?, axes, &known(starts, content)?, steps)?;
            first(Call::Slice { axes: axes.clone(), starts, steps: steps.clone() })
        }
        Op::Pad { mode, pads } => {
            let mut before = known(pads, content)?;
            before.truncate(shapes.first()?.len());
            first(Call::Pad { mode: *mode, before })
        }
        Op::Reshape { .. } | Op::Reorder { .. } => first(Call::Copy),
        Op::Transpose { perm } => first(Call::Transpose { perm: perm.clone() }),
        Op::Expand { .. } => first(Call::Expand),
        Op::Tile { .. } => first(Call::Tile),
        Op::Gather { axis } => all(Call::Gather { axis: *axis }),
        Op::GatherElements { axis } => all(Call::GatherElements { axis: *axis }),
        Op::GatherNd { batch } => all(Call::GatherNd { batch: *batch }),
        Op::ScatterNd { reduction } => all(Call::ScatterNd { kind: *reduction }),
        Op::ScatterElements { axis, reduction } => all(Call::ScatterElements { axis: *axis, kind: *reduction }),
        Op::DepthToSpace { block, crd } => first(Call::DepthToSpace { block: *block, crd: *crd }),
        Op::SpaceToDepth { block } => first(Call::SpaceToDepth { block: *block }),
        Op::Shape { begin, end } => {
            let values = shapes.first()?.get(*begin..*end)?.iter().map(|n| *n as i64).collect();
            Some((Call::Integers { values }, vec![]))
        }
        Op::ConstantOfShape { value, .. } => Some((Call::Fill { value: *value }, vec![])),
        Op::Range => Some((Call::Range, vec![0, 2])),
        Op::Trilu { upper, k } => first(Call::Trilu { upper: *upper, k: *k }),
        Op::OneHot { axis } => Some((Call::OneHot { axis: *axis }, vec![0, 2])),
        Op::Conv { .. }
        | Op::ConvTranspose { .. }
        | Op::MatMul { .. }
        | Op::Pool { .. }
        | Op::BatchNorm { .. }
        | Op::InstanceNorm { .. }
        | Op::LayerNorm { .. }
        | Op::GroupNorm { .. }
        | Op::Lrn { .. }
        | Op::LpNorm { .. }
        | Op::Elementwise(_)
        | Op::ConvInteger { .. }
        | Op::MatMulInteger { .. }
        | Op::Requantize { .. }
        | Op::Softmax { .. }
        | Op::Resize(_)
        | Op::Function { .. }
        | Op::Deferred { .. }
        | Op::If { .. }
        | Op::Loop { .. }
        | Op::Scan { .. } => None,
    }
    .filter(|_| !results.is_empty())
}

/// Starts counted from 0 and inside their dimension (any, when the slice is empty).
fn resolve_starts(shape: &[usize], axes: &[usize], starts: &[i64], steps: &[i64]) -> Option<Vec<i64>> {
    let one = |i: usize| {
        let extent = *shape.get(*axes.get(i)?)? as i64;
        let start = *starts.get(i)?;
        let start = if start < 0 { start.saturating_add(extent) } else { start };
        Some(if *steps.get(i)? > 0 { start.clamp(0, extent) } else { start.clamp((extent - 1).min(0), extent - 1) })
    };
    (0..axes.len()).map(one).collect()
}
