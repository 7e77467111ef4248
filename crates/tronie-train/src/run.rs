//! A run: from a recipe and a folder to trained weights, or as far as it gets, and from there on the next time.
//!
//! The folder holds `recipe.toml` as the run was started, `log.jsonl` with one line per step, `checkpoints/`, `samples/`
//! and in the end the result. A run that was stopped continues from its newest checkpoint and ends with the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tronie_base::{FolderLock, Progress, TEMPORARY, write_atomic};
use tronie_generate::{GenerateRequest, Guidance, Pipeline, Store, record};
use tronie_image::ImageFormat;
use tronie_tensor::lanes;

use crate::autoencoder::latent_scale;
use crate::data::{self, Draw, Example, Order, Role};
use crate::export::Finished;
use crate::latents::{self, Encoded};
use crate::optimizer::{self, Parameter, StepContext};
use crate::parameters::{GradientsByName, Parameters};
use crate::pass::{Item, Passes};
use crate::recipe::{Method, Recipe};
use crate::stored::{self, Progressed};
use crate::trainee::Trainee;
use crate::{Ema, Optimizer, TrainError, class_images, clip, export, global_norm, scratch};

const RECIPE: &str = "recipe.toml";
const LOG: &str = "log.jsonl";
const SAMPLES: &str = "samples";
/// Settings of a recipe that may differ when a run is continued: they do not change what is learned.
const MAY_CHANGE: [&str; 2] = ["checkpoints", "samples"];

/// What to train, and where.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// What is asked for.
    pub recipe: &'a Recipe,
    /// What of the model is trained.
    pub method: Method,
    /// The run folder; made if need be.
    pub folder: &'a Path,
    /// Where models are found.
    pub store: &'a Store,
    /// Device name, see [`tronie_tensor::device::open`].
    pub device: &'a str,
}

/// One step, as `log.jsonl` has it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Number of the step, from 1.
    pub step: u64,
    /// Mean loss of its pictures.
    pub loss: f64,
    /// Factor on the optimizer's learning rate.
    pub lr_factor: f64,
    /// Norm of the gradients before they were cut.
    pub grad_norm: f64,
}

/// What a finished run has made.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Steps taken in all.
    pub n_steps: u64,
    /// Step the run was continued from; 0 for a new one.
    pub continued_from: u64,
    /// Pictures that could not be read, and why.
    pub skipped: Vec<(PathBuf, String)>,
    /// Files and folders of the result.
    pub results: Vec<PathBuf>,
}

/// What a run folder says of itself: the method above the recipe.
#[derive(Debug, Serialize, Deserialize)]
struct Started {
    method: Method,
    #[serde(flatten)]
    recipe: Recipe,
}

/// Trains, or continues training, until the recipe's last step.
///
/// # Errors
/// [`TrainError`]; checkpoints written before stay.
pub fn train(job: Job<'_>, progress: &mut dyn Progress) -> Result<Outcome, TrainError> {
    let Job { recipe, folder, .. } = job;
    recipe.check()?;
    compare_recipe(job)?;
    let optimizer = recipe.optimizer()?;
    let trainee = Trainee::open(recipe, job.method, job.store, job.device, progress)?;
    class_images::complete(recipe, &trainee, progress)?;
    let pictures = Pictures::read(recipe, &trainee, progress)?;
    let _lock = FolderLock::take(folder)?;
    let stored = Progressed::newest(folder, recipe.ema)?;
    let first = begin(trainee.parameters(recipe)?, optimizer.as_ref(), recipe)?;
    let mut state = match stored {
        Some(stored) if stored.parameters.is_like(&first.parameters) => stored,
        Some(_) => return Err(TrainError::Networks { path: folder.to_owned() }),
        None => first,
    };
    let continued_from = state.step;
    remove_unfinished(folder);
    leave_recipe(job)?;
    let mut log = Log::open(folder, state.step)?;

    let passes = Passes::new(&trainee, recipe)?;
    progress.begin("training", recipe.n_steps);
    progress.advance(state.step);
    while state.step < recipe.n_steps {
        progress.check()?;
        let report = step(&mut state, &passes, &pictures, optimizer.as_ref(), recipe)?;
        log.write(&report)?;
        progress.show(&format!("loss {:.4}", report.loss));
        progress.advance(1);
        let is_last = state.step == recipe.n_steps;
        let every = recipe.samples.every;
        if every > 0 && (is_last || state.step.is_multiple_of(every)) {
            sample(&state, &trainee, recipe, folder)?;
        }
        // Last, so that a run killed at any moment makes again what the step had not made yet.
        if is_last || state.step.is_multiple_of(recipe.checkpoints.every) {
            state.save(folder, recipe.checkpoints.keep)?;
        }
    }
    let mut result = result_of(&state);
    if job.method == Method::Scratch {
        let captions: Vec<&str> = pictures.examples.iter().map(|example| example.caption.as_str()).collect();
        scratch::level_unseen_tokens(&mut result, &trainee, &captions);
    }
    let latent_scale = trainee.is_autoencoder().then(|| latent_scale(&trainee, &result, &pictures.encoded));
    let finished = Finished { result, step: state.step, latent_scale };
    let results = export::export(job, &trainee, &finished, progress)?;
    Ok(Outcome { n_steps: state.step, continued_from, skipped: pictures.skipped, results })
}

