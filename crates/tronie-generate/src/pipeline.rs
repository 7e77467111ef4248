//! A request's images: encode the prompt, begin at noise or a picture, denoise, decode, hand over.

mod beside;
mod encoder;
mod plans;
mod refiner;
mod source;
mod stages;
mod start;
mod vae;
mod walk;

mod edit;
mod invert;

pub use edit::WordMap;

use std::sync::Arc;

use tronie_base::Progress;
use tronie_image::Pixels;
use tronie_models::catalog::{ImageSizes, ModelSpec};
use tronie_models::vae::Tiling;
use tronie_prompt::{Layout, Pass};
use tronie_sampling::{Discrete, Guidance, Interval, Plan, Profile, Step, Stretch, find_profile};
use tronie_tensor::noise::{NoiseSpec, Streams, Subseeds};
use tronie_tensor::{DType, Device, Tensor, device};

use crate::control::ControlLoader;
use crate::edit::EditPlan;
use crate::encode::{Reading, TextEncoders};
use crate::enlarge::{Enlarger, Enlargers};
use crate::guided::{GuidedDenoiser, GuidedNetwork, Steering};
use crate::image_prompt::ImagePromptLoader;
use crate::loras::{Applied, Applier, Tagged};
use crate::networks::Networks;
use crate::{Edit, EmbeddingSet, GenerateError, GenerateRequest, Store, StoreConfig, UsedLora};
use beside::Beside;
use encoder::LazyEncoder;
use plans::{check_input, discrete_of, planned, size_px, stretch};
use refiner::{Refiners, Refining};
use source::{Opened, Prepared};
use stages::{SecondPass, Tiles};
pub(crate) use start::mixed;
use vae::OtherVaes;
use walk::Steerings;

/// Above this many latent pixels the autoencoder decodes in tiles, so that its memory stays bounded.
const TILED_FROM: usize = 128 * 128;
/// Tiles as large as the largest image that is decoded whole, overlapping by a quarter as in diffusers.
const TILING: Tiling = Tiling { tile_px: 1024, overlap: 0.25 };

/// One checkpoint on one device, ready to run requests.
pub struct Pipeline {
    networks: Applier,
    controls: ControlLoader,
    images: ImagePromptLoader,
    encoder: LazyEncoder,
    vaes: OtherVaes,
    refiners: Refiners,
    enlargers: Enlargers,
    embeddings: EmbeddingSet,
    model_sha256: String,
    device: Device,
    compute: DType,
}

/// One finished image.
#[derive(Debug, Clone)]
pub struct GeneratedImage {
    /// The image.
    pub pixels: Pixels,
    /// The request that makes this one image again.
    pub request: GenerateRequest,
    /// SHA-256 of the checkpoint, hexadecimal.
    pub model_sha256: String,
    /// (name, A1111's hash) of the embeddings in its prompts.
    pub embedding_hashes: Vec<(String, String)>,
    /// The LoRAs of its prompt, in order.
    pub loras: Vec<UsedLora>,
    /// SHA-256 of the checkpoint that made its last steps, hexadecimal.
    pub refiner_sha256: Option<String>,
    /// SHA-256 of the autoencoder's file, hexadecimal; `None` for the checkpoint's own.
    pub vae_sha256: Option<String>,
    /// Where each word of the prompt is looked at, when an edit asked for it.
    pub word_maps: Vec<WordMap>,
}

/// A request with nothing left open, checked against the checkpoint.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The request with every optional field filled in.
    pub request: GenerateRequest,
    prompt: String,
    applied: Applied,
    beside: Beside,
    edit: Option<Arc<EditPlan>>,
    plan: Plan,
    discrete: Discrete,
    profile: &'static Profile,
    guidance: Guidance,
    clip_skip: usize,
    /// What the run begins at; noise without it.
    picture: Option<Prepared>,
    /// Which pass of its prompts' timelines the run is.
    pass: Pass,
    refining: Option<Refining>,
    second: Option<Box<SecondPass>>,
    tiles: Option<Box<Tiles>>,
}

