//! One pass: a batch of pictures through the network, to a loss and its gradients.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tronie_generate::{EmbeddingSet, Networks};
use tronie_models::catalog::ImageSizes;
use tronie_models::{Added, Conditioning};
use tronie_sampling::{Discrete, DiscreteOptions};
use tronie_tensor::{Device, Tensor, TensorData};

use crate::data::Draw;
use crate::latents::Encoded;
use crate::parameters::{GradientsByName, Parameters};
use crate::recipe::{Objective, Recipe, Scratch, Text};
use crate::texts::{self, Texts};
use crate::trainee::Trainee;
use crate::{Levels, TrainError, autoencoder, offset_noise, pyramid_noise, pyramid_sizes, weighted_mse};

/// Encoded captions are kept up to this many numbers (1 GiB).
const MAX_KEPT: usize = 1 << 28;
/// Octaves of pyramid noise, each 2 to 4 times smaller than the one before (kohya's `pyramid_noise_like`).
const N_OCTAVES: u64 = 6;

/// A picture in a batch.
pub(crate) struct Item<'a> {
    pub(crate) picture: &'a Encoded,
    pub(crate) caption: &'a str,
    pub(crate) draw: Draw,
}

/// Everything a pass needs besides its batch.
pub(crate) struct Passes<'a> {
    trainee: &'a Trainee,
    text: Text,
    objective: Objective,
    scratch: Scratch,
    discrete: Discrete,
    /// Where gradients are recorded.
    recording: Device,
    /// Encoded captions, where the text encoders do not change.
    kept: Mutex<Kept>,
}

/// Encoded captions.
#[derive(Default)]
struct Kept {
    by_caption: BTreeMap<String, Texts>,
    n_numbers: usize,
}

impl<'a> Passes<'a> {
    pub(crate) fn new(trainee: &'a Trainee, recipe: &Recipe) -> Result<Self, TrainError> {
        let training = trainee.networks.spec.training;
        let is_zero = training.zero_terminal_snr || recipe.objective.zero_terminal_snr;
        let options = DiscreteOptions {
            zero_terminal_snr: is_zero.then_some(DiscreteOptions::LAST_ALPHA_DIFFUSERS),
            ..DiscreteOptions::default()
        };
        Ok(Self {
            trainee,
            text: recipe.text.clone(),
            objective: recipe.objective.clone(),
            scratch: recipe.scratch.clone(),
            discrete: Discrete::new(&training.betas, options)?,
            recording: trainee.device.clone().autodiff(),
            kept: Mutex::default(),
        })
    }

    /// How many passes run side by side.
    pub(crate) fn n_lanes(&self) -> usize {
        self.trainee.n_lanes
    }

