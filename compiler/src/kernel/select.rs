//! The one table from operations to kernel families.

use super::{LowerContext, Lowered, NoKernel, elementwise, gather, lrn, movement, normalize, pool, reduce, resize};
use crate::ir::{Node, Op};

/// Lowers a node to calls of kernels; [`NoKernel`] means that a library call has to take it.
pub fn lower(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    match &node.op {
        Op::Unary(_) | Op::Binary(_) | Op::Elementwise(_) | Op::Where | Op::Cast(_) => elementwise::lower(cx, node),
        Op::Pool { .. } => pool::lower(cx, node),
        Op::Reduce { .. } => reduce::lower(cx, node),
        Op::Softmax { .. }
        | Op::LayerNorm { .. }
        | Op::InstanceNorm { .. }
        | Op::GroupNorm { .. }
        | Op::LpNorm { .. } => normalize::lower(cx, node),
        Op::Lrn { .. } => lrn::lower(cx, node),
        Op::Resize(_) => resize::lower(cx, node),
        Op::Gather { .. } => gather::lower(cx, node),
        Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Concat { .. }
        | Op::Expand { .. }
        | Op::Tile { .. }
        | Op::Pad { .. }
        | Op::Reshape { .. }
        | Op::DepthToSpace { .. }
        | Op::SpaceToDepth { .. }
        | Op::Reorder { .. } => movement::lower(cx, node),
        other => Err(NoKernel(format!("no kernel family for {}", name(other)))),
    }
}

/// The name of an operation without its attributes.
fn name(op: &Op) -> String {
    let text = format!("{op:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_string()
}
