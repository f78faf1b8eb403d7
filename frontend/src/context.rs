//! What an importer works with: the node's operands and attributes, and the graph to add to.

use crate::error::{NodeError, invalid, unsupported};
use crate::flatten::{FlatNode, Name};
use brolga_compiler::ir::eval::eval_op;
use brolga_compiler::ir::{BinaryOp, Dim, Graph, Ints, Kind, Op, Origin, Type, UnaryOp, ValueId, Weight};
use brolga_proto::{Loaded, TensorProto};
use brolga_runtime::library::Function;
use brolga_runtime::{DType, Tensor};
use std::cell::Cell;

/// Values of the results of a node, in order.
pub(crate) type Results = Result<Vec<ValueId>, NodeError>;

/// A node being imported.
pub(crate) struct Context<'a, 'g> {
    pub loaded: &'a Loaded,
    pub graph: &'g mut Graph,
    pub node: &'g FlatNode<'a>,
    pub opset: i64,
    pub inputs: Vec<Option<ValueId>>,
    pub symbols: &'g Symbols,
    /// Text of each name.
    pub names: &'g [String],
    /// What the node's bodies read from around them.
    pub captured: Vec<(Name, Captured<'a>)>,
}

/// What a captured name stands for.
#[derive(Clone, Copy)]
pub(crate) enum Captured<'a> {
    Value(ValueId),
    Initializer(&'a TensorProto),
}

/// Makes names for extents that only a run can tell.
#[derive(Default)]
pub(crate) struct Symbols {
    /// Before the number; no symbol of the model begins with it.
    prefix: String,
    made: Cell<u32>,
}

impl Symbols {
    /// Names that differ from those of the model.
    pub(crate) fn beside<'s>(taken: impl Iterator<Item = &'s str>) -> Symbols {
        let mut prefix = "_".to_owned();
        for name in taken {
            while name.starts_with(&prefix) {
                prefix.push('_');
            }
        }
        Symbols { prefix, made: Cell::new(0) }
    }
    pub(crate) fn fresh(&self) -> Dim {
        let number = self.made.get();
        self.made.set(number.saturating_add(1));
        Dim::symbol(format!("{}{number}", self.prefix))
    }
}

/// Elements of constants that are read at import: shapes, axes, scales.
const MAX_READ: usize = 1 << 16;
/// Nodes computed to read one constant, and how many of them one after another.
const MAX_EVALUATED: usize = 256;
const MAX_CHAIN: usize = 64;

impl Context<'_, '_> {
    // Operands.

    /// Operand `i`, which must be there.
    pub(crate) fn input(&self, i: usize) -> Result<ValueId, NodeError> {
        match self.optional(i) {
            Some(id) => Ok(id),
            None => invalid(format!("operand {i} is missing")),
        }
    }
    pub(crate) fn optional(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }
    /// All operands, none of them omitted, at least one.
    pub(crate) fn all_inputs(&self) -> Results {
        if self.inputs.is_empty() {
            return invalid("it has no operands");
        }
        (0..self.inputs.len()).map(|i| self.input(i)).collect()
    }
    /// Whether the model uses result `i`.
    pub(crate) fn wants(&self, i: usize) -> bool {
        self.node.outputs.get(i).copied().flatten().is_some()
    }
    pub(crate) fn ty(&self, id: ValueId) -> &Type {
        self.graph.ty(id)
    }
    pub(crate) fn shape(&self, id: ValueId) -> Vec<Dim> {
        self.graph.ty(id).shape.clone()
    }
    pub(crate) fn rank(&self, id: ValueId) -> usize {
        self.graph.ty(id).rank()
    }
    pub(crate) fn dtype(&self, id: ValueId) -> DType {
        self.graph.ty(id).dtype
    }

    // Attributes.

