//! The functions on single elements: floats in f64 (the caller rounds once), integers in i128 (the caller wraps).

use super::{BinaryOp, LibraryError, UnaryOp};
use bytemuck::Pod;
use half::{bf16, f16};

/// An element type that arithmetic goes through.
pub(crate) trait Number: Pod + PartialOrd + Send + Sync {
    /// Whether it is a float.
    const FLOAT: bool;
    fn float(self) -> f64;
    fn int(self) -> i128;
    fn of_float(x: f64) -> Self;
    fn of_int(x: i128) -> Self;
}
macro_rules! floats {
    ($($t:ty: $to:expr, $of:expr);*) => { $(impl Number for $t {
        const FLOAT: bool = true;
        fn float(self) -> f64 { $to(self) }
        fn int(self) -> i128 { $to(self) as i128 }
        fn of_float(x: f64) -> Self { $of(x) }
        fn of_int(x: i128) -> Self { $of(x as f64) }
    })* };
}
floats!(f64: |x| x, |x| x; f16: f16::to_f64, f16::from_f64; bf16: bf16::to_f64, bf16::from_f64);
impl Number for f32 {
    const FLOAT: bool = true;
    fn float(self) -> f64 {
        f64::from(self)
    }
    fn int(self) -> i128 {
        self as i128
    }
    fn of_float(x: f64) -> Self {
        x as f32
    }
    // Not through f64: an i64 would be rounded twice.
    fn of_int(x: i128) -> Self {
        x as f32
    }
}
macro_rules! integers {
    ($($t:ty),*) => { $(impl Number for $t {
        const FLOAT: bool = false;
        fn float(self) -> f64 { self as f64 }
        fn int(self) -> i128 { i128::from(self) }
        fn of_float(x: f64) -> Self { x as $t }
        fn of_int(x: i128) -> Self { x as $t }
    })* };
}
integers!(i8, i16, i32, i64, u8, u16, u32, u64);

/// Runs the body with `$T` standing for the Rust type of a [`crate::DType`]; bool is u8.
macro_rules! with_type {
    ($dtype:expr, $T:ident => $body:expr) => {{
        use $crate::DType::*;
        match $dtype {
            F32 => {
                type $T = f32;
                $body
            }
            F64 => {
                type $T = f64;
                $body
            }
            F16 => {
                type $T = half::f16;
                $body
            }
            BF16 => {
                type $T = half::bf16;
                $body
            }
            I8 => {
                type $T = i8;
                $body
            }
            I16 => {
                type $T = i16;
                $body
            }
            I32 => {
                type $T = i32;
                $body
            }
            I64 => {
                type $T = i64;
                $body
            }
            U8 | Bool => {
                type $T = u8;
                $body
            }
            U16 => {
                type $T = u16;
                $body
            }
            U32 => {
                type $T = u32;
                $body
            }
            U64 => {
                type $T = u64;
                $body
            }
            other => Err($crate::library::LibraryError::Type { what: "an operand of arithmetic", dtype: other }),
        }
    }};
}
pub(crate) use with_type;

