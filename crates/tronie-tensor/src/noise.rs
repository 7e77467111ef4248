//! Seeded noise: normal numbers equal to PyTorch's and CUDA's, one independent stream per image.
//!
//! A [`NoiseStream`] is the only source of randomness a sampler ever sees. It is built from a [`NoiseSpec`],
//! plain data that is stored with every image, and draws `b c h w` tensors in the order the reference draws.
//!
//! - [`Philox4x32`]: the counter-based generator of CUDA, as A1111's "NV" source computes it on any machine.
//! - [`Mt19937`]: PyTorch's CPU generator and its two ways to turn bits into normal numbers.
//! - [`BrownianNoise`]: the Brownian tree of torchsde, for SDE samplers whose noise must not depend on the
//!   number of steps.
//!
//! How to get the noise of other programs:
//!
//! | program | `rng` | `layout` | `eta_seed_delta` |
//! |---|---|---|---|
//! | A1111, Forge: source "GPU" (the default) or "NV" | `Philox` | `PerImage` | their ENSD, 0 by default |
//! | A1111, Forge: source "CPU" | `TorchCpu` | `PerImage` | their ENSD |
//! | diffusers, a list of CPU generators | `TorchCpu` | `PerImage` | 0 |
//! | diffusers, one CPU generator for the batch | `TorchCpu` | `WholeBatch` | 0 |
//! | ComfyUI on the CPU | `TorchCpu` | `WholeBatch` | 1: its samplers seed their own generator with seed + 1 |
//!
//! ComfyUI on a GPU starts from `TorchCpu` noise and adds CUDA noise: one spec cannot say that.

mod brownian;
mod mt19937;
mod philox;
mod seed_sequence;
mod spec;
mod stream;
mod torch_normal;
mod variation;

pub use brownian::BrownianNoise;
pub use mt19937::Mt19937;
pub use philox::Philox4x32;
pub use spec::{NoiseError, NoiseSpec, Rng, Streams, Subseeds};
pub use stream::NoiseStream;

#[cfg(test)]
mod tests;
