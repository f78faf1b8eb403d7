//! Extents: broadcasting, agreement, products and their quotients, limits.

use crate::ir::{ANY_EXTENT, Dim, DimExpr, Type};

/// `[1, 3, n]`, for messages.
pub(super) fn show(shape: &[Dim]) -> String {
    let list: Vec<String> = shape.iter().map(Dim::to_string).collect();
    format!("[{}]", list.join(", "))
}

/// Checks that `axis` is a dimension of a tensor of this rank.
pub(super) fn check_axis(axis: usize, rank: usize) -> Result<(), String> {
    if axis < rank { Ok(()) } else { Err(format!("axis {axis} of a tensor of rank {rank}")) }
}

/// The extent that two extents which must be equal have.
pub(super) fn agree(a: &Dim, b: &Dim) -> Option<Dim> {
    match (a, b) {
        (Dim::Const(x), Dim::Const(y)) => (x == y).then(|| a.clone()),
        (Dim::Expr(_), Dim::Const(_)) => Some(b.clone()),
        _ => Some(a.clone()),
    }
}

/// The extent that two extents have after broadcasting.
fn broadcast_dim(a: &Dim, b: &Dim) -> Option<Dim> {
    match (a, b) {
        (Dim::Const(1), x) | (x, Dim::Const(1)) => Some(x.clone()),
        // Either may turn out to be 1.
        (Dim::Expr(_), Dim::Expr(_)) => Some(a.larger(b)),
        _ => agree(a, b),
    }
}

/// The shape that two shapes have after numpy broadcasting.
pub(super) fn broadcast(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    let rank = a.len().max(b.len());
    let at = |shape: &[Dim], i: usize| (i + shape.len()).checked_sub(rank).map(|j| shape[j].clone());
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (Some(x), Some(y)) => {
                broadcast_dim(&x, &y).ok_or_else(|| format!("shapes {} and {} do not broadcast", show(a), show(b)))
            }
            (x, y) => Ok(x.or(y).unwrap_or(Dim::Const(1))),
        })
        .collect()
}

/// Checks that `small` broadcasts to `shape` without enlarging it.
pub(super) fn check_broadcast_to(small: &[Dim], shape: &[Dim]) -> Result<(), String> {
    let fits = small.len() <= shape.len()
        && small.iter().rev().zip(shape.iter().rev()).all(|(s, d)| *s == Dim::Const(1) || agree(s, d).is_some());
    if fits { Ok(()) } else { Err(format!("shape {} does not broadcast to {}", show(small), show(shape))) }
}

/// A product as a number and symbolic factors.
struct Product {
    number: i64,
    factors: Vec<Dim>,
}

impl Product {
    fn of(dims: &[Dim]) -> Result<Product, String> {
        let mut product = Product { number: 1, factors: vec![] };
        for dim in dims {
            product.take(dim).ok_or_else(|| format!("the product of {} is too large", show(dims)))?;
        }
        Ok(product)
    }
    fn take(&mut self, dim: &Dim) -> Option<()> {
        match dim {
            Dim::Const(n) => self.number = self.number.checked_mul(*n)?,
            Dim::Expr(e) => match &**e {
                DimExpr::Mul(a, b) => {
                    self.take(a)?;
                    self.take(b)?;
                }
                _ => self.factors.push(dim.clone()),
            },
        }
        Some(())
    }
    fn cancel(&mut self, other: &mut Product) {
        self.factors.retain(|f| match other.factors.iter().position(|g| g == f) {
            Some(i) => {
                other.factors.remove(i);
                false
            }
            None => true,
        });
    }
    fn dim(&self) -> Dim {
        self.factors.iter().fold(Dim::Const(1), |n, f| n.mul(f)).mul(&Dim::Const(self.number))
    }
}

/// Number of elements of a shape.
pub(super) fn product(dims: &[Dim]) -> Dim {
    dims.iter().fold(Dim::Const(1), |n, d| n.mul(d))
}

/// The product of `all` divided by the product of `part`; an error when both are numbers and the division leaves a rest.
pub(super) fn quotient(all: &[Dim], part: &[Dim]) -> Result<Dim, String> {
    let (mut a, mut b) = (Product::of(all)?, Product::of(part)?);
    a.cancel(&mut b);
    if a.factors.is_empty() && b.factors.is_empty() {
        if b.number == 0 || a.number % b.number != 0 {
            return Err(format!("{} elements cannot be shared out over {}", a.number, show(part)));
        }
        return Ok(Dim::Const(a.number / b.number));
    }
    if b.factors.is_empty() && b.number != 0 && a.number % b.number == 0 {
        a.number /= b.number;
        return Ok(a.dim());
    }
    Ok(a.dim().div(&b.dim()))
}

/// Refuses two shapes whose numbers of elements certainly differ.
pub(super) fn check_same_count(from: &[Dim], to: &[Dim]) -> Result<(), String> {
    let (mut a, mut b) = (Product::of(from)?, Product::of(to)?);
    a.cancel(&mut b);
    if a.factors.is_empty() && b.factors.is_empty() && a.number != b.number {
        return Err(format!("{} has not as many elements as {}", show(from), show(to)));
    }
    Ok(())
}

/// Refuses negative extents, extents that overflow, and tensors that are too large to exist.
pub(super) fn check_size(ty: &Type) -> Result<(), String> {
    let limit = super::MAX_TENSOR_BYTES;
    let mut bytes = Some(ty.dtype.bytes().max(1) as u64);
    for dim in &ty.shape {
        if ty.is_sequence() && *dim == Dim::Const(ANY_EXTENT) {
            continue;
        }
        if let Dim::Const(n) = dim {
            let n = u64::try_from(*n).map_err(|_| format!("{ty} has a negative extent"))?;
            // An empty tensor may not have absurd extents either: strides are computed from them.
            bytes = bytes.and_then(|b| b.checked_mul(n.max(1))).filter(|b| *b <= limit);
            continue;
        }
        let mut names = Vec::new();
        dim.symbols(&mut names);
        if names.is_empty() {
            return Err(format!("extent {dim} cannot be computed: it is too large, or divided by zero"));
        }
    }
    if bytes.is_none() {
        return Err(format!("{ty} is too large; accepted are up to {limit} bytes a tensor"));
    }
    Ok(())
}
