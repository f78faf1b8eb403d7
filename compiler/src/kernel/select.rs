//! The one table from operations to kernel families.

use super::{
    LowerContext, Lowered, NoKernel, Operand, PackSpec, arg_reduce, conv, elementwise, gather, lrn, movement,
    normalize, pack_kernel, pool, recurrent, reduce, resize, roi_align, sample, unpool,
};
use crate::ir::{Node, Op};

/// Lowers a node to calls of kernels; [`NoKernel`] means that a library call has to take it.
pub fn lower(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    pack_at_run_time(cx, family(cx, node)?)
}

/// Packs operands that a kernel wants packed and that are not constants: into temporaries, by calls before all others.
fn pack_at_run_time(cx: &LowerContext<'_>, mut lowered: Lowered) -> Result<Lowered, NoKernel> {
    let mut done: Vec<(Operand, Operand)> = Vec::new();
    let mut packing = Vec::new();
    for call in &mut lowered.calls {
        for operand in &mut call.operands {
            let Operand::Packed(value, spec) = &*operand else { continue };
            if cx.graph.weight(*value).is_some() {
                continue;
            }
            if let Some((_, temporary)) = done.iter().find(|(from, _)| from == operand) {
                *operand = temporary.clone();
                continue;
            }
            let temporary = Operand::Temporary(lowered.temporaries.len(), 0);
            let from = Operand::Value(*value, 0);
            packing.extend(pack_kernel::pack_calls(cx.target, spec, (&from, cx.view(*value)?), &temporary)?);
            lowered.temporaries.push(PackSpec::len(spec) * 4);
            done.push((operand.clone(), temporary.clone()));
            *operand = temporary;
        }
    }
    if !packing.is_empty() {
        lowered.calls.iter_mut().take(1).for_each(|first| first.barrier_before = true);
        packing.append(&mut lowered.calls);
        lowered.calls = packing;
    }
    Ok(lowered)
}

/// The family of an operation.
fn family(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    match &node.op {
        Op::Conv { .. } => conv::lower(cx, node),
        Op::ConvTranspose { .. } => conv::transposed::lower(cx, node),
        Op::MatMul { .. } => conv::matmul::lower(cx, node),
        Op::ConvInteger { .. } | Op::MatMulInteger { .. } => conv::integer::lower(cx, node),
        Op::Unary(_) | Op::Binary(_) | Op::Elementwise(_) | Op::Requantize { .. } | Op::Where | Op::Cast(_) => {
            elementwise::lower(cx, node)
        }
        Op::Pool { .. } => pool::lower(cx, node),
        Op::Reduce { .. } => reduce::lower(cx, node),
        Op::ArgReduce { .. } => arg_reduce::lower(cx, node),
        Op::Softmax { .. }
        | Op::LayerNorm { .. }
        | Op::InstanceNorm { .. }
        | Op::GroupNorm { .. }
        | Op::LpNorm { .. } => normalize::lower(cx, node),
        Op::Lrn { .. } => lrn::lower(cx, node),
        Op::Resize(_) => resize::lower(cx, node),
        Op::Function { function, .. } => match function.name.as_str() {
            "grid_sample" | "deform_columns" => sample::lower(cx, node),
            "roi_align" => roi_align::lower(cx, node),
            "rnn" | "gru" | "lstm" => recurrent::lower(cx, node),
            "max_unpool" => unpool::lower(cx, node, function),
            name => Err(NoKernel(format!("no kernel family for the function {name}"))),
        },
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
        other => Err(NoKernel(format!("no kernel family for {}", op_name(other)))),
    }
}

/// The name of an operation without its attributes.
pub fn op_name(op: &Op) -> String {
    let text = format!("{op:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_string()
}
