//! Types of values: element type, shape (numbers or expressions over symbols), and how the elements lie in memory.

use brolga_runtime::DType;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// One extent: a number, or an expression over named symbols.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dim {
    /// Known now.
    Const(i64),
    /// Known when its symbols are bound.
    Expr(Arc<DimExpr>),
}

/// An expression over symbols. Division rounds towards minus infinity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum DimExpr {
    Symbol(String),
    Add(Dim, Dim),
    Sub(Dim, Dim),
    Mul(Dim, Dim),
    Div(Dim, Dim),
    Mod(Dim, Dim),
    Min(Dim, Dim),
    Max(Dim, Dim),
}

impl DimExpr {
    /// The extents that it combines.
    fn operands(&self) -> [Option<&Dim>; 2] {
        match self {
            DimExpr::Symbol(_) => [None, None],
            DimExpr::Add(a, b)
            | DimExpr::Sub(a, b)
            | DimExpr::Mul(a, b)
            | DimExpr::Div(a, b)
            | DimExpr::Mod(a, b)
            | DimExpr::Min(a, b)
            | DimExpr::Max(a, b) => [Some(a), Some(b)],
        }
    }
}

/// Values of symbols.
pub type Bindings = BTreeMap<String, i64>;

impl Dim {
    /// A named symbol.
    pub fn symbol(name: impl Into<String>) -> Dim {
        Dim::Expr(Arc::new(DimExpr::Symbol(name.into())))
    }

    /// The number, when it is one.
    pub fn known(&self) -> Option<i64> {
        match self {
            Dim::Const(n) => Some(*n),
            Dim::Expr(_) => None,
        }
    }

    /// Whether an expression is small enough to be walked by recursion and written down: neither its depth nor the number of
    /// its terms, shared ones counted as often as they occur, is beyond a limit that only a hostile file comes near.
    pub(super) fn is_manageable(&self) -> bool {
        const MAX_DEPTH: usize = 500;
        const MAX_TERMS: usize = 1 << 16;
        let mut known: HashMap<*const DimExpr, (usize, usize)> = HashMap::new();
        let mut waiting = vec![self];
        // Without recursion, since that is what the answer is for.
        while let Some(Dim::Expr(e)) = waiting.last().copied() {
            let operands = e.operands();
            let measure = |d: &Dim| match d {
                Dim::Const(_) => Some((0, 1)),
                Dim::Expr(e) => known.get(&Arc::as_ptr(e)).copied(),
            };
            let unknown = operands.into_iter().flatten().find(|d| measure(d).is_none());
            if let Some(unknown) = unknown {
                waiting.push(unknown);
                continue;
            }
            let parts = operands.into_iter().flatten().filter_map(measure);
            let (depth, terms) = parts.fold((0, 1usize), |(d, n), (dd, nn)| (d.max(dd + 1), n.saturating_add(nn)));
            if depth > MAX_DEPTH || terms > MAX_TERMS {
                return false;
            }
            known.insert(Arc::as_ptr(e), (depth, terms));
            waiting.pop();
        }
        true
    }

    fn combine(a: &Dim, b: &Dim, number: impl Fn(i64, i64) -> Option<i64>, make: impl Fn(Dim, Dim) -> DimExpr) -> Dim {
        if let (Some(x), Some(y)) = (a.known(), b.known())
            && let Some(n) = number(x, y)
        {
            return Dim::Const(n);
        }
        Dim::Expr(Arc::new(make(a.clone(), b.clone())))
    }

