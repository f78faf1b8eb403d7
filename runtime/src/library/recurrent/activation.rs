//! The functions of a recurrent cell, with their parameters in the order in which ONNX hands them out.

use super::super::LibraryError;
use super::super::function::Function;
use super::smooth;
use crate::Element;

/// The element types that cells are computed in.
pub(super) trait Real:
    Element
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::AddAssign
{
    fn of(x: f64) -> Self;
    fn exp(self) -> Self;
    fn tanh(self) -> Self;
    /// 1 / (1 + e^-x) of every element.
    fn sigmoids(elements: &mut [Self]);
    /// tanh of every element.
    fn tanhs(elements: &mut [Self]);
    /// ln(1 + e^x), without overflow.
    fn softplus(self) -> Self;
    fn abs(self) -> Self;
    fn over(self, divisor: Self) -> Self;
}

macro_rules! reals {
    ($($t:ty, $sigmoids:expr, $tanhs:expr);*) => { $(impl Real for $t {
        fn of(x: f64) -> Self { x as $t }
        fn exp(self) -> Self { self.exp() }
        fn tanh(self) -> Self { self.tanh() }
        fn sigmoids(elements: &mut [Self]) { $sigmoids(elements) }
        fn tanhs(elements: &mut [Self]) { $tanhs(elements) }
        fn softplus(self) -> Self { self.max(0.0) + (-self.abs()).exp().ln_1p() }
        fn abs(self) -> Self { self.abs() }
        fn over(self, divisor: Self) -> Self { self / divisor }
    })* };
}
reals!(
    f32, smooth::sigmoid, smooth::tanh;
    f64, |all: &mut [f64]| all.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
    |all: &mut [f64]| all.iter_mut().for_each(|x| *x = x.tanh())
);

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Activation {
    Relu,
    Tanh,
    Sigmoid,
    Softsign,
    Softplus,
    /// alpha * x + beta
    Affine(f32, f32),
    LeakyRelu(f32),
    ThresholdedRelu(f32),
    /// alpha * tanh(beta * x)
    ScaledTanh(f32, f32),
    /// max(0, min(1, alpha * x + beta))
    HardSigmoid(f32, f32),
    Elu(f32),
}

impl Activation {
    /// Applies it to every element.
    pub(super) fn apply<T: Real>(self, elements: &mut [T]) {
        let of = |x: f32| T::of(f64::from(x));
        let (zero, one) = (T::of(0.0), T::of(1.0));
        let each = |elements: &mut [T], f: &dyn Fn(T) -> T| elements.iter_mut().for_each(|x| *x = f(*x));
        match self {
            Activation::Relu => elements.iter_mut().for_each(|x| *x = if *x > zero { *x } else { zero }),
            Activation::Tanh => T::tanhs(elements),
            Activation::Sigmoid => T::sigmoids(elements),
            Activation::Softsign => each(elements, &|x| x.over(one + x.abs())),
            Activation::Softplus => each(elements, &|x| x.softplus()),
            Activation::Affine(a, b) => each(elements, &|x| of(a) * x + of(b)),
            Activation::LeakyRelu(a) => each(elements, &|x| if x < zero { of(a) * x } else { x }),
            Activation::ThresholdedRelu(a) => each(elements, &|x| if x > of(a) { x } else { zero }),
            Activation::ScaledTanh(a, b) => each(elements, &|x| of(a) * (of(b) * x).tanh()),
            Activation::HardSigmoid(a, b) => each(elements, &|x| {
                let y = of(a) * x + of(b);
                if y > one {
                    one
                } else if y > zero {
                    y
                } else {
                    zero
                }
            }),
            Activation::Elu(a) => each(elements, &|x| if x < zero { of(a) * (x.exp() - one) } else { x }),
        }
    }
}

/// The cell's functions per direction: named ones, or `defaults`. Alphas and betas go to the functions that have them, in order.
pub(super) fn activations(
    function: &Function,
    defaults: &[Activation],
    directions: usize,
) -> Result<Vec<Vec<Activation>>, LibraryError> {
    let names = function.texts("activations");
    if names.is_empty() {
        return Ok(vec![defaults.to_vec(); directions]);
    }
    if names.len() != defaults.len() * directions {
        return Err(LibraryError::Operands { accepted: "as many activations as the cell has, per direction" });
    }
    let mut alphas = function.floats("activation_alpha").iter().copied();
    let mut betas = function.floats("activation_beta").iter().copied();
    let mut alpha = |default: f32| alphas.next().unwrap_or(default);
    let mut beta = |default: f32| betas.next().unwrap_or(default);
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        found.push(match name.to_ascii_lowercase().as_str() {
            "relu" => Activation::Relu,
            "tanh" => Activation::Tanh,
            "sigmoid" => Activation::Sigmoid,
            "softsign" => Activation::Softsign,
            "softplus" => Activation::Softplus,
            "affine" => Activation::Affine(alpha(1.0), beta(0.0)),
            "leakyrelu" => Activation::LeakyRelu(alpha(0.01)),
            "thresholdedrelu" => Activation::ThresholdedRelu(alpha(1.0)),
            "scaledtanh" => Activation::ScaledTanh(alpha(1.0), beta(1.0)),
            "hardsigmoid" => Activation::HardSigmoid(alpha(0.2), beta(0.5)),
            "elu" => Activation::Elu(alpha(1.0)),
            _ => return Err(LibraryError::Data(format!("activation {name:?} of a recurrent cell does not exist"))),
        });
    }
    Ok(found.chunks(defaults.len()).map(<[Activation]>::to_vec).collect())
}
