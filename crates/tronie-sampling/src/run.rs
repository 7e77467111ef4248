//! What every sampler is given, and who watches it.

use tronie_tensor::Tensor;
use tronie_tensor::noise::{BrownianNoise, NoiseStream};

use crate::{Denoiser, Parametrization, SampleError, Sigmas, Step};

/// Who watches a run, and may end it.
pub trait Observer {
    /// A step has looked at the picture: `x0` (b c h w) is what the model takes it to be.
    ///
    /// # Errors
    /// [`SampleError::Cancelled`] ends the run; it is passed up unchanged.
    fn on_step(&mut self, step: &Step, x0: &Tensor<4>) -> Result<(), SampleError>;
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn on_step(&mut self, _step: &Step, _x0: &Tensor<4>) -> Result<(), SampleError> {
        Ok(())
    }
}

/// Where the noise of SDE samplers comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SdeNoise {
    /// A Brownian path fixed by the seeds: more steps refine the picture instead of changing it (k-diffusion).
    #[default]
    Brownian,
    /// A fresh draw per step (diffusers' `sde-dpmsolver++`).
    Fresh,
}

/// The numbers a sampler leaves open. [`crate::SamplerRow::options`] has each sampler's own values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplerOptions {
    /// Share of the noise that is replaced in each step: 0 is deterministic, 1 the full SDE. Ignored by samplers
    /// that have no stochastic form.
    pub eta: f64,
    /// Churn of Karras et al. 2022 (arXiv:2206.00364, Algorithm 2), spread over the steps. Euler, Heun and DPM2 only.
    pub s_churn: f64,
    /// Lowest noise level with churn.
    pub s_tmin: f64,
    /// Highest noise level with churn.
    pub s_tmax: f64,
    /// Scale of all noise that is added, 1 in theory.
    pub s_noise: f64,
    /// Highest order a multistep method may reach; a method takes less where its formulas end.
    pub max_order: usize,
    /// Whether a multistep method lowers its order towards the last step.
    pub lower_order_final: bool,
    /// Which prediction PNDM and PLMS average over steps. The paper's is the noise; see [`crate::Plan::for_network`].
    pub averages: Parametrization,
    /// Where the noise of SDE samplers comes from.
    pub sde_noise: SdeNoise,
    /// The level a Brownian path begins at where that is above the run's first: the schedule's own, of which a run from a
    /// picture walks the end.
    pub brownian_top: f64,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            eta: 0.0,
            s_churn: 0.0,
            s_tmin: 0.0,
            s_tmax: f64::INFINITY,
            s_noise: 1.0,
            max_order: usize::MAX,
            lower_order_final: true,
            averages: Parametrization::Epsilon,
            sde_noise: SdeNoise::Brownian,
            brownian_top: 0.0,
        }
    }
}

impl SamplerOptions {
    /// Fails on values outside the ranges where the methods are defined.
    ///
    /// # Errors
    /// [`SampleError::Option`] names the first wrong one.
    pub fn check(&self) -> Result<(), SampleError> {
        let rows = [
            ("eta", self.eta, (0.0..=f64::MAX).contains(&self.eta), "a number of at least 0"),
            ("s_churn", self.s_churn, (0.0..=f64::MAX).contains(&self.s_churn), "a number of at least 0"),
            ("s_tmin", self.s_tmin, self.s_tmin >= 0.0, "a number of at least 0"),
            ("s_tmax", self.s_tmax, self.s_tmax >= 0.0, "a number of at least 0"),
            ("s_noise", self.s_noise, (0.0..=f64::MAX).contains(&self.s_noise), "a number of at least 0"),
        ];
        match rows.into_iter().find(|row| !row.2) {
            Some((name, found, _, expected)) => Err(SampleError::Option { name, found, expected }),
            None => Ok(()),
        }
    }
}

/// What every sampler is given. Randomness is in here, never in a global.
pub struct Run<'a> {
    /// (x, sigma) -> x0.
    pub model: &'a mut dyn Denoiser,
    /// Noise levels to walk down.
    pub sigmas: &'a Sigmas,
    /// One independent stream per image of the batch.
    pub noise: &'a mut NoiseStream,
    /// Who is told of each step.
    pub observer: &'a mut dyn Observer,
    /// The sampler's open numbers.
    pub options: SamplerOptions,
}

