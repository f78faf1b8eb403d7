//! Reductions: Reduce*, ArgMax, ArgMin, CumSum.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__ReduceSum.html> and its neighbours. Axes are an attribute until 12 for
//! ReduceSum, until 17 for the others, then an operand that may be omitted or empty. ArgMax and ArgMin choose the last of
//! equal elements from 12 if asked.

use crate::context::{Context, Results};
use crate::error::unsupported;
use brolga_compiler::ir::{BinaryOp, Op, ReduceKind, Type, UnaryOp};
use brolga_runtime::library::Function;

pub(crate) fn reduce(cx: &mut Context<'_, '_>) -> Results {
    let kind = match cx.node.op {
        "ReduceSum" => ReduceKind::Sum,
        "ReduceMean" => ReduceKind::Mean,
        "ReduceMax" => ReduceKind::Max,
        "ReduceMin" => ReduceKind::Min,
        "ReduceProd" => ReduceKind::Prod,
        "ReduceL1" => ReduceKind::L1,
        "ReduceL2" => ReduceKind::L2,
        "ReduceSumSquare" => ReduceKind::SumSquare,
        "ReduceLogSum" => ReduceKind::LogSum,
        "ReduceLogSumExp" => ReduceKind::LogSumExp,
        other => return unsupported(format!("{other} is not a reduction")),
    };
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let attributes = &cx.node.attributes;
    let keep = attributes.int_or("keepdims", 1)? != 0;
    let operand = cx.opset >= if kind == ReduceKind::Sum { 13 } else { 18 };
    let axes = if operand { cx.const_ints(1, "axes")? } else { attributes.ints("axes")?.map(<[i64]>::to_vec) };
    let mut axes = cx.axes(&axes.unwrap_or_default(), rank)?;
    if axes.is_empty() {
        if operand && attributes.flag("noop_with_empty_axes")? {
            // Each element is a group of its own.
            return Ok(vec![match kind {
                ReduceKind::L1 | ReduceKind::L2 => cx.unary(UnaryOp::Abs, x)?,
                ReduceKind::SumSquare => cx.binary(BinaryOp::Mul, x, x)?,
                ReduceKind::LogSum => cx.unary(UnaryOp::Log, x)?,
                _ => x,
            }]);
        }
        axes = (0..rank).collect();
    }
    axes.sort_unstable();
    Ok(vec![cx.emit(Op::Reduce { kind, axes, keep }, &[x])?])
}

pub(crate) fn arg(cx: &mut Context<'_, '_>) -> Results {
    let x = cx.input(0)?;
    let axis = cx.axis_attribute(0, cx.rank(x))?;
    let op = Op::ArgReduce {
        min: cx.node.op == "ArgMin",
        axis,
        keep: cx.node.attributes.int_or("keepdims", 1)? != 0,
        last: cx.node.attributes.flag("select_last_index")?,
    };
    Ok(vec![cx.emit(op, &[x])?])
}

pub(crate) fn cum_sum(cx: &mut Context<'_, '_>) -> Results {
    let (x, axis) = (cx.input(0)?, cx.input(1)?);
    let Some([known]) = cx.known_ints(axis).as_deref().and_then(|a| <[i64; 1]>::try_from(a).ok()) else {
        let ty = Type::new(cx.dtype(x), cx.shape(x));
        let function = cx.copy_attributes(Function::new("cum_sum", 2), &["exclusive", "reverse"])?;
        return cx.function(function, &[Some(x), Some(axis)], vec![ty]);
    };
    let axis = cx.axis(known, cx.rank(x))?;
    let (exclusive, reverse) = (cx.node.attributes.flag("exclusive")?, cx.node.attributes.flag("reverse")?);
    Ok(vec![cx.emit(Op::CumSum { axis, exclusive, reverse }, &[x])?])
}
