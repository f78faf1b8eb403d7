//! Conformance cases in the folders that ONNX ships: a model, inputs, and the outputs that are expected of it.
//!
//! [`find`] lists the cases below a folder, [`Case::data_sets`] reads the values, and [`judge`] compares what a run gave,
//! by the one table of tolerances in `judge.rs`. [`evaluate`] runs a case through the evaluator alone, which needs no code
//! generation: the example `suite` prints the verdicts.

mod data;
mod evaluator;
mod judge;
mod random;

pub use data::{CaseError, DataSet};
pub use evaluator::evaluate;
pub use judge::{Tolerance, judge, tolerance};
pub use random::is_random;

use brolga_proto::{Limits, Loaded, ProtoError};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where the values of a case come from.
#[derive(Clone, Debug)]
enum Data {
    /// Folders `test_data_set_N` beside the model.
    Folders(Vec<PathBuf>),
    /// Expected outputs beside the model; the input is the ramp 0, 1/n, 2/n, ... over all of its n elements.
    Ramp(Vec<PathBuf>),
}

/// One case of a suite.
#[derive(Clone, Debug)]
pub struct Case {
    /// Folder that the case is in: `node`, `simple`, ...
    pub suite: String,
    /// Name of the case.
    pub name: String,
    /// The model's file.
    pub model: PathBuf,
    data: Data,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every output is as expected.
    Pass,
    /// An output is not, or a valid model was refused as invalid, or the run failed.
    Fail,
    /// Refused, in words, because something of it is not supported.
    Unsupported,
    /// The process ended, panicked or did not answer in time.
    Crash,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Unsupported => "unsupported",
            Verdict::Crash => "crash",
        })
    }
}

/// A verdict and, unless the case passed, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// Why; empty for a pass.
    pub reason: String,
}

impl Outcome {
    /// A pass.
    pub fn pass() -> Outcome {
        Outcome { verdict: Verdict::Pass, reason: String::new() }
    }
    /// Anything else.
    pub fn because(verdict: Verdict, reason: impl fmt::Display) -> Outcome {
        Outcome { verdict, reason: reason.to_string() }
    }
}

/// Every case below `folder`, by suite and name: folders with a `model.onnx` and data sets, and single files `X.onnx` whose
/// expected outputs are in `X_output_0.pb` and so on beside them.
pub fn find(folder: &Path) -> std::io::Result<Vec<Case>> {
    let mut cases = Vec::new();
    visit(folder, 4, &mut cases)?;
    cases.sort_by(|a, b| (&a.suite, &a.name).cmp(&(&b.suite, &b.name)));
    Ok(cases)
}

fn visit(folder: &Path, depth: usize, cases: &mut Vec<Case>) -> std::io::Result<()> {
    let mut entries = std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    let model = folder.join("model.onnx");
    if entries.contains(&model) {
        let sets = entries.into_iter().filter(|p| name(p).starts_with("test_data_set_") && p.is_dir());
        let suite = folder.canonicalize()?.parent().map(name).unwrap_or_default();
        let data = Data::Folders(sets.collect());
        cases.push(Case { suite, name: name(&folder.canonicalize()?), model, data });
        return Ok(());
    }
    for path in &entries {
        if path.is_dir() && depth > 0 {
            visit(path, depth - 1, cases)?;
        } else if let Some(stem) = name(path).strip_suffix(".onnx") {
            let outputs: Vec<PathBuf> = (0..)
                .map(|i| folder.join(format!("{stem}_output_{i}.pb")))
                .take_while(|p| entries.contains(p))
                .collect();
            if !outputs.is_empty() {
                let suite = name(&folder.canonicalize()?);
                cases.push(Case { suite, name: stem.to_owned(), model: path.clone(), data: Data::Ramp(outputs) });
            }
        }
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Case {
    /// Suite and name in one.
    pub fn title(&self) -> String {
        format!("{}/{}", self.suite, self.name)
    }
    /// Reads the model.
    pub fn load(&self) -> Result<Loaded, ProtoError> {
        brolga_proto::load(&self.model, &Limits::default())
    }
}

#[cfg(test)]
mod tests;
