//! What a run would do: how often each picture is seen, how long it takes, what it keeps in memory.

use std::path::PathBuf;
use std::time::Instant;

use tronie_base::Progress;

use crate::TrainError;
use crate::data::Role;
use crate::pass::Passes;
use crate::run::{Course, Job, Pictures};
use crate::trainee::Trainee;

/// A run before it is started.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainPlan {
    /// Pictures of the subject and of the class.
    pub n_pictures: [usize; 2],
    /// Pictures that cannot be read, and why.
    pub skipped: Vec<(PathBuf, String)>,
    /// Steps of the optimizer.
    pub n_steps: u64,
    /// Steps in which every picture of the subject is seen as often as it repeats.
    pub steps_per_epoch: f64,
    /// (picture, times the run sees it), for the subject and then the class, in the order of the sets.
    pub times_seen: Vec<(PathBuf, f64)>,
    /// Numbers that are trained.
    pub n_parameters: usize,
    /// What parameters, gradients, the optimizer and the moving average take, in bytes. The networks themselves and
    /// what passes through them come on top.
    pub n_bytes: usize,
    /// How long one step took just now, in seconds.
    pub seconds_per_step: f64,
}

/// Reads model and pictures, takes one step to time it, and throws it away.
///
/// Class pictures that a run would make first are not made; the plan counts those that are there.
///
/// # Errors
/// [`TrainError`] for everything that would keep the run from starting.
pub fn plan(job: Job<'_>, progress: &mut dyn Progress) -> Result<TrainPlan, TrainError> {
    let recipe = job.recipe;
    recipe.check()?;
    let pace = recipe.pace()?;
    let trainee = Trainee::open(recipe, job.method, job.store, job.device, progress)?;
    let pictures = Pictures::read(recipe, &trainee, progress)?;
    let parameters = trainee.parameters(recipe)?;
    let n_parameters = parameters.0.values().map(|row| row.values.len()).sum();
    let of_optimizer: usize = parameters.0.values().map(|row| pace.optimizer.state_bytes(&row.shape)).sum();
    // Values and their average; for every pass that runs beside others a copy in its graph, and gradients.
    let n_sets = 1 + usize::from(pictures.class.is_some());
    let n_at_once = trainee.n_lanes.min(recipe.accumulate * n_sets);
    let n_copies = 1 + usize::from(recipe.ema.is_some()) + 2 * n_at_once;
    let mut state = pace.begin(parameters)?;
    let lessons = Course { passes: Passes::new(&trainee, recipe)?, pictures: &pictures, recipe };
    progress.begin("timing a step", 1);
    let start = Instant::now();
    pace.step(&mut state, &lessons)?;
    let seconds_per_step = start.elapsed().as_secs_f64();

    let n_passes = recipe.n_steps * recipe.accumulate as u64;
    let times_seen = pictures.examples.iter().filter_map(|example| {
        let order = match example.role {
            Role::Subject => Some(&pictures.subject),
            Role::Class => pictures.class.as_ref(),
        };
        let epochs = n_passes as f64 / order?.n_batches() as f64;
        Some((example.path.clone(), epochs * f64::from(example.repeats)))
    });
    let n_of = |role: Role| pictures.examples.iter().filter(|example| example.role == role).count();
    Ok(TrainPlan {
        n_pictures: [n_of(Role::Subject), n_of(Role::Class)],
        times_seen: times_seen.collect(),
        n_steps: recipe.n_steps,
        steps_per_epoch: pictures.subject.n_batches() as f64 / recipe.accumulate as f64,
        n_parameters,
        n_bytes: n_parameters * 4 * n_copies + of_optimizer,
        seconds_per_step,
        skipped: pictures.skipped,
    })
}
