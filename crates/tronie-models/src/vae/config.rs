//! What an autoencoder is built from: `vae/config.json`, and the one all Stable Diffusion families share.

use serde::Deserialize;
use serde_json::{Value, json};
use tronie_tensor::Device;

use super::{VaeDecoder, VaeEncoder};
use crate::config::{ConfigError, parse, require};

const FILE: &str = "vae/config.json";
/// The only kinds of level there are here.
const DOWN_BLOCK: &str = "DownEncoderBlock2D";
const UP_BLOCK: &str = "UpDecoderBlock2D";

/// The shape of an `AutoencoderKL`. Values are those of `config.json`; see [`VaeConfig::from_json`].
#[derive(Debug, Clone, PartialEq)]
pub struct VaeConfig {
    /// Channels of the image the encoder takes: 3.
    pub c_in: usize,
    /// Channels of the image the decoder gives: 3.
    pub c_out: usize,
    /// Channels of the latents.
    pub c_latent: usize,
    /// Channels of each level, finest first. Every level but the last halves the image.
    pub c_levels: Vec<usize>,
    /// Residual blocks per level of the encoder; the decoder has one more.
    pub n_blocks_per_level: usize,
    /// Groups of every group norm.
    pub n_groups: usize,
    /// Whether the middle has its self-attention.
    pub mid_attention: bool,
    /// Whether a 1x1 convolution follows the encoder.
    pub quant_conv: bool,
    /// Whether a 1x1 convolution precedes the decoder.
    pub post_quant_conv: bool,
    /// What raw latents are multiplied by to have about unit variance, as the UNet sees them.
    pub latent_scale: f64,
    /// Whether half precision overflows in it, so that f16 input is computed in f32. bf16 has the range.
    pub force_upcast: bool,
    /// Side of the square images it was trained on, in pixels: the natural size of a tile.
    pub sample_size_px: usize,
}

impl VaeConfig {
    /// The autoencoder of SD 1.x and 2.x: factor 8, four latent channels.
    ///
    /// Source: `stable-diffusion-v1-5/vae/config.json`.
    #[must_use]
    pub fn sd() -> Self {
        Self {
            c_in: 3,
            c_out: 3,
            c_latent: 4,
            c_levels: vec![128, 256, 512, 512],
            n_blocks_per_level: 2,
            n_groups: 32,
            mid_attention: true,
            quant_conv: true,
            post_quant_conv: true,
            latent_scale: 0.18215,
            force_upcast: false,
            sample_size_px: 512,
        }
    }

    /// SDXL's: the same network, retrained; its activations leave the range of f16.
    ///
    /// Source: `stable-diffusion-xl-base-1.0/vae/config.json`.
    #[must_use]
    pub fn sdxl() -> Self {
        Self { latent_scale: 0.13025, force_upcast: true, sample_size_px: 1024, ..Self::sd() }
    }

