//! The single-step formulas of DPM-Solver of order 1, 2 and 3.
//!
//! Lu et al. 2022 (arXiv:2206.00927), Algorithms 1 and 2, with `lambda = -ln sigma`; `DPMSolver` in k-diffusion's
//! `sampling.py`. DPM fast and DPM adaptive are made of them.

use tronie_tensor::Tensor;

use crate::run::slope;
use crate::{Run, SampleError};

/// One step from `x` at noise level `from` to noise level `to`, with the noise predicted at its start.
pub(super) struct SingleStep<'a> {
    pub(super) x: &'a Tensor<4>,
    pub(super) noise: &'a Tensor<4>,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl SingleStep<'_> {
    /// The noise level `ratio` of the way down in log sigma.
    fn level(&self, ratio: f64) -> f64 {
        self.from * (self.to / self.from).powf(ratio)
    }

    /// `x` moved along the first noise alone to the level `ratio` of the way down.
    fn euler(&self, ratio: f64) -> Tensor<4> {
        self.x.clone() + self.noise.clone() * (self.level(ratio) - self.from)
    }

    /// `sigma(ratio) * (expm1(ratio h) / (ratio h) - 1)`, the weight of a change of noise.
    fn weight(&self, ratio: f64) -> f64 {
        let h = ratio * (self.from / self.to).ln();
        self.level(ratio) * (h.exp_m1() / h - 1.0)
    }

    /// First order, no further look at the model.
    pub(super) fn first(&self) -> Tensor<4> {
        self.euler(1.0)
    }

    /// The change of the predicted noise at the level `ratio` of the way down; one look.
    pub(super) fn change(&self, run: &mut Run<'_>, ratio: f64) -> Result<Tensor<4>, SampleError> {
        let there = self.euler(ratio);
        let sigma = self.level(ratio);
        let x0 = run.denoise(&there, sigma)?;
        Ok(slope(&there, &x0, sigma) - self.noise.clone())
    }

    /// Second order from a change at `ratio`.
    pub(super) fn second(&self, change: &Tensor<4>, ratio: f64) -> Tensor<4> {
        let expm1 = (self.from / self.to) - 1.0;
        self.euler(1.0) - change.clone() * (self.to * expm1 / (2.0 * ratio))
    }

    /// Third order from a change at 1/3 of the way; one look more, at 2/3.
    pub(super) fn third(&self, run: &mut Run<'_>, change: &Tensor<4>) -> Result<Tensor<4>, SampleError> {
        const NEAR: f64 = 1.0 / 3.0;
        const FAR: f64 = 2.0 / 3.0;
        let there = self.euler(FAR) - change.clone() * (self.weight(FAR) * (FAR / NEAR));
        let sigma = self.level(FAR);
        let x0 = run.denoise(&there, sigma)?;
        let change_there = slope(&there, &x0, sigma) - self.noise.clone();
        Ok(self.euler(1.0) - change_there * (self.weight(1.0) / FAR))
    }
}
