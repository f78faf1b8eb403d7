//! The evaluator: slow, obvious, and the meaning of every operation.
//!
//! Values are whole tensors in row-major order whatever the layout of their type says; a reorder changes nothing. Sums of
//! products are taken in f64 and rounded once. Operations that are only ever library calls run the library's own code.
//! One file per family.

mod call;
mod control;
mod dense;
mod prepared;
mod quantized;
mod resize;
mod values;

pub use call::{library_call, node_library_call};
pub use dense::dense_function;
pub use prepared::Prepared;
pub use resize::{ResizeTap, resize_taps};
pub use values::{RunBody, Shared, bind_symbols, evaluate_values, evaluate_values_with, run_node};

use super::infer::InferError;
use super::{Bindings, Dim, DimExpr, Graph, Ints, Node, Op, Origin, Type, ValueId};
use brolga_runtime::library::LibraryError;
use brolga_runtime::{DType, Operand, Tensor, TensorError, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// No tensor of an evaluation may need more bytes than this.
const MAX_BYTES: usize = 1 << 33;

/// Why a graph could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// Not as many tensors as the graph has inputs.
    #[error("the graph has {wanted} inputs, {given} tensors were given")]
    Count {
        /// Inputs of the graph.
        wanted: usize,
        /// Tensors given.
        given: usize,
    },
    /// A tensor that does not fit its input.
    #[error("input '{name}' takes {wanted}, the tensor is {given}")]
    Input {
        /// Name of the input.
        name: String,
        /// Its type.
        wanted: String,
        /// The tensor's.
        given: String,
    },
    /// Symbols that the inputs do not determine, or shapes that do not fit together when they are.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// An operation went wrong.
    #[error("node '{node}': {what}")]
    Node {
        /// Name of the node.
        node: String,
        /// What went wrong.
        what: String,
    },
    /// An operation outside of a graph went wrong.
    #[error("{0}")]
    Op(String),
}

impl From<LibraryError> for EvalError {
    fn from(error: LibraryError) -> Self {
        EvalError::Op(error.to_string())
    }
}
impl From<TensorError> for EvalError {
    fn from(error: TensorError) -> Self {
        EvalError::Op(error.to_string())
    }
}

/// Outputs of a graph on these inputs, both in the graph's order. Symbols take the values that the inputs' shapes give them.
pub fn evaluate(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    if graph.nodes().any(|node| node.op.stored_results().is_some()) {
        let inputs: Vec<Shared> = inputs.iter().map(|t| Arc::new(Value::Tensor(t.clone()))).collect();
        let results = evaluate_values(graph, &inputs)?;
        let tensor = |value: &Shared| value.as_tensor().cloned();
        let tensors: Option<Vec<Tensor>> = results.iter().map(tensor).collect();
        return tensors.ok_or_else(|| EvalError::Op("an output is no tensor".into()));
    }
    evaluate_with(graph, inputs, |_, _| {})
}

/// The same; `observe` sees each node with its results as soon as they are there.
pub fn evaluate_with(
    graph: &Graph,
    inputs: &[Tensor],
    mut observe: impl FnMut(&Node, &[Tensor]),
) -> Result<Vec<Tensor>, EvalError> {
    let bound;
    let bindings = bindings(graph, inputs)?;
    let graph = if bindings.is_empty() {
        graph
    } else {
        bound = graph.bind(&bindings)?;
        &bound
    };
    check_inputs(graph, inputs)?;
    let mut uses = count_uses(graph);
    let mut values: HashMap<ValueId, Tensor> = graph.inputs().iter().copied().zip(inputs.iter().cloned()).collect();
    for id in graph.topological() {
        let node = graph.node(id);
        let error = |what: String| EvalError::Node { node: node.name.clone(), what };
        for input in &node.inputs {
            if let (false, Some(weight)) = (values.contains_key(input), graph.weight(*input)) {
                values.insert(*input, weight.evaluate().map_err(|e| error(e.to_string()))?);
            }
        }
        let operands: Option<Vec<&Tensor>> = node.inputs.iter().map(|v| values.get(v)).collect();
        let operands = operands.ok_or_else(|| error("an operand has no value".into()))?;
        let types: Vec<Type> = node.outputs.iter().map(|v| graph.ty(*v).clone()).collect();
        let results = eval_op(&node.op, &operands, &types).map_err(|e| error(e.to_string()))?;
        observe(node, &results);
        for (output, tensor) in node.outputs.iter().zip(results) {
            if uses.contains_key(output) {
                values.insert(*output, tensor);
            }
        }
        for input in &node.inputs {
            release(&mut uses, &mut values, *input);
        }
    }
    collect(graph, &values)
}

