//! CLIP image towers: a picture to a vector beside the texts' vectors, or to what the tower thinks of each of its patches.
//!
//! A vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929) trained against a text tower (Radford et al. 2021,
//! arXiv:2103.00020). Reference: `CLIPVisionModelWithProjection` in transformers,
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/clip/modeling_clip.py>.
//!
//! [`ClipVisionConfig`] says which tower, [`ClipVisionConfig::pixel_values`] brings a picture to what it was trained on,
//! [`ClipVision::embedding`] and [`ClipVision::hidden`] look at it.
//!
//! Shapes: b batch, s patches and the class token before them, d width.

mod config;
mod pixels;

pub use config::ClipVisionConfig;

use tronie_tensor::burn;
use tronie_tensor::burn::module::Param;
use tronie_tensor::ops::{ConvGeometry, Mask};
use tronie_tensor::{DType, Device, Module, Tensor};

use super::block::{BlockShape, Encoder};
use crate::layers::lazy;
use crate::{Conv2d, LayerNorm, Linear};

/// An image tower. Fields are the keys of the checkpoint.
#[derive(Module, Debug)]
pub struct ClipVision {
    vision_model: VisionModel,
    visual_projection: Linear,
}

impl ClipVisionConfig {
    /// The network, its weights still to be loaded.
    #[must_use]
    pub fn init(&self, device: &Device) -> ClipVision {
        let &Self { d, d_mlp, n_heads, activation, layer_norm_epsilon: epsilon, .. } = self;
        let shape = BlockShape { d, d_mlp, n_heads, activation, epsilon, mask: Mask::None };
        let norm = || LayerNorm::new(d, epsilon, device);
        let geometry = ConvGeometry { stride: self.patch_px, padding: 0 };
        ClipVision {
            vision_model: VisionModel {
                embeddings: Embeddings {
                    class_embedding: lazy([d], device),
                    patch_embedding: Conv2d::new(3, d, self.patch_px, geometry, device).no_bias(),
                    position_embedding: crate::Embedding::new(self.n_positions(), d, device),
                },
                pre_layrnorm: norm(),
                encoder: Encoder::new(self.n_layers, shape, device),
                post_layernorm: norm(),
            },
            visual_projection: Linear::without_bias(d, self.d_projection, device),
        }
    }
}

impl ClipVision {
    /// The vector of a picture in the space it shares with texts; not brought to length 1.
    ///
    /// # Shapes
    /// `pixel_values`: b 3 h w, as [`ClipVisionConfig::pixel_values`] makes them. Returns b `d_projection`, in f32.
    #[must_use]
    pub fn embedding(&self, pixel_values: Tensor<4>) -> Tensor<2> {
        let hidden = self.hidden(pixel_values, 1);
        let [b, _, d] = hidden.dims();
        let class = hidden.narrow(1, 0, 1).reshape([b, 1, d]);
        let class = self.vision_model.post_layernorm.forward(class);
        self.visual_projection.forward(class.reshape([b, d]))
    }

    /// A hidden state, counted from the end: 1 is what the last block gives, 2 what the one before it gives; one more than
    /// there are blocks is the embeddings. Computes in f32 whatever the weights are stored in.
    ///
    /// # Shapes
    /// `pixel_values`: b 3 h w. Returns b s d, the class token first.
    #[must_use]
    pub fn hidden(&self, pixel_values: Tensor<4>, from_end: usize) -> Tensor<3> {
        let model = &self.vision_model;
        let layers = &model.encoder.layers;
        let n = (layers.len() + 1).saturating_sub(from_end);
        let embedded = model.pre_layrnorm.forward(model.embeddings.forward(pixel_values));
        layers.iter().take(n).fold(embedded, |x, layer| layer.forward(x))
    }
}

#[derive(Module, Debug)]
struct VisionModel {
    embeddings: Embeddings,
    pre_layrnorm: LayerNorm, // the checkpoints' spelling
    encoder: Encoder,
    post_layernorm: LayerNorm,
}

#[derive(Module, Debug)]
struct Embeddings {
    class_embedding: Param<Tensor<1>>,
    patch_embedding: Conv2d,
    position_embedding: crate::Embedding,
}

impl Embeddings {
    /// # Shapes
    /// `pixel_values`: b 3 h w. Returns b s d, in f32.
    fn forward(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        let patches = pixel_values.cast(DType::F32).permute([0, 2, 3, 1]); // b h w 3
        let patches = self.patch_embedding.forward(patches);
        let [b, h, w, d] = patches.dims();
        let patches = patches.reshape([b, h * w, d]); // b s-1 d
        let class = self.class_embedding.val().cast(DType::F32).reshape([1, 1, d]).expand([b, 1, d]);
        let positions = self.position_embedding.table().cast(DType::F32).unsqueeze::<3>(); // 1 s d
        Tensor::cat(vec![class, patches], 1) + positions
    }
}

#[cfg(test)]
mod tests;