impl UnaryOp {
    /// The function on a float. [`UnaryOp::Not`] and [`UnaryOp::IsNaN`] give 1 and 0.
    pub fn float(self, x: f64) -> f64 {
        let wide = f64::from;
        match self {
            UnaryOp::Abs => x.abs(),
            UnaryOp::Neg => -x,
            UnaryOp::Floor => x.floor(),
            UnaryOp::Ceil => x.ceil(),
            UnaryOp::Round => x.round_ties_even(),
            UnaryOp::Sign if x > 0.0 => 1.0,
            UnaryOp::Sign if x < 0.0 => -1.0,
            UnaryOp::Sign => x,
            UnaryOp::Sqrt => x.sqrt(),
            UnaryOp::Reciprocal => 1.0 / x,
            UnaryOp::Exp => x.exp(),
            UnaryOp::Log => x.ln(),
            UnaryOp::Erf => erf(x),
            UnaryOp::Sin => x.sin(),
            UnaryOp::Cos => x.cos(),
            UnaryOp::Tan => x.tan(),
            UnaryOp::Asin => x.asin(),
            UnaryOp::Acos => x.acos(),
            UnaryOp::Atan => x.atan(),
            UnaryOp::Sinh => x.sinh(),
            UnaryOp::Cosh => x.cosh(),
            UnaryOp::Tanh => x.tanh(),
            UnaryOp::Asinh => x.asinh(),
            UnaryOp::Acosh => x.acosh(),
            UnaryOp::Atanh => x.atanh(),
            UnaryOp::Sigmoid => sigmoid(x),
            UnaryOp::Softplus => softplus(x),
            UnaryOp::Softsign => x / (1.0 + x.abs()),
            UnaryOp::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            UnaryOp::HardSigmoid { alpha, beta } => (wide(alpha) * x + wide(beta)).clamp(0.0, 1.0),
            UnaryOp::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            UnaryOp::Silu { alpha } => x * sigmoid(wide(alpha) * x),
            UnaryOp::Gelu => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            UnaryOp::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            }
            UnaryOp::Mish => x * softplus(x).tanh(),
            UnaryOp::LeakyRelu { alpha } => {
                if x < 0.0 {
                    wide(alpha) * x
                } else {
                    x
                }
            }
            UnaryOp::Elu { alpha } => {
                if x < 0.0 {
                    wide(alpha) * x.exp_m1()
                } else {
                    x
                }
            }
            UnaryOp::Celu { alpha } => {
                let a = wide(alpha);
                x.max(0.0) + (a * (x / a).exp_m1()).min(0.0)
            }
            UnaryOp::Selu { alpha, gamma } => wide(gamma) * if x <= 0.0 { wide(alpha) * x.exp_m1() } else { x },
            UnaryOp::ThresholdedRelu { alpha } => {
                if x > wide(alpha) {
                    x
                } else {
                    0.0
                }
            }
            UnaryOp::Clip { lo, hi } => {
                let low = if x < wide(lo) { wide(lo) } else { x };
                if low > wide(hi) { wide(hi) } else { low }
            }
            UnaryOp::Not => f64::from(u8::from(x == 0.0)),
            UnaryOp::IsNaN => f64::from(u8::from(x.is_nan())),
        }
    }

    /// The function on an integer, where it has one.
    pub(super) fn int(self, x: i128) -> Result<i128, LibraryError> {
        Ok(match self {
            UnaryOp::Abs => x.abs(),
            UnaryOp::Neg => -x,
            UnaryOp::Sign => x.signum(),
            UnaryOp::Relu => x.max(0),
            UnaryOp::Clip { lo, hi } => x.max(lo as i128).min(hi as i128),
            UnaryOp::Not => !x,
            UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round => x,
            _ => return Err(LibraryError::Function { function: self.parts().0, on: "integers" }),
        })
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The error function to about 1e-16: its power series near 0, a continued fraction for the complement elsewhere.
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    if x.is_nan() {
        return x;
    }
    if a < 2.5 {
        // 2 / sqrt(pi) * exp(-x^2) * sum of 2^n x^(2n+1) / (1 * 3 * .. * (2n+1)): every term is positive.
        let (mut term, mut sum, mut n) = (a, a, 0.0);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * a * a / (2.0 * n + 1.0);
            sum += term;
        }
        return (sum * std::f64::consts::FRAC_2_SQRT_PI * (-a * a).exp()).copysign(x);
    }
    if a > 6.0 {
        return 1f64.copysign(x);
    }
    // erfc(a) = exp(-a^2) / sqrt(pi) / (a + (1/2) / (a + (2/2) / (a + (3/2) / ...))).
    let fraction = (1..=80).rev().fold(a, |below, k| a + f64::from(k) / 2.0 / below);
    let complement = (-a * a).exp() / fraction * std::f64::consts::FRAC_2_SQRT_PI / 2.0;
    (1.0 - complement).copysign(x)
}

