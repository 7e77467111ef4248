//! What a batch is trained on: noisy latents, the target, and the loss.
//!
//! Noise is handed in, never drawn. The loss is that of diffusers' training scripts and kohya's sd-scripts: the mean square
//! over an image, times the image's weight, averaged over the batch.
//!
//! Shapes: `b` batch, `c` channels, `h w` rows and columns of latents.

use tronie_sampling::{Discrete, Parametrization};
use tronie_tensor::burn::tensor::module::interpolate;
use tronie_tensor::burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use tronie_tensor::{DType, Tensor, TensorData};

use crate::TrainError;

/// The noise levels of a batch: one training timestep per image.
///
/// Training towards zero terminal signal-to-noise ratio (Lin et al. 2023, arXiv:2305.08891) is a property of the
/// [`Discrete`] they come from: its `zero_terminal_snr`.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    /// Share of signal variance of each image, between 0 and 1.
    alphas_cumprod: Vec<f64>,
    /// Noise over signal of each image.
    sigmas: Vec<f64>,
}

impl Levels {
    /// The levels of these timesteps.
    ///
    /// # Errors
    /// [`TrainError::Timestep`] for one that the network was not trained on.
    pub fn new(discrete: &Discrete, timesteps: &[usize]) -> Result<Self, TrainError> {
        let at = |table: &[f64]| {
            let level = |&found: &usize| {
                let n_timesteps = table.len();
                table.get(found).copied().ok_or(TrainError::Timestep { found, n_timesteps })
            };
            timesteps.iter().map(level).collect::<Result<_, _>>()
        };
        Ok(Self { alphas_cumprod: at(discrete.alphas_cumprod())?, sigmas: at(discrete.sigmas())? })
    }

    /// What the network is shown: `sqrt(a) latents + sqrt(1 - a) noise` (Ho et al. 2020, arXiv:2006.11239, eq. 4).
    ///
    /// # Shapes
    /// `latents`, `noise`: b c h w. Returns b c h w.
    #[must_use]
    pub fn add_noise(&self, latents: Tensor<4>, noise: Tensor<4>) -> Tensor<4> {
        let signal = per_image(self.alphas_cumprod.iter().map(|alpha| alpha.sqrt()), &latents);
        let noisiness = per_image(self.alphas_cumprod.iter().map(|alpha| (1.0 - alpha).sqrt()), &latents);
        latents * signal + noise * noisiness
    }

    /// What the network should answer.
    ///
    /// # Shapes
    /// `latents`, `noise`: b c h w. Returns b c h w.
    #[must_use]
    pub fn target(
        &self,
        parametrization: Parametrization,
        latents: Tensor<4>,
        noise: Tensor<4>,
    ) -> Tensor<4> {
        let sigma = per_image(self.sigmas.iter().copied(), &latents);
        parametrization.target(latents, noise, sigma)
    }

    /// Signal-to-noise ratio of each image: `a / (1 - a)`.
    pub fn snr(&self) -> impl Iterator<Item = f64> {
        self.alphas_cumprod.iter().map(|alpha| alpha / (1.0 - alpha))
    }

    /// Weight of each image that keeps easy timesteps from drowning the others: `min(snr, gamma)` over what the
    /// parametrization already weighs with, `snr` for noise and `snr + 1` for velocity.
    ///
    /// Hang et al. 2023 (arXiv:2303.09556); `gamma` above 0, 5 in the paper.
    #[must_use]
    pub fn min_snr_weights(&self, parametrization: Parametrization, gamma: f64) -> Vec<f64> {
        let weight = |snr: f64| match parametrization {
            Parametrization::Epsilon => snr.min(gamma) / snr,
            Parametrization::V => snr.min(gamma) / (snr + 1.0),
        };
        self.snr().map(weight).collect()
    }
}

/// Noise with a shift per image and channel, so that the network learns to change overall brightness.
///
/// Guttenberg 2023, <https://www.crosslabs.org/blog/diffusion-with-offset-noise>; `strength` of at least 0, 0.1 there.
///
/// # Shapes
/// `noise`: b c h w, `offsets`: b c 1 1, of variance 1. Returns b c h w.
#[must_use]
pub fn offset_noise(noise: Tensor<4>, offsets: Tensor<4>, strength: f64) -> Tensor<4> {
    noise + offsets * strength
}

