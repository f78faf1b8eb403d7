//! Products, windows and normalisations as plain library code: what they mean, and what runs where there is no kernel.
//!
//! Sums are taken in f64 and rounded once. Paddings are explicit, and `output` gives the spatial extents of the result. What
//! multiplies may have an `epilogue`, an expression over its result and the operands after its own.

mod conv;
mod fused;
mod matmul;
mod norm;
mod pool;

use super::LibraryError;
use super::function::{Attribute, Entry, Function, Operands, pure};
use crate::{Tensor, TensorView};

pub(super) const TABLE: &[Entry] = &[
    pure("batch_norm", norm::batch_norm),
    pure("conv", conv::conv),
    pure("conv_transpose", conv::conv_transpose),
    pure("elementwise", fused::elementwise),
    pure("group_norm", norm::group_norm),
    pure("layer_norm", norm::layer_norm),
    pure("lp_norm", norm::lp_norm),
    pure("lrn", norm::lrn),
    pure("matmul", matmul::matmul),
    pure("pool", pool::pool),
    pure("softmax", norm::softmax),
];

/// The number of spatial dimensions of the windows, with which every list of them agrees.
const WINDOW: LibraryError = LibraryError::Operands { accepted: "windows of as many dimensions as the operand has" };

/// A window with its places, read from the attributes of a function.
struct Window {
    kernel: Vec<usize>,
    stride: Vec<usize>,
    dilation: Vec<usize>,
    before: Vec<i64>,
    after: Vec<i64>,
    output: Vec<usize>,
}

impl Window {
    fn of(function: &Function, rank: usize) -> Result<Window, LibraryError> {
        let extents = |name: &str| -> Result<Vec<usize>, LibraryError> {
            let list: Option<Vec<usize>> = function.ints(name).iter().map(|n| usize::try_from(*n).ok()).collect();
            list.filter(|list| list.len() + 2 == rank && rank > 2).ok_or(WINDOW)
        };
        let window = Window {
            kernel: extents("kernel")?,
            stride: extents("stride")?,
            dilation: extents("dilation")?,
            before: function.ints("pad_begin").to_vec(),
            after: function.ints("pad_end").to_vec(),
            output: extents("output")?,
        };
        let fits = window.before.len() + 2 == rank && window.after.len() + 2 == rank;
        let positive = window.stride.iter().chain(&window.dilation).all(|n| *n > 0);
        if fits && positive { Ok(window) } else { Err(WINDOW) }
    }
}

/// The bias of a product, when it has one.
fn bias<'a>(function: &Function, operands: &Operands<'a>) -> Result<Option<TensorView<'a>>, LibraryError> {
    if function.int("bias", 0) == 0 { Ok(None) } else { operands.tensor(2).map(Some) }
}

/// A product with its epilogue applied, as the results of the function.
fn finish(function: &Function, operands: &Operands, result: Tensor) -> super::function::Results {
    if function.texts("epilogue").is_empty() {
        return Ok(vec![result.into()]);
    }
    let first = 2 + usize::from(function.int("bias", 0) != 0);
    let extras = (first..operands.len()).map(|i| operands.tensor(i)).collect::<Result<Vec<_>, _>>()?;
    let inputs: Vec<TensorView> = std::iter::once(result.view()).chain(extras).collect();
    Ok(vec![fused::apply(function.texts("epilogue"), &inputs, result.shape())?.into()])
}

/// Splits `items` into a share per thread that may be used and runs `work` on each share: the index of its first item, and its items.
fn in_parallel<T: Send>(items: &mut [T], unit: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    let unit = unit.max(1);
    // A share is worth a thread, and the question how many there may be as much as reading a file.
    if items.len() < 4096 {
        return work(0, items);
    }
    let workers = crate::threads::library_threads();
    let share = (items.len() / unit).div_ceil(workers).max(1) * unit;
    if items.len() <= share {
        return work(0, items);
    }
    std::thread::scope(|scope| {
        for (i, part) in items.chunks_mut(share).enumerate() {
            let work = &work;
            scope.spawn(move || work(i * share / unit, part));
        }
    });
}

/// A list of extents as an attribute.
pub fn extents(list: &[usize]) -> Attribute {
    Attribute::Ints(list.iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect())
}

#[cfg(test)]
mod tests;
