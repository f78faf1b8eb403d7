//! Classifiers show classes, everything else its range.

use super::*;

fn tensor(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_slice(shape, values).unwrap()
}

#[test]
fn scores_go_through_a_softmax_and_probabilities_do_not() {
    let classes = top_classes(&tensor(&[1, 3], &[0.0, 2.0f32.ln(), 0.0]), 2).unwrap();
    assert_eq!(classes[0].0, 1);
    assert!((classes[0].1 - 0.5).abs() < 1e-6 && (classes[1].1 - 0.25).abs() < 1e-6);
    let classes = top_classes(&tensor(&[1, 3, 1, 1], &[0.1, 0.2, 0.7]), 5).unwrap();
    assert_eq!(classes, [(2, 0.7), (1, 0.2), (0, 0.1)]);
    assert_eq!(top_classes(&tensor(&[4], &[1.0, 3.0, 3.0, 0.0]), 2).unwrap()[0].0, 1);
}

#[test]
fn other_tensors_are_no_classifiers() {
    assert_eq!(top_classes(&tensor(&[2, 3], &[0.0; 6]), 5), None);
    assert_eq!(top_classes(&tensor(&[1, 1], &[0.5]), 5), None);
    assert_eq!(top_classes(&tensor(&[1, 2], &[f32::NAN, 0.0]), 5), None);
    assert_eq!(top_classes(&Tensor::from_slice(&[2], &[1i64, 2]).unwrap(), 5), None);
}

#[test]
fn texts() {
    let labels = Labels(vec!["cat".into(), "dog".into()]);
    let text = summarise("prob", &tensor(&[1, 3], &[0.25, 0.75, 0.0]), &labels);
    assert_eq!(text, "prob: f32[1, 3]\n      1   75.00 %  dog\n      0   25.00 %  cat\n      2    0.00 %\n");
    let text = summarise("map", &tensor(&[2, 2], &[1.0, 2.0, 3.0, f32::INFINITY]), &labels);
    assert_eq!(text, "map: f32[2, 2]  min 1.000000  max inf  mean inf  (1 not finite)\n");
    assert_eq!(summarise("n", &Tensor::scalar(7i64), &labels), "n: i64[] = 7\n");
    assert_eq!(summarise("none", &tensor(&[0, 4], &[]), &labels), "none: f32[0, 4]\n");
}
