//! The weights segment: what is packed where, and the packing itself, in parallel.

use super::CompileError;
use crate::ir::{Graph, ValueId, Weight};
use crate::kernel::PackSpec;
use brolga_runtime::{Block, DType};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Elements that one worker packs at a time.
const GRAIN: usize = 64 << 10;

/// One part of the segment.
#[derive(Clone, Debug)]
pub enum Pieces {
    /// An f32 weight through a packing spec.
    Packed(ValueId, PackSpec),
    /// A weight of any type as it is, row-major.
    Plain(ValueId),
    /// Bytes of a kernel's own.
    Table(Vec<u8>),
}

/// Contents of the weights segment.
#[derive(Clone, Debug, Default)]
pub struct PackedWeights {
    /// Byte offset and content, in order.
    pub parts: Vec<(usize, Pieces)>,
    /// Size of the segment.
    pub bytes: usize,
    packed: HashMap<(ValueId, PackSpec), usize>,
    plain: HashMap<ValueId, usize>,
    tables: HashMap<Vec<u8>, usize>,
}

impl PackedWeights {
    fn push(&mut self, bytes: usize, piece: Pieces) -> usize {
        let at = self.bytes.next_multiple_of(64);
        self.bytes = at + bytes;
        self.parts.push((at, piece));
        at
    }
    /// Offset of a packed weight.
    pub fn packed(&mut self, value: ValueId, spec: &PackSpec) -> usize {
        let key = (value, spec.clone());
        if let Some(at) = self.packed.get(&key) {
            return *at;
        }
        let at = self.push(spec.len() * 4, Pieces::Packed(value, spec.clone()));
        self.packed.insert(key, at);
        at
    }
    /// Offset of a weight as it is.
    pub fn plain(&mut self, value: ValueId, bytes: usize) -> usize {
        if let Some(at) = self.plain.get(&value) {
            return *at;
        }
        let at = self.push(bytes, Pieces::Plain(value));
        self.plain.insert(value, at);
        at
    }
    /// Offset of a table.
    pub fn table(&mut self, bytes: &[u8]) -> usize {
        if let Some(at) = self.tables.get(bytes) {
            return *at;
        }
        let at = self.push(bytes.len(), Pieces::Table(bytes.to_vec()));
        self.tables.insert(bytes.to_vec(), at);
        at
    }

    /// Packs everything into memory of its own.
    pub fn pack_in_memory(&self, graph: &Graph, threads: usize) -> Result<Block, CompileError> {
        let mut block = Block::zeroed(self.bytes).map_err(|e| CompileError::Memory(e.to_string()))?;
        self.pack_into(graph, &mut block, threads)?;
        Ok(block)
    }

    /// Packs everything into `out`, which has [`PackedWeights::bytes`] bytes.
    pub fn pack_into(&self, graph: &Graph, out: &mut [u8], threads: usize) -> Result<(), CompileError> {
        let mut jobs = Vec::new();
        let mut rest = out;
        let mut at = 0;
        for (offset, piece) in &self.parts {
            rest = &mut rest[offset - at..];
            let bytes = match piece {
                Pieces::Packed(_, spec) => spec.len() * 4,
                Pieces::Plain(value) => graph.ty(*value).stored_bytes().unwrap_or(0),
                Pieces::Table(table) => table.len(),
            };
            let (mine, more) = rest.split_at_mut(bytes);
            (rest, at) = (more, offset + bytes);
            add_jobs(graph, piece, mine, &mut jobs)?;
        }
        run(jobs, threads);
        Ok(())
    }
}

/// A part of a packing that one worker does.
struct Job<'a> {
    weight: Arc<Weight>,
    spec: &'a PackSpec,
    from: usize,
    out: std::sync::Mutex<&'a mut [f32]>,
}

fn add_jobs<'a>(
    graph: &Graph,
    piece: &'a Pieces,
    out: &'a mut [u8],
    jobs: &mut Vec<Job<'a>>,
) -> Result<(), CompileError> {
    let evaluate = |value: ValueId| {
        let weight = graph.weight(value).cloned();
        let name = graph.value(value).name.clone();
        weight.ok_or(CompileError::Weight { name, what: "is not a constant".into() })
    };
    let failed = |value: ValueId, what: String| CompileError::Weight { name: graph.value(value).name.clone(), what };
    match piece {
        Pieces::Table(table) => out.copy_from_slice(table),
        Pieces::Plain(value) => {
            let tensor = evaluate(*value)?.evaluate().map_err(|e| failed(*value, e.to_string()))?;
            out.copy_from_slice(tensor.bytes());
        }
        Pieces::Packed(value, spec) => {
            let mut weight = evaluate(*value)?;
            if weight.dtype != DType::F32 {
                return Err(failed(*value, format!("has type {}, kernels read f32", weight.dtype)));
            }
            if !PackSpec::accepts(&weight) {
                let tensor = weight.evaluate().map_err(|e| failed(*value, e.to_string()))?;
                weight = Arc::new(Weight::from_tensor(&tensor));
            }
            let floats: &mut [f32] = bytemuck::try_cast_slice_mut(out).map_err(|e| failed(*value, e.to_string()))?;
            let grain = GRAIN.next_multiple_of(spec.unit());
            for (i, part) in floats.chunks_mut(grain).enumerate() {
                jobs.push(Job { weight: weight.clone(), spec, from: i * grain, out: std::sync::Mutex::new(part) });
            }
        }
    }
    Ok(())
}

fn run(jobs: Vec<Job>, threads: usize) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Ok(mut out) = job.out.lock() {
                job.spec.pack(&job.weight, job.from, &mut out);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.clamp(1, jobs.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
}
