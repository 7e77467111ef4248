//! One walk of a sampler down its noise levels.

use tronie_base::Progress;
use tronie_image::Pixels;
use tronie_sampling::{Denoiser, Observer, Run, SampleError, Step};
use tronie_tensor::Tensor;
use tronie_tensor::noise::NoiseStream;

use super::plans::forgets;
use super::source::Prepared;
use super::start::{Encoding, Start};
use super::{Pipeline, Resolved, noise_spec, size};
use crate::GenerateError;
use crate::guided::{Handover, Steering};
use crate::held::Holding;

/// What one walk differs in from another of the same request.
pub(super) struct Leg<'a> {
    pub(super) steerings: &'a Steerings,
    pub(super) begin: Begin<'a>,
    /// Seed of the first image, and how many there are.
    pub(super) seeds: (u64, usize),
}

/// What steers a walk: the request's own model, and the one that takes over.
pub(super) struct Steerings {
    pub(super) main: Steering,
    pub(super) refiner: Option<Steering>,
}

/// What a walk begins at, noise on it or alone.
pub(super) enum Begin<'a> {
    Noise,
    /// One picture for all images.
    Picture(&'a Prepared),
    /// Latents of each image, 1 c h w.
    Latents(Vec<Tensor<4>>),
    /// Pixels of each image.
    Pixels(Vec<Pixels>),
}

impl Pipeline {
    /// Walks to latents. Returns b c h w, as the UNet sees them.
    pub(super) fn walk<P: Progress + ?Sized>(
        &self,
        resolved: &Resolved,
        leg: Leg<'_>,
        progress: &mut P,
    ) -> Result<Tensor<4>, GenerateError> {
        let Leg { steerings, begin, seeds: (seed, n_images) } = leg;
        let plan = &resolved.plan;
        let latents = self.spec().latents;
        let (width_px, height_px) = size(&resolved.request);
        let dims = [latents.n_channels, height_px / latents.factor, width_px / latents.factor];
        let mut noise = NoiseStream::new(&noise_spec(resolved, seed, n_images), dims, &self.device)?;
        let Start { x, mut held, told } = self.start(resolved, begin, &mut noise)?;
        let handover = resolved.refining.as_ref().zip(steerings.refiner.as_ref());
        let handover = handover.map(|(refining, steering)| Handover {
            unet: &refining.networks.unet,
            steering,
            parametrization: refining.networks.spec.training.parametrization,
            from_step: refining.from_step,
        });
        let mut guided = self.guided(resolved, &steerings.main);
        (guided.network.told, guided.handover) = (told, handover);
        let mut holding = held.as_mut().map(|held| Holding { inner: &mut guided, held });
        let model: &mut dyn Denoiser = match &mut holding {
            Some(holding) => holding,
            None => &mut guided,
        };
        progress.begin("denoising", plan.sigmas.n_steps() as u64);
        let run = Run {
            model,
            sigmas: &plan.sigmas,
            noise: &mut noise,
            observer: &mut StepProgress(progress),
            options: plan.options,
        };
        let x = plan.sampler.run(run, x)? * plan.final_scale;
        Ok(match &held {
            Some(held) => held.put_back(&x),
            None => x,
        })
    }

    /// What the sampler begins with.
    fn start(
        &self,
        resolved: &Resolved,
        begin: Begin<'_>,
        noise: &mut NoiseStream,
    ) -> Result<Start, GenerateError> {
        let plan = &resolved.plan;
        match begin {
            Begin::Noise => Ok(Start::noise(noise, plan)),
            Begin::Latents(images) => Ok(Start::latents(images, noise.initial(), plan)),
            Begin::Pixels(images) => {
                let encoding = self.encoding(resolved)?;
                let latents = images.iter().map(|pixels| encoding.latents(pixels, noise)).collect();
                Ok(Start::latents(latents, encoding.unit(noise), plan))
            }
            Begin::Picture(picture) => {
                let strength = resolved.request.source.as_ref().map_or(1.0, |source| source.strength);
                let forgets = forgets(strength, picture.painted.is_some(), resolved.profile);
                Ok(self.encoding(resolved)?.start(picture, noise, plan, forgets))
            }
        }
    }

    pub(super) fn encoding<'a>(&'a self, resolved: &'a Resolved) -> Result<Encoding<'a>, GenerateError> {
        let spec = self.spec();
        let encoder = match &resolved.beside.vae {
            Some(other) => &other.encoder,
            None => self.encoder.get(&resolved.applied.networks)?,
        };
        Ok(Encoding {
            encoder,
            scale: spec.latents.scale,
            input: spec.input,
            rules: resolved.profile.from_picture,
            device: &self.device,
        })
    }
}

/// Steps as progress, and Ctrl-C as the end of the run.
pub(super) struct StepProgress<'a, P: ?Sized>(pub(super) &'a mut P);

impl<P: Progress + ?Sized> Observer for StepProgress<'_, P> {
    fn on_step(&mut self, _step: &Step, _x0: &Tensor<4>) -> Result<(), SampleError> {
        self.0.advance(1);
        Ok(self.0.check()?)
    }
}
