//! Values that cross the interface of a model, and those that library functions take.

use crate::{DType, Map, Tensor, TensorView, element_count};

/// A tensor of texts, row-major.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    shape: Vec<usize>,
    elements: Vec<String>,
}

impl Strings {
    /// Texts of this shape, or `None` when the shape needs another number of them.
    pub fn new(shape: &[usize], elements: Vec<String>) -> Option<Strings> {
        (element_count(shape) == Some(elements.len())).then(|| Strings { shape: shape.to_vec(), elements })
    }
    /// Shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
    /// Elements in row-major order.
    pub fn elements(&self) -> &[String] {
        &self.elements
    }
}

/// What a model takes or gives under one name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value {
    /// A tensor of numbers or booleans.
    Tensor(Tensor),
    /// A tensor of texts.
    Strings(Strings),
    /// Keys with a value each.
    Map(Map),
    /// Values of one type, of any shapes.
    Sequence(Vec<Value>),
    /// A value that may be absent.
    Optional(Option<Box<Value>>),
}

impl Value {
    /// The tensor, when it is one.
    pub fn as_tensor(&self) -> Option<&Tensor> {
        match self {
            Value::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }
    /// The tensor, when it is one.
    pub fn into_tensor(self) -> Option<Tensor> {
        match self {
            Value::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }
    /// Shape, when it is a tensor.
    pub fn shape(&self) -> Option<&[usize]> {
        match self {
            Value::Tensor(tensor) => Some(tensor.shape()),
            Value::Strings(strings) => Some(strings.shape()),
            _ => None,
        }
    }
    /// Element type, when it is a tensor.
    pub fn dtype(&self) -> Option<DType> {
        match self {
            Value::Tensor(tensor) => Some(tensor.dtype()),
            Value::Strings(_) => Some(DType::String),
            _ => None,
        }
    }
    /// The value as an operand of a library function.
    pub fn operand(&self) -> Operand<'_> {
        match self {
            Value::Tensor(tensor) => Operand::Tensor(tensor.view()),
            other => Operand::Value(other),
        }
    }
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Value::Tensor(tensor)
    }
}

impl From<Strings> for Value {
    fn from(strings: Strings) -> Self {
        Value::Strings(strings)
    }
}

/// An operand of a library function: borrowed, so that a tensor may lie in an arena.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// A tensor of numbers or booleans.
    Tensor(TensorView<'a>),
    /// Anything else.
    Value(&'a Value),
}

impl Operand<'_> {
    /// A copy that owns its elements.
    pub fn to_value(&self) -> Result<Value, crate::TensorError> {
        match self {
            Operand::Tensor(view) => Ok(Value::Tensor(Tensor::from_bytes(view.dtype, view.shape, view.bytes)?)),
            Operand::Value(value) => Ok((*value).clone()),
        }
    }
}
