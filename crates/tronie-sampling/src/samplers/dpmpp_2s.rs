//! DPM-Solver++(2S) with the schedule's own levels as midpoints: two steps share one second-order update.
//!
//! Lu et al. 2022 (arXiv:2211.01095), Algorithm 1; diffusers' `DPMSolverSinglestepScheduler` of order 2 with
//! `lower_order_final`: n steps look at the model n times.

use tronie_tensor::Tensor;

use crate::run::blend;
use crate::{Run, SampleError, Step};

/// Walks down the noise levels, one look at the model per step.
pub(super) fn dpmpp_2s(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    let mut start: Option<(Step, Tensor<4>, Tensor<4>)> = None; // of a pair: its first step, x and x0 there
    for step in sigmas.steps() {
        let x0 = run.look(&x, &step)?;
        x = match start.take() {
            // A last step that finds its partner still ends first-order when asked to, or when it ends at 0.
            Some((first, x_first, x0_first)) if !(step.is_last() && ends_low(&run, &step)) => {
                let ratio = (first.from / step.from).ln() / (first.from / step.to).ln();
                let mixed = blend(&x0_first, 1.0 - 0.5 / ratio, &x0, 0.5 / ratio);
                let kept = step.to / first.from;
                blend(&x_first, kept, &mixed, 1.0 - kept)
            }
            _ => {
                let kept = step.to / step.from;
                let next = blend(&x, kept, &x0, 1.0 - kept);
                start = Some((step, x, x0));
                next
            }
        };
    }
    Ok(x)
}

/// Whether the last step is first-order.
fn ends_low(run: &Run<'_>, step: &Step) -> bool {
    run.options.lower_order_final || step.to == 0.0
}
