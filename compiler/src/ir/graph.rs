//! The graph: nodes with ordered inputs over typed values. The only file that knows petgraph.
//!
//! Values and nodes are numbered by us and never renumbered or reused, so that two dumps of one graph can be compared line by
//! line. A value comes from a graph input, a weight or a node. After import, every change goes through a [`super::Patch`].

use super::{Dim, Op, Type, Weight};
use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::NodeIndexable;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

/// A value of one graph; prints as `%7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);
/// A node of one graph; prints as `n7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl fmt::Display for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A graph input.
    Input,
    /// A constant.
    Weight(Arc<Weight>),
    /// Output `.1` of a node.
    Node(NodeId, usize),
}

/// A value.
#[derive(Clone, Debug)]
pub struct Value {
    /// Type.
    pub ty: Type,
    /// Name in the model, for messages and for the ports of the graph.
    pub name: String,
    /// Producer.
    pub origin: Origin,
    /// For small integer tensors of rank 0 or 1 (shape arithmetic): the elements, as far as types tell them.
    pub content: Option<Vec<Dim>>,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Number.
    pub id: NodeId,
    /// Operation.
    pub op: Op,
    /// Operands in order.
    pub inputs: Vec<ValueId>,
    /// Results in order.
    pub outputs: Vec<ValueId>,
    /// Names of the model's nodes that this one computes, for messages.
    pub name: String,
}

/// How far a graph has come; it only moves forward, and the verifier's rules depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Phase {
    Imported,
    Optimized,
    LaidOut,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Imported => "imported",
            Phase::Optimized => "optimized",
            Phase::LaidOut => "laid-out",
        })
    }
}

