//! The cost model that picks tiles, loop order and blocks. Explicit numbers, nothing timed.
//!
//! A step of the reduction (one channel of one tap) costs a tile of `m` pixels by `n` vectors the largest of its multiply
//! time, its load time and the time its weights take to arrive from the second-level cache; an accumulator can be used again
//! only after the latency of the multiply-add, so small tiles pay that.

use crate::tile::Target;

/// Multiply-adds and loads that start per cycle.
const PORTS: f64 = 2.0;
/// Cycles from a multiply-add to the next on the same accumulator.
const LATENCY: f64 = 4.0;
/// Bytes of streamed weights per cycle that the second-level cache sustains.
const STREAM: f64 = 16.0;
/// Cycles to begin and end a tile, beside one per accumulator and port.
const TILE_OVERHEAD: f64 = 24.0;
/// Bytes after which addresses share a set of the first-level cache, and how many lines a set holds.
const L1_WAY: u64 = 4 << 10;
const L1_WAYS: usize = 8;
/// Bytes that are taken to stay in the second-level cache beside a stream.
pub const RESIDENT: usize = 900 << 10;
/// Bytes of one panel's weights that stay in the second-level cache beside the input that they are multiplied with.
const PANEL: usize = 320 << 10;
/// Tiles that have to share a panel for handing on sums to be worth it: fewer read the weights about once, from wherever they lie.
const FEW_TILES: usize = 3;
/// Items of work that a call is cut into, at least, when its size allows: enough for the workers to balance.
pub const ITEMS: usize = 12;

/// Panels of equal width covering part of the output channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First vector of output channels.
    pub first: usize,
    /// Panels.
    pub panels: usize,
    /// Vectors of a panel.
    pub vectors: usize,
    /// Pixels of a tile at most.
    pub pixels: usize,
    /// Rows tiled together.
    pub rows_per_tile: usize,
}

/// What is tiled.
#[derive(Clone, Copy, Debug)]
pub struct Problem {
    /// Output rows.
    pub rows: usize,
    /// Output pixels of a row.
    pub cols: usize,
    /// Vectors of output channels.
    pub vectors: usize,
    /// Steps of the reduction: channels times taps.
    pub steps: usize,
    /// Pixels of a tile at most, whatever the registers allow.
    pub pixels_limit: usize,
}

/// Pixels of a tile of `vectors` that fit the registers: accumulators, one weight vector each, two broadcasts (and a
/// product where multiply and add are two instructions).
pub fn fitting_pixels(target: Target, vectors: usize) -> usize {
    let spare = vectors + if target.fma { 2 } else { 3 };
    ((target.registers as usize).saturating_sub(spare) / vectors).min(28)
}

/// Rows this many bytes apart of which one line each stays in the first-level cache while they are read side by side.
pub fn rows_near(stride: i64) -> usize {
    let apart = stride.unsigned_abs().max(1);
    let sets = L1_WAY / (1 << apart.trailing_zeros()).min(L1_WAY);
    (L1_WAYS * sets as usize).saturating_sub(1)
}

/// Cycles of one step of the reduction.
fn step_cycles(target: Target, m: usize, n: usize) -> f64 {
    let multiply = if target.fma { 1.0 } else { 2.0 };
    let (m, n) = (m as f64, n as f64);
    let stream = n * f64::from(target.lanes) * 4.0 / STREAM;
    (m * n * multiply / PORTS).max((m + n) / PORTS).max(stream).max(LATENCY)
}

fn part_cycles(target: Target, p: Problem, part: Part) -> f64 {
    let group = p.cols * part.rows_per_tile;
    let count = group.div_ceil(part.pixels).max(1);
    let tile = |m: usize| {
        let start = TILE_OVERHEAD + 1.5 * (m * part.vectors) as f64;
        p.steps as f64 * step_cycles(target, m, part.vectors) + start
    };
    let (narrow, wide) = (group / count, group % count);
    let cycles = wide as f64 * tile(narrow + 1) + (count - wide) as f64 * tile(narrow);
    cycles * (p.rows / part.rows_per_tile) as f64 * part.panels as f64
}

/// The best way to cover rows with panels of `vectors` vectors.
fn best_part(target: Target, p: Problem, first: usize, panels: usize, vectors: usize) -> (f64, Part) {
    let pixels = fitting_pixels(target, vectors).min(p.pixels_limit).max(1);
    let mut best = (f64::INFINITY, Part { first, panels, vectors, pixels, rows_per_tile: 1 });
    for rows_per_tile in (1..=p.rows).filter(|r| p.rows.is_multiple_of(*r)) {
        // Rows tiled together have a body per tile: few tiles only.
        if rows_per_tile > 1 && p.cols * rows_per_tile > 4 * pixels {
            break;
        }
        let part = Part { first, panels, vectors, pixels, rows_per_tile };
        let cycles = part_cycles(target, p, part);
        if cycles < best.0 * 0.99 {
            best = (cycles, part);
        }
    }
    best
}