    /// A dimension of something of rank `rank`; negative counts from the end.
    pub(crate) fn axis(&self, axis: i64, rank: usize) -> Result<usize, NodeError> {
        let n = i64::try_from(rank).unwrap_or(i64::MAX);
        let from_start = if axis < 0 { axis.checked_add(n).unwrap_or(-1) } else { axis };
        match usize::try_from(from_start) {
            Ok(axis) if axis < rank => Ok(axis),
            _ => invalid(format!("axis {axis} is outside of rank {rank}")),
        }
    }
    /// Distinct dimensions, in the order given.
    pub(crate) fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>, NodeError> {
        let mut found = Vec::with_capacity(axes.len());
        for axis in axes {
            let axis = self.axis(*axis, rank)?;
            if found.contains(&axis) {
                return invalid(format!("axis {axis} is listed twice in {axes:?}"));
            }
            found.push(axis);
        }
        Ok(found)
    }
    pub(crate) fn axis_attribute(&self, default: i64, rank: usize) -> Result<usize, NodeError> {
        self.axis(self.node.attributes.int_or("axis", default)?, rank)
    }

    // Constants.

    /// The elements of a constant: one of the model, or what nodes compute from such.
    pub(crate) fn tensor(&self, id: ValueId) -> Option<Tensor> {
        let mut budget = MAX_EVALUATED;
        self.tensor_within(id, MAX_CHAIN, &mut budget)
    }
    fn tensor_within(&self, id: ValueId, depth: usize, budget: &mut usize) -> Option<Tensor> {
        let value = self.graph.value(id);
        if value.ty.elements()? > MAX_READ {
            return None;
        }
        if let Some(known) = value.content.as_ref().and_then(|c| c.iter().map(Dim::known).collect::<Option<Vec<i64>>>())
        {
            let width = value.ty.dtype.bytes();
            let bytes: Vec<u8> = known.iter().flat_map(|n| n.to_le_bytes().into_iter().take(width)).collect();
            return Tensor::from_bytes(value.ty.dtype, &value.ty.dims()?, &bytes).ok();
        }
        match &value.origin {
            Origin::Weight(weight) => weight.evaluate().ok(),
            Origin::Input => None,
            Origin::Node(node, position) => {
                *budget = budget.checked_sub(1)?;
                let node = self.graph.node(*node);
                let depth = depth.checked_sub(1)?;
                let parts = node.inputs.iter().map(|i| self.tensor_within(*i, depth, budget));
                let parts = parts.collect::<Option<Vec<Tensor>>>()?;
                let types: Vec<Type> = node.outputs.iter().map(|o| self.ty(*o).clone()).collect();
                if types.iter().any(|t| t.elements().is_none_or(|n| n > MAX_READ)) {
                    return None;
                }
                let results = eval_op(&node.op, &parts.iter().collect::<Vec<_>>(), &types).ok()?;
                results.into_iter().nth(*position)
            }
        }
    }
    /// The elements of an integer constant.
    pub(crate) fn known_ints(&self, id: ValueId) -> Option<Vec<i64>> {
        if let Some(content) = &self.graph.value(id).content {
            return content.iter().map(Dim::known).collect();
        }
        let tensor = self.tensor(id)?;
        match tensor.dtype() {
            DType::I64 => Some(tensor.as_slice::<i64>().ok()?.to_vec()),
            DType::I32 => Some(tensor.as_slice::<i32>().ok()?.iter().map(|n| i64::from(*n)).collect()),
            _ => None,
        }
    }
    /// The elements of a constant as numbers.
    pub(crate) fn known_floats(&self, id: ValueId) -> Option<Vec<f64>> {
        let tensor = self.tensor(id)?;
        Some(match tensor.dtype() {
            DType::F32 => tensor.as_slice::<f32>().ok()?.iter().map(|x| f64::from(*x)).collect(),
            DType::F64 => tensor.as_slice::<f64>().ok()?.to_vec(),
            DType::I64 => tensor.as_slice::<i64>().ok()?.iter().map(|x| *x as f64).collect(),
            DType::I32 => tensor.as_slice::<i32>().ok()?.iter().map(|x| f64::from(*x)).collect(),
            DType::U8 => tensor.bytes().iter().map(|x| f64::from(*x)).collect(),
            DType::I8 => tensor.bytes().iter().map(|x| f64::from(*x as i8)).collect(),
            DType::Bool => tensor.bytes().iter().map(|x| f64::from(*x)).collect(),
            _ => return None,
        })
    }
    /// Operand `i` as constant integers; `None` when it is omitted.
    pub(crate) fn const_ints(&self, i: usize, what: &str) -> Result<Option<Vec<i64>>, NodeError> {
        let Some(id) = self.optional(i) else { return Ok(None) };
        match self.known_ints(id) {
            Some(ints) => Ok(Some(ints)),
            None => unsupported(format!("{what} (operand {i}) is computed at run time; a constant is accepted")),
        }
    }
    /// Operand `i` as a constant integer scalar.
    pub(crate) fn const_int(&self, i: usize, what: &str) -> Result<Option<i64>, NodeError> {
        match self.const_ints(i, what)?.as_deref() {
            None => Ok(None),
            Some([one]) => Ok(Some(*one)),
            Some(other) => invalid(format!("{what} (operand {i}) has {} elements; one is expected", other.len())),
        }
    }
    /// Operand `i` as a constant number.
    pub(crate) fn const_number(&self, i: usize, what: &str) -> Result<Option<f64>, NodeError> {
        let Some(id) = self.optional(i) else { return Ok(None) };
        match self.known_floats(id).as_deref() {
            Some([one]) => Ok(Some(*one)),
            Some(other) => invalid(format!("{what} (operand {i}) has {} elements; one is expected", other.len())),
            None => unsupported(format!("{what} (operand {i}) is computed at run time; a constant is accepted")),
        }
    }
    /// What is known of an operand's integers: all of them as dimensions, or that they are operand `position` of the new node.
    pub(crate) fn ints(&self, id: ValueId, position: usize) -> Ints {
        if let Some(content) = &self.graph.value(id).content {
            return Ints::Known(content.clone());
        }
        match self.known_ints(id) {
            Some(ints) => Ints::Known(ints.into_iter().map(Dim::Const).collect()),
            None => Ints::Input(position),
        }
    }