/// The sizes (h w) of the octaves of [`pyramid_noise`]. Octave i is `1 / ratio^i` as large; the last one is 1 high or wide.
///
/// `ratios` are above 1, one per octave; kohya's are drawn uniformly from 2..4, 6 of them.
#[must_use]
pub fn pyramid_sizes(h: usize, w: usize, ratios: &[f64]) -> Vec<[usize; 2]> {
    let mut sizes = Vec::with_capacity(ratios.len());
    let mut shrink = 0.0_f64; // the octave's number
    for ratio in ratios {
        let size = [h, w].map(|length| shrunk(length, ratio.powf(shrink)));
        sizes.push(size);
        if size.contains(&1) {
            break;
        }
        shrink += 1.0;
    }
    sizes
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and length")]
fn shrunk(length: usize, divisor: f64) -> usize {
    ((length as f64 / divisor) as usize).max(1)
}

/// Noise of all wavelengths: octaves of noise stretched to full size, added, and brought back to variance 1.
///
/// Whitaker 2023, <https://wandb.ai/johnowhitaker/multires_noise/reports/Multi-Resolution-Noise-for-Diffusion-Model-Training--VmlldzozNjYyOTU2>;
/// octave i is `discount^i` as strong, with a `discount` of 0..1: 0.9 there, 0.4 in kohya's sd-scripts. The standard deviation
/// is taken over the whole batch, as both do.
///
/// # Shapes
/// `noise`: b c h w, `octaves`: b c and one of [`pyramid_sizes`] each. Returns b c h w.
#[must_use]
pub fn pyramid_noise(noise: Tensor<4>, octaves: Vec<Tensor<4>>, discount: f64) -> Tensor<4> {
    let [b, c, h, w] = noise.dims();
    let stretch = InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(false);
    let stretch = stretch.with_output_size([h, w]);
    let mut strength = 1.0;
    let mut pyramid = noise;
    for octave in octaves {
        pyramid = pyramid + interpolate(octave, stretch.clone()) * strength;
        strength *= discount;
    }
    let deviation = pyramid.clone().reshape([1, b * c * h * w]).var(1).sqrt(); // 1 1
    pyramid / deviation.reshape([1, 1, 1, 1]) // b c h w
}

/// The loss of a batch: the mean square over each image, times its weight, averaged over the batch. In f32.
///
/// A mask of 0..=1 says how much each place counts. As in kohya's sd-scripts the mean is over all places, so an image with a
/// small mask counts less.
///
/// # Shapes
/// `prediction`, `target`: b c h w, `mask`: b 1 h w, `weights`: b of them. Returns 1.
#[must_use]
pub fn weighted_mse(
    prediction: Tensor<4>,
    target: Tensor<4>,
    mask: Option<Tensor<4>>,
    weights: &[f64],
) -> Tensor<1> {
    let [b, c, h, w] = prediction.dims();
    let difference = prediction.cast(DType::F32) - target.cast(DType::F32); // losses in f32
    let squares = difference.clone() * difference;
    let squares = match mask {
        Some(mask) => squares * mask.cast(DType::F32),
        None => squares,
    };
    let weights = per_image(weights.iter().copied(), &squares);
    let losses = squares.reshape([b, 1, 1, c * h * w]).mean_dim(3); // b 1 1 1
    (losses * weights).mean()
}

/// The loss with prior preservation: what the class should keep is added to what the instance should teach.
///
/// Ruiz et al. 2022 (DreamBooth, arXiv:2208.12242), eq. 2; `weight` of at least 0, their lambda of 1.
#[must_use]
pub fn with_prior(instance: Tensor<1>, class: Tensor<1>, weight: f64) -> Tensor<1> {
    instance + class * weight
}

/// One number per image, on the device and in the dtype of `like`: b 1 1 1.
fn per_image(numbers: impl Iterator<Item = f64>, like: &Tensor<4>) -> Tensor<4> {
    let numbers: Vec<f64> = numbers.collect();
    let shape = [numbers.len(), 1, 1, 1];
    Tensor::from_data(TensorData::new(numbers, shape), (&like.device(), like.dtype()))
}

#[cfg(test)]
mod tests;
