//! DEIS with a polynomial in log rho (here: log sigma).
//!
//! Zhang and Chen 2022 (arXiv:2204.13902), section 3.3: the predicted noise is the polynomial in `ln sigma` through the last
//! predictions, integrated over sigma in closed form. diffusers' `DEISMultistepScheduler` ("logrho").

use std::collections::VecDeque;

use tronie_tensor::Tensor;

use crate::run::slope;
use crate::{Run, SampleError, Step};

/// Highest order: predictions that are remembered, this step's included.
const ORDER: usize = 3;
/// Runs shorter than this end at lower order in diffusers.
const SHORT_RUN: usize = 15;

/// Walks down the noise levels, one look at the model per step.
pub(super) fn deis(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    let mut past: VecDeque<(f64, Tensor<4>)> = VecDeque::new(); // newest first
    for step in sigmas.steps() {
        let x0 = run.look(&x, &step)?;
        past.push_front((step.from.ln(), slope(&x, &x0, step.from)));
        past.truncate(order(&run, &step));
        let nodes: Vec<f64> = past.iter().map(|row| row.0).collect();
        for (index, (_, noise)) in past.iter().enumerate() {
            x = x + noise.clone() * weight(&nodes, index, step.from, step.to);
        }
    }
    Ok(x)
}

/// The order of a step: lower where the run ends, first where it ends at 0.
fn order(run: &Run<'_>, step: &Step) -> usize {
    let left = step.n - step.index;
    let order = run.options.max_order.clamp(1, ORDER);
    if step.to == 0.0 {
        1
    } else if run.options.lower_order_final && step.n < SHORT_RUN {
        order.min(left)
    } else {
        order
    }
}

/// The integral over sigma from `from` to `to` of the polynomial in `l = ln sigma` that is 1 at `nodes[index]` and 0 at the
/// others.
///
/// In `l` the integrand is the polynomial times `e^l`. For one factor `(l - c)` the antiderivative is `e^l (l - c - 1)`; for
/// two, `e^l ((l - c)(l - d) - (l - c) - (l - d) + 2)`.
fn weight(nodes: &[f64], index: usize, from: f64, to: f64) -> f64 {
    let Some(&own) = nodes.get(index) else { return 0.0 };
    let others: Vec<f64> =
        nodes.iter().copied().enumerate().filter(|row| row.0 != index).map(|row| row.1).collect();
    let antiderivative = |sigma: f64| match others.as_slice() {
        [c, d] => {
            let (a, b) = (sigma.ln() - c, sigma.ln() - d);
            sigma * (a * b - a - b + 2.0)
        }
        [c] => sigma * (sigma.ln() - c - 1.0),
        _ => sigma,
    };
    let scale: f64 = others.iter().map(|other| own - other).product();
    (antiderivative(to) - antiderivative(from)) / scale
}
