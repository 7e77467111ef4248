//! Euler's method on the probability-flow ODE.
//!
//! Karras et al. 2022 (arXiv:2206.00364), Algorithm 2 without its second-order step.

use tronie_tensor::Tensor;

use crate::run::slope;
use crate::{Run, SampleError};

/// Walks down the noise levels, one look at the model per step.
pub(super) fn euler(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    for step in sigmas.steps() {
        let (raised, from) = run.churn(x, &step);
        let x0 = run.denoise(&raised, from)?;
        run.observer.on_step(&step, &x0)?;
        x = raised.clone() + slope(&raised, &x0, from) * (step.to - from);
    }
    Ok(x)
}
