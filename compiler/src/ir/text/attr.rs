//! Attributes as the text form writes them, between operations and characters.

use crate::ir::{Arg, BinaryOp, Body, Dim, DimExpr, Expression, Ints, Step, UnaryOp, is_word};
use brolga_runtime::library::Attribute;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// One attribute value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Attr {
    /// A key that stands alone.
    True,
    /// A number; which type it has, its reader knows.
    Number(String),
    Word(String),
    List(Vec<Attr>),
    /// An expression over symbols that is no plain word.
    Dim(Dim),
    /// `$1`: an operand.
    Operand(u32),
    /// `@1`: an earlier step of an expression.
    Step(u32),
    /// `clip(@0, lo = 0.0, hi = 6.0)`: a step of an expression.
    Call(String, Vec<Attr>, Vec<(String, Attr)>),
    /// The body of a control-flow operation.
    Graph(Body),
}

impl fmt::Display for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, list: &[Attr]| {
            list.iter().enumerate().try_for_each(|(i, a)| write!(f, "{}{a}", if i > 0 { ", " } else { "" }))
        };
        match self {
            Attr::True => f.write_str("true"),
            Attr::Number(text) | Attr::Word(text) => f.write_str(text),
            Attr::List(list) => {
                f.write_str("[")?;
                join(f, list)?;
                f.write_str("]")
            }
            Attr::Dim(dim) => write!(f, "{dim}"),
            Attr::Operand(i) => write!(f, "${i}"),
            Attr::Step(i) => write!(f, "@{i}"),
            Attr::Graph(body) => f.write_str(body.to_text().trim_end().replace('\n', "\n  ").as_str()),
            Attr::Call(name, args, parameters) => {
                write!(f, "{name}(")?;
                join(f, args)?;
                parameters.iter().try_for_each(|(key, value)| write!(f, ", {key} = {value}"))?;
                f.write_str(")")
            }
        }
    }
}

/// An attribute of a library function.
pub(super) fn attribute(value: &Attribute) -> Attr {
    match value {
        Attribute::Int(x) => number(x),
        Attribute::Float(x) => number(x),
        Attribute::Text(x) => text(x),
        Attribute::Ints(list) => numbers(list),
        Attribute::Floats(list) => numbers(list),
        Attribute::Texts(list) => Attr::List(list.iter().map(|x| text(x)).collect()),
    }
}

/// Anything that prints as a number that reads back as the same.
pub(super) fn number(x: impl fmt::Debug) -> Attr {
    Attr::Number(format!("{x:?}"))
}
pub(super) fn numbers<T: fmt::Debug>(list: &[T]) -> Attr {
    Attr::List(list.iter().map(number).collect())
}
pub(super) fn word(text: &str) -> Attr {
    Attr::Word(text.to_string())
}
/// A text: a plain word, else quoted.
pub(super) fn text(text: &str) -> Attr {
    dim(&Dim::symbol(text))
}
fn dim(dim: &Dim) -> Attr {
    match dim {
        Dim::Const(n) => number(n),
        Dim::Expr(e) => match &**e {
            DimExpr::Symbol(s) if is_word(s) => word(s),
            _ => Attr::Dim(dim.clone()),
        },
    }
}
pub(super) fn ints(list: &Ints) -> Attr {
    match list {
        Ints::Known(list) => Attr::List(list.iter().map(dim).collect()),
        Ints::Input(i) => Attr::Operand(u32::try_from(*i).unwrap_or(u32::MAX)),
    }
}
pub(super) fn expression(expression: &Expression) -> Attr {
    let arg = |arg: &Arg| match arg {
        Arg::Input(i) => Attr::Operand(*i),
        Arg::Step(i) => Attr::Step(*i),
        Arg::Const(x) => number(x),
    };
    let step = |step: &Step| match step {
        Step::Unary(op, a) => {
            let (name, parameters) = op.parts();
            let parameters = parameters.into_iter().map(|(key, x)| (key.to_string(), number(x))).collect();
            Attr::Call(name.to_string(), vec![arg(a)], parameters)
        }
        Step::Binary(op, a, b) => Attr::Call(op.name().to_string(), vec![arg(a), arg(b)], vec![]),
    };
    Attr::List(expression.steps.iter().map(step).collect())
}