    /// Sum.
    pub fn add(&self, other: &Dim) -> Dim {
        match (self, other) {
            (Dim::Const(0), x) | (x, Dim::Const(0)) => x.clone(),
            // (e + a) + b and (e - a) + b keep one constant.
            (Dim::Expr(e), Dim::Const(b)) => match &**e {
                DimExpr::Add(inner, Dim::Const(a)) => inner.add(&Dim::Const(a.wrapping_add(*b))),
                DimExpr::Sub(inner, Dim::Const(a)) => inner.add(&Dim::Const(b.wrapping_sub(*a))),
                _ if *b < 0 => Dim::Expr(Arc::new(DimExpr::Sub(self.clone(), Dim::Const(b.wrapping_neg())))),
                _ => Dim::Expr(Arc::new(DimExpr::Add(self.clone(), other.clone()))),
            },
            _ => super::linear::joined(self, other, 1)
                .unwrap_or_else(|| Dim::combine(self, other, i64::checked_add, DimExpr::Add)),
        }
    }
    /// Difference.
    pub fn sub(&self, other: &Dim) -> Dim {
        match other {
            Dim::Const(n) => self.add(&Dim::Const(n.wrapping_neg())),
            _ if self == other => Dim::Const(0),
            _ => super::linear::joined(self, other, -1)
                .unwrap_or_else(|| Dim::combine(self, other, i64::checked_sub, DimExpr::Sub)),
        }
    }
    /// Product.
    pub fn mul(&self, other: &Dim) -> Dim {
        match (self, other) {
            (Dim::Const(1), x) | (x, Dim::Const(1)) => x.clone(),
            (Dim::Const(0), _) | (_, Dim::Const(0)) => Dim::Const(0),
            // One order, so that products of the same factors are equal: the number last and one only, symbols by name.
            (Dim::Const(_), Dim::Expr(_)) => other.mul(self),
            (Dim::Expr(e), Dim::Const(n)) => match &**e {
                DimExpr::Mul(x, Dim::Const(m)) if m.checked_mul(*n).is_some() => x.mul(&Dim::Const(m.wrapping_mul(*n))),
                _ => Dim::combine(self, other, i64::checked_mul, DimExpr::Mul),
            },
            (Dim::Expr(a), Dim::Expr(b)) => match (&**a, &**b) {
                (DimExpr::Mul(x, n @ Dim::Const(_)), _) => x.mul(other).mul(n),
                (_, DimExpr::Mul(x, n @ Dim::Const(_))) => self.mul(x).mul(n),
                (DimExpr::Symbol(a), DimExpr::Symbol(b)) if a > b => {
                    Dim::combine(other, self, i64::checked_mul, DimExpr::Mul)
                }
                _ => Dim::combine(self, other, i64::checked_mul, DimExpr::Mul),
            },
            _ => Dim::combine(self, other, i64::checked_mul, DimExpr::Mul),
        }
    }
    /// Quotient, rounded down. A zero divisor stays an expression, which no binding can evaluate.
    pub fn div(&self, other: &Dim) -> Dim {
        match (self, other) {
            (x, Dim::Const(1)) => x.clone(),
            (Dim::Expr(e), Dim::Const(d)) => match &**e {
                DimExpr::Mul(x, Dim::Const(m)) | DimExpr::Mul(Dim::Const(m), x) if *d != 0 && m % d == 0 => {
                    x.mul(&Dim::Const(m / d))
                }
                _ => Dim::Expr(Arc::new(DimExpr::Div(self.clone(), other.clone()))),
            },
            _ if self == other => Dim::Const(1),
            _ => Dim::combine(self, other, floor_div, DimExpr::Div),
        }
    }
    /// Quotient, rounded up.
    pub fn div_ceil(&self, divisor: i64) -> Dim {
        self.add(&Dim::Const(divisor.saturating_sub(1))).div(&Dim::Const(divisor))
    }
    /// Remainder of the division that rounds down.
    pub fn rem(&self, other: &Dim) -> Dim {
        Dim::combine(self, other, |a, b| Some(a.wrapping_sub(floor_div(a, b)?.wrapping_mul(b))), DimExpr::Mod)
    }
    /// Smaller one.
    pub fn smaller(&self, other: &Dim) -> Dim {
        if self == other { self.clone() } else { Dim::combine(self, other, |a, b| Some(a.min(b)), DimExpr::Min) }
    }
    /// Larger one.
    pub fn larger(&self, other: &Dim) -> Dim {
        let holds = |whole: &Dim, part: &Dim| match whole {
            Dim::Expr(e) => matches!(&**e, DimExpr::Max(a, b) if a == part || b == part),
            Dim::Const(_) => false,
        };
        match (self, other) {
            (whole, part) | (part, whole) if whole == part || holds(whole, part) => whole.clone(),
            _ => Dim::combine(self, other, |a, b| Some(a.max(b)), DimExpr::Max),
        }
    }

