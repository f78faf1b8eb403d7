//! `brolga ops`: the table of supported operators.

use super::common::Done;
use brolga_frontend::{ops_markdown, supported_ops};
use brolga_runner::ExitCode;
use serde_json::json;
use std::io::Write;

/// List the operators that are supported
#[derive(clap::Args)]
#[command(after_help = "Examples:
  brolga ops
  brolga ops --json")]
pub struct Args {
    /// Print JSON instead of a markdown page
    #[arg(long)]
    json: bool,
}

pub fn execute(args: &Args, out: &mut dyn Write) -> Done {
    if args.json {
        let rows: Vec<_> = supported_ops()
            .map(|op| json!({ "domain": op.domain, "op": op.op, "since": op.since, "until": op.until, "limits": op.limits }))
            .collect();
        writeln!(out, "{:#}", json!(rows))?;
    } else {
        out.write_all(ops_markdown().as_bytes())?;
    }
    Ok(ExitCode::Ok)
}
