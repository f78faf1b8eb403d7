//! One run as the command line asks for it: gather inputs, run, write or show the outputs.

use crate::exit::Failure;
use crate::options::RunArgs;
use crate::picture::{Picture, Pixels, text_art};
use crate::random::random_tensor;
use crate::steady::Steady;
use crate::summary::{Labels, summarise, summarise_value};
use crate::{ArrayError, ExitCode, arrays_of, described, read_npy, read_npz_values, write_npz};
use brolga_runtime::{DType, Tensor, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// A dimension of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A number.
    Known(usize),
    /// A symbol that a run gives a value.
    Symbol(String),
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Known(extent) => write!(f, "{extent}"),
            Dim::Symbol(name) => f.write_str(name),
        }
    }
}

/// An input as it is known before a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Name in the model.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions; none where any shape is taken.
    pub dims: Option<Vec<Dim>>,
}

impl PortInfo {
    fn known_dims(&self) -> &[Dim] {
        self.dims.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for PortInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(dims) = &self.dims else { return write!(f, "{} ({}, any shape)", self.name, self.dtype) };
        let dims: Vec<String> = dims.iter().map(Dim::to_string).collect();
        write!(f, "{} ({}[{}])", self.name, self.dtype, dims.join(", "))
    }
}

/// Something that runs: a model compiled in memory, or an executable's own.
pub trait Runnable {
    /// Inputs in order.
    fn inputs(&self) -> Vec<PortInfo>;
    /// Names of the outputs in order.
    fn outputs(&self) -> Vec<String>;
    /// Runs it on values in the order of its inputs.
    fn run(&self, inputs: Vec<Value>) -> Result<Vec<Value>, Failure>;
    /// Times further runs on the same values.
    fn time(&self, inputs: &[Value], runs: usize) -> Result<Vec<Duration>, Failure> {
        time_each(&|inputs| self.run(inputs), inputs, runs)
    }
}

/// Times runs by a function that takes its inputs and makes its outputs anew.
pub fn time_each(
    run: &dyn Fn(Vec<Value>) -> Result<Vec<Value>, Failure>,
    inputs: &[Value],
    runs: usize,
) -> Result<Vec<Duration>, Failure> {
    let one = |_| {
        let inputs = inputs.to_vec();
        let start = Instant::now();
        run(inputs).map(|_| start.elapsed())
    };
    (0..runs).map(one).collect()
}

impl From<ArrayError> for Failure {
    fn from(error: ArrayError) -> Self {
        let code = match error {
            ArrayError::Io { .. } => ExitCode::Machine,
            ArrayError::Format { .. } => ExitCode::Usage,
        };
        Failure::new(code, error.to_string())
    }
}

/// Runs as the options say. The summary goes to `out`, notices to `notices`.
pub fn execute(
    runnable: &dyn Runnable,
    args: &RunArgs,
    out: &mut dyn Write,
    notices: &mut dyn Write,
) -> Result<(), Failure> {
    let labels = args.labels.as_deref().map(Labels::read).transpose()?.unwrap_or_default();
    let ports = runnable.inputs();
    let mut inputs = Inputs { given: given(&ports, args)?, symbols: BTreeMap::new(), ports: &ports, args };
    inputs.bind_symbols()?;
    let mut results: Vec<Vec<Value>> = Vec::new();
    let names = runnable.outputs();
    for batch in inputs.batches(notices)? {
        let values = inputs.values(&batch, notices)?;
        let repeated = if args.repeat > 0 { values.clone() } else { Vec::new() };
        let outputs = runnable.run(values)?;
        if outputs.len() != names.len() {
            return Err(Failure::bug(format!("{} outputs for {} names", outputs.len(), names.len())));
        }
        if args.outputs.is_none() {
            show(&batch, &names, &outputs, &labels, out).map_err(written)?;
        } else {
            results.push(outputs);
        }
        if let Some(steady) = Steady::of(runnable.time(&repeated, args.repeat)?) {
            writeln!(out, "repeated: {steady}").map_err(written)?;
        }
    }
    match &args.outputs {
        Some(path) => write_outputs(path, names, results),
        None => out.flush().map_err(written),
    }
}

fn written(error: std::io::Error) -> Failure {
    Failure::machine(format!("the output cannot be written: {error}"))
}

/// One run's pictures with the names of their files; none when no input is a picture.
#[derive(Default)]
struct Batch<'a> {
    files: &'a [std::path::PathBuf],
    pictures: Vec<Picture>,
    input: Option<(usize, Tensor)>,
}

