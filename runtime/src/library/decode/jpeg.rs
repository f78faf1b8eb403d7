//! Baseline JPEG to the bit. ONNX words how chroma is brought to full size (linear, rounded down and up in turns), which general
//! decoders leave open; the inverse transform is the exact one of Loeffler, Ligtenberg and Moschytz in 13 fractional bits.
//!
//! One interleaved scan of grey or YCbCr with chroma at full or half size is read here; anything else (progressive,
//! arithmetic, CMYK, damaged) gives `None` and is the general decoder's.

use super::bits::{Bits, Huffman};
use super::{MAX_PIXELS, Picture};

/// Places of coefficients in the order they are coded.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

#[derive(Default)]
struct Component {
    id: u8,
    /// Blocks of one coded unit, across and down.
    across: usize,
    down: usize,
    scale: usize,
    tables: [usize; 2],
    previous: i32,
    /// Samples in rows of `stride`.
    stride: usize,
    samples: Vec<u8>,
}

#[derive(Default)]
struct Decoder {
    width: usize,
    height: usize,
    scales: [Option<[i32; 64]>; 4],
    tables: [[Option<Huffman>; 4]; 2],
    components: Vec<Component>,
    interval: usize,
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(*bytes.get(at)?) << 8 | usize::from(*bytes.get(at + 1)?))
}

/// The picture, when it is baseline JPEG as described above.
pub(super) fn decode(bytes: &[u8]) -> Option<Picture> {
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return None;
    }
    let (mut decoder, mut at) = (Decoder::default(), 2);
    loop {
        let [0xff, marker] = *bytes.get(at..)?.first_chunk::<2>()? else { return None };
        if marker == 0xff {
            at += 1;
            continue;
        }
        let length = word(bytes, at + 2)?;
        let segment = bytes.get(at + 4..at + 2 + length)?;
        at += 2 + length;
        match marker {
            0xdb => decoder.read_scales(segment)?,
            0xc4 => decoder.read_tables(segment)?,
            0xc0 | 0xc1 => decoder.read_frame(segment)?,
            0xdd => decoder.interval = word(segment, 0)?,
            // Adobe's marker may say that the colours are no YCbCr.
            0xee if segment.starts_with(b"Adobe") && segment.get(11) != Some(&1) => return None,
            0xda => {
                decoder.read_scan(segment)?;
                decoder.decode_units(bytes.get(at..)?)?;
                return Some(decoder.picture());
            }
            0xc2..=0xcf | 0xd0..=0xd9 | 0x01 => return None,
            _ => {}
        }
    }
}

