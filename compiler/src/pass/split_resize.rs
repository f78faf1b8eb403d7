//! split-resize: a resize that no kernel takes as a whole goes along one dimension after another.
//!
//! One element for each is a gather, and a few weighted ones are a resize of rows for the kernel; more are a product with
//! the matrix of weights. Where the coordinates leave the region of interest, the extrapolation value is put at the end.
//! Types that kernels do not compute in are converted, unless elements only move. Needs: known shapes.

use super::rewrite::{Miss, Rule, require};
use crate::ir::eval::{ResizeTap, resize_taps};
use crate::ir::{Coordinates, Dim, Graph, Ints, Node, Op, Patch, ResizeAttrs, ValueId, Weight};
use crate::kernel::resize::{still, takes};
use brolga_runtime::DType;

/// The pass.
pub struct SplitResize;

impl Rule for SplitResize {
    fn name(&self) -> &'static str {
        "split-resize"
    }
    fn at(&self, graph: &Graph, node: &Node) -> Result<Patch, Miss> {
        let Op::Resize(attrs) = &node.op else { return Err(Miss::Elsewhere) };
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let dims = |v: ValueId| graph.ty(v).dims().filter(|d| !d.contains(&0)).ok_or(Miss::Elsewhere);
        let (from, to) = (dims(x)?, dims(y)?);
        let taps: Vec<Vec<ResizeTap>> = (0..from.len()).map(|d| resize_taps(attrs, d, from[d], to[d])).collect();
        let dtype = graph.ty(x).dtype;
        require(dtype != DType::F32 || takes(&from, &taps).is_err())?;
        let patch = Patch::new(graph, "a resize along one dimension after another");
        let mut split = Split { patch, node, attrs, shape: from.clone(), precision: precision(dtype, &taps) };
        let mut value = x;
        if split.precision != dtype {
            value = split.add(Op::Cast(split.precision), &[value]);
        }
        for (d, taps) in taps.iter().enumerate().filter(|(d, taps)| !still(from[*d], taps)) {
            value = split.along(value, d, taps);
        }
        if let Coordinates::TfCropAndResize { extrapolation } = attrs.coordinates {
            for (d, taps) in taps.iter().enumerate().filter(|(_, taps)| taps.iter().any(|t| t.outside)) {
                value = split.extrapolated(value, d, taps, extrapolation);
            }
        }
        if split.precision != dtype {
            value = split.add(Op::Cast(dtype), &[value]);
        }
        split.patch.replace(y, value);
        Ok(split.patch)
    }
}

/// The type to compute in: the operand's own where elements only move.
fn precision(dtype: DType, taps: &[Vec<ResizeTap>]) -> DType {
    let moved = |t: &ResizeTap| !t.outside && t.sources.len() == 1;
    match dtype {
        _ if taps.iter().flatten().all(moved) => dtype,
        DType::F64 | DType::I32 | DType::U32 | DType::I64 | DType::U64 => DType::F64,
        _ => DType::F32,
    }
}

struct Split<'a> {
    patch: Patch,
    node: &'a Node,
    attrs: &'a ResizeAttrs,
    /// Extents so far.
    shape: Vec<usize>,
    precision: DType,
}

fn ints(list: &[usize]) -> Ints {
    Ints::Known(list.iter().map(|n| Dim::Const(*n as i64)).collect())
}

