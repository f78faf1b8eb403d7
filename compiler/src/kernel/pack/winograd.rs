//! Filters of 3x3 taps as Winograd's minimal filtering F(2x2, 3x3) multiplies them: `G g G^T`, 4x4 numbers.

use super::{PackPiece, Reader};

/// `G`: what each of the four numbers of a row or column takes from its three taps.
const G: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

/// Packed elements `from..from + out.len()` of a piece over `[o, i, 4, 4]`; the source is `[o, i, 3, 3]`, and its factors are the same
/// for all taps of a filter.
pub(super) fn pack_piece(r: &Reader, piece: &PackPiece, from: usize, out: &mut [f32]) {
    let Some((last, outer)) = piece.loops.split_last() else { return };
    let (mut at, end) = (from, from + out.len());
    while at < end {
        let (mut rest, first) = (at / last.count, at % last.count);
        let count = (last.count - first).min(end - at);
        let mut index = piece.start.clone();
        for l in outer.iter().rev() {
            index[l.dim] += rest % l.count * l.step;
            rest /= l.count;
        }
        index[last.dim] += first * last.step;
        let row = &mut out[at - from..at - from + count];
        let inside = index.iter().zip(&piece.end).all(|(i, end)| i < end);
        let room = piece.end[last.dim].saturating_sub(index[last.dim]).div_ceil(last.step.max(1));
        let (own, beyond) = row.split_at_mut(if inside { room.min(count) } else { 0 });
        pack_row(r, index, (last.dim, last.step), own);
        beyond.fill(0.0);
        at += count;
    }
}

/// Numbers of `G g G^T` at one point, of filters one after another along a dimension, each rounded once.
fn pack_row(r: &Reader, mut index: Vec<usize>, (dim, step): (usize, usize), out: &mut [f32]) {
    let (&[o, i, u, v], &[so, si, sy, sx]) = (&index[..], &r.strides[..]) else { return };
    let (Some(of_row), Some(of_column)) = (G.get(u), G.get(v)) else { return };
    let taps = (0..9).map(|n| (n / 3, n % 3)).map(|(y, x)| (y * sy + x * sx, of_row[y] * of_column[x]));
    let taps: Vec<(usize, f64)> = taps.filter(|(_, part)| *part != 0.0).collect();
    let (mut filter, along) = (o * so + i * si, step * r.strides[dim]);
    for to in out {
        let sum: f64 = taps.iter().map(|(tap, part)| part * f64::from(r.at(filter + tap))).sum();
        *to = if r.scales.is_empty() { sum as f32 } else { (sum * r.factor(&index)) as f32 };
        filter += along;
        index[dim] += step;
    }
}

#[cfg(test)]
mod tests {
    use crate::ir::{AxisScale, Weight};
    use crate::kernel::pack::{Elements, PackLoop, PackPiece, PackSpec};
    use std::sync::Arc;

    /// `[panel][i][o of a panel]` of each of the 16 numbers, against the definition by whole matrices, in any parts.
    #[test]
    fn filters_become_what_the_definition_says() {
        let (o, i) = (6, 3);
        let taps: Vec<f32> = (0..o * i * 9).map(|n| ((n * 37) % 23) as f32 - 11.0).collect();
        let bytes: Vec<u8> = taps.iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut weight = Weight::from_bytes(brolga_runtime::DType::F32, vec![o, i, 3, 3], bytes.into());
        let scale: Vec<f64> = (0..o).map(|n| 1.0 + n as f64).collect();
        weight.scales.push(Arc::new(AxisScale { axis: 0, scale: scale.clone() }));
        let l = |count, dim, step| PackLoop { count, dim, step };
        let loops = vec![l(4, 2, 1), l(4, 3, 1), l(2, 0, 4), l(i, 1, 1), l(4, 0, 1)];
        let piece = PackPiece { start: vec![0; 4], end: vec![o, i, 4, 4], loops };
        let spec = PackSpec { source: vec![o, i, 3, 3], elements: Elements::Winograd, pieces: vec![piece] };
        let mut want = Vec::new();
        for (u, v) in (0..16).map(|n| (n / 4, n % 4)) {
            for (panel, input, lane) in (0..2 * i * 4).map(|n| (n / (4 * i), n / 4 % i, n % 4)) {
                let output = panel * 4 + lane;
                if output >= o {
                    want.push(0.0);
                    continue;
                }
                let g = |y: usize, x: usize| f64::from(taps[(output * i + input) * 9 + y * 3 + x]) * scale[output];
                let column = |x: usize| {
                    [g(0, x), (g(0, x) + g(1, x) + g(2, x)) / 2.0, (g(0, x) - g(1, x) + g(2, x)) / 2.0, g(2, x)][u]
                };
                let [a, b, c] = [column(0), column(1), column(2)];
                want.push([a, (a + b + c) / 2.0, (a - b + c) / 2.0, c][v] as f32);
            }
        }
        for cut in [0, 1, 5, want.len() / 2, want.len()] {
            let mut got = vec![f32::NAN; want.len()];
            let (low, high) = got.split_at_mut(cut);
            spec.pack(&weight, 0, low);
            spec.pack(&weight, cut, high);
            assert_eq!(got, want, "cut at {cut}");
        }
    }
}
