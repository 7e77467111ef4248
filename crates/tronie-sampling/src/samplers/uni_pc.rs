//! UniPC: a predictor and a corrector of the same order that share all looks at the model.
//!
//! Zhao et al. 2023 (arXiv:2302.04867), Algorithms 5 and 6 for data prediction; diffusers' `UniPCMultistepScheduler`. The corrector
//! of a step runs with the look of the step after it, so that the last step is only predicted.

use std::collections::VecDeque;

use tronie_tensor::Tensor;

use crate::run::blend;
use crate::{Run, SampleError, Step};

/// Highest order.
const ORDER: usize = 3;

/// The function B(h) of the paper's section 3.1.
#[derive(Clone, Copy)]
enum Basis {
    /// `B_1(h) = h`.
    Bh1,
    /// `B_2(h) = e^h - 1`.
    Bh2,
}

/// A look at the model: `lambda = -ln sigma`, and x0 there.
type Past = (f64, Tensor<4>);

/// With `B(h) = h`.
pub(super) fn uni_pc(run: Run<'_>, x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    walk(run, x, Basis::Bh1)
}

/// With `B(h) = e^h - 1`.
pub(super) fn uni_pc_bh2(run: Run<'_>, x: Tensor<4>) -> Result<Tensor<4>, SampleError> {
    walk(run, x, Basis::Bh2)
}

fn walk(mut run: Run<'_>, mut x: Tensor<4>, basis: Basis) -> Result<Tensor<4>, SampleError> {
    let sigmas = run.sigmas;
    let mut past: VecDeque<Past> = VecDeque::new(); // newest first
    let mut to_correct: Option<(Update, Tensor<4>)> = None; // the last step and where it started
    for step in sigmas.steps() {
        let x0 = run.look(&x, &step)?;
        if let Some((update, start)) = to_correct.take() {
            x = update.correct(&start, &past, &x0);
        }
        past.push_front((-step.from.ln(), x0));
        past.truncate(ORDER);
        let update = Update { step, order: order(&run, &step, past.len()), basis };
        let next = update.predict(&x, &past);
        to_correct = Some((update, x));
        x = next;
    }
    Ok(x)
}

fn order(run: &Run<'_>, step: &Step, n_looks: usize) -> usize {
    let order = run.options.max_order.clamp(1, ORDER).min(n_looks);
    if run.options.lower_order_final { order.min(step.n - step.index) } else { order }
}

/// One step, as far as it does not depend on tensors.
struct Update {
    step: Step,
    order: usize,
    basis: Basis,
}

impl Update {
    /// UniP: from `x` at the step's start, with `past` ending there.
    fn predict(&self, x: &Tensor<4>, past: &VecDeque<Past>) -> Tensor<4> {
        let Some((_, x0)) = past.front() else {
            return x.clone();
        };
        if self.step.to == 0.0 {
            return x0.clone();
        }
        let (ratios, changes) = self.differences(past);
        let weights = match ratios.len() {
            0 => Vec::new(),
            1 => vec![0.5], // the paper's simplification, which keeps the order
            n => solve(&ratios, self.moments(n)),
        };
        self.first_order(x, x0) + self.weigh(&weights, changes, x)
    }

    /// UniC: from `x` at the step's start, with `past` ending there and `x0_there` at the predicted end.
    fn correct(&self, x: &Tensor<4>, past: &VecDeque<Past>, x0_there: &Tensor<4>) -> Tensor<4> {
        let Some((_, x0)) = past.front() else {
            return x.clone();
        };
        let (mut ratios, mut changes) = self.differences(past);
        ratios.push(1.0);
        changes.push(x0_there.clone() - x0.clone());
        let weights = match ratios.len() {
            1 => vec![0.5],
            n => solve(&ratios, self.moments(n)),
        };
        self.first_order(x, x0) + self.weigh(&weights, changes, x)
    }

    fn first_order(&self, x: &Tensor<4>, x0: &Tensor<4>) -> Tensor<4> {
        let kept = self.step.to / self.step.from;
        blend(x, kept, x0, 1.0 - kept)
    }

    /// Earlier looks: their place in units of the step (`r_i`, below 0) and the change of x0 to them, divided by it.
    fn differences(&self, past: &VecDeque<Past>) -> (Vec<f64>, Vec<Tensor<4>>) {
        let Some((lambda, x0)) = past.front() else {
            return (Vec::new(), Vec::new());
        };
        let width = self.step.log_snr();
        let earlier = past.iter().skip(1).take(self.order - 1);
        earlier
            .map(|(earlier, x0_earlier)| {
                let ratio = (earlier - lambda) / width;
                (ratio, (x0_earlier.clone() - x0.clone()) / ratio)
            })
            .unzip()
    }

    /// `B(-h)`: data prediction turns the sign of h.
    fn scale(&self) -> f64 {
        let h = -self.step.log_snr();
        match self.basis {
            Basis::Bh1 => h,
            Basis::Bh2 => h.exp_m1(),
        }
    }

    /// The right-hand side of eq. 10: `k! h phi_{k+1}(h) / B(h)` for k = 1..=n.
    fn moments(&self, n: usize) -> Vec<f64> {
        let h = -self.step.log_snr();
        let mut phi = h.exp_m1() / h - 1.0;
        let mut factorial = 1.0;
        let mut moments = Vec::with_capacity(n);
        for k in 1..=n {
            moments.push(phi * factorial / self.scale());
            factorial *= (k + 1) as f64;
            phi = phi / h - 1.0 / factorial;
        }
        moments
    }

    fn weigh(&self, weights: &[f64], changes: Vec<Tensor<4>>, like: &Tensor<4>) -> Tensor<4> {
        let scale = -self.scale();
        let terms = changes.into_iter().zip(weights).map(|(change, weight)| change * (weight * scale));
        terms.reduce(|sum, term| sum + term).unwrap_or_else(|| like.zeros_like())
    }
}

/// Solves the Vandermonde system `sum_j ratios[j]^k w[j] = moments[k]`, k = 0..n.
///
/// The weights are read off the Lagrange polynomials: `w[j] = L_j` with `moments[k]` in place of its powers `x^k`.
fn solve(ratios: &[f64], moments: Vec<f64>) -> Vec<f64> {
    let weight = |(j, own): (usize, &f64)| {
        let mut polynomial = vec![1.0]; // coefficients, constant first
        for (_, other) in ratios.iter().enumerate().filter(|row| row.0 != j) {
            let shifted = std::iter::once(0.0).chain(polynomial.iter().copied()); // times x
            let scaled = polynomial.iter().map(|c| -other * c).chain(std::iter::once(0.0)); // times -other
            polynomial = shifted.zip(scaled).map(|(a, b)| (a + b) / (own - other)).collect();
        }
        polynomial.iter().zip(&moments).map(|(coefficient, moment)| coefficient * moment).sum()
    };
    ratios.iter().enumerate().map(weight).collect()
}
