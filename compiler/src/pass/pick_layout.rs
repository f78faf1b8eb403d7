//! pick-layout: decides for every value whether it lies plain or in channel blocks, and the halo of those in blocks.
//!
//! Needs: a fused graph with known shapes. Leaves: every 2-d convolution and pooling, samplings and alignments of regions,
//! and the element-wise arithmetic, concatenations and resizes between them, on channel blocks as wide as a vector; all else
//! plain; a reorder on each edge where the two meet (shared by all readers); each blocked value with the halo that its
//! widest reader needs, so that kernels have no edge cases. A value with few channels that only enters the network is laid
//! out as padded planes (blocks of one channel), so that the first convolution multiplies no zeros.

use super::{Pass, PassContext, PassError};
use crate::ir::infer::explicit;
use crate::ir::{
    Graph, Halo, Layout, Node, NodeId, Op, Patch, Phase, PoolKind, ReduceKind, Type, ValueId, Weight, Window,
};
use crate::kernel::conv::{conv_reach, integer::refusal, separate_taps, transposed::transposed_reach};
use crate::kernel::{roi_align, sample};
use brolga_runtime::DType;
use std::collections::{BTreeMap, HashMap};

/// The pass, for a number of lanes.
pub struct PickLayout {
    /// Channels of a block.
    pub lanes: u32,
}

impl Pass for PickLayout {
    fn name(&self) -> &'static str {
        "pick-layout"
    }

    fn run(&self, graph: &mut Graph, cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let mut choice = Choice { graph, lanes: self.lanes, blocked: HashMap::new() };
        let order = graph.topological();
        for id in &order {
            choice.visit(graph.node(*id));
        }
        let blocked = choice.blocked;
        let plan = Edges::new(graph, self.lanes, &blocked, &order);
        let patch = plan.patch();
        if !patch.is_empty() {
            cx.apply(graph, patch)?;
        }
        graph.phase = Phase::LaidOut;
        Ok(())
    }
}

/// Which values are made in channel blocks.
struct Choice<'a> {
    graph: &'a Graph,
    lanes: u32,
    blocked: HashMap<ValueId, bool>,
}

