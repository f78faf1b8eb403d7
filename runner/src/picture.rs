//! Pictures as inputs of a model, and as text.

use crate::exit::Failure;
use brolga_runtime::{DType, Tensor};
use image::imageops::FilterType;
use image::{DynamicImage, ImageReader, Limits};
use std::path::Path;

#[cfg(test)]
mod tests;

/// Sides and memory that a decoder may use.
const MAX_SIDE: u32 = 1 << 15;
const MAX_MEMORY: u64 = 1 << 30;

/// How a model takes pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Rows.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// 3 (red, green, blue) or 1 (grey).
    pub channels: usize,
    /// Whether the channels of a pixel lie together (NHWC) or in planes (NCHW).
    pub interleaved: bool,
    /// How many pictures.
    pub batch: usize,
}

impl Pixels {
    /// What a shape of three or four dimensions means, if it can be pictures. Planes come first when both would do.
    pub fn of_shape(shape: &[usize]) -> Option<Pixels> {
        let (batch, [a, b, c]) = match *shape {
            [n, a, b, c] => (n, [a, b, c]),
            [a, b, c] => (1, [a, b, c]),
            _ => return None,
        };
        let pixels = |height, width, channels, interleaved| Pixels { height, width, channels, interleaved, batch };
        let is_channels = |n| n == 1 || n == 3;
        match () {
            () if is_channels(a) => Some(pixels(b, c, a, false)),
            () if is_channels(c) => Some(pixels(a, b, c, true)),
            () => None,
        }
    }
}

/// A picture in the size and the channels of a model's input, values from 0 to 1, channels of a pixel together.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// How the model takes it.
    pub pixels: Pixels,
    /// Values, row by row.
    pub values: Vec<f32>,
}

impl Picture {
    /// Reads a PNG or JPEG file and resizes it, bilinear.
    pub fn read(path: &Path, pixels: Pixels) -> Result<Picture, Failure> {
        let unreadable = |error: std::io::Error| Failure::machine(format!("{}: {error}", path.display()));
        let mut reader = ImageReader::open(path).map_err(unreadable)?.with_guessed_format().map_err(unreadable)?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        limits.max_alloc = Some(MAX_MEMORY);
        reader.limits(limits);
        let decoded = reader.decode().map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        Self::of(&decoded, pixels).ok_or_else(|| {
            Failure::usage(format!("{} cannot be made {}x{}", path.display(), pixels.width, pixels.height))
        })
    }

    fn of(decoded: &DynamicImage, pixels: Pixels) -> Option<Picture> {
        let (width, height) = (u32::try_from(pixels.width).ok()?, u32::try_from(pixels.height).ok()?);
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            return None;
        }
        // Resized in floats, so that nothing is rounded before the model sees it.
        let values = if pixels.channels == 1 {
            let grey: image::ImageBuffer<image::Luma<f32>, Vec<f32>> = {
                let bytes = decoded.to_luma8();
                image::ImageBuffer::from_fn(bytes.width(), bytes.height(), |x, y| {
                    image::Luma([f32::from(bytes.get_pixel(x, y).0[0]) / 255.0])
                })
            };
            image::imageops::resize(&grey, width, height, FilterType::Triangle).into_raw()
        } else {
            let colour = decoded.to_rgb32f();
            image::imageops::resize(&colour, width, height, FilterType::Triangle).into_raw()
        };
        Some(Picture { pixels, values })
    }

    /// (value - mean) / std by channel; one number counts for all channels, none for 0 and 1.
    pub fn normalise(&mut self, mean: &[f32], std: &[f32]) -> Result<(), Failure> {
        let channels = self.pixels.channels;
        let by_channel = |name: &str, given: &[f32], none: f32| match given {
            [] => Ok(vec![none; channels]),
            [one] => Ok(vec![*one; channels]),
            many if many.len() == channels => Ok(many.to_vec()),
            many => Err(Failure::usage(format!("--{name} has {} numbers, accepted are 1 or {channels}", many.len()))),
        };
        let (mean, std) = (by_channel("mean", mean, 0.0)?, by_channel("std", std, 1.0)?);
        if std.iter().any(|s| *s == 0.0 || !s.is_finite()) {
            return Err(Failure::usage("--std must be finite and not 0"));
        }
        for pixel in self.values.chunks_exact_mut(channels) {
            for (value, (mean, std)) in pixel.iter_mut().zip(mean.iter().zip(&std)) {
                *value = (*value - mean) / std;
            }
        }
        Ok(())
    }

    /// Values in the order the model takes them.
    fn ordered(&self) -> Vec<f32> {
        if self.pixels.interleaved {
            return self.values.clone();
        }
        let channels = self.pixels.channels;
        (0..channels).flat_map(|c| self.values.iter().skip(c).step_by(channels).copied()).collect()
    }

    /// Pictures as one input. Floats as they are; u8 takes 0..255.
    pub fn tensor(pictures: &[Picture], dtype: DType, shape: &[usize]) -> Result<Tensor, Failure> {
        let values: Vec<f32> = pictures.iter().flat_map(Picture::ordered).collect();
        let made = match dtype {
            DType::F32 => Tensor::from_slice(shape, &values),
            DType::F16 => {
                let narrow: Vec<half::f16> = values.iter().map(|v| half::f16::from_f32(*v)).collect();
                Tensor::from_slice(shape, &narrow)
            }
            DType::U8 => {
                let bytes: Vec<u8> = values.iter().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect();
                Tensor::from_slice(shape, &bytes)
            }
            other => {
                return Err(Failure::usage(format!("pictures cannot be given as {other}; accepted are f32, f16, u8")));
            }
        };
        made.map_err(|error| Failure::usage(error.to_string()))
    }
}

/// A small grey picture as text, two characters a pixel; `None` for what does not fit a terminal.
pub fn text_art(picture: &Picture) -> Option<String> {
    const SHADES: &[u8] = b" .:-=+*#%@";
    let Pixels { height, width, channels, .. } = picture.pixels;
    if channels != 1 || height > 40 || width > 40 || width == 0 {
        return None;
    }
    let mut text = String::new();
    for row in picture.values.chunks_exact(width) {
        let mut line = String::new();
        for value in row {
            let shade = (value.clamp(0.0, 1.0) * (SHADES.len() - 1) as f32).round() as usize;
            let shade = char::from(SHADES.get(shade).copied().unwrap_or(b' '));
            line.extend([shade, shade]);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Some(text)
}
