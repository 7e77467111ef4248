//! A network that steers a UNet by a picture: the UNet's way down once more, with the picture added at its start.
//!
//! Zhang et al. 2023 (arXiv:2302.05543). Reference: `ControlNetModel`,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/controlnets/controlnet.py>.
//!
//! [`ControlNetConfig`] says what it is like, [`ControlNet::look`] turns the picture into a map once, and
//! [`ControlNet::forward`] makes of it, at every step, what the UNet adds to its own maps. A [`ControlUnion`] beside it is told
//! what kind of picture it is.

mod changes;
mod config;
mod union;

pub(crate) use config::same;
pub use config::{ControlFitError, ControlNetConfig};
pub use union::{ControlUnion, UnionConfig};

use tronie_tensor::burn;
use tronie_tensor::ops::{ConvGeometry, silu};
use tronie_tensor::{Device, Module, Tensor};

use crate::blocks::{Sinusoid, TimestepEmbedding};
use crate::unet::{Clock, DownBlock, MidBlock, Plan, Start, Trunk};
use crate::{Conditioning, ControlResiduals, Conv2d, UnetConfigError};

/// The network. Fields are the keys of the diffusers checkpoint.
#[derive(Module, Debug)]
pub struct ControlNet {
    conv_in: Conv2d,
    time_embedding: TimestepEmbedding,
    add_embedding: Option<TimestepEmbedding>,
    controlnet_cond_embedding: HintEmbedding,
    down_blocks: Vec<DownBlock>,
    mid_block: Option<MidBlock>,
    controlnet_down_blocks: Vec<Conv2d>,
    controlnet_mid_block: Conv2d,
    #[module(skip)]
    time_proj: Sinusoid,
    #[module(skip)]
    add_time_proj: Option<Sinusoid>,
    #[module(skip)]
    pools: bool,
    #[module(skip)]
    is_bgr: bool,
}

/// A picture that a network has looked at.
#[derive(Debug, Clone)]
pub struct Hint {
    /// b h w c: h and w those of the latents.
    pub map: Tensor<4>,
    /// 1 d_time: what a union adds to the timestep's vector.
    pub time: Option<Tensor<2>>,
}

/// The picture as a map of the latents' height and width. Every second convolution halves the size.
#[derive(Module, Debug)]
struct HintEmbedding {
    conv_in: Conv2d,
    blocks: Vec<Conv2d>,
    conv_out: Conv2d,
}

impl HintEmbedding {
    fn new(config: &ControlNetConfig, c_out: usize, device: &Device) -> Self {
        let mut blocks = Vec::new();
        let mut c = config.hint_first();
        for &wider in config.hint_widths.iter().skip(1) {
            blocks.push(Conv2d::same_3x3(c, c, device));
            blocks.push(Conv2d::new(c, wider, 3, ConvGeometry { stride: 2, padding: 1 }, device));
            c = wider;
        }
        Self {
            conv_in: Conv2d::same_3x3(config.hint_channels, config.hint_first(), device),
            blocks,
            conv_out: Conv2d::same_3x3(c, c_out, device),
        }
    }

    /// # Shapes
    /// `x`: b h w c. Returns b h' w' c_out.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let first = silu(self.conv_in.forward(x));
        self.conv_out.forward(self.blocks.iter().fold(first, |x, block| silu(block.forward(x))))
    }
}

impl ControlNetConfig {
    /// A network of this architecture without values; [`crate::load()`] fills it.
    ///
    /// # Errors
    /// [`UnetConfigError`] when the configuration does not add up.
    pub fn init(&self, device: &Device) -> Result<ControlNet, UnetConfigError> {
        let plan: Plan = self.trunk.plan()?;
        let (c, c_skips, down_blocks) = plan.down_blocks(device);
        let (time_embedding, add_embedding) = plan.embeddings(device);
        Ok(ControlNet {
            conv_in: Conv2d::same_3x3(self.trunk.in_channels, plan.c_first, device),
            time_embedding,
            add_embedding,
            controlnet_cond_embedding: HintEmbedding::new(self, plan.c_first, device),
            down_blocks,
            mid_block: plan.mid.map(|stage| MidBlock::new(&stage, &plan.frame, device)),
            controlnet_down_blocks: c_skips.into_iter().map(|c| Conv2d::pointwise(c, c, device)).collect(),
            controlnet_mid_block: Conv2d::pointwise(c, c, device),
            time_proj: plan.time_proj,
            add_time_proj: plan.added.map(|added| added.time_proj),
            pools: self.pools,
            is_bgr: self.is_bgr,
        })
    }
}

impl ControlNet {
    /// Turns the picture into what [`ControlNet::forward`] takes; it is the same at every step.
    ///
    /// # Shapes
    /// `picture`: b c H W, values in 0..=1.
    #[must_use]
    pub fn look(&self, picture: Tensor<4>) -> Hint {
        let picture = if self.is_bgr { picture.flip([1]) } else { picture };
        let map = self.controlnet_cond_embedding.forward(picture.permute([0, 2, 3, 1])); // b h w c
        Hint { map, time: None }
    }

    /// What the UNet is to add to its maps, unscaled.
    ///
    /// Of the conditioning the texts and the added numbers count.
    ///
    /// # Shapes
    /// `x`: b c h w and `timestep`: b, as the UNet gets them; the map of `hint`: one row for all or one for each.
    ///
    /// # Panics
    /// As [`Unet::forward`](crate::Unet::forward).
    #[must_use]
    pub fn forward(
        &self,
        x: Tensor<4>,
        timestep: Tensor<1>,
        conditioning: &Conditioning,
        hint: &Hint,
    ) -> ControlResiduals {
        let Self { time_embedding, add_embedding, time_proj, add_time_proj, .. } = self;
        let added = add_time_proj.as_ref().zip(add_embedding.as_ref());
        let clock = Clock { time_proj, time_embedding, added, more: hint.time.as_ref() };
        let text = Conditioning { images: Vec::new(), editor: None, ..conditioning.clone() };
        let Start { x, around } = clock.start(&self.conv_in, (x, timestep), &text);
        let trunk = Trunk { down_blocks: &self.down_blocks, mid_block: self.mid_block.as_ref() };
        let hint = hint.map.clone().cast(x.dtype());
        let (mid, skips) = trunk.forward(x + hint, &around, None);
        let down = skips.into_iter().zip(&self.controlnet_down_blocks);
        ControlResiduals {
            down: down.map(|(map, conv)| self.pooled(conv.forward(map))).collect(),
            mid: self.pooled(self.controlnet_mid_block.forward(mid)),
        }
    }

    /// The mean over all pixels, in networks that say what is in a picture and not where.
    ///
    /// # Shapes
    /// `map`: b h w c. Returns b 1 1 c, or `map`.
    fn pooled(&self, map: Tensor<4>) -> Tensor<4> {
        if self.pools { map.mean_dims(&[1, 2]) } else { map }
    }
}

#[cfg(test)]
mod tests;
