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
use tronie_tensor::burn::module::Param;
use tronie_tensor::burn::tensor::activation::relu;
use tronie_tensor::ops::{self, ConvCache, ConvGeometry};
use tronie_tensor::{Device, Module, ParamId, Shape, Tensor};

use crate::Conv2d;
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
            layers.push(match stage {
                0 => Layer::conv([self.c_image, self.c], device),
                _ => Layer::resizing_conv(self.c, halving, device),
            });
            layers.extend((0..n_blocks).map(|_| Layer::block(self.c, device)));
        }
        layers.push(Layer::conv([self.c, self.c_latent], device));
        TaesdEncoder { encoder: Layers { layers } }
    }

    /// The decoding half, its weights still to be loaded.
    #[must_use]
    pub fn init_decoder(&self, device: &Device) -> TaesdDecoder {
        let mut layers = vec![Layer::conv([self.c_latent, self.c], device), Layer::relu()];
        let n_stages = self.n_decoder_blocks.len();
        for (stage, &n_blocks) in self.n_decoder_blocks.iter().enumerate() {
            layers.extend((0..n_blocks).map(|_| Layer::block(self.c, device)));
            if stage + 1 < n_stages {
                layers.push(Layer::upsample());
                layers.push(Layer::resizing_conv(self.c, SAME, device));
            } else {
                layers.push(Layer::conv([self.c, self.c_image], device));
            }
        }
        TaesdDecoder { decoder: Layers { layers } }
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

impl Layers {
    /// # Shapes
    /// `x`: b h w c. Returns b h' w' c'.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.layers.iter().fold(x, |x, layer| layer.forward(x))
    }
}

/// 3x3, the map keeps its size.
const SAME: ConvGeometry = ConvGeometry { stride: 1, padding: 1 };

/// One position of the list. A struct and not an enum, because its fields are the keys: `weight` and `bias` of a
/// convolution lie directly under the position, `conv.0.weight` of a block one level deeper.
#[derive(Module, Debug)]
struct Layer {
    weight: Option<Param<Tensor<4>>>, // c_out c_in 3 3
    bias: Option<Param<Tensor<1>>>,
    conv: Option<(Conv2d, Option<Conv2d>, Conv2d, Option<Conv2d>, Conv2d)>, // the gaps are ReLUs
    #[module(skip)]
    geometry: ConvGeometry,
    #[module(skip)]
    cache: ConvCache,
    #[module(skip)]
    upsamples: bool,
}

impl Layer {
    fn relu() -> Self {
        Self { weight: None, bias: None, conv: None, geometry: SAME, cache: ConvCache::default(), upsamples: false }
    }

    fn upsample() -> Self {
        Self { upsamples: true, ..Self::relu() }
    }

    fn conv([c_in, c_out]: [usize; 2], device: &Device) -> Self {
        Self {
            weight: Some(lazy([c_out, c_in, 3, 3], device)),
            bias: Some(lazy([c_out], device)),
            ..Self::relu()
        }
    }

    /// A convolution without a bias, which TAESD has wherever the map changes size.
    fn resizing_conv(c: usize, geometry: ConvGeometry, device: &Device) -> Self {
        Self { bias: None, geometry, ..Self::conv([c, c], device) }
    }

    fn block(c: usize, device: &Device) -> Self {
        let conv = || Conv2d::same_3x3(c, c, device);
        Self { conv: Some((conv(), None, conv(), None, conv())), ..Self::relu() }
    }

    /// # Shapes
    /// `x`: b h w c. Returns b h' w' c'.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match (&self.weight, &self.conv) {
            (Some(weight), _) => {
                let bias = self.bias.as_ref().map(Param::val);
                ops::conv2d(x, weight.val(), bias, self.geometry, &self.cache)
            }
            (None, Some((first, _, second, _, third))) => {
                let y = relu(first.forward(x.clone()));
                let y = relu(second.forward(y));
                relu(third.forward(y) + x)
            }
            (None, None) if self.upsamples => ops::upsample_nearest_2x(x),
            (None, None) => relu(x),
        }
    }
}

/// A parameter that costs nothing until it is loaded or first used.
fn lazy<const D: usize>(dims: [usize; D], device: &Device) -> Param<Tensor<D>> {
    let init = move |device: &Device, _require_grad: bool| Tensor::zeros(dims, device);
    Param::uninitialized(ParamId::new(), init, device.clone(), false, Shape::from(dims))
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
