//! Evenly spaced logarithms: `get_sigmas_exponential` and `get_sigmas_polyexponential` in k-diffusion's `sampling.py`.
//!
//! diffusers' "Lu lambdas" (Lu et al. 2022, arXiv:2206.00927, section 3.4: uniform `lambda`) are the same levels.

use super::{Levels, ScheduleInput, linspace};
use crate::ScheduleError;

/// Exponent of the ramp; 1 in A1111, where the curve is the exponential one.
const RHO: f64 = 1.0;

pub(super) fn exponential(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    let (low, high) = input.range;
    let logs = linspace(high.ln(), low.ln(), input.n_steps);
    Ok(Levels::above_zero(logs.map(f64::exp).collect()))
}

pub(super) fn polyexponential(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    let (low, high) = input.range;
    let ramp = linspace(1.0, 0.0, input.n_steps).map(|place| place.powf(RHO));
    Ok(Levels::above_zero(ramp.map(|place| low * (high / low).powf(place)).collect()))
}
