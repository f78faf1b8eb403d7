//! The models of `tests/zoo`: the rule that makes their weights and inputs, and the rule that judges outputs.
//!
//! `tests/zoo/README.md` describes the files. [`cases`] lists the models, [`Case::model`] gives a model with its weights
//! filled in, [`Case::inputs`] what to feed it, and [`Expected::check`] compares an output with the recorded one.

use std::path::{Path, PathBuf};

use serde::Deserialize;

mod wire;

#[cfg(test)]
mod tests;

/// Why a model of the zoo could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ZooError {
    /// A file is missing or unreadable.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A record is not what `tests/zoo/README.md` describes.
    #[error("{path}: {reason}")]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The bytes are no ONNX model.
    #[error("not an ONNX model")]
    Wire,
    /// A tensor asks for a filling that cannot be made.
    #[error("initializer {name}: cannot fill by the rule {rule:?}")]
    Rule {
        /// The tensor.
        name: String,
        /// Its `doc_string`.
        rule: String,
    },
}

/// A named dense f32 tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The name the model gives it.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its elements.
    pub data: Vec<f32>,
}

/// An output as it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The name the model gives it.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Only every `step`-th element, row-major, was recorded.
    pub step: usize,
    /// The recorded elements.
    pub values: Vec<f32>,
    /// What errors are measured against: one scale, or one for each index of the last axis.
    pub scales: Vec<f64>,
    /// The largest error, as a share of the scale, that passes.
    pub tolerance: f64,
}

/// How an output differs from the record.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// Another shape, or elements that do not fill it.
    #[error("output {name} has shape {got:?} and {elements} elements, expected shape {want:?}")]
    Shape {
        /// The output.
        name: String,
        /// The shape it came with.
        got: Vec<usize>,
        /// How many elements it came with.
        elements: usize,
        /// The recorded shape.
        want: Vec<usize>,
    },
    /// An element too far from its record, or not a number.
    #[error(
        "output {name}: element {index} is {got}, recorded {want}: error {error:.2e} of the scale, allowed {tolerance:.1e}"
    )]
    Value {
        /// The output.
        name: String,
        /// The row-major index of the worst element.
        index: usize,
        /// Its value.
        got: f32,
        /// The recorded value.
        want: f32,
        /// Their difference as a share of the scale.
        error: f64,
        /// The largest share that passes.
        tolerance: f64,
    },
}

impl Expected {
    /// Compares an output with the record and gives the largest error as a share of the scale.
    ///
    /// # Errors
    /// The shape differs, or an element's error exceeds [`Expected::tolerance`].
    pub fn check(&self, shape: &[usize], data: &[f32]) -> Result<f64, Mismatch> {
        let elements: usize = self.shape.iter().product();
        let count = elements.div_ceil(self.step);
        if shape != self.shape || data.len() != elements || count != self.values.len() {
            return Err(Mismatch::Shape {
                name: self.name.clone(),
                got: shape.to_vec(),
                elements: data.len(),
                want: self.shape.clone(),
            });
        }
        let mut worst = (0.0, 0, 0.0, 0.0);
        let scales = self.scales.iter().cycle().step_by(self.step);
        for (((index, &got), &want), scale) in data.iter().enumerate().step_by(self.step).zip(&self.values).zip(scales)
        {
            let error = (f64::from(got) - f64::from(want)).abs() / scale.max(1e-30);
            let error = if error.is_nan() { f64::INFINITY } else { error };
            if error > worst.0 {
                worst = (error, index, got, want);
            }
        }
        let (error, index, got, want) = worst;
        if error <= self.tolerance {
            return Ok(error);
        }
        Err(Mismatch::Value { name: self.name.clone(), index, got, want, error, tolerance: self.tolerance })
    }
}

/// One model of the zoo.
#[derive(Debug, Clone)]
pub struct Case {
    /// The model's name: the stem of its files.
    pub name: String,
    /// The weightless ONNX file.
    pub path: PathBuf,
    /// How many parameters the filled model has.
    pub parameters: u64,
    /// The recorded outputs, in the model's order.
    pub outputs: Vec<Expected>,
    inputs: Vec<InputRecord>,
}

impl Case {
    /// The model with its weights, as an ONNX file's bytes.
    ///
    /// # Errors
    /// The file cannot be read, is no model, or names a rule that cannot be followed.
    pub fn model(&self) -> Result<Vec<u8>, ZooError> {
        hydrate(&read(&self.path)?)
    }

