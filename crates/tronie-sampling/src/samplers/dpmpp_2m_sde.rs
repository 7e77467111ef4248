//! DPM-Solver++(2M) on the reverse SDE.
//!
//! `sample_dpmpp_2m_sde` in k-diffusion's `sampling.py`, with both of its ways to use the last step; diffusers'
//! `sde-dpmsolver++` of order 2 is the same at eta 1.

use tronie_tensor::Tensor;

use crate::run::blend;
use crate::{Run, SampleError};

/// Midpoint: the slope of x0 acts at the middle of the step. Walks down with one look at the model per step.
pub(super) fn dpmpp_2m_sde(run: Run<'_>, x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    walk(run, x, |width| 0.5 * -(-width).exp_m1())
}

/// Heun: the slope of x0 is integrated exactly. Walks down with one look at the model per step.
pub(super) fn dpmpp_2m_sde_heun(run: Run<'_>, x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    walk(run, x, |width| 1.0 + (-width).exp_m1() / width)
}

/// `slope_weight` takes the log-SNR width of a step, stretched by 1 + eta, and weighs the change of x0 per step.
fn walk(mut run: Run<'_>, mut x: Tensor<4>, slope_weight: fn(f64) -> f64) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    let eta = run.options.eta;
    let mut noise = run.sde_noise();
    let mut last: Option<(f64, Tensor<4>)> = None; // log-SNR width of the last step, its x0
    for step in sigmas.steps() {
        let x0 = run.look(&x, &step)?;
        if step.to == 0.0 {
            x = x0;
            continue;
        }
        let width = step.log_snr();
        let stretched = width * (1.0 + eta);
        x = blend(&x, (-stretched).exp(), &x0, -(-stretched).exp_m1());
        if let Some((width_before, x0_before)) = last {
            let change = (x0.clone() - x0_before) * (width / width_before);
            x = x + change * slope_weight(stretched);
        }
        let up = step.to * (-(-2.0 * eta * width).exp_m1()).sqrt();
        x = noise.renoise(&mut run, x, (step.from, step.to), up);
        last = Some((width, x0));
    }
    Ok(x)
}