impl Choice<'_> {
    fn is_image(&self, value: ValueId) -> bool {
        let ty = self.graph.ty(value);
        ty.dtype == DType::F32 && ty.rank() == 4 && ty.dims().is_some()
    }
    /// The same for floats and bytes.
    fn is_quantized_image(&self, value: ValueId) -> bool {
        let ty = self.graph.ty(value);
        ty.may_be_blocked() && ty.rank() == 4 && ty.dims().is_some()
    }
    fn is_blocked(&self, value: ValueId) -> bool {
        self.blocked.get(&value).copied().unwrap_or(false)
    }
    fn visit(&mut self, node: &Node) {
        let one = node.outputs.len() == 1;
        let blocked = one
            && match &node.op {
                Op::ConvInteger { .. } => self.is_quantized_image(node.outputs[0]) && self.convolves(node),
                Op::Requantize { .. } => self.is_quantized_image(node.outputs[0]) && self.elementwise(node),
                _ => self.is_image(node.outputs[0]) && self.takes_blocks(node),
            };
        for output in &node.outputs {
            self.blocked.insert(*output, blocked);
        }
    }
    /// Whether a node should work on blocks.
    fn takes_blocks(&self, node: &Node) -> bool {
        let x = node.inputs[0];
        match &node.op {
            Op::Conv { .. } => self.is_image(x),
            Op::ConvTranspose { group, .. } => *group == 1 && self.is_image(x),
            // Pooling by a p-norm is the library's.
            Op::Pool { kind, .. } => !matches!(kind, PoolKind::Lp { .. }) && self.is_image(x),
            Op::Resize(_) => self.is_blocked(x) && same_leading(self.graph, x, node.outputs[0]),
            Op::Function { .. } => {
                let lanes = self.lanes as usize;
                let prefers = sample::prefers_blocks(self.graph, node, lanes);
                self.is_image(x) && (prefers || roi_align::prefers_blocks(self.graph, node, lanes))
            }
            Op::Unary(_) => self.is_blocked(x),
            Op::Binary(_) | Op::Elementwise(_) => self.elementwise(node),
            Op::Concat { axis: 1 } => self.concat(node),
            Op::Slice { axes, steps, .. } => {
                self.is_blocked(x) && axes[..] == [1] && steps[..] == [1] && self.aligned_slice(node)
            }
            // Pooled to one pixel: in blocks for the convolutions that follow, plain for anything else.
            Op::Reduce { keep: true, .. } => {
                is_global_pool(self.graph, node) && self.is_blocked(x) && self.read_by_convolutions(node)
            }
            _ => false,
        }
    }
    /// Whether a kernel takes an integer convolution, and all readers of its operand fill the padding alike.
    fn convolves(&self, node: &Node) -> bool {
        let [x, _, point, ..] = node.inputs[..] else { return false };
        let alike = |a: ValueId, b: ValueId| match (self.graph.weight(a), self.graph.weight(b)) {
            (Some(a), Some(b)) => {
                let bytes = |w: &Weight| w.evaluate().ok().map(|t| t.bytes().to_vec());
                bytes(a) == bytes(b)
            }
            _ => a == b,
        };
        let readers = self.graph.readers(x);
        let others = readers.iter().map(|r| self.graph.node(*r)).filter(|n| matches!(n.op, Op::ConvInteger { .. }));
        let agree = others.filter(|n| n.inputs[0] == x).all(|n| alike(n.inputs[2], point));
        agree && refusal(self.graph, &node.op, &node.inputs, self.graph.ty(node.outputs[0])).is_none()
    }
    fn elementwise(&self, node: &Node) -> bool {
        let dims = self.graph.ty(node.outputs[0]).dims().unwrap_or_default();
        let any = node.inputs.iter().any(|v| self.is_blocked(*v) && self.graph.ty(*v).dims().as_ref() == Some(&dims));
        any && node.inputs.iter().all(|v| {
            let other = self.graph.ty(*v).dims().unwrap_or_default();
            let constant = self.graph.weight(*v).is_some();
            let elements: usize = other.iter().product();
            let channel = other.len() >= 3 && elements == dims[1] && other[other.len() - 3] == dims[1];
            let per_image = other.len() == 4 && other[..2] == dims[..2] && other[2..] == [1, 1];
            elements == 1 || other == dims || (constant && channel) || (!constant && per_image)
        })
    }
    fn concat(&self, node: &Node) -> bool {
        let lanes = self.lanes as usize;
        let whole = |v: &ValueId| self.graph.ty(*v).dims().is_some_and(|d| d[1].is_multiple_of(lanes));
        let Some((_, all_but_last)) = node.inputs.split_last() else { return false };
        // Constants keep their layout, and the parts of a concatenation share one.
        let computed = node.inputs.iter().all(|v| self.graph.weight(*v).is_none());
        computed && node.inputs.iter().any(|v| self.is_blocked(*v)) && all_but_last.iter().all(whole)
    }
    fn aligned_slice(&self, node: &Node) -> bool {
        crate::plan::place::slice_start(self.graph, node).is_some_and(|s| s.is_multiple_of(self.lanes as usize))
    }
    fn read_by_convolutions(&self, node: &Node) -> bool {
        let readers = self.graph.readers(node.outputs[0]);
        !readers.is_empty() && readers.iter().all(|r| matches!(self.graph.node(*r).op, Op::Conv { .. }))
    }
}

/// Operands of a convolution before those that its epilogue reads.
fn contraction_operands(op: &Op) -> usize {
    let biased = matches!(op, Op::Conv { bias: true, .. } | Op::ConvTranspose { bias: true, .. });
    2 + usize::from(biased)
}

/// Whether a reduction is a global pooling of images.
pub(crate) fn is_global_pool(graph: &Graph, node: &Node) -> bool {
    let Op::Reduce { kind, axes, .. } = &node.op else { return false };
    matches!(kind, ReduceKind::Mean | ReduceKind::Max | ReduceKind::Min | ReduceKind::Sum)
        && axes[..] == [2, 3]
        && graph.ty(node.inputs[0]).rank() == 4
}

fn same_leading(graph: &Graph, a: ValueId, b: ValueId) -> bool {
    graph.ty(a).shape[..2] == graph.ty(b).shape[..2]
}

/// What a reader wants of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Want {
    /// As it is; any layout.
    Any,
    Plain,
    /// Channel blocks.
    Blocks(u32),
}

/// The edges of the laid-out graph: wants, halos and the reorders they need.
struct Edges<'a> {
    graph: &'a Graph,
    blocked: &'a HashMap<ValueId, bool>,
    order: &'a [NodeId],
    lanes: u32,
    /// Halo of each version of a value: as produced, or reordered to blocks of so many channels.
    halos: BTreeMap<(ValueId, u32), Halo>,
}