fn show(
    batch: &Batch<'_>,
    names: &[String],
    outputs: &[Value],
    labels: &Labels,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    for (file, picture) in batch.files.iter().zip(&batch.pictures) {
        writeln!(out, "{}", file.display())?;
        if let Some(art) = text_art(picture) {
            write!(out, "{art}")?;
        }
    }
    for (name, value) in names.iter().zip(outputs) {
        let Value::Tensor(tensor) = value else {
            write!(out, "{}", summarise_value(name, value))?;
            continue;
        };
        // An output of a batch of pictures is shown picture by picture.
        match rows(tensor, batch.files.len()) {
            Some(rows) => {
                for (file, row) in batch.files.iter().zip(rows) {
                    write!(out, "{}: {}", file.display(), summarise(name, &row, labels))?;
                }
            }
            None => write!(out, "{}", summarise(name, tensor, labels))?,
        }
    }
    Ok(())
}

/// The `count` parts of a tensor along its first dimension, when it has that many and more than one.
fn rows(tensor: &Tensor, count: usize) -> Option<Vec<Tensor>> {
    if count < 2 || tensor.shape().first() != Some(&count) || tensor.is_empty() {
        return None;
    }
    let mut shape = tensor.shape().to_vec();
    shape[0] = 1;
    let size = tensor.bytes().len() / count;
    tensor.bytes().chunks_exact(size).map(|bytes| Tensor::from_bytes(tensor.dtype(), &shape, bytes).ok()).collect()
}

/// Writes the outputs; those of several runs one after another along the first dimension.
fn write_outputs(path: &Path, names: Vec<String>, results: Vec<Vec<Value>>) -> Result<(), Failure> {
    let mut arrays = Vec::new();
    for (i, name) in names.into_iter().enumerate() {
        let mut parts: Vec<Value> = results.iter().filter_map(|outputs| outputs.get(i)).cloned().collect();
        let value = match parts.len() {
            0 => return Err(Failure::bug("no run was made")),
            1 => parts.remove(0),
            _ => joined(&parts)?.into(),
        };
        arrays.extend(arrays_of(&name, value)?);
    }
    Ok(write_npz(path, &arrays)?)
}

fn joined(parts: &[Value]) -> Result<Tensor, Failure> {
    let parts: Vec<&Tensor> = parts.iter().filter_map(Value::as_tensor).collect();
    let first =
        parts.first().ok_or_else(|| Failure::usage("outputs that are no tensors: run the pictures one at a time"))?;
    let apart = || Failure::usage("the outputs of the pictures differ in shape: run them one at a time");
    let (_, inner) = first.shape().split_first().ok_or_else(apart)?;
    if parts.iter().any(|part| part.shape().get(1..) != Some(inner)) {
        return Err(apart());
    }
    let shape: Vec<usize> =
        std::iter::once(parts.iter().map(|part| part.shape()[0]).sum()).chain(inner.iter().copied()).collect();
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes()).copied().collect();
    Tensor::from_bytes(first.dtype(), &shape, &bytes).map_err(|error| Failure::machine(error.to_string()))
}

/// Arrays from the files, by input; names and types are the model's.
fn given(ports: &[PortInfo], args: &RunArgs) -> Result<BTreeMap<usize, Value>, Failure> {
    let mut arrays = Vec::new();
    if let Some(path) = &args.inputs {
        arrays.extend(read_npz_values(path)?);
    }
    for text in &args.input {
        // A name may hold `=`, a path seldom does.
        let Some((name, path)) = text.rsplit_once('=') else {
            return Err(Failure::usage(format!("--input takes NAME=F.npy, not `{text}`")));
        };
        arrays.push((name.to_string(), read_npy(Path::new(path))?));
    }
    let mut given = BTreeMap::new();
    for (name, value) in arrays {
        let known = || ports.iter().map(PortInfo::to_string).collect::<Vec<_>>().join(", ");
        let Some(index) = ports.iter().position(|port| port.name == name) else {
            return Err(Failure::usage(format!("the model has no input `{name}`; its inputs are {}", known())));
        };
        if !fits(&ports[index], &value) {
            let given = described(&value);
            return Err(Failure::usage(format!("{given} was given for the input {}", ports[index])));
        }
        if given.insert(index, value).is_some() {
            return Err(Failure::usage(format!("input `{name}` is given twice")));
        }
    }
    Ok(given)
}

fn fits(port: &PortInfo, value: &Value) -> bool {
    let Some(extents) = value.shape() else { return false };
    let same = |(dim, extent): (&Dim, &usize)| match dim {
        Dim::Known(known) => known == extent,
        Dim::Symbol(_) => true,
    };
    let shape = port.dims.as_ref().is_none_or(|dims| dims.len() == extents.len() && dims.iter().zip(extents).all(same));
    value.dtype() == Some(port.dtype) && shape
}

/// What the inputs are made from.
struct Inputs<'a> {
    ports: &'a [PortInfo],
    args: &'a RunArgs,
    given: BTreeMap<usize, Value>,
    symbols: BTreeMap<String, usize>,
}