impl Resolved {
    /// SHA-256 of the model that makes the last steps of the last pass.
    fn refiner_sha256(&self) -> Option<String> {
        let last = self.second.as_ref().map_or(self, |second| &second.resolved);
        last.refining.as_ref().map(|refining| refining.sha256.clone())
    }

    /// SHA-256 of the autoencoder in place of the checkpoint's own.
    fn vae_sha256(&self) -> Option<String> {
        self.beside.vae.as_ref().map(|vae| vae.sha256.clone())
    }
}

impl Pipeline {
    /// Opens a model and reads its networks onto a device (`cpu`, `vulkan:0`, ...).
    ///
    /// # Errors
    /// [`GenerateError`] when the model or the device cannot be had.
    pub fn load(
        store: &Store,
        model: &str,
        device_name: &str,
        progress: &mut dyn Progress,
    ) -> Result<Self, GenerateError> {
        let device = device::open(device_name)?;
        let checkpoint = store.open(model, progress)?;
        let networks = Networks::load(&checkpoint, model, &device, progress)?;
        let model_sha256 =
            checkpoint.hash(progress).map_err(|error| GenerateError::Weights(Box::new(error)))?;
        let embeddings = EmbeddingSet::of_files(store.embeddings(), &networks);
        let encoder = LazyEncoder::new(Some((store.clone(), model.to_owned())), device.clone());
        let compute = device::compute_dtype(device_name);
        Ok(Self { encoder, embeddings, ..Self::within(store, networks, model_sha256, (device, compute)) })
    }

    /// A pipeline of networks that are in memory already. `model_sha256` is what images say of where they come from. LoRAs
    /// and control networks are found by their paths only, and pictures cannot be started from.
    #[must_use]
    pub fn new(networks: Networks, model_sha256: String, device: Device, compute: DType) -> Self {
        let nowhere = Store::new(StoreConfig { models_dirs: Vec::new(), hub: None });
        Self::within(&nowhere, networks, model_sha256, (device, compute))
    }

    /// The same with files that are looked for in a store; without words of its own.
    fn within(
        store: &Store,
        networks: Networks,
        model_sha256: String,
        (device, compute): (Device, DType),
    ) -> Self {
        Self {
            networks: Applier::new(networks, store.clone(), device.clone()),
            controls: ControlLoader::new(store.clone(), device.clone(), compute),
            images: ImagePromptLoader::new(store.clone(), device.clone()),
            encoder: LazyEncoder::new(None, device.clone()),
            vaes: OtherVaes::new(store.clone(), device.clone()),
            refiners: Refiners::default(),
            enlargers: Enlargers::default(),
            embeddings: EmbeddingSet::default(),
            model_sha256,
            device,
            compute,
        }
    }

    /// The same with words of its own that prompts may use.
    #[must_use]
    pub fn with_embeddings(self, embeddings: EmbeddingSet) -> Self {
        Self { embeddings, ..self }
    }

    /// A network that enlarges pictures.
    fn enlarger(&self, name: &str) -> Result<Arc<Enlarger>, GenerateError> {
        self.enlargers.get(self.networks.store(), name, &self.device)
    }

    /// What the checkpoint is.
    #[must_use]
    pub fn spec(&self) -> &ModelSpec {
        &self.networks.plain().spec
    }

    /// SHA-256 of the checkpoint, hexadecimal.
    #[must_use]
    pub fn model_sha256(&self) -> &str {
        &self.model_sha256
    }

    /// Fills in what the request leaves open, checks everything that needs the checkpoint, and applies the prompt's LoRAs.
    ///
    /// # Errors
    /// [`GenerateError`] naming what cannot be done.
    pub fn resolve(&self, request: &GenerateRequest) -> Result<Resolved, GenerateError> {
        request.check()?;
        // Of two passes the second is refined, as A1111 does unless told otherwise.
        let refiner = request.refiner.clone().filter(|_| request.hires.is_none());
        let mut resolved = self.resolve_walk(&GenerateRequest { refiner, ..request.clone() }, None)?;
        resolved.request.refiner.clone_from(&request.refiner);
        if let Some(hires) = &request.hires {
            let second = self.second_pass(&resolved, hires)?;
            resolved.request.hires = Some(second.filled(hires));
            resolved.second = Some(Box::new(second));
        }
        if let Some(upscale) = &request.upscale {
            let tiles = self.tiles(&resolved, upscale)?;
            resolved.request.upscale = Some(tiles.filled(upscale));
            resolved.tiles = Some(Box::new(tiles));
        }
        Ok(resolved)
    }

