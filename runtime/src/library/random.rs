//! Random tensors: RandomNormal, RandomUniform and their likes, Bernoulli, Multinomial.
//!
//! The generator is counter-based: draw `i` of a node is a fixed mixing of its key and `i` (the finaliser of SplitMix64 over an
//! odd multiple of the counter), so a result does not depend on the order in which its elements are made. The key is mixed from
//! the bits of the attribute `seed`: the same seed gives the same elements on every machine, in every run and at every optimisation.
//! Without a seed, the key comes from the process's hash keys and a count of such calls. ONNX leaves the stream to the
//! implementation; other engines give other numbers for the same seed.

use super::elements::{extents, named_type};
use super::function::{Entry, Function, Operands, Results, from_reals};
use super::{LibraryError, expect};
use crate::{DType, Value};
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

const fn drawn(name: &'static str, run: super::function::Run) -> Entry {
    Entry { name, run, pure: false }
}

pub(super) const TABLE: &[Entry] = &[
    drawn("random_normal", normal),
    drawn("random_uniform", uniform),
    drawn("bernoulli", bernoulli),
    drawn("multinomial", multinomial),
];

/// Draws of one node.
struct Stream {
    key: u64,
}

/// The finaliser of SplitMix64: every bit of the result depends on every bit of `x`.
fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// The golden ratio's fraction in 64 bits, an odd number.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Stream {
    fn of(function: &Function) -> Stream {
        static HASH: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        static CALLS: AtomicU64 = AtomicU64::new(0);
        if function.has("seed") {
            return Stream { key: mix(u64::from(function.float("seed", 0.0).to_bits()).wrapping_add(STEP)) };
        }
        Stream { key: HASH.hash_one(CALLS.fetch_add(1, Ordering::Relaxed)) }
    }
    fn bits(&self, i: u64) -> u64 {
        mix(self.key.wrapping_add(i.wrapping_add(1).wrapping_mul(STEP)))
    }
    /// From 0 inclusive to 1 exclusive, a multiple of two to the power of `-digits`.
    fn unit(&self, i: u64, digits: u32) -> f64 {
        (self.bits(i) >> (64 - digits)) as f64 / (1u64 << digits) as f64
    }
    /// Normal with mean 0 and deviation 1, by Box and Muller, from two draws.
    fn normal(&self, i: u64) -> f64 {
        let (radius, angle) = (1.0 - self.unit(2 * i, 53), self.unit(2 * i + 1, 53));
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}

/// Binary digits of a type's significand: a draw with more could round up to 1.
fn digits(dtype: DType) -> u32 {
    match dtype {
        DType::F16 => 11,
        DType::BF16 => 8,
        DType::F32 => 24,
        _ => 53,
    }
}

/// Shape and element type of the result: of the operand when there is one, else of the attribute.
fn result(function: &Function, operands: &Operands) -> Result<(Vec<usize>, DType), LibraryError> {
    let named = function.text("dtype", "");
    if operands.is_empty() {
        return Ok((extents(function.ints("shape"))?, named_type(if named.is_empty() { "f32" } else { named })?));
    }
    let x = operands.tensor(0)?;
    Ok((x.shape.to_vec(), if named.is_empty() { x.dtype } else { named_type(named)? }))
}

fn draw(shape: &[usize], dtype: DType, element: impl Fn(u64) -> f64) -> Results {
    expect(dtype.is_float() || dtype.is_integer() || dtype == DType::Bool, "types of numbers")?;
    let mut elements = super::real::zeros::<f64>(shape)?;
    for (i, to) in elements.iter_mut().enumerate() {
        *to = element(i as u64);
    }
    Ok(vec![Value::Tensor(from_reals(dtype, shape, &elements)?)])
}

fn normal(function: &Function, operands: &Operands) -> Results {
    let (shape, dtype) = result(function, operands)?;
    let (mean, scale) = (f64::from(function.float("mean", 0.0)), f64::from(function.float("scale", 1.0)));
    let stream = Stream::of(function);
    draw(&shape, dtype, |i| mean + scale * stream.normal(i))
}

fn uniform(function: &Function, operands: &Operands) -> Results {
    let (shape, dtype) = result(function, operands)?;
    let (low, high) = (f64::from(function.float("low", 0.0)), f64::from(function.float("high", 1.0)));
    let (stream, digits) = (Stream::of(function), digits(dtype));
    draw(&shape, dtype, |i| low + (high - low) * stream.unit(i, digits))
}

fn bernoulli(function: &Function, operands: &Operands) -> Results {
    let (shape, dtype) = result(function, operands)?;
    let chances = operands.reals(0)?;
    expect(chances.iter().all(|p| (0.0..=1.0).contains(p)), "probabilities from 0 to 1")?;
    let stream = Stream::of(function);
    draw(&shape, dtype, |i| f64::from(u8::from(stream.unit(i, 53) < chances[i as usize])))
}

/// Classes with chances in proportion to the exponentials of their logarithms.
fn multinomial(function: &Function, operands: &Operands) -> Results {
    let x = operands.tensor(0)?;
    let dtype = named_type(function.text("dtype", "i32"))?;
    let [batch, classes] = x.shape else {
        return Err(LibraryError::Operands { accepted: "logarithms [batch, class]" });
    };
    let Ok(samples @ 1..) = usize::try_from(function.int("sample_size", 1)) else {
        return Err(LibraryError::Operands { accepted: "one sample and more" });
    };
    expect(*classes > 0 || *batch == 0, "one class and more")?;
    let stream = Stream::of(function);
    let mut made = super::real::zeros::<f64>(&[*batch, samples])?;
    let logarithms = operands.reals(0)?;
    let mut sums = super::real::zeros::<f64>(&[if *batch == 0 { 0 } else { *classes }])?;
    for (row, (logarithms, to)) in
        logarithms.chunks_exact((*classes).max(1)).zip(made.chunks_exact_mut(samples)).enumerate()
    {
        let largest = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        expect(largest.is_finite(), "logarithms with a finite largest one")?;
        let mut total = 0.0;
        for (sum, x) in sums.iter_mut().zip(logarithms) {
            total += (x - largest).exp();
            *sum = total;
        }
        for (i, to) in to.iter_mut().enumerate() {
            let mark = total * stream.unit((row * samples + i) as u64, 53);
            *to = sums.partition_point(|sum| *sum <= mark).min(classes - 1) as f64;
        }
    }
    Ok(vec![Value::Tensor(match dtype {
        DType::I64 | DType::I32 => from_reals(dtype, &[*batch, samples], &made)?,
        dtype => return Err(LibraryError::Type { what: "a number of a class", dtype }),
    })])
}

#[cfg(test)]
mod tests;
