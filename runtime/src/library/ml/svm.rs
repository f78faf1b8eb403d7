//! SVMClassifier and SVMRegressor, with the conventions of libsvm.

use super::scores::{Post, Second, both, logistic};
use super::{Labels, Rows, arg_max, dot, matrix, wide};
use crate::library::function::{Function, Operands, Results};
use crate::library::{LibraryError, expect};

/// A kernel with its parameters.
enum Kernel {
    Linear,
    Poly { gamma: f64, coef0: f64, degree: f64 },
    Rbf { gamma: f64 },
    Sigmoid { gamma: f64, coef0: f64 },
}

impl Kernel {
    fn of(f: &Function) -> Result<Kernel, LibraryError> {
        let parameter = |i: usize| f.floats("kernel_params").get(i).map_or(0.0, |x| f64::from(*x));
        let (gamma, coef0, degree) = (parameter(0), parameter(1), parameter(2));
        Ok(match f.text("kernel_type", "LINEAR") {
            "LINEAR" => Kernel::Linear,
            "POLY" => Kernel::Poly { gamma, coef0, degree },
            "RBF" => Kernel::Rbf { gamma },
            "SIGMOID" => Kernel::Sigmoid { gamma, coef0 },
            _ => return Err(LibraryError::Operands { accepted: "kernels LINEAR, POLY, RBF and SIGMOID" }),
        })
    }
    fn apply(&self, a: &[f64], b: &[f64]) -> f64 {
        match self {
            Kernel::Linear => dot(a, b),
            Kernel::Poly { gamma, coef0, degree } => (gamma * dot(a, b) + coef0).powf(*degree),
            Kernel::Sigmoid { gamma, coef0 } => (gamma * dot(a, b) + coef0).tanh(),
            Kernel::Rbf { gamma } => (-gamma * a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>()).exp(),
        }
    }
}

const LENGTHS: &str = "support vectors, coefficients and rho whose lengths fit together";

pub(super) fn regressor(f: &Function, x: &Operands) -> Results {
    let x = Rows::of(x)?;
    let post = Post::parse(f.text("post_transform", "NONE"))?;
    let (vectors, coefficients) = (wide(f.floats("support_vectors")), wide(f.floats("coefficients")));
    let rho = f64::from(*f.floats("rho").first().ok_or(LibraryError::Operands { accepted: LENGTHS })?);
    let supports = usize::try_from(f.int("n_supports", 0)).unwrap_or(0);
    let kernel = if supports == 0 { Kernel::Linear } else { Kernel::of(f)? };
    expect(
        if supports == 0 {
            coefficients.len() == x.columns
        } else {
            coefficients.len() == supports && Some(vectors.len()) == supports.checked_mul(x.columns)
        },
        LENGTHS,
    )?;
    let value = |row: &[f64]| {
        let sum: f64 = if supports == 0 {
            kernel.apply(row, &coefficients)
        } else {
            vectors.chunks_exact(x.columns.max(1)).zip(&coefficients).map(|(v, c)| c * kernel.apply(row, v)).sum()
        };
        let sum = sum + rho;
        if f.int("one_class", 0) != 0 { if sum > 0.0 { 1.0 } else { -1.0 } } else { sum }
    };
    let mut scores: Vec<f64> = x.iter().map(value).collect();
    scores.chunks_exact_mut(1).for_each(|row| post.apply(row));
    Ok(vec![matrix(x.rows, 1, &scores)?])
}

/// A classifier with its attributes checked.
struct Machine {
    kernel: Kernel,
    classes: usize,
    /// First vector and number of vectors of each class; empty for a linear machine without vectors.
    ranges: Vec<(usize, usize)>,
    vectors: Vec<f64>,
    /// Coefficients by row: one row less than there are classes, or one for each class of a linear machine.
    coefficients: Vec<f64>,
    /// Coefficients in a row.
    width: usize,
    rho: Vec<f64>,
    prob_a: Vec<f64>,
    prob_b: Vec<f64>,
}

impl Machine {
    fn of(f: &Function, columns: usize, classes: usize) -> Result<Machine, LibraryError> {
        let refused = LibraryError::Operands { accepted: LENGTHS };
        let (mut ranges, mut total) = (Vec::new(), 0usize);
        for count in f.ints("vectors_per_class") {
            let count = usize::try_from(*count).map_err(|_| refused.clone())?;
            ranges.push((total, count));
            total = total.checked_add(count).ok_or_else(|| refused.clone())?;
        }
        let linear = total == 0;
        let machine = Machine {
            kernel: if linear { Kernel::Linear } else { Kernel::of(f)? },
            classes,
            ranges: if linear { vec![] } else { ranges },
            vectors: wide(f.floats("support_vectors")),
            coefficients: wide(f.floats("coefficients")),
            width: if linear { columns } else { total },
            rho: wide(f.floats("rho")),
            prob_a: wide(f.floats("prob_a")),
            prob_b: wide(f.floats("prob_b")),
        };
        let pairs = classes.saturating_mul(classes.saturating_sub(1)) / 2;
        let fits = if linear {
            Some(machine.coefficients.len()) == classes.checked_mul(columns) && !machine.rho.is_empty()
        } else {
            machine.ranges.len() == classes
                && Some(machine.vectors.len()) == total.checked_mul(columns)
                && Some(machine.coefficients.len()) == classes.saturating_sub(1).checked_mul(total)
                && machine.rho.len() >= pairs
                && (machine.prob_a.is_empty() || machine.prob_a.len().min(machine.prob_b.len()) >= pairs)
        };
        expect(fits, LENGTHS)?;
        Ok(machine)
    }