impl<'a> Edges<'a> {
    fn new(graph: &'a Graph, lanes: u32, blocked: &'a HashMap<ValueId, bool>, order: &'a [NodeId]) -> Self {
        let mut edges = Edges { graph, blocked, order, lanes, halos: BTreeMap::new() };
        edges.collect_halos();
        edges
    }

    fn made_blocked(&self, value: ValueId) -> bool {
        self.blocked.get(&value).copied().unwrap_or(false)
    }

    /// What a node wants of operand `position`.
    fn want(&self, node: &Node, position: usize) -> Want {
        let value = node.inputs[position];
        let ty = self.graph.ty(value);
        let image = ty.rank() == 4 && ty.may_be_blocked() && self.graph.weight(value).is_none();
        let blocked = self.made_blocked(node.outputs[0]);
        match &node.op {
            Op::Conv { .. } | Op::ConvTranspose { .. } if blocked => match position {
                0 if !self.made_blocked(value) && self.few_channels(value, node) => Want::Blocks(1),
                0 => Want::Blocks(self.lanes),
                // Of a constant, too: the epilogue reads whole images in the layout of its result.
                _ if position >= contraction_operands(&node.op)
                    && ty.may_be_blocked()
                    && ty.shape == self.graph.ty(node.outputs[0]).shape =>
                {
                    Want::Blocks(self.lanes)
                }
                _ => Want::Plain,
            },
            Op::ConvInteger { .. } if blocked => match position {
                0 => Want::Blocks(self.lanes),
                _ if image && ty.shape == self.graph.ty(node.outputs[0]).shape => Want::Blocks(self.lanes),
                _ => Want::Plain,
            },
            Op::Binary(_) | Op::Elementwise(_) | Op::Requantize { .. } if blocked => {
                let whole = ty.shape == self.graph.ty(node.outputs[0]).shape;
                match whole {
                    true if image => Want::Blocks(self.lanes),
                    _ if self.made_blocked(value) => Want::Any,
                    // A factor per image and channel, and a constant image, are read as plain numbers only when their
                    // channels fill whole blocks.
                    _ if (image || whole) && self.is_ragged(ty) => Want::Blocks(self.lanes),
                    _ => Want::Plain,
                }
            }
            // What says where an image is sampled is plain.
            Op::Function { .. } if position > 0 => Want::Plain,
            Op::Reduce { .. } if is_global_pool(self.graph, node) && self.made_blocked(value) => Want::Any,
            _ if blocked && image => Want::Blocks(self.lanes),
            _ => Want::Plain,
        }
    }

    /// Whether the channels of an image leave lanes of its last block empty.
    fn is_ragged(&self, ty: &Type) -> bool {
        let channels = ty.shape.get(1).and_then(|d| d.known()).unwrap_or(1);
        ty.rank() == 4 && ty.may_be_blocked() && channels > 1 && channels % i64::from(self.lanes) != 0
    }

    /// Whether planes beat blocks: the channels would fill less than one block, and no group cuts them.
    fn few_channels(&self, value: ValueId, reader: &Node) -> bool {
        let channels = self.graph.ty(value).shape[1].known().unwrap_or(0);
        let single = matches!(reader.op, Op::Conv { group: 1, .. } | Op::ConvTranspose { group: 1, .. });
        single && channels < i64::from(self.lanes)
    }

    /// Lanes of the version of `value` that a want selects.
    fn version(&self, value: ValueId, want: Want) -> u32 {
        match want {
            Want::Any if self.made_blocked(value) => self.lanes,
            Want::Any | Want::Plain => 0,
            Want::Blocks(lanes) => lanes,
        }
    }

    fn widen(&mut self, value: ValueId, lanes: u32, halo: Halo) {
        let at = self.halos.entry((value, lanes)).or_default();
        at.top = at.top.max(halo.top);
        at.left = at.left.max(halo.left);
        at.bottom = at.bottom.max(halo.bottom);
        at.right = at.right.max(halo.right);
    }

