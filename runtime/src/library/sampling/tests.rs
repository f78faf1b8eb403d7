//! Grids, unpooling and deformed taps, on small cases worked out by hand.

use super::super::LibraryError;
use super::super::function::{Attribute, Function};
use crate::{Operand, Tensor, Value};

fn f32s(shape: &[usize], values: &[f32]) -> Value {
    Value::Tensor(Tensor::from_slice(shape, values).unwrap())
}

fn run(function: Function, operands: &[Value]) -> Result<Vec<f32>, LibraryError> {
    let operands: Vec<Operand> = operands.iter().map(Value::operand).collect();
    let made = function.run(&operands)?;
    Ok(made[0].as_tensor().unwrap().as_slice::<f32>().unwrap().to_vec())
}

/// Samples of the row 10, 20, 30 at one place, through an image of one row.
fn sample(mode: &str, padding: &str, corners: i64, x: f32) -> f32 {
    let function = Function::new("grid_sample", 2)
        .with("mode", Attribute::Text(mode.into()))
        .with("padding_mode", Attribute::Text(padding.into()))
        .with("align_corners", Attribute::Int(corners));
    run(function, &[f32s(&[1, 1, 1, 3], &[10., 20., 30.]), f32s(&[1, 1, 1, 2], &[x, 0.])]).unwrap()[0]
}

#[test]
fn places_between_and_beyond() {
    assert_eq!(sample("linear", "zeros", 1, -1.0), 10.0);
    assert_eq!(sample("linear", "zeros", 1, 0.5), 25.0);
    // The outer edge of the outermost element: half of it is outside.
    assert_eq!(sample("linear", "zeros", 0, 1.0), 15.0);
    assert_eq!(sample("linear", "border", 0, 1.0), 30.0);
    assert_eq!(sample("bilinear", "border", 1, 7.0), 30.0);
    // Two elements beyond the last centre are as far inside.
    assert_eq!(sample("linear", "reflection", 1, 3.0), 10.0);
    assert_eq!(sample("nearest", "reflection", 0, 1.5), 30.0);
    assert_eq!(sample("nearest", "zeros", 0, 1.5), 0.0);
    assert_eq!(sample("nearest", "zeros", 1, 0.4), 20.0);
    assert_eq!(sample("cubic", "border", 1, 0.0), 20.0);
    // Keys' weights at one half are -0.09375 and 0.59375; the last neighbour is the border again.
    assert_eq!(sample("bicubic", "border", 1, 0.5), -0.09375 * 10.0 + 0.59375 * 50.0 - 0.09375 * 30.0);
    // A quarter beyond the border: the last three neighbours are the border.
    assert_eq!(sample("cubic", "border", 1, 1.25), (283.0 * 30.0 - 27.0 * 20.0) / 256.0);
    assert_eq!(sample("cubic", "border", 1, f32::INFINITY), 30.0);
    for padding in ["zeros", "border", "reflection"] {
        for x in [f32::NAN, f32::INFINITY, -1e30] {
            let y = sample("linear", padding, 0, x);
            assert!(!y.is_nan(), "{padding} at {x}");
            // One element along rows: reflection has nowhere to go.
            let function = Function::new("grid_sample", 2)
                .with("padding_mode", Attribute::Text(padding.into()))
                .with("align_corners", Attribute::Int(1));
            let y = run(function, &[f32s(&[1, 1, 1, 3], &[10., 20., 30.]), f32s(&[1, 1, 1, 2], &[0., x])]).unwrap();
            assert!(!y[0].is_nan(), "{padding} at row {x}");
        }
    }
}

#[test]
fn volumes_and_many_places() {
    let volume: Vec<f32> = (0..8).map(|i| i as f32).collect();
    let function = Function::new("grid_sample", 2).with("align_corners", Attribute::Int(1));
    // The places go x, y, z; the volume's value is 4 z + 2 y + x. More places than one run of them.
    let places: Vec<f32> = (0..300).flat_map(|i| [1.0, -1.0, i as f32 / 299.0 * 2.0 - 1.0]).collect();
    let operands = [f32s(&[1, 1, 2, 2, 2], &volume), f32s(&[1, 300, 1, 1, 3], &places)];
    let made = run(function, &operands).unwrap();
    assert_eq!(made.len(), 300);
    for (i, y) in made.iter().enumerate() {
        assert!((y - (1.0 + 4.0 * i as f32 / 299.0)).abs() < 1e-5, "{i}: {y}");
    }
}

