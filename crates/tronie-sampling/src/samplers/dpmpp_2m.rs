//! DPM-Solver++(2M): exponential integrator with the data prediction extrapolated from two steps.
//!
//! Lu et al. 2022 (arXiv:2211.01095), Algorithm 2; `sample_dpmpp_2m` in k-diffusion's `sampling.py`. The first step and a
//! step to noise level 0 are first-order.

use tronie_tensor::Tensor;

use crate::run::blend;
use crate::{Run, SampleError};

/// Walks down the noise levels, one look at the model per step.
pub(super) fn dpmpp_2m(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    let mut last: Option<(f64, Tensor<4>)> = None; // log-SNR width of the last step, its x0
    for step in sigmas.steps() {
        let x0 = run.look(&x, &step)?;
        let extrapolated = match &last {
            Some((width, x0_before)) if step.to > 0.0 => {
                let weight = step.log_snr() / (2.0 * width);
                blend(&x0, 1.0 + weight, x0_before, -weight)
            }
            _ => x0.clone(),
        };
        let kept = step.to / step.from;
        x = blend(&x, kept, &extrapolated, 1.0 - kept);
        last = Some((step.log_snr(), x0));
    }
    Ok(x)
}
