//! The list of passes: the table of contents of the optimiser.
//!
//! [`optimize`] runs what holds for every machine; its result is what snapshots show. Passes that choose for a target come
//! after it, in a list of their own that is run by the same [`run_stages`].

use super::drop_dead::DropDead;
use super::drop_identity::DropIdentity;
use super::expand_batchnorm::ExpandBatchnorm;
use super::fold_batchnorm::FoldBatchnorm;
use super::fold_constants::FoldConstants;
use super::fold_pad::FoldPad;
use super::fold_scale::FoldScale;
use super::fold_shapes::FoldShapes;
use super::fuse_activation::FuseActivation;
use super::fuse_bias::FuseBias;
use super::fuse_elementwise::FuseElementwise;
use super::fuse_integers::FuseIntegers;
use super::fuse_residual::FuseResidual;
use super::gather_to_slice::GatherToSlice;
use super::lift_3d::Lift3d;
use super::lift_conv1d::LiftConv1d;
use super::lower_quantisation::LowerQuantisation;
use super::manager::{Outcome, PassOptions, Stage, once, repeat, run_stages};
use super::merge_duplicates::MergeDuplicates;
use super::pick_layout::PickLayout;
use super::recognise_activations::RecogniseActivations;
use super::recognise_norms::RecogniseNorms;
use super::shift_signed::ShiftSigned;
use super::simplify_arithmetic::SimplifyArithmetic;
use super::simplify_concat::SimplifyConcat;
use super::sink_transposes::SinkTransposes;
use super::split_groups::SplitGroups;
use super::split_resize::SplitResize;
use super::stack_appended::StackAppended;
use super::whole_rows::WholeRows;
use super::widen_halves::WidenHalves;
use super::widen_integers::WidenIntegers;
use super::{Pass, PassError};
use crate::ir::{Graph, Phase};

/// Rounds after which a stage that still changes the graph is taken to be wrong.
const ROUNDS: usize = 64;

/// Stages that do not look at the target.
pub static OPTIMIZE: &[Stage<'static>] = &[
    // Before anything is folded or matched: patterns are those of f32.
    once("halves", &[&WidenHalves, &DropDead]),
    // First of all others: a dequantised constant would be folded.
    once("quantised", &[&ShiftSigned, &FuseIntegers]),
    repeat("clean", ROUNDS, &[&FoldShapes, &FoldConstants, &DropIdentity, &MergeDuplicates, &DropDead]),
    // Integer products of the model itself have constants among their operands only now.
    once("integers", &[&FuseIntegers, &WidenIntegers, &LowerQuantisation]),
    repeat(
        "canonicalise",
        ROUNDS,
        &[
            &SimplifyArithmetic,
            // After it: clips are recognised.
            &RecogniseActivations,
            &RecogniseNorms,
            &StackAppended,
            &WholeRows,
            &GatherToSlice,
            &SimplifyConcat,
            &SinkTransposes,
            &FoldConstants,
            &DropIdentity,
            &MergeDuplicates,
            &DropDead,
        ],
    ),
    repeat(
        "fold",
        ROUNDS,
        &[
            &FoldPad,
            // Before fuse: a folded norm or factor leaves a bias, and an epilogue would be in its way.
            &FoldBatchnorm,
            &FoldScale,
            &FuseBias,
            &DropDead,
        ],
    ),
    // After every chance to fold them: what is left of the norms becomes arithmetic, that of run-time statistics on vectors.
    // What kernels take in another form has to have it before anything is fused into it.
    once("expand", &[&ExpandBatchnorm, &Lift3d, &SplitGroups, &SplitResize]),
    repeat(
        "fuse",
        ROUNDS,
        &[
            &FuseActivation,
            // Before chains: a sum of a contraction and a shortcut belongs to the contraction, not to its activation.
            &FuseResidual,
            &FuseElementwise,
            &DropDead,
        ],
    ),
    // After fuse: epilogues come along. Reshapes between two lifted nodes cancel.
    repeat("lift", ROUNDS, &[&LiftConv1d, &FoldConstants, &DropIdentity, &MergeDuplicates, &DropDead]),
];

/// Names of all passes, in the order of their first run.
pub fn pass_names() -> Vec<&'static str> {
    let mut names = Vec::new();
    for pass in OPTIMIZE.iter().flat_map(|stage: &Stage<'static>| stage.passes) {
        let name = Pass::name(*pass);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Cleans, canonicalises and fuses a graph for any target.
pub fn optimize(graph: Graph, options: &PassOptions) -> Result<Outcome, PassError> {
    let mut outcome = run_stages(graph, OPTIMIZE, options)?;
    outcome.graph.phase = outcome.graph.phase.max(Phase::Optimized);
    Ok(outcome)
}

/// Chooses layouts for vectors of `lanes` lanes and inserts the reorders they need.
pub fn lay_out(graph: Graph, lanes: u32, options: &PassOptions) -> Result<Outcome, PassError> {
    let pick_layout = PickLayout { lanes };
    run_stages(graph, &[once("layout", &[&pick_layout, &DropDead])], options)
}
