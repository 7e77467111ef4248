//! Adafactor: the second moment of a matrix as the product of a column and a row.
//!
//! Shazeer and Stern 2018 (arXiv:1804.04235), Algorithms 4 to 6, as transformers does it:
//! <https://github.com/huggingface/transformers/blob/v4.56.0/src/transformers/optimization.py>, `Adafactor`. Tensors of more
//! than two dimensions are stacks of matrices there, of the last two dimensions, and so they are here.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::state::slices;
use super::{Optimizer, Parameter, Shared, State, StepContext};
use crate::TrainError;
use crate::ranges::{ABOVE_0, AT_LEAST_0, BELOW_0, FROM_0_BELOW_1, Ranged};
use crate::slices::{MIN_LEN, narrow, root_mean_square};

/// Columns that are summed together: a row's share of them is a kilobyte.
const N_COLUMNS: usize = 256;

/// Options of Adafactor; the defaults are transformers', which are the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adafactor {
    /// Length of a step, above 0. Without it (`relative_step` in transformers) it is `min(0.01, 1 / sqrt(step))`.
    pub learning_rate: Option<f64>,
    /// Whether the length is multiplied with the root mean square of the parameter.
    pub scale_parameter: bool,
    /// Added to squared gradients, above 0.
    pub epsilon_square: f64,
    /// What a parameter's root mean square counts as at least, above 0.
    pub epsilon_scale: f64,
    /// Root mean square that the direction of a step has at most, above 0.
    pub clip_threshold: f64,
    /// The mean of squared gradients keeps the share `1 - step^decay_rate`; below 0.
    pub decay_rate: f64,
    /// Share of the old mean of directions that is kept at a step, 0..1; absent, no such mean is kept.
    pub beta1: Option<f64>,
    /// Share of the parameter that a step of length 1 takes away, at least 0.
    pub weight_decay: f64,
}

impl Default for Adafactor {
    fn default() -> Self {
        Self {
            learning_rate: None,
            scale_parameter: true,
            epsilon_square: 1e-30,
            epsilon_scale: 1e-3,
            clip_threshold: 1.0,
            decay_rate: -0.8,
            beta1: None,
            weight_decay: 0.0,
        }
    }
}

impl Optimizer for Adafactor {
    fn ranges(&self) -> Vec<Ranged> {
        let mut ranges = vec![
            ("epsilon_square", self.epsilon_square, ABOVE_0),
            ("epsilon_scale", self.epsilon_scale, ABOVE_0),
            ("clip_threshold", self.clip_threshold, ABOVE_0),
            ("decay_rate", self.decay_rate, BELOW_0),
            ("weight_decay", self.weight_decay, AT_LEAST_0),
        ];
        ranges.extend(self.learning_rate.map(|found| ("learning_rate", found, ABOVE_0)));
        ranges.extend(self.beta1.map(|found| ("beta1", found, FROM_0_BELOW_1)));
        ranges
    }

    fn new_state(&self, _values: &[f32], shape: &[usize]) -> State {
        let mut state = match shape {
            [stack @ .., rows, columns] => {
                let row_shape = [stack, &[*rows]].concat();
                let column_shape = [stack, &[*columns]].concat();
                State::zeros([("v_row", row_shape.as_slice()), ("v_column", column_shape.as_slice())])
            }
            _ => State::zeros([("v", shape)]),
        };
        if self.beta1.is_some() {
            state.floats.extend(State::zeros([("m", shape)]).floats);
        }
        state
    }

    /// 4 bytes per row and per column of each matrix, 4 per parameter for vectors, and 4 per parameter with `beta1`.
    fn state_bytes(&self, shape: &[usize]) -> usize {
        let n: usize = shape.iter().product();
        let second = match shape {
            [stack @ .., rows, columns] => stack.iter().product::<usize>() * (rows + columns),
            _ => n,
        };
        4 * (second + if self.beta1.is_some() { n } else { 0 })
    }

    fn step(&self, parameter: &mut Parameter<'_>, _: &Shared, at: StepContext) -> Result<(), TrainError> {
        let length = self.length(parameter.values, at);
        let mut update = self.direction(parameter, at)?;
        let too_long = (root_mean_square(&update) / self.clip_threshold).max(1.0);
        let scale = narrow(length / too_long);
        update.par_iter_mut().with_min_len(MIN_LEN).for_each(|value| *value *= scale);
        if let Some(beta1) = self.beta1 {
            let [beta1, rest1] = [beta1, 1.0 - beta1].map(narrow);
            let [m] = slices(&mut parameter.state.floats, parameter.name, [("m", update.len())])?;
            m.par_iter_mut().zip(&mut update).with_min_len(MIN_LEN).for_each(|(m, update)| {
                *m = *m * beta1 + rest1 * *update;
                *update = *m;
            });
        }
        let decay = narrow(self.weight_decay * length);
        let elements = parameter.values.par_iter_mut().zip(&update).with_min_len(MIN_LEN);
        elements.for_each(|(value, update)| *value -= decay * *value + update);
        Ok(())
    }
}

