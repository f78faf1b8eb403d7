//! What a tile kernel is: plain numbers, all known when it is built.

use crate::ir::Expression;
use crate::tile::{Storage, Target};
use std::fmt::Write;

/// How the operands of the fused expression beyond input 0 are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtraKind {
    /// One element per output element; its own [`Stream`] strides say where.
    Element,
    /// One vector of channels, the same for every pixel.
    Channel,
    /// One number.
    Scalar,
}

/// Byte strides of one stream of pixels (input, output, or an element-wise operand).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stream {
    /// Per outer loop of [`TileSpec::outer`].
    pub outer: Vec<i64>,
    /// From one panel of output channels to the next (0 for the input).
    pub panel: i64,
    /// From one vector of output channels to the next within a panel.
    pub vector: i64,
    /// From one output row to the next.
    pub row: i64,
    /// From one output pixel to the next.
    pub col: i64,
}

/// How weights lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightLayout {
    /// `[panel][chunk][tap y][tap x][channel of chunk][vector][lane]`, dense.
    Packed,
    /// Row-major `[k][n]`: bytes from one channel to the next. One tap only.
    Rows(i64),
}

/// What is multiplied.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Numbers {
    /// f32 by f32.
    #[default]
    Floats,
    /// Unsigned by signed bytes, summed in i32.
    Bytes(Bytes),
}

/// What is stored of sums of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The sums themselves, i32. No epilogue.
    Sums,
    /// What the epilogue makes of them, f32.
    Floats,
    /// The bytes that this is rounded to.
    Bytes,
}

/// A sum of products of bytes, and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Bytes {
    /// Channels of a step: 4 in a word where the target has a dot of bytes, else 1. Weights are `[..][vector][lane][channel]`.
    pub quad: usize,
    /// What is stored.
    pub outcome: Outcome,
    /// Whether the zero point of the input is read at run time, with the sums of the weights it is multiplied by.
    pub zero_at_run_time: bool,
    /// Where the sum of the input's bytes below each pixel lies, i32, the same in all lanes: the weights' zero points are
    /// multiplied by it.
    pub pixel_sums: Option<Stream>,
    /// Format of each operand of the epilogue after input 0.
    pub extras: Vec<Storage>,
}

/// A tile kernel: for every output row, pixel and panel of channels, the sum over taps and channels of input times weight,
/// then bias, expression and store. Convolutions, matrix products and dense layers are all of this form.
///
/// Work is `outer x row blocks x panels`; within an item all rows of the block and all pixels of a row are computed tile by
/// tile, each with its accumulators in registers for the whole reduction.
#[derive(Clone, Debug, PartialEq)]
pub struct TileSpec {
    /// Family in the kernel's name: `conv`, `matmul`.
    pub family: &'static str,
    /// Counts of the outer loops (images, groups, batch dimensions).
    pub outer: Vec<usize>,
    /// Output rows.
    pub rows: usize,
    /// Output pixels of a row.
    pub cols: usize,
    /// Rows that are tiled together (1 when a row is long enough); divides `rows`.
    pub rows_per_tile: usize,
    /// Panels of output channels.
    pub panels: usize,
    /// Vectors of output channels in a panel.
    pub vectors: usize,
    /// Valid lanes of the last vector of the last panel when stores must not go beyond them.
    pub tail_lanes: Option<usize>,
    /// Taps in y and x, and the input bytes from one to the next (may be negative).
    pub taps: [(usize, i64); 2],
    /// Input channels summed over.
    pub channels: usize,
    /// Channels of a chunk (an input channel block, or all).
    pub chunk: usize,
    /// Input bytes from one chunk to the next.
    pub chunk_stride: i64,
    /// Input bytes from one channel of a chunk to the next.
    pub channel_stride: i64,
    /// Input; `row` and `col` include the convolution's stride.
    pub x: Stream,
    /// Output.
    pub y: Stream,
    /// Weight bytes: per outer loop, and per panel.
    pub w_outer: Vec<i64>,
    /// Weight bytes from one panel to the next.
    pub w_panel: i64,
    /// How weights lie.
    pub w_layout: WeightLayout,
    /// Whether there is a bias vector (bytes per outer loop; a panel is dense).
    pub bias: Option<Vec<i64>>,
    /// Whether sums begin with what the result holds (those of earlier channels or taps, of another call).
    pub resumes: bool,
    /// Whether input elements are read as vectors of channels (depthwise: one vector, one channel) instead of broadcast.
    pub depthwise: bool,
    /// What is multiplied. The bias of bytes is i32.
    pub numbers: Numbers,
    /// What happens before the store; sums of bytes go through it as f32.
    pub epilogue: Expression,
    /// Operands of the epilogue after input 0.
    pub extras: Vec<(ExtraKind, Stream)>,
    /// Tile width in pixels at most.
    pub max_pixels: usize,
    /// Rows (after [`TileSpec::rows_per_tile`] grouping) of one item of work.
    pub row_block: usize,
    /// Whether consecutive items walk panels (the input block is reused) or row blocks (the weights are).
    pub panels_inner: bool,
}

