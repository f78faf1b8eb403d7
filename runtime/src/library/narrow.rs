//! Element types of which a byte holds one value: floats of 8 and 4 bits, integers of 4 and 2 bits. They are stored and
//! converted; arithmetic is not defined on them.

use crate::DType;

/// How a number is rounded to the powers of two that [`DType::F8E8M0`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PowerRounding {
    /// Away from zero.
    Up,
    /// Towards zero.
    Down,
    /// To the nearest in proportion; 1.5 times a power goes up.
    Nearest,
}

impl PowerRounding {
    /// Name in text forms, as ONNX has it.
    pub fn name(self) -> &'static str {
        match self {
            PowerRounding::Up => "up",
            PowerRounding::Down => "down",
            PowerRounding::Nearest => "nearest",
        }
    }
    /// The rounding whose [`PowerRounding::name`] this is.
    pub fn from_name(name: &str) -> Option<Self> {
        [PowerRounding::Up, PowerRounding::Down, PowerRounding::Nearest].into_iter().find(|r| r.name() == name)
    }
}

/// What is stored for a number outside of the range of an 8-bit float.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    /// NaN is all ones; no infinity.
    Finite,
    /// Zero has no sign, its negative code is NaN; no infinity.
    UnsignedZero,
    /// As IEEE 754 has it.
    Ieee,
    /// Neither.
    None,
}

/// A float of a sign, an exponent and a mantissa.
struct Format {
    mantissa: u32,
    bias: i32,
    /// Code of the largest number, which has all bits below the sign that a number may have.
    largest: u8,
    sign: u8,
    special: Special,
}

fn format(dtype: DType) -> Option<Format> {
    let (mantissa, bias, largest, sign, special) = match dtype {
        DType::F8E4M3FN => (3, 7, 0x7e, 0x80, Special::Finite),
        DType::F8E4M3FNUZ => (3, 8, 0x7f, 0x80, Special::UnsignedZero),
        DType::F8E5M2 => (2, 15, 0x7b, 0x80, Special::Ieee),
        DType::F8E5M2FNUZ => (2, 16, 0x7f, 0x80, Special::UnsignedZero),
        DType::F4E2M1 => (1, 1, 0x7, 0x8, Special::None),
        _ => return None,
    };
    Some(Format { mantissa, bias, largest, sign, special })
}

/// 2^n, for an n of a normal number.
fn power_of_two(n: i32) -> f64 {
    f64::from_bits(((n + 1023).clamp(1, 2046) as u64) << 52)
}

/// The exponent of a positive number; of subnormal ones the least.
fn exponent(x: f64) -> i32 {
    ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023
}

impl Format {
    fn nan(&self, negative: bool) -> u8 {
        let sign = if negative { self.sign } else { 0 };
        match self.special {
            Special::Finite => 0x7f | sign,
            Special::UnsignedZero => 0x80,
            Special::Ieee => 0x7e | sign,
            Special::None => self.sign,
        }
    }

    fn decode(&self, code: u8) -> f64 {
        let below = code & (self.sign - 1);
        match self.special {
            Special::Finite if below == 0x7f => return f64::NAN,
            Special::UnsignedZero if code == 0x80 => return f64::NAN,
            Special::Ieee if below > 0x7c => return f64::NAN,
            Special::Ieee if below == 0x7c => return if code == below { f64::INFINITY } else { f64::NEG_INFINITY },
            _ => {}
        }
        let (field, fraction) = (i32::from(below >> self.mantissa), i32::from(below) & ((1 << self.mantissa) - 1));
        let significand = if field == 0 { fraction } else { fraction + (1 << self.mantissa) };
        let size = f64::from(significand) * power_of_two(field.max(1) - self.bias - self.mantissa as i32);
        if code & self.sign != 0 { -size } else { size }
    }

    fn encode(&self, x: f64, saturate: bool) -> u8 {
        let negative = x.is_sign_negative();
        if x.is_nan() {
            return self.nan(negative);
        }
        let sign = if negative { self.sign } else { 0 };
        let size = x.abs();
        let mut code = i64::from(self.largest) + 1;
        if size.is_finite() {
            let power = exponent(size).max(1 - self.bias);
            let units = (size / power_of_two(power - self.mantissa as i32)).round_ties_even();
            code = (i64::from(power + self.bias - 1) << self.mantissa) + units.min(1e9) as i64;
        }
        if code > i64::from(self.largest) {
            return match self.special {
                Special::Ieee if !saturate => 0x7c | sign,
                Special::Finite | Special::UnsignedZero if !saturate => self.nan(negative),
                _ => self.largest | sign,
            };
        }
        if code == 0 && self.special == Special::UnsignedZero { 0 } else { code as u8 | sign }
    }
}

/// The value that a byte of a narrow type holds; 0 for types that are not narrow.
pub fn decode(dtype: DType, code: u8) -> f64 {
    match dtype {
        DType::I4 => f64::from((code << 4) as i8 >> 4),
        DType::I2 => f64::from((code << 6) as i8 >> 6),
        DType::U4 => f64::from(code & 15),
        DType::U2 => f64::from(code & 3),
        DType::F8E8M0 if code == 255 => f64::NAN,
        DType::F8E8M0 => power_of_two(i32::from(code) - 127),
        _ => format(dtype).map_or(0.0, |f| f.decode(code)),
    }
}

/// The byte for a whole number in a narrow integer type: high bits are dropped.
pub fn wrap(dtype: DType, x: i64) -> u8 {
    match dtype {
        DType::I4 => ((x as i8) << 4 >> 4) as u8,
        DType::I2 => ((x as i8) << 6 >> 6) as u8,
        DType::U4 => x as u8 & 15,
        DType::U2 => x as u8 & 3,
        _ => x as u8,
    }
}

/// The byte for a number in a narrow type: integers truncate and drop high bits, floats round to even. `saturate` keeps numbers
/// out of range at the largest; otherwise they become infinite, or NaN where there is no infinity.
pub fn encode(dtype: DType, x: f64, saturate: bool, rounding: PowerRounding) -> u8 {
    match dtype {
        DType::F8E8M0 => encode_power(x, saturate, rounding),
        _ => match format(dtype) {
            Some(format) => format.encode(x, saturate),
            None => wrap(dtype, x as i64),
        },
    }
}

fn encode_power(x: f64, saturate: bool, rounding: PowerRounding) -> u8 {
    const NAN: u8 = 255;
    let size = x.abs();
    if size.is_nan() {
        return NAN;
    }
    let power = exponent(size);
    let share = size / power_of_two(power);
    let up = match rounding {
        PowerRounding::Up => share > 1.0,
        PowerRounding::Down => false,
        PowerRounding::Nearest => share >= 1.5,
    };
    match power + 127 + i32::from(up) {
        code @ 0..255 => code as u8,
        _ if !saturate => NAN,
        code => code.clamp(0, 254) as u8,
    }
}
