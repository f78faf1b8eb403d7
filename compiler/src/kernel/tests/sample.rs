//! GridSample, the columns of deformed convolutions, RoiAlign.

use super::super::harness::{Case, Place, floats};
use super::super::{LowerContext, operand::expect_offsets};
use super::check_all;
use crate::ir::{Op, Type};
use Place::{Blocked, Gap, Plain, Weight};
use brolga_runtime::library::{Attribute, Function};
use brolga_runtime::{DType, Tensor};
use std::collections::HashMap;

fn grid_sample(mode: &str, padding: &str, corners: bool) -> Function {
    Function::new("grid_sample", 2)
        .with("mode", Attribute::Text(mode.into()))
        .with("padding_mode", Attribute::Text(padding.into()))
        .with("align_corners", Attribute::Int(corners.into()))
}

/// A grid that reaches beyond the image on all sides, with places that are no places and one as far away as `far`.
fn grid_to(shape: &[usize], far: f32) -> Tensor {
    let tensor = floats(shape, 3);
    let mut at = tensor.as_slice::<f32>().unwrap().to_vec();
    for (i, odd) in
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, far, -1.0, 1.0, 0.0, -far / 3.0].into_iter().enumerate()
    {
        if let Some(place) = at.get_mut(5 * i + 2) {
            *place = odd;
        }
    }
    Tensor::from_slice(shape, &at).unwrap()
}

fn grid(shape: &[usize]) -> Tensor {
    grid_to(shape, 1e30)
}

/// An image with an infinity at its first element, which samples elsewhere must not meet.
fn image(shape: &[usize]) -> Tensor {
    let mut x = floats(shape, 1).as_slice::<f32>().unwrap().to_vec();
    x[0] = f32::INFINITY;
    Tensor::from_slice(shape, &x).unwrap()
}

fn sampled(function: Function, x: &Tensor, at: &Tensor, places: [Place; 3]) -> Case {
    let shape = [&x.shape()[..2], &at.shape()[1..at.shape().len() - 1]].concat();
    let op = Op::Function { function, results: vec![Type::known(DType::F32, &shape)] };
    Case::new(op, vec![(x.clone(), places[0]), (at.clone(), places[1])], places[2]).within(2e-5, 1e-5)
}

#[test]
fn samples_grids() {
    let mut all = Vec::new();
    for mode in ["linear", "nearest", "cubic"] {
        for padding in ["zeros", "border", "reflection"] {
            for corners in [false, true] {
                for (channels, extents, places) in [(5, [7, 6], [3, 9]), (20, [1, 4], [5, 31]), (3, [9, 1], [1, 1])] {
                    let x = image(&[2, channels, extents[0], extents[1]]);
                    // How often something is reflected on its way is counted in f32.
                    let far = if padding == "reflection" { 100.0 } else { 1e30 };
                    let at = grid_to(&[2, places[0], places[1], 2], far);
                    for layout in [[Plain; 3], [Gap, Plain, Gap], [Blocked([1; 4]), Plain, Blocked([0, 1, 2, 0])]] {
                        all.push(sampled(grid_sample(mode, padding, corners), &x, &at, layout));
                    }
                }
            }
        }
    }
    // Many places, volumes, no places at all.
    let function = || grid_sample("linear", "zeros", false);
    all.push(sampled(function(), &image(&[1, 33, 5, 4]), &grid(&[1, 20, 31, 2]), [Plain; 3]));
    let blocked = [Blocked([0; 4]), Plain, Blocked([0; 4])];
    all.push(sampled(function(), &image(&[1, 33, 5, 4]), &grid(&[1, 20, 31, 2]), blocked));
    all.push(sampled(function(), &image(&[2, 200, 5, 4]), &grid(&[2, 2, 3, 2]), blocked));
    // A column of places, and one of a constant.
    let column = [Blocked([1; 4]), Plain, Blocked([0, 1, 2, 3])];
    all.push(sampled(function(), &image(&[2, 20, 5, 4]), &grid(&[2, 13, 1, 2]), column));
    all.push(sampled(function(), &image(&[2, 20, 5, 4]), &grid(&[2, 13, 1, 2]), [Weight, Plain, Plain]));
    for mode in ["linear", "nearest"] {
        for padding in ["zeros", "border", "reflection"] {
            let (x, at) = (image(&[1, 3, 4, 3, 5]), grid_to(&[1, 2, 3, 4, 3], 100.0));
            all.push(sampled(grid_sample(mode, padding, true), &x, &at, [Plain; 3]));
        }
    }
    all.push(sampled(function(), &image(&[1, 3, 9]), &grid(&[1, 21, 1]), [Plain; 3]));
    all.push(sampled(function(), &image(&[1, 3, 5, 4]), &grid(&[1, 0, 31, 2]), [Plain; 3]));
    check_all(all, 175);
}

