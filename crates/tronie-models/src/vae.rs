//! The variational autoencoder: images to latents and back.
//!
//! `AutoencoderKL` of latent diffusion (Rombach et al. 2022, arXiv:2112.10752), in two halves that are loaded
//! apart: text to image never reads the encoder. Both name their fields as the one checkpoint file does.
//!
//! Reference: <https://github.com/huggingface/diffusers/blob/v0.35.1/src/diffusers/models/autoencoders/vae.py>.
//!
//! Shapes: b batch, h w rows and columns, c channels. `raw_latents` are what these networks give and take;
//! the UNet's `latents` are those times [`VaeConfig::latent_scale`].

mod blocks;
mod config;
mod tiling;

pub use config::VaeConfig;
pub use tiling::Tiling;

use tronie_tensor::burn;
use tronie_tensor::{DType, Device, Module, Tensor};

use crate::blocks::NormShape;
use crate::{Conv2d, GroupNorm};
use blocks::{DownBlock, Level, MidBlock, UpBlock};
use tiling::TilePlan;

/// A normal distribution over raw latents, one mean and variance per number.
#[derive(Debug, Clone)]
pub struct Posterior {
    /// b c h w.
    pub mean: Tensor<4>,
    /// b c h w, within -30 and 20.
    pub log_variance: Tensor<4>,
}

impl Posterior {
    /// # Shapes
    /// `moments`: b h w 2c, means before log-variances.
    fn from_moments(moments: Tensor<4>) -> Self {
        let [_, _, _, c2] = moments.dims();
        let c = c2 / 2;
        let moments = moments.permute([0, 3, 1, 2]); // b 2c h w
        Self {
            mean: moments.clone().narrow(1, 0, c),
            log_variance: moments.narrow(1, c, c).clamp(-30.0, 20.0),
        }
    }

    /// The most likely raw latents. b c h w.
    #[must_use]
    pub fn mode(&self) -> Tensor<4> {
        self.mean.clone()
    }

    /// One draw: `mean + exp(log_variance / 2) * noise`.
    ///
    /// # Shapes
    /// `noise`: b c h w of standard normal numbers. Returns b c h w.
    #[must_use]
    pub fn sample(&self, noise: Tensor<4>) -> Tensor<4> {
        self.mean.clone() + (self.log_variance.clone() * 0.5).exp() * noise
    }
}

/// The half that turns images into distributions over latents.
#[derive(Module, Debug)]
pub struct VaeEncoder {
    encoder: Encoder,
    quant_conv: Option<Conv2d>,
    #[module(skip)]
    config: VaeConfig,
}

impl VaeEncoder {
    pub(crate) fn new(config: &VaeConfig, device: &Device) -> Self {
        let c2 = 2 * config.c_latent;
        Self {
            encoder: Encoder::new(config, device),
            quant_conv: config.quant_conv.then(|| Conv2d::pointwise(c2, c2, device)),
            config: config.clone(),
        }
    }

    /// The shape it was built with.
    #[must_use]
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// Encodes images whose values lie in -1..=1. Computes in the dtype of `image`, see
    /// [`VaeConfig::force_upcast`].
    ///
    /// # Shapes
    /// `image`: b c h w, sides of at least [`VaeConfig::factor`] pixels; what is left over a multiple of it at
    /// the right and the bottom has no latent of its own. Returns moments b c h/factor w/factor.
    #[must_use]
    pub fn encode(&self, image: Tensor<4>) -> Posterior {
        Posterior::from_moments(self.moments(to_channels_last(image, &self.config)))
    }

    /// As [`Self::encode`], in tiles when a side exceeds one tile; equal to it otherwise.
    ///
    /// # Shapes
    /// As [`Self::encode`].
    #[must_use]
    pub fn encode_tiled(&self, image: Tensor<4>, tiling: Tiling) -> Posterior {
        let plan = TilePlan::encode(tiling, self.config.factor());
        let [_, _, h, w] = image.dims();
        if h.max(w) <= plan.tile_in {
            return self.encode(image);
        }
        let x = to_channels_last(image, &self.config);
        Posterior::from_moments(plan.run(&x, |tile| self.moments(tile)))
    }

    /// b h w c -> b h' w' 2c.
    fn moments(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.encoder.forward(x);
        match &self.quant_conv {
            Some(conv) => conv.forward(y),
            None => y,
        }
    }
}

/// The half that turns latents into images.
#[derive(Module, Debug)]
pub struct VaeDecoder {
    post_quant_conv: Option<Conv2d>,
    decoder: Decoder,
    #[module(skip)]
    config: VaeConfig,
}

impl VaeDecoder {
    pub(crate) fn new(config: &VaeConfig, device: &Device) -> Self {
        let c = config.c_latent;
        Self {
            post_quant_conv: config.post_quant_conv.then(|| Conv2d::pointwise(c, c, device)),
            decoder: Decoder::new(config, device),
            config: config.clone(),
        }
    }

