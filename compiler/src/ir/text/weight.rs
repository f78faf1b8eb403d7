//! Elements and hashes of constants in the text form, and where a text gets its large constants from.

use crate::ir::{AxisScale, Graph, Origin, Source};
use brolga_runtime::DType;
use bytes::Bytes;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Constants up to this many elements are written out.
pub(super) const INLINE: usize = 8;

/// Where the text parser gets constants that are too large to be written out.
pub trait WeightSource {
    /// Elements of a constant, by the name and the hash that the text gives.
    fn bytes(&self, name: &str, hash: u64) -> Option<Bytes>;
    /// Factors of a constant's dimension, by their hash.
    fn scale(&self, hash: u64) -> Option<Arc<AxisScale>>;
}

/// No constants: texts that need any are refused.
pub struct NoWeights;
impl WeightSource for NoWeights {
    fn bytes(&self, _: &str, _: u64) -> Option<Bytes> {
        None
    }
    fn scale(&self, _: u64) -> Option<Arc<AxisScale>> {
        None
    }
}

/// The constants of another graph, found by hash.
#[derive(Default)]
pub struct GraphWeights {
    bytes: HashMap<u64, Bytes>,
    scales: HashMap<u64, Arc<AxisScale>>,
}

impl GraphWeights {
    /// Hashes the constants of a graph.
    pub fn of(graph: &Graph) -> GraphWeights {
        let mut found = GraphWeights::default();
        found.add(graph);
        found
    }

    /// Constants of a graph and of the bodies in it.
    fn add(&mut self, graph: &Graph) {
        for node in graph.nodes() {
            node.op.bodies().into_iter().for_each(|body| self.add(body));
        }
        for (_, value) in graph.values() {
            let Origin::Weight(weight) = &value.origin else { continue };
            if let Source::Bytes(bytes) = &weight.source {
                self.bytes.insert(source_hash(bytes), bytes.clone());
            }
            for scale in &weight.scales {
                self.scales.insert(scale_hash(&scale.scale), scale.clone());
            }
        }
    }
}
impl WeightSource for GraphWeights {
    fn bytes(&self, _: &str, hash: u64) -> Option<Bytes> {
        self.bytes.get(&hash).cloned()
    }
    fn scale(&self, hash: u64) -> Option<Arc<AxisScale>> {
        self.scales.get(&hash).cloned()
    }
}

/// A hash of bytes that is the same everywhere: 8 bytes at a time, multiplied and folded.
pub(super) fn source_hash(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let wide = u128::from(hash ^ word) * u128::from(FACTOR);
        (wide as u64 ^ (wide >> 64) as u64).rotate_left(23).wrapping_add(FACTOR)
    };
    let words = bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    mix(words.fold(bytes.len() as u64, mix), 0)
}

pub(super) fn scale_hash(scale: &[f64]) -> u64 {
    source_hash(bytemuck::cast_slice(scale))
}

/// One element, printed so that it reads back as the same bits. A NaN other than the usual one is written as its bits.
pub(super) struct Element<'a>(pub(super) DType, pub(super) &'a [u8]);

impl fmt::Display for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut wide = [0; 8];
        let count = self.1.len().min(8);
        wide[..count].copy_from_slice(&self.1[..count]);
        let bits = u64::from_le_bytes(wide);
        match self.0 {
            DType::F32 if !f32::from_bits(bits as u32).is_nan() => write!(f, "{:?}", f32::from_bits(bits as u32)),
            DType::F64 if !f64::from_bits(bits).is_nan() => write!(f, "{:?}", f64::from_bits(bits)),
            DType::I8 => write!(f, "{}", bits as i8),
            DType::I16 => write!(f, "{}", bits as i16),
            DType::I32 => write!(f, "{}", bits as i32),
            DType::I64 => write!(f, "{}", bits as i64),
            DType::U8 | DType::U16 | DType::U32 | DType::U64 | DType::Bool => write!(f, "{bits}"),
            _ => write!(f, "{bits:#x}"),
        }
    }
}

/// The little-endian bytes of an element that [`Element`] has printed.
pub(super) fn parse_element(dtype: DType, text: &str) -> Option<[u8; 8]> {
    let bits = if let Some(hex) = text.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).ok()?
    } else {
        match dtype {
            DType::F32 => u64::from(text.parse::<f32>().ok()?.to_bits()),
            DType::F64 => text.parse::<f64>().ok()?.to_bits(),
            DType::I8 => text.parse::<i8>().ok()? as u64,
            DType::I16 => text.parse::<i16>().ok()? as u64,
            DType::I32 => text.parse::<i32>().ok()? as u64,
            DType::I64 => text.parse::<i64>().ok()? as u64,
            DType::Bool => text.parse::<u64>().ok().filter(|n| *n < 2)?,
            DType::U8 => u64::from(text.parse::<u8>().ok()?),
            DType::U16 => u64::from(text.parse::<u16>().ok()?),
            DType::U32 => u64::from(text.parse::<u32>().ok()?),
            _ => text.parse::<u64>().ok()?,
        }
    };
    let mut bytes = bits.to_le_bytes();
    bytes[dtype.bytes().min(8)..].fill(0);
    Some(bytes)
}