    /// Reads the `config.json` of an `AutoencoderKL`; unknown keys are ignored.
    ///
    /// # Errors
    /// [`ConfigError`] when it is no such file, or names something this network has not.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let file: File = parse(FILE, text)?;
        file.check()?;
        Ok(Self {
            c_in: file.in_channels,
            c_out: file.out_channels,
            c_latent: file.latent_channels,
            c_levels: file.block_out_channels,
            n_blocks_per_level: file.layers_per_block,
            n_groups: file.norm_num_groups,
            mid_attention: file.mid_block_add_attention,
            quant_conv: file.use_quant_conv,
            post_quant_conv: file.use_post_quant_conv,
            latent_scale: file.scaling_factor,
            force_upcast: file.force_upcast,
            sample_size_px: file.sample_size,
        })
    }

    /// The `config.json` that [`VaeConfig::from_json`] and diffusers read this shape from.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let each_level = |kind: &'static str| vec![kind; self.c_levels.len()];
        json!({
            "_class_name": "AutoencoderKL",
            "in_channels": self.c_in,
            "out_channels": self.c_out,
            "latent_channels": self.c_latent,
            "down_block_types": each_level(DOWN_BLOCK),
            "up_block_types": each_level(UP_BLOCK),
            "block_out_channels": self.c_levels,
            "layers_per_block": self.n_blocks_per_level,
            "act_fn": "silu",
            "norm_num_groups": self.n_groups,
            "mid_block_add_attention": self.mid_attention,
            "use_quant_conv": self.quant_conv,
            "use_post_quant_conv": self.post_quant_conv,
            "scaling_factor": self.latent_scale,
            "force_upcast": self.force_upcast,
            "sample_size": self.sample_size_px,
        })
    }

    /// Pixels per latent, in each direction.
    #[must_use]
    pub fn factor(&self) -> usize {
        1 << self.c_levels.len().saturating_sub(1)
    }

    /// The encoding half, its weights still to be loaded.
    #[must_use]
    pub fn init_encoder(&self, device: &Device) -> VaeEncoder {
        VaeEncoder::new(self, device)
    }

    /// The decoding half, its weights still to be loaded.
    #[must_use]
    pub fn init_decoder(&self, device: &Device) -> VaeDecoder {
        VaeDecoder::new(self, device)
    }
}

/// The keys that matter, with the defaults of diffusers'
/// [`AutoencoderKL`](https://github.com/huggingface/diffusers/blob/v0.35.1/src/diffusers/models/autoencoders/autoencoder_kl.py).
#[derive(Deserialize)]
#[serde(default)]
struct File {
    in_channels: usize,
    out_channels: usize,
    latent_channels: usize,
    down_block_types: Vec<String>,
    up_block_types: Vec<String>,
    block_out_channels: Vec<usize>,
    layers_per_block: usize,
    act_fn: String,
    norm_num_groups: usize,
    mid_block_add_attention: bool,
    use_quant_conv: bool,
    use_post_quant_conv: bool,
    scaling_factor: f64,
    shift_factor: Value,
    latents_mean: Value,
    latents_std: Value,
    force_upcast: bool,
    sample_size: usize,
}

impl File {
    fn check(&self) -> Result<(), ConfigError> {
        let act = self.act_fn.as_str();
        require(act == "silu" || act == "swish", FILE, ("act_fn", act), "silu")?;
        for (key, kind, found) in [
            ("down_block_types", DOWN_BLOCK, &self.down_block_types),
            ("up_block_types", UP_BLOCK, &self.up_block_types),
        ] {
            let fits = found.len() == self.block_out_channels.len() && found.iter().all(|name| name == kind);
            require(fits, FILE, (key, found), "one plain block per level")?;
        }
        for (key, found) in [
            ("shift_factor", &self.shift_factor),
            ("latents_mean", &self.latents_mean),
            ("latents_std", &self.latents_std),
        ] {
            require(found.is_null(), FILE, (key, found), "null")?;
        }
        let levels = &self.block_out_channels;
        let groups = self.norm_num_groups;
        let divides = groups > 0 && !levels.is_empty() && levels.iter().all(|c| *c > 0 && c % groups == 0);
        let found = ("block_out_channels", levels);
        require(divides, FILE, found, "multiples of norm_num_groups")
    }
}

impl Default for File {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            latent_channels: 4,
            down_block_types: vec![DOWN_BLOCK.into()],
            up_block_types: vec![UP_BLOCK.into()],
            block_out_channels: vec![64],
            layers_per_block: 1,
            act_fn: "silu".into(),
            norm_num_groups: 32,
            mid_block_add_attention: true,
            use_quant_conv: true,
            use_post_quant_conv: true,
            scaling_factor: 0.18215,
            shift_factor: Value::Null,
            latents_mean: Value::Null,
            latents_std: Value::Null,
            force_upcast: true,
            sample_size: 32,
        }
    }
}
