//! Element-wise functions with broadcasting, selection, conversion.

use super::scalar::{Number, with_type};
use super::walk::{broadcast_strides, last, merged, rows};
use super::{BinaryOp, LibraryError, PowerRounding, UnaryOp, elements, elements_mut, expect, narrow};
use crate::{DType, TensorView, TensorViewMut};

/// `out = op(x)`.
pub fn unary(op: UnaryOp, x: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    expect(x.shape == out.shape, "operand and result of one shape")?;
    if op == UnaryOp::IsNaN {
        expect(out.dtype == DType::Bool && x.dtype.is_float(), "a float and a bool result")?;
        return with_type!(x.dtype, T => {
            let from = elements::<T>(x)?;
            for (to, x) in elements_mut::<u8>(out)?.iter_mut().zip(from) {
                *to = u8::from(x.float().is_nan());
            }
            Ok(())
        });
    }
    expect(x.dtype == out.dtype, "operand and result of one type")?;
    if x.dtype == DType::Bool {
        expect(op == UnaryOp::Not, "logical not on bool")?;
        for (to, x) in out.bytes.iter_mut().zip(x.bytes) {
            *to = u8::from(*x == 0);
        }
        return Ok(());
    }
    with_type!(x.dtype, T => {
        let from = elements::<T>(x)?;
        for (to, x) in elements_mut::<T>(out)?.iter_mut().zip(from) {
            *to = if T::FLOAT { T::of_float(op.float(x.float())) } else { T::of_int(op.int(x.int())?) };
        }
        Ok(())
    })
}

/// `out = op(a, b)`, both broadcast to the shape of `out`. The exponent of a power may have another type.
pub fn binary(op: BinaryOp, a: &TensorView, b: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    expect(a.dtype == b.dtype || op == BinaryOp::Pow, "operands of one type")?;
    expect(out.dtype == if op.is_comparison() { DType::Bool } else { a.dtype }, "a result of the operation's type")?;
    if op == BinaryOp::Pow && a.dtype != b.dtype {
        let exponents = with_type!(b.dtype, T => exponents::<T>(b))?;
        return with_type!(a.dtype, T => power::<T>(a, (&exponents, b.shape), out));
    }
    if a.dtype == DType::I64
        && let Some(done) = binary_i64(op, a, b, out)
    {
        return done;
    }
    if op.is_comparison() {
        return with_type!(a.dtype, T => zip::<T, T, u8>(a, b, out, |x, y| {
            Ok(if T::FLOAT { op.float(x.float(), y.float()) as u8 } else { op.int(x.int(), y.int())? as u8 })
        }));
    }
    with_type!(a.dtype, T => match op {
        // Loops of their own: the choice of the operation costs more than the operation.
        BinaryOp::Add if T::FLOAT => zip::<T, T, T>(a, b, out, |x, y| Ok(T::of_float(x.float() + y.float()))),
        BinaryOp::Sub if T::FLOAT => zip::<T, T, T>(a, b, out, |x, y| Ok(T::of_float(x.float() - y.float()))),
        BinaryOp::Mul if T::FLOAT => zip::<T, T, T>(a, b, out, |x, y| Ok(T::of_float(x.float() * y.float()))),
        _ => zip::<T, T, T>(a, b, out, |x, y| {
            Ok(if T::FLOAT { T::of_float(op.float(x.float(), y.float())) } else { T::of_int(op.int(x.int(), y.int())?) })
        }),
    })
}

/// What models do with positions and masks, in loops of their own that become vectors.
fn binary_i64(
    op: BinaryOp,
    a: &TensorView,
    b: &TensorView,
    out: &mut TensorViewMut,
) -> Option<Result<(), LibraryError>> {
    Some(match op {
        BinaryOp::Add => zip::<i64, i64, i64>(a, b, out, |x, y| Ok(x.wrapping_add(y))),
        BinaryOp::Sub => zip::<i64, i64, i64>(a, b, out, |x, y| Ok(x.wrapping_sub(y))),
        BinaryOp::Mul => zip::<i64, i64, i64>(a, b, out, |x, y| Ok(x.wrapping_mul(y))),
        BinaryOp::Min => zip::<i64, i64, i64>(a, b, out, |x, y| Ok(x.min(y))),
        BinaryOp::Max => zip::<i64, i64, i64>(a, b, out, |x, y| Ok(x.max(y))),
        BinaryOp::Equal => zip::<i64, i64, u8>(a, b, out, |x, y| Ok(u8::from(x == y))),
        BinaryOp::Less => zip::<i64, i64, u8>(a, b, out, |x, y| Ok(u8::from(x < y))),
        BinaryOp::LessOrEqual => zip::<i64, i64, u8>(a, b, out, |x, y| Ok(u8::from(x <= y))),
        BinaryOp::Greater => zip::<i64, i64, u8>(a, b, out, |x, y| Ok(u8::from(x > y))),
        BinaryOp::GreaterOrEqual => zip::<i64, i64, u8>(a, b, out, |x, y| Ok(u8::from(x >= y))),
        _ => return None,
    })
}

