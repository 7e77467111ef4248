//! How a network was trained, and where its samplers begin and end.

use tronie_sampling::{BetaSchedule, Parametrization, Spacing};

/// The choices of a `scheduler_config.json` that diffusers' samplers follow. Others choose their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestepGrid {
    /// Where the timesteps of a run lie within training's 1000.
    pub spacing: Spacing,
    /// Added to every timestep where spacing is leading.
    pub steps_offset: usize,
    /// Whether the step after the last one is free of noise (cumulative alpha 1), not training's timestep 0.
    pub final_alpha_is_one: bool,
}

impl TimestepGrid {
    /// The published checkpoints of every family.
    ///
    /// Source: `scheduler/scheduler_config.json` of each.
    pub const STABLE_DIFFUSION: Self =
        Self { spacing: Spacing::Leading, steps_offset: 1, final_alpha_is_one: false };
}

/// How a network was trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Training {
    /// What it predicts.
    pub parametrization: Parametrization,
    /// The noise it saw.
    pub betas: BetaSchedule,
    /// Whether that noise was rescaled so that the last timestep is noise alone (Lin et al. 2023, arXiv:2305.08891).
    pub zero_terminal_snr: bool,
    /// How diffusers' samplers place their timesteps on it.
    pub grid: TimestepGrid,
}

impl Training {
    /// Predicting the noise: SD 1.x, the 512-pixel SD 2.x, SDXL.
    pub const EPSILON: Self = Self {
        parametrization: Parametrization::Epsilon,
        betas: BetaSchedule::STABLE_DIFFUSION,
        zero_terminal_snr: false,
        grid: TimestepGrid::STABLE_DIFFUSION,
    };

    /// Predicting the velocity: the 768-pixel SD 2.x.
    pub const V: Self = Self { parametrization: Parametrization::V, ..Self::EPSILON };
}