impl Split<'_> {
    fn add(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        self.patch.node(op, inputs, self.node.name.clone())
    }
    fn reshape(&mut self, value: ValueId, shape: &[usize]) -> ValueId {
        self.add(Op::Reshape { shape: ints(shape), allow_zero: true }, &[value])
    }
    fn constant(&mut self, dtype: DType, shape: &[usize], bytes: Vec<u8>) -> ValueId {
        let weight = Weight::from_bytes(dtype, shape.to_vec(), bytes.into());
        self.patch.weight(format!("{}.{}", self.node.name, dtype.name()), weight)
    }
    fn numbers(&mut self, shape: &[usize], numbers: &[f64]) -> ValueId {
        let bytes = match self.precision {
            DType::F64 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            _ => numbers.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
        };
        self.constant(self.precision, shape, bytes)
    }

    fn along(&mut self, x: ValueId, d: usize, taps: &[ResizeTap]) -> ValueId {
        let (from, to) = (self.shape[d], taps.len());
        let (outer, inner): (usize, usize) = (self.shape[..d].iter().product(), self.shape[d + 1..].iter().product());
        self.shape[d] = to;
        if taps.iter().all(|t| t.sources.len() == 1) {
            let bytes = taps.iter().flat_map(|t| t.sources.iter().flat_map(|(at, _)| (*at as i64).to_le_bytes()));
            let index = self.constant(DType::I64, &[to], bytes.collect());
            return self.add(Op::Gather { axis: d }, &[x, index]);
        }
        let rows = self.rows(d, [outer, from, to, inner]).filter(|_| self.precision == DType::F32);
        let made = match rows {
            Some((op, shape)) => {
                let planes = self.reshape(x, &shape);
                self.add(op, &[planes])
            }
            None => self.product(x, taps, [outer, from, inner]),
        };
        let shape = self.shape.clone();
        self.reshape(made, &shape)
    }

    /// The resize of dimension `d` as one of the rows of images, or of the columns where nothing lies within it, and the images'
    /// extents; where the kernel takes it.
    fn rows(&self, d: usize, [outer, from, to, inner]: [usize; 4]) -> Option<(Op, [usize; 4])> {
        let at = if inner == 1 { 3 } else { 2 };
        let mut shape = [1, outer, inner, inner];
        shape[at] = from;
        let mut sizes = shape;
        sizes[at] = to;
        let one = |list: &Vec<f32>, other: f32| {
            let own = list.get(d).copied().unwrap_or(other);
            (0..4).map(|i| if i == at { own } else { other }).collect()
        };
        let attrs = ResizeAttrs {
            sizes: ints(&sizes),
            scales: self.attrs.scales.as_ref().map(|s| one(s, 1.0)),
            roi: self.attrs.roi.as_ref().map(|(begin, end)| (one(begin, 0.0), one(end, 1.0))),
            ..self.attrs.clone()
        };
        let extents = shape.iter().zip(&sizes);
        let taps: Vec<_> = extents.enumerate().map(|(i, (n, m))| resize_taps(&attrs, i, *n, *m)).collect();
        let other = 5 - at;
        let fits = takes(&shape, &taps).is_ok() && still(shape[other], &taps[other]);
        fits.then_some((Op::Resize(attrs), shape))
    }

    /// The operand as matrices times that of the weights.
    fn product(&mut self, x: ValueId, taps: &[ResizeTap], [outer, from, inner]: [usize; 3]) -> ValueId {
        let to = taps.len();
        let mut matrix = vec![0.0; from * to];
        let product = Op::MatMul { trans_a: false, trans_b: false, bias: false, epilogue: Default::default() };
        if inner == 1 {
            for (j, t) in taps.iter().enumerate() {
                t.sources.iter().for_each(|(at, weight)| matrix[at * to + j] = *weight);
            }
            let (lines, matrix) = (self.reshape(x, &[outer, from]), self.numbers(&[from, to], &matrix));
            return self.add(product, &[lines, matrix]);
        }
        for (j, t) in taps.iter().enumerate() {
            t.sources.iter().for_each(|(at, weight)| matrix[j * from + at] = *weight);
        }
        let (matrix, planes) = (self.numbers(&[to, from], &matrix), self.reshape(x, &[outer, from, inner]));
        self.add(product, &[matrix, planes])
    }

    /// With the extrapolation value wherever dimension `d` is outside.
    fn extrapolated(&mut self, x: ValueId, d: usize, taps: &[ResizeTap], value: f32) -> ValueId {
        let mut shape = vec![1; self.shape.len()];
        shape[d] = taps.len();
        let mask = self.constant(DType::Bool, &shape, taps.iter().map(|t| u8::from(t.outside)).collect());
        let value = self.numbers(&[], &[f64::from(value)]);
        self.add(Op::Where, &[mask, value, x])
    }
}
