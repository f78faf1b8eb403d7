//! Regions of interest and suppression, on small cases worked out by hand.

use super::super::function::{Attribute, Function};
use super::*;
use crate::{Tensor, Value};

fn f32s(shape: &[usize], values: &[f32]) -> Value {
    Value::Tensor(Tensor::from_slice(shape, values).unwrap())
}

fn run(function: Function, operands: &[Value]) -> Result<Value, LibraryError> {
    let operands: Vec<crate::Operand> = operands.iter().map(Value::operand).collect();
    Ok(function.run(&operands)?.remove(0))
}

fn suppress(boxes: &[f32], scores: &[f32], limit: i64, threshold: f32, above: f32, centred: i64) -> Vec<i64> {
    let function = Function::new("non_max_suppression", 5).with("center_point_box", Attribute::Int(centred));
    let operands = [
        f32s(&[1, boxes.len() / 4, 4], boxes),
        f32s(&[1, scores.len() * 4 / boxes.len(), boxes.len() / 4], scores),
        Value::Tensor(Tensor::scalar(limit)),
        f32s(&[1], &[threshold]),
        f32s(&[], &[above]),
    ];
    run(function, &operands).unwrap().as_tensor().unwrap().as_slice::<i64>().unwrap().to_vec()
}

#[test]
fn boxes_that_overlap_a_better_one_go() {
    // The second box covers nine tenths of the first, the third lies apart; the corners of the third are the other diagonal's.
    let boxes = [0., 0., 1., 1., 0., 0.1, 1., 1.1, 11., 11., 10., 10.];
    assert_eq!(suppress(&boxes, &[0.5, 0.9, 0.7], 3, 0.5, 0.0, 0), [0, 0, 1, 0, 0, 2]);
    assert_eq!(suppress(&boxes, &[0.5, 0.9, 0.7], 1, 0.5, 0.0, 0), [0, 0, 1]);
    assert_eq!(suppress(&boxes, &[0.5, 0.9, 0.7], 3, 0.5, 0.7, 0), [0, 0, 1]);
    assert_eq!(suppress(&boxes, &[0.5, 0.9, 0.7], 0, 0.5, 0.0, 0), []);
    // Of equal scores the first box is the better one; two classes do not see each other.
    assert_eq!(suppress(&boxes, &[0.5; 6], 2, 0.5, 0.0, 0), [0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 1, 2]);
    let centred = [0.5, 0.5, 1., 1., 0.5, 0.6, 1., 1., 10.5, 10.5, 1., 1.];
    assert_eq!(suppress(&centred, &[0.5, 0.9, -0.7], 3, 0.5, -1.0, 1), [0, 0, 1, 0, 0, 2]);
    // Exactly at the threshold a box stays: half of the other, of which it covers all.
    assert_eq!(suppress(&[0., 0., 1., 2., 0., 0., 1., 1.], &[0.9, 0.8], 2, 0.5, 0.0, 0), [0, 0, 0, 0, 0, 1]);
}

#[test]
fn many_boxes_are_suppressed_as_by_comparing_all() {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    // Boxes as large as the picture, and small ones that lie in many strips of it.
    for (count, size, few, many) in [(300, 1.0, 20, 200), (3000, 0.15, 400, 2900)] {
        let boxes: Vec<[f32; 4]> = (0..count)
            .map(|_| {
                let (y, x) = (next() * (1.0 - size), next() * (1.0 - size));
                [y + next() * size, x + next() * size, y + next() * size, x + next() * size]
            })
            .collect();
        let scores: Vec<f32> = (0..count).map(|_| next()).collect();
        let wanted = by_comparing_all(&boxes, &scores, 0.3);
        let found = suppress(&boxes.concat(), &scores, count as i64, 0.3, 0.0, 0);
        let found: Vec<usize> = found.chunks_exact(3).map(|c| c[2] as usize).collect();
        assert_eq!(found, wanted);
        assert!(wanted.len() > few && wanted.len() < many, "{}", wanted.len());
    }
}