/// Removes what a killed run was writing. What cannot be removed is in nobody's way.
fn remove_unfinished(run: &Path) {
    for folder in [run.to_owned(), run.join(stored::FOLDER), run.join(SAMPLES)] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
            }
        }
    }
}

/// Leaves the recipe in a new run folder.
fn leave_recipe(job: Job<'_>) -> Result<(), TrainError> {
    let path = job.folder.join(RECIPE);
    if path.is_file() {
        return Ok(());
    }
    let started = Started { method: job.method, recipe: job.recipe.clone() };
    let text = toml::to_string(&started)
        .map_err(|error| TrainError::Recipe { path: path.clone(), problem: error.to_string() })?;
    Ok(write_atomic(&path, text.as_bytes())?)
}

/// Compares the recipe with that of a run folder that was begun before.
fn compare_recipe(job: Job<'_>) -> Result<(), TrainError> {
    let path = job.folder.join(RECIPE);
    if !path.is_file() {
        return Ok(());
    }
    let started = Started { method: job.method, recipe: job.recipe.clone() };
    let problem = |problem: String| TrainError::Recipe { path: path.clone(), problem };
    let text = fs::read_to_string(&path).map_err(|error| problem(error.to_string()))?;
    let stored: Started = toml::from_str(&text).map_err(|error| problem(error.to_string()))?;
    let table = |started: &Started| serde_json::to_value(started).map_err(|error| problem(error.to_string()));
    let (stored, found) = (table(&stored)?, table(&started)?);
    let empty = serde_json::Map::new();
    let (stored, found) = (stored.as_object().unwrap_or(&empty), found.as_object().unwrap_or(&empty));
    let show = |value: Option<&Value>| value.map_or_else(|| "left out".to_owned(), Value::to_string);
    for key in stored.keys().chain(found.keys()).filter(|key| !MAY_CHANGE.contains(&key.as_str())) {
        if stored.get(key) != found.get(key) {
            return Err(TrainError::OtherRun {
                path: job.folder.to_owned(),
                field: key.clone(),
                stored: show(stored.get(key)),
                found: show(found.get(key)),
            });
        }
    }
    Ok(())
}

/// The state before the first step.
pub(crate) fn begin(
    parameters: Parameters,
    optimizer: &dyn Optimizer,
    recipe: &Recipe,
) -> Result<Progressed, TrainError> {
    let states = parameters.0.iter();
    let states =
        states.map(|(name, row)| (name.clone(), optimizer.new_state(&row.values, &row.shape))).collect();
    let slices = || parameters.0.iter().map(|(name, row)| (name.as_str(), row.values.as_slice()));
    let average = recipe.ema.map(|options| Ema::new(options, slices())).transpose()?;
    Ok(Progressed { step: 0, states, shared: optimizer.new_shared(), average, parameters })
}

/// What a run has learned: the moving average where there is one.
fn result_of(state: &Progressed) -> Parameters {
    let mut result = state.parameters.clone();
    for (name, average) in state.average.iter().flat_map(|ema| &ema.averages) {
        if let Some(row) = result.0.get_mut(name) {
            row.values.clone_from(average);
        }
    }
    result
}

/// All pictures of a recipe and the order they come in.
pub(crate) struct Pictures {
    pub(crate) examples: Vec<Example>,
    encoded: Vec<Encoded>,
    pub(crate) subject: Order,
    /// Where there are pictures of the class.
    pub(crate) class: Option<Order>,
    pub(crate) skipped: Vec<(PathBuf, String)>,
}

