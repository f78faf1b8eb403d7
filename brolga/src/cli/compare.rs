//! `brolga compare`: outputs against expected ones, and the first step that leaves the evaluator.

use super::bench::gather;
use super::common::{self, Done, ModelArgs, Stop};
use super::steps::{self, Departure};
use brolga::{DType, Tensor, Value};
use brolga_runner::{ExitCode, Failure, arrays_of, described, read_npz_values};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// Compare outputs with expected ones
#[derive(clap::Args)]
#[command(after_help = "Examples:
  brolga compare model.onnx --inputs in.npz --expect out.npz
  brolga compare model.onnx --inputs in.npz --expect out.npz --tolerance 1e-3 --json
  brolga compare model.onnx --inputs in.npz --expect out.npz --steps

An error is the largest difference as a share of the largest expected magnitude; integers and texts must be
equal. Maps are compared as `brolga run` writes them, as NAME.keys and NAME.values. --steps runs the
slow evaluator beside the compiled program and names the first step whose result differs from it; a step that sorts or selects
(TopK, NonMaxSuppression) may do so without a fault where what it compares is almost equal. Ends with 0 when all outputs, and
with --steps all steps, are within the tolerance and with 1 when one is not.")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Inputs: an .npz archive whose arrays are named as the model's inputs
    #[arg(long, value_name = "F.npz")]
    inputs: PathBuf,
    /// Expected outputs: an .npz archive whose arrays are named as the model's outputs
    #[arg(long, value_name = "F.npz")]
    expect: PathBuf,
    /// Largest error that is accepted
    #[arg(long, value_name = "E", default_value_t = 1e-4)]
    tolerance: f64,
    /// Name the first step whose result leaves the evaluator's
    #[arg(long)]
    steps: bool,
    /// Number of threads; 0 stands for one per core that may be used
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One output.
#[derive(Serialize)]
struct Compared {
    name: String,
    ok: bool,
    error: Option<f64>,
    /// Why there is no error to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    tolerance: f64,
    outputs: Vec<Compared>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_step: Option<Departure>,
}

pub fn execute(args: Args, out: &mut dyn Write) -> Done {
    let model = common::load(&args.model, args.model.options(args.threads)?)?;
    let expected = read_npz_values(&args.expect).map_err(Failure::from)?;
    let inputs = gather(&model, Some(args.inputs.clone()))?;
    let mut outputs = Vec::new();
    for (name, value) in model.run_values(inputs.clone())?.iter() {
        outputs.extend(arrays_of(name, value.clone())?);
    }
    let mut compared = Vec::new();
    for (name, want) in &expected {
        let Some((_, got)) = outputs.iter().find(|(other, _)| other == name) else {
            let known: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
            let text = format!("the model has no output `{name}`; its outputs are {}", known.join(", "));
            return Err(Failure::usage(text).into());
        };
        compared.push(compare(name, got, want, args.tolerance));
    }
    if compared.is_empty() {
        return Err(Failure::usage(format!("{}: no arrays to compare with", args.expect.display())).into());
    }
    let first_step =
        if args.steps { steps::first_departure(&model, inputs, args.tolerance, args.threads)? } else { None };
    let ok = first_step.is_none() && compared.iter().all(|output| output.ok);
    let report = Report { ok, tolerance: args.tolerance, outputs: compared, first_step };
    if args.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::bug(error.to_string()))?;
        writeln!(out, "{text}")?;
    } else {
        report.show(args.steps, out)?;
    }
    Ok(if ok { ExitCode::Ok } else { ExitCode::Mismatch })
}

impl Report {
    fn show(&self, steps: bool, out: &mut dyn Write) -> Result<(), Stop> {
        for Compared { name, ok, error, reason } in &self.outputs {
            let verdict = if *ok { "ok  " } else { "DIFF" };
            match (error, reason) {
                (Some(error), _) => {
                    writeln!(out, "{verdict} {name}: error {error:.3e} (accepted {:.1e})", self.tolerance)?
                }
                (None, reason) => writeln!(out, "{verdict} {name}: {}", reason.as_deref().unwrap_or("not comparable"))?,
            }
        }
        match &self.first_step {
            Some(Departure { step, node, op, error }) => {
                let error = error.map_or("not comparable".to_owned(), |error| format!("error {error:.3e}"));
                writeln!(out, "first step that leaves the evaluator: {step} {op} \"{node}\", {error}")?;
            }
            None if steps => writeln!(out, "every step agrees with the evaluator")?,
            None => {}
        }
        Ok(())
    }
}

fn compare(name: &str, got: &Value, want: &Value, tolerance: f64) -> Compared {
    let name = name.to_owned();
    let error = match (got, want) {
        _ if got.dtype() != want.dtype() || got.shape() != want.shape() => {
            let (got, want) = (described(got), described(want));
            return Compared { name, ok: false, error: None, reason: Some(format!("{got}, expected {want}")) };
        }
        (Value::Tensor(got), Value::Tensor(want)) => error(got, want),
        (Value::Strings(got), Value::Strings(want)) => Some(if got == want { 0.0 } else { 1.0 }),
        _ => None,
    };
    let reason = error.is_none().then(|| "NaN or infinity where a number is expected, or the reverse".to_owned());
    Compared { name, ok: error.is_some_and(|error| error <= tolerance), error, reason }
}

/// Largest difference as a share of the largest magnitude of `want`; of integers, 0 or 1. `None` where only one of the two is
/// finite. Tensors of the same type and shape.
pub fn error(got: &Tensor, want: &Tensor) -> Option<f64> {
    let (Some(got_values), Some(want_values)) = (floats(got), floats(want)) else {
        return Some(if got.bytes() == want.bytes() { 0.0 } else { 1.0 });
    };
    let (mut scale, mut worst) = (0f64, 0f64);
    for (x, y) in got_values.iter().zip(&want_values) {
        let same = x == y || (x.is_nan() && y.is_nan());
        if same {
            scale = if y.is_finite() { scale.max(y.abs()) } else { scale };
            continue;
        }
        if !x.is_finite() || !y.is_finite() {
            return None;
        }
        scale = scale.max(y.abs());
        worst = worst.max((x - y).abs());
    }
    Some(if worst == 0.0 { 0.0 } else { worst / scale.max(f64::MIN_POSITIVE) })
}

/// Elements of a floating-point tensor.
fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    match tensor.dtype() {
        DType::F32 => tensor.as_slice::<f32>().ok().map(|x| x.iter().map(|v| f64::from(*v)).collect()),
        DType::F64 => tensor.as_slice::<f64>().ok().map(<[f64]>::to_vec),
        DType::F16 => tensor.as_slice::<half::f16>().ok().map(|x| x.iter().map(|v| v.to_f64()).collect()),
        DType::BF16 => tensor.as_slice::<half::bf16>().ok().map(|x| x.iter().map(|v| v.to_f64()).collect()),
        _ => None,
    }
}
