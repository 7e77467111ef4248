//! The denoising network of Stable Diffusion 1.x, 2.x and XL: latents, timestep and text in, a prediction out.
//!
//! Rombach et al. 2022 (arXiv:2112.10752), Podell et al. 2023 (arXiv:2307.01952). Reference: `UNet2DConditionModel`,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/unets/unet_2d_condition.py>.
//!
//! One network for all of them: [`UnetConfig`] says which. Latents enter and leave as `b c h w` and are
//! channels-last between [`Unet::forward`]'s first line and its last.

mod conditioning;
mod config;
mod error;
mod plan;
mod stages;
mod supported;
mod trunk;

pub use conditioning::{AdapterFeatures, Added, Conditioning, ControlResiduals, ImageTokens};
pub use config::{AdditionEmbedType, DownBlockType, MidBlockType, PerBlock, UnetConfig, UpBlockType};
pub use error::UnetConfigError;
pub(crate) use plan::Plan;
pub(crate) use stages::{DownBlock, MidBlock};
pub(crate) use trunk::{Clock, Start, Trunk};

use tronie_tensor::burn;
use tronie_tensor::{Device, Module, Tensor};

use crate::blocks::{Sinusoid, TimestepEmbedding};
use crate::{Conv2d, GroupNorm, Place};
use stages::UpBlock;

/// The network. Fields are the keys of the diffusers checkpoint.
#[derive(Module, Debug)]
pub struct Unet {
    conv_in: Conv2d,
    time_embedding: TimestepEmbedding,
    add_embedding: Option<TimestepEmbedding>,
    down_blocks: Vec<DownBlock>,
    mid_block: Option<MidBlock>,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    #[module(skip)]
    time_proj: Sinusoid,
    #[module(skip)]
    add_time_proj: Option<Sinusoid>,
}

/// First convolution, the layers behind the sinusoids, and the blocks of the way down and the middle.
type WayDown = (Conv2d, TimestepEmbedding, Option<TimestepEmbedding>, Vec<DownBlock>, Option<MidBlock>);

impl UnetConfig {
    /// A network of this architecture without values; [`crate::load()`] fills it.
    ///
    /// # Errors
    /// [`UnetConfigError`] when the configuration does not add up.
    pub fn init(&self, device: &Device) -> Result<Unet, UnetConfigError> {
        let plan = self.plan()?;
        let (mut c, mut c_skips, down_blocks) = plan.down_blocks(device);
        let mut up_blocks = Vec::with_capacity(plan.up.len());
        for stage in &plan.up {
            up_blocks.push(UpBlock::new(c, stage, &plan.frame, &mut c_skips, device));
            c = stage.c;
        }
        let (frame, c_first) = (plan.frame, plan.c_first);
        let (time_embedding, add_embedding) = plan.embeddings(device);
        Ok(Unet {
            conv_in: Conv2d::same_3x3(self.in_channels, c_first, device),
            time_embedding,
            add_embedding,
            down_blocks,
            mid_block: plan.mid.map(|stage| MidBlock::new(&stage, &frame, device)),
            up_blocks,
            conv_norm_out: GroupNorm::new(frame.norm.n_groups, c_first, frame.norm.epsilon, device),
            conv_out: Conv2d::same_3x3(c_first, self.out_channels, device),
            time_proj: plan.time_proj,
            add_time_proj: plan.added.map(|added| added.time_proj),
        })
    }
}

impl Unet {
    /// Predicts what the checkpoint was trained to predict: the noise, or the velocity.
    ///
    /// The latents' dtype is the dtype everything is computed in; sinusoids, norms and softmax are in f32.
    ///
    /// # Shapes
    /// `x`: b c_in h w, `timestep`: b, within 0..1000 and not necessarily whole. The context has b rows, or a multiple n of
    /// b: then `x` is asked with every text, as if all its rows stood there once more for each, and what comes before the first
    /// look at the text is computed once. Returns n c_out h w. Height and width need not be multiples of anything.
    ///
    /// # Panics
    /// When tensors do not fit each other or the configuration, or an SDXL network gets no
    /// [`Conditioning::added`]. No file or request leads there: a [`ModelSpec`](crate::catalog::ModelSpec) has a pooled
    /// vector and numbers to add exactly where its network takes them.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>, timestep: Tensor<1>, conditioning: &Conditioning) -> Tensor<4> {
        let Start { x, around } = self.clock().start(&self.conv_in, (x, timestep), conditioning);
        let trunk = Trunk { down_blocks: &self.down_blocks, mid_block: self.mid_block.as_ref() };
        let (mut x, mut skips) = trunk.forward(x, &around, conditioning.adapter.as_ref());
        if let Some(control) = &conditioning.control {
            (x, skips) = control.add(x, skips);
        }
        for (index, block) in self.up_blocks.iter().enumerate() {
            x = block.forward(x, &around.within(Place::Up, index), &mut skips);
        }
        let x = self.conv_out.forward(self.conv_norm_out.forward_silu(x));
        x.permute([0, 3, 1, 2]) // b c h w
    }

    /// What a ControlNet made of this network has in common with it.
    pub(crate) fn way_down(&self) -> WayDown {
        let Self { conv_in, time_embedding, add_embedding, down_blocks, mid_block, .. } = self.clone();
        (conv_in, time_embedding, add_embedding, down_blocks, mid_block)
    }

    fn clock(&self) -> Clock<'_> {
        let Self { time_embedding, add_embedding, time_proj, add_time_proj, .. } = self;
        Clock {
            time_proj,
            time_embedding,
            added: add_time_proj.as_ref().zip(add_embedding.as_ref()),
            more: None,
        }
    }
}

#[cfg(test)]
mod tests;
