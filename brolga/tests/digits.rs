//! The network that comes with the repository, on the digits that it was not trained on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use brolga::{Model, Options, Tensor};
use std::path::Path;

#[test]
fn held_out_digits_are_recognised() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits");
    let arrays = brolga_runner::read_npz(&folder.join("held_out.npz")).unwrap();
    let array = |name: &str| &arrays.iter().find(|(known, _)| known == name).unwrap().1;
    let (images, labels) = (array("images").as_slice::<u8>().unwrap(), array("labels").as_slice::<u8>().unwrap());
    assert_eq!((images.len(), labels.len()), (1000 * 784, 1000));

    let model = Model::load_with(folder.join("lenet5.onnx"), Options::default()).unwrap();
    let mut right = 0;
    // Batches of two sizes, so that two programs are made.
    for (images, labels) in images.chunks(64 * 784).zip(labels.chunks(64)) {
        let pixels: Vec<f32> = images.iter().map(|pixel| f32::from(*pixel) / 255.0).collect();
        let batch = Tensor::from_slice(&[labels.len(), 1, 28, 28], &pixels).unwrap();
        let outputs = model.run([("image", batch)]).unwrap();
        for (scores, label) in outputs[0].as_slice::<f32>().unwrap().chunks(10).zip(labels) {
            let best = (0..10).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
            right += usize::from(best == usize::from(*label));
        }
    }
    assert!(right >= 985, "{right} of 1000");
}
