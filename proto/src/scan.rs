//! Walks the wire format before any message is built: iterative, without allocation beyond a stack of bounded depth.
//!
//! Two bytes on the wire can make a message of hundreds of bytes in memory, so the walk adds up what decoding will
//! allocate and refuses past a limit. It also refuses what decoding would refuse late: lengths past the end, numbers longer
//! than ten bytes, groups, deep nesting.

use crate::error::ProtoError;
use crate::load::Limits;
use crate::messages as m;
use std::mem::size_of;

/// A message type, as far as the walk needs to know them apart.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Model,
    Opset,
    Entry,
    Training,
    Graph,
    Node,
    Attribute,
    Value,
    Tensor,
    Segment,
    Sparse,
    Annotation,
    Shape,
    Dimension,
    Type,
    TensorType,
    /// Sequence and optional types.
    Element,
    Map,
    Opaque,
    Function,
}

/// What a field holds.
#[derive(Clone, Copy, PartialEq)]
enum Field {
    /// A message, which is boxed or an element of a list (its size is charged).
    Message(Kind),
    /// Text: copied.
    Text,
    /// Bytes: a slice of the input.
    Slice,
    /// A list of bytes: each a slice with its own header.
    Slices,
    /// A single number, part of its message.
    Number,
    /// Repeated variable-length numbers of this size in memory.
    Varints(u64),
    /// Repeated numbers of this size on the wire and in memory.
    Fixed(u64),
    /// Skipped.
    Unknown,
}

impl Kind {
    /// Bytes a message takes in memory, without what its lists point to.
    fn size(self) -> u64 {
        let size = match self {
            Kind::Model => size_of::<m::ModelProto>(),
            Kind::Opset => size_of::<m::OperatorSetIdProto>(),
            Kind::Entry => size_of::<m::StringStringEntryProto>(),
            Kind::Training => size_of::<m::TrainingInfoProto>(),
            Kind::Graph => size_of::<m::GraphProto>(),
            Kind::Node => size_of::<m::NodeProto>(),
            Kind::Attribute => size_of::<m::AttributeProto>(),
            Kind::Value => size_of::<m::ValueInfoProto>(),
            Kind::Tensor => size_of::<m::TensorProto>(),
            Kind::Segment => 0,
            Kind::Sparse => size_of::<m::SparseTensorProto>(),
            Kind::Annotation => size_of::<m::TensorAnnotation>(),
            Kind::Shape => size_of::<m::TensorShapeProto>(),
            Kind::Dimension => size_of::<m::tensor_shape_proto::Dimension>(),
            Kind::Type | Kind::Element | Kind::Map => size_of::<m::TypeProto>(),
            Kind::TensorType | Kind::Opaque => 0,
            Kind::Function => size_of::<m::FunctionProto>(),
        };
        size as u64
    }

