//! From graph to text.

use super::op::describe;
use super::weight::{Element, INLINE, scale_hash, source_hash};
use crate::ir::{Graph, Node, Op, Origin, Source, ValueId, Weight};
use std::collections::BTreeSet;
use std::fmt::{self, Write};

impl Graph {
    /// The text form: the same graph gives the same text, byte for byte.
    pub fn to_text(&self) -> String {
        self.to_string()
    }

    /// The text form with a complaint under the lines of guilty values.
    pub(in crate::ir) fn annotated(&self, complaint: &dyn Fn(ValueId) -> Vec<String>) -> Result<String, fmt::Error> {
        let mut out = String::new();
        write(self, &mut out, complaint)?;
        Ok(out)
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self, f, &|_| vec![])
    }
}

fn write(graph: &Graph, f: &mut dyn Write, complaint: &dyn Fn(ValueId) -> Vec<String>) -> fmt::Result {
    let comma = |i: usize| if i > 0 { ", " } else { "" };
    write!(f, "graph {:?} (", graph.name)?;
    for (i, id) in graph.inputs().iter().enumerate() {
        match graph.try_value(*id) {
            Some(value) => write!(f, "{}{id} {:?}: {}", comma(i), value.name, value.ty)?,
            None => write!(f, "{}{id}", comma(i))?,
        }
    }
    f.write_str(") -> (")?;
    for (i, (name, id)) in graph.outputs().iter().enumerate() {
        write!(f, "{}{id} {name:?}", comma(i))?;
    }
    writeln!(f, ") phase {} {{", graph.phase)?;
    let complain =
        |f: &mut dyn Write, id: ValueId| complaint(id).iter().try_for_each(|text| writeln!(f, "  ; ^ {text}"));
    for id in graph.inputs() {
        complain(f, *id)?;
    }
    let mut written = BTreeSet::new();
    let weight = |f: &mut dyn Write, id: ValueId, written: &mut BTreeSet<ValueId>| {
        let Some(value) = graph.try_value(id) else { return Ok(()) };
        let Origin::Weight(weight) = &value.origin else { return Ok(()) };
        if !written.insert(id) {
            return Ok(());
        }
        write!(f, "  {id} = weight {:?}: {} = ", value.name, value.ty)?;
        write_weight(f, weight)?;
        complain(f, id)
    };
    let order = graph.topological();
    let cyclic: Vec<_> = graph.nodes().map(|n| n.id).filter(|id| !order.contains(id)).collect();
    for id in order.into_iter().chain(cyclic) {
        let node = graph.node(id);
        for input in &node.inputs {
            weight(f, *input, &mut written)?;
        }
        write_node(f, graph, node)?;
        for output in &node.outputs {
            complain(f, *output)?;
        }
    }
    let rest: Vec<ValueId> = graph.values().map(|(id, _)| id).collect();
    for id in rest {
        weight(f, id, &mut written)?;
    }
    f.write_str("}\n")
}

fn write_node(f: &mut dyn Write, graph: &Graph, node: &Node) -> fmt::Result {
    let ids = |ids: &[ValueId]| ids.iter().map(ValueId::to_string).collect::<Vec<_>>().join(", ");
    let (name, attrs) = describe(&node.op);
    let deferred = if matches!(node.op, Op::Deferred { .. }) { "deferred " } else { "" };
    write!(f, "  {} = {deferred}{name}", ids(&node.outputs))?;
    if !node.inputs.is_empty() {
        write!(f, " {}", ids(&node.inputs))?;
    }
    if !attrs.is_empty() {
        let attr = |(key, attr): &(std::borrow::Cow<str>, super::attr::Attr)| match attr {
            super::attr::Attr::True => key.to_string(),
            _ => format!("{key} = {attr}"),
        };
        write!(f, " {{{}}}", attrs.iter().map(attr).collect::<Vec<_>>().join(", "))?;
    }
    let types: Vec<String> =
        node.outputs.iter().map(|id| graph.try_value(*id).map_or("?".into(), |v| v.ty.to_string())).collect();
    write!(f, ": {}", types.join(", "))?;
    if node.name.is_empty() { writeln!(f) } else { writeln!(f, " ; {:?}", node.name) }
}

fn write_list(f: &mut dyn Write, list: impl Iterator<Item = String>) -> fmt::Result {
    write!(f, "[{}]", list.collect::<Vec<_>>().join(", "))
}

fn write_weight(f: &mut dyn Write, weight: &Weight) -> fmt::Result {
    let width = weight.dtype.bytes().max(1);
    match &weight.source {
        Source::Splat(element) => write!(f, "splat {}", Element(weight.dtype, &element[..width]))?,
        Source::Bytes(bytes) if bytes.len() / width <= INLINE => {
            write_list(f, bytes.chunks_exact(width).map(|c| Element(weight.dtype, c).to_string()))?;
        }
        Source::Bytes(bytes) => write!(f, "hash {:#018x}", source_hash(bytes))?,
    }
    let shape = |shape: &[usize]| shape.iter().map(usize::to_string).collect::<Vec<_>>().into_iter();
    if weight.shape() != weight.source_shape || !weight.perm.is_empty() || weight.reshape.is_some() {
        f.write_str(" of ")?;
        write_list(f, shape(&weight.source_shape))?;
    }
    if !weight.perm.is_empty() {
        f.write_str(" perm ")?;
        write_list(f, shape(&weight.perm))?;
    }
    if weight.reshape.is_some() {
        f.write_str(" reshape")?;
    }
    for scale in &weight.scales {
        write!(f, " scale {} ", scale.axis)?;
        if scale.scale.len() <= INLINE {
            write_list(f, scale.scale.iter().map(|s| format!("{s:?}")))?;
        } else {
            write!(f, "hash {:#018x}", scale_hash(&scale.scale))?;
        }
    }
    writeln!(f)
}
