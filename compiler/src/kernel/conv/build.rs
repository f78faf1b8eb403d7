//! Writes the tile program of a [`TileSpec`].
//!
//! ```text
//! for item (outer, row block, panel)
//!   for row group of the block
//!     for tile of the row group            two widths, or one body per tile when rows are tiled together
//!       acc[pixel][vector] = bias            and y[pixel][vector], the sums of an earlier call
//!       for chunk of channels, for tap y   unrolled: tap x, channel
//!         acc[pixel][vector] += splat x[pixel + tap, channel] * w[channel][vector]
//!         prefetch weights that follow, and the tile's share of the next panel's
//!       y[pixel][vector] = expression(acc, extras)
//! ```

mod bytes;

use super::spec::{Bytes, ExtraKind, Numbers, Outcome, STREAM_AHEAD, Stream, TileSpec, WeightLayout, body_budget};
use crate::kernel::NoKernel;
use crate::kernel::expression::expression;
use crate::tile::{
    Access, Builder, Cmp, Index, Kernel, Lane, Mem, Operand, PointerRef, RegId, ScalarId, Storage, Target, UnrollId,
    VectorOp,
};

/// Bytes of a cache line.
const LINE: i64 = 64;
/// Bytes of a panel that stay in the first-level cache.
const IN_L1: i64 = 16 << 10;
/// The cache that the next panel is brought into, and the one that weights about to be used are.
const NEAR: u8 = 2;
const NEXT: u8 = 1;
/// Bytes from the weights of a step to those brought into the nearest cache.
const SOON: i64 = 2048;

/// Pointers of one pixel stream within a tile.
struct Cursor<'a> {
    pointer: PointerRef,
    stream: &'a Stream,
    kind: ExtraKind,
}

/// Where the tile being written starts and how wide it is.
#[derive(Clone, Copy)]
struct Tile {
    /// First pixel within the row group when that is known; else the cursor already points there.
    first: Option<usize>,
    pixels: usize,
}

/// Weights to multiply with, and those of the next panel that this tile brings near meanwhile.
#[derive(Clone, Copy)]
struct Weights {
    at: PointerRef,
    ahead: Option<PointerRef>,
}

impl Weights {
    fn moved(self, k: &mut Builder, by: ScalarId) -> Self {
        Weights { at: k.pointer(self.at, by), ahead: self.ahead.map(|p| k.pointer(p, by)) }
    }

    /// The share of a tile: every [`TileSpec::turns`]th line from its own on.
    fn of_tile(self, k: &mut Builder, tile: ScalarId) -> Self {
        let line = k.mul_const(tile, LINE);
        Weights { at: self.at, ahead: self.ahead.map(|p| k.pointer(p, line)) }
    }
}

/// Pointers that all tiles of an item share.
#[derive(Clone, Copy)]
struct Fixed {
    w: Weights,
    bias: Option<PointerRef>,
    /// Zero point of the input, and the sums of the weights.
    zero: Option<(PointerRef, PointerRef)>,
    /// Zero points of the weights.
    weight_zeros: Option<PointerRef>,
}

struct Writer<'a> {
    spec: &'a TileSpec,
    lanes: i64,
    /// Valid lanes of the last vector of this item, when some must not be stored.
    tail: Option<ScalarId>,
}

/// Where the operands of a tile program begin.
pub(super) struct Bases {
    pub x: PointerRef,
    pub w: PointerRef,
    pub bias: Option<PointerRef>,
    /// Zero point of the input, and the sums of the weights.
    pub zero: Option<(PointerRef, PointerRef)>,
    /// Zero points of the weights, and the sums of the input's bytes that they are multiplied by.
    pub pixel_sums: Option<(PointerRef, PointerRef)>,
    pub extras: Vec<PointerRef>,
    pub y: PointerRef,
}

/// Scalars of an item of work.
struct Item {
    outer: Vec<ScalarId>,
    panel: ScalarId,
    first_group: ScalarId,
    last_group: ScalarId,
}

