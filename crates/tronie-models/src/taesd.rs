//! TAESD: an autoencoder of two megabytes for previews, eighteen times cheaper than the real one.
//!
//! Ollin Boer Bohan's distilled autoencoder (<https://github.com/madebyollin/taesd>) under the keys of diffusers'
//! `AutoencoderTiny`. Convolutions and ReLU only. It works on the *scaled* latents, those the UNet sees.
//!
//! Reference: `EncoderTiny`, `DecoderTiny`,
//! <https://github.com/huggingface/diffusers/blob/v0.35.1/src/diffusers/models/autoencoders/vae.py>.
//!
//! Shapes: b batch, h w rows and columns, c channels.

use serde::Deserialize;
use tronie_tensor::burn;
use tronie_tensor::burn::tensor::activation::relu;
use tronie_tensor::ops::{ConvGeometry, upsample_nearest_2x};
use tronie_tensor::{Device, Module, Tensor};

use crate::Conv2d;
use crate::blocks::Either;
use crate::config::{ConfigError, parse, require};

const FILE: &str = "taesd/config.json";

/// The shape of a tiny autoencoder. Values are those of `config.json`; see [`TaesdConfig::from_json`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaesdConfig {
    /// Channels of the image: 3.
    pub c_image: usize,
    /// Channels of the latents.
    pub c_latent: usize,
    /// Channels of every map in between.
    pub c: usize,
    /// Residual blocks of each stage of the encoder, finest first.
    pub n_encoder_blocks: Vec<usize>,
    /// Residual blocks of each stage of the decoder, coarsest first.
    pub n_decoder_blocks: Vec<usize>,
}

impl TaesdConfig {
    /// Both TAESD (SD 1.x, 2.x) and TAESDXL: 1,222,532 parameters to encode, 1,222,531 to decode.
    ///
    /// Source: `madebyollin/taesd/config.json`.
    #[must_use]
    pub fn taesd() -> Self {
        Self {
            c_image: 3,
            c_latent: 4,
            c: 64,
            n_encoder_blocks: vec![1, 3, 3, 3],
            n_decoder_blocks: vec![3, 3, 3, 1],
        }
    }

    /// Reads the `config.json` of an `AutoencoderTiny`; unknown keys are ignored.
    ///
    /// # Errors
    /// [`ConfigError`] when it is no such file, or names something this network has not.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let file: File = parse(FILE, text)?;
        file.check()?;
        Ok(Self {
            c_image: file.in_channels,
            c_latent: file.latent_channels,
            c: file.encoder_block_out_channels.first().copied().unwrap_or_default(),
            n_encoder_blocks: file.num_encoder_blocks,
            n_decoder_blocks: file.num_decoder_blocks,
        })
    }

    /// The encoding half, its weights still to be loaded.
    #[must_use]
    pub fn init_encoder(&self, device: &Device) -> TaesdEncoder {
        let halving = ConvGeometry { stride: 2, padding: 1 };
        let mut layers = Vec::new();
        for (stage, &n_blocks) in self.n_encoder_blocks.iter().enumerate() {
            layers.push(Either::First(match stage {
                0 => Conv2d::same_3x3(self.c_image, self.c, device),
                _ => Conv2d::new(self.c, self.c, 3, halving, device).no_bias(),
            }));
            layers.extend(self.blocks(n_blocks, device));
        }
        layers.push(Either::First(Conv2d::same_3x3(self.c, self.c_latent, device)));
        TaesdEncoder { encoder: Layers { layers } }
    }

    /// The decoding half, its weights still to be loaded.
    #[must_use]
    pub fn init_decoder(&self, device: &Device) -> TaesdDecoder {
        let plain = |layer| Either::Second(Either::Second(layer));
        let first = Conv2d::same_3x3(self.c_latent, self.c, device);
        let mut layers = vec![Either::First(first), plain(Plain::relu())];
        let n_stages = self.n_decoder_blocks.len();
        for (stage, &n_blocks) in self.n_decoder_blocks.iter().enumerate() {
            layers.extend(self.blocks(n_blocks, device));
            if stage + 1 < n_stages {
                layers.push(plain(Plain::upsample()));
                layers.push(Either::First(Conv2d::same_3x3(self.c, self.c, device).no_bias()));
            } else {
                layers.push(Either::First(Conv2d::same_3x3(self.c, self.c_image, device)));
            }
        }
        TaesdDecoder { decoder: Layers { layers } }
    }

    fn blocks(&self, n: usize, device: &Device) -> impl Iterator<Item = Layer> {
        (0..n).map(move |_| Either::Second(Either::First(Block::new(self.c, device))))
    }
}

/// The half that turns images into latents.
#[derive(Module, Debug)]
pub struct TaesdEncoder {
    encoder: Layers,
}

impl TaesdEncoder {
    /// # Shapes
    /// `image`: b 3 h w in -1..=1. Returns latents, as the UNet sees them, b c h/8 w/8 (rounded up).
    #[must_use]
    pub fn encode(&self, image: Tensor<4>) -> Tensor<4> {
        let x = image.permute([0, 2, 3, 1]); // b h w 3
        let x = self.encoder.forward((x + 1.0) * 0.5); // it was trained on 0..=1
        x.permute([0, 3, 1, 2]) // b c h w
    }
}