    /// One walk of a request: `only` a part of its schedule, or what its source says.
    fn resolve_walk(
        &self,
        request: &GenerateRequest,
        only: Option<Stretch>,
    ) -> Result<Resolved, GenerateError> {
        let spec = self.spec();
        let Tagged { prompt, loras } = Tagged::of(request)?;
        let opened = Opened::of(request)?;
        let inpaint = opened.as_ref().and_then(Opened::inpaint).cloned();
        check_input(spec, request, inpaint.is_some())?;
        let profile = find_profile(&request.profile)?;
        let n_steps = request.n_steps.map_or(spec.defaults.n_steps, |n| n as usize);
        let discrete = discrete_of(spec, profile)?;
        let stretch = only.map_or_else(|| stretch(request, inpaint.is_some(), n_steps, profile), Ok)?;
        let plan = planned(spec, request, profile, stretch, &discrete)?;
        let (width_px, height_px) = size_px(request, opened.as_ref(), spec)?;
        let guidance = guidance(request, spec);
        let clip_skip = request.clip_skip.unwrap_or(1);
        let beside = self.beside(request, [width_px, height_px])?;
        let resolved = GenerateRequest {
            width_px: Some(width_px),
            height_px: Some(height_px),
            edit: request.edit.as_ref().map(Edit::hashed).transpose()?,
            n_steps: u32::try_from(n_steps).ok(),
            sampler: Some(plan.sampler.id.to_owned()),
            schedule: Some(plan.schedule.id.to_owned()),
            guidance: crate::Guidance { scale: Some(guidance.scale), ..request.guidance },
            rng: request.rng.or(Some(profile.rng)),
            emphasis: Some(request.emphasis.map_or_else(|| meant(profile, profile.emphasis), Ok)?),
            clip_skip: Some(clip_skip),
            eta: Some(plan.options.eta),
            source: opened.as_ref().map(|opened| opened.source().clone()),
            inpaint,
            ..beside.hashed(request)
        };
        let clip_skip = clip_skip as usize;
        spec.text.requests(clip_skip)?;
        let edit = self.edit_plan(&resolved, &prompt, (profile, &plan))?;
        let picture = match opened {
            Some(opened) if request.enlarges_source() => Some(opened.unchanged()),
            Some(opened) => Some(opened.prepared(width_px, height_px)?),
            None => None,
        };
        let refining =
            request.refiner.as_ref().map(|wanted| self.refining(wanted, profile, (&plan, &discrete)));
        let n_steps = resolved.n_steps.unwrap_or_default();
        let pass = Pass { n_steps, n_hires_steps: None, rules: meant(profile, profile.timelines)? };
        let applied = self.networks.with(&loras)?;
        Ok(Resolved {
            request: resolved,
            prompt,
            applied,
            beside,
            edit,
            plan,
            discrete,
            profile,
            guidance,
            clip_skip,
            picture,
            pass,
            refining: refining.transpose()?,
            second: None,
            tiles: None,
        })
    }

