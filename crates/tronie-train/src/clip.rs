//! Gradient clipping by global norm (Pascanu et al. 2013, arXiv:1211.5063, Algorithm 1), as
//! `torch.nn.utils.clip_grad_norm_` does it. Sums are in f64: a UNet has 860 million gradients.

use rayon::prelude::*;

use crate::slices::{MIN_LEN, narrow, sum_of_squares};

/// Keeps the division defined for gradients of norm 0; PyTorch's constant.
const EPSILON: f64 = 1e-6;

/// The Euclidean norm of all gradients as one vector.
#[must_use]
pub fn global_norm<'a>(gradients: impl IntoIterator<Item = &'a [f32]>) -> f64 {
    gradients.into_iter().map(sum_of_squares).sum::<f64>().sqrt()
}

/// What gradients of this norm are multiplied with: at most 1.
///
/// `max_norm` is above 0. A norm that is not finite gives 1: no factor mends such gradients, their step is to be left out.
#[must_use]
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if norm.is_finite() { (max_norm / (norm + EPSILON)).min(1.0) } else { 1.0 }
}

/// Scales all gradients so that their global norm is at most `max_norm`; returns the norm they had.
pub fn clip(gradients: &mut [&mut [f32]], max_norm: f64) -> f64 {
    let norm = global_norm(gradients.iter().map(|gradient| &**gradient));
    let factor = narrow(clip_factor(norm, max_norm));
    if factor < 1.0 {
        for gradient in gradients {
            gradient.par_iter_mut().with_min_len(MIN_LEN).for_each(|value| *value *= factor);
        }
    }
    norm
}

#[cfg(test)]
mod tests;
