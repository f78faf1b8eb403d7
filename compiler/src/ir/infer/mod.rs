//! Type and shape rules: from an operation and its operands to the types of its results, symbolic dimensions included, and
//! for small integer tensors the elements themselves (shape arithmetic).
//!
//! One file per family of operations. Two symbolic extents that must agree but cannot be shown equal are taken to agree: a
//! number is preferred to an expression, else the first is taken; broadcast against each other they give the larger one.
//! [`Graph::bind`] repeats inference with numbers, and then every rule is exact.

mod arity;
mod content;
mod dense;
mod dims;
mod elementwise;
mod index;
mod quantized;
mod reduce;
mod shape;
mod window;

pub use arity::arity;
pub use content::weight_content;
pub use window::{conv_pads, conv_transpose_pads, explicit};

use super::{Bindings, Body, Dim, Graph, Ints, Kind, Layout, Node, NodeId, Op, Origin, Type, Value, ValueId, Weight};
use brolga_runtime::DType;
use std::collections::{BTreeSet, HashMap};

/// Why a node has no type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node '{node}': {what}")]
pub struct InferError {
    /// Name of the node.
    pub node: String,
    /// What is wrong and what would be accepted.
    pub what: String,
    /// Whether a result is too large although the inputs of the graph are not.
    pub too_large: bool,
}

/// Type of a result and, for small integer tensors, its elements.
pub type Inferred = (Type, Option<Vec<Dim>>);

/// What a rule yields: the results, or what is wrong.
type Rule = Result<Vec<Inferred>, String>;

/// No tensor may need more bytes than this.
pub const MAX_TENSOR_BYTES: u64 = 1 << 40;

/// The operands of one node.
struct Operands<'a> {
    values: Vec<&'a Value>,
    results: usize,
}

impl<'a> Operands<'a> {
    /// Type of operand `i`. The number of operands has been checked.
    fn ty(&self, i: usize) -> &'a Type {
        &self.values[i].ty
    }
    fn dtype(&self, i: usize) -> DType {
        self.ty(i).dtype
    }
    fn shape(&self, i: usize) -> &'a [Dim] {
        &self.ty(i).shape
    }
    fn content(&self, i: usize) -> Option<&'a [Dim]> {
        self.values[i].content.as_deref()
    }
    fn weight(&self, i: usize) -> Option<&'a Weight> {
        match &self.values[i].origin {
            Origin::Weight(weight) => Some(weight),
            _ => None,
        }
    }
    fn len(&self) -> usize {
        self.values.len()
    }
    /// The integers of an attribute, resolved through the content of an operand if they are one.
    fn ints(&self, ints: &Ints, what: &str) -> Result<Vec<Dim>, String> {
        match ints {
            Ints::Known(list) => Ok(list.clone()),
            Ints::Input(i) => {
                let Some(value) = self.values.get(*i) else {
                    return Err(format!("{what} is input {i}, but there are {} inputs", self.values.len()));
                };
                if !matches!(value.ty.dtype, DType::I64 | DType::I32) || value.ty.rank() > 1 {
                    return Err(format!("{what} is {}; accepted are i64 and i32 of rank 0 or 1", value.ty));
                }
                value
                    .content
                    .clone()
                    .ok_or_else(|| format!("{what} depends on data; accepted are constants and arithmetic over shapes"))
            }
        }
    }
}

/// One result, its elements unknown.
fn one(dtype: DType, shape: Vec<Dim>) -> Rule {
    Ok(vec![(Type::new(dtype, shape), None)])
}

