//! Matrix products with broadcast batch dimensions.

use super::{EvalError, in_parallel};
use brolga_runtime::{DType, Tensor, library};

/// What elements are multiplied and summed in.
trait Sum: bytemuck::Pod + Send + Sync {
    type Wide: Copy + Default + Send;
    fn wide(self) -> Self::Wide;
    fn add(sum: Self::Wide, a: Self::Wide, b: Self) -> Self::Wide;
    fn narrow(sum: Self::Wide) -> Self;
}
impl Sum for f32 {
    type Wide = f64;
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn add(sum: f64, a: f64, b: f32) -> f64 {
        sum + a * f64::from(b)
    }
    fn narrow(sum: f64) -> f32 {
        sum as f32
    }
}
impl Sum for f64 {
    type Wide = f64;
    fn wide(self) -> f64 {
        self
    }
    fn add(sum: f64, a: f64, b: f64) -> f64 {
        sum + a * b
    }
    fn narrow(sum: f64) -> f64 {
        sum
    }
}
impl Sum for i64 {
    type Wide = i64;
    fn wide(self) -> i64 {
        self
    }
    fn add(sum: i64, a: i64, b: i64) -> i64 {
        sum.wrapping_add(a.wrapping_mul(b))
    }
    fn narrow(sum: i64) -> i64 {
        sum
    }
}

/// A matrix operand: its batch shape, and how rows and columns are stepped over.
struct Matrix {
    batch: Vec<usize>,
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

impl Matrix {
    fn new(shape: &[usize], transposed: bool, left: bool) -> Matrix {
        let shape = match (shape, left) {
            ([n], true) => vec![1, *n],
            ([n], false) => vec![*n, 1],
            _ => shape.to_vec(),
        };
        let (batch, last) = shape.split_at(shape.len() - 2);
        let (rows, columns) = (last[0], last[1]);
        let batch = batch.to_vec();
        if transposed {
            Matrix { batch, rows: columns, columns: rows, row_step: 1, column_step: columns }
        } else {
            Matrix { batch, rows, columns, row_step: columns, column_step: 1 }
        }
    }
    /// Offset of the matrix that batch `index` of a broadcast batch shape reads.
    fn offset(&self, index: usize, batch: &[usize]) -> usize {
        let lead = batch.len() - self.batch.len();
        let (mut rest, mut offset, mut step) = (index, 0, self.rows * self.columns);
        for d in (0..batch.len()).rev() {
            let at = rest % batch[d];
            rest /= batch[d];
            if d >= lead {
                let extent = self.batch[d - lead];
                offset += if extent == 1 { 0 } else { at * step };
                step *= extent;
            }
        }
        offset
    }
}

fn product<T: Sum>(a: &[T], b: &[T], left: &Matrix, right: &Matrix, bias: Option<&[T]>, out: &mut [T]) {
    let (m, k, n) = (left.rows, left.columns, right.columns);
    let rank = left.batch.len().max(right.batch.len());
    let at = |batch: &[usize], d: usize| (d + batch.len()).checked_sub(rank).map_or(1, |d| batch[d]);
    let batch: Vec<usize> = (0..rank)
        .map(|d| match (at(&left.batch, d), at(&right.batch, d)) {
            (1, extent) => extent,
            (extent, _) => extent,
        })
        .collect();
    if n == 0 || m == 0 {
        return;
    }
    in_parallel(out, n, |first, part| {
        let mut sums = vec![T::Wide::default(); n];
        for (i, to) in part.chunks_exact_mut(n).enumerate() {
            let (index, row) = ((first + i) / m, (first + i) % m);
            let a = &a[left.offset(index, &batch) + row * left.row_step..];
            let b = &b[right.offset(index, &batch)..];
            for (j, sum) in sums.iter_mut().enumerate() {
                *sum = bias.map_or(T::Wide::default(), |bias| bias[j].wide());
            }
            for l in 0..k {
                let x = a[l * left.column_step].wide();
                let line = b[l * right.row_step..].iter().step_by(right.column_step);
                sums.iter_mut().zip(line).for_each(|(sum, y)| *sum = T::add(*sum, x, *y));
            }
            to.iter_mut().zip(&sums).for_each(|(to, sum)| *to = T::narrow(*sum));
        }
    });
}

pub(super) fn matmul(
    a: &Tensor,
    b: &Tensor,
    trans: [bool; 2],
    bias: Option<&Tensor>,
    out: &mut Tensor,
) -> Result<(), EvalError> {
    let left = Matrix::new(a.shape(), trans[0], true);
    let right = Matrix::new(b.shape(), trans[1], false);
    match a.dtype() {
        DType::F32 => {
            let bias = bias.map(Tensor::as_slice).transpose()?;
            product::<f32>(a.as_slice()?, b.as_slice()?, &left, &right, bias, out.as_mut_slice()?);
        }
        DType::F64 => {
            let bias = bias.map(Tensor::as_slice).transpose()?;
            product::<f64>(a.as_slice()?, b.as_slice()?, &left, &right, bias, out.as_mut_slice()?);
        }
        // Narrower integers wrap to the same bits when the sum is cut down at the end.
        _ => {
            let wide = |t: &Tensor| -> Result<Tensor, EvalError> {
                let mut wide = Tensor::zeros(DType::I64, t.shape())?;
                library::cast(&t.view(), &mut wide.view_mut())?;
                Ok(wide)
            };
            let (a, b, bias) = (wide(a)?, wide(b)?, bias.map(wide).transpose()?);
            let bias = bias.as_ref().map(Tensor::as_slice).transpose()?;
            let mut sums = Tensor::zeros(DType::I64, out.shape())?;
            product::<i64>(a.as_slice()?, b.as_slice()?, &left, &right, bias, sums.as_mut_slice()?);
            library::cast(&sums.view(), &mut out.view_mut())?;
        }
    }
    Ok(())
}
