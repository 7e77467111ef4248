//! Pseudo numerical methods: PLMS, and PNDM, which starts it with Runge-Kutta steps.
//!
//! Liu et al. 2022 (arXiv:2202.09778). Their transfer between noise levels (eq. 11) is, divided by `sqrt(alpha)`, the straight
//! line `x + (to - from) * e` along a predicted noise `e`; which `e` is what the methods differ in.

use std::collections::VecDeque;

use tronie_tensor::Tensor;

use crate::run::slope;
use crate::{Run, SampleError, Step};

/// Steps that PNDM replaces by Runge-Kutta steps; each needs a noise level in its middle.
pub(crate) const N_WARM_UP: usize = 3;

/// Weights of the predicted noises, newest first, by how many there are: eq. 9 and its lower orders.
const WEIGHTS: [&[f64]; 4] = [
    &[1.0],
    &[3.0 / 2.0, -1.0 / 2.0],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];

/// The noises predicted so far, newest first.
#[derive(Default)]
struct Past(VecDeque<Tensor<4>>);

impl Past {
    fn push(&mut self, noise: Tensor<4>) {
        self.0.push_front(noise);
        self.0.truncate(WEIGHTS.len());
    }

    /// `x` moved from one noise level to another along the extrapolated noise.
    fn advance(&self, mut x: Tensor<4>, step: &Step) -> Tensor<4> {
        let weights = WEIGHTS
            .get(self.0.len().saturating_sub(1))
            .copied()
            .unwrap_or_default();
        for (noise, weight) in self.0.iter().zip(weights) {
            x = x + noise.clone() * (weight * (step.to - step.from));
        }
        x
    }
}

/// PLMS, as Stable Diffusion shipped it: the first step is Heun's, so n steps look at the model n + 1 times.
pub(super) fn plms(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    let mut past = Past::default();
    for step in sigmas.steps() {
        let x0 = run.look(&x, &step)?;
        let noise = slope(&x, &x0, step.from);
        past.push(noise.clone());
        x = if step.index == 0 && step.to > 0.0 && !step.is_last() {
            let euler = x.clone() + noise.clone() * (step.to - step.from);
            let x0_there = run.denoise(&euler, step.to)?;
            let noise_there = slope(&euler, &x0_there, step.to);
            x + (noise + noise_there) * (0.5 * (step.to - step.from))
        } else {
            past.advance(x, &step)
        };
    }
    Ok(x)
}

/// PNDM: three pseudo Runge-Kutta steps of four looks each, then PLMS.
///
/// The first six noise levels come in pairs that make three steps: every second level is a middle. `plan` makes such
/// levels; a run with fewer of them is all PLMS.
pub(super) fn pndm(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    if sigmas.n_steps() <= 2 * N_WARM_UP {
        return plms(run, x);
    }
    let mut past = Past::default();
    let mut middle_of: Option<Step> = None;
    for step in sigmas.steps() {
        if step.index >= 2 * N_WARM_UP {
            let x0 = run.look(&x, &step)?;
            past.push(slope(&x, &x0, step.from));
            x = past.advance(x, &step);
        } else if let Some(first_half) = middle_of.take() {
            let whole = Step {
                to: step.to,
                ..first_half
            };
            let noise;
            (x, noise) = runge_kutta(&mut run, x, &whole, step.from)?;
            past.push(noise);
        } else {
            middle_of = Some(step);
        }
    }
    Ok(x)
}

/// One pseudo Runge-Kutta step (eq. 8) over `step`, with `middle` inside it. Returns x and the first predicted noise.
fn runge_kutta(
    run: &mut Run<'_>,
    x: Tensor<4>,
    step: &Step,
    middle: f64,
) -> Result<(Tensor<4>, Tensor<4>), SampleError> {
    let x0 = run.look(&x, step)?;
    let first = slope(&x, &x0, step.from);
    let mut sum = first.clone();
    let mut noise = first.clone();
    for (at, weight) in [(middle, 2.0), (middle, 2.0), (step.to, 1.0)] {
        let there = x.clone() + noise * (at - step.from);
        let x0 = run.denoise(&there, at)?;
        noise = slope(&there, &x0, at);
        sum = sum + noise.clone() * weight;
    }
    Ok((x + sum * ((step.to - step.from) / 6.0), first))
}
