//! Restart sampling: Heun's method that climbs back up and walks the last stretch again.
//!
//! Xu et al. 2023 (arXiv:2306.14878), Algorithm 2. The number and length of restarts follow the number of steps as in A1111:
//! none below 20 steps, one of 9 steps below 36, from there two of a quarter of the steps, between the levels nearest
//! to 0.1 and 2. The steps are taken from the run's own, whose levels become Karras's.

use tronie_tensor::Tensor;

use super::heun::heun_step;
use crate::schedules::karras_levels;
use crate::{Run, SampleError, Sigmas, Step};

/// Noise levels a restart begins at and climbs back to, about.
const STRETCH: (f64, f64) = (0.1, 2.0);

/// Walks down the noise levels, two looks at the model per step.
pub(super) fn restart(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let mut sigma = run.sigmas.first();
    for step in all_steps(run.sigmas) {
        if step.from > sigma {
            x = run.renoise(x, (step.from * step.from - sigma * sigma).sqrt());
        }
        x = heun_step(&mut run, x, &step)?;
        sigma = step.to;
    }
    Ok(x)
}

/// The steps with the restarts among them.
fn all_steps(sigmas: &Sigmas) -> Vec<Step> {
    let n_asked = sigmas.n_steps();
    let (n_again, n_restarts) = match n_asked {
        0..20 => return sigmas.steps().collect(),
        20..36 => (9, 1),
        _ => (n_asked / 4, 2),
    };
    let mut levels = karras_levels(n_asked - n_again * n_restarts, sigmas.lowest_positive(), sigmas.first());
    let (turn, top) = (nearest(&levels, STRETCH.0), nearest(&levels, STRETCH.1));
    levels.push(0.0);
    let mut pairs = Vec::new();
    for (&from, &to) in levels.iter().zip(levels.iter().skip(1)) {
        pairs.push((from, to));
        if to == turn && turn < top {
            let again = karras_levels(n_again + 1, turn, top);
            let stretch = again.iter().copied().zip(again.iter().copied().skip(1));
            pairs.extend(std::iter::repeat_n(stretch, n_restarts).flatten());
        }
    }
    let n = pairs.len();
    let steps = pairs.into_iter().enumerate();
    steps.map(|(index, (from, to))| Step { index, from, to, n }).collect()
}

/// The level nearest to `sigma`.
fn nearest(levels: &[f64], sigma: f64) -> f64 {
    let distance = |level: &f64| (level - sigma).abs();
    let nearest = levels.iter().copied().min_by(|a, b| distance(a).total_cmp(&distance(b)));
    nearest.unwrap_or(sigma)
}
