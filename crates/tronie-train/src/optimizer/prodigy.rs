//! Prodigy: Adam that finds its own learning rate.
//!
//! Mishchenko and Defazio 2023 (arXiv:2306.06101), the version for Adam, as the authors' package `prodigyopt` 1.1.2 does it:
//! <https://github.com/konstmish/prodigy>. The distance `d` from the first parameters to the best ones is estimated from below
//! by how far the gradients agree with the way that was gone, over all parameters at once; the length of a step is `d`.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::state::{StateTensor, slices};
use super::{Optimizer, Parameter, Shared, State, StepContext};
use crate::TrainError;
use crate::ranges::{ABOVE_0, AT_LEAST_0, AT_LEAST_1, BETWEEN_0_AND_1, FROM_0_BELOW_1, Ranged};
use crate::slices::{MIN_LEN, narrow};

/// Options of Prodigy; the defaults are the authors'.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prodigy {
    /// Factor of the length that was found, above 0; 1 unless training is unstable.
    pub learning_rate: f64,
    /// Share of the old mean of gradients that is kept at a step, above 0 and below 1.
    pub beta1: f64,
    /// Share of the old mean of squared gradients that is kept at a step, 0..1.
    pub beta2: f64,
    /// Share of the old estimate's two sums that is kept at a step, 0..1; absent, the root of `beta2`.
    pub beta3: Option<f64>,
    /// Added, times `d`, to the root of the mean of squared gradients, above 0.
    pub epsilon: f64,
    /// Share of the parameter that a step of length 1 takes away, at least 0.
    pub weight_decay: f64,
    /// Whether weight decay acts on the parameter (AdamW) and not through the gradient (Adam).
    pub decouple: bool,
    /// Whether the means are corrected for having begun at 0.
    pub use_bias_correction: bool,
    /// Whether the learning rate stays out of the estimate's denominator, so that a warm-up does not inflate `d`.
    pub safeguard_warmup: bool,
    /// First estimate of the distance, above 0.
    pub d0: f64,
    /// Factor of the estimate, above 0: the authors' way to tune.
    pub d_coef: f64,
    /// How many times larger `d` may get at a step, at least 1; absent, any.
    pub growth_rate: Option<f64>,
}

impl Default for Prodigy {
    fn default() -> Self {
        Self {
            learning_rate: 1.0,
            beta1: 0.9,
            beta2: 0.999,
            beta3: None,
            epsilon: 1e-8,
            weight_decay: 0.0,
            decouple: true,
            use_bias_correction: false,
            safeguard_warmup: false,
            d0: 1e-6,
            d_coef: 1.0,
            growth_rate: None,
        }
    }
}

/// Names of what is shared. `length` is that of the current step, 0 for none.
const OWNER: &str = "prodigy";
const D: &str = "d";
const D_MAX: &str = "d_max";
const NUMERATOR: &str = "numerator";
const AGREEMENT: &str = "agreement";
const DENOMINATOR: &str = "denominator";
const LENGTH: &str = "length";
const N_MOVES: &str = "n_moves";

impl Optimizer for Prodigy {
    fn ranges(&self) -> Vec<Ranged> {
        let mut ranges = vec![
            ("learning_rate", self.learning_rate, ABOVE_0),
            ("beta1", self.beta1, BETWEEN_0_AND_1),
            ("beta2", self.beta2, FROM_0_BELOW_1),
            ("epsilon", self.epsilon, ABOVE_0),
            ("weight_decay", self.weight_decay, AT_LEAST_0),
            ("d0", self.d0, ABOVE_0),
            ("d_coef", self.d_coef, ABOVE_0),
        ];
        ranges.extend(self.beta3.map(|found| ("beta3", found, FROM_0_BELOW_1)));
        ranges.extend(self.growth_rate.map(|found| ("growth_rate", found, AT_LEAST_1)));
        ranges
    }

    fn new_state(&self, values: &[f32], shape: &[usize]) -> State {
        let mut state = State::zeros([("m", shape), ("v", shape), ("s", shape)]);
        let first = StateTensor { shape: shape.to_vec(), values: values.to_vec() };
        state.floats.insert("first".into(), first);
        state
    }

    /// 16 bytes per parameter.
    fn state_bytes(&self, shape: &[usize]) -> usize {
        16 * shape.iter().product::<usize>()
    }

    fn new_shared(&self) -> Shared {
        let zeros = [NUMERATOR, AGREEMENT, DENOMINATOR, LENGTH, N_MOVES].map(|name| (name, 0.0));
        let numbers = [(D, self.d0), (D_MAX, self.d0)].into_iter().chain(zeros);
        Shared { numbers: numbers.map(|(name, number)| (name.to_owned(), number)).collect() }
    }

