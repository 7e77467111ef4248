//! Another model for the last steps of a walk (Podell et al. 2023, arXiv:2307.01952, section 2.5).
//!
//! The place of the hand-over is a share of the training timesteps, not of the steps, as in diffusers' `denoising_end` and
//! `denoising_start` and in A1111 since 1.8. The sampler walks on and keeps its history, as A1111's does; diffusers begins a new one,
//! which for methods without a history is the same.
//!
//! Words of embeddings act on it where a file has vectors for its text encoder, as files for SDXL have. LoRAs of the prompt do not:
//! they are for the request's own model, whose layers the refiner has not.

use std::sync::{Arc, Mutex, PoisonError};

use tronie_base::Silent;
use tronie_models::catalog::{ModelSpec, UnetInput};
use tronie_sampling::{Discrete, Plan};

use super::Pipeline;
use crate::networks::wrong;
use crate::request::Refiner;
use crate::{EmbeddingSet, GenerateError, Networks};

/// The model that takes over, and when.
#[derive(Debug, Clone)]
pub(super) struct Refining {
    pub(super) networks: Arc<Networks>,
    /// Words that its text encoders have vectors for.
    pub(super) embeddings: Arc<EmbeddingSet>,
    /// Of the checkpoint, hexadecimal.
    pub(super) sha256: String,
    /// The first step it makes; the number of steps when it makes none.
    pub(super) from_step: usize,
}

/// The last refiner that was read, so that a batch reads it once.
#[derive(Default)]
pub(super) struct Refiners(Mutex<Option<Loaded>>);

#[derive(Clone)]
struct Loaded {
    name: String,
    networks: Arc<Networks>,
    embeddings: Arc<EmbeddingSet>,
    sha256: String,
}

impl Pipeline {
    /// Reads the refiner of a request and finds where it takes over.
    ///
    /// # Errors
    /// [`GenerateError`] when it cannot be had, or works on other latents.
    pub(super) fn refining(
        &self,
        wanted: &Refiner,
        plan: &Plan,
        discrete: &Discrete,
    ) -> Result<Refining, GenerateError> {
        // A poisoned lock only means that a thread died while reading; the entry is whole or absent.
        let mut last = self.refiners.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.as_ref().filter(|loaded| loaded.name == wanted.model).cloned();
        let Loaded { networks, embeddings, sha256, .. } = match known {
            Some(loaded) => loaded,
            None => {
                *last = None; // never two of them in memory
                last.insert(self.read_refiner(&wanted.model)?).clone()
            }
        };
        let n = discrete.n_timesteps() as f64;
        let cutoff = (n - wanted.at * n).round();
        let mut steps = plan.sigmas.steps();
        let first = steps.position(|step| plan.timesteps.at(step.from, discrete) < cutoff);
        Ok(Refining { networks, embeddings, sha256, from_step: first.unwrap_or(plan.sigmas.n_steps()) })
    }

    fn read_refiner(&self, name: &str) -> Result<Loaded, GenerateError> {
        let checkpoint = self.networks.store().open(name, &mut Silent)?;
        let spec = Networks::spec_of(&checkpoint, name)?;
        if let Some(reason) = misfit(self.spec(), &spec) {
            let hint = "choose a refiner of the same family, for example SDXL's for SDXL".to_owned();
            return Err(wrong(name)(format!("as a refiner {reason}"), Some(hint)));
        }
        let networks = Arc::new(Networks::load(&checkpoint, name, &self.device, &mut Silent)?);
        let files = self.networks.store().embeddings();
        let embeddings = Arc::new(EmbeddingSet::fitting(files, &networks));
        let sha256 = checkpoint.hash(&mut Silent).map_err(|error| GenerateError::Weights(Box::new(error)))?;
        Ok(Loaded { name: name.to_owned(), networks, embeddings, sha256 })
    }
}

/// Why one model's latents cannot be walked on by another.
fn misfit(base: &ModelSpec, refiner: &ModelSpec) -> Option<String> {
    if refiner.input != UnetInput::Latents {
        return Some("it would need an image and a mask: it is an inpainting model".to_owned());
    }
    let of = |spec: &ModelSpec| (spec.latents.n_channels, spec.latents.factor, spec.latents.scale);
    let ((n, factor, scale), expected) = (of(refiner), of(base));
    if (n, factor, scale) != expected {
        return Some(format!(
            "it has {n} latent channels of {factor} pixels at scale {scale}, expected {} of {} at {}",
            expected.0, expected.1, expected.2
        ));
    }
    let is_same = refiner.training.betas == base.training.betas;
    (!is_same).then(|| "it was trained with another noise schedule".to_owned())
}
