//! Elements of small integer tensors as far as types tell them: the arithmetic that models do on shapes. Booleans are 0 and 1.

use crate::ir::{BinaryOp, Dim, ReduceKind, Source, StridedIndex, Type, UnaryOp, Weight};
use brolga_runtime::DType;

/// Longer tensors are not followed.
pub(super) const MAX_CONTENT: usize = 4096;

/// Elements of a small integer or bool constant of rank 0 or 1.
pub fn weight_content(weight: &Weight) -> Option<Vec<Dim>> {
    let count = weight.len();
    let width = weight.dtype.bytes();
    let whole = weight.dtype.is_integer() || weight.dtype == DType::Bool;
    if count > MAX_CONTENT || weight.shape().len() > 1 || !whole || !weight.is_plain() {
        return None;
    }
    let element = |bytes: &[u8]| -> i64 {
        let mut wide = [0u8; 8];
        wide[..width].copy_from_slice(&bytes[..width]);
        let raw = i64::from_le_bytes(wide);
        let unused = 64 - 8 * width as u32;
        let signed = matches!(weight.dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64);
        if signed { raw << unused >> unused } else { raw }
    };
    Some(match &weight.source {
        Source::Splat(bytes) => vec![Dim::Const(element(bytes)); count],
        Source::Bytes(bytes) => bytes.chunks_exact(width).map(|c| Dim::Const(element(c))).collect(),
    })
}

/// The number that a constant of one element is.
pub(super) fn weight_scalar(weight: &Weight) -> Option<f64> {
    if weight.len() != 1 {
        return None;
    }
    let tensor = weight.evaluate().ok()?;
    match weight.dtype {
        DType::F32 => tensor.as_slice::<f32>().ok().map(|s| f64::from(s[0])),
        DType::F64 => tensor.as_slice::<f64>().ok().map(|s| s[0]),
        DType::F16 => tensor.as_slice::<half::f16>().ok().map(|s| s[0].to_f64()),
        DType::BF16 => tensor.as_slice::<half::bf16>().ok().map(|s| s[0].to_f64()),
        DType::I32 => tensor.as_slice::<i32>().ok().map(|s| f64::from(s[0])),
        DType::I64 => tensor.as_slice::<i64>().ok().map(|s| s[0] as f64),
        _ => None,
    }
}

fn map(x: Option<&[Dim]>, f: impl Fn(&Dim) -> Option<Dim>) -> Option<Vec<Dim>> {
    x?.iter().map(f).collect()
}

pub(super) fn unary(x: Option<&[Dim]>, op: UnaryOp) -> Option<Vec<Dim>> {
    match op {
        UnaryOp::Neg => map(x, |d| Some(d.mul(&Dim::Const(-1)))),
        UnaryOp::Abs => map(x, |d| d.known()?.checked_abs().map(Dim::Const)),
        UnaryOp::Sign => map(x, |d| d.known().map(|n| Dim::Const(n.signum()))),
        _ => None,
    }
}

/// Calls `f` on the broadcast elements of tensors of rank 0 or 1.
fn zip(a: &[Dim], b: &[Dim], f: impl Fn(&Dim, &Dim) -> Option<Dim>) -> Option<Vec<Dim>> {
    let count = if a.len() == 1 { b.len() } else { a.len() };
    let at = |x: &[Dim], i: usize| if x.len() == 1 { x.first().cloned() } else { x.get(i).cloned() };
    (0..count).map(|i| f(&at(a, i)?, &at(b, i)?)).collect()
}

