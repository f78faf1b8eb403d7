//! Just enough of the protobuf wire format to fill tensors in place: fields nobody here knows are copied as they are.

use super::{ZooError, fill};

const MODEL_GRAPH: u64 = 7;
const GRAPH_INITIALIZER: u64 = 5;
const TENSOR_DIMS: u64 = 1;
const TENSOR_NAME: u64 = 8;
const TENSOR_RAW_DATA: u64 = 9;
const TENSOR_DOC_STRING: u64 = 12;

const VARINT: u64 = 0;
const DELIMITED: u64 = 2;

struct Field<'a> {
    number: u64,
    kind: u64,
    /// The field with its tag.
    whole: &'a [u8],
    /// The value of a varint.
    varint: u64,
    /// The content of a length-delimited field.
    content: &'a [u8],
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<Field<'a>> {
        let start = self.0;
        let tag = varint(&mut self.0)?;
        let mut field = Field { number: tag >> 3, kind: tag & 7, whole: &[], varint: 0, content: &[] };
        match field.kind {
            VARINT => field.varint = varint(&mut self.0)?,
            1 => self.0 = self.0.get(8..)?,
            DELIMITED => {
                let length = usize::try_from(varint(&mut self.0)?).ok()?;
                (field.content, self.0) = self.0.split_at_checked(length)?;
            }
            5 => self.0 = self.0.get(4..)?,
            _ => return None,
        }
        field.whole = start.get(..start.len() - self.0.len())?;
        Some(field)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ZooError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(ZooError::Wire))
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_delimited(out: &mut Vec<u8>, number: u64, content: &[u8]) {
    put_varint(out, number << 3 | DELIMITED);
    put_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Replaces the content of every field `number` of a message by what `change` makes of it.
fn rewrite(
    message: &[u8],
    number: u64,
    mut change: impl FnMut(&[u8]) -> Result<Vec<u8>, ZooError>,
) -> Result<Vec<u8>, ZooError> {
    let mut out = Vec::with_capacity(message.len());
    for field in Fields(message) {
        let field = field?;
        if field.number == number && field.kind == DELIMITED {
            put_delimited(&mut out, number, &change(field.content)?);
        } else {
            out.extend_from_slice(field.whole);
        }
    }
    Ok(out)
}

/// Fills every initializer of an ONNX model that carries a filling rule.
pub(super) fn hydrate(model: &[u8]) -> Result<Vec<u8>, ZooError> {
    rewrite(model, MODEL_GRAPH, |graph| rewrite(graph, GRAPH_INITIALIZER, fill_tensor))
}

fn fill_tensor(tensor: &[u8]) -> Result<Vec<u8>, ZooError> {
    let (mut dims, mut name, mut rule, mut kept) = (Vec::new(), String::new(), String::new(), Vec::new());
    for field in Fields(tensor) {
        let field = field?;
        match (field.number, field.kind) {
            (TENSOR_DIMS, VARINT) => dims.push(field.varint),
            (TENSOR_DIMS, DELIMITED) => {
                let mut packed = field.content;
                while !packed.is_empty() {
                    dims.push(varint(&mut packed).ok_or(ZooError::Wire)?);
                }
            }
            (TENSOR_NAME, DELIMITED) => name = String::from_utf8_lossy(field.content).into_owned(),
            (TENSOR_DOC_STRING, DELIMITED) => {
                rule = String::from_utf8_lossy(field.content).into_owned();
                continue;
            }
            _ => {}
        }
        kept.extend_from_slice(field.whole);
    }
    let Some(key_and_std) = rule.strip_prefix("fill ") else { return Ok(tensor.to_vec()) };
    let shape: Option<Vec<usize>> = dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let split = key_and_std.split_once(' ').and_then(|(key, std)| Some((key, std.parse().ok()?)));
    let (Some(shape), Some((key, std))) = (shape, split) else { return Err(ZooError::Rule { name, rule }) };
    let data: Vec<u8> = fill(key, &shape, std).into_iter().flat_map(f32::to_le_bytes).collect();
    put_delimited(&mut kept, TENSOR_RAW_DATA, &data);
    Ok(kept)
}