/// One vector a panel, for kernels whose input is a vector too.
pub fn choose_depthwise(target: Target, p: Problem) -> Part {
    best_part(target, Problem { pixels_limit: p.pixels_limit.min(fitting_pixels(target, 1)), ..p }, 0, p.vectors, 1).1
}

/// Cycles that the model expects of panels of this many vectors.
pub fn choose_panels(target: Target, p: Problem, vectors: usize) -> f64 {
    best_part(target, p, 0, p.vectors / vectors, vectors).0
}

/// Parts that cover all vectors, and the cycles the model expects.
pub fn choose(target: Target, p: Problem) -> (f64, Vec<Part>) {
    let mut best: (f64, Vec<Part>) = (f64::INFINITY, Vec::new());
    let widest = if p.rows * p.cols == 1 { 8 } else { 6 };
    for vectors in 1..=p.vectors.min(widest) {
        if fitting_pixels(target, vectors) == 0 {
            break;
        }
        let (panels, rest) = (p.vectors / vectors, p.vectors % vectors);
        let (mut cycles, part) = best_part(target, p, 0, panels, vectors);
        let mut parts = vec![part];
        if rest > 0 {
            let (more, part) = best_part(target, p, panels * vectors, 1, rest);
            cycles += more;
            parts.push(part);
        }
        if cycles < best.0 {
            best = (cycles, parts);
        }
    }
    best
}

/// Input channels to sum over in one call, of `channels` in chunks of `chunk`. The weights of a panel, `per_channel` bytes a
/// channel, are read again by each of its `tiles` tiles: where they are too many to stay near, several calls each take a
/// part, and hand their sums on through the result.
pub fn reduction_block(channels: usize, chunk: usize, per_channel: usize, tiles: usize) -> usize {
    let (channels, chunk) = (channels.max(1), chunk.max(1));
    if channels * per_channel <= PANEL || tiles < FEW_TILES {
        return channels;
    }
    let calls = (channels * per_channel).div_ceil(PANEL);
    channels.div_ceil(calls).next_multiple_of(chunk)
}

/// How the items of work are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocking {
    /// Row groups of one item.
    pub row_block: usize,
    /// Whether consecutive items walk panels.
    pub panels_inner: bool,
}

/// Keeps the smaller of input and weights near and streams the other once.
///
/// `input_row` is the input bytes of one row group, `weights` the bytes of all panels, `others` the items that outer loops make.
pub fn blocking(groups: usize, input_row: usize, weights: usize, panels: usize, others: usize) -> Blocking {
    let input = groups * input_row;
    let enough = |row_block: usize| {
        let wanted = ITEMS.div_ceil((panels * others).max(1));
        row_block.min(groups.div_ceil(wanted)).max(1)
    };
    if input <= RESIDENT || weights > 4 * input {
        return Blocking { row_block: enough(groups), panels_inner: false };
    }
    let rows = (RESIDENT / 2 / input_row.max(1)).clamp(1, groups);
    Blocking { row_block: enough(rows), panels_inner: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_share_sets_of_the_cache_are_few() {
        // Whole ways apart, half of one, a quarter; with an odd number of lines between them all sets serve.
        assert_eq!([4096, 8192, 12288, -4096].map(rows_near), [7; 4]);
        assert_eq!([2048, 6144, 1024].map(rows_near), [15, 15, 31]);
        assert!([4000, 64, 4, 1000 * 4].into_iter().all(|stride| rows_near(stride) >= 28));
        assert_eq!(rows_near(0), 8 * 4096 - 1);
    }

    #[test]
    fn a_reduction_is_cut_where_several_tiles_read_many_weights() {
        let taps = 9 * 2 * 16 * 4;
        assert_eq!(reduction_block(128, 16, taps, 100), 128);
        assert_eq!(reduction_block(2048, 16, taps, 2), 2048);
        assert_eq!(reduction_block(2048, 16, taps, 100), 256);
        assert_eq!(reduction_block(650, 16, taps, 100), 224);
        assert_eq!(reduction_block(0, 16, taps, 100), 1);
        // A chunk cannot be cut.
        assert_eq!(reduction_block(2000, 2000, taps, 100), 2000);
    }
}
