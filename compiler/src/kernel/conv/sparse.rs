//! Convolutions whose taps lie so far apart that many of them meet nothing but padding, such as those of atrous pyramids
//! ([DeepLab](https://arxiv.org/abs/1706.05587)): tap by tap, each over the pixels where it meets the input.
//!
//! The result begins as zeros. Every tap then adds its products to the sums that it finds there; the last is one that meets the
//! input everywhere, and applies bias and epilogue. No padding is read, so the input needs no halo.

use crate::ir::Window;
use std::ops::Range;

/// Share of the products that has to remain for a convolution to be done in one.
const DENSE: f64 = 0.7;
/// Input channels from which on handing sums on through memory is little beside the products.
const CHANNELS: usize = 32;

/// Where a tap meets the input along one dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Which tap.
    pub tap: usize,
    /// Output indices.
    pub outputs: Range<usize>,
    /// Input index of the first of them.
    pub input: i64,
}

fn meeting(window: &Window, d: usize, tap: usize, input: usize, output: usize) -> Meeting {
    let (stride, at) = (window.stride[d] as i64, tap as i64 * window.dilation[d] as i64 - window.pad_begin[d]);
    let bound = |i: i64| (i.max(0) as usize).min(output);
    // The first index at or after 0, and the first at or after `input`.
    let (first, past) = (-at, input as i64 - at);
    let up = |n: i64| n.div_euclid(stride) + i64::from(n.rem_euclid(stride) != 0);
    let outputs = bound(up(first))..bound(up(past));
    Meeting { tap, input: at + outputs.start as i64 * stride, outputs }
}

/// The taps of a convolution in rows and columns, in the order of their calls, where doing them one by one leaves out enough.
/// `input` and `output` are `[image, channel, row, column]` of a convolution of one group.
pub fn taps(window: &Window, kernel: [usize; 2], input: &[usize], output: &[usize]) -> Option<Vec<[Meeting; 2]>> {
    let (&[_, channels, h, w], &[_, _, rows, cols]) = (input, output) else { return None };
    if channels < CHANNELS {
        return None;
    }
    let along = |d: usize, input: usize, output: usize| -> Vec<Meeting> {
        let all = (0..kernel[d]).map(|tap| meeting(window, d, tap, input, output));
        all.filter(|m| !m.outputs.is_empty()).collect()
    };
    let (ys, xs) = (along(0, h, rows), along(1, w, cols));
    let met: usize =
        ys.iter().map(|m| m.outputs.len()).sum::<usize>() * xs.iter().map(|m| m.outputs.len()).sum::<usize>();
    if met as f64 > DENSE * (rows * cols * kernel[0] * kernel[1]) as f64 {
        return None;
    }
    let mut found: Vec<[Meeting; 2]> = ys.iter().flat_map(|y| xs.iter().map(move |x| [y.clone(), x.clone()])).collect();
    let whole = found.iter().position(|[y, x]| y.outputs == (0..rows) && x.outputs == (0..cols))?;
    let last = found.remove(whole);
    found.push(last);
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::AutoPad;

    fn window(dilation: usize, pad: i64, stride: usize) -> Window {
        Window {
            kernel: vec![3; 2],
            stride: vec![stride; 2],
            dilation: vec![dilation; 2],
            pad_begin: vec![pad; 2],
            pad_end: vec![pad; 2],
            auto_pad: AutoPad::Explicit,
        }
    }

    #[test]
    fn taps_meet_what_lies_inside() {
        let found = taps(&window(12, 12, 1), [3, 3], &[1, 64, 20, 16], &[1, 8, 20, 16]).expect("sparse");
        assert_eq!(found.len(), 9);
        assert_eq!(found[0][0], Meeting { tap: 0, outputs: 12..20, input: 0 });
        assert_eq!(
            found[1],
            [Meeting { tap: 0, outputs: 12..20, input: 0 }, Meeting { tap: 1, outputs: 0..16, input: 0 }]
        );
        assert_eq!(found[7][1], Meeting { tap: 2, outputs: 0..4, input: 12 });
        assert_eq!(found[8].clone().map(|m| m.tap), [1, 1]);
        // All but the middle lie outside.
        let found = taps(&window(30, 30, 1), [3, 3], &[1, 64, 20, 16], &[1, 8, 20, 16]).expect("sparse");
        assert_eq!(found.len(), 1);
        let found = taps(&window(7, 7, 2), [3, 3], &[1, 64, 9, 9], &[1, 8, 5, 5]).expect("sparse");
        assert_eq!(found[0][0], Meeting { tap: 0, outputs: 4..5, input: 1 });
        assert_eq!(found[8][0], Meeting { tap: 1, outputs: 0..5, input: 0 });
    }

    #[test]
    fn near_taps_and_few_channels_stay_together() {
        assert_eq!(taps(&window(1, 1, 1), [3, 3], &[1, 64, 7, 7], &[1, 8, 7, 7]), None);
        assert_eq!(taps(&window(12, 12, 1), [3, 3], &[1, 8, 20, 16], &[1, 8, 20, 16]), None);
        // No tap meets the input everywhere.
        assert_eq!(taps(&window(12, 14, 1), [3, 3], &[1, 64, 20, 20], &[1, 8, 24, 24]), None);
    }
}
