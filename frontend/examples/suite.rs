//! Runs the conformance suite through the evaluator, without code generation: the quick way to check an operator.
//!
//! ```text
//! cargo run -p brolga-frontend --example suite -- DIR [FILTER]
//! ```
//!
//! DIR is a folder of cases (the one that holds `node/`, `simple/` and so on, or one case). FILTER is a part of the name.
//! Cases that do not pass are printed with their reason, then the four numbers.
#![allow(clippy::print_stdout)]

use brolga_frontend::conformance::{Outcome, Verdict, evaluate, find};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(folder) = words.first() else {
        eprintln!("usage: suite DIR [FILTER]");
        return ExitCode::from(2);
    };
    let filter = words.get(1).map_or("", String::as_str);
    let cases = match find(Path::new(folder)) {
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("{folder}: {error}");
            return ExitCode::from(6);
        }
    };
    set_hook(Box::new(|_| {}));
    let mut counts = BTreeMap::new();
    for case in cases.iter().filter(|case| case.title().contains(filter)) {
        let outcome = catch_unwind(AssertUnwindSafe(|| evaluate(case)));
        let outcome = outcome.unwrap_or_else(|payload| {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            Outcome::because(Verdict::Crash, text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("panic"))
        });
        *counts.entry(outcome.verdict).or_insert(0usize) += 1;
        if outcome.verdict != Verdict::Pass {
            println!("{:11} {}: {}", outcome.verdict, case.title(), outcome.reason.replace('\n', " "));
        }
    }
    for verdict in [Verdict::Pass, Verdict::Fail, Verdict::Unsupported, Verdict::Crash] {
        println!("{verdict:11} {}", counts.get(&verdict).unwrap_or(&0));
    }
    ExitCode::SUCCESS
}