pub(super) fn binary(a: Option<&[Dim]>, b: Option<&[Dim]>, op: BinaryOp) -> Option<Vec<Dim>> {
    let both = |x: &Dim, y: &Dim| Some((x.known()?, y.known()?));
    let test =
        |f: fn(&i64, &i64) -> bool| move |x: &Dim, y: &Dim| both(x, y).map(|(x, y)| Dim::Const(i64::from(f(&x, &y))));
    let (a, b) = (a?, b?);
    match op {
        BinaryOp::Add => zip(a, b, |x, y| Some(x.add(y))),
        BinaryOp::Sub => zip(a, b, |x, y| Some(x.sub(y))),
        BinaryOp::Mul => zip(a, b, |x, y| Some(x.mul(y))),
        BinaryOp::Div => zip(a, b, divide),
        BinaryOp::Mod => zip(a, b, |x, y| (*y != Dim::Const(0)).then(|| x.rem(y))),
        BinaryOp::Min => zip(a, b, |x, y| Some(x.smaller(y))),
        BinaryOp::Max => zip(a, b, |x, y| Some(x.larger(y))),
        BinaryOp::Equal => zip(a, b, equal),
        BinaryOp::Less => zip(a, b, test(i64::lt)),
        BinaryOp::LessOrEqual => zip(a, b, test(i64::le)),
        BinaryOp::Greater => zip(a, b, test(i64::gt)),
        BinaryOp::GreaterOrEqual => zip(a, b, test(i64::ge)),
        BinaryOp::And => zip(a, b, |x, y| both(x, y).map(|(x, y)| Dim::Const(x & y))),
        BinaryOp::Or => zip(a, b, |x, y| both(x, y).map(|(x, y)| Dim::Const(x | y))),
        _ => None,
    }
}

/// Truncating for numbers; expressions are over extents, which are not negative, so that rounding down is the same.
fn divide(x: &Dim, y: &Dim) -> Option<Dim> {
    match (x, y) {
        (Dim::Const(x), Dim::Const(y)) => x.checked_div(*y).map(Dim::Const),
        (_, Dim::Const(0)) => None,
        _ => Some(x.div(y)),
    }
}

fn equal(x: &Dim, y: &Dim) -> Option<Dim> {
    match (x, y) {
        (Dim::Const(x), Dim::Const(y)) => Some(Dim::Const(i64::from(x == y))),
        _ if x == y => Some(Dim::Const(1)),
        // An extent is never negative.
        (Dim::Const(n), _) | (_, Dim::Const(n)) if *n < 0 => Some(Dim::Const(0)),
        _ => None,
    }
}

pub(super) fn select(c: Option<&[Dim]>, a: Option<&[Dim]>, b: Option<&[Dim]>) -> Option<Vec<Dim>> {
    let (c, a, b) = (c?, a?, b?);
    let count = [c.len(), a.len(), b.len()].into_iter().find(|n| *n != 1).unwrap_or(1);
    let at = |x: &[Dim], i: usize| if x.len() == 1 { x.first().cloned() } else { x.get(i).cloned() };
    (0..count).map(|i| if at(c, i)?.known()? != 0 { at(a, i) } else { at(b, i) }).collect()
}

pub(super) fn cast(x: Option<&[Dim]>, to: DType) -> Option<Vec<Dim>> {
    let fits = |n: i64| match to {
        DType::I64 => true,
        DType::I32 => i32::try_from(n).is_ok(),
        DType::I16 => i16::try_from(n).is_ok(),
        DType::I8 => i8::try_from(n).is_ok(),
        DType::U64 => n >= 0,
        DType::U32 => u32::try_from(n).is_ok(),
        DType::U16 => u16::try_from(n).is_ok(),
        DType::U8 => u8::try_from(n).is_ok(),
        _ => false,
    };
    if to == DType::Bool {
        return map(x, |d| d.known().map(|n| Dim::Const(i64::from(n != 0))));
    }
    map(x, |d| match d.known() {
        Some(n) => fits(n).then(|| d.clone()),
        None => matches!(to, DType::I64 | DType::I32).then(|| d.clone()),
    })
}

pub(super) fn reduce(x: Option<&[Dim]>, kind: ReduceKind) -> Option<Vec<Dim>> {
    let x = x?;
    let fold = |f: fn(&Dim, &Dim) -> Dim| x.iter().skip(1).fold(x.first().cloned(), |n, d| n.map(|n| f(&n, d)));
    let one = match kind {
        ReduceKind::Sum => fold(Dim::add).or(Some(Dim::Const(0))),
        ReduceKind::Prod => fold(Dim::mul).or(Some(Dim::Const(1))),
        ReduceKind::Max => fold(Dim::larger),
        ReduceKind::Min => fold(Dim::smaller),
        _ => None,
    };
    one.map(|d| vec![d])
}