impl TileSpec {
    /// The program. Bases: x, w, (bias), extras in order, y.
    pub fn build(&self, target: Target) -> Result<Kernel, NoKernel> {
        let mut k = Builder::new(self.name(target.lanes), target);
        let x = k.base("x", Access::Read);
        let w = k.base("w", Access::Read);
        let bias = self.bias.as_ref().map(|_| k.base("bias", Access::Read));
        let zero = self.bytes().filter(|b| b.zero_at_run_time).map(|_| {
            let point = k.base("zero", Access::Read);
            (point, k.base("sums", Access::Read))
        });
        let pixel_sums = self.bytes().filter(|b| b.pixel_sums.is_some()).map(|_| {
            let zeros = k.base("weight zeros", Access::Read);
            (zeros, k.base("pixel sums", Access::Read))
        });
        let extras = (0..self.extras.len()).map(|i| k.base(&format!("e{i}"), Access::Read)).collect();
        let y = k.base("y", Access::Write);
        let (begin, end) = (k.begin(), k.end());
        self.write(&mut k, Bases { x, w, bias, zero, pixel_sums, extras, y }, (begin, end))?;
        Ok(k.finish())
    }

    /// Writes the items of a range into a program.
    pub(super) fn write(&self, k: &mut Builder, bases: Bases, items: (ScalarId, ScalarId)) -> Result<(), NoKernel> {
        let Bases { x, w, bias, zero, pixel_sums, extras, y } = bases;
        let lanes = k.lanes();
        let mut failed = None;
        k.for_(items.0, items.1, 1, |k, item| {
            let item = self.decode(k, item);
            let tail = self.tail_lanes.map(|tail| self.tail_count(k, item.panel, tail, lanes));
            let writer = Writer { spec: self, lanes: i64::from(lanes), tail };
            let w = {
                let at = offset(k, &item.outer, &self.w_outer, item.panel, self.w_panel);
                let at = k.pointer(w, at);
                self.weights(k, at)
            };
            let bp = bias.map(|b| {
                let strides = self.bias.clone().unwrap_or_default();
                let panel = self.vectors as i64 * writer.lanes * 4;
                let at = offset(k, &item.outer, &strides, item.panel, panel);
                k.pointer(b, at)
            });
            let of_panel = |k: &mut Builder, numbers| {
                let at = k.mul_const(item.panel, self.vectors as i64 * writer.lanes * 4);
                k.pointer(numbers, at)
            };
            let zero = zero.map(|(point, sums)| (point, of_panel(k, sums)));
            let weight_zeros = pixel_sums.map(|(zeros, _)| of_panel(k, zeros));
            let of_pixels = self.bytes().and_then(|b| b.pixel_sums.as_ref()).zip(pixel_sums);
            let streams: Vec<(PointerRef, &Stream, ExtraKind)> = std::iter::once((x, &self.x, ExtraKind::Element))
                .chain(extras.iter().zip(&self.extras).map(|(p, (kind, s))| (*p, s, *kind)))
                .chain(of_pixels.map(|(s, (_, sums))| (sums, s, ExtraKind::Element)))
                .chain(std::iter::once((y, &self.y, ExtraKind::Element)))
                .map(|(p, s, kind)| {
                    let at = offset(k, &item.outer, &s.outer, item.panel, s.panel);
                    (k.pointer(p, at), s, kind)
                })
                .collect();
            k.for_(item.first_group, item.last_group, 1, |k, group| {
                let cursors: Vec<Cursor> = streams
                    .iter()
                    .map(|(p, stream, kind)| Cursor {
                        pointer: advance(k, *p, group, stream.row, self.rows_per_tile),
                        stream,
                        kind: *kind,
                    })
                    .collect();
                let turn = if self.panels_inner { k.ssub(group, item.first_group) } else { group };
                let turn = k.mul_const(turn, self.tiles_of_group() as i64);
                let w = w.of_tile(k, turn);
                if let Err(e) = writer.row_group(k, Fixed { w, bias: bp, zero, weight_zeros }, &cursors) {
                    failed = Some(e);
                }
            });
        });
        failed.map_or(Ok(()), Err)
    }

    pub(super) fn bytes(&self) -> Option<&Bytes> {
        match &self.numbers {
            Numbers::Floats => None,
            Numbers::Bytes(bytes) => Some(bytes),
        }
    }

