//! Pictures reach the model in its size, channels, order and scale.

use super::*;
use image::{GrayImage, Luma, Rgb, RgbImage};

fn saved(image: DynamicImage, name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    image.save(&path).unwrap();
    (folder, path)
}

#[test]
fn shapes_that_are_pictures() {
    let pixels =
        |height, width, channels, interleaved, batch| Some(Pixels { height, width, channels, interleaved, batch });
    assert_eq!(Pixels::of_shape(&[1, 3, 224, 192]), pixels(224, 192, 3, false, 1));
    assert_eq!(Pixels::of_shape(&[2, 416, 320, 3]), pixels(416, 320, 3, true, 2));
    assert_eq!(Pixels::of_shape(&[1, 28, 28]), pixels(28, 28, 1, false, 1));
    assert_eq!(Pixels::of_shape(&[1, 64, 7, 7]), None);
    assert_eq!(Pixels::of_shape(&[1, 784]), None);
}

#[test]
fn colours_in_planes_or_together() {
    let image = RgbImage::from_fn(2, 1, |x, _| if x == 0 { Rgb([255, 0, 51]) } else { Rgb([0, 102, 255]) });
    let (_folder, path) = saved(image.into(), "a.png");
    let planes = Pixels::of_shape(&[1, 3, 1, 2]).unwrap();
    let mut picture = Picture::read(&path, planes).unwrap();
    let tensor = Picture::tensor(std::slice::from_ref(&picture), DType::F32, &[1, 3, 1, 2]).unwrap();
    let near = |tensor: &Tensor, expected: &[f32]| {
        let values = tensor.as_slice::<f32>().unwrap();
        assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{values:?} is not {expected:?}");
    };
    near(&tensor, &[1.0, 0.0, 0.0, 0.4, 0.2, 1.0]);
    picture.normalise(&[0.5], &[0.5, 1.0, 2.0]).unwrap();
    let tensor = Picture::tensor(&[picture.clone()], DType::F32, &[1, 3, 1, 2]).unwrap();
    near(&tensor, &[1.0, -1.0, -0.5, -0.1, -0.15, 0.25]);
    let together = Picture::read(&path, Pixels::of_shape(&[1, 1, 2, 3]).unwrap());
    assert_eq!(together.unwrap().pixels.channels, 1, "planes come first");
    let together = Pixels { interleaved: true, ..planes };
    let picture = Picture::read(&path, together).unwrap();
    let tensor = Picture::tensor(&[picture], DType::U8, &[1, 1, 2, 3]).unwrap();
    assert_eq!(tensor.bytes(), [255, 0, 51, 0, 102, 255]);
}

#[test]
fn resizes_bilinear() {
    let image = GrayImage::from_fn(4, 4, |x, _| Luma([if x < 2 { 0 } else { 200 }]));
    let (_folder, path) = saved(image.into(), "a.png");
    let picture = Picture::read(&path, Pixels::of_shape(&[1, 1, 2, 2]).unwrap()).unwrap();
    let [left, right, ..] = picture.values[..] else { panic!("{:?}", picture.values) };
    assert!(left < 0.2 && right > 0.6 && (left + right - 200.0 / 255.0).abs() < 0.01, "{left} {right}");
}

#[test]
fn wrong_files_and_numbers_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.png");
    std::fs::write(&path, "no picture").unwrap();
    let pixels = Pixels::of_shape(&[1, 3, 8, 8]).unwrap();
    assert_eq!(Picture::read(&path, pixels).unwrap_err().code, crate::ExitCode::Usage);
    assert_eq!(Picture::read(&folder.path().join("none"), pixels).unwrap_err().code, crate::ExitCode::Machine);
    let mut picture = Picture { pixels, values: vec![0.5; 192] };
    assert!(picture.normalise(&[1.0, 2.0], &[]).unwrap_err().message.contains("accepted are 1 or 3"));
    assert!(picture.normalise(&[], &[0.0]).unwrap_err().message.contains("not 0"));
}

#[test]
fn a_small_grey_picture_is_text() {
    let pixels = Pixels { height: 2, width: 3, channels: 1, interleaved: false, batch: 1 };
    let picture = Picture { pixels, values: vec![0.0, 1.0, 0.0, 0.5, 0.0, 1.0] };
    assert_eq!(text_art(&picture).unwrap(), "  @@\n++  @@\n");
    assert_eq!(text_art(&Picture { pixels: Pixels { channels: 3, ..pixels }, values: vec![0.0; 18] }), None);
}
