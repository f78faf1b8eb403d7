//! The manager: numbering, stopping, skipping, records, and stages that never settle.

use super::support::*;
use crate::ir::*;
use crate::pass::{Miss, PassError, PassOptions, Record, Rule, optimize, pipeline, repeat, run_stages};

fn small() -> Graph {
    let mut net = Net::new();
    let x = net.input("x", &[1, 3, 5, 5]);
    let y = net.conv(x, 4, 3);
    let y = net.batchnorm(y);
    let y = net.unary(UnaryOp::Relu, y);
    net.outputs(&[y])
}

#[test]
fn patches_are_numbered_without_gaps() {
    let outcome = optimize(small(), &PassOptions::default()).unwrap();
    let numbers: Vec<usize> = outcome.log.iter().flat_map(|r| &r.patches).map(|p| p.number).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(outcome.graph.phase, Phase::Optimized);
}

#[test]
fn stop_after_applies_that_many_patches() {
    for (stop, left) in [(0, vec!["Conv", "BatchNorm", "Unary"]), (1, vec!["Conv", "Unary"]), (2, vec!["Conv"])] {
        let options = PassOptions { stop_after: Some(stop), ..PassOptions::default() };
        let outcome = optimize(small(), &options).unwrap();
        assert_eq!(ops(&outcome.graph), left);
        assert_eq!(outcome.log.iter().map(|r| r.patches.len()).sum::<usize>(), stop);
    }
}

#[test]
fn skipped_pass_does_not_run() {
    let options =
        PassOptions { skip: vec!["fuse-activation".into(), "fuse-elementwise".into()], ..PassOptions::default() };
    let outcome = optimize(small(), &options).unwrap();
    assert_eq!(ops(&outcome.graph), ["Conv", "Unary"]);
    assert!(outcome.log.iter().all(|r| r.pass != "fuse-activation"));
}

#[test]
fn records_hold_text_of_the_pass_asked_for() {
    let options = PassOptions { record: Record::Only("fold-batchnorm".into()), ..PassOptions::default() };
    let outcome = optimize(small(), &options).unwrap();
    let kept: Vec<_> = outcome.log.iter().filter(|r| r.before.is_some()).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].pass, "fold-batchnorm");
    assert_ne!(kept[0].before, kept[0].after);
    let all = optimize(small(), &PassOptions { record: Record::All, ..PassOptions::default() }).unwrap();
    assert_eq!(all.log.iter().filter(|r| r.after.is_some()).count(), 2);
}

/// Turns Relu into LeakyRelu and back, for ever.
struct Restless;

impl Rule for Restless {
    fn name(&self) -> &'static str {
        "restless"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let Op::Unary(op) = node.op else { return Err(Miss::Elsewhere) };
        let other = if op == UnaryOp::Relu { UnaryOp::LeakyRelu { alpha: 0.0 } } else { UnaryOp::Relu };
        let mut patch = Patch::new(graph, "swap");
        let new = patch.node(Op::Unary(other), &node.inputs, "");
        patch.replace(node.outputs[0], new);
        Ok(patch)
    }
}

#[test]
fn stage_that_never_settles_is_an_error() {
    let error = run_stages(small(), &[repeat("test", 3, &[&Restless])], &PassOptions::default()).unwrap_err();
    let PassError::Unsettled { pass, patch, .. } = &error else { panic!("{error}") };
    assert_eq!(*pass, "restless");
    assert!(*patch > 0 && !error.is_budget());
}

#[test]
fn names_are_kebab_case_and_files() {
    let names = pipeline::pass_names();
    assert_eq!(names.len(), 30);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pass");
    for name in names {
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
        assert!(folder.join(name.replace('-', "_") + ".rs").exists(), "{name} has no file of its name");
    }
}