    /// Gathers the means of the gradient, and both sums of the estimate.
    fn observe(
        &self,
        parameter: &mut Parameter<'_>,
        shared: &mut Shared,
        at: StepContext,
    ) -> Result<(), TrainError> {
        let d = shared.get(OWNER, D)?;
        let length = self.length(d, shared.get(OWNER, N_MOVES)?, at);
        if length == 0.0 {
            return Ok(());
        }
        let pull = if self.safeguard_warmup { d } else { length };
        let means = Means {
            coupled: if self.decouple { 0.0 } else { narrow(self.weight_decay) },
            beta1: narrow(self.beta1),
            rest1: narrow(d * (1.0 - self.beta1)),
            beta2: narrow(self.beta2),
            rest2: narrow(d * d * (1.0 - self.beta2)),
            beta3: narrow(self.beta3()),
            rest3: narrow(d / self.d0 * pull),
        };
        let n = parameter.values.len();
        let names = [("m", n), ("v", n), ("s", n), ("first", n)];
        let [m, v, s, first] = slices(&mut parameter.state.floats, parameter.name, names)?;
        let state = m.par_chunks_mut(MIN_LEN).zip(v.par_chunks_mut(MIN_LEN)).zip(s.par_chunks_mut(MIN_LEN));
        let given = parameter.values.par_chunks(MIN_LEN).zip(parameter.gradient.par_chunks(MIN_LEN));
        let pieces = given.zip(first.par_chunks(MIN_LEN)).zip(state);
        let sums: Vec<(f64, f64)> = pieces
            .map(|(((values, gradient), first), ((m, v), s))| {
                means.gather((values, gradient, first), (m, v, s))
            })
            .collect();
        // In order, so that the number of threads does not show.
        for (agreement, denominator) in sums {
            *shared.get_mut(OWNER, AGREEMENT)? += d / self.d0 * length * agreement;
            *shared.get_mut(OWNER, DENOMINATOR)? += denominator;
        }
        Ok(())
    }

    /// Estimates the distance anew. The length of this step is still that of the old estimate.
    fn settle(&self, shared: &mut Shared, at: StepContext) -> Result<(), TrainError> {
        let (d, n_moves) = (shared.get(OWNER, D)?, shared.get(OWNER, N_MOVES)?);
        let agreement = std::mem::take(shared.get_mut(OWNER, AGREEMENT)?);
        let denominator = std::mem::take(shared.get_mut(OWNER, DENOMINATOR)?);
        if denominator == 0.0 {
            *shared.get_mut(OWNER, LENGTH)? = 0.0; // no gradient, or no learning rate
            return Ok(());
        }
        let numerator = shared.get(OWNER, NUMERATOR)? * self.beta3() + agreement;
        let estimate = self.d_coef * numerator / denominator;
        let from = if d == self.d0 { d.max(estimate) } else { d };
        let d_max = shared.get(OWNER, D_MAX)?.max(estimate);
        let grown = self.growth_rate.map_or(f64::INFINITY, |rate| from * rate);
        for (name, number) in [
            (NUMERATOR, numerator),
            (D_MAX, d_max),
            (D, d_max.min(grown)),
            (LENGTH, self.length(d, n_moves, at)),
            (N_MOVES, n_moves + 1.0),
        ] {
            *shared.get_mut(OWNER, name)? = number;
        }
        Ok(())
    }

    fn step(&self, parameter: &mut Parameter<'_>, shared: &Shared, _: StepContext) -> Result<(), TrainError> {
        let length = shared.get(OWNER, LENGTH)?;
        if length == 0.0 {
            return Ok(());
        }
        let decay = if self.decouple { narrow(self.weight_decay * length) } else { 0.0 };
        let epsilon = narrow(shared.get(OWNER, D)? * self.epsilon);
        let length = narrow(length);
        let n = parameter.values.len();
        let [m, v] = slices(&mut parameter.state.floats, parameter.name, [("m", n), ("v", n)])?;
        let elements = parameter.values.par_iter_mut().zip(m).zip(v).with_min_len(MIN_LEN);
        elements.for_each(|((value, m), v)| {
            *value -= decay * *value;
            *value -= length * *m / (v.sqrt() + epsilon);
        });
        Ok(())
    }
}

impl Prodigy {
    fn beta3(&self) -> f64 {
        self.beta3.unwrap_or_else(|| self.beta2.sqrt())
    }

    /// Length of a step at distance `d`, after so many moves.
    fn length(&self, d: f64, n_moves: f64, at: StepContext) -> f64 {
        let gathered = |decay: f64| 1.0 - decay.powf(n_moves + 1.0);
        let correction =
            if self.use_bias_correction { gathered(self.beta2).sqrt() / gathered(self.beta1) } else { 1.0 };
        d * self.learning_rate * at.lr_factor * correction
    }
}

/// The factors of the three means.
struct Means {
    coupled: f32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    beta3: f32,
    rest3: f32,
}

impl Means {
    /// Updates the means of one piece; returns how far its gradients agree with the way from the first values, and its share
    /// of the denominator.
    fn gather(
        &self,
        (values, gradient, first): (&[f32], &[f32], &[f32]),
        (m, v, s): (&mut [f32], &mut [f32], &mut [f32]),
    ) -> (f64, f64) {
        let (mut agreement, mut denominator) = (0.0, 0.0);
        let given = values.iter().zip(gradient).zip(first);
        let state = m.iter_mut().zip(v).zip(s);
        for (((value, gradient), first), ((m, v), s)) in given.zip(state) {
            let gradient = gradient + self.coupled * value;
            agreement += f64::from(gradient) * f64::from(first - value);
            *m = *m * self.beta1 + self.rest1 * gradient;
            *v = *v * self.beta2 + self.rest2 * gradient * gradient;
            *s = *s * self.beta3 + self.rest3 * gradient;
            denominator += f64::from(s.abs());
        }
        (agreement, denominator)
    }
}
