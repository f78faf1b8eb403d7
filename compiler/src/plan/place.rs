//! Buffers and views: every value gets a buffer, a byte offset in it, and strides.
//!
//! A value shares the buffer of another when its bytes are those of the other: a reshape, a reorder that moves nothing, a
//! slice of whole channel blocks, a part of a concatenation (its producer writes straight into the whole), a result that may
//! overwrite an operand which nobody reads afterwards.

use super::arena::{Span, lower_bound};
use crate::ir::{BinaryOp, Dim, Graph, Ints, Layout, Node, NodeId, Op, Origin, ValueId};
use crate::kernel::View;
use brolga_runtime::DType;
use std::collections::{HashMap, HashSet};

/// Memory that a buffer is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Home {
    /// The arena.
    Arena,
    /// A graph input, by position.
    Input(usize),
    /// A graph output, by position.
    Output(usize),
    /// A constant, packed plain.
    Weight(ValueId),
}

/// A run of bytes that some values share.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Memory.
    pub home: Home,
    /// Size.
    pub bytes: usize,
    /// First and last step that touch it (positions in [`Placement::order`]).
    pub live: (usize, usize),
}

/// Where a value lies.
#[derive(Clone, Debug)]
pub struct Place {
    /// Index into [`Placement::buffers`].
    pub buffer: usize,
    /// Bytes from the start of the buffer to the first interior element.
    pub offset: i64,
    /// Strides.
    pub view: View,
}

/// Where everything lies.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// Nodes in the order of execution.
    pub order: Vec<NodeId>,
    /// Place of every value.
    pub places: HashMap<ValueId, Place>,
    /// Buffers.
    pub buffers: Vec<Buffer>,
    /// Nodes that need no step: their results are views.
    pub elided: HashSet<NodeId>,
    /// Outputs that must be copied at the end: graph input, constant or another output under a second name.
    pub copies: Vec<(ValueId, usize)>,
}

/// A value has no known size.
#[derive(Debug, thiserror::Error)]
#[error("the size of {value} ('{name}': {ty}) is not known; bind its symbolic dimensions")]
pub struct UnknownSize {
    /// Value.
    pub value: ValueId,
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: String,
}

/// First channel of a slice along dimension 1 with known, in-range bounds.
pub fn slice_start(graph: &Graph, node: &Node) -> Option<usize> {
    let Op::Slice { starts: Ints::Known(starts), .. } = &node.op else { return None };
    let [Dim::Const(start)] = starts[..] else { return None };
    let channels = graph.ty(node.inputs[0]).shape[1].known()?;
    let start = if start < 0 { start + channels } else { start };
    usize::try_from(start.clamp(0, channels)).ok()
}

/// Decides places for a laid-out graph, in the order of execution that needs the least memory.
pub fn place(graph: &Graph) -> Result<Placement, UnknownSize> {
    let mut best: Option<(usize, Placement)> = None;
    for order in super::order::candidates(graph) {
        let placement = place_in_order(graph, order)?;
        let bound = placement.lower_bound();
        if best.as_ref().is_none_or(|(least, _)| bound < *least) {
            best = Some((bound, placement));
        }
    }
    Ok(best.map(|(_, placement)| placement).unwrap_or_default())
}

impl Placement {
    /// Largest sum of the arena's buffers alive at one step.
    fn lower_bound(&self) -> usize {
        let in_arena = |b: &&Buffer| b.home == Home::Arena && b.live.0 != usize::MAX;
        let spans: Vec<Span> =
            self.buffers.iter().filter(in_arena).map(|b| Span { bytes: b.bytes, live: b.live }).collect();
        lower_bound(&spans)
    }
}

fn place_in_order(graph: &Graph, order: Vec<NodeId>) -> Result<Placement, UnknownSize> {
    let mut placer = Placer {
        graph,
        step: HashMap::new(),
        last_use: HashMap::new(),
        parent: HashMap::new(),
        families: HashMap::new(),
        found: HashMap::new(),
        shared: HashSet::new(),
    };
    placer.measure(&order)?;
    for id in order.iter().rev() {
        placer.concat_into(graph.node(*id));
    }
    for id in &order {
        placer.alias(graph.node(*id));
    }
    let elided = placer.elided(&order);
    placer.found.clear();
    for id in &order {
        placer.overwrite(graph.node(*id), &elided);
    }
    Ok(placer.finish(order, elided))
}

/// A value inside another: byte distance of their first interior elements.
#[derive(Clone, Debug)]
struct Parent {
    of: ValueId,
    offset: i64,
    /// Strides when they are those of the parent rather than dense.
    view: Option<View>,
}

