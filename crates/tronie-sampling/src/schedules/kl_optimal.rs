//! Evenly spaced arc tangents, which minimise a bound on the KL divergence for Gaussian data.
//!
//! Sabour et al. 2024 (arXiv:2404.14507), section 3.1 and theorem 3.1.

use super::{Levels, ScheduleInput, linspace};
use crate::ScheduleError;

/// n levels above 0, as ComfyUI does.
pub(super) fn kl_optimal(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    Ok(Levels::above_zero(arcs(input, input.n_steps)))
}

/// n + 1 levels that end at the lowest, not at 0, as A1111 does.
pub(super) fn kl_optimal_open(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    Ok(Levels { complete: true, ..Levels::above_zero(arcs(input, input.n_steps + 1)) })
}

fn arcs(input: &ScheduleInput<'_>, n: usize) -> Vec<f64> {
    let (low, high) = input.range;
    linspace(high.atan(), low.atan(), n).map(f64::tan).collect()
}
