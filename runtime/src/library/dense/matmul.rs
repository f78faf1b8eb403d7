//! Matrix products with broadcast batch dimensions.

use super::{bias, finish, in_parallel};
use crate::library::function::{Function, Operands, Results};
use crate::library::{LibraryError, cast, expect};
use crate::wide::{Loop, add_products, wide};
use crate::{DType, Tensor, TensorView};
use half::{bf16, f16};

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
impl Sum for f16 {
    type Wide = f64;
    fn wide(self) -> f64 {
        self.to_f64()
    }
    fn add(sum: f64, a: f64, b: f16) -> f64 {
        sum + a * b.to_f64()
    }
    fn narrow(sum: f64) -> f16 {
        f16::from_f64(sum)
    }
}
impl Sum for bf16 {
    type Wide = f64;
    fn wide(self) -> f64 {
        self.to_f64()
    }
    fn add(sum: f64, a: f64, b: bf16) -> f64 {
        sum + a * b.to_f64()
    }
    fn narrow(sum: f64) -> bf16 {
        bf16::from_f64(sum)
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
        let (batch, last) = shape.split_at(shape.len().saturating_sub(2));
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

/// Batch shape of a product.
fn broadcast(left: &Matrix, right: &Matrix) -> Vec<usize> {
    let rank = left.batch.len().max(right.batch.len());
    let at = |batch: &[usize], d: usize| (d + batch.len()).checked_sub(rank).map_or(1, |d| batch[d]);
    let extent = |d: usize| match (at(&left.batch, d), at(&right.batch, d)) {
        (1, extent) => extent,
        (extent, _) => extent,
    };
    (0..rank).map(extent).collect()
}

fn product<T: Sum>(a: &[T], b: &[T], left: &Matrix, right: &Matrix, bias: Option<&[T]>, out: &mut [T]) {
    let (m, k, n) = (left.rows, left.columns, right.columns);
    let batch = broadcast(left, right);
    if n == 0 || m == 0 {
        return;
    }
    in_parallel(out, n, |first, part| {
        let mut sums = vec![T::Wide::default(); n];
        let mut line = Vec::with_capacity(k);
        for (i, to) in part.chunks_exact_mut(n).enumerate() {
            let (index, row) = ((first + i) / m, (first + i) % m);
            let a = &a[left.offset(index, &batch) + row * left.row_step..];
            let b = &b[right.offset(index, &batch)..];
            for (j, sum) in sums.iter_mut().enumerate() {
                *sum = bias.map_or(T::Wide::default(), |bias| bias[j].wide());
            }
            line.clear();
            line.extend(a.iter().step_by(left.column_step).take(k).map(|x| x.wide()));
            let step = right.row_step.max(right.column_step);
            wide(Line { line: &line, matrix: b, step, transposed: right.column_step != 1, sums: &mut sums });
            to.iter_mut().zip(&sums).for_each(|(to, sum)| *to = T::narrow(*sum));
        }
    });
}

/// Adds to each sum the product of a row of the left matrix with a column of the right one, of which one axis lies in memory
/// side by side and the other is `step` elements apart.
struct Line<'a, T: Sum> {
    line: &'a [T::Wide],
    matrix: &'a [T],
    step: usize,
    transposed: bool,
    sums: &'a mut [T::Wide],
}

impl<T: Sum> Loop for Line<'_, T> {
    #[inline(always)]
    fn run(self) {
        if self.transposed {
            columns(self.line, self.matrix, self.step, self.sums);
        } else {
            add_products(self.sums, self.line, self.matrix, self.step, T::add);
        }
    }
}

/// Columns of a transposed matrix summed side by side.
const SIDE: usize = 4;

/// Adds to each sum the product of a row with one column of a transposed matrix: `k` elements that lie side by side.
#[inline(always)]
fn columns<T: Sum>(row: &[T::Wide], b: &[T], k: usize, sums: &mut [T::Wide]) {
    for (group, sums) in sums.chunks_mut(SIDE).enumerate() {
        let column = |j: usize| &b[(group * SIDE + j) * k..][..k];
        if let [s0, s1, s2, s3] = sums {
            let [c0, c1, c2, c3] = [column(0), column(1), column(2), column(3)];
            for ((((x, y0), y1), y2), y3) in row.iter().zip(c0).zip(c1).zip(c2).zip(c3) {
                (*s0, *s1) = (T::add(*s0, *x, *y0), T::add(*s1, *x, *y1));
                (*s2, *s3) = (T::add(*s2, *x, *y2), T::add(*s3, *x, *y3));
            }
        } else {
            for (j, sum) in sums.iter_mut().enumerate() {
                row.iter().zip(column(j)).for_each(|(x, y)| *sum = T::add(*sum, *x, *y));
            }
        }
    }
}

fn typed<T: Sum + crate::Element>(
    [a, b]: [&TensorView; 2],
    [left, right]: [&Matrix; 2],
    bias: Option<TensorView>,
    out: &mut Tensor,
) -> Result<(), LibraryError> {
    let bias = bias.as_ref().map(|b| b.as_slice::<T>()).transpose()?;
    product::<T>(a.as_slice()?, b.as_slice()?, left, right, bias, out.as_mut_slice()?);
    Ok(())
}

/// `[a, b, bias?, ..]`: batches broadcast; a vector is a row on the left and a column on the right.
pub(super) fn matmul(function: &Function, operands: &Operands) -> Results {
    let (a, b, bias) = (operands.tensor(0)?, operands.tensor(1)?, bias(function, operands)?);
    expect(!a.shape.is_empty() && !b.shape.is_empty(), "matrices or vectors")?;
    let left = Matrix::new(a.shape, function.int("trans_a", 0) != 0, true);
    let right = Matrix::new(b.shape, function.int("trans_b", 0) != 0, false);
    expect(left.columns == right.rows && a.dtype == b.dtype, "as many columns as rows, of one type")?;
    expect(bias.as_ref().is_none_or(|b| b.shape == [right.columns]), "a bias per column")?;
    let mut shape = broadcast(&left, &right);
    shape.extend((a.shape.len() > 1).then_some(left.rows));
    shape.extend((b.shape.len() > 1).then_some(right.columns));
    let mut out = Tensor::zeros(a.dtype, &shape)?;
    let matrices = [&left, &right];
    match a.dtype {
        DType::F32 => typed::<f32>([&a, &b], matrices, bias, &mut out)?,
        DType::F64 => typed::<f64>([&a, &b], matrices, bias, &mut out)?,
        DType::F16 => typed::<f16>([&a, &b], matrices, bias, &mut out)?,
        DType::BF16 => typed::<bf16>([&a, &b], matrices, bias, &mut out)?,
        // Narrower integers wrap to the same bits when the sum is cut down at the end.
        _ => {
            let wide = |t: &TensorView| -> Result<Tensor, LibraryError> {
                let mut wide = Tensor::zeros(DType::I64, t.shape)?;
                cast(t, &mut wide.view_mut())?;
                Ok(wide)
            };
            let (a, b, bias) = (wide(&a)?, wide(&b)?, bias.as_ref().map(wide).transpose()?);
            let mut sums = Tensor::zeros(DType::I64, &shape)?;
            typed::<i64>([&a.view(), &b.view()], matrices, bias.as_ref().map(Tensor::view), &mut sums)?;
            cast(&sums.view(), &mut out.view_mut())?;
        }
    }
    finish(function, operands, out)
}
