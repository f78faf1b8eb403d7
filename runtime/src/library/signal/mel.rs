//! MelWeightMatrix.

use super::super::function::{Function, Operands, Results, from_reals};
use super::super::{LibraryError, expect};
use super::{MAX_LENGTH, integer, output_type};

fn real(operands: &Operands, i: usize) -> Result<f64, LibraryError> {
    match operands.reals(i)?[..] {
        [one] => Ok(one),
        _ => Err(LibraryError::Operands { accepted: "a scalar here" }),
    }
}

/// Triangles over the bins of a spectrum, equally wide on the mel scale: `[dft_length / 2 + 1, num_mel_bins]`.
pub(super) fn mel_weight_matrix(function: &Function, operands: &Operands) -> Results {
    let size = |i: usize| {
        usize::try_from(integer(operands, i)?)
            .ok()
            .filter(|n| *n <= MAX_LENGTH)
            .ok_or(LibraryError::Operands { accepted: "sizes from 0 to 2^28" })
    };
    let (bands, length) = (size(0)?, size(1)?);
    let rate = integer(operands, 2)?;
    let (low, high) = (real(operands, 3)?, real(operands, 4)?);
    expect(rate > 0 && low.is_finite() && high.is_finite() && low > -700.0, "a positive rate and finite edges")?;
    let bins = length / 2 + 1;
    let count = bins.checked_mul(bands).filter(|n| *n <= MAX_LENGTH);
    let count = count.ok_or(LibraryError::Operands { accepted: "a matrix of up to 2^28 elements" })?;

    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let step = (mel(high) - mel(low)) / (bands + 2) as f64;
    let edge = |i: usize| -> Result<usize, LibraryError> {
        let hertz = 700.0 * (10f64.powf((i as f64 * step + mel(low)) / 2595.0) - 1.0);
        let bin = ((length + 1) as f64 * hertz / rate as f64).floor();
        expect(bin >= 0.0 && bin < bins as f64, "edges from 0 to half the sample rate")?;
        Ok(bin as usize)
    };
    let mut out = vec![0.0; count];
    for band in 0..bands {
        let (left, centre, right) = (edge(band)?, edge(band + 1)?, edge(band + 2)?);
        expect(left <= centre && centre <= right, "a lower edge below the upper one")?;
        for bin in left..right {
            let rising = bin <= centre && left < centre;
            let (part, whole) = if rising { (bin - left, centre - left) } else { (right - bin, right - centre) };
            out[bin * bands + band] = part as f64 / whole as f64;
        }
        out[centre * bands + band] = 1.0;
    }
    Ok(vec![from_reals(output_type(function)?, &[bins, bands], &out)?.into()])
}
