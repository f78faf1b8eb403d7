//! `brolga run`: compile in memory, run once, show or write the outputs.

use super::common::{self, Done, ModelArgs, failure};
use brolga::{Model, Tensor, Value};
use brolga_runner::{ExitCode, Failure, PortInfo, RunArgs, Runnable};
use std::io::Write;
use std::time::Duration;

/// Run a model on arrays, pictures or random inputs
#[derive(clap::Args)]
#[command(after_help = "Examples:
  brolga run model.onnx --image photo.jpg --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --labels names.txt
  brolga run model.onnx --inputs in.npz --outputs out.npz
  brolga run model.onnx --input data=x.npy --dim height=256 --dim width=256 --threads 1
  brolga run model.onnx --cpu x86-64-v3
  brolga run model.onnx --inputs in.npz --outputs out.npz --repeat 100

Arrays are named as the model names its inputs and outputs. An input that is not given is random, from --seed. Texts are
arrays of the type U. A map is written as the arrays NAME.keys and NAME.values, a sequence of maps (what ZipMap makes) with one row
of values for each of them, another sequence as NAME.0, NAME.1 and so on. A symbolic
first dimension that nothing gives a value is 1.")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
}

/// A model as something to run.
pub struct Loaded(pub Model);

impl Runnable for Loaded {
    fn inputs(&self) -> Vec<PortInfo> {
        common::runner_ports(&self.0)
    }
    fn outputs(&self) -> Vec<String> {
        self.0.outputs().into_iter().map(|port| port.name).collect()
    }
    fn run(&self, inputs: Vec<Value>) -> Result<Vec<Value>, Failure> {
        Ok(self.0.run_values(inputs).map_err(|error| failure(&error))?.into_values())
    }
    fn time(&self, inputs: &[Value], runs: usize) -> Result<Vec<Duration>, Failure> {
        let Loaded(model) = self;
        if runs == 0 || !model.is_static() {
            return brolga_runner::time_each(&|inputs| self.run(inputs), inputs, runs);
        }
        let inputs = brolga_runner::tensors(inputs.to_vec())?;
        let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
        let program = model.bindings(&shapes).and_then(|dims| model.program(&dims));
        Ok(brolga_runner::time_runs(&*program.map_err(|error| failure(&error))?, &inputs, runs)?)
    }
}

pub fn execute(args: Args, out: &mut dyn Write) -> Done {
    let model = common::load(&args.model, args.model.options(args.run.threads)?)?;
    brolga_runner::execute(&Loaded(model), &args.run, out, &mut std::io::stderr().lock())?;
    Ok(ExitCode::Ok)
}
