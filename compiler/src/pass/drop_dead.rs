//! drop-dead: remove nodes whose results nobody reads, and indices that a max pooling makes for nobody.

use super::{Pass, PassContext, PassError};
use crate::ir::{Graph, Op, Patch};

/// The pass.
pub struct DropDead;

impl Pass for DropDead {
    fn name(&self) -> &'static str {
        "drop-dead"
    }
    fn run(&self, graph: &mut Graph, cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let before = graph.len();
        let mut order = graph.topological();
        order.reverse();
        order.iter().for_each(|id| graph.sweep(*id));
        if graph.len() != before {
            cx.note_change();
        }
        for id in order {
            let Some(patch) = without_indices(graph, id) else { continue };
            if !cx.apply(graph, patch)? {
                break;
            }
        }
        Ok(())
    }
}

/// A max pooling with indices that nobody reads, without them.
fn without_indices(graph: &Graph, id: crate::ir::NodeId) -> Option<Patch> {
    let node = graph.try_node(id)?;
    let [values, indices] = node.outputs[..] else { return None };
    let unread = !graph.is_used(indices);
    if !matches!(node.op, Op::Pool { .. }) || !unread {
        return None;
    }
    let mut patch = Patch::new(graph, "pooling without indices");
    let new = patch.node(node.op.clone(), &node.inputs, node.name.clone());
    patch.replace(values, new);
    Some(patch)
}
