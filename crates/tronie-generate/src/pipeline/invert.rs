//! A real picture as the first one of an edit: the noise it comes from, and what guidance must be asked against so that it
//! comes from there with guidance too.
//!
//! Mokady et al. 2022 (arXiv:2211.09794), "null-text inversion". DDIM run backwards without guidance gives a path of latents from
//! the picture to noise; then, step by step along it, the negative prompt's context is trained until a guided step lands on the
//! path. Numbers are those of the authors' `null_text_w_ptp.ipynb`, written in noise levels.

use tronie_models::{Added, Conditioning, Unet};
use tronie_sampling::{Parametrization, Step};
use tronie_tensor::burn::module::Param;
use tronie_tensor::{Module, ModuleMapper};

use super::*;
use crate::edit::{EditError, Inversion};
use crate::encode::Encoded;
use crate::guided::{Part, Span};

/// Adam's step size at the first step; it falls by a hundredth of this at each, to 0 at the hundredth.
const RATE: f64 = 1e-2;
/// Adam's decays, and what keeps it from dividing by zero (PyTorch's defaults).
const DECAYS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;
/// A step is done when the mean squared error is below the first number, plus the second for each step before.
const DONE: [f64; 2] = [1e-5, 2e-5];

/// Where a picture comes from.
pub(super) struct Inverted {
    /// 1 c h w, at the run's first noise level.
    pub(super) start: Tensor<4>,
    /// The negative prompt's context at each step: 1 s d.
    pub(super) negatives: Vec<Tensor<3>>,
}

impl Inverted {
    /// The steering with these contexts in place of the negative prompt's.
    pub(super) fn steering(&self, plain: Steering) -> Steering {
        let template =
            plain.negative.first().and_then(|span| span.parts.first()).map(|part| part.encoded.clone());
        let spans = template.into_iter().flat_map(|template| {
            let contexts = self.negatives.iter().enumerate();
            contexts.map(move |(index, context)| {
                let encoded = Encoded { context: context.clone(), ..template.clone() };
                Span { until_step: index + 1, parts: vec![Part { weight: 1.0, encoded }] }
            })
        });
        Steering { negative: spans.collect(), ..plain }
    }
}

/// What the passes of an inversion share.
struct Passes<'a> {
    unet: &'a Unet,
    /// The same network, for gradients.
    recording: Unet,
    resolved: &'a Resolved,
    parametrization: Parametrization,
    compute: DType,
}

impl Pipeline {
    /// Inverts the picture of a request, as its plan's steps walk.
    pub(super) fn invert<P: Progress + ?Sized>(
        &self,
        resolved: &Resolved,
        inversion: &Inversion,
        steering: &Steering,
        progress: &mut P,
    ) -> Result<Inverted, GenerateError> {
        let latents = self.picture_latents(resolved, inversion)?;
        let texts = |spans: &[Span]| {
            spans.first().and_then(|span| span.parts.first()).map(|part| part.encoded.clone())
        };
        let (Some(prompt), Some(negative)) = (texts(&steering.positive), texts(&steering.negative)) else {
            return Err(EditError::Several { text: resolved.prompt.clone() }.into());
        };
        let unet = &resolved.applied.networks.unet;
        let recording = unet.clone().map(&mut Recording);
        let parametrization = self.spec().training.parametrization;
        let passes = Passes { unet, recording, resolved, parametrization, compute: self.compute };
        let n = resolved.plan.sigmas.n_steps() as u64;
        progress.begin("inverting", n);
        let path = passes.path(latents / resolved.plan.final_scale, &prompt, progress)?;
        progress.begin("optimizing the negative prompt", n);
        passes.negatives(path, [&prompt, &negative], inversion.n_inner, progress)
    }

    /// # Shapes
    /// Returns 1 c h w: the mean of what the autoencoder says of the picture.
    fn picture_latents(
        &self,
        resolved: &Resolved,
        inversion: &Inversion,
    ) -> Result<Tensor<4>, GenerateError> {
        let request = &resolved.request;
        let size_px = [request.width_px.unwrap_or_default(), request.height_px.unwrap_or_default()];
        let (bytes, file) = inversion.image.read()?;
        let pixels = file.sized(&bytes, inversion.fit, size_px)?;
        Ok(self.encoding(resolved)?.mean_latents(&pixels))
    }
}

