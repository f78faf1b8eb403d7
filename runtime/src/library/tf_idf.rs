//! TfIdfVectorizer: counts of the n-grams of a pool in a row of texts or integers.

use super::function::{Entry, Function, Operands, Results, pure};
use super::{LibraryError, expect};
use crate::{Operand, Tensor, Value};
use std::collections::HashMap;

pub(super) const TABLE: &[Entry] = &[pure("tf_idf_vectorizer", vectorizer)];

/// An element of an n-gram.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Item<'a> {
    Text(&'a str),
    Int(i64),
}

/// What is counted, from the attributes.
struct Pool<'a> {
    /// Position in the pool by n-gram.
    grams: HashMap<&'a [Item<'a>], usize>,
    /// Column of each n-gram.
    columns: Vec<usize>,
    min: usize,
    max: usize,
    /// Distances between the items of an n-gram.
    distances: usize,
}

fn whole(f: &Function, name: &str, least: i64) -> Result<usize, LibraryError> {
    let found = usize::try_from(f.int(name, least)).ok().filter(|n| *n as i64 >= least);
    found
        .ok_or(LibraryError::Operands { accepted: "positive lengths of n-grams and a skip count that is not negative" })
}

/// The n-grams of the pool, in order: those of one item, then those of two, ...
fn grams<'a>(f: &Function, items: &'a [Item<'a>]) -> Result<Vec<&'a [Item<'a>]>, LibraryError> {
    let accepted = LibraryError::Operands { accepted: "ngram_counts that are ascending positions in the pool" };
    let mut starts = Vec::new();
    for start in f.ints("ngram_counts") {
        starts.push(usize::try_from(*start).map_err(|_| accepted.clone())?);
    }
    let mut found = Vec::new();
    for (i, start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(items.len());
        let run = items.get(*start..end).ok_or_else(|| accepted.clone())?;
        found.extend(run.chunks_exact(i + 1));
    }
    Ok(found)
}

fn pool<'a>(f: &Function, items: &'a [Item<'a>]) -> Result<Pool<'a>, LibraryError> {
    let grams = grams(f, items)?;
    let columns: Option<Vec<usize>> = f.ints("ngram_indexes").iter().map(|n| usize::try_from(*n).ok()).collect();
    let columns = columns.filter(|c| c.len() == grams.len());
    let columns = columns.ok_or(LibraryError::Operands { accepted: "one index for each n-gram of the pool" })?;
    let (min, max) = (whole(f, "min_gram_length", 1)?, whole(f, "max_gram_length", 1)?);
    let distances = whole(f, "max_skip_count", 0)?.saturating_add(1);
    Ok(Pool { grams: grams.into_iter().zip(0..).collect(), columns, min, max, distances })
}

/// How often each n-gram of the pool is in the row. Single items are counted at one distance only.
fn count(pool: &Pool, row: &[Item], counts: &mut [u32]) {
    let longest = pool.grams.keys().map(|g| g.len()).max().unwrap_or(0).min(pool.max);
    let mut gram = Vec::with_capacity(longest);
    for distance in 1..=pool.distances.min(row.len().max(1)) {
        for start in 0..row.len() {
            gram.clear();
            for item in row.iter().skip(start).step_by(distance).take(longest) {
                gram.push(*item);
                let wanted = gram.len() >= pool.min && (gram.len() > 1 || distance == 1);
                if let Some(found) = pool.grams.get(&gram[..]).filter(|_| wanted)
                    && let Some(count) = counts.get_mut(*found)
                {
                    *count += 1;
                }
            }
        }
    }
}

fn vectorizer(f: &Function, x: &Operands) -> Results {
    let numbers;
    let (shape, items): (&[usize], Vec<Item>) = match x.get(0) {
        Some(Operand::Value(Value::Strings(texts))) => {
            (texts.shape(), texts.elements().iter().map(|s| Item::Text(s)).collect())
        }
        _ => {
            numbers = x.integers(0)?;
            (x.tensor(0)?.shape, numbers.iter().map(|n| Item::Int(*n)).collect())
        }
    };
    let texts = f.texts("pool_strings").iter().map(|s| Item::Text(s));
    let known: Vec<Item> = texts.chain(f.ints("pool_int64s").iter().map(|n| Item::Int(*n))).collect();
    let pool = pool(f, &known)?;
    let width = pool.columns.iter().max().map_or(0, |n| n.saturating_add(1));
    let (rows, per_row, out_shape) = match *shape {
        [] => (1, 1, vec![width]),
        [n] => (1, n, vec![width]),
        [rows, n] => (rows, n, vec![rows, width]),
        _ => return Err(LibraryError::Operands { accepted: "shapes [C] and [N, C]" }),
    };
    let weights = f.floats("weights");
    expect(weights.is_empty() || weights.len() == pool.columns.len(), "as many weights as n-grams")?;
    let mode = f.text("mode", "TF");
    expect(["TF", "IDF", "TFIDF"].contains(&mode), "modes TF, IDF and TFIDF")?;
    let mut out = Tensor::zeros(crate::DType::F32, &out_shape)?;
    let columns = out.as_mut_slice::<f32>()?;
    for row in 0..rows {
        let mut counts = vec![0u32; pool.columns.len()];
        count(&pool, items.get(row * per_row..(row + 1) * per_row).unwrap_or_default(), &mut counts);
        for (i, (n, column)) in counts.iter().zip(&pool.columns).enumerate() {
            let weight = if mode == "TF" { 1.0 } else { weights.get(i).copied().unwrap_or(1.0) };
            let Some(to) = columns.get_mut(row * width + column) else { continue };
            match (*n, mode) {
                (0, _) => {}
                (_, "IDF") => *to = weight,
                (n, _) => *to += weight * n as f32,
            }
        }
    }
    Ok(vec![out.into()])
}

#[cfg(test)]
mod tests {
    use super::super::function::Attribute::*;
    use super::*;

    fn run(x: &[i64], shape: &[usize], lengths: [i64; 3], mode: &str, weights: &[f32]) -> Vec<f32> {
        let f = Function::new("tf_idf_vectorizer", 1)
            .with("min_gram_length", Int(lengths[0]))
            .with("max_gram_length", Int(lengths[1]))
            .with("max_skip_count", Int(lengths[2]))
            .with("mode", Text(mode.into()))
            .with("ngram_counts", Ints(vec![0, 4]))
            .with("ngram_indexes", Ints((0..7).collect()))
            .with("pool_int64s", Ints(vec![2, 3, 5, 4, 5, 6, 7, 8, 6, 7]))
            .with("weights", Floats(weights.to_vec()));
        let x = Tensor::from_slice(shape, x).unwrap();
        let y = f.run(&[Operand::Tensor(x.view())]).unwrap();
        y[0].as_tensor().unwrap().as_slice::<f32>().unwrap().to_vec()
    }
    const ROW: [i64; 12] = [1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8];

    #[test]
    fn n_grams_at_every_distance() {
        assert_eq!(run(&ROW, &[12], [2, 2, 0], "TF", &[]), [0., 0., 0., 0., 1., 1., 1.]);
        assert_eq!(run(&ROW, &[12], [2, 2, 5], "TF", &[]), [0., 0., 0., 0., 1., 3., 1.]);
        assert_eq!(run(&ROW, &[12], [1, 2, 5], "TF", &[]), [0., 3., 1., 0., 1., 3., 1.]);
        let rows = run(&ROW, &[2, 6], [1, 2, 5], "TF", &[]);
        assert_eq!(rows, [0., 3., 0., 0., 0., 0., 0., 0., 0., 1., 0., 1., 1., 1.]);
    }

    #[test]
    fn weights() {
        let weights = [1., 2., 3., 4., 5., 6., 7.];
        assert_eq!(run(&ROW, &[12], [1, 2, 5], "IDF", &weights), [0., 2., 3., 0., 5., 6., 7.]);
        assert_eq!(run(&ROW, &[12], [1, 2, 5], "TFIDF", &weights), [0., 6., 3., 0., 5., 18., 7.]);
    }
}