fn by_comparing_all(boxes: &[[f32; 4]], scores: &[f32], threshold: f32) -> Vec<usize> {
    let corners = |b: &[f32; 4]| [b[0].min(b[2]), b[1].min(b[3]), b[0].max(b[2]), b[1].max(b[3])];
    let area = |c: [f32; 4]| (c[2] - c[0]) * (c[3] - c[1]);
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let mut stay: Vec<usize> = vec![];
    for i in order {
        let a = corners(&boxes[i]);
        let hit = stay.iter().any(|j| {
            let b = corners(&boxes[*j]);
            let height = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
            let width = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
            height * width / (area(a) + area(b) - height * width) > threshold
        });
        if !hit {
            stay.push(i);
        }
    }
    stay
}

#[test]
fn boxes_without_an_inside_are_taken_as_they_are() {
    let turned: Vec<f32> = (0..200).flat_map(|i| [i as f32, 0.0, -3.0, 1.0]).collect();
    assert_eq!(suppress(&turned, &[0.5; 200], 200, 0.5, 0.0, 1).len(), 600);
    let endless = [0.0, 0.0, f32::INFINITY, 1.0].repeat(200);
    assert!(!suppress(&endless, &[0.5; 200], 200, 0.5, 0.0, 0).is_empty());
}

fn align(mode: &str, ratio: i64, shift: &str, roi: [f32; 4], out: i64) -> Vec<f32> {
    let function = Function::new("roi_align", 3)
        .with("mode", Attribute::Text(mode.into()))
        .with("coordinate_transformation_mode", Attribute::Text(shift.into()))
        .with("sampling_ratio", Attribute::Int(ratio))
        .with("output_height", Attribute::Int(out))
        .with("output_width", Attribute::Int(out));
    // Two images; rows are worth 10, columns 1, the second image 100 more.
    let image: Vec<f32> = (0..32).map(|i| ((i / 16) * 100 + (i / 4 % 4) * 10 + i % 4) as f32).collect();
    let images = Value::Tensor(Tensor::from_slice(&[1], &[1i64]).unwrap());
    let made = run(function, &[f32s(&[2, 1, 4, 4], &image), f32s(&[1, 4], &roi), images]).unwrap();
    made.as_tensor().unwrap().as_slice::<f32>().unwrap().to_vec()
}

#[test]
fn aligned_means_of_a_plane_are_its_values_at_the_centres() {
    // The image is linear, so the mean of any samples is its value at their centre.
    assert_eq!(align("avg", 2, "output_half_pixel", [0., 0., 2., 2.], 2), [105.5, 106.5, 115.5, 116.5]);
    assert_eq!(align("avg", 0, "half_pixel", [0.5, 0.5, 2.5, 2.5], 1), [111.]);
    // One sample at (1, 1), where the largest weighted corner is the pixel itself.
    assert_eq!(align("max", 1, "half_pixel", [0.5, 0.5, 2.5, 2.5], 1), [111.]);
    // All outside.
    assert_eq!(align("avg", 2, "half_pixel", [50., 50., 60., 60.], 1), [0.]);
    assert_eq!(align("max", 2, "half_pixel", [50., 50., 60., 60.], 1), [0.]);
}

#[test]
fn wide_regions_read_only_the_columns_they_need() {
    let image: Vec<f32> = (0..400).map(|i| (i % 200) as f32).collect();
    let function = Function::new("roi_align", 3)
        .with("sampling_ratio", Attribute::Int(1))
        .with("output_width", Attribute::Int(2))
        .with("coordinate_transformation_mode", Attribute::Text("output_half_pixel".into()));
    let zero = Value::Tensor(Tensor::from_slice(&[1], &[0i64]).unwrap());
    let made = run(function, &[f32s(&[1, 1, 2, 200], &image), f32s(&[1, 4], &[0., 0., 190., 1.]), zero]).unwrap();
    assert_eq!(made.as_tensor().unwrap().as_slice::<f32>().unwrap(), [47.5, 142.5]);
}

#[test]
fn pooled_maxima() {
    let function = Function::new("max_roi_pool", 2).with("pooled_shape", Attribute::Ints(vec![2, 2]));
    let image: Vec<f32> = (0..16).map(|i| i as f32).collect();
    let operands = |batch: f32| [f32s(&[1, 1, 4, 4], &image), f32s(&[1, 5], &[batch, 0., 0., 3., 2.])];
    // Three rows in two cells share the middle one.
    let made = run(function.clone(), &operands(0.0)).unwrap();
    assert_eq!(made.as_tensor().unwrap().as_slice::<f32>().unwrap(), [5., 7., 9., 11.]);
    assert!(run(function, &operands(1.0)).is_err());
}
