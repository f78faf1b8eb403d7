//! Gather: rows along a dimension, picked by integers that are checked as they are read.

use super::nest::{Nest, Run, Stream, vectors};
use super::operand::{place, plain};
use super::{KernelCall, LowerContext, Lowered, NoKernel, Operand};
use crate::ir::{Node, Op};
use crate::tile::{Access, Builder, Cmp, Cond, Index, Kernel, Mem, ScalarOp, Storage, Target};
use brolga_runtime::DType;

/// Code of the check that fails when an index is out of range.
pub const INDEX_OUT_OF_RANGE: i32 = 1;

/// A gather of rows of words or bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Loops over leading dimensions and indices, then one row; strides of the result, the source and the indices.
    pub nest: Nest,
    /// Rows of the source, and bytes from one to the next.
    pub rows: (usize, i64),
    /// Format of an element.
    pub storage: Storage,
    /// Whether indices have 8 bytes rather than 4.
    pub long: bool,
}

impl Spec {
    /// The program and its number of items.
    pub fn build(&self, target: Target) -> (Kernel, u64) {
        let mut nest = self.nest.collapse(1);
        let dims: Vec<String> = nest.dims.iter().map(usize::to_string).collect();
        let mut k = Builder::new(format!("gather-{}-of-{}", dims.join("x"), self.rows.0), target);
        let (y, x) = (k.base("y", Access::Write), k.base("x", Access::Read));
        let indices = k.base("indices", Access::Read);
        let share = nest.share(4096, 1);
        let run = Run::Known(nest.run());
        let bytes = i64::from(self.storage.bytes());
        nest.walk(&mut k, share, 1, &mut |k, offsets, _| {
            let mem = Mem { pointer: k.pointer(indices, offsets[2]), disp: Index::Const(0) };
            let index = k.scalar(if self.long { ScalarOp::LoadI64(mem) } else { ScalarOp::LoadI32(mem) });
            let (zero, count) = (k.num(0), k.num(self.rows.0 as i64));
            let wrapped = k.sadd(index, count);
            let below = Cond { cmp: Cmp::Lt, a: index, b: zero };
            let index = k.scalar(ScalarOp::Select(below, wrapped, index));
            k.check(Cmp::Ge, index, zero, INDEX_OUT_OF_RANGE);
            k.check(Cmp::Lt, index, count, INDEX_OUT_OF_RANGE);
            let row = k.mul_const(index, self.rows.1);
            let from = k.sadd(offsets[1], row);
            let streams = [k.pointer(y, offsets[0]), k.pointer(x, from)];
            let streams = streams.map(|pointer| Stream { pointer, stride: bytes, storage: self.storage });
            vectors(k, &streams, run, 4, &mut |k, s, at, first| {
                let v = s[1].load(k, at, first);
                s[0].store(k, at, v, first);
            });
        });
        (k.finish(), share.extent)
    }
}

/// Lowers Gather.
pub fn lower(cx: &LowerContext<'_>, node: &Node) -> Result<Lowered, NoKernel> {
    let (&Op::Gather { axis }, &[data, index], [result]) = (&node.op, &node.inputs[..], &node.outputs[..]) else {
        return Err(NoKernel("not a gather".into()));
    };
    let dtype = cx.graph.ty(data).dtype;
    let long = match cx.graph.ty(index).dtype {
        DType::I64 => true,
        DType::I32 => false,
        other => return Err(NoKernel(format!("indices of type {}", other.name()))),
    };
    let (storage, words) = match dtype.bytes() {
        1 => (Storage::U8, 1),
        2 => (Storage::U16, 1),
        4 => (Storage::B32, 1),
        8 => (Storage::B32, 2),
        _ => return Err(NoKernel(format!("elements of type {}", dtype.name()))),
    };
    let ((x, from), (indices, at)) = (place(cx, data)?, place(cx, index)?);
    let to = cx.view(*result)?;
    let ((dims, x_strides), (at_dims, at_strides), (_, y_strides)) = (plain(&from)?, plain(&at)?, plain(to)?);
    if axis >= dims.len() {
        return Err(NoKernel(format!("axis {axis} of rank {}", dims.len())));
    }
    let middle = axis + at_dims.len();
    let row =
        Nest::new(&dims[axis + 1..], vec![y_strides[middle..].to_vec(), x_strides[axis + 1..].to_vec()]).collapse(0);
    let element = dtype.bytes() as i64;
    let contiguous = row.dims.len() == 1 && (row.dims[0] == 1 || (0..2).all(|i| row.inner(i) == element));
    if !contiguous {
        return Err(NoKernel("rows that are not contiguous".into()));
    }
    let unit = i64::from(storage.bytes());
    let mut nest =
        Nest::new(&dims[..axis], vec![y_strides[..axis].to_vec(), x_strides[..axis].to_vec(), vec![0; axis]]);
    nest.dims.extend(at_dims);
    nest.strides[0].extend(&y_strides[axis..middle]);
    nest.strides[1].extend(std::iter::repeat_n(0, at_dims.len()));
    nest.strides[2].extend(at_strides);
    nest.dims.push(row.dims[0] * words);
    nest.strides.iter_mut().zip([unit, unit, 0]).for_each(|(s, stride)| s.push(stride));
    let (kernel, extent) = Spec { nest, rows: (dims[axis], x_strides[axis]), storage, long }.build(cx.target);
    let operands = vec![Operand::Value(*result, 0), x, indices];
    let mut calls = vec![KernelCall { kernel, operands, args: vec![], extent, barrier_before: false }];
    calls.retain(|c| c.extent > 0);
    Ok(Lowered { calls, temporaries: vec![] })
}