    /// Weights of an item, and what follows them.
    fn weights(&self, k: &mut Builder, at: PointerRef) -> Weights {
        let ahead = self.turns().map(|turns| {
            let distance = k.num(if turns == 1 { self.w_panel.min(STREAM_AHEAD) } else { self.w_panel });
            k.pointer(at, distance)
        });
        Weights { at, ahead }
    }

    /// Bytes of one vector of weights.
    fn weight_width(&self, lanes: i64) -> i64 {
        self.bytes().map_or(4, |b| b.quad as i64) * lanes
    }

    /// Splits an item number into outer indices, panel, and row groups.
    fn decode(&self, k: &mut Builder, item: ScalarId) -> Item {
        let (blocks, panels) = (self.row_blocks() as i64, self.panels as i64);
        let (inner, middle) = if self.panels_inner { (panels, blocks) } else { (blocks, panels) };
        let (a, rest) = digit(k, item, inner);
        let (b, mut rest) = digit(k, rest, middle);
        let (panel, block) = if self.panels_inner { (a, b) } else { (b, a) };
        let mut outer = Vec::new();
        for count in self.outer.iter().rev() {
            let (index, more) = digit(k, rest, *count as i64);
            outer.push(index);
            rest = more;
        }
        outer.reverse();
        let first_group = k.mul_const(block, self.row_block as i64);
        let past = k.add_const(first_group, self.row_block as i64);
        let all = k.num(self.row_groups() as i64);
        let last_group = k.smin(past, all);
        Item { outer, panel, first_group, last_group }
    }

    /// Lanes to store of the last vector: all of them except in the last panel.
    fn tail_count(&self, k: &mut Builder, panel: ScalarId, tail: usize, lanes: u32) -> ScalarId {
        let last = k.num(self.panels as i64 - 1);
        let (some, all) = (k.num(tail as i64), k.num(i64::from(lanes)));
        let cond = crate::tile::Cond { cmp: Cmp::Eq, a: panel, b: last };
        k.scalar(crate::tile::ScalarOp::Select(cond, some, all))
    }
}

/// `value mod count` and `value / count`.
fn digit(k: &mut Builder, value: ScalarId, count: i64) -> (ScalarId, ScalarId) {
    if count == 1 {
        return (k.num(0), value);
    }
    (k.rem_const(value, count), k.div_const(value, count))
}

/// Sum of index times stride.
fn offset(k: &mut Builder, outer: &[ScalarId], strides: &[i64], panel: ScalarId, panel_stride: i64) -> ScalarId {
    let mut sum = k.mul_const(panel, panel_stride);
    for (index, stride) in outer.iter().zip(strides) {
        if *stride != 0 {
            let part = k.mul_const(*index, *stride);
            sum = k.sadd(sum, part);
        }
    }
    sum
}

fn advance(k: &mut Builder, p: PointerRef, by: ScalarId, stride: i64, times: usize) -> PointerRef {
    if stride == 0 {
        return p;
    }
    let at = k.mul_const(by, stride * times as i64);
    k.pointer(p, at)
}