/// Types and known contents of the `results` results of `op` applied to `inputs`. Layouts are plain, but for
/// [`Op::Reorder`], which asks for one.
pub fn infer(
    graph: &Graph,
    op: &Op,
    inputs: &[ValueId],
    results: usize,
    node: &str,
) -> Result<Vec<Inferred>, InferError> {
    let error = |what: String| InferError { node: node.into(), what, too_large: false };
    let mut values = Vec::with_capacity(inputs.len());
    for id in inputs {
        values.push(graph.try_value(*id).ok_or_else(|| error(format!("there is no value {id}")))?);
    }
    let operands = Operands { values, results };
    arity::check(op, inputs.len(), results).map_err(error)?;
    let mut found = rule(op, &operands).map_err(error)?;
    for (ty, content) in &mut found {
        dims::check_size(ty).map_err(|what| {
            let too_large =
                operands.values.iter().all(|v| !matches!(v.origin, Origin::Input) || dims::check_size(&v.ty).is_ok());
            InferError { node: node.into(), what, too_large }
        })?;
        if !ty.shape.iter().all(Dim::is_manageable) {
            let what = "an extent is an expression of more terms, or nested more deeply, than any model needs".into();
            return Err(InferError { node: node.into(), what, too_large: true });
        }
        let count = ty.elements();
        let fits = |c: &Vec<Dim>| {
            Some(c.len()) == count && c.len() <= content::MAX_CONTENT && c.iter().all(Dim::is_manageable)
        };
        *content = content.take().filter(fits);
    }
    Ok(found)
}

/// The types that an operation carries.
fn stored(results: &[Type], wanted: usize) -> Rule {
    if results.len() != wanted {
        return Err(format!("{wanted} results; it has {}", results.len()));
    }
    Ok(results.iter().map(|ty| (ty.clone(), None)).collect())
}

/// Refuses operands that are no tensors of known rank, where only such are accepted.
fn check_kinds(op: &Op, x: &Operands) -> Result<(), String> {
    let any =
        matches!(op, Op::Function { .. } | Op::Deferred { .. } | Op::If { .. } | Op::Loop { .. } | Op::Scan { .. });
    match x.values.iter().position(|v| !any && (v.ty.kind != Kind::Tensor || v.ty.dtype == DType::String)) {
        Some(i) => Err(format!("operand {i} is {}; a tensor of numbers of known rank is accepted", x.ty(i))),
        None => Ok(()),
    }
}

