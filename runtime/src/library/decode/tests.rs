//! Pictures of a few pixels in each format, and files that are no pictures.

use super::super::function::Attribute;
use super::*;

/// A plain picture of one row: red and white.
const PLAIN: &[u8] = b"P6 2 1 255\n\xff\x00\x00\xff\xff\xff";

fn decode(bytes: &[u8], format: &str) -> Tensor {
    let function = Function::new("image_decoder", 1).with("pixel_format", Attribute::Text(format.into()));
    let bytes = Value::Tensor(Tensor::from_slice(&[bytes.len()], bytes).unwrap());
    function.run(&[bytes.operand()]).unwrap().remove(0).into_tensor().unwrap()
}

#[test]
fn channels_come_last_in_the_order_asked_for() {
    let picture = decode(PLAIN, "RGB");
    assert_eq!((picture.shape(), picture.bytes()), (&[1, 2, 3][..], &[255, 0, 0, 255, 255, 255][..]));
    assert_eq!(decode(PLAIN, "BGR").bytes(), [0, 0, 255, 255, 255, 255]);
    let grey = decode(PLAIN, "Grayscale");
    assert_eq!((grey.shape(), grey.bytes()), (&[1, 2, 1][..], &[76, 255][..]));
}

#[test]
fn what_is_no_picture_is_empty() {
    assert_eq!(decode(b"GIF89a", "RGB").shape(), [0, 0, 3]);
    assert_eq!(decode(b"", "Grayscale").shape(), [0, 0, 1]);
    assert_eq!(decode(&PLAIN[..12], "RGB").shape(), [0, 0, 3]);
    assert_eq!(decode(b"P6 70000 70000 255\n", "RGB").shape(), [0, 0, 3]);
    assert_eq!(decode(b"\xff\x4f\xff\x51\x00\x29", "RGB").shape(), [0, 0, 3]);
}
