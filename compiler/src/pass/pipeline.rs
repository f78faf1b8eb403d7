//! The list of passes: the table of contents of the optimiser.
//!
//! [`optimize`] runs what holds for every machine; its result is what snapshots show. Passes that choose for a target come
//! after it, in the list that lays a graph out.

use super::manager::{Outcome, PassOptions, Stage, once, repeat, run_stages};
use super::*;
use crate::ir::{Graph, Phase};

/// Stages that do not look at the target.
pub static OPTIMIZE: &[Stage<'static>] = &[
    repeat("clean", 32, &[&drop_identity::DropIdentity, &merge_duplicates::MergeDuplicates, &drop_dead::DropDead]),
    repeat(
        "canonicalise",
        32,
        &[
            // Before fusing: a folded norm or factor leaves a bias, and an epilogue would be in its way.
            &fold_batchnorm::FoldBatchnorm,
            &fold_scale::FoldScale,
            &fuse_bias::FuseBias,
            &drop_identity::DropIdentity,
            &drop_dead::DropDead,
        ],
    ),
    // After every chance to fold them: what is left of the norms becomes arithmetic.
    once("expand", &[&expand_batchnorm::ExpandBatchnorm]),
    repeat(
        "fuse",
        32,
        &[&fuse_bias::FuseBias, &fuse_activation::FuseActivation, &fuse_residual::FuseResidual, &drop_dead::DropDead],
    ),
];

/// Cleans, canonicalises and fuses a graph for any target.
pub fn optimize(graph: Graph, options: &PassOptions) -> Result<Outcome, PassError> {
    let mut outcome = run_stages(graph, OPTIMIZE, options)?;
    outcome.graph.phase = outcome.graph.phase.max(Phase::Optimized);
    Ok(outcome)
}