impl Pictures {
    pub(crate) fn read(
        recipe: &Recipe,
        trainee: &Trainee,
        progress: &mut dyn Progress,
    ) -> Result<Self, TrainError> {
        let masks = recipe.images.iter().find_map(|set| set.masks.as_ref());
        if let (true, Some(masks)) = (trainee.is_autoencoder(), masks) {
            return Err(TrainError::Setting {
                name: "masks",
                found: format!("\"{}\"", masks.display()),
                expected: "none: the autoencoder is trained on whole pictures".to_owned(),
            });
        }
        let scan = match &trainee.word {
            None => data::scan(&recipe.images)?,
            Some(word) => word.scan(&recipe.images, &trainee.networks.tokenizer)?,
        };
        for (path, reason) in &scan.skipped {
            progress.note(&format!("{} is left out: {reason}", path.display()));
        }
        let sized = sized(&scan.examples, recipe, trainee);
        let encoded = latents::encode_all(&sized, recipe.flip, trainee, progress)?;
        let order = |role: Role| {
            let mut groups: BTreeMap<[u32; 2], Vec<usize>> = BTreeMap::new();
            for (i, (example, size_px)) in sized.iter().enumerate().filter(|(_, row)| row.0.role == role) {
                let group = groups.entry(*size_px).or_default();
                group.extend(std::iter::repeat_n(i, example.repeats as usize));
            }
            Order::new(recipe.seed, groups.into_values().collect(), recipe.batch)
        };
        let (subject, class) = (order(Role::Subject), order(Role::Class));
        if subject.n_batches() == 0 {
            return Err(TrainError::Nothing { reason: "no set of pictures has the role \"subject\"" });
        }
        let class = Some(class).filter(|class| class.n_batches() > 0);
        Ok(Self { examples: scan.examples, encoded, subject, class, skipped: scan.skipped })
    }

    fn items(&self, order: &Order, batch: u64, seed: u64, n: usize) -> Vec<Item<'_>> {
        let places = order.batch(batch).into_iter().zip(0_u64..);
        let item = |(i, place): (usize, u64)| {
            let draw = Draw::new(seed, batch * n as u64 + place);
            Some(Item { picture: self.encoded.get(i)?, caption: &self.examples.get(i)?.caption, draw })
        };
        places.filter_map(item).collect()
    }
}

/// Every picture with the size (width, height) it is trained at.
pub(crate) fn sized(examples: &[Example], recipe: &Recipe, trainee: &Trainee) -> Vec<(Example, [u32; 2])> {
    let own = || {
        let [height, width] = trainee.networks.spec.defaults.size_px;
        [width, height].map(|px| u32::try_from(px).unwrap_or(u32::MAX))
    };
    let size_px = recipe.size_px.unwrap_or_else(own);
    let choose = |example: &Example| match recipe.buckets {
        None => size_px,
        Some(buckets) => buckets.choose(&buckets.sizes(size_px), example.size_px),
    };
    examples.iter().map(|example| (example.clone(), choose(example))).collect()
}

/// One step of the optimizer.
pub(crate) fn step(
    state: &mut Progressed,
    passes: &Passes<'_>,
    pictures: &Pictures,
    optimizer: &dyn Optimizer,
    recipe: &Recipe,
) -> Result<StepReport, TrainError> {
    let step = state.step + 1;
    let mut batches = Vec::new();
    for part in 0..recipe.accumulate as u64 {
        let batch = state.step * recipe.accumulate as u64 + part;
        // Class pictures draw from a seed of their own.
        let sets = [
            (Some(&pictures.subject), 1.0, recipe.seed),
            (pictures.class.as_ref(), recipe.prior.weight, recipe.seed.wrapping_add(1)),
        ];
        for (order, weight, seed) in sets.into_iter().filter_map(|(order, w, seed)| Some((order?, w, seed))) {
            let share = weight / recipe.accumulate as f64;
            batches.push((share, pictures.items(order, batch, seed, recipe.batch)));
        }
    }
    let mut sum = GradientsByName::new();
    let mut loss = 0.0;
    // In the order of the batches, however many run at a time, so that the sum is the same to the bit.
    while !batches.is_empty() {
        let now: Vec<_> = batches.drain(..passes.n_lanes().min(batches.len())).collect();
        let run = |(share, items): (f64, Vec<Item<'_>>)| (share, passes.run(&state.parameters, &items));
        for (share, result) in lanes::side_by_side(now, run) {
            let (part_loss, gradients) = result?;
            if !part_loss.is_finite() {
                let what = "the loss".to_owned();
                return Err(TrainError::NotFinite { step, what, found: part_loss });
            }
            loss += part_loss * share;
            add(&mut sum, gradients, share);
        }
    }
    for (name, gradient) in &sum {
        let norm = global_norm([gradient.as_slice()]);
        if !norm.is_finite() {
            let what = format!("the gradient of \"{name}\"");
            return Err(TrainError::NotFinite { step, what, found: norm });
        }
    }
    let mut slices: Vec<&mut [f32]> = sum.values_mut().map(Vec::as_mut_slice).collect();
    let grad_norm = clip(&mut slices, recipe.max_grad_norm);
    let lr_factor = recipe.lr_schedule.factor(state.step, recipe.n_steps)?;
    let at = StepContext { step, lr_factor };
    let Progressed { parameters, states, shared, average, .. } = state;
    let mut moved: Vec<Parameter<'_>> = Vec::with_capacity(sum.len());
    for (((name, row), state), gradient) in parameters.0.iter_mut().zip(states.values_mut()).zip(sum.values())
    {
        moved.push(Parameter::new(name, &row.shape, &mut row.values, gradient, state)?);
    }
    optimizer::step_all(optimizer, &mut moved, shared, at)?;
    drop(moved);
    if let Some(average) = average {
        average.step(parameters.0.iter().map(|(name, row)| (name.as_str(), row.values.as_slice())))?;
    }
    state.step = step;
    Ok(StepReport { step, loss, lr_factor, grad_norm })
}

/// Adds `gradients * share`.
#[expect(clippy::cast_possible_truncation, reason = "gradients are f32")]
fn add(sum: &mut GradientsByName, gradients: GradientsByName, share: f64) {
    let share = share as f32;
    for (name, mut gradient) in gradients {
        gradient.iter_mut().for_each(|value| *value *= share);
        match sum.get_mut(&name) {
            None => _ = sum.insert(name, gradient),
            Some(sum) => sum.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value),
        }
    }
}

