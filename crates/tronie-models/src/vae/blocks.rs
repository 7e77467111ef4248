//! The blocks both halves of the autoencoder are made of.
//!
//! Reference: `ResnetBlock2D`, `UNetMidBlock2D`, `DownEncoderBlock2D`, `UpDecoderBlock2D` in diffusers,
//! <https://github.com/huggingface/diffusers/blob/v0.35.1/src/diffusers/models/unets/unet_2d_blocks.py>.

use tronie_tensor::burn;
use tronie_tensor::ops::{self, ConvGeometry, Mask};
use tronie_tensor::{Device, Module, Tensor};

use crate::blocks::{NormShape, Upsample};
use crate::{Conv2d, GroupNorm, Linear};

/// Two convolutions, each after a norm, added to what came in. The UNet's block of this name also sees the time.
#[derive(Module, Debug)]
struct ResBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>, // only where c_in != c_out
}

impl ResBlock {
    fn new(c_in: usize, c_out: usize, norm: NormShape, device: &Device) -> Self {
        Self {
            norm1: GroupNorm::new(norm.n_groups, c_in, norm.epsilon, device),
            conv1: Conv2d::same_3x3(c_in, c_out, device),
            norm2: GroupNorm::new(norm.n_groups, c_out, norm.epsilon, device),
            conv2: Conv2d::same_3x3(c_out, c_out, device),
            conv_shortcut: (c_in != c_out).then(|| Conv2d::pointwise(c_in, c_out, device)),
        }
    }

    /// # Shapes
    /// `x`: b h w c_in. Returns b h w c_out.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.conv1.forward(self.norm1.forward_silu(x.clone()));
        let y = self.conv2.forward(self.norm2.forward_silu(y));
        match &self.conv_shortcut {
            Some(shortcut) => y + shortcut.forward(x),
            None => y + x,
        }
    }
}

/// Self-attention of every pixel to every pixel, with a single head.
#[derive(Module, Debug)]
struct Attention {
    group_norm: GroupNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: [Linear; 1],
}

impl Attention {
    fn new(c: usize, norm: NormShape, device: &Device) -> Self {
        let square = || Linear::new(c, c, device);
        Self {
            group_norm: GroupNorm::new(norm.n_groups, c, norm.epsilon, device),
            to_q: square(),
            to_k: square(),
            to_v: square(),
            to_out: [square()],
        }
    }

    /// # Shapes
    /// `x`: b h w c. Returns b h w c.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [b, h, w, c] = x.dims();
        let tokens = self.group_norm.forward(x.clone()).reshape([b, h * w, c]); // b s c
        let q = self.to_q.forward(tokens.clone());
        let k = self.to_k.forward(tokens.clone());
        let v = self.to_v.forward(tokens);
        let y = ops::attention(q, k, v, 1, Mask::None);
        let [to_out] = &self.to_out;
        to_out.forward(y).reshape([b, h, w, c]) + x
    }
}

/// The coarsest level: block, attention, block.
#[derive(Module, Debug)]
pub(super) struct MidBlock {
    resnets: [ResBlock; 2],
    attentions: Vec<Attention>, // one, or none by config
}

impl MidBlock {
    pub(super) fn new(c: usize, norm: NormShape, with_attention: bool, device: &Device) -> Self {
        let block = || ResBlock::new(c, c, norm, device);
        let attention = with_attention.then(|| Attention::new(c, norm, device));
        Self { resnets: [block(), block()], attentions: attention.into_iter().collect() }
    }

    /// # Shapes
    /// `x`: b h w c. Returns b h w c.
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [first, second] = &self.resnets;
        let x = first.forward(x);
        let x = self.attentions.iter().fold(x, |x, attention| attention.forward(x));
        second.forward(x)
    }
}

/// Halves a map: a strided convolution over a map with one row and one column of zeros added at the bottom
/// and the right only, as the original autoencoder pads.
#[derive(Module, Debug)]
struct Downsample {
    conv: Conv2d,
}

impl Downsample {
    /// # Shapes
    /// `x`: b h w c. Returns b h/2 w/2 c, rounded down.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let padded = x.pad([(0, 0), (0, 1), (0, 1), (0, 0)], 0.0);
        self.conv.forward(padded)
    }
}

/// One level of the encoder.
#[derive(Module, Debug)]
pub(super) struct DownBlock {
    resnets: Vec<ResBlock>,
    downsamplers: Option<[Downsample; 1]>,
}

/// Where a level stands: what comes in, what goes out, and whether the map changes size at its end.
pub(super) struct Level {
    pub(super) c_in: usize,
    pub(super) c_out: usize,
    pub(super) n_blocks: usize,
    pub(super) resizes: bool,
}

impl Level {
    fn resnets(&self, norm: NormShape, device: &Device) -> Vec<ResBlock> {
        let c_in = |index| if index == 0 { self.c_in } else { self.c_out };
        let block = |index| ResBlock::new(c_in(index), self.c_out, norm, device);
        (0..self.n_blocks).map(block).collect()
    }
}

impl DownBlock {
    pub(super) fn new(level: &Level, norm: NormShape, device: &Device) -> Self {
        let strided = ConvGeometry { stride: 2, padding: 0 };
        let downsample = || Downsample { conv: Conv2d::new(level.c_out, level.c_out, 3, strided, device) };
        Self { resnets: level.resnets(norm, device), downsamplers: level.resizes.then(|| [downsample()]) }
    }

    /// # Shapes
    /// `x`: b h w c_in. Returns b h/2 w/2 c_out, or b h w c_out at the last level.
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.resnets.iter().fold(x, |x, block| block.forward(x));
        match &self.downsamplers {
            Some([downsample]) => downsample.forward(x),
            None => x,
        }
    }
}

/// One level of the decoder.
#[derive(Module, Debug)]
pub(super) struct UpBlock {
    resnets: Vec<ResBlock>,
    upsamplers: Option<[Upsample; 1]>,
}

impl UpBlock {
    pub(super) fn new(level: &Level, norm: NormShape, device: &Device) -> Self {
        Self {
            resnets: level.resnets(norm, device),
            upsamplers: level.resizes.then(|| [Upsample::new(level.c_out, device)]),
        }
    }

    /// # Shapes
    /// `x`: b h w c_in. Returns b 2h 2w c_out, or b h w c_out at the last level.
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.resnets.iter().fold(x, |x, block| block.forward(x));
        match &self.upsamplers {
            Some([upsample]) => {
                let [_, h, w, _] = x.dims();
                upsample.forward(x, [2 * h, 2 * w])
            }
            None => x,
        }
    }
}
