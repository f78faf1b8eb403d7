//! Loops in Rust as code for the vectors that this processor has. The program is compiled for the plainest processor of the
//! architecture; a loop that is worth it is compiled again for wider vectors and chosen when it runs. Nothing is contracted or
//! summed in another order, so the results are the same bits on every processor.
#![allow(unsafe_code)]

/// A loop that is worth it. `run`, and what it calls, must be `#[inline(always)]`: only what is inlined becomes wider.
pub trait Loop {
    /// The whole loop.
    fn run(self);
}

/// Runs a loop in its widest form.
pub fn wide(work: impl Loop) {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::Level;
        if Level::X86_64V4.available() {
            // SAFETY: the processor has the level's features.
            return unsafe { x86_64_v4(work) };
        }
        if Level::X86_64V3.available() {
            // SAFETY: as above.
            return unsafe { x86_64_v3(work) };
        }
    }
    work.run();
}

/// Rows of a matrix that [`add_products`] takes in one pass over the sums.
const ROWS: usize = 8;

/// `sums += x * matrix`, where the rows of the matrix are `stride` elements apart; each sum takes the rows in their order.
#[inline(always)]
pub(crate) fn add_products<S: Copy, T: Copy>(
    sums: &mut [S],
    x: &[S],
    matrix: &[T],
    stride: usize,
    add: impl Fn(S, S, T) -> S + Copy,
) {
    let whole = x.len() / ROWS * ROWS;
    for first in (0..whole).step_by(ROWS) {
        add_rows::<S, T, ROWS>(sums, &x[first..], &matrix[first * stride..], stride, add);
    }
    for row in whole..x.len() {
        add_rows::<S, T, 1>(sums, &x[row..], &matrix[row * stride..], stride, add);
    }
}

#[inline(always)]
fn add_rows<S: Copy, T: Copy, const N: usize>(
    sums: &mut [S],
    x: &[S],
    matrix: &[T],
    stride: usize,
    add: impl Fn(S, S, T) -> S,
) {
    let width = sums.len();
    let rows: [&[T]; N] = std::array::from_fn(|i| &matrix[i * stride..][..width]);
    let x: [S; N] = std::array::from_fn(|i| x[i]);
    for (j, sum) in sums.iter_mut().enumerate() {
        let mut next = *sum;
        for i in 0..N {
            next = add(next, x[i], rows[i][j]);
        }
        *sum = next;
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2")]
fn x86_64_v4(work: impl Loop) {
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn x86_64_v3(work: impl Loop) {
    work.run();
}

#[cfg(test)]
mod tests;