/// Makes the recipe's sample pictures with what has been learned so far.
fn sample(state: &Progressed, trainee: &Trainee, recipe: &Recipe, folder: &Path) -> Result<(), TrainError> {
    let leaves = result_of(state).leaves(&trainee.device);
    let pipeline = trainee.pipeline(trainee.woven(&leaves)).with_embeddings(trainee.embeddings(&leaves));
    for (i, prompt) in recipe.samples.prompts.iter().enumerate() {
        let request = GenerateRequest {
            negative_prompt: recipe.samples.negative_prompt.clone(),
            model: recipe.model.clone(),
            seed: recipe.samples.seed.wrapping_add(i as u64),
            n_steps: Some(recipe.samples.n_steps),
            width_px: recipe.size_px.map(|size| size[0]),
            height_px: recipe.size_px.map(|size| size[1]),
            guidance: Guidance { scale: recipe.samples.guidance, ..Guidance::default() },
            ..GenerateRequest::new(prompt)
        };
        let path = folder.join(SAMPLES).join(format!("step-{:08}-{i:02}.png", state.step));
        save_image(&pipeline, &request, &path)?;
    }
    Ok(())
}

/// Runs a request for one image and writes it with its record.
pub(crate) fn save_image(
    pipeline: &Pipeline,
    request: &GenerateRequest,
    path: &Path,
) -> Result<(), TrainError> {
    let resolved = pipeline.resolve(request)?;
    pipeline.run(&resolved, &mut tronie_base::Silent, |image, _| -> Result<(), TrainError> {
        let bytes = record::encode(&image, ImageFormat::Png, true)?;
        Ok(write_atomic(path, &bytes)?)
    })
}

/// One line per step.
struct Log {
    path: PathBuf,
    lines: fs::File,
}

impl Log {
    /// Opens the log of a run and removes lines of steps that will be taken again.
    fn open(folder: &Path, step: u64) -> Result<Self, TrainError> {
        let path = folder.join(LOG);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let is_taken =
            |line: &&str| serde_json::from_str::<StepReport>(line).is_ok_and(|report| report.step <= step);
        let kept: String = text.lines().filter(is_taken).flat_map(|line| [line, "\n"]).collect();
        write_atomic(&path, kept.as_bytes())?;
        let lines = fs::OpenOptions::new().append(true).open(&path);
        let lines = lines.map_err(|source| tronie_base::WriteError { path: path.clone(), source })?;
        Ok(Self { path, lines })
    }

    fn write(&mut self, report: &StepReport) -> Result<(), TrainError> {
        use std::io::Write as _;
        let mut line = serde_json::to_string(report).unwrap_or_default();
        line.push('\n');
        let written = self.lines.write_all(line.as_bytes());
        Ok(written.map_err(|source| tronie_base::WriteError { path: self.path.clone(), source })?)
    }
}

#[cfg(test)]
mod tests;
