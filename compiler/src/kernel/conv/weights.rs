//! How the weight of a convolution is packed: panel by panel in the order of the reduction.

use super::choose;
use super::lower::Geometry;
use crate::kernel::{PackLoop, PackPiece, PackSpec};
use std::ops::Range;

/// How the weight of a convolution is packed.
pub(super) struct ConvPack {
    pub weight_dims: Vec<usize>,
    /// Input channels of a group, and groups that are computed as one.
    pub per_group: usize,
    pub merged: usize,
    /// Rows and columns of taps; groups that are merged or depthwise take all.
    pub taps: [Range<usize>; 2],
    pub chunk: usize,
    pub lanes: usize,
    pub depthwise: bool,
}

impl ConvPack {
    /// Weights of a part of the output channels and a range of input channels.
    pub fn spec(&self, g: &Geometry, part: &choose::Part, channels: &Range<usize>) -> PackSpec {
        let [_, _, ky, kx] = self.weight_dims[..] else { return PackSpec::plain(&self.weight_dims) };
        let mut pieces = Vec::new();
        let panel = part.vectors * self.lanes;
        if self.depthwise {
            let l = |count, dim, step| PackLoop { count, dim, step };
            let loops = vec![l(part.panels, 0, self.lanes), l(ky, 2, 1), l(kx, 3, 1), l(self.lanes, 0, 1)];
            pieces.push(PackPiece { start: vec![0; 4], end: self.weight_dims.clone(), loops });
            return PackSpec::new(self.weight_dims.clone(), pieces);
        }
        for group in 0..g.groups {
            let first = group * g.output + (part.first + g.first) * self.lanes;
            let end = (group + 1) * g.output + g.first * self.lanes;
            if self.merged > 1 {
                self.diagonal(&mut pieces, g, (first, end), part);
                continue;
            }
            for p in 0..part.panels {
                for (start, (chunk, count)) in chunks(channels.len(), self.chunk) {
                    let loops = vec![
                        PackLoop { count, dim: 1, step: self.chunk },
                        PackLoop { count: self.taps[0].len(), dim: 2, step: 1 },
                        PackLoop { count: self.taps[1].len(), dim: 3, step: 1 },
                        PackLoop { count: chunk, dim: 1, step: 1 },
                        PackLoop { count: panel, dim: 0, step: 1 },
                    ];
                    let taps = [self.taps[0].start, self.taps[1].start];
                    let start = vec![first + p * panel, channels.start + start, taps[0], taps[1]];
                    pieces.push(PackPiece { start, end: vec![end, self.per_group, ky, kx], loops });
                }
            }
        }
        PackSpec::new(self.weight_dims.clone(), pieces)
    }

    /// Merged groups: for each input channel only the output channels `rows` of its own group are not zero.
    fn diagonal(&self, pieces: &mut Vec<PackPiece>, g: &Geometry, rows: (usize, usize), part: &choose::Part) {
        let [_, _, ky, kx] = self.weight_dims[..] else { return };
        let panel = part.vectors * self.lanes;
        for p in 0..part.panels {
            for (start, (channels, count)) in chunks(g.input, self.chunk) {
                for c in 0..count {
                    for (y, x) in (0..ky).flat_map(|y| (0..kx).map(move |x| (y, x))) {
                        let first = start + c * self.chunk;
                        let block = [first, first + channels];
                        self.diagonal_block(pieces, g, (rows.0 + p * panel, rows.1), panel, block, [y, x]);
                    }
                }
            }
        }
    }

    /// `[channel][output channel]` of one tap. The rows of a group are as far apart as the panel is wide, so that those of all
    /// its channels are one piece, with the zeros between them behind the piece's end.
    fn diagonal_block(
        &self,
        pieces: &mut Vec<PackPiece>,
        g: &Geometry,
        (first, last): (usize, usize),
        panel: usize,
        [begin, end]: [usize; 2],
        [y, x]: [usize; 2],
    ) {
        let [_, per_group, ky, kx] = self.weight_dims[..] else { return };
        let mut push = |row: usize, past: usize, channel: usize, loops: &[(usize, usize)]| {
            let loops = loops.iter().map(|(dim, count)| PackLoop { count: *count, dim: *dim, step: 1 }).collect();
            pieces.push(PackPiece { start: vec![row, channel, y, x], end: vec![past, per_group, ky, kx], loops });
        };
        let (of_group, base, mut at) = (g.output / self.merged, last - g.output, 0);
        for owner in begin / per_group..end.div_ceil(per_group) {
            let (from, to) = ((owner * per_group).max(begin), ((owner + 1) * per_group).min(end));
            let own = base + owner * of_group;
            let (low, high) = (own.clamp(first, first + panel), (own + of_group).clamp(first, first + panel));
            if low == high {
                continue;
            }
            let begins = (from - begin) * panel + low - first;
            push(0, 0, 0, &[(0, begins - at)]);
            let channel = from - owner * per_group;
            push(low, high, channel, &[(1, to - from - 1), (0, panel)]);
            push(low, high, channel + to - from - 1, &[(0, high - low)]);
            at = begins + (to - from - 1) * panel + high - low;
        }
        push(0, 0, 0, &[(0, (end - begin) * panel - at)]);
        pieces.retain(|piece| !piece.is_empty());
    }
}

/// `(first channel, (channels of a chunk, chunks))`: the whole chunks, then the rest.
pub(super) fn chunks(channels: usize, chunk: usize) -> Vec<(usize, (usize, usize))> {
    let (full, rest) = (channels / chunk, channels % chunk);
    let mut found = Vec::new();
    if full > 0 {
        found.push((0, (chunk, full)));
    }
    if rest > 0 {
        found.push((full * chunk, (rest, 1)));
    }
    found
}
