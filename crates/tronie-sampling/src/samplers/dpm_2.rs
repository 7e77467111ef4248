//! DPM-Solver-2: the midpoint method, with the midpoint in log sigma.
//!
//! Lu et al. 2022 (arXiv:2206.00927), Algorithm 1 with r1 = 1/2; `sample_dpm_2` in k-diffusion's `sampling.py`.

use tronie_tensor::Tensor;

use crate::run::slope;
use crate::{Run, SampleError};

/// Walks down the noise levels, two looks at the model per step.
pub(super) fn dpm_2(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    for step in sigmas.steps() {
        let (raised, from) = run.churn(x, &step);
        let x0 = run.denoise(&raised, from)?;
        run.observer.on_step(&step, &x0)?;
        let mut direction = slope(&raised, &x0, from);
        if step.to > 0.0 {
            let middle = (from * step.to).sqrt();
            let half_way = raised.clone() + direction * (middle - from);
            let x0_there = run.denoise(&half_way, middle)?;
            direction = slope(&half_way, &x0_there, middle);
        }
        x = raised + direction * (step.to - from);
    }
    Ok(x)
}
