//! Sums of extents: like terms taken together, so that what a model adds to a length and takes off again leaves the length.
//!
//! Models that pad to a whole number of strides compute `n + (m - n)` before every layer; expressions that kept both `n` would
//! double with each of them.

use super::ty::{Dim, DimExpr};
use std::sync::Arc;

/// Sums of more terms are left as they are.
const MAX_TERMS: usize = 16;

/// A sum of multiples of extents.
#[derive(Default)]
struct Sum {
    terms: Vec<(Dim, i64)>,
    constant: i64,
    /// Terms that were there before like ones were joined.
    listed: usize,
    /// Sums and multiples around the one being added.
    depth: usize,
}

impl Sum {
    /// Adds `factor` times an extent; `None` where numbers overflow or terms are too many.
    fn push(&mut self, dim: &Dim, factor: i64) -> Option<()> {
        let Dim::Expr(e) = dim else {
            self.constant = self.constant.checked_add(dim.known()?.checked_mul(factor)?)?;
            return Some(());
        };
        if self.depth > 2 * MAX_TERMS {
            return None;
        }
        self.depth += 1;
        self.parts(dim, e, factor)?;
        self.depth -= 1;
        Some(())
    }

    fn parts(&mut self, dim: &Dim, e: &DimExpr, factor: i64) -> Option<()> {
        match e {
            DimExpr::Add(a, b) => {
                self.push(a, factor)?;
                self.push(b, factor)
            }
            DimExpr::Sub(a, b) => {
                self.push(a, factor)?;
                self.push(b, factor.checked_neg()?)
            }
            DimExpr::Mul(x, Dim::Const(n)) | DimExpr::Mul(Dim::Const(n), x) => self.push(x, factor.checked_mul(*n)?),
            _ => self.term(dim, factor),
        }
    }

    fn term(&mut self, dim: &Dim, factor: i64) -> Option<()> {
        self.listed += 1;
        match self.terms.iter_mut().find(|(d, _)| d == dim) {
            Some((_, n)) => *n = n.checked_add(factor)?,
            None => self.terms.push((dim.clone(), factor)),
        }
        (self.listed <= MAX_TERMS).then_some(())
    }

    fn build(self) -> Dim {
        let mut terms: Vec<(Dim, i64)> = self.terms.into_iter().filter(|(_, n)| *n != 0).collect();
        terms.sort_by_key(|(_, n)| *n < 0);
        let node = |make: fn(Dim, Dim) -> DimExpr, a: &Dim, b: &Dim| Dim::Expr(Arc::new(make(a.clone(), b.clone())));
        let multiple = |d: &Dim, n: i64| if n == 1 { d.clone() } else { node(DimExpr::Mul, d, &Dim::Const(n)) };
        let mut rest = terms.iter();
        let (mut sum, constant) = match rest.next() {
            None => return Dim::Const(self.constant),
            // A sum begins with what is added.
            Some((d, n)) if *n < 0 => (node(DimExpr::Sub, &Dim::Const(self.constant), &multiple(d, -n)), 0),
            Some((d, n)) => (multiple(d, *n), self.constant),
        };
        for (d, n) in rest {
            sum = match *n < 0 {
                true => node(DimExpr::Sub, &sum, &multiple(d, -n)),
                false => node(DimExpr::Add, &sum, &multiple(d, *n)),
            };
        }
        match constant {
            0 => sum,
            n if n < 0 => node(DimExpr::Sub, &sum, &Dim::Const(n.wrapping_neg())),
            n => node(DimExpr::Add, &sum, &Dim::Const(n)),
        }
    }
}

/// `a + factor * b` where that has like terms to join.
pub(super) fn joined(a: &Dim, b: &Dim, factor: i64) -> Option<Dim> {
    let mut sum = Sum::default();
    sum.push(a, 1)?;
    sum.push(b, factor)?;
    let fewer = sum.terms.len() < sum.listed && sum.terms.iter().all(|(_, n)| *n != i64::MIN);
    fewer.then(|| sum.build())
}
