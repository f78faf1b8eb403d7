//! Library functions: operations that are no kernel and have too many attributes for [`Call`](super::Call), or whose results
//! are as large as their data says. A function is a name of the one table below, and attributes by name.
//!
//! An operation is added by a line in the table of its family: a name, and a Rust function from operands to results.

use super::LibraryError;
use super::prepared::Prepared;
use crate::{DType, Element, Map, Operand, Strings, Tensor, TensorView, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Value of an attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Attribute {
    Int(i64),
    Float(f32),
    Text(String),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<String>),
}

/// A library function with its attributes. Operands are in the order of the ONNX operation, absent ones included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Name in the table: the ONNX operator's, in snake case.
    pub name: String,
    /// Attributes by name; what ONNX leaves out has its default.
    pub attributes: BTreeMap<String, Attribute>,
    /// Which of the ONNX operands are given.
    pub operands: Vec<bool>,
    /// What a run made of the attributes. Who changes those of a function that has run empties it: [`Function::with`] does.
    #[serde(skip)]
    pub prepared: Prepared,
}

/// What runs a function: its attributes, operands (absent ones `None`), and results in order.
pub type Run = fn(&Function, &Operands) -> Results;
/// Results of a function: all that the operation has, wanted or not.
pub type Results = Result<Vec<Value>, LibraryError>;

/// One function of a family's table.
pub struct Entry {
    /// Name.
    pub name: &'static str,
    /// What it does.
    pub run: Run,
    /// Whether equal operands give equal results; random functions without a seed do not.
    pub pure: bool,
}

/// A function whose results depend on its operands alone.
pub(super) const fn pure(name: &'static str, run: Run) -> Entry {
    Entry { name, run, pure: true }
}

/// The families.
const FAMILIES: &[&[Entry]] = &[
    super::algebra::TABLE,
    super::cumulative::TABLE,
    #[cfg(feature = "images")]
    super::decode::TABLE,
    super::dense::TABLE,
    super::linear_attention::TABLE,
    super::ml::TABLE,
    super::random::TABLE,
    super::rearrange::TABLE,
    super::recurrent::TABLE,
    super::regions::TABLE,
    super::sampling::TABLE,
    super::select::TABLE,
    super::sequence::TABLE,
    super::signal::TABLE,
    super::strings::TABLE,
    super::tf_idf::TABLE,
];

/// The function of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    FAMILIES.iter().flat_map(|family| family.iter()).find(|entry| entry.name == name)
}

impl Function {
    /// A function with no attributes yet, all of whose `operands` are given.
    pub fn new(name: &str, operands: usize) -> Function {
        let operands = vec![true; operands];
        Function { name: name.into(), attributes: BTreeMap::new(), operands, prepared: Prepared::default() }
    }
    /// With one more attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: Attribute) -> Function {
        self.attributes.insert(name.into(), value);
        self.prepared = Prepared::default();
        self
    }
    /// Runs it. `given` are the operands that are given, in order.
    pub fn run(&self, given: &[Operand]) -> Results {
        let entry = find(&self.name).ok_or(LibraryError::Operands { accepted: "functions of the library" })?;
        let mut given = given.iter();
        let operands = self.operands.iter().map(|there| if *there { given.next().copied() } else { None }).collect();
        (entry.run)(self, &Operands::new(operands))
    }
    /// Whether equal operands give equal results.
    pub fn is_pure(&self) -> bool {
        find(&self.name).is_some_and(|entry| entry.pure)
    }

    /// An integer attribute.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        match self.attributes.get(name) {
            Some(Attribute::Int(value)) => *value,
            _ => default,
        }
    }
    /// A float attribute.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        match self.attributes.get(name) {
            Some(Attribute::Float(value)) => *value,
            _ => default,
        }
    }
    /// A text attribute.
    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        match self.attributes.get(name) {
            Some(Attribute::Text(value)) => value,
            _ => default,
        }
    }
    /// A list of integers; empty when it is not there.
    pub fn ints(&self, name: &str) -> &[i64] {
        match self.attributes.get(name) {
            Some(Attribute::Ints(values)) => values,
            _ => &[],
        }
    }
    /// A list of floats; empty when it is not there.
    pub fn floats(&self, name: &str) -> &[f32] {
        match self.attributes.get(name) {
            Some(Attribute::Floats(values)) => values,
            _ => &[],
        }
    }
    /// A list of texts; empty when it is not there.
    pub fn texts(&self, name: &str) -> &[String] {
        match self.attributes.get(name) {
            Some(Attribute::Texts(values)) => values,
            _ => &[],
        }
    }
    /// Whether the attribute is there.
    pub fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }
}

