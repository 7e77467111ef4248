//! Levels at the quantiles of a beta distribution: dense at both ends.
//!
//! Lee et al. 2024 (arXiv:2407.12173), with alpha = beta = 0.6. A1111 and diffusers place sigmas so, ComfyUI places timesteps.

use super::beta_quantile::beta_quantile;
use super::{Levels, ScheduleInput, linspace};
use crate::ScheduleError;

const SHAPE: f64 = 0.6;

/// Sigmas at the quantiles.
pub(super) fn beta(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    let (low, high) = input.range;
    let places = linspace(1.0, 0.0, input.n_steps);
    Ok(Levels::above_zero(
        places.map(|place| low + beta_quantile(place, SHAPE, SHAPE) * (high - low)).collect(),
    ))
}

/// Training timesteps at the quantiles, each once.
pub(super) fn beta_timesteps(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    let n = input.n_steps;
    let last = input.discrete.last_timestep();
    let places = (0..n).map(|step| 1.0 - step as f64 / n as f64);
    let mut timesteps: Vec<f64> =
        places.map(|place| (beta_quantile(place, SHAPE, SHAPE) * last).round_ties_even()).collect();
    timesteps.dedup();
    Ok(Levels::above_zero(timesteps.into_iter().map(|timestep| input.discrete.sigma_of(timestep)).collect()))
}
