//! Two prompts side by side: the run of an edit.

use std::sync::Arc;

use tronie_image::resize;
use tronie_prompt::ChunkRules;
use tronie_sampling::{Denoiser, Run, SampleError};
use tronie_tensor::noise::NoiseStream;

use super::walk::StepProgress;
use super::*;
use crate::edit::{EditError, EditMethod, EditPlan, Reader, Role, Watch, blended};

/// Samplers whose steps are Euler's, which inversion walks back.
const INVERTIBLE: [&str; 2] = ["ddim", "euler"];

/// Where a word is looked at, as a picture of the image's size: white where most, black where least.
#[derive(Debug, Clone)]
pub struct WordMap {
    /// The word.
    pub word: String,
    /// Gray.
    pub pixels: Pixels,
}

/// Both pictures' denoisers. The samplers' batch is the old picture and the new one, or the new one alone where nothing is made
/// of the old prompt.
struct EditDenoiser<'a> {
    old: GuidedDenoiser<'a>,
    new: GuidedDenoiser<'a>,
    watch: &'a Watch,
    /// Where the change may be, as far as it was seen by now.
    mask: Option<Tensor<4>>,
}

impl Denoiser for EditDenoiser<'_> {
    fn denoise(&mut self, x: &Tensor<4>, sigma: f64) -> Result<Tensor<4>, SampleError> {
        if self.watch.plan().edit.method == EditMethod::Shared {
            self.old.denoise(x, sigma)?; // for its attention
            return self.new.denoise(x, sigma);
        }
        let old = x.clone().narrow(0, 0, 1);
        let new = self.confined(&old, x.clone().narrow(0, 1, 1));
        let old_x0 = self.old.denoise(&old, sigma)?;
        let new_x0 = self.new.denoise(&new, sigma)?;
        let step = self.new.network.step;
        if self.watch.plan().blends_at(step.index, step.n) {
            let [_, _, h, w] = x.dims();
            self.mask = self.watch.mask([h, w], &x.device());
        }
        let new_x0 = self.confined(&old_x0, new_x0);
        Ok(Tensor::cat(vec![old_x0, new_x0], 0))
    }
}

impl EditDenoiser<'_> {
    /// The new picture where it may differ, the old one elsewhere.
    fn confined(&self, old: &Tensor<4>, new: Tensor<4>) -> Tensor<4> {
        match &self.mask {
            Some(mask) => blended(old, new, mask),
            None => new,
        }
    }
}

