//! Every way to space the noise levels of a run.
//!
//! A schedule is one function of a [`ScheduleInput`], in its own file, and one row of [`SCHEDULES`].

use crate::names::{Named, find};
use crate::{Discrete, ScheduleError, UnknownName};

mod align_your_steps;
mod beta;
mod beta_quantile;
mod by_timestep;
mod exponential;
mod grids;
mod karras;
mod kl_optimal;
mod lcm;

pub(crate) use grids::timestep_grid;
pub use grids::{Grid, Spacing};
pub(crate) use karras::levels as karras_levels;

/// What a schedule is made from.
#[derive(Debug, Clone, Copy)]
pub struct ScheduleInput<'a> {
    /// The network's training schedule.
    pub discrete: &'a Discrete,
    /// Levels above 0 to make, at least 1.
    pub n_steps: usize,
    /// Lowest and highest level for schedules that are curves between two levels.
    pub range: (f64, f64),
    /// How timesteps are counted, for the schedules that diffusers calls spacings.
    pub grid: Grid,
    /// What is added to those timesteps, for [`Spacing::Leading`].
    pub steps_offset: usize,
}

/// What a schedule makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    /// Falling noise levels.
    pub sigmas: Vec<f64>,
    /// Their timesteps, where the schedule chose those and not the levels.
    pub timesteps: Option<Vec<f64>>,
    /// Whether the last level is where the run ends; else the end is appended.
    pub complete: bool,
}

impl Levels {
    /// Levels above 0, named to the network by the general rule.
    fn above_zero(sigmas: Vec<f64>) -> Self {
        Self { sigmas, timesteps: None, complete: false }
    }
}

/// One schedule.
#[derive(Clone, Copy)]
pub struct ScheduleRow {
    /// Permanent name, stored in images.
    pub id: &'static str,
    /// Name for menus, A1111's where it has one.
    pub title: &'static str,
    /// Other programs' names for it.
    pub aliases: &'static [&'static str],
    /// The diffusers spacing it is, if it is one.
    pub spacing: Option<Spacing>,
    /// Makes the levels.
    pub levels: fn(&ScheduleInput<'_>) -> Result<Levels, ScheduleError>,
}

impl std::fmt::Debug for ScheduleRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScheduleRow").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PartialEq for ScheduleRow {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Named for ScheduleRow {
    fn id(&self) -> &'static str {
        self.id
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.id, self.title].into_iter().chain(self.aliases.iter().copied())
    }
}

macro_rules! row {
    ($id:literal, $title:literal, $aliases:expr, $levels:expr) => {
        row!($id, $title, $aliases, $levels, None)
    };
    ($id:literal, $title:literal, $aliases:expr, $levels:expr, $spacing:expr) => {
        ScheduleRow { id: $id, title: $title, aliases: $aliases, spacing: $spacing, levels: $levels }
    };
}

/// Every schedule there is. `--schedule`, the studio's menu, the docs and the tests are all read from here.
pub const SCHEDULES: &[ScheduleRow] = &[
    row!("automatic", "Automatic", &["uniform", "default"], by_timestep::normal),
    row!("karras", "Karras", &["ka"], karras::karras),
    row!("exponential", "Exponential", &[], exponential::exponential),
    row!("polyexponential", "Polyexponential", &["poly_exponential"], exponential::polyexponential),
    row!("normal", "Normal", &[], by_timestep::normal),
    row!("simple", "Simple", &[], by_timestep::simple),
    row!("sgm_uniform", "SGM Uniform", &[], by_timestep::sgm_uniform),
    row!("ddim_uniform", "DDIM", &["ddim_scheduler"], by_timestep::ddim_uniform),
    row!("beta", "Beta", &[], beta::beta),
    row!("beta_timesteps", "Beta (timesteps)", &[], beta::beta_timesteps),
    row!("kl_optimal", "KL Optimal", &[], kl_optimal::kl_optimal),
    row!("kl_optimal_open", "KL Optimal (open end)", &[], kl_optimal::kl_optimal_open),
    row!("align_your_steps", "Align Your Steps", &["ays", "align_your_steps_sd15"], align_your_steps::sd15),
    row!("align_your_steps_sdxl", "Align Your Steps SDXL", &["ays_sdxl"], align_your_steps::sdxl),
    row!("lu", "Lu lambdas", &["use_lu_lambdas"], exponential::exponential),
    row!("lcm", "LCM", &[], lcm::lcm),
    row!("leading", "Leading", &[], grids::leading, Some(Spacing::Leading)),
    row!("linspace", "Linspace", &[], grids::linspace, Some(Spacing::Linspace)),
    row!("trailing", "Trailing", &[], grids::trailing, Some(Spacing::Trailing)),
];

/// A schedule by any of its names. Case, spaces and underscores do not count.
///
/// # Errors
/// [`UnknownName`] with the nearest known name.
pub fn find_schedule(name: &str) -> Result<&'static ScheduleRow, UnknownName> {
    find("schedule", SCHEDULES, name)
}

/// `n` numbers from `start` to `end`, both included; `start` alone when `n` is 1.
fn linspace(start: f64, end: f64, n: usize) -> impl Iterator<Item = f64> {
    let last = n.saturating_sub(1).max(1) as f64;
    (0..n).map(move |i| start + (end - start) * (i as f64 / last))
}

#[cfg(test)]
mod tests;
