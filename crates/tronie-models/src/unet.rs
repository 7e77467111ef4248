//! The denoising network of Stable Diffusion 1.x, 2.x and XL: latents, timestep and text in, a prediction out.
//!
//! Rombach et al. 2022 (arXiv:2112.10752), Podell et al. 2023 (arXiv:2307.01952). Reference: `UNet2DConditionModel`,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/unets/unet_2d_condition.py>.
//!
//! One network for all of them: [`UnetConfig`] says which. Latents enter and leave as `b c h w` and are
//! channels-last between [`Unet::forward`]'s first line and its last.

mod config;
mod error;
mod plan;
mod stages;
mod supported;

pub use config::{AdditionEmbedType, DownBlockType, MidBlockType, PerBlock, UnetConfig, UpBlockType};
pub use error::UnetConfigError;

use tronie_tensor::burn;
use tronie_tensor::ops::silu;
use tronie_tensor::{Device, Module, Tensor};

use crate::blocks::{Sinusoid, TimestepEmbedding};
use crate::{Conv2d, GroupNorm};
use plan::Plan;
use stages::{DownBlock, MidBlock, Surroundings, UpBlock};

/// Everything a UNet is told besides latents and timestep.
#[derive(Debug, Clone)]
pub struct Conditioning {
    /// b s d: the text encoder's tokens, d as wide as the configuration's `cross_attention_dim`.
    pub context: Tensor<3>,
    /// What SDXL adds to the timestep; other networks ignore it.
    pub added: Option<Added>,
    /// What a ControlNet adds on the way; `None` for none.
    pub control: Option<ControlResiduals>,
}

impl Conditioning {
    /// Text alone.
    ///
    /// # Shapes
    /// `context`: b s d.
    #[must_use]
    pub fn new(context: Tensor<3>) -> Self {
        Self { context, added: None, control: None }
    }
}

/// SDXL's second conditioning: the pooled text, and numbers about the image.
#[derive(Debug, Clone)]
pub struct Added {
    /// b d: the pooled output of the larger text encoder.
    pub pooled: Tensor<2>,
    /// b k: original height and width, top and left of the crop, target height and width (base, k = 6), or original
    /// height and width, top and left of the crop, aesthetic score (refiner, k = 5).
    pub time_ids: Tensor<2>,
}

/// Feature maps of a ControlNet, channels-last and already scaled, to be added to the UNet's own.
#[derive(Debug, Clone)]
pub struct ControlResiduals {
    /// b h w c each: one for every map the way down hands to the way up, in that order.
    pub down: Vec<Tensor<4>>,
    /// b h w c: for the map after the middle block.
    pub mid: Tensor<4>,
}

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

impl UnetConfig {
    /// A network of this architecture without values; [`crate::load()`] fills it.
    ///
    /// # Errors
    /// [`UnetConfigError`] when the configuration does not add up.
    pub fn init(&self, device: &Device) -> Result<Unet, UnetConfigError> {
        let plan = self.plan()?;
        let Plan { frame, c_first, .. } = plan;
        let mut c = c_first;
        let mut c_skips = vec![c_first];
        let mut down_blocks = Vec::with_capacity(plan.down.len());
        for (index, stage) in plan.down.iter().enumerate() {
            let is_last = index + 1 == plan.down.len();
            down_blocks.push(DownBlock::new(c, stage, &frame, is_last, device));
            c_skips.extend(vec![stage.c; stage.n_layers + usize::from(!is_last)]);
            c = stage.c;
        }
        let mut up_blocks = Vec::with_capacity(plan.up.len());
        for stage in &plan.up {
            up_blocks.push(UpBlock::new(c, stage, &frame, &mut c_skips, device));
            c = stage.c;
        }
        let added = plan.added;
        Ok(Unet {
            conv_in: Conv2d::same_3x3(self.in_channels, c_first, device),
            time_embedding: TimestepEmbedding::new(c_first, frame.d_time, device),
            add_embedding: added.map(|added| TimestepEmbedding::new(added.d_in, frame.d_time, device)),
            down_blocks,
            mid_block: plan.mid.map(|stage| MidBlock::new(&stage, &frame, device)),
            up_blocks,
            conv_norm_out: GroupNorm::new(frame.norm.n_groups, c_first, frame.norm.epsilon, device),
            conv_out: Conv2d::same_3x3(c_first, self.out_channels, device),
            time_proj: plan.time_proj,
            add_time_proj: added.map(|added| added.time_proj),
        })
    }
}

