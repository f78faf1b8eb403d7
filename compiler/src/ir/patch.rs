//! The only way to change a graph after import: new nodes and weights, then values replaced by others.
//!
//! A pass writes a [`Patch`] against a graph it can only read; [`Graph::apply`] infers the types of the new nodes, checks that
//! each replacement keeps the type, redirects readers, and removes what nobody reads any more. Patches are numbered by the
//! pass manager; a patch prints as one line.

use super::infer::{InferError, infer};
use super::{Graph, NodeId, Op, Origin, Type, ValueId, Weight};
use std::fmt;

enum Edit {
    Weight { name: String, weight: Weight },
    Node { op: Op, inputs: Vec<ValueId>, results: usize, name: String, types: Option<Vec<Type>> },
}

/// A change of one graph.
pub struct Patch {
    why: String,
    edits: Vec<Edit>,
    replace: Vec<(ValueId, ValueId)>,
    retype: Vec<(ValueId, Type)>,
    rewire: Vec<(NodeId, Vec<ValueId>)>,
    outputs: Vec<(usize, ValueId)>,
    first_value: u32,
    next_value: u32,
}

/// Why a patch could not be applied. All of these are bugs of the pass.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The graph has changed since the patch was begun.
    #[error("the patch was made for another state of the graph")]
    Stale,
    /// A new node has no legal type.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// A replacement has another type.
    #[error("{old}: {old_type} cannot be replaced by {new}: {new_type}")]
    Type {
        /// Value to be replaced.
        old: ValueId,
        /// Its type.
        old_type: Box<Type>,
        /// Replacement.
        new: ValueId,
        /// Its type.
        new_type: Box<Type>,
    },
}

impl Patch {
    /// An empty patch of `graph`; `why` says in a few words what it does.
    pub fn new(graph: &Graph, why: impl Into<String>) -> Patch {
        let first = graph.next_value();
        Patch {
            why: why.into(),
            edits: vec![],
            replace: vec![],
            retype: vec![],
            rewire: vec![],
            outputs: vec![],
            first_value: first,
            next_value: first,
        }
    }
    fn take(&mut self, count: usize) -> Vec<ValueId> {
        let first = self.next_value;
        self.next_value += count as u32;
        (first..self.next_value).map(ValueId).collect()
    }
    /// Adds a constant.
    pub fn weight(&mut self, name: impl Into<String>, weight: Weight) -> ValueId {
        self.edits.push(Edit::Weight { name: name.into(), weight });
        self.take(1)[0]
    }
    /// Adds a node with one result; its type is inferred.
    pub fn node(&mut self, op: Op, inputs: &[ValueId], name: impl Into<String>) -> ValueId {
        self.edits.push(Edit::Node { op, inputs: inputs.to_vec(), results: 1, name: name.into(), types: None });
        self.take(1)[0]
    }
    /// Adds a node with several results; their types are inferred.
    pub fn node_with(&mut self, op: Op, inputs: &[ValueId], results: usize, name: impl Into<String>) -> Vec<ValueId> {
        self.edits.push(Edit::Node { op, inputs: inputs.to_vec(), results, name: name.into(), types: None });
        self.take(results)
    }
    /// Adds a node whose result types are given: the same logical types inference would find, in another layout.
    pub fn typed_node(
        &mut self,
        op: Op,
        inputs: &[ValueId],
        types: Vec<Type>,
        name: impl Into<String>,
    ) -> Vec<ValueId> {
        let results = types.len();
        self.edits.push(Edit::Node { op, inputs: inputs.to_vec(), results, name: name.into(), types: Some(types) });
        self.take(results)
    }
    /// Makes all readers of `old` read `new`.
    pub fn replace(&mut self, old: ValueId, new: ValueId) {
        self.replace.push((old, new));
    }
    /// Gives an existing value another layout.
    pub fn retype(&mut self, value: ValueId, ty: Type) {
        self.retype.push((value, ty));
    }
    /// Gives one node other operands of the same logical types.
    pub fn rewire(&mut self, node: NodeId, inputs: Vec<ValueId>) {
        self.rewire.push((node, inputs));
    }
    /// Makes the graph output at `position` another value.
    pub fn set_output(&mut self, position: usize, value: ValueId) {
        self.outputs.push((position, value));
    }
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
            && self.replace.is_empty()
            && self.retype.is_empty()
            && self.rewire.is_empty()
            && self.outputs.is_empty()
    }
}

impl fmt::Display for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        for (old, new) in &self.replace {
            write!(f, " {old}->{new}")?;
        }
        Ok(())
    }
}

impl Graph {
    /// Applies a patch and removes the nodes that it leaves without readers.
    pub fn apply(&mut self, patch: Patch) -> Result<(), PatchError> {
        if patch.first_value != self.next_value() {
            return Err(PatchError::Stale);
        }
        for edit in patch.edits {
            match edit {
                Edit::Weight { name, weight } => {
                    self.add_weight(name, weight);
                }
                Edit::Node { op, inputs, results, name, types } => {
                    let mut found = infer(self, &op, &inputs, results, &name)?;
                    for (result, ty) in found.iter_mut().zip(types.unwrap_or_default()) {
                        result.0 = ty;
                    }
                    self.add_typed_node(op, &inputs, found, name);
                }
            }
        }
        for (value, ty) in patch.retype {
            self.set_type(value, ty);
        }
        for (node, inputs) in patch.rewire {
            let op = self.node(node).op.clone();
            self.set_node(node, op, inputs);
        }
        for (position, value) in patch.outputs {
            self.set_output(position, value);
        }
        for (old, new) in &patch.replace {
            let (a, b) = (self.ty(*old), self.ty(*new));
            if a.dtype != b.dtype || a.rank() != b.rank() {
                let (old_type, new_type) = (Box::new(a.clone()), Box::new(b.clone()));
                return Err(PatchError::Type { old: *old, old_type, new: *new, new_type });
            }
            if self.value(*new).name.is_empty() {
                let name = self.value(*old).name.clone();
                self.set_name(*new, name);
            }
            self.redirect(*old, *new);
        }
        for (old, _) in &patch.replace {
            if let Some(Origin::Node(node, _)) = self.try_value(*old).map(|v| v.origin.clone()) {
                self.sweep(node);
            }
        }
        Ok(())
    }

    /// Removes a node if nothing reads it, then the producers that only it read.
    pub fn sweep(&mut self, from: NodeId) {
        let mut work = vec![from];
        while let Some(id) = work.pop() {
            let Some(node) = self.try_node(id) else { continue };
            if node.outputs.iter().any(|v| self.is_used(*v)) {
                continue;
            }
            let producers: Vec<NodeId> = node.inputs.iter().filter_map(|v| self.producer(*v).map(|n| n.id)).collect();
            self.remove_node(id);
            work.extend(producers);
        }
    }
}
