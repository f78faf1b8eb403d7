//! Operations that carry a state from call to call: CausalConvWithState, LinearAttention.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx__CausalConvWithState.html>.

use super::attention::{part, wide};
use crate::context::{Context, Results};
use crate::error::{invalid, unsupported};
use brolga_compiler::ir::{AutoPad, Dim, Expression, Ints, Op, PadMode, Type, UnaryOp, Window};
use brolga_runtime::library::Function;

/// What came before (or zeros) and the operand, convolved channel by channel; the last elements are the next state.
pub(crate) fn causal_conv(cx: &mut Context<'_, '_>) -> Results {
    let (x, weight) = (cx.input(0)?, cx.input(1)?);
    let own = cx.dtype(x);
    let activation = match cx.node.attributes.text_or("activation", "none")? {
        "none" => None,
        "silu" | "swish" => Some(UnaryOp::Silu { alpha: 1.0 }),
        other => return invalid(format!("activation {other:?}; none, silu or swish is expected")),
    };
    let shape = cx.shape(weight);
    let [channels, _, taps] = &shape[..] else {
        return invalid(format!("the weight has rank {}; 3 is expected", shape.len()));
    };
    let known = |d: &Dim| d.known().and_then(|n| usize::try_from(n).ok()).filter(|n| (1..1 << 31).contains(n));
    let (Some(group), Some(taps)) = (known(channels), known(taps)) else {
        return unsupported(format!(
            "a weight of {channels} channels and {taps} taps; known numbers from 1 are accepted"
        ));
    };
    if cx.rank(x) != 3 {
        return invalid(format!("its operand has rank {}; 3 is expected", cx.rank(x)));
    }
    let before = Dim::from(taps - 1);
    let all = match cx.optional(3) {
        Some(past) => {
            let past = cx.cast(past, own)?;
            cx.emit(Op::Concat { axis: 2 }, &[past, x])?
        }
        None => {
            let mut pads = vec![Dim::Const(0); 6];
            pads[2] = before.clone();
            cx.emit(Op::Pad { mode: PadMode::Constant(0.0), pads: Ints::Known(pads) }, &[x])?
        }
    };
    let mut operands = vec![cx.cast(all, wide(own))?, cx.cast(weight, wide(own))?];
    if let Some(bias) = cx.optional(2) {
        operands.push(cx.cast(bias, wide(own))?);
    }
    let window = Window {
        kernel: vec![taps],
        stride: vec![1],
        dilation: vec![1],
        pad_begin: vec![0],
        pad_end: vec![0],
        auto_pad: AutoPad::Explicit,
    };
    let op = Op::Conv { window, group, bias: operands.len() == 3, epilogue: Expression::default() };
    let mut y = cx.emit(op, &operands)?;
    if let Some(activation) = activation {
        y = cx.unary(activation, y)?;
    }
    let mut results = vec![cx.cast(y, own)?];
    if cx.wants(1) {
        let end = cx.shape(all).into_iter().nth(2).unwrap_or(Dim::Const(0));
        results.push(part(cx, all, 2, (end.sub(&before), end, 1))?);
    }
    Ok(results)
}

/// A library function: the state goes from token to token.
pub(crate) fn linear_attention(cx: &mut Context<'_, '_>) -> Results {
    let (query, key, value) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let attributes = &cx.node.attributes;
    let many = attributes.required("q_num_heads", attributes.int("q_num_heads")?)?;
    let few = attributes.required("kv_num_heads", attributes.int("kv_num_heads")?)?;
    if few < 1 || many < few || many % few != 0 {
        return invalid(format!("{many} query heads do not share {few} key heads evenly"));
    }
    let (shape, values) = (cx.shape(query), cx.shape(value));
    let ([batch, steps, hidden], [_, _, wide], 3) = (&shape[..], &values[..], cx.rank(key)) else {
        return invalid("its query, key or value has another rank than 3");
    };
    let (many, few) = (Dim::Const(many), Dim::Const(few));
    let (key_size, value_size) = (hidden.div(&many), wide.div(&few));
    let y = vec![batch.clone(), steps.clone(), many.mul(&value_size)];
    let state = vec![batch.clone(), few, key_size, value_size];
    let state_type = cx.dtype(cx.optional(3).unwrap_or(query));
    let types = vec![Type::new(cx.dtype(query), y), Type::new(state_type, state)];
    let names = ["q_num_heads", "kv_num_heads", "scale", "update_rule"];
    let function = cx.copy_attributes(Function::new("linear_attention", 6), &names)?;
    let operands: Vec<_> = (0..6).map(|i| cx.optional(i)).collect();
    cx.function(function, &operands, types)
}
