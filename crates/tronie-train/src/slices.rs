//! Arithmetic on long slices: in parallel, and the same on every machine.

use rayon::prelude::*;

/// Elements one task works on at least; fewer are not worth a thread.
pub(crate) const MIN_LEN: usize = 1 << 14;

/// The sum of `term` over a slice, in f64.
///
/// Pieces are of a fixed length and added in order, so the number of threads does not show in the result.
pub(crate) fn sum(values: &[f32], term: impl Fn(f32) -> f64 + Sync) -> f64 {
    let piece = |values: &[f32]| values.iter().map(|&value| term(value)).sum();
    let pieces: Vec<f64> = values.par_chunks(MIN_LEN).map(piece).collect();
    pieces.iter().sum()
}

/// The sum of squares, in f64.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    sum(values, |value| f64::from(value) * f64::from(value))
}

/// Root of the mean square; 0 without values.
pub(crate) fn root_mean_square(values: &[f32]) -> f64 {
    (sum_of_squares(values) / values.len().max(1) as f64).sqrt()
}

/// The nearest f32. Factors are computed in f64 and rounded once, as PyTorch does with Python's numbers.
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what this is for")]
pub(crate) fn narrow(value: f64) -> f32 {
    value as f32
}
