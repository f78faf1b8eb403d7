//! Draws boxes around the faces in a picture: `cargo run --release -p brolga-example-faces -- MODEL PICTURE OUT.png`.

mod detect;

use detect::{Detector, Face};
use image::{DynamicImage, ImageDecoder, ImageReader, Rgb, RgbImage};
use std::error::Error;
use std::process::ExitCode;

const BOX: Rgb<u8> = Rgb([60, 230, 80]);
const POINT: Rgb<u8> = Rgb([255, 60, 60]);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, picture, out] = &args[..] else {
        eprintln!("usage: brolga-example-faces MODEL PICTURE OUT.png");
        return ExitCode::from(2);
    };
    match run(model, picture, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(model: &str, picture: &str, out: &str) -> Result<(), Box<dyn Error>> {
    let detector = Detector::load(model)?;
    let mut picture = upright(picture)?;
    let faces = detector.faces(&picture)?;
    for (number, face) in faces.iter().enumerate() {
        let [left, top, right, bottom] = face.edges.map(f32::round);
        println!("face {}: left {left} top {top} right {right} bottom {bottom} score {:.3}", number + 1, face.score);
        draw(&mut picture, face);
    }
    println!("{} found; {out} shows them", faces.len());
    Ok(picture.save(out)?)
}

/// A picture the way up that its camera noted.
fn upright(path: &str) -> Result<RgbImage, Box<dyn Error>> {
    let mut decoder = ImageReader::open(path)?.with_guessed_format()?.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}

/// A frame around the face, and a dot on each of its points.
fn draw(picture: &mut RgbImage, face: &Face) {
    let pen = (picture.width().max(picture.height()) as f32 / 250.0).max(2.0);
    let [left, top, right, bottom] = face.edges;
    fill(picture, [left, top, right, top + pen], BOX);
    fill(picture, [left, bottom - pen, right, bottom], BOX);
    fill(picture, [left, top, left + pen, bottom], BOX);
    fill(picture, [right - pen, top, right, bottom], BOX);
    for [x, y] in face.points {
        fill(picture, [x - pen, y - pen, x + pen, y + pen], POINT);
    }
}

/// Colours what of a rectangle lies in the picture.
fn fill(picture: &mut RgbImage, [left, top, right, bottom]: [f32; 4], colour: Rgb<u8>) {
    let (width, height) = picture.dimensions();
    let within = |from: f32, to: f32, end: u32| (from.max(0.0) as u32)..(to.max(0.0) as u32).min(end);
    for y in within(top, bottom, height) {
        for x in within(left, right, width) {
            picture.put_pixel(x, y, colour);
        }
    }
}