fn rule(op: &Op, x: &Operands) -> Rule {
    check_kinds(op, x)?;
    match op {
        Op::Conv { window, group, bias, epilogue } => window::conv(x, window, *group, *bias, epilogue),
        Op::ConvTranspose { window, output_pad, group, bias, epilogue } => {
            window::conv_transpose(x, window, output_pad, *group, *bias, epilogue)
        }
        Op::Pool { kind, window, ceil, .. } => window::pool(x, *kind, window, *ceil),
        Op::MatMul { trans_a, trans_b, bias, epilogue } => dense::matmul(x, [*trans_a, *trans_b], *bias, epilogue),
        Op::BatchNorm { .. } => dense::batch_norm(x),
        Op::InstanceNorm { .. } => dense::instance_norm(x),
        Op::LayerNorm { axis, .. } => dense::layer_norm(x, *axis),
        Op::GroupNorm { groups, .. } => dense::group_norm(x, *groups),
        Op::Lrn { size, .. } => dense::lrn(x, *size),
        Op::LpNorm { axis, p } => dense::lp_norm(x, *axis, *p),
        Op::Softmax { axis, .. } => dense::softmax(x, *axis),
        Op::Unary(op) => elementwise::unary(x, *op),
        Op::Binary(op) => elementwise::binary(x, *op),
        Op::Elementwise(expression) => elementwise::expression(x, expression),
        Op::Where => elementwise::select(x),
        Op::Cast(to) => elementwise::cast(x, *to),
        Op::Quantize { to, axis, block, precision, .. } => quantized::quantize(x, *to, *axis, *block, *precision),
        Op::Dequantize { to, axis, block } => quantized::dequantize(x, *to, *axis, *block),
        Op::ConvInteger { window, group, bias, to, epilogue } => {
            quantized::conv(x, window, *group, *bias, *to, epilogue)
        }
        Op::MatMulInteger { trans_b, bias, to, epilogue } => quantized::matmul(x, *trans_b, *bias, *to, epilogue),
        Op::Requantize { to, expression } => quantized::requantize(x, *to, expression),
        Op::CastNarrow { to, .. } => elementwise::cast_narrow(x, *to),
        Op::Reduce { kind, axes, keep } => reduce::reduce(x, *kind, axes, *keep),
        Op::ArgReduce { axis, keep, .. } => reduce::arg_reduce(x, *axis, *keep),
        Op::CumSum { axis, .. } => reduce::cum_sum(x, *axis),
        Op::TopK { axis, k, .. } => reduce::top_k(x, *axis, k),
        Op::Concat { axis } => shape::concat(x, *axis),
        Op::Slice { axes, starts, ends, steps } => shape::slice(x, axes, starts, ends, steps),
        Op::Pad { mode, pads } => shape::pad(x, *mode, pads),
        Op::Reshape { shape, allow_zero } => shape::reshape(x, shape, *allow_zero),
        Op::Transpose { perm } => shape::transpose(x, perm),
        Op::Expand { shape } => shape::expand(x, shape),
        Op::Tile { repeats } => shape::tile(x, repeats),
        Op::Resize(attrs) => shape::resize(x, attrs),
        Op::DepthToSpace { block, .. } => shape::depth_to_space(x, *block),
        Op::SpaceToDepth { block } => shape::space_to_depth(x, *block),
        Op::Shape { begin, end } => shape::shape_of(x, *begin, *end),
        Op::ConstantOfShape { shape, dtype, value } => shape::constant_of_shape(x, shape, *dtype, *value),
        Op::Range => shape::range(x),
        Op::Reorder { lanes, halo } => shape::reorder(x, *lanes, *halo),
        Op::Function { results, .. }
        | Op::Deferred { results, .. }
        | Op::If { results, .. }
        | Op::Loop { results, .. }
        | Op::Scan { results, .. } => stored(results, x.results),
        Op::Trilu { .. } => index::trilu(x),
        Op::Gather { axis } => index::gather(x, *axis),
        Op::GatherElements { axis } => index::gather_elements(x, *axis),
        Op::GatherNd { batch } => index::gather_nd(x, *batch),
        Op::ScatterNd { .. } => index::scatter_nd(x),
        Op::ScatterElements { axis, .. } => index::scatter_elements(x, *axis),
        Op::OneHot { axis } => index::one_hot(x, *axis),
    }
}

impl Graph {
    /// Adds a node whose result types are inferred.
    pub fn add_node(
        &mut self,
        op: Op,
        inputs: &[ValueId],
        results: usize,
        name: impl Into<String>,
    ) -> Result<Vec<ValueId>, InferError> {
        let name = name.into();
        let types = infer(self, &op, inputs, results, &name)?;
        Ok(self.add_typed_node(op, inputs, types, name))
    }

    /// The same graph, ids included, with symbols replaced by numbers and every type inferred anew. Layouts stay.
    pub fn bind(&self, values: &Bindings) -> Result<Graph, InferError> {
        self.rebind(values, |_, ty| ty.bind(values))
    }

    /// The same, the inputs having these shapes whatever their types say.
    pub fn bind_shapes(&self, shapes: &[Vec<usize>], values: &Bindings) -> Result<Graph, InferError> {
        self.rebind(values, |position, ty| match shapes.get(position) {
            Some(shape) => Type::known(ty.dtype, shape),
            None => ty.bind(values),
        })
    }

    fn rebind(&self, values: &Bindings, input: impl Fn(usize, &Type) -> Type) -> Result<Graph, InferError> {
        let mut graph = self.clone();
        for (position, id) in self.inputs().iter().enumerate() {
            let ty = input(position, self.ty(*id));
            let content = &self.value(*id).content;
            graph.set_content(*id, content.as_ref().map(|c| c.iter().map(|d| d.bind(values)).collect()));
            let error = |what| InferError { node: self.value(*id).name.clone(), what, too_large: false };
            dims::check_size(&ty).map_err(error)?;
            graph.set_type(*id, ty);
        }
        for id in self.topological() {
            graph.reinfer(id, values)?;
        }
        Ok(graph)
    }

