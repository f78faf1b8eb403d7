//! Operands that are no tensors of numbers of known rank: which operators take them, and how texts go through operators that
//! only move, compare or count elements.

use crate::context::{Context, Results};
use crate::error::{NodeError, unsupported};
use crate::registry::Importer;
use brolga_compiler::ir::{Dim, Kind, Type, ValueId};
use brolga_runtime::DType;
use brolga_runtime::library::Function;

/// Take operands of every kind.
const ANY: &[&str] = &[
    "CastMap",
    "ConcatFromSequence",
    "DictVectorizer",
    "Identity",
    "If",
    "Loop",
    "Optional",
    "OptionalGetElement",
    "OptionalHasElement",
    "Scan",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceErase",
    "SequenceInsert",
    "SequenceLength",
    "SequenceMap",
];

/// Take tensors whose rank is known at run time only.
const UNRANKED: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "Cast",
    "CastLike",
    "Ceil",
    "Cos",
    "Div",
    "Equal",
    "Erf",
    "Exp",
    "Floor",
    "Greater",
    "GreaterOrEqual",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Mean",
    "Min",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "Reciprocal",
    "Relu",
    "Reshape",
    "Round",
    "Shape",
    "Sigmoid",
    "Sign",
    "Sin",
    "Size",
    "Sqrt",
    "Sub",
    "Sum",
    "Tanh",
    "Where",
    "Xor",
];

/// Take texts as they are.
const TEXTS: &[&str] = &[
    "ArrayFeatureExtractor",
    "Cast",
    "CastLike",
    "CategoryMapper",
    "LabelEncoder",
    "OneHotEncoder",
    "RegexFullMatch",
    "SplitToSequence",
    "StringConcat",
    "StringNormalizer",
    "StringSplit",
    "TfIdfVectorizer",
];

/// Results that are texts where the operands are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moved {
    All,
    First,
    None,
}

/// Operators that work on the ranks of texts as they do on texts.
const MOVING: &[(&str, Moved)] = &[
    ("Compress", Moved::All),
    ("Concat", Moved::All),
    ("DepthToSpace", Moved::All),
    ("Equal", Moved::None),
    ("Expand", Moved::All),
    ("Flatten", Moved::All),
    ("Gather", Moved::All),
    ("GatherElements", Moved::All),
    ("GatherND", Moved::All),
    ("Reshape", Moved::All),
    ("ReverseSequence", Moved::All),
    ("Scatter", Moved::All),
    ("ScatterElements", Moved::All),
    ("ScatterND", Moved::All),
    ("Shape", Moved::None),
    ("Size", Moved::None),
    ("Slice", Moved::All),
    ("SpaceToDepth", Moved::All),
    ("Split", Moved::All),
    ("Squeeze", Moved::All),
    ("Tile", Moved::All),
    ("Transpose", Moved::All),
    ("Unique", Moved::First),
    ("Unsqueeze", Moved::All),
    ("Where", Moved::All),
];

/// Runs an importer on operands that it can take.
pub(crate) fn import(cx: &mut Context<'_, '_>, importer: Importer) -> Results {
    let op = cx.node.op;
    if ANY.contains(&op) {
        return importer(cx);
    }
    let mut texts = false;
    for (i, id) in cx.inputs.iter().enumerate() {
        let Some(id) = id else { continue };
        let ty = cx.ty(*id);
        match ty.kind {
            Kind::Tensor => {}
            Kind::Unranked if UNRANKED.contains(&op) && ty.dtype != DType::String => {}
            Kind::Unranked => {
                return unsupported(format!(
                    "operand {i} is {ty}, of unknown rank; a tensor of known rank is accepted"
                ));
            }
            _ => return unsupported(format!("operand {i} is {ty}; a tensor is accepted")),
        }
        texts |= ty.dtype == DType::String;
    }
    if !texts || TEXTS.contains(&op) {
        return importer(cx);
    }
    match MOVING.iter().find(|(name, _)| *name == op) {
        Some((_, moved)) => through_ranks(cx, importer, *moved),
        None => unsupported("texts; numbers and booleans are accepted"),
    }
}

/// Imports a node with the ranks of its texts in their place, and turns the ranks of results into texts.
fn through_ranks(cx: &mut Context<'_, '_>, importer: Importer, moved: Moved) -> Results {
    let is_text = |id: &ValueId| cx.dtype(*id) == DType::String;
    let texts: Vec<ValueId> = cx.inputs.iter().flatten().copied().filter(is_text).collect();
    let mut types = vec![Type::new(DType::String, vec![cx.fresh()])];
    types.extend(texts.iter().map(|id| Type::new(DType::I64, cx.shape(*id))));
    let operands: Vec<Option<ValueId>> = texts.iter().copied().map(Some).collect();
    let made = cx.function(Function::new("string_ranks", texts.len()), &operands, types)?;
    let [table, ranks @ ..] = &made[..] else { return unsupported("no texts") };
    let mut ranks = ranks.iter();
    let inputs = cx.inputs.clone();
    for id in cx.inputs.iter_mut().flatten() {
        if texts.contains(id) {
            *id = ranks.next().copied().unwrap_or(*id);
        }
    }
    let results = importer(cx);
    cx.inputs = inputs;
    let mut results = results?;
    let count = match moved {
        Moved::All => results.len(),
        Moved::First => 1,
        Moved::None => 0,
    };
    for id in results.iter_mut().take(count) {
        let ty = Type { dtype: DType::String, ..cx.ty(*id).clone() };
        let taken = cx.function(Function::new("string_take", 2), &[Some(*table), Some(*id)], vec![ty])?;
        *id = taken.first().copied().unwrap_or(*id);
    }
    Ok(results)
}

/// Constant texts.
pub(crate) fn text_constant(shape: &[i64], texts: Vec<String>) -> Result<(Function, Type), NodeError> {
    use brolga_runtime::library::Attribute::{Ints, Texts};
    let count = shape.iter().try_fold(1i64, |n, d| if *d < 0 { None } else { n.checked_mul(*d) });
    if count != i64::try_from(texts.len()).ok() {
        return crate::error::invalid(format!("a tensor of shape {shape:?} has {} texts", texts.len()));
    }
    let ty = Type::new(DType::String, shape.iter().map(|d| Dim::Const(*d)).collect());
    Ok((Function::new("string_constant", 0).with("shape", Ints(shape.to_vec())).with("texts", Texts(texts)), ty))
}
