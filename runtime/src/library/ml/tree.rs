//! Ensembles of decision trees.

use super::scores::{Post, Second, both};
use super::tree_build::{Forest, Place, Vote};
use super::{Labels, Rows, arg_max, matrix};
use crate::DType;
use crate::library::function::{Function, Operands, Results, from_reals};
use crate::library::{LibraryError, expect};

/// How the votes for one target become one number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Average,
    Sum,
    Min,
    Max,
}

impl Aggregate {
    const ALL: [(&'static str, Aggregate); 4] =
        [("AVERAGE", Aggregate::Average), ("SUM", Aggregate::Sum), ("MIN", Aggregate::Min), ("MAX", Aggregate::Max)];
}

/// Sum, minimum or maximum of the votes for each target; `None` where there is no vote.
fn tally(forest: &Forest, row: &[f64], how: Aggregate) -> Result<Vec<Option<f64>>, LibraryError> {
    let mut scores: Vec<Option<f64>> = vec![None; forest.targets];
    for root in &forest.roots {
        let leaf = walk(forest, *root, row)?;
        for Vote { target, weight } in forest.leaves.get(leaf).into_iter().flatten() {
            let Some(score) = scores.get_mut(*target) else { continue };
            *score = Some(match (*score, how) {
                (None, _) => *weight,
                (Some(old), Aggregate::Min) => old.min(*weight),
                (Some(old), Aggregate::Max) => old.max(*weight),
                (Some(old), _) => old + weight,
            });
        }
    }
    if how == Aggregate::Average {
        scores.iter_mut().flatten().for_each(|s| *s /= forest.roots.len() as f64);
    }
    Ok(scores)
}

/// The leaf a row comes to. Nodes that lead back to each other would keep it for ever.
fn walk(forest: &Forest, mut at: Place, row: &[f64]) -> Result<usize, LibraryError> {
    for _ in 0..=forest.nodes.len() {
        match at {
            Place::Leaf(leaf) => return Ok(leaf),
            Place::Node(node) => {
                let found = forest.nodes.get(node).and_then(|n| Some((n, row.get(n.feature)?)));
                let (node, x) =
                    found.ok_or(LibraryError::Operands { accepted: "as many features as the trees ask for" })?;
                at = if node.holds(*x) { node.then } else { node.otherwise };
            }
        }
    }
    Err(LibraryError::Operands { accepted: "trees whose branches do not lead back" })
}

/// Rows of finished scores, with what is added to each target.
fn regress(forest: &Forest, x: &Rows, how: Aggregate, base: &[f64], post: Post) -> Result<Vec<f64>, LibraryError> {
    let mut all = Vec::new();
    for row in x.iter() {
        let scores = tally(forest, row, how)?.into_iter().enumerate();
        let mut scores: Vec<f64> =
            scores.map(|(i, s)| s.unwrap_or(0.0) + base.get(i).copied().unwrap_or(0.0)).collect();
        post.apply(&mut scores);
        all.extend(scores);
    }
    Ok(all)
}

/// TreeEnsemble: `[x, splits, leaf weights, modes, members?]`.
pub(super) fn ensemble(f: &Function, x: &Operands) -> Results {
    let forest = Forest::split(f, x)?;
    let rows = Rows::of(x)?;
    let how = usize::try_from(f.int("aggregate_function", 1)).ok().and_then(|n| Aggregate::ALL.get(n));
    let (_, how) = how.ok_or(LibraryError::Operands { accepted: "aggregate_function from 0 to 3" })?;
    let scores = regress(&forest, &rows, *how, &[], Post::number(f.int("post_transform", 0))?)?;
    Ok(vec![from_reals(x.tensor(0)?.dtype, &[rows.rows, forest.targets], &scores)?.into()])
}

/// Operand 3, when it is given.
fn base_values(x: &Operands) -> Result<Vec<f64>, LibraryError> {
    if x.get(3).is_some() { x.reals(3) } else { Ok(vec![]) }
}

/// TreeEnsembleRegressor: `[x, node values, target weights, base values?]`.
pub(super) fn regressor(f: &Function, x: &Operands) -> Results {
    let targets = usize::try_from(f.int("n_targets", 1)).unwrap_or(0);
    let forest = Forest::tuples(f, x, "target", targets)?;
    let rows = Rows::of(x)?;
    let how = f.text("aggregate_function", "SUM");
    let how = Aggregate::ALL.iter().find(|(name, _)| *name == how);
    let (_, how) = how.ok_or(LibraryError::Operands { accepted: "aggregate_function AVERAGE, SUM, MIN and MAX" })?;
    let base = base_values(x)?;
    expect(base.is_empty() || base.len() == targets, "a base value for each target")?;
    let scores = regress(&forest, &rows, *how, &base, Post::parse(f.text("post_transform", "NONE"))?)?;
    Ok(vec![from_reals(DType::F32, &[rows.rows, targets], &scores)?.into()])
}

/// TreeEnsembleClassifier: `[x, node values, class weights, base values?]`.
pub(super) fn classifier(f: &Function, x: &Operands) -> Results {
    let labels = Labels::of(f, "classlabels_int64s", "classlabels_strings")?;
    let forest = Forest::tuples(f, x, "class", labels.len())?;
    let rows = Rows::of(x)?;
    let post = Post::parse(f.text("post_transform", "NONE"))?;
    let base = base_values(x)?;
    expect(base.len() <= labels.len(), "at most one base value for each class")?;
    let votes = || forest.leaves.iter().flatten();
    // Where all votes are for one of two classes, they say how much the second one is preferred.
    let one = votes().next().map(|v| v.target).filter(|only| votes().all(|v| v.target == *only));
    let positive = votes().all(|v| v.weight >= 0.0);
    let (mut chosen, mut all) = (Vec::with_capacity(rows.rows), Vec::new());
    for row in rows.iter() {
        let scores = tally(&forest, row, Aggregate::Sum)?;
        let with_base =
            |i: usize| scores.get(i).copied().flatten().unwrap_or(0.0) + base.get(i).copied().unwrap_or(0.0);
        let (limit, second) = if positive { (0.5, Second::Complement) } else { (0.0, Second::Opposite) };
        if let (2, Some(0)) = (labels.len(), one) {
            let score = scores.first().copied().flatten().unwrap_or(0.0) + base.last().copied().unwrap_or(0.0);
            chosen.push(Some(usize::from(score > limit)));
            all.extend(both(score, second, post));
            continue;
        }
        let mut scores: Vec<f64> = (0..labels.len()).map(with_base).collect();
        chosen.push(match scores[..] {
            [score] => (score > 0.0).then_some(0),
            [_, score] if one.is_some() => Some(usize::from(score > limit)),
            _ => Some(arg_max(&scores)),
        });
        post.apply(&mut scores);
        all.extend(scores);
    }
    Ok(vec![labels.pick(&chosen)?, matrix(rows.rows, labels.len(), &all)?])
}
