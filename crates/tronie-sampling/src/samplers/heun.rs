//! Heun's method on the probability-flow ODE.
//!
//! Karras et al. 2022 (arXiv:2206.00364), Algorithm 2. The step to noise level 0 is Euler's: there is no slope at 0.

use tronie_tensor::Tensor;

use crate::run::slope;
use crate::{Run, SampleError, Step};

/// Walks down the noise levels, two looks at the model per step.
pub(super) fn heun(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    for step in sigmas.steps() {
        x = heun_step(&mut run, x, &step)?;
    }
    Ok(x)
}

/// One step, with churn before it.
pub(super) fn heun_step(run: &mut Run<'_>, x: Tensor<4>, step: &Step) -> Result<Tensor<4>, SampleError> {
    let (raised, from) = run.churn(x, step);
    let x0 = run.denoise(&raised, from)?;
    run.observer.on_step(step, &x0)?;
    let here = slope(&raised, &x0, from);
    let width = step.to - from;
    let euler = raised.clone() + here.clone() * width;
    if step.to == 0.0 {
        return Ok(euler);
    }
    let x0_there = run.denoise(&euler, step.to)?;
    let there = slope(&euler, &x0_there, step.to);
    Ok(raised + (here + there) * (0.5 * width))
}
