//! BlazeFace (arXiv:1907.05047): the picture as it takes it, and faces from the numbers that it gives.
//!
//! It looks at the picture through anchors: points on a grid, several to a cell. For each it says how sure it is of a face
//! there, and where that face is, seen from the anchor, in pixels of its input.

use brolga::{Model, Tensor};
use image::RgbImage;
use image::imageops::{FilterType, resize};
use std::error::Error;

/// Cells along a side and anchors in a cell, of the two grids.
const GRIDS: [(usize, usize); 2] = [(16, 2), (8, 6)];
/// Numbers to a face: centre, width and height, and six points.
const NUMBERS: usize = 16;
/// Faces less sure than this are none.
const SURE: f32 = 0.5;
/// Boxes that share more than this of what they cover are the same face.
const SAME: f32 = 0.3;

/// A face, in pixels of the picture.
pub struct Face {
    /// How sure the model is, 0 to 1.
    pub score: f32,
    /// Left, top, right, bottom.
    pub edges: [f32; 4],
    /// The eyes, the tip of the nose, the mouth, the ears.
    pub points: [[f32; 2]; 6],
}

/// What one anchor saw, in pixels of the model's input.
struct Seen {
    score: f32,
    numbers: [f32; NUMBERS],
}

/// The model and the side of its square input.
pub struct Detector {
    model: Model,
    side: u32,
}

impl Detector {
    /// Loads and compiles BlazeFace, of any size.
    pub fn load(path: &str) -> Result<Detector, Box<dyn Error>> {
        let model = Model::load(path)?;
        let shape: Option<Vec<i64>> = match &model.inputs()[..] {
            [input] => input.shape.iter().flatten().map(|dim| dim.known()).collect(),
            _ => None,
        };
        match shape.as_deref() {
            Some(&[1, height, width, 3]) if height == width => Ok(Detector { model, side: u32::try_from(height)? }),
            _ => Err("the model takes no square picture: it is not BlazeFace".into()),
        }
    }

    /// The faces in a picture, surest first.
    pub fn faces(&self, picture: &RgbImage) -> Result<Vec<Face>, Box<dyn Error>> {
        let (input, [x0, y0], scale) = self.fit(picture)?;
        let outputs = self.model.run_tensors(&[input])?.into_tensors()?;
        let [scores_a, scores_b, boxes_a, boxes_b] = &outputs[..] else {
            return Err("the model has not four outputs: it is not BlazeFace".into());
        };
        let mut seen = Vec::new();
        for (grid, scores, boxes) in [(GRIDS[0], scores_a, boxes_a), (GRIDS[1], scores_b, boxes_b)] {
            seen.extend(decode(grid, self.side as f32, scores.as_slice()?, boxes.as_slice()?)?);
        }
        let place = |x: f32, y: f32| [(x - x0) / scale, (y - y0) / scale];
        let face = |Seen { score, numbers: n }: Seen| {
            let [left, top] = place(n[0] - n[2] / 2.0, n[1] - n[3] / 2.0);
            let [right, bottom] = place(n[0] + n[2] / 2.0, n[1] + n[3] / 2.0);
            let points = std::array::from_fn(|i| place(n[4 + 2 * i], n[5 + 2 * i]));
            Face { score, edges: [left, top, right, bottom], points }
        };
        Ok(merge(seen).into_iter().map(face).collect())
    }

    /// The picture in the middle of a black square, -1 to 1; where it begins there, and by how much it was scaled.
    fn fit(&self, picture: &RgbImage) -> Result<(Tensor, [f32; 2], f32), Box<dyn Error>> {
        let (width, height) = picture.dimensions();
        let scale = self.side as f32 / width.max(height) as f32;
        let scaled = |extent: u32| ((extent as f32 * scale).round() as u32).clamp(1, self.side);
        let small = resize(picture, scaled(width), scaled(height), FilterType::Triangle);
        let (x0, y0) = ((self.side - small.width()) / 2, (self.side - small.height()) / 2);
        let mut square = RgbImage::new(self.side, self.side);
        image::imageops::replace(&mut square, &small, x0.into(), y0.into());
        let pixels: Vec<f32> = square.into_raw().into_iter().map(|byte| f32::from(byte) / 127.5 - 1.0).collect();
        let side = self.side as usize;
        Ok((Tensor::from_slice(&[1, side, side, 3], &pixels)?, [x0 as f32, y0 as f32], scale))
    }
}

/// What the anchors of a grid are sure of.
fn decode(grid: (usize, usize), side: f32, scores: &[f32], boxes: &[f32]) -> Result<Vec<Seen>, Box<dyn Error>> {
    let (cells, anchors) = grid;
    if scores.len() != cells * cells * anchors || boxes.len() != scores.len() * NUMBERS {
        return Err("the model has other anchors than BlazeFace".into());
    }
    let mut seen = Vec::new();
    for (number, (score, numbers)) in scores.iter().zip(boxes.chunks_exact(NUMBERS)).enumerate() {
        let score = 1.0 / (1.0 + (-score).exp());
        if score < SURE {
            continue;
        }
        let cell = number / anchors;
        let middle = |at: usize| (at as f32 + 0.5) / cells as f32 * side;
        let anchor = [middle(cell % cells), middle(cell / cells)];
        // Width and height, the third and fourth, are no places.
        let number = |i: usize| if i == 2 || i == 3 { numbers[i] } else { numbers[i] + anchor[i % 2] };
        seen.push(Seen { score, numbers: std::array::from_fn(number) });
    }
    Ok(seen)
}

/// One of each face: the mean of what saw it, the surer the heavier.
fn merge(mut seen: Vec<Seen>) -> Vec<Seen> {
    seen.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut faces = Vec::new();
    while !seen.is_empty() {
        let best = seen.remove(0);
        let (mut same, others) = seen.into_iter().partition::<Vec<Seen>, _>(|one| overlap(one, &best) > SAME);
        seen = others;
        let score = best.score;
        same.push(best);
        let weight: f32 = same.iter().map(|one| one.score).sum();
        let mean = |i: usize| same.iter().map(|one| one.score * one.numbers[i]).sum::<f32>() / weight;
        faces.push(Seen { score, numbers: std::array::from_fn(mean) });
    }
    faces
}

/// Share of what two boxes cover together that both cover.
fn overlap(a: &Seen, b: &Seen) -> f32 {
    let (a, b) = (&a.numbers, &b.numbers);
    let shared = |axis: usize| {
        let end = (a[axis] + a[axis + 2] / 2.0).min(b[axis] + b[axis + 2] / 2.0);
        let start = (a[axis] - a[axis + 2] / 2.0).max(b[axis] - b[axis + 2] / 2.0);
        (end - start).max(0.0)
    };
    let both = shared(0) * shared(1);
    both / (a[2] * a[3] + b[2] * b[3] - both)
}
