//! Every family against the evaluator, over shapes that are awkward on purpose.

mod elementwise;
mod math;
mod movement;
mod normalize;
mod pool;
mod recurrent;
mod reduce;
mod resize;
mod sample;

use super::harness::Case;

/// Checks cases with the table of families; all of them must have a kernel.
fn check_all(cases: Vec<Case>, at_least: usize) {
    assert!(cases.len() >= at_least, "{} cases", cases.len());
    for case in &cases {
        if let Err(e) = case.check(&super::lower) {
            let shapes: Vec<_> = case.inputs.iter().map(|(t, p)| (t.shape().to_vec(), *p)).collect();
            panic!("{:?} on {shapes:?}: {e}", case.op);
        }
    }
}