/// An exponent whose type is not the base's.
#[derive(Clone, Copy)]
enum Exponent {
    Int(i128),
    Float(f64),
}

fn exponents<T: Number>(x: &TensorView) -> Result<Vec<Exponent>, LibraryError> {
    let exponent = |x: &T| if T::FLOAT { Exponent::Float(x.float()) } else { Exponent::Int(x.int()) };
    Ok(elements::<T>(x)?.iter().map(exponent).collect())
}

fn power<T: Number>(
    a: &TensorView,
    (exponents, shape): (&[Exponent], &[usize]),
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    zip_slices((elements::<T>(a)?, a.shape), (exponents, shape), out, |x: T, y| {
        Ok(match y {
            Exponent::Int(y) if !T::FLOAT => T::of_int(BinaryOp::Pow.int(x.int(), y)?),
            Exponent::Int(y) => T::of_float(x.float().powf(y as f64)),
            Exponent::Float(y) => T::of_float(x.float().powf(y)),
        })
    })
}

fn zip<A: Number, B: Number, C: Number>(
    a: &TensorView,
    b: &TensorView,
    out: &mut TensorViewMut,
    f: impl Fn(A, B) -> Result<C, LibraryError>,
) -> Result<(), LibraryError> {
    zip_slices((elements::<A>(a)?, a.shape), (elements::<B>(b)?, b.shape), out, f)
}

/// Elements of two shapes, both broadcast to the shape of `out`.
fn zip_slices<A: Copy, B: Copy, C: Number>(
    (a, a_shape): (&[A], &[usize]),
    (b, b_shape): (&[B], &[usize]),
    out: &mut TensorViewMut,
    f: impl Fn(A, B) -> Result<C, LibraryError>,
) -> Result<(), LibraryError> {
    let not_broadcast = || LibraryError::Operands { accepted: "operands that broadcast to the result" };
    let sa = broadcast_strides(a_shape, out.shape).ok_or_else(not_broadcast)?;
    let sb = broadcast_strides(b_shape, out.shape).ok_or_else(not_broadcast)?;
    let (shape, [sa, sb]) = merged(out.shape, [&sa, &sb]);
    let (ia, ib) = (last(&sa), last(&sb));
    let mut to = elements_mut::<C>(out)?;
    rows(&shape, [&sa, &sb], [0, 0], |[mut oa, mut ob], length| {
        let (row, rest) = std::mem::take(&mut to).split_at_mut(length);
        to = rest;
        if (ia, ib) == (1, 1) {
            let (a, b) = (&a[oa as usize..][..length], &b[ob as usize..][..length]);
            return row.iter_mut().zip(a.iter().zip(b)).try_for_each(|(to, (a, b))| f(*a, *b).map(|c| *to = c));
        }
        if (ia, ib) == (1, 0) {
            let (a, b) = (&a[oa as usize..][..length], b[ob as usize]);
            return row.iter_mut().zip(a).try_for_each(|(to, a)| f(*a, b).map(|c| *to = c));
        }
        if (ia, ib) == (0, 1) {
            let (a, b) = (a[oa as usize], &b[ob as usize..][..length]);
            return row.iter_mut().zip(b).try_for_each(|(to, b)| f(a, *b).map(|c| *to = c));
        }
        for to in row {
            *to = f(a[oa as usize], b[ob as usize])?;
            oa += ia;
            ob += ib;
        }
        Ok(())
    })
}

/// `out = condition ? a : b`, all broadcast to the shape of `out`.
pub fn select(c: &TensorView, a: &TensorView, b: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    expect(c.dtype == DType::Bool && a.dtype == b.dtype && a.dtype == out.dtype, "bool and operands of one type")?;
    let not_broadcast = || LibraryError::Operands { accepted: "operands that broadcast to the result" };
    let sc = broadcast_strides(c.shape, out.shape).ok_or_else(not_broadcast)?;
    let sa = broadcast_strides(a.shape, out.shape).ok_or_else(not_broadcast)?;
    let sb = broadcast_strides(b.shape, out.shape).ok_or_else(not_broadcast)?;
    let strides = [&sc[..], &sa[..], &sb[..]];
    match out.dtype.bytes() {
        1 => choose::<1>([c.bytes, a.bytes, b.bytes], strides, out),
        2 => choose::<2>([c.bytes, a.bytes, b.bytes], strides, out),
        4 => choose::<4>([c.bytes, a.bytes, b.bytes], strides, out),
        8 => choose::<8>([c.bytes, a.bytes, b.bytes], strides, out),
        _ => Err(LibraryError::Operands { accepted: "numbers and bool" }),
    }
}

