//! Residual block that sees the time: b h w c_in -> b h w c_out.
//!
//! Reference: `ResnetBlock2D`,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/resnet.py>.

use tronie_tensor::burn;
use tronie_tensor::{Device, Module, Tensor};

use super::NormShape;
use crate::{Conv2d, GroupNorm, Linear};

/// Two convolutions, each after a norm, added to what came in.
#[derive(Module, Debug)]
pub(crate) struct ResBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>, // only where c_in != c_out
}

impl ResBlock {
    /// `d_time` is the width of the timestep embedding.
    pub(crate) fn new(c_in: usize, c_out: usize, d_time: usize, norm: NormShape, device: &Device) -> Self {
        Self {
            norm1: GroupNorm::new(norm.n_groups, c_in, norm.epsilon, device),
            conv1: Conv2d::same_3x3(c_in, c_out, device),
            time_emb_proj: Linear::new(d_time, c_out, device),
            norm2: GroupNorm::new(norm.n_groups, c_out, norm.epsilon, device),
            conv2: Conv2d::same_3x3(c_out, c_out, device),
            conv_shortcut: (c_in != c_out).then(|| Conv2d::pointwise(c_in, c_out, device)),
        }
    }

    /// # Shapes
    /// `x`: b h w c_in, `time`: b d_time, or more rows, of which the first b are these. SiLU has been applied to it, as it is
    /// the same in every block. Returns b h w c_out.
    pub(crate) fn forward(&self, x: Tensor<4>, time: &Tensor<2>) -> Tensor<4> {
        let [b, ..] = x.dims();
        let shift = self.time_emb_proj.forward(time.clone()).narrow(0, 0, b); // b c_out
        let [_, c] = shift.dims();
        let y = self.conv1.forward(self.norm1.forward_silu(x.clone()));
        let y = y + shift.reshape([b, 1, 1, c]);
        let y = self.conv2.forward(self.norm2.forward_silu(y));
        let x = match &self.conv_shortcut {
            Some(conv) => conv.forward(x),
            None => x,
        };
        x + y
    }
}