struct Placer<'a> {
    graph: &'a Graph,
    step: HashMap<NodeId, usize>,
    last_use: HashMap<ValueId, usize>,
    parent: HashMap<ValueId, Parent>,
    /// Of roots that others lie in, the last step that uses any of them, and whether one is a graph output.
    families: HashMap<ValueId, (usize, bool)>,
    /// What [`Placer::resolve`] found, while the values that it was asked for cannot move.
    found: HashMap<ValueId, (ValueId, i64, View)>,
    /// Values whose buffer holds more than them.
    shared: HashSet<ValueId>,
}

impl Placer<'_> {
    fn measure(&mut self, order: &[NodeId]) -> Result<(), UnknownSize> {
        for (step, id) in order.iter().enumerate() {
            self.step.insert(*id, step);
            for v in &self.graph.node(*id).inputs {
                self.last_use.insert(*v, step);
            }
        }
        for (_, v) in self.graph.outputs() {
            self.last_use.insert(*v, order.len());
        }
        for (id, value) in self.graph.values() {
            if value.ty.stored_bytes().is_none() {
                return Err(UnknownSize { value: id, name: value.name.clone(), ty: value.ty.to_string() });
            }
        }
        Ok(())
    }

    fn dense(&self, value: ValueId) -> (View, i64) {
        let ty = self.graph.ty(value);
        View::dense(&ty.dims().unwrap_or_default(), ty.layout, ty.dtype.bytes())
    }

    /// The root of a value's family, the offset of its first interior element from the root's, and its view.
    fn resolve(&mut self, value: ValueId) -> (ValueId, i64, View) {
        // Upwards to what is known, and down again without recursion: a line may be as long as the graph.
        let mut line = Vec::new();
        let mut at = value;
        let (root, mut offset, mut view) = loop {
            if let Some(known) = self.found.get(&at) {
                break known.clone();
            }
            match self.parent.get(&at) {
                Some(parent) => {
                    line.push(at);
                    at = parent.of;
                }
                None => break (at, 0, self.dense(at).0),
            }
        };
        for child in line.into_iter().rev() {
            let Some(parent) = self.parent.get(&child) else { continue };
            offset += parent.offset;
            view = match &parent.view {
                None => self.dense(child).0,
                Some(part) => restride(part, &view),
            };
            self.found.insert(child, (root, offset, view.clone()));
        }
        (root, offset, view)
    }

    /// The value whose buffer a value is in.
    fn root(&self, value: ValueId) -> ValueId {
        let mut root = value;
        loop {
            match (self.found.get(&root), self.parent.get(&root)) {
                (Some((root, _, _)), _) => return *root,
                (None, Some(parent)) => root = parent.of,
                (None, None) => return root,
            }
        }
    }

    /// The last step that uses a value of the family of a root, and whether one of them is a graph output.
    fn family(&self, root: ValueId) -> (usize, bool) {
        let own = || (self.last_use.get(&root).copied().unwrap_or(0), self.graph.is_output(root));
        self.families.get(&root).copied().unwrap_or_else(own)
    }

    fn is_computed(&self, value: ValueId) -> bool {
        matches!(self.graph.value(value).origin, Origin::Node(..))
    }

    fn adopt(&mut self, child: ValueId, of: ValueId, offset: i64, view: Option<View>) {
        let root = self.root(of);
        let (own, all) = (self.family(child), self.family(root));
        self.families.insert(root, (own.0.max(all.0), own.1 || all.1));
        self.parent.insert(child, Parent { of, offset, view });
        self.shared.insert(root);
        self.shared.insert(child);
    }

    /// Puts the operands of a concatenation where their part of the result is. Last concatenation first, so that a chain of
    /// growing concatenations ends up in one buffer.
    fn concat_into(&mut self, node: &Node) {
        let Op::Concat { axis } = node.op else { return };
        let result = node.outputs[0];
        let (view, _) = self.dense(result);
        let dims = self.graph.ty(result).dims().unwrap_or_default();
        let leading: usize = dims[..axis].iter().product();
        let stride = match &view {
            View::Blocked { strides, lanes, .. } if axis == 1 => strides[1] / *lanes as i64,
            View::Plain { strides, .. } if leading == 1 => strides[axis],
            _ => return,
        };
        let mut start = 0i64;
        let legal: Vec<bool> = node.inputs.iter().map(|input| self.may_join(node, *input)).collect();
        let step = self.step.get(&node.id).copied().unwrap_or(0);
        for (input, legal_here) in node.inputs.iter().copied().zip(&legal) {
            let own = self.graph.ty(input).dims().unwrap_or_default();
            // A concatenation that still has something to copy writes all of its result, so that nothing may be read later
            // through an operand that lies in it.
            let ends = self.last_use.get(&input).is_none_or(|last| *last <= step);
            if *legal_here && (ends || legal.iter().all(|l| *l)) {
                let part = match &view {
                    View::Blocked { lanes, strides, halo, .. } => {
                        let dims = [own[0], own[1], own[2], own[3]];
                        Some(View::Blocked { dims, lanes: *lanes, strides: *strides, halo: *halo })
                    }
                    View::Plain { .. } => None,
                };
                self.adopt(input, result, start * stride, part);
            }
            start += own[axis] as i64;
        }
    }

    /// Whether an operand may be made in its place in a concatenation.
    fn may_join(&self, node: &Node, input: ValueId) -> bool {
        self.is_computed(input)
            && !self.parent.contains_key(&input)
            && !self.graph.is_output(input)
            && node.outputs.iter().all(|result| self.graph.ty(input).layout == self.graph.ty(*result).layout)
            && node.inputs.iter().filter(|v| **v == input).count() == 1
            && !self.will_be_view(input)
    }

    /// Whether a value's producer makes a view of its operand.
    fn will_be_view(&self, value: ValueId) -> bool {
        self.graph.producer(value).is_some_and(|n| {
            matches!(n.op, Op::Reshape { .. })
                || self.moves_nothing(n)
                || matches!(n.op, Op::Slice { .. } if self.slice_offset(n).is_some())
        })
    }

    /// A reorder whose result has the bytes of its operand: one pixel, whole blocks, no halo.
    fn moves_nothing(&self, node: &Node) -> bool {
        let Op::Reorder { .. } = node.op else { return false };
        let ([x], [y]) = (&node.inputs[..], &node.outputs[..]) else { return false };
        let (a, b) = (self.graph.ty(*x), self.graph.ty(*y));
        if a == b {
            return true;
        }
        let Some(dims) = a.dims() else { return false };
        let compact = |layout| match layout {
            Layout::Plain => true,
            Layout::Blocked { lanes, halo } => {
                halo == Default::default()
                    && (lanes == 1 || dims[2..] == [1, 1] && dims[1].is_multiple_of(lanes as usize))
            }
        };
        dims.len() == 4 && compact(a.layout) && compact(b.layout)
    }

    /// Byte offset of a slice that is a view of its operand: whole channel blocks, or rows of the outermost real dimension.
    fn slice_offset(&self, node: &Node) -> Option<i64> {
        let Op::Slice { axes, starts: Ints::Known(starts), steps, .. } = &node.op else { return None };
        let ([axis], [1], [Dim::Const(start)]) = (&axes[..], &steps[..], &starts[..]) else { return None };
        let dims = self.graph.ty(node.inputs[0]).dims()?;
        let extent = dims[*axis] as i64;
        let start = (if *start < 0 { start + extent } else { *start }).clamp(0, extent);
        let (view, _) = self.dense(node.inputs[0]);
        match view {
            View::Blocked { lanes, strides, .. } if *axis == 1 && (start as usize).is_multiple_of(lanes) => {
                Some(start / lanes as i64 * strides[1])
            }
            View::Plain { strides, .. } if dims[..*axis].iter().product::<usize>() == 1 => Some(start * strides[*axis]),
            _ => None,
        }
    }

    /// Makes views of reshapes, empty reorders and slices.
    fn alias(&mut self, node: &Node) {
        let [result] = node.outputs[..] else { return };
        if self.parent.contains_key(&result) {
            return;
        }
        let Some(x) = node.inputs.first().copied() else { return };
        let source_view = self.resolve(x).2;
        let width = self.graph.ty(x).dtype.bytes();
        match &node.op {
            Op::Reshape { .. } if source_view.is_dense_plain(width) => self.adopt(result, x, 0, None),
            Op::Reorder { .. } if self.moves_nothing(node) && source_view == self.dense(x).0 => {
                self.adopt(result, x, 0, None)
            }
            Op::Slice { .. } if self.slice_offset(node).is_some() => {
                let offset = self.slice_offset(node).unwrap_or(0);
                let layouts = (self.graph.ty(x).layout, self.graph.ty(result).layout);
                match (self.dense(x).0, self.dense(result).0) {
                    (View::Blocked { lanes, strides, halo, .. }, View::Blocked { dims, .. })
                        if layouts.0 == layouts.1 =>
                    {
                        self.adopt(result, x, offset, Some(View::Blocked { dims, lanes, strides, halo }));
                    }
                    (View::Plain { .. }, View::Plain { .. }) if source_view.is_dense_plain(width) => {
                        self.adopt(result, x, offset, None);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn elided(&self, order: &[NodeId]) -> HashSet<NodeId> {
        let view_of = |child: ValueId, parent: ValueId| self.parent.get(&child).is_some_and(|p| p.of == parent);
        order
            .iter()
            .filter(|id| {
                let node = self.graph.node(**id);
                match (&node.op, &node.outputs[..]) {
                    (Op::Concat { .. }, [result]) => node.inputs.iter().all(|v| view_of(*v, *result)),
                    (Op::Reshape { .. } | Op::Reorder { .. } | Op::Slice { .. }, [result]) => {
                        view_of(*result, node.inputs[0])
                    }
                    _ => false,
                }
            })
            .copied()
            .collect()
    }

    /// Lets a result take the place of an operand of the same type that ends here.
    fn overwrite(&mut self, node: &Node, elided: &HashSet<NodeId>) {
        let [result] = node.outputs[..] else { return };
        if elided.contains(&node.id) || self.parent.contains_key(&result) || self.shared.contains(&result) {
            return;
        }
        // What the library computes reads and writes apart; f32 is what kernels do.
        if self.graph.ty(result).dtype != DType::F32 {
            return;
        }
        let first = match node.op {
            Op::Binary(BinaryOp::Mod | BinaryOp::Fmod) => return,
            Op::Unary(_) | Op::Binary(_) | Op::Elementwise(_) => 0,
            Op::Conv { .. } | Op::ConvTranspose { .. } | Op::MatMul { .. } => 2,
            _ => return,
        };
        let step = self.step[&node.id];
        if self.graph.is_output(result) {
            return;
        }
        for v in node.inputs.iter().skip(first).copied() {
            let root = self.root(v);
            let (last, is_output) = self.family(root);
            // Nothing of the family is used after this step.
            let ends = last <= step && !is_output;
            let fits = self.graph.ty(v) == self.graph.ty(result)
                && self.is_computed(root)
                && ends
                && node.inputs.iter().filter(|w| self.root(**w) == root).count() == 1
                && self.resolve(v).2 == self.dense(result).0;
            if fits {
                return self.adopt(result, v, 0, None);
            }
        }
    }

    fn finish(mut self, order: Vec<NodeId>, elided: HashSet<NodeId>) -> Placement {
        let mut out = Placement { order, elided, ..Placement::default() };
        let mut buffers: HashMap<ValueId, usize> = HashMap::new();
        for (value, _) in self.graph.values() {
            let (root, offset, view) = self.resolve(value);
            let buffer = *buffers.entry(root).or_insert_with(|| {
                let home = match &self.graph.value(root).origin {
                    Origin::Input => Home::Input(self.graph.inputs().iter().position(|v| *v == root).unwrap_or(0)),
                    Origin::Weight(_) => Home::Weight(root),
                    Origin::Node(..) => Home::Arena,
                };
                let bytes = self.graph.ty(root).stored_bytes().unwrap_or(0);
                out.buffers.push(Buffer { home, bytes, live: (usize::MAX, 0) });
                out.buffers.len() - 1
            });
            let offset = self.dense(root).1 + offset;
            out.places.insert(value, Place { buffer, offset, view });
            let made = match self.graph.value(value).origin {
                Origin::Node(node, _) => self.step[&node],
                _ => 0,
            };
            let live = &mut out.buffers[buffer].live;
            live.0 = live.0.min(made);
            live.1 = live.1.max(made).max(self.last_use.get(&value).copied().unwrap_or(made));
        }
        self.assign_outputs(&mut out);
        out
    }

    /// The buffers of outputs are the caller's memory; what cannot be is copied there at the end.
    fn assign_outputs(&self, out: &mut Placement) {
        for (position, (_, value)) in self.graph.outputs().iter().enumerate() {
            let place = &out.places[value];
            let (whole, first) = self.dense(*value);
            let buffer = &mut out.buffers[place.buffer];
            let fits = buffer.home == Home::Arena
                && place.offset == first
                && place.view == whole
                && buffer.bytes == self.graph.ty(*value).stored_bytes().unwrap_or(0);
            if fits {
                buffer.home = Home::Output(position);
            } else {
                out.copies.push((*value, position));
            }
        }
    }
}

/// A view of fewer channels with the strides of the view that it lies in.
fn restride(part: &View, whole: &View) -> View {
    match (part, whole) {
        (View::Blocked { dims, lanes, .. }, View::Blocked { strides, halo, .. }) => {
            View::Blocked { dims: *dims, lanes: *lanes, strides: *strides, halo: *halo }
        }
        _ => part.clone(),
    }
}
