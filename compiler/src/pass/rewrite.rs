//! Local rules: a rule looks at one node and returns a patch, or why it has none.

use super::{Pass, PassContext, PassError};
use crate::ir::{Graph, Node, NodeId, Patch};
use std::collections::VecDeque;

/// Why a rule does nothing at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The node is of no interest to the rule.
    Elsewhere,
    /// The pattern is there, but the rewrite would gain nothing.
    Pointless,
    /// The pattern is there and something forbids it; kept as a remark.
    Blocked(String),
}

impl Miss {
    /// Blocked, with the reason.
    pub fn blocked(why: impl Into<String>) -> Miss {
        Miss::Blocked(why.into())
    }
}

/// `Ok` when `condition` holds, else [`Miss::Elsewhere`].
pub(crate) fn require(condition: bool) -> Result<(), Miss> {
    if condition { Ok(()) } else { Err(Miss::Elsewhere) }
}

/// A local rewrite. Every rule is a [`Pass`] that tries it at each node in topological order, new nodes included.
pub trait Rule: Sync {
    /// As [`Pass::name`].
    fn name(&self) -> &'static str;
    /// The patch for this node.
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss>;
}

impl<R: Rule> Pass for R {
    fn name(&self) -> &'static str {
        Rule::name(self)
    }
    fn run(&self, graph: &mut Graph, cx: &mut PassContext<'_>) -> Result<(), PassError> {
        let mut work: VecDeque<NodeId> = graph.topological().into();
        // A rule that keeps rewriting its own results would never end.
        let mut left = work.len().saturating_mul(16).saturating_add(1024);
        while let Some(id) = work.pop_front() {
            let Some(node) = graph.try_node(id) else { continue };
            let patch = match self.at(graph, node) {
                Ok(patch) => patch,
                Err(Miss::Blocked(why)) => {
                    cx.remark(node, why);
                    continue;
                }
                Err(_) => continue,
            };
            let first_new = graph.next_node();
            if !cx.apply(graph, patch)? {
                return Ok(());
            }
            (first_new..graph.next_node()).rev().for_each(|n| work.push_front(NodeId(n)));
            left = left.saturating_sub(1);
            if left == 0 {
                let (pass, patch) = (Rule::name(self), cx.next_patch - 1);
                return Err(PassError::Unsettled { stage: pass.to_owned(), rounds: 1, pass, patch });
            }
        }
        Ok(())
    }
}