/// Tiles that share a panel from which on nothing is gained by bringing it near.
const MANY_TURNS: usize = 32;
/// Bytes of a stream of weights, each read once, that are on their way while it is read.
pub(super) const STREAM_AHEAD: i64 = 16 << 10;

/// Vector instructions that an unrolled body may have.
pub fn body_budget(target: Target) -> usize {
    if target.lanes == 4 { 150 } else { 2500 }
}

impl TileSpec {
    /// Row groups of the whole plane.
    pub fn row_groups(&self) -> usize {
        self.rows / self.rows_per_tile
    }
    /// Items of row blocks.
    pub fn row_blocks(&self) -> usize {
        self.row_groups().div_ceil(self.row_block)
    }
    /// Items of work.
    pub fn extent(&self) -> u64 {
        (self.outer.iter().product::<usize>() * self.row_blocks() * self.panels) as u64
    }
    /// Tile widths of one row group: `(count, pixels)` twice, the wider first; the second count may be 0.
    pub fn tiles(&self) -> [(usize, usize); 2] {
        let pixels = self.cols * self.rows_per_tile;
        let count = pixels.div_ceil(self.max_pixels).max(1);
        let (narrow, wide) = (pixels / count, pixels % count);
        [(wide, narrow + 1), (count - wide, narrow)]
    }
    /// Tiles of one row group.
    pub fn tiles_of_group(&self) -> usize {
        self.tiles().iter().map(|(count, _)| count).sum()
    }
    /// Tiles that take turns at bringing the next panel's weights near while they multiply with those of their own: all that
    /// share a panel. `None` where so many do that the first, which would wait for the panel, is not missed.
    pub fn turns(&self) -> Option<usize> {
        let groups = if self.panels_inner { self.row_block.min(self.row_groups()) } else { self.row_groups() };
        let turns = groups * self.tiles_of_group();
        (self.w_layout == WeightLayout::Packed && !self.depthwise && (1..=MANY_TURNS).contains(&turns)).then_some(turns)
    }
    /// `conv-f32-14x2-k3x3s..-c64-relu`: family, tile, taps, channels and a digest of the rest.
    pub fn name(&self, lanes: u32) -> String {
        let [(wide, m), (_, narrow)] = self.tiles();
        let pixels = if wide > 0 { m } else { narrow };
        let (ky, kx) = (self.taps[0].0, self.taps[1].0);
        let numbers = match &self.numbers {
            Numbers::Floats => "f32",
            Numbers::Bytes(Bytes { outcome: Outcome::Sums, .. }) => "u8-i32",
            Numbers::Bytes(Bytes { outcome: Outcome::Floats, .. }) => "u8-f32",
            Numbers::Bytes(Bytes { outcome: Outcome::Bytes, .. }) => "u8",
        };
        let mut name = format!("{}-{numbers}-{}x{}", self.family, pixels, self.vectors * lanes as usize);
        let _ = write!(name, "-k{ky}x{kx}-c{}-{}x{}", self.channels, self.rows, self.cols);
        if self.resumes {
            name.push_str("-resumed");
        }
        for step in &self.epilogue.steps {
            name.push('-');
            name.push_str(&step_word(step));
        }
        name
    }
}

/// One word for a step of an epilogue.
pub(super) fn step_word(step: &crate::ir::Step) -> String {
    let text = match step {
        crate::ir::Step::Unary(op, _) => format!("{op:?}"),
        crate::ir::Step::Binary(op, _, _) => format!("{op:?}"),
    };
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase()
}
