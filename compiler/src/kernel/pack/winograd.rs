//! Filters of 3x3 taps as Winograd's minimal filtering F(2x2, 3x3) multiplies them: `G g G^T`, 4x4 numbers.

use super::{PackPiece, Reader};

/// Packed elements that one iteration of a piece's first loop makes: filters are transformed whole, so that parts of a piece which
/// begin and end with them cost the least.
pub(super) fn unit(piece: &PackPiece) -> usize {
    piece.loops.iter().skip(1).map(|l| l.count).product::<usize>().max(1)
}

/// Packed elements `from..from + out.len()` of a piece over `[o, i, 4, 4]`; the source is `[o, i, 3, 3]`, and its factors are the same
/// for all taps of a filter.
pub(super) fn pack_piece(r: &Reader, piece: &PackPiece, from: usize, out: &mut [f32]) {
    let Some((first, inner)) = piece.loops.split_first() else { return };
    let (unit, end) = (unit(piece), from + out.len());
    for part in from / unit..end.div_ceil(unit) {
        let mut start = piece.start.clone();
        start[first.dim] += part * first.step;
        let of_part = PackPiece { start, end: piece.end.clone(), loops: inner.to_vec() };
        let begin = part * unit;
        let (lo, hi) = (begin.max(from), (begin + unit).min(end));
        let to = &mut out[lo - from..hi - from];
        if to.len() == unit {
            pack_part(r, &of_part, to);
        } else {
            let mut whole = vec![0.0; unit];
            pack_part(r, &of_part, &mut whole);
            to.copy_from_slice(&whole[lo - begin..hi - begin]);
        }
    }
}

/// All filters of a piece: its loops over dimensions 0 and 1 walk filters, those over 2 and 3 their numbers.
fn pack_part(r: &Reader, piece: &PackPiece, out: &mut [f32]) {
    let mut packed = 1;
    let (mut filters, mut numbers) = (Vec::new(), [0; 2]);
    for l in piece.loops.iter().rev() {
        match l.dim {
            0 | 1 => filters.push((l, packed)),
            dim => numbers[dim - 2] = packed,
        }
        packed *= l.count;
    }
    for n in 0..filters.iter().map(|(l, _)| l.count).product() {
        let (mut rest, mut at, mut index) = (n, 0, [piece.start[0], piece.start[1]]);
        for (l, packed) in &filters {
            index[l.dim] += rest % l.count * l.step;
            at += rest % l.count * packed;
            rest /= l.count;
        }
        let inside = index[0] < piece.end[0] && index[1] < piece.end[1];
        let filter = if inside { transformed(r, index) } else { [[0.0; 4]; 4] };
        for (u, row) in filter.iter().enumerate() {
            for (v, number) in row.iter().enumerate() {
                out[at + u * numbers[0] + v * numbers[1]] = *number;
            }
        }
    }
}

/// `G g G^T` of a filter, in f64, each number rounded once.
fn transformed(r: &Reader, [o, i]: [usize; 2]) -> [[f32; 4]; 4] {
    let &[so, si, sy, sx] = &r.strides[..] else { return [[0.0; 4]; 4] };
    let factor = if r.scales.is_empty() { 1.0 } else { r.factor(&[o, i, 0, 0]) };
    let tap = |y: usize, x: usize| f64::from(r.at(o * so + i * si + y * sy + x * sx)) * factor;
    let columns = [0, 1, 2].map(|x| four([tap(0, x), tap(1, x), tap(2, x)]));
    [0, 1, 2, 3].map(|u| four(columns.map(|column| column[u])).map(|number| number as f32))
}

/// `G g` of three taps.
fn four([a, b, c]: [f64; 3]) -> [f64; 4] {
    [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c]
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
        let loops = vec![l(2, 0, 4), l(4, 2, 1), l(4, 3, 1), l(2, 0, 2), l(i, 1, 1), l(2, 0, 1)];
        let piece = PackPiece { start: vec![0; 4], end: vec![o, i, 4, 4], loops };
        let spec = PackSpec { source: vec![o, i, 3, 3], elements: Elements::Winograd, pieces: vec![piece] };
        let mut want = Vec::new();
        for (part, u, v) in (0..32).map(|n| (n / 16, n / 4 % 4, n % 4)) {
            for (panel, input, lane) in (0..2 * i * 2).map(|n| (n / (2 * i), n / 2 % i, n % 2)) {
                let output = part * 4 + panel * 2 + lane;
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