    /// Makes the images, one after the other, and hands each to `sink` as soon as it is there.
    ///
    /// Image i of a request is the image of a request with seed + i, whatever the batch (unless the profile draws a batch's
    /// noise as one tensor, as ComfyUI does; then the batch runs as one and `only_image` picks).
    ///
    /// # Errors
    /// [`GenerateError`], or what `sink` returned; images handed over before stay.
    pub fn run<P, E>(
        &self,
        resolved: &Resolved,
        progress: &mut P,
        mut sink: impl FnMut(GeneratedImage, &mut P) -> Result<(), E>,
    ) -> Result<(), E>
    where
        P: Progress + ?Sized,
        E: From<GenerateError>,
    {
        if let Some(plan) = &resolved.edit {
            for (seed, _) in batches(resolved) {
                let images = self.run_edit(resolved, plan, seed, progress)?;
                images.into_iter().try_for_each(|image| sink(image, progress))?;
            }
            return Ok(());
        }
        let prompts = self.prompts(resolved)?;
        let embedding_hashes = self.embeddings.hashes(prompts.embeddings())?;
        for (seed, n) in batches(resolved) {
            for (i, pixels) in self.pictures(resolved, &prompts, (seed, n), progress)? {
                let request = one_image(resolved, seed, n, i);
                let (model_sha256, embedding_hashes) = (self.model_sha256.clone(), embedding_hashes.clone());
                let loras = resolved.applied.used.clone();
                let (refiner_sha256, word_maps) = (resolved.refiner_sha256(), Vec::new());
                let vae_sha256 = resolved.vae_sha256();
                let image = GeneratedImage {
                    pixels,
                    request,
                    model_sha256,
                    embedding_hashes,
                    loras,
                    refiner_sha256,
                    vae_sha256,
                    word_maps,
                };
                sink(image, progress)?;
            }
        }
        Ok(())
    }

    /// Encodes prompt and negative prompt for a walk.
    fn encode(&self, resolved: &Resolved) -> Result<Steerings, GenerateError> {
        let refiner = resolved.refining.as_ref();
        let refiner =
            refiner.map(|refining| self.encode_for(&refining.networks, &refining.embeddings, resolved));
        let main = self.encode_for(&resolved.applied.networks, &self.embeddings, resolved)?;
        // Control networks and IP-Adapters are made for the request's own model too.
        let Beside { controls, images, .. } = resolved.beside.clone();
        Ok(Steerings { main: Steering { controls, images, ..main }, refiner: refiner.transpose()? })
    }

    /// Encodes the prompts with the text encoders of these networks.
    fn encode_for(
        &self,
        networks: &Networks,
        embeddings: &EmbeddingSet,
        resolved: &Resolved,
    ) -> Result<Steering, GenerateError> {
        let Networks { spec, clips, tokenizer, .. } = networks;
        let encoders = TextEncoders { spec, clips, tokenizer, embeddings, device: &self.device };
        let request = &resolved.request;
        let (width_px, height_px) = size(request);
        let reading = Reading {
            emphasis: request.emphasis.unwrap_or_default(),
            layout: layout_of(resolved.profile),
            clip_skip: resolved.clip_skip,
            pass: resolved.pass,
            sizes: ImageSizes::whole(height_px, width_px),
            is_negative: false,
        };
        Ok(Steering {
            positive: encoders.spans(&resolved.prompt, reading)?,
            negative: encoders.spans(&request.negative_prompt, Reading { is_negative: true, ..reading })?,
            guidance: resolved.guidance,
            controls: Vec::new(),
            images: Vec::new(),
        })
    }

    /// The denoiser of a walk, without what only some of them have.
    fn guided<'a>(&'a self, resolved: &'a Resolved, steering: &'a Steering) -> GuidedDenoiser<'a> {
        let plan = &resolved.plan;
        let step =
            Step { index: 0, from: plan.sigmas.first(), to: plan.sigmas.first(), n: plan.sigmas.n_steps() };
        let unet = &resolved.applied.networks.unet;
        let network =
            GuidedNetwork { unet, steering, compute: self.compute, step, told: None, watched: None };
        let parametrization = self.spec().training.parametrization;
        let discrete = &resolved.discrete;
        GuidedDenoiser { network, plan, parametrization, discrete, handover: None }
    }

    /// Turns one image's latents (1 c h w) into pixels.
    fn decode(&self, latents: Tensor<4>, resolved: &Resolved) -> Result<Pixels, GenerateError> {
        let vae = resolved.beside.vae.as_ref().map_or(&resolved.applied.networks.vae, |vae| &vae.decoder);
        let raw_latents = latents / self.spec().latents.scale;
        let [_, _, h, w] = raw_latents.dims();
        let image =
            if h * w > TILED_FROM { vae.decode_tiled(raw_latents, TILING) } else { vae.decode(raw_latents) };
        let [_, _, height, width] = image.dims();
        let values = image.permute([0, 2, 3, 1]).cast(DType::F32).into_data(); // 1 h w c
        let values = values.try_to_vec::<f32>().unwrap_or_default();
        let half = if resolved.profile.rounds_pixels_down { 0.0 } else { 0.5 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..=255; NaN becomes 0"
        )]
        let bytes = values
            .into_iter()
            .map(|value| ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0 + half) as u8)
            .collect();
        let side = |px: usize| u32::try_from(px).unwrap_or(u32::MAX);
        Ok(Pixels::new(side(width), side(height), bytes)?)
    }
}