    /// The same with symbols replaced; unbound ones stay.
    pub fn bind(&self, values: &Bindings) -> Dim {
        self.bound(values, &mut HashMap::new())
    }

    /// Binds expressions that are shared once.
    fn bound(&self, values: &Bindings, seen: &mut HashMap<*const DimExpr, Dim>) -> Dim {
        let Dim::Expr(e) = self else { return self.clone() };
        if let DimExpr::Symbol(name) = &**e {
            return values.get(name).map_or_else(|| self.clone(), |n| Dim::Const(*n));
        }
        if let Some(dim) = seen.get(&Arc::as_ptr(e)) {
            return dim.clone();
        }
        let mut two = |a: &Dim, b: &Dim, f: fn(&Dim, &Dim) -> Dim| f(&a.bound(values, seen), &b.bound(values, seen));
        let dim = match &**e {
            DimExpr::Symbol(_) => self.clone(),
            DimExpr::Add(a, b) => two(a, b, Dim::add),
            DimExpr::Sub(a, b) => two(a, b, Dim::sub),
            DimExpr::Mul(a, b) => two(a, b, Dim::mul),
            DimExpr::Div(a, b) => two(a, b, Dim::div),
            DimExpr::Mod(a, b) => two(a, b, Dim::rem),
            DimExpr::Min(a, b) => two(a, b, Dim::smaller),
            DimExpr::Max(a, b) => two(a, b, Dim::larger),
        };
        seen.insert(Arc::as_ptr(e), dim.clone());
        dim
    }

    /// Names of the symbols it mentions, appended to `names`.
    pub fn symbols(&self, names: &mut Vec<String>) {
        self.mentioned(names, &mut HashSet::new());
    }

    /// Visits expressions that are shared once.
    fn mentioned(&self, names: &mut Vec<String>, seen: &mut HashSet<*const DimExpr>) {
        let Dim::Expr(e) = self else { return };
        if let DimExpr::Symbol(name) = &**e {
            if !names.contains(name) {
                names.push(name.clone());
            }
        } else if seen.insert(Arc::as_ptr(e)) {
            e.operands().into_iter().flatten().for_each(|d| d.mentioned(names, seen));
        }
    }
}

fn floor_div(a: i64, b: i64) -> Option<i64> {
    if b == 0 { None } else { a.checked_div_euclid(b).map(|q| if b < 0 && q.wrapping_mul(b) != a { q - 1 } else { q }) }
}

impl From<i64> for Dim {
    fn from(value: i64) -> Self {
        Dim::Const(value)
    }
}
impl From<usize> for Dim {
    fn from(value: usize) -> Self {
        Dim::Const(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dim::Expr(e) = self else {
            return match self {
                Dim::Const(n) => write!(f, "{n}"),
                Dim::Expr(_) => Ok(()),
            };
        };
        match &**e {
            // Symbols come from files: anything but a plain word is quoted.
            DimExpr::Symbol(s) if is_word(s) => f.write_str(s),
            DimExpr::Symbol(s) => write!(f, "{s:?}"),
            DimExpr::Add(a, b) => write!(f, "({a} + {b})"),
            DimExpr::Sub(a, b) => write!(f, "({a} - {b})"),
            DimExpr::Mul(a, b) => write!(f, "({a} * {b})"),
            DimExpr::Div(a, b) => write!(f, "({a} / {b})"),
            DimExpr::Mod(a, b) => write!(f, "({a} % {b})"),
            DimExpr::Min(a, b) => write!(f, "min({a}, {b})"),
            DimExpr::Max(a, b) => write!(f, "max({a}, {b})"),
        }
    }
}

/// Whether `text` is a plain word of the text form: a letter or `_`, then letters, digits, `_`.
pub fn is_word(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text != "min"
        && text != "max"
}

/// Padding that a blocked tensor carries around its two spatial dimensions: rows above and below, columns left and right.
/// The producer writes zeros there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Halo {
    /// Rows above.
    pub top: u32,
    /// Columns left.
    pub left: u32,
    /// Rows below.
    pub bottom: u32,
    /// Columns right.
    pub right: u32,
}

