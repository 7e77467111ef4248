//! Seeded noise: normal numbers equal to PyTorch's and CUDA's, one independent stream per image.
//!
//! A [`NoiseStream`] is the only source of randomness a sampler ever sees. It is built from a [`NoiseSpec`],
//! plain data that is stored with every image, and draws `b c h w` tensors in the order the reference draws.

use serde::{Deserialize, Serialize};

/// Which generator the normal numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rng {
    /// Philox4x32-10 as CUDA draws it; A1111 calls it "GPU" or "NV".
    #[default]
    Philox,
    /// MT19937 and PyTorch's CPU normals; A1111 calls it "CPU", ComfyUI and diffusers use it.
    TorchCpu,
}
