//! The network as samplers see it: prompt editing, composition and classifier-free guidance around one UNet.

use tronie_models::{Added, Conditioning, Unet};
use tronie_sampling::{
    Denoiser, Discrete, Guidance, Needed, Network, NetworkDenoiser, Parametrization, Plan, SampleError, Step,
};
use tronie_tensor::{DType, Tensor};

use crate::control::{Control, Pass, add_controls};
use crate::edit::{Role, Watch};
use crate::encode::Encoded;
use crate::image_prompt::{Seen, image_tokens};

/// One weighted part of a prompt (`a AND b :0.5` has two).
pub(crate) struct Part {
    pub(crate) weight: f64,
    pub(crate) encoded: Encoded,
}

/// What a prompt says during some of the steps.
pub(crate) struct Span {
    /// The last of its steps, counted from 1.
    pub(crate) until_step: usize,
    pub(crate) parts: Vec<Part>,
}

/// Everything that steers a run besides the latents.
pub(crate) struct Steering {
    pub(crate) positive: Vec<Span>,
    pub(crate) negative: Vec<Span>,
    pub(crate) guidance: Guidance,
    pub(crate) controls: Vec<Control>,
    pub(crate) images: Vec<Seen>,
}

impl Steering {
    /// Names of the embeddings in all texts, each once, in order of appearance.
    pub(crate) fn embeddings(&self) -> Vec<&str> {
        let spans = self.positive.iter().chain(&self.negative);
        let names = spans.flat_map(|span| &span.parts).flat_map(|part| &part.encoded.embeddings);
        names.fold(Vec::new(), |mut seen, name| {
            if !seen.contains(&name.as_str()) {
                seen.push(name.as_str());
            }
            seen
        })
    }
}

/// The parts that act at a step; the last span's when the step lies past it.
fn parts_at<'a>(spans: &'a [Span], step: &Step) -> &'a [Part] {
    let span = spans.iter().find(|span| step.index < span.until_step).or(spans.last());
    span.map_or(&[], |span| &span.parts)
}

/// A denoiser for samplers: the plan's arithmetic around a [`GuidedNetwork`].
pub(crate) struct GuidedDenoiser<'a> {
    pub(crate) network: GuidedNetwork<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) parametrization: Parametrization,
    pub(crate) discrete: &'a Discrete,
    /// Who takes over on the way; `None` when nobody does, or did already.
    pub(crate) handover: Option<Handover<'a>>,
}

/// Another network for the last steps.
pub(crate) struct Handover<'a> {
    pub(crate) unet: &'a Unet,
    pub(crate) steering: &'a Steering,
    pub(crate) parametrization: Parametrization,
    /// The first step it makes.
    pub(crate) from_step: usize,
}

impl Denoiser for GuidedDenoiser<'_> {
    fn denoise(&mut self, x: &Tensor<4>, sigma: f64) -> Result<Tensor<4>, SampleError> {
        // A look between two levels belongs to the step that has begun.
        let begun = |step: &Step| step.from >= sigma * (1.0 - 1e-6);
        if let Some(step) = self.plan.sigmas.steps().take_while(begun).last() {
            self.network.step = step;
        }
        let index = self.network.step.index;
        if let Some(next) = self.handover.take_if(|next| index >= next.from_step) {
            let Handover { unet, steering, parametrization, .. } = next;
            self.parametrization = parametrization;
            self.network = GuidedNetwork { unet, steering, told: None, ..self.network };
        }
        let mut inner = NetworkDenoiser {
            network: &mut self.network,
            parametrization: self.parametrization,
            discrete: self.discrete,
            timesteps: &self.plan.timesteps,
            consistency: self.plan.consistency,
        };
        inner.denoise(x, sigma)
    }
}

/// One UNet, asked with and without the prompt.
pub(crate) struct GuidedNetwork<'a> {
    pub(crate) unet: &'a Unet,
    pub(crate) steering: &'a Steering,
    pub(crate) compute: DType,
    pub(crate) step: Step,
    /// 1 k h w: what an inpainting network is told on further channels.
    pub(crate) told: Option<Tensor<4>>,
    /// Who watches the attention, for which picture of an edit.
    pub(crate) watched: Option<(&'a Watch, Role)>,
}

