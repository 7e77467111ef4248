//! Small systems of equations.
#![expect(clippy::indexing_slicing, reason = "numeric kernel: all indices are below the side of the matrix")]

/// Solves `matrix x = targets` for a symmetric positive definite matrix by Cholesky's factorization.
pub(crate) fn positive_definite(mut matrix: Vec<Vec<f64>>, targets: Vec<f64>) -> Vec<f64> {
    let n = targets.len();
    // The lower triangle becomes the factor L of L L^T.
    for row in 0..n {
        for column in 0..=row {
            let known: f64 = (0..column).map(|k| matrix[row][k] * matrix[column][k]).sum();
            let rest = matrix[row][column] - known;
            matrix[row][column] = if row == column { rest.sqrt() } else { rest / matrix[column][column] };
        }
    }
    let mut solution = targets;
    for row in 0..n {
        let known: f64 = (0..row).map(|k| matrix[row][k] * solution[k]).sum();
        solution[row] = (solution[row] - known) / matrix[row][row];
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|k| matrix[k][row] * solution[k]).sum();
        solution[row] = (solution[row] - known) / matrix[row][row];
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved() {
        let matrix = vec![vec![4.0, 2.0, 0.4], vec![2.0, 5.0, 1.0], vec![0.4, 1.0, 3.0]];
        let found = positive_definite(matrix.clone(), vec![1.0, -2.0, 3.0]);
        for (row, target) in matrix.iter().zip([1.0, -2.0, 3.0]) {
            let product: f64 = row.iter().zip(&found).map(|(a, b)| a * b).sum();
            assert!((product - target).abs() < 1e-12);
        }
    }
}