impl<'a> Inputs<'a> {
    /// Symbols take their values from the arrays that are given.
    fn bind_symbols(&mut self) -> Result<(), Failure> {
        for (index, value) in &self.given {
            for (dim, extent) in self.ports[*index].known_dims().iter().zip(value.shape().unwrap_or_default()) {
                let Dim::Symbol(name) = dim else { continue };
                let bound = *self.symbols.entry(name.clone()).or_insert(*extent);
                if bound != *extent {
                    return Err(Failure::usage(format!("the inputs give `{name}` two values, {bound} and {extent}")));
                }
            }
        }
        Ok(())
    }

    /// The shape of an input that no array gives: a leading symbol without a value is 1.
    fn shape(&mut self, index: usize, notices: &mut dyn Write) -> Result<Vec<usize>, Failure> {
        let port = &self.ports[index];
        let Some(dims) = &port.dims else { return Err(Failure::usage(format!("input {port} must be given"))) };
        let mut shape = Vec::with_capacity(dims.len());
        for (axis, dim) in dims.iter().enumerate() {
            shape.push(match dim {
                Dim::Known(extent) => *extent,
                Dim::Symbol(name) => match self.symbols.get(name) {
                    Some(extent) => *extent,
                    None if axis == 0 => {
                        // A notice that cannot be written is no reason to stop.
                        let _ = writeln!(notices, "notice: `{name}` of input `{}` is 1", port.name);
                        self.symbols.insert(name.clone(), 1);
                        1
                    }
                    None => {
                        let text = format!("dimension `{name}` of input {port} needs a value: --dim {name}=N");
                        return Err(Failure::usage(text));
                    }
                },
            });
        }
        Ok(shape)
    }

    /// The runs to make: one, or as many as the pictures fill.
    fn batches(&mut self, notices: &mut dyn Write) -> Result<Vec<Batch<'a>>, Failure> {
        let args = self.args;
        if args.image.is_empty() {
            if !args.mean.is_empty() || !args.std.is_empty() {
                return Err(Failure::usage("--mean and --std belong to --image"));
            }
            return Ok(vec![Batch::default()]);
        }
        let is_picture = |index: &usize| {
            let port = &self.ports[*index];
            let extents: Vec<usize> =
                port.known_dims().iter().map(|dim| if let Dim::Known(extent) = dim { *extent } else { 2 }).collect();
            matches!(port.dtype, DType::F32 | DType::F16 | DType::U8) && Pixels::of_shape(&extents).is_some()
        };
        let free = (0..self.ports.len()).filter(|index| !self.given.contains_key(index)).find(is_picture);
        let Some(index) = free else {
            let text = "no input takes pictures: that is [N, C, H, W] or [N, H, W, C] of f32, f16 or u8 with C 1 or 3";
            return Err(Failure::usage(text));
        };
        let shape = self.shape(index, notices)?;
        let port = &self.ports[index];
        let Some(pixels) = Pixels::of_shape(&shape).filter(|pixels| pixels.batch > 0) else {
            return Err(Failure::usage(format!("input {port} takes no pictures")));
        };
        if !args.image.len().is_multiple_of(pixels.batch) {
            let given = args.image.len();
            return Err(Failure::usage(format!(
                "input {port} takes {} pictures at once, {given} were given",
                pixels.batch
            )));
        }
        let mut batches = Vec::new();
        for files in args.image.chunks(pixels.batch) {
            let pictures = files.iter().map(|file| Picture::read(file, pixels)).collect::<Result<Vec<_>, _>>()?;
            let mut normalised = pictures.clone();
            normalised.iter_mut().try_for_each(|picture| picture.normalise(&args.mean, &args.std))?;
            let input = Some((index, Picture::tensor(&normalised, port.dtype, &shape)?));
            batches.push(Batch { files, pictures, input });
        }
        Ok(batches)
    }

    /// The inputs of a run: given, pictures, or random.
    fn values(&mut self, batch: &Batch<'_>, notices: &mut dyn Write) -> Result<Vec<Value>, Failure> {
        let mut values: Vec<Value> = Vec::with_capacity(self.ports.len());
        for index in 0..self.ports.len() {
            let pictures = batch.input.as_ref().filter(|(input, _)| *input == index).map(|(_, tensor)| tensor);
            if let Some(value) = self.given.get(&index).cloned().or(pictures.cloned().map(Value::Tensor)) {
                values.push(value);
                continue;
            }
            let shape = self.shape(index, notices)?;
            let port = &self.ports[index];
            if port.dtype == DType::String {
                return Err(Failure::usage(format!("input {port} must be given")));
            }
            let _ = writeln!(notices, "notice: input `{}` is random, seed {}", port.name, self.args.seed);
            let random = random_tensor(port.dtype, &shape, self.args.seed, index);
            values.push(random.map_err(|error| Failure::machine(error.to_string()))?.into());
        }
        Ok(values)
    }
}
