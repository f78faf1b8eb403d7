//! What a run of the suite has shown: as text, as JSON, and as the page of the documentation.

use brolga_frontend::conformance::Verdict;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

/// The verdict as JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Verdict", rename_all = "lowercase")]
enum VerdictText {
    Pass,
    Fail,
    Unsupported,
    Crash,
}

/// What the steps of a case's program ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Code {
    /// Nothing: copies, or all was computed when compiling.
    None,
    /// Generated code.
    Generated,
    /// Library calls.
    Library,
    /// Generated code and library calls.
    Both,
}

impl Code {
    /// What two programs, or two steps, ran in all.
    pub fn and(self, other: Code) -> Code {
        match (self, other) {
            (Code::None, code) | (code, Code::None) => code,
            (a, b) if a == b => a,
            _ => Code::Both,
        }
    }
}

/// One case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub suite: String,
    pub name: String,
    #[serde(with = "VerdictText")]
    pub verdict: Verdict,
    pub reason: String,
    pub code: Code,
    /// Whether the outputs are random, and judged by type, shape, range and distribution.
    pub random: bool,
    /// Operators of the model.
    pub operators: Vec<String>,
    /// Element types of the inputs.
    pub types: Vec<String>,
    pub milliseconds: u128,
}

/// All cases, by suite and name.
#[derive(Serialize)]
pub struct Report {
    pass: usize,
    fail: usize,
    unsupported: usize,
    crash: usize,
    cases: Vec<Record>,
}

const VERDICTS: [Verdict; 4] = [Verdict::Pass, Verdict::Fail, Verdict::Unsupported, Verdict::Crash];

impl Report {
    pub fn new(cases: Vec<Record>) -> Report {
        let count = |verdict| cases.iter().filter(|r| r.verdict == verdict).count();
        let [pass, fail, unsupported, crash] = VERDICTS.map(count);
        Report { pass, fail, unsupported, crash, cases }
    }

    /// Number of cases that ended so.
    pub fn count(&self, verdict: Verdict) -> usize {
        match verdict {
            Verdict::Pass => self.pass,
            Verdict::Fail => self.fail,
            Verdict::Unsupported => self.unsupported,
            Verdict::Crash => self.crash,
        }
    }

    fn others(&self) -> impl Iterator<Item = &Record> {
        self.cases.iter().filter(|r| r.verdict != Verdict::Pass)
    }

    /// Cases that do not pass, and the four numbers.
    pub fn show(&self, out: &mut dyn Write) -> std::io::Result<()> {
        for Record { suite, name, verdict, reason, .. } in self.others() {
            writeln!(out, "{verdict:11} {suite}/{name}: {}", one_line(reason))?;
        }
        for verdict in VERDICTS {
            writeln!(out, "{verdict:11} {}", self.count(verdict))?;
        }
        Ok(())
    }

    /// The page of the documentation.
    pub fn page(&self) -> String {
        let mut page = String::from(
            "# Conformance\n\nThe suite that the Python package `onnx` 1.22.0 ships, run by `brolga test-suite DIR --write-docs \
             docs/conformance.md`,\nwhich writes this page. `--json` tells of every case what ran and how long it took. \
             Tolerances are in one table,\n`frontend/src/conformance/judge.rs`.\n\n\
             | suite | cases | pass | fail | unsupported | crash |\n| --- | --- | --- | --- | --- | --- |\n",
        );
        let mut suites: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
        for record in &self.cases {
            let row = suites.entry(&record.suite).or_default();
            if let Some(at) = VERDICTS.iter().position(|v| *v == record.verdict) {
                row[at] += 1;
            }
        }
        // Writing to a string does not fail.
        for (suite, [pass, fail, unsupported, crash]) in &suites {
            let all = pass + fail + unsupported + crash;
            let _ = writeln!(page, "| {suite} | {all} | {pass} | {fail} | {unsupported} | {crash} |");
        }
        let (all, [pass, fail, unsupported, crash]) = (self.cases.len(), VERDICTS.map(|v| self.count(v)));
        let _ = writeln!(page, "| all | {all} | {pass} | {fail} | {unsupported} | {crash} |");
        self.code_section(&mut page);
        self.random_section(&mut page);
        page.push_str("\n## Cases that do not pass\n\n");
        if self.pass == all {
            page.push_str("None.\n");
        }
        for Record { suite, name, verdict, reason, .. } in self.others() {
            let _ = writeln!(page, "- `{suite}/{name}` ({verdict}): {}", one_line(reason));
        }
        page
    }

    fn code_section(&self, page: &mut String) {
        let passed = |code| self.cases.iter().filter(|r| r.verdict == Verdict::Pass && r.code == code).count();
        page.push_str("\n## What ran\n\n| of the cases that pass | |\n| --- | --- |\n");
        for (code, text) in [
            (Code::Generated, "generated code alone"),
            (Code::Both, "generated code and library calls"),
            (Code::Library, "library calls alone"),
            (Code::None, "copies alone, or all was computed when compiling"),
        ] {
            let _ = writeln!(page, "| {text} | {} |", passed(code));
        }
    }

    fn random_section(&self, page: &mut String) {
        page.push_str("\n## Random outputs\n\nJudged by type, shape, range and distribution, not by value:\n\n");
        for record in self.cases.iter().filter(|r| r.random) {
            let _ = writeln!(page, "- `{}/{}` ({})", record.suite, record.name, record.verdict);
        }
    }
}

/// A reason on one line.
fn one_line(reason: &str) -> String {
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}