impl Network for GuidedNetwork<'_> {
    fn predict(&mut self, x_scaled: Tensor<4>, timestep: f64) -> Result<Tensor<4>, SampleError> {
        let Steering { positive, negative, guidance, .. } = self.steering;
        let conds = parts_at(positive, &self.step);
        let uncond = parts_at(negative, &self.step).iter().take(1);
        let (rows, n_conds): (Vec<&Part>, usize) = match guidance.needed(&self.step, conds.len()) {
            Needed::Both => (conds.iter().chain(uncond).collect(), conds.len()),
            Needed::CondOnly => (conds.iter().collect(), conds.len()),
            Needed::UncondOnly => (uncond.collect(), 0),
        };
        let mut predictions = self.forward(&x_scaled, timestep, &rows, n_conds);
        let last = predictions.pop().unwrap_or(x_scaled);
        if predictions.is_empty() {
            return Ok(last);
        }
        let conds: Vec<(Tensor<4>, f64)> =
            predictions.into_iter().zip(conds.iter().map(|part| part.weight)).collect();
        Ok(guidance.combine(&last, &conds))
    }
}

impl GuidedNetwork<'_> {
    /// One prediction per row, of which the first `n_conds` are the prompt's; rows with equally many tokens share a pass.
    fn forward(&self, x: &Tensor<4>, timestep: f64, rows: &[&Part], n_conds: usize) -> Vec<Tensor<4>> {
        let n_images = x.dims()[0];
        let x = match &self.told {
            Some(told) => Tensor::cat(vec![x.clone(), Tensor::cat(vec![told.clone(); n_images], 0)], 1), // b c+k h w
            None => x.clone(),
        };
        let same_length = |a: &&Part, b: &&Part| a.encoded.context.dims()[1] == b.encoded.context.dims()[1];
        let mut predictions = Vec::new();
        for group in rows.chunk_by(same_length) {
            let batch = Tensor::cat(vec![x.clone(); group.len()], 0).cast(self.compute); // (row image) c h w
            let timesteps = Tensor::<1>::full([group.len() * n_images], timestep, &x.device());
            let n_asked = n_conds.saturating_sub(predictions.len()).min(group.len()) * n_images;
            let pass = Pass { x: &batch, timesteps: &timesteps, n_asked, step: &self.step };
            let conditioning = self.conditioning(group, n_images);
            let mut conditioning = add_controls(&self.steering.controls, &pass, conditioning);
            conditioning.images = image_tokens(&self.steering.images, &pass, self.compute);
            conditioning.editor =
                self.watched.and_then(|(watch, role)| watch.editor(role, &self.step, n_asked));
            // What no text touches is computed once for all rows of the group.
            let (once, timestep) = (x.clone().cast(self.compute), timesteps.narrow(0, 0, n_images));
            let out = self.unet.forward(once, timestep, &conditioning).cast(DType::F32);
            predictions.extend(out.split(n_images, 0));
        }
        predictions
    }

    fn conditioning(&self, group: &[&Part], n_images: usize) -> Conditioning {
        let context = stack(group.iter().map(|part| &part.encoded.context), n_images).cast(self.compute);
        let mut conditioning = Conditioning::new(context);
        let pooled: Option<Vec<&Tensor<2>>> = group.iter().map(|part| part.encoded.pooled.as_ref()).collect();
        let time_ids: Option<Vec<&Tensor<2>>> =
            group.iter().map(|part| part.encoded.time_ids.as_ref()).collect();
        conditioning.added = pooled.zip(time_ids).map(|(pooled, time_ids)| Added {
            pooled: stack(pooled.into_iter(), n_images).cast(self.compute),
            time_ids: stack(time_ids.into_iter(), n_images),
        });
        conditioning
    }
}

/// Each row repeated for every image, one row after the other.
fn stack<'a, const D: usize>(rows: impl Iterator<Item = &'a Tensor<D>>, n_images: usize) -> Tensor<D> {
    Tensor::cat(rows.flat_map(|row| vec![row.clone(); n_images]).collect(), 0)
}
