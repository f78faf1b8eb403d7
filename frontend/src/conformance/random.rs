//! Cases whose expected values are one draw of many: judged by type, shape, range and distribution.

use super::judge::same_type;
use brolga_runtime::library::function::reals;
use brolga_runtime::{DType, Tensor, Value};

/// Inputs by name, and pairs of output and expected output.
type Check = fn(&[(String, Value)], &[(&Value, &Value)]) -> Result<(), String>;

/// How the name of the case begins, and how its outputs are judged. The first that fits holds.
const TABLE: &[(&str, Check)] = &[
    ("test_bernoulli", bernoulli),
    // With nothing dropped there is nothing random: such cases are compared element by element.
    ("test_training_dropout_default", dropout),
    ("test_training_dropout_mask", dropout),
];
const ALONE: &[(&str, Check)] = &[("test_training_dropout", dropout)];

pub(super) fn check_of(case: &str) -> Option<Check> {
    if case.starts_with("test_bernoulli") && case.ends_with("_expanded") {
        return Some(bernoulli_body);
    }
    let alone = ALONE.iter().find(|(name, _)| *name == case);
    alone.or_else(|| TABLE.iter().find(|(prefix, _)| case.starts_with(prefix))).map(|(_, check)| *check)
}

/// Whether the outputs of a case are random.
pub fn is_random(case: &str) -> bool {
    check_of(case).is_some()
}

/// Standard deviations that a mean may be off: a fair draw is further off once in fifteen thousand.
const DEVIATIONS: f64 = 4.0;

fn tensor(value: Option<&Value>) -> Result<&Tensor, String> {
    value.and_then(Value::as_tensor).ok_or_else(|| "a tensor is missing".into())
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>, String> {
    reals(&tensor.view()).map_err(|e| e.to_string())
}

/// Refuses `count` successes where each of the trials has this probability, when it is too unlikely.
fn likely(count: f64, probabilities: &[f64]) -> Result<(), String> {
    let mean: f64 = probabilities.iter().sum();
    let variance: f64 = probabilities.iter().map(|p| p * (1.0 - p)).sum();
    if (count - mean).abs() <= DEVIATIONS * variance.sqrt() + 1e-9 {
        return Ok(());
    }
    Err(format!("{count} of {} are set, {mean} are expected on average", probabilities.len()))
}

/// Zeros and ones, as many ones as the input's probabilities make likely.
fn bernoulli(inputs: &[(String, Value)], pairs: &[(&Value, &Value)]) -> Result<(), String> {
    ones(&numbers(tensor(inputs.first().map(|(_, v)| v))?)?, pairs)
}

/// The operator's body in the specification compares the other way round: an element is one where the draw is above it.
fn bernoulli_body(inputs: &[(String, Value)], pairs: &[(&Value, &Value)]) -> Result<(), String> {
    let probabilities = numbers(tensor(inputs.first().map(|(_, v)| v))?)?;
    ones(&probabilities.iter().map(|p| 1.0 - p).collect::<Vec<_>>(), pairs)
}

fn ones(probabilities: &[f64], pairs: &[(&Value, &Value)]) -> Result<(), String> {
    for (got, want) in pairs {
        let (got, want) = (tensor(Some(got))?, tensor(Some(want))?);
        same_type(got, want)?;
        let drawn = numbers(got)?;
        if let Some(other) = drawn.iter().find(|x| **x != 0.0 && **x != 1.0) {
            return Err(format!("{other} is neither 0 nor 1"));
        }
        likely(drawn.iter().sum(), probabilities)?;
    }
    Ok(())
}

/// Zeros, and elements of the input over the share that is kept; a mask that says which, where it is asked for.
fn dropout(inputs: &[(String, Value)], pairs: &[(&Value, &Value)]) -> Result<(), String> {
    let x = numbers(tensor(inputs.first().map(|(_, v)| v))?)?;
    let ratio = match inputs.get(1).and_then(|(_, v)| v.as_tensor()).filter(|t| t.dtype() != DType::Bool) {
        Some(ratio) => numbers(ratio)?.first().copied().unwrap_or(0.5),
        None => 0.5,
    };
    let Some((got, want)) = pairs.first() else { return Err("no output".into()) };
    let (y, want) = (tensor(Some(got))?, tensor(Some(want))?);
    same_type(y, want)?;
    let y = numbers(y)?;
    let mask = match pairs.get(1) {
        Some((mask, want)) => {
            let mask = tensor(Some(mask))?;
            same_type(mask, tensor(Some(want))?)?;
            numbers(mask)?.iter().map(|m| *m != 0.0).collect()
        }
        None => y.iter().map(|y| *y != 0.0).collect::<Vec<bool>>(),
    };
    for ((x, y), kept) in x.iter().zip(&y).zip(&mask) {
        let wanted = if *kept { x / (1.0 - ratio) } else { 0.0 };
        if (wanted - y).abs() > 1e-5 * wanted.abs() {
            return Err(format!("{y} where {wanted} is expected of {x}"));
        }
    }
    let kept = mask.iter().filter(|kept| **kept).count();
    likely(kept as f64, &vec![1.0 - ratio; x.len()])
}
