//! Products, distances and eigenvalues of rows.

use faer::{Mat, MatRef, Side};

use crate::EvaluateError;

/// The mean of the rows, each counted as often as `weights` say; their sum is not zero.
pub(crate) fn mean(rows: MatRef<'_, f64>, weights: &[f64]) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    let column = |column: usize| {
        rows.col(column).iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>() / total
    };
    (0..rows.ncols()).map(column).collect()
}

/// The rows less their mean, scaled so that the product of the transpose with itself is their covariance (divided by n - 1).
pub(crate) fn deviations(rows: MatRef<'_, f64>, weights: &[f64]) -> Mat<f64> {
    let mean = mean(rows, weights);
    let total: f64 = weights.iter().sum();
    let scale: Vec<f64> = weights.iter().map(|weight| (weight / (total - 1.0)).sqrt()).collect();
    let value = |row: usize, column: usize| {
        let center = mean.get(column).copied().unwrap_or(0.0);
        (rows.get(row, column) - center) * scale.get(row).copied().unwrap_or(0.0)
    };
    Mat::from_fn(rows.nrows(), rows.ncols(), value)
}

/// A matrix of no more rows than columns whose product of the transpose with itself is that of `deviations`.
pub(crate) fn factor(deviations: &Mat<f64>, set: &'static str) -> Result<Mat<f64>, EvaluateError> {
    if deviations.nrows() <= deviations.ncols() {
        return Ok(deviations.clone());
    }
    let covariance = deviations.transpose() * deviations;
    let eigen = covariance.self_adjoint_eigen(Side::Lower).map_err(|_| EvaluateError::Eigenvalues { set })?;
    let roots: Vec<f64> = eigen.S().column_vector().iter().map(|value| value.max(0.0).sqrt()).collect();
    let vectors = eigen.U();
    let value = |row: usize, column: usize| roots.get(row).copied().unwrap_or(0.0) * vectors.get(column, row);
    Ok(Mat::from_fn(covariance.nrows(), covariance.ncols(), value))
}

/// Sum of the singular values of a matrix.
pub(crate) fn sum_of_singular_values(matrix: &Mat<f64>, set: &'static str) -> Result<f64, EvaluateError> {
    let gram = if matrix.nrows() <= matrix.ncols() {
        matrix * matrix.transpose()
    } else {
        matrix.transpose() * matrix
    };
    Ok(eigenvalues(&gram, set)?.into_iter().map(|value| value.max(0.0).sqrt()).sum())
}

/// Eigenvalues of a symmetric matrix, rising.
pub(crate) fn eigenvalues(matrix: &Mat<f64>, set: &'static str) -> Result<Vec<f64>, EvaluateError> {
    matrix.self_adjoint_eigenvalues(Side::Lower).map_err(|_| EvaluateError::Eigenvalues { set })
}

/// Squared lengths of the rows.
pub(crate) fn squares(rows: MatRef<'_, f64>) -> Vec<f64> {
    (0..rows.nrows()).map(|row| rows.row(row).squared_norm_l2()).collect()
}

/// Rows of a matrix that are multiplied at once, so that the products of large sets fit into memory.
const ROWS_PER_BLOCK: usize = 1024;

/// Calls `see` with every row number of `a` and its squared distances to all rows of `b`.
pub(crate) fn each_squared_distances(
    a: MatRef<'_, f64>,
    b: MatRef<'_, f64>,
    mut see: impl FnMut(usize, &[f64]),
) {
    let (a_squares, b_squares) = (squares(a), squares(b));
    let mut start = 0;
    while start < a.nrows() {
        let n_rows = ROWS_PER_BLOCK.min(a.nrows() - start);
        // One column for each row of the block, so that its distances lie together.
        let products = b * a.subrows(start, n_rows).transpose();
        for (offset, column) in products.col_iter().enumerate() {
            let square = a_squares.get(start + offset).copied().unwrap_or(0.0);
            let distances = column
                .iter()
                .zip(&b_squares)
                .map(|(product, other)| (square + other - 2.0 * product).max(0.0));
            see(start + offset, &distances.collect::<Vec<f64>>());
        }
        start += n_rows;
    }
}
