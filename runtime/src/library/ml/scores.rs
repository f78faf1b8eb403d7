//! What becomes of the scores of one observation.

use crate::library::LibraryError;

/// The attribute `post_transform`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Post {
    Keep,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

impl Post {
    pub(super) fn parse(text: &str) -> Result<Post, LibraryError> {
        Ok(match text {
            "NONE" => Post::Keep,
            "SOFTMAX" => Post::Softmax,
            "LOGISTIC" => Post::Logistic,
            "SOFTMAX_ZERO" => Post::SoftmaxZero,
            "PROBIT" => Post::Probit,
            _ => {
                return Err(LibraryError::Operands {
                    accepted: "post_transform NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO and PROBIT",
                });
            }
        })
    }
    /// As TreeEnsemble numbers them.
    pub(super) fn number(n: i64) -> Result<Post, LibraryError> {
        let all = [Post::Keep, Post::Softmax, Post::Logistic, Post::SoftmaxZero, Post::Probit];
        let found = usize::try_from(n).ok().and_then(|n| all.get(n).copied());
        found.ok_or(LibraryError::Operands { accepted: "post_transform from 0 to 4" })
    }

    pub(super) fn apply(self, scores: &mut [f64]) {
        match self {
            Post::Keep => {}
            Post::Logistic => scores.iter_mut().for_each(|s| *s = logistic(*s)),
            Post::Probit => scores.iter_mut().for_each(|s| *s = probit(*s)),
            Post::Softmax => softmax(scores, |_| true),
            // Scores that are zero stay zero and have no share.
            Post::SoftmaxZero => softmax(scores, |s| s.abs() > 1e-7),
        }
    }
}

pub(super) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softmax(scores: &mut [f64], takes_part: impl Fn(f64) -> bool) {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for s in scores.iter_mut() {
        *s = if takes_part(*s) { (*s - largest).exp() } else { *s * (-largest).exp() };
    }
    let sum: f64 = scores.iter().sum();
    let equal = 0.5;
    scores.iter_mut().for_each(|s| *s = if sum == 0.0 { equal } else { *s / sum });
}

/// Quantile function of the normal distribution, by the approximation of the inverse error function that the operators of
/// this domain are defined by in practice (two parameters, absolute error below 0.005).
fn probit(p: f64) -> f64 {
    let x = 2.0 * p - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let a = 2.0 / (std::f64::consts::PI * 0.147) + 0.5 * log;
    std::f64::consts::SQRT_2 * ((a * a - log / 0.147).sqrt() - a).sqrt().copysign(x)
}

/// How the second class of a binary classifier with one score gets its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Second {
    /// The score is a probability.
    Complement,
    /// The score is a margin.
    Opposite,
}

/// Scores of both classes from that of the second one. Of the transforms only those of single scores apply.
pub(super) fn both(score: f64, second: Second, post: Post) -> Vec<f64> {
    match (post, second) {
        (Post::Probit, _) => vec![probit(1.0 - score), probit(score)],
        (Post::Logistic, _) => vec![logistic(-score), logistic(score)],
        (_, Second::Complement) => vec![1.0 - score, score],
        (_, Second::Opposite) => vec![-score, score],
    }
}
