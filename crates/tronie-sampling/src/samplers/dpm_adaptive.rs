//! DPM-Solver-23: the step width follows an error estimate.
//!
//! Lu et al. 2022 (arXiv:2206.00927), section 3.4 and appendix C; `sample_dpm_adaptive` in k-diffusion's `sampling.py` with its default
//! tolerances. Of the run's noise levels only the highest and the lowest above 0 count.

use tronie_tensor::Tensor;

use super::dpm_solver::SingleStep;
use crate::run::{ancestral, slope};
use crate::{Run, SampleError, Step};

/// Relative and absolute tolerance of one step.
const TOLERANCE: (f64, f64) = (0.05, 0.0078);
/// Width of the first step in log sigma.
const FIRST_WIDTH: f64 = 0.05;
/// A step whose width would shrink below this share is tried again.
const ACCEPTED_FACTOR: f64 = 0.81;
/// A run that needs more steps than this never ends.
const MOST_STEPS: usize = 10_000;

/// Walks from the highest noise level to the lowest above 0.
pub(super) fn dpm_adaptive(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let (mut sigma, bottom) = (run.sigmas.first(), run.sigmas.lowest_positive());
    let n = run.sigmas.n_steps();
    let mut width = FIRST_WIDTH;
    let mut x_low_before = x.clone();
    let order = if run.options.eta == 0.0 { 3.0 } else { 1.5 };
    let mut index = 0;
    for _ in 0..MOST_STEPS {
        if (sigma / bottom).ln() <= 1e-5 {
            return Ok(x);
        }
        let to = (sigma * (-width).exp()).max(bottom);
        let x0 = run.denoise(&x, sigma)?;
        let noise = slope(&x, &x0, sigma);
        let down = ancestral(sigma, to, run.options.eta).0.max(bottom);
        let single = SingleStep { x: &x, noise: &noise, from: sigma, to: down };
        let change = single.change(&mut run, 1.0 / 3.0)?;
        let low = single.second(&change, 1.0 / 3.0);
        let high = single.third(&mut run, &change)?;
        let factor = width_factor(error(&low, &high, &x_low_before), order);
        width *= factor;
        if factor < ACCEPTED_FACTOR {
            continue;
        }
        x = run.renoise(high, (to * to - down * down).max(0.0).sqrt());
        x_low_before = low;
        run.observer.on_step(&Step { index: index.min(n - 1), from: sigma, to, n }, &x0)?;
        index += 1;
        sigma = to;
    }
    Err(SampleError::NoProgress { n_steps: MOST_STEPS, sigma })
}

/// Root mean square of the difference in units of the tolerance.
fn error(low: &Tensor<4>, high: &Tensor<4>, before: &Tensor<4>) -> f64 {
    let (relative, absolute) = TOLERANCE;
    let size = low.clone().abs().max_pair(before.clone().abs());
    let unit = (size * relative).clamp_min(absolute);
    let ratio = (low.clone() - high.clone()) / unit;
    let mean: f32 = (ratio.clone() * ratio).mean().into_scalar();
    f64::from(mean).sqrt()
}

/// What the controller of k-diffusion (integral term only) multiplies the step width by.
fn width_factor(error: f64, order: f64) -> f64 {
    let inverse = 1.0 / (error + 1e-8);
    1.0 + (inverse.powf(1.0 / order) - 1.0).atan()
}
