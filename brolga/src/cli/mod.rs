//! The command line: the list of verbs, and what they share.

mod bench;
pub mod carried;
mod check;
mod common;
mod compare;
mod compile;
mod dump;
mod inspect;
mod layers;
mod ops;
mod run;
mod schedule;
mod steps;
mod test_suite;

use brolga_runner::{ExitCode, Failure};
use clap::{Parser, Subcommand};
use std::io::{BufWriter, ErrorKind, Write};

const EXAMPLES: &str = "Examples:
  brolga run model.onnx --image photo.jpg --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --labels names.txt
  brolga compile model.onnx -o model && ./model --image photo.jpg
  brolga bench model.onnx --threads 1 --layers
  brolga dump model.onnx > model.ir

Exit codes:
   0  done
   1  outputs differ from what was expected
   2  wrong arguments, or a symbolic dimension that needs a value (named)
   3  invalid model
   4  the model uses something that is not supported
   5  the model needs more than its budget
   6  this machine: unreadable file, no linker, CPU level, memory
  70  a fault of Brolga";

/// Compiles ONNX models to native code and runs them.
#[derive(Parser)]
#[command(name = "brolga", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Run(run::Args),
    Compile(compile::Args),
    Bench(bench::Args),
    Dump(dump::Args),
    Inspect(inspect::Args),
    Check(check::Args),
    Compare(compare::Args),
    Ops(ops::Args),
    TestSuite(test_suite::Args),
}

impl Cli {
    /// Does what was asked for.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        let mut out = BufWriter::new(std::io::stdout().lock());
        let done = match self.verb {
            Verb::Run(args) => run::execute(args, &mut out),
            Verb::Compile(args) => compile::execute(&args, &mut out),
            Verb::Bench(args) => bench::execute(args, &mut out),
            Verb::Dump(args) => dump::execute(&args, &mut out),
            Verb::Inspect(args) => inspect::execute(&args, &mut out),
            Verb::Check(args) => check::execute(&args, &mut out),
            Verb::Compare(args) => compare::execute(args, &mut out),
            Verb::Ops(args) => ops::execute(&args, &mut out),
            Verb::TestSuite(args) => test_suite::execute(&args, &mut out),
        };
        let done = done.and_then(|code| Ok(out.flush().map(|()| code)?));
        match done {
            Err(common::Stop::Failed(failure)) => Err(failure),
            // Whoever read the output has read enough.
            Err(common::Stop::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::Ok),
            Err(common::Stop::Output(error)) => Err(Failure::machine(format!("the output cannot be written: {error}"))),
            Ok(code) => Ok(code),
        }
    }
}