/// A model as a graph.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Name of the model's graph.
    pub name: String,
    /// How far it has come.
    pub phase: Phase,
    dag: StableDiGraph<NodeId, ValueId>,
    places: FxHashMap<NodeId, NodeIndex>,
    nodes: BTreeMap<NodeId, Node>,
    values: BTreeMap<ValueId, Value>,
    inputs: Vec<ValueId>,
    outputs: Vec<(String, ValueId)>,
    /// How many outputs a value is, where it is any.
    exits: FxHashMap<ValueId, usize>,
    /// Readers of values that no node makes, for which the graph has no edges.
    outside: FxHashMap<ValueId, BTreeSet<NodeId>>,
    next_value: u32,
    next_node: u32,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Graph {
        Graph {
            name: name.into(),
            phase: Phase::Imported,
            dag: StableDiGraph::new(),
            places: FxHashMap::default(),
            nodes: BTreeMap::new(),
            values: BTreeMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            exits: FxHashMap::default(),
            outside: FxHashMap::default(),
            next_value: 0,
            next_node: 0,
        }
    }

    // Reading.

    /// Graph inputs in order.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }
    /// Graph outputs in order, with their names. A value may be several outputs.
    pub fn outputs(&self) -> &[(String, ValueId)] {
        &self.outputs
    }
    /// A value.
    ///
    /// # Panics
    /// When the id is not of this graph, which is a bug of the caller.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[&id]
    }
    /// A value, if it is there.
    pub fn try_value(&self, id: ValueId) -> Option<&Value> {
        self.values.get(&id)
    }
    /// Type of a value; panics as [`Graph::value`].
    pub fn ty(&self, id: ValueId) -> &Type {
        &self.value(id).ty
    }
    /// The constant a value is, if it is one.
    pub fn weight(&self, id: ValueId) -> Option<&Arc<Weight>> {
        match &self.value(id).origin {
            Origin::Weight(weight) => Some(weight),
            _ => None,
        }
    }
    /// The node that makes a value, if one does.
    pub fn producer(&self, id: ValueId) -> Option<&Node> {
        match self.value(id).origin {
            Origin::Node(node, _) => Some(self.node(node)),
            _ => None,
        }
    }
    /// A node.
    ///
    /// # Panics
    /// When the id is not of this graph, which is a bug of the caller.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[&id]
    }
    /// A node, if it is (still) there.
    pub fn try_node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }
    /// All nodes by number.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }
    /// All values by number.
    pub fn values(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values.iter().map(|(id, v)| (*id, v))
    }
    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }
    /// Whether it has no node.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
    /// Nodes that read a value, by number; a node that reads it twice is listed once.
    pub fn readers(&self, id: ValueId) -> Vec<NodeId> {
        match self.value(id).origin {
            Origin::Node(node, _) => {
                let edges = self.dag.edges_directed(self.places[&node], Direction::Outgoing);
                let set: BTreeSet<NodeId> = edges
                    .filter(|e| *e.weight() == id)
                    .map(|e| self.dag[petgraph::visit::EdgeRef::target(&e)])
                    .collect();
                set.into_iter().collect()
            }
            _ => self.outside.get(&id).into_iter().flatten().copied().collect(),
        }
    }
    /// A node other than `except` that reads a value, if there is one. Of a value with many readers not all are looked at.
    pub fn other_reader(&self, id: ValueId, except: NodeId) -> Option<NodeId> {
        const LOOKED_AT: usize = 64;
        match self.value(id).origin {
            Origin::Node(node, _) => {
                let edges = self.dag.edges_directed(self.places[&node], Direction::Outgoing);
                let readers =
                    edges.filter(|e| *e.weight() == id).map(|e| self.dag[petgraph::visit::EdgeRef::target(&e)]);
                readers.filter(|reader| *reader != except).take(LOOKED_AT).min()
            }
            _ => self.outside.get(&id).into_iter().flatten().find(|reader| **reader != except).copied(),
        }
    }
    /// Whether a node reads a value.
    fn is_read(&self, id: ValueId) -> bool {
        match self.value(id).origin {
            Origin::Node(node, _) => {
                self.dag.edges_directed(self.places[&node], Direction::Outgoing).any(|e| *e.weight() == id)
            }
            _ => self.outside.contains_key(&id),
        }
    }
    /// Whether a value is a graph output or read by a node.
    pub fn is_used(&self, id: ValueId) -> bool {
        self.is_output(id) || self.is_read(id)
    }
    /// Whether a value is a graph output.
    pub fn is_output(&self, id: ValueId) -> bool {
        self.exits.contains_key(&id)
    }
    /// The single node that reads a value, if there is exactly one (reading it once) and the value is no graph output.
    pub fn only_reader(&self, id: ValueId) -> Option<&Node> {
        if self.is_output(id) {
            return None;
        }
        let one = self.first_reader(id)?;
        let node = self.node(one);
        (self.other_reader(id, one).is_none() && node.inputs.iter().filter(|v| **v == id).count() == 1).then_some(node)
    }
    fn first_reader(&self, id: ValueId) -> Option<NodeId> {
        match self.value(id).origin {
            Origin::Node(node, _) => {
                let mut edges = self.dag.edges_directed(self.places[&node], Direction::Outgoing);
                edges.find(|e| *e.weight() == id).map(|e| self.dag[petgraph::visit::EdgeRef::target(&e)])
            }
            _ => self.outside.get(&id)?.first().copied(),
        }
    }
    /// Nodes in an order in which every operand comes first; ties by number, so the order is stable.
    /// Nodes on a cycle (which the verifier refuses) are left out.
    pub fn topological(&self) -> Vec<NodeId> {
        let mut waiting = vec![0; self.dag.node_bound()];
        let mut ready = BTreeSet::new();
        for at in self.dag.node_indices() {
            waiting[at.index()] = self.dag.edges_directed(at, Direction::Incoming).count();
            if waiting[at.index()] == 0 {
                ready.insert(self.dag[at]);
            }
        }
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(id) = ready.pop_first() {
            order.push(id);
            for next in self.dag.neighbors_directed(self.places[&id], Direction::Outgoing) {
                waiting[next.index()] -= 1;
                if waiting[next.index()] == 0 {
                    ready.insert(self.dag[next]);
                }
            }
        }
        order
    }
    /// Symbols that the types of the graph inputs mention.
    pub fn symbols(&self) -> Vec<String> {
        let mut names = Vec::new();
        for id in &self.inputs {
            self.ty(*id).shape.iter().for_each(|d| d.symbols(&mut names));
        }
        names
    }
    /// The number that the next new value will get.
    pub fn next_value(&self) -> u32 {
        self.next_value
    }
    /// The number that the next new node will get.
    pub fn next_node(&self) -> u32 {
        self.next_node
    }

    // Building (import, the text parser and patches only).

    fn fresh_value(&mut self, value: Value) -> ValueId {
        let id = ValueId(self.next_value);
        self.next_value += 1;
        self.values.insert(id, value);
        id
    }
    /// Adds a graph input.
    pub fn add_input(&mut self, name: impl Into<String>, ty: Type) -> ValueId {
        let id = self.fresh_value(Value { ty, name: name.into(), origin: Origin::Input, content: None });
        self.inputs.push(id);
        id
    }
    /// Adds a constant.
    pub fn add_weight(&mut self, name: impl Into<String>, weight: Weight) -> ValueId {
        let ty = Type::known(weight.dtype, &weight.shape());
        let content = super::infer::weight_content(&weight);
        self.fresh_value(Value { ty, name: name.into(), origin: Origin::Weight(Arc::new(weight)), content })
    }
    /// Adds a node whose result types are known.
    pub fn add_typed_node(
        &mut self,
        op: Op,
        inputs: &[ValueId],
        results: Vec<(Type, Option<Vec<Dim>>)>,
        name: impl Into<String>,
    ) -> Vec<ValueId> {
        let id = NodeId(self.next_node);
        self.next_node += 1;
        let name = name.into();
        let place = self.dag.add_node(id);
        self.places.insert(id, place);
        let mut outputs = Vec::new();
        for (position, (ty, content)) in results.into_iter().enumerate() {
            let origin = Origin::Node(id, position);
            outputs.push(self.fresh_value(Value { ty, name: String::new(), origin, content }));
        }
        self.nodes.insert(id, Node { id, op, inputs: inputs.to_vec(), outputs: outputs.clone(), name });
        for input in inputs {
            self.connect(*input, place);
        }
        outputs
    }
    fn connect(&mut self, value: ValueId, reader: NodeIndex) {
        match self.values.get(&value) {
            Some(Value { origin: Origin::Node(from, _), .. }) => {
                self.dag.add_edge(self.places[from], reader, value);
            }
            Some(_) => {
                self.outside.entry(value).or_default().insert(self.dag[reader]);
            }
            None => {}
        }
    }
    /// Forgets that a node reads a value that no node makes.
    fn disconnect(&mut self, value: ValueId, reader: NodeId) {
        if let Some(readers) = self.outside.get_mut(&value) {
            readers.remove(&reader);
            if readers.is_empty() {
                self.outside.remove(&value);
            }
        }
    }
    /// Names a value (the model's name for it).
    pub fn set_name(&mut self, id: ValueId, name: impl Into<String>) {
        if let Some(value) = self.values.get_mut(&id) {
            value.name = name.into();
        }
    }
    /// Replaces a value's type; the caller re-infers what depends on it.
    pub fn set_type(&mut self, id: ValueId, ty: Type) {
        if let Some(value) = self.values.get_mut(&id) {
            value.ty = ty;
        }
    }
    /// Replaces what is known of a value's elements.
    pub fn set_content(&mut self, id: ValueId, content: Option<Vec<Dim>>) {
        if let Some(value) = self.values.get_mut(&id) {
            value.content = content;
        }
    }
    /// Adds a graph output.
    pub fn add_output(&mut self, name: impl Into<String>, id: ValueId) {
        self.outputs.push((name.into(), id));
        *self.exits.entry(id).or_default() += 1;
    }
    /// Removes the output at `position`; its name.
    pub(crate) fn remove_output(&mut self, position: usize) -> Option<String> {
        (position < self.outputs.len()).then(|| {
            let (name, value) = self.outputs.remove(position);
            self.forget_output(value);
            name
        })
    }
    /// Removes the input at `position`, which nothing reads.
    pub(crate) fn remove_input(&mut self, position: usize) {
        if self.inputs.get(position).is_some_and(|value| !self.is_used(*value)) {
            let value = self.inputs.remove(position);
            self.values.remove(&value);
        }
    }
    fn forget_output(&mut self, value: ValueId) {
        if let Some(count) = self.exits.get_mut(&value) {
            *count -= 1;
            if *count == 0 {
                self.exits.remove(&value);
            }
        }
    }
    /// Makes the output at `position` another value.
    pub(super) fn set_output(&mut self, position: usize, id: ValueId) {
        let Some((_, value)) = self.outputs.get_mut(position) else { return };
        let old = std::mem::replace(value, id);
        *self.exits.entry(id).or_default() += 1;
        self.forget_output(old);
    }
    /// Replaces a node's operation and operands.
    pub(super) fn set_node(&mut self, id: NodeId, op: Op, inputs: Vec<ValueId>) {
        let place = self.places[&id];
        let edges: Vec<_> =
            self.dag.edges_directed(place, Direction::Incoming).map(|e| petgraph::visit::EdgeRef::id(&e)).collect();
        for edge in edges {
            self.dag.remove_edge(edge);
        }
        for input in self.nodes.get(&id).map(|node| node.inputs.clone()).unwrap_or_default() {
            self.disconnect(input, id);
        }
        for input in &inputs {
            self.connect(*input, place);
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.op = op;
            node.inputs = inputs;
        }
    }
    /// Makes every reader of `old` (and every graph output that is `old`) read `new`.
    pub(super) fn redirect(&mut self, old: ValueId, new: ValueId) {
        let readers = self.readers(old);
        if let Origin::Node(maker, _) = self.value(old).origin {
            let edges = self.dag.edges_directed(self.places[&maker], Direction::Outgoing);
            let edges: Vec<_> =
                edges.filter(|e| *e.weight() == old).map(|e| petgraph::visit::EdgeRef::id(&e)).collect();
            for edge in edges {
                self.dag.remove_edge(edge);
            }
        }
        for reader in readers {
            self.disconnect(old, reader);
            let Some(node) = self.nodes.get_mut(&reader) else { continue };
            let mut times = 0;
            for input in node.inputs.iter_mut().filter(|v| **v == old) {
                *input = new;
                times += 1;
            }
            let place = self.places[&reader];
            (0..times).for_each(|_| self.connect(new, place));
        }
        let Some(times) = self.exits.remove(&old) else { return };
        *self.exits.entry(new).or_default() += times;
        for (_, output) in &mut self.outputs {
            if *output == old {
                *output = new;
            }
        }
    }
    /// Removes a node and its results; nothing may read them.
    pub(super) fn remove_node(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.remove(&id) {
            for output in node.outputs {
                self.values.remove(&output);
            }
            for input in node.inputs {
                self.disconnect(input, id);
            }
        }
        if let Some(place) = self.places.remove(&id) {
            self.dag.remove_node(place);
        }
    }
    /// Adds the nodes and constants of another graph, which reads `inputs` as its inputs, and gives its outputs.
    pub fn splice(&mut self, other: &Graph, inputs: &[ValueId]) -> Vec<ValueId> {
        let mut here: HashMap<ValueId, ValueId> = other.inputs.iter().copied().zip(inputs.iter().copied()).collect();
        for (id, value) in &other.values {
            if let Origin::Weight(weight) = &value.origin {
                here.insert(*id, self.add_weight(value.name.as_str(), (**weight).clone()));
            }
        }
        for id in other.topological() {
            let node = other.node(id);
            let operands: Vec<ValueId> = node.inputs.iter().map(|v| here[v]).collect();
            let typed = node.outputs.iter().map(|v| (other.ty(*v).clone(), other.value(*v).content.clone())).collect();
            let made = self.add_typed_node(node.op.clone(), &operands, typed, node.name.as_str());
            here.extend(node.outputs.iter().copied().zip(made));
        }
        other.outputs.iter().map(|(_, id)| here[id]).collect()
    }
    /// Removes weights that nothing reads.
    pub fn drop_unread_weights(&mut self) {
        let mut used: BTreeSet<ValueId> = self.nodes.values().flat_map(|n| n.inputs.iter().copied()).collect();
        used.extend(self.outputs.iter().map(|(_, v)| *v));
        self.values.retain(|id, v| !matches!(v.origin, Origin::Weight(_)) || used.contains(id));
    }
    /// Gives every value another number (the text parser keeps the numbers of the text). The numbers differ from each other.
    pub(super) fn renumber(&mut self, names: &HashMap<ValueId, ValueId>) {
        let new = |id: ValueId| names.get(&id).copied().unwrap_or(id);
        self.values = std::mem::take(&mut self.values).into_iter().map(|(id, v)| (new(id), v)).collect();
        for node in self.nodes.values_mut() {
            node.inputs.iter_mut().chain(&mut node.outputs).for_each(|id| *id = new(*id));
        }
        self.inputs.iter_mut().for_each(|id| *id = new(*id));
        self.outputs.iter_mut().for_each(|(_, id)| *id = new(*id));
        self.exits = std::mem::take(&mut self.exits).into_iter().map(|(id, count)| (new(id), count)).collect();
        self.outside = std::mem::take(&mut self.outside).into_iter().map(|(id, readers)| (new(id), readers)).collect();
        self.dag.edge_weights_mut().for_each(|id| *id = new(*id));
        let next = self.values.last_key_value().map_or(0, |(id, _)| id.0.saturating_add(1));
        self.next_value = self.next_value.max(next);
    }
    /// Starts numbering at least here (the text parser keeps the numbers of the text).
    pub fn reserve_ids(&mut self, values: u32, nodes: u32) {
        self.next_value = self.next_value.max(values);
        self.next_node = self.next_node.max(nodes);
    }
}
