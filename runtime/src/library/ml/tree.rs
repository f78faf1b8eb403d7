//! Ensembles of decision trees.

use super::scores::{Post, Second, both};
use super::tree_build::{Forest, Kind, Vote, outcome};
use super::{Labels, Rows, arg_max, matrix};
use crate::DType;
use crate::library::function::{Function, Operands, Results, from_reals};
use crate::library::real::Real;
use crate::library::{LibraryError, expect};
use std::borrow::Cow;

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

/// The trees with their numbers.
struct Trees<'a, R: Real> {
    forest: &'a Forest,
    values: Cow<'a, [R]>,
    weights: Cow<'a, [R]>,
}

/// Whether the numbers of the trees, operands 1 and 2, are read as f32; all others are read as f64.
fn narrow(x: &Operands) -> Result<bool, LibraryError> {
    Ok(x.tensor(1)?.dtype == DType::F32 && x.tensor(2)?.dtype == DType::F32)
}

impl<'a, R: Real> Trees<'a, R> {
    fn of(forest: &'a Forest, x: &Operands<'a>) -> Result<Trees<'a, R>, LibraryError> {
        let (values, weights) = (R::elements(&x.tensor(1)?)?, R::elements(&x.tensor(2)?)?);
        forest.expect_lengths(values.len(), weights.len())?;
        Ok(Trees { forest, values, weights })
    }

    /// Sum, minimum or maximum of the votes for each target; `None` where there is no vote.
    fn tally(&self, row: &[f64], how: Aggregate, scores: &mut Vec<Option<f64>>) -> Result<(), LibraryError> {
        scores.clear();
        scores.resize(self.forest.targets, None);
        for root in &self.forest.roots {
            for Vote { target, weight } in self.walk(*root, row)? {
                let (Some(score), Some(weight)) = (scores.get_mut(*target), self.weights.get(*weight)) else {
                    continue;
                };
                let weight = weight.wide();
                *score = Some(match (*score, how) {
                    (None, _) => weight,
                    (Some(old), Aggregate::Min) => old.min(weight),
                    (Some(old), Aggregate::Max) => old.max(weight),
                    (Some(old), _) => old + weight,
                });
            }
        }
        if how == Aggregate::Average {
            scores.iter_mut().flatten().for_each(|s| *s /= self.forest.roots.len() as f64);
        }
        Ok(())
    }

    /// The votes of the leaf a row comes to. Nodes that lead back to each other would keep it for ever.
    fn walk(&self, mut at: u32, row: &[f64]) -> Result<&[Vote], LibraryError> {
        let accepted = "as many features as the trees ask for";
        for _ in 0..=self.forest.nodes.len() {
            let Some(node) = self.forest.nodes.get(at as usize) else { break };
            let [otherwise, then] = node.next;
            if node.kind == Kind::Leaf {
                return Ok(self.forest.votes.get(otherwise as usize..then as usize).unwrap_or_default());
            }
            let found = row.get(node.feature as usize).zip(self.values.get(at as usize));
            let (x, value) = found.ok_or(LibraryError::Operands { accepted })?;
            let mut holds = outcome(*x, value.wide()) & node.accepts != 0;
            if node.kind == Kind::Member {
                holds |= self.forest.sets.get(&at).is_some_and(|set| set.contains(x));
            }
            // Read from memory, not branched on: which way a row goes cannot be foreseen.
            at = *node.next.get(usize::from(holds)).unwrap_or(&otherwise);
        }
        Err(LibraryError::Operands { accepted: "trees whose branches do not lead back" })
    }

    /// Whether no leaf has a negative vote.
    fn positive(&self) -> bool {
        let weight = |vote: &Vote| self.weights.get(vote.weight).is_some_and(|w| w.wide() >= 0.0);
        self.forest.votes.iter().all(weight)
    }
}

/// How a feature compares with the value of a node, without a branch.
fn outcome(x: f64, value: f64) -> u8 {
    let bit = |holds: bool, bit: u8| u8::from(holds) * bit;
    bit(x < value, outcome::LESS)
        | bit(x == value, outcome::EQUAL)
        | bit(x > value, outcome::GREATER)
        | bit(x.is_nan(), outcome::MISSING)
        | bit(value.is_nan() & !x.is_nan(), outcome::NO_VALUE)
}

/// Rows of finished scores, with what is added to each target.
fn regress<R: Real>(
    forest: &Forest,
    x: &Operands,
    how: Aggregate,
    base: &[f64],
    post: Post,
) -> Result<(usize, Vec<f64>), LibraryError> {
    let (trees, rows) = (Trees::<R>::of(forest, x)?, Rows::of(x)?);
    let (mut all, mut scores) = (Vec::new(), Vec::new());
    for row in rows.iter() {
        trees.tally(row, how, &mut scores)?;
        let begin = all.len();
        let scores = scores.iter().enumerate();
        all.extend(scores.map(|(i, s)| s.unwrap_or(0.0) + base.get(i).copied().unwrap_or(0.0)));
        post.apply(all.get_mut(begin..).unwrap_or_default());
    }
    Ok((rows.rows, all))
}

