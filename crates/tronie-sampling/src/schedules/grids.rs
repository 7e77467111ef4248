//! diffusers' timestep spacings.
//!
//! Lin et al. 2023 (arXiv:2305.08891), table 2; `set_timesteps` of diffusers' schedulers, which count in three ways.

use serde::{Deserialize, Serialize};

use super::{Levels, ScheduleInput, linspace as evenly};
use crate::ScheduleError;

/// How timesteps are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// 0, 1000 / n, .. plus an offset.
    Leading,
    /// Evenly from 0 to 999.
    Linspace,
    /// 999, 999 - 1000 / n, ..
    Trailing,
}

/// How a family of diffusers' schedulers counts timesteps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// n timesteps, fractional (Euler, Heun, LMS, KDPM2).
    Fractional,
    /// n timesteps, rounded (DDIM, DDPM, PNDM).
    Rounded,
    /// The highest n of n + 1 timesteps, rounded (DPM-Solver, UniPC, DEIS).
    RoundedOneMore,
}

pub(super) fn leading(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    Ok(on_grid(input, Spacing::Leading))
}

pub(super) fn linspace(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    Ok(on_grid(input, Spacing::Linspace))
}

pub(super) fn trailing(input: &ScheduleInput<'_>) -> Result<Levels, ScheduleError> {
    Ok(on_grid(input, Spacing::Trailing))
}

fn on_grid(input: &ScheduleInput<'_>, spacing: Spacing) -> Levels {
    let timesteps = timestep_grid(input, spacing);
    let sigmas = timesteps.iter().map(|&timestep| input.discrete.sigma_of_linear(timestep)).collect();
    Levels { sigmas, timesteps: Some(timesteps), complete: false }
}

/// The timesteps of a spacing, falling.
pub(crate) fn timestep_grid(input: &ScheduleInput<'_>, spacing: Spacing) -> Vec<f64> {
    let (n, n_train) = (input.n_steps, input.discrete.n_timesteps());
    let n_points = if input.grid == Grid::RoundedOneMore { n + 1 } else { n };
    match spacing {
        Spacing::Leading => {
            let stride = n_train / n_points;
            let rising = (0..n_points).map(|i| (i * stride + input.steps_offset) as f64);
            rising.rev().take(n).collect()
        }
        Spacing::Linspace => {
            let falling = evenly(input.discrete.last_timestep(), 0.0, n_points).take(n);
            match input.grid {
                Grid::Fractional => falling.collect(),
                Grid::Rounded | Grid::RoundedOneMore => falling.map(f64::round_ties_even).collect(),
            }
        }
        Spacing::Trailing => {
            let stride = n_train as f64 / n as f64;
            (0..n).map(|i| (n_train as f64 - i as f64 * stride).round_ties_even() - 1.0).collect()
        }
    }
}