    /// The shape it was built with.
    #[must_use]
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// Decodes raw latents (not yet multiplied by the latent scale). Computes in the dtype of `raw_latents`, see
    /// [`VaeConfig::force_upcast`]. The image is not clamped.
    ///
    /// # Shapes
    /// `raw_latents`: b c h w. Returns an image b 3 h*factor w*factor, about -1..=1.
    #[must_use]
    pub fn decode(&self, raw_latents: Tensor<4>) -> Tensor<4> {
        to_channels_first(self.pixels(to_channels_last(raw_latents, &self.config)))
    }

    /// As [`Self::decode`], in tiles when a side exceeds one tile; equal to it otherwise.
    ///
    /// # Shapes
    /// As [`Self::decode`].
    #[must_use]
    pub fn decode_tiled(&self, raw_latents: Tensor<4>, tiling: Tiling) -> Tensor<4> {
        let plan = TilePlan::decode(tiling, self.config.factor());
        let [_, _, h, w] = raw_latents.dims();
        if h.max(w) <= plan.tile_in {
            return self.decode(raw_latents);
        }
        let x = to_channels_last(raw_latents, &self.config);
        to_channels_first(plan.run(&x, |tile| self.pixels(tile)))
    }

    /// b h w c -> b h' w' 3.
    fn pixels(&self, x: Tensor<4>) -> Tensor<4> {
        let x = match &self.post_quant_conv {
            Some(conv) => conv.forward(x),
            None => x,
        };
        self.decoder.forward(x)
    }
}

/// b c h w -> b h w c, in the dtype to compute in.
fn to_channels_last(x: Tensor<4>, config: &VaeConfig) -> Tensor<4> {
    let x = x.permute([0, 2, 3, 1]);
    if config.force_upcast && x.dtype() == DType::F16 {
        return x.cast(DType::F32); // activations exceed 65504
    }
    x
}

/// b h w c -> b c h w.
fn to_channels_first(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

#[derive(Module, Debug)]
struct Encoder {
    conv_in: Conv2d,
    down_blocks: Vec<DownBlock>,
    mid_block: MidBlock,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Encoder {
    fn new(config: &VaeConfig, device: &Device) -> Self {
        let levels = &config.c_levels;
        let (first, last) = ends(levels);
        let inputs = std::iter::once(first).chain(levels.iter().copied());
        let block = |(index, (c_in, &c_out)): (usize, (usize, &usize))| {
            let level =
                Level { c_in, c_out, n_blocks: config.n_blocks_per_level, resizes: index + 1 < levels.len() };
            DownBlock::new(&level, norm(config), device)
        };
        Self {
            conv_in: Conv2d::same_3x3(config.c_in, first, device),
            down_blocks: inputs.zip(levels).enumerate().map(block).collect(),
            mid_block: MidBlock::new(last, norm(config), config.mid_attention, device),
            conv_norm_out: GroupNorm::new(config.n_groups, last, EPSILON, device),
            conv_out: Conv2d::same_3x3(last, 2 * config.c_latent, device),
        }
    }

    /// # Shapes
    /// `x`: b h w 3. Returns b h' w' 2c.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.conv_in.forward(x);
        let x = self.down_blocks.iter().fold(x, |x, block| block.forward(x));
        let x = self.mid_block.forward(x);
        self.conv_out.forward(self.conv_norm_out.forward_silu(x))
    }
}

#[derive(Module, Debug)]
struct Decoder {
    conv_in: Conv2d,
    mid_block: MidBlock,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Decoder {
    fn new(config: &VaeConfig, device: &Device) -> Self {
        let levels = &config.c_levels;
        let (first, last) = ends(levels);
        let inputs = std::iter::once(last).chain(levels.iter().rev().copied());
        let block = |(index, (c_in, &c_out)): (usize, (usize, &usize))| {
            let level = Level {
                c_in,
                c_out,
                n_blocks: config.n_blocks_per_level + 1,
                resizes: index + 1 < levels.len(),
            };
            UpBlock::new(&level, norm(config), device)
        };
        Self {
            conv_in: Conv2d::same_3x3(config.c_latent, last, device),
            mid_block: MidBlock::new(last, norm(config), config.mid_attention, device),
            up_blocks: inputs.zip(levels.iter().rev()).enumerate().map(block).collect(),
            conv_norm_out: GroupNorm::new(config.n_groups, first, EPSILON, device),
            conv_out: Conv2d::same_3x3(first, config.c_out, device),
        }
    }

    /// # Shapes
    /// `x`: b h w c. Returns b h' w' 3.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.conv_in.forward(x);
        let x = self.mid_block.forward(x);
        let x = self.up_blocks.iter().fold(x, |x, block| block.forward(x));
        self.conv_out.forward(self.conv_norm_out.forward_silu(x))
    }
}

/// Epsilon of every group norm of the autoencoder; the UNet's is 1e-5.
const EPSILON: f64 = 1e-6;

fn norm(config: &VaeConfig) -> NormShape {
    NormShape { n_groups: config.n_groups, epsilon: EPSILON }
}

/// Channels of the finest and of the coarsest level.
fn ends(levels: &[usize]) -> (usize, usize) {
    let first = levels.first().copied().unwrap_or_default();
    (first, levels.last().copied().unwrap_or(first))
}

#[cfg(test)]
mod tests;