pub(super) fn concat<'a>(vector: bool, parts: impl Iterator<Item = Option<&'a [Dim]>>) -> Option<Vec<Dim>> {
    let parts: Option<Vec<&[Dim]>> = parts.collect();
    if vector { parts.map(|p| p.concat()) } else { None }
}

pub(super) fn slice(x: Option<&[Dim]>, start: &Dim, end: &Dim, step: i64) -> Option<Vec<Dim>> {
    let x = x?;
    let n = x.len() as i64;
    let bound = |b: i64, low: i64, high: i64| (if b < 0 { b.saturating_add(n) } else { b }).clamp(low, high);
    let (start, end) = (start.known()?, end.known()?);
    let (mut at, stop) = if step > 0 {
        (bound(start, 0, n), bound(end, 0, n))
    } else {
        (bound(start, (n - 1).min(0), n - 1), bound(end, -1, n - 1))
    };
    let mut out = Vec::new();
    while if step > 0 { at < stop } else { at > stop } {
        out.push(x.get(usize::try_from(at).ok()?)?.clone());
        at = at.saturating_add(step);
    }
    Some(out)
}

/// The elements repeated to a shape of rank 0 or 1.
/// Rows of a tensor of any rank, along its first dimension.
pub(super) fn slice_rows(x: Option<&[Dim]>, shape: &[Dim], start: &Dim, end: &Dim, step: i64) -> Option<Vec<Dim>> {
    let (x, [rows, ..]) = (x?, shape) else { return None };
    if shape.len() == 1 {
        return slice(Some(x), start, end, step);
    }
    let rows = rows.known().filter(|n| (1..=MAX_CONTENT as i64).contains(n))?;
    let numbers: Vec<Dim> = (0..rows).map(Dim::Const).collect();
    let width = x.len() / usize::try_from(rows).ok()?;
    let taken = slice(Some(&numbers), start, end, step)?;
    let row =
        |n: &Dim| x.get(usize::try_from(n.known()?).ok()?.checked_mul(width)?..)?.get(..width).map(<[Dim]>::to_vec);
    taken.iter().map(row).collect::<Option<Vec<_>>>().map(|rows| rows.concat())
}

pub(super) fn transpose(x: Option<&[Dim]>, ty: &Type, perm: &[usize]) -> Option<Vec<Dim>> {
    let x = x?;
    let dims = ty.dims()?;
    let mut at = StridedIndex::new(&dims, perm);
    x.iter().map(|_| x.get(at.next_offset()).cloned()).collect()
}

pub(super) fn spread(x: Option<&[Dim]>, shape: &[Dim]) -> Option<Vec<Dim>> {
    let x = x?;
    let count = match shape {
        [] => 1,
        [n] => usize::try_from(n.known()?).ok().filter(|n| *n <= MAX_CONTENT)?,
        _ => return None,
    };
    match x {
        [one] => Some(vec![one.clone(); count]),
        _ => (x.len() == count).then(|| x.to_vec()),
    }
}

pub(super) fn tile(x: Option<&[Dim]>, repeats: &[Dim]) -> Option<Vec<Dim>> {
    let x = x?;
    let times = match repeats {
        [] => 1,
        [n] => usize::try_from(n.known()?).ok()?,
        _ => return None,
    };
    (x.len().checked_mul(times)? <= MAX_CONTENT).then(|| x.iter().cloned().cycle().take(x.len() * times).collect())
}

pub(super) fn range(start: &Dim, count: &Dim, step: i64) -> Option<Vec<Dim>> {
    let count = count.known().filter(|n| (0..=MAX_CONTENT as i64).contains(n))?;
    (0..count).map(|i| step.checked_mul(i).map(|n| start.add(&Dim::Const(n)))).collect()
}

pub(super) fn gather(x: Option<&[Dim]>, index: Option<&[Dim]>) -> Option<Vec<Dim>> {
    let x = x?;
    map(index, |i| {
        let i = i.known()?;
        let i = if i < 0 { i.checked_add(x.len() as i64)? } else { i };
        x.get(usize::try_from(i).ok()?).cloned()
    })
}
