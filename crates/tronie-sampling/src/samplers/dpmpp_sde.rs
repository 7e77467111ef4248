//! DPM-Solver++(2S) on the reverse SDE, with the midpoint in log sigma.
//!
//! `sample_dpmpp_sde` in k-diffusion's `sampling.py` with r = 1/2; Lu et al. 2022 (arXiv:2211.01095), section 5.

use tronie_tensor::Tensor;

use crate::run::{ancestral, blend};
use crate::{Run, SampleError};

/// Walks down the noise levels, two looks at the model per step.
pub(super) fn dpmpp_sde(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    let eta = run.options.eta;
    let mut noise = run.sde_noise();
    for step in sigmas.steps() {
        let x0 = run.look(&x, &step)?;
        if step.to == 0.0 {
            x = x0;
            continue;
        }
        let middle = (step.from * step.to).sqrt();
        let (down, up) = ancestral(step.from, middle, eta);
        let kept = down / step.from;
        let half_way = blend(&x, kept, &x0, 1.0 - kept);
        let half_way = noise.renoise(&mut run, half_way, (step.from, middle), up);
        let x0_there = run.denoise(&half_way, middle)?;

        let (down, up) = ancestral(step.from, step.to, eta);
        let kept = down / step.from;
        x = blend(&x, kept, &x0_there, 1.0 - kept);
        x = noise.renoise(&mut run, x, (step.from, step.to), up);
    }
    Ok(x)
}