fn release(uses: &mut HashMap<ValueId, usize>, values: &mut HashMap<ValueId, Tensor>, id: ValueId) {
    if let Some(count) = uses.get_mut(&id) {
        *count -= 1;
        if *count == 0 {
            values.remove(&id);
        }
    }
}

/// How often each value is read, graph outputs counted.
fn count_uses(graph: &Graph) -> HashMap<ValueId, usize> {
    let mut uses = HashMap::new();
    let read = graph.nodes().flat_map(|n| n.inputs.iter().copied());
    for id in read.chain(graph.outputs().iter().map(|(_, id)| *id)) {
        *uses.entry(id).or_insert(0) += 1;
    }
    uses
}

fn collect(graph: &Graph, values: &HashMap<ValueId, Tensor>) -> Result<Vec<Tensor>, EvalError> {
    let one = |(name, id): &(String, ValueId)| {
        if let Origin::Weight(weight) = &graph.value(*id).origin {
            return Ok(weight.evaluate()?);
        }
        values.get(id).cloned().ok_or_else(|| EvalError::Op(format!("output '{name}' has no value")))
    };
    graph.outputs().iter().map(one).collect()
}

/// Values of the symbols that stand alone as an extent of an input.
fn bindings(graph: &Graph, inputs: &[Tensor]) -> Result<Bindings, EvalError> {
    if graph.inputs().len() != inputs.len() {
        return Err(EvalError::Count { wanted: graph.inputs().len(), given: inputs.len() });
    }
    let mut found = Bindings::new();
    for (id, tensor) in graph.inputs().iter().zip(inputs) {
        for (dim, extent) in graph.ty(*id).shape.iter().zip(tensor.shape()) {
            if let Dim::Expr(e) = dim
                && let DimExpr::Symbol(name) = &**e
            {
                found.entry(name.clone()).or_insert(i64::try_from(*extent).unwrap_or(i64::MAX));
            }
        }
    }
    Ok(found)
}

fn check_inputs(graph: &Graph, inputs: &[Tensor]) -> Result<(), EvalError> {
    for (id, tensor) in graph.inputs().iter().zip(inputs) {
        let value = graph.value(*id);
        if value.ty.dtype != tensor.dtype() || value.ty.dims().as_deref() != Some(tensor.shape()) {
            let (name, wanted) = (value.name.clone(), value.ty.to_string());
            return Err(EvalError::Input { name, wanted, given: format!("{tensor:?}") });
        }
    }
    Ok(())
}

