//! A run: from a recipe and a folder to trained weights, or as far as it gets, and from there on the next time.
//!
//! The folder holds `recipe.toml` as the run was started, `log.jsonl` with one line per step, `checkpoints/`, `samples/`
//! and in the end the result. A run that was stopped continues from its newest checkpoint and ends with the same bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tronie_base::{FolderLock, Progress, write_atomic};
use tronie_generate::{GenerateRequest, Guidance, Pipeline, Store, record};
use tronie_image::ImageFormat;

use crate::autoencoder::latent_scale;
use crate::data::{self, Draw, Example, Order, Role};
use crate::export::Finished;
use crate::latents::{self, Encoded};
use crate::parameters::{GradientsByName, Parameters};
use crate::pass::{Item, Passes};
use crate::recipe::{Method, Recipe, Stage};
use crate::run_folder::{SAMPLES, compare_recipe, leave_recipe, remove_unfinished};
use crate::steps::{Lessons, result_of};
use crate::stored::Progressed;
use crate::trainee::Trainee;
use crate::{TrainError, class_images, export, scratch};

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
    let started = Started { method: job.method, recipe: recipe.clone() };
    compare_recipe(folder, &started)?;
    let pace = recipe.pace()?;
    let trainee = Trainee::open(recipe, job.method, job.store, job.device, progress)?;
    class_images::complete(recipe, &trainee, progress)?;
    let pictures = Pictures::read(recipe, &trainee, progress)?;
    let _lock = FolderLock::take(folder)?;
    let mut state = pace.resume(folder, trainee.parameters(recipe)?)?;
    let continued_from = state.step;
    remove_unfinished(folder);
    leave_recipe(folder, &started)?;

    let lessons = Course { passes: Passes::new(&trainee, recipe)?, pictures: &pictures, recipe };
    pace.walk((&mut state, &lessons), folder, progress, |state| {
        let every = recipe.samples.every;
        let is_due = every > 0 && (state.step == recipe.n_steps || state.step.is_multiple_of(every));
        if is_due { sample(state, &trainee, recipe, folder) } else { Ok(()) }
    })?;
    let mut result = result_of(&state);
    if job.method == Method::Scratch && trainee.trains_text() {
        let captions: Vec<&str> = pictures.examples.iter().map(|example| example.caption.as_str()).collect();
        scratch::level_unseen_tokens(&mut result, &trainee, &captions);
    }
    let has_new_latents = trainee.is_autoencoder() && recipe.scratch.stage == Stage::Autoencoder;
    let latent_scale = has_new_latents.then(|| latent_scale(&trainee, &result, &pictures.encoded));
    let finished = Finished { result, step: state.step, latent_scale };
    let results = export::export(job, &trainee, &finished, progress)?;
    Ok(Outcome { n_steps: state.step, continued_from, skipped: pictures.skipped, results })
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

/// The pictures of a recipe as the batches of its steps.
pub(crate) struct Course<'a> {
    pub(crate) passes: Passes<'a>,
    pub(crate) pictures: &'a Pictures,
    pub(crate) recipe: &'a Recipe,
}

impl<'a> Lessons for Course<'a> {
    type Batch = Vec<Item<'a>>;

    fn n_lanes(&self) -> usize {
        self.passes.n_lanes()
    }

    fn batches(&self, step: u64) -> Vec<(f64, Self::Batch)> {
        let Self { pictures, recipe, .. } = *self;
        let mut batches = Vec::new();
        for part in 0..recipe.accumulate as u64 {
            let batch = step * recipe.accumulate as u64 + part;
            // Class pictures draw from a seed of their own.
            let sets = [
                (Some(&pictures.subject), 1.0, recipe.seed),
                (pictures.class.as_ref(), recipe.prior.weight, recipe.seed.wrapping_add(1)),
            ];
            for (order, weight, seed) in
                sets.into_iter().filter_map(|(order, w, seed)| Some((order?, w, seed)))
            {
                let share = weight / recipe.accumulate as f64;
                batches.push((share, pictures.items(order, batch, seed, recipe.batch)));
            }
        }
        batches
    }

    fn pass(
        &self,
        parameters: &Parameters,
        batch: &Self::Batch,
    ) -> Result<(f64, GradientsByName), TrainError> {
        self.passes.run(parameters, batch)
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

#[cfg(test)]
mod tests;