impl Attr {
    fn parsed<T: FromStr>(&self) -> Option<T> {
        if let Attr::Number(text) | Attr::Word(text) = self { text.parse().ok() } else { None }
    }
    fn dim(&self) -> Option<Dim> {
        match self {
            Attr::Number(text) => text.parse().ok().map(Dim::Const),
            Attr::Word(text) => Some(Dim::symbol(text)),
            Attr::Dim(dim) => Some(dim.clone()),
            _ => None,
        }
    }
    /// The text that [`text`] writes.
    fn text(&self) -> Option<String> {
        match self {
            Attr::Word(text) => Some(text.clone()),
            Attr::Dim(Dim::Expr(e)) => match &**e {
                DimExpr::Symbol(text) => Some(text.clone()),
                _ => None,
            },
            _ => None,
        }
    }
    /// Attribute of a library function: numbers with a point, an exponent or no digits are floats.
    fn attribute(&self) -> Option<Attribute> {
        let list = |list: &[Attr]| -> Option<Attribute> {
            let all = list.iter().map(Attr::attribute).collect::<Option<Vec<_>>>()?;
            match all.first() {
                None => Some(Attribute::Ints(vec![])),
                Some(Attribute::Text(_)) => list.iter().map(Attr::text).collect::<Option<_>>().map(Attribute::Texts),
                Some(Attribute::Int(_)) => list.iter().map(Attr::parsed).collect::<Option<_>>().map(Attribute::Ints),
                Some(_) => list.iter().map(Attr::parsed).collect::<Option<_>>().map(Attribute::Floats),
            }
        };
        match self {
            Attr::Number(text) => match text.parse() {
                Ok(int) => Some(Attribute::Int(int)),
                Err(_) => text.parse().ok().map(Attribute::Float),
            },
            Attr::List(items) => list(items),
            _ => self.text().map(Attribute::Text),
        }
    }
    fn step(&self) -> Option<Step> {
        let Attr::Call(name, args, parameters) = self else { return None };
        let arg = |attr: &Attr| match attr {
            Attr::Operand(i) => Some(Arg::Input(*i)),
            Attr::Step(i) => Some(Arg::Step(*i)),
            _ => attr.parsed().map(Arg::Const),
        };
        match &args[..] {
            [a] => {
                let parameter = |key: &str| parameters.iter().find(|(k, _)| k == key).and_then(|(_, v)| v.parsed());
                Some(Step::Unary(UnaryOp::from_parts(name, parameter)?, arg(a)?))
            }
            [a, b] if parameters.is_empty() => Some(Step::Binary(BinaryOp::from_name(name)?, arg(a)?, arg(b)?)),
            _ => None,
        }
    }
}

/// The attributes of one node while its operation is built from them.
pub(super) struct Attrs {
    list: Vec<(String, Attr)>,
    read: RefCell<BTreeSet<String>>,
}

impl Attrs {
    pub(super) fn new(list: Vec<(String, Attr)>) -> Attrs {
        Attrs { list, read: RefCell::default() }
    }
    fn find(&self, key: &str) -> Option<&Attr> {
        self.read.borrow_mut().insert(key.to_string());
        self.list.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }
    /// The value of a key: a default when the key is not there, an error when it is something else.
    fn get<T>(&self, key: &str, default: Option<T>, read: impl Fn(&Attr) -> Option<T>) -> Result<T, String> {
        match (self.find(key), default) {
            (Some(attr), _) => read(attr).ok_or_else(|| format!("attribute {key} = {attr} is not of its kind")),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(format!("attribute {key} is missing")),
        }
    }
    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }
    pub(super) fn flag(&self, key: &str) -> Result<bool, String> {
        self.get(key, Some(false), |a| if *a == Attr::True { Some(true) } else { a.parsed() })
    }
    pub(super) fn value<T: FromStr>(&self, key: &str) -> Result<T, String> {
        self.get(key, None, Attr::parsed)
    }
    pub(super) fn value_or<T: FromStr>(&self, key: &str, default: T) -> Result<T, String> {
        self.get(key, Some(default), Attr::parsed)
    }
    pub(super) fn word(&self, key: &str) -> Result<String, String> {
        self.value::<String>(key)
    }
    pub(super) fn list<T: FromStr>(&self, key: &str) -> Result<Vec<T>, String> {
        self.get(key, None, list)
    }
    pub(super) fn list_or<T: FromStr>(&self, key: &str, default: Vec<T>) -> Result<Vec<T>, String> {
        self.get(key, Some(default), list)
    }
    pub(super) fn ints(&self, key: &str) -> Result<Ints, String> {
        self.get(key, None, |attr| match attr {
            Attr::Operand(i) => Some(Ints::Input(*i as usize)),
            Attr::List(list) => list.iter().map(Attr::dim).collect::<Option<_>>().map(Ints::Known),
            _ => None,
        })
    }
    pub(super) fn expression(&self, key: &str) -> Result<Expression, String> {
        self.get(key, Some(Expression::default()), |attr| match attr {
            Attr::List(list) => list.iter().map(Attr::step).collect::<Option<_>>().map(|steps| Expression { steps }),
            _ => None,
        })
    }
    /// All but the key `operands`, as attributes of a library function.
    pub(super) fn attributes(&self) -> Result<BTreeMap<String, Attribute>, String> {
        let of = |(key, attr): &(String, Attr)| {
            self.read.borrow_mut().insert(key.clone());
            let value = attr.attribute().ok_or_else(|| format!("attribute {key} = {attr} is not of its kind"))?;
            Ok((key.clone(), value))
        };
        self.list.iter().filter(|(key, _)| key != "operands").map(of).collect()
    }
    pub(super) fn body(&self, key: &str) -> Result<Body, String> {
        self.get(key, None, |attr| if let Attr::Graph(body) = attr { Some(body.clone()) } else { None })
    }
    /// Refuses keys that nothing has read.
    pub(super) fn finish(&self) -> Result<(), String> {
        let read = self.read.borrow();
        match self.list.iter().find(|(key, _)| !read.contains(key)) {
            Some((key, _)) => Err(format!("there is no attribute {key}")),
            None => Ok(()),
        }
    }
}

fn list<T: FromStr>(attr: &Attr) -> Option<Vec<T>> {
    if let Attr::List(list) = attr { list.iter().map(Attr::parsed).collect() } else { None }
}
