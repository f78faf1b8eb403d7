//! Loads a model, compiles it in memory and runs it: `cargo run --release -p brolga-example-jit`.

use brolga::{Model, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = Model::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../digits/lenet5.onnx"))?;
    let mut image = [0f32; 28 * 28];
    for row in 4..24 {
        image[row * 28 + 13..row * 28 + 16].fill(1.0); // a stroke, as in the digit 1
    }
    let outputs = model.run([("image", Tensor::from_slice(&[1, 1, 28, 28], &image)?)])?;
    for (digit, probability) in outputs[0].as_slice::<f32>()?.iter().enumerate() {
        println!("{digit}: {:5.1} %", probability * 100.0);
    }
    Ok(())
}