/// Results of one operation. `types` are those that inference gives, all extents known.
pub fn eval_op(op: &Op, inputs: &[&Tensor], types: &[Type]) -> Result<Vec<Tensor>, EvalError> {
    let mut outputs = Vec::with_capacity(types.len());
    for ty in types {
        let dims = ty.dims().ok_or_else(|| EvalError::Op(format!("a result is {ty}; extents must be known")))?;
        let bytes = brolga_runtime::element_count(&dims).and_then(|n| n.checked_mul(ty.dtype.bytes()));
        if ty.dtype == DType::String || bytes.is_none_or(|b| b > MAX_BYTES) {
            return Err(EvalError::Op(format!("a result is {ty}; accepted are numbers and bool below 8 GiB")));
        }
        outputs.push(Tensor::zeros(ty.dtype, &dims)?);
    }
    if outputs.is_empty() || inputs.len() < super::infer::arity(op).0 {
        return Err(EvalError::Op("too few operands or results".into()));
    }
    let half = |t: DType| matches!(t, DType::F16 | DType::BF16);
    let shapes: Vec<&[usize]> = inputs.iter().map(|t| t.shape()).collect();
    let ints = |i: usize| inputs.get(i).and_then(|t| call::integers(t));
    let results: Vec<&[usize]> = outputs.iter().map(Tensor::shape).collect();
    if let Op::Function { function, .. } = op {
        let given: Vec<Operand> = inputs.iter().map(|t| Operand::Tensor(t.view())).collect();
        let made: Option<Vec<Tensor>> = function.run(&given)?.into_iter().map(Value::into_tensor).collect();
        let mut made = made.ok_or_else(|| EvalError::Op("a result is no tensor".into()))?;
        made.truncate(types.len());
        return Ok(made);
    }
    if let Some((call, operands)) = library_call(op, &shapes, &ints, &results) {
        let views: Vec<_> = operands.iter().map(|i| inputs[*i].view()).collect();
        let mut out: Vec<_> = outputs.iter_mut().map(Tensor::view_mut).collect();
        call.run(&views, &mut out)?;
    } else if let Some(function) = dense_function(op, &shapes, &results) {
        let given: Vec<Operand> = inputs.iter().map(|t| Operand::Tensor(t.view())).collect();
        let made = function.run(&given)?.into_iter().filter_map(Value::into_tensor);
        return Ok(made.take(types.len()).collect());
    } else if inputs.iter().any(|t| half(t.dtype())) {
        return through_f32(op, inputs, types);
    } else {
        compute(op, inputs, &mut outputs[0])?;
    }
    Ok(outputs)
}

/// Half-precision operands are computed on in f32.
fn through_f32(op: &Op, inputs: &[&Tensor], types: &[Type]) -> Result<Vec<Tensor>, EvalError> {
    let to = |t: &Tensor, dtype: DType| -> Result<Tensor, EvalError> {
        let mut wide = Tensor::zeros(dtype, t.shape())?;
        brolga_runtime::library::cast(&t.view(), &mut wide.view_mut())?;
        Ok(wide)
    };
    let wide_type = |t: DType| if matches!(t, DType::F16 | DType::BF16) { DType::F32 } else { t };
    let wide: Vec<Tensor> = inputs.iter().map(|t| to(t, wide_type(t.dtype()))).collect::<Result<_, _>>()?;
    let wide_types: Vec<Type> = types.iter().map(|t| Type { dtype: wide_type(t.dtype), ..t.clone() }).collect();
    let results = eval_op(op, &wide.iter().collect::<Vec<_>>(), &wide_types)?;
    results.iter().zip(types).map(|(r, t)| to(r, t.dtype)).collect()
}

/// The operations that are no library calls, and have no function of their own.
fn compute(op: &Op, x: &[&Tensor], out: &mut Tensor) -> Result<(), EvalError> {
    match op {
        Op::ConvInteger { window, group, bias, epilogue, .. } => {
            quantized::conv(x, window, *group, (*bias, epilogue), out)
        }
        Op::MatMulInteger { trans_b, bias, epilogue, .. } => quantized::matmul(x, *trans_b, (*bias, epilogue), out),
        Op::Requantize { expression, .. } => quantized::requantize(expression, x, out),
        Op::Resize(attrs) => resize::resize(x[0], attrs, out),
        _ => Err(EvalError::Op(format!("{op:?}: the integers it needs are not known"))),
    }
}

/// Elements as f64.
fn reals(x: &Tensor) -> Result<Vec<f64>, EvalError> {
    let mut wide = Tensor::zeros(DType::F64, x.shape())?;
    brolga_runtime::library::cast(&x.view(), &mut wide.view_mut())?;
    Ok(wide.as_slice::<f64>()?.to_vec())
}

/// Stores f64 elements, rounded to the tensor's type.
fn store(values: &[f64], out: &mut Tensor) -> Result<(), EvalError> {
    let wide = Tensor::from_slice(out.shape(), values)?;
    Ok(brolga_runtime::library::cast(&wide.view(), &mut out.view_mut())?)
}

/// The integers of an attribute, all known.
fn known(ints: &Ints, content: &dyn Fn(usize) -> Option<Vec<i64>>) -> Option<Vec<i64>> {
    match ints {
        Ints::Known(list) => list.iter().map(Dim::known).collect(),
        Ints::Input(i) => content(*i),
    }
}

#[cfg(test)]
mod tests;