/// The half that turns latents into images.
#[derive(Module, Debug)]
pub struct TaesdDecoder {
    decoder: Layers,
}

impl TaesdDecoder {
    /// # Shapes
    /// `latents`: b c h w, as the UNet sees them. Returns an image b 3 8h 8w, about -1..=1.
    #[must_use]
    pub fn decode(&self, latents: Tensor<4>) -> Tensor<4> {
        let x = (latents / 3.0).tanh() * 3.0; // it was trained on latents clamped this way
        let x = self.decoder.forward(x.permute([0, 2, 3, 1])); // b 8h 8w 3
        (x * 2.0 - 1.0).permute([0, 3, 1, 2]) // b 3 8h 8w
    }
}

/// A torch `Sequential`: the position in the list is the number in the key, so layers without weights count.
#[derive(Module, Debug)]
struct Layers {
    layers: Vec<Layer>,
}

type Layer = Either<Conv2d, Either<Block, Plain>>;

impl Layers {
    /// # Shapes
    /// `x`: b h w c. Returns b h' w' c'.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.layers.iter().fold(x, |x, layer| match layer {
            Either::First(conv) => conv.forward(x),
            Either::Second(Either::First(block)) => block.forward(x),
            Either::Second(Either::Second(plain)) => plain.forward(x),
        })
    }
}

/// Three convolutions beside the identity.
#[derive(Module, Debug)]
struct Block {
    conv: (Conv2d, Plain, Conv2d, Plain, Conv2d),
}

impl Block {
    fn new(c: usize, device: &Device) -> Self {
        let conv = || Conv2d::same_3x3(c, c, device);
        Self { conv: (conv(), Plain::relu(), conv(), Plain::relu(), conv()) }
    }

    /// # Shapes
    /// `x`: b h w c. Returns b h w c.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (conv0, relu1, conv2, relu3, conv4) = &self.conv;
        let y = relu1.forward(conv0.forward(x.clone()));
        let y = relu3.forward(conv2.forward(y));
        relu(conv4.forward(y) + x)
    }
}

/// A layer without weights.
#[derive(Module, Debug)]
struct Plain {
    #[module(skip)]
    upsamples: bool,
}

impl Plain {
    fn relu() -> Self {
        Self { upsamples: false }
    }

    fn upsample() -> Self {
        Self { upsamples: true }
    }

    /// # Shapes
    /// `x`: b h w c. Returns b h w c, or b 2h 2w c.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        if self.upsamples {
            return upsample_nearest_2x(x);
        }
        relu(x)
    }
}

/// The keys that matter, with the defaults of diffusers'
/// [`AutoencoderTiny`](https://github.com/huggingface/diffusers/blob/v0.35.1/src/diffusers/models/autoencoders/autoencoder_tiny.py).
#[derive(Deserialize)]
#[serde(default)]
struct File {
    in_channels: usize,
    out_channels: usize,
    latent_channels: usize,
    encoder_block_out_channels: Vec<usize>,
    decoder_block_out_channels: Vec<usize>,
    num_encoder_blocks: Vec<usize>,
    num_decoder_blocks: Vec<usize>,
    act_fn: String,
    upsample_fn: String,
    upsampling_scaling_factor: usize,
    scaling_factor: f64,
    shift_factor: f64,
}

impl File {
    fn check(&self) -> Result<(), ConfigError> {
        let act = self.act_fn.as_str();
        require(act == "relu", FILE, ("act_fn", act), "relu")?;
        let upsample = self.upsample_fn.as_str();
        require(upsample == "nearest", FILE, ("upsample_fn", upsample), "nearest")?;
        let factor = self.upsampling_scaling_factor;
        require(factor == 2, FILE, ("upsampling_scaling_factor", factor), "2")?;
        let scaling = ("scaling_factor", self.scaling_factor);
        require((self.scaling_factor - 1.0).abs() < 1e-9, FILE, scaling, "1")?;
        require(self.shift_factor.abs() < 1e-9, FILE, ("shift_factor", self.shift_factor), "0")?;
        let image = ("out_channels", self.out_channels);
        require(self.out_channels == self.in_channels, FILE, image, "in_channels")?;
        for (key, channels, stages) in [
            ("encoder_block_out_channels", &self.encoder_block_out_channels, &self.num_encoder_blocks),
            ("decoder_block_out_channels", &self.decoder_block_out_channels, &self.num_decoder_blocks),
        ] {
            let c = self.encoder_block_out_channels.first();
            let fits = c.is_some() && channels.len() == stages.len() && channels.iter().all(|x| Some(x) == c);
            require(fits, FILE, (key, channels), "the same number for every stage")?;
        }
        Ok(())
    }
}

impl Default for File {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            latent_channels: 4,
            encoder_block_out_channels: vec![64; 4],
            decoder_block_out_channels: vec![64; 4],
            num_encoder_blocks: vec![1, 3, 3, 3],
            num_decoder_blocks: vec![3, 3, 3, 1],
            act_fn: "relu".into(),
            upsample_fn: "nearest".into(),
            upsampling_scaling_factor: 2,
            scaling_factor: 1.0,
            shift_factor: 0.0,
        }
    }
}

#[cfg(test)]
mod tests;