impl Decoder {
    fn read_scales(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((head, rest)) = segment.split_first() {
            let (values, rest) = rest.split_first_chunk::<64>()?;
            let mut scales = [0; 64];
            ZIGZAG.iter().zip(values).for_each(|(place, value)| scales[usize::from(*place)] = i32::from(*value));
            // A table of 16-bit scales has a number above 15 here and is refused.
            *self.scales.get_mut(usize::from(*head))? = Some(scales);
            segment = rest;
        }
        Some(())
    }
    fn read_tables(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((head, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let count: usize = counts.iter().map(|n| usize::from(*n)).sum();
            let (symbols, rest) = rest.split_at_checked(count)?;
            let class = self.tables.get_mut(usize::from(head >> 4))?;
            *class.get_mut(usize::from(head & 15))? = Some(Huffman::new(counts, symbols)?);
            segment = rest;
        }
        Some(())
    }
    fn read_frame(&mut self, segment: &[u8]) -> Option<()> {
        let (head, rest) = segment.split_first_chunk::<6>()?;
        (self.height, self.width) = (word(head, 1)?, word(head, 3)?);
        let count = usize::from(head[5]);
        let pixels = (self.width * self.height) as u64;
        if head[0] != 8 || pixels == 0 || pixels > MAX_PIXELS || !matches!(count, 1 | 3) || rest.len() != 3 * count {
            return None;
        }
        self.components = rest
            .as_chunks::<3>()
            .0
            .iter()
            .map(|[id, factors, scale]| Component {
                id: *id,
                across: if count == 1 { 1 } else { usize::from(factors >> 4) },
                down: if count == 1 { 1 } else { usize::from(factors & 15) },
                scale: usize::from(*scale),
                ..Component::default()
            })
            .collect();
        let (across, down) = self.largest();
        let halves = |most: usize, own: usize| own > 0 && (own == most || own * 2 == most) && most <= 2;
        self.components.iter().all(|c| halves(across, c.across) && halves(down, c.down)).then_some(())
    }
    fn largest(&self) -> (usize, usize) {
        self.components.iter().fold((1, 1), |(a, d), c| (a.max(c.across), d.max(c.down)))
    }
    fn read_scan(&mut self, segment: &[u8]) -> Option<()> {
        let (count, rest) = segment.split_first()?;
        let all = usize::from(*count) == self.components.len() && rest.len() == 2 * self.components.len() + 3;
        if !all || self.components.is_empty() {
            return None;
        }
        let (across, down) = self.largest();
        let units = (self.width.div_ceil(8 * across), self.height.div_ceil(8 * down));
        for (component, [id, tables]) in self.components.iter_mut().zip(rest.as_chunks::<2>().0) {
            if component.id != *id {
                return None;
            }
            component.tables = [usize::from(tables >> 4), usize::from(tables & 15)];
            component.stride = units.0 * component.across * 8;
            component.samples = vec![0; component.stride * units.1 * component.down * 8];
        }
        Some(())
    }
    fn decode_units(&mut self, data: &[u8]) -> Option<()> {
        let (across, down) = self.largest();
        let units = (self.width.div_ceil(8 * across), self.height.div_ceil(8 * down));
        let mut bits = Bits::new(data);
        for unit in 0..units.0 * units.1 {
            if self.interval > 0 && unit > 0 && unit % self.interval == 0 {
                bits.restart()?;
                self.components.iter_mut().for_each(|c| c.previous = 0);
            }
            for component in &mut self.components {
                let scales = self.scales.get(component.scale)?.as_ref()?;
                let [direct, rest] = [0, 1].map(|class| self.tables[class].get(component.tables[class])?.as_ref());
                let (direct, rest) = (direct?, rest?);
                for block in 0..component.across * component.down {
                    let coefficients = read_block(&mut bits, direct, rest, scales, &mut component.previous)?;
                    let row = (unit / units.0 * component.down + block / component.across) * 8;
                    let column = (unit % units.0 * component.across + block % component.across) * 8;
                    let place = &mut component.samples[row * component.stride + column..];
                    transform(&coefficients, place, component.stride);
                }
            }
        }
        Some(())
    }
    /// Chroma at full size, and the colours of each pixel.
    fn picture(&self) -> Picture {
        let (across, down) = self.largest();
        let (width, height) = (self.width, self.height);
        let mut colours = Vec::with_capacity(width * height * 3);
        let mut lines = vec![vec![0u8; width + 2]; self.components.len()];
        for row in 0..height {
            for (component, line) in self.components.iter().zip(&mut lines) {
                component.line(row, across / component.across, down / component.down, (width, height), line);
            }
            match &lines[..] {
                [y, blue, red] => {
                    colours.extend((0..width).flat_map(|i| rgb(y[i], blue[i], red[i])));
                }
                _ => colours.extend(lines[0][..width].iter().flat_map(|y| [*y; 3])),
            }
        }
        Picture { height, width, colours }
    }
}

fn read_block(
    bits: &mut Bits,
    direct: &Huffman,
    rest: &Huffman,
    scales: &[i32; 64],
    previous: &mut i32,
) -> Option<[i32; 64]> {
    let mut block = [0; 64];
    let size = bits.symbol(direct)?;
    *previous = previous.wrapping_add(bits.signed(size)?);
    block[0] = previous.wrapping_mul(scales[0]);
    let mut i = 1;
    while i < 64 {
        let symbol = bits.symbol(rest)?;
        let (skip, size) = (usize::from(symbol >> 4), symbol & 15);
        if size == 0 {
            if skip < 15 {
                break;
            }
            i += 16;
            continue;
        }
        let place = usize::from(*ZIGZAG.get(i + skip)?);
        block[place] = bits.signed(size)?.wrapping_mul(scales[place]);
        i += skip + 1;
    }
    Some(block)
}

/// Eight values along one dimension; the result is `2^13` times as large.
fn transform_line(x: [i64; 8]) -> [i64; 8] {
    let common = (x[2] + x[6]) * 4433;
    let (even2, even3) = (common - x[6] * 15137, common + x[2] * 6270);
    let (even0, even1) = ((x[0] + x[4]) << 13, (x[0] - x[4]) << 13);
    let even = [even0 + even3, even1 + even2, even1 - even2, even0 - even3];
    let turn = (x[7] + x[3] + x[5] + x[1]) * 9633;
    let (a, b) = ((x[7] + x[1]) * -7373, (x[5] + x[3]) * -20995);
    let (c, d) = ((x[7] + x[3]) * -16069 + turn, (x[5] + x[1]) * -3196 + turn);
    let odd = [x[1] * 12299 + a + d, x[3] * 25172 + b + c, x[5] * 16819 + b + d, x[7] * 2446 + a + c];
    std::array::from_fn(|i| if i < 4 { even[i] + odd[i] } else { even[7 - i] - odd[7 - i] })
}

fn rounded(x: i64, shift: u32) -> i64 {
    (x + (1 << (shift - 1))) >> shift
}

/// The inverse cosine transform of a block, to samples from 0 to 255.
fn transform(block: &[i32; 64], to: &mut [u8], stride: usize) {
    let mut half = [[0i64; 8]; 8];
    for column in 0..8 {
        let line = transform_line(std::array::from_fn(|row| i64::from(block[row * 8 + column])));
        // Two fractional bits are kept between the passes.
        half.iter_mut().zip(line).for_each(|(row, x)| row[column] = rounded(x, 11));
    }
    for (row, to) in half.iter().zip(to.chunks_mut(stride)) {
        for (to, x) in to.iter_mut().zip(transform_line(*row)) {
            *to = (rounded(x, 18) + 128).clamp(0, 255) as u8;
        }
    }
}

impl Component {
    /// Row `row` of the full picture. `wide` and `tall` are 2 where the component is at half size.
    fn line(&self, row: usize, wide: usize, tall: usize, (width, height): (usize, usize), to: &mut [u8]) {
        let (own_width, own_height) = (width.div_ceil(wide), height.div_ceil(tall));
        let source = |row: usize| &self.samples[row * self.stride..][..own_width];
        let near = source(row / tall);
        // Of up to two columns there is nothing to interpolate between.
        if wide == 2 && own_width <= 2 {
            to.iter_mut().enumerate().take(width).for_each(|(i, to)| *to = near[i / 2]);
            return;
        }
        let beside =
            if row.is_multiple_of(2) { (row / tall).saturating_sub(1) } else { (row / tall + 1).min(own_height - 1) };
        let far = source(if tall == 2 { beside } else { row });
        // Sums of three parts near and one far, four times a sample; a single row counts once.
        let unit = if tall == 2 { 4 } else { 1 };
        let at = |i: usize| {
            let near = u32::from(near[i]);
            if tall == 2 { 3 * near + u32::from(far[i]) } else { near }
        };
        if wide == 1 {
            let bias = if row.is_multiple_of(2) { 1 } else { 2 };
            to.iter_mut().enumerate().take(width).for_each(|(i, to)| *to = ((at(i) + bias * (unit / 4)) / unit) as u8);
            return;
        }
        // Rounding down and up in turns.
        let (whole, left, right) = if unit == 4 { (16, 8, 7) } else { (4, 1, 2) };
        for (i, to) in to.chunks_mut(2).enumerate().take(own_width) {
            let own = at(i);
            let before = at(i.saturating_sub(1));
            let after = at((i + 1).min(own_width - 1));
            to[0] = ((3 * own + before + left) / whole) as u8;
            if let Some(to) = to.get_mut(1) {
                *to = ((3 * own + after + right) / whole) as u8;
            }
        }
    }
}

/// ITU-R BT.601 in 16 fractional bits.
fn rgb(y: u8, blue: u8, red: u8) -> [u8; 3] {
    let (y, blue, red) = (i32::from(y), i32::from(blue) - 128, i32::from(red) - 128);
    let half = 1 << 15;
    let parts = [(91881 * red + half) >> 16, (-22554 * blue - 46802 * red + half) >> 16, (116130 * blue + half) >> 16];
    parts.map(|part| (y + part).clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight by eight, grey, one coefficient of 5 at a scale of 8.
    fn file() -> Vec<u8> {
        let mut file = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
        file.extend([8; 64]);
        file.extend([0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0]);
        for (class, symbol) in [(0x00, 3), (0x10, 0)] {
            file.extend([0xff, 0xc4, 0, 20, class, 1]);
            file.extend([0; 15]);
            file.push(symbol);
        }
        // The code of size 3, 101, the code that ends the block, and filling.
        file.extend([0xff, 0xda, 0, 8, 1, 1, 0x00, 0, 63, 0, 0b0101_0111, 0xff, 0xd9]);
        file
    }

    #[test]
    fn a_block_of_one_coefficient() {
        let picture = decode(&file()).unwrap();
        assert_eq!((picture.height, picture.width), (8, 8));
        assert_eq!(picture.colours, [133; 192]);
    }

    #[test]
    fn damaged_files_are_left_to_others() {
        let whole = file();
        for end in 0..whole.len() - 3 {
            assert!(decode(&whole[..end]).is_none(), "{end}");
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                decode(&damaged);
            }
        }
    }

    #[test]
    fn chroma_is_interpolated_with_rounding_in_turns() {
        let component = Component { stride: 4, samples: vec![10, 20, 30, 40, 50, 60, 70, 80], ..Component::default() };
        let mut line = [0; 10];
        component.line(0, 2, 1, (8, 2), &mut line);
        assert_eq!(line[..8], [10, 13, 17, 23, 27, 33, 37, 40]);
        component.line(1, 2, 2, (8, 4), &mut line);
        // Sums down: 80, 120, 160, 200.
        assert_eq!(line[..8], [20, 22, 28, 32, 38, 42, 48, 50]);
        component.line(1, 1, 2, (4, 4), &mut line);
        assert_eq!(line[..4], [20, 30, 40, 50]);
    }
}
