//! How many operands and results each operation has.

use crate::ir::{Arg, Expression, Ints, Op, PoolKind, Step};

impl Expression {
    /// Number of inputs it reads: one more than the largest index mentioned, and at least 1.
    pub fn input_count(&self) -> usize {
        let of = |arg: &Arg| if let Arg::Input(i) = arg { *i as usize + 1 } else { 1 };
        let count = |step: &Step| match step {
            Step::Unary(_, a) => of(a),
            Step::Binary(_, a, b) => of(a).max(of(b)),
        };
        self.steps.iter().map(count).max().unwrap_or(1)
    }
}

/// Least and largest number of operands (`None`: any number), and largest number of results.
pub fn arity(op: &Op) -> (usize, Option<usize>, usize) {
    let exact = |n: usize| (n, Some(n), 1);
    let lists = |base: usize, lists: &[&Ints]| {
        let last = lists.iter().map(|l| if let Ints::Input(i) = l { i.saturating_add(1) } else { 0 }).max();
        exact(last.unwrap_or(0).max(base))
    };
    match op {
        Op::Conv { bias, epilogue, .. }
        | Op::ConvTranspose { bias, epilogue, .. }
        | Op::MatMul { bias, epilogue, .. } => exact(2 + usize::from(*bias) + epilogue.input_count() - 1),
        Op::ConvInteger { bias, epilogue, .. } | Op::MatMulInteger { bias, epilogue, .. } => {
            exact(4 + usize::from(*bias) + epilogue.input_count() - 1)
        }
        Op::Quantize { .. } | Op::Dequantize { .. } => (2, Some(3), 1),
        Op::Requantize { expression, .. } => exact(expression.input_count()),
        Op::Pool { kind: PoolKind::Max, .. } => (1, Some(1), 2),
        Op::BatchNorm { .. } => exact(5),
        Op::InstanceNorm { .. } | Op::GroupNorm { .. } => exact(3),
        Op::LayerNorm { bias, .. } => exact(2 + usize::from(*bias)),
        Op::Binary(_) | Op::Gather { .. } | Op::GatherElements { .. } | Op::GatherNd { .. } => exact(2),
        Op::Elementwise(expression) => exact(expression.input_count()),
        Op::Where | Op::ScatterNd { .. } | Op::ScatterElements { .. } | Op::Range | Op::OneHot { .. } => exact(3),
        Op::Concat { .. } => (1, None, 1),
        Op::Slice { starts, ends, .. } => lists(1, &[starts, ends]),
        Op::Pad { pads, .. } => lists(1, &[pads]),
        Op::Reshape { shape, .. } | Op::Expand { shape } => lists(1, &[shape]),
        Op::Tile { repeats } => lists(1, &[repeats]),
        Op::Resize(attrs) => lists(1, &[&attrs.sizes]),
        Op::ConstantOfShape { shape, .. } => lists(0, &[shape]),
        Op::TopK { k, .. } => {
            let (least, most, _) = lists(1, &[k]);
            (least, most, 2)
        }
        Op::Function { function, results } => {
            let given = function.operands.iter().filter(|given| **given).count();
            (given, Some(given), results.len())
        }
        Op::Deferred { op, .. } => arity(op),
        Op::If { results, .. } => (1, None, results.len()),
        Op::Loop { trip, condition, carried, results, .. } => {
            (usize::from(*trip) + usize::from(*condition) + carried, None, results.len())
        }
        Op::Scan { inputs, results, .. } => (inputs.len(), None, results.len()),
        _ => exact(1),
    }
}

/// Refuses a node with the wrong number of operands or results.
pub(super) fn check(op: &Op, inputs: usize, results: usize) -> Result<(), String> {
    let (least, most, largest) = arity(op);
    if inputs < least || most.is_some_and(|most| inputs > most) {
        let accepted = if most.is_none() { format!("{least} or more") } else { format!("{least}") };
        return Err(format!("{inputs} inputs; accepted are {accepted}"));
    }
    let exactly = matches!(op, Op::TopK { .. });
    if results == 0 || results > largest || (exactly && results != largest) {
        let accepted = if largest == 1 || exactly { format!("{largest}") } else { format!("1 to {largest}") };
        return Err(format!("{results} results; accepted are {accepted}"));
    }
    Ok(())
}