impl Pipeline {
    /// What the request's edit comes to.
    pub(super) fn edit_plan(
        &self,
        request: &GenerateRequest,
        prompt: &str,
        (profile, plan): (&'static Profile, &Plan),
    ) -> Result<Option<Arc<EditPlan>>, GenerateError> {
        let Some(edit) = &request.edit else {
            return Ok(None);
        };
        if profile.streams == Streams::WholeBatch && request.n_images > 1 {
            return Err(EditError::Batch { profile: profile.id, found: request.n_images }.into());
        }
        if edit.of.is_some() && (!INVERTIBLE.contains(&plan.sampler.id) || plan.options.eta != 0.0) {
            let (sampler, eta) = (plan.sampler.id, plan.options.eta);
            return Err(EditError::Sampler { sampler, eta }.into());
        }
        let Networks { spec, tokenizer, .. } = self.networks.plain();
        let pad = spec.text.encoders.first().map_or(0, |encoder| encoder.pad_token);
        let rules = ChunkRules {
            layout: layout_of(profile),
            emphasis: request.emphasis.unwrap_or_default(),
            pad_id: u32::try_from(pad).unwrap_or_default(),
        };
        let (width, height) = size(request);
        let n_latents = (width / spec.latents.factor) * (height / spec.latents.factor);
        let (embeddings, device) = (&self.embeddings, &self.device);
        let reader = Reader { tokenizer, embeddings, rules, device, n_latents };
        Ok(Some(Arc::new(EditPlan::of(edit, prompt, &reader)?)))
    }

    /// Makes the old picture (unless the method makes none) and the new one, in this order.
    pub(super) fn run_edit<P: Progress + ?Sized>(
        &self,
        resolved: &Resolved,
        plan: &Arc<EditPlan>,
        seed: u64,
        progress: &mut P,
    ) -> Result<Vec<GeneratedImage>, GenerateError> {
        let mut old = self.encode(resolved)?.main;
        let to = Resolved { prompt: plan.edit.to.clone(), ..resolved.clone() };
        let mut new = self.encode(&to)?.main;
        let mut start = None;
        if let Some(inversion) = &plan.edit.of {
            let inverted = self.invert(resolved, inversion, &old, progress)?;
            old = inverted.steering(old);
            new = inverted.steering(new);
            start = Some(inverted.start);
        }
        let watch = Watch::new(Arc::clone(plan));
        let latents = self.denoise_both(resolved, [&old, &new], (&watch, seed, start), progress)?;
        let roles = match plan.edit.method {
            EditMethod::Paired => &[Role::Old, Role::New][..],
            EditMethod::Shared => &[Role::New],
        };
        let mut images = Vec::new();
        for (latents, role) in latents.split(1, 0).into_iter().zip(roles) {
            let steering = if *role == Role::Old { &old } else { &new };
            let request = one_image(resolved, seed, 1, 0);
            let edit = request.edit.clone().filter(|_| *role == Role::New);
            let pixels = self.decode(latents, resolved)?;
            images.push(GeneratedImage {
                word_maps: self.word_maps(&watch, *role, &pixels)?,
                pixels,
                request: GenerateRequest { edit, ..request },
                model_sha256: self.model_sha256.clone(),
                embedding_hashes: self.embeddings.hashes(steering.embeddings())?,
                loras: resolved.applied.used.clone(),
                refiner_sha256: None,
                vae_sha256: resolved.vae_sha256(),
            });
        }
        Ok(images)
    }

    /// Walks from one noise to the latents of both pictures (2 c h w), or of the new one (1 c h w).
    fn denoise_both<P: Progress + ?Sized>(
        &self,
        resolved: &Resolved,
        steerings: [&Steering; 2],
        (watch, seed, start): (&Watch, u64, Option<Tensor<4>>),
        progress: &mut P,
    ) -> Result<Tensor<4>, GenerateError> {
        let Resolved { plan, request, .. } = resolved;
        let latents = self.spec().latents;
        let (width_px, height_px) = size(request);
        let dims = [latents.n_channels, height_px / latents.factor, width_px / latents.factor];
        let is_pair = watch.plan().edit.method == EditMethod::Paired;
        let n = if is_pair { 2 } else { 1 };
        let spec = same_noise(noise_spec(resolved, seed, 1), n);
        let mut noise = NoiseStream::new(&spec, dims, &self.device)?;
        let start = match start {
            Some(inverted) => Tensor::cat(vec![inverted; n], 0),
            None => noise.initial() * plan.initial_scale,
        };
        let [old, new] = steerings;
        let guided = |steering, role| {
            let mut guided = self.guided(resolved, steering);
            guided.network.watched = Some((watch, role));
            guided
        };
        let mut model =
            EditDenoiser { old: guided(old, Role::Old), new: guided(new, Role::New), watch, mask: None };
        progress.begin("denoising", plan.sigmas.n_steps() as u64);
        let run = Run {
            model: &mut model,
            sigmas: &plan.sigmas,
            noise: &mut noise,
            observer: &mut StepProgress(progress),
            options: plan.options,
        };
        let x = plan.sampler.run(run, start)?;
        let x = match &model.mask {
            Some(_) => {
                let old = x.clone().narrow(0, 0, 1);
                let new = model.confined(&old, x.narrow(0, 1, 1));
                Tensor::cat(vec![old, new], 0)
            }
            None => x,
        };
        Ok(x * plan.final_scale)
    }

    /// A map for each word of the picture's prompt, when the edit asks for them.
    fn word_maps(&self, watch: &Watch, role: Role, like: &Pixels) -> Result<Vec<WordMap>, GenerateError> {
        let prompt = usize::from(role == Role::New);
        let mut maps = Vec::new();
        if !watch.plan().edit.maps {
            return Ok(maps);
        }
        for (word, places) in watch.plan().words(prompt, &self.networks.plain().tokenizer) {
            let Some(looks) = watch.looks(role, &places) else { continue };
            let (least, most) = looks
                .values
                .iter()
                .fold((f32::MAX, f32::MIN), |(least, most), &value| (least.min(value), most.max(value)));
            let range = (most - least).max(f32::MIN_POSITIVE);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to 0..=255; NaN becomes 0"
            )]
            let gray = looks
                .values
                .iter()
                .map(|value| ((value - least) / range * 255.0).clamp(0.0, 255.0).round() as u8);
            let [h, w] = looks.size.map(|side| u32::try_from(side).unwrap_or(u32::MAX));
            let small = Pixels::new(w, h, gray.flat_map(|byte| [byte; 3]).collect())?;
            maps.push(WordMap { word, pixels: resize(&small, like.width_px(), like.height_px())? });
        }
        Ok(maps)
    }
}

/// The noise of `n` pictures that all have the first one's.
fn same_noise(spec: NoiseSpec, n: usize) -> NoiseSpec {
    let repeated = |seeds: Vec<u64>| seeds.into_iter().cycle().take(n).collect();
    let subseeds = spec
        .subseeds
        .map(|subseeds| Subseeds { seeds: repeated(subseeds.seeds), strength: subseeds.strength });
    NoiseSpec { seeds: repeated(spec.seeds), subseeds, layout: Streams::PerImage, ..spec }
}