    /// The inputs, in the order of the record.
    pub fn inputs(&self) -> Vec<Array> {
        let array = |input: &InputRecord| Array {
            name: input.name.clone(),
            shape: input.shape.clone(),
            data: fill(&input.fill.0, &input.shape, input.fill.1),
        };
        self.inputs.iter().map(array).collect()
    }
}

/// The deterministic array of the given key, shape and standard deviation, row-major.
pub fn fill(key: &str, shape: &[usize], std: f64) -> Vec<f32> {
    let base = fnv1a(key.as_bytes());
    let count = shape.iter().product::<usize>() as u64;
    let value = |i: u64| {
        let unit = (splitmix(base.wrapping_add(i)) >> 11) as f64 / (1u64 << 53) as f64;
        ((2.0 * unit - 1.0) * 3f64.sqrt() * std) as f32
    };
    (0..count).map(value).collect()
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

fn splitmix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Fills the weights of a weightless model, given and returned as an ONNX file's bytes.
///
/// # Errors
/// The bytes are no model, or a tensor names a rule that cannot be followed.
pub fn hydrate(bytes: &[u8]) -> Result<Vec<u8>, ZooError> {
    wire::hydrate(bytes)
}

/// The folder of the zoo.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo")
}

/// Every model of the zoo, by name.
///
/// # Errors
/// A record is missing or malformed.
pub fn cases() -> Result<Vec<Case>, ZooError> {
    let folder = folder();
    let io = |source| ZooError::Io { path: folder.clone(), source };
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            cases.push(read_case(&path)?);
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

/// The model of that name.
///
/// # Errors
/// There is none, or its record is malformed.
pub fn case(name: &str) -> Result<Case, ZooError> {
    read_case(&folder().join(format!("{name}.json")))
}

#[derive(Deserialize)]
struct Record {
    name: String,
    params: u64,
    inputs: Vec<InputRecord>,
    outputs: Vec<OutputRecord>,
    ort_opt_vs_plain: Vec<f64>,
}

#[derive(Debug, Clone, Deserialize)]
struct InputRecord {
    name: String,
    shape: Vec<usize>,
    fill: (String, f64),
}

#[derive(Deserialize)]
struct OutputRecord {
    name: String,
    shape: Vec<usize>,
    dtype: String,
    step: usize,
    max_abs: f64,
    column_max: Option<Vec<f64>>,
}

fn read_case(path: &Path) -> Result<Case, ZooError> {
    let wrong = |reason: String| ZooError::Record { path: path.into(), reason };
    let record: Record = serde_json::from_slice(&read(path)?).map_err(|error| wrong(error.to_string()))?;
    if record.outputs.len() != record.ort_opt_vs_plain.len() {
        return Err(wrong(format!("{} outputs, {} spreads", record.outputs.len(), record.ort_opt_vs_plain.len())));
    }
    let values_path = path.with_extension("npz");
    let outputs = record.outputs.into_iter().zip(record.ort_opt_vs_plain);
    let outputs =
        outputs.map(|(output, spread)| read_output(&values_path, output, spread)).collect::<Result<_, _>>()?;
    let path = path.with_extension("onnx");
    Ok(Case { name: record.name, path, parameters: record.params, outputs, inputs: record.inputs })
}

fn read_output(path: &Path, output: OutputRecord, spread: f64) -> Result<Expected, ZooError> {
    let wrong = |reason: String| ZooError::Record { path: path.into(), reason: format!("{}: {reason}", output.name) };
    let io = |source| ZooError::Io { path: path.into(), source };
    if output.dtype != "float32" || output.step == 0 {
        return Err(wrong(format!("type {}, step {}: expected float32, step 1 or more", output.dtype, output.step)));
    }
    let mut archive = npyz::npz::NpzArchive::open(path).map_err(io)?;
    let file = archive.by_name(&output.name).map_err(io)?.ok_or_else(|| wrong("no such array".into()))?;
    let values: Vec<f32> = file.into_vec().map_err(io)?;
    let scales = output.column_max.unwrap_or_else(|| vec![output.max_abs]);
    let tolerance = (10.0 * spread).max(1e-4);
    Ok(Expected { name: output.name, shape: output.shape, step: output.step, values, scales, tolerance })
}

fn read(path: &Path) -> Result<Vec<u8>, ZooError> {
    std::fs::read(path).map_err(|source| ZooError::Io { path: path.into(), source })
}
