//! MaxUnpool: zeros, and then every pooled element where its index says, which is checked as it is read.

use super::operand::place;
use super::{KernelCall, LowerContext, Lowered, NoKernel, Operand, copy, gather::INDEX_OUT_OF_RANGE};
use crate::ir::Node;
use crate::tile::{Access, Builder, Cmp, Index, Kernel, Mem, ScalarId, ScalarOp, Storage, Target, VectorOp};
use brolga_runtime::DType;
use brolga_runtime::library::Function;

/// An unpooling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Pooled elements.
    pub count: usize,
    /// Extents in which the indices count: what undoing the pooling gives by itself.
    pub natural: Vec<usize>,
    /// Extents of the result, none smaller.
    pub shape: Vec<usize>,
    /// Bytes of an element.
    pub bytes: usize,
}

impl Spec {
    /// The program and its number of items: one, since of two elements with one index the later one counts.
    pub fn build(&self, target: Target) -> (Kernel, u64) {
        let mut k = Builder::new(format!("unpool-b{}-{}", 8 * self.bytes, self.count), target);
        let (y, x) = (k.base("y", Access::Write), k.base("x", Access::Read));
        let indices = k.base("indices", Access::Read);
        let (begin, end) = (k.begin(), k.end());
        let (storage, words) = match self.bytes {
            1 => (Storage::U8, 1),
            2 => (Storage::U16, 1),
            bytes => (Storage::B32, bytes as i64 / 4),
        };
        let width = self.bytes as i64;
        k.for_(begin, end, 1, |k, _| {
            let (zero, limit) = (k.num(0), k.num(self.natural.iter().product::<usize>() as i64));
            let (first, last) = (k.num(0), k.num(self.count as i64));
            k.for_(first, last, 1, |k, at| {
                let offset = k.mul_const(at, 8);
                let mem = Mem { pointer: k.pointer(indices, offset), disp: Index::Const(0) };
                let index = k.scalar(ScalarOp::LoadI64(mem));
                k.check(Cmp::Ge, index, zero, INDEX_OUT_OF_RANGE);
                k.check(Cmp::Lt, index, limit, INDEX_OUT_OF_RANGE);
                let to = self.place(k, index);
                let (from, to) = (k.mul_const(at, width), k.mul_const(to, width));
                let (from, to) = (k.pointer(x, from), k.pointer(y, to));
                let words = k.num(words);
                let mem = Mem { pointer: from, disp: Index::Const(0) };
                let v = k.vector(VectorOp::Load { mem, first: Some(words), storage });
                k.store_as(to, 0, v, Some(words), storage);
            });
        });
        (k.finish(), 1)
    }

    /// Where in the result an index of the natural extents is.
    fn place(&self, k: &mut Builder, index: ScalarId) -> ScalarId {
        if self.natural == self.shape {
            return index;
        }
        let (mut rest, mut to, mut step) = (index, k.num(0), 1);
        for (natural, extent) in self.natural.iter().zip(&self.shape).rev() {
            let here = k.rem_const(rest, *natural as i64);
            rest = k.div_const(rest, *natural as i64);
            let here = k.mul_const(here, step);
            to = k.sadd(to, here);
            step *= *extent as i64;
        }
        to
    }
}

/// Extents that undoing a pooling gives by itself.
fn natural(function: &Function, pooled: &[usize]) -> Option<Vec<usize>> {
    let (kernel, spatial) = (function.ints("kernel_shape"), pooled.get(2..)?);
    let at = |name: &str, i: usize, default: i64| function.ints(name).get(i).copied().unwrap_or(default);
    let mut extents = pooled[..2].to_vec();
    for (i, extent) in spatial.iter().enumerate() {
        let pads = at("pads", i, 0).checked_add(at("pads", spatial.len() + i, 0))?;
        let steps = i64::try_from(*extent).ok()?.checked_sub(1)?.checked_mul(at("strides", i, 1))?;
        let whole = steps.checked_add(*kernel.get(i)?)?.checked_sub(pads)?;
        extents.push(usize::try_from(whole).ok()?);
    }
    (kernel.len() == spatial.len()).then_some(extents)
}

/// Lowers the function `max_unpool`.
pub fn lower(cx: &LowerContext<'_>, node: &Node, function: &Function) -> Result<Lowered, NoKernel> {
    let ([x, indices, ..], [result]) = (&node.inputs[..], &node.outputs[..]) else {
        return Err(NoKernel("no unpooling".into()));
    };
    let (pooled, shape) = (cx.dims(*x)?, cx.dims(*result)?);
    let fits = |natural: &Vec<usize>| {
        natural.len() == shape.len() && natural.iter().zip(&shape).all(|(n, s)| *n > 0 && n <= s)
    };
    // What does not fit is refused by the library, in words.
    let Some(natural) = natural(function, &pooled).filter(fits) else {
        return Err(NoKernel("extents that do not fit the pooling".into()));
    };
    let (dtype, count) = (cx.graph.ty(*x).dtype, pooled.iter().product());
    let ((from, from_view), (at, at_view)) = (place(cx, *x)?, place(cx, *indices)?);
    let bytes = dtype.bytes();
    let dense = from_view.is_dense_plain(bytes) && at_view.is_dense_plain(8) && cx.view(*result)?.is_dense_plain(bytes);
    if !dense || cx.graph.ty(*indices).dtype != DType::I64 || cx.dims(*indices)? != pooled {
        return Err(NoKernel(
            "operands that are not contiguous, or indices that are not one i64 for each element".into(),
        ));
    }
    let whole = [shape.iter().product()];
    let zeros = copy::Spec::fill(&whole, &[bytes as i64], &vec![0; bytes])?;
    let mut calls = vec![zeros.call(cx.target, Operand::Value(*result, 0), None)];
    if count > 0 {
        let (kernel, extent) = Spec { count, natural, shape, bytes }.build(cx.target);
        let operands = vec![Operand::Value(*result, 0), from, at];
        calls.push(KernelCall { kernel, operands, args: vec![], extent, barrier_before: true });
    }
    calls.retain(|call| call.extent > 0);
    Ok(Lowered { calls, temporaries: vec![] })
}
