//! The training schedule: how noisy each of the 1000 timesteps is.

use serde::{Deserialize, Serialize};

use crate::ScheduleError;

/// How the noise variance per training timestep grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaCurve {
    /// Evenly spaced betas: DDPM, AnimateDiff on Stable Diffusion 1.5.
    Linear,
    /// Evenly spaced square roots of betas: Stable Diffusion.
    #[default]
    ScaledLinear,
    /// Betas of a squared cosine, at most 0.999 (Nichol and Dhariwal 2021, arXiv:2102.09672, eq. 17).
    SquaredCosine,
}

/// The betas a network was trained with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BetaSchedule {
    /// Shape of the curve.
    pub curve: BetaCurve,
    /// Beta of timestep 0; without meaning for [`BetaCurve::SquaredCosine`].
    pub start: f64,
    /// Beta of the last timestep; without meaning for [`BetaCurve::SquaredCosine`].
    pub end: f64,
    /// Number of training timesteps.
    pub n: usize,
}

impl BetaSchedule {
    /// Stable Diffusion 1.x, 2.x and SDXL (`scheduler_config.json` of each).
    pub const STABLE_DIFFUSION: Self =
        Self { curve: BetaCurve::ScaledLinear, start: 0.000_85, end: 0.012, n: 1000 };
    /// AnimateDiff's motion modules for Stable Diffusion 1.5 (`configs/inference/*.yaml` of guoyww/AnimateDiff).
    pub const ANIMATE_DIFF: Self = Self { curve: BetaCurve::Linear, ..Self::STABLE_DIFFUSION };
    /// The default of diffusers' schedulers, used by DDPM (arXiv:2006.11239, section 4).
    pub const DDPM: Self = Self { curve: BetaCurve::Linear, start: 0.0001, end: 0.02, n: 1000 };

    /// Betas as torch computes them in f32.
    fn betas(&self) -> Result<Vec<f32>, ScheduleError> {
        let positive = "between 0 and 1";
        for (name, found) in [("start", self.start), ("end", self.end)] {
            if !(found > 0.0 && found < 1.0) {
                return Err(ScheduleError::Training { name, found, expected: positive });
            }
        }
        if !(2..=100_000).contains(&self.n) {
            let (name, found) = ("n", self.n as f64);
            return Err(ScheduleError::Training { name, found, expected: "between 2 and 100000" });
        }
        Ok(match self.curve {
            BetaCurve::Linear => linspace_f32(self.start, self.end, self.n),
            BetaCurve::ScaledLinear => {
                let roots = linspace_f32(self.start.sqrt(), self.end.sqrt(), self.n);
                roots.into_iter().map(|root| root * root).collect()
            }
            BetaCurve::SquaredCosine => {
                let bar = |t: usize| {
                    let u = (t as f64 / self.n as f64 + 0.008) / 1.008;
                    (u * std::f64::consts::FRAC_PI_2).cos().powi(2)
                };
                (0..self.n).map(|t| narrow((1.0 - bar(t + 1) / bar(t)).min(0.999))).collect()
            }
        })
    }
}

/// Variants of one training schedule.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DiscreteOptions {
    /// Store the cumulative alphas in half precision, as A1111 before 1.7.0-225 did ("Downcast alphas_cumprod").
    pub downcast_alphas: bool,
    /// Rescale to zero terminal signal-to-noise ratio (Lin et al. 2023, arXiv:2305.08891, Algorithm 1), with this
    /// cumulative alpha in place of the 0 that no sampler can start from.
    pub zero_terminal_snr: Option<f64>,
}

impl DiscreteOptions {
    /// The last cumulative alpha of diffusers' `rescale_betas_zero_snr` (largest sigma 4096).
    pub const LAST_ALPHA_DIFFUSERS: f64 = 1.0 / 16_777_216.0;
    /// The last cumulative alpha of ComfyUI's `zsnr` and A1111's "Zero Terminal SNR" (largest sigma 4518.76).
    pub const LAST_ALPHA_COMFY: f64 = 4.897_345_189_085_343_5e-8;
}

