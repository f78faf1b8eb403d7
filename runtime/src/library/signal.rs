//! Signals: DFT, STFT, MelWeightMatrix and the windows, computed in f64 and rounded once.

mod fft;
mod mel;
mod transform;

use super::LibraryError;
use super::function::{Entry, Function, Operands, Results, from_reals, pure};
use crate::DType;
use std::f64::consts::PI;

pub(super) const TABLE: &[Entry] = &[
    pure("dft", transform::dft),
    pure("stft", transform::stft),
    pure("mel_weight_matrix", mel::mel_weight_matrix),
    pure("hann_window", hann),
    pure("hamming_window", hamming),
    pure("blackman_window", blackman),
];

/// The single integer that operand `i` is.
fn integer(operands: &Operands, i: usize) -> Result<i64, LibraryError> {
    match operands.integers(i)?[..] {
        [one] => Ok(one),
        _ => Err(LibraryError::Operands { accepted: "a scalar here" }),
    }
}

/// The element type that attribute `dtype` names.
fn output_type(function: &Function) -> Result<DType, LibraryError> {
    let name = function.text("dtype", "f32");
    let accepted = LibraryError::Operands { accepted: "an element type of numbers" };
    DType::from_name(name).filter(|d| *d != DType::String).ok_or(accepted)
}

/// Results longer than this are mistakes or attacks.
const MAX_LENGTH: usize = 1 << 28;

fn hann(function: &Function, operands: &Operands) -> Results {
    window(function, operands, |x| 0.5 - 0.5 * x.cos())
}
fn hamming(function: &Function, operands: &Operands) -> Results {
    window(function, operands, |x| 25.0 / 46.0 - 21.0 / 46.0 * x.cos())
}
fn blackman(function: &Function, operands: &Operands) -> Results {
    window(function, operands, |x| 0.42 - 0.5 * x.cos() + 0.08 * (2.0 * x).cos())
}

/// `f` over one turn, the end included if the window is not periodic.
fn window(function: &Function, operands: &Operands, f: impl Fn(f64) -> f64) -> Results {
    let size = usize::try_from(integer(operands, 0)?).ok().filter(|n| *n <= MAX_LENGTH);
    let size = size.ok_or(LibraryError::Operands { accepted: "a size from 0 to 2^28" })?;
    let turn = if function.int("periodic", 1) != 0 { size } else { size.saturating_sub(1) };
    // One sample alone is the middle of its window.
    let at = |n: usize| if turn == 0 { PI } else { 2.0 * PI * n as f64 / turn as f64 };
    let samples: Vec<f64> = (0..size).map(|n| f(at(n))).collect();
    Ok(vec![from_reals(output_type(function)?, &[size], &samples)?.into()])
}

#[cfg(test)]
mod tests;
