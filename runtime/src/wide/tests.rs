//! Every form of a loop gives the bits of the plain one.

use super::*;

struct Add<'a, T> {
    sums: &'a mut [T],
    x: &'a [T],
    matrix: &'a [T],
    stride: usize,
}

impl<T: Copy + std::ops::Add<Output = T> + std::ops::Mul<Output = T>> Loop for Add<'_, T> {
    #[inline(always)]
    fn run(self) {
        add_products(self.sums, self.x, self.matrix, self.stride, |sum, x, y| sum + x * y);
    }
}

/// A number whose products with others are not exact.
fn uneven(i: usize) -> f64 {
    ((i * 7919 + 13) % 1009) as f64 / 1009.0 - 0.5
}

fn forms<T>(of: impl Fn(f64) -> T, width: usize, depth: usize) -> Vec<Vec<T>>
where
    T: Copy + std::ops::Add<Output = T> + std::ops::Mul<Output = T>,
{
    let stride = width + 3;
    let make = |count: usize, shift: usize| -> Vec<T> { (0..count).map(|i| of(uneven(i + shift))).collect() };
    let (first, x, matrix) = (make(width, 1), make(depth, 2), make(stride * depth, 3));
    let form = |run: &dyn Fn(Add<'_, T>)| {
        let mut sums = first.clone();
        run(Add { sums: &mut sums, x: &x, matrix: &matrix, stride });
        sums
    };
    let written_out = |j: usize| (0..depth).fold(first[j], |sum, k| sum + x[k] * matrix[k * stride + j]);
    let mut found = vec![(0..width).map(written_out).collect(), form(&|add| add.run()), form(&|add| wide(add))];
    #[cfg(target_arch = "x86_64")]
    if crate::Level::X86_64V3.available() {
        // SAFETY: the processor has the level's features.
        found.push(form(&|add| unsafe { x86_64_v3(add) }));
    }
    found
}

#[test]
fn every_form_gives_the_same_bits() {
    let mut cases = 0;
    for width in [0, 1, 15, 16, 67] {
        for depth in [0, 1, 7, 8, 9, 40] {
            let singles = forms(|x| x as f32, width, depth);
            let bits = |x: &Vec<f32>| -> Vec<u32> { x.iter().map(|x| x.to_bits()).collect() };
            assert!(singles.iter().all(|x| bits(x) == bits(&singles[0])), "f32 {width} x {depth}");
            let doubles = forms(|x| x, width, depth);
            let bits = |x: &Vec<f64>| -> Vec<u64> { x.iter().map(|x| x.to_bits()).collect() };
            assert!(doubles.iter().all(|x| bits(x) == bits(&doubles[0])), "f64 {width} x {depth}");
            cases += 1;
        }
    }
    assert_eq!(cases, 30);
}
