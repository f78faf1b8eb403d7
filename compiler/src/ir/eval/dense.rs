//! Which library function means the same as an operation that multiplies, pools or normalises: what the evaluator runs, and what a
//! program runs where no kernel takes the node.

use super::EvalError;
use crate::ir::infer::{conv_pads, conv_transpose_pads};
use crate::ir::{Arg, Expression, Op, PoolKind, Step, Window};
use brolga_runtime::library::dense::extents;
use brolga_runtime::library::{Attribute, Function};
use brolga_runtime::{Operand, Tensor, Value};

/// The function for an operation over operands and results of these shapes; its operands are the operation's.
pub fn dense_function(op: &Op, shapes: &[&[usize]], results: &[&[usize]]) -> Option<Function> {
    let (input, output) = (*shapes.first()?, *results.first()?);
    let new = |name: &str| Function::new(name, shapes.len());
    let int = |n: usize| Attribute::Int(i64::try_from(n).unwrap_or(i64::MAX));
    Some(match op {
        Op::Conv { window, group, bias, epilogue } => {
            let pads = conv_pads(window, input.get(2..)?);
            let function = placed(new("conv"), window, shapes.get(1)?.get(2..)?, pads, output.get(2..)?);
            product(function.with("group", int(*group)), *bias, epilogue)
        }
        Op::ConvTranspose { window, output_pad, group, bias, epilogue } => {
            let pads = conv_transpose_pads(window, output_pad, input.get(2..)?);
            let function = placed(new("conv_transpose"), window, shapes.get(1)?.get(2..)?, pads, output.get(2..)?);
            product(function.with("group", int(*group)), *bias, epilogue)
        }
        Op::MatMul { trans_a, trans_b, bias, epilogue } => {
            let function = new("matmul").with("trans_a", flag(*trans_a)).with("trans_b", flag(*trans_b));
            product(function, *bias, epilogue)
        }
        Op::Elementwise(expression) => {
            new("elementwise").with("output", extents(output)).with("epilogue", Attribute::Texts(texts(expression)))
        }
        Op::Pool { kind, window, column_major, .. } => {
            let pads = conv_pads(window, input.get(2..)?);
            let function = placed(new("pool"), window, &window.kernel, pads, output.get(2..)?);
            let kind_is = |name: &str| function.clone().with("kind", Attribute::Text(name.into()));
            match kind {
                PoolKind::Max => kind_is("max").with("column_major", flag(*column_major)),
                PoolKind::Average { count_pad } => kind_is("average").with("count_pad", flag(*count_pad)),
                PoolKind::Lp { p } => kind_is("lp").with("p", Attribute::Int(i64::from(*p))),
            }
        }
        Op::BatchNorm { epsilon } => new("batch_norm").with("epsilon", Attribute::Float(*epsilon)),
        Op::InstanceNorm { epsilon } => new("group_norm").with("epsilon", Attribute::Float(*epsilon)),
        Op::GroupNorm { groups, epsilon } => {
            new("group_norm").with("groups", int(*groups)).with("epsilon", Attribute::Float(*epsilon))
        }
        Op::LayerNorm { axis, epsilon, .. } => {
            new("layer_norm").with("axis", int(*axis)).with("epsilon", Attribute::Float(*epsilon))
        }
        Op::Lrn { size, alpha, beta, bias } => new("lrn")
            .with("size", int(*size))
            .with("alpha", Attribute::Float(*alpha))
            .with("beta", Attribute::Float(*beta))
            .with("bias", Attribute::Float(*bias)),
        Op::LpNorm { axis, p } => new("lp_norm").with("axis", int(*axis)).with("p", Attribute::Int(i64::from(*p))),
        Op::Softmax { axis, log } => new("softmax").with("axis", int(*axis)).with("log", flag(*log)),
        _ => return None,
    })
}

/// An expression over f32 tensors that broadcast to `shape`.
pub(super) fn elementwise(expression: &Expression, inputs: &[Tensor], shape: &[usize]) -> Result<Tensor, EvalError> {
    let function = Function::new("elementwise", inputs.len());
    let function = function.with("output", extents(shape)).with("epilogue", Attribute::Texts(texts(expression)));
    let given: Vec<Operand> = inputs.iter().map(|t| Operand::Tensor(t.view())).collect();
    let made = function.run(&given)?.into_iter().next().and_then(Value::into_tensor);
    made.ok_or_else(|| EvalError::Op("an expression has one result".into()))
}

fn flag(on: bool) -> Attribute {
    Attribute::Int(i64::from(on))
}

fn placed(
    function: Function,
    window: &Window,
    kernel: &[usize],
    pads: (Vec<i64>, Vec<i64>),
    output: &[usize],
) -> Function {
    function
        .with("kernel", extents(kernel))
        .with("stride", extents(&window.stride))
        .with("dilation", extents(&window.dilation))
        .with("pad_begin", Attribute::Ints(pads.0))
        .with("pad_end", Attribute::Ints(pads.1))
        .with("output", extents(output))
}

fn product(function: Function, bias: bool, epilogue: &Expression) -> Function {
    function.with("bias", flag(bias)).with("epilogue", Attribute::Texts(texts(epilogue)))
}

/// The steps of an expression as the library reads them.
fn texts(expression: &Expression) -> Vec<String> {
    let arg = |arg: &Arg| match arg {
        Arg::Input(i) => format!("i{i}"),
        Arg::Step(i) => format!("s{i}"),
        Arg::Const(x) => format!("c{:08x}", x.to_bits()),
    };
    let step = |step: &Step| match step {
        Step::Unary(op, a) => {
            let (name, parameters) = op.parts();
            let parameters: String = parameters.iter().map(|(name, value)| format!(" {name}={value:?}")).collect();
            format!("{name}{parameters} {}", arg(a))
        }
        Step::Binary(op, a, b) => format!("{} {} {}", op.name(), arg(a), arg(b)),
    };
    expression.steps.iter().map(step).collect()
}
