//! `brolga test-suite`: conformance cases, each in a child process, and four numbers.

mod case;
mod report;
mod workers;

use super::common::{Done, Progress, Stop};
use brolga::Level;
use brolga_frontend::conformance::{Case, Verdict, find};
use brolga_runner::{ExitCode, Failure};
use report::{Record, Report};
use std::io::Write;
use std::path::PathBuf;

/// Run conformance cases in ONNX's test format
#[derive(clap::Args)]
#[command(after_help = "Examples:
  brolga test-suite .../onnx/backend/test/data
  brolga test-suite .../onnx/backend/test/data/node --filter conv --json
  brolga test-suite .../onnx/backend/test/data --write-docs docs/conformance.md

A case is a folder with model.onnx and test_data_set_N/{input,output}_M.pb, or a file X.onnx with X_output_0.pb beside it. Cases run
in child processes, so that a crash is counted and ends nothing. Unsupported stands for a refusal in words. Ends with 0 when
no case failed or crashed, and with 1 otherwise.")]
pub struct Args {
    /// Folder of cases
    folder: PathBuf,
    /// Only cases whose suite/name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Evaluate the graphs instead of compiling them
    #[arg(long)]
    evaluator: bool,
    /// Leave all passes out
    #[arg(long)]
    skip_passes: bool,
    /// CPU level of the code
    #[arg(long, value_name = "LEVEL")]
    cpu: Option<Level>,
    /// Threads that each case may use
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Child processes at a time; 0 stands for one per core that may be used
    #[arg(long, value_name = "N", default_value_t = 0)]
    jobs: usize,
    /// Seconds after which a case counts as crashed
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
    /// Print every case as JSON
    #[arg(long)]
    json: bool,
    /// Write the page that lists what does not pass
    #[arg(long, value_name = "FILE")]
    write_docs: Option<PathBuf>,
    /// Answers on standard output for case numbers on standard input
    #[arg(long, hide = true)]
    worker: bool,
}

pub fn execute(args: &Args, out: &mut dyn Write) -> Done {
    let cases = cases(args)?;
    if args.worker {
        workers::serve(args, &cases, out)?;
        return Ok(ExitCode::Ok);
    }
    if cases.is_empty() {
        let text = format!("{}: no case whose name contains {:?}", args.folder.display(), args.filter);
        return Err(Failure::usage(text).into());
    }
    let progress = Progress::start(format!("{} cases", cases.len()));
    let records: Vec<Record> = workers::run_all(args, &cases, &progress)?;
    drop(progress);
    let report = Report::new(records);
    if let Some(path) = &args.write_docs {
        std::fs::write(path, report.page()).map_err(|e| Failure::machine(format!("{}: {e}", path.display())))?;
    }
    if args.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::bug(error.to_string()))?;
        writeln!(out, "{text}")?;
    } else {
        report.show(out)?;
    }
    let bad = report.count(Verdict::Fail) + report.count(Verdict::Crash);
    Ok(if bad == 0 { ExitCode::Ok } else { ExitCode::Mismatch })
}

fn cases(args: &Args) -> Result<Vec<Case>, Stop> {
    let found = find(&args.folder);
    let found = found.map_err(|e| Failure::machine(format!("{}: {e}", args.folder.display())))?;
    Ok(found.into_iter().filter(|case| case.title().contains(&args.filter)).collect())
}
