//! What makes one ControlNet out of several: it is told which kind of picture it gets.
//!
//! xinsir's ControlNet++ (<https://github.com/xinsir6/ControlNetPlus>, `models/controlnet_union.py`); reference:
//! `ControlNetUnionModel`, <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/controlnets/controlnet_union.py>.
//!
//! The kind is told twice: as numbers added to the timestep's vector, and as a vector for each kind, which with the mean of the
//! picture's map makes what is added to all of that map. The reference's attention between the two runs along the batch, whose
//! rows are the same picture, so that it gives each row its own value; a network here is asked about one picture at a time.

use tronie_tensor::burn;
use tronie_tensor::burn::module::Param;
use tronie_tensor::ops::quick_gelu;
use tronie_tensor::{DType, Device, Module, Tensor, TensorData};

use super::{ControlNetConfig, Hint};
use crate::blocks::{Sinusoid, TimestepEmbedding};
use crate::layers::lazy;
use crate::{LayerNorm, Linear, UnetConfigError};

/// PyTorch's default.
const EPSILON: f64 = 1e-5;

/// What a union has besides its ControlNet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnionConfig {
    /// Kinds of pictures it knows: 6, in `ProMax` 8.
    pub n_kinds: usize,
    /// Layers between a kind and what is added to the map.
    pub n_layers: usize,
}

/// The part of a union that is told the kind. Fields are the keys of the diffusers checkpoint, with its misspelling.
#[derive(Module, Debug)]
pub struct ControlUnion {
    task_embedding: Param<Tensor<2>>, // n_kinds c
    transformer_layes: Vec<UnionLayer>,
    spatial_ch_projs: Linear,
    control_add_embedding: TimestepEmbedding,
    #[module(skip)]
    time_proj: Sinusoid,
}

impl ControlNetConfig {
    /// The other part of a union, without values; `None` for networks of one kind.
    ///
    /// # Errors
    /// [`UnetConfigError`] when the configuration does not add up.
    pub fn init_union(&self, device: &Device) -> Result<Option<ControlUnion>, UnetConfigError> {
        let plan = self.trunk.plan()?;
        let Some((UnionConfig { n_kinds, n_layers }, added)) = self.union.zip(plan.added) else {
            return Ok(None);
        };
        let c = plan.c_first;
        Ok(Some(ControlUnion {
            task_embedding: lazy([n_kinds, c], device),
            transformer_layes: (0..n_layers).map(|_| UnionLayer::new(c, device)).collect(),
            spatial_ch_projs: Linear::new(c, c, device),
            control_add_embedding: TimestepEmbedding::new(
                n_kinds * added.time_proj.d,
                plan.frame.d_time,
                device,
            ),
            time_proj: added.time_proj,
        }))
    }
}

impl ControlUnion {
    /// A picture's map as that of a kind, by its number (below [`UnionConfig::n_kinds`]).
    #[must_use]
    pub fn told(&self, hint: Hint, kind: usize) -> Hint {
        let Hint { map, .. } = hint;
        let (dtype, device) = (map.dtype(), map.device());
        let map = map.cast(DType::F32);
        let [b, _, _, c] = map.dims();
        let [n_kinds, _] = self.task_embedding.dims();
        let task = self.task_embedding.val().cast(DType::F32).narrow(0, kind, 1); // 1 c
        let seen = map.clone().mean_dims(&[1, 2]).reshape([b, c]) + task;
        let seen = self.transformer_layes.iter().fold(seen, |x, layer| layer.forward(x));
        let map = map + self.spatial_ch_projs.forward(seen).reshape([b, 1, 1, c]);
        let which: Vec<f32> = (0..n_kinds).map(|n| if n == kind { 1.0 } else { 0.0 }).collect();
        let which = Tensor::<1>::from_data(TensorData::new(which, [n_kinds]), &device);
        let numbers = self.time_proj.forward(which).reshape([1, n_kinds * self.time_proj.d]);
        Hint { map: map.cast(dtype), time: Some(self.control_add_embedding.forward(numbers).cast(dtype)) }
    }
}

/// A block of OpenAI's CLIP, in its names.
#[derive(Module, Debug)]
struct UnionLayer {
    attn: UnionAttention,
    ln_1: LayerNorm,
    mlp: UnionMlp,
    ln_2: LayerNorm,
}

#[derive(Module, Debug)]
struct UnionMlp {
    c_fc: Linear,
    c_proj: Linear,
}

/// Queries, keys and values in one matrix; only the values count.
#[derive(Module, Debug)]
struct UnionAttention {
    in_proj_weight: Param<Tensor<2>>, // 3c c
    in_proj_bias: Param<Tensor<1>>,
    out_proj: Linear,
}

impl UnionLayer {
    fn new(c: usize, device: &Device) -> Self {
        Self {
            attn: UnionAttention {
                in_proj_weight: lazy([3 * c, c], device),
                in_proj_bias: lazy([3 * c], device),
                out_proj: Linear::new(c, c, device),
            },
            ln_1: LayerNorm::new(c, EPSILON, device),
            mlp: UnionMlp { c_fc: Linear::new(c, 4 * c, device), c_proj: Linear::new(4 * c, c, device) },
            ln_2: LayerNorm::new(c, EPSILON, device),
        }
    }

    /// # Shapes
    /// `x`: b c. Returns b c.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = x.clone() + self.attn.forward(normed(&self.ln_1, x));
        let hidden = self.mlp.c_fc.forward(normed(&self.ln_2, x.clone()));
        let [b, d] = hidden.dims();
        let hidden = quick_gelu(hidden.reshape([b, 1, d])).reshape([b, d]);
        x + self.mlp.c_proj.forward(hidden)
    }
}

impl UnionAttention {
    /// # Shapes
    /// `x`: b c. Returns b c: the values, for every row sees itself alone.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [_, c] = x.dims();
        let weight = self.in_proj_weight.val().cast(DType::F32).narrow(0, 2 * c, c);
        let bias = self.in_proj_bias.val().cast(DType::F32).narrow(0, 2 * c, c);
        self.out_proj.forward(x.matmul(weight.transpose()) + bias.unsqueeze())
    }
}

/// # Shapes
/// `x`: b c. Returns b c.
fn normed(norm: &LayerNorm, x: Tensor<2>) -> Tensor<2> {
    let [b, c] = x.dims();
    norm.forward(x.reshape([b, 1, c])).reshape([b, c])
}
