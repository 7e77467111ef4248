//! DPM-Solver++(2S) down to a lower level, then fresh noise up to the next.
//!
//! Lu et al. 2022 (arXiv:2211.01095), Algorithm 1 with r = 1/2; `sample_dpmpp_2s_ancestral` in k-diffusion's `sampling.py`.

use tronie_tensor::Tensor;

use crate::run::{ancestral, blend};
use crate::{Run, SampleError};

/// Walks down the noise levels, two looks at the model per step.
pub(super) fn dpmpp_2s_ancestral(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    for step in sigmas.steps() {
        let mut x0 = run.look(&x, &step)?;
        let (down, up) = ancestral(step.from, step.to, run.options.eta);
        if down > 0.0 {
            let middle = (step.from * down).sqrt();
            let kept = middle / step.from;
            let half_way = blend(&x, kept, &x0, 1.0 - kept);
            x0 = run.denoise(&half_way, middle)?;
        }
        let kept = down / step.from;
        x = blend(&x, kept, &x0, 1.0 - kept);
        x = run.renoise(x, up);
    }
    Ok(x)
}
