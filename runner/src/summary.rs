//! Outputs in words: the classes of a classifier, the range of everything else.

use crate::described;
use crate::exit::Failure;
use brolga_runtime::{DType, MapKeys, Tensor, Value};
use std::fmt::Write;
use std::path::Path;

#[cfg(test)]
mod tests;

/// Classes shown.
const TOP: usize = 5;
/// Elements shown of what is no tensor of numbers.
const SHOWN: usize = 10;
/// Longest file of labels that is read.
const MAX_LABELS: u64 = 64 << 20;

/// Names of the classes.
#[derive(Clone, Debug, Default)]
pub struct Labels(Vec<String>);

impl Labels {
    /// Reads a text file, one name a line.
    pub fn read(path: &Path) -> Result<Labels, Failure> {
        let failure = |error: std::io::Error| Failure::machine(format!("{}: {error}", path.display()));
        if std::fs::metadata(path).map_err(failure)?.len() > MAX_LABELS {
            return Err(Failure::usage(format!("{}: more than {MAX_LABELS} bytes", path.display())));
        }
        let bytes = std::fs::read(path).map_err(failure)?;
        Ok(Labels(String::from_utf8_lossy(&bytes).lines().map(str::to_string).collect()))
    }

    fn name(&self, class: usize) -> &str {
        self.0.get(class).map_or("", String::as_str)
    }
}

/// The likeliest classes and their probabilities, when a tensor is the answer of a classifier for one picture: f32, at least
/// two numbers, all dimensions 1 but one. Numbers that do not sum to 1 go through a softmax.
pub fn top_classes(tensor: &Tensor, most: usize) -> Option<Vec<(usize, f32)>> {
    let long: Vec<usize> = tensor.shape().iter().copied().filter(|extent| *extent != 1).collect();
    let scores = tensor.as_slice::<f32>().ok()?;
    if long.len() != 1 || scores.len() < 2 || scores.iter().any(|x| !x.is_finite()) {
        return None;
    }
    let sum: f32 = scores.iter().sum();
    let are_probabilities = scores.iter().all(|x| (0.0..=1.0).contains(x)) && (sum - 1.0).abs() < 1e-3;
    let probabilities: Vec<f32> = if are_probabilities {
        scores.to_vec()
    } else {
        let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = scores.iter().map(|x| f64::from(x - max).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().map(|x| (x / sum) as f32).collect()
    };
    let mut classes: Vec<(usize, f32)> = probabilities.into_iter().enumerate().collect();
    classes.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    classes.truncate(most);
    Some(classes)
}

/// A few lines about an output.
pub fn summarise(name: &str, tensor: &Tensor, labels: &Labels) -> String {
    let mut text = format!("{name}: {}{:?}", tensor.dtype(), tensor.shape());
    // Writing to a string does not fail.
    if let Some(classes) = top_classes(tensor, TOP) {
        for (class, probability) in classes {
            let _ = write!(text, "\n  {class:>5}  {:>6.2} %  {}", probability * 100.0, labels.name(class));
            text.truncate(text.trim_end().len());
        }
        return text + "\n";
    }
    let values = as_floats(tensor);
    if values.len() == 1 {
        let _ = write!(text, " = {}", values[0]);
    } else if !values.is_empty() {
        let (least, most) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(*x), b.max(*x)));
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let _ = write!(text, "  min {least:.6}  max {most:.6}  mean {mean:.6}");
        let odd = values.iter().filter(|x| !x.is_finite()).count();
        if odd > 0 {
            let _ = write!(text, "  ({odd} not finite)");
        }
    }
    text + "\n"
}

/// A line about an output that is no tensor of numbers; for a sequence a line about each of its first elements.
pub fn summarise_value(name: &str, value: &Value) -> String {
    let mut text = format!("{name}: {}", described(value));
    // Writing to a string does not fail.
    match value {
        Value::Tensor(tensor) => return summarise(name, tensor, &Labels::default()),
        Value::Optional(Some(inner)) => return summarise_value(name, inner),
        Value::Strings(_) | Value::Map(_) => {
            let _ = write!(text, " = {}", elements(value));
        }
        Value::Sequence(values) => {
            for value in values.iter().take(SHOWN) {
                let _ = write!(text, "\n  {}", elements(value));
            }
            if values.len() > SHOWN {
                text.push_str("\n  ...");
            }
        }
        _ => {}
    }
    text + "\n"
}

/// The first elements of a value.
fn elements(value: &Value) -> String {
    let list = |all: Vec<String>| {
        let more = if all.len() > SHOWN { ", ..." } else { "" };
        all.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ") + more
    };
    match value {
        Value::Strings(texts) => format!("[{}]", list(texts.elements().iter().map(|s| format!("{s:?}")).collect())),
        Value::Tensor(tensor) => {
            format!("{} [{}]", described(value), list(as_floats(tensor).iter().map(f64::to_string).collect()))
        }
        Value::Map(map) => {
            let keys: Vec<String> = match map.keys() {
                MapKeys::Ints(keys) => keys.iter().map(i64::to_string).collect(),
                MapKeys::Texts(keys) => keys.iter().map(|key| format!("{key:?}")).collect(),
            };
            let values: Vec<String> = match map.values() {
                Value::Strings(texts) => texts.elements().iter().map(|s| format!("{s:?}")).collect(),
                // As f32 prints it, not with the digits of a wider type.
                Value::Tensor(tensor) => match tensor.as_slice::<f32>() {
                    Ok(values) => values.iter().map(f32::to_string).collect(),
                    Err(_) => as_floats(tensor).iter().map(f64::to_string).collect(),
                },
                _ => Vec::new(),
            };
            format!("{{{}}}", list(keys.iter().zip(values).map(|(key, value)| format!("{key}: {value}")).collect()))
        }
        other => described(other),
    }
}

/// The elements as f64, for figures in a summary.
fn as_floats(tensor: &Tensor) -> Vec<f64> {
    let wide = Tensor::zeros(DType::F64, tensor.shape()).ok().and_then(|mut wide| {
        brolga_runtime::library::cast(&tensor.view(), &mut wide.view_mut()).ok()?;
        Some(wide.as_slice::<f64>().ok()?.to_vec())
    });
    // Texts have no figures.
    wide.unwrap_or_default()
}
