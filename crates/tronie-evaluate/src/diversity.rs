//! How different the pictures of a set are from each other.

use faer::Mat;
use serde::Serialize;

use crate::linear::eigenvalues;
use crate::sample::check;
use crate::{Estimate, EvaluateError, Features, Resampling};

/// Rows whose cosines are kept for the interval of the mean distance.
const MAX_ROWS: usize = 4_000;
/// Side of a matrix above which the Vendi score has no interval.
const MAX_RESAMPLED_SIDE: usize = 512;

/// The spread of a set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diversity {
    /// Mean of 1 minus the cosine over all pairs, 0 for equal pictures, 1 for unrelated ones.
    pub mean_distance: Estimate,
    /// How many pictures without anything in common would be as diverse, 1 to their number.
    pub vendi: Estimate,
}

/// Measures a set; the warning is about a small one.
///
/// The Vendi score is the exponential of the entropy of the eigenvalues of the matrix of cosines over n: Friedman and Dieng
/// 2022 (arXiv:2210.02410), definition 3.1.
///
/// # Errors
/// [`EvaluateError::TooFew`], [`EvaluateError::Eigenvalues`].
pub fn diversity(
    features: &Features,
    resampling: Resampling,
) -> Result<(Diversity, Vec<String>), EvaluateError> {
    let warning = check("diversity", "pictures", features.len())?;
    let unit = features.unit_rows();
    let n = features.len();
    let whole = vec![1.0; n];
    let value = vendi(&unit, &whole, features.set())?;
    // Rows that are drawn twice take diversity away, more than the score scatters: rows are left out instead.
    let mut left_out = Vec::new();
    if features.width().min(n) <= MAX_RESAMPLED_SIDE {
        for counts in resampling.left_out(n) {
            left_out.push(vendi(&unit, &counts, features.set())?);
        }
    }
    let vendi = Estimate::jackknife(value, n, &left_out, [1.0, n as f64]);
    Ok((Diversity { mean_distance: mean_distance(&unit, resampling), vendi }, warning.into_iter().collect()))
}

fn mean_distance(unit: &Mat<f64>, resampling: Resampling) -> Estimate {
    // The sum of all cosines is the square of the sum of the rows.
    let sum = |counts: &[f64]| -> f64 {
        let along = |column: faer::ColRef<'_, f64>| {
            column.iter().zip(counts).map(|(v, count)| v * count).sum::<f64>()
        };
        unit.col_iter().map(|column| along(column).powi(2)).sum()
    };
    let of = |counts: &[f64]| {
        let total: f64 = counts.iter().sum();
        let same: f64 = counts.iter().map(|count| count * count).sum();
        // Cosines of rows with themselves are 1, and left out.
        1.0 - (sum(counts) - same) / (total * total - same)
    };
    let n = unit.nrows();
    let resampling = if n > MAX_ROWS { Resampling { n: 0, ..resampling } } else { resampling };
    let resampled = resampling.counts("distance", n).map(|counts| of(&counts)).collect();
    Estimate::percentile(of(&vec![1.0; n]), n, resampled)
}

/// The eigenvalues of the cosines over n are those of the features' own products over n, and 0: the smaller matrix is taken.
fn vendi(unit: &Mat<f64>, counts: &[f64], set: &'static str) -> Result<f64, EvaluateError> {
    let total: f64 = counts.iter().sum();
    let scaled = Mat::from_fn(unit.nrows(), unit.ncols(), |row, column| {
        unit.get(row, column) * (counts.get(row).copied().unwrap_or(0.0) / total).sqrt()
    });
    let gram = if scaled.nrows() <= scaled.ncols() {
        &scaled * scaled.transpose()
    } else {
        scaled.transpose() * &scaled
    };
    let values = eigenvalues(&gram, set)?;
    let entropy: f64 = values.into_iter().filter(|value| *value > 0.0).map(|value| -value * value.ln()).sum();
    Ok(entropy.exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_without_anything_in_common_count_one_by_one_and_equal_ones_together() {
        let axis =
            |index: usize| (0..4).map(|place| if place == index { 2.0 } else { 0.0 }).collect::<Vec<f64>>();
        let of = |rows: &[Vec<f64>]| {
            let features = Features::from_rows("test", rows).unwrap();
            diversity(&features, Resampling { n: 0, seed: 0 }).unwrap().0
        };
        let different = of(&[axis(0), axis(1), axis(2), axis(3)]);
        assert!((different.vendi.value - 4.0).abs() < 1e-12);
        assert!((different.mean_distance.value - 1.0).abs() < 1e-12);
        let equal = of(&vec![axis(1); 9]);
        assert!((equal.vendi.value - 1.0).abs() < 1e-12 && equal.mean_distance.value.abs() < 1e-12);
        // Two pairs of equal pictures: four of six pairs are unrelated.
        let pairs = of(&[axis(0), axis(0), axis(1), axis(1)]);
        assert!((pairs.vendi.value - 2.0).abs() < 1e-12);
        assert!((pairs.mean_distance.value - 4.0 / 6.0).abs() < 1e-12);
        let resampling = Resampling { n: 200, seed: 0 };
        let rows: Vec<Vec<f64>> =
            (0..40).map(|index| vec![1.0, f64::from(index), f64::from(index * index)]).collect();
        let vendi = diversity(&Features::from_rows("test", &rows).unwrap(), resampling).unwrap().0.vendi;
        let interval = vendi.interval.unwrap();
        assert!(
            1.0 <= interval.low && interval.low < vendi.value && vendi.value < interval.high,
            "{vendi:?}"
        );
        assert!(interval.high - interval.low < vendi.value, "{vendi:?}");
        let few = Features::from_rows("test", &[axis(0), axis(1)]).unwrap();
        let error = diversity(&few, Resampling::default()).unwrap_err();
        assert_eq!(error.to_string(), "diversity of 2 pictures, expected at least 3: few pairs say little");
    }
}