/// Operands of a function in the order of the ONNX operation.
pub struct Operands<'a>(Vec<Option<Operand<'a>>>);

const TENSOR: LibraryError = LibraryError::Operands { accepted: "a tensor of numbers here" };

impl<'a> Operands<'a> {
    /// These operands.
    pub(super) fn new(operands: Vec<Option<Operand<'a>>>) -> Operands<'a> {
        Operands(operands)
    }
    /// Number of operands, absent ones counted.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Operand `i`, when it is given.
    pub fn get(&self, i: usize) -> Option<Operand<'a>> {
        self.0.get(i).copied().flatten()
    }
    /// Operand `i`, a tensor of numbers or booleans that must be there.
    pub fn tensor(&self, i: usize) -> Result<TensorView<'a>, LibraryError> {
        self.optional(i)?.ok_or(TENSOR)
    }
    /// Operand `i`, a tensor when it is given.
    pub fn optional(&self, i: usize) -> Result<Option<TensorView<'a>>, LibraryError> {
        match self.get(i) {
            None => Ok(None),
            Some(Operand::Tensor(view)) => Ok(Some(view)),
            Some(Operand::Value(_)) => Err(TENSOR),
        }
    }
    /// Operand `i`, texts.
    pub fn strings(&self, i: usize) -> Result<&'a Strings, LibraryError> {
        match self.get(i) {
            Some(Operand::Value(Value::Strings(strings))) => Ok(strings),
            _ => Err(LibraryError::Operands { accepted: "a tensor of strings here" }),
        }
    }
    /// Operand `i`, a sequence.
    pub fn sequence(&self, i: usize) -> Result<&'a [Value], LibraryError> {
        match self.get(i) {
            Some(Operand::Value(Value::Sequence(values))) => Ok(values),
            _ => Err(LibraryError::Operands { accepted: "a sequence here" }),
        }
    }
    /// Operand `i`, a map.
    pub fn map(&self, i: usize) -> Result<&'a Map, LibraryError> {
        match self.get(i) {
            Some(Operand::Value(Value::Map(map))) => Ok(map),
            _ => Err(LibraryError::Operands { accepted: "a map here" }),
        }
    }
    /// Elements of operand `i`, which must be `T`s.
    pub fn slice<T: Element>(&self, i: usize) -> Result<&'a [T], LibraryError> {
        Ok(self.tensor(i)?.as_slice::<T>()?)
    }
    /// Elements of operand `i`, any numbers or booleans, as f64.
    pub fn reals(&self, i: usize) -> Result<Vec<f64>, LibraryError> {
        reals(&self.tensor(i)?)
    }
    /// Elements of operand `i`, integers, as i64.
    pub fn integers(&self, i: usize) -> Result<Vec<i64>, LibraryError> {
        let view = self.tensor(i)?;
        let mut wide = Tensor::zeros(DType::I64, view.shape)?;
        super::cast(&view, &mut wide.view_mut())?;
        Ok(wide.as_slice::<i64>()?.to_vec())
    }
}

/// Elements as f64.
pub fn reals(x: &TensorView) -> Result<Vec<f64>, LibraryError> {
    let mut wide = Tensor::zeros(DType::F64, x.shape)?;
    super::cast(x, &mut wide.view_mut())?;
    Ok(wide.as_slice::<f64>()?.to_vec())
}

/// A tensor of type `dtype` from f64 elements, each rounded once.
pub fn from_reals(dtype: DType, shape: &[usize], elements: &[f64]) -> Result<Tensor, LibraryError> {
    let wide = Tensor::from_slice(shape, elements)?;
    if dtype == DType::F64 {
        return Ok(wide);
    }
    let mut out = Tensor::zeros(dtype, shape)?;
    super::cast(&wide.view(), &mut out.view_mut())?;
    Ok(out)
}
