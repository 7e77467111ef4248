//! AdamW: Adam (Kingma and Ba 2015, arXiv:1412.6980, Algorithm 1) with decoupled weight decay (Loshchilov and Hutter 2019,
//! arXiv:1711.05101, Algorithm 2).
//!
//! Numbers and order of operations are those of `torch.optim.AdamW`:
//! <https://github.com/pytorch/pytorch/blob/v2.8.0/torch/optim/adam.py>, `_single_tensor_adam`.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::state::slices;
use super::{Optimizer, Parameter, Shared, State, StepContext};
use crate::TrainError;
use crate::ranges::{ABOVE_0, AT_LEAST_0, FROM_0_BELOW_1, Ranged};
use crate::slices::{MIN_LEN, narrow};

/// Options of AdamW; the defaults are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// Length of a step, above 0.
    pub learning_rate: f64,
    /// Share of the old mean of gradients that is kept at a step, 0..1.
    pub beta1: f64,
    /// Share of the old mean of squared gradients that is kept at a step, 0..1.
    pub beta2: f64,
    /// Added to the root of that mean, above 0.
    pub epsilon: f64,
    /// Share of the parameter that a step of learning rate 1 takes away, at least 0.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

impl Optimizer for AdamW {
    fn ranges(&self) -> Vec<Ranged> {
        vec![
            ("learning_rate", self.learning_rate, ABOVE_0),
            ("beta1", self.beta1, FROM_0_BELOW_1),
            ("beta2", self.beta2, FROM_0_BELOW_1),
            ("epsilon", self.epsilon, ABOVE_0),
            ("weight_decay", self.weight_decay, AT_LEAST_0),
        ]
    }

    fn new_state(&self, _values: &[f32], shape: &[usize]) -> State {
        State::zeros([("m", shape), ("v", shape)])
    }

    /// 8 bytes per parameter.
    fn state_bytes(&self, shape: &[usize]) -> usize {
        8 * shape.iter().product::<usize>()
    }

    fn step(&self, parameter: &mut Parameter<'_>, _: &Shared, at: StepContext) -> Result<(), TrainError> {
        let rule = self.rule(at);
        let n = parameter.values.len();
        let [m, v] = slices(&mut parameter.state.floats, parameter.name, [("m", n), ("v", n)])?;
        let moments = m.par_iter_mut().zip(v);
        let elements = parameter.values.par_iter_mut().zip(moments).zip(parameter.gradient);
        elements
            .with_min_len(MIN_LEN)
            .for_each(|((value, (m, v)), &gradient)| rule.apply(value, m, v, gradient));
        Ok(())
    }
}

impl AdamW {
    /// The numbers of one step.
    pub(super) fn rule(&self, at: StepContext) -> Rule {
        let learning_rate = self.learning_rate * at.lr_factor;
        Rule {
            keep: narrow(1.0 - learning_rate * self.weight_decay),
            rest1: narrow(1.0 - self.beta1),
            beta2: narrow(self.beta2),
            rest2: narrow(1.0 - self.beta2),
            length: narrow(learning_rate / at.gathered(self.beta1)),
            root_gathered: narrow(at.gathered(self.beta2).sqrt()),
            epsilon: narrow(self.epsilon),
        }
    }
}

/// One step of one element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    keep: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    length: f32,
    root_gathered: f32,
    epsilon: f32,
}

impl Rule {
    /// `m` and `v` are the means of gradients and of their squares, not corrected for having begun at 0.
    pub(super) fn apply(&self, value: &mut f32, m: &mut f32, v: &mut f32, gradient: f32) {
        *value *= self.keep;
        *m += self.rest1 * (gradient - *m);
        *v = *v * self.beta2 + self.rest2 * gradient * gradient;
        let scale = v.sqrt() / self.root_gathered + self.epsilon;
        *value -= self.length * *m / scale;
    }
}