impl Run<'_> {
    /// What the model takes `x` at noise level `sigma` to be.
    pub(crate) fn denoise(&mut self, x: &Tensor<4>, sigma: f64) -> Result<Tensor<4>, SampleError> {
        let x0 = self.model.denoise(x, sigma)?;
        let (found, expected) = (x0.dims(), x.dims());
        if found != expected {
            return Err(SampleError::Shape { found, expected });
        }
        Ok(x0)
    }

    /// The look every step begins with: denoise where the step starts, and tell the observer.
    pub(crate) fn look(&mut self, x: &Tensor<4>, step: &Step) -> Result<Tensor<4>, SampleError> {
        let x0 = self.denoise(x, step.from)?;
        self.observer.on_step(step, &x0)?;
        Ok(x0)
    }

    /// `x` with fresh noise of standard deviation `scale`; draws nothing when that is 0.
    pub(crate) fn renoise(&mut self, x: Tensor<4>, scale: f64) -> Tensor<4> {
        let scale = scale * self.options.s_noise;
        if scale == 0.0 {
            return x;
        }
        let noise = self.noise.next().cast(x.dtype());
        x + noise * scale
    }

    /// The noise an SDE sampler adds, ready to be asked for intervals of this run.
    pub(crate) fn sde_noise(&mut self) -> SdeSource {
        match self.options.sde_noise {
            SdeNoise::Brownian => {
                let low = self.sigmas.lowest_positive();
                let high = self.sigmas.first().max(self.options.brownian_top);
                SdeSource(Some(self.noise.brownian(low, high)))
            }
            SdeNoise::Fresh => SdeSource(None),
        }
    }

    /// Adds noise before a step, as far as the options ask for churn; returns `x` and its new noise level.
    ///
    /// Karras et al. 2022 (arXiv:2206.00364), Algorithm 2, lines 4-6.
    pub(crate) fn churn(&mut self, x: Tensor<4>, step: &Step) -> (Tensor<4>, f64) {
        let SamplerOptions { s_churn, s_tmin, s_tmax, s_noise, .. } = self.options;
        if s_churn == 0.0 {
            return (x, step.from);
        }
        let noise = self.noise.next().cast(x.dtype()); // drawn at every step, so that the window does not shift what follows
        if !(s_tmin..=s_tmax).contains(&step.from) {
            return (x, step.from);
        }
        let gamma = (s_churn / step.n as f64).min(std::f64::consts::SQRT_2 - 1.0);
        let raised = step.from * (1.0 + gamma);
        let added = (raised * raised - step.from * step.from).sqrt();
        (x + noise * (s_noise * added), raised)
    }
}

/// Noise for intervals of noise levels, Brownian or fresh.
pub(crate) struct SdeSource(Option<BrownianNoise>);

impl SdeSource {
    /// `x` with noise of standard deviation `scale` that belongs to the interval from `from` to `to`.
    pub(crate) fn renoise(
        &mut self,
        run: &mut Run<'_>,
        x: Tensor<4>,
        (from, to): (f64, f64),
        scale: f64,
    ) -> Tensor<4> {
        let scale = scale * run.options.s_noise;
        if scale == 0.0 {
            return x;
        }
        let noise = match &mut self.0 {
            Some(brownian) => brownian.between(from, to),
            None => run.noise.next(),
        };
        let noise = noise.cast(x.dtype());
        x + noise * scale
    }
}

/// Splits the way from `from` to `to` into a deterministic part, down to the first returned level, and fresh noise
/// with the second as its standard deviation.
///
/// `eta` 1 keeps the marginals of the reverse SDE; `get_ancestral_step` in k-diffusion's `sampling.py`, which is the
/// posterior variance of DDPM (arXiv:2006.11239, eq. 7) written in noise levels.
pub(crate) fn ancestral(from: f64, to: f64, eta: f64) -> (f64, f64) {
    let up = (eta * to * ((from * from - to * to) / (from * from)).sqrt()).min(to);
    ((to * to - up * up).max(0.0).sqrt(), up)
}

/// `dx/dsigma = (x - x0) / sigma`: the slope of the probability-flow ODE, which is also the predicted noise.
pub(crate) fn slope(x: &Tensor<4>, x0: &Tensor<4>, sigma: f64) -> Tensor<4> {
    (x.clone() - x0.clone()) / sigma
}

/// `a * x + b * y`.
pub(crate) fn blend(x: &Tensor<4>, a: f64, y: &Tensor<4>, b: f64) -> Tensor<4> {
    x.clone() * a + y.clone() * b
}