    /// Loss and gradients of a batch; all pictures must have one size.
    pub(crate) fn run(
        &self,
        parameters: &Parameters,
        items: &[Item<'_>],
    ) -> Result<(f64, GradientsByName), TrainError> {
        let leaves = parameters.leaves(&self.recording);
        let networks = self.trainee.woven(&leaves);
        let embeddings = self.trainee.embeddings(&leaves);
        let loss = if self.trainee.is_autoencoder() {
            let encoder = self.trainee.woven_encoder(&leaves);
            autoencoder::loss(&networks.vae, &encoder, items, &self.scratch, &self.recording)
        } else {
            self.denoising_loss((&networks, &embeddings), items)?
        };
        let mut gradients = loss.backward();
        let by_name = leaves.gradients(&mut gradients);
        let loss = loss.into_data().try_to_vec::<f32>().ok().and_then(|loss| loss.first().copied());
        Ok((f64::from(loss.unwrap_or(f32::NAN)), by_name))
    }

    fn denoising_loss(
        &self,
        (networks, embeddings): (&Networks, &EmbeddingSet),
        items: &[Item<'_>],
    ) -> Result<Tensor<1>, TrainError> {
        let spec = &networks.spec;
        let Some(Item { picture: Encoded { dims: [c, h, w], .. }, draw: first, .. }) = items.first() else {
            return Err(TrainError::Nothing { reason: "a batch has no picture" });
        };
        let dims = [items.len(), *c, *h, *w];
        let recording = self.recording.clone();
        let tensor = |values: Vec<f32>, dims: [usize; 4]| -> Tensor<4> {
            Tensor::from_data(TensorData::new(values, dims), &recording)
        };
        let of_all =
            |values: &dyn Fn(&Item<'_>) -> Vec<f32>| items.iter().flat_map(values).collect::<Vec<f32>>();
        let n = c * h * w;

        let latents = tensor(of_all(&|item| item.picture.sample(item.draw, spec.latents.scale)), dims);
        let mut noise = tensor(of_all(&|item| item.draw.normal("noise", n)), dims);
        if self.objective.noise_offset > 0.0 {
            let offsets = tensor(of_all(&|item| item.draw.normal("offset", *c)), [items.len(), *c, 1, 1]);
            noise = offset_noise(noise, offsets, self.objective.noise_offset);
        }
        if let Some(discount) = self.objective.pyramid_discount {
            let ratio = |octave: u64| {
                2.0 + 2.0 * first.below(&format!("ratio {octave}"), 1 << 24) as f64 / f64::from(1 << 24)
            };
            let ratios: Vec<f64> = (0..N_OCTAVES).map(ratio).collect();
            let octaves = pyramid_sizes(*h, *w, &ratios).into_iter().enumerate().map(|(octave, [h, w])| {
                let purpose = format!("octave {octave}");
                tensor(of_all(&|item| item.draw.normal(&purpose, c * h * w)), [items.len(), *c, h, w])
            });
            noise = pyramid_noise(noise, octaves.collect(), discount);
        }

        let n_timesteps = self.discrete.alphas_cumprod().len() as u64;
        let timesteps: Vec<usize> = items
            .iter()
            .map(|item| usize::try_from(item.draw.below("timestep", n_timesteps)).unwrap_or_default())
            .collect();
        let levels = Levels::new(&self.discrete, &timesteps)?;
        let parametrization = spec.training.parametrization;
        let weights = match self.objective.min_snr_gamma {
            Some(gamma) => levels.min_snr_weights(parametrization, gamma),
            None => vec![1.0; items.len()],
        };
        let noisy = levels.add_noise(latents.clone(), noise.clone());
        let target = levels.target(parametrization, latents, noise);

        let conditioning = self.conditioning((networks, embeddings), items)?;
        #[expect(clippy::cast_precision_loss, reason = "timesteps are below 2^24")]
        let timesteps: Vec<f32> = timesteps.into_iter().map(|timestep| timestep as f32).collect();
        let timesteps = Tensor::from_data(TensorData::new(timesteps, [items.len()]), &self.recording);
        let predicted = networks.unet.forward(noisy, timesteps, &conditioning);
        let has_masks = items.iter().any(|item| item.picture.mask(item.draw).is_some());
        let mask =
            |item: &Item<'_>| item.picture.mask(item.draw).map_or_else(|| vec![1.0; h * w], <[f32]>::to_vec);
        let mask = has_masks.then(|| tensor(of_all(&mask), [items.len(), 1, *h, *w]));
        Ok(weighted_mse(predicted, target, mask, &weights))
    }

    fn conditioning(
        &self,
        (networks, embeddings): (&Networks, &EmbeddingSet),
        items: &[Item<'_>],
    ) -> Result<Conditioning, TrainError> {
        let word = self.trainee.word.as_ref();
        let caption = |item: &Item<'_>| {
            let caption =
                word.map_or_else(|| item.caption.to_owned(), |word| word.caption(item.caption, item.draw));
            texts::at_step(&caption, &self.text, item.draw)
        };
        let captions: Vec<String> = items.iter().map(caption).collect();
        let Texts { context, pooled } = if self.trainee.trains_text() || word.is_some() {
            texts::encode((networks, embeddings), &captions, &self.text, &self.recording)?
        } else {
            let texts = captions.iter().map(|caption| self.kept_text(caption)).collect::<Result<_, _>>()?;
            let Texts { context, pooled } = Texts::cat(texts);
            Texts { context: context.autodiff(), pooled: pooled.map(Tensor::autodiff) }
        };
        let added_ids = networks.spec.added;
        let ids: Vec<f64> = items
            .iter()
            .flat_map(|item| {
                let Encoded { dims: [_, h, w], original_px, crop_px, .. } = *item.picture;
                let target_px = [h, w].map(|side| side * networks.spec.latents.factor);
                added_ids.values(ImageSizes { original_px, crop_px, target_px }, false)
            })
            .collect();
        let time_ids =
            || Tensor::from_data(TensorData::new(ids, [items.len(), added_ids.count()]), &self.recording);
        let added = pooled.map(|pooled| Added { pooled, time_ids: time_ids() });
        Ok(Conditioning { added, ..Conditioning::new(context) })
    }

    /// An encoded caption, by encoders that do not change.
    fn kept_text(&self, caption: &str) -> Result<Texts, TrainError> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept().by_caption.get(caption) {
            return Ok(kept.clone());
        }
        let trainee = self.trainee;
        let networks = (&trainee.networks, &EmbeddingSet::default());
        let encoded = texts::encode(networks, &[caption.to_owned()], &self.text, &trainee.device)?;
        let n: usize = encoded.context.dims().iter().product();
        let mut kept = kept();
        if kept.n_numbers + n <= MAX_KEPT {
            kept.n_numbers += n;
            kept.by_caption.insert(caption.to_owned(), encoded.clone());
        }
        Ok(encoded)
    }
}
