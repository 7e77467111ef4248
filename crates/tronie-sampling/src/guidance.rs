//! Classifier-free guidance: how conditional and unconditional predictions become one.
//!
//! Ho and Salimans 2022 (arXiv:2207.12598). Everything here is a pure function; which predictions are needed at a step is
//! decided before any network runs.

use serde::{Deserialize, Serialize};
use tronie_tensor::Tensor;

use crate::Step;

/// The part of a run in which guidance acts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    /// Shares of the steps, 0..=1: from `start` on, up to but without `end`.
    Steps {
        /// First share of the steps.
        start: f64,
        /// Share of the steps where guidance ends.
        end: f64,
    },
    /// Noise levels: from `high` down to `low`, both included (Kynkaanniemi et al. 2024, arXiv:2404.07724).
    Sigmas {
        /// Lowest noise level with guidance.
        low: f64,
        /// Highest noise level with guidance.
        high: f64,
    },
}

/// How strongly the prompt acts, when, and which work may be saved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guidance {
    /// Scale of the way from unconditional to conditional; 1 is the conditional prediction alone.
    pub scale: f64,
    /// Share of the rescaled prediction in the result, 0..=1 (Lin et al. 2023, arXiv:2305.08891, section 3.4, phi).
    pub rescale: f64,
    /// Where guidance acts; outside, the conditional prediction stands alone.
    pub interval: Option<Interval>,
    /// Below this noise level every other step goes without the unconditional prediction; 0 never. A1111's "Negative
    /// Guidance minimum sigma".
    pub skip_below_sigma: f64,
    /// Whether `skip_below_sigma` drops every such step, not every other one (A1111's "NGMS all steps").
    pub skip_every_step: bool,
    /// Share of the steps, from the first, without the unconditional prediction (A1111's "Skip Early CFG").
    pub skip_early: f64,
}

impl Default for Guidance {
    fn default() -> Self {
        Self {
            scale: 7.0,
            rescale: 0.0,
            interval: None,
            skip_below_sigma: 0.0,
            skip_every_step: false,
            skip_early: 0.0,
        }
    }
}

/// The predictions a step needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// Both, to be combined.
    Both,
    /// The conditional one, which is the result.
    CondOnly,
    /// The unconditional one, which is the result: guidance of scale 0.
    UncondOnly,
}

impl Guidance {
    /// Guidance of this scale and nothing else.
    #[must_use]
    pub fn with_scale(scale: f64) -> Self {
        Self { scale, ..Self::default() }
    }

    /// Which predictions a step needs.
    ///
    /// `n_conds` is the number of prompts that are composed ("AND"): with more than one, their difference to the
    /// unconditional prediction is needed even at scale 1.
    #[must_use]
    pub fn needed(&self, step: &Step, n_conds: usize) -> Needed {
        if self.scale == 0.0 {
            return Needed::UncondOnly;
        }
        if n_conds > 1 {
            return Needed::Both;
        }
        let share = step.index as f64 / step.n as f64;
        let outside = match self.interval {
            Some(Interval::Steps { start, end }) => !(start <= share && share < end),
            Some(Interval::Sigmas { low, high }) => !(low <= step.from && step.from <= high),
            None => false,
        };
        let skippable = self.skip_every_step || step.index % 2 == 1;
        let low = step.from < self.skip_below_sigma && skippable;
        if self.scale == 1.0 || outside || low || share < self.skip_early {
            Needed::CondOnly
        } else {
            Needed::Both
        }
    }

    /// The guided prediction: `uncond + scale * sum_i weight_i (cond_i - uncond)`, rescaled.
    ///
    /// Predictions of noise, velocity or pictures alike: the sum is linear. Rescaling is defined on any of them too, and
    /// diffusers applies it to what the network predicts.
    ///
    /// # Shapes
    /// All b c h w.
    #[must_use]
    pub fn combine(&self, uncond: &Tensor<4>, conds: &[(Tensor<4>, f64)]) -> Tensor<4> {
        let guided = conds.iter().fold(uncond.clone(), |sum, (cond, weight)| {
            sum + (cond.clone() - uncond.clone()) * (self.scale * weight)
        });
        match conds.first() {
            Some((cond, _)) if self.rescale > 0.0 => rescale(guided, cond, self.rescale),
            _ => guided,
        }
    }
}

/// Brings the standard deviation of each image's guided prediction back towards that of its conditional one.
///
/// Lin et al. 2023 (arXiv:2305.08891), eq. 15 and 16; diffusers' `rescale_noise_cfg`.
///
/// # Shapes
/// All b c h w.
#[must_use]
pub fn rescale(guided: Tensor<4>, cond: &Tensor<4>, phi: f64) -> Tensor<4> {
    let factor = deviation(cond) / deviation(&guided).clamp_min(f64::from(f32::MIN_POSITIVE)); // b 1 1 1
    guided * (factor * phi + (1.0 - phi))
}

/// Standard deviation per image, with Bessel's correction as torch has it.
fn deviation(x: &Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let flat = x.clone().reshape([b, c * h * w]);
    flat.var(1).sqrt().reshape([b, 1, 1, 1])
}

#[cfg(test)]
mod tests;