/// The same for elements of `N` bytes.
fn choose<const N: usize>(
    [c, a, b]: [&[u8]; 3],
    strides: [&[isize]; 3],
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    let (a, b, shape) = (a.as_chunks::<N>().0, b.as_chunks::<N>().0, out.shape);
    let [ic, ia, ib] = strides.map(last);
    let mut to = out.bytes.as_chunks_mut::<N>().0.iter_mut();
    rows(shape, strides, [0; 3], |[mut oc, mut oa, mut ob], length| {
        for to in to.by_ref().take(length) {
            *to = if c[oc as usize] != 0 { a[oa as usize] } else { b[ob as usize] };
            oc += ic;
            oa += ia;
            ob += ib;
        }
        Ok(())
    })
}

/// Conversion to the type of `out`: floats to integers truncate and saturate, integers wrap, bool is "not zero". Floats of 8
/// bits saturate.
pub fn cast(x: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
    cast_narrow(true, PowerRounding::Up, x, out)
}

/// The same with what becomes of numbers that a float of 8 bits does not have; see [`narrow::encode`].
pub fn cast_narrow(
    saturate: bool,
    rounding: PowerRounding,
    x: &TensorView,
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    expect(x.shape == out.shape, "operand and result of one shape")?;
    if x.dtype == out.dtype {
        expect(x.bytes.len() == out.bytes.len(), "operand and result of one size")?;
        out.bytes.copy_from_slice(x.bytes);
        return Ok(());
    }
    if x.dtype.is_narrow() {
        return from_narrow(saturate, rounding, x, out);
    }
    if out.dtype.is_narrow() {
        let to = out.dtype;
        let encode = |x| narrow::encode(to, x, saturate, rounding);
        return with_type!(x.dtype, T => {
            let from = elements::<T>(x)?;
            for (to_byte, x) in elements_mut::<u8>(out)?.iter_mut().zip(from) {
                let whole = !T::FLOAT && !to.is_narrow_float();
                *to_byte = if whole { narrow::wrap(to, x.int() as i64) } else { encode(x.float()) };
            }
            Ok(())
        });
    }
    if out.dtype == DType::Bool {
        return with_type!(x.dtype, T => {
            let from = elements::<T>(x)?;
            for (to, x) in out.bytes.iter_mut().zip(from) {
                *to = u8::from(x.float() != 0.0);
            }
            Ok(())
        });
    }
    with_type!(x.dtype, A => with_type!(out.dtype, B => {
        let from = elements::<A>(x)?;
        for (to, x) in elements_mut::<B>(out)?.iter_mut().zip(from) {
            *to = if A::FLOAT { B::of_float(x.float()) } else { B::of_int(x.int()) };
        }
        Ok(())
    }))
}

/// Conversion from a type with at most 256 values: by a table of the results.
fn from_narrow(
    saturate: bool,
    rounding: PowerRounding,
    x: &TensorView,
    out: &mut TensorViewMut,
) -> Result<(), LibraryError> {
    let values: Vec<f64> = (0..=255).map(|code| narrow::decode(x.dtype, code)).collect();
    let from = elements::<u8>(x)?;
    let whole = !x.dtype.is_narrow_float();
    if out.dtype.is_narrow() || out.dtype == DType::Bool {
        let to = out.dtype;
        let convert = |v: f64| match to {
            DType::Bool => u8::from(v != 0.0),
            _ => narrow::encode(to, v, saturate, rounding),
        };
        let table: Vec<u8> = values.into_iter().map(convert).collect();
        for (to, code) in elements_mut::<u8>(out)?.iter_mut().zip(from) {
            *to = table[usize::from(*code)];
        }
        return Ok(());
    }
    with_type!(out.dtype, T => {
        let convert = |v: f64| if whole { T::of_int(v as i128) } else { T::of_float(v) };
        let table: Vec<T> = values.into_iter().map(convert).collect();
        for (to, code) in elements_mut::<T>(out)?.iter_mut().zip(from) {
            *to = table[usize::from(*code)];
        }
        Ok(())
    })
}
