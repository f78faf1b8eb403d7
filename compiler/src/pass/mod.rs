//! Graph passes: clean, canonicalise and fuse, then (for a target) lay out.
//!
//! [`pipeline`] is the list, in order. A pass is one file; it either implements [`Rule`] (look at one node, return a patch or
//! the reason why not) or [`Pass`] directly. The [`manager`] numbers patches, times and verifies passes and keeps what each of
//! them did and refused, so that a reader can ask why a node was not fused.

mod contraction;
mod drop_dead;
mod drop_identity;
mod epilogue;
mod expand_batchnorm;
mod facts;
mod fold_batchnorm;
mod fold_constants;
mod fold_pad;
mod fold_scale;
mod fold_shapes;
mod fuse_activation;
mod fuse_bias;
mod fuse_elementwise;
mod fuse_integers;
mod fuse_residual;
mod gather_to_slice;
mod lift_3d;
mod lift_conv1d;
mod lower_quantisation;
pub mod manager;
mod merge_duplicates;
mod pick_layout;
pub mod pipeline;
mod quantisation;
mod recognise_activations;
mod recognise_norms;
pub mod rewrite;
mod shift_signed;
mod simplify_arithmetic;
mod simplify_concat;
mod sink_transposes;
mod split_groups;
mod split_resize;
mod stack_appended;
#[cfg(test)]
mod tests;
mod weights;
mod whole_rows;
mod widen_halves;
mod widen_integers;

pub use manager::{Outcome, PassOptions, PassRecord, PatchRecord, Record, Remark, Stage, once, repeat, run_stages};
pub use pipeline::optimize;
pub use rewrite::{Miss, Rule};

use crate::ir::{Graph, Node, NodeId, Patch, PatchError};

/// A transformation of a graph.
pub trait Pass: Sync {
    /// Name in kebab case, verb and object; also the name of its file and its snapshots.
    fn name(&self) -> &'static str;
    /// Changes the graph, through [`PassContext::apply`] wherever values are replaced.
    fn run(&self, graph: &mut Graph, cx: &mut PassContext<'_>) -> Result<(), PassError>;
}

/// What passes may spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes by which constant folding may make the constants of one graph grow: those of its results, less those of the
    /// operands that nothing else reads.
    pub folded_bytes: usize,
    /// Constant folding may read and write this many times the bytes of the graph's constants, besides `folded_bytes`.
    pub folded_work: usize,
    /// A folded tensor may be at most this many times its operands (and always at least 64 KiB).
    pub folded_growth: usize,
    /// A constant larger than this is refused, even one computed at run time, unless its operands are about as large.
    pub constant_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { folded_bytes: 64 << 20, folded_work: 32, folded_growth: 4, constant_bytes: 1 << 30 }
    }
}

/// Why a pass or the pipeline failed.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// A pass made an illegal patch: a bug of the pass.
    #[error("pass {pass}, patch {number} ({patch}): {source}")]
    Patch {
        /// Pass.
        pass: &'static str,
        /// Number of the patch.
        number: usize,
        /// What it was to do.
        patch: String,
        /// What is wrong with it.
        source: PatchError,
    },
    /// The graph does not verify after a pass: a bug of the pass.
    #[error("the graph is wrong after pass {pass} (last patch {patch}): {what}")]
    Verify {
        /// Pass.
        pass: String,
        /// Number of the last patch.
        patch: usize,
        /// The verifier's complaint.
        what: String,
    },
    /// A stage still changes the graph at its limit: a bug of its passes.
    #[error("stage {stage} still changes the graph after {rounds} rounds; the last change was patch {patch} of {pass}")]
    Unsettled {
        /// Stage or pass.
        stage: String,
        /// Rounds done.
        rounds: usize,
        /// Pass of the last change.
        pass: &'static str,
        /// Number of the last patch.
        patch: usize,
    },
    /// The model's constants grow beyond the limit.
    #[error("node '{node}' ({op}) makes a constant of {bytes} bytes; the limit is {limit}")]
    Budget {
        /// Name of the node.
        node: String,
        /// Operation.
        op: String,
        /// Bytes that it would take, `usize::MAX` when that overflows.
        bytes: usize,
        /// Limit in force.
        limit: usize,
    },
}