/// How the elements of a tensor lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Row-major.
    #[default]
    Plain,
    /// Rank 4, `[n][c / lanes][top + h + bottom][left + w + right][lanes]`: channels in blocks of `lanes`, the last block
    /// filled up with zeros (NCHW16c and its kin).
    Blocked {
        /// Channels of a block.
        lanes: u32,
        /// Zero padding around each plane.
        halo: Halo,
    },
}

/// An extent in the type of a sequence that may differ from element to element.
pub const ANY_EXTENT: i64 = -1;

/// Type of the keys of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// `int64`
    Int,
    /// `string`
    Text,
}

impl From<KeyType> for DType {
    fn from(key: KeyType) -> DType {
        match key {
            KeyType::Int => DType::I64,
            KeyType::Text => DType::String,
        }
    }
}

/// What a value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A tensor whose rank is known.
    #[default]
    Tensor,
    /// A tensor of a rank that is known at run time only; its shape is empty here.
    Unranked,
    /// A sequence of tensors of the element type. Its shape is what all of them have in common: as many extents as they have
    /// dimensions, [`ANY_EXTENT`] for those that may differ; empty when their rank is not known.
    Sequence,
    /// A sequence without elements, whose element type says what it takes.
    EmptySequence,
    /// A tensor that may be absent.
    Optional,
    /// A sequence that may be absent.
    OptionalSequence,
    /// A map to values of the element type. Its shape is empty.
    Map(KeyType),
    /// A sequence of such maps.
    MapSequence(KeyType),
}

impl Kind {
    /// Name before the type in the text form; empty for tensors.
    pub fn prefix(self) -> &'static str {
        match self {
            Kind::Tensor => "",
            Kind::Unranked => "unranked",
            Kind::Sequence => "sequence",
            Kind::EmptySequence => "empty_sequence",
            Kind::Optional => "optional",
            Kind::OptionalSequence => "optional_sequence",
            Kind::Map(KeyType::Int) => "int_map",
            Kind::Map(KeyType::Text) => "text_map",
            Kind::MapSequence(KeyType::Int) => "int_map_sequence",
            Kind::MapSequence(KeyType::Text) => "text_map_sequence",
        }
    }
    /// The kind whose prefix this is.
    pub fn from_prefix(text: &str) -> Option<Kind> {
        let maps = [KeyType::Int, KeyType::Text].into_iter().flat_map(|key| [Kind::Map(key), Kind::MapSequence(key)]);
        let all = [Kind::Unranked, Kind::Sequence, Kind::EmptySequence, Kind::Optional, Kind::OptionalSequence];
        all.into_iter().chain(maps).find(|kind| kind.prefix() == text)
    }
}

/// Type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// Whether it is a tensor or holds such.
    pub kind: Kind,
    /// Element type.
    pub dtype: DType,
    /// Logical shape, whatever the layout: `[n, c, h, w]` for images.
    pub shape: Vec<Dim>,
    /// Layout in memory.
    pub layout: Layout,
}

