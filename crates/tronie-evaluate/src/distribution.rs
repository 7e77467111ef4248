//! How near two sets of pictures are: FID, KID, precision and recall.

use faer::Mat;
use serde::Serialize;
use tronie_base::Progress;

use crate::linear::{deviations, each_squared_distances, factor, mean, sum_of_singular_values};
use crate::sample::check;
use crate::{Estimate, EvaluateError, Features, Resampling};

/// Neighbors that make the radius around a picture, as in the paper.
pub const NEAREST: usize = 3;
/// Rows whose kernel is kept for the interval of KID: two of 2,000 take 100 MB.
const MAX_KERNEL_ROWS: usize = 2_000;
/// Resamples of FID for each of the others, each of which takes two decompositions.
const FID_RESAMPLES_PER: usize = 5;
/// Side of a covariance above which FID has no interval: every resample would take minutes.
const MAX_RESAMPLED_SIDE: usize = 512;

/// Two sets compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distribution {
    /// Pictures that are evaluated.
    pub n: usize,
    /// Pictures they are compared with.
    pub n_reference: usize,
    /// Numbers of each picture.
    pub width: usize,
    /// Fréchet distance of the two normal distributions, 0 and up.
    pub fid: Estimate,
    /// Squared distance of the means in the space of the kernel; about 0 for sets of one distribution.
    pub kid: Estimate,
    /// Share of the pictures that lie among the reference: how real they are.
    pub precision: Estimate,
    /// Share of the reference that lies among the pictures: how much of it they cover.
    pub recall: Estimate,
}

/// Compares two sets, and warns about samples that are small.
///
/// # Errors
/// [`EvaluateError::TooFew`], [`EvaluateError::Incomparable`].
pub fn distribution(
    features: &Features,
    reference: &Features,
    resampling: Resampling,
    progress: &mut dyn Progress,
) -> Result<(Distribution, Vec<String>), EvaluateError> {
    features.check_comparable(reference)?;
    let n_fewer = features.len().min(reference.len());
    let metrics = ["FID", "KID", "precision and recall"];
    let warnings = metrics.map(|metric| check(metric, "pictures", n_fewer));
    let warnings = warnings.into_iter().collect::<Result<Vec<_>, _>>()?;
    progress.begin("comparing sets", 4);
    let fid = fid(features, reference, resampling, progress)?;
    progress.advance(1);
    let kid = kid(features, reference, resampling)?;
    progress.advance(1);
    let share = |of: &Features, among: &Features, name| Estimate::share(&inside(of, among), resampling, name);
    let precision = share(features, reference, "precision");
    progress.advance(1);
    let recall = share(reference, features, "recall");
    progress.advance(1);
    let (n, n_reference, width) = (features.len(), reference.len(), features.width());
    let found = Distribution { n, n_reference, width, fid, kid, precision, recall };
    Ok((found, warnings.into_iter().flatten().collect()))
}

/// The Fréchet distance of two normal distributions with the means and covariances of the sets.
///
/// Heusel et al. 2017 (arXiv:1706.08500), equation 6: `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`. With `C = F'F` for each, the
/// trace of the root is the sum of the singular values of `F1 F2'`, which needs no root of a matrix.
///
/// # Errors
/// [`EvaluateError::Incomparable`], [`EvaluateError::Eigenvalues`].
pub fn frechet_distance(a: &Features, b: &Features) -> Result<f64, EvaluateError> {
    a.check_comparable(b)?;
    weighted_frechet([a, b], [&vec![1.0; a.len()], &vec![1.0; b.len()]])
}

fn weighted_frechet(
    [a, b]: [&Features; 2],
    [a_weights, b_weights]: [&[f64]; 2],
) -> Result<f64, EvaluateError> {
    let means = mean(a.rows(), a_weights).into_iter().zip(mean(b.rows(), b_weights));
    let between: f64 = means.map(|(a, b)| (a - b) * (a - b)).sum();
    let (a_deviations, b_deviations) = (deviations(a.rows(), a_weights), deviations(b.rows(), b_weights));
    let traces = a_deviations.squared_norm_l2() + b_deviations.squared_norm_l2();
    let product = factor(&a_deviations, a.set())? * factor(&b_deviations, b.set())?.transpose();
    Ok(between + traces - 2.0 * sum_of_singular_values(&product, a.set())?)
}

fn fid(
    a: &Features,
    b: &Features,
    resampling: Resampling,
    progress: &dyn Progress,
) -> Result<Estimate, EvaluateError> {
    let value = frechet_distance(a, b)?;
    let side = a.width().min(a.len().max(b.len()));
    let n = if side > MAX_RESAMPLED_SIDE { 0 } else { resampling.n / FID_RESAMPLES_PER };
    let resampling = Resampling { n, ..resampling };
    let draws = resampling.counts("FID", a.len()).zip(resampling.counts("FID reference", b.len()));
    let mut resampled = Vec::new();
    for (a_counts, b_counts) in draws {
        progress.check()?;
        resampled.push(weighted_frechet([a, b], [&a_counts, &b_counts])?);
    }
    // Rows that are drawn twice make covariances narrower, and the distance larger.
    Ok(Estimate::turned(value, a.len().min(b.len()), resampled, 0.0))
}

