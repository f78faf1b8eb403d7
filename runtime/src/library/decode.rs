//! ImageDecoder: the bytes of a picture file as height by width by channels.
//!
//! A file that cannot be decoded gives an empty picture, as ONNX demands. Pictures of more than [`MAX_PIXELS`] are refused.

mod bits;
mod jpeg;

use super::LibraryError;
use super::function::{Entry, Function, Operands, Results, pure};
use crate::{Tensor, Value};
use hayro_jpeg2000::{ColorSpace, DecodeSettings, DecoderContext, Image};
use image::{DynamicImage, ImageReader};
use std::io::Cursor;

pub(super) const TABLE: &[Entry] = &[pure("image_decoder", image_decoder)];

/// 64 megapixels.
const MAX_PIXELS: u64 = 1 << 26;

/// Rows, columns and red, green and blue of each pixel.
struct Picture {
    height: usize,
    width: usize,
    colours: Vec<u8>,
}

fn image_decoder(function: &Function, operands: &Operands) -> Results {
    let bytes = operands.slice::<u8>(0)?;
    let grey = match function.text("pixel_format", "RGB") {
        "RGB" | "BGR" => false,
        "Grayscale" => true,
        _ => return Err(LibraryError::Operands { accepted: "the pixel formats RGB, BGR and Grayscale" }),
    };
    let channels = if grey { 1 } else { 3 };
    let decoded = jpeg2000(bytes).or_else(|| jpeg::decode(bytes)).or_else(|| any_other(bytes));
    let Some(mut picture) = decoded else {
        return Ok(vec![Value::Tensor(Tensor::from_slice::<u8>(&[0, 0, channels], &[])?)]);
    };
    if grey {
        picture.colours = picture.colours.as_chunks::<3>().0.iter().map(luma).collect();
    } else if function.text("pixel_format", "RGB") == "BGR" {
        picture.colours.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2));
    }
    Ok(vec![Value::Tensor(Tensor::from_slice(&[picture.height, picture.width, channels], &picture.colours)?)])
}

/// Luma of ITU-R BT.601, in 16 fractional bits.
fn luma(pixel: &[u8; 3]) -> u8 {
    let [r, g, b] = pixel.map(u32::from);
    ((19595 * r + 38470 * g + 7471 * b + (1 << 15)) >> 16) as u8
}

fn any_other(bytes: &[u8]) -> Option<Picture> {
    let reader = || ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok();
    let (width, height) = reader()?.into_dimensions().ok()?;
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return None;
    }
    let pixels = match reader()?.decode().ok()? {
        DynamicImage::ImageRgb8(pixels) => pixels,
        other => other.to_rgb8(),
    };
    Some(Picture { height: pixels.height() as usize, width: pixels.width() as usize, colours: pixels.into_raw() })
}

fn jpeg2000(bytes: &[u8]) -> Option<Picture> {
    let image = Image::new(bytes, &DecodeSettings::default()).ok()?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    let colours = match image.color_space() {
        ColorSpace::Gray | ColorSpace::Icc { num_channels: 1, .. } => 1,
        ColorSpace::RGB | ColorSpace::Icc { num_channels: 3, .. } => 3,
        _ => return None,
    };
    let channels = colours + usize::from(image.has_alpha());
    if u64::from(image.width()) * u64::from(image.height()) > MAX_PIXELS {
        return None;
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).ok()?;
    let plane = width.checked_mul(height)?;
    let whole = decoded.components().len() == channels
        && decoded.components().iter().all(|component| component.samples().len() == plane);
    if !whole {
        return None;
    }
    let samples = decoded.data_u8();
    let pixels = samples.chunks_exact(channels);
    let colours = pixels.flat_map(|p| if colours == 3 { [p[0], p[1], p[2]] } else { [p[0]; 3] }).collect();
    Some(Picture { height, width, colours })
}

#[cfg(test)]
mod tests;
