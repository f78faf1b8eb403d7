//! The `brolga` command: one file per verb in [`cli`], exit codes as `brolga --help` lists them. A copy of it that carries a model
//! is that model's executable.

mod cli;

use brolga::aot::Bundle;
use brolga_runner::{ExitCode, Failure};
use clap::Parser;
use std::any::Any;
use std::panic::{catch_unwind, set_hook};

fn main() -> std::process::ExitCode {
    // A fault is reported below, in words, and not as a trace in the middle of other output.
    set_hook(Box::new(|_| {}));
    let result = catch_unwind(run).unwrap_or_else(|payload| Err(fault(&*payload)));
    match result {
        Ok(code) => code.into(),
        Err(failure) => {
            let ours = if failure.code == ExitCode::Bug { " (a fault of Brolga, not of your model)" } else { "" };
            eprintln!("error{ours}: {failure}");
            failure.code.into()
        }
    }
}

fn run() -> Result<ExitCode, Failure> {
    let carried = Bundle::carried().map_err(|error| Failure::new(error.exit_code(), error.to_string()))?;
    match carried {
        Some(bundle) => with_arguments(|options| cli::carried::execute(&bundle, &options)),
        None => with_arguments(cli::Cli::execute),
    }
}

/// Does what the arguments ask for.
fn with_arguments<A: Parser>(execute: impl FnOnce(A) -> Result<ExitCode, Failure>) -> Result<ExitCode, Failure> {
    match A::try_parse() {
        Ok(arguments) => execute(arguments),
        Err(error) => {
            // Help and version are no errors; a text that cannot be printed has no reader.
            let _ = error.print();
            Ok(if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok })
        }
    }
}

/// A panic as a failure.
fn fault(payload: &(dyn Any + Send)) -> Failure {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("unknown fault");
    Failure::bug(text)
}