    fn field(self, number: u64) -> Field {
        use Field::*;
        match (self, number) {
            (Kind::Model, 1 | 5) => Number,
            (Kind::Model, 2 | 3 | 4 | 6) => Text,
            (Kind::Model, 7) => Message(Kind::Graph),
            (Kind::Model, 8) | (Kind::Function, 9) => Message(Kind::Opset),
            (Kind::Model | Kind::Function, 14) | (Kind::Graph, 16) | (Kind::Tensor, 13) => Message(Kind::Entry),
            (Kind::Model, 20) => Message(Kind::Training),
            (Kind::Model, 25) => Message(Kind::Function),
            (Kind::Opset, 1) | (Kind::Entry, 1 | 2) => Text,
            (Kind::Opset, 2) => Number,
            (Kind::Training, 1 | 2) => Message(Kind::Graph),
            (Kind::Training, 3 | 4) | (Kind::Annotation, 2) => Message(Kind::Entry),
            (Kind::Graph, 1) | (Kind::Function, 7) => Message(Kind::Node),
            (Kind::Graph, 2 | 10) => Text,
            (Kind::Graph, 5) | (Kind::Attribute, 5 | 10) | (Kind::Sparse, 1 | 2) => Message(Kind::Tensor),
            (Kind::Graph, 11..=13) | (Kind::Function, 12) => Message(Kind::Value),
            (Kind::Graph, 14) => Message(Kind::Annotation),
            (Kind::Graph, 15) | (Kind::Attribute, 22 | 23) => Message(Kind::Sparse),
            (Kind::Node, 1..=4 | 7 | 8) => Text,
            (Kind::Node, 5) | (Kind::Function, 11) => Message(Kind::Attribute),
            (Kind::Attribute, 1 | 21) => Text,
            (Kind::Attribute, 2 | 3 | 20) => Number,
            (Kind::Attribute, 4) => Slice,
            (Kind::Attribute, 6 | 11) => Message(Kind::Graph),
            (Kind::Attribute, 7) => Fixed(4),
            (Kind::Attribute, 8) => Varints(8),
            (Kind::Attribute, 9) => Slices,
            (Kind::Attribute, 14 | 15) | (Kind::Value, 2) | (Kind::Element, 1) | (Kind::Map, 2) => Message(Kind::Type),
            (Kind::Value | Kind::Annotation, 1) => Text,
            (Kind::Tensor, 1 | 7 | 11) | (Kind::Sparse, 3) => Varints(8),
            (Kind::Tensor, 2 | 14) | (Kind::Segment, 1 | 2) => Number,
            (Kind::Tensor, 3) => Message(Kind::Segment),
            (Kind::Tensor, 4) => Fixed(4),
            (Kind::Tensor, 5) => Varints(4),
            (Kind::Tensor, 6) => Slices,
            (Kind::Tensor, 8 | 12) => Text,
            (Kind::Tensor, 9) => Slice,
            (Kind::Tensor, 10) => Fixed(8),
            (Kind::Shape, 1) => Message(Kind::Dimension),
            (Kind::Dimension, 1) => Number,
            (Kind::Dimension, 2 | 3) | (Kind::Type, 6) | (Kind::Opaque, 1 | 2) => Text,
            (Kind::Type, 1 | 8) => Message(Kind::TensorType),
            (Kind::Type, 4 | 9) => Message(Kind::Element),
            (Kind::Type, 5) => Message(Kind::Map),
            (Kind::Type, 7) => Message(Kind::Opaque),
            (Kind::TensorType | Kind::Map, 1) => Number,
            (Kind::TensorType, 2) => Message(Kind::Shape),
            (Kind::Function, 1 | 4 | 5 | 6 | 8 | 10 | 13) => Text,
            _ => Unknown,
        }
    }
}

/// What a well-formed model amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Bytes that decoding will allocate, about.
    pub memory: u64,
    /// Messages.
    pub messages: u64,
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    scanned: Scanned,
    limit: u64,
}

/// Checks that `bytes` are a model in the wire format and that building it stays within `limits`.
pub fn scan(bytes: &[u8], limits: &Limits) -> Result<Scanned, ProtoError> {
    let limit = limits.decode_bytes.saturating_add(limits.decode_factor.saturating_mul(bytes.len() as u64));
    let mut walk = Walk { bytes, at: 0, scanned: Scanned::default(), limit };
    walk.run(limits.depth)?;
    Ok(walk.scanned)
}

