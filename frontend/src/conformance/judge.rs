//! Outputs against expected ones, and the one table of tolerances.
//!
//! An element passes when `|got - expected| <= absolute + relative * |expected|`; NaN matches NaN and an infinity itself.
//! Integers, booleans and texts must be equal, shapes and types always.

use super::{DataSet, random};
use brolga_runtime::library::function::reals;
use brolga_runtime::{DType, Tensor, Value};

/// How far a floating-point element may be from what is expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Share of the expected magnitude.
    pub relative: f64,
    /// Whatever the magnitude.
    pub absolute: f64,
}

/// What the suite's own runner accepts.
const DEFAULT: Tolerance = Tolerance { relative: 1e-3, absolute: 1e-7 };

/// Exceptions, the first that fits holds: how the name of the case begins, element type (any when absent), tolerance, and why.
const TABLE: &[(&str, Option<DType>, Tolerance, &str)] = &[
    ("light_densenet121", None, Tolerance { relative: 2e-3, absolute: 1e-7 }, "the suite's own exception"),
    (
        "test_dft_inverse",
        Some(DType::F32),
        Tolerance { relative: 1e-3, absolute: 1e-6 },
        "expected values are a transform in f32 with results up to 54; its zeros are off by 2e-7",
    ),
    (
        "random_",
        None,
        Tolerance { relative: 1e-3, absolute: 1e-4 },
        "deep random graphs, whose values are near one and may cancel",
    ),
    (
        "node_",
        None,
        Tolerance { relative: 1e-3, absolute: 1e-5 },
        "single nodes with random operands: sums of some hundred products that may cancel",
    ),
    (
        "test_",
        Some(DType::F16),
        Tolerance { relative: 2e-3, absolute: 1e-3 },
        "expected values are rounded at every step, ours once: one or two units of an element near 1",
    ),
    (
        "test_",
        Some(DType::BF16),
        Tolerance { relative: 1.6e-2, absolute: 1e-2 },
        "expected values are rounded at every step, ours once: two units",
    ),
];

/// The tolerance for outputs of this type of a case.
pub fn tolerance(case: &str, dtype: DType) -> Tolerance {
    let fits = |(prefix, only, _, _): &&(&str, Option<DType>, Tolerance, &str)| {
        case.starts_with(prefix) && only.is_none_or(|only| only == dtype)
    };
    TABLE.iter().find(fits).map_or(DEFAULT, |(_, _, tolerance, _)| *tolerance)
}

/// Compares the outputs of a run with the expected ones; an error says what is wrong. `got` are all outputs by name.
pub fn judge(case: &str, set: &DataSet, got: &[(String, Value)]) -> Result<(), String> {
    if got.len() < set.outputs.len() {
        return Err(format!("{} outputs, expected {}", got.len(), set.outputs.len()));
    }
    let mut pairs = Vec::new();
    for (name, want) in &set.outputs {
        let Some((_, got)) = got.iter().find(|(n, _)| n == name) else {
            return Err(format!("output {name:?} is missing"));
        };
        pairs.push((got, want));
    }
    if let Some(check) = random::check_of(case) {
        return check(&set.inputs, &pairs);
    }
    for ((name, _), (got, want)) in set.outputs.iter().zip(pairs) {
        compare(case, got, want).map_err(|what| format!("output {name:?}: {what}"))?;
    }
    Ok(())
}

/// Compares two values.
fn compare(case: &str, got: &Value, want: &Value) -> Result<(), String> {
    match (got, want) {
        (Value::Tensor(got), Value::Tensor(want)) => compare_tensors(case, got, want),
        (Value::Strings(got), Value::Strings(want)) if got.shape() != want.shape() => {
            Err(format!("string{:?}, expected string{:?}", got.shape(), want.shape()))
        }
        (Value::Strings(got), Value::Strings(want)) => {
            match got.elements().iter().zip(want.elements()).position(|(a, b)| a != b) {
                Some(at) => {
                    Err(format!("element {at} is {:?}, expected {:?}", got.elements()[at], want.elements()[at]))
                }
                None => Ok(()),
            }
        }
        (Value::Map(got), Value::Map(want)) if got.keys() != want.keys() => {
            Err(format!("a map of the keys {:?}, expected {:?}", got.keys(), want.keys()))
        }
        (Value::Map(got), Value::Map(want)) => compare(case, got.values(), want.values()),
        (Value::Sequence(got), Value::Sequence(want)) if got.len() != want.len() => {
            Err(format!("a sequence of {}, expected one of {}", got.len(), want.len()))
        }
        (Value::Sequence(got), Value::Sequence(want)) => {
            let mut pairs = got.iter().zip(want).enumerate();
            pairs.try_for_each(|(i, (got, want))| compare(case, got, want).map_err(|what| format!("[{i}]: {what}")))
        }
        (Value::Optional(None), Value::Optional(None)) => Ok(()),
        (Value::Optional(Some(got)), Value::Optional(Some(want))) => compare(case, got, want),
        // An optional with a value is that value to a runner that has no optionals.
        (got, Value::Optional(Some(want))) if !matches!(got, Value::Optional(_)) => compare(case, got, want),
        (got, want) => Err(format!("{}, expected {}", describe(got), describe(want))),
    }
}

pub(super) fn same_type(got: &Tensor, want: &Tensor) -> Result<(), String> {
    if got.dtype() == want.dtype() && got.shape() == want.shape() {
        return Ok(());
    }
    Err(format!("{got:?}, expected {want:?}"))
}

fn compare_tensors(case: &str, got: &Tensor, want: &Tensor) -> Result<(), String> {
    same_type(got, want)?;
    if got.bytes() == want.bytes() {
        return Ok(());
    }
    let numbers = |t: &Tensor| reals(&t.view()).map_err(|e| e.to_string());
    let Tolerance { relative, absolute } = match want.dtype().is_float() {
        true => tolerance(case, want.dtype()),
        false => Tolerance { relative: 0.0, absolute: 0.0 },
    };
    let (mut wrong, mut first) = (0usize, None);
    for (i, (x, y)) in numbers(got)?.into_iter().zip(numbers(want)?).enumerate() {
        let near = x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= absolute + relative * y.abs();
        if !near || (x - y).is_infinite() {
            wrong += 1;
            first = first.or(Some((i, x, y)));
        }
    }
    match first {
        // Numbers too large for f64 to tell apart differ in their bytes alone.
        None if !want.dtype().is_float() => Err("integers beyond 2^53 differ".into()),
        None => Ok(()),
        Some((i, x, y)) => {
            Err(format!("{wrong} of {} elements of {want:?} differ, first {i}: {x:e}, expected {y:e}", want.len()))
        }
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Tensor(tensor) => format!("{tensor:?}"),
        Value::Strings(strings) => format!("string{:?}", strings.shape()),
        Value::Sequence(values) => format!("a sequence of {}", values.len()),
        Value::Map(map) => format!("a map of {} to {}", map.keys().dtype(), map.dtype()),
        Value::Optional(None) => "no value".into(),
        Value::Optional(Some(inner)) => format!("an optional of {}", describe(inner)),
        _ => "another kind of value".into(),
    }
}
