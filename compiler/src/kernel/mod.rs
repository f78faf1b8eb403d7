//! From a node of the laid-out graph to calls of kernels: one file per family.
//!
//! A family has a *spec* (plain numbers: extents, strides, tile, epilogue), whose `build` writes the Tile program and whose
//! name is the kernel's name, and a `lower` that reads a node and yields [`KernelCall`]s. Equal programs are compiled once.
//! Builders see memory only through [`View`]s, so a tensor may lie inside a larger one (concat elision) or carry a halo.

pub mod arg_reduce;
pub mod conv;
pub mod copy;
pub mod elementwise;
pub mod expression;
pub mod gather;
pub mod halo;
#[cfg(test)]
pub(crate) mod harness;
pub mod inverse;
pub mod lrn;
pub mod math;
mod movement;
pub mod nest;
pub mod normalize;
pub mod operand;
mod pack;
pub mod pack_kernel;
mod pad;
pub mod pool;
pub mod recurrent;
pub mod reduce;
pub mod remainder;
pub mod resize;
pub mod roi_align;
pub mod sample;
mod select;
#[cfg(test)]
mod tests;
pub mod unpool;

pub use halo::zero_halo;
pub use pack::{Elements, PackLoop, PackPiece, PackSpec};
pub use select::{lower, op_name};

use crate::ir::{Graph, Halo, Layout, Node, ValueId};
use crate::tile;
use std::collections::HashMap;

/// Where the elements of a value are, in bytes from the address of its first (interior) element.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// Any rank; one stride per dimension.
    Plain {
        /// Extents.
        dims: Vec<usize>,
        /// Bytes from one index to the next, per dimension.
        strides: Vec<i64>,
    },
    /// Rank 4 in channel blocks.
    Blocked {
        /// `[n, c, h, w]`, logical.
        dims: [usize; 4],
        /// Channels of a block.
        lanes: usize,
        /// Bytes from one image, channel block, row and pixel to the next.
        strides: [i64; 4],
        /// Zeros around each plane, part of the allocation; the address is that of the pixel inside it.
        halo: Halo,
    },
}

impl View {
    /// The dense view of a shape in a layout, and the byte offset of the first interior element from the start of the
    /// allocation.
    pub fn dense(dims: &[usize], layout: Layout, element_bytes: usize) -> (View, i64) {
        match (layout, dims) {
            (Layout::Blocked { lanes, halo }, &[n, c, h, w]) => {
                let pixel = (lanes as usize * element_bytes) as i64;
                let row = pixel * (w as i64 + i64::from(halo.left + halo.right));
                let block = row * (h as i64 + i64::from(halo.top + halo.bottom));
                let image = block * c.div_ceil(lanes as usize) as i64;
                let strides = [image, block, row, pixel];
                let first = row * i64::from(halo.top) + pixel * i64::from(halo.left);
                (View::Blocked { dims: [n, c, h, w], lanes: lanes as usize, strides, halo }, first)
            }
            _ => {
                let mut strides = vec![element_bytes as i64; dims.len()];
                for i in (0..dims.len().saturating_sub(1)).rev() {
                    strides[i] = strides[i + 1] * dims[i + 1] as i64;
                }
                (View::Plain { dims: dims.to_vec(), strides }, 0)
            }
        }
    }
    /// Whether it is plain, row-major and without gaps.
    pub fn is_dense_plain(&self, element_bytes: usize) -> bool {
        let View::Plain { dims, .. } = self else { return false };
        View::dense(dims, Layout::Plain, element_bytes).0 == *self
    }
}

/// What a kernel reads or writes through one of its bases.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A value of the graph, from its first interior element plus some bytes.
    Value(ValueId, i64),
    /// A constant, packed at compile time as the spec says.
    Packed(ValueId, PackSpec),
    /// Constants that belong to the kernel (index tables and the like), little-endian, 64-byte aligned.
    Table(Vec<u8>),
    /// Memory of one worker, undefined at the start of the call: this many bytes.
    Scratch(usize),
    /// Memory that all workers share for the length of the step and that earlier calls of the step may have written
    /// (a run-time packed weight): an index into [`Lowered::temporaries`], and a byte offset.
    Temporary(usize, usize),
}

/// One call of a kernel.
#[derive(Clone, Debug)]
pub struct KernelCall {
    /// The program.
    pub kernel: tile::Kernel,
    /// One per base.
    pub operands: Vec<Operand>,
    /// Run-time arguments.
    pub args: Vec<i64>,
    /// Items of work, shared among the workers; the kernel is called with a part of `0..extent`.
    pub extent: u64,
    /// Every worker must be done with the calls before this one first.
    pub barrier_before: bool,
}

/// A node as calls.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    /// In order.
    pub calls: Vec<KernelCall>,
    /// Bytes of each temporary.
    pub temporaries: Vec<usize>,
}

/// Why no kernel takes a node; the caller falls back to a library call or reports the node.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoKernel(pub String);

/// What lowering a node may look at.
pub struct LowerContext<'a> {
    /// The laid-out graph.
    pub graph: &'a Graph,
    /// Lanes, registers, fma.
    pub target: tile::Target,
    /// Where each value lies.
    pub views: &'a HashMap<ValueId, View>,
    /// Whether every sum is to be of the products that the operation's definition names.
    pub exact: bool,
}

impl LowerContext<'_> {
    /// View of a value.
    pub fn view(&self, value: ValueId) -> Result<&View, NoKernel> {
        self.views.get(&value).ok_or_else(|| NoKernel(format!("{value} has no place in memory")))
    }
    /// View of an operand of a node.
    pub fn input(&self, node: &Node, position: usize) -> Result<&View, NoKernel> {
        match node.inputs.get(position) {
            Some(value) => self.view(*value),
            None => Err(NoKernel(format!("operand {position} is missing"))),
        }
    }
    /// Known extents of a value.
    pub fn dims(&self, value: ValueId) -> Result<Vec<usize>, NoKernel> {
        self.graph.ty(value).dims().ok_or_else(|| NoKernel(format!("the shape of {value} is not known")))
    }
}