impl Type {
    /// Whether elements of this type may lie in channel blocks.
    pub fn may_be_blocked(&self) -> bool {
        matches!(self.dtype, DType::F32 | DType::U8)
    }
    /// A plain tensor.
    pub fn new(dtype: DType, shape: Vec<Dim>) -> Type {
        Type { kind: Kind::Tensor, dtype, shape, layout: Layout::Plain }
    }
    /// A tensor of unknown rank.
    pub fn unranked(dtype: DType) -> Type {
        Type { kind: Kind::Unranked, ..Type::new(dtype, vec![]) }
    }
    /// A sequence of tensors of this type. Symbols are not kept: what they stand for may differ from element to element.
    pub fn sequence(element: Type) -> Type {
        let extent = |d: &Dim| Dim::Const(d.known().unwrap_or(ANY_EXTENT));
        Type { kind: Kind::Sequence, ..Type::new(element.dtype, element.shape.iter().map(extent).collect()) }
    }
    /// A map to values of this type.
    pub fn map(key: KeyType, dtype: DType) -> Type {
        Type { kind: Kind::Map(key), ..Type::new(dtype, vec![]) }
    }
    /// A sequence of maps to values of this type.
    pub fn map_sequence(key: KeyType, dtype: DType) -> Type {
        Type { kind: Kind::MapSequence(key), ..Type::new(dtype, vec![]) }
    }
    /// Whether it is a map or a sequence of such.
    pub fn is_map(&self) -> bool {
        matches!(self.kind, Kind::Map(_) | Kind::MapSequence(_))
    }
    /// A sequence of no tensors, for some of this element type.
    pub fn empty_sequence(dtype: DType) -> Type {
        Type { kind: Kind::EmptySequence, ..Type::new(dtype, vec![]) }
    }
    /// Whether it is a sequence.
    pub fn is_sequence(&self) -> bool {
        matches!(self.kind, Kind::Sequence | Kind::EmptySequence)
    }
    /// A value of this type (a tensor or a sequence) that may be absent.
    pub fn optional(inner: Type) -> Type {
        match inner.is_sequence() || inner.kind == Kind::OptionalSequence {
            true => Type { kind: Kind::OptionalSequence, ..Type::new(inner.dtype, vec![]) },
            false => Type { kind: Kind::Optional, ..inner },
        }
    }
    /// Whether it is a tensor of numbers or booleans of known rank: what kernels work on.
    pub fn is_plain_tensor(&self) -> bool {
        self.kind == Kind::Tensor && self.dtype != DType::String
    }
    /// Names of the symbols of its extents.
    pub fn symbols(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.shape.iter().for_each(|d| d.symbols(&mut names));
        names
    }
    /// A plain tensor of known shape.
    pub fn known(dtype: DType, shape: &[usize]) -> Type {
        Type::new(dtype, shape.iter().map(|d| Dim::from(*d)).collect())
    }
    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }
    /// The shape as numbers, when all are known and none is negative.
    pub fn dims(&self) -> Option<Vec<usize>> {
        if self.kind != Kind::Tensor {
            return None;
        }
        self.shape.iter().map(|d| d.known().and_then(|n| usize::try_from(n).ok())).collect()
    }
    /// Number of logical elements, when known and when it fits.
    pub fn elements(&self) -> Option<usize> {
        brolga_runtime::element_count(&self.dims()?)
    }
    /// Elements in memory, block filling and halo counted.
    pub fn stored_elements(&self) -> Option<usize> {
        let dims = self.dims()?;
        match self.layout {
            Layout::Plain => brolga_runtime::element_count(&dims),
            Layout::Blocked { lanes, halo } => {
                let [n, c, h, w] = dims[..] else { return None };
                let lanes = lanes as usize;
                let h = h.checked_add((halo.top + halo.bottom) as usize)?;
                let w = w.checked_add((halo.left + halo.right) as usize)?;
                brolga_runtime::element_count(&[n, c.div_ceil(lanes), h, w, lanes])
            }
        }
    }
    /// Bytes in memory, block filling and halo counted.
    pub fn stored_bytes(&self) -> Option<usize> {
        self.stored_elements()?.checked_mul(self.dtype.bytes())
    }
    /// The same type with symbols replaced.
    pub fn bind(&self, values: &Bindings) -> Type {
        Type { shape: self.shape.iter().map(|d| d.bind(values)).collect(), ..self.clone() }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != Kind::Tensor {
            write!(f, "{} ", self.kind.prefix())?;
        }
        write!(f, "{}[", self.dtype)?;
        for (i, d) in self.shape.iter().enumerate() {
            write!(f, "{}{d}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str("]")?;
        if let Layout::Blocked { lanes, halo } = self.layout {
            write!(f, " nchw{lanes}c")?;
            if halo != Halo::default() {
                write!(f, " halo {} {} {} {}", halo.top, halo.left, halo.bottom, halo.right)?;
            }
        }
        Ok(())
    }
}
