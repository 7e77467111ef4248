//! Euler's method with fresh noise in every step. DDIM and DDPM are the same walk.
//!
//! With the slope `e = (x - x0) / sigma` and noise levels `down`, `up` (`down^2 + up^2 = to^2`) a step is
//! `x0 + down * e + up * noise`. That is `sample_euler_ancestral` in k-diffusion's `sampling.py`. Dividing eq. 12 of DDIM
//! (Song et al. 2020, arXiv:2010.02502) by `sqrt(alpha)` of its target gives the same line, its `eta` scaling `up`; `eta` 1
//! is the posterior of DDPM (arXiv:2006.11239, eq. 7). The rows of the three differ in `eta` and in the noise levels.

use tronie_tensor::Tensor;

use crate::run::{ancestral, blend};
use crate::{Run, SampleError};

/// Walks down the noise levels, one look at the model per step.
pub(super) fn euler_ancestral(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    for step in sigmas.steps() {
        let x0 = run.look(&x, &step)?;
        let (down, up) = ancestral(step.from, step.to, run.options.eta);
        let kept = down / step.from;
        x = blend(&x, kept, &x0, 1.0 - kept);
        x = run.renoise(x, up);
    }
    Ok(x)
}