#[test]
fn affine_grids() {
    let map = f32s(&[1, 2, 3], &[2., 0., 0.5, 0., 1., 0.]);
    let size = Value::Tensor(Tensor::from_slice(&[4], &[1i64, 1, 1, 2]).unwrap());
    let grid = |corners| {
        let function = Function::new("affine_grid", 2).with("align_corners", Attribute::Int(corners));
        run(function, &[map.clone(), size.clone()]).unwrap()
    };
    assert_eq!(grid(0), [-0.5, 0.0, 1.5, 0.0]);
    assert_eq!(grid(1), [-1.5, -1.0, 2.5, -1.0]);
}

/// Columns of an image, ordered by group, tap, channel.
#[test]
fn columns_without_offsets_are_the_taps_of_a_window() {
    let (c, h, w) = (4usize, 13usize, 17usize);
    let x: Vec<f32> = (0..c * h * w).map(|i| ((i * 37 % 23) as f32 - 11.0) / 8.0).collect();
    for groups in [1usize, 2] {
        let function = Function::new("deform_columns", 2)
            .with("group", Attribute::Int(groups as i64))
            .with("offset_group", Attribute::Int(2))
            .with("kernel_shape", Attribute::Ints(vec![3, 3]))
            .with("pads", Attribute::Ints(vec![1, 2, 1, 2]))
            .with("dilations", Attribute::Ints(vec![1, 2]));
        // Every tap one row down: what lies below the image is zero.
        let mut offsets = vec![0.0; 2 * 9 * 2 * h * w];
        offsets.chunks_exact_mut(h * w).step_by(2).for_each(|o| o.fill(1.0));
        let made = run(function, &[f32s(&[1, c, h, w], &x), f32s(&[1, 36, h, w], &offsets)]).unwrap();
        assert_eq!(made.len(), c * 9 * h * w);
        let per_group = c / groups;
        for (i, y) in made.iter().enumerate() {
            let (row, oy, ox) = (i / (h * w), i / w % h, i % w);
            let (group, tap, channel) = (row / (9 * per_group), row / per_group % 9, row % per_group);
            let (iy, ix) = (oy + tap / 3, (ox + 2 * (tap % 3)).wrapping_sub(2));
            let inside = iy < h && ix < w;
            let want = if inside { x[((group * per_group + channel) * h + iy) * w + ix] } else { 0.0 };
            assert_eq!(*y, want, "{i}");
        }
    }
}

#[test]
fn masks_scale_columns() {
    let function = Function::new("deform_columns", 3).with("kernel_shape", Attribute::Ints(vec![1, 1]));
    let operands = [
        f32s(&[1, 1, 2, 2], &[1., 2., 3., 4.]),
        // Half an element to the right: what is beyond the edge counts as zero.
        f32s(&[1, 2, 2, 2], &[0., 0., 0., 0., 0.5, 0.5, 0.5, 0.5]),
        f32s(&[1, 1, 2, 2], &[1., 1., 2., 0.]),
    ];
    assert_eq!(run(function, &operands).unwrap(), [1.5, 1.0, 7.0, 0.0]);
}

#[test]
fn windows_that_do_not_fit_are_refused() {
    let columns = |name: &str, value: Attribute| {
        let function = Function::new("deform_columns", 2).with("kernel_shape", Attribute::Ints(vec![2, 2]));
        run(function.with(name, value), &[f32s(&[1, 2, 3, 3], &[0.0; 18]), f32s(&[1, 8, 2, 2], &[0.0; 32])])
    };
    assert_eq!(columns("group", Attribute::Int(2)).map(|y| y.len()), Ok(32));
    let wrong = [
        ("group", Attribute::Int(0)),
        ("offset_group", Attribute::Int(3)),
        ("kernel_shape", Attribute::Ints(vec![4, 2])),
        ("kernel_shape", Attribute::Ints(vec![2])),
        ("strides", Attribute::Ints(vec![0, 1])),
        ("pads", Attribute::Ints(vec![1, 1])),
        ("dilations", Attribute::Ints(vec![i64::MAX, 1])),
    ];
    for (name, value) in wrong {
        assert!(columns(name, value.clone()).is_err(), "{name} {value:?}");
    }
}
