//! From what an image encoder gives to tokens beside the text's. Fields are the keys of the published files.
//!
//! Reference: `ImageProjModel` and `MLPProjModel` in `ip_adapter/ip_adapter.py`, and `Resampler` in `ip_adapter/resampler.py` of
//! tencent-ailab/IP-Adapter; the last is the Perceiver of Alayrac et al. 2022 (arXiv:2204.14198), section 3.1.1.

use tronie_tensor::burn;
use tronie_tensor::burn::module::Param;
use tronie_tensor::ops::{self, Mask};
use tronie_tensor::{DType, Device, Module, Tensor};

use super::config::{D_HEAD, IpAdapterConfig, ProjectionConfig};
use crate::blocks::Either;
use crate::layers::lazy;
use crate::{LayerNorm, Linear};

/// PyTorch's default, which all published adapters have.
const EPSILON: f64 = 1e-5;

/// One of the three kinds.
pub(super) type Projection = Either<Plain, Either<Full, Resampler>>;

impl Projection {
    pub(super) fn new(config: &IpAdapterConfig, device: &Device) -> Self {
        let (d_image, d_context) = (config.d_image, config.d_context);
        match config.projection {
            ProjectionConfig::Plain => Self::First(Plain {
                proj: Linear::new(d_image, IpAdapterConfig::n_plain_tokens() * d_context, device),
                norm: LayerNorm::new(d_context, EPSILON, device),
            }),
            ProjectionConfig::Full => Self::Second(Either::First(Full {
                proj: (
                    Linear::new(d_image, d_image, device),
                    Gelu {},
                    Linear::new(d_image, d_context, device),
                    LayerNorm::new(d_context, EPSILON, device),
                ),
            })),
            ProjectionConfig::Resampler { n_queries, d, d_heads, d_mlp, n_layers } => {
                let layer = |_| (Perceiver::new(d, d_heads, device), feed_forward(d, d_mlp, device));
                Self::Second(Either::Second(Resampler {
                    latents: lazy([1, n_queries, d], device),
                    proj_in: Linear::new(d_image, d, device),
                    layers: (0..n_layers).map(layer).collect(),
                    proj_out: Linear::new(d, d_context, device),
                    norm_out: LayerNorm::new(d_context, EPSILON, device),
                }))
            }
        }
    }

    /// # Shapes
    /// `seen`: b s d_image. Returns b s' d_context.
    pub(super) fn forward(&self, seen: Tensor<3>) -> Tensor<3> {
        match self {
            Self::First(plain) => plain.forward(seen),
            Self::Second(Either::First(full)) => full.forward(seen),
            Self::Second(Either::Second(resampler)) => resampler.forward(seen),
        }
    }
}

/// All tokens at once.
#[derive(Module, Debug)]
pub(super) struct Plain {
    proj: Linear,
    norm: LayerNorm,
}

impl Plain {
    /// # Shapes
    /// `seen`: b 1 d_image. Returns b s d_context.
    fn forward(&self, seen: Tensor<3>) -> Tensor<3> {
        let tokens = self.proj.forward(seen); // b 1 s*d_context
        let [b, _, all] = tokens.dims();
        let n = IpAdapterConfig::n_plain_tokens();
        self.norm.forward(tokens.reshape([b, n, all / n]))
    }
}

/// Every patch by itself.
#[derive(Module, Debug)]
pub(super) struct Full {
    proj: (Linear, Gelu, Linear, LayerNorm),
}

impl Full {
    /// # Shapes
    /// `seen`: b s d_image. Returns b s d_context.
    fn forward(&self, seen: Tensor<3>) -> Tensor<3> {
        let (first, _, second, norm) = &self.proj;
        norm.forward(second.forward(ops::gelu(first.forward(seen))))
    }
}

/// The files' lists have an activation here, which holds no tensor.
#[derive(Module, Debug)]
pub(super) struct Gelu {}

/// Learnt questions that are put to the patches, layer after layer.
#[derive(Module, Debug)]
pub(super) struct Resampler {
    latents: Param<Tensor<3>>, // 1 s d
    proj_in: Linear,
    layers: Vec<(Perceiver, FeedForward)>,
    proj_out: Linear,
    norm_out: LayerNorm,
}

impl Resampler {
    /// # Shapes
    /// `seen`: b s d_image. Returns b s' d_context.
    fn forward(&self, seen: Tensor<3>) -> Tensor<3> {
        let [b, _, _] = seen.dims();
        let [_, s, d] = self.latents.dims();
        let patches = self.proj_in.forward(seen);
        let latents = self.latents.val().cast(DType::F32).expand([b, s, d]);
        let latents = self.layers.iter().fold(latents, |x, (attention, feed_forward)| {
            let x = x.clone() + attention.forward(patches.clone(), x);
            let (norm, first, _, second) = feed_forward;
            x.clone() + second.forward(ops::gelu(first.forward(norm.forward(x))))
        });
        self.norm_out.forward(self.proj_out.forward(latents))
    }
}

type FeedForward = (LayerNorm, Linear, Gelu, Linear);

fn feed_forward(d: usize, d_mlp: usize, device: &Device) -> FeedForward {
    (
        LayerNorm::new(d, EPSILON, device),
        Linear::without_bias(d, d_mlp, device),
        Gelu {},
        Linear::without_bias(d_mlp, d, device),
    )
}

/// Questions look at the patches and at themselves.
#[derive(Module, Debug)]
pub(super) struct Perceiver {
    norm1: LayerNorm,
    norm2: LayerNorm,
    to_q: Linear,
    to_kv: Linear,
    to_out: Linear,
    #[module(skip)]
    d_heads: usize,
}

impl Perceiver {
    fn new(d: usize, d_heads: usize, device: &Device) -> Self {
        Self {
            norm1: LayerNorm::new(d, EPSILON, device),
            norm2: LayerNorm::new(d, EPSILON, device),
            to_q: Linear::without_bias(d, d_heads, device),
            to_kv: Linear::without_bias(d, 2 * d_heads, device),
            to_out: Linear::without_bias(d_heads, d, device),
            d_heads,
        }
    }

    /// # Shapes
    /// `patches`: b s d, `latents`: b s' d. Returns b s' d.
    fn forward(&self, patches: Tensor<3>, latents: Tensor<3>) -> Tensor<3> {
        let latents = self.norm2.forward(latents);
        let q = self.to_q.forward(latents.clone());
        let seen = Tensor::cat(vec![self.norm1.forward(patches), latents], 1); // b s+s' d
        let kv = self.to_kv.forward(seen); // keys, then values
        let k = kv.clone().narrow(2, 0, self.d_heads);
        let v = kv.narrow(2, self.d_heads, self.d_heads);
        self.to_out.forward(ops::attention(q, k, v, self.d_heads / D_HEAD, Mask::None))
    }
}