#[test]
fn leaves_to_the_library() {
    let lower = |x: &[usize], at: &[usize]| {
        let case = sampled(grid_sample("cubic", "zeros", false), &floats(x, 1), &floats(at, 2), [Plain; 3]);
        case.check(&super::super::lower).map_err(|e| e.to_string())
    };
    assert_eq!(lower(&[1, 2, 3, 3, 3], &[1, 2, 2, 2, 3]), Err("64 taps".into()));
    let unfit = Err("operands that do not fit together, or an image without elements".to_owned());
    assert_eq!(lower(&[1, 2, 0, 3], &[1, 2, 2, 2]), unfit);
}

/// A window's columns: channels, groups, offset groups, extents of the image.
fn columns(x: [usize; 4], groups: [usize; 2], kernel: [usize; 2], masked: bool, places: [Place; 4]) -> Case {
    let ints = |list: &[usize]| Attribute::Ints(list.iter().map(|n| *n as i64).collect());
    let function = Function::new("deform_columns", if masked { 3 } else { 2 })
        .with("kernel_shape", ints(&kernel))
        .with("strides", ints(&[2, 1]))
        .with("dilations", ints(&[1, 2]))
        .with("pads", ints(&[1, 2, 1, 1]))
        .with("group", Attribute::Int(groups[0] as i64))
        .with("offset_group", Attribute::Int(groups[1] as i64));
    let rows = (x[2] + 2 - kernel[0]) / 2 + 1;
    let across = x[3] + 3 - 2 * (kernel[1] - 1);
    let taps = kernel[0] * kernel[1];
    let of = |channels: usize| [x[0], channels, rows, across];
    let op = Op::Function { function, results: vec![Type::known(DType::F32, &of(x[1] * taps))] };
    let mut inputs = vec![(image(&x), places[0]), (grid(&of(2 * taps * groups[1])), places[1])];
    if masked {
        inputs.push((floats(&of(taps * groups[1]), 4), places[2]));
    }
    Case::new(op, inputs, places[3]).within(2e-5, 1e-5)
}

#[test]
fn deforms_columns() {
    let mut all = Vec::new();
    for masked in [false, true] {
        for kernel in [[3, 3], [2, 1], [1, 1]] {
            for (channels, groups, offset_groups) in [(6, 1, 1), (6, 3, 2), (12, 2, 3), (64, 4, 4), (48, 3, 1)] {
                let layout = [Gap, Plain, Gap, Gap];
                all.push(columns([2, channels, 6, 7], [groups, offset_groups], kernel, masked, layout));
            }
            // Whole blocks of any target; groups of offsets that are half a block of the widest; one that is no whole block.
            let layout = [Blocked([1; 4]), Plain, Plain, Blocked([1, 0, 0, 2])];
            for (channels, groups, offset_groups) in [(32, 1, 1), (64, 2, 4), (64, 4, 2), (160, 1, 5), (144, 3, 1)] {
                all.push(columns([2, channels, 6, 7], [groups, offset_groups], kernel, masked, layout));
            }
        }
        let layout = [Blocked([0; 4]), Plain, Plain, Blocked([0; 4])];
        all.push(columns([1, 11, 4, 150], [1, 1], [1, 1], masked, layout));
    }
    check_all(all, 62);
}

/// Offsets in a plane, its halo among them, are computed in 32-bit lanes; so are places of a window.
#[test]
fn planes_and_windows_beyond_32_bits_are_refused() {
    assert!(expect_offsets(&[1 << 23, 1], &[7 * 64, 64]).is_err());
    assert!(expect_offsets(&[1 << 22, 1], &[7 * 64, 64]).is_ok());
    assert!(expect_offsets(&[2, 2], &[i64::MAX, 1]).is_err());
    let mut case = columns([1, 16, 5, 6], [1, 1], [1, 1], false, [Plain; 4]);
    let Op::Function { function, .. } = &mut case.op else { unreachable!() };
    *function = function.clone().with("dilations", Attribute::Ints(vec![1 << 33, 1]));
    let why = case.check(&super::super::lower).unwrap_err().to_string();
    assert_eq!(why, "a window of another rank than 2, or one of millions of elements");
}

