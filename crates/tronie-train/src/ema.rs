//! The exponential moving average of the parameters.
//!
//! Polyak and Juditsky 1992; the warm-up of its decay is that of diffusers' `EMAModel`:
//! <https://github.com/huggingface/diffusers/blob/v0.35.1/src/diffusers/training_utils.py>, `get_decay`.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::slices::{MIN_LEN, narrow};
use crate::{TrainError, ranges};

/// How long the average remembers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmaOptions {
    /// Largest share of the old average that is kept at a step, 0..1.
    pub decay: f64,
    /// Smallest share that is kept once averaging has begun, 0..=1.
    pub min_decay: f64,
    /// Steps before averaging begins; until then the average is the parameter itself.
    pub update_after_step: u64,
    /// Whether the decay grows as `1 - (1 + step / inv_gamma)^-power`; otherwise as `(1 + step) / (10 + step)`.
    pub warmup: bool,
    /// Steps in which the warm-up gets going, above 0.
    pub inv_gamma: f64,
    /// Exponent of the warm-up, above 0: 2/3 reaches a decay of 0.999 after 31.6 thousand steps, 3/4 after 10 thousand.
    pub power: f64,
}

impl Default for EmaOptions {
    fn default() -> Self {
        Self {
            decay: 0.9999,
            min_decay: 0.0,
            update_after_step: 0,
            warmup: false,
            inv_gamma: 1.0,
            power: 2.0 / 3.0,
        }
    }
}

impl EmaOptions {
    /// The share of the old average that is kept at a step, counted from 1.
    #[must_use]
    pub fn decay_at(&self, step: u64) -> f64 {
        let step = step.saturating_sub(self.update_after_step).saturating_sub(1) as f64;
        if step == 0.0 {
            return 0.0;
        }
        let growing = if self.warmup {
            1.0 - (1.0 + step / self.inv_gamma).powf(-self.power)
        } else {
            (1.0 + step) / (10.0 + step)
        };
        growing.min(self.decay).max(self.min_decay)
    }
}

/// Averages of named parameters. Its fields are all there is to store and to continue from.
#[derive(Debug, Clone, PartialEq)]
pub struct Ema {
    /// How long it remembers.
    pub options: EmaOptions,
    /// Steps taken.
    pub n_steps: u64,
    /// The averages by the parameters' names.
    pub averages: BTreeMap<String, Vec<f32>>,
}

impl Ema {
    /// Begins with the parameters as they are.
    ///
    /// # Errors
    /// [`TrainError::OutOfRange`] for options that make no average.
    pub fn new<'a>(
        options: EmaOptions,
        parameters: impl IntoIterator<Item = (&'a str, &'a [f32])>,
    ) -> Result<Self, TrainError> {
        ranges::check(
            "ema",
            &[
                ("decay", options.decay, ranges::FROM_0_BELOW_1),
                ("min_decay", options.min_decay, ranges::FROM_0_BELOW_1),
                ("inv_gamma", options.inv_gamma, ranges::ABOVE_0),
                ("power", options.power, ranges::ABOVE_0),
            ],
        )?;
        let averages = parameters.into_iter().map(|(name, values)| (name.to_owned(), values.to_vec()));
        Ok(Self { options, n_steps: 0, averages: averages.collect() })
    }

    /// Moves every average towards its parameter. To be called after each step of the optimizer, with all parameters.
    ///
    /// # Errors
    /// [`TrainError::State`] for a parameter of another name or length than the average began with.
    pub fn step<'a>(
        &mut self,
        parameters: impl IntoIterator<Item = (&'a str, &'a [f32])>,
    ) -> Result<(), TrainError> {
        self.n_steps += 1;
        let rest = narrow(1.0 - self.options.decay_at(self.n_steps));
        for (name, values) in parameters {
            let average = self.averages.get_mut(name).map(Vec::as_mut_slice).unwrap_or_default();
            if average.len() != values.len() {
                return Err(TrainError::State {
                    parameter: name.to_owned(),
                    tensor: "average".into(),
                    found: average.len(),
                    expected: values.len(),
                });
            }
            let pairs = average.par_iter_mut().zip(values).with_min_len(MIN_LEN);
            pairs.for_each(|(average, &value)| *average -= rest * (*average - value));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
