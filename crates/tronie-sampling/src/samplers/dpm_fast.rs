//! DPM-Solver-fast: third-order single steps of equal width in log sigma, as many as a number of looks allows.
//!
//! Lu et al. 2022 (arXiv:2206.00927), section 3.4; `sample_dpm_fast` in k-diffusion's `sampling.py`. Of the run's noise levels
//! only the highest, the lowest above 0 and their number count: n steps are n looks at the model.

use tronie_tensor::Tensor;

use super::dpm_solver::SingleStep;
use crate::run::{ancestral, slope};
use crate::{Run, SampleError, Step};

/// Walks from the highest noise level to the lowest above 0.
pub(super) fn dpm_fast(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let (top, bottom) = (run.sigmas.first(), run.sigmas.lowest_positive());
    let orders = orders(run.sigmas.n_steps());
    let n = orders.len();
    let level = |index: usize| top * (bottom / top).powf(index as f64 / n as f64);
    for (index, order) in orders.into_iter().enumerate() {
        let step = Step { index, from: level(index), to: level(index + 1), n };
        let x0 = run.look(&x, &step)?;
        let noise = slope(&x, &x0, step.from);
        let (down, _) = ancestral(step.from, step.to, run.options.eta);
        let down = down.max(bottom);
        let single = SingleStep { x: &x, noise: &noise, from: step.from, to: down };
        let next = match order {
            1 => single.first(),
            2 => single.second(&single.change(&mut run, 0.5)?, 0.5),
            _ => {
                let change = single.change(&mut run, 1.0 / 3.0)?;
                single.third(&mut run, &change)?
            }
        };
        x = run.renoise(next, (step.to * step.to - down * down).max(0.0).sqrt());
    }
    Ok(x)
}

/// The orders of the steps that `n_looks` pay for.
fn orders(n_looks: usize) -> Vec<usize> {
    let n_steps = n_looks / 3 + 1;
    match n_looks % 3 {
        0 => [vec![3; n_steps - 2], vec![2, 1]].concat(),
        rest => [vec![3; n_steps - 1], vec![rest]].concat(),
    }
}