/// Operands that are smaller than what they are read as; the library refuses them in words.
#[test]
fn columns_of_unfit_operands_are_refused() {
    let layout = [Blocked([0; 4]), Plain, Plain, Blocked([0; 4])];
    for (operand, shape) in
        [(1, [1, 18, 2, 6]), (1, [1, 9, 3, 6]), (2, [1, 1, 3, 6]), (2, [1, 9, 1, 1]), (0, [1, 32, 3, 3])]
    {
        let mut case = columns([1, 32, 5, 6], [1, 1], [3, 3], true, layout);
        case.inputs[operand].0 = floats(&shape, 1);
        let (graph, target) = (case.typed(), crate::tile::Target { lanes: 16, registers: 32, fma: true, dot: true });
        let node = graph.nodes().next().unwrap();
        assert!(!super::super::sample::prefers_blocks(&graph, node, target.lanes as usize), "{operand} {shape:?}");
        let cx = LowerContext { graph: &graph, target, views: &HashMap::new(), exact: false };
        let why = super::super::lower(&cx, node).unwrap_err().to_string();
        assert_eq!(why, "operands that do not fit together, or an image without elements", "{operand} {shape:?}");
    }
}

/// Offset groups of fewer channels than a block has: every lane is read by its own group's taps.
#[test]
fn blocks_of_several_offset_groups() {
    let layout = [Blocked([0; 4]), Plain, Plain, Blocked([0; 4])];
    let mut taken = 0;
    for (channels, offset_groups) in [(32, 4), (32, 8), (64, 32)] {
        for masked in [false, true] {
            let case = columns([1, channels, 5, 6], [1, offset_groups], [3, 3], masked, layout);
            taken += usize::from(case.check(&super::super::lower).is_ok());
        }
    }
    // Two channels a group are too many groups for a block of sixteen.
    assert_eq!(taken, 4);
}

/// Regions inside, across the borders and outside, of no extent, upside down, and nowhere.
fn corners(count: usize) -> Tensor {
    let known = [
        [1.0, 1.5, 9.0, 7.0],
        [-6.0, -3.0, 4.0, 30.0],
        [40.0, 40.0, 50.0, 60.0],
        [3.0, 3.0, 3.0, 3.0],
        [9.0, 8.0, 2.0, 1.0],
        [f32::NAN, 0.0, 5.0, f32::INFINITY],
        [0.0, 0.0, 14.0, 12.0],
        [2.25, 11.0, 13.5, 11.5],
    ];
    let all: Vec<f32> = (0..count).flat_map(|i| known[i % known.len()]).collect();
    Tensor::from_slice(&[count, 4], &all).unwrap()
}

fn aligned(channels: usize, cells: [usize; 2], count: usize, function: Function, layout: Place) -> Case {
    let function = function
        .with("output_height", Attribute::Int(cells[0] as i64))
        .with("output_width", Attribute::Int(cells[1] as i64))
        .with("spatial_scale", Attribute::Float(0.5));
    let shape = [count, channels, cells[0], cells[1]];
    let op = Op::Function { function, results: vec![Type::known(DType::F32, &shape)] };
    let images: Vec<i64> = (0..count as i64).map(|i| i % 2).collect();
    let images = Tensor::from_slice(&[count], &images).unwrap();
    // The image's infinity is at its first element, where some of the regions are.
    let inputs = vec![(image(&[2, channels, 6, 7]), layout), (corners(count), Plain), (images, Plain)];
    Case::new(op, inputs, layout).within(1e-5, 1e-5)
}

fn means(samples: i64, mode: &str) -> Function {
    Function::new("roi_align", 3)
        .with("sampling_ratio", Attribute::Int(samples))
        .with("coordinate_transformation_mode", Attribute::Text(mode.into()))
}

#[test]
fn aligns_regions() {
    let mut all = Vec::new();
    for mode in ["half_pixel", "output_half_pixel"] {
        for samples in [1, 2, 3] {
            for (channels, cells) in [(5, [7, 7]), (20, [1, 2]), (200, [3, 9])] {
                for layout in [Blocked([0; 4]), Blocked([1, 0, 2, 1])] {
                    all.push(aligned(channels, cells, 9, means(samples, mode), layout));
                }
            }
        }
    }
    all.push(aligned(16, [2, 2], 0, means(2, "half_pixel"), Blocked([0; 4])));
    check_all(all, 37);
    let refused = |function: Function, layout: Place| {
        let case = aligned(16, [3, 3], 2, function, layout);
        case.check(&super::super::lower).map_err(|e| e.to_string())
    };
    let other = Err("maxima, samples counted at run time, or too many of them".to_owned());
    assert_eq!(refused(means(0, "half_pixel"), Blocked([0; 4])), other);
    assert_eq!(refused(means(2, "half_pixel").with("mode", Attribute::Text("max".into())), Blocked([0; 4])), other);
    let plain = Err("an image that is not in channel blocks".to_owned());
    assert_eq!(refused(means(2, "half_pixel"), Plain), plain);
}
