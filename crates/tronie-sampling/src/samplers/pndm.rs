//! Pseudo numerical methods: PLMS, and PNDM, which starts it with Runge-Kutta steps.
//!
//! Liu et al. 2022 (arXiv:2202.09778). Their transfer between noise levels (eq. 11) is, divided by `sqrt(alpha)`, the straight
//! line `x + (to - from) * e` along a predicted noise `e`; which `e` is what the methods differ in. diffusers averages
//! velocities instead where the network predicts them, which is `averages` in the options.

use std::collections::VecDeque;

use tronie_tensor::Tensor;

use crate::run::slope;
use crate::{Parametrization, Run, SampleError, Step};

/// Steps that PNDM replaces by Runge-Kutta steps; each needs a noise level in its middle.
pub(crate) const N_WARM_UP: usize = 3;

/// Weights of the predictions, newest first, by how many there are: eq. 9 and its lower orders.
const WEIGHTS: [&[f64]; 4] = [
    &[1.0],
    &[3.0 / 2.0, -1.0 / 2.0],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];

/// `x` moved over a step along an averaged prediction.
fn transfer(x: Tensor<4>, averaged: Tensor<4>, step: &Step, averages: Parametrization) -> Tensor<4> {
    let x0 = averages.x0(&x, averaged, step.from);
    let noise = slope(&x, &x0, step.from);
    x + noise * (step.to - step.from)
}

/// The predictions so far, newest first.
#[derive(Default)]
struct Past(VecDeque<Tensor<4>>);

impl Past {
    fn push(&mut self, prediction: Tensor<4>) {
        self.0.push_front(prediction);
        self.0.truncate(WEIGHTS.len());
    }

    fn averaged(&self, like: &Tensor<4>) -> Tensor<4> {
        let weights = WEIGHTS.get(self.0.len().saturating_sub(1)).copied().unwrap_or_default();
        let terms = self.0.iter().zip(weights).map(|(prediction, &weight)| prediction.clone() * weight);
        terms.reduce(|sum, term| sum + term).unwrap_or_else(|| like.zeros_like())
    }
}

/// PLMS, as Stable Diffusion shipped it: the first step is Heun's, so n steps look at the model n + 1 times.
pub(super) fn plms(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    let averages = run.options.averages;
    let mut past = Past::default();
    for step in sigmas.steps() {
        let x0 = run.look(&x, &step)?;
        let here = averages.prediction(&x, &x0, step.from);
        past.push(here.clone());
        let mut averaged = past.averaged(&x);
        if step.index == 0 && !step.is_last() {
            let euler = transfer(x.clone(), here.clone(), &step, averages);
            let x0_there = run.denoise(&euler, step.to)?;
            averaged = (here + averages.prediction(&euler, &x0_there, step.to)) * 0.5;
        }
        x = transfer(x, averaged, &step, averages);
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
    let averages = run.options.averages;
    let mut past = Past::default();
    let mut first_half: Option<Step> = None;
    for step in sigmas.steps() {
        if step.index >= 2 * N_WARM_UP {
            let x0 = run.look(&x, &step)?;
            past.push(averages.prediction(&x, &x0, step.from));
            let averaged = past.averaged(&x);
            x = transfer(x, averaged, &step, averages);
        } else if let Some(half) = first_half.take() {
            let whole = Step { to: step.to, ..half };
            let prediction;
            (x, prediction) = runge_kutta(&mut run, x, &whole, step.from)?;
            past.push(prediction);
        } else {
            first_half = Some(step);
        }
    }
    Ok(x)
}

/// One pseudo Runge-Kutta step (eq. 8) over `step`, with `middle` inside it. Returns x and the first prediction.
fn runge_kutta(
    run: &mut Run<'_>,
    x: Tensor<4>,
    step: &Step,
    middle: f64,
) -> Result<(Tensor<4>, Tensor<4>), SampleError> {
    let averages = run.options.averages;
    let x0 = run.look(&x, step)?;
    let first = averages.prediction(&x, &x0, step.from);
    let mut sum = first.clone();
    let mut prediction = first.clone();
    for (to, weight) in [(middle, 2.0), (middle, 2.0), (step.to, 1.0)] {
        let there = transfer(x.clone(), prediction, &Step { to, ..*step }, averages);
        let x0 = run.denoise(&there, to)?;
        prediction = averages.prediction(&there, &x0, to);
        sum = sum + prediction.clone() * weight;
    }
    Ok((transfer(x, sum / 6.0, step, averages), first))
}
