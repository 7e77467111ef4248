//! Numbers as vectors: sinusoids of a timestep (or of an image size), and the two layers after them.
//!
//! Vaswani et al. 2017 (arXiv:1706.03762), section 3.5, in the arrangement of `get_timestep_embedding`,
//! <https://github.com/huggingface/diffusers/blob/v0.36.0/src/diffusers/models/embeddings.py>.

use tronie_tensor::burn;
use tronie_tensor::ops::silu;
use tronie_tensor::{DType, Device, Module, Tensor, TensorData};

use crate::Linear;

/// Wave length of the slowest sinusoid over 2 pi.
const MAX_PERIOD: f64 = 10_000.0;

/// Sines and cosines of a number at falling frequencies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sinusoid {
    /// Width of the vector, even.
    pub(crate) d: usize,
    /// Cosines come first.
    pub(crate) flip_sin_to_cos: bool,
    /// How many steps before the last the frequencies would reach 1 / 10000; 0 or 1.
    pub(crate) freq_shift: f64,
}

impl Sinusoid {
    /// # Shapes
    /// `values`: n, need not be whole numbers. Returns n d, in f32.
    pub(crate) fn forward(&self, values: Tensor<1>) -> Tensor<2> {
        let n = values.dims()[0];
        let half = self.d / 2;
        let frequencies = TensorData::new(self.frequencies(), [1, half]);
        let frequencies = Tensor::<2>::from_data(frequencies, (&values.device(), DType::F32));
        let phase = values.cast(DType::F32).reshape([n, 1]) * frequencies; // n half, in f32
        let (sin, cos) = (phase.clone().sin(), phase.cos());
        let halves = if self.flip_sin_to_cos { vec![cos, sin] } else { vec![sin, cos] };
        Tensor::cat(halves, 1) // n d
    }

    /// 10000^(-i / (half - shift)). In f64, rounded once: a timestep near 1000 magnifies the error of a frequency
    /// a thousand times.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "indices are small, and f32 is what the sinusoids are computed in"
    )]
    fn frequencies(&self) -> Vec<f32> {
        let half = self.d / 2;
        let exponent = -MAX_PERIOD.ln() / (half as f64 - self.freq_shift);
        (0..half).map(|i| (exponent * i as f64).exp() as f32).collect()
    }
}

/// Two fully connected layers with SiLU between them.
#[derive(Module, Debug)]
pub(crate) struct TimestepEmbedding {
    linear_1: Linear,
    linear_2: Linear,
}

impl TimestepEmbedding {
    pub(crate) fn new(d_in: usize, d_out: usize, device: &Device) -> Self {
        Self { linear_1: Linear::new(d_in, d_out, device), linear_2: Linear::new(d_out, d_out, device) }
    }

    /// # Shapes
    /// `x`: b d_in. Returns b d_out.
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.linear_2.forward(silu(self.linear_1.forward(x)))
    }
}
