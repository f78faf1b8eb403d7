//! The executable of a model that carries the compiler: what the command is when there is a model behind it.

use super::common::{SizeArgs, available, failure};
use super::run::Loaded;
use brolga::aot::Bundle;
use brolga_runner::{ExitCode, Failure, RunArgs};

/// Runs the model that this executable carries. Inputs come from files, from pictures, or are random.
#[derive(clap::Parser)]
#[command(after_help = brolga_runner::EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    sizes: SizeArgs,
    #[command(flatten)]
    run: RunArgs,
}

pub fn execute(bundle: &Bundle, options: &Options) -> Result<ExitCode, Failure> {
    available(bundle.level())?;
    let model = bundle.load(options.sizes.options(options.run.threads)?).map_err(|error| failure(&error))?;
    let (mut out, mut notices) = (std::io::stdout().lock(), std::io::stderr().lock());
    brolga_runner::execute(&Loaded(model), &options.run, &mut out, &mut notices)?;
    Ok(ExitCode::Ok)
}
