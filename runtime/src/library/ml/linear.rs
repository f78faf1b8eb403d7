//! LinearClassifier and LinearRegressor.

use super::scores::{Post, Second, both};
use super::{Labels, Rows, arg_max, dot, matrix, wide};
use crate::library::LibraryError;
use crate::library::expect;
use crate::library::function::{Function, Operands, Results};

/// One score for each target and observation.
struct Scores {
    targets: usize,
    rows: Vec<Vec<f64>>,
}

fn scores(f: &Function, x: &Rows) -> Result<Scores, LibraryError> {
    let coefficients = wide(f.floats("coefficients"));
    let targets = coefficients.len().checked_div(x.columns).unwrap_or(0);
    let intercepts = wide(f.floats("intercepts"));
    expect(
        targets > 0
            && targets * x.columns == coefficients.len()
            && (intercepts.is_empty() || intercepts.len() == targets),
        "as many coefficients as targets times features, and an intercept for each target",
    )?;
    let row = |row: &[f64]| -> Vec<f64> {
        let targets = coefficients.chunks_exact(x.columns).enumerate();
        targets.map(|(t, c)| dot(row, c) + intercepts.get(t).copied().unwrap_or(0.0)).collect()
    };
    Ok(Scores { targets, rows: x.iter().map(row).collect() })
}

pub(super) fn regressor(f: &Function, x: &Operands) -> Results {
    let x = Rows::of(x)?;
    let post = Post::parse(f.text("post_transform", "NONE"))?;
    let mut scores = scores(f, &x)?;
    expect(f.int("targets", 1) == scores.targets as i64, "as many coefficients as targets times features")?;
    scores.rows.iter_mut().for_each(|row| post.apply(row));
    Ok(vec![matrix(x.rows, scores.targets, &scores.rows.concat())?])
}

pub(super) fn classifier(f: &Function, x: &Operands) -> Results {
    let x = Rows::of(x)?;
    let post = Post::parse(f.text("post_transform", "NONE"))?;
    let labels = Labels::of(f, "classlabels_ints", "classlabels_strings")?;
    let scores = scores(f, &x)?;
    let pair = scores.targets == 1 && labels.len() == 2;
    let (mut chosen, mut all) = (Vec::with_capacity(x.rows), Vec::new());
    for mut row in scores.rows {
        let margin = row.first().copied().unwrap_or(0.0);
        chosen.push(match scores.targets {
            1 if pair => Some(usize::from(margin > 0.0)),
            1 => (margin > 0.0).then_some(0),
            _ => Some(arg_max(&row)),
        });
        if pair {
            all.extend(both(margin, Second::Complement, post));
        } else {
            post.apply(&mut row);
            all.extend(row);
        }
    }
    let width = if pair { 2 } else { scores.targets };
    Ok(vec![labels.pick(&chosen)?, matrix(x.rows, width, &all)?])
}