impl Unet {
    /// Predicts what the checkpoint was trained to predict: the noise, or the velocity.
    ///
    /// The latents' dtype is the dtype everything is computed in; sinusoids, norms and softmax are in f32.
    ///
    /// # Shapes
    /// `x`: b c_in h w, `timestep`: b, within 0..1000 and not necessarily whole. Returns b c_out h w. Height and
    /// width need not be multiples of anything.
    ///
    /// # Panics
    /// When tensors do not fit each other or the configuration, or an SDXL network gets no
    /// [`Conditioning::added`]. No file or request leads there: a [`ModelSpec`](crate::catalog::ModelSpec) has a pooled
    /// vector and numbers to add exactly where its network takes them.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>, timestep: Tensor<1>, conditioning: &Conditioning) -> Tensor<4> {
        let dtype = x.dtype();
        let around = Surroundings {
            time: silu(self.embed(timestep, conditioning, &x)),
            context: conditioning.context.clone().cast(dtype),
        };
        let mut x = self.conv_in.forward(x.permute([0, 2, 3, 1])); // b h w c
        let mut skips = vec![x.clone()];
        for block in &self.down_blocks {
            x = block.forward(x, &around, &mut skips);
        }
        if let Some(mid_block) = &self.mid_block {
            x = mid_block.forward(x, &around);
        }
        if let Some(control) = &conditioning.control {
            (x, skips) = control.add(x, skips);
        }
        for block in &self.up_blocks {
            x = block.forward(x, &around, &mut skips);
        }
        let x = self.conv_out.forward(self.conv_norm_out.forward_silu(x));
        x.permute([0, 3, 1, 2]) // b c h w
    }

    /// The timestep, and what SDXL adds to it, as a vector of `like`'s dtype.
    ///
    /// # Shapes
    /// `timestep`: b. Returns b d_time.
    fn embed(&self, timestep: Tensor<1>, conditioning: &Conditioning, like: &Tensor<4>) -> Tensor<2> {
        let dtype = like.dtype();
        let embedding = self.time_embedding.forward(self.time_proj.forward(timestep).cast(dtype));
        let (Some(add_embedding), Some(add_time_proj)) = (&self.add_embedding, &self.add_time_proj) else {
            return embedding;
        };
        #[expect(clippy::expect_used, reason = "documented under Panics: a caller's mistake")]
        let added =
            conditioning.added.as_ref().expect("an SDXL network needs the pooled text and the image's sizes");
        let [b, n_ids] = added.time_ids.dims();
        let ids = add_time_proj.forward(added.time_ids.clone().reshape([b * n_ids])); // b*n_ids d
        let ids = ids.reshape([b, n_ids * add_time_proj.d]).cast(dtype); // b n_ids*d
        let both = Tensor::cat(vec![added.pooled.clone().cast(dtype), ids], 1); // b d_in
        embedding + add_embedding.forward(both)
    }
}

impl ControlResiduals {
    /// # Shapes
    /// `mid`: b h w c, `skips`: b h w c each. Returns both with the residuals added, in the same shapes.
    fn add(&self, mid: Tensor<4>, skips: Vec<Tensor<4>>) -> (Tensor<4>, Vec<Tensor<4>>) {
        assert_eq!(self.down.len(), skips.len(), "residuals of the way down, one per skip");
        let dtype = mid.dtype();
        let residuals = self.down.iter().map(|residual| residual.clone().cast(dtype));
        let skips = skips.into_iter().zip(residuals).map(|(skip, residual)| skip + residual);
        (mid + self.mid.clone().cast(dtype), skips.collect())
    }
}

#[cfg(test)]
mod tests;
