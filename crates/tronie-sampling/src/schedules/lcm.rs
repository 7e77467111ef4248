//! The timesteps a latent consistency model was distilled at.
//!
//! Luo et al. 2023 (arXiv:2310.04378), section 4.3; diffusers' `LCMScheduler.set_timesteps` with 50 original steps.

use super::{Levels, ScheduleInput};
use crate::ScheduleError;

/// DDIM steps the student was distilled from.
const N_ORIGINAL: usize = 50;

pub(super) fn lcm(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    let n = input.n_steps;
    if n > N_ORIGINAL {
        return Err(ScheduleError::TooManySteps {
            found: n,
            at_most: N_ORIGINAL,
            method: "the LCM schedule",
        });
    }
    let stride = input.discrete.n_timesteps() / N_ORIGINAL;
    let timesteps: Vec<f64> = (0..n)
        .map(|step| N_ORIGINAL - step * N_ORIGINAL / n) // of 50, 49, .. 1
        .map(|original| (original * stride) as f64 - 1.0)
        .collect();
    let sigmas = timesteps.iter().map(|&timestep| input.discrete.sigma_of(timestep)).collect();
    Ok(Levels { sigmas, timesteps: Some(timesteps), complete: false })
}