impl Adafactor {
    /// Length of this step: relative to the parameter or not, shrinking by itself or not.
    fn length(&self, values: &[f32], at: StepContext) -> f64 {
        let shrinking = || (1.0 / (at.step as f64).sqrt()).min(0.01);
        let length = self.learning_rate.unwrap_or_else(shrinking) * at.lr_factor;
        if self.scale_parameter { length * root_mean_square(values).max(self.epsilon_scale) } else { length }
    }

    /// The gradient over the root of its mean square.
    fn direction(&self, parameter: &mut Parameter<'_>, at: StepContext) -> Result<Vec<f32>, TrainError> {
        let beta2 = 1.0 - (at.step as f64).powf(self.decay_rate);
        let mean = Mean { beta2: narrow(beta2), rest2: narrow(1.0 - beta2) };
        let epsilon = narrow(self.epsilon_square);
        let gradient = parameter.gradient;
        let squares = gradient.par_iter().with_min_len(MIN_LEN).map(|gradient| gradient * gradient + epsilon);
        let mut update: Vec<f32> = squares.collect();
        let n = update.len();
        let (name, floats) = (parameter.name, &mut parameter.state.floats);
        match *parameter.shape {
            [.., rows, columns] if n > 0 => {
                let expected = [("v_row", n / columns), ("v_column", n / rows)];
                let [v_row, v_column] = slices(floats, name, expected)?;
                mean.follow_rows(v_row, &update, columns);
                mean.follow_columns(v_column, &update, [rows, columns]);
                let stack = update.par_chunks_mut(rows * columns).zip(gradient.par_chunks(rows * columns));
                let stack = stack.zip(v_row.par_chunks(rows)).zip(v_column.par_chunks(columns));
                stack.with_min_len(MIN_LEN.div_ceil(rows * columns)).for_each(
                    |(((update, gradient), v_row), v_column)| {
                        precondition(update, gradient, v_row, v_column);
                    },
                );
            }
            _ => {
                let [v] = slices(floats, name, [("v", n)])?;
                let elements = update.par_iter_mut().zip(v).zip(gradient).with_min_len(MIN_LEN);
                elements.for_each(|((update, v), gradient)| {
                    mean.follow(v, *update);
                    *update = gradient / v.sqrt();
                });
            }
        }
        Ok(update)
    }
}

/// How the means of squares follow the squares of a step.
#[derive(Debug, Clone, Copy)]
struct Mean {
    beta2: f32,
    rest2: f32,
}

impl Mean {
    fn follow(self, v: &mut f32, square: f32) {
        *v = *v * self.beta2 + self.rest2 * square;
    }

    /// `v` has one value per row of the stack of matrices.
    fn follow_rows(self, v: &mut [f32], squares: &[f32], columns: usize) {
        let rows = v.par_iter_mut().zip(squares.par_chunks(columns));
        rows.with_min_len(MIN_LEN.div_ceil(columns)).for_each(|(v, row)| {
            let sum: f64 = row.iter().map(|&square| f64::from(square)).sum();
            self.follow(v, narrow(sum / columns as f64));
        });
    }

    /// `v` has one value per column of each matrix.
    fn follow_columns(self, v: &mut [f32], squares: &[f32], [rows, columns]: [usize; 2]) {
        let stack = v.par_chunks_mut(columns).zip(squares.par_chunks(rows * columns));
        stack.with_min_len(MIN_LEN.div_ceil(rows * columns)).for_each(|(v, matrix)| {
            v.par_chunks_mut(N_COLUMNS).enumerate().for_each(|(block, v)| {
                let sums = column_sums(matrix, columns, block * N_COLUMNS, v.len());
                for (v, sum) in v.iter_mut().zip(sums) {
                    self.follow(v, narrow(sum / rows as f64));
                }
            });
        });
    }
}

/// Sums of `n` columns of a matrix from `first` on.
fn column_sums(matrix: &[f32], columns: usize, first: usize, n: usize) -> Vec<f64> {
    let mut sums = vec![0.0; n];
    for row in matrix.chunks_exact(columns) {
        let values = row.iter().skip(first);
        sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    sums
}

/// `gradient / sqrt(v_row v_column / mean(v_row))` of one matrix.
fn precondition(update: &mut [f32], gradient: &[f32], v_row: &[f32], v_column: &[f32]) {
    let columns = v_column.len();
    let mean = v_row.iter().map(|&v| f64::from(v)).sum::<f64>() / v_row.len() as f64;
    let mean = narrow(mean);
    let by_column: Vec<f32> = v_column.iter().map(|v| 1.0 / v.sqrt()).collect();
    let rows = update.par_chunks_mut(columns).zip(gradient.par_chunks(columns)).zip(v_row);
    rows.with_min_len(MIN_LEN.div_ceil(columns)).for_each(|((update, gradient), v)| {
        let by_row = 1.0 / (v / mean).sqrt();
        let elements = update.iter_mut().zip(gradient).zip(&by_column);
        elements.for_each(|((update, gradient), by_column)| *update = by_row * by_column * gradient);
    });
}