/// How a noise level between two training timesteps is named to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rounding {
    /// The fractional timestep, interpolated in log sigma.
    #[default]
    Fractional,
    /// The nearest integer to the fractional timestep, halves to even.
    Nearest,
    /// The integer below the fractional timestep.
    Down,
}

/// Noise levels of the training timesteps, and the way back.
#[derive(Debug, Clone, PartialEq)]
pub struct Discrete {
    alphas_cumprod: Vec<f64>,
    sigmas: Vec<f64>,
    log_sigmas: Vec<f64>,
}

impl Discrete {
    /// Computes the noise levels of a training schedule.
    ///
    /// # Errors
    /// [`ScheduleError::Training`] when a beta is not between 0 and 1, or the number of timesteps makes no sense.
    pub fn new(betas: &BetaSchedule, options: DiscreteOptions) -> Result<Self, ScheduleError> {
        let betas = betas.betas()?;
        let mut product = 1.0_f64; // torch accumulates an f32 cumprod on the CPU in f64
        let mut alphas_cumprod: Vec<f64> = Vec::with_capacity(betas.len());
        for beta in betas {
            product *= f64::from(1.0 - beta);
            alphas_cumprod.push(f64::from(narrow(product)));
        }
        if let Some(last) = options.zero_terminal_snr {
            rescale_zero_terminal_snr(&mut alphas_cumprod, last)?;
        }
        if options.downcast_alphas {
            for alpha in &mut alphas_cumprod {
                *alpha = round_to_half(*alpha);
            }
        }
        Self::from_alphas_cumprod(alphas_cumprod)
    }

    /// Noise levels from cumulative alphas, for checkpoints that bring their own.
    ///
    /// # Errors
    /// [`ScheduleError::Training`] when they are fewer than two, not between 0 and 1, or do not fall.
    pub fn from_alphas_cumprod(alphas_cumprod: Vec<f64>) -> Result<Self, ScheduleError> {
        let name = "cumulative alpha";
        let mut previous = 1.0;
        for &found in &alphas_cumprod {
            if !(found > 0.0 && found < 1.0 && found <= previous) {
                return Err(ScheduleError::Training { name, found, expected: "between 0 and 1, falling" });
            }
            previous = found;
        }
        if alphas_cumprod.len() < 2 {
            let (name, found) = ("number of cumulative alphas", alphas_cumprod.len() as f64);
            return Err(ScheduleError::Training { name, found, expected: "at least 2" });
        }
        let sigmas: Vec<f64> = alphas_cumprod.iter().map(|&alpha| sigma_of_alpha(alpha)).collect();
        let log_sigmas = sigmas.iter().map(|sigma| sigma.ln()).collect();
        Ok(Self { alphas_cumprod, sigmas, log_sigmas })
    }

    /// Number of training timesteps.
    #[must_use]
    pub fn n_timesteps(&self) -> usize {
        self.sigmas.len()
    }

