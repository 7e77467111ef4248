//! DPM-Solver-2 down to a lower level, then fresh noise up to the next: `sample_dpm_2_ancestral` in k-diffusion's
//! `sampling.py`.

use tronie_tensor::Tensor;

use crate::run::{ancestral, slope};
use crate::{Run, SampleError};

/// Walks down the noise levels, two looks at the model per step.
pub(super) fn dpm_2_ancestral(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    for step in sigmas.steps() {
        let x0 = run.look(&x, &step)?;
        let (down, up) = ancestral(step.from, step.to, run.options.eta);
        let mut direction = slope(&x, &x0, step.from);
        if down > 0.0 {
            let middle = (step.from * down).sqrt();
            let half_way = x.clone() + direction * (middle - step.from);
            let x0_there = run.denoise(&half_way, middle)?;
            direction = slope(&half_way, &x0_there, middle);
        }
        x = x + direction * (down - step.from);
        x = run.renoise(x, up);
    }
    Ok(x)
}
