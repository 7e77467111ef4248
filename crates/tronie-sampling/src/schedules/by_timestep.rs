//! Levels of chosen training timesteps.
//!
//! `get_sigmas` of `DiscreteSchedule` in k-diffusion's `external.py`, and the schedules ComfyUI and A1111 share: facts from
//! `comfy/samplers.py`.

use super::{Levels, ScheduleInput, linspace};
use crate::{Rounding, ScheduleError};

/// Evenly spaced timesteps from the last to the first; A1111's "Uniform" and "Automatic" too.
pub(super) fn normal(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    Ok(from_top(input, input.n_steps))
}

/// One timestep more than needed, and the lowest left out, as Stability's `generative-models` samples.
pub(super) fn sgm_uniform(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    let mut levels = from_top(input, input.n_steps + 1);
    levels.sigmas.truncate(input.n_steps);
    Ok(levels)
}

fn from_top(input: &ScheduleInput<'_>, n: usize) -> Levels {
    let top = input.discrete.timestep_of(input.range.1, Rounding::Fractional);
    let bottom = input.discrete.timestep_of(input.range.0, Rounding::Fractional);
    let timesteps = linspace(top, bottom, n);
    Levels::above_zero(timesteps.map(|timestep| input.discrete.sigma_of(timestep)).collect())
}

/// Every (1000 / n)-th training level, counted from the top.
pub(super) fn simple(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    let falling: Vec<f64> = input.discrete.sigmas().iter().rev().copied().collect();
    let n = input.n_steps;
    let picked = (0..n).filter_map(|step| falling.get(step * falling.len() / n).copied());
    Ok(Levels::above_zero(picked.collect()))
}

/// Timesteps 1, 1 + 1000 / n, ..: DDIM's. Where n does not divide 1000 there are more levels than n, as in ComfyUI and A1111.
pub(super) fn ddim_uniform(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    let sigmas = input.discrete.sigmas();
    let stride = (sigmas.len() / input.n_steps).max(1);
    let mut picked: Vec<f64> = sigmas.iter().skip(1).step_by(stride).copied().collect();
    picked.reverse();
    Ok(Levels::above_zero(picked))
}