impl BinaryOp {
    /// Whether the result is a bool whatever the operands are.
    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Equal | Less | LessOrEqual | Greater | GreaterOrEqual)
    }

    /// The function on floats; comparisons and logic give 1 and 0.
    pub fn float(self, a: f64, b: f64) -> f64 {
        let truth = |t: bool| f64::from(u8::from(t));
        match self {
            BinaryOp::Add => a + b,
            BinaryOp::Sub => a - b,
            BinaryOp::Mul => a * b,
            BinaryOp::Div => a / b,
            BinaryOp::Mod => a - (a / b).floor() * b,
            BinaryOp::Fmod => a % b,
            BinaryOp::Pow => a.powf(b),
            BinaryOp::Min if a.is_nan() || b.is_nan() => f64::NAN,
            BinaryOp::Max if a.is_nan() || b.is_nan() => f64::NAN,
            BinaryOp::Min => a.min(b),
            BinaryOp::Max => a.max(b),
            BinaryOp::PRelu => {
                if a < 0.0 {
                    a * b
                } else {
                    a
                }
            }
            BinaryOp::And => truth(a != 0.0 && b != 0.0),
            BinaryOp::Or => truth(a != 0.0 || b != 0.0),
            BinaryOp::Xor => truth((a != 0.0) != (b != 0.0)),
            BinaryOp::Equal => truth(a == b),
            BinaryOp::Less => truth(a < b),
            BinaryOp::LessOrEqual => truth(a <= b),
            BinaryOp::Greater => truth(a > b),
            BinaryOp::GreaterOrEqual => truth(a >= b),
            BinaryOp::ShiftLeft => a * b.exp2(),
            BinaryOp::ShiftRight => a / b.exp2(),
        }
    }

    /// The function on integers (and bools as 0 and 1).
    pub(super) fn int(self, a: i128, b: i128) -> Result<i128, LibraryError> {
        let truth = |t: bool| i128::from(t);
        let divisor = || if b == 0 { Err(LibraryError::DivisionByZero) } else { Ok(b) };
        Ok(match self {
            BinaryOp::Add => a + b,
            BinaryOp::Sub => a - b,
            BinaryOp::Mul => a.wrapping_mul(b),
            BinaryOp::Div => a / divisor()?,
            BinaryOp::Mod => {
                let rest = a % divisor()?;
                if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
            }
            BinaryOp::Fmod => a % divisor()?,
            BinaryOp::Pow => power(a, b),
            BinaryOp::Min => a.min(b),
            BinaryOp::Max => a.max(b),
            BinaryOp::PRelu => {
                if a < 0 {
                    a.wrapping_mul(b)
                } else {
                    a
                }
            }
            BinaryOp::And => a & b,
            BinaryOp::Or => a | b,
            BinaryOp::Xor => a ^ b,
            BinaryOp::Equal => truth(a == b),
            BinaryOp::Less => truth(a < b),
            BinaryOp::LessOrEqual => truth(a <= b),
            BinaryOp::Greater => truth(a > b),
            BinaryOp::GreaterOrEqual => truth(a >= b),
            BinaryOp::ShiftLeft => u32::try_from(b).ok().and_then(|b| a.checked_shl(b)).unwrap_or(0),
            BinaryOp::ShiftRight => u32::try_from(b).ok().and_then(|b| a.checked_shr(b)).unwrap_or(0),
        })
    }
}

/// Wrapping power; a negative exponent truncates towards zero.
fn power(base: i128, exponent: i128) -> i128 {
    if exponent < 0 {
        return match base {
            1 => 1,
            -1 => {
                if exponent % 2 == 0 {
                    1
                } else {
                    -1
                }
            }
            _ => 0,
        };
    }
    let (mut base, mut exponent, mut result) = (base, exponent, 1i128);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result.wrapping_mul(base);
        }
        base = base.wrapping_mul(base);
        exponent >>= 1;
    }
    result
}
