//! Typed access to the attributes of a node.

use crate::error::{NodeError, invalid};
use brolga_proto::attribute_proto::AttributeType;
use brolga_proto::{AttributeProto, TensorProto};
use brolga_runtime::library::Attribute;

/// Attributes of a node, references to attributes of an enclosing function already resolved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes<'a> {
    entries: Vec<(&'a str, &'a AttributeProto)>,
}

impl<'a> Attributes<'a> {
    pub(crate) fn push(&mut self, name: &'a str, attribute: &'a AttributeProto) {
        self.entries.push((name, attribute));
    }

    /// The attribute as one of a library function; `None` for tensors, graphs and types.
    pub(crate) fn value(&self, name: &str) -> Result<Option<Attribute>, NodeError> {
        let Some(attribute) = self.get(name) else { return Ok(None) };
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => invalid(format!("attribute {name:?} is not UTF-8 text")),
        };
        Ok(Some(match AttributeType::try_from(attribute.r#type) {
            Ok(AttributeType::Int) => Attribute::Int(attribute.i),
            Ok(AttributeType::Float) => Attribute::Float(attribute.f),
            Ok(AttributeType::String) => Attribute::Text(text(&attribute.s)?),
            Ok(AttributeType::Ints) => Attribute::Ints(attribute.ints.clone()),
            Ok(AttributeType::Floats) => Attribute::Floats(attribute.floats.clone()),
            Ok(AttributeType::Strings) => {
                Attribute::Texts(attribute.strings.iter().map(|s| text(s)).collect::<Result<_, _>>()?)
            }
            _ => return Ok(None),
        }))
    }

    /// The attribute as it is.
    pub(crate) fn get(&self, name: &str) -> Option<&'a AttributeProto> {
        self.entries.iter().find(|(n, _)| *n == name).map(|(_, a)| *a)
    }

    fn typed(&self, name: &str, want: AttributeType) -> Result<Option<&'a AttributeProto>, NodeError> {
        let Some(attribute) = self.get(name) else { return Ok(None) };
        match AttributeType::try_from(attribute.r#type) {
            // Files older than the type field leave it out.
            Ok(AttributeType::Undefined) => Ok(Some(attribute)),
            Ok(got) if got == want => Ok(Some(attribute)),
            Ok(got) => {
                let (got, want) = (got.as_str_name(), want.as_str_name());
                invalid(format!("attribute {name:?} is of type {got}; {want} is expected"))
            }
            Err(_) => invalid(format!("attribute {name:?} has unknown type number {}", attribute.r#type)),
        }
    }

    pub(crate) fn int(&self, name: &str) -> Result<Option<i64>, NodeError> {
        Ok(self.typed(name, AttributeType::Int)?.map(|a| a.i))
    }
    pub(crate) fn int_or(&self, name: &str, default: i64) -> Result<i64, NodeError> {
        Ok(self.int(name)?.unwrap_or(default))
    }
    /// An integer that is used as 0 or 1.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, NodeError> {
        Ok(self.int_or(name, 0)? != 0)
    }
    pub(crate) fn float(&self, name: &str) -> Result<Option<f32>, NodeError> {
        Ok(self.typed(name, AttributeType::Float)?.map(|a| a.f))
    }
    pub(crate) fn float_or(&self, name: &str, default: f32) -> Result<f32, NodeError> {
        Ok(self.float(name)?.unwrap_or(default))
    }
    pub(crate) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, NodeError> {
        Ok(self.typed(name, AttributeType::Ints)?.map(|a| &a.ints[..]))
    }
    pub(crate) fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, NodeError> {
        Ok(self.typed(name, AttributeType::Floats)?.map(|a| &a.floats[..]))
    }
    pub(crate) fn tensor(&self, name: &str) -> Result<Option<&'a TensorProto>, NodeError> {
        match self.typed(name, AttributeType::Tensor)? {
            None => Ok(None),
            Some(a) => match &a.t {
                Some(tensor) => Ok(Some(tensor)),
                None => invalid(format!("attribute {name:?} has no tensor")),
            },
        }
    }
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, NodeError> {
        match self.typed(name, AttributeType::String)? {
            None => Ok(None),
            Some(a) => match std::str::from_utf8(&a.s) {
                Ok(text) => Ok(Some(text)),
                Err(_) => invalid(format!("attribute {name:?} is not UTF-8 text")),
            },
        }
    }
    pub(crate) fn text_or(&self, name: &str, default: &'static str) -> Result<&'a str, NodeError> {
        Ok(self.text(name)?.unwrap_or(default))
    }
    pub(crate) fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, NodeError> {
        match value {
            Some(value) => Ok(value),
            None => invalid(format!("attribute {name:?} is missing")),
        }
    }
}
