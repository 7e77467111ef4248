//! Lion: steps of one length in every direction, by the sign of an interpolated momentum.
//!
//! Chen et al. 2023 (arXiv:2302.06675), Algorithm 2. The paper recommends a learning rate 3 to 10 times smaller than
//! AdamW's, and a weight decay as many times larger (section 5).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::state::slices;
use super::{Optimizer, Parameter, Shared, State, StepContext};
use crate::TrainError;
use crate::ranges::{ABOVE_0, AT_LEAST_0, FROM_0_BELOW_1, Ranged};
use crate::slices::{MIN_LEN, narrow};

/// Options of Lion; the defaults are the authors' (<https://github.com/google/automl/tree/master/lion>).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lion {
    /// Length of a step, above 0.
    pub learning_rate: f64,
    /// Share of the momentum in the direction of a step, 0..1; the gradient has the rest.
    pub beta1: f64,
    /// Share of the old momentum that is kept at a step, 0..1.
    pub beta2: f64,
    /// Share of the parameter that a step of learning rate 1 takes away, at least 0.
    pub weight_decay: f64,
}

impl Default for Lion {
    fn default() -> Self {
        Self { learning_rate: 1e-4, beta1: 0.9, beta2: 0.99, weight_decay: 0.0 }
    }
}

impl Optimizer for Lion {
    fn ranges(&self) -> Vec<Ranged> {
        vec![
            ("learning_rate", self.learning_rate, ABOVE_0),
            ("beta1", self.beta1, FROM_0_BELOW_1),
            ("beta2", self.beta2, FROM_0_BELOW_1),
            ("weight_decay", self.weight_decay, AT_LEAST_0),
        ]
    }

    fn new_state(&self, _values: &[f32], shape: &[usize]) -> State {
        State::zeros([("m", shape)])
    }

    /// 4 bytes per parameter.
    fn state_bytes(&self, shape: &[usize]) -> usize {
        4 * shape.iter().product::<usize>()
    }

    fn step(&self, parameter: &mut Parameter<'_>, _: &Shared, at: StepContext) -> Result<(), TrainError> {
        let (learning_rate, decay) = (narrow(self.learning_rate * at.lr_factor), narrow(self.weight_decay));
        let [beta1, rest1] = [self.beta1, 1.0 - self.beta1].map(narrow);
        let [beta2, rest2] = [self.beta2, 1.0 - self.beta2].map(narrow);
        let n = parameter.values.len();
        let [m] = slices(&mut parameter.state.floats, parameter.name, [("m", n)])?;
        let elements = parameter.values.par_iter_mut().zip(m).zip(parameter.gradient);
        elements.with_min_len(MIN_LEN).for_each(|((value, m), &gradient)| {
            let direction = sign(beta1 * *m + rest1 * gradient);
            *value -= learning_rate * (direction + decay * *value);
            *m = beta2 * *m + rest2 * gradient;
        });
        Ok(())
    }
}

/// -1, 0 or 1; unlike `signum`, 0 for 0.
fn sign(number: f32) -> f32 {
    if number == 0.0 { 0.0 } else { number.signum() }
}
