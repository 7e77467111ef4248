//! From a network that predicts noise at a timestep to a denoiser at a noise level.
//!
//! A latent diffusion network is trained on variance-preserving samples `sqrt(a) x0 + sqrt(1 - a) noise` at timesteps
//! 0..1000. Samplers work on `x = x0 + sigma * noise` with `sigma = sqrt((1 - a) / a)`; the two differ by the factor
//! `1 / sqrt(1 + sigma^2)`. This file is the only place where they meet.

use serde::{Deserialize, Serialize};
use tronie_tensor::Tensor;

use crate::{Discrete, Rounding, SampleError};

/// What samplers see of a model.
pub trait Denoiser {
    /// The model's estimate of the noise-free picture.
    ///
    /// # Shapes
    /// `x`: b c h w, equal to `x0 + sigma * noise`. Returns b c h w.
    ///
    /// # Errors
    /// Whatever kept the network from answering, or [`SampleError::Cancelled`].
    fn denoise(&mut self, x: &Tensor<4>, sigma: f64) -> Result<Tensor<4>, SampleError>;
}

/// A network as it was trained.
pub trait Network {
    /// The raw prediction, noise or velocity.
    ///
    /// # Shapes
    /// `x_scaled`: b c h w, of unit variance: `x / sqrt(1 + sigma^2)`; `timestep` 0..1000, fractional where the profile
    /// asks for that. Returns b c h w.
    ///
    /// # Errors
    /// Whatever kept the network from answering.
    fn predict(&mut self, x_scaled: Tensor<4>, timestep: f64) -> Result<Tensor<4>, SampleError>;
}

/// What a network was trained to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parametrization {
    /// The noise (Ho et al. 2020, arXiv:2006.11239): Stable Diffusion 1.x, 2.x base, SDXL.
    #[default]
    Epsilon,
    /// The velocity `sqrt(a) noise - sqrt(1 - a) x0` (Salimans and Ho 2022, arXiv:2202.00512): Stable Diffusion 2.x 768.
    V,
}

impl Parametrization {
    /// The noise-free picture a prediction stands for.
    ///
    /// # Shapes
    /// `x` (`x0 + sigma * noise`) and `prediction`: b c h w. Returns b c h w.
    #[must_use]
    pub fn x0(self, x: &Tensor<4>, prediction: Tensor<4>, sigma: f64) -> Tensor<4> {
        let variance = 1.0 + sigma * sigma;
        match self {
            Self::Epsilon => x.clone() - prediction * sigma,
            Self::V => x.clone() / variance - prediction * (sigma / variance.sqrt()),
        }
    }

    /// The prediction that stands for a noise-free picture: the way back from [`Parametrization::x0`].
    ///
    /// # Shapes
    /// `x` (`x0 + sigma * noise`) and `x0`: b c h w. Returns b c h w.
    #[must_use]
    pub fn prediction(self, x: &Tensor<4>, x0: &Tensor<4>, sigma: f64) -> Tensor<4> {
        let variance = 1.0 + sigma * sigma;
        match self {
            Self::Epsilon => (x.clone() - x0.clone()) / sigma,
            Self::V => (x.clone() / variance - x0.clone()) * (variance.sqrt() / sigma),
        }
    }

    /// What the network should have predicted for `x0 + sigma * noise`: the training target.
    ///
    /// # Shapes
    /// `x0`, `noise`: b c h w; `sigma`: b 1 1 1, one noise level per image. Returns b c h w.
    #[must_use]
    pub fn target(self, x0: Tensor<4>, noise: Tensor<4>, sigma: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Epsilon => noise,
            Self::V => {
                let scale = (sigma.clone() * sigma.clone() + 1.0).sqrt();
                (noise - x0 * sigma) / scale
            }
        }
    }
}

/// Which timestep the network is told for a noise level.
#[derive(Debug, Clone, PartialEq)]
pub struct Timesteps {
    /// (sigma, timestep) of the levels a schedule chose; these win over the rule.
    table: Vec<(f64, f64)>,
    /// The rule for all other levels, those that samplers visit between.
    rounding: Rounding,
}

impl Timesteps {
    /// The rule alone.
    #[must_use]
    pub fn by_rule(rounding: Rounding) -> Self {
        Self { table: Vec::new(), rounding }
    }

    /// Timesteps of certain noise levels, and the rule for all others.
    #[must_use]
    pub fn with_table(sigmas: &[f64], timesteps: &[f64], rounding: Rounding) -> Self {
        let table = sigmas.iter().copied().zip(timesteps.iter().copied());
        Self { table: table.collect(), rounding }
    }

    /// The timestep the network is told at `sigma`.
    #[must_use]
    pub fn at(&self, sigma: f64, discrete: &Discrete) -> f64 {
        let near = |row: &&(f64, f64)| (row.0 - sigma).abs() <= 1e-9 * sigma;
        match self.table.iter().find(near) {
            Some(row) => row.1,
            None => discrete.timestep_of(sigma, self.rounding),
        }
    }
}

/// A [`Network`] as a [`Denoiser`].
pub struct NetworkDenoiser<'a, N: Network + ?Sized> {
    /// The network.
    pub network: &'a mut N,
    /// What it predicts.
    pub parametrization: Parametrization,
    /// Its training schedule.
    pub discrete: &'a Discrete,
    /// Which timestep it is told.
    pub timesteps: &'a Timesteps,
    /// Whether it is a latent consistency model, whose answer is bent towards its input at timestep 0.
    pub consistency: bool,
}

impl<N: Network + ?Sized> Denoiser for NetworkDenoiser<'_, N> {
    fn denoise(&mut self, x: &Tensor<4>, sigma: f64) -> Result<Tensor<4>, SampleError> {
        let timestep = self.timesteps.at(sigma, self.discrete);
        let x_scaled = x.clone() / (1.0 + sigma * sigma).sqrt();
        let prediction = self.network.predict(x_scaled.clone(), timestep)?;
        let x0 = self.parametrization.x0(x, prediction, sigma);
        if self.consistency {
            let (skip, out) = boundary(timestep);
            return Ok(x0 * out + x_scaled * skip);
        }
        Ok(x0)
    }
}

/// The boundary condition of a latent consistency model: weights (of its input, of its answer).
///
/// Luo et al. 2023 (arXiv:2310.04378), section 4.1, with sigma_data 0.5 and timesteps scaled by 10 as in diffusers'
/// `LCMScheduler`.
fn boundary(timestep: f64) -> (f64, f64) {
    const SIGMA_DATA: f64 = 0.5;
    const TIMESTEP_SCALE: f64 = 10.0;
    let scaled = timestep * TIMESTEP_SCALE;
    let variance = scaled * scaled + SIGMA_DATA * SIGMA_DATA;
    (SIGMA_DATA * SIGMA_DATA / variance, scaled / variance.sqrt())
}

#[cfg(test)]
mod tests;
