//! DPM-Solver++(3M) on the reverse SDE: `sample_dpmpp_3m_sde` in k-diffusion's `sampling.py`.

use tronie_tensor::Tensor;

use crate::run::blend;
use crate::{Run, SampleError};

/// A step that is over: its log-SNR width and x0.
type Past = (f64, Tensor<4>);

/// Walks down the noise levels, one look at the model per step.
pub(super) fn dpmpp_3m_sde(mut run: Run<'_>, mut x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    let eta = run.options.eta;
    let mut noise = run.sde_noise();
    let (mut last, mut one_before): (Option<Past>, Option<Past>) = (None, None);
    for step in sigmas.steps() {
        let x0 = run.look(&x, &step)?;
        if step.to == 0.0 {
            x = x0;
            continue;
        }
        let width = step.log_snr();
        let stretched = width * (1.0 + eta);
        x = blend(&x, (-stretched).exp(), &x0, -(-stretched).exp_m1());
        if let Some(last) = &last {
            x = x + correction(&x0, width, stretched, last, one_before.as_ref());
        }
        let up = step.to * (-(-2.0 * eta * width).exp_m1()).sqrt();
        x = noise.renoise(&mut run, x, (step.from, step.to), up);
        one_before = last.replace((width, x0));
    }
    Ok(x)
}

/// What the change of x0 over the last one or two steps adds to a step of log-SNR width `width`.
fn correction(
    x0: &Tensor<4>,
    width: f64,
    stretched: f64,
    last: &Past,
    one_before: Option<&Past>,
) -> Tensor<4> {
    let phi_2 = (-stretched).exp_m1() / stretched + 1.0;
    let r_0 = last.0 / width;
    let first = (x0.clone() - last.1.clone()) / r_0;
    let Some(one_before) = one_before else {
        return first * phi_2;
    };
    let phi_3 = phi_2 / stretched - 0.5;
    let r_1 = one_before.0 / width;
    let second = (last.1.clone() - one_before.1.clone()) / r_1;
    let curve = (first.clone() - second) / (r_0 + r_1);
    (first + curve.clone() * r_0) * phi_2 - curve * phi_3
}