    /// Symbols that anything in the graph mentions.
    pub fn all_symbols(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (_, value) in self.values() {
            value.ty.shape.iter().chain(value.content.iter().flatten()).for_each(|d| d.symbols(&mut names));
        }
        self.nodes().for_each(|node| op_symbols(&node.op, &mut names));
        names
    }

    /// Symbols that a node's attributes and the types of its results mention.
    pub fn node_symbols(&self, node: &Node) -> Vec<String> {
        let mut names = Vec::new();
        op_symbols(&node.op, &mut names);
        node.outputs.iter().for_each(|v| self.ty(*v).shape.iter().for_each(|d| d.symbols(&mut names)));
        names
    }

    /// For each symbol that a run gives its value, the node whose results have it first, the nodes being in this order.
    pub fn symbol_makers(&self, order: &[NodeId]) -> HashMap<String, NodeId> {
        let mut known: BTreeSet<String> = self.symbols().into_iter().collect();
        let mut makers = HashMap::new();
        for node in order.iter().map(|id| self.node(*id)).filter(|node| node.op.stored_results().is_some()) {
            let read: BTreeSet<String> = node.inputs.iter().flat_map(|v| self.ty(*v).symbols()).collect();
            let made = node.outputs.iter().flat_map(|v| self.ty(*v).symbols());
            for symbol in made.filter(|symbol| !read.contains(symbol)) {
                if known.insert(symbol.clone()) {
                    makers.insert(symbol, node.id);
                }
            }
        }
        makers
    }

    fn reinfer(&mut self, id: NodeId, values: &Bindings) -> Result<(), InferError> {
        let node = self.node(id).clone();
        let mut op = bind_op(&node.op, values)?;
        if let Op::Deferred { op: inner, .. } = &op
            && infer(self, inner, &node.inputs, node.outputs.len(), &node.name).is_ok()
        {
            op = (**inner).clone();
        }
        let found = infer(self, &op, &node.inputs, node.outputs.len(), &node.name)?;
        for (output, (mut ty, content)) in node.outputs.iter().zip(found) {
            let layout = self.ty(*output).layout;
            if layout != Layout::Plain {
                ty.layout = layout;
            }
            self.set_type(*output, ty);
            self.set_content(*output, content);
        }
        self.set_node(id, op, node.inputs);
        Ok(())
    }
}

/// The integer lists among the attributes of an operation.
fn lists_of(op: &mut Op) -> Vec<&mut Ints> {
    match op {
        Op::Slice { starts, ends, .. } => vec![starts, ends],
        Op::Pad { pads: ints, .. }
        | Op::Reshape { shape: ints, .. }
        | Op::Expand { shape: ints }
        | Op::Tile { repeats: ints }
        | Op::ConstantOfShape { shape: ints, .. }
        | Op::TopK { k: ints, .. } => vec![ints],
        Op::Resize(attrs) => vec![&mut attrs.sizes],
        Op::Deferred { op, .. } => lists_of(op),
        _ => vec![],
    }
}

/// Symbols that the attributes of an operation and its bodies mention, appended to `names`.
fn op_symbols(op: &Op, names: &mut Vec<String>) {
    for ints in lists_of(&mut op.clone()) {
        if let Ints::Known(list) = ints {
            list.iter().for_each(|d| d.symbols(names));
        }
    }
    op.bodies().into_iter().for_each(|body| names.extend(body.all_symbols()));
}

/// The same operation with the symbols of its attributes replaced.
pub(super) fn bind_op(op: &Op, values: &Bindings) -> Result<Op, InferError> {
    let mut op = op.clone();
    if let Op::Deferred { op: inner, .. } = &mut op {
        **inner = bind_op(inner, values)?;
    }
    if let Some(results) = op.stored_results_mut() {
        results.iter_mut().for_each(|ty| *ty = ty.bind(values));
    }
    for body in op.bodies_mut() {
        *body = Body::new(body.bind(values)?);
    }
    for ints in lists_of(&mut op) {
        if let Ints::Known(list) = ints {
            list.iter_mut().for_each(|d| *d = d.bind(values));
        }
    }
    Ok(op)
}

#[cfg(test)]
mod tests;