    fn row(&self, r: usize, from: usize, count: usize) -> &[f64] {
        self.coefficients.get(r * self.width + from..r * self.width + from + count).unwrap_or_default()
    }

    /// One margin for each pair of classes, and how many of them each class wins.
    fn margins(&self, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let kernels: Vec<f64> = self.vectors.chunks_exact(x.len().max(1)).map(|v| self.kernel.apply(x, v)).collect();
        let part = |r: usize, (from, count): (usize, usize)| {
            dot(self.row(r, from, count), kernels.get(from..from + count).unwrap_or_default())
        };
        let (mut margins, mut votes) = (Vec::new(), vec![0.0; self.classes]);
        for (i, a) in self.ranges.iter().enumerate() {
            for (j, b) in self.ranges.iter().enumerate().skip(i + 1) {
                let rho = self.rho.get(margins.len()).copied().unwrap_or(0.0);
                let margin = part(j - 1, *a) + part(i, *b) + rho;
                if let Some(vote) = votes.get_mut(if margin > 0.0 { i } else { j }) {
                    *vote += 1.0;
                }
                margins.push(margin);
            }
        }
        (margins, votes)
    }

    /// Probabilities of the classes from the margins of the pairs.
    fn probabilities(&self, margins: &[f64]) -> Vec<f64> {
        let n = self.classes;
        let mut pairwise = vec![0.0; n * n];
        let mut at = 0;
        for i in 0..n {
            for j in i + 1..n {
                let [a, b, m] = [&self.prob_a, &self.prob_b, margins].map(|list| list.get(at).copied().unwrap_or(0.0));
                let p = (1.0 - logistic(m * a + b)).clamp(1e-7, 1.0 - 1e-7);
                set(&mut pairwise, n, i, j, p);
                set(&mut pairwise, n, j, i, 1.0 - p);
                at += 1;
            }
        }
        couple(n, &pairwise)
    }
}

fn set(m: &mut [f64], n: usize, i: usize, j: usize, value: f64) {
    if let Some(to) = m.get_mut(i * n + j) {
        *to = value;
    }
}

/// Probabilities of `n` classes that agree best with those of the pairs (Wu, Lin and Weng's second method).
fn couple(n: usize, r: &[f64]) -> Vec<f64> {
    let at = |m: &[f64], i: usize, j: usize| m.get(i * n + j).copied().unwrap_or(0.0);
    let mut q = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..n {
            let value = if i == j {
                (0..n).filter(|k| *k != i).map(|k| at(r, k, i).powi(2)).sum()
            } else {
                -at(r, j, i) * at(r, i, j)
            };
            set(&mut q, n, i, j, value);
        }
    }
    let mut p = vec![1.0 / n.max(1) as f64; n];
    let tolerance = 0.005 / n.max(1) as f64;
    for _ in 0..n.max(100) {
        let mut qp: Vec<f64> = q.chunks_exact(n.max(1)).map(|row| dot(row, &p)).collect();
        let mut pqp = dot(&p, &qp);
        if qp.iter().all(|x| (x - pqp).abs() < tolerance) {
            break;
        }
        for t in 0..n {
            let (diagonal, own) = (at(&q, t, t), qp.get(t).copied().unwrap_or(0.0));
            let step = (pqp - own) / diagonal;
            if let Some(p) = p.get_mut(t) {
                *p += step;
            }
            pqp = (pqp + step * (step * diagonal + 2.0 * own)) / ((1.0 + step) * (1.0 + step));
            for (j, (qp, p)) in qp.iter_mut().zip(&mut p).enumerate() {
                *qp = (*qp + step * at(&q, t, j)) / (1.0 + step);
                *p /= 1.0 + step;
            }
        }
    }
    p
}

pub(super) fn classifier(f: &Function, x: &Operands) -> Results {
    let x = Rows::of(x)?;
    let post = Post::parse(f.text("post_transform", "NONE"))?;
    let labels = Labels::of(f, "classlabels_ints", "classlabels_strings")?;
    let linear = f.ints("vectors_per_class").iter().all(|n| *n == 0);
    let machine = Machine::of(f, x.columns, labels.len())?;
    let (mut chosen, mut all, mut width) = (Vec::with_capacity(x.rows), Vec::new(), 0);
    for row in x.iter() {
        let rho = machine.rho.first().copied().unwrap_or(0.0);
        let (mut scores, votes) = if linear {
            let scores: Vec<f64> = (0..labels.len()).map(|c| dot(machine.row(c, 0, x.columns), row) + rho).collect();
            (scores.clone(), scores)
        } else {
            machine.margins(row)
        };
        let probable = !linear && !machine.prob_a.is_empty();
        if probable {
            scores = machine.probabilities(&scores);
        }
        // The class that wins most often, which need not be the most probable one.
        let best = arg_max(&votes);
        chosen.push(match labels.len() {
            1 => (votes.first().copied().unwrap_or(0.0) > 0.0).then_some(0),
            _ => Some(best),
        });
        let scores = match scores[..] {
            [margin] if labels.len() == 2 => {
                // A transform is for probabilities, of which those of two classes add up to one.
                both(margin, if post == Post::Keep { Second::Opposite } else { Second::Complement }, post)
            }
            _ => {
                post.apply(&mut scores);
                scores
            }
        };
        width = scores.len();
        all.extend(scores);
    }
    if x.rows == 0 {
        width = labels.len();
    }
    Ok(vec![labels.pick(&chosen)?, matrix(x.rows, width, &all)?])
}
