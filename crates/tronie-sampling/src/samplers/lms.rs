//! Linear multistep: Adams-Bashforth on the noise levels as they are spaced.
//!
//! `sample_lms` in k-diffusion's `sampling.py`: the slope is the polynomial through the last four slopes, integrated over
//! the step.

use std::collections::VecDeque;

use tronie_tensor::Tensor;

use crate::run::slope;
use crate::{Run, SampleError};

/// Highest order: slopes that are remembered, this step's included.
const ORDER: usize = 4;

/// Walks down the noise levels, one look at the model per step.
pub(super) fn lms(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    let order = run.options.max_order.clamp(1, ORDER);
    let mut past: VecDeque<(f64, Tensor<4>)> = VecDeque::new(); // newest first
    for step in sigmas.steps() {
        let x0 = run.look(&x, &step)?;
        past.push_front((step.from, slope(&x, &x0, step.from)));
        past.truncate(order);
        let nodes: Vec<f64> = past.iter().map(|row| row.0).collect();
        for (index, (_, direction)) in past.iter().enumerate() {
            x = x + direction.clone() * lagrange_integral(&nodes, index, step.from, step.to);
        }
    }
    Ok(x)
}

/// The integral from `from` to `to` of the polynomial that is 1 at `nodes[index]` and 0 at the other nodes.
///
/// Two-point Gauss-Legendre quadrature, exact for the cubics that four nodes give.
fn lagrange_integral(nodes: &[f64], index: usize, from: f64, to: f64) -> f64 {
    let Some(&own) = nodes.get(index) else { return 0.0 };
    let basis = |at: f64| -> f64 {
        let others = nodes.iter().enumerate().filter(|row| row.0 != index);
        others.map(|(_, node)| (at - node) / (own - node)).product()
    };
    let (middle, half) = ((from + to) / 2.0, (to - from) / 2.0);
    let offset = half / 3.0_f64.sqrt();
    half * (basis(middle - offset) + basis(middle + offset))
}
