//! Multi-head attention with learned projections: b s d -> b s d.
//!
//! Reference: `Attention` with `AttnProcessor2_0`,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/attention_processor.py>.

use tronie_tensor::burn;
use tronie_tensor::ops::{self, Mask};
use tronie_tensor::{Device, Module, Tensor};

use crate::Linear;

/// Widths of an attention layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttentionShape {
    /// Width of the tokens that ask, and of the answer.
    pub(crate) d: usize,
    /// Width of the tokens that are asked.
    pub(crate) d_context: usize,
    /// Heads `d` is split into.
    pub(crate) n_heads: usize,
}

/// Tokens look at themselves or at a context.
#[derive(Module, Debug)]
pub(crate) struct Attention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: [Linear; 1], // the checkpoint's list has a dropout at 1
    #[module(skip)]
    n_heads: usize,
}

impl Attention {
    pub(crate) fn new(shape: AttentionShape, device: &Device) -> Self {
        let AttentionShape { d, d_context, n_heads } = shape;
        Self {
            to_q: Linear::without_bias(d, d, device),
            to_k: Linear::without_bias(d_context, d, device),
            to_v: Linear::without_bias(d_context, d, device),
            to_out: [Linear::new(d, d, device)],
            n_heads,
        }
    }

    /// # Shapes
    /// `x`: b s d, `context`: b s' d_context, or `None` to look at `x` itself. Returns b s d.
    pub(crate) fn forward(&self, x: Tensor<3>, context: Option<&Tensor<3>>) -> Tensor<3> {
        let context = context.cloned().unwrap_or_else(|| x.clone());
        let q = self.to_q.forward(x);
        let k = self.to_k.forward(context.clone());
        let v = self.to_v.forward(context);
        let [to_out] = &self.to_out;
        to_out.forward(ops::attention(q, k, v, self.n_heads, Mask::None))
    }
}