impl Writer<'_> {
    /// All tiles of one row group. `cursors` are x, extras, the sums of pixels, y at the group's first pixel.
    fn row_group(&self, k: &mut Builder, fixed: Fixed, cursors: &[Cursor]) -> Result<(), NoKernel> {
        if self.spec.rows_per_tile > 1 {
            let (mut first, mut turn) = (0, 0);
            let mut result = Ok(());
            for (count, pixels) in self.spec.tiles() {
                for _ in 0..count {
                    // A block of its own, so that the next tile gets the accumulators' registers.
                    k.unroll(1, |k, _| {
                        let number = k.num(turn);
                        let fixed = Fixed { w: fixed.w.of_tile(k, number), ..fixed };
                        if let Err(e) = self.tile(k, fixed, cursors, Tile { first: Some(first), pixels }) {
                            result = Err(e);
                        }
                    });
                    first += pixels;
                    turn += 1;
                }
            }
            return result;
        }
        let (mut start, mut turn) = (0, 0);
        let mut result = Ok(());
        for (count, pixels) in self.spec.tiles() {
            if count == 0 || pixels == 0 {
                continue;
            }
            // A block even around a single tile: its registers are free for the next width.
            k.unroll(1, |k, _| {
                k.for_count(count as i64, |k, i| {
                    let here = k.mul_const(i, pixels as i64);
                    let here = k.add_const(here, start as i64);
                    let moved: Vec<Cursor> = cursors
                        .iter()
                        .map(|c| Cursor {
                            pointer: advance(k, c.pointer, here, c.stream.col, 1),
                            stream: c.stream,
                            kind: c.kind,
                        })
                        .collect();
                    let number = k.add_const(i, turn);
                    let fixed = Fixed { w: fixed.w.of_tile(k, number), ..fixed };
                    if let Err(e) = self.tile(k, fixed, &moved, Tile { first: None, pixels }) {
                        result = Err(e);
                    }
                });
            });
            start += count * pixels;
            turn += count as i64;
        }
        result
    }

    /// Displacement of pixel `m` of a tile in a stream.
    fn pixel(&self, k: &mut Builder, stream: &Stream, tile: Tile, m: UnrollId) -> Index {
        let Some(first) = tile.first else { return m * stream.col };
        let cols = self.spec.cols;
        let place = |p: usize| (p / cols) as i64 * stream.row + (p % cols) as i64 * stream.col;
        let table = k.table((first..first + tile.pixels).map(place).collect());
        Index::Table(table, Box::new(m.into()))
    }

    fn tile(&self, k: &mut Builder, fixed: Fixed, cursors: &[Cursor], tile: Tile) -> Result<(), NoKernel> {
        let (pixels, vectors) = (tile.pixels as u32, self.spec.vectors as u32);
        let lane = if self.spec.bytes().is_some() { Lane::I32 } else { Lane::F32 };
        let acc = k.reg(lane, &[pixels, vectors]);
        match cursors.last() {
            Some(y) if self.spec.resumes => k.unroll(vectors, |k, n| {
                let bias = fixed.bias.map(|p| k.load(p, n * (self.lanes * 4)));
                k.unroll(pixels, |k, m| {
                    let at = self.pixel(k, y.stream, tile, m) + n * y.stream.vector;
                    let held = k.load(y.pointer, at);
                    let held = bias.iter().fold(held, |held, bias| k.add(held, bias.clone()));
                    k.set(acc, &[m.into(), n.into()], VectorOp::Copy(held));
                });
            }),
            _ => k.unroll(vectors, |k, n| {
                let start = self.start(k, fixed, n);
                let zeros = fixed.weight_zeros.map(|p| k.load(p, n * (self.lanes * 4)));
                k.unroll(pixels, |k, m| {
                    let own = match (&zeros, cursors.get(1 + self.spec.extras.len())) {
                        (Some(zeros), Some(sums)) => self.less_zeros(k, &start, zeros, sums, tile, m),
                        _ => VectorOp::Copy(start.clone()),
                    };
                    k.set(acc, &[m.into(), n.into()], own);
                });
            }),
        }
        self.reduction(k, fixed.w, &cursors[0], tile, acc);
        self.store(k, cursors, tile, acc)
    }

    /// The sum over chunks, taps and channels.
    fn reduction(&self, k: &mut Builder, w: Weights, x: &Cursor, tile: Tile, acc: RegId) {
        let s = self.spec;
        if s.taps[0].0 * s.taps[1].0 == 0 {
            return;
        }
        let full = s.channels / s.chunk;
        let rest = s.channels % s.chunk;
        let vector_bytes = s.vectors as i64 * s.weight_width(self.lanes);
        // Bytes of the weights of one chunk, all taps.
        let per_channel = match s.w_layout {
            WeightLayout::Packed => vector_bytes,
            WeightLayout::Rows(stride) => stride,
        };
        let chunk_bytes = per_channel * (s.chunk * s.taps[0].0 * s.taps[1].0) as i64;
        if full > 0 {
            k.for_count(full as i64, |k, c| {
                let (xo, wo) = (k.mul_const(c, s.chunk_stride), k.mul_const(c, chunk_bytes));
                let (xp, w) = (k.pointer(x.pointer, xo), w.moved(k, wo));
                self.taps(k, xp, w, x.stream, tile, acc, s.chunk, per_channel);
            });
        }
        if rest > 0 {
            let (xo, wo) = (k.num(full as i64 * s.chunk_stride), k.num(full as i64 * chunk_bytes));
            let (xp, w) = (k.pointer(x.pointer, xo), w.moved(k, wo));
            self.taps(k, xp, w, x.stream, tile, acc, rest, per_channel);
        }
    }

    /// All taps of `channels` channels: loops over tap rows, and over tap columns and parts of the channels where the
    /// unrolled body would be too long.
    fn taps(
        &self,
        k: &mut Builder,
        xp: PointerRef,
        w: Weights,
        x: &Stream,
        tile: Tile,
        acc: RegId,
        channels: usize,
        per_channel: i64,
    ) {
        let s = self.spec;
        let ([(ky, y_step), (kx, x_step)], target) = (s.taps, k.target());
        let multiply = match s.bytes() {
            Some(Bytes { quad: 1, .. }) => 2,
            Some(_) => 1,
            None => {
                if target.fma {
                    1
                } else {
                    2
                }
            }
        };
        let per_step = tile.pixels * s.vectors * multiply + tile.pixels + s.vectors;
        let steps = (body_budget(target) / per_step).max(1);
        let unroll_x = if kx * channels <= steps { kx } else { 1 };
        let part = largest_divisor(channels, (steps / unroll_x).max(1));
        let (run, lines) = self.fetches(part, per_channel);
        let body = |k: &mut Builder, xp: PointerRef, w: Weights| {
            k.unroll(unroll_x as u32, |k, tx| {
                k.unroll((part / run) as u32, |k, r| {
                    let weight = (tx * (channels as i64 * per_channel)) + (r * (run as i64 * per_channel));
                    if let Some(ahead) = w.ahead {
                        k.unroll(lines as u32, |k, line| {
                            k.prefetch(ahead, weight.clone() + line * (s.turns().unwrap_or(1) as i64 * LINE), NEAR);
                        });
                    }
                    k.unroll(run as u32, |k, c| {
                        let weight = weight.clone() + c * per_channel;
                        let input = (tx * x_step) + (r * (run as i64 * s.channel_stride)) + (c * s.channel_stride);
                        self.step(k, xp, w.at, x, tile, acc, input, weight);
                    });
                });
            });
        };
        let row_bytes = (kx * channels) as i64 * per_channel;
        k.for_count(ky as i64, |k, ty| {
            let (xo, wo) = (k.mul_const(ty, y_step), k.mul_const(ty, row_bytes));
            let (xp, w) = (k.pointer(xp, xo), w.moved(k, wo));
            k.for_count((kx / unroll_x) as i64, |k, tx| {
                let (xo, wo) = (k.mul_const(tx, x_step), k.mul_const(tx, channels as i64 * per_channel));
                let (xp, w) = (k.pointer(xp, xo), w.moved(k, wo));
                k.for_count((channels / part) as i64, |k, c| {
                    let (xo, wo) =
                        (k.mul_const(c, part as i64 * s.channel_stride), k.mul_const(c, part as i64 * per_channel));
                    let (xp, w) = (k.pointer(xp, xo), w.moved(k, wo));
                    body(k, xp, w);
                });
            });
        });
    }

    /// Steps of a body between fetches of the next panel, and the lines of each fetch: a tile's share of what the steps read.
    fn fetches(&self, steps: usize, per_channel: i64) -> (usize, usize) {
        let Some(turns) = self.spec.turns() else { return (steps, 0) };
        let lines = |run: usize| (run * per_channel.unsigned_abs() as usize).div_ceil(LINE as usize);
        let run = (1..=steps).find(|run| steps.is_multiple_of(*run) && lines(*run) >= turns).unwrap_or(steps);
        (run, lines(run).div_ceil(turns))
    }

    /// Asks for the lines of a step a little ahead of its weights.
    fn fetch(&self, k: &mut Builder, w: PointerRef, weight: &Index) {
        if self.spec.w_layout != WeightLayout::Packed || self.spec.depthwise || self.spec.w_panel <= IN_L1 {
            return;
        }
        let bytes = self.spec.vectors as i64 * self.spec.weight_width(self.lanes);
        for line in (0..bytes).step_by(LINE as usize) {
            k.prefetch(w, weight.clone() + Index::Const(line + SOON), NEXT);
        }
    }

    /// One channel of one tap: `vectors` weight loads, `pixels` broadcasts, their products.
    fn step(
        &self,
        k: &mut Builder,
        xp: PointerRef,
        wp: PointerRef,
        x: &Stream,
        tile: Tile,
        acc: RegId,
        input: Index,
        weight: Index,
    ) {
        if let Some(bytes) = self.spec.bytes() {
            return self.byte_step(k, bytes.quad, (xp, wp), x, tile, acc, (input, weight));
        }
        let vectors = self.spec.vectors;
        let width = self.lanes * 4;
        self.fetch(k, wp, &weight);
        let weights: Vec<Operand> = (0..vectors)
            .map(|n| {
                let at = weight.clone() + Index::Const(n as i64 * width);
                match (self.spec.w_layout, self.tail) {
                    (WeightLayout::Rows(_), Some(tail)) if n + 1 == vectors => k.load_first(wp, at, tail),
                    _ => k.load(wp, at),
                }
            })
            .collect();
        k.unroll(tile.pixels as u32, |k, m| {
            let at = self.pixel(k, x, tile, m) + input;
            let value = if self.spec.depthwise { k.load(xp, at) } else { k.splat_load(xp, at) };
            for (n, weight) in weights.iter().enumerate() {
                k.accumulate(acc, &[m.into(), Index::Const(n as i64)], value.clone(), weight.clone());
            }
        });
    }

    /// Expression and store.
    fn store(&self, k: &mut Builder, cursors: &[Cursor], tile: Tile, acc: RegId) -> Result<(), NoKernel> {
        let mut result = Ok(());
        let (width, vectors) = (self.lanes * 4, self.spec.vectors);
        let (y, extras) = match cursors.split_last() {
            Some((y, rest)) => (y, &rest[1..=self.spec.extras.len()]),
            None => return Ok(()),
        };
        for n in 0..vectors {
            let last = n + 1 == vectors;
            let fixed: Vec<Option<Operand>> = extras
                .iter()
                .map(|e| match e.kind {
                    ExtraKind::Element => None,
                    ExtraKind::Channel => Some(k.load(e.pointer, n as i64 * width)),
                    ExtraKind::Scalar => Some(k.splat_load(e.pointer, 0)),
                })
                .collect();
            k.unroll(tile.pixels as u32, |k, m| {
                let sum = k.get(acc, &[m.into(), Index::Const(n as i64)]);
                let floats = self.spec.bytes().is_some_and(|b| b.outcome != Outcome::Sums);
                let sum = if floats { k.vector(VectorOp::ToFloat(sum)) } else { sum };
                let mut inputs = vec![sum];
                for (i, (e, fixed)) in extras.iter().zip(&fixed).enumerate() {
                    inputs.push(match (fixed, self.tail) {
                        (Some(value), _) => value.clone(),
                        (None, tail) => {
                            let disp = self.pixel(k, e.stream, tile, m) + Index::Const(n as i64 * e.stream.vector);
                            let mem = Mem { pointer: e.pointer, disp };
                            self.extra(k, i, mem, tail.filter(|_| last))
                        }
                    });
                }
                let value = match expression(k, &self.spec.epilogue, &inputs) {
                    Ok(value) => value,
                    Err(e) => {
                        result = Err(e);
                        return;
                    }
                };
                let at = self.pixel(k, y.stream, tile, m) + Index::Const(n as i64 * y.stream.vector);
                let rounded = self.spec.bytes().is_some_and(|b| b.outcome == Outcome::Bytes);
                let (value, storage) =
                    if rounded { (k.vector(VectorOp::ToInt(value)), Storage::U8) } else { (value, Storage::B32) };
                k.store_as(y.pointer, at, value, self.tail.filter(|_| last), storage);
            });
        }
        result
    }
}

/// Largest divisor of `n` that is at most `limit`.
fn largest_divisor(n: usize, limit: usize) -> usize {
    (1..=n.min(limit).max(1)).rev().find(|d| n.is_multiple_of(*d)).unwrap_or(1)
}