impl Passes<'_> {
    /// The latents at each noise level, the highest first.
    ///
    /// Each step up takes the noise that the network sees in what it comes from, told the level it goes to.
    fn path<P: Progress + ?Sized>(
        &self,
        latents: Tensor<4>,
        prompt: &Encoded,
        progress: &mut P,
    ) -> Result<Vec<Tensor<4>>, GenerateError> {
        let mut path = vec![latents];
        let steps: Vec<Step> = self.resolved.plan.sigmas.steps().collect();
        for step in steps.into_iter().rev() {
            progress.check()?;
            let Some(x) = path.last().cloned() else { break };
            let noise = self.noise(self.unet, &x, (step.to, step.from), prompt);
            path.push(x + noise * (step.from - step.to));
            progress.advance(1);
        }
        path.reverse();
        Ok(path)
    }

    /// The negative prompt's context at each step, trained so that guided steps stay on the path.
    fn negatives<P: Progress + ?Sized>(
        &self,
        path: Vec<Tensor<4>>,
        [prompt, negative]: [&Encoded; 2],
        n_inner: u32,
        progress: &mut P,
    ) -> Result<Inverted, GenerateError> {
        let mut levels = path.into_iter();
        let start = levels.next().unwrap_or_else(|| Tensor::zeros([1, 1, 1, 1], &prompt.context.device()));
        let mut x = start.clone();
        let mut encoded = negative.clone();
        let mut negatives = Vec::new();
        for (step, target) in self.resolved.plan.sigmas.steps().zip(levels) {
            progress.check()?;
            let asked = self.noise(self.unet, &x, (step.from, step.from), prompt);
            encoded.context = self.trained(&x, &step, [&asked, &target], (&encoded, n_inner));
            let unasked = self.noise(self.unet, &x, (step.from, step.from), &encoded);
            x = self.guided(&x, &step, [&asked, &unasked]);
            negatives.push(encoded.context.clone());
            progress.advance(1);
        }
        Ok(Inverted { start, negatives })
    }

    /// One step's context.
    fn trained(
        &self,
        x: &Tensor<4>,
        step: &Step,
        [asked, target]: [&Tensor<4>; 2],
        (encoded, n_inner): (&Encoded, u32),
    ) -> Tensor<3> {
        let recorded = |x: &Tensor<4>| x.clone().autodiff();
        let unit = 1.0 / (1.0 + step.to * step.to).sqrt(); // the paper's latents are of unit variance
        #[expect(clippy::cast_precision_loss, reason = "steps are at most 1000")]
        let index = step.index as f64;
        let mut context = encoded.context.clone();
        let mut moments = [context.zeros_like(), context.zeros_like()];
        for inner in 1..=n_inner {
            let leaf = context.clone().autodiff().require_grad();
            let pooled = encoded.pooled.clone().map(Tensor::autodiff);
            let time_ids = encoded.time_ids.clone().map(Tensor::autodiff);
            let told = Encoded { context: leaf.clone(), pooled, time_ids, embeddings: Vec::new() };
            let unasked = self.noise(&self.recording, &recorded(x), (step.from, step.from), &told);
            let landed = self.guided(&recorded(x), step, [&recorded(asked), &unasked]);
            let miss = (landed - recorded(target)) * unit;
            let loss = (miss.clone() * miss).mean();
            let gradients = loss.backward();
            if let Some(gradient) = leaf.grad(&gradients) {
                context =
                    adam(context, gradient, &mut moments, (RATE * (1.0 - index / 100.0).max(0.0), inner));
            }
            let loss = loss.into_data().try_to_vec::<f32>().ok().and_then(|loss| loss.first().copied());
            if f64::from(loss.unwrap_or_default()) < DONE[0] + index * DONE[1] {
                break;
            }
        }
        context
    }

    /// Where a guided step from `x` lands.
    fn guided(&self, x: &Tensor<4>, step: &Step, [asked, unasked]: [&Tensor<4>; 2]) -> Tensor<4> {
        let noise = unasked.clone() + (asked.clone() - unasked.clone()) * self.resolved.guidance.scale;
        x.clone() + noise * (step.to - step.from)
    }

    /// The noise the network sees in `x`, which is at the first level, when told the second.
    fn noise(&self, unet: &Unet, x: &Tensor<4>, (sigma, told): (f64, f64), text: &Encoded) -> Tensor<4> {
        let Resolved { plan, discrete, .. } = self.resolved;
        let scale = (1.0 + sigma * sigma).sqrt();
        let x_scaled = x.clone() / scale;
        let timestep = Tensor::<1>::full([1], plan.timesteps.at(told, discrete), &x.device());
        let mut conditioning = Conditioning::new(text.context.clone().cast(self.compute));
        conditioning.added = text
            .pooled
            .clone()
            .zip(text.time_ids.clone())
            .map(|(pooled, time_ids)| Added { pooled: pooled.cast(self.compute), time_ids });
        let predicted =
            unet.forward(x_scaled.clone().cast(self.compute), timestep, &conditioning).cast(DType::F32);
        match self.parametrization {
            Parametrization::Epsilon => predicted,
            Parametrization::V => (predicted + x_scaled * sigma) / scale,
        }
    }
}

/// One step of Adam (Kingma and Ba 2015, arXiv:1412.6980, Algorithm 1).
fn adam(
    value: Tensor<3>,
    gradient: Tensor<3>,
    moments: &mut [Tensor<3>; 2],
    (rate, step): (f64, u32),
) -> Tensor<3> {
    let [first, second] = DECAYS;
    let step = f64::from(step);
    let [mean, square] = moments;
    *mean = mean.clone() * first + gradient.clone() * (1.0 - first);
    *square = square.clone() * second + gradient.clone() * gradient * (1.0 - second);
    let unbiased = mean.clone() / (1.0 - first.powf(step));
    let scale = (square.clone() / (1.0 - second.powf(step))).sqrt() + EPSILON;
    value - unbiased / scale * rate
}

/// Marks every weight as part of a graph, as constants.
struct Recording;

impl ModuleMapper for Recording {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        Param::initialized(param.id, param.val().autodiff())
    }
}
