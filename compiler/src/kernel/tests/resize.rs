//! Resize, Gather, MaxUnpool, packing at run time.

use super::super::harness::{Case, Place, floats};
use super::super::pack_kernel::pack_calls;
use super::super::{LowerContext, Lowered, NoKernel, Operand, PackLoop, PackPiece, PackSpec};
use super::check_all;
use crate::ir::{Coordinates, Dim, Ints, Nearest, Node, Op, PadMode, ResizeAttrs, ResizeMode, Type};
use Place::{Blocked, Gap, Plain, Weight};
use brolga_runtime::library::{Attribute, Function};
use brolga_runtime::{DType, Tensor};

#[test]
fn resizes() {
    let modes = [
        ResizeMode::Nearest(Nearest::Floor),
        ResizeMode::Nearest(Nearest::RoundPreferFloor),
        ResizeMode::Linear,
        ResizeMode::Cubic { a: -0.75 },
    ];
    let coordinates = [
        Coordinates::HalfPixel,
        Coordinates::HalfPixelSymmetric,
        Coordinates::PytorchHalfPixel,
        Coordinates::AlignCorners,
        Coordinates::Asymmetric,
        Coordinates::TfHalfPixelForNn,
    ];
    let mut all = Vec::new();
    for mode in modes {
        for coordinates in coordinates {
            // Its half a pixel would mix channels too.
            if coordinates == Coordinates::TfHalfPixelForNn && !matches!(mode, ResizeMode::Nearest(_)) {
                continue;
            }
            for (h, w) in [(14, 10), (3, 19), (1, 1)] {
                let sizes = Ints::Known([1, 5, h, w].map(|d| Dim::from(d as i64)).to_vec());
                let attrs = ResizeAttrs {
                    mode,
                    coordinates,
                    sizes,
                    scales: None,
                    roi: None,
                    antialias: false,
                    exclude_outside: false,
                };
                let x = floats(&[1, 5, 7, 5], 1);
                for (from, to) in [(Plain, Gap), (Blocked([1; 4]), Blocked([0, 1, 2, 0]))] {
                    let case = Case::new(Op::Resize(attrs.clone()), vec![(x.clone(), from)], to);
                    all.push(case.within(1e-5, 1e-5));
                }
            }
        }
    }
    // Nothing is made of any rank.
    let sizes = Ints::Known([1, 2, 0, 21, 6].map(Dim::Const).to_vec());
    let (mode, coordinates) = (ResizeMode::Linear, Coordinates::HalfPixel);
    let attrs =
        ResizeAttrs { mode, coordinates, sizes, scales: None, roi: None, antialias: false, exclude_outside: false };
    all.push(Case::new(Op::Resize(attrs), vec![(floats(&[1, 2, 2, 7, 2], 1), Plain)], Plain));
    check_all(all, 133);
}

#[test]
fn gathers() {
    let mut all = Vec::new();
    for (shape, axis) in [(&[10usize, 33][..], 0), (&[3, 10], 1), (&[2, 10, 5], 1)] {
        for (indices, of) in [(vec![3i64, -1, 0, 9, -10, 4], &[2usize, 3][..]), (vec![7], &[])] {
            for (data, index) in [(Plain, Plain), (Weight, Plain), (Plain, Weight)] {
                let index = (Tensor::from_slice(of, &indices).unwrap(), index);
                let x = (floats(shape, 1), data);
                all.push(Case::new(Op::Gather { axis }, vec![x, index.clone()], Plain));
                let long: Vec<i64> = (0..shape.iter().product::<usize>() as i64).collect();
                let x = (Tensor::from_slice(shape, &long).unwrap(), Plain);
                all.push(Case::new(Op::Gather { axis }, vec![x, index], Gap));
            }
        }
    }
    check_all(all, 36);
}

#[test]
fn unpools() {
    let mut all = Vec::new();
    // The second index of 3 comes later and stays; the last index is the last element.
    let indices = [5i64, 7, 13, 3, 3, 0, 31, 17];
    for (kernel, strides, pads, larger) in [
        ([2, 2], [2, 2], [0; 4], None),
        ([2, 2], [2, 2], [0; 4], Some([1, 2, 5, 7])),
        ([3, 2], [2, 2], [1, 0, 0, 0], None),
        ([3, 2], [2, 2], [1, 0, 0, 0], Some([2, 2, 4, 4])),
    ] {
        let ints = |list: &[i64]| Attribute::Ints(list.to_vec());
        let function = Function::new("max_unpool", if larger.is_some() { 3 } else { 2 })
            .with("kernel_shape", ints(&kernel))
            .with("strides", ints(&strides))
            .with("pads", ints(&pads));
        let shape = larger.unwrap_or([1, 2, 4, 4]);
        for dtype in [DType::F32, DType::F64, DType::F16] {
            let mut x = Tensor::zeros(dtype, &[1, 2, 2, 2]).unwrap();
            brolga_runtime::library::cast(&floats(&[1, 2, 2, 2], 1).view(), &mut x.view_mut()).unwrap();
            let op = Op::Function { function: function.clone(), results: vec![Type::known(dtype, &shape)] };
            for at in [Plain, Weight] {
                let mut inputs = vec![(x.clone(), Plain)];
                inputs.push((Tensor::from_slice(&[1, 2, 2, 2], &indices).unwrap(), at));
                let wanted = shape.map(|n| n as i64);
                inputs.extend(larger.map(|_| (Tensor::from_slice(&[4], &wanted).unwrap(), Weight)));
                all.push(Case::new(op.clone(), inputs, Plain));
            }
        }
    }
    check_all(all, 24);
}

/// A packing as the lowering of the operation that means the same.
fn packing<'a>(spec: &'a PackSpec) -> impl Fn(&LowerContext<'_>, &Node) -> Result<Lowered, NoKernel> + 'a {
    move |cx, node| {
        let from = Operand::Value(node.inputs[0], 0);
        let to = Operand::Value(node.outputs[0], 0);
        let calls = pack_calls(cx.target, spec, (&from, cx.view(node.inputs[0])?), &to)?;
        Ok(Lowered { calls, temporaries: vec![] })
    }
}

#[test]
fn packs() {
    let l = |count, dim, step| PackLoop { count, dim, step };
    let mut done = 0;
    for [a, b] in [[3, 5], [16, 40], [33, 1], [1, 1]] {
        for place in [Plain, Gap] {
            let x = || vec![(floats(&[a, b], 1), place)];
            let piece = |loops, end| PackPiece { start: vec![0, 0], end, loops };
            let transposed = piece(vec![l(b, 1, 1), l(a, 0, 1)], vec![a, b]);
            let spec = PackSpec::new(vec![a, b], vec![transposed]);
            let op = Op::Transpose { perm: vec![1, 0] };
            Case::new(op, x(), Plain).check(&packing(&spec)).unwrap();

            let padded = piece(vec![l(a + 2, 0, 1), l(b.div_ceil(2) + 1, 1, 2), l(2, 1, 1)], vec![a, b]);
            let spec = PackSpec::new(vec![a, b], vec![padded]);
            let right = 2 * (b.div_ceil(2) + 1) - b;
            let pads = Ints::Known([0, 0, 2, right as i64].map(Dim::from).to_vec());
            let op = Op::Pad { mode: PadMode::Constant(0.0), pads };
            Case::new(op, x(), Plain).check(&packing(&spec)).unwrap();
            done += 2;
        }
    }
    assert_eq!(done, 16);
}
