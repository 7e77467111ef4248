//! Fine-tuning, from a recipe to files that other programs load.
//!
//! - [`plan()`]: what a run would do, without doing it; [`train`]: a run, new or continued; [`Recipe`] says what, [`Method`] of what.
//! - [`train_faces`]: the networks of faces that are part of the program, from a [`FacesRecipe`].
//! - [`scan`]: pictures and captions as people keep them.
//! - [`OPTIMIZERS`]: one file and one row each; [`Optimizer`] steps one parameter at a time on plain f32 slices.
//! - [`LR_SCHEDULES`]: the factor of the learning rate at a step.
//! - [`Levels`], [`weighted_mse`]: noisy latents, targets, weights and the loss.
//! - [`Ema`]: the exponential moving average of the parameters.
//! - [`clip()`]: gradients, cut to a global norm.
//!
//! Nothing here draws a random number or reads a clock. The same numbers come out whatever the number of threads, and a
//! run continued from its stored state is bit for bit the run that was never stopped.

mod autoencoder;
mod class_images;
mod clip;
mod data;
mod ema;
mod error;
mod export;
mod faces;
mod inversion;
mod latents;
mod objective;
mod optimizer;
mod parameters;
mod pass;
mod plan;
mod ranges;
mod recipe;
mod run;
mod run_folder;
mod schedule;
mod scratch;
mod slices;
mod steps;
mod stored;
mod texts;
mod trainee;
mod weave;

pub use clip::{clip, clip_factor, global_norm};
pub use data::{Buckets, Example, ImageSet, Role, Scan, scan};
pub use ema::{Ema, EmaOptions};
pub use error::TrainError;
pub use faces::{FacesFigures, FacesRecipe, Share, Trunk, Verified, measure_faces, train_faces};
pub use inversion::{Concept, Inversion};
pub use objective::{Levels, offset_noise, pyramid_noise, pyramid_sizes, weighted_mse, with_prior};
pub use optimizer::{
    Adafactor, AdamW, AdamW8bit, Lion, OPTIMIZERS, Optimizer, OptimizerRow, Parameter, Prodigy, Shared,
    State, StateTensor, StepContext, find_optimizer, step_all,
};
pub use plan::{TrainPlan, plan};
pub use ranges::{Range, Ranged};
pub use recipe::{
    Checkpoints, Lora, Method, Objective, OptimizerChoice, Prior, Recipe, Samples, SaveDtype, Scratch, Stage,
    Text,
};
pub use run::{Job, Outcome, train};
pub use run_folder::StepReport;
pub use schedule::{LR_SCHEDULES, LrSchedule, LrScheduleRow, find_lr_schedule};