    // Building.

    pub(crate) fn emit(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId, NodeError> {
        match self.emit_many(op, inputs, 1)?[..] {
            [one] => Ok(one),
            _ => invalid("it has no result"),
        }
    }
    pub(crate) fn emit_many(&mut self, op: Op, inputs: &[ValueId], results: usize) -> Results {
        let unranked = inputs.iter().any(|id| self.ty(*id).kind == Kind::Unranked);
        let deferred = match unranked {
            _ if sized_by_data(&op) => deferred_results(self, &op, inputs),
            true => unranked_results(self, &op, inputs),
            false => None,
        };
        let name = self.node.name.as_str();
        let made = match (self.graph.add_node(op.clone(), inputs, results, name), deferred) {
            (Err(_), Some(types)) => {
                self.graph.add_node(Op::Deferred { op: Box::new(op), results: types }, inputs, results, name)?
            }
            // What kernels cannot take is no fault of the model.
            (Err(e), _) if inputs.iter().any(|id| !self.ty(*id).is_plain_tensor()) => return unsupported(e.what),
            (made, _) => made?,
        };
        for id in &made {
            if !crate::types::fits(self.ty(*id)) {
                return invalid(format!("its result would be {}, more than memory can address", self.ty(*id)));
            }
        }
        Ok(made)
    }
    /// An extent that is known only when the operation has run.
    pub(crate) fn fresh(&self) -> Dim {
        self.symbols.fresh()
    }
    /// Adds a library function: operands as ONNX lists them, absent ones `None`, and the types of all its results.
    pub(crate) fn function(&mut self, function: Function, operands: &[Option<ValueId>], results: Vec<Type>) -> Results {
        let count = results.len();
        let function = Function { operands: operands.iter().map(Option::is_some).collect(), ..function };
        let operands: Vec<ValueId> = operands.iter().copied().flatten().collect();
        self.emit_many(Op::Function { function, results }, &operands, count)
    }
    /// The function with those of the node's attributes that are there.
    pub(crate) fn copy_attributes(&self, mut function: Function, names: &[&str]) -> Result<Function, NodeError> {
        for name in names {
            if let Some(value) = self.node.attributes.value(name)? {
                function.attributes.insert((*name).to_owned(), value);
            }
        }
        Ok(function)
    }
    pub(crate) fn unary(&mut self, op: UnaryOp, x: ValueId) -> Result<ValueId, NodeError> {
        self.emit(Op::Unary(op), &[x])
    }
    pub(crate) fn binary(&mut self, op: BinaryOp, a: ValueId, b: ValueId) -> Result<ValueId, NodeError> {
        self.emit(Op::Binary(op), &[a, b])
    }
    pub(crate) fn cast(&mut self, x: ValueId, to: DType) -> Result<ValueId, NodeError> {
        if self.dtype(x) == to { Ok(x) } else { self.emit(Op::Cast(to), &[x]) }
    }
    /// `x` with these dimensions, of the same count.
    pub(crate) fn reshape(&mut self, x: ValueId, shape: Vec<Dim>) -> Result<ValueId, NodeError> {
        // Zero would mean "as the operand's", and an expression may turn out to be zero.
        let allow_zero = shape.iter().any(|d| d.known().is_none_or(|n| n == 0));
        self.emit(Op::Reshape { shape: Ints::Known(shape), allow_zero }, &[x])
    }
    /// A constant of the model.
    pub(crate) fn weight(&mut self, weight: Weight) -> ValueId {
        self.graph.add_weight("", weight)
    }
    pub(crate) fn weight_of(&mut self, tensor: &TensorProto) -> Result<ValueId, NodeError> {
        if let Some((function, ty)) = crate::types::texts(tensor)? {
            return self.function_of(function, ty);
        }
        let weight = crate::types::weight(self.loaded, tensor)?;
        Ok(self.weight(weight))
    }
    /// Constant texts.
    pub(crate) fn texts(&mut self, shape: &[i64], texts: Vec<String>) -> Result<ValueId, NodeError> {
        let (function, ty) = crate::kinds::text_constant(shape, texts)?;
        self.function_of(function, ty)
    }
    /// A function without operands.
    fn function_of(&mut self, function: Function, ty: Type) -> Result<ValueId, NodeError> {
        match self.function(function, &[], vec![ty])?[..] {
            [one] => Ok(one),
            _ => invalid("it has no result"),
        }
    }
    /// One number everywhere.
    pub(crate) fn splat(&mut self, dtype: DType, shape: Vec<usize>, value: f64) -> Result<ValueId, NodeError> {
        // Half precision and narrower types are rounded from f32 by a node.
        let converted = matches!(dtype, DType::F16 | DType::BF16) || dtype.is_narrow();
        let made = if converted { DType::F32 } else { dtype };
        let element = element(made, value)?;
        let id = self.weight(Weight::splat(made, shape, element));
        self.cast(id, dtype)
    }
    /// A scalar constant.
    pub(crate) fn scalar(&mut self, dtype: DType, value: f64) -> Result<ValueId, NodeError> {
        self.splat(dtype, vec![], value)
    }
    pub(crate) fn weight_ints(&mut self, shape: Vec<usize>, ints: &[i64]) -> ValueId {
        let bytes: Vec<u8> = ints.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.weight(Weight::from_bytes(DType::I64, shape, bytes.into()))
    }
}

/// Whether the extents of the results depend on what an operand holds at run time.
fn sized_by_data(op: &Op) -> bool {
    match op {
        Op::Reshape { shape: ints, .. }
        | Op::Expand { shape: ints }
        | Op::ConstantOfShape { shape: ints, .. }
        | Op::Tile { repeats: ints }
        | Op::Pad { pads: ints, .. }
        | Op::TopK { k: ints, .. } => matches!(ints, Ints::Input(_)),
        Op::Resize(attrs) => matches!(attrs.sizes, Ints::Input(_)),
        Op::Slice { starts, ends, .. } => matches!(starts, Ints::Input(_)) || matches!(ends, Ints::Input(_)),
        Op::Range | Op::OneHot { .. } => true,
        _ => false,
    }
}

/// Types of the results of an operation whose extents depend on data, unknown ones fresh; `None` when it has too few operands.
fn deferred_results(cx: &Context<'_, '_>, op: &Op, inputs: &[ValueId]) -> Option<Vec<Type>> {
    let all = |rank: usize| (0..rank).map(|_| cx.fresh()).collect::<Vec<_>>();
    let x = || inputs.first().map(|x| cx.ty(*x).clone());
    // As many extents as a list has elements.
    let listed = |ints: &Ints| -> Option<Option<usize>> {
        match ints {
            Ints::Known(list) => Some(Some(list.len())),
            Ints::Input(i) => {
                let ty = cx.ty(*inputs.get(*i)?);
                Some(ty.shape.first().map_or(Some(1), Dim::known).and_then(|n| usize::try_from(n).ok()))
            }
        }
    };
    let of_rank = |dtype: DType, rank: Option<usize>| match rank {
        Some(rank) => vec![Type::new(dtype, all(rank))],
        None => vec![Type::unranked(dtype)],
    };
    Some(match op {
        Op::Reshape { shape, .. } => of_rank(x()?.dtype, listed(shape)?),
        Op::Expand { shape } => {
            let x = x()?;
            of_rank(x.dtype, listed(shape)?.map(|n| n.max(x.rank())))
        }
        Op::ConstantOfShape { shape, dtype, .. } => of_rank(*dtype, listed(shape)?),
        Op::Tile { .. } | Op::Pad { .. } | Op::Resize(_) => of_rank(x()?.dtype, Some(x()?.rank())),
        Op::TopK { axis, .. } => {
            let mut values = x()?;
            *values.shape.get_mut(*axis)? = cx.fresh();
            let positions = Type { dtype: DType::I64, ..values.clone() };
            vec![values, positions]
        }
        Op::Slice { axes, .. } => {
            let mut ty = x()?;
            for axis in axes {
                *ty.shape.get_mut(*axis)? = cx.fresh();
            }
            vec![ty]
        }
        Op::Range => of_rank(x()?.dtype, Some(1)),
        Op::OneHot { axis } => {
            let mut ty = x()?;
            ty.dtype = cx.ty(*inputs.get(2)?).dtype;
            ty.shape.insert((*axis).min(ty.rank()), cx.fresh());
            vec![ty]
        }
        _ => return None,
    })
}

/// Types of the results of an element-wise operation on operands of unknown rank.
fn unranked_results(cx: &Context<'_, '_>, op: &Op, inputs: &[ValueId]) -> Option<Vec<Type>> {
    let of = |i: usize| inputs.get(i).map(|id| cx.dtype(*id));
    let dtype = match op {
        Op::Cast(to) | Op::CastNarrow { to, .. } => *to,
        Op::Unary(UnaryOp::IsNaN | UnaryOp::Not) => DType::Bool,
        Op::Binary(
            BinaryOp::Equal | BinaryOp::Less | BinaryOp::LessOrEqual | BinaryOp::Greater | BinaryOp::GreaterOrEqual,
        ) => DType::Bool,
        Op::Unary(_) | Op::Binary(_) => of(0)?,
        Op::Reshape { shape: Ints::Known(shape), .. } => {
            let extent = |d: &Dim| if d.known().is_some_and(|n| n <= 0) { cx.fresh() } else { d.clone() };
            return Some(vec![Type::new(of(0)?, shape.iter().map(extent).collect())]);
        }
        Op::Where => of(1)?,
        _ => return None,
    };
    Some(vec![Type::unranked(dtype)])
}

/// Product of dimensions.
pub(crate) fn product(dims: &[Dim]) -> Dim {
    dims.iter().fold(Dim::Const(1), |n, d| n.mul(d))
}

/// Little-endian bytes of a number of type `dtype`, first bytes used.
pub(crate) fn element(dtype: DType, value: f64) -> Result<[u8; 8], NodeError> {
    let int = value as i64;
    let fill = |bytes: &[u8]| {
        let mut all = [0u8; 8];
        all.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        all
    };
    Ok(match dtype {
        DType::F32 => fill(&(value as f32).to_le_bytes()),
        DType::F64 => value.to_le_bytes(),
        DType::I64 => int.to_le_bytes(),
        DType::U64 => (value as u64).to_le_bytes(),
        DType::I32 => fill(&(value as i32).to_le_bytes()),
        DType::U32 => fill(&(value as u32).to_le_bytes()),
        DType::I16 => fill(&(value as i16).to_le_bytes()),
        DType::U16 => fill(&(value as u16).to_le_bytes()),
        DType::I8 => fill(&(value as i8).to_le_bytes()),
        DType::U8 => fill(&(value as u8).to_le_bytes()),
        DType::Bool => fill(&[u8::from(value != 0.0)]),
        _ => {
            return unsupported(format!("arithmetic on {dtype}; f32 is accepted"));
        }
    })
}