    /// The cumulative alphas (share of signal variance) of all training timesteps, falling.
    #[must_use]
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }

    /// The noise levels of all training timesteps, rising.
    #[must_use]
    pub fn sigmas(&self) -> &[f64] {
        &self.sigmas
    }

    /// Noise level of timestep 0.
    #[must_use]
    pub fn sigma_min(&self) -> f64 {
        self.sigmas.first().copied().unwrap_or_default()
    }

    /// Noise level of the last timestep.
    #[must_use]
    pub fn sigma_max(&self) -> f64 {
        self.sigmas.last().copied().unwrap_or_default()
    }

    /// The last timestep, 999 for all published models.
    #[must_use]
    pub fn last_timestep(&self) -> f64 {
        (self.sigmas.len() - 1) as f64
    }

    /// Noise level of a timestep, interpolated in log sigma (k-diffusion's `t_to_sigma`); timesteps outside of
    /// training count as the nearest end.
    #[must_use]
    pub fn sigma_of(&self, timestep: f64) -> f64 {
        interpolate(&self.log_sigmas, timestep).exp()
    }

    /// Noise level of a timestep, interpolated in sigma, as diffusers does.
    #[must_use]
    pub fn sigma_of_linear(&self, timestep: f64) -> f64 {
        interpolate(&self.sigmas, timestep)
    }

    /// Timestep of a noise level (k-diffusion's `sigma_to_t`); levels outside of training count as the nearest end.
    #[must_use]
    pub fn timestep_of(&self, sigma: f64, rounding: Rounding) -> f64 {
        let log_sigma = sigma.max(1e-10).ln();
        let above = self.log_sigmas.partition_point(|&level| level <= log_sigma);
        let below = above.saturating_sub(1);
        let fraction = match (self.log_sigmas.get(below), self.log_sigmas.get(below + 1)) {
            (Some(low), Some(high)) => ((log_sigma - low) / (high - low)).clamp(0.0, 1.0),
            _ => 0.0,
        };
        let timestep = below as f64 + fraction;
        match rounding {
            Rounding::Fractional => timestep,
            Rounding::Nearest => timestep.round_ties_even(),
            Rounding::Down => timestep.floor(),
        }
    }
}

/// The value of `table` at a fractional index, clamped to its ends.
pub(crate) fn interpolate(table: &[f64], index: f64) -> f64 {
    let index = index.clamp(0.0, (table.len() - 1) as f64);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped above")]
    let below = index as usize;
    let fraction = index - below as f64;
    let low = table.get(below).copied().unwrap_or_default();
    let high = table.get(below + 1).copied().unwrap_or(low);
    low + fraction * (high - low)
}

/// `sqrt((1 - a) / a)` in f32, bit for bit what torch computes: Brownian noise tells levels apart that differ by less
/// than pictures show.
fn sigma_of_alpha(alpha: f64) -> f64 {
    let alpha = narrow(alpha);
    f64::from(((1.0 - alpha) / alpha).sqrt())
}

/// Algorithm 1 of Lin et al. 2023 (arXiv:2305.08891) on cumulative alphas.
fn rescale_zero_terminal_snr(alphas_cumprod: &mut [f64], last: f64) -> Result<(), ScheduleError> {
    if !(last > 0.0 && last < 1e-3) {
        let name = "last cumulative alpha";
        return Err(ScheduleError::Training { name, found: last, expected: "above 0 and below 0.001" });
    }
    let root_first = alphas_cumprod.first().copied().unwrap_or_default().sqrt();
    let root_last = alphas_cumprod.last().copied().unwrap_or_default().sqrt();
    for alpha in &mut *alphas_cumprod {
        let root = (alpha.sqrt() - root_last) * root_first / (root_first - root_last);
        *alpha = root * root;
    }
    if let Some(end) = alphas_cumprod.last_mut() {
        *end = last;
    }
    Ok(())
}

/// `torch.linspace` in f32: counted from both ends.
fn linspace_f32(start: f64, end: f64, n: usize) -> Vec<f32> {
    let (start, end) = (narrow(start), narrow(end));
    let step = (end - start) / (n - 1) as f32;
    let value = |i: usize| {
        if i < n / 2 { start + step * i as f32 } else { end - step * (n - 1 - i) as f32 }
    };
    (0..n).map(value).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what this is for")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// Rounds a value of (0, 1] to IEEE half precision, ties to even.
fn round_to_half(value: f64) -> f64 {
    // 11 significant bits; below 2^-14 the spacing stays 2^-24.
    let exponent = value.log2().floor().max(-14.0);
    let spacing = (exponent - 10.0).exp2();
    (value / spacing).round_ties_even() * spacing
}

#[cfg(test)]
mod tests;
