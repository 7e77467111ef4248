//! Noise schedules, parametrizations and samplers: pure functions of a denoiser and a noise stream.
//!
//! This crate knows no network, prompt or file. Everything happens on `x = x0 + sigma * noise` (Karras et al. 2022,
//! arXiv:2206.00364); timesteps do not leave [`NetworkDenoiser`].
//!
//! - [`Discrete`]: the training schedule, timesteps and their noise levels.
//! - [`Parametrization`], [`NetworkDenoiser`]: from a network's prediction to a [`Denoiser`], and the training target.
//! - [`SCHEDULES`], [`SAMPLERS`]: one file and one row each.
//! - [`Profile`]: whose numbers are reproduced (A1111, ComfyUI, diffusers); data, in one table.
//! - [`plan()`]: (profile, sampler, schedule, steps) to a [`Plan`]: noise levels, timesteps, scales, options.
//! - [`Stretch`]: the part of a schedule that is walked, all of it from noise or its end from a picture.
//! - [`Run`]: what a sampler is given; [`SamplerRow::run`] walks it.
//! - [`Guidance`]: classifier-free guidance, and which predictions a step needs.
//!
//! ```text
//! let plan = plan(profile, sampler, schedule, 20, &discrete)?;
//! let x = noise.initial() * plan.initial_scale;
//! let mut model = NetworkDenoiser { network: &mut unet, parametrization, discrete: &discrete, .. };
//! let run = Run { model: &mut model, sigmas: &plan.sigmas, noise: &mut noise, observer, options: plan.options };
//! let latents = plan.sampler.run(run, x)? * plan.final_scale;
//! ```

mod denoiser;
mod discrete;
mod error;
mod guidance;
mod names;
mod plan;
mod profile;
mod run;
mod samplers;
mod schedules;
mod sigmas;
mod stretch;

pub use denoiser::{Denoiser, Network, NetworkDenoiser, Parametrization, Timesteps};
pub use discrete::{BetaCurve, BetaSchedule, Discrete, DiscreteOptions, Rounding};
pub use error::{SampleError, ScheduleError, UnknownName};
pub use guidance::{Guidance, Interval, Needed, rescale};
pub use plan::{Plan, plan};
pub use profile::{
    FinalLevel, FromPicture, InitialNoise, LatentMask, Numerics, PROFILES, Profile, find_profile,
};
pub use run::{Observer, Run, SamplerOptions, SdeNoise, Unobserved};
pub use samplers::{LevelUse, SAMPLERS, Sampler, SamplerRow, find_sampler};
pub use schedules::{Grid, Levels, SCHEDULES, ScheduleInput, ScheduleRow, Spacing, find_schedule};
pub use sigmas::{Sigmas, Step};
pub use stretch::{StrengthRule, Stretch};
