//! Resizes along one dimension after another.

use super::support::*;
use crate::ir::*;
use crate::pass::split_resize::SplitResize;

fn resize(from: &[usize], to: &[usize], mode: ResizeMode, coordinates: Coordinates, antialias: bool) -> Graph {
    let mut net = Net::new();
    let x = net.input("x", from);
    let sizes = Ints::Known(to.iter().map(|n| Dim::Const(*n as i64)).collect());
    let roi = matches!(coordinates, Coordinates::TfCropAndResize { .. }).then(|| {
        let rank = from.len();
        let part = |a: f32, b: f32| (0..rank).map(|d| if d + 2 < rank { a.round() } else { b }).collect();
        (part(0.0, -0.3), part(1.0, 1.2))
    });
    let exclude_outside = matches!(mode, ResizeMode::Cubic { .. });
    let attrs = ResizeAttrs { mode, coordinates, sizes, scales: None, roi, antialias, exclude_outside };
    let y = net.op(Op::Resize(attrs), &[x]);
    net.outputs(&[y])
}

#[test]
fn every_rank_and_mode() {
    let linear = ResizeMode::Linear;
    let cubic = ResizeMode::Cubic { a: -0.5 };
    let nearest = ResizeMode::Nearest(Nearest::Ceil);
    let crop = Coordinates::TfCropAndResize { extrapolation: 7.0 };
    let (half, shifted) = (Coordinates::HalfPixel, Coordinates::TfHalfPixelForNn);
    let cases = [
        (&[5][..], &[9][..], linear, half, &["Resize"][..]),
        (&[2, 3, 7], &[2, 3, 4], cubic, half, &["Resize"]),
        (&[2, 3, 3, 4, 5], &[2, 3, 6, 2, 5], linear, Coordinates::AlignCorners, &["Resize"]),
        (&[2, 3, 3, 4, 5], &[2, 3, 6, 2, 5], nearest, Coordinates::Asymmetric, &["Gather"]),
        (&[1, 3, 4, 5], &[2, 6, 5, 4], linear, half, &["Resize"]),
        (&[1, 2, 4, 5], &[1, 2, 7, 6], linear, crop, &["MatMul", "Where"]),
        (&[1, 2, 4, 5], &[1, 2, 7, 6], nearest, crop, &["Gather", "Where"]),
        (&[3, 4], &[2, 7], cubic, crop, &["Where"]),
        (&[1, 2, 3, 3], &[1, 2, 6, 6], linear, shifted, &["MatMul"]),
        (&[2, 2, 4, 4, 5], &[1, 2, 1, 4, 8], nearest, half, &["Gather"]),
    ];
    for (from, to, mode, coordinates, wanted) in cases {
        let graph = resize(from, to, mode, coordinates, false);
        let after = run(&graph, &[&SplitResize]).graph;
        assert_same(&graph, &after);
        let made = ops(&after);
        assert!(wanted.iter().all(|op| made.iter().any(|o| o == op)), "{from:?} to {to:?}: {made:?}");
    }
}

#[test]
fn many_taps_are_products() {
    for mode in [ResizeMode::Linear, ResizeMode::Cubic { a: -0.75 }] {
        let graph = resize(&[1, 2, 60, 47], &[1, 2, 4, 4], mode, Coordinates::HalfPixel, true);
        let after = run(&graph, &[&SplitResize]).graph;
        assert_same(&graph, &after);
        assert_eq!(ops(&after).iter().filter(|op| *op == "MatMul").count(), 2);
    }
}

#[test]
fn what_the_kernel_takes_stays() {
    let graph = resize(&[1, 2, 4, 5], &[1, 2, 7, 6], ResizeMode::Linear, Coordinates::HalfPixel, false);
    assert_eq!(ops(&run(&graph, &[&SplitResize]).graph), ["Resize"]);
}
