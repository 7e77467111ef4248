//! Latent consistency sampling: jump to the picture, add noise of the next level, jump again.
//!
//! Luo et al. 2023 (arXiv:2310.04378), Algorithm 3. The boundary condition belongs to the denoiser.

use tronie_tensor::Tensor;

use crate::{Run, SampleError};

/// Walks down the noise levels, one look at the model per step.
pub(super) fn lcm(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    for step in sigmas.steps() {
        let x0 = run.look(&x, &step)?;
        x = run.renoise(x0, step.to);
    }
    Ok(x)
}