/// The request's guidance with the checkpoint's own scale where none is named.
fn guidance(request: &GenerateRequest, spec: &ModelSpec) -> Guidance {
    let crate::Guidance { scale, rescale, interval: [start, end], skip_below_sigma } = request.guidance;
    let is_whole_run = start <= 0.0 && end >= 1.0;
    Guidance {
        scale: scale.unwrap_or(spec.defaults.guidance),
        rescale,
        interval: (!is_whole_run).then_some(Interval::Steps { start, end }),
        skip_below_sigma,
        ..Guidance::default()
    }
}

/// (seed, number of images) of each run of the sampler.
fn batches(resolved: &Resolved) -> Vec<(u64, usize)> {
    let GenerateRequest { seed, n_images, .. } = resolved.request;
    match resolved.profile.streams {
        Streams::WholeBatch => vec![(seed, n_images as usize)],
        Streams::PerImage => (0..u64::from(n_images)).map(|i| (seed.wrapping_add(i), 1)).collect(),
    }
}

/// The request that makes image `i` of a run, and only it.
fn one_image(resolved: &Resolved, seed: u64, n_in_run: usize, i: u32) -> GenerateRequest {
    let request = &resolved.request;
    if n_in_run > 1 {
        return GenerateRequest { only_image: Some(i), ..request.clone() };
    }
    let moved = seed.wrapping_sub(request.seed);
    let variation = request.variation.map(|v| crate::Variation { seed: v.seed.wrapping_add(moved), ..v });
    GenerateRequest { seed, n_images: 1, variation, only_image: None, ..request.clone() }
}

fn noise_spec(resolved: &Resolved, seed: u64, n_images: usize) -> NoiseSpec {
    let request = &resolved.request;
    let rng = request.rng.unwrap_or(resolved.profile.rng);
    let spec = match resolved.profile.streams {
        Streams::PerImage => NoiseSpec::per_image(rng, seed, n_images),
        Streams::WholeBatch => NoiseSpec::whole_batch(rng, seed, n_images),
    };
    let moved = seed.wrapping_sub(request.seed);
    let subseeds = request.variation.map(|variation| Subseeds {
        seeds: (0..n_images as u64).map(|i| variation.seed.wrapping_add(moved).wrapping_add(i)).collect(),
        strength: variation.strength,
    });
    NoiseSpec { subseeds, eta_seed_delta: resolved.profile.eta_seed_delta + request.eta_seed_delta, ..spec }
}

/// How a program lays out long prompts.
fn layout_of(profile: &Profile) -> Layout {
    if profile.truncates_prompts { Layout::Truncate } else { Layout::Chunks }
}

/// Width and height in pixels of a resolved request.
fn size(request: &GenerateRequest) -> (usize, usize) {
    let px = |px: Option<u32>| px.unwrap_or_default() as usize;
    (px(request.width_px), px(request.height_px))
}

/// The profile's way of reading prompt weights. The id is the one that requests use.
/// What a profile's id stands for.
fn meant<T: serde::de::DeserializeOwned>(profile: &Profile, id: &str) -> Result<T, GenerateError> {
    serde_json::from_value(id.into())
        .map_err(|source| GenerateError::BadRecord { file: format!("the profile {}", profile.id), source })
}

#[cfg(test)]
mod tests;