impl Walk<'_> {
    fn run(&mut self, depth: usize) -> Result<(), ProtoError> {
        let mut open = vec![(Kind::Model, self.bytes.len())];
        self.charge(Kind::Model.size())?;
        while let Some((kind, end)) = open.last().copied() {
            if self.at == end {
                open.pop();
                continue;
            }
            let start = self.at;
            let tag = self.varint(end)?;
            let (number, wire) = (tag >> 3, tag & 7);
            if number == 0 || number > (1 << 29) - 1 {
                return Err(self.bad(start, "a field number is out of range"));
            }
            let field = kind.field(number);
            match (field, wire) {
                (Field::Message(inner), 2) => {
                    let inner_end = self.length(end)?;
                    if open.len() >= depth {
                        return Err(self.bad(start, "messages are nested too deeply"));
                    }
                    self.scanned.messages += 1;
                    self.charge(inner.size())?;
                    open.push((inner, inner_end));
                }
                _ => self.leaf(field, wire, start, end)?,
            }
        }
        Ok(())
    }

    /// A field that holds no message of interest.
    fn leaf(&mut self, field: Field, wire: u64, start: usize, end: usize) -> Result<(), ProtoError> {
        match wire {
            0 => {
                self.varint(end)?;
            }
            1 => self.skip(8, end)?,
            5 => self.skip(4, end)?,
            2 => {
                let data_end = self.length(end)?;
                let data = self.bytes.get(self.at..data_end).unwrap_or_default();
                let cost = match field {
                    Field::Text => data.len() as u64 + 24,
                    Field::Slices => 32,
                    Field::Varints(size) => size.saturating_mul(self.packed(data_end)?),
                    Field::Fixed(size) if !(data.len() as u64).is_multiple_of(size) => {
                        return Err(self.bad(start, "a list of numbers ends within one"));
                    }
                    Field::Fixed(_) => data.len() as u64,
                    _ => 0,
                };
                self.at = data_end;
                self.charge(cost)?;
            }
            3 | 4 => return Err(self.bad(start, "groups are not part of the format")),
            _ => return Err(self.bad(start, "an unknown wire type")),
        }
        let fits = match field {
            Field::Unknown => true,
            Field::Message(_) => false,
            Field::Text | Field::Slice | Field::Slices => wire == 2,
            Field::Number => wire == 0 || wire == 5,
            Field::Varints(_) => wire == 0 || wire == 2,
            Field::Fixed(size) => wire == 2 || (wire == 5 && size == 4) || (wire == 1 && size == 8),
        };
        if !fits {
            return Err(self.bad(start, "a field has the wrong wire type"));
        }
        match field {
            Field::Varints(size) | Field::Fixed(size) if wire != 2 => self.charge(size),
            _ => Ok(()),
        }
    }

    fn bad(&self, offset: usize, reason: &'static str) -> ProtoError {
        ProtoError::Malformed { offset, reason }
    }

    fn charge(&mut self, bytes: u64) -> Result<(), ProtoError> {
        self.scanned.memory = self.scanned.memory.saturating_add(bytes);
        if self.scanned.memory > self.limit {
            return Err(ProtoError::TooLarge { needed: self.scanned.memory, limit: self.limit });
        }
        Ok(())
    }

    fn skip(&mut self, n: usize, end: usize) -> Result<(), ProtoError> {
        if end - self.at < n {
            return Err(self.bad(self.at, "a field runs past the end of its message"));
        }
        self.at += n;
        Ok(())
    }

    /// Counts the packed numbers from here to `end`.
    fn packed(&mut self, end: usize) -> Result<u64, ProtoError> {
        let mut count = 0;
        while self.at < end {
            self.varint(end)?;
            count += 1;
        }
        Ok(count)
    }

    /// A length prefix; returns where the field ends.
    fn length(&mut self, end: usize) -> Result<usize, ProtoError> {
        let start = self.at;
        let n = self.varint(end)?;
        match usize::try_from(n).ok().filter(|n| *n <= end - self.at) {
            Some(n) => Ok(self.at + n),
            None => Err(self.bad(start, "a length runs past the end of its message")),
        }
    }

    fn varint(&mut self, end: usize) -> Result<u64, ProtoError> {
        let start = self.at;
        let mut value = 0u64;
        for (i, byte) in self.bytes.get(start..end).unwrap_or_default().iter().take(10).enumerate() {
            if i == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.at = start + i + 1;
                return Ok(value);
            }
        }
        Err(self.bad(start, if end - start < 10 { "a number is cut off" } else { "a number is longer than 64 bits" }))
    }
}
