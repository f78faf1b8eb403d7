//! DFT along an axis, STFT of a batch of signals.

use super::super::function::{Function, Operands, Results, from_reals};
use super::super::{LibraryError, expect};
use super::fft::{Complex, Plan};
use super::{MAX_LENGTH, integer};

/// Numbers of parts of an element: real, or real and imaginary.
fn parts(shape: &[usize]) -> Result<usize, LibraryError> {
    match shape.last() {
        Some(n @ 1..=2) => Ok(*n),
        _ => Err(LibraryError::Operands { accepted: "a last dimension of 1 (real) or 2 (complex)" }),
    }
}

/// Elements that results may have in all; a transform is computed in 16 bytes each.
fn check_size(extents: &[usize]) -> Result<usize, LibraryError> {
    let count = crate::element_count(extents).filter(|n| *n <= MAX_LENGTH);
    count.ok_or(LibraryError::Operands { accepted: "a transform of up to 2^28 elements" })
}

/// Attributes `inverse` and `onesided`; operands `[x, length?, axis?]`, where the axis may also be an attribute.
pub(super) fn dft(function: &Function, operands: &Operands) -> Results {
    let x = operands.tensor(0)?;
    let parts = parts(x.shape)?;
    let rank = x.shape.len();
    let given = match operands.optional(2)? {
        Some(_) => integer(operands, 2)?,
        None => function.int("axis", -2),
    };
    let from_start = if given < 0 { given.saturating_add(rank as i64) } else { given };
    let axis = usize::try_from(from_start).ok().filter(|a| a + 1 < rank);
    let axis = axis.ok_or(LibraryError::Operands { accepted: "an axis of the operand, but for the last" })?;
    let (inverse, onesided) = (function.int("inverse", 0) != 0, function.int("onesided", 0) != 0);
    expect(
        !onesided || (parts == 1) != inverse,
        "real operands for a one-sided transform, complex ones for its inverse",
    )?;
    let extent = x.shape[axis];
    let length = match operands.optional(1)? {
        Some(_) => usize::try_from(integer(operands, 1)?).unwrap_or(0),
        None if onesided && inverse => 2 * extent.saturating_sub(1),
        None => extent,
    };
    expect((1..=MAX_LENGTH).contains(&length), "a length from 1 to 2^28")?;
    let kept = if onesided && !inverse { length / 2 + 1 } else { length };
    let last = if onesided && inverse { 1 } else { 2 };
    let mut shape = x.shape.to_vec();
    (shape[axis], shape[rank - 1]) = (kept, last);
    let mut out = vec![0.0; check_size(&shape)?];

    let elements = operands.reals(0)?;
    let inner: usize = x.shape[axis + 1..rank - 1].iter().product();
    let outer: usize = x.shape[..axis].iter().product();
    let plan = Plan::new(length);
    let mut line = vec![[0.0; 2]; length];
    for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
        let at = |n: usize| {
            let from = ((o * extent + n) * inner + i) * parts;
            [elements[from], if parts == 2 { elements[from + 1] } else { 0.0 }]
        };
        load(&mut line, extent, onesided && inverse, at);
        if inverse {
            plan.inverse(&mut line)
        } else {
            plan.forward(&mut line)
        }
        for (k, value) in line.iter().take(kept).enumerate() {
            let to = ((o * kept + k) * inner + i) * last;
            out[to..to + last].copy_from_slice(&value[..last]);
        }
    }
    Ok(vec![from_reals(x.dtype, &shape, &out)?.into()])
}

/// The line's elements, zero after the end; of half a spectrum the other half is its mirror image.
fn load(line: &mut [Complex], extent: usize, half: bool, at: impl Fn(usize) -> Complex) {
    let length = line.len();
    for (n, to) in line.iter_mut().enumerate() {
        let mirrored = half && n > length / 2;
        let from = if mirrored { length - n } else { n };
        let [re, im] = if from < extent { at(from) } else { [0.0; 2] };
        *to = [re, if mirrored { -im } else { im }];
    }
    if half {
        // These are their own mirror images.
        line[0][1] = 0.0;
        if length.is_multiple_of(2) {
            line[length / 2][1] = 0.0;
        }
    }
}

/// Operands `[signal, step, window?, length?]`, the signal `[batch, samples, 1 or 2]` or `[batch, samples]`.
pub(super) fn stft(function: &Function, operands: &Operands) -> Results {
    let signal = operands.tensor(0)?;
    let (batch, samples, parts) = match *signal.shape {
        [batch, samples] => (batch, samples, 1),
        [batch, samples, parts @ 1..=2] => (batch, samples, parts),
        _ => return Err(LibraryError::Operands { accepted: "a signal [batch, samples, 1 or 2]" }),
    };
    let step = usize::try_from(integer(operands, 1)?).ok().filter(|n| *n > 0);
    let step = step.ok_or(LibraryError::Operands { accepted: "a step from 1" })?;
    let window = operands.optional(2)?.map(|_| operands.reals(2)).transpose()?;
    let length = match (operands.optional(3)?, &window) {
        (Some(_), _) => usize::try_from(integer(operands, 3)?).unwrap_or(0),
        (None, Some(window)) => window.len(),
        (None, None) => samples,
    };
    expect(length > 0 && length <= samples, "frames of 1 sample up to all")?;
    expect(window.as_ref().is_none_or(|w| w.len() == length), "a window as long as a frame")?;
    let onesided = function.int("onesided", 1) != 0;
    expect(!(onesided && parts == 2), "onesided of 0 for complex signals")?;
    let (frames, kept) = (1 + (samples - length) / step, if onesided { length / 2 + 1 } else { length });
    let shape = [batch, frames, kept, 2];
    let mut out = Vec::with_capacity(check_size(&shape)?);

    let elements = operands.reals(0)?;
    let plan = Plan::new(length);
    let mut line = vec![[0.0; 2]; length];
    for (sample, frame) in (0..batch).flat_map(|b| (0..frames).map(move |f| (b, f))) {
        let begin = sample * samples + frame * step;
        for (n, to) in line.iter_mut().enumerate() {
            let from = (begin + n) * parts;
            let weight = window.as_ref().map_or(1.0, |w| w[n]);
            *to = [elements[from] * weight, if parts == 2 { elements[from + 1] * weight } else { 0.0 }];
        }
        plan.forward(&mut line);
        out.extend(line.iter().take(kept).flatten());
    }
    Ok(vec![from_reals(signal.dtype, &shape, &out)?.into()])
}