/// TreeEnsemble: `[x, splits, leaf weights, modes, members?]`.
pub(super) fn ensemble(f: &Function, x: &Operands) -> Results {
    let forest = f.prepare(x, &[3, 4], || Forest::split(f, x))?;
    let how = usize::try_from(f.int("aggregate_function", 1)).ok().and_then(|n| Aggregate::ALL.get(n));
    let (_, how) = how.ok_or(LibraryError::Operands { accepted: "aggregate_function from 0 to 3" })?;
    let post = Post::number(f.int("post_transform", 0))?;
    let run = if narrow(x)? { regress::<f32> } else { regress::<f64> };
    let (rows, scores) = run(&forest, x, *how, &[], post)?;
    Ok(vec![from_reals(x.tensor(0)?.dtype, &[rows, forest.targets], &scores)?.into()])
}

/// Operand 3, when it is given.
fn base_values(x: &Operands) -> Result<Vec<f64>, LibraryError> {
    if x.get(3).is_some() { x.reals(3) } else { Ok(vec![]) }
}

/// TreeEnsembleRegressor: `[x, node values, target weights, base values?]`.
pub(super) fn regressor(f: &Function, x: &Operands) -> Results {
    let targets = usize::try_from(f.int("n_targets", 1)).unwrap_or(0);
    let forest = f.prepare(x, &[], || Forest::tuples(f, x, "target", targets))?;
    let how = f.text("aggregate_function", "SUM");
    let how = Aggregate::ALL.iter().find(|(name, _)| *name == how);
    let (_, how) = how.ok_or(LibraryError::Operands { accepted: "aggregate_function AVERAGE, SUM, MIN and MAX" })?;
    let base = base_values(x)?;
    expect(base.is_empty() || base.len() == targets, "a base value for each target")?;
    let post = Post::parse(f.text("post_transform", "NONE"))?;
    let run = if narrow(x)? { regress::<f32> } else { regress::<f64> };
    let (rows, scores) = run(&forest, x, *how, &base, post)?;
    Ok(vec![from_reals(DType::F32, &[rows, targets], &scores)?.into()])
}

/// TreeEnsembleClassifier: `[x, node values, class weights, base values?]`.
pub(super) fn classifier(f: &Function, x: &Operands) -> Results {
    let labels = Labels::of(f, "classlabels_int64s", "classlabels_strings")?;
    let forest = f.prepare(x, &[], || Forest::tuples(f, x, "class", labels.len()))?;
    let post = Post::parse(f.text("post_transform", "NONE"))?;
    let base = base_values(x)?;
    expect(base.len() <= labels.len(), "at most one base value for each class")?;
    let run = if narrow(x)? { classify::<f32> } else { classify::<f64> };
    let (chosen, scores) = run(&forest, x, labels.len(), &base, post)?;
    Ok(vec![labels.pick(&chosen)?, matrix(chosen.len(), labels.len(), &scores)?])
}

/// The class of each row, and rows of finished scores.
fn classify<R: Real>(
    forest: &Forest,
    x: &Operands,
    classes: usize,
    base: &[f64],
    post: Post,
) -> Result<(Vec<Option<usize>>, Vec<f64>), LibraryError> {
    let (trees, rows) = (Trees::<R>::of(forest, x)?, Rows::of(x)?);
    // Where all votes are for one of two classes, they say how much the second one is preferred.
    let one = forest.only.filter(|_| classes == 2);
    let (limit, second) =
        if one.is_some() && trees.positive() { (0.5, Second::Complement) } else { (0.0, Second::Opposite) };
    let (mut chosen, mut all, mut tally) = (Vec::with_capacity(rows.rows), Vec::new(), Vec::new());
    for row in rows.iter() {
        trees.tally(row, Aggregate::Sum, &mut tally)?;
        let score = |i: usize| tally.get(i).copied().flatten().unwrap_or(0.0);
        if one == Some(0) {
            let score = score(0) + base.last().copied().unwrap_or(0.0);
            chosen.push(Some(usize::from(score > limit)));
            all.extend(both(score, second, post));
            continue;
        }
        let begin = all.len();
        all.extend((0..classes).map(|i| score(i) + base.get(i).copied().unwrap_or(0.0)));
        let scores = all.get_mut(begin..).unwrap_or_default();
        chosen.push(match *scores {
            [score] => (score > 0.0).then_some(0),
            [_, score] if one.is_some() => Some(usize::from(score > limit)),
            _ => Some(arg_max(scores)),
        });
        post.apply(scores);
    }
    Ok((chosen, all))
}
