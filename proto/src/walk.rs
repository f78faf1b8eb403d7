//! Every tensor of a model: initializers, constants of nodes, and those of bodies and functions.

use crate::error::ProtoError;
use crate::messages::{GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto};

type See<'a> = &'a mut dyn FnMut(&TensorProto) -> Result<(), ProtoError>;

/// Calls `see` with every tensor of the graph and of the functions.
pub(crate) fn each_tensor(model: &ModelProto, see: See<'_>) -> Result<(), ProtoError> {
    model.graph.iter().try_for_each(|graph| of_graph(graph, see))?;
    model.functions.iter().try_for_each(|function| of_nodes(&function.node, see))
}

fn of_graph(graph: &GraphProto, see: See<'_>) -> Result<(), ProtoError> {
    graph.initializer.iter().try_for_each(&mut *see)?;
    graph.sparse_initializer.iter().try_for_each(|sparse| of_sparse(sparse, see))?;
    of_nodes(&graph.node, see)
}

/// As deep as bodies are nested, which the scan of the file has bounded.
fn of_nodes(nodes: &[NodeProto], see: See<'_>) -> Result<(), ProtoError> {
    for attribute in nodes.iter().flat_map(|node| &node.attribute) {
        attribute.t.as_deref().into_iter().chain(&attribute.tensors).try_for_each(&mut *see)?;
        let mut sparse = attribute.sparse_tensor.as_deref().into_iter().chain(&attribute.sparse_tensors);
        sparse.try_for_each(|sparse| of_sparse(sparse, see))?;
        attribute.g.as_deref().into_iter().chain(&attribute.graphs).try_for_each(|graph| of_graph(graph, see))?;
    }
    Ok(())
}

fn of_sparse(sparse: &SparseTensorProto, see: See<'_>) -> Result<(), ProtoError> {
    sparse.values.iter().chain(&sparse.indices).try_for_each(see)
}
