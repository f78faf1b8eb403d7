//! Carries a model as machine code: nothing is read, compiled or allocated by the model when the program runs.

mod digits;

/// A stroke from top to bottom, as in the digit 1.
fn picture() -> [f32; digits::PIXELS] {
    let mut picture = [0.0; digits::PIXELS];
    for row in 4..24 {
        picture[row * 28 + 13..row * 28 + 16].fill(1.0);
    }
    picture
}

fn main() {
    let probabilities = digits::Digits::new().classify(&picture());
    for (digit, probability) in probabilities.iter().enumerate() {
        println!("{digit}: {:5.1} %", probability * 100.0);
    }
}

#[test]
fn a_stroke_is_a_one() {
    let mut digits = digits::Digits::new();
    let probabilities = digits.classify(&picture());
    assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{probabilities:?}");
    let best = probabilities.iter().position(|p| probabilities.iter().all(|other| p >= other));
    assert_eq!(best, Some(1), "{probabilities:?}");
    assert_eq!(digits.classify(&picture()), probabilities);
}
