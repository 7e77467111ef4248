//! One walk of a sampler down its noise levels.

use tronie_base::Progress;
use tronie_sampling::{Denoiser, Observer, Plan, Run, SampleError, Step};
use tronie_tensor::Tensor;
use tronie_tensor::noise::NoiseStream;

use super::plans::forgets;
use super::source::Prepared;
use super::start::{Encoding, Start};
use super::{Pipeline, Resolved, noise_spec, size};
use crate::GenerateError;
use crate::guided::{GuidedDenoiser, GuidedNetwork, Steering};
use crate::held::Holding;

/// What one walk differs in from another of the same request.
pub(super) struct Leg<'a> {
    pub(super) plan: &'a Plan,
    pub(super) steering: &'a Steering,
    /// What it begins at; noise without it.
    pub(super) picture: Option<&'a Prepared>,
}

impl Pipeline {
    /// Walks to latents. Returns b c h w, as the UNet sees them.
    pub(super) fn walk<P: Progress + ?Sized>(
        &self,
        resolved: &Resolved,
        leg: &Leg<'_>,
        (seed, n_images): (u64, usize),
        progress: &mut P,
    ) -> Result<Tensor<4>, GenerateError> {
        let Leg { plan, steering, .. } = leg;
        let latents = self.spec().latents;
        let (width_px, height_px) = size(&resolved.request);
        let dims = [latents.n_channels, height_px / latents.factor, width_px / latents.factor];
        let mut noise = NoiseStream::new(&noise_spec(resolved, seed, n_images), dims, &self.device)?;
        let Start { x, mut held, told } = self.start(resolved, leg, &mut noise)?;
        let first =
            Step { index: 0, from: plan.sigmas.first(), to: plan.sigmas.first(), n: plan.sigmas.n_steps() };
        let unet = &resolved.applied.networks.unet;
        let network = GuidedNetwork { unet, steering, compute: self.compute, step: first, told };
        let parametrization = self.spec().training.parametrization;
        let mut guided = GuidedDenoiser { network, plan, parametrization, discrete: &resolved.discrete };
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
        leg: &Leg<'_>,
        noise: &mut NoiseStream,
    ) -> Result<Start, GenerateError> {
        let Some(picture) = leg.picture else { return Ok(Start::noise(noise, leg.plan)) };
        let spec = self.spec();
        let encoding = Encoding {
            encoder: self.encoder.get(&resolved.applied.networks)?,
            scale: spec.latents.scale,
            input: spec.input,
            rules: resolved.profile.from_picture,
            device: &self.device,
        };
        let strength = resolved.request.source.as_ref().map_or(1.0, |source| source.strength);
        let forgets = forgets(strength, picture.painted.is_some(), resolved.profile);
        Ok(encoding.start(picture, noise, leg.plan, forgets))
    }
}

/// Steps as progress, and Ctrl-C as the end of the run.
struct StepProgress<'a, P: ?Sized>(&'a mut P);

impl<P: Progress + ?Sized> Observer for StepProgress<'_, P> {
    fn on_step(&mut self, _step: &Step, _x0: &Tensor<4>) -> Result<(), SampleError> {
        self.0.advance(1);
        Ok(self.0.check()?)
    }
}
