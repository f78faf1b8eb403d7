//! fold-pad: a Pad with zeros becomes the padding of the convolution or pooling that reads it.
//!
//! An average pooling then counts its padding. A maximum pads with minus infinity, which is the same as zero only where
//! nothing is negative and every window holds an element.

use super::facts::made_by;
use super::join_names;
use super::rewrite::{Miss, Rule, require};
use crate::ir::{AutoPad, Dim, Graph, Ints, Node, Op, PadMode, Patch, PoolKind, Step, UnaryOp, ValueId, Window};

/// The pass.
pub struct FoldPad;

impl Rule for FoldPad {
    fn name(&self) -> &'static str {
        "fold-pad"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        require(matches!(node.op, Op::Conv { .. } | Op::Pool { .. }))?;
        let pad = made_by(graph, node.inputs[0], |op| matches!(op, Op::Pad { .. })).ok_or(Miss::Elsewhere)?;
        let Op::Pad { mode, pads: Ints::Known(pads) } = &pad.op else { return Err(Miss::Elsewhere) };
        let pads: Vec<i64> = pads
            .iter()
            .map(Dim::known)
            .collect::<Option<_>>()
            .ok_or_else(|| Miss::blocked("its amounts are symbols"))?;
        let op = padded(graph, node, pad, *mode, &pads)?;
        let mut patch = Patch::new(graph, "pad into window");
        let mut inputs = node.inputs.clone();
        inputs[0] = pad.inputs[0];
        let new = patch.node_with(op, &inputs, node.outputs.len(), join_names(&pad.name, &node.name));
        node.outputs.iter().zip(new).for_each(|(old, new)| patch.replace(*old, new));
        Ok(patch)
    }
}

fn padded(graph: &Graph, node: &Node, pad: &Node, mode: PadMode, pads: &[i64]) -> Result<Op, Miss> {
    let PadMode::Constant(fill) = mode else { return Err(Miss::blocked("it pads with elements of its input")) };
    let rank = pads.len() / 2;
    let (begin, end) = pads.split_at(rank);
    if begin.iter().take(2).chain(end.iter().take(2)).any(|p| *p != 0) {
        return Err(Miss::blocked("it pads samples or channels"));
    }
    if pads.iter().any(|p| *p < 0) {
        return Err(Miss::blocked("it crops"));
    }
    let mut op = node.op.clone();
    match &mut op {
        Op::Conv { window, .. } => {
            if fill != 0.0 {
                return Err(Miss::blocked(format!("it pads with {fill}")));
            }
            widen(window, begin, end)?;
        }
        Op::Pool { kind, window, ceil, .. } => {
            let own = window.pad_begin.iter().chain(&window.pad_end).any(|p| *p != 0);
            match kind {
                PoolKind::Average { count_pad } if fill == 0.0 && !*ceil && (*count_pad || !own) => *count_pad = true,
                PoolKind::Max if node.outputs.len() > 1 => return Err(Miss::blocked("indices count the padding")),
                PoolKind::Max if fill == f64::NEG_INFINITY => {}
                PoolKind::Max if fill == 0.0 && never_negative(graph, pad.inputs[0]) && reaches(window, begin, end) => {
                }
                PoolKind::Max => return Err(Miss::blocked(format!("a maximum does not pad with {fill}"))),
                _ => return Err(Miss::blocked("the divisor would change")),
            }
            widen(window, begin, end)?;
        }
        _ => return Err(Miss::Elsewhere),
    }
    Ok(op)
}

fn widen(window: &mut Window, begin: &[i64], end: &[i64]) -> Result<(), Miss> {
    if window.auto_pad != AutoPad::Explicit {
        return Err(Miss::blocked("the window's own padding depends on the extents"));
    }
    let add = |to: &mut Vec<i64>, more: &[i64]| to.iter_mut().zip(&more[2..]).for_each(|(p, m)| *p += m);
    add(&mut window.pad_begin, begin);
    add(&mut window.pad_end, end);
    Ok(())
}

/// Whether every window holds an element of the unpadded input.
fn reaches(window: &Window, begin: &[i64], end: &[i64]) -> bool {
    window.kernel.iter().zip(&window.dilation).enumerate().all(|(i, (kernel, dilation))| {
        let dense = *dilation == 1;
        let least = window.pad_begin[i] + begin[i + 2];
        let last = window.pad_end[i] + end[i + 2];
        dense && least < *kernel as i64 && last < *kernel as i64
    })
}

/// Whether a value is known to have no negative element.
fn never_negative(graph: &Graph, value: ValueId) -> bool {
    let Some(node) = graph.producer(value) else { return false };
    let bounded = |op: &UnaryOp| match op {
        UnaryOp::Relu | UnaryOp::Sigmoid | UnaryOp::Abs | UnaryOp::Exp | UnaryOp::HardSigmoid { .. } => true,
        UnaryOp::Clip { lo, .. } => *lo >= 0.0,
        _ => false,
    };
    match &node.op {
        Op::Unary(op) => bounded(op),
        Op::Conv { epilogue, .. } => matches!(epilogue.steps.last(), Some(Step::Unary(op, _)) if bounded(op)),
        _ => false,
    }
}