impl PassError {
    /// Whether the model asks for more than the limits allow; all else is our bug.
    pub fn is_budget(&self) -> bool {
        matches!(self, PassError::Budget { .. })
    }
}

/// What the manager lends to a running pass.
pub struct PassContext<'a> {
    /// Options of the run.
    pub options: &'a PassOptions,
    pass: &'static str,
    patches: Vec<PatchRecord>,
    remarks: Vec<Remark>,
    next_patch: usize,
    changed: bool,
    grown_bytes: usize,
    work_left: usize,
}

impl<'a> PassContext<'a> {
    /// A context for passes over `graph` whose first patch gets number 1.
    pub fn new(graph: &Graph, options: &'a PassOptions) -> PassContext<'a> {
        let constants = graph.values().filter_map(|(id, _)| graph.weight(id));
        let bytes = constants.fold(0usize, |sum, weight| sum.saturating_add(weight.held_bytes()));
        let limits = &options.limits;
        PassContext {
            options,
            pass: "",
            patches: vec![],
            remarks: vec![],
            next_patch: 1,
            changed: false,
            grown_bytes: 0,
            work_left: bytes.saturating_mul(limits.folded_work).saturating_add(limits.folded_bytes),
        }
    }
    /// Whether `stop_after` forbids further patches.
    pub fn stopped(&self) -> bool {
        self.options.stop_after.is_some_and(|last| self.next_patch > last)
    }
    /// Applies a patch and gives it the next number. False when `stop_after` forbids it; the pass then ends.
    pub fn apply(&mut self, graph: &mut Graph, patch: Patch) -> Result<bool, PassError> {
        if self.stopped() {
            return Ok(false);
        }
        let (number, text) = (self.next_patch, patch.to_string());
        if let Err(source) = graph.apply(patch) {
            return Err(PassError::Patch { pass: self.pass, number, patch: text, source });
        }
        self.patches.push(PatchRecord { number, text });
        self.next_patch += 1;
        self.changed = true;
        Ok(true)
    }
    /// Says that the graph changed without a patch (nodes that nobody reads went away).
    pub fn note_change(&mut self) {
        self.changed = true;
    }
    /// Keeps the reason why a node stays as it is.
    pub fn remark(&mut self, node: &Node, why: impl Into<String>) {
        self.remarks.push(Remark { node: node.id, name: node.name.clone(), why: why.into() });
    }
    /// Takes from the folding budget what makes `made` bytes out of `read` bytes, of which `freed` are let go. False when it
    /// does not reach.
    pub fn spend(&mut self, made: usize, read: usize, freed: usize) -> bool {
        let grown = self.grown_bytes.saturating_add(made).saturating_sub(freed);
        let fits = made <= freed || grown <= self.options.limits.folded_bytes;
        let Some(left) = self.work_left.checked_sub(made.saturating_add(read)).filter(|_| fits) else { return false };
        (self.grown_bytes, self.work_left) = (grown, left);
        true
    }
}

/// Name for a node that does the work of two: their names, in order.
pub(crate) fn join_names(first: &str, second: &str) -> String {
    match (first.is_empty(), second.is_empty()) {
        (true, _) => second.to_owned(),
        (_, true) => first.to_owned(),
        _ => format!("{first} + {second}"),
    }
}

/// How other readers are named in remarks.
pub(crate) fn other_reader(graph: &Graph, value: crate::ir::ValueId, except: NodeId) -> Option<String> {
    if graph.is_output(value) {
        return Some(format!("{value} is a graph output"));
    }
    let other = graph.other_reader(value, except)?;
    Some(format!("{value} is also read by {other}"))
}
