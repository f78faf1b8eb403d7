//! The `brolga` command: one file per verb in [`cli`], exit codes as `brolga --help` lists them.

mod cli;

use brolga_runner::{ExitCode, Failure};
use clap::Parser;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

fn main() -> std::process::ExitCode {
    // A fault is reported below, in words, and not as a trace in the middle of other output.
    set_hook(Box::new(|_| {}));
    let command = match cli::Cli::try_parse() {
        Ok(command) => command,
        Err(error) => {
            // Help and version are no errors; a text that cannot be printed has no reader.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok }.into();
        }
    };
    let result = catch_unwind(AssertUnwindSafe(|| command.execute())).unwrap_or_else(|payload| Err(fault(&*payload)));
    match result {
        Ok(code) => code.into(),
        Err(failure) => {
            let ours = if failure.code == ExitCode::Bug { " (a fault of Brolga, not of your model)" } else { "" };
            eprintln!("error{ours}: {failure}");
            failure.code.into()
        }
    }
}

/// A panic as a failure.
fn fault(payload: &(dyn Any + Send)) -> Failure {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("unknown fault");
    Failure::bug(text)
}
