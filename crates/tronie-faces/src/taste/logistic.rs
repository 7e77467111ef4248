//! A logistic curve through scores.

use serde::{Deserialize, Serialize};

/// The curve `1 / (1 + exp(-(slope score + offset)))`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Logistic {
    slope: f64,
    offset: f64,
}

impl Logistic {
    /// The most likely curve for scores with known answers, by Newton's method on Platt's smoothed targets, which keep
    /// the curve finite where the scores part the answers.
    pub(super) fn fit(scores: &[(f64, bool)]) -> Self {
        let n_good = scores.iter().filter(|(_, is_good)| *is_good).count() as f64;
        let n_bad = scores.len() as f64 - n_good;
        let target =
            |is_good: bool| if is_good { (n_good + 1.0) / (n_good + 2.0) } else { 1.0 / (n_bad + 2.0) };
        let mut curve = Self { slope: 1.0, offset: 0.0 };
        for _ in 0..50 {
            // Gradient and Hessian of the negative log-likelihood; the small ridge keeps the Hessian invertible.
            let (mut gradient, mut hessian) = ([0.0; 2], [1e-9, 0.0, 1e-9]);
            for &(score, is_good) in scores {
                let probability = curve.probability(score);
                let (error, weight) = (probability - target(is_good), probability * (1.0 - probability));
                gradient = [gradient[0] + error * score, gradient[1] + error];
                hessian =
                    [hessian[0] + weight * score * score, hessian[1] + weight * score, hessian[2] + weight];
            }
            let determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1];
            curve.slope -= (hessian[2] * gradient[0] - hessian[1] * gradient[1]) / determinant;
            curve.offset -= (hessian[0] * gradient[1] - hessian[1] * gradient[0]) / determinant;
        }
        curve
    }

    pub(super) fn probability(self, score: f64) -> f64 {
        1.0 / (1.0 + (-(self.slope * score + self.offset)).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_meets_the_frequencies() {
        // At score -1 a quarter is good, at 1 three quarters: slope ln 3, offset 0.
        let of = |score, n_good, n_bad| [vec![(score, true); n_good], vec![(score, false); n_bad]].concat();
        let curve = Logistic::fit(&[of(-1.0, 1000, 3000), of(1.0, 3000, 1000)].concat());
        assert!((curve.slope - 3_f64.ln()).abs() < 1e-2 && curve.offset.abs() < 1e-6, "{curve:?}");
    }

    #[test]
    fn answers_that_scores_part_have_a_finite_curve() {
        let curve = Logistic::fit(&[(-1.0, false), (-2.0, false), (1.0, true), (2.0, true)]);
        assert!(curve.slope.is_finite() && curve.probability(2.0) > 0.6, "{curve:?}");
    }
}
