//! The discrete Fourier transform of any length: halving for powers of two, else as a convolution of such a length.

use std::f64::consts::PI;

/// Real and imaginary part.
pub(super) type Complex = [f64; 2];

fn times(a: Complex, b: Complex) -> Complex {
    [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

/// `e^(-i pi numerator / denominator)`
fn turn(numerator: usize, denominator: usize) -> Complex {
    let angle = PI * numerator as f64 / denominator as f64;
    [angle.cos(), -angle.sin()]
}

/// A transform of one length.
pub(super) struct Plan {
    length: usize,
    method: Method,
}

enum Method {
    /// Roots of unity of the first half turn.
    Halving(Vec<Complex>),
    /// `chirp[n] = e^(-i pi n^2 / length)`, and the transform of its conjugate, wrapped around a power of two.
    Chirp { chirp: Vec<Complex>, spectrum: Vec<Complex>, inner: Box<Plan> },
}

impl Plan {
    /// For `length` elements, at least 1.
    pub(super) fn new(length: usize) -> Plan {
        if length.is_power_of_two() {
            let half = length / 2;
            let roots = (0..half).map(|k| turn(k, half.max(1))).collect();
            return Plan { length, method: Method::Halving(roots) };
        }
        let inner = Plan::new((2 * length - 1).next_power_of_two());
        // n^2 modulo a whole turn, so that no digits are lost to large angles.
        let square = |n: usize| ((n as u128 * n as u128) % (2 * length as u128)) as usize;
        let chirp: Vec<Complex> = (0..length).map(|n| turn(square(n), length)).collect();
        let mut spectrum = vec![[0.0; 2]; inner.length];
        for (n, [re, im]) in chirp.iter().enumerate() {
            spectrum[n] = [*re, -im];
            if n > 0 {
                spectrum[inner.length - n] = [*re, -im];
            }
        }
        inner.forward(&mut spectrum);
        Plan { length, method: Method::Chirp { chirp, spectrum, inner: Box::new(inner) } }
    }

    /// `y[k] = sum of x[n] e^(-2 pi i k n / length)`, in place.
    pub(super) fn forward(&self, x: &mut [Complex]) {
        match &self.method {
            Method::Halving(roots) => halving(x, roots),
            Method::Chirp { chirp, spectrum, inner } => {
                let mut wide = vec![[0.0; 2]; inner.length];
                for ((to, from), c) in wide.iter_mut().zip(x.iter()).zip(chirp) {
                    *to = times(*from, *c);
                }
                inner.forward(&mut wide);
                for (a, b) in wide.iter_mut().zip(spectrum) {
                    *a = times(*a, *b);
                }
                inner.inverse(&mut wide);
                for ((to, from), c) in x.iter_mut().zip(&wide).zip(chirp) {
                    *to = times(*from, *c);
                }
            }
        }
    }

    /// The inverse of [`Plan::forward`].
    pub(super) fn inverse(&self, x: &mut [Complex]) {
        x.iter_mut().for_each(|c| c[1] = -c[1]);
        self.forward(x);
        let scale = 1.0 / self.length as f64;
        x.iter_mut().for_each(|c| *c = [c[0] * scale, -c[1] * scale]);
    }
}

fn halving(x: &mut [Complex], roots: &[Complex]) {
    let length = x.len();
    if length < 2 {
        return;
    }
    let bits = length.trailing_zeros();
    for i in 0..length {
        let j = i.reverse_bits() >> (usize::BITS - bits);
        if i < j {
            x.swap(i, j);
        }
    }
    let mut half = 1;
    while half < length {
        let step = roots.len() / half;
        for block in x.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for ((a, b), root) in low.iter_mut().zip(high).zip(roots.iter().step_by(step)) {
                let turned = times(*b, *root);
                *b = [a[0] - turned[0], a[1] - turned[1]];
                *a = [a[0] + turned[0], a[1] + turned[1]];
            }
        }
        half *= 2;
    }
}
