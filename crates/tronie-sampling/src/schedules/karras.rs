//! Karras's curve: evenly spaced seventh roots.
//!
//! Karras et al. 2022 (arXiv:2206.00364), eq. 5 with rho 7.

use super::{Levels, ScheduleInput, linspace};
use crate::ScheduleError;

const RHO: f64 = 7.0;

pub(super) fn karras(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    let (low, high) = input.range;
    Ok(Levels::above_zero(levels(input.n_steps, low, high)))
}

/// `n` levels from `high` to `low`.
pub(crate) fn levels(n: usize, low: f64, high: f64) -> Vec<f64> {
    linspace(high.powf(1.0 / RHO), low.powf(1.0 / RHO), n).map(|root| root.powf(RHO)).collect()
}