/// The unbiased estimate of the squared maximum mean discrepancy with the kernel `(x.y / d + 1)^3`.
///
/// Bińkowski et al. 2018 (arXiv:1801.01401), section 4; Gretton et al. 2012, lemma 6.
///
/// # Errors
/// [`EvaluateError::Incomparable`].
pub fn kernel_distance(a: &Features, b: &Features) -> Result<f64, EvaluateError> {
    a.check_comparable(b)?;
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (within_a, within_b) = (kernel_sum(a, a, false), kernel_sum(b, b, false));
    Ok(within_a / (n * (n - 1.0)) + within_b / (m * (m - 1.0)) - 2.0 * kernel_sum(a, b, true) / (n * m))
}

fn kernel_value(product: f64, width: usize) -> f64 {
    (product / width as f64 + 1.0).powi(3)
}

/// Sum of the kernel over all pairs of rows, or over those of different numbers.
fn kernel_sum(a: &Features, b: &Features, with_diagonal: bool) -> f64 {
    const ROWS_PER_BLOCK: usize = 1024;
    let mut sum = 0.0;
    let mut start = 0;
    while start < a.len() {
        let n_rows = ROWS_PER_BLOCK.min(a.len() - start);
        let products = b.rows() * a.rows().subrows(start, n_rows).transpose();
        for (offset, column) in products.col_iter().enumerate() {
            for (row, product) in column.iter().enumerate() {
                if with_diagonal || row != start + offset {
                    sum += kernel_value(*product, a.width());
                }
            }
        }
        start += n_rows;
    }
    sum
}

fn kid(a: &Features, b: &Features, resampling: Resampling) -> Result<Estimate, EvaluateError> {
    let n = a.len().min(b.len());
    let value = kernel_distance(a, b)?;
    let [few_a, few_b] = [a, b].map(|set| set.rows().subrows(0, set.len().min(MAX_KERNEL_ROWS)));
    let kernel = |x: faer::MatRef<'_, f64>, y: faer::MatRef<'_, f64>, is_same: bool| {
        let products = x * y.transpose();
        let value = |row: usize, column: usize| {
            if is_same && row == column { 0.0 } else { kernel_value(*products.get(row, column), a.width()) }
        };
        Mat::from_fn(products.nrows(), products.ncols(), value)
    };
    let (aa, bb, ab) = (kernel(few_a, few_a, true), kernel(few_b, few_b, true), kernel(few_a, few_b, false));
    let draws =
        resampling.counts("KID", few_a.nrows()).zip(resampling.counts("KID reference", few_b.nrows()));
    let resampled = draws.map(|(a_counts, b_counts)| {
        // Pairs of one row with itself are left out of a resample as they are of the sample.
        let within = |kernel: &Mat<f64>, counts: &[f64]| {
            let total: f64 = counts.iter().sum();
            let same: f64 = counts.iter().map(|count| count * count).sum();
            bilinear(counts, kernel, counts) / (total * total - same)
        };
        let totals = a_counts.iter().sum::<f64>() * b_counts.iter().sum::<f64>();
        within(&aa, &a_counts) + within(&bb, &b_counts) - 2.0 * bilinear(&a_counts, &ab, &b_counts) / totals
    });
    Ok(Estimate::percentile(value, n, resampled.collect()))
}

fn bilinear(left: &[f64], matrix: &Mat<f64>, right: &[f64]) -> f64 {
    let column = |(column, weight): (faer::ColRef<'_, f64>, &f64)| {
        weight * column.iter().zip(left).map(|(value, weight)| value * weight).sum::<f64>()
    };
    matrix.col_iter().zip(right).map(column).sum()
}

/// For each row of `of`, 1 when it lies within the radius of some row of `among`, else 0. The radius of a row reaches to its
/// third nearest among its own set.
///
/// Kynkäänniemi et al. 2019 (arXiv:1904.06991), equations 1 to 3; distances are Euclidean.
#[must_use]
pub fn precision(of: &Features, among: &Features) -> f64 {
    let inside = inside(of, among);
    inside.iter().sum::<f64>() / inside.len().max(1) as f64
}

fn inside(of: &Features, among: &Features) -> Vec<f64> {
    let mut radii = vec![0.0; among.len()];
    each_squared_distances(among.rows(), among.rows(), |row, distances| {
        let mut others: Vec<f64> = distances
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != row)
            .map(|(_, distance)| *distance)
            .collect();
        let place = (NEAREST - 1).min(others.len().saturating_sub(1));
        if !others.is_empty() {
            let (_, radius, _) = others.select_nth_unstable_by(place, f64::total_cmp);
            if let Some(slot) = radii.get_mut(row) {
                *slot = *radius;
            }
        }
    });
    let mut inside = Vec::with_capacity(of.len());
    each_squared_distances(of.rows(), among.rows(), |_, distances| {
        let is_inside = distances.iter().zip(&radii).any(|(distance, radius)| distance <= radius);
        inside.push(if is_inside { 1.0 } else { 0.0 });
    });
    inside
}

#[cfg(test)]
mod tests;