    fn collect_halos(&mut self) {
        for id in self.order {
            let node = self.graph.node(*id);
            let Some(halo) = reach(self.graph, node) else { continue };
            let version = self.version(node.inputs[0], self.want(node, 0));
            self.widen(node.inputs[0], version, halo);
        }
        // The parts of a concatenation lie inside the whole, and a slice inside its source, so they share a halo.
        loop {
            let before = self.halos.clone();
            for id in self.order {
                let node = self.graph.node(*id);
                if !matches!(node.op, Op::Concat { .. } | Op::Slice { .. }) || !self.made_blocked(node.outputs[0]) {
                    continue;
                }
                let family: Vec<ValueId> = node.inputs.iter().chain(&node.outputs).copied().collect();
                for value in &family {
                    let halo = self.halos.get(&(*value, self.lanes)).copied().unwrap_or_default();
                    family.iter().for_each(|other| self.widen(*other, self.lanes, halo));
                }
            }
            if before == self.halos {
                break;
            }
        }
    }

    fn typed(&self, value: ValueId, lanes: u32) -> Type {
        let ty = self.graph.ty(value).clone();
        if lanes == 0 {
            return Type { layout: Layout::Plain, ..ty };
        }
        let halo = self.halos.get(&(value, lanes)).copied().unwrap_or_default();
        Type { layout: Layout::Blocked { lanes, halo }, ..ty }
    }

    fn patch(&self) -> Patch {
        let mut patch = Patch::new(self.graph, "layouts");
        let mut versions: HashMap<(ValueId, u32), ValueId> = HashMap::new();
        for id in self.order {
            let node = self.graph.node(*id);
            for output in &node.outputs {
                if self.made_blocked(*output) {
                    patch.retype(*output, self.typed(*output, self.lanes));
                }
            }
        }
        for id in self.order {
            let node = self.graph.node(*id);
            let mut inputs = node.inputs.clone();
            for (position, input) in inputs.iter_mut().enumerate() {
                let want = self.want(node, position);
                *input = self.edge(&mut patch, &mut versions, *input, want);
            }
            if inputs != node.inputs {
                patch.rewire(*id, inputs);
            }
        }
        for (position, (_, value)) in self.graph.outputs().iter().enumerate() {
            let plain = self.edge(&mut patch, &mut versions, *value, Want::Plain);
            if plain != *value {
                patch.set_output(position, plain);
            }
        }
        patch
    }

    /// The version of a value that a reader wants, reordered where it is not made that way.
    fn edge(
        &self,
        patch: &mut Patch,
        versions: &mut HashMap<(ValueId, u32), ValueId>,
        value: ValueId,
        want: Want,
    ) -> ValueId {
        let made = if self.made_blocked(value) { self.lanes } else { 0 };
        let version = self.version(value, want);
        if version == made || self.graph.weight(value).is_some() && version == 0 {
            return value;
        }
        *versions.entry((value, version)).or_insert_with(|| {
            let ty = self.typed(value, version);
            let halo = match ty.layout {
                Layout::Blocked { halo, .. } => halo,
                Layout::Plain => Halo::default(),
            };
            let name = self.graph.value(value).name.clone();
            patch.typed_node(Op::Reorder { lanes: version, halo }, &[value], vec![ty], name)[0]
        })
    }
}

/// How far a node's windows reach beyond operand 0.
fn reach(graph: &Graph, node: &Node) -> Option<Halo> {
    let (first, result) = (node.inputs.first()?, node.outputs.first()?);
    let (input, output) = (graph.ty(*first).dims()?, graph.ty(*result).dims()?);
    let along = |window: &Window, d: usize, transposed: bool| {
        let kernel = graph.ty(node.inputs[1]).dims().map_or(1, |k| k[2 + d]);
        let (i, o) = (input[2 + d], output[2 + d]);
        if transposed { transposed_reach(i, o, kernel, window, d) } else { conv_reach(i, o, kernel, window, d) }
    };
    let (window, transposed) = match &node.op {
        Op::Conv { window, .. } | Op::ConvInteger { window, .. } if input.len() == 4 => {
            (explicit(window, &input[2..]), false)
        }
        Op::ConvTranspose { window, .. } if input.len() == 4 => (window.clone(), true),
        _ => return None,
    };
    let weight = node.inputs.get(1).and_then(|w| graph.ty(*w).dims()).unwrap_or_default();
    if separate_taps(node, [&input, &weight, &output]).is_some() {
        return None;
    }
    let ((top, bottom), (left, right)) = (along(&window, 0, transposed), along(&window, 1, transposed));
    let small = |n: i64| u32::try_from(n).unwrap_or(0);
    Some(Halo { top: small(top), left: small(left), bottom: small(bottom), right: small(right) })
}
