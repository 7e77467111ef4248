//! Learning rates over a run: warm-up, then a curve.
//!
//! The factors of `get_scheduler` in diffusers and transformers:
//! <https://github.com/huggingface/diffusers/blob/v0.35.1/src/diffusers/optimization.py>.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::{TrainError, ranges};

/// Which curve, and its numbers. A number that the curve does not have is without effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LrSchedule {
    /// Id of a row of [`LR_SCHEDULES`].
    pub id: String,
    /// Steps in which the factor rises from 0 to 1 in a straight line; the curve takes the rest of the run.
    pub n_warmup_steps: u64,
    /// Times that `cosine_with_restarts` falls from 1 to 0, at least 1.
    pub n_cycles: u32,
    /// Exponent of `polynomial`, above 0.
    pub power: f64,
    /// Factor at the end of `polynomial`, 0..=1. It is diffusers' `lr_end` over the learning rate, and the default is
    /// theirs (1e-7) for a learning rate of 1e-4.
    pub end_factor: f64,
}

impl Default for LrSchedule {
    fn default() -> Self {
        Self { id: "constant".into(), n_warmup_steps: 0, n_cycles: 1, power: 1.0, end_factor: 0.001 }
    }
}

impl LrSchedule {
    /// The factor of the learning rate at a step (counted from 0) of a run of `n_steps`. Runs may go on after their end.
    ///
    /// # Errors
    /// [`TrainError::UnknownName`] when there is no such curve, [`TrainError::OutOfRange`] when its numbers make none.
    pub fn factor(&self, step: u64, n_steps: u64) -> Result<f64, TrainError> {
        let row = find_lr_schedule(&self.id)?;
        ranges::check(
            row.id,
            &[
                ("n_cycles", self.n_cycles.into(), ranges::AT_LEAST_1),
                ("power", self.power, ranges::ABOVE_0),
                ("end_factor", self.end_factor, ranges::FROM_0_TO_1),
            ],
        )?;
        if step < self.n_warmup_steps {
            return Ok(step as f64 / self.n_warmup_steps as f64);
        }
        let n_after = n_steps.saturating_sub(self.n_warmup_steps).max(1);
        Ok((row.curve)(self, (step - self.n_warmup_steps) as f64 / n_after as f64))
    }
}

/// One curve.
#[derive(Debug, Clone, Copy)]
pub struct LrScheduleRow {
    /// Permanent name, stored in recipes; diffusers' name for it.
    pub id: &'static str,
    /// Name for menus.
    pub title: &'static str,
    /// The factor after a share of the steps that follow the warm-up: 0 at their start, 1 at their end, above 1 beyond.
    pub curve: fn(&LrSchedule, f64) -> f64,
}

/// Every curve there is.
pub const LR_SCHEDULES: &[LrScheduleRow] = &[
    LrScheduleRow { id: "constant", title: "Constant", curve: |_, _| 1.0 },
    LrScheduleRow { id: "linear", title: "Linear", curve: |_, share| (1.0 - share).max(0.0) },
    LrScheduleRow { id: "cosine", title: "Cosine", curve: |_, share| half_wave(share) },
    LrScheduleRow { id: "cosine_with_restarts", title: "Cosine with restarts", curve: restarts },
    LrScheduleRow { id: "polynomial", title: "Polynomial", curve: polynomial },
];

/// A curve by its id.
///
/// # Errors
/// [`TrainError::UnknownName`] with the ids there are.
pub fn find_lr_schedule(id: &str) -> Result<&'static LrScheduleRow, TrainError> {
    LR_SCHEDULES.iter().find(|row| row.id == id).ok_or_else(|| TrainError::UnknownName {
        kind: "learning-rate schedule",
        name: id.to_owned(),
        known: LR_SCHEDULES.iter().map(|row| row.id).collect(),
    })
}

/// From 1 at 0 to 0 at 1 along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5).
fn half_wave(share: f64) -> f64 {
    (0.5 * (1.0 + (PI * share).cos())).max(0.0)
}

/// Half waves one after the other; 0 beyond the end.
fn restarts(schedule: &LrSchedule, share: f64) -> f64 {
    if share >= 1.0 { 0.0 } else { half_wave((f64::from(schedule.n_cycles) * share).fract()) }
}

/// From 1 to the end factor along a power of what is left; constant beyond the end.
fn polynomial(schedule: &LrSchedule, share: f64) -> f64 {
    let left = (1.0 - share).max(0.0);
    (1.0 - schedule.end_factor) * left.powf(schedule.power) + schedule.end_factor
}

#[cfg(test)]
mod tests;
